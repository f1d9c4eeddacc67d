"""The curve of a search as the lab keeps it: points, the best so far, a summary in words, a still picture in SVG."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from genius_kit.figures.drawings import EDGE_STYLES, GREY, block_colours
from genius_kit.figures.style import BLUE, SKY, VERMILION
from genius_kit.spaces import Architecture, SearchSpace, nas_bench_201
from genius_kit.texts import for_html

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
    label = for_html(curve_text(points))
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
        f'<text transform="translate(13 {middle:g}) rotate(-90)" text-anchor="middle">{for_html(name)} (%)</text>'
    )
    return shapes


BOX, GAP, TALL = 46, 6, 40  # width of a layer, space between layers, height, in pixels
NODE_X = (50, 170, 290, 410)
NODE_Y = 150
EDGE_HEIGHTS = {(0, 2): -62.0, (0, 3): -116.0, (1, 3): 62.0}
"""How far the edges that pass over a node bend away from the line of nodes (negative: above)."""


def drawing_svg(space: SearchSpace, architecture: Sequence[int]) -> str:
    """Return one architecture as an SVG element with a title and a description; raises InvalidArchitecture."""
    values = space.check(architecture)
    draw = {"cell": _cell, "channels": _channels}.get(space.family, _layers)
    width, height, shapes = draw(space, values)
    name = for_html(f"{space.title} {space.key(values)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11" fill="currentColor" aria-label="'
        f'{for_html(architecture_text(space, values))}"><title>{name}</title>{"".join(shapes)}</svg>'
    )


def architecture_text(space: SearchSpace, architecture: Sequence[int]) -> str:
    """Return one architecture in words, position by position, for readers who do not see the drawing."""
    values = space.check(architecture)
    words = [f"{space.positions[i]} {meaning(space, i, value)}" for i, value in enumerate(values)]
    return f"{space.title} {space.key(values)}: {'; '.join(words)}"


def meaning(space: SearchSpace, position: int, option: int) -> str:
    """Return in words what an option stands for at a position."""
    if not space.names_operations:
        return f"{space.choices[position][option]} channels"
    return space.describe(position, option)


def _text(x: float, y: float, text: str, size: int = 11, colour: str = "", anchor: str = "middle") -> str:
    fill = f' fill="{colour}"' if colour else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{fill}>{for_html(text)}</text>'


def _layers(space: SearchSpace, values: Architecture) -> tuple[int, int, list[str]]:
    """Return one row of boxes a stage, or all in one row where they fit."""
    in_one_row = space.length <= 14
    shapes: list[str] = []
    left, top, width = 10, 24, 0
    for number, stage in enumerate(space.stages, start=1):
        if len(space.stages) > 1:
            shapes.append(_text(left, top - 8, f"stage {number}", anchor="start"))
        for column, position in enumerate(stage):
            x = left + column * (BOX + GAP)
            shapes += _box(space, position, values[position], x, top)
        end = left + len(stage) * (BOX + GAP)
        width = max(width, end)
        left, top = (end + 14, top) if in_one_row else (10, top + TALL + 38)
    return width + 10, (24 + TALL + 24 if in_one_row else top), shapes


def _box(space: SearchSpace, position: int, option: int, x: int, y: int) -> list[str]:
    """Return a layer: a filled box for a block, a dashed thin one where the layer is left out."""
    lines, colour = _label(space, position, option)
    below = _text(x + BOX / 2, y + TALL + 13, re.sub(r"^(?:block|layer) ", "", space.positions[position]), 10)
    if not colour:
        thin = (
            f'<rect x="{x}" y="{y + 12}" width="{BOX}" height="16" fill="none" stroke="{GREY}" stroke-dasharray="4 3"/>'
        )
        return [thin, _text(x + BOX / 2, y + 24, lines[0], 10), below]
    ink = "white" if colour in (BLUE, VERMILION) else "black"
    box = f'<rect x="{x}" y="{y}" width="{BOX}" height="{TALL}" fill="{colour}" stroke="black"/>'
    written = [_text(x + BOX / 2, y + 17 + 14 * i, line, 10, ink) for i, line in enumerate(lines)]
    return [box, *written, below]


def _label(space: SearchSpace, position: int, option: int) -> tuple[list[str], str]:
    """Return the lines in a box and its colour, which is empty where the layer is left out."""
    lines = list(space.label(position, option))
    if lines:
        return lines, "white" if space.has_embedding and not position else block_colours(space)[option]
    starts_stage = not space.has_embedding and any(position == stage[0] for stage in space.stages)
    return ["1×1" if starts_stage else "skip"], ""


def _channels(space: SearchSpace, values: Architecture) -> tuple[int, int, list[str]]:
    """Return one bar a layer: the channels used inside the outline of the full width."""
    full = max(int(options[-1]) for options in space.choices)
    shapes: list[str] = []
    for position, value in enumerate(values):
        x, scale = 12 + position * 58, 110 / full
        used, most = int(space.choices[position][value]), int(space.choices[position][-1])
        shapes += [
            f'<rect x="{x}" y="{130 - most * scale:.1f}" width="44" height="{most * scale:.1f}" fill="none" '
            f'stroke="{GREY}" stroke-dasharray="4 3"/>',
            f'<rect x="{x}" y="{130 - used * scale:.1f}" width="44" height="{used * scale:.1f}" fill="{SKY}" '
            'stroke="black"/>',
            _text(x + 22, 126 - most * scale, f"{used}/{most}", 10),
            _text(x + 22, 144, space.positions[position], 10),
        ]
    return 12 + space.length * 58, 152, shapes


def _cell(space: SearchSpace, values: Architecture) -> tuple[int, int, list[str]]:
    """Return the four nodes of a cell on a line, with the operation of every edge."""
    shapes: list[str] = []
    for (source, target), value in zip(nas_bench_201.EDGES, values, strict=True):
        shapes += _edge(source, target, space.options[value])
    for node, x in enumerate(NODE_X):
        shapes.append(f'<circle cx="{x}" cy="{NODE_Y}" r="15" fill="white" stroke="black"/>')
        shapes.append(_text(x, NODE_Y + 4, str(node), colour="black"))
    shapes += [_text(NODE_X[0], NODE_Y + 32, "input", 10), _text(NODE_X[3], NODE_Y + 32, "output", 10)]
    return 460, 236, shapes


def _edge(source: int, target: int, operation: str) -> list[str]:
    """Return an arrow and its label; an edge of `none` is dotted and unnamed."""
    colour, label = EDGE_STYLES.get(operation, (GREY, ""))
    colour = "currentColor" if operation == "skip_connect" else colour
    start, end, bend = NODE_X[source] + 16, NODE_X[target] - 18, EDGE_HEIGHTS.get((source, target), 0.0)
    middle, rise = (NODE_X[source] + NODE_X[target]) / 2, 0.0
    if bend:
        start, end, rise = NODE_X[source] + 10, NODE_X[target] - 10, 13.0 if bend > 0 else -13.0
    y = NODE_Y + rise
    peak = y + bend * 2 - rise
    dash = "" if label else ' stroke-dasharray="2 4"'
    line = (
        f'<path d="M{start:g} {y:g}Q{middle:g} {peak:g} {end:g} {y:g}" fill="none" stroke="{colour}" '
        f'stroke-width="{2 if label else 1}"{dash}/>'
    )
    height = (y + peak) / 2 if bend else y - 7
    return [line, _head(end, y, middle, peak, colour), *_edge_label(middle, height, label, colour, bool(bend))]


def _edge_label(x: float, y: float, label: str, colour: str, is_bent: bool) -> list[str]:
    if not label:
        return []
    ground = f'<rect x="{x - 27:g}" y="{y - 8:g}" width="54" height="16" rx="3" fill="white" stroke="{colour}"/>'
    ink = "black" if colour == "currentColor" else colour
    return [ground, _text(x, y + 4, label, 10, ink)] if is_bent else [_text(x, y, label, 10, colour)]


def _head(x: float, y: float, from_x: float, from_y: float, colour: str) -> str:
    """Return an arrow head at (x, y) that looks away from (from_x, from_y)."""
    length = max(1.0, ((x - from_x) ** 2 + (y - from_y) ** 2) ** 0.5)
    along = ((x - from_x) / length, (y - from_y) / length)
    base = (x - 7 * along[0], y - 7 * along[1])
    side = (-3.5 * along[1], 3.5 * along[0])
    corners = [(x + 2 * along[0], y + 2 * along[1]), (base[0] + side[0], base[1] + side[1])]
    corners.append((base[0] - side[0], base[1] - side[1]))
    return f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in corners)}Z" fill="{colour}"/>'


STATIC = Path(__file__).with_name("static")
Message = dict[str, Any]


class Board:
    """Everything that the curve's view shows, as plain values; each change returns the message that tells of it."""

    def __init__(self, feedback_name: str = "accuracy") -> None:
        self.feedback_name = feedback_name
        self.points: list[Point] = []
        self.selected: int | None = None
        self.budget = 0
        self.drawing = ""
        self.described = ""
        self.status: Message = {"text": "ready", "money": "", "asking": None, "retry": None}
        self.line = ""

    def snapshot(self) -> Message:
        """Return the message that tells a new view everything."""
        return {
            "kind": "all",
            "name": self.feedback_name,
            "points": [point.message() for point in self.points],
            "budget": self.budget,
            "selected": self.selected,
            "summary": curve_text(self.points),
            "drawing": {"svg": self.drawing, "text": self.described},
            "status": self.status,
            "line": self.line,
        }

    def put(self, points: Sequence[Point], budget: int = 0) -> Message:
        """Show another curve, with nothing selected."""
        self.points, self.budget, self.selected = list(points), budget, None
        return self.snapshot()

    def add(self, points: Sequence[Point]) -> Message:
        """Append points to the curve."""
        self.points.extend(points)
        return {"kind": "add", "points": [point.message() for point in points], "summary": curve_text(self.points)}

    def widen(self, budget: int) -> Message:
        """Make room for another number of evaluations."""
        self.budget = budget
        return {"kind": "budget", "budget": budget}

    def select(self, step: int | None) -> Message:
        """Mark the point at index `step`."""
        self.selected = step if step is not None and 0 <= step < len(self.points) else None
        return {"kind": "select", "selected": self.selected}

    def draw(self, space: SearchSpace, architecture: Architecture) -> Message:
        """Show one architecture."""
        self.drawing, self.described = drawing_svg(space, architecture), architecture_text(space, architecture)
        return {"kind": "drawing", "drawing": {"svg": self.drawing, "text": self.described}}

    def tell(self, text: str, money: str = "", asking: float | None = None, retry: float | None = None) -> Message:
        """Show the state of a search: `asking` is how long the present call takes so far, `retry` the wait left."""
        self.status = {"text": text, "money": money, "asking": asking, "retry": retry}
        return {"kind": "status", "status": self.status}

    def code(self, line: str) -> Message:
        """Show the last action as one line of Python."""
        self.line = line
        return {"kind": "line", "line": line}

    def still(self) -> str:
        """Return curve and drawing as HTML that needs neither script nor network."""
        line = f"<pre>{for_html(self.line)}</pre>" if self.line else ""
        return (
            '<div class="genius-still" style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-end">'
            f"<div>{curve_svg(self.points, self.feedback_name)}</div><div>{self.drawing}</div></div>"
            f"<p>{for_html(curve_text(self.points))}</p>{line}"
        )


class _Part(anywidget.AnyWidget):
    """One of the module's two views; `answers` are called with each message from the browser."""

    _esm = STATIC / "lab.js"
    _css = STATIC / "lab.css"
    part = traitlets.Unicode("curve").tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self._answers: dict[str, Callable[[Message], None]] = {}
        self.on_msg(self._received)

    def on(self, kind: str, answer: Callable[[Message], None]) -> None:
        """Call `answer` with every message of this kind that the browser sends."""
        self._answers[kind] = answer

    def _received(self, _widget: Any, content: Message, _buffers: Any) -> None:
        answer = self._answers.get(content.get("kind", ""))
        if answer is not None:
            answer(content)


class LabView(_Part):
    """The curve, the drawing, the state of a search, and the last action as Python; see `Board` for what it shows.

    A click on a point, or the step slider, calls `on_step` with the index of the point.
    """

    def __init__(self, feedback_name: str = "accuracy", on_step: Callable[[int], None] | None = None) -> None:
        super().__init__(part="curve")
        self.board = Board(feedback_name)
        self.on("ready", lambda _: self.send(self.board.snapshot()))
        self.on("step", lambda content: on_step(int(content["step"])) if on_step else None)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return with_still(super()._repr_mimebundle_(**options), self.board.still())


class TemplateView(_Part):
    """The template in a text field with the prompt that it makes beside it.

    The browser sends `edit` with the text at each change and `ask` for Ctrl or Cmd + Enter.
    """

    def __init__(self) -> None:
        super().__init__(part="template")
        self.template: Message = {"kind": "template", "source": "", "name": "", "locked": False}
        self.rendered: Message = {"kind": "rendered"}
        self.on("ready", lambda _: self._tell_all())

    def _tell_all(self) -> None:
        self.send(self.template)
        self.send(self.rendered)

    def show_template(self, source: str, name: str, locked: bool = False) -> None:
        """Put another text into the field."""
        self.template = {"kind": "template", "source": source, "name": name, "locked": locked}
        self.send(self.template)

    def show_rendered(self, content: Message) -> None:
        """Show what the text makes: see `lab.editor.rendered_message`."""
        self.rendered = {"kind": "rendered", **content}
        self.send(self.rendered)


def with_still(bundle: Any, html: str) -> Any:
    """Return a widget's bundle with `html` for pages in which no widget can live.

    nbconvert shows it where no widget state is saved, as `reports` does.
    """
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**(data or {}), "text/html": html}, metadata


def show_beside_still(bundle: Any, html: str) -> None:
    """Show a widget and, in an output of its own, `html` that is seen wherever the widget does not live.

    A page that was converted with the state of widgets draws them with scripts from the network, or nothing at all.
    """
    from IPython.display import publish_display_data

    data, metadata = with_still(bundle, "")
    publish_display_data(data, metadata)
    publish_display_data({"text/html": f'<div class="genius-beside">{html}</div>'})
