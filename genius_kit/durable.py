"""Writing files so that a crash, a full disk or a failing one leaves the old content or the new, never a mix."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

PRIVATE, SHARED = 0o600, 0o644


def open_for_append(path: Path, private: bool = False) -> int:
    """Return a descriptor of `path` open for appending, created where it does not exist (0600 when `private`)."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), _mode(private))


def append(descriptor: int, content: bytes) -> None:
    """Write `content` at the end of the file and wait until it is on the disk.

    Raises OSError where that fails; the file is then cut back to where it ended before, if the disk lets it.
    """
    end = os.fstat(descriptor).st_size
    try:
        _write(descriptor, content)
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)
        raise


def cut(path: Path, length: int, ending: bytes = b"") -> None:
    """Cut the file after `length` bytes, add `ending`, and wait until that is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, 0, os.SEEK_END)
        _write(descriptor, ending)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: str | Path, content: bytes | str, private: bool = False) -> None:
    """Put a file with `content` at `path` in one step; a file that was there is replaced. Text is UTF-8.

    Raises OSError where the disk refuses; what was there before then still is, and nothing is left beside it.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        try:
            os.fchmod(descriptor, _mode(private) & ~_umask())
            _write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
    settle_folder(path.parent)


def settle_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk, where its file system can say so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _mode(private: bool) -> int:
    return PRIVATE if private else SHARED


def _umask() -> int:
    """Return the umask of this process; reading it means setting it, which `umask(2)` knows no other way to do."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
