"""The lines of a journal: read, checked against their chain, and mended where a crash tore the last one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from genius_kit import files
from genius_kit.errors import JournalError
from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.events import check_shape

LONGEST_JOURNAL, MOST_LINES = 1 << 30, 200_000
"""The most bytes and lines of a journal that are read: files of others may hold any number."""

MOST_KEYS = 100_000
"""Fields of a line that are read, beside the colons that a text of its length may have."""


@dataclass(frozen=True)
class Lines:
    """The sound part of a journal: its events, its length in bytes, and the chain at its end (None if it has none).

    `withheld` says whose words were taken out of it, see `chain.withhold`.
    """

    events: list[Event]
    length: int
    head: str | None
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Line:
    """One line of a journal as it stands in the file, counted from 1, without its end, and what was read in it."""

    number: int
    start: int
    content: bytes
    event: Event


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[IO[bytes]]:
    """Open a journal to read it; raises JournalError for what is none, by its kind or its size."""
    try:
        with files.open_plain(path, LONGEST_JOURNAL) as file:
            is_long = os.fstat(file.fileno()).st_size > files.MOST_OBJECTS  # else it has no room for too many
            if is_long and files.is_dense(iter(lambda: file.read(files.BUFFER_BYTES), b"")):
                raise JournalError(f"{path} is no journal that can be read: it holds too many lists and objects")
            file.seek(0)
            yield file
    except FileNotFoundError:
        raise JournalError(f"there is no journal at {path}; `genius-kit run` writes them to runs/ by default") from None
    except OSError as error:
        raise JournalError(f"no journal can be read at {path} ({error.strerror}): check the name") from error


def read_content(path: Path) -> bytes:
    """Return the bytes of a journal; raises JournalError as `open_journal`, and for too many lines."""
    with open_journal(path) as file:
        content = file.read()
    if content.count(b"\n") > MOST_LINES:
        raise JournalError(f"{path} is no journal that can be read: it has more than {MOST_LINES:,} lines")
    return content


def scan(path: Path, file: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a journal, open as `file`, one by one, without a torn last line, which is what a crash leaves.

    Raises JournalError, which names the line, at any other that is damaged: the last one too where it has its end, as a
    crash writes that last.
    """
    start = 0
    for number, ended in enumerate(file, start=1):
        if number > MOST_LINES:
            raise JournalError(f"{path} is no journal that can be read: it has more than {MOST_LINES:,} lines")
        line = ended.removesuffix(b"\n")
        has_end = len(line) < len(ended)
        try:
            event = read_event(line)
        except ValueError as error:
            if not has_end:
                return
            raise damaged(path, number, str(error)) from None
        yield Line(number, start, line, event)
        start += len(ended)


def read_lines(path: Path, file: Iterable[bytes], checked: bool = False) -> Lines:
    """Return the sound part of a journal, open as `file`, which excludes a torn last line.

    Raises JournalError where any other line is damaged; with `checked`, also where a line is not the one that the
    chain vouches for. The message names the line.
    """
    events: list[Event] = []
    withheld: set[str] = set()
    head: str | None = None
    before = hashlib.sha256()  # of the lines of the first format, which have no chain
    length = 0
    for line in scan(path, file):
        try:
            check_shape(line.event, resumed=checked)
            if checked:
                check(line, head, before.hexdigest())
        except ValueError as error:
            raise damaged(path, line.number, str(error)) from None
        head = line.event.pop("chain", None)
        line.event.pop("salt", None)
        if head is None:
            before.update(line.content + b"\n")
        if line.event["event"] in chain.WORDS:
            withheld |= chain.withheld(line.event)
        events.append(line.event)
        length = line.start + len(line.content) + 1
    return Lines(events, length, head, frozenset(withheld))


def check(line: Line, head: str | None, before: str) -> None:
    """Raise ValueError where a line is not the one that follows on the chain `head` of the lines before it.

    `before` is what the first line with a chain follows on, see `chain.start`.
    """
    if "chain" not in line.event:
        if head is not None:
            raise ValueError("it has no chain, the lines before it have")
        if line.event["event"] == "run_started" and line.event.get("format", 1) != 1:
            raise ValueError("it has no chain, which its format has")
        return
    published = chain.check_form(line.event, line.content)
    if line.event["chain"] != chain.joined(before if head is None else head, published):
        raise ValueError("its chain does not follow from the lines before it")


def damaged(path: Path, number: int, why: str) -> JournalError:
    """Return the error that says which line of a journal is damaged, and why."""
    return JournalError(
        f"{path}: line {number} is damaged ({why}); the file was altered, restore it from a copy "
        f"(`genius-kit verify {path}` says what can still be trusted)"
    )


def words_withheld(path: Path, whose: Iterable[str], wanted: str) -> JournalError:
    """Return the error for a copy whose words were withheld, where they are needed: it cannot be `wanted`."""
    told = {"prompt": "prompts", "reply": "replies", "person": "a person's words"}
    taken = " and ".join(told[word] for word in sorted(whose, key=list(told).index))
    return JournalError(
        f"{path} cannot be {wanted}: it is a copy for publication, {taken} were withheld from it. Its figures and "
        "`genius-kit verify` work; ask whoever holds the original"
    )


def read_event(line: bytes) -> Event:
    """Return the event of a line, chain and salt included; raises ValueError for anything that is not one."""
    if not line:
        raise ValueError("an empty line")
    if line.count(b":") > MOST_KEYS + len(line) // 25:
        raise ValueError("it holds more fields than a line of a journal has")
    try:
        event = from_json(line)  # quicker, and names and short words are kept once
    except ValueError:
        event = _read_slowly(line)
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("not an event")
    return event


def _read_slowly(line: bytes) -> object:
    """Return what a line says that the quick reader refuses (half a surrogate pair, say); raises ValueError."""
    try:
        return json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def bare(event: Event) -> Event:
    """Return an event without what only vouches for it: chain and salts."""
    return {field: value for field, value in event.items() if field not in ("chain", "salt")}


def _refuse_later(path: Path, content: bytes) -> None:
    """Raise JournalError for a journal of a later format, whose lines this version cannot go on with."""
    try:
        written = read_event(content.partition(b"\n")[0]).get("format", 1)
    except ValueError:  # told with its line
        return
    if isinstance(written, int) and written > chain.FORMAT:
        raise JournalError(
            f"{path} is a journal of format {written}, and this version of the kit writes format {chain.FORMAT}: go on "
            "with the version that began it"
        )


def mend(path: Path) -> Lines:
    """Return the checked lines of a journal that is to go on; a torn last line is moved to `<path>.torn`.

    Raises JournalError, and changes nothing, where a line is damaged or words were withheld.
    """
    content = read_content(path)
    _refuse_later(path, content)
    lines = read_lines(path, io.BytesIO(content), checked=True)
    if lines.withheld:
        raise words_withheld(path, lines.withheld, "resumed")
    torn = content[lines.length :].strip(b"\n")
    if torn:
        descriptor = files.open_for_append(Path(f"{path}.torn"), private=True)
        try:
            files.append(descriptor, torn + b"\n")
        finally:
            os.close(descriptor)
        warnings.warn(
            f"{path}: the last line was torn by a crash; its {len(torn)} bytes were moved to {path}.torn", stacklevel=4
        )
    if lines.length != len(content):
        files.cut(path, min(lines.length, len(content)), b"\n" if lines.length > len(content) else b"")
    return lines
