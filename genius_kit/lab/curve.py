"""The curve of a search as the lab keeps it: points, the best so far, a summary in words, a still picture in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from genius_kit.drawings import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    from genius_kit.journal import Event

WIDTH, HEIGHT = 560, 240  # of the still picture, in pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 34
MODEL_ORIGINS = ("model",)


@dataclass(frozen=True)
class Point:
    """One evaluation: `value` is its feedback in percent, None where none was measured; `origin` who proposed it."""

    iteration: int
    value: float | None
    name: str
    origin: str = "model"

    def message(self) -> list[Any]:
        """Return the point as the browser is sent it: short, since there are many."""
        return [self.iteration, None if self.value is None else round(self.value, 4), self.name, self.origin]


def point_of(evaluation: Event, proposal: Event) -> Point:
    """Return the point of a journal's `evaluation` and the `proposal` before it."""
    return Point(evaluation["iteration"], evaluation["feedback"], proposal["text"], proposal["origin"])


def points_of(events: Sequence[Event]) -> list[Point]:
    """Return the points of a journal's events, in order."""
    points: list[Point] = []
    proposal: Event | None = None
    for event in events:
        if event["event"] == "proposal":
            proposal = event
        elif event["event"] == "evaluation" and proposal is not None:
            points.append(point_of(event, proposal))
    return points


def best_so_far(points: Sequence[Point]) -> list[float | None]:
    """Return the best value up to each point, None before the first measured one."""
    best: float | None = None
    found = []
    for point in points:
        if point.value is not None:
            best = point.value if best is None else max(best, point.value)
        found.append(best)
    return found


def curve_text(points: Sequence[Point]) -> str:
    """Return what the curve shows in one sentence, for readers who do not see it."""
    measured = [point for point in points if point.value is not None]
    if not measured:
        return "No evaluation yet." if not points else f"{len(points)} evaluations, none of them measured."
    best = max(measured, key=lambda point: point.value or 0.0)
    last = points[-1]
    ended = "not measured" if last.value is None else f"{last.value:.2f} percent"
    return (
        f"{len(points)} evaluation{'s' * (len(points) > 1)}; the best is {best.value:.2f} percent at iteration "
        f"{best.iteration} ({best.name}); the last, {last.iteration}, is {ended}."
    )


def curve_svg(points: Sequence[Point], feedback_name: str = "accuracy") -> str:
    """Return the curve as an SVG element of about 12 bytes a point, which needs no script and no network."""
    measured = [(point, point.value) for point in points if point.value is not None]
    label = escape(curve_text(points))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11" fill="currentColor" aria-label="{label}">'
        f"<title>{label}</title>"
    )
    if not measured:
        return f'{head}<text x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}" text-anchor="middle">no evaluation yet</text></svg>'
    values = [value for _, value in measured]
    low, high = padded(min(values), max(values))
    last = max(point.iteration for point in points)
    inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(iteration: int) -> float:
        return LEFT + inner[0] * (iteration - 0.5) / last

    def down(value: float) -> float:
        return TOP + inner[1] * (high - value) / (high - low)

    def dots(kind: bool) -> str:
        chosen = [(p, v) for p, v in measured if (p.origin in MODEL_ORIGINS) == kind]
        return "".join(f"M{across(p.iteration):.1f} {down(v):.1f}h0" for p, v in chosen)

    steps = [(p.iteration, b) for p, b in zip(points, best_so_far(points), strict=True) if b is not None]
    line = "".join(
        f"{'H' if i else 'M'}{across(n):.1f}{'V' if i else ' '}{down(b):.1f}" for i, (n, b) in enumerate(steps)
    )
    return head + "".join(
        [
            *_axes(low, high, last, across, down, feedback_name),
            f'<path d="{line}" fill="none" stroke="{VERMILION}" stroke-width="1.8"/>',
            f'<path d="{dots(False)}" fill="none" stroke="{GREY}" stroke-width="6" stroke-linecap="square"/>',
            f'<path d="{dots(True)}" fill="none" stroke="{BLUE}" stroke-width="6" stroke-linecap="round"/>',
            "</svg>",
        ]
    )


def padded(low: float, high: float) -> tuple[float, float]:
    """Return the range of an axis that shows values from `low` to `high` with room around them."""
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return at most about `count` round numbers from `low` to `high`."""
    import math

    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def _axes(low: float, high: float, last: int, across: Any, down: Any, name: str) -> list[str]:
    base = HEIGHT - BOTTOM
    shapes = [f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}" fill="none" stroke="{GREY}"/>']
    for value in ticks(low, high):
        y = down(value)
        shapes.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.3"/>')
        shapes.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for number in sorted({max(1, round(tick)) for tick in ticks(1, max(2, last))}):
        if number <= last:
            shapes.append(f'<text x="{across(number):.1f}" y="{base + 14}" text-anchor="middle">{number}</text>')
    middle = TOP + (base - TOP) / 2
    shapes.append(f'<text x="{(LEFT + WIDTH) / 2:g}" y="{HEIGHT - 5}" text-anchor="middle">iteration</text>')
    shapes.append(
        f'<text transform="translate(13 {middle:g}) rotate(-90)" text-anchor="middle">{escape(name)} (%)</text>'
    )
    return shapes
