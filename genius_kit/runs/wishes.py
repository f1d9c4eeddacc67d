"""What a person asks of one search, from any thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import Architecture
from genius_kit.runs.control import Asker, Decision, here

if TYPE_CHECKING:
    from genius_kit.runs.gate import Request


class Wishes:
    """Pause, resume, stop, budget and decisions; each method says in words what came of it.

    `changed` guards every attribute. What has to become an event waits in `_notes` until the search writes it.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.paused = False
        self.stopping: str | None = None  # "after" the present iteration, or "now"
        self.asking_since: float | None = None
        self.retry_at: float | None = None
        self._hanging_up = False
        self._notes: deque[tuple[str, dict[str, Any]]] = deque()
        self._pending: Request | None = None
        self._decision: Decision | None = None
        self._news = False

    def begin(self) -> None:
        """Forget the pauses and stops of before; a budget that was asked for and not written yet stays."""
        with self.changed:
            self.paused, self.stopping, self._hanging_up = False, None, False
            self._notes = deque(note for note in self._notes if note[0] == "budget_raised")

    def pause(self, now: bool = False, asker: Asker | None = None, reason: str = "") -> str:
        """Let no further request begin; `now` gives up the call under way."""
        with self.changed:
            if self.stopping is not None:
                return "it is stopping already"
            gives_up = now and self.asking_since is not None and not self._hanging_up
            if self.paused and not gives_up:
                return "it is paused already"
            self.paused, self._hanging_up = True, self._hanging_up or gives_up
            self._tell("paused", asker, reason, **({"now": True} if now else {}))
            return "paused; the call under way was given up" if gives_up else "paused"

    def resume(self, asker: Asker | None = None, reason: str = "") -> str:
        """End a pause."""
        with self.changed:
            if not self.paused:
                return f"it is {'stopping' if self.stopping else 'going on'} already"
            self.paused = False
            self._tell("resumed", asker, reason)
            return "going on"

    def stop(self, now: bool, asker: Asker | None = None, reason: str = "") -> str:
        """End the search; `now` does not wait for the present iteration."""
        with self.changed:
            if self.stopping == "now" or (self.stopping and not now):
                return "it is stopping already"
            self.stopping = "now" if now else "after"
            self._tell("stop_requested", asker, reason, now=now)
            return "stopping now" if now or self.paused else "stopping after the present iteration"

    def raise_budget(self, budget: int, asker: Asker | None = None, reason: str = "") -> None:
        """Let the search make `budget` evaluations in all."""
        with self.changed:
            self._tell("budget_raised", asker, reason, budget=budget)

    def decide(self, decision: Decision) -> None:
        """Decide on the pending proposal."""
        with self.changed:
            if self._pending is None or self._decision is not None:
                raise InvalidParameter("no proposal waits for a decision")
            self._decision = self._pending.check(decision)
            self._tell()

    @property
    def pending(self) -> Architecture | None:
        """The proposal that waits for a decision."""
        waits = self._pending is not None and self._decision is None
        return self._pending.architecture if waits and self._pending is not None else None

    @property
    def budget(self) -> int | None:
        """The budget that was asked for and is not on record yet."""
        asked = [fields["budget"] for name, fields in self._notes if name == "budget_raised"]
        return asked[-1] if asked else None

    @property
    def state(self) -> str:
        """What the search is doing, while it runs: "running", "paused", "awaiting approval" or "stopping"."""
        if self.pending is not None and self.stopping != "now":
            return "awaiting approval"
        return "stopping" if self.stopping else "paused" if self.paused else "running"

    def _tell(self, note: str | None = None, asker: Asker | None = None, reason: str = "", **fields: Any) -> None:
        if note is not None:
            given = {"reason": reason} if reason else {}
            self._notes.append((note, {**fields, **(asker or here("api")).fields(), **given}))
        self._news = True
        self.changed.notify_all()
