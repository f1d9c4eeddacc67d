"""What a person asks of a search while it runs, from a thread or another process, and how the search waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from genius_kit.errors import InvalidParameter
from genius_kit.llm.connection import connecting
from genius_kit.llm.session import CallCancelled, Steering, Stopped
from genius_kit.records import Message
from genius_kit.runs.approval import ALWAYS, Asker, Decision, Gate, Request, here
from genius_kit.runs.remote import Command, ControlChannel
from genius_kit.spaces import Architecture

if TYPE_CHECKING:
    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal import Journal
    from genius_kit.proposers.base import Situation, Suggestion

LOOK_SECONDS = 0.1  # how often a wait looks for commands from outside

Result = TypeVar("Result")


class ControlRequests:
    """Pause, resume, stop, budget and decisions, from any thread; each method says its result in words.

    `changed` guards every attribute. What has to become an event waits in `_notes` until the search writes it.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.paused = False
        self.stopping: str | None = None  # "after" the present iteration, or "now"
        self.asking_since: float | None = None
        self.connecting = False
        self.retry_at: float | None = None
        self._hanging_up = False
        self._notes: deque[tuple[str, dict[str, Any]]] = deque()
        self._waiting: tuple[Request, Future[Decision | None]] | None = None  # a proposal, and what is decided on it
        self._news = False

    def begin(self) -> None:
        """Forget earlier pauses and stops; a budget that was asked for and not written yet stays."""
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
        """Decide on the pending proposal; raises InvalidParameter where none waits or the decision is none."""
        with self.changed:
            if self._waiting is None or self._waiting[1].done():
                raise InvalidParameter("no proposal waits for a decision")
            request, decided = self._waiting
            decided.set_result(request.check(decision))
            self._tell()

    @property
    def asked_about(self) -> Request | None:
        """The proposal that waits for a decision, as a person is shown it."""
        with self.changed:
            return self._waiting[0] if self._waiting is not None and not self._waiting[1].done() else None

    @property
    def pending(self) -> Architecture | None:
        """The architecture that waits for a decision."""
        return request.architecture if (request := self.asked_about) is not None else None

    @property
    def budget(self) -> int | None:
        """The budget that was asked for and is not on record yet."""
        asked = [fields["budget"] for name, fields in self._notes if name == "budget_raised"]
        return asked[-1] if asked else None

    @property
    def state(self) -> str:
        """What the search is doing, while it runs: "running", "paused", "awaiting approval" or "stopping"."""
        if self.asked_about is not None and self.stopping != "now":
            return "awaiting approval"
        return "stopping" if self.stopping else "paused" if self.paused else "running"

    def _tell(self, note: str | None = None, asker: Asker | None = None, reason: str = "", **fields: Any) -> None:
        if note is not None:
            given = {"reason": reason} if reason else {}
            self._notes.append((note, {**fields, **(asker or here("api")).fields(), **given}))
        self._news = True
        self.changed.notify_all()


class Control(ControlRequests, Steering):
    """What a person asks of one search, from any thread; `announce` is called in the search's thread on a change.

    Requests that are events are written before a step, before a request, in a pause, and while a proposal waits; never
    between a request and its reply. Commands from other processes are read by the search's own thread, before each step
    and in every wait.
    """

    def __init__(
        self,
        approve: bool = False,
        announce: Callable[[], None] | None = None,
        *,
        gate: Gate | None = None,
        folder_from: int | None = None,
    ) -> None:
        """With `approve` every proposal waits for `decide`; `gate` asks or denies where it says so.

        `folder_from` is where commands to all runs of the folder begin, in bytes of their file; by default with those
        that come from now on.
        """
        super().__init__()
        self.approve = approve
        self._announce = announce or (lambda: None)
        self._gate = gate or Gate()
        self._folder_from = folder_from
        self._channel: ControlChannel | None = None
        self._journal: Journal | None = None
        self._largest_budget = 0

    # what other processes ask

    def attach(self, journal: Journal, largest_budget: int) -> None:
        """Look for commands to this run from now on."""
        self._journal, self._largest_budget = journal, largest_budget
        if journal.path is not None:
            self._channel = ControlChannel(journal.path, self._folder_from)

    def detach(self) -> None:
        """Look for commands no more."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _look(self) -> None:
        """Carry out the commands that came, and tell of what has changed; in the search's thread."""
        if self._channel is None:
            return
        answers = {}
        for command in self._channel.asked():
            answers[command.id] = self._carry_out(command)
        with self.changed:
            state = self.state
            request = self.asked_about if state == "awaiting approval" else None
        self._channel.say(state, None if request is None else request.text, answers)

    def _carry_out(self, command: Command) -> str:
        who, why, now = command.asker, command.reason or "", command.command.endswith("-now")
        if command.command == "budget":
            return self._change_budget(command.budget or 0, who, why)
        if command.command == "resume":
            return self.resume(who, why)
        return (self.pause if command.command.startswith("pause") else self.stop)(now, who, why)

    def _change_budget(self, budget: int, asker: Asker, reason: str) -> str:
        assert self._journal is not None  # a command came, so the search is under way
        events = self._journal.events
        done = sum(event["event"] == "evaluation" for event in events)
        if budget < max(1, done):
            return f"refused: the budget {budget} is too small, {done} architectures have been evaluated already"
        if budget > self._largest_budget:
            return f"refused: the budget is {budget:,}, but the space has {self._largest_budget:,} architectures"
        with self.changed:
            if budget == (self.budget or self._journal.budget(events[0]["run"]["budget"])):
                return f"the budget is {budget} already"
            self.raise_budget(budget, asker, reason)
        return f"the budget is {budget} now"

    # what the search does, in its own thread

    def note(self, journal: Journal, iteration: int) -> None:
        """Write what was asked for since the last event; nothing while events of before are handed back."""
        while self._notes and not journal.replaying:  # none but the search's own thread takes a note away
            with self.changed:
                name, fields = self._notes.popleft()
            journal.record(name, iteration=iteration, **fields)

    def check(self, journal: Journal, iteration: int, between_steps: bool) -> None:
        """Wait while the search is paused; a stop in a pause is one at once: nothing is under way.

        While events of before are handed back nothing is asked or waited for, so that all of it comes after them.
        """
        while not journal.replaying:
            self._look()
            with self.changed:
                paused, stopping = self.paused, self.stopping
            if stopping == "now" or (stopping and (between_steps or paused)):
                raise Stopped
            if self._notes:
                self.note(journal, iteration)
            if not paused:
                return
            self._wait(lambda: not self.paused or self.stopping is not None or bool(self._notes))

    def ask(self, client: ChatClient, messages: Sequence[Message], seed: int | None) -> Reply:
        """Return the client's reply; one that is given up is unheard, and a client that can hang up does.

        That is so for Ctrl-C too.
        """
        with self.changed:
            self.asking_since = time.monotonic()
        call: Future[Reply] = Future()

        def send() -> Reply:
            if not call.set_running_or_notify_cancel():  # given up before it began: nothing is sent
                raise CancelledError
            connecting.set(self._connects)
            return client.send(messages, seed)

        thread = self._thread(call, send, "genius-kit-call")
        try:
            thread.start()
            self._announce()
            self._wait(lambda: call.done() or self.stopping == "now" or self._hanging_up)
        finally:
            with self.changed:
                self.asking_since, hung_up, self._hanging_up = None, self._hanging_up, False
                self.connecting = False
                is_heard = call.done()
            if not is_heard and not call.cancel() and hasattr(client, "give_up"):
                client.give_up(thread.ident)
        if not is_heard:
            raise CallCancelled if hung_up and self.stopping != "now" else Stopped
        return call.result()

    def _connects(self, connecting: bool) -> None:
        with self.changed:
            self.connecting = connecting and self.asking_since is not None
            self._tell()

    def _thread(self, future: Future[Result], work: Callable[[], Result], name: str) -> threading.Thread:
        """Return a thread that does `work` for `future`; one that nobody waits for ends with the process."""

        def run() -> None:
            settle: Callable[[], None]
            try:
                settle = partial(future.set_result, work())
            except BaseException as error:  # raised again where the result is waited for
                settle = partial(future.set_exception, error)
            with self.changed:
                if not future.done():  # else it was decided elsewhere
                    settle()
                self.changed.notify_all()

        return threading.Thread(target=run, name=name, daemon=True)

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
        """Return a person's decision about a proposal, None where nobody need be asked.

        Raises Stopped where the person ends the search, and where one is needed and none is there.
        """
        why = ALWAYS if self.approve else self._gate.why(situation, suggestion.architecture)
        if why is None:
            return None
        if not self.approve and self._gate.approve is None:
            raise self._denied(f"{why}, and nobody is there to be asked")
        request = Request.of(situation, suggestion.architecture, why)
        decided: Future[Decision | None] = Future()
        with self.changed:
            self._waiting = request, decided
        self._announce()
        if not self.approve:
            self._thread(decided, lambda: self._gate.ask(request), "genius-kit-approver").start()
        try:
            while not decided.done() and self.stopping != "now":
                self.note(situation.journal, situation.iteration)
                self._wait(lambda: decided.done() or self.stopping == "now" or bool(self._notes))
        finally:
            with self.changed:
                self._waiting = None
        if not decided.done():
            raise Stopped
        decision = decided.result()
        if decision is None:
            raise self._denied(f"{why}, and no answer came")
        if decision.decision == "end":
            self.stop(True, Asker(decision.by, decision.via or "api"), decision.reason)
            raise Stopped
        return decision

    def _denied(self, reason: str) -> Stopped:
        with self.changed:
            self.stopping = "now"
            self._notes.append(("stop_requested", {"now": True, "by": None, "via": "approval", "reason": reason}))
        return Stopped(reason)

    def extend(self, journal: Journal, iteration: int) -> None:
        """Write a larger budget that was asked for while the search was ending; other requests came too late."""
        self._look()
        with self.changed:
            asked = [fields for name, fields in self._notes if name == "budget_raised"]
            self._notes = deque()
        if asked and asked[-1]["budget"] >= iteration and not journal.replaying:
            journal.record("budget_raised", iteration=iteration, **asked[-1])

    def _wait(self, ready: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait until `ready()` or the deadline; commands and news from outside are taken meanwhile."""
        while True:
            self._look()
            with self.changed:
                left = None if deadline is None else deadline - time.monotonic()
                over = ready() or (left is not None and left <= 0)
                if not over and not self._news:
                    looks = [
                        seconds for seconds in (left, LOOK_SECONDS if self._channel else None) if seconds is not None
                    ]
                    self.changed.wait(min(looks, default=None))
                news, self._news = self._news, False
            if news:
                self._announce()
            if over:
                return
