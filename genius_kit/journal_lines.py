"""The lines of a journal: read, checked against their chain, and mended where a crash tore the last one."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from genius_kit import chain, durable
from genius_kit.chain import Event
from genius_kit.errors import JournalError


@dataclass(frozen=True)
class Lines:
    """The sound part of a journal: its events, its length in bytes, and the chain at its end (None if it has none)."""

    events: list[Event]
    length: int
    head: str | None


def read_lines(path: Path, content: bytes, checked: bool = False) -> Lines:
    """Return the sound part of a journal's content, which excludes a torn last line.

    Raises JournalError where any other line is damaged; with `checked`, also where a line is not the one that the
    chain vouches for. The message names the line.
    """
    events: list[Event] = []
    head: str | None = None
    length = 0
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            event = read_event(line)
        except ValueError as error:
            if not any(lines[number:]):
                break
            raise _damaged(path, number, str(error)) from None
        if checked:
            try:
                _check(event, line, head, content, length)
            except ValueError as error:
                raise _damaged(path, number, str(error)) from None
        head = event.get("chain")
        events.append(bare(event))
        length += len(line) + 1
    return Lines(events, length, head)


def _damaged(path: Path, number: int, why: str) -> JournalError:
    return JournalError(
        f"{path}: line {number} is damaged ({why}); the file was altered, restore it from a copy "
        f"(`genius-kit verify {path}` says what can still be trusted)"
    )


def read_event(line: bytes) -> Event:
    """Return the event of a line, chain and salt included; raises ValueError for anything that is not one."""
    if not line:
        raise ValueError("an empty line")
    try:
        event = json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("not an event")
    return event


def bare(event: Event) -> Event:
    """Return an event without what only vouches for it: chain and salts."""
    return {field: value for field, value in event.items() if field not in ("chain", "salt")}


def _check(event: Event, line: bytes, head: str | None, content: bytes, length: int) -> None:
    """Raise ValueError where a line is not the one that follows on the chain `head` of those before it."""
    if "chain" not in event:
        if head is not None:
            raise ValueError("it has no chain, the lines before it have")
        return
    if chain.line(event) != line:
        raise ValueError("it is not written as the kit writes")
    if event["chain"] != chain.link(event, chain.start(content[:length]) if head is None else head):
        raise ValueError("its chain does not follow from the lines before it")


def mend(path: Path) -> Lines:
    """Return the checked lines of a journal that is to go on; a torn last line is moved to `<path>.torn`."""
    content = path.read_bytes()
    lines = read_lines(path, content, checked=True)
    torn = content[lines.length :].strip(b"\n")
    if torn:
        descriptor = durable.open_for_append(Path(f"{path}.torn"), private=True)
        try:
            durable.append(descriptor, torn + b"\n")
        finally:
            os.close(descriptor)
        warnings.warn(
            f"{path}: the last line was torn by a crash; its {len(torn)} bytes were moved to {path}.torn", stacklevel=4
        )
    if lines.length != len(content):
        durable.cut(path, min(lines.length, len(content)), b"\n" if lines.length > len(content) else b"")
    return lines
