"""Where a model's prior helps, and where it is a burden: its searches on many tables beside what has no names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.figures.axes import finish, interval_row, log_axis, new_figure, outer_legend, row_axis
from genius_kit.figures.conclusions.base import NOT_RUN, Conclusion, answer, conclude, estimate_cell
from genius_kit.figures.style import BLACK, BLUE, GREY, SKY, VERMILION, Style
from genius_kit.journal import read_run
from genius_kit.proposers.methods import PRIOR, counted_once, n_text, shown_model
from genius_kit.runs.provenance import marked
from genius_kit.stats.ratios import Estimate, random_worth, rank_ratio
from genius_kit.studies.results import random_search
from genius_kit.texts import number, ratio_text
from genius_kit.verdicts.base import counts_text, model_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.stats.random_search import RandomSearch

LABELS, RANDOM = "permuted-labels", "random search (exact)"
SAME = "the same ranks"
_LOOKS = (Style(BLACK, "s", "-"), Style(BLUE, "o", "-"), Style(SKY, "^", "-"), Style(GREY, "v", "-"))


def prior_ratios(results: pd.DataFrame, plain: str = "llm") -> pd.DataFrame:
    """Return, for each table and each search beside the model's own, how many times worse that one does.

    Parameters
    ----------
    results
        Frame of `studies.results` of one model, prompt and budget, on any number of tables.
    plain
        The arm that asks the model with nothing changed.

    Returns
    -------
    pd.DataFrame
        benchmark, title, size; beside: another arm, RANDOM, or the largest option everywhere (one evaluation). `ratio`
        is above 1 where the model with its names is better: the geometric mean of the ranks of the best found over
        that of the model, for RANDOM how many times the evaluations random search needs to do as well (exact); low to
        high is its 95 % interval, corrected (Bonferroni) for the number of tables. n searches, n_text in words;
        first_rank and best_rank are geometric means, of the model's first proposal and of the best after all
        evaluations, first_random and best_random those of one draw and of as many random evaluations. Tables come in
        the order of their ratio beside permuted labels, the highest first.

    Raises
    ------
    InvalidParameter
        No finished search of the arm `plain`.
    """
    import pandas as pd

    finished = results[results["reason"].notna() & results["rank"].notna()]
    tables = list(dict.fromkeys(finished.loc[finished["arm"] == plain, "benchmark"]))
    if not tables:
        raise InvalidParameter(f"no search of the arm {plain!r} is finished; run it on at least one table")
    rows = [row for name in tables for row in _rows(finished[finished["benchmark"] == name], plain, len(tables))]
    frame = pd.DataFrame(rows)
    of_labels = frame[frame["beside"] == LABELS].set_index("benchmark")["ratio"]
    order = of_labels.reindex(tables).sort_values(ascending=False, na_position="last").index
    places = dict(zip(order, range(len(order)), strict=True))
    ordered = frame.sort_values("benchmark", key=lambda names: names.map(places), kind="stable", ignore_index=True)
    return marked(ordered, results)


def _rows(results: pd.DataFrame, plain: str, tables: int) -> list[dict[str, Any]]:
    """Return the rows of one table."""
    counted = counted_once(results)
    arms = {str(arm): runs for arm, runs in counted.groupby("arm", sort=False)}
    own = arms.pop(plain)
    table = recorded_benchmark(read_run(own["journal"].iloc[0]).settings)
    draws = random_search(table)
    told = _of_table(table, draws, own, n_text(int((results["arm"] == plain).sum()), len(own)))
    ratios = {arm: _ratio(runs, own, tables) for arm, runs in arms.items()}
    columns = own[["rank_best", "rank_worst", "evaluations"]].astype(int).to_numpy()
    worse = [draws.probability_worse(*map(int, row)) for row in columns]
    ratios[RANDOM] = random_worth(worse[0] if _is_fixed(own) else worse, comparisons=tables)
    if (largest := table.rank(table.space.all_largest)) is not None:
        ratios[PRIOR] = rank_ratio(largest.mean, _ranks(own), comparisons=tables)
    measured = [{"beside": name, "ratio": one.value, "low": one.low, "high": one.high} for name, one in ratios.items()]
    return [{**told, **one} for one in measured]


def _of_table(table: TabularBenchmark, draws: RandomSearch, own: pd.DataFrame, n: str) -> dict[str, Any]:
    first = [proposals.split()[0] for proposals in own["proposals"].dropna()]
    ranks = [rank.mean for key in first if (rank := table.rank(table.space.decode(key))) is not None]
    return {
        "benchmark": own["benchmark"].iloc[0],
        "title": table.title,
        "size": table.count,
        "n": len(own),
        "n_text": n,
        "first_rank": float(np.exp(np.log(ranks).mean())) if ranks else float("nan"),
        "first_random": draws.geometric_best_rank(1),
        "best_rank": float(np.exp(np.log(own["rank"].astype(float)).mean())),
        "best_random": draws.geometric_best_rank(int(own["budget"].iloc[0])),
    }


def _ranks(runs: pd.DataFrame) -> float | list[float]:
    """Return the rank of each search, a number for a fixed rule."""
    ranks = runs["rank"].astype(float).tolist()
    return ranks[0] if _is_fixed(runs) else ranks


def _is_fixed(runs: pd.DataFrame) -> bool:
    return bool(runs["searches"].iloc[0] > 1)


def _ratio(other: pd.DataFrame, own: pd.DataFrame, tables: int) -> Estimate:
    """Return the ratio of two arms by the pairs of one seed; without an interval where one of them is a fixed rule.

    What one search has by luck cannot be told from what its names are worth.
    """
    sides = _ranks(other), _ranks(own)
    pairs = other.merge(own, on="seed", suffixes=("", "_own"))[["rank", "rank_own"]].astype(float)
    if pairs.empty or any(isinstance(side, float) for side in sides):
        return Estimate(rank_ratio(*sides).value, float("nan"), float("nan"))
    return rank_ratio(pairs["rank"].tolist(), pairs["rank_own"].tolist(), paired=True, comparisons=tables)


def prior_figure(ratios: pd.DataFrame, title: str = "") -> Figure:
    """Draw one row per table: how many times worse the searches beside the model's own do.

    Parameters
    ----------
    ratios
        Frame of `prior_ratios`.
    title
        Title of the figure, such as the model.
    """
    tables, kinds = list(dict.fromkeys(ratios["benchmark"])), list(dict.fromkeys(ratios["beside"]))
    looks = dict(zip((kind for kind in kinds if kind not in (LABELS, PRIOR)), cycle(_LOOKS), strict=False))
    looks = {LABELS: Style(VERMILION, "D", "-"), **looks, PRIOR: Style(GREY, "x", "-")}
    kinds = [kind for kind in looks if kind in kinds]
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(7.2, 1.6 + 0.11 * len(kinds) * len(tables))
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1)
    for row, name in enumerate(tables):
        axes.axhspan(row - 0.5, row + 0.5, color="#f4f4f4" if row % 2 else "white", linewidth=0, zorder=0)
        for one in ratios[ratios["benchmark"] == name].to_dict("records"):
            place = kinds.index(one["beside"])
            ends = [one["low"], one["high"]] if one["low"] < one["high"] and one["beside"] != PRIOR else ()
            at = row + 0.8 * ((place + 0.5) / len(kinds) - 0.5)
            interval_row(axes, at, one["ratio"], ends, looks[one["beside"]], size=4, width=1.3,
                         label=None if row else one["beside"].replace("-", " "))  # fmt: skip
    log_axis(axes)
    axes.set_xlim(*_limits(ratios))
    counts = ratios.drop_duplicates("benchmark").set_index("benchmark")
    row_axis(axes, [f"{counts.loc[name, 'title']} ({counts.loc[name, 'n_text']})" for name in tables], fontsize=8)
    note = (
        "how many times worse than the model with its names; right of 1 the model is better\n"
        "(rank of the best found, of random search the evaluations that it needs, over the model's)\n"
        "n searches per arm; line: 95 % interval, corrected for the number of tables, cut at the edges"
    )
    figure.supxlabel(note, fontsize=8)
    axes.set_title(shown_model(title), fontsize=9, loc="left")
    outer_legend(figure, axes, side="upper")
    return finish(figure, [axes])


def _limits(ratios: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: all ratios lie inside, intervals of few searches may go on."""
    low, high = min(ratios["ratio"].min(), 1), max(ratios["ratio"].max(), 1)
    return max(low / 5, min(ratios["low"].min(), low / 2)), min(5 * high, max(ratios["high"].max(), 2 * high))


def prior_conclusion(results: pd.DataFrame, plain: str = "llm") -> Conclusion:
    """Return on how many tables the names help the model, and are a burden, with one row per table.

    The names help where the interval of the ratio beside permuted labels lies above 1, and are a burden below it.

    Parameters
    ----------
    results
        As `prior_ratios` takes them.
    plain
        The arm that asks the model with nothing changed.

    Raises
    ------
    InvalidParameter
        As `prior_ratios` does.
    """
    ratios = prior_ratios(results, plain)
    tables = [rows.set_index("beside") for _, rows in ratios.groupby("benchmark", sort=False)]
    said = {kind: [_answer(_estimate(rows, kind)) for rows in tables] for kind in (LABELS, RANDOM)}
    counts = {kind: (answers.count("better"), answers.count("worse")) for kind, answers in said.items()}
    model = shown_model(model_of(results, plain) or plain)
    headline = (
        f"{model}: names help on {counts[LABELS][0]} of {len(tables)} tables, harm on {counts[LABELS][1]}; "
        f"better than random on {counts[RANDOM][0]}, worse on {counts[RANDOM][1]}."
    )
    kinds = [kind for kind in dict.fromkeys(ratios["beside"]) if kind != PRIOR]
    rows = [_printed(rows, kinds) for rows in tables]
    note = (
        f"n = {counts_text(ratios['n'])} searches of {int(results['budget'].iloc[0])} evaluations. Ranks are geometric "
        "means, beside them in brackets what as many random draws have (exact); rank 1 is best. Other columns: "
        "rank of the best found there over that of the model, by pairs of one seed (t on logarithms); of random search "
        "how many times the evaluations it needs to do as well (exact). Above 1 the model with its names is better. "
        f"95 % intervals, Bonferroni over {len(tables)} tables."
    )
    return conclude(headline, rows, "The model's own searches, table by table", note, words=1)


def _estimate(rows: pd.DataFrame, kind: str) -> Estimate | None:
    if kind not in rows.index:
        return None
    return Estimate(*rows.loc[[kind], ["ratio", "low", "high"]].to_numpy(dtype=float)[0].tolist())


def _answer(estimate: Estimate | None) -> str:
    return NOT_RUN if estimate is None else answer(estimate, "better", "worse")


def _printed(rows: pd.DataFrame, kinds: Sequence[str]) -> dict[str, str]:
    """Return the printed row of one table."""
    told, largest = rows.iloc[0], _estimate(rows, PRIOR)
    return {
        "table": told["title"],
        "n": str(told["n"]),
        "size": f"{told['size']:,}",
        "first proposal": f"{number(told['first_rank'], 0)} ({number(told['first_random'], 0)})",
        "best": f"{number(told['best_rank'], 0)} ({number(told['best_random'], 0)})",
        **{kind.replace("-", " "): _cell(_estimate(rows, kind)) for kind in kinds},
        PRIOR: NOT_RUN if largest is None else ratio_text(largest.value),
    }


def _cell(estimate: Estimate | None) -> str:
    if estimate is not None and estimate.value == 1 and np.isnan(estimate.low):
        return SAME
    return estimate_cell(estimate, "better", "worse")
