"""The commands around the notebooks: `genius-kit report` runs them into pages, `genius-kit lab` opens them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer import Argument, Option

from genius_kit.cli.commands import ends_at_once, tell_stand_in
from genius_kit.errors import UnknownName
from genius_kit.reports import run as reports
from genius_kit.reports.index import overviews
from genius_kit.reports.jobs import NotebookResult
from genius_kit.reports.run import ReportProgress
from genius_kit.texts import say

Notebooks = Annotated[Path | None, Option(help="Folder of the notebooks; ./notebooks by default.")]

app = typer.Typer(rich_markup_mode="rich")


@app.command(epilog="Example: genius-kit report 00_quickstart --set budget=5")
def report(
    names: Annotated[list[str] | None, Argument(help="Notebooks, such as 01_search; all by default.")] = None,
    all_notebooks: Annotated[bool, Option("--all", help="Fail when a notebook's data is not there.")] = False,
    output: Annotated[Path, Option(help="Folder of the report.")] = Path("reports"),
    notebooks: Notebooks = None,
    workers: Annotated[int | None, Option(min=1, help="Notebooks side by side; 2, or 1 on one core.")] = None,
    settings: Annotated[
        list[str] | None, Option("--set", help="A parameter, e.g. --set budget=5; may be repeated.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        Option(help="NAME=A,B: a report for each value, may be repeated; or a YAML file that names notebooks too."),
    ] = None,
    force: Annotated[bool, Option("--force", help="Run also what is done and unchanged.")] = False,
    time_limit: Annotated[float | None, Option(min=0.1, help="Seconds per notebook.")] = None,
    pdf: Annotated[bool, Option("--pdf", help="PDF pages as well; needs a Chromium browser or LaTeX.")] = False,
) -> None:
    """Execute every notebook whose data is there and write HTML pages with an index. Needs no key and no network.

    What is done with the same parameters, code and data is not run again; the same command finishes what was
    interrupted. Exit codes: 0 done, 1 a notebook failed, 2 wrong usage or, with --all, data missing.
    """
    if all_notebooks and names:
        raise typer.BadParameter("--all and the names of notebooks do not go together")
    folder = notebooks or reports.notebook_folder()
    progress = ReportProgress()

    def tell(result: NotebookResult) -> None:
        progress.clear()
        say(f"{f'{result.name} {result.label}'.rstrip():28s} {result.status:8s} {result.detail}", flush=True)

    with progress, ends_at_once("the same command finishes the rest"):  # kernels end with us
        results = reports.report(
            folder,
            output,
            workers,
            reports.read_settings(folder, names, settings or ()),
            names=names,
            grid=_grid(folder, names, grid),
            force=force,
            time_limit=time_limit,
            pdf=pdf,
            on_result=tell,
            on_look=progress.look,
        )
    for overview in overviews(results):
        say(f"{overview.name}, over the grid:")
        for cells in overview.rows:
            named = ", ".join(f"{name} {cell}" for name, cell in zip(overview.header, cells[:-1], strict=False))
            say(f"  {named or 'as it is set'}: {cells[-1]}")
    say(_summary(results))
    tell_stand_in(result.parameters.get("model") for result in results)
    say(f"open {Path(output) / 'index.html'}")
    statuses = {result.status for result in results}
    if "failed" in statuses or (all_notebooks and "missing" in statuses):
        raise typer.Exit(1 if "failed" in statuses else 2)


def _grid(folder: Path, names: list[str] | None, texts: list[str] | None) -> str | dict[str, list[Any]] | None:
    """Return the file of a grid, or the values that are given in its place."""
    if not texts or (len(texts) == 1 and ("=" not in texts[0] or Path(texts[0]).is_file())):
        return texts[0] if texts else None
    return reports.read_values(folder, names, texts)


@app.command(
    epilog="Example: genius-kit lab --no-browser --port 8889",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},  # JupyterLab gets the others
)
def lab(context: typer.Context, notebooks: Notebooks = None) -> None:
    """Open JupyterLab on the notebooks; further options go to JupyterLab, e.g. --no-browser --port 8889.

    The folder above them is served, so that reports, runs and data can be browsed.
    """
    folder = (notebooks or reports.notebook_folder()).resolve()
    if not folder.is_dir():
        raise UnknownName(f"no folder lies at {folder}; name that of the notebooks with `--notebooks FOLDER`")
    opened = [f"--ServerApp.root_dir={folder.parent}", f"--LabApp.default_url=/lab/tree/{quote(folder.name)}"]
    command = [sys.executable, "-m", "jupyterlab", *opened, *context.args]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, command)  # signals and the exit code are JupyterLab's own
    else:
        raise typer.Exit(subprocess.call(command))


def _summary(results: Sequence[NotebookResult]) -> str:
    if all(result.kept for result in results):
        count = f"all {len(results)} notebooks are" if len(results) > 1 else "the notebook is"
        return f"nothing to do: {count} done with these parameters, this code and this data; --force runs them again"
    counts = {
        "done": sum(result.status == "done" and not result.kept for result in results),
        "kept as they were": sum(result.kept for result in results),
        "failed": sum(result.status == "failed" for result in results),
        "without their data": sum(result.status == "missing" for result in results),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
