"""What every figure is made of: axes outside pyplot, lines, bands, legends, rank axes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.figures.files import fit_labels, laid_out
from genius_kit.figures.layout import name_ends
from genius_kit.figures.style import SETTINGS, Style, marks
from genius_kit.proposers.methods import NO_MODEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


MOST_NAMED = 9
"""Lines that have their names at their ends; of more the names would stand on one another."""

BELOW_BEST = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
"""Points below the best accuracy at which a logarithmic axis has its numbers."""

PERCENT = 100  # the longest axis of accuracies; a longer one has scores of another unit
LONGEST = 46  # characters of a line of an axis label


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
        figure = NotebookFigure(figsize=(width, 3.6 if rows == 1 else 1.2 + 1.8 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(np.ravel(axes))


def finish(figure: Figure, axes: Sequence[Axes]) -> Figure:
    """Set whole-number ticks on counts and return the figure."""
    from matplotlib.ticker import MaxNLocator

    for one in axes:
        one.set_axisbelow(True)
        if one.get_xlabel() in ("iteration", "reply", "epoch", "evaluations"):
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def name_curves(figure: Figure, axes: Axes) -> Figure:
    """Name each curve at its end, or in a legend where there are more than `MOST_NAMED`; return the figure."""
    curves, _ = axes.get_legend_handles_labels()
    if len(curves) > MOST_NAMED:
        outer_legend(figure, axes, columns=2)
    else:
        name_ends(axes, curves)
    return finish(figure, [axes])


def draw_curve(
    axes: Axes, steps: Any, values: Any, style: Style, label: str, band: Any = None, shown: Any = None
) -> None:
    """Draw `values` by steps, each until the next, in a `band` of its lower and upper ends; markers where `shown`."""
    axes.plot(steps, values, drawstyle="steps-post", label=label, markevery=shown, markersize=3.5, **marks(style))
    if band is not None:
        low, high = band
        axes.fill_between(steps, low, high, step="post", color=style.colour, alpha=0.13, linewidth=0)


def log_axis(axes: Axes, which: str = "x", number: str = "g") -> None:
    """Make the axis "x" or "y" of what is drawn logarithmic, its numbers printed as `number` says.

    They stand at powers of ten, over fewer than two of these at 1, 2 and 5 as well, over less than one at each digit.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(subs=range(1, 10) if decades < 0.7 else (1, 2, 5) if decades < 2 else (1,)))
    axis.set_major_formatter(f"{{x:{number}}}")
    axis.set_minor_formatter(NullFormatter())


def rank_axis(axes: Axes) -> None:
    """Make the vertical axis one of ranks: logarithmic, the best on top."""
    log_axis(axes, "y", ",.0f")
    low, high = sorted(axes.get_ylim())
    axes.set_ylim(high, max(low, 0.8))


def accuracy_axis(axes: Axes, values: Any) -> None:
    """Make the vertical axis hold every one of `values` (percent, or of any unit).

    Where the lower half would flatten the upper one the axis is logarithmic in the distance from the best, which its
    label then says.
    """
    axes.set_ylabel("\n".join(textwrap.fill(line, LONGEST) for line in axes.get_ylabel().splitlines()))
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    low, middle, high = np.quantile(known, (0, 0.5, 1))
    if high - low <= 6 * (high - middle) or high == middle:
        margin = 0.06 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
        large_numbers(axes.yaxis, high - low)
        return
    gap = (high - middle) / 4  # what the best is drawn apart from itself, as a logarithm needs
    axes.set_yscale(
        "function",
        functions=(lambda y: -np.log(np.maximum(high + gap - y, gap / 4)), lambda z: high + gap - np.exp(-z)),
    )
    axes.set_ylim(high + gap - 1.15 * (high + gap - low), high + gap / 3)
    ticks: list[float] = []
    steps = BELOW_BEST if high - low <= PERCENT else [first * 10.0**power for power in range(15) for first in (1, 3)]
    for distance in steps:
        tick = np.floor((high - distance) / distance) * distance
        if distance >= gap / 3 and tick >= low and (not ticks or high + gap - tick > 1.4 * (high + gap - ticks[-1])):
            ticks.append(tick)
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter("{x:,.0f}" if all(tick == round(tick) for tick in ticks) else "{x:.1f}")
    axes.set_ylabel(f"{axes.get_ylabel()},\nlog below the best")


def large_numbers(axis: Axis, length: float) -> None:
    """Print the numbers of an axis of this length in full where they are larger than any in percent."""
    if length > PERCENT:
        axis.set_major_formatter("{x:,.0f}")


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


def outer_legend(figure: Figure, *axes: Axes, columns: int = 4, side: str = "lower") -> None:
    """Put one legend of what `axes` show below the whole figure, or at its "upper" side, each name once."""
    found: dict[str, Any] = {}
    for one in axes:
        found |= dict(zip(*reversed(one.get_legend_handles_labels()), strict=True))
    if found:
        place: Any = f"outside {side} center"
        look: dict[str, Any] = {"ncol": min(columns, fitting(list(found), figure)), "fontsize": 8, "frameon": False}
        figure.legend(list(found.values()), list(found), loc=place, **look)
