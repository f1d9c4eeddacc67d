"""A figure of transfer: where designs were found, where they were scored, how good they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genius_kit.plots import VERMILION, finish, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
"""Methods beside one another."""


def transfer_heatmap(matrix: pd.DataFrame) -> Figure:
    """Draw one panel a method: a row where it searched, a column where designs are scored, in each cell the numbers.

    `matrix` is what `transfer_matrix` returns. A cell says the rank in percent of the table (darker is better), its
    95 % interval and n; framed is the table that was searched itself.
    """
    import numpy as np
    from matplotlib.colors import LogNorm

    methods = [str(name) for name in matrix["method"].unique()]
    tables = [str(name) for name in matrix["source"].unique()]
    columns = 2 if len(methods) == 4 else min(COLUMNS, len(methods))
    lines = -(-len(methods) // columns)
    figure, panels = new_figure(lines, columns)
    side = 0.95 * len(tables)
    figure.set_size_inches(1.6 + (side + 0.5) * columns, 1.1 + (0.75 * side + 0.9) * lines)
    norm = LogNorm(max(float(matrix["top_percent"].min()), 1e-3), max(float(matrix["top_percent"].max()), 1e-2))
    for number, method in enumerate(methods):
        rows = matrix[matrix["method"] == method].to_dict("records")
        cells = {(row["source"], row["target"]): row for row in rows}
        values = np.array([[cells[a, b]["top_percent"] if (a, b) in cells else np.nan for b in tables] for a in tables])
        panel = panels[number]
        panel.imshow(values, cmap="Blues_r", norm=norm, aspect="auto")
        for (source, target), cell in cells.items():
            place = (tables.index(target), tables.index(source))
            _write(panel, cell, place, is_dark=norm(cell["top_percent"]) < 0.5, is_framed=source == target)
        _label(panel, tables, method, number % columns == 0)
    for empty in panels[len(methods) :]:
        empty.set_axis_off()
    figure.supxlabel("scored on (rank in percent of the table: darker is better; 95 % interval; searches)", fontsize=8)
    figure.supylabel("found on", fontsize=8)
    return finish(figure, panels, legend=False)


def _write(panel: Axes, cell: Mapping[Any, Any], place: tuple[int, int], *, is_dark: bool, is_framed: bool) -> None:
    """Write the numbers of one cell at its column and row."""
    from matplotlib.patches import Rectangle

    text = f"{_percent(cell['top_percent'])} %\n{_percent(cell['low'])} to {_percent(cell['high'])}\nn = {cell['n']}"
    column, row = place
    panel.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if is_dark else "black")
    if is_framed:
        corner = (column - 0.48, row - 0.48)
        panel.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor=VERMILION, linewidth=1.4))


def _percent(value: float) -> str:
    """Return a percentage with two digits that count."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _label(panel: Axes, tables: list[str], method: str, is_first: bool) -> None:
    names = [_short(name) for name in tables]
    panel.set_xticks(range(len(tables)), names, fontsize=7)
    panel.set_yticks(range(len(tables)), names if is_first else [""] * len(tables), fontsize=7)
    panel.set_title(method, fontsize=9)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    for edge in panel.spines.values():
        edge.set_visible(False)


def _short(name: str) -> str:
    """Return a table's name in lines that are short enough for a tick."""
    from genius_kit.benchmarks.catalogue import title_of

    return title_of(name).replace("NAS-Bench-201 ", "NB201\n").replace(" (", "\n(")
