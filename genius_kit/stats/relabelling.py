"""Is a list of architectures better than luck? It is set beside itself under other numberings.

Searches that repeat a list, or vary it, are one draw and not as many as there are: whether an arbitrary list is good on
a table is luck, which more searches do not change. So all proposals of a study are renumbered together, and the study
counts once. The list of who knows nothing is as likely as each of its renumbered forms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 999


def relabelling_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the probability that a list renumbered at random, at each position anew, is worth no more than it is.

    `architectures` has shape (count, length); `worth` has one axis a position and one entry an architecture, such as
    the logarithm of its rank: lower is better. Exact up to the draws, of which the list itself is one.
    """
    generator = np.random.default_rng(seed)
    rows, counts = np.unique(architectures, axis=0, return_counts=True)

    def renumbered() -> np.ndarray:
        numbers = [generator.permutation(size) for size in worth.shape]
        return np.stack([numbers[place][rows[:, place]] for place in range(len(numbers))])

    return _p_of(rows, counts, worth, renumbered, draws)


def placing_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the same for the list with its positions exchanged at random: a liking for a number changes nothing here.

    Positions are exchanged with those that have as many options.
    """
    generator = np.random.default_rng(seed)
    rows, counts = np.unique(architectures, axis=0, return_counts=True)
    sizes = np.array(worth.shape)

    def replaced() -> np.ndarray:
        order = np.arange(len(sizes))
        for size in np.unique(sizes):
            places = np.flatnonzero(sizes == size)
            order[places] = generator.permutation(places)
        return rows[:, order].T

    return _p_of(rows, counts, worth, replaced, draws)


def _p_of(
    rows: np.ndarray, counts: np.ndarray, worth: np.ndarray, other: Callable[[], np.ndarray], draws: int
) -> float:
    own = float(worth[tuple(rows.T)] @ counts)
    found = sum(float(worth[tuple(other())] @ counts) <= own + 1e-9 for _ in range(draws))
    return (1 + found) / (1 + draws)
