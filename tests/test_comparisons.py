"""Paired comparisons against hand-made enumerations, known cases and simulated coverage."""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from genius_kit.benchmarks import load_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.stats.paired import compare, holm, holm_of, interval, mean_band, pairs_needed, sign_flip_p, smallest_p
from genius_kit.stats.random_search import RandomSearch


@pytest.fixture(autouse=True)
def _no_warnings():
    """A warning of scipy or numpy fails the test that lets it through."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def enumerated_p(values: np.ndarray) -> float:
    """The two-sided p-value by going through every choice of signs."""
    means = [np.mean(np.array(signs) * values) for signs in product((1, -1), repeat=len(values))]
    above = np.mean(np.array(means) >= values.mean() - 1e-12)
    below = np.mean(np.array(means) <= values.mean() + 1e-12)
    return min(1.0, 2 * min(above, below))


def test_difference_and_ratio() -> None:
    """The difference is of means, the ratio a geometric mean, both inside their intervals, below 1 when first wins."""
    first, second = np.array([1.0, 10.0, 5.0, 8.0, 3.0, 9.0]), np.array([4.0, 20.0, 20.0, 16.0, 9.0, 12.0])
    found = compare(first, second)
    assert found.n == 6
    assert found.mean_difference == pytest.approx((first - second).mean())
    assert found.ratio == pytest.approx(np.prod(first / second) ** (1 / 6))
    assert found.low < found.mean_difference < found.high < 0
    assert found.ratio_low < found.ratio < found.ratio_high < 1


def test_swapping_the_methods_turns_everything_round() -> None:
    """Second against first has the negative difference, the inverse ratio and the same p-value."""
    rng = np.random.default_rng(3)
    first, second = rng.integers(1, 200, 9).astype(float), rng.integers(1, 200, 9).astype(float)
    forth, back = compare(first, second), compare(second, first)
    assert back.mean_difference == -forth.mean_difference
    assert back.ratio == pytest.approx(1 / forth.ratio)
    assert back.p_value == pytest.approx(forth.p_value)
    assert back.ratio_low == pytest.approx(1 / forth.ratio_high, rel=0.05)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_small_samples_have_the_exact_p_value(n: int) -> None:
    """Up to 13 pairs every flip of signs is counted, of logarithms of ratios."""
    rng = np.random.default_rng(n)
    first, second = rng.integers(1, 50, n).astype(float), rng.integers(1, 80, n).astype(float)
    assert compare(first, second).p_value == pytest.approx(enumerated_p(np.log(first / second)))


def test_many_pairs_have_a_sampled_p_value() -> None:
    """Beyond that the flips are drawn: the p-value stays near the normal one and never reaches zero."""
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert sign_flip_p(np.ones(40)) == smallest_p(40) == 2e-4


@pytest.mark.slow
def test_the_p_value_is_below_five_percent_in_five_percent_of_equal_methods() -> None:
    """Two methods without any difference are called different about once in twenty."""
    rng = np.random.default_rng(2)
    found = [sign_flip_p(rng.exponential(1, 12) - rng.exponential(1, 12)) < 0.05 for _ in range(300)]
    assert 0.02 < np.mean(found) < 0.085


def test_equal_pairs() -> None:
    """Methods that agree in every pair differ by 0 with ratio 1, an interval of no width and p 1."""
    found = compare([26.0] * 8, [26.0] * 8)
    assert (found.mean_difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.ratio, found.ratio_low, found.ratio_high, found.p_value) == (1.0, 1.0, 1.0, 1.0)


def test_the_same_gain_in_every_pair() -> None:
    """A constant ratio has an interval of no width and the least p-value that so many pairs can give."""
    found = compare([5.0, 10.0, 20.0, 40.0, 80.0, 160.0], [10.0, 20.0, 40.0, 80.0, 160.0, 320.0])
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.p_value == found.smallest_p == 2 / 64


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Resamples are drawn by the seed alone."""
    first, second = np.arange(1.0, 31.0), np.arange(1.0, 31.0)[::-1]
    assert compare(first, second, seed=4) == compare(first, second, seed=4)
    assert compare(first, second, seed=4) != compare(first, second, seed=5)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, float("nan"), 3.0], [1.0, 2.0, 3.0], "1 of the first ranks are NaN"),
        ([1.0, 2.0, 3.0], [1.0, float("inf"), 3.0], "1 of the second ranks are NaN or infinite"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "got 3 and 2"),
        ([1.0], [2.0], "at least 2"),
        ([], [], "at least 2"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "in one row"),
        ([1.0, 0.0], [1.0, 2.0], "got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(first: list[float], second: list[float], message: str) -> None:
    """NaN, unequal lengths, single pairs and impossible ranks are refused rather than averaged away."""
    with pytest.raises(InvalidParameter, match=message):
        compare(first, second)


def test_interval_of_awkward_samples() -> None:
    """Two values, one outlier among equals, and equal values have finite intervals around the mean, unwarned."""
    for sample in ([1.0, 2.0], [5.0] * 9 + [500.0], [3.0, 3.0, 3.0], [0.1] * 7):
        mean, low, high = interval(sample)
        assert low <= mean + 1e-12
        assert mean <= high + 1e-12
        assert mean == pytest.approx(np.mean(sample))
    with pytest.raises(InvalidParameter, match="run more seeds"):
        interval([4.0])


@pytest.mark.parametrize(("tests", "pairs"), [(1, 6), (2, 7), (3, 7), (4, 8)])
def test_pairs_that_can_reach_significance(tests: int, pairs: int) -> None:
    """Five pairs cannot be significant, six can, and each doubling of the tests asks for one more."""
    assert pairs_needed(tests) == pairs
    assert tests * smallest_p(pairs) < 0.05 <= tests * smallest_p(pairs - 1)


def test_holm() -> None:
    """The least p-value counts all tests, the next one fewer, corrected values never fall, and none passes 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nas-bench-macro", "channel-bench-resnet", "nas-bench-201-cifar10"])
def test_coverage_of_skewed_ranks(data_home: Path, name: str) -> None:
    """The interval of 40 random searches holds the exact mean rank in 85 to 97 % of samples."""
    search, rng = RandomSearch(load_benchmark(name).scores()), np.random.default_rng(1)
    scores, probabilities = search.distribution(10)
    ordered = np.sort(search.scores)
    ranks = (
        ordered.size - (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right") - 1) / 2
    )
    exact = search.expected_best_rank(10)
    assert ranks @ probabilities == pytest.approx(exact)
    held = 0
    for seed in range(200):
        _, low, high = interval(rng.choice(ranks, 40, p=probabilities / probabilities.sum()), seed)
        held += low <= exact <= high
    assert 0.85 <= held / 200 <= 0.97


def test_unknown_p_values_are_no_tests() -> None:
    """By name, Holm's rule counts what is known alone: None and NaN are left out."""
    known = {"a": 0.01, "b": None, "c": 0.04, "d": float("nan")}
    assert holm_of(known) == dict(zip("ac", holm([0.01, 0.04]), strict=True))
    assert holm_of({}) == {}


def test_the_band_of_a_mean_holds_it_and_draws_whole_runs() -> None:
    """Columns are resampled together: the band of a multiple is the multiple of the band; one run has none."""
    values = np.random.default_rng(1).normal(size=(12, 1)) * [1.0, 3.0]
    low, high = mean_band(values)
    assert (low < values.mean(axis=0)).all()
    assert (values.mean(axis=0) < high).all()
    assert high[1] - low[1] == pytest.approx(3 * (high[0] - low[0]))
    assert np.isnan(mean_band(values[:1])).all()
