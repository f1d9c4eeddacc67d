"""Random search, exactly, against enumeration, simulation and the known anchors."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES
from genius_kit.benchmarks.tabular import class_rank, regret
from genius_kit.errors import InvalidParameter
from genius_kit.records import RankRange
from genius_kit.spaces.costs import list_space
from genius_kit.stats.random_search import TIES, RandomSearch, worth
from tests.doubles import ToyBenchmark

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


def test_random_search_misses_the_optimum_by_the_mean_over_every_draw() -> None:
    """The expected best of two is the mean of the best of every possible pair; of all rows the optimum."""
    scores = np.array([50.0, 60.0, 60.0, 90.0, 91.0])
    counted = np.mean([max(draw) for draw in combinations(scores, 2)])
    assert RandomSearch(scores).expected_best(2) == pytest.approx(counted)
    assert RandomSearch(scores).expected_best(5) == 91.0


@pytest.mark.parametrize("ties", TIES)
def test_evaluations_for_a_rank_invert_the_expected_rank(ties: str) -> None:
    """Each whole budget is found again from its expected rank, and what lies between two is interpolated."""
    search = RandomSearch(np.random.default_rng(0).integers(40, size=120).astype(float))
    ranks = [search.expected_best_rank(budget, ties) for budget in range(1, 60)]
    for budget, rank in enumerate(ranks, 1):
        assert search.evaluations_for_rank(rank, ties) == pytest.approx(budget, abs=1e-6)
    assert search.evaluations_for_rank(0.25 * ranks[6] + 0.75 * ranks[7], ties) == pytest.approx(7.75)


def test_evaluations_for_a_rank_at_the_ends() -> None:
    """A rank no better than one draw costs one evaluation; the optimum's own rank costs at most the table."""
    search = RandomSearch(np.array([1.0, 2.0, 2.0, 3.0, 5.0, 5.0]))
    assert search.evaluations_for_rank(3.5) == search.evaluations_for_rank(6.0) == 1.0
    assert search.evaluations_for_rank(1.5) == pytest.approx(5.0)  # five of six rows always hold one of the two best
    assert RandomSearch(np.array([7.0])).evaluations_for_rank(1.0) == 1.0


@pytest.mark.parametrize("ties", TIES)
def test_one_draw_is_enough_for_its_own_rank_and_no_better_one(ties: str) -> None:
    """The expected rank of one draw costs one evaluation, a slightly better one costs more, however ties count."""
    search = RandomSearch(np.array([1.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0]))
    one = search.expected_best_rank(1, ties)
    assert search.evaluations_for_rank(one, ties) == 1.0
    assert 1.0 < search.evaluations_for_rank(one - 0.01, ties) < 1.1


@pytest.mark.parametrize("rank", [1.0, 0.0, float("nan")])
def test_a_rank_better_than_the_optimum_is_refused(rank: float) -> None:
    """With two rows tied for best, no search has mean rank 1: the message says which rank is the best."""
    with pytest.raises(InvalidParameter, match=r"better than 1\.5"):
        RandomSearch(np.array([1.0, 5.0, 5.0])).evaluations_for_rank(rank)


def test_ten_calls_in_random_evaluations(data_home: Path) -> None:
    """The paper's mean rank of 32 after ten calls takes about 200 random evaluations, and they have that rank."""
    search = RandomSearch(load_benchmark("nas-bench-macro").scores())
    evaluations = search.evaluations_for_rank(32.0)
    assert search.expected_best_rank(int(evaluations)) >= 32 >= search.expected_best_rank(int(evaluations) + 1)
    assert 190 < evaluations < 220


def test_worth_of_a_rank_on_a_measured_curve() -> None:
    """The first crossing counts, by interpolation; what the curve never reaches is None."""
    curve = [100.0, 50.0, 50.0, 20.0, 30.0, 10.0]
    assert worth(curve, 100.0) == worth(curve, 400.0) == 1.0
    assert worth(curve, 75.0) == 1.5
    assert worth(curve, 50.0) == 2.0
    assert worth(curve, 35.0) == 3.5
    assert worth(curve, 10.0) == 6.0
    assert worth(curve, 9.9) is None


@pytest.mark.parametrize(("curve", "rank"), [([], 3.0), ([2.0, float("nan")], 3.0), ([2.0], float("nan"))])
def test_worth_without_numbers_is_refused(curve: list[float], rank: float) -> None:
    """An empty curve and NaN are refused rather than compared."""
    with pytest.raises(InvalidParameter, match=r"empty|NaN"):
        worth(curve, rank)


def test_regret_of_an_architecture(data_home: Path) -> None:
    """The optimum has none; another lies as far below it as its score says, by the score that was asked for."""
    benchmark = load_benchmark("nas-bench-201-imagenet16-120")
    by_feedback, by_test = (benchmark.optimum(by)[0] for by in ("feedback", "test"))
    assert regret(benchmark, by_feedback) == regret(benchmark, by_test, "test") == 0.0
    assert regret(benchmark, by_feedback, "test") == pytest.approx(47.31111 - 46.20, abs=1e-4)


def test_rank_among_classes_of_nas_bench_macro(data_home: Path) -> None:
    """The two spellings of the optimum count once, every member has its class's rank, there are 3,969 classes."""
    benchmark = load_benchmark("nas-bench-macro")
    first, second = benchmark.optimum()
    assert class_rank(benchmark, first) == class_rank(benchmark, second) == RankRange(1, 1, 3969)
    classes, scores = list_space(benchmark.space).classes, benchmark.scores()
    distinct = np.unique(classes)
    for row in range(0, 6561, 331):
        among = scores[distinct]  # members of a class share one record
        best, worst = 1 + (among > scores[row]).sum(), (among >= scores[row]).sum()
        assert class_rank(benchmark, benchmark.space.at(row)) == RankRange(best, worst, 3969)


def test_rank_among_classes_trained_separately(data_home: Path) -> None:
    """In NAS-Bench-201 a class scores the mean of its members, which all share its rank among 6,466."""
    benchmark = load_benchmark("nas-bench-201-cifar10")
    classes, scores = list_space(benchmark.space).classes, benchmark.scores()
    means = {row: scores[classes == row].mean() for row in np.unique(classes)}
    members = np.flatnonzero(classes == np.bincount(classes).argmax())
    ranks = {class_rank(benchmark, benchmark.space.at(int(row))) for row in members[:5]}
    assert len(ranks) == 1
    (rank,) = ranks
    assert rank is not None
    assert rank.of == 6466
    assert rank.best <= 1 + sum(mean > means[classes[members[0]]] + 1e-9 for mean in means.values()) <= rank.worst


def test_nothing_to_rank_without_a_table() -> None:
    """Regret and class rank are None, like the rank, where not every architecture was scored."""
    benchmark = ToyBenchmark()
    assert regret(benchmark, (0,) * 8) is None
    assert class_rank(benchmark, (0,) * 8) is None


def test_no_regret_by_a_score_that_was_not_recorded(no_data: Path) -> None:
    """The embedded NAS-Bench-201 has no test accuracy: None, while an unknown score is refused."""
    benchmark = load_benchmark("nas-bench-201-cifar10", source="embedded")
    assert regret(benchmark, (3,) * 6, "test") is None
    assert regret(benchmark, (3,) * 6) > 0
    with pytest.raises(InvalidParameter, match="speed"):
        regret(benchmark, (3,) * 6, "speed")


def test_large_budgets_agree_with_the_product() -> None:
    """The two ways to a probability agree to nine digits where both can be taken."""
    scores = np.random.default_rng(0).integers(0, 400, size=3000).astype(float)
    search, rows = RandomSearch(scores), np.array([0, 5, 100, 199, 200, 201, 1500, 2999, 3000])
    product = np.ones(rows.shape)
    for drawn in range(200):
        product *= np.maximum(rows - drawn, 0) / (scores.size - drawn)
    np.testing.assert_allclose(search._by_gamma(rows, 200), product, rtol=1e-9, atol=1e-300)
    assert search.expected_best_rank(scores.size) == search.expected_best_rank(scores.size, "mean") >= 1
