"""Two methods compared by their ranks, seed by seed: difference, ratio, intervals and p-value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from genius_kit.errors import InvalidParameter

RESAMPLES = 9_999  # of the bootstrap, and of the sign flips where there are more of them than this
CONFIDENCE = 0.95
LEAST_PAIRS = 2
_AT_ONCE = 1_000  # resamples in memory
K = TypeVar("K")


@dataclass(frozen=True)
class Comparison:
    """Two paired samples of ranks: 1 is best, so that below 0 and a ratio below 1 the first is better.

    `mean_difference` is first - second with its 95 % interval `low` to `high`; `ratio` is the geometric mean of
    first / second with `ratio_low` to `ratio_high`; `p_value` is two-sided, of no difference in the logarithm;
    `smallest_p` is the least p-value that `n` pairs can give: above 0.05 no result can be significant.
    """

    n: int
    mean_difference: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p_value: float
    smallest_p: float


def compare(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, *, seed: int = 0) -> Comparison:
    """Return the paired comparison of two sequences of ranks; element i of both is the same seed and benchmark.

    The test and the ratio work on the logarithm of ranks: from 20 to 10 counts like from 200 to 100. `seed` draws the
    resamples. Raises InvalidParameter for NaN, ranks that are not positive, unequal lengths, fewer than two pairs.
    """
    ours, theirs = _sample(first, "the first ranks"), _sample(second, "the second ranks")
    if ours.size != theirs.size:
        raise InvalidParameter(
            f"a comparison is paired: give one rank of each for every seed, got {ours.size} and {theirs.size}"
        )
    for ranks in (ours, theirs):
        if ranks.min() <= 0:
            raise InvalidParameter(f"ranks must be positive (1 is the best), got {ranks.min():g}")
    logarithms = np.log(ours / theirs)
    ratio, low, high = (float(np.exp(value)) for value in interval(logarithms, seed))
    tests = {"p_value": sign_flip_p(logarithms, seed), "smallest_p": smallest_p(ours.size)}
    return Comparison(ours.size, *interval(ours - theirs, seed), ratio=ratio, ratio_low=low, ratio_high=high, **tests)


def interval(values: Sequence[float] | np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of one sample and its 95 % bootstrap interval (mean, low, high).

    Bias-corrected and accelerated (BCa), by percentiles where that is undefined; equal values have the width 0. With
    40 random searches, whose ranks are skewed, it holds the exact mean in 93 % of samples (2,000 simulated), not 95 %.
    Raises InvalidParameter for NaN and fewer than two values.
    """
    sample = _sample(values, "the values")
    mean = float(sample.mean())
    if np.ptp(sample) == 0:
        return mean, float(sample[0]), float(sample[0])
    low, high = _bootstrap(sample, "BCa", seed)
    if not np.isfinite([low, high]).all():
        low, high = _bootstrap(sample, "percentile", seed)
    return mean, low, high


def sign_flip_p(values: Sequence[float] | np.ndarray, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean of zero, by flipping the signs of `values`; 1.0 where all are zero.

    Exact up to 13 values (8,192 flips), of 9,999 flips drawn by `seed` beyond.
    Raises InvalidParameter for NaN and fewer than two values.
    """
    sample = _sample(values, "the values")
    if not sample.any():
        return 1.0
    return permutation_p((sample,), np.mean, "samples", seed, batch=_AT_ONCE)


def permutation_p(
    samples: Sequence[np.ndarray],
    statistic: Callable[..., Any],
    kind: str,
    seed: int = 0,
    n_resamples: int = RESAMPLES,
    **more: Any,
) -> float:
    """Return the p-value of scipy's permutation test of one `kind`: exact, or of `n_resamples` drawn by `seed`."""
    from scipy import stats

    found = stats.permutation_test(
        samples, statistic, permutation_type=kind, vectorized=True, n_resamples=n_resamples,
        rng=np.random.default_rng(seed), **more,
    )  # fmt: skip
    return float(min(1.0, found.pvalue))


def mean_band(values: np.ndarray) -> np.ndarray:
    """Return the ends of the 95 % interval of the mean of each column, shape (2, columns); NaN for one run.

    `values` has shape (runs, columns). A bootstrap over whole runs, by percentiles.
    """
    count = len(values)
    if count < 2:
        return np.full((2, values.shape[1]), np.nan)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=2_000) / count
    band: np.ndarray = np.quantile(drawn @ values, (0.025, 0.975), axis=0)
    return band


def smallest_p(n: int) -> float:
    """Return the least two-sided p-value that sign flips of `n` pairs can give."""
    return 2 / 2**n if 2**n <= RESAMPLES else 2 / (RESAMPLES + 1)


def pairs_needed(tests: int = 1, level: float = 0.05) -> int:
    """Return how many pairs can reach significance at all when the least of `tests` p-values is corrected by Holm."""
    return next(n for n in range(LEAST_PAIRS, 64) if tests * smallest_p(n) < level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for being several, by Holm's step-down rule, in the order given."""
    corrected = [1.0] * len(p_values)
    at_least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        at_least = max(at_least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = at_least
    return corrected


def holm_of(p_values: Mapping[K, float | None]) -> dict[K, float]:
    """Return `holm` of the p-values that are known, by name; None and NaN are left out."""
    known = {name: float(p) for name, p in p_values.items() if p is not None and p == p}
    return dict(zip(known, holm(list(known.values())), strict=True))


def _sample(values: Sequence[float] | np.ndarray, what: str) -> np.ndarray:
    """Return the values as a float array; raises InvalidParameter for what no statistic can be taken of."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < LEAST_PAIRS:
        raise InvalidParameter(
            f"{what} are {sample.size} in shape {sample.shape}; at least {LEAST_PAIRS} in one row are needed: run more "
            "seeds"
        )
    if not np.isfinite(sample).all():
        missing = int((~np.isfinite(sample)).sum())
        raise InvalidParameter(
            f"{missing} of {what} are NaN or infinite; leave out searches without a result, in both methods"
        )
    return sample


def _bootstrap(sample: np.ndarray, method: str, seed: int) -> tuple[float, float]:
    """Return the interval of the mean by one method of scipy's, NaN where it is undefined, without its warnings."""
    from scipy import stats

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (sample,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=_AT_ONCE,
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)
