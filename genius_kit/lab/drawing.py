"""One architecture as a drawing in SVG, in words position by position, and as a short name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from genius_kit.figures.drawings import EDGE_STYLES, block_colours
from genius_kit.figures.style import BLACK, BLUE, GREY, OLIVE, ORANGE, SKY, YELLOW
from genius_kit.spaces import Architecture, SearchSpace, nas_bench_201
from genius_kit.texts import for_html

LINES = {BLACK: "currentColor", ORANGE: "#b87f00", SKY: "#2a8fcf", YELLOW: OLIVE}
"""What stands for a colour in a thin line: it has at least 3:1 on a white ground and on JupyterLab's dark one."""

MOST_KINDS = 3  # of operations that a short name tells
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


def short_name(space: SearchSpace, architecture: Sequence[int]) -> str:
    """Return its key and how often it has each operation: "333334: 5 times 3×3 conv, once 3×3 pool"."""
    values = space.check(architecture)
    if not space.names_operations:
        return space.encode(values)
    words = Counter(_operation(space, position, option) for position, option in enumerate(values)).most_common()
    told = [f"{'once' if count == 1 else f'{count} times'} {word}" for word, count in words[:MOST_KINDS]]
    others = len(words) - len(told)
    return f"{space.key(values)}: {', '.join(told)}{f' and {others} more kinds' if others else ''}"


def _operation(space: SearchSpace, position: int, option: int) -> str:
    if space.family == "cell":
        return EDGE_STYLES.get(space.options[option], ("", ""))[1] or space.options[option]
    return " ".join(space.label(position, option)) or "skip"


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
    ink = "white" if colour in (BLUE, GREY) else "black"
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
    colour = LINES.get(colour, colour)
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
    return [ground, _text(x, y + 4, label, 10, "black")] if is_bent else [_text(x, y, label, 10)]


def _head(x: float, y: float, from_x: float, from_y: float, colour: str) -> str:
    """Return an arrow head at (x, y) that looks away from (from_x, from_y)."""
    length = max(1.0, ((x - from_x) ** 2 + (y - from_y) ** 2) ** 0.5)
    along = ((x - from_x) / length, (y - from_y) / length)
    base = (x - 7 * along[0], y - 7 * along[1])
    side = (-3.5 * along[1], 3.5 * along[0])
    corners = [(x + 2 * along[0], y + 2 * along[1]), (base[0] + side[0], base[1] + side[1])]
    corners.append((base[0] - side[0], base[1] - side[1]))
    return f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in corners)}Z" fill="{colour}"/>'
