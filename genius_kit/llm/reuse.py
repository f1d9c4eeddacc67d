"""Answers that other runs of a study have paid for already: given again only when asked, and marked.

A run that takes them is no independent sample: two runs that ask the same question get the same answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.journal import chain
from genius_kit.journal.lines import bare, read_event


@dataclass(frozen=True)
class Known:
    """A paid answer: the `call` event, the name of its journal, and the number of its line, from 1."""

    call: dict[str, Any]
    journal: str
    line: int


@dataclass
class _Place:
    """How far a journal was read: bytes, lines, and the request that waits for its answer."""

    offset: int = 0
    lines: int = 0
    request: str | None = None
    known: dict[str, Known] = field(default_factory=dict)


class Answers:
    """The paid answers in the journals of `folder` and of the folders in it, as they are when one is asked for."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidParameter(f"answers are taken from a folder of journals, and {folder} is none")
        self._places: dict[Path, _Place] = {}
        self._lock = threading.Lock()

    def find(self, request: str, asking: Path | None) -> Known | None:
        """Return the first paid answer to a request, by the names of the journals; none of the journal that asks."""
        own = asking.resolve() if asking is not None else None
        with self._lock:
            self._refresh()
            for path in sorted(self._places):
                if path.resolve() != own and request in self._places[path].known:
                    return self._places[path].known[request]
        return None

    def _refresh(self) -> None:
        for path in self.folder.rglob("*.jsonl"):
            place = self._places.setdefault(path, _Place())
            size = path.stat().st_size
            if size < place.offset:
                place = self._places[path] = _Place()
            if size > place.offset:
                self._read(path, place)

    def _read(self, path: Path, place: _Place) -> None:
        """Take in what was added to a journal; a line that is not whole yet, or no event, is left."""
        with path.open("rb") as file:
            file.seek(place.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                place.offset += len(line)
                place.lines += 1
                self._take(line, path, place)

    def _take(self, line: bytes, path: Path, place: _Place) -> None:
        if b'"intent"' not in line[:20] and b'"call"' not in line[:20]:
            return
        try:
            event = bare(read_event(line.rstrip(b"\n")))
        except ValueError:  # damaged: its own run says so when it resumes
            place.request = None
            return
        if event["event"] == "intent":
            place.request = event.get("request")
        elif place.request is not None and "reused" not in event and not chain.is_withheld(event.get("text")):
            name = path.relative_to(self.folder).as_posix()
            place.known.setdefault(place.request, Known(event, name, place.lines))
            place.request = None
