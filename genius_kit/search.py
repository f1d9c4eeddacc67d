"""The search loop, written once, and the ways to start it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import chain
from genius_kit.amounts import Limits
from genius_kit.approvals import approved
from genius_kit.budgets import Purse
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Event, Journal, Run, read_run
from genius_kit.progress import Progress
from genius_kit.proposers import Proposer, Situation, Stop, Suggestion, make_proposer
from genius_kit.records import Cost, Evaluation, Trial
from genius_kit.run_origins import code_state, data_sums
from genius_kit.spaces import Architecture
from genius_kit.spending import recorded_terms
from genius_kit.steering import Steering, Stopped, here

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.gate import Approver
    from genius_kit.ledger import Share
    from genius_kit.live_control import Control
    from genius_kit.reuse import Answers


INTERRUPT_SECONDS = 2.0  # how long searches are waited for after Ctrl-C: calls end at once, an evaluation may not


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
    approve: Approver | None = None,
    approval: dict[str, Any] | None = None,
    control: Control | None = None,
    limits: Limits | None = None,
    allow_unpriced: bool = False,
    reuse: str | Path | None = None,
    share: Share | None = None,
) -> Run:
    """Run one search of `budget` evaluations and return its record.

    `journal` is the file to write; an unfinished one is resumed, a finished one is read back, and one of other
    settings is refused (JournalError). With `journal=None` the record stays in memory. `on_event` is called with
    each event. `first` is evaluated before the proposer is asked, so that searches can begin alike. `study` says in
    the record what the run is a part of; `patience` is how many seconds to wait for a journal that is in use.
    `approve` is asked about each proposal (`Request`) and returns a `Decision`, None where nobody is there; `approval`
    is a rule from which on one is needed (`above_dollars`, `above_macs`), without an approver the run then ends and
    resumes. A run with a journal can be paused and stopped by `genius-kit ctl`, and by a `control` of yours.
    `limits` is what the run may take, `share` its part in the limits of a study; `allow_unpriced` consents to a model
    whose price is unknown. With `reuse`, a folder, identical requests are answered from the journals in it.
    Raises ModelError when the model cannot be reached, BudgetSpent when a request does not fit a limit; the journal
    then resumes from there.
    """
    _check_start(benchmark, budget, first)
    steering = control or _steering(journal, approve, approval)
    with (
        Progress(budget) if progress and on_event is None else nullcontext(on_event) as watch,
        Journal(journal, watch, patience, steering=steering) as record,
    ):
        record.purse = Purse(limits, allow_unpriced=allow_unpriced, share=share)
        record.answers = _answers(reuse)
        return conduct(benchmark, proposer, budget, seed, record, first=first, study=study, approval=approval)


def _answers(reuse: str | Path | None) -> Answers | None:
    from genius_kit.reuse import Answers

    return None if reuse is None else Answers(reuse)


def _steering(journal: str | Path | None, approve: Approver | None, approval: dict[str, Any] | None) -> Steering | None:
    """Return who may steer a search; nobody can reach one in memory that asks nobody."""
    if journal is None and approve is None and not approval:
        return None
    from genius_kit.gate import Gate
    from genius_kit.live_control import Control

    return Control(gate=Gate(approve, approval))


def conduct(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int,
    seed: int,
    record: Journal,
    *,
    first: Architecture | None = None,
    study: dict[str, Any] | None = None,
    approval: dict[str, Any] | None = None,
) -> Run:
    """Run one search in an open journal, whose `steering` may pause it, stop it, or raise its budget.

    A search that was stopped has no "run_finished" and resumes. One that spent its budget may be given a larger one
    ("budget_raised" after "run_finished") and goes on as if it had had it from the start: no proposer knows the budget.
    """
    _check_start(benchmark, budget, first)
    record.steering.attach(record, benchmark.space.size)
    try:
        return _conduct(benchmark, proposer, budget, seed, record, first, study, approval)
    finally:
        record.steering.detach()
        record.purse.let_go()


def _conduct(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int,
    seed: int,
    record: Journal,
    first: Architecture | None,
    study: dict[str, Any] | None,
    approval: dict[str, Any] | None,
) -> Run:
    if hasattr(proposer, "prepare"):
        proposer.prepare(benchmark, record)
    record.record(
        "run_started",
        format=chain.FORMAT,
        run=describe(benchmark, proposer, budget, seed, first),
        versions=_versions(),
        data=data_sums(benchmark),
        code=code_state(),
        price=_price(proposer),
        **({"limits": limits} if (limits := record.purse.record()) else {}),
        **({"study": study} if study else {}),
        **({"approval": approval} if approval else {}),
    )
    trials: list[Trial] = []
    turned_down: dict[Architecture, str] = {}
    try:
        while True:
            reason = _loop(benchmark, proposer, budget, seed, record, first, trials, turned_down)
            record.record("run_finished", reason=reason)
            if reason == "budget":
                record.steering.extend(record, len(trials) + 1)
            if reason != "budget" or record.budget(budget) <= len(trials):
                break
    except Stopped:
        record.steering.note(record, len(trials) + 1)
    return Run(record.path, record.events)


def _check_start(benchmark: Benchmark, budget: int, first: Architecture | None) -> None:
    """Raise InvalidParameter for a budget that cannot be spent, a bound that nothing satisfies, or a bad `first`."""
    space = benchmark.space
    if budget < 1:
        raise InvalidParameter(f"budget is {budget}; a search needs at least one evaluation")
    if budget > space.size:
        raise InvalidParameter(f"budget is {budget:,}, but {space.name} has only {space.size:,} architectures")
    if benchmark.constraint is not None:
        benchmark.constraint.check_satisfiable(space)
        refusal = benchmark.constraint.refusal(space, first) if first is not None else None
        if refusal is not None:
            raise InvalidParameter(f"the first architecture, {space.encode(first or ())}: {refusal.detail}")


def _loop(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int,
    seed: int,
    record: Journal,
    first: Architecture | None,
    trials: list[Trial],
    turned_down: dict[Architecture, str],
) -> str:
    """Add to `trials` until the budget is spent or the proposer stops, and return the reason."""
    while True:
        iteration = len(trials) + 1
        record.steering.note(record, iteration)
        if record.budget(budget) < iteration:
            return "budget"
        record.steering.check(record, iteration, between_steps=True)
        record.purse.check_time(record, iteration)
        if first is not None and iteration == 1:
            step: Suggestion | Stop = Suggestion(benchmark.space.check(first), "given")
        else:
            step = approved(proposer, Situation(benchmark, trials, iteration, seed, record), turned_down)
        if isinstance(step, Stop):
            return step.reason
        _record_proposal(benchmark, step, iteration, record)
        evaluation = _evaluate(benchmark, step, iteration, record)
        trials.append(Trial(iteration, step.architecture, evaluation, step.exchange))


def _record_proposal(benchmark: Benchmark, step: Suggestion, iteration: int, record: Journal) -> None:
    record.record(
        "proposal",
        iteration=iteration,
        architecture=list(step.architecture),
        text=benchmark.space.encode(step.architecture),
        origin=step.origin,
    )


def _evaluate(benchmark: Benchmark, step: Suggestion, iteration: int, record: Journal) -> Evaluation:
    """Return the recorded evaluation where there is one, else evaluate and record."""
    event = record.take("evaluation")
    if event is None:
        begun = time.perf_counter()
        with record.purse.evaluation(benchmark, record, iteration) as taken:
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
            **taken,
        )
    return Evaluation(
        event["validation_accuracy"],
        event["test_accuracy"],
        event["feedback"],
        None if event["parameters"] is None else Cost(event["parameters"], event["macs"]),
        event["source"],
        event.get("failure"),
    )


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
        **({"benchmark_settings": made_by} if made_by else {}),
        **({"first": benchmark.space.key(first)} if first is not None else {}),
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version(), **{name: version(name) for name in ("genius-kit", "openai", "numpy")}}


def _price(proposer: Proposer) -> dict[str, Any] | None:
    """Return the price entry that the run's calls are counted at, None for an unpriced model or no model."""
    from genius_kit.prices import load_prices

    model = proposer.settings.get("model")
    return load_prices().record(model) if model else None


def journal_name(run: dict[str, Any]) -> str:
    """Return the file name of a run: its settings in words, a short hash of all of them, and its seed."""
    import hashlib
    import json
    import re

    settings = {key: value for key, value in run.items() if key != "seed"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    model = run["settings"].get("model")
    words = [run["benchmark"], run["proposer"], *([model] if model else []), digest, f"seed{run['seed']}"]
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words) + ".jsonl"


def finished_seeds(
    benchmark: Benchmark, proposer: Proposer, budget: int, seeds: Sequence[int], output: str | Path
) -> list[int]:
    """Return the seeds whose run `search_many` has finished in the folder `output`."""
    if hasattr(proposer, "load_prompt"):
        proposer.load_prompt(benchmark)
    paths = {seed: Path(output) / journal_name(describe(benchmark, proposer, budget, seed)) for seed in seeds}
    return [seed for seed, path in paths.items() if path.exists() and read_run(path).finished]


def search_many(
    benchmark: Benchmark,
    proposer: str,
    seeds: Sequence[int],
    budget: int = 10,
    workers: int | None = None,
    output: str | Path | None = None,
    progress: bool = True,
    approve: Approver | None = None,
    limits: Limits | None = None,
    allow_unpriced: bool = False,
    reuse: str | Path | None = None,
    **settings: Any,
) -> list[Run]:
    """Run one search a seed, side by side in `workers` threads (all at once by default), in the order of `seeds`.

    With `output`, each run writes a journal there, named by its settings and seed: the same call again resumes
    what is unfinished and leaves alone what is finished. When one fails the others go on; the first error is
    raised at the end. Ctrl-C ends all of them, with the calls under way. `approve`, `limits` (each
    run's own), `allow_unpriced` and `reuse` are as `search` takes them.
    """
    from genius_kit.gate import Gate
    from genius_kit.live_control import Control
    from genius_kit.remote_control import size_of

    first = make_proposer(proposer, benchmark.space, **settings)
    client = getattr(first, "client", None)
    if client is not None:
        settings = {**first.settings, "client": client}  # one client, so one pool of connections
    controls: list[Control] = []
    heard = size_of(output) if output is not None else None
    with Progress(budget * len(seeds)) if progress else nullcontext(None) as watch:

        def one(seed: int) -> Run:
            made = make_proposer(proposer, benchmark.space, **settings)
            path = None
            if hasattr(made, "load_prompt"):
                made.load_prompt(benchmark)  # an edited prompt is another run, with another file
            if output is not None:
                path = Path(output) / journal_name(describe(benchmark, made, budget, seed))
                if path.exists() and read_run(path).finished:
                    return read_run(path)
            control = Control(gate=Gate(approve), folder_from=heard)
            controls.append(control)
            return search(
                benchmark,
                made,
                budget,
                seed,
                path,
                on_event=watch,
                progress=False,
                control=control,
                limits=limits,
                allow_unpriced=allow_unpriced,
                reuse=reuse,
            )

        pool = ThreadPoolExecutor(workers or max(1, len(seeds)))
        futures = [pool.submit(one, seed) for seed in seeds]
        try:
            wait(futures)
        except KeyboardInterrupt as interrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for control in controls:
                control.stop(True, here(str(interrupt) or "Ctrl-C"))
            wait(futures, timeout=INTERRUPT_SECONDS)
            raise
        pool.shutdown()
        return [future.result() for future in futures]


def resume(
    journal: str | Path,
    client: Any = None,
    *,
    approve: Approver | None = None,
    limits: Limits | None = None,
    allow_unpriced: bool = False,
    reuse: str | Path | None = None,
    **beside: Any,
) -> Run:
    """Continue the unfinished run at `journal` with the settings it began with; a finished one is returned as it is.

    `approve` is as `search` takes it; where the run requires approval, it goes on requiring it. The limits on record
    go on too, those of its study included; `limits` replaces those of the run that it names.
    `beside` gives a benchmark that trains what decides no result and is not on record: `executor`, `device`, `cache`.
    """
    from genius_kit.errors import JournalError

    run = read_run(journal)
    if run.finished:
        return run
    if not run.settings:
        raise JournalError(f"{journal} holds no run_started event; start the run again with `genius-kit run`")
    kept = run.settings
    benchmark = _recorded_benchmark(kept, beside)
    settings = {**kept["settings"], **({"client": client} if client is not None else {})}
    proposer = make_proposer(kept["proposer"], benchmark.space, **settings)
    first = benchmark.space.decode(kept["first"]) if "first" in kept else None
    terms = recorded_terms(run.events, Path(journal).parent)
    return search(
        benchmark,
        proposer,
        kept["budget"],
        kept["seed"],
        journal,
        first=first,
        approve=approve,
        approval=run.events[0].get("approval"),
        limits=(limits or Limits()).over(terms.limits),
        allow_unpriced=allow_unpriced or terms.allow_unpriced,
        share=terms.share,
        reuse=reuse,
    )


def _recorded_benchmark(kept: dict[str, Any], beside: dict[str, Any]) -> Benchmark:
    """Return the benchmark that a run's first event names."""
    from genius_kit.benchmarks import load_benchmark

    if made_by := kept.get("benchmark_settings"):
        settings = {key: value for key, value in made_by.items() if key != "kind"}
        return load_benchmark(made_by["kind"], **{**settings, **beside})
    return load_benchmark(
        kept["benchmark"],
        protocol=kept["protocol"],
        fed_run=kept["fed_run"] or 0,
        source="published" if str(kept["source"]).endswith(".json") else "embedded",
        **beside,
    )


def replay_conversation(path: str | Path, journal: str | Path | None = None, strict: bool = False) -> Run:
    """Run the search that a published conversation recorded, from its own replies, and return the record.

    The prompts are the `published` variant; with `strict` a prompt that differs from the recorded one is refused
    (ReplayMismatch), else it is counted in the client's `mismatches`. Needs no key and no network.
    """
    from genius_kit.conversations import RecordedBenchmark, read_conversation
    from genius_kit.llm import ReplayClient

    conversation = read_conversation(path)
    benchmark = RecordedBenchmark(conversation)
    proposer = make_proposer(
        "llm",
        benchmark.space,
        client=ReplayClient.from_turns(conversation.turns, strict, source=conversation.source),
        prompt="published",
        conversation=str(path),
        rejections_limit=20,
        on_exhausted="stop",
    )
    accepted = sum(turn.accepted for turn in conversation.turns)
    return search(benchmark, proposer, accepted, 0, journal, progress=False)
