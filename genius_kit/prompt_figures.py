"""Prompt variants compared seed by seed: every pair a dot, the mean ratio of ranks with its interval, the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import counted_once
from genius_kit.method_names import shown_model, with_names
from genius_kit.plots import BLACK, BLUE, finish, new_figure
from genius_kit.provenance import marked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PAIR = ("benchmark", "model", "arm", "budget", "seed")
"""Two runs are a pair where these are the same and only the prompt differs."""


def prompt_pairs(results: pd.DataFrame, baseline: str = "standard") -> pd.DataFrame:
    """Return one row a pair of searches with another prompt than `baseline` and with it.

    `results` is what `studies.results` returns. Columns: `prompt`, those of `PAIR`, `rank`, `rank_baseline` and
    `ratio` of the two: below 1 the variant is better; `method` and `model_kind` (see `method_names.with_names`). A
    fixed rule is one pair (see `fixed_rules`). Raises InvalidParameter without a finished run of `baseline`, or
    of another prompt.
    """
    finished = results[results["reason"].notna() & results["rank"].notna() & results["prompt"].notna()]
    finished = counted_once(finished)
    plain = finished[finished["prompt"] == baseline]
    others = finished[finished["prompt"] != baseline]
    if plain.empty or others.empty:
        known = ", ".join(dict.fromkeys(finished["prompt"].astype(str))) or "none"
        raise InvalidParameter(
            f"a comparison takes finished runs of {baseline!r} and of another prompt; the prompts here are {known}"
        )
    keys = list(PAIR)
    paired = others[["prompt", *keys, "rank"]].merge(
        plain[[*keys, "rank"]], on=keys, suffixes=("", "_baseline"), validate="many_to_one"
    )
    return marked(with_names(paired.assign(ratio=paired["rank"] / paired["rank_baseline"])), finished)


def prompt_comparison(results: pd.DataFrame, baseline: str = "standard") -> Figure:
    """Draw the ratio of ranks of every pair, one row a variant, with the geometric mean and its 95 % interval.

    Left of the line at 1 the variant is better than `baseline`. p: two-sided sign flips of the pairs, corrected by Holm
    over the variants; a variant with a single pair, as a fixed rule has, has neither interval nor test.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator

    from genius_kit.comparisons import LEAST_PAIRS, compare, holm

    pairs = prompt_pairs(results, baseline)
    groups = {str(name): group for name, group in pairs.groupby("prompt", sort=False)}
    found = {
        name: compare(g["rank"].tolist(), g["rank_baseline"].tolist())
        for name, g in groups.items()
        if len(g) >= LEAST_PAIRS
    }
    corrected = dict(zip(found, holm([one.p_value for one in found.values()]), strict=True))
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.4 + 0.45 * len(groups))
    axes.axvline(1, color="#777777", linestyle=":", linewidth=1)
    for row, (name, group) in enumerate(groups.items()):
        places = [row + 0.08 * (i % 5 - 2) for i in range(len(group))]
        axes.scatter(group["ratio"], places, s=12, color=BLUE, alpha=0.5, linewidths=0)
        if name in found:
            one = found[name]
            axes.plot([one.ratio_low, one.ratio_high], [row, row], color=BLACK, linewidth=1.8)
            axes.plot([one.ratio], [row], "D", color=BLACK, markersize=5)
            axes.annotate(
                f"p = {corrected[name]:.3f}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8
            )
    axes.set_yticks(range(len(groups)), [f"{name} (n = {len(group)})" for name, group in groups.items()])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"rank over the rank with “{baseline}”, same seed; below 1 is better")
    models = ", ".join(map(shown_model, pairs["model"].unique()))
    marks = "dot: a pair; mark: geometric mean, 95 % interval; p: sign flips, Holm"
    axes.set_title(f"{models}\n{marks}", fontsize=8, color="#555555", loc="left")
    return finish(figure, [axes], legend=False)
