"""The steering of a search in a thread: what a person asks for from outside, and how the search waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.records import Message
from genius_kit.spaces import Architecture
from genius_kit.steering import DECISIONS, Decision, Steering, Stopped

if TYPE_CHECKING:
    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal import Journal
    from genius_kit.proposers import Situation, Suggestion


@dataclass(frozen=True)
class Pending:
    """A proposal that waits for a person."""

    situation: Situation
    architecture: Architecture

    def decided(self, decision: str, architecture: Sequence[int] | str | None, reason: str) -> Decision:
        """Return the decision; raises InvalidParameter or InvalidArchitecture where it cannot be taken."""
        if decision not in DECISIONS:
            raise InvalidParameter(f"the decision is {decision!r}; it is one of {', '.join(DECISIONS)}")
        if decision != "edit":
            if architecture is not None:
                raise InvalidParameter(f"{decision} takes no architecture; to evaluate another one, use 'edit'")
            return Decision(decision, self.architecture, reason)
        if architecture is None:
            raise InvalidParameter("edit needs the architecture that is to be evaluated in place of the proposal")
        space = self.situation.benchmark.space
        edited = space.decode(architecture) if isinstance(architecture, str) else space.check(architecture)
        refusal = replace(self.situation, turned_down={}).refusal(edited)
        if refusal is not None:
            raise InvalidParameter(f"the edited design cannot be evaluated: {refusal.detail}")
        return Decision(decision, edited, reason)


class Call:
    """One request in a thread of its own, so that nobody has to wait for its reply."""

    def __init__(self, send: Callable[[], Reply], changed: threading.Condition) -> None:
        self.done = False
        self._send, self._changed = send, changed
        self._reply: Reply | None = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="genius-kit-call", daemon=True)

    def start(self) -> None:
        """Send the request."""
        self.thread.start()

    def _run(self) -> None:
        try:
            self._reply = self._send()
        except BaseException as error:  # raised again where the reply is waited for
            self._error = error
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def result(self) -> Reply:
        """Return the reply, or raise what the request raised."""
        if self._error is not None:
            raise self._error
        assert self._reply is not None
        return self._reply


class Control(Steering):
    """What a person asks of one search, from any thread; `announce` is called in the search's thread on a change.

    `changed` guards every attribute. Requests that are events wait in `_notes` until the search may write them:
    before a step, before a request, in a pause, and while a proposal waits; never between a request and its reply.
    """

    def __init__(self, approve: bool, announce: Callable[[], None]) -> None:
        self.changed = threading.Condition()
        self.approve = approve
        self.paused = False
        self.stopping: str | None = None  # "after" the present iteration, or "now"
        self.asking_since: float | None = None
        self.retry_at: float | None = None
        self._announce = announce
        self._notes: deque[tuple[str, dict[str, Any]]] = deque()
        self._pending: Pending | None = None
        self._decision: Decision | None = None
        self._news = False

    # what a person does, from any thread

    def begin(self) -> None:
        """Forget the pauses and stops of before; a budget that was asked for and not written yet stays."""
        with self.changed:
            self.paused, self.stopping = False, None
            self._notes = deque(note for note in self._notes if note[0] == "budget_raised")

    def pause(self) -> None:
        """Let no further request begin."""
        with self.changed:
            if not self.paused and self.stopping is None:
                self.paused = True
                self._tell("paused")

    def resume(self) -> None:
        """End a pause."""
        with self.changed:
            if self.paused:
                self.paused = False
                self._tell("resumed")

    def stop(self, now: bool) -> None:
        """End the search; `now` does not wait for the present iteration."""
        with self.changed:
            if self.stopping != "now" and (now or self.stopping is None):
                self.stopping = "now" if now else "after"
                self._tell("stop_requested", now=now)

    def raise_budget(self, budget: int) -> None:
        """Let the search make `budget` evaluations in all."""
        with self.changed:
            self._tell("budget_raised", budget=budget)

    def decide(self, decision: str, architecture: Sequence[int] | str | None, reason: str) -> None:
        """Decide on the pending proposal."""
        with self.changed:
            if self._pending is None or self._decision is not None:
                raise InvalidParameter("no proposal waits for a decision")
            self._decision = self._pending.decided(decision, architecture, reason)
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

    def _tell(self, note: str | None = None, **fields: Any) -> None:
        if note is not None:
            self._notes.append((note, fields))
        self._news = True
        self.changed.notify_all()

    # what the search does, in its own thread

    def note(self, journal: Journal, iteration: int) -> None:
        """Write what was asked for since the last event; nothing while events of before are handed back."""
        while not journal.replaying and (note := self._next_note()) is not None:
            name, fields = note
            journal.record(name, iteration=iteration, **fields)

    def _next_note(self) -> tuple[str, dict[str, Any]] | None:
        with self.changed:
            return self._notes.popleft() if self._notes else None

    def check(self, journal: Journal, iteration: int, between_steps: bool) -> None:
        """Wait while the search is paused; a stop in a pause is one at once: nothing is under way.

        While events of before are handed back nothing is asked or waited for, so that all of it comes after them.
        """
        while not journal.replaying:
            with self.changed:
                paused, stopping = self.paused, self.stopping
            if stopping == "now" or (stopping and (between_steps or paused)):
                raise Stopped
            self.note(journal, iteration)
            if not paused:
                return
            self._wait(lambda: not self.paused or self.stopping is not None or bool(self._notes))

    def ask(self, client: ChatClient, messages: Sequence[Message], seed: int | None) -> Reply:
        """Return the client's reply; one that is given up is unheard, and a client that can hang up does."""
        call = Call(lambda: client.send(messages, seed), self.changed)
        with self.changed:
            self.asking_since = time.monotonic()
        call.start()
        self._announce()
        try:
            self._wait(lambda: call.done or self.stopping == "now")
        finally:
            with self.changed:
                self.asking_since = None
        if not call.done:
            if hasattr(client, "give_up"):
                client.give_up(call.thread.ident)
            raise Stopped
        return call.result()

    def sleep(self, seconds: float) -> None:
        """Wait before a request is tried again; the wait ends with a stop that does not wait for a request."""
        with self.changed:
            self.retry_at = deadline = time.monotonic() + seconds
        self._announce()
        try:
            self._wait(self._must_end_wait, deadline)
        finally:
            with self.changed:
                self.retry_at = None
        if self._must_end_wait():
            raise Stopped

    def _must_end_wait(self) -> bool:
        return self.stopping == "now" or (self.stopping is not None and self.paused)

    def review(self, situation: Situation, suggestion: Suggestion) -> Decision | None:
        """Wait for a person's decision about a proposal, where the search was asked to."""
        if not self.approve:
            return None
        with self.changed:
            self._pending, self._decision = Pending(situation, suggestion.architecture), None
        self._announce()
        try:
            while self._decision is None:
                self._wait(lambda: self._decision is not None or self.stopping == "now" or bool(self._notes))
                if self.stopping == "now" and self._decision is None:
                    raise Stopped
                self.note(situation.journal, situation.iteration)
            return self._decision
        finally:
            with self.changed:
                self._pending = self._decision = None

    def extend(self, journal: Journal, iteration: int) -> None:
        """Write a larger budget that was asked for while the search was ending; other requests came too late."""
        with self.changed:
            asked, self._notes = self.budget, deque()
        if asked is not None and asked >= iteration and not journal.replaying:
            journal.record("budget_raised", iteration=iteration, budget=asked)

    def _wait(self, ready: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait until `ready()` or the deadline; news from outside are announced meanwhile."""
        while True:
            with self.changed:
                left = None if deadline is None else deadline - time.monotonic()
                over = ready() or (left is not None and left <= 0)
                if not over and not self._news:
                    self.changed.wait(left)
                news, self._news = self._news, False
            if news:
                self._announce()
            if over:
                return
