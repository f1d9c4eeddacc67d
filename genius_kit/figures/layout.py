"""Figures fit for the width of a venue: legends folded or moved, words wrapped, names that cover nothing."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.errors import UnknownName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox


DIRECTIONS = (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)
DISTANCES = (5, 11, 18, 26, 36, 48)
"""Degrees and points, tried in this order: nearest first, at the right first."""

NAME, END = "name of a point", "name of a curve"

NARROW_PANEL = 1.3
"""Inches, below which a panel has at most five ticks."""

SPANS = ("column", "page")
SMALLEST_TEXT = 6.0
"""Points: what stays readable in print."""

POINTS_PER_INCH = 72.27  # TeX's points


def name_points(axes: Axes, points: Sequence[tuple[float, float, str]], size: float = 6.5) -> list[Annotation]:
    """Write a name beside each point (x, y, name), with a thin line where it had to move away; return the labels."""
    line = {"arrowstyle": "-", "color": "#aaaaaa", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
    for x, y, name in points:
        axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=size, va="center", arrowprops=line,
            gid=NAME, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3},
        )  # fmt: skip
    return place_names(axes)


def name_ends(axes: Axes, curves: Sequence[Any], size: float = 8.0) -> None:
    """Write the name of each curve at the right of the panel, with a thin line to it from where the curve ends."""
    right = max(float(curve.get_xdata()[-1]) for curve in curves)
    for curve in curves:
        x, y, colour = float(curve.get_xdata()[-1]), float(curve.get_ydata()[-1]), curve.get_color()
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        if x < right:
            axes.hlines(y, x, right, color=colour, linewidth=0.7)
        name = textwrap.fill(curve.get_label().replace(" = ", "\u00a0=\u00a0"), 24)
        axes.annotate(
            name, (right, y), xytext=(1.06, 0), textcoords="axes fraction", fontsize=size, va="center", arrowprops=line,
            annotation_clip=False, gid=END,
        )  # fmt: skip
    place_names(axes)


def _place_ends(axes: Axes, labels: Sequence[Any]) -> None:
    """Put each name at the height of its end, and apart from the next one."""
    inside = axes.get_window_extent()
    ordered = sorted(labels, key=lambda label: axes.transData.transform(label.xy)[1])
    half = 0.55 * np.array([_text_box(label).height for label in ordered])
    heights = np.array([axes.transData.transform(label.xy)[1] for label in ordered])
    for _ in range(100):  # neighbours that overlap part, by half of it each
        for low in range(len(ordered) - 1):
            overlap = max(0.0, heights[low] + half[low] + half[low + 1] - heights[low + 1])
            heights[low : low + 2] += (-overlap / 2, overlap / 2)
        heights = np.clip(heights, inside.y0 + half, inside.y1 - half)
    for label, height in zip(ordered, heights, strict=True):
        label.set_position((label.get_position()[0], (height - inside.y0) / inside.height))


def place_names(axes: Axes) -> list[Annotation]:
    """Place the names that `name_points` and `name_ends` wrote anew, as for a figure that has another size now.

    Return those of points.
    """
    labels: list[Any] = [text for text in axes.texts if text.get_gid() == NAME]
    ends: list[Any] = [text for text in axes.texts if text.get_gid() == END]
    if not labels and not ends:
        return []
    figure: Any = axes.figure
    for label in labels:
        label.set_position((0, 0))
    figure.draw_without_rendering()  # so that places on the page are known
    if ends:
        _place_ends(axes, ends)
    taken, inside = [_dot(axes, *label.xy) for label in labels], axes.get_window_extent()
    taken += [path.get_extents(bars.get_transform()) for bars in axes.collections for path in bars.get_paths()]
    taken += [text.get_window_extent() for text in axes.texts if text.get_gid() is None]
    for label in sorted(labels, key=lambda label: (-label.xy[1], label.xy[0])):
        taken.append(_place(label, taken, inside))
    return labels


def _dot(axes: Axes, x: float, y: float) -> Bbox:
    from matplotlib.transforms import Bbox

    left, bottom = axes.transData.transform((x, y))
    half = 3 * axes.figure.dpi / 72
    return Bbox([[left - half, bottom - half], [left + half, bottom + half]])


def _place(label: Annotation, taken: Sequence[Bbox], inside: Bbox) -> Bbox:
    """Move the label to the first place that is free, else to the one inside that covers least, and return its box."""
    costs: dict[tuple[int, int], int] = {}
    for distance, degrees in product(DISTANCES, DIRECTIONS):
        box = _at(label, distance, degrees)
        outside = 1000 * sum(not inside.contains(*corner) for corner in (box.min, box.max))
        costs[distance, degrees] = outside + sum(map(box.overlaps, taken))
        if not costs[distance, degrees]:
            return box
    return _at(label, *min(costs, key=costs.__getitem__))


def _at(label: Annotation, distance: int, degrees: int) -> Bbox:
    """Move the label to a distance (points) and direction of its point, and return its box."""
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    label.set_horizontalalignment("left" if x > 0.1 else "right" if x < -0.1 else "center")
    label.set_position((distance * x, distance * y))
    return _text_box(label)


def _text_box(label: Annotation) -> Bbox:
    """Return the box of the words alone, without the line that leads to them."""
    from matplotlib.text import Text

    figure: Any = label.figure
    label.update_positions(figure.canvas.get_renderer())
    return Text.get_window_extent(label)


def fold(figure: Any) -> None:
    """Rearrange what no longer fits the figure's width; the data are drawn as they were."""
    figure.draw_without_rendering()  # so that sizes on the page are known
    _fewer_ticks(figure)
    texts = [text for axes in figure.axes for text in (axes.xaxis.label, axes.title, axes._left_title)]
    for text in [*texts, *(text for text in (figure._supxlabel, figure._suptitle) if text is not None)]:
        if text.get_text():
            _wrap(text, figure.bbox.width)
    for axes in figure.axes:
        box = axes.yaxis.label.get_window_extent()
        if min(box.y0, figure.bbox.height - box.y1) < 0 or box.height > 1.15 * axes.get_window_extent().height:
            axes.set_ylabel(textwrap.fill(axes.get_ylabel(), max(12, len(axes.get_ylabel()) // 2 + 4)))
    for legend in list(figure.legends):
        _fold(figure, legend)
    for axes in figure.axes:
        place_names(axes)


def _fewer_ticks(figure: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        narrow = axes.get_window_extent().width < NARROW_PANEL * figure.dpi
        if narrow and isinstance(axes.xaxis.get_major_locator(), MaxNLocator):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _wrap(text: Any, width: float) -> None:
    """Break a title or a label that reaches beyond the figure."""
    box = text.get_window_extent()
    if box.x0 >= 0 and box.x1 <= width:
        return
    middle = (box.x0 + box.x1) / 2
    room = {"left": width - box.x0, "right": box.x1}.get(text.get_ha(), 2 * min(middle, width - middle))
    lines = text.get_text().splitlines()
    most = max(12, int(0.97 * max(map(len, lines)) * room / box.width))
    text.set_text("\n".join(textwrap.fill(line, most) for line in lines))


def _fold(figure: Any, legend: Any) -> None:
    """Make a legend anew with fewer columns until it is no wider than the figure; matplotlib cannot change one."""
    columns, place = legend._ncols, f"outside {legend._outside_loc} center"
    labels, size = [text.get_text() for text in legend.get_texts()], legend.get_texts()[0].get_fontsize()
    while columns > 1 and legend.get_window_extent().width > figure.bbox.width:
        columns -= 1
        handles = legend.legend_handles
        legend.remove()
        legend = figure.legend(handles, labels, loc=place, ncols=columns, fontsize=size, frameon=False)
        figure.draw_without_rendering()


@dataclass(frozen=True)
class Venue:
    """Widths in inches; a venue of one column has the same for both. `source` says where they stand."""

    name: str
    column: float
    page: float
    source: str

    def width(self, span: str) -> float:
        """Return the width of a figure that spans a "column" or the "page"; raises UnknownName."""
        if span not in SPANS:
            raise UnknownName(f"a figure spans a column or the page, not {span!r}; give one of {', '.join(SPANS)}")
        return self.column if span == "column" else self.page


VENUES = {
    "neurips": Venue("NeurIPS", 5.5, 5.5, "neurips_2023.sty: textwidth 5.5in, one column"),
    "iclr": Venue("ICLR", 5.5, 5.5, "iclr2024_conference.sty: textwidth 5.5in, one column"),
    "icml": Venue("ICML", 3.25, 6.75, "icml2025.sty: textwidth 6.75in, columnsep 0.25in"),
    "cvpr": Venue("CVPR", 3.28125, 6.875, "cvpr.sty: textwidth 6.875in, columnsep 0.3125in"),
    "ieee": Venue(
        "IEEE", 21 * 12 / POINTS_PER_INCH, 43 * 12 / POINTS_PER_INCH, "IEEEtran.cls: textwidth 43pc, columnsep 1pc"
    ),
}


def load_venue(name: str) -> Venue:
    """Return a venue by its name; raises UnknownName, which lists them."""
    if name.lower() not in VENUES:
        raise UnknownName(f"there is no venue {name!r} here; there are {', '.join(VENUES)}")
    return VENUES[name.lower()]


def fit(figure: Figure, venue: str, span: str | None = None) -> Figure:
    """Resize a figure to a venue's width, its text and lines with it as far as they stay readable, and return it.

    `span` is "column" or "page"; by default a figure of more than two panels beside one another takes the page. Never
    smaller text than 6 points, and legends are folded until they are no wider than the figure.
    """
    place = load_venue(venue)
    places = [axes.get_subplotspec() for axes in figure.axes]
    columns = max((spec.get_gridspec().ncols for spec in places if spec is not None), default=1)
    width = place.width(span or ("page" if columns > 2 else "column"))
    old_width, old_height = figure.get_size_inches()
    factor = width / old_width
    height = old_height * (factor if factor >= 1 else factor**0.6)  # text does not shrink as far, so it needs the room
    figure.set_size_inches(width, height)
    _scale(figure, min(1.0, factor**0.5))
    fold(figure)
    return figure


def _scale(figure: Any, factor: float) -> None:
    """Make text, markers and lines smaller by a factor, text to `SMALLEST_TEXT` at least."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    for axes in figure.axes:
        labels = [axes.xaxis.get_ticklabels()[:1], axes.yaxis.get_ticklabels()[:1]]
        sizes = [max(SMALLEST_TEXT, some[0].get_fontsize() * factor) if some else SMALLEST_TEXT for some in labels]
        axes.tick_params(axis="x", labelsize=sizes[0])
        axes.tick_params(axis="y", labelsize=sizes[1])
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()}
    for text in figure.findobj(Text):
        if text not in ticks:
            text.set_fontsize(max(SMALLEST_TEXT, text.get_fontsize() * factor))
    for line in figure.findobj(Line2D):
        line.set_markersize(line.get_markersize() * factor)
        line.set_linewidth(line.get_linewidth() * factor)
