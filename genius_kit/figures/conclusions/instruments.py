"""What was found by models side by side, by searches that weigh several objectives, and by the audit of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import title_of
from genius_kit.figures.conclusions.base import INCONCLUSIVE, Conclusion, conclude
from genius_kit.figures.conclusions.verdicts import verdict_conclusion
from genius_kit.proposers.methods import shown_model
from genius_kit.stats.paired import holm_of
from genius_kit.texts import UNKNOWN, is_known, number, p_text, ratio_text
from genius_kit.verdicts.base import LEVEL
from genius_kit.verdicts.headlines import MOST_WORDS
from genius_kit.verdicts.tradeoffs import BASELINE, tradeoff_table, tradeoff_verdict

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.runs.audit import Audit


def models_conclusion(models: pd.DataFrame) -> Conclusion:
    """Return each model beside the reference, one row per model and table.

    A model is better or worse on a table where the sign-flip test of its ranks, seed by seed, gives p < 0.05,
    corrected by Holm's rule over all rows together, and inconclusive elsewhere.

    Parameters
    ----------
    models
        Frame of `studies.model_table`.
    """
    p_values, ratios = holm_of(models["p_value"].to_dict()), models["ratio"].to_dict()
    signs = {place: "better" if ratios[place] < 1 else "worse" for place in p_values}
    answers = {place: signs[place] if p_value < LEVEL else INCONCLUSIVE for place, p_value in p_values.items()}
    again = models["benchmark"].eq(models["benchmark"].shift()).to_dict()
    rows = [
        {
            "table": "" if again[place] else title_of(str(row["benchmark"])),
            "model": shown_model(row["model"]),
            "n": str(row["n"]),
            "evaluations": number(row.get("budget"), 0),
            "mean rank (95 %)": _with_interval(row["mean_rank"], row["low"], row["high"], 0),
            "evaluations of random search": number(row.get("worth_random"), 0),
            "rank ÷ reference (95 %)": _ratio(row, answers.get(place)),
            "p": p_text(p_values.get(place)),
        }
        for place, row in models.iterrows()
    ]
    note = (
        f"Reference: {shown_model(str(models['reference'].iloc[0]))}. Intervals are bootstraps over searches; the "
        "ratio is the geometric mean over pairs of one seed. p: two-sided sign flips, corrected by Holm's rule over "
        f"all rows; better or worse is said where p < {LEVEL:g}. Evaluations of random search: those with which it "
        "reaches the same mean rank, exact. A model is paired with the reference where prompt and evaluations are "
        "the same."
    )
    return conclude(_models_headline(models, answers), rows, "Models side by side", note, words=2)


def _ratio(row: pd.Series, said: str | None) -> str:
    if said is None:
        alone = "not paired" if row["pairs"] == 0 else f"{row['pairs']} pairs: too few searches"
        return "–" if row["model"] == row["reference"] else alone
    low, high = ratio_text(row["ratio_low"]), ratio_text(row["ratio_high"])
    return f"{ratio_text(row['ratio'])} ({low} to {high}), {said}"


def _models_headline(models: pd.DataFrame, answers: Mapping[Any, str]) -> str:
    reference = str(models["reference"].iloc[0])
    others = [str(name) for name in models["model"].unique() if name != reference]
    others = [name for name in others if models.loc[models["model"] == name, "pairs"].any()] or others
    if not others:
        return f"{shown_model(reference)}: no second model was asked, so there is nothing to compare."
    if not answers:
        asked = " and ".join(map(shown_model, others[:2]))
        return f"{asked}: too few searches beside {shown_model(reference)} to compare."
    if (models.loc[list(answers), ["ratio_low", "ratio_high"]] == 1).all(axis=None):
        named = " and ".join(map(shown_model, [others[0], reference])) if len(others) == 1 else "All models"
        return f"{named}: the same rank in every pair of searches, so there is nothing to compare."
    pairs = sorted({int(models.loc[place, "pairs"]) for place in answers})
    n = f"n = {'–'.join(map(str, dict.fromkeys((pairs[0], pairs[-1]))))} pairs each"
    told = "; ".join(_told(name, models, answers) for name in others)
    whole = f"Rank beside {shown_model(reference)}: {told} ({n})."
    if len(whole.split()) <= MOST_WORDS:
        return whole
    said = list(answers.values())
    return (
        f"Rank beside {shown_model(reference)}: better in {said.count('better')} of {len(said)} comparisons, worse in "
        f"{said.count('worse')} ({n})."
    )


def _told(name: str, models: pd.DataFrame, answers: Mapping[Any, str]) -> str:
    said = [answers[place] for place in models.index[models["model"] == name] if place in answers]
    return f"{shown_model(name)} better on {said.count('better')} of {len(said)} tables, worse on {said.count('worse')}"


def front_conclusion(results: pd.DataFrame, arms: Sequence[str] = ("llm",)) -> Conclusion:
    """Return the verdicts on the fronts that some arms found, above one row per arm of `tradeoff_table`.

    Parameters
    ----------
    results
        Frame of `studies.results`, of runs with several objectives.
    arms
        Arms to judge.

    Raises
    ------
    InvalidParameter
        As `tradeoff_verdict` does.
    """
    table = tradeoff_table(results)
    verdicts = {arm: tradeoff_verdict(results, plain=arm) for arm in table["arm"] if arm != BASELINE}
    names = {row["arm"]: _arm_name(row["arm"], row["model"]) for _, row in table.iterrows()}
    judged = {names[arm]: verdicts[arm] for arm in arms if arm in verdicts}
    rows = [
        {
            "arm": names[row["arm"]],
            "verdict": verdicts[row["arm"]].kind if row["arm"] in verdicts else "the baseline",
            "n": str(row["n"]),
            "share of the hypervolume (95 %)": _with_interval(row["hypervolume"], row["low"], row["high"], 3),
            "gain over random search (95 %)": _with_interval(row["gain"], row["gain_low"], row["gain_high"], 3),
            "p": p_text(row["p_value"]),
        }
        for _, row in table.iterrows()
    ]
    first = table.iloc[0]
    note = (
        f"Random search finds {first['random']:.3f} of the table's hypervolume on average with {first['budget']:.0f} "
        f"evaluations, and {first['margin']:.3f} more with twice as many. Gain: over the mean of random searches with "
        "the same first architectures. p: two-sided sign flips, each arm alone, not corrected for the number of arms."
    )
    question = "Fronts beside random search:"
    return conclude(verdict_conclusion(judged, question).headline, rows, "Share of the hypervolume", note, words=2)


def _arm_name(arm: str, model: object) -> str:
    if not isinstance(model, str):
        return arm
    return shown_model(model) if arm == "llm" else f"{arm}, {shown_model(model)}"


def record_conclusion(audit: Audit, altered: pd.DataFrame) -> Conclusion:
    """Return what the audit of a run shows, and how many altered copies of it each check finds.

    Parameters
    ----------
    audit
        Audit of the run (`audit_run`).
    altered
        Frame of `tampering_table`.
    """
    decisions = sorted(Counter(map(str, audit.approvals["decision"])).items())
    decided = f"{len(audit.approvals)} ({', '.join(f'{decision} {count}' for decision, count in decisions)})"
    refused = len(audit.run.of("rejected"))
    rows = [
        ("replies, and how many were sent back", f"{len(audit.run.of('call'))}, {refused}"),
        ("decisions of a person", decided if decisions else "none: no person was asked"),
        *((f"{name}: spent of what is allowed", told) for name, told in _spent(audit)),
        ("evaluated architectures that follow from a reply and a decision", _held(audit.asked_and_done["follows"])),
        ("recorded accuracies that the table gives", _held(audit.asked_and_done["result_holds"])),
        ("findings of the audit", str(len(audit.findings))),
        *((f"altered copies found {how}", told) for how, told in _found(altered)),
    ]
    note = "Each copy is altered in one way, once with the old chain and once with a rewritten chain."
    cells = [{"what": what, "on record": told} for what, told in rows]
    return conclude(_record_headline(audit, altered), cells, "The record of the run, and altered copies of it", note)


def _record_headline(audit: Audit, altered: pd.DataFrame) -> str:
    model = shown_model(str(audit.run.settings.get("settings", {}).get("model")))
    state = "in order" if audit.is_in_order else f"not in order ({len(audit.findings)} findings)"
    counts = [int(altered[column].sum()) for column in ("found_by_head", "found_by_audit", "found_by_chain")]
    return (
        f"{model}: record {state}; altered copies found (of {len(altered)}): published head {counts[0]}, audit "
        f"{counts[1]}, chain {counts[2]}."
    )


def _spent(audit: Audit) -> Sequence[tuple[str, str]]:
    """Return the amounts that are limited, and the evaluations of the budget."""
    limited = audit.spending[audit.spending["limit"].notna()]
    return [
        (row["what"], f"{row['spent']} of {row['limit']:,g}{'' if row['within'] else ', above the limit'}")
        for row in limited.to_dict("records")
    ]


def _held(values: pd.Series) -> str:
    known = [bool(value) for value in values if value is not None]
    return f"{sum(known)} of {len(known)}" if known else UNKNOWN


def _found(altered: pd.DataFrame) -> Sequence[tuple[str, str]]:
    checks = {
        "by the chain alone": "found_by_chain",
        "by the audit, which reads replies and results again": "found_by_audit",
        "against the published head": "found_by_head",
    }
    kept = altered["chain"] == "kept"
    return [
        (how, f"old chain {altered.loc[kept, column].sum()} of {kept.sum()}, new chain "
              f"{altered.loc[~kept, column].sum()} of {(~kept).sum()}")
        for how, column in checks.items()
    ]  # fmt: skip


def _with_interval(mean: float, low: float, high: float, digits: int) -> str:
    told = number(mean, digits)
    return f"{told} ({number(low, digits)} to {number(high, digits)})" if is_known(low) else told
