"""Effect sizes of whole samples of searches: interquartile mean, probability of improvement, profiles, cost of a gain.

Samples are lists with one array per stratum (a benchmark), one value per search, less being better; strata weigh alike.
Intervals are percentile bootstraps of searches within their stratum, after Agarwal et al., NeurIPS 2021
(arXiv:2108.13264): with 8 or 20 searches in each of three strata they hold the interquartile mean of log-normal regrets
in 94 % of samples (1,000 simulated).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genius_kit.errors import InvalidParameter
from genius_kit.stats.ratios import CONFIDENCE, Estimate

RESAMPLES = 4_000
Strata = Sequence[Sequence[float]]


def interquartile_mean(strata: Strata, seed: int = 0) -> Estimate:
    """Return the mean of the middle half of all values, each stratum weighted alike, with its 95 % interval.

    Parameters
    ----------
    strata
        One sequence of values per stratum, such as the searches of one benchmark.
    seed
        Seed of the bootstrap.
    """
    from scipy import stats

    def measure(parts: list[np.ndarray]) -> Any:
        return sum(stats.trim_mean(part, 0.25, axis=-1) for part in parts) / len(parts)

    return _estimate(measure, [_arrays(strata)], seed, neutral=float("nan"))


def probability_of_improvement(first: Strata, second: Strata, seed: int = 0) -> Estimate:
    """Return the probability that a search of `first` ends lower than one of `second`, ties counted half.

    It is the mean over strata; 0.5 is no difference.

    Parameters
    ----------
    first, second
        One sequence of values per stratum, the same strata in both.
    seed
        Seed of the bootstrap.

    Raises
    ------
    InvalidParameter
        The two have another number of strata.
    """
    if len(first) != len(second):
        raise InvalidParameter(f"give the same benchmarks for both, got {len(first)} strata and {len(second)}")

    def measure(parts: list[np.ndarray]) -> Any:
        ours, theirs = parts[: len(first)], parts[len(first) :]
        signs = [
            np.sign(b[..., None, :] - a[..., :, None]).mean(axis=(-2, -1)) for a, b in zip(ours, theirs, strict=True)
        ]
        return (1 + sum(signs) / len(signs)) / 2

    return _estimate(measure, [_arrays(first), _arrays(second)], seed, neutral=0.5)


def performance_profile(strata: Strata, thresholds: Sequence[float], seed: int = 0) -> list[Estimate]:
    """Return for each threshold the share of searches that end at or below it, with pointwise 95 % intervals.

    Parameters
    ----------
    strata
        One sequence of values per stratum, such as the searches of one benchmark.
    thresholds
        In the unit of the values.
    seed
        Seed of the bootstrap.
    """

    def measure(parts: list[np.ndarray]) -> Any:
        limits = np.asarray(thresholds, dtype=np.float64)
        return sum((part[..., None, :] <= limits[:, None]).mean(axis=-1) for part in parts) / len(parts)

    groups = [_arrays(strata)]
    values, low, high = _measured(measure, groups, seed)
    rows = zip(values, low, high, strict=True)
    return [Estimate(float(value), float(below), float(above), float("nan")) for value, below, above in rows]


def cost_of_gain(costs: Sequence[float], gains: Sequence[float], seed: int = 0) -> Estimate:
    """Return what one unit of gain costs: the sum of `costs` over the sum of `gains`.

    The ends of the interval are infinite where a resampled gain is none: no price can be told.

    Parameters
    ----------
    costs
        Tokens or dollars, one per search.
    gains
        By how much each search lowered the regret of its first evaluation.
    seed
        Seed of the bootstrap.

    Raises
    ------
    InvalidParameter
        There is no gain at all.
    """
    (spent,), (gained,) = _arrays([costs]), _arrays([gains])
    if spent.size != gained.size:
        raise InvalidParameter(f"give one cost and one gain per search, got {spent.size} and {gained.size}")
    if not gained.sum() > 0:
        raise InvalidParameter(
            f"the searches gain {gained.sum():g} together; nothing was bought that could have a price"
        )
    drawn = np.random.default_rng(seed).integers(spent.size, size=(RESAMPLES, spent.size))
    bought = gained[drawn].sum(axis=-1)
    prices = np.where(bought > 0, spent[drawn].sum(axis=-1) / np.where(bought > 0, bought, 1), np.inf)
    low, high = _ends(prices)
    return Estimate(float(spent.sum() / gained.sum()), float(low), float(high), neutral=float("nan"))


def _arrays(strata: Strata) -> list[np.ndarray]:
    found = [np.asarray(part, dtype=np.float64) for part in strata]
    if not found or any(part.ndim != 1 or part.size == 0 or not np.isfinite(part).all() for part in found):
        raise InvalidParameter("each benchmark needs one finite value per search; leave out searches without a result")
    return found


def _estimate(measure: Callable[..., Any], groups: list[list[np.ndarray]], seed: int, neutral: float) -> Estimate:
    value, low, high = _measured(measure, groups, seed)
    return Estimate(float(value), float(low), float(high), neutral)


def _measured(measure: Callable[..., Any], groups: list[list[np.ndarray]], seed: int) -> tuple[Any, Any, Any]:
    """Return the measure of the samples and the ends of its interval over resampled searches."""
    generator = np.random.default_rng(seed)
    parts = [part for group in groups for part in group]
    drawn = [part[generator.integers(part.size, size=(RESAMPLES, part.size))] for part in parts]
    return (measure(parts), *_ends(measure(drawn)))


def _ends(resampled: np.ndarray) -> tuple[Any, Any]:
    tail = 50 * (1 - CONFIDENCE)
    return tuple(np.percentile(resampled, [tail, 100 - tail], axis=0, method="nearest"))
