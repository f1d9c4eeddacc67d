"""The figure of repeated searches: how long they stay the same, and where they end, beside the paper's trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genius_kit.fixed_rules import are_one, sequence_of
from genius_kit.plots import Style, finish, marks, name_rows, new_figure, styles
from genius_kit.repeats import Given, Repeats, as_repeats
from genius_kit.reproducibility import by_iteration, one_benchmark, paper_together

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def repeated_searches(source: Given) -> Figure:
    """Draw how long repeated searches stay the same (left) and the rank of the best that each found (right).

    Left: the share of pairs of searches whose designs are the same in all replies so far, with its 95 % interval; the
    paper's trials count as the same as long as their printed accuracies are. Right: a dot a search, on a bar from the
    best to the worst. The paper's trials, where it prints any on this benchmark, are drawn beside ours. Raises
    InvalidParameter for several benchmarks.
    """
    groups = as_repeats(source)
    benchmark = one_benchmark(groups)
    paper = paper_together(benchmark)
    looks = styles([*(one.arm for one in groups), *paper])
    figure, (left, right) = new_figure(1, 2)
    figure.set_size_inches(10.5, 3.4 + 0.2 * (len(groups) + len(paper)))
    shares = by_iteration(groups)
    for place, repeats in enumerate(groups):
        label, aside = f"{repeats.arm} ({_count(repeats)})", 0.08 * (place - (len(groups) - 1) / 2)
        _draw_share(left, shares[shares["arm"] == repeats.arm], looks[repeats.arm], label, aside)
    for name, (trials, same) in paper.items():
        left.plot(range(1, len(same) + 1), same, **marks(looks[name]), label=f"{name} (n = {trials})")
    left.set_xlabel("replies so far")
    left.set_ylabel("pairs of searches that are the same so far")
    left.set_ylim(-0.03, 1.03)
    _draw_ranks(right, _ranks(groups, benchmark), looks)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=2, fontsize=8, frameon=False)
    return finish(figure, [left, right], legend=False)


def _count(repeats: Repeats) -> str:
    n = len(repeats.searches)
    is_fixed = are_one(sequence_of(one.run) for one in repeats.searches)
    return f"{n} searches, a fixed rule" if is_fixed else f"n = {n}"


def _draw_share(axes: Axes, lines: pd.DataFrame, style: Style, label: str, aside: float) -> None:
    """Draw one condition, moved `aside` so that equal ones are seen beside one another."""
    replies = lines["iteration"] - lines["iteration"].min() + 1 + aside
    axes.plot(replies, lines["together"], **marks(style), label=label)
    axes.vlines(replies, lines["low"], lines["high"], color=style.colour, linewidth=1, alpha=0.5)


def _ranks(groups: Sequence[Repeats], benchmark: str) -> dict[str, list[float]]:
    """Return the best ranks by method, the paper's trials first."""
    from genius_kit.benchmarks.catalogue import recorded_benchmark
    from genius_kit.paper import paper_methods
    from genius_kit.run_frames import middle_rank

    found = {}
    if paper_together(benchmark):
        for name, trials in paper_methods(recorded_benchmark(groups[0].searches[0].run.settings)).items():
            places = [int(trial["feedback"].astype(float).to_numpy().argmax()) for trial in trials]
            found[name] = [float(middle_rank(one).iloc[place]) for one, place in zip(trials, places, strict=True)]
    return found | {one.arm: one.ranks for one in groups if one.ranks}


def _draw_ranks(axes: Axes, ranks: dict[str, list[float]], looks: dict[str, Style]) -> None:
    import numpy as np
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for row, (name, found) in enumerate(ranks.items()):
        style, jitter = looks[name], np.linspace(-0.16, 0.16, len(found))
        axes.plot([min(found), max(found)], [row, row], color=style.colour, linewidth=1.6, alpha=0.5)
        axes.scatter(found, row + jitter, s=10, color=style.colour, alpha=0.6, linewidths=0)
        axes.plot([np.mean(found)], [row], marker=style.marker, color=style.colour, markersize=6)
    name_rows(axes, list(ranks), fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rank of the best found (dot: a search, mark: mean)")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
