"""How often repeated answers are alike, with intervals that respect that pairs share answers, and tests by relabelling.

The unit is an answer (or a search), never a pair: k answers make k (k - 1) / 2 pairs, which are far from independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genius_kit.errors import InvalidParameter
from genius_kit.stats.paired import permutation_p

RESAMPLES = 4_999
CONFIDENCE = 0.95
_AT_ONCE = 500  # relabellings in memory
_MISS = 1 - CONFIDENCE


@dataclass(frozen=True)
class Match:
    """How often two of `n` answers are alike: `rate` over `pairs` comparisons, with the 95 % interval `low` to `high`.

    Where all or none are alike the interval ends in an exact one-sided bound. NaN stands for what cannot be known.
    """

    n: int
    pairs: int
    rate: float
    low: float
    high: float


def match_rate(alike: np.ndarray, compared: np.ndarray | None = None, seed: int = 0) -> Match:
    """Return how often two answers are alike, and the 95 % interval.

    `alike` is symmetric, shape (k, k): whether answers i and j are alike, or in how many of `compared[i, j]`
    comparisons (by default one per pair). The interval is a bootstrap over answers, by percentiles: whole answers are
    drawn, with all of their pairs, and an answer is never compared with itself.
    """
    alike = np.asarray(alike, dtype=float)
    compared = np.ones_like(alike) if compared is None else np.asarray(compared, dtype=float)
    apart = ~np.eye(len(alike), dtype=bool)
    pairs, agreed = compared[apart].sum() / 2, alike[apart].sum() / 2
    if pairs == 0:
        return Match(len(alike), 0, math.nan, math.nan, math.nan)
    answers = int((np.where(apart, compared, 0).sum(axis=1) > 0).sum())
    if agreed in (0, pairs):
        low, high = (0.0, most_alike(answers)) if agreed == 0 else (least_alike(answers), 1.0)
        return Match(answers, int(pairs), float(agreed / pairs), low, high)
    drawn = resampled_rates(alike, compared, seed)
    low, high = np.nanquantile(drawn, [_MISS / 2, 1 - _MISS / 2])
    return Match(answers, int(pairs), float(agreed / pairs), float(low), float(high))


def resampled_rates(alike: np.ndarray, compared: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the rates of `RESAMPLES` samples of answers drawn with replacement; NaN where one has no pair."""
    count = len(alike)
    apart = 1.0 - np.eye(count)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    agreed = ((weights @ (alike * apart)) * weights).sum(axis=1)
    pairs = ((weights @ (compared * apart)) * weights).sum(axis=1)
    return np.divide(agreed, pairs, out=np.full(RESAMPLES, np.nan), where=pairs > 0)


def least_alike(n: int) -> float:
    """Return the least rate that leaves `n` equal answers a chance of 5 %; they are then taken for independent.

    With shares p of the answers the rate is sum p^2 and the chance sum p^n <= (sum p^2)^(n / 2).
    """
    return _MISS ** (2 / n)


def most_alike(n: int) -> float:
    """Return the greatest rate that leaves no pair alike among n // 2 disjoint, so independent, ones by 5 %."""
    return 1 - _MISS ** (1 / (n // 2))


def other_answer(n: int) -> float:
    """Return the greatest chance of an answer other than the usual one that leaves `n` equal answers 5 %."""
    return 1 - _MISS ** (1 / (n - 1)) if n > 1 else 1.0


def repeats_needed(chance: float) -> int:
    """Return how many equal answers bound the chance of another one below `chance` at 95 %."""
    return 1 + math.ceil(math.log(_MISS) / math.log(1 - chance))


def relabelling_p(distances: np.ndarray, labels: Sequence[Any], seed: int = 0) -> float:
    """Return the p-value of no difference between groups: how often relabelled answers stand as far apart.

    `distances` is symmetric, shape (k, k); the statistic is the mean distance between groups minus that within them.
    Exact where there are at most `RESAMPLES` permutations, else of so many drawn by `seed`; 1.0 where all distances
    are equal. Raises InvalidParameter for fewer than two groups, and groups of one answer only.
    """
    distances, codes = np.asarray(distances, dtype=float), _codes(labels)
    apart = ~np.eye(len(codes), dtype=bool)
    if np.ptp(distances[apart]) == 0:
        return 1.0

    def statistic(relabelled: np.ndarray, axis: int = -1) -> np.ndarray:
        same = (relabelled[..., :, None] == relabelled[..., None, :]) & apart
        total, within = distances[apart].sum(), (distances * same).sum(axis=(-2, -1))
        pairs = same.sum(axis=(-2, -1))
        between: np.ndarray = (total - within) / (apart.sum() - pairs) - within / pairs
        return between

    return _permuted(codes, statistic, seed)


def difference_p(alike: np.ndarray, labels: Sequence[Any], seed: int = 0) -> float:
    """Return the two-sided p-value that two groups of answers are alike within themselves equally often.

    `alike` as `match_rate` takes it. Answers are relabelled, which tests that both groups are drawn alike.
    Raises InvalidParameter for other than two groups.
    """
    alike, codes = np.asarray(alike, dtype=float), _codes(labels)
    if codes.max() != 1:
        raise InvalidParameter(f"the rates of two groups are compared, got {codes.max() + 1} groups")
    apart = 1.0 - np.eye(len(codes))

    def statistic(relabelled: np.ndarray, axis: int = -1) -> np.ndarray:
        rates = []
        for group in (0, 1):
            members = (relabelled == group).astype(float)
            pairs = members[..., :, None] * members[..., None, :] * apart
            rates.append((pairs * alike).sum(axis=(-2, -1)) / pairs.sum(axis=(-2, -1)))
        gap: np.ndarray = np.abs(rates[0] - rates[1])
        return gap

    return _permuted(codes, statistic, seed)


def smallest_relabelling_p(sizes: Sequence[int]) -> float:
    """Return the least p-value that relabelling can give groups of these sizes."""
    arrangements = math.factorial(sum(sizes)) / math.prod(math.factorial(size) for size in sizes)
    alike = math.prod(math.factorial(list(sizes).count(size)) for size in set(sizes))
    return alike / arrangements


def _codes(labels: Sequence[Any]) -> np.ndarray:
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(names) < 2 or np.bincount(codes).max() < 2:
        raise InvalidParameter(f"give at least two groups with pairs, got {len(names)} groups of {len(codes)} answers")
    return codes


def _permuted(codes: np.ndarray, statistic: Any, seed: int) -> float:
    return permutation_p((codes,), statistic, "pairings", seed, RESAMPLES, batch=_AT_ONCE, alternative="greater")


def spearman(first: Any, second: Any) -> float:
    """Return Spearman's rank correlation of two samples of pairs."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second)[0])
