"""Figures of accuracy against cost: every method, Pareto fronts and what share of the table's front a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.base import Objective
from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.figures.axes import accuracy_axis, draw_curve, finish, name_curves, new_figure, outer_legend
from genius_kit.figures.layout import name_points
from genius_kit.figures.style import BLACK, GREY, Style, styles
from genius_kit.paper import paper_table
from genius_kit.proposers.methods import n_text
from genius_kit.runs.frames import counted
from genius_kit.runs.provenance import marked
from genius_kit.spaces import recorded_space
from genius_kit.stats.fronts import front_of
from genius_kit.studies.tradeoffs import FrontReference, front_reference_of, rows_of, share_curves
from genius_kit.texts import unit_sign

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.journal import Run


TABLE = "front of the table"
ATTAINED = (0.25, 0.5, 0.75)
"""Parts of the searches by which the band of attainment ends, its line, and its band begins."""

Runs = Mapping[str, Sequence["Run"]]


def accuracy_against_macs(
    points: Mapping[str, pd.DataFrame],
    accuracy_name: str = "accuracy",
    background: Any = None,
    unit: str = "percent",
) -> Figure:
    """Draw accuracy against multiply-accumulates, with the Pareto front of all points; n counts the points.

    The axis holds all points, those behind too.

    Parameters
    ----------
    points
        Name -> frame with `macs` (a count), `feedback` (percent), and `name` where points are to be labelled.
    accuracy_name
        What the accuracy is called on the axis.
    background
        Pair of arrays (macs, accuracy) drawn in grey behind, e.g. a whole table.
    unit
        Unit of the accuracy.
    """
    import pandas as pd

    figure, (axes,) = new_figure(1, 1)
    if background is not None:
        axes.plot(background[0] / 1e6, background[1], ".", color="#cccccc", markersize=1.5, zorder=0, rasterized=True)
    known = {
        name: frame.dropna(subset=["macs", "feedback"]).drop_duplicates(["macs", "feedback", *{"name"} & {*frame}])
        for name, frame in points.items()
    }
    for name, frame in known.items():
        style, few = styles(list(points))[name], len(frame) < 60
        look: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4 * few, "markersize": 5 if few else 3}
        look.update(color=style.colour, label=f"{name} (n = {len(frame)})", zorder=2 + few)
        axes.plot(frame["macs"] / 1e6, frame["feedback"], style.marker, **look)
    every = pd.concat(known.values())
    front = pareto_front(every)
    axes.step(front["macs"] / 1e6, front["feedback"], where="post", color=GREY, linewidth=1)
    note = "line: Pareto front of the n architectures"
    note = note if background is None else f"grey: the whole table; {note} in colour"
    axes.set_title(note, fontsize=8, color="#555555", loc="left")
    axes.set(xlabel="FLOPs (multiply-accumulates), millions", ylabel=f"{accuracy_name} ({unit_sign(unit)})")
    accuracy_axis(axes, every["feedback"] if background is None else [*every["feedback"], *background[1]])
    outer_legend(figure, axes, columns=2)
    finish(figure, [axes])
    if "name" in every:
        figure.set_size_inches(6.4, 5.0)  # names take room
        named = every.dropna(subset="name")
        name_points(axes, list(zip(named["macs"] / 1e6, named["feedback"], named["name"], strict=True)))
    return figure


def cloud(benchmark: Any) -> tuple[Any, Any]:
    """Return multiply-accumulates (counts) and feedback (percent) of every row of a table, as two arrays.

    Parameters
    ----------
    benchmark
        The table.
    """
    rows = benchmark.evaluate_rows(np.arange(benchmark.space.size) if benchmark.known is None else benchmark.known)
    return rows["macs"], rows["feedback"]


def table_2_points() -> dict[str, pd.DataFrame]:
    """Return the paper's table 2 in the form that `accuracy_against_macs` draws: GENIUS, and all others, by name."""
    table = paper_table("table2")
    points = table.assign(macs=table["flops_millions"] * 1e6, feedback=table["top1_percent"], name=table["method"])
    ours = table["method"].str.startswith("GENIUS")
    return {"GENIUS": points[ours], "other methods of table 2": points[~ours]}


def pareto_front(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no other row beats with at most its `macs` and at least its `feedback`, by rising `macs`.

    Parameters
    ----------
    frame
        Columns `macs` (a count) and `feedback` (percent).
    """
    known = frame.dropna(subset=["macs", "feedback"]).sort_values(["macs", "feedback"], ascending=[True, False])
    return known[known["feedback"] > known["feedback"].cummax().shift(fill_value=float("-inf"))]


def front_table(runs: Runs) -> pd.DataFrame:
    """Return the front of every run and that of the whole table, one row per architecture.

    Parameters
    ----------
    runs
        Name of a method -> its runs, all of one table and the same objectives.

    Returns
    -------
    pd.DataFrame
        method, run (from 1; 0 for the table), key, then each objective in its unit (percent, counts, seconds).
    """
    import pandas as pd

    measure, values = _measure(runs)
    space = recorded_space(next(iter(runs.values()))[0].settings)
    fronts: list[tuple[str, int, np.ndarray]] = [(TABLE, 0, measure.front)]
    for name, some in runs.items():
        for number, run in enumerate(some, start=1):
            rows = np.array(rows_of(run), dtype=np.intp)
            fronts.append((name, number, rows[front_of(measure.parts[rows])]))
    table = pd.DataFrame(
        {
            "method": name,
            "run": number,
            "key": space.key(space.at(int(row))),
            **dict(zip(measure.objectives.names, values[row].tolist(), strict=True)),
        }
        for name, number, rows in fronts
        for row in rows[values[rows, 0].argsort(kind="stable")]
    )
    return marked(table, runs)


def pareto_front_figure(runs: Runs, cost: str | None = None) -> Figure:
    """Draw accuracy against a cost: every architecture, the front of the table, and what half of the searches attain.

    A line passes, at each cost, through the accuracy that half of the n searches of a method have reached at that cost
    or a lower one; its band holds the middle half of them; dots are the fronts of single searches.

    Parameters
    ----------
    runs
        Name of a method -> its runs, all of one table and the same objectives.
    cost
        The objective on the horizontal axis; default the first after the accuracy.
    """
    measure, values = _measure(runs)
    column, objective = _column(measure, cost)
    costs, accuracies = values[:, column] * objective.factor, values[:, 0]
    grid = np.unique(np.concatenate([np.linspace(costs.min(), costs.max(), 400), costs[measure.front]]))
    best = _attained(costs[measure.front], accuracies[measure.front], grid)
    figure, (axes,) = new_figure(1, 1)
    axes.plot(costs, accuracies, ".", color="#cccccc", markersize=1.5, zorder=0, rasterized=True)
    for name, some in runs.items():
        _draw_method(axes, some, measure, (costs, accuracies, grid), styles(list(runs))[name], name)
    label = f"{TABLE} ({len(measure.front)} architectures)"
    axes.step(grid, best, where="post", color=BLACK, linewidth=1.1, linestyle="--", label=label, zorder=5)
    axes.set(xlabel=objective.axis, ylabel=_feedback_axis(runs))
    accuracy_axis(axes, accuracies)
    note = "grey: the whole table; dots: fronts of single searches\n"
    note += "line: attained by half of n searches; band: the middle half"
    axes.set_title(note, fontsize=8, color="#555555", loc="left")
    return name_curves(figure, axes)


def hypervolume_figure(runs: Runs, table: pd.DataFrame | None = None) -> Figure:
    """Draw the share of the table's hypervolume by evaluation: mean over n searches, band its 95 % interval.

    Parameters
    ----------
    runs
        Name of a method -> its runs.
    table
        Frame of `studies.share_curves` of these runs; computed where None.
    """
    curves = share_curves(runs) if table is None else table
    figure, (axes,) = new_figure(1, 1)
    looks = styles(list(curves["method"].unique()))
    for name, line in curves.groupby("method", sort=False):
        label = f"{name} ({n_text(line['searches'].iloc[0], line['n'].iloc[0])})"
        band, shown = (line["low"], line["high"]), max(1, len(line) // 8)
        draw_curve(axes, line["evaluations"], line["mean"], looks[str(name)], label, band, shown)
    axes.axhline(1.0, color=GREY, linestyle=":", linewidth=1)
    axes.set(xlabel="evaluations", ylabel="share of the table's hypervolume")
    axes.set_title("line: mean over n searches; band: its 95 % interval", fontsize=8, color="#555555", loc="left")
    return name_curves(figure, axes)


def _feedback_axis(runs: Runs) -> str:
    """Return what the score of some runs is called on their benchmark, with its unit."""
    benchmark = recorded_benchmark(next(iter(runs.values()))[0].settings)
    return f"{benchmark.feedback_name} ({unit_sign(benchmark.unit)})"


def _measure(runs: Runs) -> tuple[FrontReference, np.ndarray]:
    """Return the front reference of all runs and the value of every objective of the whole table, shape (size, k)."""
    found = {id(front_reference_of(run)): run for some in runs.values() for run in some}
    if len(found) != 1:
        told = {f"{run.settings['benchmark']} ({','.join(run.settings['objectives'])})" for run in found.values()}
        raise InvalidParameter(
            f"the runs are of {', '.join(sorted(told)) or 'nothing'}; draw those of one table with the same objectives"
        )
    run = next(iter(found.values()))
    measure = front_reference_of(run)
    benchmark = recorded_benchmark(run.settings).weighing(measure.objectives)
    return measure, np.abs(benchmark.losses())


def _column(measure: FrontReference, cost: str | None) -> tuple[int, Objective]:
    names = measure.objectives.names
    if cost is not None and cost not in names[1:]:
        raise InvalidParameter(f"cost {cost!r} is not one of {', '.join(names[1:])}, which these runs weigh")
    column = names.index(cost) if cost else 1
    return column, measure.objectives.members[column]


def _attained(costs: np.ndarray, accuracies: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the best accuracy at each cost of the grid or below it, NaN where nothing is as cheap."""
    order = np.argsort(costs, kind="stable")
    best = np.maximum.accumulate(accuracies[order])
    places = np.searchsorted(costs[order], grid, side="right") - 1
    return np.where(places >= 0, best[np.maximum(places, 0)], np.nan)


def _draw_method(
    axes: Axes,
    some: Sequence[Run],
    measure: FrontReference,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    style: Style,
    name: str,
) -> None:
    """Draw what the searches of one method attain on the grid of `places` (costs, accuracies, grid), and their fronts.

    A search that has nothing at a cost counts there as minus infinity.
    """
    costs, accuracies, grid = places
    reached = []
    for run in some:
        rows = np.array(rows_of(run), dtype=np.intp)
        reached.append(np.nan_to_num(_attained(costs[rows], accuracies[rows], grid), nan=-np.inf))
        rows = rows[front_of(measure.parts[rows])]
        look: dict[str, Any] = {"color": style.colour, "markersize": 3, "alpha": 0.5, "markeredgewidth": 0}
        axes.plot(costs[rows], accuracies[rows], style.marker, zorder=2, **look)
    low, middle, high = np.quantile(np.stack(reached), ATTAINED, axis=0, method="lower")
    shown, whole = np.isfinite(middle), np.isfinite(low)
    label, line = counted(name, some), {"color": style.colour, "linestyle": style.line}
    axes.step(grid[shown], middle[shown], where="post", label=label, zorder=3, **line)
    band: dict[str, Any] = {"step": "post", "color": style.colour, "alpha": 0.13, "linewidth": 0, "zorder": 1}
    axes.fill_between(grid[whole], low[whole], high[whole], **band)
