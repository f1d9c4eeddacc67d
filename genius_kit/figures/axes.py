"""What every figure is made of: axes outside pyplot, lines, bands, legends, rank axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.figures.files import laid_out
from genius_kit.figures.style import SETTINGS, Style, marks
from genius_kit.proposers.methods import NO_MODEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(rows: int, columns: int, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure outside pyplot (no global state, safe in threads) that notebooks show by themselves."""
    import io

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook shows once, whether pyplot is in use or not."""

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
    axes.fill_between(np.flatnonzero(known) + 1, low, high, color=style.colour, alpha=alpha, linewidth=0)


def draw_interval(axes: Axes, values: Any, style: Style, alpha: float = 0.13) -> None:
    """Shade the 95 % interval of the mean of `values`, shape (runs, iterations), where every run has a value.

    A bootstrap over whole runs, by percentiles; one run has none.
    """
    known = ~np.isnan(values).any(axis=0)
    count = len(values)
    if count < 2 or not known.any():
        return
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=2_000) / count
    low, high = np.quantile(drawn @ values[:, known], (0.025, 0.975), axis=0)
    axes.fill_between(np.flatnonzero(known) + 1, low, high, color=style.colour, alpha=alpha, linewidth=0)


def rank_axis(axes: Axes) -> None:
    """Make the vertical axis one of ranks: logarithmic, the best on top."""
    from matplotlib.ticker import FuncFormatter

    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def name_rows(axes: Axes, names: Sequence[str], **look: Any) -> None:
    """Name the rows 0, 1, ... of the vertical axis; that something is no language model stands on a second line."""
    shown = [name.replace(NO_MODEL, NO_MODEL.replace(" ", "\n", 1)) for name in names]
    axes.set_yticks(range(len(names)), shown, **look)


def fitting(labels: Sequence[str], figure: Figure) -> int:
    """Return how many columns of the longest label of a legend are as wide as the figure, at most one a label."""
    points = 72 * float(figure.get_size_inches()[0])
    return max(1, min(len(labels), int(points / (4.4 * max(map(len, labels)) + 40))))


def legend_below(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """Put one legend of `axes` below the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncol=min(columns, len(labels)), fontsize=8, frameon=False
        )
