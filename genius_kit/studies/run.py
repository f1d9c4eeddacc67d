"""Studies: many runs - arms x models x prompts x benchmarks x seeds - on any executor, and what came of them.

Every run is a journal of its own, so a study is resumed by the call that began it, on any number of machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit.budget.spending import adopt
from genius_kit.chat import OFFLINE
from genius_kit.errors import InvalidParameter, StudyFailed
from genius_kit.journal import read_run
from genius_kit.llm.connection import check_models
from genius_kit.pools import Lane, Scheduler, foreign_lane, process_lane, thread_lane
from genius_kit.runs.remote import size_of
from genius_kit.studies.file import load_study, study_names
from genius_kit.studies.outcomes import curves, read_results, results_of
from genius_kit.studies.plan import Arm, Study, Task, shard_of
from genius_kit.studies.progress import StudyProgress
from genius_kit.studies.summaries import summary
from genius_kit.studies.tasks import Job, Outcome, forget_clients, locate, outcome_of, pinned, run_jobs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Arm", "Study", "Task", "curves", "load_study", "places", "results", "run_study", "study_names", "summary"]

results = read_results
FAILURES_SHOWN = 10


def run_study(
    study: Study | str | Path,
    output: str | Path = "studies",
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    shard: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run what is unfinished of a study, one journal a run under `output`/name, and return `results` of its runs.

    Runs that ask a model go to threads, the others to processes of this machine, `workers` of each; `executor`, any of
    `concurrent.futures`, takes all of them instead and has to see `output`. Optimisers that begin with a model's
    proposals come last and take those that the plain arm has on record: both begin alike, and nothing is asked twice.
    `shard` "I/N" takes every N-th run.
    One that fails does not stop the others: StudyFailed, which names each, is raised at the end. The same call again
    runs what is unfinished and leaves alone what is finished, also after an interruption or a kill. Warns before the
    first request of a model that its server does not list. The files of agents among the models are imported here.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if workers is not None and workers < 1:
        raise InvalidParameter(f"workers is {workers}; expected at least 1")
    tasks, paths = places(study, output, shard)
    heard = size_of(Path(output).resolve() / study.name)
    jobs = [Job(task, str(path), heard=heard) for task, path in zip(tasks, paths, strict=True)]
    known = _finished(jobs)
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
    pairs = zip(*places(study, output), strict=True)
    return tuple(task for task, path in pairs if not (path.exists() and read_run(path).finished))


def places(study: Study, output: str | Path, shard: str | None = None) -> tuple[tuple[Task, ...], list[Path]]:
    """Return the runs of a study, each with its journal; reads the tables, raises DataMissing without them.

    Raises InvalidParameter where two arms come to the same run.
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


def _finished(jobs: Sequence[Job]) -> dict[int, Outcome]:
    """Return the outcomes of the runs whose journal says that they are finished."""
    runs = ((job.task, read_run(job.path)) for job in jobs if Path(job.path).exists())
    return {task.order: outcome_of(task, run) for task, run in runs if run.finished}


def _fly(jobs: Sequence[Job], executor: Executor | None, workers: int | None, watch: StudyProgress) -> list[Outcome]:
    """Run the jobs and return what failed."""
    failures: list[Outcome] = []
    scheduler, done, paths = _scheduler(), 0, {job.task.order: Path(job.path) for job in jobs}
    try:
        for wave in ([job for job in jobs if job.task.follows == last] for last in (False, True)):
            scheduler = _scheduler()
            _start(scheduler, wave, executor, workers)
            for outcomes in scheduler.outcomes():
                outcomes = [_seen(outcome, paths[outcome.order]) for outcome in outcomes]
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
    return Scheduler(
        begun=lambda job: Path(job.path).exists(), lost=lambda job, why: Outcome(job.task.order, failure=why)
    )


def _start(scheduler: Scheduler, jobs: Sequence[Job], executor: Executor | None, workers: int | None) -> None:
    if executor is not None and jobs:
        _send(scheduler, foreign_lane(run_jobs, executor, workers), jobs)
    elif jobs:
        for make, talks in ((thread_lane, True), (process_lane, False)):
            ours = [job for job in jobs if job.task.talks == talks]
            if ours:
                _send(scheduler, make(run_jobs, workers, len(ours)), ours)


def _send(scheduler: Scheduler, lane: Lane, jobs: Sequence[Job]) -> None:
    batch = lane.batch(len(jobs))
    scheduler.start(lane, [replace(job, batch=batch) for job in jobs])


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
