"""One notebook of a report: run it, or see that it need not be, and keep its result under its final name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES, missing_data
from genius_kit.errors import GeniusKitError, NotebookFailed
from genius_kit.files import explained, write_whole
from genius_kit.reports import kernels, pages, records
from genius_kit.reports.pages import refuse_secret_files, refuse_secret_text, refuse_secrets, shorten_paths
from genius_kit.reports.parameters import (
    OUTPUT,
    Declared,
    needs_of,
    read_notebook,
    relative_paths,
    resolved,
    title_of,
)
from genius_kit.reports.records import scratch_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

CLOCK_SECONDS = 2.0  # by which the times of a file system may lag
GET_DATA = "genius-kit data fetch"
"""The one command that gets every missing data file."""


@dataclass(frozen=True)
class NotebookResult:
    """Result of one notebook.

    `status` is "done", "failed" or "missing" (its data is not there); `notebook`, `page` and `pdf` are the executed
    notebook, its HTML and its PDF (None where none was written), `seconds` the time it ran, `error` one sentence or
    None, `missing` the benchmarks and files it lacks. `parameters` are all it ran with and `given` those that were
    not its defaults; `label` names them in a grid. `kept` says that it was done before and did not run again. `note`
    is what a reader should know though nothing went wrong.
    """

    name: str
    title: str
    status: str
    notebook: Path | None = None
    page: Path | None = None
    seconds: float = 0.0
    error: str | None = None
    missing: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    pdf: Path | None = None
    kept: bool = False
    note: str | None = None

    @property
    def detail(self) -> str:
        """One line for a terminal: what went wrong, or how long it took and where the page lies."""
        if self.error:
            return self.error
        kept = ", kept: nothing it depends on has changed" if self.kept else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.seconds:.1f} s, {self.page}{kept}{note}"


@dataclass(frozen=True)
class Job:
    """One notebook to run with `parameters` into `folder`; both paths are absolute, and all of it can be pickled.

    `declared` are the parameters its cell declares; `force` runs it though nothing has changed.
    """

    source: Path
    folder: Path
    parameters: dict[str, Any]
    declared: Declared
    label: str = ""
    cell_limit: float | None = None
    time_limit: float | None = None
    threads: int | None = None
    pdf: bool = False
    force: bool = False


def kept_result(job: Job) -> NotebookResult | None:
    """Return the result of a job that was done before with the same parameters, code, cells and data, else None."""
    executed = job.folder / job.source.name
    record = records.record_of(executed)
    if job.force or record is None or (result := result_of(executed, record)).page is None:
        return None
    if not records.unchanged(record, _wanted(job, read_notebook(job.source)), job.folder):
        return None
    _drop_failed(job)
    return replace(result, label=job.label, note=_note(job), kept=True)


def run_job(job: Job, on_cell: Callable[[int, int], None] | None = None) -> NotebookResult:
    """Run one notebook and return its result, a failure and missing data included.

    `on_cell` is told which code cell begins, and how many there are.
    """
    title, start = job.source.stem, time.perf_counter()
    try:
        notebook = read_notebook(job.source)
        title = title_of(notebook, title)
        if missing := missing_data(_needs(job, notebook)):
            error = f"needs {', '.join(missing)}; get it with `{GET_DATA}`"
            return NotebookResult(job.source.stem, title, "missing", error=error, missing=missing, label=job.label)
        kept = kept_result(job)
        return execute_job(job, on_cell) if kept is None else _with_pdf(job, kept)
    except GeniusKitError as error:
        page = job.folder / f"{job.source.stem}.failed.html"
        found, seconds = page if page.is_file() else None, time.perf_counter() - start
        result = failed(job, str(error))
        return replace(result, title=title, page=found, seconds=seconds, parameters=_all_parameters(job))


def _needs(job: Job, notebook: NotebookNode) -> list[str]:
    """Return the tables that a notebook's parameters name, and what it needs but for what they replace."""
    defaults, given = resolved({}, job.declared), _all_parameters(job)
    changed = [value for name, value in defaults.items() if given[name] != value and isinstance(value, str)]
    replaced = {part.strip() for value in changed for part in value.split(",")}
    named = [value for value in given.values() if value in BENCHMARK_NAMES]
    return list(
        dict.fromkeys([*(need for need in needs_of(notebook) if not {need, Path(need).stem} & replaced), *named])
    )


def failed(job: Job, error: str) -> NotebookResult:
    """Return the result of a notebook that failed, also where its worker was lost."""
    name = job.source.stem
    return NotebookResult(name, name, "failed", error=error, given=job.parameters, label=job.label)


def execute_job(job: Job, on_cell: Callable[[int, int], None] | None = None) -> NotebookResult:
    """Run one notebook; raises NotebookFailed where a cell raised, ran out of time, lost its kernel, told a secret."""
    start, began = time.perf_counter(), time.time()
    record = _wanted(job, read_notebook(job.source))
    with scratch_folder(job.folder) as scratch:
        executed = scratch / job.source.name
        error = kernels.execute(
            job.source,
            executed,
            _injected(job),
            cell_limit=job.cell_limit,
            time_limit=job.time_limit,
            threads=job.threads,
            on_cell=on_cell,
        )
        record.update(seconds=round(time.perf_counter() - start, 1), versions=records.versions())
        record.update(status="failed" if error else "done", given=job.parameters, error=error)
        if executed.is_file():
            _publish(job, executed, record, began)
    if error is not None:
        raise NotebookFailed(error)
    return _with_pdf(job, replace(result_of(job.folder / job.source.name, record), label=job.label, note=_note(job)))


def result_of(executed: Path, record: records.Record) -> NotebookResult:
    """Return the result that the record in an executed notebook tells of."""
    stem = executed.name.removesuffix(".ipynb")
    page, pdf = executed.with_name(f"{stem}.html"), executed.with_name(f"{stem}.pdf")
    name = stem.removesuffix(".failed")
    told: dict[str, Any] = {
        key: record[key] for key in ("seconds", "error", "parameters", "given", "label") if key in record
    }
    told |= {"page": page if page.is_file() else None, "pdf": pdf if pdf.is_file() else None}
    title, status = record.get("title", name), record.get("status", "failed")
    return NotebookResult(name, title, status, notebook=executed, **told)


def _wanted(job: Job, notebook: NotebookNode) -> records.Record:
    parameters = _all_parameters(job)
    wanted = records.fingerprint(notebook, parameters, job.source.parent)
    return {**wanted, "title": title_of(notebook, job.source.stem), "label": job.label}


def _all_parameters(job: Job) -> dict[str, Any]:
    return resolved(relative_paths(job.parameters, job.source.parent), job.declared)


def _note(job: Job) -> str | None:
    return None if job.declared else "it has no cell tagged 'parameters', so nothing in it can be set"


def _injected(job: Job) -> dict[str, Any]:
    values = relative_paths(job.parameters, job.source.parent)
    if OUTPUT in job.declared and OUTPUT not in values:
        values[OUTPUT] = Path(os.path.relpath(job.folder, job.source.parent)).as_posix()
    return values


def _publish(job: Job, executed: Path, record: records.Record, began: float) -> None:
    """Write the page and the executed notebook under their final names, and drop what they replace.

    Nothing is kept where a secret stands in them, or in a file that the folder holds since the run `began`.

    The notebook comes last: it holds the record that says the run is finished, and the sums of all it left.
    """
    import nbformat

    notebook = read_notebook(executed)
    pages.join_streams(notebook)
    refuse_secrets(notebook, job.source.name)
    figures = job.folder / "figures" / job.source.stem
    refuse_secret_files(figures, job.source.name)
    refuse_secret_files(job.folder, job.source.name, began - CLOCK_SECONDS)
    pages.drop_widgets(notebook)
    # where the files lie is of no use to a reader elsewhere
    notebook.metadata.get("papermill", {}).update(input_path=executed.name, output_path=executed.name)
    notebook.metadata.setdefault("genius_kit", {})["run"] = record
    notebook = shorten_paths(notebook, job.source, job.folder, _aliases(job))
    failed = record["status"] == "failed"
    stem = f"{executed.stem}.failed" if failed else executed.stem
    if not failed:
        with explained(job.folder):
            (job.folder / f"{stem}.pdf").unlink(missing_ok=True)  # of an earlier run
    page = job.folder / f"{stem}.html"
    write_whole(page, refuse_secret_text(pages.to_html(notebook, executed.stem), job.source.name))
    notebook.metadata["genius_kit"]["run"]["files"] = records.sums_of([page, *figures.rglob("*")], job.folder)
    text = refuse_secret_text(nbformat.writes(notebook) + "\n", job.source.name)
    write_whole(job.folder / f"{stem}.ipynb", text)
    if not failed:
        _drop_failed(job)


def _aliases(job: Job) -> dict[str, str]:
    """Return the way to the report where it leads through folders of this machine, with the default in its place."""
    way = str(_injected(job).get(OUTPUT, ""))
    default = str(_all_parameters(job).get(OUTPUT, ""))
    return {way: default} if way.startswith("../../") else {}


def _drop_failed(job: Job) -> None:
    for suffix in (".ipynb", ".html"):
        (job.folder / f"{job.source.stem}.failed{suffix}").unlink(missing_ok=True)


def _with_pdf(job: Job, result: NotebookResult) -> NotebookResult:
    """Add the PDF where it is asked for and not there yet."""
    if not job.pdf or result.pdf is not None or result.page is None or result.notebook is None:
        return result
    target = job.folder / f"{job.source.stem}.pdf"
    pages.write_pdf(result.page, result.notebook, target)
    return replace(result, pdf=target)
