"""What a study of optimisers shows: each beside random search, and beside the paper's GPT-4 after ten evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import recorded_benchmark, title_of
from genius_kit.figures.conclusions.base import Conclusion, conclude, estimate_cell
from genius_kit.journal import read_run
from genius_kit.paper import TRIAL_TABLES, paper_runs, summary
from genius_kit.proposers.methods import shown_name
from genius_kit.stats import Estimate, random_worth, rank_ratio
from genius_kit.stats.random_search import worth_interval
from genius_kit.studies.results import best_ranks, groups, random_search
from genius_kit.texts import UNKNOWN, number
from genius_kit.verdicts.base import counts_text
from genius_kit.verdicts.headlines import MOST_WORDS

if TYPE_CHECKING:
    import pandas as pd


PAPER_BUDGET = 10
"""Evaluations that a trial of the paper has at most."""


def optimiser_conclusion(results: pd.DataFrame) -> Conclusion:
    """Return on how many tables each method of a study is better or worse than random search at the end of its budget.

    Random search is exact, no run of it is needed: a method is better where the 95 % interval of how many times its
    evaluations random search needs lies above 1.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    searches = _beside_random(results)
    if searches.empty:
        rows = [
            {"method": shown_name(str(arm)), "n": str(count)} for arm, count in results["arm"].value_counts().items()
        ]
        return conclude("Only random search was run, so there is nothing to compare.", rows, "Searches", "")
    pairs = searches.groupby(["arm", "benchmark"], sort=False)
    signs = {pair: random_worth(_worse(some), comparisons=len(pairs)).sign for pair, some in pairs}
    arms = searches.groupby("arm", sort=False)
    rows = [_optimiser_row(str(arm), some, signs, arms.ngroups) for arm, some in arms]
    tables = searches["benchmark"].unique()
    note = (
        f"Tables: {', '.join(map(title_of, tables))}. Better and worse: by the 95 % interval of how many times its "
        f"evaluations random search needs (exact distribution), Bonferroni over {len(pairs)} comparisons. Rank ÷ "
        "random search: the rank of the best found over that of random search, geometric mean over tables, with the "
        f"95 % interval over searches (t on logarithms), Bonferroni over {arms.ngroups} methods. n: searches per table."
    )
    headline = _optimiser_headline(rows, int(searches["evaluations"].max()), len(tables))
    return conclude(headline, rows, "Tables on which a method is better or worse than random search", note)


def _beside_random(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row a search of another method than random search, with its `arm` as it is named.

    `worse` is the probability that random search finds something worse with as many evaluations, `ratio` its rank over
    the geometric mean of random search's.
    """
    import pandas as pd

    rows: list[dict[Any, Any]] = []
    for _, group in groups(results[results["proposer"] != "random"]):
        random = random_search(recorded_benchmark(read_run(group.iloc[0]["journal"]).settings))
        expected = cache(random.geometric_best_rank)
        for row in group.to_dict("records"):
            spent = int(row["evaluations"])
            worse = random.probability_worse(int(row["rank_best"]), int(row["rank_worst"]), spent)
            rows.append({**row, "worse": worse, "ratio": row["rank"] / expected(spent)})
    return pd.DataFrame(rows, columns=["arm", "benchmark", "seed", "evaluations", "best_key", "worse", "ratio"])


def _worse(searches: pd.DataFrame) -> float | list[float]:
    """Return one probability a search, a single one where a rule names the only architecture of every search."""
    fixed = searches["evaluations"].max() == 1 and searches["best_key"].nunique() == 1
    return float(searches["worse"].iloc[0]) if fixed else searches["worse"].tolist()


def _optimiser_row(arm: str, searches: pd.DataFrame, signs: Mapping[Any, int], comparisons: int) -> dict[str, str]:
    own = [sign for (name, _), sign in signs.items() if name == arm]
    by_seed = searches.pivot(index="seed", columns="benchmark", values="ratio").astype(float).dropna()
    means = np.exp(np.log(by_seed.to_numpy()).mean(axis=1)).tolist()
    ratio = rank_ratio(means, 1.0, comparisons=comparisons) if means else None
    return {
        "method": shown_name(arm),
        **{word: str(own.count(sign)) for word, sign in (("better", 1), ("inconclusive", 0), ("worse", -1))},
        "rank ÷ random search": estimate_cell(ratio),
        "n": counts_text(searches.groupby("benchmark").size()),
    }


def _optimiser_headline(rows: Sequence[Mapping[str, str]], budget: int, tables: int) -> str:
    if all(row["better"] == row["worse"] == "0" for row in rows):
        said = f"inconclusive on {tables} tables"
        return f"After {budget} evaluations no method is better or worse than random search: {said}."
    opening = f"Better than random search after {budget} evaluations, on how many of {tables} tables:"
    listed = [f"{row['method']} {row['better']}" for row in sorted(rows, key=lambda row: -int(row["better"]))]
    while len(f"{opening} {'; '.join(listed)}".split()) > MOST_WORDS:
        listed.pop()
    return f"{opening} {'; '.join(listed)}."


def worth_conclusion(results: pd.DataFrame) -> Conclusion:
    """Return how many evaluations each method of a study needs for the mean rank of the paper's GPT-4 after ten.

    Tables on which the paper prints no trials are left out. The headline compares ten evaluations with ten, by the
    spread of both.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    found = [(keys, group) for keys, group in groups(results) if keys["benchmark"] in TRIAL_TABLES]
    printed: dict[str, str] = {}
    cells: dict[str, dict[str, str]] = {str(arm): {} for arm in results["arm"].unique()}
    ratios: dict[str, list[Estimate]] = {arm: [] for arm in cells}
    for keys, group in found:
        runs = [read_run(path) for path in group["journal"]]
        benchmark, arm = recorded_benchmark(runs[0].settings), str(keys["arm"])
        theirs = [float(summary("", [trial])["rank"]) for trial in paper_runs(benchmark)]
        curves = np.array([best_ranks(run) for run in runs])
        printed[benchmark.title] = f"rank {np.mean(theirs):.1f} (n = {len(theirs)})"
        cells[arm][benchmark.title] = _worth_cell(*worth_interval(curves, float(np.mean(theirs))), curves.shape[1])
        if curves.shape[1] >= PAPER_BUDGET:
            ours = curves[:, PAPER_BUDGET - 1].tolist()
            ratios[arm].append(rank_ratio(ours, theirs, comparisons=len(found)))
    rows = [{"method": "paper: GPT-4 after ten", **printed, "better, worse": UNKNOWN, "n": UNKNOWN}]
    for arm, row in cells.items():
        searches = counts_text(results[results["arm"] == arm].groupby("benchmark").size())
        worths, signs = {title: row.get(title, UNKNOWN) for title in printed}, [ratio.sign for ratio in ratios[arm]]
        after_ten = f"{signs.count(-1)}, {signs.count(1)}" if signs else UNKNOWN
        rows.append({"method": shown_name(arm), **worths, "better, worse": after_ten, "n": searches})
    note = (
        "Evaluations until the mean rank of the best found is that of the paper's trials after at most ten (taken as "
        "known), with the 95 % interval over n searches (Student's t). Better, worse: the number of tables on which a "
        "method is better or worse than the paper's n trials, by the ratio of geometric means after ten evaluations "
        f"each (Welch's t on logarithms), Bonferroni over {len(found)} comparisons."
    )
    headline = _worth_headline([ratio.sign for some in ratios.values() for ratio in some], bool(found))
    return conclude(headline, rows, "Evaluations for the rank of the paper's GPT-4 after ten", note)


def _worth_cell(value: float, low: float, high: float, budget: int) -> str:
    if math.isnan(low):
        return f"{_evaluations(value, budget)}: too few searches"
    if low == high:
        return _evaluations(value, budget)
    return f"{_evaluations(value, budget)} ({_evaluations(low, budget)} to {_evaluations(high, budget)})"


def _evaluations(value: float, budget: int) -> str:
    return f"> {budget}" if math.isinf(value) else number(value, 0)


def _worth_headline(signs: Sequence[int], has_trials: bool) -> str:
    if not has_trials:
        return "None of these tables is one of the paper's, so there is nothing to compare with its GPT-4."
    if not signs:
        return "The searches end before ten evaluations, so there is nothing to compare with the paper's GPT-4."
    return (
        f"After ten evaluations better than the paper's GPT-4 in {signs.count(-1)} of {len(signs)} comparisons "
        f"(a method on a table), worse in {signs.count(1)}, inconclusive in {signs.count(0)}."
    )
