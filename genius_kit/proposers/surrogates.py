"""Models of a table from few evaluations: Gaussian processes and Bayesian linear regression over operation choices.

Designs are int arrays of shape (n, positions), targets standardised accuracies of shape (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

NOISE = 0.1
"""Variance of the noise on standardised targets."""
CLIP_IQR = 1.5
"""Targets farther than this many interquartile ranges from their median are brought back to there."""


def one_hot(designs: np.ndarray, options: int) -> np.ndarray:
    """Return the designs as indicators, float of shape (n, positions * options)."""
    import numpy as np

    return np.take(np.eye(options), designs, axis=0).reshape(len(designs), -1)


def option_counts(designs: np.ndarray, options: int) -> np.ndarray:
    """Return how often each option occurs in each design, float of shape (n, options)."""
    import numpy as np

    cells = designs + options * np.arange(len(designs))[:, None]
    return np.bincount(cells.ravel(), minlength=options * len(designs)).reshape(-1, options).astype(float)


def standardise(feedback: np.ndarray, clip: float) -> np.ndarray:
    """Return targets of mean 0 and standard deviation 1, outliers clipped first; zeros where all are equal.

    Outliers are what is more than `clip` interquartile ranges from the median, brought back to there: a network
    that did not train scores far below the rest, and would flatten every other difference.
    """
    import numpy as np

    low, median, high = np.percentile(feedback, (25, 50, 75))
    feedback = np.clip(feedback, median - clip * (high - low), median + clip * (high - low))
    spread = feedback.std()
    return (feedback - feedback.mean()) / spread if spread > 1e-12 else np.zeros(len(feedback))


@dataclass(frozen=True)
class CountsKernel:
    """A fixed kernel that adds four views of a design; nothing is fitted.

    What it is made of, counts x (option counts . option counts) / positions^2; how alike two such lists are,
    composition x exp(-squared distance of the option counts / 8); position by position, linear x matching positions /
    positions; and how near, hamming x exp(-0.4 x differing positions).
    """

    options: int
    counts: float = 2.0
    composition: float = 0.4
    linear: float = 0.5
    hamming: float = 0.5

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the covariances of two sets of designs, (n, positions) and (m, positions), as (n, m)."""
        import numpy as np

        positions = first.shape[1]
        matching = one_hot(first, self.options) @ one_hot(second, self.options).T
        ours, theirs = option_counts(first, self.options), option_counts(second, self.options)
        products = ours @ theirs.T
        apart = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * products
        near = np.exp(-0.4 * (positions - np.arange(positions + 1)))[matching.astype(np.intp)]
        return (
            self.counts * products / positions**2
            + self.composition * np.exp(-apart / 8)
            + self.linear * matching / positions
            + self.hamming * near
        )

    def variances(self, designs: np.ndarray) -> np.ndarray:
        """Return the prior variance of each design, shape (n,)."""
        products = (option_counts(designs, self.options) ** 2).sum(axis=1)
        fixed = self.composition + self.linear + self.hamming
        variances: np.ndarray = self.counts * products / designs.shape[1] ** 2 + fixed
        return variances


def gaussian_process(
    kernel: CountsKernel, designs: np.ndarray, targets: np.ndarray, candidates: np.ndarray, noise: float = NOISE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior mean and standard deviation at `candidates`, two arrays of shape (m,).

    The prior has mean 0; `noise` is the variance of the targets' noise.
    """
    import numpy as np
    from scipy.linalg import cholesky, solve_triangular

    factor = cholesky(kernel(designs, designs) + noise * np.eye(len(designs)), lower=True)
    across = solve_triangular(factor, kernel(designs, candidates), lower=True)  # (n, m)
    mean = solve_triangular(factor, targets, lower=True) @ across
    variance = kernel.variances(candidates) - (across**2).sum(axis=0)
    return mean, np.sqrt(np.maximum(variance, 1e-12))


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expected amount by which each candidate exceeds `best`, shape (m,) (Jones et al., 1998)."""
    import numpy as np
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    improvement: np.ndarray = deviation * (z * ndtr(z) + density)
    return improvement


def thompson_linear(
    designs: np.ndarray,
    targets: np.ndarray,
    candidates: np.ndarray,
    options: int,
    rng: np.random.Generator,
    *,
    noise: float,
    prior: float,
) -> np.ndarray:
    """Return one draw from the posterior of a linear model of one-hot designs, at `candidates`, shape (m,).

    Each weight has prior variance `prior` and the targets noise variance `noise`; an intercept is among the weights.
    """
    import numpy as np
    from scipy.linalg import cholesky, solve_triangular

    features = _with_intercept(one_hot(designs, options))
    precision = features.T @ features / noise + np.eye(features.shape[1]) / prior
    factor = cholesky(precision, lower=True)  # precision = factor factor^T
    half = solve_triangular(factor, features.T @ targets / noise, lower=True)
    weights = solve_triangular(factor.T, half + rng.standard_normal(len(half)), lower=False)
    values: np.ndarray = _with_intercept(one_hot(candidates, options)) @ weights
    return values


def _with_intercept(features: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.column_stack([features, np.ones(len(features))])
