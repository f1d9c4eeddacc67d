"""Archives that are the same bytes for the same content, and that cannot write where they should not when unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.files import is_inside, whole_file, write_whole

MEMBERS_LIMIT = 20_000
MEMBER_LIMIT = 1 << 28
TOTAL_LIMIT = 1 << 30
HEADER_LIMIT = 1 << 16
LINES_LIMIT = 1_000_000
MEMORY_LIMIT = 1 << 26
"""The most members, bytes a member, in all and a header, lines that are read, and bytes that undoing .xz may take.

A small file may hold any number.
"""

XZ = b"\xfd7zXZ\x00"
"""The first bytes of an .xz file."""

_PART = re.compile(r"[A-Za-z0-9_+=,@~][A-Za-z0-9._+=,@~ -]*")
_CHUNK = 1 << 20


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of others into `folder`; raises DataCorrupt, and writes nothing, where a member leaves it.

    Refused are absolute names, "..", links out of the folder, and members that are neither file, folder nor link.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                if not is_inside(folder, member.name):
                    raise tarfile.TarError(f"its member {member.name!r:.120} leads out of the folder")
                tarfile.data_filter(member, os.fspath(folder))
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataCorrupt(f"{archive} cannot be unpacked into {folder}: {error}; fetch it again") from error


def pack(contents: Mapping[str, bytes | Path], target: Path) -> None:
    """Write files by name, sorted, without times, owners and rights: the same content, the same bytes.

    It is a .tar.xz where the target is called one, else a .tar.gz.
    """
    out = io.BytesIO()
    with (
        lzma.LZMAFile(out, "wb") if target.suffix == ".xz" else gzip.GzipFile("", "wb", 9, out, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(contents):
            if not _is_plain(name):
                raise InvalidParameter(f"{name!r} is packed under no such name: letters, digits and . _ - are, and /")
            given = contents[name]
            content = given.read_bytes() if isinstance(given, Path) else given
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    write_whole(target, out.getvalue(), private=True)


def sums(source: Path) -> dict[str, str]:
    """Return the SHA-256 of each member; raises DataCorrupt where the archive is damaged or not safe to unpack."""
    with _told(source):
        return {name: _sum(stream) for name, stream in _members(source)}


def read(source: Path, wanted: str, most: int) -> bytes | None:
    """Return the content of one member, None where there is none of that name; raises DataCorrupt.

    Of a member of more than `most` bytes the beginning is returned.
    """
    with _told(source):
        return next((stream.read(most) for name, stream in _members(source) if name == wanted), None)


def unpack(source: Path, folder: Path) -> None:
    """Write the members of an archive, one that `sums` had nothing against, into a folder; raises DataCorrupt."""
    with _told(source):
        for name, stream in _members(source):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target, private=True) as file:
                shutil.copyfileobj(stream, file, _CHUNK)


def _sum(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of each member in one pass, every one a plain file that stays in its folder."""
    with source.open("rb") as file:
        is_xz = file.read(len(XZ)) == XZ
        file.seek(0)
        stream: Any = _Bounded(_Xz(file) if is_xz else gzip.GzipFile(fileobj=file), source)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            seen: set[str] = set()
            for member in archive:
                problem = _problem(member, seen)
                if problem:
                    raise DataCorrupt(f"{source} is not unpacked: its member {member.name!r:.200} {problem}")
                seen.add(member.name.casefold())
                stream.allow(member.size)
                content = archive.extractfile(member)
                assert content is not None  # a regular file has one
                yield member.name, content
                while content.read(_CHUNK):
                    pass  # to its end, so that what follows is a header
                stream.allow(HEADER_LIMIT)
                archive.members = []  # type: ignore[attr-defined]  # else every header stays in memory
        stream.allow(TOTAL_LIMIT)
        while stream.read(_CHUNK):
            pass  # to its very end, where the length and the sum of all stand


@contextmanager
def _told(source: Path) -> Iterator[None]:
    """Turn what a damaged archive raises while it is read into DataCorrupt."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, ValueError) as error:
        raise DataCorrupt(f"{source} is cut or no .tar.gz or .tar.xz ({error}); get it again") from error


def _problem(member: tarfile.TarInfo, seen: set[str]) -> str | None:
    """Return why a member is not taken, None where it is a plain file with a plain name."""
    if not member.isreg() or member.issparse():
        return "is no plain file: links, devices and folders are not taken"
    if not _is_plain(member.name):
        return "has a name that could lead out of the folder"
    if member.name.casefold() in seen:
        return "is there twice"
    if member.size > MEMBER_LIMIT:
        return f"has {member.size:,} bytes, the most is {MEMBER_LIMIT:,}"
    if len(seen) >= MEMBERS_LIMIT:
        return f"is one too many, the most is {MEMBERS_LIMIT:,}"
    return None


def _is_plain(name: str) -> bool:
    return all(_PART.fullmatch(part) for part in name.split("/"))


class _Xz:
    """What an .xz file holds, undone in at most MEMORY_LIMIT bytes of memory, whatever the file asks for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_LIMIT)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end; raises EOFError or LZMAError for a damaged file."""
        found = b""
        while size and not found and not self._decoder.eof:
            content = self._file.read(_CHUNK) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not content:
                raise EOFError("it ends too early")
            found = self._decoder.decompress(content, size)
        if size and not found and (self._decoder.unused_data or self._file.read(1)):
            raise lzma.LZMAError("more follows its end")
        return found


class _Bounded:
    """A stream of at most TOTAL_LIMIT bytes and LINES_LIMIT lines, and of the next part what was allowed."""

    def __init__(self, stream: gzip.GzipFile | _Xz, source: Path) -> None:
        self._stream, self._source, self._left = stream, source, TOTAL_LIMIT
        self._lines = LINES_LIMIT
        self.allow(HEADER_LIMIT)

    def allow(self, size: int) -> None:
        """Let the next part of the archive have `size` bytes; some more are read ahead."""
        self._allowed = size + 4 * tarfile.RECORDSIZE

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; raises DataCorrupt where the archive holds more than it may."""
        content = self._stream.read(min(size, _CHUNK) if size >= 0 else _CHUNK)
        self._left -= len(content)
        self._lines -= content.count(b"\n")
        self._allowed -= len(content)
        if self._left < 0:
            raise DataCorrupt(f"{self._source} is not unpacked: it holds more than {TOTAL_LIMIT:,} bytes")
        if self._lines < 0:
            raise DataCorrupt(f"{self._source} is not unpacked: it holds more than {LINES_LIMIT:,} lines")
        if self._allowed < 0:
            raise DataCorrupt(f"{self._source} is not unpacked: a header has more than {HEADER_LIMIT:,} bytes")
        return content
