"""Dominance, fronts and hypervolumes against brute force and against another library."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from genius_kit.errors import InvalidParameter
from genius_kit.stats import fronts


def clouds(columns, most=12):
    """Return a strategy of points on a coarse grid, so that ties and equal points come often."""
    row = st.tuples(*[st.integers(0, 5)] * columns)
    return st.lists(row, min_size=1, max_size=most).map(lambda rows: np.array(rows, dtype=float))


several = st.sampled_from([2, 3]).flatmap(clouds)


def dominates(one, other):
    """Return whether a point is as small in every column and smaller in one."""
    return bool((one <= other).all() and (one < other).any())


@given(several)
def test_the_front_is_what_no_other_point_dominates(points):
    """As counted pair by pair; equal points do not dominate one another."""
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert fronts.front_of(points).tolist() == expected


@given(several)
def test_the_hypervolume_is_the_number_of_dominated_cells(points):
    """On whole numbers it is a count of unit cells below the reference."""
    reference = np.full(points.shape[1], 5.0)
    cells = itertools.product(range(5), repeat=points.shape[1])
    counted = sum(any((point <= cell).all() for point in points) for cell in map(np.array, cells))
    assert fronts.hypervolume(points, reference) == pytest.approx(counted)


@pytest.mark.parametrize("columns", [2, 3])
def test_the_hypervolume_is_that_of_another_library(columns):
    """Random clouds, beside optuna's; a whole set of them at once comes to the same."""
    reference = np.ones(columns)
    sets = np.random.default_rng(columns).random((5, 40, columns))
    alone = [fronts.hypervolume(points, reference) for points in sets]
    assert alone == pytest.approx([compute_hypervolume(points, reference) for points in sets])
    assert fronts.hypervolumes(sets, reference).tolist() == pytest.approx(alone)


def test_points_beyond_the_reference_add_nothing():
    """In any column; no point at all has no volume."""
    assert fronts.hypervolume(np.array([[0.0, 2.0], [2.0, 0.0], [1.0, 1.0]]), np.ones(2)) == 0
    assert fronts.hypervolume(np.empty((0, 2)), np.ones(2)) == 0


def test_crowding_is_widest_at_the_ends():
    """Ends count as infinitely far, a point in between by its neighbours in parts of the range."""
    crowding = fronts.crowding_of(np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [4.0, 0.0]]))
    assert crowding.tolist() == [np.inf, 1.0, 1.5, np.inf]


@given(several)
def test_the_epsilon_indicator_is_the_shift_that_covers_the_front(points):
    """Shifted by it every point of the front is matched, by less it is not; the front itself needs none."""
    front = points[fronts.front_of(points)]
    some = points[: max(1, len(points) // 2)]
    shift = fronts.epsilon(some, front)
    assert fronts.epsilon(points, front) == 0

    def covers(by):
        return all(any((one - by <= point).all() for one in some) for point in front)

    assert covers(shift)
    assert shift == 0 or not covers(shift - 0.5)
    assert fronts.epsilon(np.empty((0, points.shape[1])), front) == np.inf


@pytest.mark.parametrize(
    "points", [np.zeros(3), np.array([[np.nan, 1.0]]), np.zeros((2, 4))], ids=["one row", "nan", "four columns"]
)
def test_what_has_no_hypervolume_is_refused(points):
    """Points that are no table, results that are missing, more objectives than are exact."""
    with pytest.raises(InvalidParameter, match="points"):
        fronts.hypervolume(points, np.ones(points.shape[-1]))
