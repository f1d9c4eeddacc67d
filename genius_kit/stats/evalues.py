"""Evidence that may be looked at after every search: e-values and confidence sequences.

An e-value is the money of a gambler who begins with 1 and bets against a null at fair odds: under the null it ever
reaches 1 / level with probability `level` at most, however often it is looked at (Ville's inequality). So a study may
be run again with more seeds until it says something (Grunwald, de Heide and Koolen, JRSS B 2024; Howard et al., Annals
of Statistics 2021). Logarithms are natural.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STAKES = (0.2, 0.5, 0.9)
"""Shares of the money that are bet on a reply, mixed alike."""

STEEPNESS = {0.25: 0.25, 0.5: 0.75}
"""Bets on a symmetric value, in units of 1 / scale, with the share of the money that is on each. A bound from n values
is narrowest with a bet of about sqrt(6 / n): 0.5 for 20 to 40 values, 0.25 for 100 and more."""


class Evidence(NamedTuple):
    """The logarithm of the e-value of a mean above 0 (`up`) and of one below 0 (`down`)."""

    up: float
    down: float


def bounded_evidence(searches: Sequence[np.ndarray]) -> Evidence:
    """Return the evidence that values of mean 0 under the null, each from -1 to 1, are above or below 0.

    Each search has an array (replies, statistics). The values need not be independent nor alike: it is enough that each
    has mean 0 given those before it. Statistics are mixed alike.
    """
    if not searches:
        return Evidence(0.0, 0.0)
    stakes = np.array(STAKES)[:, None, None]
    totals = [sum(np.log1p(sign * stakes * values).sum(axis=1) for values in searches) for sign in (1, -1)]
    return Evidence(*(float(_log_mean(np.ravel(total), axis=0)) for total in totals))


def betting_evidence(values: Sequence[float]) -> np.ndarray:
    """Return the evidence after each of some values of mean 0 under the null given those before, none below -1."""
    bets = np.log1p(np.array(STAKES)[:, None] * np.asarray(values, dtype=float)[None])  # (stakes, values)
    return _log_mean(bets.cumsum(axis=1), axis=0)


def symmetric_evidence(values: np.ndarray, scale: float = 1.0) -> Evidence:
    """Return the evidence that independent `values`, symmetric about 0 under the null, are above or below 0.

    The differences of pairs are symmetric where the two of a pair are exchangeable. `scale` is about their standard
    deviation, known beforehand; another one costs power, never validity. At most 0.69 a value.
    """
    return Evidence(*(_symmetric(sign * np.asarray(values, dtype=float), scale) for sign in (1, -1)))


def _symmetric(values: np.ndarray, scale: float) -> float:
    bets = np.array(list(STEEPNESS))[:, None] / scale
    won = np.log(2) - np.logaddexp(0, -2 * bets * values[None])  # log of exp(b x) / cosh(b x)
    return float(np.logaddexp.reduce(won.sum(axis=1) + np.log(list(STEEPNESS.values()))))


def confidence_sequence(values: np.ndarray, scale: float = 1.0, level: float = 0.05) -> tuple[float, float]:
    """Return the bounds (low, high) of the centre of independent, symmetric `values`.

    Each bound fails with probability `level` at most over all the times at which it is looked at. Infinite while there
    are too few values: 5 at a level of 0.05.
    """
    values = np.asarray(values, dtype=float)
    return _bound(values, scale, level), -_bound(-values, scale, level)


def _bound(values: np.ndarray, scale: float, level: float) -> float:
    """Return the largest centre that is refuted from above: the evidence for `values - centre` > 0 falls in centre."""
    wanted = -np.log(level)
    if not len(values) or len(values) * np.log(2) <= wanted:
        return -np.inf
    low, high = float(values.min()) - 100 * scale, float(values.max())
    if _symmetric(values - low, scale) < wanted:
        return -np.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _symmetric(values - middle, scale) >= wanted else (low, middle)
    return low


def _log_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the logarithm of the mean of exp(values)."""
    mean: np.ndarray = np.logaddexp.reduce(values, axis=axis) - np.log(values.shape[axis])
    return mean
