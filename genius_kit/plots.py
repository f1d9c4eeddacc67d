"""How every figure looks and is saved: one style a method, outside pyplot, the same input giving the same bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genius_kit.errors import InvalidParameter
from genius_kit.paper import paper_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Style(NamedTuple):
    """How one method is drawn."""

    colour: str
    marker: str
    line: Any


# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
STAND_IN = "offline stand-in, not a language model"
REPLAYED = "GPT-4, replayed from the record"
PRIOR = "prior (largest everywhere)"
STYLES = {
    paper_label(0): Style(BLACK, "o", "-"),
    paper_label(1): Style(PURPLE, "P", (0, (5, 1))),
    STAND_IN: Style(VERMILION, "D", "-"),
    REPLAYED: Style(BLUE, "X", "-"),
    "random": Style(SKY, "^", ":"),
    PRIOR: Style(ORANGE, "v", "-."),
    "coordinate descent": Style(GREEN, "s", "--"),
    "evolution": Style(ORANGE, "<", (0, (3, 1, 1, 1))),
    "local search": Style("#8a6d00", "d", ":"),
    "tpe": Style(PURPLE, "p", "--"),
    "linear": Style(BLUE, "*", "-."),
    "gp hamming": Style("#777777", "h", "--"),
    "gp": Style(BLACK, "o", "-"),
    "GENIUS": Style(BLACK, "o", "-"),
    "other methods of table 2": Style("#999999", "s", ":"),
    "search of GENIUS-329": Style(BLUE, "o", "-"),
    "search of GENIUS-401": Style(PURPLE, "D", "--"),
}
_SPARE = (
    Style(BLUE, "*", "-"),
    Style(PURPLE, "d", "--"),
    Style(YELLOW, "h", "-."),
    Style(ORANGE, "<", ":"),
    Style(GREEN, ">", "-."),
    Style(SKY, "p", "--"),
)
SETTINGS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 200,
}


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return the style of each method: the known ones always the same, the others in the order of their names."""
    unknown = sorted(set(methods) - set(STYLES))
    return {**STYLES, **{name: _SPARE[i % len(_SPARE)] for i, name in enumerate(unknown)}}


def new_figure(rows: int, columns: int, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure outside pyplot (no global state, safe in threads) that notebooks show by themselves."""
    import io

    import matplotlib as mpl
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook shows once, whether pyplot is in use or not."""

        def _repr_png_(self) -> bytes:
            with mpl.rc_context(SETTINGS):
                buffer = io.BytesIO()
                self.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
            return buffer.getvalue()

    width = 6.4 if columns == 1 else min(2.6 * columns + 0.8, 13)
    with mpl.rc_context(SETTINGS):
        figure = NotebookFigure(figsize=(width, 3.6 if rows == 1 else 4.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(np.ravel(axes))


def finish(figure: Figure, axes: Sequence[Axes], legend: bool = True, beside: bool = False) -> Figure:
    """Set whole-number ticks on counts and put the legends below the axes, or `beside` them; return the figure."""
    from matplotlib.ticker import MaxNLocator

    for one in axes:
        one.set_axisbelow(True)
        if one.get_xlabel() in ("iteration", "reply", "epoch"):
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
        if legend and (handles := one.get_legend_handles_labels()[0]):
            outside = (
                {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
                if beside
                else {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncol": min(2, len(handles))}
            )
            one.legend(fontsize=8, frameon=False, **outside)
    return figure


def draw_line(axes: Axes, values: Any, style: Style, measured: int, label: str) -> None:
    """Draw `values` from iteration 1 on, with markers only on the first `measured` of them."""
    axes.plot(range(1, len(values) + 1), values, label=label, markevery=slice(0, measured), **marks(style))


def draw_band(axes: Axes, values: Any, style: Style, alpha: float = 0.13) -> None:
    """Shade the middle 80 % of `values`, an array of shape (runs, iterations) in which nan means not evaluated."""
    import numpy as np

    known = ~np.isnan(values).all(axis=0)
    low, high = np.nanquantile(values[:, known], (0.1, 0.9), axis=0)
    axes.fill_between(np.flatnonzero(known) + 1, low, high, color=style.colour, alpha=alpha, linewidth=0)


def marks(style: Style) -> dict[str, Any]:
    """Return the line arguments of matplotlib for one style."""
    return {"color": style.colour, "marker": style.marker, "linestyle": style.line}


def rank_axis(axes: Axes) -> None:
    """Make the vertical axis one of ranks: logarithmic, the best on top."""
    from matplotlib.ticker import FuncFormatter

    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def save_figure(figure: Figure, folder: str | os.PathLike[str], name: str, data: pd.DataFrame | None = None) -> Figure:
    """Write `NAME.pdf`, `NAME.png` and, with `data`, `NAME.csv` into `folder`, and return the figure.

    The same figure and data give the same bytes: no date is written. Raises InvalidParameter for a name with signs
    other than letters, digits, "-" and "_".
    """
    import matplotlib as mpl

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InvalidParameter(f"{name!r} is no figure name; use letters, digits, - and _")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(SETTINGS):
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
            part = target / f".{name}{suffix}.part"
            figure.savefig(part, format=suffix[1:], metadata=metadata)
            os.replace(part, target / f"{name}{suffix}")
    if data is not None:
        part = target / f".{name}.csv.part"
        data.to_csv(part, index=False, lineterminator="\n")
        os.replace(part, target / f"{name}.csv")
    return figure
