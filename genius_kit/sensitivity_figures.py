"""The effects of changes of the prompt as a forest: one row a change, its ratio of ranks with the 95 % interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.contrasts import MARGIN
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import ONE_SEARCH, TOLD
from genius_kit.method_names import shown_model
from genius_kit.plots import finish, new_figure
from genius_kit.sensitivity import CHANGED, NO_EFFECT, NOT_ENOUGH
from genius_kit.styles import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOOKS = {CHANGED: (VERMILION, "D"), NO_EFFECT: (BLUE, "o"), NOT_ENOUGH: (GREY, "s")}


def forest(effects: pd.DataFrame, title: str = "") -> Figure:
    """Draw the ratio of ranks of each change, one row each, with its 95 % interval, n and corrected p-value.

    `effects` is what `sensitivity.effects` returns. Right of 1 the change makes the result worse; the band is the
    factor below which a difference counts as none. Raises InvalidParameter where no change has two pairs.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if effects.empty or effects["ratio"].isna().all():
        what = ONE_SEARCH if effects["is_fixed"].any() else "run more seeds before drawing intervals"
        raise InvalidParameter(f"no change has two pairs of searches: {what}")
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.5 + 0.27 * len(effects))
    axes.axvspan(1 / MARGIN, MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(1, color="#777777", linestyle=":", linewidth=1)
    shown: set[str] = set()
    for place, row in enumerate(effects.to_dict("records")):
        colour, marker = LOOKS[row["verdict"]]
        label = row["verdict"] if row["verdict"] not in shown else "_"
        shown.add(row["verdict"])
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
        axes.plot([row["ratio"]], [place], marker, color=colour, markersize=5, linestyle="none", label=label)
        at = (1.01, place)
        told = f"p = {row['p_corrected']:.2g}" if row["p_corrected"] == row["p_corrected"] else "p: none"
        axes.annotate(told, at, xycoords=("axes fraction", "data"), va="center", fontsize=8)
    counts = [TOLD if is_fixed else f"n = {n}" for n, is_fixed in zip(effects["n"], effects["is_fixed"], strict=True)]
    named = [f"{change} ({count})" for change, count in zip(effects["change"], counts, strict=True)]
    axes.set_yticks(range(len(effects)), named)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_xscale("log")
    low, high = effects["low"].min(), effects["high"].max()
    axes.set_xlim(min(0.4, 0.9 * low), max(2.5, 1.1 * high))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rank of the best found over that of the plain prompt, same seed; above 1 is worse")
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncol=len(labels), fontsize=8, frameon=False)
    return finish(figure, [axes], legend=False)
