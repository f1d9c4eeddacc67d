"""Shares of samples, such as accuracies over a part of a data set, and the difference of two of them."""

from __future__ import annotations

from genius_kit.errors import InvalidParameter
from genius_kit.stats.ratios import CONFIDENCE, Estimate


def share_of(hits: int, n: int, *, comparisons: int = 1) -> Estimate:
    """Return hits / n with its Wilson interval: 95 %, or 1 - 0.05 / `comparisons` for each of several read together.

    Raises InvalidParameter unless 0 <= hits <= n and n > 0.
    """
    from scipy.stats import binomtest

    if not 0 <= hits <= n or n == 0:
        raise InvalidParameter(f"{hits} of {n} came; a share takes at least one sample, and no more hits than samples")
    level = 1 - (1 - CONFIDENCE) / comparisons
    found = binomtest(hits, n).proportion_ci(confidence_level=level, method="wilson")
    return Estimate(hits / n, float(found.low), float(found.high), neutral=float("nan"))


def share_difference(
    hits: int, n: int, other_hits: int, other_n: int, *, comparisons: int = 1
) -> Estimate:  # fmt: skip
    """Return hits / n - other_hits / other_n with its interval, for independent samples; see `share_of`.

    Source: Newcombe, Statistics in Medicine 1998, method 10 (Wilson's intervals joined). Where both are of the same
    samples it is too wide rather than too narrow, as what is hard for one is mostly hard for the other.
    """
    ours, theirs = share_of(hits, n, comparisons=comparisons), share_of(other_hits, other_n, comparisons=comparisons)
    value = ours.value - theirs.value
    below = ((ours.value - ours.low) ** 2 + (theirs.high - theirs.value) ** 2) ** 0.5
    above = ((ours.high - ours.value) ** 2 + (theirs.value - theirs.low) ** 2) ** 0.5
    return Estimate(value, value - below, value + above, neutral=0.0)
