"""Replies that are on record: played back in their order, or given again to a run that asks the same.

A run that is given replies of other runs is no independent sample: two runs that ask the same question get the same
answer, which is marked as reused.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from genius_kit.chat import TOLD_SOMETIMES, Reply, Usage, checked_usage
from genius_kit.errors import InvalidParameter, JournalError, ReplayMismatch
from genius_kit.journal import chain
from genius_kit.journal.lines import bare, open_journal, read_event, read_lines, words_withheld
from genius_kit.records import Message

Pair = tuple[Sequence[Message], Reply]
"""What was sent, and what came back."""


class RecordedTurn(Protocol):
    """A turn of a published conversation: the messages up to the reply, and the reply."""

    @property
    def messages(self) -> Sequence[Message]: ...

    @property
    def reply(self) -> str: ...


class ReplayClient:
    """A client that gives the recorded replies in their order, to any number of threads.

    `strict` raises ReplayMismatch when the messages are not the recorded ones, naming the first that differs, and
    keeps its place; otherwise the reply is given all the same and `mismatches` counts. Nothing is left: ReplayMismatch.
    """

    kind = "replay"
    is_free = True

    def __init__(self, pairs: Iterable[Pair], strict: bool = True, source: str = "recorded pairs") -> None:
        self._pairs = [(tuple(messages), reply) for messages, reply in pairs]
        self._lock = threading.Lock()
        self.strict = strict
        self.source = source
        self.position = 0
        self.mismatches = 0
        self.model = next((reply.model for _, reply in self._pairs if reply.model), "as recorded")

    @classmethod
    def from_journal(cls, path: str | Path, strict: bool = True) -> ReplayClient:
        """Return a client that answers from the `call` events of a journal; a torn last line is left out.

        Raises JournalError when the file cannot be read, another line is damaged, no reply is in it, or the prompts
        or replies were withheld for publication.
        """
        pairs = _recorded_calls(Path(path))
        if not pairs:
            raise JournalError(f"{path} holds no reply of a model, so there is nothing to replay: name another journal")
        return cls(pairs, strict, source=Path(path).name)

    @classmethod
    def from_turns(
        cls, turns: Iterable[RecordedTurn], strict: bool = True, model: str = "gpt-4", source: str = "conversation"
    ) -> ReplayClient:
        """Return a client that answers from the turns of a published conversation, which tells no counts or times."""
        pairs = [(turn.messages, Reply(turn.reply, model, finish_reason="unknown")) for turn in turns]
        return cls(pairs, strict, source)

    def settings(self) -> dict[str, Any]:
        """Return what is replayed: its name, the number of replies and the SHA-256 of the messages and replies."""
        digest = hashlib.sha256()
        for messages, reply in self._pairs:
            digest.update(json.dumps([_plain(messages), reply.text]).encode())
        return {
            "client": self.kind,
            "model": self.model,
            "source": self.source,
            "replies": len(self._pairs),
            "sha256": digest.hexdigest(),
            "strict": self.strict,
        }

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the next recorded reply; `seed` changes nothing. Raises ReplayMismatch."""
        with self._lock:
            if self.position >= len(self._pairs):
                raise ReplayMismatch(
                    f"all {len(self._pairs)} replies of {self.source} were given and one more was asked for: "
                    "use a smaller budget, or a client that can answer"
                )
            recorded, reply = self._pairs[self.position]
            difference = first_difference(recorded, messages)
            if difference and self.strict:
                raise ReplayMismatch(
                    f"call {self.position + 1} of {len(self._pairs)} of {self.source} was recorded for another prompt: "
                    f"{difference}. Use the settings of the recording, or strict=False"
                )
            self.mismatches += bool(difference)
            self.position += 1
            return reply

    def without(self, parameter: str) -> ReplayClient:
        """Return this client: a recording takes no parameters."""
        return self


def first_difference(recorded: Sequence[Message], came: Sequence[Message]) -> str | None:
    """Return where two lists of messages first differ, in words; None when they are equal."""
    for number, (old, new) in enumerate(zip(recorded, came, strict=False), start=1):
        if old["role"] != new["role"]:
            return f"message {number} is of {new['role']!r}, recorded was {old['role']!r}"
        if old["content"] != new["content"]:
            return f"message {number} ({new['role']}) " + _text_difference(old["content"], new["content"])
    if len(recorded) != len(came):
        return f"{len(recorded)} messages were recorded, {len(came)} are sent"
    return None


def _text_difference(old: str, new: str) -> str:
    pairs = enumerate(zip(old, new, strict=False))
    start = next((place for place, (left, right) in pairs if left != right), min(len(old), len(new)))
    window = slice(max(0, start - 20), start + 40)
    return f"differs at character {start}: {old[window]!r} was recorded, {new[window]!r} is sent"


def _plain(messages: Sequence[Message]) -> list[list[str]]:
    return [[message["role"], message["content"]] for message in messages]


def _recorded_calls(path: Path) -> list[Pair]:
    with open_journal(path) as file:
        lines = read_lines(path, file)
    if lines.withheld & {"prompt", "reply"}:
        raise words_withheld(path, lines.withheld, "replayed")
    return [(event["messages"], reply_of(event)) for event in lines.events if event["event"] == "call"]


def reply_of(event: Mapping[str, Any]) -> Reply:
    """Return the reply that a `call` event holds."""
    fields = {name: event[name] for name in ("text", "refusal", *TOLD_SOMETIMES) if name in event}
    usage = {name: count for name, count in event.get("usage", {}).items() if name in Usage.__dataclass_fields__}
    return Reply(
        **fields,
        model=event.get("model"),
        finish_reason=event.get("finish_reason") or "unknown",
        usage=checked_usage(**usage),
        seconds=event.get("seconds") or 0.0,
    )


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
            for path in sorted(path for path, place in self._places.items() if request in place.known):
                if path.resolve() != own:
                    return self._places[path].known[request]
        return None

    def _refresh(self) -> None:
        for path in filter(Path.is_file, self.folder.rglob("*.jsonl")):
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


_SHARED: weakref.WeakValueDictionary[Path, Answers] = weakref.WeakValueDictionary()
_SHARING = threading.Lock()


def answers_in(folder: str | Path) -> Answers:
    """Return the answers in `folder`; the runs of a process that want those of one folder at a time share them."""
    whole = Path(folder).resolve()
    with _SHARING:
        return _SHARED.setdefault(whole, Answers(whole))
