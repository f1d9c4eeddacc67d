"""Whether a reply follows the scores shown: exact zero under every way of dealing them out, and the known answers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genius_kit.stats.replies import follows, follows_own

LENGTH, OPTIONS = 5, 3
CELLS = st.lists(st.integers(0, OPTIONS - 1), min_size=LENGTH, max_size=LENGTH)


def dealings(count: int, may_stay: bool) -> list[np.ndarray]:
    """Every way in which scores can be dealt out."""
    return [
        np.array(one)
        for one in permutations(range(count))
        if may_stay or all(score != place for place, score in enumerate(one))
    ]


@given(
    CELLS,
    st.lists(st.tuples(CELLS, st.one_of(st.integers(50, 53), st.just(-np.inf))), min_size=3, max_size=6),
    st.booleans(),
)
def test_over_all_dealings_the_mean_is_zero(reply: list[int], listed: list, may_stay: bool) -> None:
    """Whatever was shown, ties, repeats and failures included, and whatever was said; no value leaves -1 to 1."""
    shown, scores = np.array([cells for cells, _ in listed]), np.array([score for _, score in listed], dtype=float)
    found = np.array(
        [follows(np.array(reply), shown, scores, one, may_stay=may_stay) for one in dealings(len(shown), may_stay)]
    )
    assert np.abs(found).max() <= 1 + 1e-9
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)


def test_a_neighbour_of_the_best_shown_follows_it() -> None:
    """Its two numbers are high; those of a neighbour of the worst shown are low, and who ignores them is even."""
    shown = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [0, 1, 2, 0, 1]])
    scores, places = np.array([90.0, 80.0, 70.0, 60.0]), np.array([1, 0, 3, 2])  # 1 is shown as best, 2 as worst
    climber = follows(np.array([1, 1, 1, 1, 0]), shown, scores, places)
    assert climber.best == 1
    assert climber.trend > 0.4
    contrary = follows(np.array([2, 2, 2, 2, 1]), shown, scores, places)
    assert contrary.best < 0
    assert contrary.trend < -0.4


def test_moves_from_the_best_are_close_to_it() -> None:
    """One changed position counts 1, each further one half as much; a reply that is far from all counts next to 0."""
    shown = np.array([[0] * 8, [1] * 8, [2] * 8, [0, 1, 2, 0, 1, 2, 0, 1]])
    scores, places = np.array([90.0, 80.0, 70.0, 60.0]), np.array([1, 0, 3, 2])  # the second is shown as best
    close = [follows(np.array([1] * (8 - moves) + [3] * moves), shown, scores, places).close for moves in (1, 2, 8)]
    assert close[0] > 0.9
    assert close[1] == pytest.approx(0.5, abs=0.1)
    assert close[2] == 0


@pytest.mark.parametrize(("kept", "sign"), [(4, 1), (0, -1)])
def test_steps_after_a_success_are_told_from_those_after_a_failure(kept: int, sign: int) -> None:
    """Who keeps most of the last architecture after a good score stays, who leaves it does not; and the other way."""
    shown = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [0, 1, 2, 0, 1]])
    scores = np.array([90.0, 80.0, 70.0, 60.0])
    named = np.array([0, 1, 2, 0, 1][:kept] + [3] * (5 - kept))
    good, bad = (follows(named, shown, scores, np.array(one)).stay for one in ([1, 3, 2, 0], [1, 0, 3, 2]))
    assert sign * good > 0 > sign * bad


@pytest.mark.parametrize(("count", "may_stay"), [(1, False), (2, False), (1, True)])
def test_without_a_choice_there_is_no_answer(count: int, may_stay: bool) -> None:
    """One score has one place, and two can only change theirs."""
    shown = np.arange(count * LENGTH).reshape(count, LENGTH) % OPTIONS
    found = follows(shown[0], shown, np.arange(count) + 90.0, np.arange(count)[::-1], may_stay=may_stay)
    assert np.isnan(found).all()


def test_own_results_are_followed_by_who_goes_on_from_the_best() -> None:
    """The mean over the steps from the third proposal on, each with the true scores of those before; two give none."""
    climb = np.array([[0] * LENGTH, [1] * LENGTH, [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    rising, falling = np.array([50.0, 51.0, 52.0, 53.0]), np.array([53.0, 52.0, 51.0, 50.0])
    found = follows_own(np.array([climb, climb]), np.array([rising, falling]))
    steps = [follows(climb[n], climb[:n], rising[:n], np.arange(n), may_stay=True) for n in (2, 3)]
    np.testing.assert_allclose(np.array(found)[:, 0], np.mean(steps, axis=0))
    assert found.best[0] > 0 > found.best[1]
    assert np.isnan(follows_own(climb[:2], rising[:2])).all()
