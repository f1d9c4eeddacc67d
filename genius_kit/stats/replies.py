"""Is a list of architectures better than luck? It is set beside itself under other numberings.

Searches that repeat a list, or vary it, are one draw and not as many as there are: whether an arbitrary list is good on
a table is luck, which more searches do not change. So all proposals of a study are renumbered together, and the study
counts once. The list of who knows nothing is as likely as each of its renumbered forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS, AT_ONCE = 9_999, 1_000
ENOUGH = 50
"""Forms as good as the list itself after which no more are drawn: its p-value is far from small (Besag and Clifford,
Biometrika 1991)."""

LEAST_SHOWN = 3
"""Architectures shown below which a derangement leaves no choice: two scores can only change places."""

RIDGE = 0.1
"""Added to the diagonal of the similarities; prediction is by their ridge regression, nothing is fitted to data."""


def relabelling_p(architectures: np.ndarray, worth: np.ndarray, seed: int = 0, draws: int = DRAWS) -> float:
    """Return the probability that a list renumbered at random, at each position anew, is worth no more than it is.

    `architectures` has shape (count, length); `worth` has one axis per position and one entry per architecture, such as
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


class Follows(NamedTuple):
    """How a reply agrees with the scores as shown, each from -1 (the opposite) to 1, 0 on average under the null.

    `best`: nearer to the architecture shown as best than to the others shown (share of them that are further, less the
    share that are nearer). `trend`: correlation of the scores shown with their weights in the ridge regression that
    predicts the reply's own score from them, less its mean under the null. `close`: how close the reply is to the
    architecture shown as best, less the mean of the others; closeness is 1 for a change of one position and halves with
    each further one, so that replies far from all do not hide the few that are moves from the best. `stay`: the rank of
    the score shown beside the last architecture, from -1 to 1, times how near the reply is to that one, from -1
    (nothing in common) to 1: who goes on after a success and leaves after a failure, or the other way round.
    Arrays where several replies were asked of.
    """

    best: np.ndarray
    trend: np.ndarray
    close: np.ndarray
    stay: np.ndarray


def follows(
    proposal: np.ndarray, shown: np.ndarray, scores: np.ndarray, places: np.ndarray, *, may_stay: bool = False
) -> Follows:
    """Return how `proposal`, shape (..., length), agrees with `scores[places]` beside the architectures `shown`.

    `shown` has shape (..., count, length); `scores` are the architectures' own, shape (..., count), higher is better,
    -inf for one that failed. `places[i]`, same shape, is whose score stands beside architecture i. `may_stay` where
    places were drawn among all permutations, fixed points included. NaN where the draw leaves no choice.
    """
    count = shown.shape[-2]
    if count < (LEAST_SHOWN - may_stay):
        return Follows(*np.full((4, *scores.shape[:-1]), np.nan))
    own = scores.argmax(axis=-1, keepdims=True)
    near = (shown == proposal[..., None, :]).sum(axis=-1)
    stands = (places == own).argmax(axis=-1, keepdims=True)
    best = _ahead(np.sign(np.take_along_axis(near, stands, axis=-1) - near), own, may_stay)
    closeness = 0.5 ** np.maximum(shown.shape[-1] - near - 1, 0)
    close = _ahead(np.take_along_axis(closeness, stands, axis=-1) - closeness, own, may_stay)
    ranks = _midranks(scores)
    share = 2 * near[..., -1] / shown.shape[-1] - 1
    last = _less_expected(np.take_along_axis(ranks, places, axis=-1)[..., -1], ranks[..., -1], count, may_stay)
    return Follows(best, _trend(proposal, shown, ranks, places, may_stay), close, share * last * 2 / (count - 1))


def follows_own(proposals: np.ndarray, scores: np.ndarray) -> Follows:
    """Return how `proposals`, shape (..., count, length), agree with the `scores` of those before them, on average.

    Each architecture from the third on is a reply to those before it, with their own scores. These numbers are not 0 on
    average under the null; those of two arms are alike where neither uses results. NaN where there are too few.
    """
    steps = [
        follows(
            proposals[..., count, :],
            proposals[..., :count, :],
            scores[..., :count],
            np.broadcast_to(np.arange(count), (*scores.shape[:-1], count)),
            may_stay=True,
        )
        for count in range(LEAST_SHOWN - 1, scores.shape[-1])
    ]
    return Follows(*(np.mean(steps, axis=0) if steps else np.full((4, *scores.shape[:-1]), np.nan)))


def _ahead(gaps: np.ndarray, own: np.ndarray, may_stay: bool) -> np.ndarray:
    """Return the mean gap between the architecture shown as best and the others that could have been shown as it."""
    if not may_stay:
        np.put_along_axis(gaps, own, 0, axis=-1)  # the best score never stands there
    mean: np.ndarray = gaps.sum(axis=-1) / (gaps.shape[-1] - 2 + may_stay)
    return mean


def _trend(
    proposal: np.ndarray, shown: np.ndarray, ranks: np.ndarray, places: np.ndarray, may_stay: bool
) -> np.ndarray:
    count = shown.shape[-2]
    similar = _similarity(np.concatenate([shown, proposal[..., None, :]], axis=-2))
    weights = np.linalg.solve(similar[..., :-1, :-1] + RIDGE * np.eye(count), similar[..., :-1, -1:])[..., 0]
    weights -= weights.mean(axis=-1, keepdims=True)
    size = np.linalg.norm(weights, axis=-1) * np.linalg.norm(ranks, axis=-1)
    told, own = ((weights * one).sum(axis=-1) for one in (np.take_along_axis(ranks, places, axis=-1), ranks))
    told = _less_expected(told, own, count, may_stay)
    trend: np.ndarray = told / np.maximum(size, 1e-9) * (size > 1e-9)
    return trend


def _less_expected(told: np.ndarray, own: np.ndarray, count: int, may_stay: bool) -> np.ndarray:
    """Return what was told less its mean under the null, `own` being the same with each score in its own place.

    Ranks sum to 0, and each score stands at each other place alike; at most as large as the largest that can be told.
    """
    return told if may_stay else (told + own / (count - 1)) * (1 - 1 / count)


def _similarity(architectures: np.ndarray) -> np.ndarray:
    """Return the share of equal positions plus twice the product of the shares of each option, (..., count, count)."""
    equal = (architectures[..., :, None, :] == architectures[..., None, :, :]).mean(axis=-1)
    options = np.arange(int(architectures.max()) + 1)
    shares = (architectures[..., None] == options).mean(axis=-2)  # (..., count, options)
    similar: np.ndarray = equal + 2 * shares @ np.swapaxes(shares, -1, -2)
    return similar


def _midranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of the scores, ties shared, less their mean."""
    below = (scores[..., :, None] > scores[..., None, :]).sum(axis=-1)
    equal = (scores[..., :, None] == scores[..., None, :]).sum(axis=-1)
    ranks: np.ndarray = below + (equal - 1) / 2
    return ranks - ranks.mean(axis=-1, keepdims=True)
