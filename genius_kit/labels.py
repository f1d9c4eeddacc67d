"""Names beside points, placed so that they cover neither one another nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

DIRECTIONS = (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)
DISTANCES = (5, 11, 18, 26, 36, 48)
"""Degrees and points, tried in this order: nearest first, at the right first."""

NAME = "name of a point"


def name_points(axes: Axes, points: Sequence[tuple[float, float, str]], size: float = 6.5) -> list[Annotation]:
    """Write a name beside each point (x, y, name), with a thin line where it had to move away; return the labels."""
    line = {"arrowstyle": "-", "color": "#aaaaaa", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
    for x, y, name in points:
        axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=size, va="center", arrowprops=line,
            gid=NAME,
        )  # fmt: skip
    return place_names(axes)


def place_names(axes: Axes) -> list[Annotation]:
    """Place the names that `name_points` wrote anew, as for a figure that has another size now, and return them."""
    labels: list[Any] = [text for text in axes.texts if text.get_gid() == NAME]
    if not labels:
        return []
    figure: Any = axes.figure
    for label in labels:
        label.set_position((0, 0))
    figure.draw_without_rendering()  # so that places on the page are known
    taken, inside = [_dot(axes, *label.xy) for label in labels], axes.get_window_extent()
    for label in sorted(labels, key=lambda label: (-label.xy[1], label.xy[0])):
        taken.append(_place(label, taken, inside))
    return labels


def _dot(axes: Axes, x: float, y: float) -> Bbox:
    from matplotlib.transforms import Bbox

    left, bottom = axes.transData.transform((x, y))
    half = 3 * axes.figure.dpi / 72
    return Bbox([[left - half, bottom - half], [left + half, bottom + half]])


def _place(label: Annotation, taken: Sequence[Bbox], inside: Bbox) -> Bbox:
    """Move the label to the first place that is free, else leave it at the last one, and return its box."""
    box = _text_box(label)
    for distance in DISTANCES:
        for degrees in DIRECTIONS:
            angle = math.radians(degrees)
            label.set_horizontalalignment(
                "left" if math.cos(angle) > 0.1 else "right" if math.cos(angle) < -0.1 else "center"
            )
            label.set_position((distance * math.cos(angle), distance * math.sin(angle)))
            box = _text_box(label)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(_overlap(box, other) for other in taken):
                return box
    return box


def _text_box(label: Annotation) -> Bbox:
    """Return the box of the words alone, without the line that leads to them."""
    from matplotlib.text import Text

    figure: Any = label.figure
    label.update_positions(figure.canvas.get_renderer())
    return Text.get_window_extent(label)


def _overlap(first: Bbox, second: Bbox) -> bool:
    return first.x0 < second.x1 and second.x0 < first.x1 and first.y0 < second.y1 and second.y0 < first.y1
