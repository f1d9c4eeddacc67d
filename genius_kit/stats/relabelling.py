"""Is a list of architectures better than luck? It is set beside itself under other numberings.

Searches that repeat a list, or vary it, are one draw and not as many as there are: whether an arbitrary list is good on
a table is luck, which more searches do not change. So all proposals of a study are renumbered together, and the study
counts once. The list of who knows nothing is as likely as each of its renumbered forms.
"""

from __future__ import annotations

import numpy as np

DRAWS = 999


def relabelling_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the probability that a list renumbered at random, at each position anew, is worth no more than it is.

    `architectures` has shape (count, length); `worth` has one axis a position and one entry an architecture, such as
    the logarithm of its rank: lower is better. Exact up to the draws, of which the list itself is one.
    """
    generator = np.random.default_rng(seed)
    rows, counts = np.unique(architectures, axis=0, return_counts=True)
    places = np.zeros((draws, len(rows)), dtype=int)
    for position, (size, step) in enumerate(zip(worth.shape, _steps(worth), strict=True)):
        numbers = generator.permuted(np.tile(np.arange(size), (draws, 1)), axis=1)  # (draws, size)
        places += step * numbers[:, rows[:, position]]
    return _p_value(rows, counts, worth, places)


def placing_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the same for the list with its positions exchanged at random: a liking for a number changes nothing here.

    Positions are exchanged with those that have as many options.
    """
    generator = np.random.default_rng(seed)
    rows, counts = np.unique(architectures, axis=0, return_counts=True)
    steps, sizes = np.tile(_steps(worth), (draws, 1)), np.array(worth.shape)
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        steps[:, alike] = generator.permuted(steps[:, alike], axis=1)
    return _p_value(rows, counts, worth, steps @ rows.T)


def _steps(worth: np.ndarray) -> np.ndarray:
    """Return how far apart the entries of neighbouring options lie in the flat table, shape (length,)."""
    steps: np.ndarray = np.array([int(np.prod(worth.shape[place + 1 :])) for place in range(worth.ndim)])
    return steps


def _p_value(rows: np.ndarray, counts: np.ndarray, worth: np.ndarray, places: np.ndarray) -> float:
    """Return the p-value of a list beside its other forms; `places` in the flat table, shape (draws, different)."""
    flat = worth.ravel()
    own = float(flat[rows @ _steps(worth)] @ counts)
    found = int((flat[places] @ counts <= own + 1e-9).sum())
    return (1 + found) / (1 + len(places))
