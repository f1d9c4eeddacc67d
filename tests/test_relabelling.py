"""Is a list better than luck? Its p-values are even for arbitrary lists, and small where there is a memory."""

from __future__ import annotations

import numpy as np
import pytest

from genius_kit.stats.replies import placing_p, relabelling_p

SHAPE = (4, 4, 4, 4, 4)


@pytest.fixture(scope="module")
def worth() -> np.ndarray:
    """The logarithm of ranks in which options have a worth, another one at each position."""
    draws = np.random.default_rng(5)
    values = sum(draws.normal(size=SHAPE[0])[place] for place in np.indices(SHAPE)) + draws.normal(size=SHAPE)
    return np.log(1 + values.ravel().argsort()[::-1].argsort().reshape(SHAPE))


def best(worth: np.ndarray, count: int) -> np.ndarray:
    return np.stack(np.unravel_index(worth.ravel().argsort()[:count], worth.shape), axis=1)


@pytest.mark.parametrize("test", [relabelling_p, placing_p])
def test_arbitrary_lists_have_even_p_values(test, worth: np.ndarray) -> None:
    """Of 300 lists of eight neighbours of one random architecture, about 5 % have p at most 0.05."""
    found = []
    for seed in range(300):
        draws = np.random.default_rng(seed)
        near = np.tile(draws.integers(0, 4, size=5), (8, 1))
        near[np.arange(8), draws.integers(0, 5, size=8)] = draws.integers(0, 4, size=8)
        found.append(test(near, worth, seed, draws=99))
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.09
    assert 0.42 < np.mean(found) < 0.58


@pytest.mark.parametrize("test", [relabelling_p, placing_p])
def test_a_repeated_list_counts_once(test, worth: np.ndarray) -> None:
    """Twenty copies of a list say what one says."""
    some = np.random.default_rng(3).integers(0, 4, size=(6, 5))
    assert test(np.tile(some, (20, 1)), worth) == test(some, worth)


def test_a_memory_shows_in_both(worth: np.ndarray) -> None:
    """The best dozen, known by their places, is better than all its renumbered forms."""
    assert relabelling_p(best(worth, 12), worth) <= 0.002
    assert placing_p(best(worth, 12), worth) <= 0.02  # 120 orders of five positions


def test_a_liking_for_a_number_does_not_show_in_places() -> None:
    """Where one number is best everywhere, a liking for it is as good with its positions exchanged."""
    worth = np.log(1.0 + (np.indices(SHAPE) != 2).sum(axis=0))
    draws = np.random.default_rng(0)
    liked = np.where(draws.random((90, 5)) < 0.6, 2, draws.integers(0, 4, size=(90, 5)))
    assert relabelling_p(liked, worth) <= 0.01
    assert placing_p(liked, worth) > 0.05


def test_positions_change_places_with_their_like_only() -> None:
    """A space with menus of two and of three options stays a space."""
    worth = np.arange(2 * 3 * 2 * 3, dtype=float).reshape(2, 3, 2, 3)
    assert 0 < placing_p(np.array([[0, 2, 1, 2]]), worth, draws=50) <= 1
