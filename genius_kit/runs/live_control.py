"""The steering of a search: what is asked of it from a thread or another process, and how it waits for that."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.runs.gate import ALWAYS, Gate, Request, request, signed
from genius_kit.records import Message
from genius_kit.runs.remote import Command, ControlChannel
from genius_kit.llm.session import CallCancelled, Steering, Stopped
from genius_kit.runs.control import Asker, Decision
from genius_kit.waiting import Errand
from genius_kit.runs.wishes import Wishes

if TYPE_CHECKING:
    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal import Journal
    from genius_kit.proposers.base import Situation, Suggestion

LOOK_SECONDS = 0.1  # how often a wait looks for commands from outside


class Control(Wishes, Steering):
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
        self._evaluated: Callable[[], int] = lambda: 0
        self._budget_now: Callable[[], int] = lambda: 0
        self._largest_budget: int | None = None

    # what other processes ask

    def attach(self, journal: Journal, largest_budget: int) -> None:
        """Look for commands to this run from now on."""
        self._largest_budget = largest_budget
        self._evaluated = lambda: sum(event["event"] == "evaluation" for event in journal.events)
        self._budget_now = lambda: journal.budget(journal.events[0]["run"]["budget"])
        if journal.path is not None:
            self._channel = ControlChannel(journal.path, self._folder_from)

    def detach(self) -> None:
        """Look for commands no more."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _look(self) -> None:
        """Heed the commands that came, and tell of what has changed; in the search's thread."""
        if self._channel is None:
            return
        asked = self._channel.asked()
        answers = {command.id: self._heed(command) for command in asked}
        with self.changed:
            waits = self._pending.text if self.pending is not None and self._pending is not None else None
            state = self.state
        self._channel.say(state, waits, answers)

    def _heed(self, command: Command) -> str:
        who, why = command.asker, command.reason
        if command.command in ("pause", "pause-now"):
            return self.pause(command.command == "pause-now", who, why)
        if command.command == "resume":
            return self.resume(who, why)
        if command.command in ("stop", "stop-now"):
            return self.stop(command.command == "stop-now", who, why)
        return self._heed_budget(command.budget or 0, who, why)

    def _heed_budget(self, budget: int, asker: Asker, reason: str) -> str:
        done = self._evaluated()
        if budget < max(1, done):
            return f"refused: the budget {budget} is too small, {done} designs have been evaluated already"
        if self._largest_budget is not None and budget > self._largest_budget:
            return f"refused: the budget is {budget:,}, but the space has {self._largest_budget:,} architectures"
        with self.changed:
            if budget == (self.budget or self._budget_now()):
                return f"the budget is {budget} already"
            self.raise_budget(budget, asker, reason)
        return f"the budget is {budget} now"

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
            self._look()
            with self.changed:
                paused, stopping = self.paused, self.stopping
            if stopping == "now" or (stopping and (between_steps or paused)):
                raise Stopped
            self.note(journal, iteration)
            if not paused:
                return
            self._wait(lambda: not self.paused or self.stopping is not None or bool(self._notes))

    def ask(self, client: ChatClient, messages: Sequence[Message], seed: int | None) -> Reply:
        """Return the client's reply; one that is given up is unheard, and a client that can hang up does.

        That is so for Ctrl-C too.
        """
        call = Errand(lambda: client.send(messages, seed), self.changed, "genius-kit-call")
        with self.changed:
            self.asking_since = time.monotonic()
        call.start()
        self._announce()
        try:
            self._wait(lambda: call.done or self.stopping == "now" or self._hanging_up)
        finally:
            with self.changed:
                self.asking_since, hung_up, self._hanging_up = None, self._hanging_up, False
                is_heard = call.done
            if not is_heard and hasattr(client, "give_up"):
                client.give_up(call.thread.ident)
        if not is_heard:
            raise CallCancelled if hung_up and self.stopping != "now" else Stopped
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
        """Return a person's decision about a proposal, None where nobody need be asked.

        Raises Stopped where the person ends the search, and where one is needed and none is there.
        """
        why = ALWAYS if self.approve else self._gate.why(situation, suggestion.architecture)
        if why is None:
            return None
        if not self.approve and self._gate.approve is None:
            raise self._denied(f"{why}, and nobody is there to be asked")
        with self.changed:
            self._pending, self._decision = request(situation, suggestion.architecture, why), None
        self._announce()
        try:
            decided = self._decided(situation, self._pending)
        finally:
            with self.changed:
                self._pending = self._decision = None
        if decided is None:
            raise self._denied(f"{why}, and no answer came")
        if decided.decision == "end":
            self.stop(True, Asker(decided.by, decided.via or "api"), decided.reason)
            raise Stopped
        return decided

    def _decided(self, situation: Situation, asked: Request) -> Decision | None:
        """Wait for the decision, or for the approver's answer; commands are heeded meanwhile."""
        errand = None
        if not self.approve and (approve := self._gate.approve) is not None:
            errand = Errand(lambda: approve(asked), self.changed, "genius-kit-approver")
            errand.start()
        while True:
            self._wait(
                lambda: (
                    self._decision is not None
                    or (errand is not None and errand.done)
                    or self.stopping == "now"
                    or bool(self._notes)
                )
            )
            if self._decision is not None:
                return self._decision
            if self.stopping == "now":
                raise Stopped
            if errand is not None and errand.done:
                told = errand.result()
                return None if told is None else asked.check(signed(told))
            self.note(situation.journal, situation.iteration)

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
                    looks = [seconds for seconds in (left, LOOK_SECONDS if self._channel else None) if seconds is not None]
                    self.changed.wait(min(looks, default=None))
                news, self._news = self._news, False
            if news:
                self._announce()
            if over:
                return
