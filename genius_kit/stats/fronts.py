"""Pareto dominance on plain arrays: fronts, crowding, hypervolume and the epsilon indicator, all exact.

Points are float arrays of shape (n, k), every column of which is to be small; see `Objectives.losses`. Points that are
equal in every column do not dominate one another. Libraries that do this (moocore, pymoo, pygmo) were left out for what
takes a few lines in two or three columns; the tests compare with optuna's.
"""

from __future__ import annotations

import numpy as np

from genius_kit.errors import InvalidParameter


def front_of(points: np.ndarray) -> np.ndarray:
    """Return which points no other one dominates, bool of shape (n,); equal points stand or fall together."""
    points = _checked(points)
    values, inverse = np.unique(points, axis=0, return_inverse=True)  # in lexicographic order: only earlier ones beat
    kept = np.zeros(len(values), dtype=bool)
    best = np.empty((0, points.shape[1]))
    for place, value in enumerate(values):
        if not (best <= value).all(axis=1).any():
            kept[place] = True
            best = np.concatenate([best, value[None]])
    return kept[inverse.ravel()]


def crowding_of(points: np.ndarray) -> np.ndarray:
    """Return how far the neighbours of each point of one front lie, float of shape (n,) (Deb et al., 2002).

    Each column counts in parts of its range; the ends of every column have infinity.
    """
    points = _checked(points)
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        distance[order[[0, -1]]] = np.inf
        spread = column[order[-1]] - column[order[0]]
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume that `points` dominate up to `reference`, shape (k,), exactly, in two or three columns.

    Points that are not below the reference in every column add nothing. Raises InvalidParameter for other shapes.
    """
    return float(hypervolumes(_checked(points)[None], reference)[0])


def hypervolumes(sets: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the `hypervolume` of each of several sets of as many points, (m, n, k), as floats of shape (m,)."""
    reference = np.asarray(reference, dtype=np.float64)
    if sets.ndim != 3 or sets.shape[2] not in (2, 3) or reference.shape != sets.shape[2:]:
        raise InvalidParameter(
            f"give points of two or three objectives and a reference of as many, got shapes {sets.shape[1:]} and "
            f"{reference.shape}"
        )
    points = np.minimum(sets, reference)  # a point on the reference has no volume
    if points.shape[2] == 2:
        return _areas(points, reference)
    points = np.take_along_axis(points, np.argsort(points[:, :, 2], axis=1, kind="stable")[:, :, None], axis=1)
    ends = np.full((len(points), 1), reference[2])
    thickness = np.diff(np.concatenate([points[:, :, 2], ends], axis=1), axis=1)  # (m, n)
    volumes = np.zeros(len(points))
    for count in range(1, points.shape[1] + 1):  # between two depths the section is the area of the points above
        volumes += thickness[:, count - 1] * _areas(points[:, :count, :2], reference[:2])
    return volumes


def epsilon(points: np.ndarray, front: np.ndarray) -> float:
    """Return by how much every column of `points` has to fall until each point of `front` is matched or dominated.

    The additive epsilon indicator (Zitzler et al., 2003), 0 where all of the front is found. Scale the columns first.
    """
    points, front = _checked(points), _checked(front)
    if not len(points):
        return float("inf")
    gaps = (points[:, None, :] - front[None, :, :]).max(axis=2)  # (n, m)
    return float(np.maximum(gaps.min(axis=0), 0.0).max())


def _areas(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the areas that sets of points up to `reference`, (m, n, 2), dominate, shape (m,): sweeps from the left."""
    points = np.take_along_axis(points, np.argsort(points[:, :, 0], axis=1, kind="stable")[:, :, None], axis=1)
    lowest = np.minimum.accumulate(points[:, :, 1], axis=1)
    ends = np.full((len(points), 1), reference[0])
    widths = np.diff(np.concatenate([points[:, :, 0], ends], axis=1), axis=1)
    areas: np.ndarray = (widths * (reference[1] - lowest)).sum(axis=1)
    return areas


def _checked(points: np.ndarray) -> np.ndarray:
    """Return the points as floats; raises InvalidParameter for another shape and for NaN."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or np.isnan(points).any():
        raise InvalidParameter(
            "points must have one row per architecture and one column per objective, got shape "
            f"{points.shape}{' with NaN' if np.isnan(points).any() else ''}; leave out architectures without a result"
        )
    return points
