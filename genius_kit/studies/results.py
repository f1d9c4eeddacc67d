"""Results of a study: one row per run, one row per arm, and the rank of the best so far by evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import is_judged, recorded_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Run, complete, read_run, readable
from genius_kit.journal.run import total
from genius_kit.proposers.base import QUIZ
from genius_kit.proposers.methods import counted_once, sequence_of, with_names
from genius_kit.runs.provenance import marked
from genius_kit.spaces import recorded_space
from genius_kit.stats.paired import LEAST_PAIRS, compare, interval, mean_band
from genius_kit.stats.random_search import RandomSearch, worth
from genius_kit.studies.evidence import reply_columns
from genius_kit.studies.plan import Task
from genius_kit.studies.tradeoffs import COLUMNS as TRADEOFF_COLUMNS
from genius_kit.studies.tradeoffs import tradeoff_row

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark


GROUP = ["study", "benchmark", "arm", "model", "prompt"]
RESULT_COLUMNS = (
    *GROUP[:3], "proposer", "control", "change", "principles", *GROUP[3:], "seed", "budget", "evaluations",
    "best_key", "best_feedback", "rank_best", "rank_worst", "rank", "top_percent", "regret", "p_random",
    "typical_rank", "proposals", "follows", "model_proposals", "fallbacks", "rejections", "calls", "reused",
    "input_tokens", "output_tokens", "cost",
    "seconds", "reason", "failure", "journal", "touched", "protocol", "source", "sequence",
)  # fmt: skip

WITH_A_PERSON = ", with a person"
KEYS = [*GROUP, "touched", "budget"]

SUMMARY_COLUMNS = (
    *KEYS, "proposer", "control", "n", "mean_rank", "sd", "standard_error", "low", "high", "top_percent",
    "regret", "random_rank", "worth_random", "worth_gp", "reference", "pairs", "ratio", "ratio_low", "ratio_high",
    "p_value", "smallest_p", "own_share",
)  # fmt: skip

Source = str | Path | Iterable[Run | str | Path]
Keys = dict[str, Any]
Group = tuple[Keys, "pd.DataFrame"]


def read_results(source: Source) -> pd.DataFrame:
    """Return one row per search, with ranks by the feedback on the benchmark's table.

    Parameters
    ----------
    source
        A folder of journals (and its folders), journals, or runs in memory.

    Returns
    -------
    pd.DataFrame
        `rank` is the middle of `rank_best` to `rank_worst`, `top_percent` is it in percent of the table, `regret` how
        far its score is below the optimum, `p_random` the exact probability that random search with this budget does as
        well; typical_rank, proposals and follows are those of `reply_evidence.reply_columns`. `reason` is None for
        an unfinished run, and `failure` then that of the last call that failed, or the limit that ended it; `reused` of
        the `calls` were answered from the record of another run. `touched` says whether a person approved, edited or
        rejected a proposal; where an arm has both kinds of runs, those are an arm of their own, "ARM, with a person",
        so that no mean mixes them. Sums are None where a part is unknown. `protocol` and `source` are those of the
        table, `sequence` tells searches that are one (see `fixed_rules`), `method` and `model_kind` say what each arm
        is (see `method_names`). Where runs weigh several objectives, `tradeoffs.COLUMNS` stand before the last two.

    Raises
    ------
    DataMissing
        The table is not here.
    """
    return _frame(_rows(source))


def results_of(tasks: Sequence[Task], paths: Sequence[Path]) -> pd.DataFrame:
    """Return `read_results` of the runs that were begun, under the study and arm names that the tasks have now."""
    placed = ((task, read_run(path)) for task, path in zip(tasks, paths, strict=True) if path.exists())
    begun = ((task, run) for task, run in placed if run.settings)
    return _frame([{**row_of(run, task.table), "study": task.study, "arm": task.arm} for task, run in begun])


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    more = TRADEOFF_COLUMNS if any("hypervolume" in row for row in rows) else ()
    frame = pd.DataFrame(rows, columns=[*RESULT_COLUMNS, *more]).astype({"touched": bool})
    arms = frame.groupby(GROUP, dropna=False)["touched"]
    mixed = frame["touched"] & (arms.transform("nunique") > 1)  # runs that a person touched are an arm of their own
    return with_names(frame.assign(arm=frame["arm"].where(~mixed, frame["arm"] + WITH_A_PERSON)))


def _rows(source: Source) -> list[dict[str, Any]]:
    """Return the rows of the runs of `source`, each forgotten when its row is known; those of a folder as planned."""
    if isinstance(source, str | Path):
        folder = Path(source)
        if not folder.is_dir():
            raise InvalidParameter(f"{source} is no folder; `genius-kit study` writes its journals to studies/NAME")
        placed = [pair for pair in readable(folder, _placed) if pair is not None]
        return [row for _, row in sorted(placed, key=lambda pair: pair[0])]
    return [row_of(run if isinstance(run, Run) else read_run(run)) for run in source]


def _placed(run: Run) -> tuple[int, dict[str, Any]] | None:
    """Return the place of a search in its study, and its row; None for what is no search."""
    if not run.settings or run.settings.get("proposer") == QUIZ:
        return None
    with complete(run.path):
        return int(run.events[0].get("study", {}).get("order", 0)), _row_of(run, None)


def row_of(run: Run, benchmark: TabularBenchmark | None = None) -> dict[str, Any]:
    """Return the row of one run as `read_results` has it, judged on `benchmark`, else on the table that it names.

    Raises JournalError where the journal lacks what is read in it.
    """
    with complete(run.path):
        return _row_of(run, benchmark)


def _row_of(run: Run, benchmark: TabularBenchmark | None) -> dict[str, Any]:
    kept, study = run.settings, run.events[0].get("study", {}) if run.events else {}
    settings = kept.get("settings", {})
    failed = run.of("call_failed", "budget_spent")
    return {
        "study": study.get("name"),
        "benchmark": kept.get("benchmark"),
        "arm": study.get("arm", kept.get("proposer")),
        "proposer": kept.get("proposer"),
        **{key: settings.get(key) for key in ("control", "change", "principles", "model", "prompt")},
        "seed": kept.get("seed"),
        "budget": kept.get("budget"),
        **_best(run, benchmark),
        **_talk(run),
        "reason": run.reason,
        "failure": failed[-1]["message"] if failed and not run.finished else None,
        "journal": None if run.path is None else str(run.path),
        "touched": bool(run.of("approval")),
        "protocol": kept.get("protocol"),
        "source": kept.get("source"),
        "sequence": sequence_of(run),
        **tradeoff_row(run, benchmark),
    }


def _best(run: Run, benchmark: TabularBenchmark | None) -> dict[str, Any]:
    """Return the best architecture of a run, judged on the table; empty where nothing came to a result."""
    evaluations = run.of("evaluation")
    scored = [event for event in evaluations if event["feedback"] is not None]
    if not scored:
        return {"evaluations": len(evaluations)}
    best = max(scored, key=lambda event: event["feedback"])
    if benchmark is None and not is_judged(run.settings):  # nothing to be judged on
        key = recorded_space(run.settings).key(best["architecture"])
        return {"evaluations": len(evaluations), "best_key": key, "best_feedback": best["feedback"]}
    benchmark = benchmark or recorded_benchmark(run.settings)
    row = benchmark.space.index(best["architecture"])
    score, ranks = float(benchmark.scores()[row]), benchmark.rank(best["architecture"])
    assert ranks is not None  # a table has scored it
    return {
        "evaluations": len(evaluations),
        "best_key": benchmark.space.key(best["architecture"]),
        "best_feedback": best["feedback"],
        "rank_best": ranks.best,
        "rank_worst": ranks.worst,
        "rank": ranks.mean,
        "top_percent": ranks.top_percent,
        "regret": float(benchmark.scores().max()) - score,
        "p_random": random_search(benchmark).p_value(score, run.settings["budget"]),
        **reply_columns(run, benchmark),
    }


def _talk(run: Run) -> dict[str, Any]:
    origins = [event["origin"] for event in run.of("proposal")]
    calls = run.of("call")
    return {
        "model_proposals": origins.count("model"),
        "fallbacks": origins.count("fallback"),
        "rejections": len(run.of("rejected")),
        "calls": len(calls),
        "reused": sum("reused" in call for call in calls),
        "input_tokens": total([call["usage"]["input_tokens"] for call in calls]),
        "output_tokens": total([call["usage"]["output_tokens"] for call in calls]),
        "cost": total([call["cost"] for call in calls]),
        "seconds": total([event["seconds"] for event in [*calls, *run.of("evaluation")]]),
    }


def random_search(benchmark: TabularBenchmark) -> RandomSearch:
    """Return random search on a table."""
    return RandomSearch(benchmark.known_scores())


def best_ranks(run: Run, ties: str = "mean") -> np.ndarray:
    """Return the rank of the best architecture after each evaluation, shape (budget,), NaN before a result.

    `ties` counts the "mean", the "best" or the "worst" end of the ranks of equal scores. A run that ended early keeps
    its best.
    """
    ranks = np.full(run.settings["budget"], np.nan)
    evaluations = run.of("evaluation")
    if not evaluations:
        return ranks
    benchmark = recorded_benchmark(run.settings)
    rows = [benchmark.space.index(event["architecture"]) for event in evaluations]
    first, last = (ends[rows] for ends in benchmark.ranks())
    ranked = {"mean": (first + last) / 2, "best": first, "worst": last}[ties]
    scored = np.where([event["feedback"] is None for event in evaluations], np.inf, ranked)
    best = np.minimum.accumulate(scored)
    ranks[: len(best)] = best
    ranks[len(best) :] = best[-1]
    return np.where(np.isinf(ranks), np.nan, ranks)


def curves(source: Source | pd.DataFrame, ties: str = "mean") -> pd.DataFrame:
    """Return the mean rank of the best so far by evaluation, one row per evaluation of each group of finished runs.

    Parameters
    ----------
    source
        What `read_results` takes, or its frame, whose journals are then read again.
    ties
        Which end of the ranks of equal scores counts: "mean", "best" or "worst".

    Returns
    -------
    pd.DataFrame
        Columns: those of `KEYS`, n, evaluations (from 1), mean_rank, standard_error, low, high (95 % bootstrap over
        runs, by percentiles), method and model_kind. The runs of a fixed rule count once (see `fixed_rules`).
    """
    import pandas as pd

    frame = source if isinstance(source, pd.DataFrame) else read_results(source)
    rows = []
    for keys, group in groups(frame):
        ranks = np.array([best_ranks(read_run(path), ties) for path in counted_once(group)["journal"]])
        count, evaluations = ranks.shape
        errors = ranks.std(axis=0, ddof=1) / count**0.5 if count > 1 else np.full(evaluations, np.nan)
        band = zip(ranks.mean(axis=0), errors, *mean_band(ranks), strict=True)
        for place, values in enumerate(band, start=1):
            measures = dict(zip(("mean_rank", "standard_error", "low", "high"), values, strict=True))
            rows.append({**keys, "n": count, "evaluations": place, **measures})
    measured = ("n", "evaluations", "mean_rank", "standard_error", "low", "high")
    return marked(with_names(pd.DataFrame(rows, columns=[*KEYS, *measured])), frame)


def groups(frame: pd.DataFrame) -> Iterable[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the finished runs of each (study, benchmark, arm, model, prompt, touched, budget), in the order they come.

    Raises InvalidParameter where a seed is there twice: then the group is not one arm.
    """
    finished = frame[frame["reason"].notna() & frame["rank"].notna()]
    finished = finished if "touched" in finished else finished.assign(touched=False)
    for keys, group in finished.groupby(KEYS, sort=False, dropna=False):
        named = {name: None if key != key else key for name, key in zip(KEYS, keys, strict=True)}
        twice = group["seed"][group["seed"].duplicated()]
        if len(twice):
            same = group[group["seed"] == twice.iloc[0]]["journal"].tolist()
            raise InvalidParameter(
                f"{named['arm']} on {named['benchmark']} has seed {twice.iloc[0]} more than once, with other settings: "
                f"{', '.join(map(str, same))}; move the runs of one of the settings to another folder"
            )
        yield named, group


def summary(results: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Return one row per arm (study, benchmark, arm, model, prompt, touched, budget), over its finished runs.

    Parameters
    ----------
    results
        Frame of `read_results`.
    reference
        The arm that the others are compared with, at the same budget; default the first plain llm arm.

    Returns
    -------
    pd.DataFrame
        `n` runs, those of a fixed rule counted once (see `fixed_rules`): mean_rank with sd, standard_error and its 95 %
        interval low to high, mean top_percent and regret; random_rank, what random search is expected to reach with the
        budget; worth_random and worth_gp, how many evaluations random search and the study's gp arm need for the mean
        rank (None: more than they had). `ratio` to `p_value` compare the ranks with those of the reference, seed by
        seed; below 1 is better than it. own_share is the share of evaluations that the model itself proposed; `method`
        and `model_kind` say what the arm is (see `method_names`).
    """
    import pandas as pd

    found = [(keys, counted_once(group)) for keys, group in groups(results)]
    named = reference or next((keys["arm"] for keys, group in found if plain_searches(group).iloc[0]), None)
    arms = dict.fromkeys(str(keys["arm"]) for keys, _ in found)
    if reference is not None and arms and reference not in arms:
        raise InvalidParameter(f"no finished run is of the arm {reference!r}; there are {', '.join(arms)}")
    made = [_row(keys, group, found, named) for keys, group in found]
    return marked(with_names(pd.DataFrame(made, columns=list(SUMMARY_COLUMNS))), results)


def plain_searches(results: pd.DataFrame) -> pd.Series:
    """Return which rows are searches of the proposer llm with nothing changed in what it sees, bool of shape (n,)."""
    is_plain = results["proposer"] == "llm"
    for name in ("control", "change", "principles"):
        if name in results:
            is_plain &= results[name].isna()
    return is_plain


def _row(keys: Keys, group: pd.DataFrame, groups: Sequence[Group], reference: str | None) -> dict[str, Any]:
    ranks, first = group["rank"].to_numpy(dtype=float), group.iloc[0]
    several = len(ranks) > 1
    deviation = float(ranks.std(ddof=1)) if several else None
    return {
        **keys,
        "proposer": first["proposer"],
        "control": first["control"] if isinstance(first["control"], str) else None,
        "n": len(ranks),
        "mean_rank": float(ranks.mean()),
        "sd": deviation,
        "standard_error": None if deviation is None else deviation / len(ranks) ** 0.5,
        **dict(zip(("low", "high"), interval(ranks)[1:] if len(ranks) >= LEAST_PAIRS else (), strict=False)),
        "top_percent": float(group["top_percent"].mean()),
        "regret": float(group["regret"].mean()),
        **_worth(keys, group, groups),
        **_compared(keys, group, groups, reference),
        "own_share": float(group["model_proposals"].sum() / group["evaluations"].sum()),
    }


def _worth(keys: Keys, group: pd.DataFrame, groups: Sequence[Group]) -> dict[str, Any]:
    """Return what random search reaches with the budget, and how many evaluations it and the gp arm need."""
    benchmark, mean = recorded_benchmark(read_run(group.iloc[0]["journal"]).settings), float(group["rank"].mean())
    random, curve = random_search(benchmark), _curve_of_gp(keys, groups)
    return {
        "random_rank": random.expected_best_rank(int(keys["budget"])),
        "worth_random": random.evaluations_for_rank(mean),
        "worth_gp": None if curve is None else worth(curve, mean),
    }


def _curve_of_gp(keys: Keys, groups: Sequence[Group]) -> list[float] | None:
    """Return the mean best rank by evaluation of the gp arm on the same table, of the longest where there are several.

    None without such an arm, or where its journals are gone.
    """
    same = [
        (other["budget"], group)
        for other, group in groups
        if group.iloc[0]["proposer"] == "gp" and all(other[name] == keys[name] for name in ("study", "benchmark"))
    ]
    if not same:
        return None
    journals = max(same, key=lambda pair: pair[0])[1]["journal"]
    if not all(isinstance(path, str) and Path(path).is_file() for path in journals):
        return None
    mean = np.mean([best_ranks(read_run(path)) for path in journals], axis=0)
    return [float(rank) for rank in mean if not np.isnan(rank)]


def _compared(keys: Keys, group: pd.DataFrame, groups: Sequence[Group], reference: str | None) -> dict[str, Any]:
    """Return the comparison with the reference arm over the seeds that both have, at the same budget."""
    other = _reference_group(keys, groups, reference)
    return {"reference": reference, **({"pairs": 0} if other is None else compared_by_seed(group, other))}


def compared_by_seed(group: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """Return the comparison of the ranks of two groups of runs over the seeds that both have."""
    paired = group.set_index("seed")["rank"].to_frame("ours").join(other.set_index("seed")["rank"], how="inner")
    if len(paired) < LEAST_PAIRS:
        return {"pairs": len(paired)}
    found = compare(paired["ours"].tolist(), paired["rank"].tolist())
    measures = {name: getattr(found, name) for name in ("ratio", "ratio_low", "ratio_high", "p_value", "smallest_p")}
    return {"pairs": found.n, **measures}


def _reference_group(keys: Keys, groups: Sequence[Group], reference: str | None) -> pd.DataFrame | None:
    """Return the reference's runs with the same model and prompt, or its first; None for the reference itself."""
    same = ("study", "benchmark", "budget")
    found = [
        (other, group)
        for other, group in groups
        if other["arm"] == reference and all(other[name] == keys[name] for name in same)
    ]
    alike = [group for other, group in found if all(other[name] == keys[name] for name in ("model", "prompt"))]
    if keys["arm"] == reference or not found:
        return None
    return alike[0] if alike else found[0][1]
