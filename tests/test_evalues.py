"""Evidence that may be looked at after every search: fair odds, errors over all looks, and what it takes to decide."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from genius_kit.stats.evalues import bounded_evidence, confidence_sequence, symmetric_evidence


def test_bets_on_symmetric_values_are_fair() -> None:
    """The mean of the e-value over all signs of some values is exactly 1, whatever the values and the scale."""
    values = np.array([0.3, 2.0, 0.0, 11.0, 0.7])
    for scale in (0.1, 1.0, 7.0):
        won = [np.exp(symmetric_evidence(values * signs, scale)) for signs in product((-1, 1), repeat=values.size)]
        np.testing.assert_allclose(np.mean(won, axis=0), 1)


def test_bets_on_bounded_values_are_fair() -> None:
    """The mean over all outcomes of replies with mean 0 is exactly 1, skewed ones included."""
    outcomes, chances = np.array([-0.25, 1.0]), np.array([0.8, 0.2])
    total = np.zeros(2)
    for draw in product((0, 1), repeat=6):
        replies = outcomes[list(draw)].reshape(2, 3, 1)
        total += chances[list(draw)].prod() * np.exp(bounded_evidence(list(replies)))
    np.testing.assert_allclose(total, 1)


def test_looking_after_every_value_errs_seldom_enough() -> None:
    """Of 2,000 random walks of 160 steps, at most 1 % ever have evidence of 1 in 100, looked at after every step."""
    steps = np.random.default_rng(0).laplace(size=(2_000, 160))
    ever = 0
    for walk in steps:
        bets = np.log(2) - np.logaddexp(0, -2 * np.array([[0.25], [0.5]]) * walk)
        running = np.log([0.25, 0.75] @ np.exp(np.cumsum(bets, axis=1)))
        assert running[-1] == pytest.approx(symmetric_evidence(walk).up)
        ever += running.max() >= np.log(100)
    assert ever <= 0.01 * len(steps)


def test_no_evidence_without_values() -> None:
    """Nothing was bet, nothing is known."""
    assert bounded_evidence([]) == (0, 0)
    assert confidence_sequence(np.array([])) == (-np.inf, np.inf)
    assert confidence_sequence(np.array([0.1, 0.2, 0.3])) == (-np.inf, np.inf)


@pytest.mark.slow
def test_bounds_hold_the_centre_at_every_look() -> None:
    """Bounds of 95 % each, looked at with 10, 20, 40, 80 and 160 values, miss in 5 % of 400 samples at most."""
    draws = np.random.default_rng(1).normal(0.7, 0.9, size=(400, 160))
    missed = np.zeros(2)
    for sample in draws:
        ends = np.array([confidence_sequence(sample[:count]) for count in (10, 20, 40, 80, 160)])
        missed += [(ends[:, 0] > 0.7).any(), (ends[:, 1] < 0.7).any()]
    assert (missed <= 0.05 * len(draws)).all()


def test_bounds_shrink_and_turn_with_the_values() -> None:
    """Forty values allow about three standard errors either way; the bounds of the negatives are the negatives."""
    values = np.random.default_rng(2).normal(0.2, 1, size=40)
    low, high = confidence_sequence(values)
    assert low < values.mean() < high
    assert 2.4 < (high - low) / 2 / (values.std() / 40**0.5) < 3.6
    np.testing.assert_allclose(confidence_sequence(-values), (-high, -low))
