"""The folder of a report: can it be written, who writes it, and what killed runs have left in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genius_kit import durable
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


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for one report at a time, and clear away what a killed one left."""
    import filelock

    lock = filelock.FileLock(folder / ".report.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InvalidParameter(
            f"another report is being written into {folder}: wait for it, or choose another with `--output FOLDER`"
        ) from None
    try:
        for place in (folder, *folder.glob(f"{GRID}/*/*")):
            _clear_interrupted(place)
        yield
    finally:
        lock.release()


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for a run under way, locked as long as this process lives."""
    import filelock

    with durable.explained(folder):
        held = tempfile.TemporaryDirectory(prefix=_RUNNING, dir=folder, ignore_cleanup_errors=True)
        with held as scratch, filelock.FileLock(Path(scratch) / _LOCK):
            yield Path(scratch)


def _clear_interrupted(folder: Path) -> None:
    """Remove what runs that were killed have left behind in `folder`; those still under way hold a lock."""
    import filelock

    for scratch in folder.glob(f"{_RUNNING}*"):
        lock = filelock.FileLock(scratch / _LOCK, timeout=0)
        if not (scratch / _LOCK).is_file():
            continue
        try:
            with lock:
                shutil.rmtree(scratch, ignore_errors=True)
        except filelock.Timeout:
            continue
