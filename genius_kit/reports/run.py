"""Reports: notebooks run side by side into pages with an index, and what is said of them while they run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from types import TracebackType
from typing import Any

from genius_kit.errors import GeniusKitError, InvalidParameter, NotebookFailed, UnknownName
from genius_kit.pools import Lane, Scheduler, usable_cores
from genius_kit.progress import progress_form
from genius_kit.reports import pages
from genius_kit.reports.index import write_index
from genius_kit.reports.jobs import GET_DATA, Job, NotebookResult, execute_job, failed, kept_result, run_job
from genius_kit.reports.parameters import (
    Declared,
    check_known,
    check_parameters,
    declared_in,
    label_of,
    notebook_folder,
    notebooks_in,
    parse_settings,
    plain_values,
    read_grid,
    value_points,
)
from genius_kit.reports.records import GRID, own_folder, ready_folder
from genius_kit.texts import say

__all__ = ["GET_DATA", "NotebookResult", "notebook_folder", "read_settings", "read_values", "report", "run_notebook"]

PLAIN_SECONDS = 5.0  # between two lines in a log


def run_notebook(
    path: str | os.PathLike[str],
    output_folder: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    *,
    time_limit: float | None = None,
    pdf: bool = False,
) -> NotebookResult:
    """Execute one notebook and write `NAME.ipynb` and `NAME.html`, a page that loads nothing from the network.

    It runs in its own folder, with the interpreter of this process. The metadata of the executed notebook hold its
    parameters, and the versions and SHA-256 of what it ran with. A failed run is kept as `NAME.failed.ipynb` and
    `NAME.failed.html` with the cell marked, unless it printed a secret.

    Parameters
    ----------
    path
        The notebook.
    output_folder
        Where the results go; also the notebook's parameter `output_folder` where it declares one and none is given.
    parameters
        Values for the cell tagged `parameters`.
    timeout
        Seconds per cell; None is no limit.
    time_limit
        Seconds for the notebook; None is no limit.
    pdf
        Print the page as PDF as well.

    Raises
    ------
    UnknownName
        No such file.
    InvalidParameter
        A parameter that is misspelt, of the wrong type or like a secret; a folder that cannot be written.
    NotebookFailed
        A cell raised, ran out of time, lost its kernel, or printed a secret.
    """
    source, given = Path(path).resolve(), plain_values(parameters)
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
    grid: str | os.PathLike[str] | Mapping[str, Sequence[Any]] | None = None,
    executor: Executor | None = None,
    force: bool = False,
    time_limit: float | None = None,
    pdf: bool = False,
    on_result: Callable[[NotebookResult], None] | None = None,
    on_look: Callable[[Sequence[Running], int], None] | None = None,
) -> list[NotebookResult]:
    """Run the notebooks of a folder whose data is there and write an index of their pages.

    A notebook that is done with the same parameters, code, cells and data is not run again. It names what it needs in
    its metadata, `{"genius_kit": {"needs": ["nas-bench-macro"]}}`; one that lacks data is listed with the command that
    gets it. One that fails is recorded and the others go on.

    Parameters
    ----------
    notebook_folder
        Where the notebooks are.
    output_folder
        Where executed notebooks, pages and index.html go.
    workers
        Notebooks at a time; default 2 where there are two cores.
    parameters
        Go to every notebook that declares them.
    names
        Which notebooks; all by default.
    grid
        A file that names notebooks with several sets of parameters, or several values of parameters of `names`.
    executor
        Any `concurrent.futures.Executor` whose workers see the same files; threads by default.
    force
        Run also what is done.
    time_limit
        Seconds per notebook; None is no limit.
    pdf
        Print the pages as PDF as well.
    on_result
        Called with each result when it is there.
    on_look
        Called every second with what is running and the number of notebooks left.

    Raises
    ------
    InvalidParameter
        Before anything runs: a parameter that no notebook declares, a grid with a mistake, a folder that cannot be
        written, or a PDF that nothing here can make.
    UnknownName
        A notebook that is not there.
    """
    folder = Path(output_folder).resolve()
    workers = workers or min(2, usable_cores())
    settings = {"time_limit": time_limit, "pdf": pdf, "force": force, "threads": max(1, usable_cores() // workers)}
    if grid is None:
        jobs = _plain_jobs(notebooks_in(notebook_folder, names), folder, plain_values(parameters), settings)
    elif isinstance(grid, Mapping):
        if not names:
            raise InvalidParameter("values of a grid need the names of notebooks, such as 01_search")
        points = value_points(notebooks_in(notebook_folder, names), plain_values(parameters), grid)
        jobs = _grid_jobs(points, folder, settings)
    elif names or parameters:
        raise InvalidParameter("a grid names its notebooks and their parameters itself: give one or the other")
    else:
        known = {one.stem: one for one in notebooks_in(Path(notebook_folder))}
        jobs = _grid_jobs(read_grid(Path(grid), known), folder, settings)
    if pdf:
        pages.check_pdf()
    with own_folder(ready_folder(folder)):
        results = _run(jobs, executor, workers, on_result or (lambda _: None), on_look or (lambda *_: None))
        write_index(results, folder)
    return results


def read_settings(
    notebook_folder: str | os.PathLike[str], names: Sequence[str] | None, texts: Sequence[str]
) -> dict[str, Any]:
    """Return the parameters that `texts` such as "budget=5" name, of the type that the notebooks declare.

    Raises InvalidParameter for a text without "=", a name that comes twice, and a value of another type.
    """
    return parse_settings(texts, [_declared(path) for path in notebooks_in(notebook_folder, names)] if texts else [])


def read_values(
    notebook_folder: str | os.PathLike[str], names: Sequence[str] | None, texts: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the values that `texts` such as "budget=5,10" list, by parameter, as `read_settings` reads each."""
    found = {}
    for name, _, values in (text.partition("=") for text in texts):
        each = [read_settings(notebook_folder, names, [f"{name}={value}"]) for value in values.split(",")]
        found[name] = [value for one in each for value in one.values()]
    return found


def _plain_jobs(notebooks: Sequence[Path], folder: Path, given: dict[str, Any], settings: dict[str, Any]) -> list[Job]:
    """Return a job per notebook, each with those of the `given` parameters that it declares."""
    declared = {path: _declared(path) for path in notebooks}
    check_known(given, declared.values())
    jobs = []
    for path, known in declared.items():
        own = {name: value for name, value in given.items() if name in known}
        check_parameters(path.name, own, known)
        jobs.append(Job(path.resolve(), folder, own, known, **settings))
    return jobs


def _grid_jobs(points: Sequence[tuple[Path, dict[str, Any]]], folder: Path, settings: dict[str, Any]) -> list[Job]:
    """Return a job for each notebook with each set of parameters, each with a folder of its own."""
    jobs = []
    for path, given in points:
        label = label_of(given)
        own = folder / GRID / path.stem / label
        jobs.append(Job(path.resolve(), own, given, declared_in(path), label=label, **settings))
    return jobs


def _declared(path: Path) -> Declared:
    try:
        return declared_in(path)
    except NotebookFailed:  # told in its turn, so that the others go on
        return {}


def _run(
    jobs: Sequence[Job],
    executor: Executor | None,
    workers: int,
    tell: Callable[[NotebookResult], None],
    look: Callable[[Sequence[Running], int], None],
) -> list[NotebookResult]:
    """Return the results in the order of the jobs, told as they come; what is done already is told first."""
    found = {_key(job): _kept(job) for job in jobs}
    landed = {key: result for key, result in found.items() if result is not None}
    for result in landed.values():
        tell(result)
    waiting = [job for job in jobs if _key(job) not in landed]
    for job in waiting:
        ready_folder(job.folder)
    running = {_key(job): Running(" ".join(_key(job)).rstrip()) for job in waiting}
    with nullcontext(executor) if executor else _threads(min(workers, len(waiting))) as pool:
        scheduler = Scheduler(failed)
        run = run_job if executor else lambda job: run_job(job, running[_key(job)].at)
        scheduler.start(Lane(pool, run, workers), waiting)
        for result in scheduler.outcomes():
            if result is not None:
                landed[result.name, result.label] = result
                tell(result)
            look([running[_key(job)].now() for job in scheduler.running()], len(jobs) - len(landed))
    return [landed[_key(job)] for job in jobs]


def _key(job: Job) -> tuple[str, str]:
    return job.source.stem, job.label


def _kept(job: Job) -> NotebookResult | None:
    try:
        result = kept_result(job)
    except GeniusKitError:  # told when it runs
        return None
    return None if result is not None and job.pdf and result.pdf is None else result


@contextmanager
def _threads(workers: int) -> Iterator[Executor]:
    """Give threads of ours, whose notebooks not yet begun are dropped on an interrupt."""
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@dataclass
class Running:
    """A notebook under way: for how many seconds, and at which of its `cells` code cells (0: not known)."""

    name: str
    seconds: float = 0.0
    cell: int = 0
    cells: int = 0
    began: float | None = None

    def at(self, cell: int, cells: int) -> None:
        """Take note that cell number `cell` begins."""
        self.cell, self.cells = cell, cells

    def now(self) -> Running:
        """Return this notebook with its seconds up to now."""
        self.began = self.began or time.monotonic()
        self.seconds = time.monotonic() - self.began
        return self

    def __str__(self) -> str:
        place = f"cell {self.cell} of {self.cells}, " if self.cells else ""
        return f"{self.name} ({place}{self.seconds:.0f} s)"


class ReportProgress:
    """Prints what is running to the error stream: a line that is overwritten on a terminal, in a log one every 5 s.

    `GENIUS_KIT_PROGRESS` chooses "bar", "plain" or "none".
    """

    def __init__(self) -> None:
        self._form = progress_form()
        self._told = time.monotonic()
        self._drawn = 0

    def __enter__(self) -> ReportProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def look(self, running: Sequence[Running], left: int) -> None:
        """Print what is running, with how many notebooks are left."""
        if not running:
            return
        told = f"running {', '.join(map(str, running))}; {left} left"
        if self._form == "bar":
            self.clear()
            told = told[: get_terminal_size().columns - 1]
            self._drawn = len(told)
            say(told, end="", file=sys.stderr, flush=True)
        elif self._form == "plain" and time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            say(told, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for another to be printed in its place."""
        if self._drawn:
            print(f"\r{' ' * self._drawn}\r", end="", file=sys.stderr, flush=True)
            self._drawn = 0
