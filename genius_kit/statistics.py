"""Random search, exactly: the distribution of the best of N architectures drawn without repetition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np

TIES = ("mean", "best", "worst")


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
        import numpy as np

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
        import numpy as np

        if ties not in TIES:
            raise InvalidParameter(f"ties {ties!r} is not one of {', '.join(TIES)}")
        _, counts = np.unique(self.scores, return_counts=True)
        worst = np.cumsum(counts[::-1])[::-1]
        best = worst - counts + 1
        ranks = {"mean": (best + worst) / 2, "best": best, "worst": worst}[ties]
        return float(ranks @ self.distribution(budget)[1])

    def p_value(self, score: float, budget: int) -> float:
        """Return the probability that the best of `budget` draws scores at least `score`."""
        below = (self.scores < score).sum(keepdims=True)
        return float(1 - self._probability_all_among(below, budget)[0])

    def _probability_all_among(self, rows: np.ndarray, budget: int) -> np.ndarray:
        """Return C(rows, budget) / C(size, budget): all draws fall among `rows` given rows, an int array."""
        import numpy as np

        size = self.scores.size
        if not 1 <= budget <= size:
            raise InvalidParameter(f"budget {budget} is not between 1 and the {size} rows of the table")
        probability = np.ones(rows.shape)
        for drawn in range(budget):
            probability *= np.maximum(rows - drawn, 0) / (size - drawn)
        return probability
