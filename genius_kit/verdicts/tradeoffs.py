"""Does a search extend the Pareto front better than random search? One row per arm, and one sentence on one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.base import OBJECTIVES
from genius_kit.benchmarks.catalogue import title_of
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import shown_model, subject, with_names
from genius_kit.runs.provenance import marked
from genius_kit.stats.paired import LEAST_PAIRS, interval, pairs_needed, sign_flip_p
from genius_kit.studies.tradeoffs import DRAWS
from genius_kit.verdicts.base import LEVEL, NOT_ENOUGH, Verdict, conditions

if TYPE_CHECKING:
    import pandas as pd


BETTER, NO_BETTER = "better than random search", "no better than random search"
WORSE = "worse than random search"
KINDS = (BETTER, NO_BETTER, WORSE, NOT_ENOUGH)
BASELINE = "random"

TABLE_COLUMNS = (
    "benchmark", "arm", "model", "prompt", "budget", "n", "hypervolume", "low", "high", "random", "gain", "gain_low",
    "gain_high", "margin", "p_value", "epsilon", "front", "paired_gain", "paired_low", "paired_high", "pairs",
    "repeated",
)  # fmt: skip


def tradeoff_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm, model, prompt and budget of a benchmark, over its finished searches.

    Parameters
    ----------
    results
        Frame of `studies.results`, of runs with several objectives.

    Returns
    -------
    pd.DataFrame
        `hypervolume` is the mean share of the table's with its 95 % interval `low` to `high` over n searches; `random`
        that of random search with as many evaluations and the same first architectures (DRAWS drawn per search), `gain`
        the difference with its interval, `margin` what twice as many random evaluations gain. `p_value` is two-sided,
        by sign flips of how often random search does as well. `epsilon` and `front` are means. `paired_gain` is the
        difference from the arm of random searches, seed by seed over `pairs`. Searches of the same architectures count
        once, `repeated` is how many were left out: a client that always gives the same list has made one search.
        `method` and `model_kind` say what the arm is (see `method_names`).

    Raises
    ------
    InvalidParameter
        A study of one objective, or without the arm of random searches.
    """
    import pandas as pd

    known = _finished(results)
    rows = [
        {**dict(zip(("benchmark", "arm", "model", "prompt", "budget"), keys, strict=True)), **_measures(group, known)}
        for keys, group in known.groupby(["benchmark", "arm", "model", "prompt", "budget"], sort=False, dropna=False)
    ]
    return marked(with_names(pd.DataFrame(rows, columns=list(TABLE_COLUMNS))), known)


def tradeoff_verdict(results: pd.DataFrame, *, plain: str = "llm") -> Verdict:
    """Return whether one arm extends the front better than random search.

    "better": p < 0.05, and the interval of the gain reaches what twice as many random evaluations gain (the margin).
    "no better": the interval stays below the margin. "worse": it does, p < 0.05, and the gain is as far below zero.
    Else "not enough runs", also where so few searches could not be significant however they ended. The gain is over
    random search as it is drawn from the whole table; the arm of random searches, with the same seeds as the judged
    arm, stands beside it.

    Parameters
    ----------
    results
        Frame of `studies.results`, of one benchmark, model, prompt and budget.
    plain
        The arm that is judged.

    Raises
    ------
    InvalidParameter
        Results without the arm or without random searches, or of several benchmarks, models, prompts or budgets.
    """
    known = _finished(results)
    arms = list(dict.fromkeys(known["arm"]))
    if plain not in arms:
        raise InvalidParameter(f"no finished search is of the arm {plain!r}; there are {', '.join(map(str, arms))}")
    table = tradeoff_table(results)
    own = table[table["arm"] == plain]
    if len(own) > 1:
        several = [name for name in ("benchmark", "model", "prompt", "budget") if own[name].nunique(dropna=False) > 1]
        raise InvalidParameter(f"the arm {plain} has several of {', '.join(several)}; keep one of them")
    row = {str(name): value for name, value in own.iloc[0].items()}
    kind = _kind(row)
    return Verdict(_sentence(row, kind, known), kind, own.reset_index(drop=True))


def each_tradeoff(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict for each benchmark, model, prompt and budget of a study whose searches weigh objectives.

    None without a finished search of a model with nothing changed in what it sees, or without random searches.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    known = conditions(_fronts(results), "budget")
    return [tradeoff_verdict(rows, plain=own["arm"].iloc[0]) for own, rows in known if has_fronts(rows)]


def has_fronts(results: pd.DataFrame) -> bool:
    """Return whether `tradeoff_table` can be made: searches of several objectives have ended, and random ones.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    return BASELINE in set(_fronts(results)["proposer"])


def _fronts(results: pd.DataFrame) -> pd.DataFrame:
    """Return the searches that have ended and weighed several objectives; none of a study of one."""
    if "hypervolume" not in results:
        return results[:0]
    return results[results["reason"].notna() & results["hypervolume"].notna()]


def _finished(results: pd.DataFrame) -> pd.DataFrame:
    """Return the searches that can be judged; raises InvalidParameter where that takes something that is not there."""
    if "hypervolume" not in results:
        raise InvalidParameter(
            "the results have no column hypervolume: the searches weighed accuracy alone. Add a line such as "
            "`objectives: [accuracy, latency]` to the study and run it again"
        )
    if not has_fronts(results):
        raise InvalidParameter(
            f"no finished search is of the arm {BASELINE}, the baseline of this comparison: add `- {BASELINE}` to the "
            "arms of the study; what is finished of the others is kept"
        )
    return _fronts(results)


def _measures(group: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    repeated = len(group) - group["designs"].nunique()
    group = group.drop_duplicates("designs")
    shares = group["hypervolume"].astype(float)
    gains = shares - group["random_hypervolume"].astype(float)
    found: dict[str, Any] = {
        "n": len(group),
        "repeated": repeated,
        "hypervolume": shares.mean(),
        "random": group["random_hypervolume"].mean(),
        "gain": gains.mean(),
        "margin": (group["double_hypervolume"] - group["random_hypervolume"]).mean(),
        "epsilon": group["epsilon"].mean(),
        "front": group["front"].mean(),
        **_paired(group, known),
    }
    if len(group) >= LEAST_PAIRS:
        found |= dict(zip(("low", "high"), interval(shares.to_numpy())[1:], strict=True))
        found |= dict(zip(("gain_low", "gain_high"), interval(gains.to_numpy())[1:], strict=True))
        found["p_value"] = sign_flip_p((0.5 - group["p_hypervolume"].astype(float)).to_numpy())
    return found


def _paired(group: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """Return the gain over the random searches of the same seeds and budget; nothing for those themselves."""
    first = group.iloc[0]
    same = (known["benchmark"] == first["benchmark"]) & (known["budget"] == first["budget"])
    other = known[same & (known["proposer"] == BASELINE)].drop_duplicates("seed").set_index("seed")["hypervolume"]
    both = group.set_index("seed")["hypervolume"].to_frame("ours").join(other, how="inner").astype(float)
    gains = (both["ours"] - both["hypervolume"]).to_numpy()
    if first["proposer"] == BASELINE or len(gains) < LEAST_PAIRS:
        return {"pairs": 0 if first["proposer"] == BASELINE else len(gains)}
    return dict(zip(("paired_gain", "paired_low", "paired_high"), interval(gains), strict=True)) | {"pairs": len(gains)}


def _kind(row: dict[str, Any]) -> str:
    if row["n"] < pairs_needed():
        return NOT_ENOUGH
    if row["gain_high"] < row["margin"]:
        return WORSE if row["p_value"] < LEVEL and row["gain"] <= -row["margin"] else NO_BETTER
    return BETTER if row["p_value"] < LEVEL and row["gain"] > 0 else NOT_ENOUGH


def _sentence(row: dict[str, Any], kind: str, known: pd.DataFrame) -> str:
    model = str(row["arm"])
    if isinstance(row["model"], str):
        model = subject(row["model"]) if row["arm"] == "llm" else f"{shown_model(row['model'])} ({row['arm']})"
    names = known.loc[known["arm"] == row["arm"], "objectives"].iloc[0].split(",")
    aims = f"{', '.join(OBJECTIVES[name].title for name in names[:-1])} and {OBJECTIVES[names[-1]].title}"
    place = f"{aims} on {title_of(str(row['benchmark']))}"
    claim = {
        BETTER: f"{model} extends the front of {place} better than random search",
        WORSE: f"{model} extends the front of {place} worse than random search",
        NO_BETTER: f"{model} extends the front of {place} no better than random search, within what twice as "
        "many evaluations are worth",
        NOT_ENOUGH: f"{model} has not enough runs for a verdict on the front of {place}: {_wanting(row)}",
    }[kind]
    return f"{claim}; {_numbers(row)}."


def _wanting(row: dict[str, Any]) -> str:
    """Return in words what is missing, and about how many searches would do."""
    least = pairs_needed()
    if row["n"] == 1 and row["repeated"]:
        return "all searches evaluated the same architectures, which counts once, and more of them would repeat it"
    if row["n"] < least:
        count = f"{row['n']} {'search' if row['n'] == 1 else 'different searches'}"
        return f"{count} cannot reach p < {LEVEL} however they end, at least {least} are needed"
    return (
        f"the gain shows neither p < {LEVEL} nor that it is below {row['margin']:.3f} (about {_to_settle(row):,} "
        "searches may settle it)"
    )


def _to_settle(row: dict[str, Any]) -> int:
    """Return about how many searches would decide, if the gain stayed and its interval shrank with root n."""
    half, ways = (row["gain_high"] - row["gain_low"]) / 2, (row["gain"], row["margin"] - row["gain"])
    counts = [row["n"] * (half / way) ** 2 for way in ways if way > 0]
    return max(row["n"] + 1, math.ceil(min(counts, default=2 * row["n"])))


def _numbers(row: dict[str, Any]) -> str:
    count = f"n = {row['n']} {'search' if row['n'] == 1 else 'searches'} of {row['budget']:.0f} evaluations"
    told = f"it finds {row['hypervolume']:.3f} of the table's hypervolume over {count}"
    told += f", random search {row['random']:.3f} (mean of {DRAWS:,} drawn for each)"
    if row["repeated"]:
        told += f"; {row['repeated']:.0f} searches that evaluated the same architectures as another one are left out"
    if row["n"] >= LEAST_PAIRS:
        told += (
            f"; the gain is {row['gain']:.3f} (95 % interval {row['gain_low']:.3f} to {row['gain_high']:.3f}, "
            f"p = {row['p_value']:.2g}), and twice as many random evaluations gain {row['margin']:.3f}"
        )
    if row["pairs"] >= LEAST_PAIRS:
        told += (
            f"; beside the arm {BASELINE}, seed by seed, it gains {row['paired_gain']:.3f} "
            f"({row['paired_low']:.3f} to {row['paired_high']:.3f}, {row['pairs']:.0f} pairs)"
        )
    return told
