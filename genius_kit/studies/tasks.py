"""One run of a study, in any process: where its journal lies, how it is run, and what came of it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import shared_table, source_kind
from genius_kit.budget.ledger import Share, study_ledger
from genius_kit.errors import BudgetSpent, GeniusKitError, ModelError, VersionMismatch
from genius_kit.journal import Event, Run, read_run
from genius_kit.llm.agents import AbsentAgent
from genius_kit.pools import is_stopping
from genius_kit.proposers.base import Proposer, make_proposer
from genius_kit.records import RankRange
from genius_kit.runs.approval import Gate
from genius_kit.runs.live_control import Control
from genius_kit.runs.loop import describe, journal_name, search
from genius_kit.runs.remote import how_to_go_on, stops_study, why_stopped
from genius_kit.spaces import load_space
from genius_kit.studies.plan import Task, first_architecture

if TYPE_CHECKING:
    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.llm import ChatClient

PATIENCE_SECONDS = 60.0
"""How long a run waits for its journal: a worker that was killed frees it, one that is being stopped needs a moment."""


@dataclass(frozen=True)
class Job:
    """A task with the file of its journal; `batch` is how many runs go side by side.

    `heard` is how much of the study's file of commands was there when it began, in bytes: that was meant for others.
    """

    task: Task
    path: str
    batch: int | None = None
    heard: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a run, as plain values: the middle of its best design's ranks among `rank_of`, or why it failed.

    `failure` is None for a run that is finished, and "stopped" for one that was told to stop; `is_model` and
    `is_limit` say that a model could not be reached, or that a limit of what may be spent ended it.
    """

    order: int
    rank: float | None = None
    rank_of: int | None = None
    failure: str | None = None
    is_model: bool = False
    is_limit: bool = False


class Stopped(Exception):
    """Raised inside a run between two lines of its journal: the study is being stopped."""


def locate(tasks: Sequence[Task], output: str | Path) -> list[Path]:
    """Return the journal of each task under `output`/study, named as `search_many` names it."""
    known: dict[str, dict[str, Any]] = {}
    paths = []
    for task in tasks:
        group = json.dumps([task.benchmark, task.source, task.proposer, task.settings, task.budget], sort_keys=True)
        benchmark = benchmark_of(task)
        if group not in known:
            given = {} if task.agent is None else {"client": AbsentAgent(task.agent.model, task.agent.sha256)}
            made = make_proposer(task.proposer, benchmark.space, **task.settings, **given)
            made.load_prompt(benchmark)  # an edited prompt is another run, with another file
            known[group] = describe(benchmark, made, task.budget, 0)
        first = first_architecture(task.first, benchmark.space, task.seed)
        named = {**known[group], "seed": task.seed}
        named |= {"first": benchmark.space.key(first)} if first is not None else {}
        paths.append(Path(output) / task.study / journal_name(named))
    return paths


def pinned(task: Task) -> Task:
    """Return the task with the source of its table named, so that every worker reads the same one."""
    return replace(task, source=source_kind(benchmark_of(task).source))


def run_jobs(jobs: Sequence[Job], stop: Callable[[], bool] = is_stopping) -> list[Outcome]:
    """Run some jobs one after the other until `stop()`; each has its outcome, whatever happens to the others."""
    return [_run(job, stop) for job in jobs]


def _run(job: Job, stop: Callable[[], bool]) -> Outcome:
    try:
        run = _search(job, stop)
        if not run.finished:
            return Outcome(job.task.order, failure=_ended_early(run))
        return outcome_of(job.task, run)
    except Stopped:
        return Outcome(job.task.order, failure="stopped")
    except GeniusKitError as error:
        kinds = {"is_model": isinstance(error, ModelError), "is_limit": isinstance(error, BudgetSpent)}
        return Outcome(job.task.order, failure=str(error), **kinds)
    except Exception as error:  # the others go on; what it was is told at the end
        return Outcome(job.task.order, failure=f"{type(error).__name__}: {error}")


def _search(job: Job, stop: Callable[[], bool]) -> Run:
    from genius_kit.version import __version__

    task, path = job.task, Path(job.path)
    if task.version != __version__:
        raise VersionMismatch(
            f"planned by genius-kit {task.version}, but this worker has genius-kit {__version__}: "
            "install the same version on every machine"
        )
    if path.exists() and (known := read_run(path)).finished:
        return known

    def watch(event: Event) -> None:
        if stop():
            raise Stopped

    if stop() or stops_study(path.parent, job.heard):
        raise Stopped
    benchmark = benchmark_of(task)
    return search(
        benchmark,
        _proposer(task, benchmark),
        task.budget,
        task.seed,
        path,
        on_event=watch,
        progress=False,
        first=first_architecture(task.first, benchmark.space, task.seed),
        study={"name": task.study, "arm": task.arm, "order": task.order, "batch": job.batch},
        patience=PATIENCE_SECONDS,
        approval=task.approval,
        control=Control(gate=Gate(rule=task.approval), folder_from=job.heard),
        limits=task.money.run_limits,
        allow_unpriced=task.money.allow_unpriced,
        reuse=path.parent if task.money.reuse or task.follows else None,
        share=Share(study_ledger(path.parent), task.money.limits) if task.money.limits else None,
    )


def _ended_early(run: Run) -> str:
    return f"{why_stopped(run) or 'ended before its end'}; to go on: {how_to_go_on(run)}"


def outcome_of(task: Task, run: Run) -> Outcome:
    """Return the outcome of a finished run."""
    rank = RankRange.of_best(run.of("evaluation"))
    return Outcome(task.order) if rank is None else Outcome(task.order, rank.mean, rank.of)


def benchmark_of(task: Task) -> TabularBenchmark:
    """Return the benchmark of a task, read once a process."""
    return task.table or shared_table(task.benchmark, task.protocol, task.fed_run, task.source, task.objectives)


def _proposer(task: Task, benchmark: TabularBenchmark) -> Proposer:
    """Return the proposer of a task; the runs of one process that ask one model share a client, so its connections.

    Each run of an agent has a client of its own.
    """
    if not task.talks:
        return make_proposer(task.proposer, benchmark.space, **task.settings)
    if task.agent is not None:
        client: ChatClient = task.agent.client(task.key)
    else:
        client = _client(task.proposer, benchmark.space.name, json.dumps(task.settings, sort_keys=True))
    made = make_proposer(task.proposer, benchmark.space, **task.settings, client=client)
    made.load_prompt(benchmark)  # an edited prompt is another run, with another file
    return made


_MAKING = threading.Lock()


def _client(proposer: str, space: str, settings: str) -> ChatClient:
    reached = tuple(os.environ.get(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
    with _MAKING:
        return _made_client(proposer, space, settings, reached)


@lru_cache(maxsize=64)
def _made_client(proposer: str, space: str, settings: str, reached: tuple[str | None, ...]) -> ChatClient:
    made: Any = make_proposer(proposer, load_space(space), **json.loads(settings))
    client: ChatClient = made.client
    return client


def forget_clients() -> None:
    """Let go of the clients that the runs of this process shared, so that their connections close with the last run."""
    _made_client.cache_clear()
