"""The curve of one run: its points, what they are held against, a summary in words, a still picture in SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.figures.style import BLUE, GREY, OLIVE, VERMILION
from genius_kit.lab.drawing import short_name
from genius_kit.records import RankRange
from genius_kit.stats.random_search import RandomSearch
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Event
    from genius_kit.spaces import SearchSpace

WIDTH, HEIGHT = 560, 240  # of the still picture, in pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 34
MODEL_ORIGINS = ("model",)
MEASURES = ("accuracy", "rank")
RANDOM_POINTS = 40  # of the curve of random search, spread evenly over the logarithm of the evaluations


@dataclass(frozen=True)
class Point:
    """One evaluation: `value` is its feedback in percent, None where none was measured; `origin` who proposed it.

    `rank` is the middle of the range that it shares, 1 is best; `macs` and `parameters` are counts.
    """

    iteration: int
    value: float | None
    name: str
    origin: str = "model"
    rank: float | None = None
    macs: float | None = None
    parameters: float | None = None

    def message(self) -> list[Any]:
        """Return the point as the browser is sent it: short, since there are many."""
        value = None if self.value is None else round(self.value, 4)
        return [self.iteration, value, self.name, self.origin, self.rank, self.macs, self.parameters]

    def height(self, measure: str) -> float | None:
        """Return how high the point stands: its accuracy, or its rank with a tenth of it one higher."""
        if measure == "accuracy":
            return self.value
        return None if self.rank is None or self.value is None else -math.log10(self.rank)


def amount(value: float | None, unit: str = "percent") -> str:
    """Return a result with its unit in words."""
    if value is None:
        return "not measured"
    return f"{value:.2f} %" if unit == "percent" else f"{value:.5g} {unit}"


def point_of(evaluation: Event, proposal: Event, space: SearchSpace | None = None) -> Point:
    """Return the point of a journal's `evaluation` and the `proposal` before it."""
    name = short_name(space, evaluation["architecture"]) if space else str(proposal.get("text", ""))
    rank = evaluation.get("rank")
    return Point(
        evaluation["iteration"],
        evaluation["feedback"],
        name,
        proposal.get("origin", ""),
        RankRange(**rank).mean if rank else None,
        evaluation.get("macs"),
        evaluation.get("parameters"),
    )


@dataclass(frozen=True)
class References:
    """What the curve of a table is held against, each as accuracy in percent and rank.

    `random` holds evaluations, accuracy and rank of the best of so many random draws, as exact expectations. `prior` is
    the largest architecture, None where the bound of the search refuses it.
    """

    best: float
    prior: tuple[float, float] | None
    random: tuple[tuple[int, float, float], ...]

    def message(self) -> dict[str, Any]:
        """Return them as the browser is sent them."""
        return {"best": self.best, "prior": self.prior, "random": self.random}


@lru_cache(maxsize=32)
def references(benchmark: Benchmark, budget: int) -> References | None:
    """Return what a search of `budget` evaluations is held against, None where not every architecture was scored."""
    if not isinstance(benchmark, TabularBenchmark):
        return None
    scores = benchmark.scores()
    random, space = RandomSearch(scores), benchmark.space
    draws = sorted({round(n) for n in np.geomspace(1, min(budget, scores.size), RANDOM_POINTS)})
    expected = tuple((n, round(random.expected_best(n), 4), round(random.expected_best_rank(n), 2)) for n in draws)
    largest = space.all_largest
    is_refused = benchmark.constraint is not None and benchmark.constraint.refusal(space, largest) is not None
    rank, value = benchmark.rank(largest), float(scores[space.index(largest)])
    prior = None if is_refused or rank is None else (round(value, 4), rank.mean)
    return References(round(float(scores.max()), 4), prior, expected)


def best_so_far(points: Sequence[Point], measure: str = "accuracy") -> list[float | None]:
    """Return the greatest height up to each point, None before the first measured one."""
    best: float | None = None
    found = []
    for point in points:
        height = point.height(measure)
        if height is not None:
            best = height if best is None else max(best, height)
        found.append(best)
    return found


def curve_text(points: Sequence[Point], unit: str = "percent") -> str:
    """Return what the curve shows in one sentence, for readers who do not see it."""
    measured = [point for point in points if point.value is not None]
    if not measured:
        return "No evaluation yet." if not points else f"{len(points)} evaluations, none of them measured."
    best = max(measured, key=lambda point: point.value or 0.0)
    last = points[-1]
    ranked = "" if best.rank is None else f", rank {best.rank:g}"
    return (
        f"{len(points)} evaluation{'s' * (len(points) > 1)}; the best is {amount(best.value, unit)}{ranked} at "
        f"iteration {best.iteration} ({best.name}); the last, {last.iteration}, is {amount(last.value, unit)}."
    )


@dataclass(frozen=True)
class Line:
    """The best so far of one run of several: where it improved, and how it is drawn."""

    label: str
    colour: str
    dash: str
    points: tuple[Point, ...]
    length: int

    def message(self) -> list[Any]:
        """Return the line as the browser is sent it."""
        return [self.label, self.colour, self.dash, [point.message() for point in self.points], self.length]


def lines_of(runs: Sequence[tuple[str, Sequence[Point]]]) -> tuple[Line, ...]:
    """Return a line a run, by its label, each told from the others."""
    styles = [(colour, dash) for dash in ("", "6 3") for colour in (BLUE, VERMILION, OLIVE, GREY)]
    found = []
    for (label, points), style in zip(runs, styles, strict=False):
        best = best_so_far(points)
        better = [point for place, point in enumerate(points) if best[place] != (best[place - 1] if place else None)]
        found.append(Line(label, *style, tuple(better), len(points)))
    return tuple(found)


def lines_text(lines: Sequence[Line], unit: str = "percent") -> str:
    """Return what the lines of several runs show in one sentence."""
    ends = [f"{line.label} {amount(line.points[-1].value if line.points else None, unit)}" for line in lines]
    return f"Best so far of {len(lines)} runs: {'; '.join(ends)}."


def curve_svg(
    points: Sequence[Point],
    feedback_name: str = "accuracy",
    budget: int = 0,
    measure: str = "accuracy",
    held: References | None = None,
    unit: str = "percent",
) -> str:
    """Return the curve as an SVG element of about 12 bytes a point, which needs no script and no network."""
    measured = [(point, height) for point in points if (height := point.height(measure)) is not None]
    label = for_html(curve_text(points, unit))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11" fill="currentColor" aria-label="{label}">'
        f"<title>{label}</title>"
    )
    if not measured:
        return f'{head}<text x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}" text-anchor="middle">no evaluation yet</text></svg>'
    lines = _reference_heights(held, measure)
    heights = [height for _, height in (*measured, *lines)]
    low, high = padded(min(heights), max(heights))
    last = max(budget, *(point.iteration for point in points))
    inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(iteration: float) -> float:
        return LEFT + inner[0] * (iteration - 0.5) / last

    def down(height: float) -> float:
        return TOP + inner[1] * (high - min(max(height, low), high)) / (high - low)

    def dots(kind: bool) -> str:
        chosen = [(p, v) for p, v in measured if (p.origin in MODEL_ORIGINS) == kind]
        return "".join(f"M{across(p.iteration):.1f} {down(v):.1f}h0" for p, v in chosen)

    steps = [(p.iteration, b) for p, b in zip(points, best_so_far(points, measure), strict=True) if b is not None]
    line = "".join(
        f"{'H' if i else 'M'}{across(n):.1f}{'V' if i else ' '}{down(b):.1f}" for i, (n, b) in enumerate(steps)
    )
    name = f"{feedback_name} ({'%' if unit == 'percent' else unit})" if measure == "accuracy" else "rank (1 is best)"
    return head + "".join(
        [
            *_axes(low, high, last, across, down, name, measure),
            *_held(held, lines, measure, across, down),
            f'<path d="{line}" fill="none" stroke="{VERMILION}" stroke-width="1.8"/>',
            f'<path d="{dots(False)}" fill="none" stroke="{GREY}" stroke-width="6" stroke-linecap="square"/>',
            f'<path d="{dots(True)}" fill="none" stroke="{BLUE}" stroke-width="6" stroke-linecap="round"/>',
            "</svg>",
        ]
    )


def _reference_heights(held: References | None, measure: str) -> list[tuple[str, float]]:
    """Return the level lines of the references: name and height."""
    if held is None:
        return []
    place = MEASURES.index(measure)
    found = [("best of the table", (held.best, 1.0)), *([("the largest", held.prior)] if held.prior else [])]
    return [(name, pair[0] if place == 0 else -math.log10(pair[1])) for name, pair in found]


def _held(
    held: References | None,
    lines: Sequence[tuple[str, float]],
    measure: str,
    across: Callable[[float], float],
    down: Callable[[float], float],
) -> list[str]:
    shapes = []
    for name, height in lines:
        y = down(height)
        shapes.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-dasharray="6 3"/>')
        shapes.append(f'<text x="{WIDTH - RIGHT}" y="{y - 3:.1f}" text-anchor="end" font-size="10">{name}</text>')
    if held is not None:
        pairs = [(n, value if measure == "accuracy" else -math.log10(rank)) for n, value, rank in held.random]
        d = "L".join(f"{across(n):.1f} {down(height):.1f}" for n, height in pairs)
        shapes.append(f'<path d="M{d}" fill="none" stroke="{GREY}" stroke-dasharray="2 3"/>')
    return shapes


def padded(low: float, high: float) -> tuple[float, float]:
    """Return the range of an axis that shows values from `low` to `high` with room around them."""
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return at most about `count` round numbers from `low` to `high`."""
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def rank_ticks(low: float, high: float) -> list[int]:
    """Return the ranks 1, 2, 5, 10, 20 ... whose heights lie from `low` to `high`, powers of ten alone where many."""
    found = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]
    within = [rank for rank in found if low <= -math.log10(rank) <= high]
    return within if len(within) <= 6 else [rank for rank in within if math.log10(rank).is_integer()]


def _axes(low: float, high: float, last: int, across: Any, down: Any, name: str, measure: str) -> list[str]:
    base = HEIGHT - BOTTOM
    shapes = [f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}" fill="none" stroke="{GREY}"/>']
    marks = [(value, value) for value in ticks(low, high)]
    if measure == "rank":
        marks = [(-math.log10(rank), float(rank)) for rank in rank_ticks(low, high)]
    for height, value in marks:
        y = down(height)
        shapes.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.3"/>')
        shapes.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for number in sorted({max(1, round(tick)) for tick in ticks(1, max(2, last))}):
        if number <= last:
            shapes.append(f'<text x="{across(number):.1f}" y="{base + 14}" text-anchor="middle">{number}</text>')
    middle = TOP + (base - TOP) / 2
    shapes.append(f'<text x="{(LEFT + WIDTH) / 2:g}" y="{HEIGHT - 5}" text-anchor="middle">evaluation</text>')
    shapes.append(
        f'<text transform="translate(13 {middle:g}) rotate(-90)" text-anchor="middle">{for_html(name)}</text>'
    )
    return shapes
