"""Figures of a study: how each arm's best rank falls with the evaluations, and how the arms compare run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.chat import OFFLINE
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import counted_once, n_text
from genius_kit.method_names import shown_model, shown_name
from genius_kit.plots import BLUE, VERMILION, Style, finish, fitting, name_rows, new_figure, rank_axis, styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.journal import Run

COLUMNS = 3
"""Panels beside one another."""


def study_runs(results: pd.DataFrame, benchmark: str | None = None) -> dict[str, list[Run]]:
    """Return the runs of a study by arm, read from their journals, for every figure that takes runs.

    `results` is what `studies.results` returns; with several benchmarks `benchmark` says which. Arms have the names of
    `method_names.shown_name`; those of several models or prompts are told apart. Raises InvalidParameter for several
    benchmarks without a choice, and for none.
    """
    from genius_kit.journal import read_run

    here = results if benchmark is None else results[results["benchmark"] == benchmark]
    known = list(dict.fromkeys(results["benchmark"]))
    if here["benchmark"].nunique() != 1:
        raise InvalidParameter(f"the runs are of {', '.join(map(str, known))}; name one of them, {benchmark!r} came")
    kept = here.dropna(subset=["journal"])
    groups: dict[str, list[Run]] = {}
    for name, journal in zip(_names(kept), kept["journal"], strict=True):
        groups.setdefault(name, []).append(read_run(journal))
    return groups


def _names(frame: pd.DataFrame) -> list[str]:
    """Return the name of the arm of each row, with its model and prompt where the rows are of several."""
    told = [name for name in ("model", "prompt") if name in frame and frame[name].nunique() > 1]
    return [_name(row, told) for row in frame.to_dict("records")]


def _name(row: Mapping[Any, Any], told: Sequence[str] = ()) -> str:
    name = shown_name(str(row["arm"]), row.get("model"))
    more = [row[column] for column in told if isinstance(row[column], str)]
    return ", ".join([name, *(word for word in more if word != OFFLINE and word not in name)])


def rank_curves(curves: pd.DataFrame) -> Figure:
    """Draw the mean rank of the best so far by evaluation, one panel a benchmark, one line an arm, model and prompt.

    `curves` is what `studies.curves` returns. Bands are 95 % intervals of the mean over searches; 1 is the best rank.
    """
    from genius_kit.benchmarks.catalogue import title_of

    benchmarks = list(dict.fromkeys(curves["benchmark"]))
    columns = min(COLUMNS, len(benchmarks))
    figure, axes = new_figure(-(-len(benchmarks) // columns), columns, sharex=True)
    named = curves.assign(method=_names(curves))
    looks = styles(list(named["method"].unique()))
    for panel, benchmark in zip(axes, benchmarks, strict=False):
        here = named[named["benchmark"] == benchmark]
        for (name, _), line in here.groupby(["method", "arm"], sort=False):
            _draw_curve(panel, line, looks[str(name)], str(name))
        panel.set_title(title_of(str(benchmark)), fontsize=9)
        rank_axis(panel)
    for empty in axes[len(benchmarks) :]:
        empty.set_axis_off()
    for panel in axes[::columns]:
        panel.set_ylabel("rank (1 is best)")
    found = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    look = {"ncol": min(4, fitting(list(found), figure)), "fontsize": 8, "frameon": False}
    figure.legend(list(found.values()), list(found), loc="outside upper center", **look)
    searches = sorted(set(curves["n"].astype(int)))
    n = str(searches[0]) if len(searches) == 1 else f"{searches[0]} to {searches[-1]}"
    figure.supxlabel(f"evaluations; line: mean of n = {n} searches, band: 95 % interval of the mean", fontsize=8)
    return finish(figure, axes, legend=False)


def arm_ranks(
    results: pd.DataFrame, expected_random: float | None = None, reference: str | None = None, title: str = ""
) -> Figure:
    """Draw every run's final rank as a dot, one row an arm, with the mean and its 95 % interval (1 is best, right).

    `results` is what `studies.results` returns, of one benchmark. `expected_random` is drawn as a line: the exact
    mean of random search; `reference` names the arm whose mean is drawn through all rows; `title` says which model. A
    fixed rule counts once (see `fixed_rules`) and has no interval.
    """
    from matplotlib.ticker import FuncFormatter

    from genius_kit.comparisons import interval

    arms = list(dict.fromkeys(results["arm"]))
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.4 + 0.34 * len(arms))
    for row, arm in enumerate(arms):
        runs = counted_once(results[results["arm"] == arm])
        ranks = runs["rank"].dropna().astype(float)
        style = _role(runs, arm == reference)
        axes.scatter(ranks, [row] * len(ranks), s=9, color=style.colour, alpha=0.35, linewidths=0)
        if len(ranks) > 1:
            _, low, high = interval(ranks.to_numpy())
            axes.plot([max(low, 1), high], [row, row], color=style.colour, linewidth=1.8)
        if len(ranks):
            axes.plot([ranks.mean()], [row], marker=style.marker, color=style.colour, markersize=6)
    if expected_random is not None:
        axes.axvline(expected_random, color="#777777", linestyle=":", linewidth=1)
        at = (expected_random, 1.01)
        axes.annotate("random, exact mean", at, xycoords=("data", "axes fraction"), fontsize=7, ha="center")
    if reference in arms:
        axes.axvline(results.loc[results["arm"] == reference, "rank"].mean(), color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_title(shown_model(title), fontsize=9, loc="left", pad=14)
    axes.set_xscale("log")
    axes.set_xlim(axes.get_xlim()[1], 0.9)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    name_rows(axes, [_counted(results[results["arm"] == arm]) for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rank of the best found (1 is best);\ndot: a search, mark: mean with its 95 % interval", fontsize=8)
    return finish(figure, [axes], legend=False)


def _role(runs: pd.DataFrame, is_reference: bool) -> Style:
    """Return how an arm is drawn: the plain arm, a control, or by its own style where it asks no model."""
    if is_reference:
        return Style(VERMILION, "D", "-")
    if isinstance(runs["control"].iloc[0], str):
        return Style(BLUE, "o", "-")
    name = _name(runs.iloc[0].to_dict())
    return styles([name])[name]


def _draw_curve(axes: Axes, line: pd.DataFrame, style: Style, label: str) -> None:
    steps = line["evaluations"].to_numpy()
    shown = [step - 1 for step in (1, 5, 10, 20, 50, 100) if step <= len(steps)]
    axes.plot(
        steps,
        line["mean_rank"],
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        markevery=shown,
        markersize=3.5,
        label=label,
    )
    axes.fill_between(
        steps, line["low"].clip(lower=1), line["high"].clip(lower=1), color=style.colour, alpha=0.13, linewidth=0
    )


def _counted(runs: pd.DataFrame) -> str:
    return f"{_name(runs.iloc[0].to_dict())} ({n_text(len(runs), len(counted_once(runs)))})"
