"""One row an arm: mean rank with its interval, what it is worth, and the paired comparison with a reference arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import counted_once
from genius_kit.journal import read_run
from genius_kit.method_names import with_names
from genius_kit.provenance import marked
from genius_kit.studies.outcomes import KEYS, best_ranks, groups, random_search

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark

SUMMARY_COLUMNS = (
    *KEYS, "proposer", "control", "n", "mean_rank", "sd", "standard_error", "low", "high", "top_percent",
    "regret", "random_rank", "worth_random", "worth_gp", "reference", "pairs", "ratio", "ratio_low", "ratio_high",
    "p_value", "smallest_p", "own_share",
)  # fmt: skip

Keys = dict[str, Any]
Group = tuple[Keys, "pd.DataFrame"]


def rows(groups: Sequence[Group], reference: str | None) -> pd.DataFrame:
    """Return the summary of groups of finished runs; see `summary`."""
    import pandas as pd

    named = reference or next((keys["arm"] for keys, group in groups if _is_plain_model(group)), None)
    if reference is not None and groups and reference not in {keys["arm"] for keys, _ in groups}:
        arms = ", ".join(dict.fromkeys(str(keys["arm"]) for keys, _ in groups))
        raise InvalidParameter(f"no finished run is of the arm {reference!r}; there are {arms}")
    once = [(keys, counted_once(group)) for keys, group in groups]
    made = [_row(keys, group, once, named) for keys, group in once]
    return with_names(pd.DataFrame(made, columns=list(SUMMARY_COLUMNS)))


def _is_plain_model(group: pd.DataFrame) -> bool:
    first = group.iloc[0]
    aside = ("control", "change", "principles")
    return bool(first["proposer"] == "llm" and not any(isinstance(first.get(name), str) for name in aside))


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
        **_interval(group),
        "top_percent": float(group["top_percent"].mean()),
        "regret": float(group["regret"].mean()),
        **_worth(keys, group, groups),
        **_compared(keys, group, groups, reference),
        "own_share": float(group["model_proposals"].sum() / group["evaluations"].sum()),
    }


def _interval(group: pd.DataFrame) -> dict[str, float]:
    from genius_kit.comparisons import LEAST_PAIRS, interval

    if len(group) < LEAST_PAIRS:
        return {}
    _, low, high = interval(group["rank"].to_numpy(dtype=float))
    return {"low": low, "high": high}


def _worth(keys: Keys, group: pd.DataFrame, groups: Sequence[Group]) -> dict[str, Any]:
    """Return what random search reaches with the budget, and how many evaluations it and the gp arm need."""
    from genius_kit.statistics import worth

    benchmark, mean = _benchmark(group), float(group["rank"].mean())
    random, curve = random_search(benchmark), _curve_of_gp(keys, groups)
    return {
        "random_rank": random.expected_best_rank(int(keys["budget"])),
        "worth_random": random.evaluations_for_rank(mean),
        "worth_gp": None if curve is None else worth(curve, mean),
    }


def _benchmark(group: pd.DataFrame) -> TabularBenchmark:
    return recorded_benchmark(read_run(group.iloc[0]["journal"]).settings)


def _curve_of_gp(keys: Keys, groups: Sequence[Group]) -> list[float] | None:
    """Return the mean best rank by evaluation of the gp arm on the same table, of the longest where there are several.

    None without such an arm, or where its journals are gone.
    """
    import numpy as np

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
    from genius_kit.comparisons import LEAST_PAIRS, compare

    other = _reference_group(keys, groups, reference)
    if other is None:
        return {"reference": reference, "pairs": 0}
    paired = group.set_index("seed")["rank"].to_frame("ours").join(other.set_index("seed")["rank"], how="inner")
    if len(paired) < LEAST_PAIRS:
        return {"reference": reference, "pairs": len(paired)}
    found = compare(paired["ours"].tolist(), paired["rank"].tolist())
    measures = {name: getattr(found, name) for name in ("ratio", "ratio_low", "ratio_high", "p_value", "smallest_p")}
    return {"reference": reference, "pairs": found.n, **measures}


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


def summary(results: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Return one row an arm (study, benchmark, arm, model, prompt, touched, budget) of what `read_results` gives.

    Over the `n` finished runs, those of a fixed rule counted once (see `fixed_rules`): mean_rank with sd,
    standard_error and its 95 % interval low to high, mean top_percent and regret; random_rank, what random search is
    expected to reach with the budget; worth_random and worth_gp, how many evaluations random search and the study's gp
    arm need for the mean rank (None: more than they had). `ratio` to `p_value` compare the ranks with those of the
    `reference` arm, seed by seed (the first plain llm arm unless named; below 1 is better than it; only at the same
    budget). own_share is the share of evaluations that the model itself proposed; `method` and `model_kind` say what
    the arm is (see `method_names`).
    """
    return marked(rows(list(groups(results)), reference), results)
