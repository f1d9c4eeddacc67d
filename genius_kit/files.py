"""Files: written whole or not at all, appended to safely, locked for one process, kept inside their folder.

A crash, a full disk or a failing one leaves the old content or the new, never a mix: a file is written beside its
place, as `.NAME.XXXXXXXX.part`, and moved there when it is whole on the disk. No reader looks at such a scratch file;
what a killed process left is removed when the same file is next written. Scratch files of processes that live are told
by the lock they hold, so several may write the same file.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, Any

from genius_kit.errors import GeniusKitError, WriteFailed

if TYPE_CHECKING:
    from filelock import BaseFileLock

try:
    import fcntl
except ImportError:  # Windows: what a killed process left there stays
    fcntl = None  # type: ignore[assignment]

PRIVATE, SHARED = 0o600, 0o666  # the umask takes its part away
SUFFIX = ".part"
BUFFER_BYTES = 1 << 20
REFUSALS = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EFBIG})
"""Numbers of the errors with which a disk refuses, as against a file that is not there or a port that is taken."""
_WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
LONGEST_TEXT = 1_000_000
"""The most bytes that are read of a file which a person writes: a study, a prompt, prices, an agent."""
MOST_LISTS, MOST_OBJECTS = 500_000, 200_000
"""Lists and objects of a JSON text that are taken, beside those that a text of its length may have."""
POLL_SECONDS = 0.01  # between two looks at a lock that another process holds


def data_folder() -> Path:
    """Return the folder of data: GENIUS_KIT_DATA, else data/downloads in a checkout, else the user's data folder."""
    override = os.environ.get("GENIUS_KIT_DATA")
    if override:
        return Path(override).expanduser()
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "data" / "downloads"
    import platformdirs

    return platformdirs.user_data_path("genius-kit", appauthor=False)


def output_folder(folder: str) -> str:
    """Return a folder that a notebook names relative to itself, for a kernel that runs beside or above the notebooks.

    Papermill starts the kernel where it is called: where `notebooks` is here, `folder` is meant from there.

    Parameters
    ----------
    folder
        The folder as the notebook names it.
    """
    return os.path.normpath(os.path.join("notebooks", folder)) if os.path.isdir("notebooks") else folder


def is_inside(folder: Path, name: object) -> bool:
    """Return whether `name` is a plain relative path that stays in `folder`, whatever links lie on its way.

    Absolute names of any system, "..", names with signs that no file name has, and what is no text are not.
    """
    if not isinstance(name, str) or not name or any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return False
    forms = (PurePosixPath(name), PureWindowsPath(name))
    if any(form.anchor or ".." in form.parts for form in forms):
        return False
    root = os.path.realpath(folder)
    return os.path.realpath(os.path.join(root, name)).startswith(os.path.join(root, ""))


def hold(path: Path | str, taken: GeniusKitError | None = None, patience: float = -1) -> BaseFileLock:
    """Return the lock of the file at `path`, held until its `release` or the death of this process.

    `patience` is in seconds, -1 for as long as it takes; raises `taken` where another process has it all that time.
    """
    import filelock

    lock = filelock.FileLock(path)
    with explained(path):
        try:
            lock.acquire(timeout=patience, poll_interval=POLL_SECONDS)
        except filelock.Timeout:
            if taken is None:
                raise
            raise taken from None
        except NotImplementedError:
            raise WriteFailed(lockless(path)) from None
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                raise WriteFailed(lockless(path)) from None
            raise
    return lock


def lock_of(path: Path | str) -> Path:
    """Return the lock file of `path`: beside the file itself, whatever link it was named by, and hidden."""
    folder, name = os.path.split(os.path.realpath(path))
    return Path(folder, f".{name}.lock")


def excludes(path: Path | str) -> bool:
    """Return whether the lock of the file at `path`, which this process holds, keeps others out: some lie."""
    if fcntl is None:
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def lockless(path: Path | str) -> str:
    """Return what to tell of a file on whose file system locks do not work."""
    return (
        f"the file system of {path} ({file_system(path)}) keeps no locks, so that two processes could write the same "
        "file: use a folder on another one, such as a local disk. What is there is untouched"
    )


def file_system(path: Path | str) -> str:
    """Return the kind of the file system that a file lies on, and where it is mounted; "unknown" where none tells."""
    place = os.path.join(os.path.realpath(path), "")
    try:
        rows = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    mounted = [(row[1], row[2]) for row in rows if place.startswith(os.path.join(row[1], ""))]
    return "{1} at {0}".format(*max(mounted, key=lambda one: len(one[0]), default=("?", "unknown")))


@contextlib.contextmanager
def locked(path: Path | str, taken: GeniusKitError | None = None, patience: float = -1) -> Iterator[None]:
    """Hold the lock of the file at `path` while the block runs; see `hold`."""
    lock = hold(path, taken, patience)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def open_plain(path: str | os.PathLike[str], most: int) -> Iterator[IO[bytes]]:
    """Open a plain file of at most `most` bytes; a pipe or a device is not waited for.

    Raises OSError, whose `strerror` says why it is not read.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, at most {most:,} are read", os.fspath(path))
        yield file


def read_plain(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a plain file of at most `most` bytes; raises OSError as `open_plain`."""
    with open_plain(path, most) as file:
        return file.read(most)


def read_text(path: str | os.PathLike[str], most: int = LONGEST_TEXT) -> str:
    """Return the text of a plain file that a person wrote; raises OSError as `read_plain`, UnicodeDecodeError."""
    return read_plain(path, most).decode("utf-8")


def is_dense(chunks: Iterable[bytes]) -> bool:
    """Return whether JSON text may hold more lists and objects than are taken: two bytes become sixty in memory."""
    size = lists = objects = 0
    for chunk in chunks:
        size, lists, objects = size + len(chunk), lists + chunk.count(b"["), objects + chunk.count(b"{")
    return lists > MOST_LISTS + size // 10 or objects > MOST_OBJECTS + size // 25


def is_held(path: Path | str) -> bool:
    """Return whether a living process holds the lock of the file at `path`.

    The operating system frees the lock of a process that dies, so a lock file left behind says nothing. Raises OSError
    where nobody can tell.
    """
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)  # which frees it
    return False


def open_for_append(path: Path, private: bool = False) -> int:
    """Return a descriptor of `path` open for appending, created where it does not exist (0600 when `private`)."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), _mode(private))


def append(descriptor: int, content: bytes, settle: bool = True) -> None:
    """Write `content` at the end of the file and, with `settle`, wait until it is on the disk with all before it.

    Raises OSError where that fails; the file is then cut back to where it ended before, if the disk lets it.
    """
    end = os.fstat(descriptor).st_size
    try:
        _write(descriptor, content)
        if settle:
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

    Raises WriteFailed where the disk refuses; what was there before then still is, and nothing is left beside it.
    """
    with whole_file(path, private) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def whole_file(path: str | Path, private: bool = False) -> Iterator[IO[bytes]]:
    """Give a binary file to fill, which takes the place of `path` when the block ends, and not where it raises.

    Raises WriteFailed where the disk refuses, whatever a library in the block makes of it.
    """
    path = Path(path)
    with explained(path):
        descriptor, scratch = _open_scratch(path, private)
        with _Scratch(descriptor) as raw:
            try:
                file = io.BufferedWriter(raw, BUFFER_BYTES)
                yield file
                file.flush()
                os.fsync(descriptor)
                if fcntl is None:
                    raw.close()  # Windows moves no open file; elsewhere it is held until it is in its place
                os.replace(scratch, path)
            except BaseException as error:
                raw.close()
                with contextlib.suppress(OSError):
                    os.unlink(scratch)
                if raw.refusal is not None and isinstance(error, Exception):
                    raise raw.refusal from None
                raise
        settle_folder(path.parent)


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder and those above it where they are not there, and return it; raises WriteFailed."""
    with explained(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a refusal of the system on the way into WriteFailed, which says what is safe and what to do.

    OSErrors without a number are those of libraries (a lock that is taken, say), and pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise WriteFailed(
            f"{path} cannot be written ({error.strerror or error}). What was there before is untouched, and all that "
            "was finished before is safe; make room or correct the folder's rights, then give the same command again: "
            "it goes on from there"
        ) from error


def settle_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk, where its file system can say so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Scratch(io.FileIO):
    """A file that keeps the refusal of the disk, which some libraries replace by words of their own."""

    refusal: OSError | None = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb")

    def write(self, content: Any) -> int:
        try:
            return os.write(self.fileno(), content)
        except OSError as error:
            self.refusal = error
            raise


def _open_scratch(path: Path, private: bool) -> tuple[int, Path]:
    """Return a new scratch file for `path`, held by this process, after those of dead ones are gone."""
    _sweep(path)
    while True:
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(scratch, flags, _mode(private))
        _hold(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, scratch
        os.close(descriptor)  # another process swept it away before it was held


def _sweep(path: Path) -> None:
    """Remove the scratch files for `path` that no living process holds."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}{SUFFIX}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDWR)
            try:
                if _hold(descriptor, wait=False):
                    os.unlink(left)
            finally:
                os.close(descriptor)


def _hold(descriptor: int, wait: bool = True) -> bool:
    """Lock a file until its descriptor is closed; return whether that was done."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or a file system without locks, where nothing is swept away
        return False
    return True


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _mode(private: bool) -> int:
    return PRIVATE if private else SHARED
