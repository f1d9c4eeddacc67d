"""Random search, exactly: the distribution of the best of N architectures drawn without repetition.

Also how many random evaluations a result is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genius_kit.errors import InvalidParameter

TIES = ("mean", "best", "worst")
LONGEST_PRODUCT = 200
"""The largest budget whose probabilities are multiplied out, draw by draw."""


@dataclass(frozen=True)
class RandomSearch:
    """Uniform random search over a table; `scores` holds every architecture's accuracy, shape (size,).

    P(best of N <= s) = C(m_s, N) / C(n, N), where m_s of the n rows score at most s: ties need no breaking.
    """

    scores: np.ndarray

    def distribution(self, budget: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct scores in rising order, and the probability that each is the best of `budget` draws.

        Raises InvalidParameter unless 1 <= budget <= size.
        """
        values, counts = np.unique(self.scores, return_counts=True)
        at_most = self._probability_all_among(np.cumsum(counts), budget)
        return values, np.diff(at_most, prepend=0.0)

    def expected_best(self, budget: int) -> float:
        """Return the mean of the best score among `budget` draws."""
        values, probabilities = self.distribution(budget)
        return float(values @ probabilities)

    def expected_best_rank(self, budget: int, ties: str = "mean") -> float:
        """Return the mean rank of the best draw (1 is best).

        Rows of equal score share a range of ranks: `ties` counts its "mean", its "best" or its "worst" end.
        """
        return float(self._ranks(ties) @ self.distribution(budget)[1])

    def geometric_best_rank(self, budget: int, ties: str = "mean") -> float:
        """Return the geometric mean of the rank of the best draw, `ties` counted as in `expected_best_rank`."""
        return float(np.exp(np.log(self._ranks(ties)) @ self.distribution(budget)[1]))

    def probability_worse(self, best: int, worst: int, budget: int) -> float:
        """Return the probability that the best of `budget` draws ranks below rows with the ranks `best` to `worst`.

        A draw among these rows themselves counts half: an equal one is as often the better as the worse.
        """
        size = self.scores.size
        return float(self._probability_all_among(np.array([size - worst, size - best + 1]), budget).mean())

    def evaluations_for_rank(self, mean_rank: float, ties: str = "mean") -> float:
        """Return how many random evaluations have the expected best rank `mean_rank`.

        A real number, by linear interpolation between whole budgets; 1.0 where one draw does as well. `ties` says
        how `mean_rank` counts rows of equal score, as in `expected_best_rank`. Raises InvalidParameter for a rank
        better than the optimum's.
        """
        size, optimum = self.scores.size, float(self._ranks(ties)[-1])
        if not mean_rank >= optimum:
            raise InvalidParameter(
                f'mean rank {mean_rank} is better than {optimum}, the optimum\'s with ties="{ties}"; '
                "count the ties of both alike"
            )
        if self.expected_best_rank(1, ties) <= mean_rank:
            return 1.0
        few, enough = 1, min(2, size)  # the answer lies between them; doubling keeps the cost that of the answer
        while self.expected_best_rank(enough, ties) > mean_rank:
            few, enough = enough, min(2 * enough, size)
        while enough - few > 1:
            middle = (few + enough) // 2
            if self.expected_best_rank(middle, ties) > mean_rank:
                few = middle
            else:
                enough = middle
        return _between(few, self.expected_best_rank(few, ties), self.expected_best_rank(enough, ties), mean_rank)

    def p_value(self, score: float, budget: int) -> float:
        """Return the probability that the best of `budget` draws scores at least `score`."""
        below = (self.scores < score).sum(keepdims=True)
        return float(1 - self._probability_all_among(below, budget)[0])

    def _ranks(self, ties: str) -> np.ndarray:
        """Return the rank of each distinct score, in rising order of scores."""
        if ties not in TIES:
            raise InvalidParameter(f"ties {ties!r} is not one of {', '.join(TIES)}")
        _, counts = np.unique(self.scores, return_counts=True)
        worst = np.cumsum(counts[::-1])[::-1]
        best = worst - counts + 1
        return {"mean": (best + worst) / 2, "best": best, "worst": worst}[ties]

    def _probability_all_among(self, rows: np.ndarray, budget: int) -> np.ndarray:
        """Return C(rows, budget) / C(size, budget): all draws fall among `rows` given rows, an int array."""
        size = self.scores.size
        if not 1 <= budget <= size:
            raise InvalidParameter(f"budget {budget} is not between 1 and the {size} rows of the table")
        if budget > LONGEST_PRODUCT:
            return self._by_gamma(rows, budget)
        probability = np.ones(rows.shape)
        for drawn in range(budget):
            probability *= np.maximum(rows - drawn, 0) / (size - drawn)
        return probability

    def _by_gamma(self, rows: np.ndarray, budget: int) -> np.ndarray:
        """Return the same from logarithms of the gamma function: as fast for any budget, to about 10 digits."""
        from scipy.special import gammaln

        size, enough = self.scores.size, rows >= budget
        held = np.where(enough, rows, size)
        logarithm = gammaln(held + 1) - gammaln(held - budget + 1) - gammaln(size + 1) + gammaln(size - budget + 1)
        return np.where(enough, np.exp(logarithm), 0.0)


def worth(curve: Sequence[float], mean_rank: float) -> float | None:
    """Return after how many evaluations a measured curve reaches `mean_rank`, None where it never does.

    `curve[i]` is the mean best rank after i + 1 evaluations, 1 being best. A real number, by linear interpolation
    before the first evaluation that is as good; 1.0 where the first one is. Raises InvalidParameter for an empty
    curve or a NaN.
    """
    if not len(curve):
        raise InvalidParameter("the curve is empty; give the mean best rank after each evaluation")
    if any(math.isnan(rank) for rank in [*curve, mean_rank]):
        raise InvalidParameter("a rank is NaN; leave out searches without a result before taking means")
    reached = next((i for i, rank in enumerate(curve) if rank <= mean_rank), None)
    if reached is None:
        return None
    return 1.0 if reached == 0 else _between(reached, curve[reached - 1], curve[reached], mean_rank)


def worth_interval(curves: np.ndarray, mean_rank: float) -> tuple[float, float, float]:
    """Return `worth` of the mean of measured curves with its 95 % interval (value, low, high), infinite if not reached.

    `curves`, shape (searches, evaluations), holds the best rank after each evaluation. The interval is where Student's
    t interval of the mean holds `mean_rank`, which counts as known; NaN for one search. With 3 to 40 random searches
    it holds the exact answer in 91 to 96 % of samples (1,500 simulated), where a bootstrap over searches does in 73 to
    94 %: few ranks are too skewed for it.
    """
    from scipy import stats

    count, mean = len(curves), curves.mean(axis=0)
    value = worth(mean.tolist(), mean_rank) or math.inf
    if count < 2:
        return value, math.nan, math.nan
    half = stats.t.ppf(0.975, count - 1) * curves.std(axis=0, ddof=1) / count**0.5
    low, high = (
        worth(np.minimum.accumulate(end).tolist(), mean_rank) or math.inf for end in (mean - half, mean + half)
    )
    return value, low, high


def _between(few: int, before: float, after: float, wanted: float) -> float:
    """Return where the line from `before` at `few` evaluations to `after` at one more passes `wanted`."""
    return few + float((before - wanted) / (before - after))
