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
    predicts the reply's own score from them, less its mean under the null.
    """

    best: float
    trend: float


def follows(
    proposal: np.ndarray, shown: np.ndarray, scores: np.ndarray, places: np.ndarray, *, may_stay: bool = False
) -> Follows:
    """Return how `proposal`, shape (length,), agrees with `scores[places]` beside the architectures `shown`.

    `shown` has shape (count, length); `scores` are the architectures' own, shape (count,), higher is better, -inf for
    one that failed. `places[i]` is whose score stands beside architecture i. `may_stay` where places were drawn among
    all permutations, fixed points included. NaN where the draw leaves no choice.
    """
    count = len(shown)
    if count < (LEAST_SHOWN - may_stay):
        return Follows(np.nan, np.nan)
    own = int(np.argmax(scores))
    stands = int(np.flatnonzero(np.asarray(places) == own)[0])
    near = (shown == proposal).sum(axis=1)
    others = near if may_stay else np.delete(near, own)
    best = float(np.sign(near[stands] - others).sum()) / (len(others) - 1)
    return Follows(best, _trend(proposal, shown, _midranks(scores), places, may_stay))


def _trend(proposal: np.ndarray, shown: np.ndarray, ranks: np.ndarray, places: np.ndarray, may_stay: bool) -> float:
    similar = _similarity(np.vstack([shown, proposal]))
    weights = np.linalg.solve(similar[:-1, :-1] + RIDGE * np.eye(len(shown)), similar[:-1, -1])
    weights -= weights.mean()
    size = float(np.linalg.norm(weights) * np.linalg.norm(ranks))
    if size < 1e-9:
        return 0.0
    if may_stay:
        return float(weights @ ranks[places]) / size
    expected = -float(weights @ ranks) / (len(shown) - 1)  # each score stands at each other place alike
    return (float(weights @ ranks[places]) - expected) / size * (1 - 1 / len(shown))  # at most 1 in size


def _similarity(architectures: np.ndarray) -> np.ndarray:
    """Return the share of equal positions plus twice the product of the shares of each option, (count, count)."""
    equal = (architectures[:, None] == architectures[None]).mean(axis=2)
    options = np.arange(int(architectures.max()) + 1)
    shares = (architectures[:, :, None] == options).mean(axis=1)  # (count, options)
    similar: np.ndarray = equal + 2 * shares @ shares.T
    return similar


def _midranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of the scores, ties shared, less their mean."""
    below = (scores[:, None] > scores[None]).sum(axis=1)
    equal = (scores[:, None] == scores[None]).sum(axis=1)
    ranks: np.ndarray = below + (equal - 1) / 2
    return ranks - ranks.mean()
