"""What every figure is made of: axes outside pyplot, lines, bands, legends, rank axes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.figures.files import fit_labels, laid_out
from genius_kit.figures.style import SETTINGS, Style, marks
from genius_kit.proposers.methods import NO_MODEL
from genius_kit.stats.paired import mean_band

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(rows: int, columns: int, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure outside pyplot (no global state, safe in threads) that notebooks show by themselves."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook shows once, whether pyplot is in use or not."""

        def draw(self, renderer: Any) -> None:
            fit_labels(self)
            super().draw(renderer)

        def _repr_png_(self) -> bytes:
            with mpl.rc_context(SETTINGS), laid_out(self):
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
    known = ~np.isnan(values).all(axis=0)
    low, high = np.nanquantile(values[:, known], (0.1, 0.9), axis=0)
    shade(axes, np.flatnonzero(known) + 1, low, high, style, alpha)


def draw_interval(axes: Axes, values: Any, style: Style) -> None:
    """Shade the 95 % interval of the mean of `values`, shape (runs, iterations), where every run has a value.

    See `paired.mean_band`; one run has none.
    """
    known = ~np.isnan(values).any(axis=0)
    if len(values) > 1 and known.any():
        low, high = mean_band(values[:, known])
        shade(axes, np.flatnonzero(known) + 1, low, high, style)


def draw_curve(axes: Axes, steps: Any, line: pd.DataFrame, style: Style, label: str, shown: Any) -> None:
    """Draw the column `mean` by steps in the band from `low` to `high`, with markers where `shown` says."""
    axes.plot(steps, line["mean"], **marks(style), markevery=shown, markersize=3.5, label=label)
    shade(axes, steps, line["low"], line["high"], style)


def shade(axes: Axes, steps: Any, low: Any, high: Any, style: Style, alpha: float = 0.13) -> None:
    """Shade the band from `low` to `high`."""
    axes.fill_between(steps, low, high, color=style.colour, alpha=alpha, linewidth=0)


def log_axis(axes: Axes, which: str = "x", number: str = "g", few: bool = False) -> None:
    """Make the axis "x" or "y" logarithmic, its numbers printed as `number` says, with `few` at 1, 2, 5, ... alone."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(f"{{x:{number}}}")
    if few:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())


def rank_axis(axes: Axes) -> None:
    """Make the vertical axis one of ranks: logarithmic, the best on top."""
    log_axis(axes, "y", ",.0f")
    axes.invert_yaxis()


def interval_row(
    axes: Axes,
    place: float,
    mark: float | None,
    ends: Sequence[float] | np.ndarray,
    style: Style,
    *,
    dots: Sequence[float] | np.ndarray = (),
    label: str | None = None,
    size: float = 6,
    width: float = 1.8,
) -> None:
    """Draw one row: dots, the interval between its two `ends`, and on it a mark; each of the three may be missing."""
    if len(dots):
        axes.scatter(dots, [place] * len(dots), s=9, color=style.colour, alpha=0.35, linewidths=0)
    if len(ends):
        axes.plot(ends, [place, place], color=style.colour, linewidth=width)
    if mark is not None:
        axes.plot([mark], [place], style.marker, color=style.colour, markersize=size, label=label)


def row_axis(axes: Axes, names: Sequence[str], room: float = 0.5, **look: Any) -> None:
    """Name the rows from top to bottom, with some room below the last one and no lines across."""
    name_rows(axes, names, **look)
    axes.set_ylim(len(names) - room, room - 1)
    axes.grid(axis="y", visible=False)


def name_rows(axes: Axes, names: Sequence[str], **look: Any) -> None:
    """Name the rows 0, 1, ... of the vertical axis; that something is no language model stands on a second line."""
    shown = [name.replace(NO_MODEL, NO_MODEL.replace(" ", "\n", 1)) for name in names]
    axes.set_yticks(range(len(names)), shown, **look)


def fitting(labels: Sequence[str], figure: Figure) -> int:
    """Return how many columns of the longest label of a legend are as wide as the figure, at most one a label."""
    points = 72 * float(figure.get_size_inches()[0])
    return max(1, min(len(labels), int(points / (4.4 * max(map(len, labels)) + 40))))


def outer_legend(figure: Figure, axes: Axes, columns: int = 4, side: str = "lower") -> None:
    """Put one legend of `axes` below the whole figure, or at its "upper" side."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place: Any = f"outside {side} center"
        figure.legend(handles, labels, loc=place, ncol=min(columns, len(labels)), fontsize=8, frameon=False)
