"""Notebooks run without a browser, side by side, into pages that open offline and an index of them.

Each notebook is a process of its own (papermill over a kernel of the running interpreter); threads wait for
them. Nothing is written under its final name before it is complete and free of secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genius_kit.errors import GeniusKitError, InvalidParameter, NotebookFailed, UnknownName
from genius_kit.pools import usable_cores
from genius_kit.reports import pages
from genius_kit.reports.folders import GRID, own_folder, ready_folder
from genius_kit.reports.grids import label_of, read_grid
from genius_kit.reports.index import write_index
from genius_kit.reports.jobs import GET_DATA, Job, NotebookResult, execute_job, kept_result, run_job
from genius_kit.reports.notebooks import missing_data, notebook_folder, notebooks_in
from genius_kit.reports.parameters import Declared, check_known, check_parameters, declared_in, parse_settings
from genius_kit.reports.progress import Running, landing

__all__ = ["GET_DATA", "NotebookResult", "missing_data", "notebook_folder", "read_settings", "report", "run_notebook"]


def run_notebook(
    path: str | os.PathLike[str],
    output_folder: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    *,
    time_limit: float | None = None,
    pdf: bool = False,
) -> NotebookResult:
    """Execute the notebook at `path` and write `NAME.ipynb` and `NAME.html` into `output_folder`.

    `timeout` is the limit for one cell in seconds, `time_limit` that for the notebook, None for no limit. The notebook
    runs in its own folder with the interpreter that runs this function; where it declares a parameter `output_folder`
    and none is given, that parameter is set to ours. The page loads nothing from the network; `pdf` prints it as well.
    The metadata of the executed notebook hold its parameters, and the versions and SHA-256 of what it ran with.

    Raises UnknownName (no such file), InvalidParameter (misspelt, of the wrong type, or like a secret; a folder that
    cannot be written), NotebookFailed (a cell raised, ran out of time, lost its kernel, or printed a secret). A failed
    run is kept as `NAME.failed.ipynb` and `NAME.failed.html`, the cell marked; one that printed a secret is not kept.
    """
    source, given = Path(path).resolve(), dict(parameters or {})
    if not source.is_file():
        raise UnknownName(f"no notebook lies at {os.fspath(path)}")
    declared = declared_in(source)
    check_parameters(source.name, given, declared)
    if pdf:
        pages.check_pdf()
    folder = ready_folder(Path(output_folder).resolve())
    return execute_job(Job(source, folder, given, declared, cell_limit=timeout, time_limit=time_limit, pdf=pdf))


def report(
    notebook_folder: str | os.PathLike[str] = "notebooks",
    output_folder: str | os.PathLike[str] = "reports",
    workers: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    grid: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    force: bool = False,
    time_limit: float | None = None,
    pdf: bool = False,
    on_result: Callable[[NotebookResult], None] | None = None,
    on_look: Callable[[Sequence[Running], int], None] | None = None,
) -> list[NotebookResult]:
    """Run the notebooks of a folder whose data is there, `workers` at a time (two cores or more: 2), into an index.

    All of them, those called `names`, or those of a `grid` file (see `reports.grids`). One that is done with the same
    parameters, code, cells and data is not run again unless `force`. A notebook names what it needs in its metadata,
    `{"genius_kit": {"needs": ["nas-bench-macro"]}}`; one that lacks data is listed with the command that gets it. A
    notebook that fails or takes longer than `time_limit` seconds is recorded and the others go on. `parameters` go to
    every notebook that declares them. `executor` is any concurrent.futures.Executor whose workers see the same files;
    threads by default. `on_result` is called with each result as it comes, `on_look` every second with what is running
    and how many notebooks are left.

    Raises InvalidParameter before anything runs for a parameter that no notebook declares, a grid with a mistake, a
    folder that cannot be written, or a PDF that nothing here can make; UnknownName for a notebook that is not there.
    """
    folder = Path(output_folder).resolve()
    workers = workers or min(2, usable_cores())
    settings = {"time_limit": time_limit, "pdf": pdf, "force": force, "threads": _threads(workers)}
    if grid is None:
        jobs = _plain_jobs(notebooks_in(notebook_folder, names), folder, dict(parameters or {}), settings)
    elif names or parameters:
        raise InvalidParameter("a grid names its notebooks and their parameters itself: give one or the other")
    else:
        jobs = _grid_jobs(Path(grid), Path(notebook_folder), folder, settings)
    if pdf:
        pages.check_pdf()
    with own_folder(ready_folder(folder)):
        results = _run(jobs, executor, workers, on_result or _ignore, on_look or _ignore)
        write_index(results, folder)
    return results


def read_settings(
    notebook_folder: str | os.PathLike[str], names: Sequence[str] | None, texts: Sequence[str]
) -> dict[str, Any]:
    """Return the parameters that `texts` such as "budget=5" name, of the type that the notebooks declare.

    Raises InvalidParameter for a text without "=", a name that comes twice, and a value of another type.
    """
    return parse_settings(texts, [_declared(path) for path in notebooks_in(notebook_folder, names)] if texts else [])


def _plain_jobs(notebooks: Sequence[Path], folder: Path, given: dict[str, Any], settings: dict[str, Any]) -> list[Job]:
    """Return a job a notebook, each with those of the `given` parameters that it declares."""
    declared = {path: _declared(path) for path in notebooks}
    check_known(given, declared.values())
    jobs = []
    for path, known in declared.items():
        own = {name: value for name, value in given.items() if name in known}
        check_parameters(path.name, own, known)
        jobs.append(Job(path.resolve(), folder, own, known, **settings))
    return jobs


def _grid_jobs(grid: Path, notebooks: Path, folder: Path, settings: dict[str, Any]) -> list[Job]:
    """Return a job for each set of parameters, each with a folder of its own."""
    jobs = []
    for path, given in read_grid(grid, {one.stem: one for one in notebooks_in(notebooks)}):
        label = label_of(given)
        own = folder / GRID / path.stem / label
        jobs.append(Job(path.resolve(), own, given, declared_in(path), label=label, **settings))
    return jobs


def _declared(path: Path) -> Declared:
    try:
        return declared_in(path)
    except NotebookFailed:  # told in its turn, so that the others go on
        return {}


def _threads(workers: int) -> int:
    """Return how many threads each notebook computes with, so that all together use every core once."""
    return max(1, usable_cores() // workers)


def _ignore(*_told: Any) -> None:
    pass


def _run(
    jobs: Sequence[Job],
    executor: Executor | None,
    workers: int,
    tell: Callable[[NotebookResult], None],
    look: Callable[[Sequence[Running], int], None],
) -> list[NotebookResult]:
    """Return the results in the order of the jobs, told as they come; what is done already is told first."""
    found = {index: _kept(job) for index, job in enumerate(jobs)}
    landed = {index: result for index, result in found.items() if result is not None}
    for result in landed.values():
        tell(result)
    waiting = [index for index in found if index not in landed]
    for job in (jobs[index] for index in waiting):
        ready_folder(job.folder)
    if waiting:
        with _pool(executor, min(workers, len(waiting))) as pool:
            running = {index: Running(f"{jobs[index].source.stem} {jobs[index].label}".rstrip()) for index in waiting}
            told = {index: (running[index].at,) if executor is None else () for index in waiting}
            futures = {pool.submit(run_job, jobs[index], *told[index]): index for index in waiting}
            for future in landing({future: running[index] for future, index in futures.items()}, look):
                index = futures[future]
                landed[index] = _landed(future, jobs[index])
                tell(landed[index])
    return [landed[index] for index in range(len(jobs))]


def _kept(job: Job) -> NotebookResult | None:
    try:
        result = kept_result(job)
    except GeniusKitError:  # told when it runs
        return None
    return None if result is not None and job.pdf and result.pdf is None else result


@contextmanager
def _pool(executor: Executor | None, workers: int) -> Iterator[Executor]:
    """Give the caller's executor, or threads of ours, whose notebooks not yet begun are dropped on an interrupt."""
    if executor is not None:
        yield executor
        return
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _landed(future: Future[NotebookResult], job: Job) -> NotebookResult:
    """Return what came of a job, also where its worker was lost."""
    try:
        return future.result()
    except Exception as error:  # the others go on; it is told in the index
        told = f"{type(error).__name__}: {error}"
        lost = f"the worker gave no answer ({told}); the same command again runs it"
        return NotebookResult(
            job.source.stem, job.source.stem, "failed", error=lost, given=job.parameters, label=job.label
        )
