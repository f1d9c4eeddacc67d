"""The search loop, written once."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import data_sums
from genius_kit.budget.amounts import Limits
from genius_kit.budget.limits import RunBudget
from genius_kit.budget.prices import load_prices
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Event, Journal, Run, chain
from genius_kit.llm.client import in_use
from genius_kit.llm.recorded import answers_in
from genius_kit.llm.session import Session, Steering, Stopped
from genius_kit.llm.settings import TIMEOUT_SECONDS
from genius_kit.progress import Progress
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion
from genius_kit.records import Evaluation, Trial, Trials
from genius_kit.runs.approval import Approver, Gate, approved
from genius_kit.runs.live_control import Control
from genius_kit.spaces import Architecture
from genius_kit.spaces.base import own_definition
from genius_kit.version import code_state, versions

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.budget.ledger import Share
    from genius_kit.spaces import SearchSpace


NO_FIRST, RANDOM_FIRST, LARGEST_FIRST = "none", "random", "largest"

ARM_WORDS = ("model", "control", "change", "principles", "prompt", "history")
"""Settings that stand in the name of a journal."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a search may take, who approves its proposals, and whose answers it may use: the same for many searches.

    `limits` is what the run may take, `share` its part in the limits of a study; `allow_unpriced` consents to a model
    whose price is unknown. With `reuse`, a folder, identical requests are answered from the journals in it.
    `approve` is asked about each proposal (`Request`) and returns a `Decision`, None where nobody is there; `approval`
    is a rule from which on one is needed (`above_dollars`, `above_macs`), without an approver the run then ends and
    resumes.
    """

    limits: Limits | None = None
    share: Share | None = None
    allow_unpriced: bool = False
    reuse: str | Path | None = None
    approve: Approver | None = None
    approval: dict[str, Any] | None = None

    def session(self, journal: Journal, control: Steering | None = None) -> Session:
        """Return what a run on these terms needs at every step."""
        spending = RunBudget(self.limits, allow_unpriced=self.allow_unpriced, share=self.share)
        replies = None if self.reuse is None else answers_in(self.reuse)
        return Session(journal, spending, control or self._control(journal), replies)

    def _control(self, journal: Journal) -> Steering:
        """Return who may steer a search; nobody can reach one in memory that asks nobody."""
        if journal.path is None and self.approve is None and not self.approval:
            return Steering()
        return Control(gate=Gate(self.approve, self.approval))


def search(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int = 10,
    seed: int = 0,
    journal: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    progress: bool = True,
    *,
    first: Architecture | None = None,
    study: dict[str, Any] | None = None,
    patience: float = 0.0,
    control: Control | None = None,
    **terms: Any,
) -> Run:
    """Run one search and return its record.

    A run with a journal can be paused and stopped by `genius-kit ctl`.

    Parameters
    ----------
    benchmark
        What evaluates the proposals.
    proposer
        The search method (`make_proposer`).
    budget
        Number of evaluations.
    seed
        Seed of every random choice of the search.
    journal
        File to write: an unfinished one is resumed, a finished one read back. None keeps the record in memory.
    on_event
        Called with each event of the journal.
    progress
        Show a progress bar.
    first
        Evaluated before the proposer is asked, so that searches can begin alike.
    study
        What the run is a part of, for the record.
    patience
        Seconds to wait for a journal that is in use.
    control
        Pauses and stops the run from Python.
    **terms
        Those of `Terms`: limits, share, allow_unpriced, reuse, approve, approval.

    Raises
    ------
    ModelError
        The model cannot be reached; the journal resumes from there.
    BudgetSpent
        A request does not fit a limit; the journal resumes from there.
    JournalError
        The journal is of other settings.
    """
    taken = Terms(**terms)
    asked = Search(benchmark, proposer, budget, seed, first, study, taken.approval)
    with (
        Progress(budget) if progress and on_event is None else nullcontext(on_event) as watch,
        Journal(journal, watch, patience) as record,
    ):
        return asked.conduct(taken.session(record, control))


@dataclass(frozen=True)
class Search:
    """One search that can be conducted: what decides it, and what its record says beside (`study`, `approval`).

    Raises InvalidParameter for a budget that cannot be spent, a bound that nothing satisfies, or a bad `first`.
    """

    benchmark: Benchmark
    proposer: Proposer
    budget: int = 10
    seed: int = 0
    first: Architecture | None = None
    study: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        space, budget, bound = self.benchmark.space, self.budget, self.benchmark.constraint
        if budget < 1:
            raise InvalidParameter(f"budget is {budget}; a search needs at least one evaluation")
        if budget > (count := self.benchmark.count):
            raise InvalidParameter(f"budget is {budget:,}, but {space.name} has only {count:,} architectures")
        if bound is not None:
            bound.check_satisfiable(space)
            refusal = bound.refusal(space, self.first) if self.first is not None else None
            if refusal is not None:
                raise InvalidParameter(f"the first architecture, {space.encode(self.first or ())}: {refusal.detail}")
        unknown = None if self.first is None else self.benchmark.refusal(self.first)
        if unknown is not None:
            raise InvalidParameter(f"the first architecture, {space.encode(self.first or ())}: {unknown.detail}")

    def conduct(self, session: Session) -> Run:
        """Run it in an open journal; the `control` of the session may pause it, stop it, or raise its budget.

        A search that was stopped has no "run_finished" and resumes. One that spent its budget may be given a larger
        one ("budget_raised" after "run_finished") and goes on as if it had had it from the start: no proposer knows
        the budget.
        """
        session.control.attach(session.journal, self.benchmark.count)
        try:
            with in_use(self.proposer.client):
                self.proposer.prepare(self.benchmark, session)
                run = describe(self.benchmark, self.proposer, self.budget, self.seed, self.first)
                beside = {"study": self.study, "approval": self.approval}
                told = {name: value for name, value in beside.items() if value}
                record_start(session, self.benchmark, self.proposer, run, **told)
                return _UnderWay(self, session).done()
        finally:
            session.control.detach()
            session.budget.release()


def first_architecture(
    first: str, space: SearchSpace, seed: int, known: np.ndarray | None = None
) -> Architecture | None:
    """Return the architecture that a run with this seed begins at, the same one whatever searches; None for "none".

    A random one is among those that are `known` (see `Benchmark.known`). Raises InvalidArchitecture for a key that is
    not of the space.
    """
    if first == NO_FIRST:
        return None
    if first == LARGEST_FIRST:
        return space.all_largest
    if first == RANDOM_FIRST:
        import numpy as np

        rng = np.random.default_rng([seed, 0])  # searches draw from (seed, 1) on
        return space.sample(rng) if known is None else space.at(int(rng.choice(np.flatnonzero(known))))
    return space.decode(first)


@dataclass
class _UnderWay:
    """A search under way: what was tried (see `Situation`), and what a person rejected."""

    search: Search
    session: Session
    trials: Trials = field(default_factory=Trials)
    rejected: dict[Architecture, str] = field(default_factory=dict)

    def done(self) -> Run:
        """Go on until the budget is spent, the proposer stops, or a person does, and return the record."""
        journal, control = self.session.journal, self.session.control
        try:
            while True:
                reason = self._until()
                journal.record("run_finished", reason=reason)
                if reason == "budget":
                    control.extend(journal, len(self.trials) + 1)
                if reason != "budget" or journal.budget(self.search.budget) <= len(self.trials):
                    break
        except Stopped:
            control.note(journal, len(self.trials) + 1)
        return Run(journal.path, journal.events)

    def _until(self) -> str:
        """Add to the trials until the budget is spent or the proposer stops, and return the reason."""
        journal, control, benchmark = self.session.journal, self.session.control, self.search.benchmark
        while True:
            iteration = len(self.trials) + 1
            control.note(journal, iteration)
            if journal.budget(self.search.budget) < iteration:
                return "budget"
            control.check(journal, iteration, between_steps=True)
            self.session.budget.check_time(journal, iteration)
            step = self._proposed(iteration)
            if isinstance(step, Stop):
                return step.reason
            journal.record(
                "proposal",
                iteration=iteration,
                architecture=list(step.architecture),
                text=benchmark.space.encode(step.architecture),
                origin=step.origin,
            )
            evaluation = _evaluate(benchmark, step, iteration, self.session)
            self.trials.append(Trial(iteration, step.architecture, evaluation, step.exchange))

    def _proposed(self, iteration: int) -> Suggestion | Stop:
        asked = self.search
        if asked.first is not None and iteration == 1:
            return Suggestion(asked.benchmark.space.check(asked.first), "given")
        situation = Situation(asked.benchmark, self.trials, iteration, asked.seed, self.session, self.rejected)
        return approved(asked.proposer, situation, self.rejected)


def record_start(
    session: Session, benchmark: Benchmark, proposer: Proposer, run: dict[str, Any], **beside: dict[str, Any]
) -> None:
    """Write what a run was made from, `run` being what decides it; `beside` are further fields."""
    limits = session.budget.record()
    price = load_prices().find(proposer.settings.get("model"), proposer.resolved.get("base_url"))
    session.journal.record(
        "run_started",
        format=chain.FORMAT,
        run=run,
        versions=versions(),
        data=data_sums(benchmark),
        code=code_state(),
        price=price.record() if price else None,
        **({"limits": limits} if limits else {}),
        **own_timeout(proposer.client),
        **({"folder": str(benchmark.folder)} if benchmark.folder is not None else {}),
        **beside,
    )


def _evaluate(benchmark: Benchmark, step: Suggestion, iteration: int, session: Session) -> Evaluation:
    """Return the recorded evaluation where there is one, else evaluate and record."""
    record = session.journal
    event = record.take("evaluation")
    if event is None:
        begun = time.perf_counter()
        on_gpu, time_limit = getattr(benchmark, "on_gpu", False), getattr(benchmark, "time_limit", None)
        with session.budget.evaluation(on_gpu, time_limit, record, iteration, session.control.sleep) as taken:
            evaluation = benchmark.evaluate(step.architecture)
        rank = benchmark.rank(step.architecture)
        event = record.record(
            "evaluation",
            iteration=iteration,
            architecture=list(step.architecture),
            validation_accuracy=evaluation.validation_accuracy,
            test_accuracy=evaluation.test_accuracy,
            feedback=evaluation.feedback,
            parameters=evaluation.cost.parameters if evaluation.cost else None,
            macs=evaluation.cost.macs if evaluation.cost else None,
            source=evaluation.source,
            rank=None if rank is None else {"best": rank.best, "worst": rank.worst, "of": rank.of},
            seconds=round(time.perf_counter() - begun, 6),
            **({"failure": evaluation.failure} if evaluation.failure else {}),
            **({"latency": evaluation.latency} if evaluation.latency is not None else {}),
            **({"memory_format": evaluation.memory_format} if evaluation.memory_format else {}),
            **taken,
        )
    return Evaluation.of(event)


def describe(
    benchmark: Benchmark, proposer: Proposer, budget: int, seed: int, first: Architecture | None = None
) -> dict[str, Any]:
    """Return what decides a run besides the replies: the `run` part of its first event."""
    made_by = {"kind": benchmark.kind, **benchmark.settings} if benchmark.settings else {}
    return {
        "benchmark": benchmark.name,
        "space": benchmark.space.name,
        "protocol": benchmark.protocol,
        "source": getattr(benchmark, "source", None),
        "fed_run": getattr(benchmark, "fed_run", None),
        "proposer": proposer.name,
        "budget": budget,
        "seed": seed,
        "settings": proposer.settings,
        "resolved": proposer.resolved,
        **({"unit": benchmark.unit} if benchmark.unit != "percent" else {}),
        **({"space_definition": made} if (made := own_definition(benchmark.space)) else {}),
        **({"benchmark_settings": made_by} if made_by else {}),
        **({"first": benchmark.space.key(first)} if first is not None else {}),
        **({"objectives": list(benchmark.objectives.names)} if benchmark.objectives else {}),
    }


def own_timeout(client: object) -> dict[str, float]:
    """Return what a run records of the seconds that an attempt may take: nothing where they are the usual ones.

    They decide no reply, so that a run may go on with others.
    """
    seconds = getattr(client, "timeout", None)
    if not isinstance(seconds, int | float) or seconds == TIMEOUT_SECONDS:
        return {}
    return {"timeout": float(seconds)}


def journal_path(folder: str | Path, run: dict[str, Any]) -> Path:
    """Return the journal of a run in a folder: that which an earlier version named in fewer words, where it is."""
    path, earlier = Path(folder, journal_name(run)), Path(folder, journal_name(run, ("model",)))
    return earlier if earlier.exists() and not path.exists() else path


def journal_name(run: dict[str, Any], words: Sequence[str] = ARM_WORDS) -> str:
    """Return the file name of a run: the settings `words` that tell its arm, a hash of all settings, and its seed."""
    settings = {key: value for key, value in run.items() if key != "seed"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    given = {**run["settings"], "prompt": Path(str(run["settings"].get("prompt", ""))).stem}
    arm = [str(word) for name in words if (word := given.get(name)) and word not in ("standard", "table")]
    parts = [run["benchmark"], run["proposer"], *arm, digest, f"seed{run['seed']}"]
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts) + ".jsonl"
