"""Random search, exactly, against enumeration, simulation and the known anchors."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.catalogue import BENCHMARK_NAMES
from genius_kit.errors import InvalidParameter
from genius_kit.statistics import RandomSearch

ANCHORS = {  # mean best end of the rank of the best of ten
    "nas-bench-macro": 595,
    "channel-bench-resnet": 1480,
    "channel-bench-mobilenet": 1483,
    "nas-bench-201-cifar10": 1420,
    "nas-bench-201-cifar100": 1420,
    "nas-bench-201-imagenet16-120": 1420,
}


def test_equals_enumeration() -> None:
    """On a small table with ties the distribution is what counting every draw gives."""
    scores = np.array([1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 7.0])
    draws = [max(draw) for draw in combinations(scores, 3)]
    values, probabilities = RandomSearch(scores).distribution(3)
    counted = [draws.count(value) / len(draws) for value in values]
    np.testing.assert_allclose(probabilities, counted, atol=1e-14)
    assert RandomSearch(scores).expected_best(3) == pytest.approx(np.mean(draws))
    assert RandomSearch(scores).p_value(3.0, 3) == pytest.approx(np.mean(np.array(draws) >= 3))


def test_mean_rank_of_the_best() -> None:
    """Without ties the mean rank of the best of N is (n + 1) / (N + 1); ties put it between their two ends."""
    assert RandomSearch(np.arange(100.0)).expected_best_rank(10) == pytest.approx(101 / 11)
    tied = RandomSearch(np.arange(100.0) // 4)
    best, mean, worst = (tied.expected_best_rank(10, ties=ties) for ties in ("best", "mean", "worst"))
    assert (mean - best, worst - mean) == (pytest.approx(1.5), pytest.approx(1.5))
    assert best < 101 / 11 < worst


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_anchors(data_home: Path, name: str) -> None:
    """Ten random evaluations have the known exact mean rank on each table."""
    rank = RandomSearch(load_benchmark(name).scores()).expected_best_rank(10, ties="best")
    assert rank == pytest.approx(ANCHORS[name], abs=0.6)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_paper_baseline_by_simulation(data_home: Path, name: str) -> None:
    """The paper's random baseline, 10,000 repetitions of the best of 10, agrees with the exact mean."""
    scores = load_benchmark(name).scores()
    rows = np.random.default_rng(2023).integers(scores.size, size=(10_000, 10))
    best = scores[rows].max(axis=1)
    exact = RandomSearch(scores)
    assert abs(best.mean() - exact.expected_best(10)) < 4 * best.std() / 100
    middle = exact.distribution(10)[0][-50]
    assert np.mean(best >= middle) == pytest.approx(exact.p_value(middle, 10), abs=0.02)


def test_whole_table_finds_the_optimum() -> None:
    """Drawing every row finds the best one for certain; one draw is the mean of the table."""
    search = RandomSearch(np.array([4.0, 1.0, 3.0]))
    assert search.expected_best(3) == 4.0
    assert search.expected_best(1) == pytest.approx(8 / 3)
    assert search.p_value(5.0, 3) == 0.0
    assert search.p_value(1.0, 1) == 1.0


@pytest.mark.parametrize("budget", [0, 4, -1])
def test_impossible_budget_is_refused(budget: int) -> None:
    """A budget outside the table is refused, naming the rows."""
    with pytest.raises(InvalidParameter, match="3 rows"):
        RandomSearch(np.arange(3.0)).expected_best(budget)
    with pytest.raises(InvalidParameter, match="mean, best, worst"):
        RandomSearch(np.arange(3.0)).expected_best_rank(1, ties="median")
