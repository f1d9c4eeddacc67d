"""Does a reply follow the scores that it was shown? Exact by design where the scores were dealt out at random.

In the arm shuffled-feedback each score stands beside an architecture that is not its own, every derangement being as
likely. The null is: what is proposed does not depend on which score stands beside which architecture. Under it the mean
over all derangements of each number returned here is 0, whatever the model and the landscape are, reply by reply.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_SHOWN = 3
"""Architectures shown below which a derangement leaves no choice: two scores can only change places."""

RIDGE = 0.1
"""Added to the diagonal of the similarities; prediction is by their ridge regression, nothing is fitted to data."""


class Follows(NamedTuple):
    """How a reply agrees with the scores as shown, each from -1 (the opposite) to 1, 0 on average under the null.

    `best`: nearer to the architecture shown as best than to the others shown (share of them that are further, less the
    share that are nearer). `trend`: correlation of the scores shown with their weights in the ridge regression that
    predicts the reply's own score from them, less its mean under the null. Arrays where several replies were asked of.
    """

    best: np.ndarray
    trend: np.ndarray


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
        return Follows(*np.full((2, *scores.shape[:-1]), np.nan))
    own = scores.argmax(axis=-1, keepdims=True)
    near = (shown == proposal[..., None, :]).sum(axis=-1)
    ahead = np.sign(np.take_along_axis(near, (places == own).argmax(axis=-1, keepdims=True), axis=-1) - near)
    if not may_stay:
        np.put_along_axis(ahead, own, 0, axis=-1)  # the best score never stands there
    best = ahead.sum(axis=-1) / (count - 2 + may_stay)
    return Follows(best, _trend(proposal, shown, _midranks(scores), places, may_stay))


def _trend(
    proposal: np.ndarray, shown: np.ndarray, ranks: np.ndarray, places: np.ndarray, may_stay: bool
) -> np.ndarray:
    count = shown.shape[-2]
    similar = _similarity(np.concatenate([shown, proposal[..., None, :]], axis=-2))
    weights = np.linalg.solve(similar[..., :-1, :-1] + RIDGE * np.eye(count), similar[..., :-1, -1:])[..., 0]
    weights -= weights.mean(axis=-1, keepdims=True)
    size = np.linalg.norm(weights, axis=-1) * np.linalg.norm(ranks, axis=-1)
    told = (weights * np.take_along_axis(ranks, places, axis=-1)).sum(axis=-1)
    if not may_stay:
        expected = -(weights * ranks).sum(axis=-1) / (count - 1)  # each score stands at each other place alike
        told = (told - expected) * (1 - 1 / count)  # at most 1 in size
    trend: np.ndarray = told / np.maximum(size, 1e-9) * (size > 1e-9)
    return trend


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
