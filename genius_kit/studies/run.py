"""Running a study: its runs go to threads, processes or an executor, a table on the terminal tells how far."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import shared_table, source_kind
from genius_kit.budget.ledger import Share, study_ledger
from genius_kit.budget.spending import adopt
from genius_kit.chat import OFFLINE
from genius_kit.errors import BudgetSpent, GeniusKitError, InvalidParameter, ModelError, StudyFailed, VersionMismatch
from genius_kit.journal import Event, Run, read_run
from genius_kit.llm.agents import AbsentAgent
from genius_kit.llm.connection import check_models
from genius_kit.pools import Lane, Scheduler, is_stopping, process_lane, thread_lane
from genius_kit.progress import progress_form
from genius_kit.proposers.base import Proposer, make_proposer
from genius_kit.records import RankRange
from genius_kit.runs.approval import Gate
from genius_kit.runs.live_control import Control
from genius_kit.runs.loop import describe, first_architecture, journal_path, search
from genius_kit.runs.remote import how_to_go_on, size_of, stops_study, why_stopped
from genius_kit.spaces import SearchSpace
from genius_kit.studies.file import load_study, study_names
from genius_kit.studies.plan import Arm, Study, Task, shard_of
from genius_kit.studies.results import curves, read_results, results_of, summary
from genius_kit.texts import in_line, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.llm import ChatClient

__all__ = ["Arm", "Study", "Task", "curves", "load_study", "places", "results", "run_study", "study_names", "summary"]

results = read_results
FAILURES_SHOWN = 10
_KINDS = ((thread_lane, True), (process_lane, False))  # whether a run asks a model
PATIENCE_SECONDS = 60.0
"""How long a run waits for its journal: a worker that was killed frees it, one that is being stopped needs a moment."""
PLAIN_SECONDS = 10.0  # between two plain lines


def run_study(
    study: Study | str | Path,
    output: str | Path = "studies",
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    shard: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run what is unfinished of a study, one journal per run, and return `results` of its runs.

    Runs that ask a model go to threads, the others to processes of this machine. Optimisers that begin with a model's
    proposals come last and take those that the reference arm has on record: both begin alike, nothing is asked twice.
    A run that fails does not stop the others. The same call again runs what is unfinished and leaves what is finished,
    also after an interruption or a kill. Warns before the first request of a model that its server does not list. The
    files of agents among the models are imported here.

    Parameters
    ----------
    study
        A study, its name, or the path of its file.
    output
        Journals go to `output`/name.
    executor
        Any of `concurrent.futures`, which takes all runs and has to see `output`.
    workers
        Number of threads, and of processes.
    shard
        "I/N" takes every N-th run; None takes all.
    progress
        Show a progress bar.

    Raises
    ------
    StudyFailed
        At the end, where runs failed; names each.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if workers is not None and workers < 1:
        raise InvalidParameter(f"workers must be at least 1, got {workers}")
    tasks, paths = places(study, output, shard)
    heard = size_of(Path(output).resolve() / study.name)
    jobs = [Job(task, str(path), heard=heard) for task, path in zip(tasks, paths, strict=True)]
    known = {job.task.order: outcome_of(job.task, run) for job in jobs if (run := _finished(job.path)) is not None}
    rest = [job for job in jobs if job.task.order not in known]
    asked = [job.task for job in rest if job.task.talks and job.task.agent is None]
    check_models((task.settings.get("base_url"), str(task.settings.get("model", OFFLINE))) for task in asked)
    for agent in {job.task.agent.model: job.task.agent for job in rest if job.task.agent is not None}.values():
        agent.check()
    if study.money.limits is not None:
        adopt(Path(output).resolve() / study.name)
    with StudyProgress(tasks, shown=progress) as watch:
        watch.update(list(known.values()), ())
        failures = _fly(rest, executor, workers, watch)
    if failures:
        raise _failed(study, {task.order: task for task in tasks}, failures)
    return results_of(tasks, paths)


def unfinished(study: Study, output: str | Path = "studies") -> tuple[Task, ...]:
    """Return the runs of a study that are not finished under `output`."""
    return tuple(task for task, path in zip(*places(study, output), strict=True) if _finished(path) is None)


def places(study: Study, output: str | Path, shard: str | None = None) -> tuple[tuple[Task, ...], list[Path]]:
    """Return the runs of a study, each with its journal; reads the tables.

    Parameters
    ----------
    study
        The study.
    output
        The folder of studies.
    shard
        "I/N" takes every N-th run; None takes all.

    Raises
    ------
    DataMissing
        A table is not here.
    InvalidParameter
        Two arms are the same run.
    """
    plan = tuple(pinned(task) for task in study.plan())
    tasks = shard_of(plan, shard)
    paths = locate(tasks, Path(output).resolve())
    seen: dict[Path, Task] = {}
    for task, path in zip(tasks, paths, strict=True):
        if path in seen:
            raise InvalidParameter(
                f"{task.title} and {seen[path].title} are one and the same run: leave out one of the arms"
            )
        seen[path] = task
    return tasks, paths


def _finished(path: str | Path) -> Run | None:
    """Return the run of a journal that says that it is finished, None where there is none."""
    run = read_run(path) if Path(path).exists() else None
    return run if run is not None and run.finished else None


def _fly(jobs: Sequence[Job], executor: Executor | None, workers: int | None, watch: StudyProgress) -> list[Outcome]:
    """Run the jobs and return what failed."""
    failures: list[Outcome] = []
    scheduler, done, paths = _scheduler(), 0, {job.task.order: Path(job.path) for job in jobs}
    try:
        for wave in ([job for job in jobs if job.task.follows == last] for last in (False, True)):
            scheduler = _scheduler()
            _start(scheduler, wave, executor, workers)
            for came in scheduler.outcomes():
                outcomes = [] if came is None else [_seen(came, paths[came.order])]
                failures += [outcome for outcome in outcomes if outcome.failure is not None]
                done += sum(outcome.failure is None for outcome in outcomes)
                watch.update(outcomes, [job.task.order for job in scheduler.running()])
    except KeyboardInterrupt:
        scheduler.halt()
        raise KeyboardInterrupt(
            f"{len(jobs) - done} of {len(jobs)} runs are unfinished; the same command again resumes them"
        ) from None
    finally:
        forget_clients()
    return failures


def _scheduler() -> Scheduler:
    return Scheduler(lost=lambda job, why: Outcome(job.task.order, failure=why))


def _start(scheduler: Scheduler, jobs: Sequence[Job], executor: Executor | None, workers: int | None) -> None:
    """Send runs that ask a model to threads and the others to processes, or all of them to an executor of others."""
    if executor is not None:
        lanes = [(Lane(executor, run_job, workers or getattr(executor, "_max_workers", None)), list(jobs))]
    else:
        kinds = [(make, [job for job in jobs if job.task.talks == talks]) for make, talks in _KINDS]
        lanes = [(make(run_job, workers, len(ours)), ours) for make, ours in kinds if ours]
    for lane, ours in lanes:
        batch = min(lane.side_by_side or len(ours), len(ours))
        scheduler.start(lane, [replace(job, batch=batch) for job in ours])


def _seen(outcome: Outcome, path: Path) -> Outcome:
    """Return the outcome, or that its journal is nowhere to be seen: a worker may have written to a disk of its own."""
    if outcome.failure is None and not path.exists():
        missing = f"its worker wrote no {path}: give as output a folder that all machines share"
        return Outcome(outcome.order, failure=missing)
    return outcome


def _failed(study: Study, tasks: dict[int, Task], failures: Sequence[Outcome]) -> StudyFailed:
    """Return the error that says which runs failed, and why, equal reasons told once."""
    reasons: dict[str, list[str]] = {}
    for outcome in sorted(failures, key=lambda outcome: outcome.order):
        reasons.setdefault(str(outcome.failure), []).append(tasks[outcome.order].title)
    told = [
        f"- {reason}\n  {len(titles)}: {'; '.join(titles[:FAILURES_SHOWN])}{'; ...' if titles[FAILURES_SHOWN:] else ''}"
        for reason, titles in list(reasons.items())[:FAILURES_SHOWN]
    ]
    rest = len(reasons) - len(told)
    return StudyFailed(
        "\n".join(
            [
                f"{len(failures)} of the {len(tasks)} runs of {study.name} failed; the same command again resumes them",
                *told,
                *([f"- and {rest} other reasons"] if rest else []),
            ]
        ),
        only_model=all(outcome.is_model for outcome in failures),
        only_limits=all(outcome.is_limit for outcome in failures),
        reasons={outcome.order: str(outcome.failure) for outcome in failures},
    )


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
    """Result of one run, as plain values: the middle of its best ranks among `rank_of`, or why it failed.

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
        first = first_architecture(task.first, benchmark.space, task.seed, benchmark.known)
        named = {**known[group], "seed": task.seed}
        named |= {"first": benchmark.space.key(first)} if first is not None else {}
        paths.append(journal_path(Path(output) / task.study, named))
    return paths


def pinned(task: Task) -> Task:
    """Return the task with the source of its table named, so that every worker reads the same one."""
    return replace(task, source=source_kind(benchmark_of(task).source))


def run_job(job: Job, stop: Callable[[], bool] = is_stopping) -> Outcome:
    """Run a job until `stop()`, from where its journal ends, and return its outcome, an error included."""
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
    if (known := _finished(path)) is not None:
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
        first=first_architecture(task.first, benchmark.space, task.seed, benchmark.known),
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
    """Return the benchmark of a task, read once per process."""
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
        client = _client(task.proposer, benchmark.space, json.dumps(task.settings, sort_keys=True))
    made = make_proposer(task.proposer, benchmark.space, **task.settings, client=client)
    made.load_prompt(benchmark)  # an edited prompt is another run, with another file
    return made


_MAKING = threading.Lock()


def _client(proposer: str, space: SearchSpace, settings: str) -> ChatClient:
    reached = tuple(os.environ.get(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
    with _MAKING:
        return _made_client(proposer, space, settings, reached)


@lru_cache(maxsize=64)
def _made_client(proposer: str, space: SearchSpace, settings: str, reached: tuple[str | None, ...]) -> ChatClient:
    made: Any = make_proposer(proposer, space, **json.loads(settings))
    client: ChatClient = made.client
    return client


def forget_clients() -> None:
    """Let go of the clients that the runs of this process shared, so that their connections close with the last run."""
    _made_client.cache_clear()


class StudyProgress:
    """Counts the outcomes of the runs in `tasks`; `GENIUS_KIT_PROGRESS` chooses "bar", "plain" or "none"."""

    def __init__(self, tasks: Sequence[Task], shown: bool = True) -> None:
        self._arms = {task.order: _row(task) for task in tasks}
        self._single = len({task.benchmark for task in tasks}) == 1
        self._outcomes: dict[int, Outcome] = {}
        self._running: set[int] = set()
        self._form = progress_form() if shown else "none"
        self._live: Any = None
        self._told = time.monotonic()

    def __enter__(self) -> StudyProgress:
        if self._form == "bar":
            from rich.console import Console
            from rich.live import Live

            self._live = Live(get_renderable=self.table, console=Console(file=sys.stderr), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._form == "plain":
            self._print()

    def update(self, outcomes: Sequence[Outcome], running: Sequence[int]) -> None:
        """Take note of what came, and of what is under way."""
        self._outcomes.update({outcome.order: outcome for outcome in outcomes})
        self._running = set(running) - set(self._outcomes)
        if self._form == "plain" and time.monotonic() - self._told >= PLAIN_SECONDS:
            self._print()

    def table(self) -> Table:
        """Return the table as it stands: one row per arm, then all of them."""
        from rich.table import Table
        from rich.text import Text  # as it is: a plain string would be read as markup

        table = Table("arm", *("done", "running", "failed", "of", self._measure()))
        for column in table.columns[1:]:
            column.justify = "right"
        for arm in dict.fromkeys(self._arms.values()):
            orders = [order for order, other in self._arms.items() if other == arm]
            table.add_row(Text(in_line(arm)), *self._cells(orders))
        table.add_section()
        table.add_row("all", *self._cells(list(self._arms))[:-1], "")
        return table

    def _measure(self) -> str:
        return "mean rank" if self._single else "mean top %"  # ranks of tables of several sizes have no mean

    def _cells(self, orders: Sequence[int]) -> list[str]:
        came = [self._outcomes[order] for order in orders if order in self._outcomes]
        done = [outcome for outcome in came if outcome.failure is None]
        ranks = [
            outcome.rank if self._single else 100 * outcome.rank / outcome.rank_of
            for outcome in done
            if outcome.rank is not None and outcome.rank_of is not None
        ]
        mean = f"{sum(ranks) / len(ranks):.{1 if self._single else 2}f}" if ranks else "-"
        running = len(self._running.intersection(orders))
        return [str(len(done)), str(running), str(len(came) - len(done)), str(len(orders)), mean]

    def _print(self) -> None:
        self._told = time.monotonic()
        done, _, failed, total, _ = self._cells(list(self._arms))
        failures = f", {failed} failed" if failed != "0" else ""
        say(f"{done} of {total} runs{failures}", file=sys.stderr, flush=True)


def _row(task: Task) -> str:
    told = [str(task.settings[key]) for key in ("model", "prompt") if key in task.settings]
    return " ".join([task.arm, *([f"({', '.join(told)})"] if told else [])])
