"""The index page of a report: each notebook with its status, pictures and links, and what a grid of them found."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genius_kit.errors import NotebookFailed
from genius_kit.files import write_whole
from genius_kit.prompts.base import sandbox
from genius_kit.reports.jobs import GET_DATA, NotebookResult, result_of
from genius_kit.reports.parameters import read_notebook
from genius_kit.reports.records import GRID, record_of
from genius_kit.texts import UNKNOWN, csv_of, for_terminal, in_line

if TYPE_CHECKING:
    from nbformat import NotebookNode


LONGEST = 300
"""Characters of what was found that are shown; the page has all of it."""

FOUND = "what was found"

_BETWEEN = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Overview:
    """One row per set of parameters of a notebook: those that a grid names, then what its last cell says.

    `rows` have the cells of `header` and belong to `results`; `full` has every row of the tables of the last cells.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    results: tuple[NotebookResult, ...]
    full: tuple[dict[str, str], ...]

    def write(self, folder: Path) -> Path:
        """Write `full` below the folder of a report and return its path."""
        import pandas as pd

        file = folder / GRID / f"{self.name}.csv"
        write_whole(file, csv_of(pd.DataFrame(list(self.full)).fillna("")))
        return file


def overviews(results: Sequence[NotebookResult]) -> list[Overview]:
    """Return the overview of each notebook that ran in a grid, in the order they come."""
    names = dict.fromkeys(result.name for result in results if result.label)
    return [_overview([one for one in results if one.name == name and one.label]) for name in names]


def _overview(results: Sequence[NotebookResult]) -> Overview:
    named = tuple(dict.fromkeys(name for result in results for name in result.given))
    rows, full = [], list[dict[str, str]]()
    for result in results:
        told = {name: in_line({**result.parameters, **result.given}.get(name, UNKNOWN), LONGEST) for name in named}
        shown = [] if result.status != "done" else list(_said(result))
        found = " ".join(text for text, _ in shown) or result.error or UNKNOWN
        rows.append((*told.values(), in_line(found, LONGEST)))
        for text, table in shown or [(found, [])]:
            more = [{f"{name} found" if name in told else name: cell for name, cell in row.items()} for row in table]
            full += [{**told, FOUND: text, **row} for row in more or [{}]]
    return Overview(results[0].name, results[-1].title, (*named, FOUND), tuple(rows), tuple(results), tuple(full))


def _said(result: NotebookResult) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield what the last code cell of an executed notebook shows: each text, and the rows of the table below it."""
    try:
        cells = read_notebook(result.notebook).cells if result.notebook is not None else []
    except (NotebookFailed, OSError):
        return
    code = [cell for cell in cells if cell.cell_type == "code"]
    for output in code[-1].get("outputs", []) if code else []:
        yield from _read(output)


def _read(output: NotebookNode) -> Iterator[tuple[str, list[dict[str, str]]]]:
    data: dict[str, Any] = output.get("data", {})
    text = str(output.get("text", "") or data.get("text/plain", "")).strip()
    if text and not any(kind.startswith("image/") for kind in data):
        yield in_line(text, LONGEST), _rows(str(data.get("text/markdown", "")))


def _rows(markdown: str) -> list[dict[str, str]]:
    """Return the rows of the table in a Markdown text, which has one at most, by column."""
    lines = [[_plain(cell) for cell in _BETWEEN.split(line)[1:-1]] for line in markdown.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], cells, strict=False)) for cells in lines[2:]]


def _plain(cell: str) -> str:
    return re.sub(r"\\(.)", r"\1", cell.strip().removeprefix("**").removesuffix("**"))


_PICTURE, _TABLE = ("pdf", "svg", "png", "csv", "json"), ("tex", "md", "csv", "json")


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of a notebook: its name, the addresses of its forms, and that of the one to show."""

    name: str
    files: dict[str, str]
    picture: str


@dataclass(frozen=True)
class Row:
    """One notebook of the index, with addresses relative to it."""

    result: NotebookResult
    anchor: str
    duration: str
    links: dict[str, str]
    pictures: list[Exhibit]
    tables: list[Exhibit]


def write_index(results: Sequence[NotebookResult], folder: Path) -> Path:
    """Write `index.html` of these results and of what earlier reports left in `folder`; return its path."""
    from importlib.resources import files

    template = files("genius_kit").joinpath("templates", "report_index.html.j2").read_text(encoding="utf-8")
    environment = sandbox(autoescape=True, lstrip_blocks=False, finalize=_shown)
    environment.filters["address"] = lambda path: _address(path, folder)
    every = [*results, *_earlier(results, folder)]
    rows = [_row(result, folder) for result in every]
    text = environment.from_string(template).render(
        rows=sorted(rows, key=lambda row: (row.result.name, row.result.label)),
        overviews=[(one, _address(one.write(folder), folder)) for one in overviews(every)],
        get_data=GET_DATA,
        finished=time.strftime("%Y-%m-%d %H:%M"),
        done=sum(row.result.status == "done" for row in rows),
        missing=any(row.result.missing for row in rows),
    )
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def _shown(value: object) -> object:
    return for_terminal(value) if isinstance(value, str) else value


def _earlier(results: Sequence[NotebookResult], folder: Path) -> Iterator[NotebookResult]:
    """Yield what stands in the folder of notebooks that this report had no part in."""
    known = {(result.name, result.label) for result in results}
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("grid/*/*/*.ipynb")]):
        record = record_of(path)
        if record is None:
            continue
        found = result_of(path, record)
        if (found.name, found.label) not in known:
            known.add((found.name, found.label))
            yield found


def _row(result: NotebookResult, folder: Path) -> Row:
    place = folder / "grid" / result.name / result.label if result.label else folder
    pages = {"page": result.page, "notebook": result.notebook, "PDF": result.pdf}
    links = {name: _address(path, folder) for name, path in pages.items() if path is not None and path.is_file()}
    earlier = place / f"{result.name}.html"
    if result.status == "failed" and earlier.is_file():
        links["last page that was complete"] = _address(earlier, folder)
    return Row(
        result,
        quote(f"{result.name}-{result.label}".rstrip("-")),
        _duration(result.seconds),
        links,
        list(_exhibits(place / "figures" / result.name, "*.png", _PICTURE, folder)),
        list(_exhibits(place / "figures" / result.name, "*.tex", _TABLE, folder)),
    )


def _exhibits(figures: Path, pattern: str, suffixes: Sequence[str], folder: Path) -> Iterator[Exhibit]:
    for path in sorted(figures.glob(pattern)):
        others = {suffix: path.with_suffix(f".{suffix}") for suffix in suffixes}
        forms = {suffix.upper(): _address(other, folder) for suffix, other in others.items() if other.is_file()}
        yield Exhibit(path.stem.replace("_", " "), forms, _address(path, folder))


def _address(path: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def _duration(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"
