"""The folder of a report: can it be written, who writes it, and what killed runs have left in it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from genius_kit import files
from genius_kit.errors import InvalidParameter

GRID = "grid"
"""The folder of a report that holds the runs of a grid, as `grid/NOTEBOOK/PARAMETERS`."""

_RUNNING = ".running-"
_LOCK = "running.lock"


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
        held = tempfile.TemporaryDirectory(prefix=_RUNNING, dir=folder, ignore_cleanup_errors=True)
        with held as scratch, files.locked(Path(scratch) / _LOCK):
            yield Path(scratch)


def _clear_interrupted(folder: Path) -> None:
    """Remove what runs that were killed have left behind in `folder`; those still under way hold a lock."""
    for scratch in folder.glob(f"{_RUNNING}*"):
        if (scratch / _LOCK).is_file():
            with contextlib.suppress(TimeoutError), files.locked(scratch / _LOCK, patience=0):
                shutil.rmtree(scratch, ignore_errors=True)
