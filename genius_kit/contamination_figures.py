"""A figure of contamination: how far names carry on the public table, and how far on the private one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.comparisons import LEAST_PAIRS
from genius_kit.contamination import ROUTES
from genius_kit.fixed_rules import counted_once, n_text
from genius_kit.method_names import shown_model, shown_name
from genius_kit.plots import BLUE, GREY, VERMILION, Style, finish, name_rows, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = {"public": Style(VERMILION, "D", "-"), "private": Style(BLUE, "o", "-"), "difference": Style(GREY, "s", "-")}
_SHIFT = {"public": -0.17, "private": 0.17, "difference": 0.0}


def contamination_dots(results: pd.DataFrame, public: str, private: str, plain: str = "llm", title: str = "") -> Figure:
    """Draw every search as a dot, one row an arm, the public table above the private one: rank in percent of its table.

    `results` is what `contamination` takes. The mark is the geometric mean with its 95 % interval, best on the right.
    """
    from matplotlib.ticker import FuncFormatter

    from genius_kit.benchmarks.catalogue import title_of

    arms = _arms(results, plain)
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.5 + 0.55 * len(arms))
    for row, arm in enumerate(arms):
        for what, name in (("public", public), ("private", private)):
            _draw(axes, _finished(results, name, arm), row + _SHIFT[what], _LOOKS[what])
    for what, name in (("public", public), ("private", private)):
        look = _LOOKS[what]
        axes.plot([], [], look.marker, color=look.colour, label=f"{what}: {title_of(name)}")
    axes.set_xscale("log")
    axes.set_xlim(110, axes.get_xlim()[0])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    name_rows(axes, [_label(results[results["arm"] == arm]) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    axes.set_xlabel("rank of the best found in percent of the table (right is better)\n"
                    "dot: a search, mark: geometric mean with its 95 % interval", fontsize=8)  # fmt: skip
    figure.legend(loc="outside lower center", ncol=2, fontsize=8, frameon=False)
    return finish(figure, [axes], legend=False)


def contamination_ratios(evidence: pd.DataFrame, title: str = "") -> Figure:
    """Draw the gain from names of each control on both tables, and the ratio of the two: memory lies right of 1.

    `evidence` is that of a verdict of `contamination`.
    """
    from matplotlib.ticker import FuncFormatter

    controls = [name for name in ROUTES if name in set(evidence["control"])]
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.5 + 0.6 * len(controls))
    for row, control in enumerate(controls):
        for number, what in enumerate(("public", "private", "difference")):
            found = evidence[(evidence["control"] == control) & (evidence["table"] == what)].to_dict("records")
            if not found or found[0]["n"] < LEAST_PAIRS:
                continue
            one = found[0]
            look, label = _LOOKS[what], {"difference": "public over private"}.get(what, what)
            place = row + 0.24 * (number - 1)
            axes.plot([one["low"], one["high"]], [place, place], color=look.colour, linewidth=1.8)
            axes.plot([one["ratio"]], [place], look.marker, color=look.colour, label=label if row == 0 else None)
    axes.axvline(1, color="#777777", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(controls)), [shown_name(name) for name in controls])
    axes.set_ylim(len(controls) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    axes.set_xlabel("how many times better with the names (the probe: than random search), 95 % interval", fontsize=8)
    figure.legend(loc="outside lower center", ncol=3, fontsize=8, frameon=False)
    return finish(figure, [axes], legend=False)


def _arms(results: pd.DataFrame, plain: str) -> list[str]:
    """Return the plain arm, then those of the controls in which memory can show."""
    found = [results.loc[results["control"] == control, "arm"] for control in ROUTES]
    return [plain, *(str(arms.iloc[0]) for arms in found if len(arms))]


def _finished(results: pd.DataFrame, table: str, arm: str) -> pd.DataFrame:
    """Return the finished searches of an arm on a table that came to a rank, those of a fixed rule once."""
    rows = counted_once(results[(results["benchmark"] == table) & (results["arm"] == arm)])
    return rows[rows["reason"].notna() & (rows["rank"].astype(float) > 0)]


def _label(runs: pd.DataFrame) -> str:
    """Return the name of an arm and how many finished searches of it there are a table."""
    done = runs[runs["reason"].notna()].groupby("benchmark")
    counts = {n_text(len(rows), len(counted_once(rows))): None for _, rows in done}
    model = runs["model"].iloc[0] if "model" in runs else None
    return f"{shown_name(str(runs['arm'].iloc[0]), model)} ({' or '.join(counts) or 'n = 0'})"


def _draw(axes: Axes, rows: pd.DataFrame, place: float, look: Style) -> None:
    import numpy as np

    from genius_kit.comparisons import interval

    percents = rows["top_percent"].astype(float).to_numpy()
    axes.scatter(percents, [place] * len(percents), s=9, color=look.colour, alpha=0.35, linewidths=0)
    if len(percents) >= LEAST_PAIRS:
        _, low, high = np.exp(interval(np.log(percents)))
        axes.plot([low, high], [place, place], color=look.colour, linewidth=1.8)
    if len(percents):
        axes.plot([np.exp(np.log(percents).mean())], [place], look.marker, color=look.colour, markersize=6)
