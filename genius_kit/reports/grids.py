"""One table over the sets of parameters that a notebook ran with: what was found with each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import NotebookFailed
from genius_kit.files import write_whole
from genius_kit.reports.jobs import NotebookResult
from genius_kit.reports.parameters import read_notebook
from genius_kit.reports.records import GRID
from genius_kit.texts import UNKNOWN, csv_of, in_line

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
        shown = [] if result.status != "done" else list(_shown(result))
        found = " ".join(text for text, _ in shown) or result.error or UNKNOWN
        rows.append((*told.values(), in_line(found, LONGEST)))
        for text, table in shown or [(found, [])]:
            more = [{f"{name} found" if name in told else name: cell for name, cell in row.items()} for row in table]
            full += [{**told, FOUND: text, **row} for row in more or [{}]]
    return Overview(results[0].name, results[-1].title, (*named, FOUND), tuple(rows), tuple(results), tuple(full))


def _shown(result: NotebookResult) -> Iterator[tuple[str, list[dict[str, str]]]]:
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
