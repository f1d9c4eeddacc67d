"""A disk that fails, fills up or takes the process with it at a chosen call: `os` as `genius_kit.files` sees it.

Only the calls that files.py makes itself are counted: those are the write boundaries of a run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genius_kit import files

COUNTED = ("write", "fsync", "replace", "ftruncate")
KILLS = ("before", "half", "after")
REFUSALS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EROFS": errno.EROFS}


class FaultyDisk:
    """Counts the calls and does `fault` at call number `at`, counted from 1 (never for None).

    "before", "half" and "after" end the process with SIGKILL at that point of the call; only a write has a half, for
    the others it is "before". A name of REFUSALS raises that error, with "+" at the end from then on (except for
    ftruncate: a full disk lets files shrink). "short" writes one byte where it was asked for more, "half-ENOSPC"
    writes half and then refuses the rest. `calls` are the names of what was called.
    """

    def __init__(self, at: int | None = None, fault: str = "before") -> None:
        self.at, self.fault = at, fault
        self.calls: list[str] = []
        self._full = False

    def __getattr__(self, name: str) -> Any:
        if name in COUNTED:
            return lambda *arguments, **named: self._call(name, getattr(os, name), *arguments, **named)
        return getattr(os, name)

    def _call(self, name: str, call: Any, *arguments: Any, **named: Any) -> Any:
        self.calls.append(name)
        if self._full and name != "ftruncate":
            self._refuse(self.fault.removesuffix("+").removeprefix("half-"))
        if len(self.calls) != self.at:
            return call(*arguments, **named)
        if self.fault in KILLS:
            return self._die(name, call, *arguments, **named)
        if self.fault == "short":
            return call(arguments[0], arguments[1][:1]) if name == "write" else call(*arguments, **named)
        self._full = self.fault.endswith("+") or self.fault.startswith("half-")
        if self.fault.startswith("half-") and name == "write" and len(arguments[1]) > 1:
            return call(arguments[0], arguments[1][: len(arguments[1]) // 2])
        return self._refuse(self.fault.removesuffix("+").removeprefix("half-"))

    def _die(self, name: str, call: Any, *arguments: Any, **named: Any) -> None:
        if self.fault == "half" and name == "write":
            call(arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif self.fault == "after":
            call(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    def _refuse(self, name: str) -> None:
        raise OSError(REFUSALS[name], os.strerror(REFUSALS[name]))


@contextlib.contextmanager
def faulty_disk(at: int | None = None, fault: str = "before") -> Iterator[FaultyDisk]:
    """Let files.py write to such a disk."""
    disk = FaultyDisk(at, fault)
    files.os = disk  # type: ignore[attr-defined]
    try:
        yield disk
    finally:
        files.os = os  # type: ignore[attr-defined]


def from_environment() -> None:
    """Put a faulty disk in this process for good, as FAULTY_DISK says: a notebook's kernel calls it.

    FAULTY_DISK is JSON: `at`, `fault`, and `counted`, a file that gets the names of the calls when the process ends.
    """
    import atexit

    told = json.loads(os.environ.get("FAULTY_DISK") or "null")
    if told is None:
        return
    disk = FaultyDisk(told["at"], told["fault"])
    files.os = disk  # type: ignore[attr-defined]
    atexit.register(lambda: Path(told["counted"]).write_text(" ".join(disk.calls)))


def scratch_files(folder: Path) -> list[Path]:
    """Return what interrupted writes have left below a folder."""
    return sorted(path for path in folder.rglob(f".*{files.SUFFIX}"))
