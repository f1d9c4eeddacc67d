"""A recorded run as steps: what was sent, what came back, what was evaluated, and what changed.

A journal is mostly prompts. They are passed over when it is opened and read when their step is asked for, so that a
long run opens as quickly as its few figures allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from genius_kit.errors import JournalError
from genius_kit.journal import Event
from genius_kit.journal.chain import shown
from genius_kit.journal.events import SIDE_EVENTS, check_shape
from genius_kit.journal.lines import bare, damaged, read_event, scan
from genius_kit.proposers.baselines import differing
from genius_kit.records import Message
from genius_kit.spaces import Architecture, SearchSpace, load_space

_CALL = re.compile(rb'\{"event":"call","time":"[^"]*","iteration":(\d+),')
"""How the journal begins the line of a reply: enough to file it without reading the prompt in it."""


@dataclass(frozen=True)
class Change:
    """One position at which a design differs from its parent; `before` and `after` in the words of the space."""

    position: int
    place: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """One iteration of a recorded run.

    `messages` is the prompt that the step's first request sent (empty where no model was asked). `calls` are the
    answered requests for a design in order (those of another purpose are `others`), each with its own `messages` and
    `text`, `replies` their texts; `failures`, `rejections` and `approvals` are the events of those names. `proposal`
    and `evaluation` are None where the run ended before. `parent` is the iteration of the nearest design before (of
    equals the better, then the earlier), None where there is none; `changes` is the difference to it.
    """

    iteration: int
    messages: tuple[Message, ...]
    replies: tuple[str | None, ...]
    calls: tuple[Event, ...]
    failures: tuple[Event, ...]
    rejections: tuple[Event, ...]
    approvals: tuple[Event, ...]
    proposal: Event | None
    evaluation: Event | None
    parent: int | None
    changes: tuple[Change, ...]
    others: tuple[Event, ...] = ()


@dataclass
class _Entries:
    """What is known of one iteration without its replies, and where in the file those are: (start, length)."""

    events: list[Event] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)

    def of(self, name: str) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event["event"] == name)


class RecordedSteps(Sequence[Step]):
    """The steps of one journal, in order; a step is read from the file each time it is asked for."""

    def __init__(self, path: Path, head: Event | None, entries: dict[int, _Entries], reason: str | None) -> None:
        self.path = path
        self.settings: dict[str, Any] = dict((head or {}).get("run", {}))
        self.reason = reason  # why the run ended, None while it has not
        self._entries = entries
        self._iterations = sorted(entries)

    def __len__(self) -> int:
        return len(self._iterations)

    @overload
    def __getitem__(self, index: int) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...

    def __getitem__(self, index: int | slice) -> Step | list[Step]:
        if isinstance(index, slice):
            return [self._step(iteration) for iteration in self._iterations[index]]
        return self._step(self._iterations[index])

    @cached_property
    def space(self) -> SearchSpace:
        """The space of the run; raises JournalError where the record does not name it."""
        if "space" not in self.settings:
            raise JournalError(f"{self.path} does not begin with the settings of a run; restore it from a copy")
        return load_space(self.settings["space"])

    @cached_property
    def evaluations(self) -> list[Event]:
        """Every evaluation of the run, in order: what a curve needs."""
        return [event for iteration in self._iterations for event in self._entries[iteration].of("evaluation")]

    def _step(self, iteration: int) -> Step:
        entries = self._entries[iteration]
        answered = tuple(self._read(entries.calls))
        calls = tuple(call for call in answered if "purpose" not in call)
        proposal = next(iter(entries.of("proposal")), None)
        for event in entries.of("proposal") + entries.of("evaluation"):
            self.space.check(event["architecture"])
        parent = None if proposal is None else self._parent(iteration, tuple(proposal["architecture"]))
        return Step(
            iteration=iteration,
            messages=tuple(calls[0]["messages"]) if calls else (),
            replies=tuple(call["text"] for call in calls),
            calls=calls,
            failures=entries.of("call_failed"),
            rejections=entries.of("rejected"),
            approvals=entries.of("approval"),
            proposal=proposal,
            evaluation=next(iter(entries.of("evaluation")), None),
            parent=None if parent is None else parent["iteration"],
            changes=() if proposal is None or parent is None else self._changes(parent, proposal),
            others=tuple(call for call in answered if "purpose" in call),
        )

    def _read(self, places: list[tuple[int, int]]) -> Iterator[Event]:
        if not places:
            return
        with self.path.open("rb") as file:
            for start, length in places:
                file.seek(start)
                yield _event(file.read(length), f"{self.path}: the reply at byte {start}")

    def _parent(self, iteration: int, architecture: Architecture) -> Event | None:
        def distance(event: Event) -> tuple[int, float]:
            feedback = event["feedback"]
            worse = float("inf") if feedback is None else -feedback
            return differing(architecture, tuple(event["architecture"])), worse

        before = [event for event in self.evaluations if event["iteration"] < iteration]
        return min(before, key=distance, default=None)

    def _changes(self, parent: Event, proposal: Event) -> tuple[Change, ...]:
        pairs = enumerate(zip(parent["architecture"], proposal["architecture"], strict=True))
        return tuple(
            Change(position, self.space.positions[position], self._words(position, old), self._words(position, new))
            for position, (old, new) in pairs
            if old != new
        )

    def _words(self, position: int, option: int) -> str:
        if not self.space.names_operations:
            return f"{self.space.choices[position][option]} channels"
        return self.space.describe(position, option)


def open_run(path: str | Path) -> RecordedSteps:
    """Return the steps of the run recorded at `path`, finished or not; a torn last line is left out.

    "[withheld]" stands in place of words that were taken out. Raises JournalError when there is no such file or a line
    other than the last is damaged; the line of a reply is looked at only when its step is asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}; `genius-kit run` writes them to runs/ by default")
    entries: dict[int, _Entries] = {}
    head: Event | None = None
    last: Event = {}
    with path.open("rb") as file:
        for line in scan(path, file, _skim):
            last = line.event
            head = head or last
            _check(last, path, line.number)
            if "iteration" not in last or last["event"] in SIDE_EVENTS:
                continue
            entry = entries.setdefault(last["iteration"], _Entries())
            if last["event"] == "call":
                entry.calls.append((line.start, len(line.content)))
            else:
                entry.events.append(last)
    return RecordedSteps(path, head, entries, last.get("reason") if last.get("event") == "run_finished" else None)


def _check(event: Event, path: Path, number: int) -> None:
    try:
        check_shape(event)
    except ValueError as error:
        raise damaged(path, number, str(error)) from None


def _skim(line: bytes) -> Event:
    """Return what a line says, of the line of a reply no more than that it is one, and of which iteration."""
    call = _CALL.match(line) if line.endswith(b"}") else None  # a torn one never comes here
    if call:
        return {"event": "call", "iteration": int(call[1]), "messages": [], "text": None}
    return shown(bare(read_event(line)))


def _event(line: bytes, place: str) -> Event:
    try:
        event = read_event(line)
        check_shape(event)
        return shown(bare(event))
    except ValueError as error:
        raise JournalError(f"{place} is damaged ({error}); the file was altered, restore it from a copy") from None
