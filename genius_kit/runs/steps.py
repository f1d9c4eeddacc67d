"""A recorded run as steps: what was sent, what came back, what was evaluated, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from genius_kit.errors import JournalError
from genius_kit.journal import Event, Run, read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.proposers.baselines import differing
from genius_kit.records import Message
from genius_kit.spaces import Architecture, SearchSpace, recorded_space


@dataclass(frozen=True)
class Change:
    """One position at which an architecture differs from its parent; `before` and `after` in the words of the space."""

    position: int
    place: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """One iteration of a recorded run.

    `messages` is the prompt that the step's first request sent (empty where no model was asked). `calls` are the
    answered requests for an architecture in order (those of another purpose are `others`), each with its own `messages`
    and `text`, `replies` their texts; `failures`, `rejections` and `approvals` are the events of those names.
    `proposal` and `evaluation` are None where the run ended before. `parent` is the iteration of the nearest
    architecture before (of equals the better, then the earlier), None where there is none; `changes` is the difference
    to it. `events` are all of the step, in order.
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
    events: tuple[Event, ...] = ()


class RecordedSteps(Sequence[Step]):
    """The steps of one run, in order; each is made when it is asked for."""

    def __init__(self, run: Run) -> None:
        self.path, self.settings, self.reason = run.path, run.settings, run.reason
        self.evaluations: list[Event] = []
        self._events: dict[int, list[Event]] = {}
        self.extend(run.events)

    def extend(self, events: Iterable[Event]) -> None:
        """Take the next events of the run."""
        for event in events:
            if event["event"] == "evaluation":
                self.evaluations.append(event)
            if "iteration" in event and event["event"] not in SIDE_EVENTS:
                self._events.setdefault(event["iteration"], []).append(event)
        self._iterations = sorted(self._events)

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
        return recorded_space(self.settings)

    def _step(self, iteration: int) -> Step:
        found: dict[str, tuple[Event, ...]] = {}
        for event in self._events[iteration]:
            found[event["event"]] = (*found.get(event["event"], ()), event)
        calls = tuple(call for call in found.get("call", ()) if "purpose" not in call)
        for event in (*found.get("proposal", ()), *found.get("evaluation", ())):
            self.space.check(event["architecture"])
        proposal = next(iter(found.get("proposal", ())), None)
        parent = None if proposal is None else self._parent(iteration, tuple(proposal["architecture"]))
        return Step(
            iteration=iteration,
            messages=tuple(calls[0]["messages"]) if calls else (),
            replies=tuple(call["text"] for call in calls),
            calls=calls,
            failures=found.get("call_failed", ()),
            rejections=found.get("rejected", ()),
            approvals=found.get("approval", ()),
            proposal=proposal,
            evaluation=next(iter(found.get("evaluation", ())), None),
            parent=None if parent is None else parent["iteration"],
            changes=() if proposal is None or parent is None else self._changes(parent, proposal),
            others=tuple(call for call in found.get("call", ()) if "purpose" in call),
            events=tuple(self._events[iteration]),
        )

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
    """Return the steps of the run recorded at `path`, finished or not; raises JournalError as `read_run` does."""
    return RecordedSteps(read_run(path))
