"""Drawings of one architecture: a strip of layers or blocks, bars of channel counts, or the edges of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from genius_kit.spaces import Architecture, SearchSpace, nas_bench_201, vision_transformer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BLOCK_COLOURS = {
    "nas-bench-macro": (GREY, SKY, ORANGE),
    "mobilenet-imagenet": (GREY, SKY, GREEN, YELLOW, BLUE, ORANGE, VERMILION),
    "vision-transformer": (GREY, SKY, GREEN, YELLOW, ORANGE),
}
EDGE_STYLES = {
    "skip_connect": (BLACK, "skip"),
    "nor_conv_1x1": (BLUE, "1×1 conv"),
    "nor_conv_3x3": (VERMILION, "3×3 conv"),
    "avg_pool_3x3": (GREEN, "3×3 pool"),
    "conv_1": (BLUE, "conv 1"),
    "conv_3": (VERMILION, "conv 3"),
    "conv_5": (PURPLE, "conv 5"),
    "conv_7": (YELLOW, "conv 7"),
    "conv_3_dilated_2": (PURPLE, "conv 3, dilation 2"),
    "conv_3_dilated_4": (YELLOW, "conv 3, dilation 4"),
    **{f"shift_{places}": (GREEN, f"shift {places}") for places in (3, 4, 6, 9)},
    "difference_2": (ORANGE, "difference 2"),
    "absolute": (SKY, "absolute"),
    "reverse": (BLACK, "reverse"),
    "mean_5": (ORANGE, "mean 5"),
    "maximum_3": (SKY, "maximum 3"),
}
"""Colour and label; those of one colour seldom share a menu, and the labels tell them apart."""
EDGE_CURVES = {(0, 2): -0.55, (0, 3): -0.72, (1, 3): 0.55}
"""Curvature of the edges that pass over a node (negative: above), so that no two edges cross."""

FIGURE_SIZES = {
    "layers": (6.4, 1.8),
    "stages": (6.0, 4.8),
    "channels": (6.0, 3.0),
    "cell": (6.0, 3.4),
    "transformer": (6.4, 2.4),
    "menus": (6.4, 1.8),
}
NODE_SPACING = 2.0


def block_colours(space: SearchSpace) -> Sequence[str]:
    """Return the colour of each option of a layer."""
    others = (GREY, SKY, ORANGE, BLUE, GREEN, YELLOW, VERMILION, PURPLE)
    return BLOCK_COLOURS.get(space.base) or [others[option % len(others)] for option in range(len(space.options))]


def draw_architecture(space: SearchSpace, architecture: Sequence[int], ax: Axes | None = None) -> Axes:
    """Draw one architecture and return its axes.

    Parameters
    ----------
    space
        The space of the architecture.
    architecture
        One option index per position.
    ax
        Axes to draw on; None makes a new figure of a fitting size (inches).

    Raises
    ------
    InvalidArchitecture
        An architecture that is not of the space.
    """
    values = space.check(architecture)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=FIGURE_SIZES[space.family], layout="constrained")
    draw = {
        "layers": _draw_layers, "stages": _draw_stages, "channels": _draw_channels, "cell": _draw_cell,
        "transformer": _draw_transformer, "menus": _draw_layers,
    }  # fmt: skip
    draw[space.family](space, values, ax)
    key = space.key(values)
    if space.in_stages or space.has_embedding:
        key = " ".join(key[stage[0] : stage[-1] + 1] for stage in space.stages)
    ax.set_title(f"{space.title}  {key}", fontsize=9, loc="left")
    return ax


def _draw_layers(space: SearchSpace, values: Architecture, ax: Axes) -> None:
    """Draw all layers in one row, the stages set apart by a gap and named above."""
    for number, stage in enumerate(space.stages, start=1):
        left = stage[0] + 0.5 * (number - 1)
        for column, position in enumerate(stage):
            _draw_block(space, position, values[position], left + column, 0.0, ax)
            ax.text(left + column + 0.45, -0.12, space.positions[position], ha="center", va="top", fontsize=7)
        if len(space.stages) == 1:
            continue
        middle = left + (len(stage) - 0.1) / 2
        ax.plot([left, left + len(stage) - 0.1], [1.12, 1.12], color=GREY, linewidth=0.8)
        ax.text(middle, 1.18, f"stage {number}", ha="center", va="bottom", fontsize=8)
    width = space.length + 0.5 * (len(space.stages) - 1)
    _frame(ax, (-0.2, width + 0.1), (-0.5, 1.6))


def _draw_stages(space: SearchSpace, values: Architecture, ax: Axes) -> None:
    """Draw one row of layers per stage, the first stage on top."""
    rows, step = len(space.stages), 1.45
    for number, stage in enumerate(space.stages, start=1):
        bottom = step * (rows - number)
        ax.text(-0.2, bottom + 0.5, f"stage {number}", ha="right", va="center", fontsize=8)
        for column, position in enumerate(stage):
            _draw_block(space, position, values[position], column, bottom, ax)
            ax.text(column + 0.45, bottom - 0.04, space.positions[position], ha="center", va="top", fontsize=6.5)
    _frame(ax, (-1.1, len(space.stages[0]) + 0.1), (-0.4, step * rows))


def _draw_block(space: SearchSpace, position: int, option: int, left: float, bottom: float, ax: Axes) -> None:
    """Draw one layer, 0.9 wide: a filled box labelled with kernel and expansion, or a thin dashed one for a skip."""
    from matplotlib.patches import Rectangle

    lines = space.label(position, option)
    if lines:
        colour = block_colours(space)[option]
        ax.add_patch(Rectangle((left, bottom), 0.9, 1.0, facecolor=colour, edgecolor=BLACK, linewidth=0.8))
        ink = "white" if colour in (BLUE, VERMILION) else BLACK
        ax.text(left + 0.45, bottom + 0.5, "\n".join(lines), ha="center", va="center", color=ink, fontsize=8)
        return
    corner = (left, bottom + 0.33)
    ax.add_patch(Rectangle(corner, 0.9, 0.34, facecolor="none", edgecolor=GREY, linestyle="--", linewidth=0.9))
    starts_stage = any(position == stage[0] for stage in space.stages)
    label = "1×1 conv" if starts_stage else "skip"  # a skip cannot change width or resolution
    ax.text(left + 0.45, bottom + 0.5, label, ha="center", va="center", color="#555555", fontsize=7)


def _draw_transformer(space: SearchSpace, values: Architecture, ax: Axes) -> None:
    """Draw the embedding and the blocks in one row, each box labelled with what its option means."""
    from matplotlib.patches import Rectangle

    for position, value in enumerate(values):
        left = position + (0.4 if position else 0.0)
        height, label, style = _transformer_box(space, position, value)
        ax.add_patch(Rectangle((left, 0.0), 0.9, height, **style))
        ax.text(left + 0.45, height / 2, label, ha="center", va="center", rotation=90, fontsize=7)
        name = space.positions[position].removeprefix("block ")
        ax.text(left + 0.45, -0.06, name, ha="center", va="top", fontsize=7)
    ax.text(8.3, -0.26, "block: attention heads, × MLP ratio", ha="center", va="top", fontsize=8)
    _frame(ax, (-0.5, space.length + 0.5), (-0.42, 1.06))


def _transformer_box(space: SearchSpace, position: int, value: int) -> tuple[float, str, dict[str, Any]]:
    """Return height, label and style of a box; heights are relative to the largest option, a skip is dashed.

    The embedding's height is its width, a block's its heads times its MLP ratio.
    """
    if not position:
        height = vision_transformer.EMBEDDINGS[value] / vision_transformer.EMBEDDINGS[-1]
        return height, space.describe(0, value), {"facecolor": "white", "edgecolor": BLACK, "linewidth": 1.2}
    if not value:
        return 0.3, "skip", {"facecolor": "none", "edgecolor": GREY, "linestyle": "--", "linewidth": 0.9}
    heads, ratio = vision_transformer.BLOCKS[value - 1]
    height = heads * ratio / math.prod(vision_transformer.BLOCKS[-1])
    colour = block_colours(space)[value]
    return height, f"{heads} heads, ×{ratio:g}", {"facecolor": colour, "edgecolor": BLACK, "linewidth": 0.8}


def _draw_channels(space: SearchSpace, values: Architecture, ax: Axes) -> None:
    """Draw one bar a width: the channels used, inside the outline of the full width."""
    used = [int(space.choices[i][value]) for i, value in enumerate(values)]
    full = [int(options[-1]) for options in space.choices]
    places = list(range(space.length))
    ax.bar(places, full, width=0.7, facecolor="none", edgecolor=GREY, linestyle="--", linewidth=0.9, label="full width")
    ax.bar(places, used, width=0.7, facecolor=SKY, edgecolor=BLACK, linewidth=0.8, label="used")
    for place, count, limit in zip(places, used, full, strict=True):
        ax.text(place, limit + 0.02 * max(full), f"{count} / {limit}", ha="center", va="bottom", fontsize=7)
    ax.set_xticks(places, space.positions, fontsize=8)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_ylabel("channels", fontsize=8)
    ax.set_ylim(0, 1.12 * max(full))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0.66, 1.0), ncols=2, borderaxespad=0.1)


def _draw_cell(space: SearchSpace, values: Architecture, ax: Axes) -> None:
    """Draw the four nodes on a line and the operation of every edge; `none` edges are dotted and unnamed."""
    from matplotlib.patches import Circle

    for (source, target), value in zip(nas_bench_201.EDGES, values, strict=True):
        _draw_edge(source, target, space.options[value], ax)
    for node in range(4):
        centre = (NODE_SPACING * node, 0.0)
        ax.add_patch(Circle(centre, 0.26, facecolor="white", edgecolor=BLACK, linewidth=1.2, zorder=3))
        ax.text(*centre, str(node), ha="center", va="center", fontsize=9, zorder=4)
    ax.text(-0.36, 0.0, "input", ha="right", va="center", fontsize=8)
    ax.text(3 * NODE_SPACING + 0.36, 0.0, "output", ha="left", va="center", fontsize=8)
    ax.set_aspect("equal")
    _frame(ax, (-1.2, 3 * NODE_SPACING + 1.3), (-1.5, 2.6))


def _draw_edge(source: int, target: int, operation: str, ax: Axes) -> None:
    from matplotlib.patches import FancyArrowPatch

    colour, label = EDGE_STYLES.get(operation, (GREY, ""))
    curve, distance = EDGE_CURVES.get((source, target), 0.0), NODE_SPACING * (target - source)
    ax.add_patch(
        FancyArrowPatch(
            (NODE_SPACING * source, 0.0), (NODE_SPACING * target, 0.0),
            connectionstyle=f"arc3,rad={curve}", arrowstyle="-|>", mutation_scale=11, shrinkA=14, shrinkB=14,
            color=colour, linewidth=1.8 if label else 1.0, linestyle="-" if label else ":",
        )
    )  # fmt: skip
    if label:
        middle, height = NODE_SPACING * (source + target) / 2, -curve * distance / 2  # where the curve is highest
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        raised = height if curve else 0.22
        ax.text(
            middle, raised, label, ha="center", va="center", color=colour, fontsize=8, bbox=ground if curve else None
        )


def _frame(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    ax.set_xlim(*x)
    ax.set_ylim(*y)
    ax.axis("off")
