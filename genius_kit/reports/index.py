"""The index page of a report: each notebook with its status, duration, parameters, pictures and links."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from genius_kit.files import write_whole
from genius_kit.prompts.base import sandbox
from genius_kit.reports.grids import overviews
from genius_kit.reports.jobs import GET_DATA, NotebookResult, result_of
from genius_kit.reports.records import record_of
from genius_kit.texts import for_terminal

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
