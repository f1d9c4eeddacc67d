"""A figure made fit for a narrow page: legends folded or moved, words wrapped, fewer ticks, names placed."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from genius_kit.labels import place_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW_FIGURE = 5.0
NARROW_PANEL = 1.3
"""Inches, below which a legend beside the panel goes below it, and a panel has at most five ticks."""

GAP = 4
"""Points between a panel's labels and the legend below it."""


def fold(figure: Any) -> None:
    """Rearrange what no longer fits the figure's width; the data are drawn as they were."""
    figure.draw_without_rendering()  # so that sizes on the page are known
    _fewer_ticks(figure)
    _wrap_texts(figure)
    for _ in range(2):  # a legend that moves changes the panels, and these the place of the legend
        _fold_legends(figure)
    for axes in figure.axes:
        place_names(axes)


def _fewer_ticks(figure: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        narrow = axes.get_window_extent().width < NARROW_PANEL * figure.dpi
        if narrow and isinstance(axes.xaxis.get_major_locator(), MaxNLocator):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _wrap_texts(figure: Any) -> None:
    """Break titles and labels below the panels that reach beyond the figure."""
    texts = [text for axes in figure.axes for text in (axes.xaxis.label, axes.title, axes._left_title)]
    for text in [*texts, *(text for text in (figure._supxlabel, figure._suptitle) if text is not None)]:
        if text.get_text():
            _wrap(text, figure.bbox.width)


def _wrap(text: Any, width: float) -> None:
    box = text.get_window_extent()
    if box.x0 >= 0 and box.x1 <= width:
        return
    middle = (box.x0 + box.x1) / 2
    room = {"left": width - box.x0, "right": box.x1}.get(text.get_ha(), 2 * min(middle, width - middle))
    longest = max(len(line) for line in text.get_text().splitlines())
    text.set_text(textwrap.fill(text.get_text(), max(12, int(0.97 * longest * room / box.width))))


def _fold_legends(figure: Any) -> None:
    narrow = figure.get_size_inches()[0] < NARROW_FIGURE
    figure.draw_without_rendering()
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is None or not _is_outside(legend, axes):
            continue
        if _is_beside(legend, axes) and not narrow:
            continue
        _put_below(legend, axes)
    for legend in list(figure.legends):
        _fold(legend, figure, f"outside {legend._outside_loc} center")
    for axes in figure.axes:
        if axes.get_legend() is not None:
            _fold(axes.get_legend(), axes, "upper center")


def _fold(legend: Any, parent: Any, place: str) -> None:
    """Make a legend anew with fewer columns until it is no wider than the figure; matplotlib cannot change one."""
    figure, columns = legend.get_figure(root=True), legend._ncols
    labels, size = [text.get_text() for text in legend.get_texts()], legend.get_texts()[0].get_fontsize()
    while columns > 1 and legend.get_window_extent().width > figure.bbox.width:
        columns -= 1
        handles, anchor = legend.legend_handles, legend.get_bbox_to_anchor()
        legend.remove()
        legend = parent.legend(handles, labels, loc=place, ncols=columns, fontsize=size, frameon=False)
        if parent is not figure:
            legend.set_bbox_to_anchor(anchor.transformed(parent.transAxes.inverted()), transform=parent.transAxes)
        figure.draw_without_rendering()


def _is_outside(legend: Any, axes: Axes) -> bool:
    """Return whether a legend stands beside or below its panel."""
    box, inside = legend.get_window_extent(), axes.get_window_extent()
    return bool(box.y1 <= inside.y0 or box.x0 >= inside.x1)


def _is_beside(legend: Any, axes: Axes) -> bool:
    return bool(legend.get_window_extent().x0 >= axes.get_window_extent().x1)


def _put_below(legend: Any, axes: Any) -> None:
    """Put a legend below the tick labels and the label of its panel, in the middle."""
    inside, scale = axes.get_window_extent(), axes.figure.dpi / 72
    taken = axes.xaxis.get_tightbbox()
    bottom = (taken.y0 if taken is not None else inside.y0) - GAP * scale
    legend.set_loc("upper center")
    legend.set_bbox_to_anchor((0.5, (bottom - inside.y0) / inside.height), transform=axes.transAxes)
