"""Effect sizes of samples of searches: what they measure, and that their intervals cover."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from genius_kit.errors import InvalidParameter
from genius_kit.stats import cost_of_gain, interquartile_mean, performance_profile, probability_of_improvement


def test_the_interquartile_mean_leaves_the_outer_quarters_out():
    """Of 1 to 8 the middle four count; each benchmark weighs alike, however many searches it has."""
    assert interquartile_mean([range(1, 9)]).value == pytest.approx(4.5)
    assert interquartile_mean([[1.0] * 4, [3.0] * 40]).value == pytest.approx(2.0)


def test_the_interval_of_the_interquartile_mean_covers():
    """With eight searches on each of three benchmarks it holds the true value in about 95 % of 300 samples."""
    generator = np.random.default_rng(0)
    true = scipy_stats.trim_mean(generator.lognormal(0, 1, 2_000_000), 0.25)
    held = 0
    for seed in range(300):
        found = interquartile_mean([generator.lognormal(0, 1, 8) for _ in range(3)], seed=seed)
        held += found.low < true < found.high
    assert 0.90 <= held / 300 <= 0.98


def test_the_probability_of_improvement_counts_ties_half():
    """By hand: of four pairs one is lower, one is equal."""
    assert probability_of_improvement([[1.0, 3.0]], [[1.0, 2.0]]).value == pytest.approx((0.5 + 1) / 4)
    better = probability_of_improvement([[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]])
    assert (better.value, better.sign) == (1.0, 1)
    assert probability_of_improvement([[1.0, 2.0]], [[1.0, 2.0]]).sign == 0


def test_a_performance_profile_rises_from_none_to_all():
    """The share of searches at or below each threshold, between its two ends."""
    profile = performance_profile([[1.0, 2.0, 3.0, 4.0]], [0, 2, 4])
    assert [one.value for one in profile] == [0, 0.5, 1]
    assert all(one.low <= one.value <= one.high for one in profile)


def test_the_cost_of_a_gain_is_that_of_all_searches_together():
    """3 dollars for 6 points; where a resample may have no gain the price has no upper end."""
    assert cost_of_gain([1.0, 2.0], [2.0, 4.0]).value == pytest.approx(0.5)
    assert cost_of_gain([1.0] * 4, [0.0, 0.0, 0.0, 1.0]).high == float("inf")


@pytest.mark.parametrize(
    ("measure", "arguments", "said"),
    [
        (interquartile_mean, ([[]],), "one finite value"),
        (interquartile_mean, ([[float("nan")]],), "one finite value"),
        (probability_of_improvement, ([[1.0]], [[1.0], [2.0]]), "same benchmarks"),
        (cost_of_gain, ([1.0], [1.0, 2.0]), "one cost and one gain per search"),
        (cost_of_gain, ([1.0, 1.0], [0.0, -1.0]), "nothing was bought"),
    ],
)
def test_samples_that_say_nothing_are_refused(measure, arguments, said):
    """One sentence on what is wrong and what is needed."""
    with pytest.raises(InvalidParameter, match=said):
        measure(*arguments)
