"""A search in a thread of its own, which a person can pause, stop, give a larger budget, and ask to be asked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit.budget.amounts import Limits
from genius_kit.budget.limits import RunBudget
from genius_kit.budget.spending import cost_of_calls
from genius_kit.errors import BudgetSpent, GeniusKitError, InvalidParameter
from genius_kit.journal import Event, Journal, Run, read_run
from genius_kit.llm.http_errors import quote
from genius_kit.llm.session import Session
from genius_kit.proposers.base import Proposer
from genius_kit.runs.approval import Decision, Request, here
from genius_kit.runs.live_control import Control
from genius_kit.runs.loop import Search
from genius_kit.runs.remote import is_owned, state_of
from genius_kit.spaces import Architecture

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark

RESTARTABLE = ("ready", "interrupted", "stopped", "failed")
PATIENCE_SECONDS = 5.0  # for a journal that a call given up or a search that ends still holds


@dataclass(frozen=True)
class LiveState:
    """What a search is doing at one moment. Times are of `time.monotonic()`.

    Parameters
    ----------
    status
        "ready", "running", "paused", "awaiting approval", "stopping", "stopped", "finished", "failed", or "interrupted"
        (an earlier record was cut off, and no living process goes on with it).
    iteration
        From 1.
    budget
        Number of evaluations.
    asking_since
        When the call under way began; a paused search may still have one.
    connecting
        Whether that call has no connection to the server yet; never for a client without one.
    retry_at
        When the next attempt is made.
    spent
        US dollars; None where the price of a call is unknown.
    pending
        The proposal that waits for `decide`.
    error
        A sentence, when the search has failed or a limit stopped it; it can be started again.
    run
        The events so far.
    """

    status: str
    iteration: int
    budget: int
    asking_since: float | None
    connecting: bool
    retry_at: float | None
    spent: float | None
    pending: Architecture | None
    error: str | None
    run: Run


class LiveSearch:
    """One search in a thread of its own, which can be paused, stopped, and asked to wait for approval.

    A journal that is finished gives the status "finished" at once, an unfinished one is continued by `start`.

    Parameters
    ----------
    benchmark, proposer, budget, seed, journal
        As in `search`.
    approve
        Every proposal waits for `decide`.
    on_change
        Called from the worker thread after every new event and change of status; what it raises does not end the
        search.
    via
        Where requests come from, for the journal; `genius-kit ctl` is heard too.
    limits
        What the search may take, see `limit`.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        proposer: Proposer,
        budget: int = 10,
        seed: int = 0,
        journal: str | Path | None = None,
        *,
        approve: bool = False,
        on_change: Callable[[LiveState], None] | None = None,
        via: str = "api",
        limits: Limits | None = None,
    ) -> None:
        self._asked = Search(benchmark, proposer, budget, seed)
        self._path = Path(journal) if journal is not None else None
        self._on_change = on_change
        self._asker = here(via)
        self._control = Control(approve, self._announce)
        self._spending = RunBudget(limits)
        self._record: Journal | None = None
        self._thread: threading.Thread | None = None
        self._error: str | None = None
        self._known: list[Event] = read_run(self._path).events if self._path and self._path.exists() else []
        self._ended: str | None = self._state_before()

    def _state_before(self) -> str:
        """Return what the record of before says: finished, stopped, interrupted, or ready to begin."""
        if self._path is None or not self._known:
            return "ready"
        found = state_of(Run(self._path, self._known), is_owned(self._path))
        return found if found in ("finished", "stopped", "interrupted") else "ready"

    def start(self) -> None:
        """Begin, or go on where the search was stopped or failed; nothing happens to one that runs or has finished."""
        with self._control.changed:
            if self._ended in RESTARTABLE:
                self._launch()

    def pause(self, now: bool = False) -> None:
        """Let no new request begin.

        Parameters
        ----------
        now
            Give up a call under way and send it anew later; by default it is waited for.
        """
        with self._control.changed:
            if self._ended is None:
                self._control.pause(now, self._asker)

    def resume(self) -> None:
        """Go on after a pause; a stopped or failed search is started again."""
        with self._control.changed:
            if self._ended is None:
                self._control.resume(self._asker)
            elif self._ended in RESTARTABLE and self._ended != "ready":
                self._launch()

    def stop(self, now: bool = False) -> None:
        """End after the present iteration; `start` goes on.

        An evaluation under way is waited for. A stop in a pause does not wait for the iteration.

        Parameters
        ----------
        now
            Give up a call under way; its reply is not used.
        """
        with self._control.changed:
            if self._ended is None:
                self._control.stop(now, self._asker)

    def raise_budget(self, budget: int) -> None:
        """Set another budget; a search whose budget was spent goes on.

        Parameters
        ----------
        budget
            Number of evaluations, those done included.

        Raises
        ------
        InvalidParameter
            Fewer than have been evaluated, more than the space has, or a search that ended for another reason.
        """
        benchmark = self._asked.benchmark
        with self._control.changed:
            run = self._run()
            done = len(run.of("evaluation"))
            if budget < done or (self._ended == "finished" and budget == done):
                told = f"the budget {budget} is too small: {done} architectures have been evaluated already"
                raise InvalidParameter(told)
            if budget > (count := benchmark.count):
                raise InvalidParameter(f"the budget is {budget:,}, but {benchmark.name} has {count:,} architectures")
            if self._ended == "finished" and run.reason != "budget":
                raise InvalidParameter(
                    f"the search ended because of {run.reason!r}, not of its budget: a larger one changes nothing"
                )
            if budget != self._wanted_budget(run):
                self._control.raise_budget(budget, self._asker)
                if self._ended == "finished":
                    self._launch()

    def limit(self, limits: Limits | None) -> None:
        """Set what the search may take, from the next request on.

        A request that does not fit stops the search, and `error` says what was left; with a higher limit `resume` goes
        on.

        Parameters
        ----------
        limits
            The limits; None is no limit.
        """
        with self._control.changed:
            self._spending.limits = limits or Limits()

    def decide(
        self,
        decision: str,
        architecture: Sequence[int] | str | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """Decide on the pending proposal; when the decision is refused the proposal goes on waiting.

        A rejected architecture is not proposed again in this run; a model is told the reason and asked for another.

        Parameters
        ----------
        decision
            "approve", "edit", "reject", or "end" (ends the search, which goes on with the same question).
        architecture
            What "edit" evaluates in place of the proposal.
        reason
            Why, for the journal and the model.
        by
            Who decides; default the user of this process.

        Raises
        ------
        InvalidParameter, InvalidArchitecture
            Nothing is pending, the decision is none of the four, or the architecture is not of the space, was tried, or
            is over the bound.
        """
        asker = self._asker
        self._control.decide(Decision(decision, architecture, reason, by or asker.by, asker.via))

    @property
    def asked_about(self) -> Request | None:
        """The proposal that waits for a decision, with all that a person is shown of it; None where none waits."""
        return self._control.asked_about

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the search has ended in any way, and return the events so far.

        Parameters
        ----------
        timeout
            The most seconds to wait; None waits for the end.
        """
        end = None if timeout is None else time.monotonic() + timeout
        waited: threading.Thread | None = None
        while (thread := self._thread) is not None and thread is not waited:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
            waited = thread
        return self.state.run

    @property
    def state(self) -> LiveState:
        """What the search is doing now."""
        with self._control.changed:
            run, control = self._run(), self._control
            status = self._ended or control.state
            done = sum(event["event"] == "evaluation" for event in run.events)
            return LiveState(
                status=status,
                iteration=max(1, done) if status == "finished" else done + 1,
                budget=self._wanted_budget(run),
                asking_since=control.asking_since,
                connecting=control.connecting,
                retry_at=control.retry_at,
                spent=cost_of_calls(run.events),
                pending=control.pending,
                error=self._error,
                run=run,
            )

    def _run(self) -> Run:
        """Return the events so far; while a search is read back, those that were known before."""
        events = self._record.events if self._record is not None else []
        return Run(self._path, list(events if len(events) >= len(self._known) else self._known))

    def _wanted_budget(self, run: Run) -> int:
        return self._control.budget or run.budget or self._asked.budget

    def _launch(self) -> None:
        """Start the thread; the lock is held."""
        self._known, self._record = self._run().events, None
        self._ended = self._error = None
        self._control.begin()
        previous = self._thread
        self._thread = threading.Thread(target=self._work, args=(previous,), name="genius-kit-search", daemon=True)
        self._thread.start()

    def _work(self, previous: threading.Thread | None) -> None:
        if previous is not None:
            previous.join()
        self._announce()
        error, ended = None, "stopped"
        try:
            self._search()
        except BudgetSpent as spent:
            error = str(spent)
        except GeniusKitError as failure:
            error, ended = str(failure), "failed"
        except Exception as failure:  # whatever it is, the person reads a sentence
            ended = "failed"
            error = f"the search failed ({type(failure).__name__}): {quote(str(failure)) or 'no details'}"
        with self._control.changed:
            run = self._run()
            self._error = error
            self._ended = "finished" if run.finished and error is None else ended
            if self._ended == "finished" and self._control.budget is not None and run.reason == "budget":
                self._launch()  # a budget that came after the search had asked for one
        self._announce()

    def _search(self) -> None:
        recorded = self._known if self._path is None else ()
        with Journal(self._path, self._heard, PATIENCE_SECONDS, recorded=recorded) as record:
            with self._control.changed:
                self._record = record
                self._spending = RunBudget(self._spending.limits)
            self._asked.conduct(Session(record, self._spending, self._control))

    def _heard(self, event: Event) -> None:
        """Take note of one event; those of before were announced when they happened."""
        record = self._record
        if record is not None and not record.replaying:
            self._announce()

    def _announce(self) -> None:
        """Tell `on_change`, which may fail without harm to the search."""
        if self._on_change is None:
            return
        try:
            self._on_change(self.state)
        except Exception as failure:
            logging.getLogger(__name__).warning("on_change failed (%s): %s", type(failure).__name__, failure)
