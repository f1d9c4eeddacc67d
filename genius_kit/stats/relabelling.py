"""Is a list of architectures better than luck? It is set beside itself under other numberings.

Searches that repeat a list, or vary it, are one draw and not as many as there are: whether an arbitrary list is good on
a table is luck, which more searches do not change. So all proposals of a study are renumbered together, and the study
counts once. The list of who knows nothing is as likely as each of its renumbered forms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS, AT_ONCE = 9_999, 1_000
ENOUGH = 50
"""Forms as good as the list itself after which no more are drawn: its p-value is far from small (Besag and Clifford,
Biometrika 1991)."""


def relabelling_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the probability that a list renumbered at random, at each position anew, is worth no more than it is.

    `architectures` has shape (count, length); `worth` has one axis a position and one entry an architecture, such as
    the logarithm of its rank: lower is better. Exact up to the draws, of which the list itself is one.
    """
    generator = np.random.default_rng(seed)

    def renumbered(rows: np.ndarray, count: int) -> np.ndarray:
        places = np.zeros((count, len(rows)), dtype=int)
        for position, (size, step) in enumerate(zip(worth.shape, _steps(worth), strict=True)):
            numbers = generator.permuted(np.tile(np.arange(size), (count, 1)), axis=1)  # (count, size)
            places += step * numbers[:, rows[:, position]]
        return places

    return _p_value(architectures, worth, renumbered, draws)


def placing_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the same for the list with its positions exchanged at random: a liking for a number changes nothing here.

    Positions are exchanged with those that have as many options.
    """
    generator = np.random.default_rng(seed)
    sizes = np.array(worth.shape)

    def replaced(rows: np.ndarray, count: int) -> np.ndarray:
        steps = np.tile(_steps(worth), (count, 1))
        for size in np.unique(sizes):
            alike = np.flatnonzero(sizes == size)
            steps[:, alike] = generator.permuted(steps[:, alike], axis=1)
        places: np.ndarray = steps @ rows.T
        return places

    return _p_value(architectures, worth, replaced, draws)


def _steps(worth: np.ndarray) -> np.ndarray:
    """Return how far apart the entries of neighbouring options lie in the flat table, shape (length,)."""
    steps: np.ndarray = np.array([int(np.prod(worth.shape[place + 1 :])) for place in range(worth.ndim)])
    return steps


def _p_value(
    architectures: np.ndarray, worth: np.ndarray, other: Callable[[np.ndarray, int], np.ndarray], draws: int
) -> float:
    """Return the p-value of a list beside `other` forms of it, as places in the flat table, (count, different)."""
    rows, counts = np.unique(architectures, axis=0, return_counts=True)
    flat = worth.ravel()
    own = float(flat[rows @ _steps(worth)] @ counts)
    found = drawn = 0
    while drawn < draws and found < ENOUGH:
        count = min(AT_ONCE, draws - drawn)
        found += int((flat[other(rows, count)] @ counts <= own + 1e-9).sum())
        drawn += count
    return (1 + found) / (1 + drawn)
