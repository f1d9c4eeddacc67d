"""The paper's tables as pictures: table 1 beside ours, table 2 with its methods named, the ablations of 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.labels import name_points
from genius_kit.paper import paper_table, summary
from genius_kit.plots import BLACK, BLUE, GREY, finish, name_rows, new_figure, styles
from genius_kit.provenance import marked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATA_SETS = {
    "nas-bench-201-cifar10": ("cifar10", "CIFAR-10"),
    "nas-bench-201-cifar100": ("cifar100", "CIFAR-100"),
    "nas-bench-201-imagenet16-120": ("imagenet16_120", "ImageNet16-120"),
}
"""Benchmark -> how table 1 names its columns, and what a reader calls it."""

PRINTED = "as printed"


def table_1(ours: Mapping[str, Mapping[str, Sequence[Any]]] | None = None) -> pd.DataFrame:
    """Return table 1 of the paper with our methods below: accuracy (percent) of what a search picks by validation.

    `ours` is benchmark -> method -> runs. One row a method and data set: `method`, `data_set`, `validation_mean`,
    `validation_std`, `test_mean`, `test_std` and `n` searches (missing as printed: the paper does not say it a row).
    """
    import pandas as pd

    printed = paper_table("table1").to_dict("records")
    rows: list[dict[str, Any]] = []
    for benchmark, (column, title) in DATA_SETS.items():
        for row in printed:
            kinds = {f"{k}_{m}": row[f"{column}_{k}_{m}"] for k in ("validation", "test") for m in ("mean", "std")}
            rows.append({"method": row["method"], "data_set": title, **kinds, "n": None, "origin": PRINTED})
        for method, runs in (ours or {}).get(benchmark, {}).items():
            rows.append({"method": method, "data_set": title, **_picked(method, runs), "origin": "ours"})
    found = [run for methods in (ours or {}).values() for runs in methods.values() for run in runs]
    return marked(pd.DataFrame(rows), found)


def _picked(method: str, runs: Sequence[Any]) -> dict[str, Any]:
    found = summary(method, runs)
    return {
        "validation_mean": found["best_accuracy"],
        "validation_std": found["best_accuracy_std"],
        "test_mean": found["test_accuracy"],
        "test_std": found["test_accuracy_std"],
        "n": found["runs"],
    }


def table_1_figure(table: pd.DataFrame) -> Figure:
    """Draw what `table_1` returns: test accuracy with its sample standard deviation, a panel a data set.

    Filled is measured here, open is as printed; methods below 0.9 of the best lie left of the axis and say so.
    """
    titles = list(dict.fromkeys(table["data_set"]))
    methods = list(dict.fromkeys(table["method"]))
    figure, axes = new_figure(1, len(titles), sharey=True)
    figure.set_size_inches(8.6, 1.3 + 0.24 * len(methods))
    for panel, title in zip(axes, titles, strict=True):
        _draw_methods(panel, table[table["data_set"] == title].set_index("method"), methods)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("test accuracy (%)")
    name_rows(axes[0], methods, fontsize=8)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    figure.supxlabel(
        "open: as printed in table 1; filled: measured here; bars: sample standard deviation",
        fontsize=8,
        color="#555555",
    )
    return finish(figure, axes, legend=False)


def _draw_methods(panel: Axes, here: pd.DataFrame, methods: Sequence[str]) -> None:
    known = here["test_mean"].dropna().astype(float)
    spreads = here["test_std"].astype(float).fillna(0.0)
    floor = 0.9 * known.max()
    for row, method in enumerate(methods):
        if method not in known:
            continue
        value, printed = float(known[method]), bool(here.loc[method, "origin"] == PRINTED)
        if value < floor:
            panel.annotate(f"← {value:.1f}", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=7)
            continue
        colour = (BLACK if method == "GENIUS" else GREY) if printed else styles(methods)[method].colour
        panel.errorbar(
            [value], [row], xerr=[float(spreads[method])], color=colour, linewidth=1.2, markersize=5.5,
            marker="o" if printed else styles(methods)[method].marker, markerfacecolor="white" if printed else colour,
        )  # fmt: skip
    low = max(float((known - spreads[known.index])[known >= floor].min()), floor)
    margin = 0.06 * (known.max() - low)
    panel.set_xlim(low - margin, known.max() + margin)
    panel.grid(axis="y", visible=False)


def table_2_figure() -> Figure:
    """Draw the paper's table 2, every method named: top-1 accuracy against FLOPs (above) and search cost (below).

    All figures are as printed. A method without a printed search cost stands in the upper panel only.
    """
    table = paper_table("table2")
    figure, panels = new_figure(2, 1)
    figure.set_size_inches(6.8, 8.2)
    for panel, column in zip(panels, ("flops_millions", "search_cost_gpu_days"), strict=True):
        known = table.dropna(subset=[column])
        is_ours = known["method"].str.startswith("GENIUS")
        for rows, colour, marker in ((known[~is_ours], GREY, "s"), (known[is_ours], BLACK, "o")):
            panel.plot(rows[column], rows["top1_percent"], marker, color=colour, markersize=5)
        panel.set(ylabel="top-1 accuracy (%), as printed")
    panels[0].set(xlabel="FLOPs (multiply-accumulates), millions")
    missing = int(table["search_cost_gpu_days"].isna().sum())
    panels[1].set(xlabel=f"search cost (GPU days); {missing} methods of table 2 print none", xscale="log")
    panels[1].xaxis.set_major_formatter("{x:g}")
    for panel in panels:
        panel.margins(x=0.08, y=0.08)
    for panel, column in zip(panels, ("flops_millions", "search_cost_gpu_days"), strict=True):
        known = table.dropna(subset=[column])
        name_points(panel, list(zip(known[column], known["top1_percent"], known["method"], strict=True)))
    return finish(figure, panels, legend=False)


def ablation_table() -> pd.DataFrame:
    """Return the paper's tables 3 and 4 below one another, as printed, with the column `varied`."""
    import pandas as pd

    parts = [
        paper_table(name).assign(varied=varied) for name, varied in (("table3", "epochs"), ("table4", "input_size"))
    ]
    return pd.concat(parts, ignore_index=True)


def ablation_figure() -> Figure:
    """Draw the paper's ablations (tables 3 and 4): accuracy and search cost by epochs and by input size, as printed."""
    figure, panels = new_figure(2, 2, sharex="col", sharey="row")
    figure.set_size_inches(6.4, 4.2)
    for column, (table, varied, fixed) in enumerate(
        (("table3", "epochs", "224 pixels"), ("table4", "input_size", "20 epochs"))
    ):
        rows = paper_table(table)
        accuracy, cost = panels[column], panels[2 + column]
        accuracy.plot(rows[varied], rows["top1_percent"], color=BLACK, marker="o", linestyle="-")
        cost.plot(rows[varied], rows["search_cost_gpu_days"], color=BLUE, marker="s", linestyle="--")
        accuracy.set_title(f"{table.removeprefix('table').join(['table ', ''])}: {fixed}", fontsize=9)
        cost.set_xlabel(varied.replace("_", " ") + (" (pixels)" if varied == "input_size" else ""))
        cost.set_xticks(rows[varied])
    panels[0].set_ylabel("top-1 (%) after\nfull training")
    panels[2].set_ylabel("search cost\n(GPU days)")
    figure.supxlabel("as printed in the paper; one search each, nothing re-measured", fontsize=8, color="#555555")
    return finish(figure, panels, legend=False)
