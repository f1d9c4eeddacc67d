"""Figures of accuracy against cost: every method, the Pareto front, the whole table behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genius_kit.paper import paper_table
from genius_kit.plots import finish, new_figure, styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def accuracy_against_macs(
    points: Mapping[str, pd.DataFrame], accuracy_name: str = "accuracy", background: Any = None
) -> Figure:
    """Draw accuracy against multiply-accumulates, with the Pareto front of all points; n counts the points.

    Each frame has `macs` (a count) and `feedback` (percent), and `name` where points are to be labelled; `background`
    is a pair of arrays (macs, accuracy) drawn in grey behind, e.g. a whole table; the lowest twentieth of the points
    then lies below the axis.
    """
    import numpy as np
    import pandas as pd

    figure, (axes,) = new_figure(1, 1)
    if background is not None:
        axes.plot(background[0] / 1e6, background[1], ".", color="#cccccc", markersize=1.5, zorder=0, rasterized=True)
    for name, frame in points.items():
        known = frame.dropna(subset=["macs", "feedback"]).drop_duplicates(["macs", "feedback"])
        style = styles(list(points))[name]
        x, y, few = known["macs"] / 1e6, known["feedback"], len(known) < 60
        look: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 7 if few else 4}
        look.update(color=style.colour, label=f"{name} (n = {len(known)})", zorder=2 + few)
        axes.plot(x, y, style.marker, **look)
        for row in known.to_dict("records"):
            if row.get("name"):
                axes.annotate(
                    row["name"],
                    (row["macs"] / 1e6, row["feedback"]),
                    xytext=(4, 3),
                    textcoords="offset points",
                    fontsize=7,
                )
    front = pareto_front(pd.concat(points.values()))
    axes.step(front["macs"] / 1e6, front["feedback"], where="post", color="#777777", linewidth=1, label="Pareto front")
    if background is not None:
        shown = np.concatenate([frame["feedback"].astype(float) for frame in points.values()])
        low, high = np.quantile(shown, 0.05), max(shown.max(), background[1].max())
        axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    axes.set(xlabel="FLOPs (multiply-accumulates), millions", ylabel=f"{accuracy_name} (%)")
    return finish(figure, [axes])


def cloud(benchmark: Any) -> tuple[Any, Any]:
    """Return multiply-accumulates (counts) and feedback (percent) of every row of a table, as two arrays."""
    import numpy as np

    rows = benchmark.evaluate_rows(np.arange(benchmark.space.size))
    return rows["macs"], benchmark.scores(by="feedback")


def table_2_points() -> dict[str, pd.DataFrame]:
    """Return the paper's table 2 in the form that `accuracy_against_macs` draws: GENIUS (named), and all others."""
    table = paper_table("table2")
    points = table.assign(macs=table["flops_millions"] * 1e6, feedback=table["top1_percent"])
    ours = table["method"].str.startswith("GENIUS")
    return {"GENIUS": points[ours].assign(name=table["method"]), "other methods of table 2": points[~ours]}


def pareto_front(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no other row beats with at most its `macs` and at least its `feedback`, by rising `macs`."""
    known = frame.dropna(subset=["macs", "feedback"]).sort_values(["macs", "feedback"], ascending=[True, False])
    return known[known["feedback"] > known["feedback"].cummax().shift(fill_value=float("-inf"))]
