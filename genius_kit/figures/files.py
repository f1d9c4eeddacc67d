"""Figures and tables as files: the same input gives the same bytes, with the data and the provenance beside them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.figures.layout import fit
from genius_kit.figures.style import SETTINGS
from genius_kit.files import make_folder, write_whole
from genius_kit.runs.provenance import provenance, without_places
from genius_kit.texts import csv_of, for_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genius_kit.figures.tables import PrintedTable


FORMATS: dict[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {"Software": None},
}
"""File formats, and the metadata that would tell one run from the next."""


def save_figure(
    figure: Figure,
    folder: str | os.PathLike[str],
    name: str,
    data: pd.DataFrame | None = None,
    *,
    venue: str | None = None,
    span: str | None = None,
    sources: Iterable[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> Figure:
    """Write `NAME.pdf`, `.svg`, `.png` and `NAME.json`, with data also `NAME.csv`; return the figure.

    The JSON names versions, sums of the data and parameters; see `provenance.provenance`. The same figure and data give
    the same bytes: no date is written, and of the data no measured time and no path.

    Parameters
    ----------
    figure
        The figure.
    folder
        Where the files go.
    name
        Letters, digits, "-" and "_".
    data
        The numbers that are drawn; None writes no CSV.
    venue, span
        Resize the figure for a paper first; see `venues.fit`.
    sources
        Names of the data files behind the figure.
    parameters
        What the figure was made with.

    Raises
    ------
    InvalidParameter
        A name with other signs.
    """
    import matplotlib as mpl

    _check_name(name)
    told = {**(parameters or {}), **({"venue": venue} if venue else {}), **({"span": span} if span else {})}
    origin = provenance(data, sources, told)
    with mpl.rc_context(SETTINGS):
        if venue:
            fit(figure, venue, span)
        target = make_folder(folder)
        with laid_out(figure):
            for suffix, metadata in FORMATS.items():
                drawn = io.BytesIO()
                figure.savefig(drawn, format=suffix[1:], metadata=metadata)
                write_whole(target / f"{name}{suffix}", drawn.getvalue())
    _save_beside(target, name, data, origin)
    return figure


@contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """Arrange the panels of a figure once for all that is drawn inside, rather than once a drawing (half its time)."""
    fit_labels(figure)
    engine = figure.get_layout_engine()
    if engine is None:
        yield
        return
    engine.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


@dataclass(frozen=True)
class _Fit:
    """What names the ticks of an axis, with names that are fit for a figure."""

    name: Callable[..., str]

    def __call__(self, *tick: Any) -> str:
        return for_figure(self.name(*tick))


def fit_labels(figure: Figure) -> None:
    """Make every name that is written in a figure fit for it; the numbers of its axes stay as they are."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    numbers: set[int] = set()
    for axis in figure.findobj(Axis):
        numbers |= {id(text) for tick in (*axis.majorTicks, *axis.minorTicks) for text in tick.findobj(Text)}
        numbers.add(id(axis.get_offset_text()))
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FixedFormatter):
            formatter.seq = [for_figure(name) for name in formatter.seq]
        elif isinstance(formatter, FuncFormatter) and not isinstance(formatter.func, _Fit):
            formatter.func = _Fit(formatter.func)
    for name in figure.findobj(Text):
        if isinstance(name, Text) and id(name) not in numbers:
            name.set_text(for_figure(name.get_text()))


def save_table(
    table: PrintedTable,
    folder: str | os.PathLike[str],
    name: str,
    *,
    sources: Iterable[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> PrintedTable:
    """Write `NAME.tex` (booktabs), `NAME.md`, `NAME.csv` and `NAME.json`; return the table.

    Parameters
    ----------
    table
        The table.
    folder
        Where the files go.
    name
        Letters, digits, "-" and "_".
    sources
        Names of the data files behind the table.
    parameters
        What the table was made with.
    """
    _check_name(name)
    origin = provenance(table.data, [*table.sources, *sources], parameters)
    target = make_folder(folder)
    for suffix, text in ((".tex", table.latex()), (".md", table.markdown())):
        write_whole(target / f"{name}{suffix}", text)
    _save_beside(target, name, table.data, origin)
    return table


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InvalidParameter(f"{name!r} is no figure name; use letters, digits, - and _")


def _save_beside(target: Path, name: str, data: pd.DataFrame | None, origin: Mapping[str, Any]) -> None:
    record = {"name": name, **origin}
    if data is not None:
        text = csv_of(without_places(data))
        write_whole(target / f"{name}.csv", text)
        record["csv_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    write_whole(target / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
