"""Models side by side: what each reached, what it cost, which model the server says it was, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.chat import OFFLINE_NAME
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Run, read_run
from genius_kit.llm.offline import ReciterClient
from genius_kit.proposers.base import TALKING
from genius_kit.proposers.methods import counted_once, with_names
from genius_kit.runs.provenance import marked
from genius_kit.stats.paired import holm
from genius_kit.studies.results import compared_by_seed, groups, summary

if TYPE_CHECKING:
    import pandas as pd

TABLE_COLUMNS = (
    "benchmark", "model", "served", "prompt", "arm", "budget", "first_run", "last_run", "n", "unfinished", "mean_rank",
    "low", "high", "top_percent", "worth_random", "own_share", "input_tokens", "output_tokens", "cost", "cost_a_run",
    "reference", "pairs", "ratio", "ratio_low", "ratio_high", "p_value",
)  # fmt: skip
_MEASURED = ("mean_rank", "low", "high", "top_percent", "worth_random", "own_share")


def model_table(results: pd.DataFrame, reference: str | None = None, arm: str | None = None) -> pd.DataFrame:
    """Return one row per model (and benchmark, prompt and budget), in the order of the study.

    Parameters
    ----------
    results
        Frame of `studies.results`, with its journals on disk.
    reference
        The model that the others are compared with; default the first one.
    arm
        The arm that is compared; default the first one that asks a model without a control.

    Returns
    -------
    pd.DataFrame
        `served` is the model as the server named it (several with commas between), `model_kind` what it is (see
        `method_names`); `first_run` and `last_run` are the days (UTC) on which the first run began and the last one
        ended. `n` counts finished runs, those of a fixed rule once (see `fixed_rules`), with their mean rank and its 95
        % interval and `worth_random` (the evaluations random search needs). Tokens and US dollars are of all runs
        together, `cost_a_run` is dollars per run. `ratio` is the rank over that of the reference, seed by seed, with
        its 95 % interval: below 1 is better. `p_value` is Holm's over the models of a benchmark, NaN below two pairs.
        None stands for what is not known; clients that are no models and ask nobody cost 0.

    Raises
    ------
    InvalidParameter
        No run asks a model, an unknown reference or arm, or no journals.
    """
    import pandas as pd

    asked = _asked(results, arm)
    models = [str(model) for model in asked["model"].unique()]
    if reference is not None and reference not in models:
        raise InvalidParameter(f"no model is called {reference!r}; the results have {', '.join(models)}")
    made = [_row(keys, group, asked, reference or models[0]) for keys, group in groups(asked)]
    return marked(with_names(_corrected(pd.DataFrame(made, columns=list(TABLE_COLUMNS)))), asked)


def asked_models(results: pd.DataFrame) -> list[str]:
    """Return the models that the arm of `model_table` asks in a study, none where no run with a journal asks one."""
    try:
        return [str(model) for model in _asked(results, None)["model"].unique()]
    except InvalidParameter:
        return []


def _asked(results: pd.DataFrame, arm: str | None) -> pd.DataFrame:
    """Return the runs of the arm that is compared."""
    talks = results[results["proposer"].isin(TALKING) & results["control"].isna() & results["model"].notna()]
    known = [str(name) for name in talks["arm"].unique()]
    chosen = arm if arm is not None else next(iter(known), None)
    asked = results[(results["arm"] == chosen) & results["model"].notna()]
    if not len(asked):
        raise InvalidParameter(
            f"no run {f'of the arm {arm!r} ' if arm else ''}asks a model; the arms that do are "
            f"{', '.join(known) or 'none'}. The study `models` has one"
        )
    if asked["journal"].isna().any():
        raise InvalidParameter("some runs have no journal on disk, where the served model and the dates stand")
    return asked


def _row(keys: dict[str, Any], group: pd.DataFrame, asked: pd.DataFrame, reference: str) -> dict[str, Any]:
    told = summary(group).iloc[0]
    runs = [read_run(path) for path in group["journal"]]
    cost = _cost(group, runs)
    return {
        **{name: keys[name] for name in ("benchmark", "model", "prompt", "arm", "budget")},
        "served": served_models(runs),
        "first_run": min(run.events[0]["time"][:10] for run in runs),
        "last_run": max(run.events[-1]["time"][:10] for run in runs),
        "n": told["n"],
        "unfinished": int(_same(keys, asked)["reason"].isna().sum()),
        **{name: told[name] for name in _MEASURED},
        **{name: _sum(group[name]) for name in ("input_tokens", "output_tokens")},
        "cost": cost,
        "cost_a_run": None if cost is None else cost / len(group),
        **_compared(counted_once(group), asked, keys, reference),
    }


def served_models(runs: Sequence[Run]) -> str | None:
    """Return the models that answered, as the servers named them, in the order they came; None where nobody did."""
    names = [call.get("model") for run in runs for call in run.of("call")]
    return ", ".join(dict.fromkeys(name for name in names if name)) or None


def _sum(values: pd.Series) -> int | None:
    """Return the sum of counts, None where one is not known."""
    return None if values.isna().any() else int(values.sum())


def _cost(group: pd.DataFrame, runs: Sequence[Run]) -> float | None:
    """Return the dollars of all runs together; 0 where every client is one of this package, None where unknown."""
    if all(run.settings.get("resolved", {}).get("kind") in (OFFLINE_NAME, ReciterClient.kind) for run in runs):
        return 0.0
    return None if group["cost"].isna().any() else float(group["cost"].sum())


def _compared(group: pd.DataFrame, asked: pd.DataFrame, keys: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return the comparison with the reference model on the same benchmark, prompt, arm and budget, seed by seed."""
    if keys["model"] == reference:
        return {"reference": reference, "pairs": 0}
    other = _same({**keys, "model": reference}, asked[asked["reason"].notna() & asked["rank"].notna()])
    return {"reference": reference, **compared_by_seed(group, counted_once(other))}


def _same(keys: dict[str, Any], asked: pd.DataFrame) -> pd.DataFrame:
    for name in ("benchmark", "arm", "model", "prompt", "budget"):
        asked = asked[asked[name] == keys[name]]
    return asked


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the p-values of each benchmark corrected together by Holm's rule."""
    table["p_value"] = table["p_value"].astype(float)
    for _, part in table[table["p_value"].notna()].groupby("benchmark"):
        table.loc[part.index, "p_value"] = holm(part["p_value"].tolist())
    return table
