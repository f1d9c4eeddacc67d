"""How much the result of a search hangs on the wording of its prompt: each changed arm beside the reference arm.

Also for the arms that ask for design principles. The unit is a search, arms are paired by benchmark and seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import ONE_SEARCH, subject
from genius_kit.runs.provenance import marked
from genius_kit.stats.paired import pairs_needed
from genius_kit.studies.results import plain_searches
from genius_kit.verdicts.base import (
    MARGIN,
    NOT_ENOUGH,
    Contrast,
    Verdict,
    beside,
    conditions,
    counts_text,
    model_of,
)

if TYPE_CHECKING:
    import pandas as pd

CHANGED, NO_EFFECT = "changes the result", f"no effect within a factor of {MARGIN:g}"
KINDS = (CHANGED, NO_EFFECT, NOT_ENOUGH)

LEVEL = 0.01
"""Stricter than the 0.05 of other verdicts: a study has a dozen chances to find something where nothing is."""

DECISIVE = 3.5
"""Standard errors that are significant at LEVEL in a dozen tests corrected by Holm's rule."""

COLUMNS = ("change", "arm", "n", "left_out", "mean_rank", "mean_rank_plain", "ratio", "low", "high", "p_value",
           "p_corrected", "verdict", "pairs_needed", "is_fixed", "benchmark", "model")  # fmt: skip


def effects(results: pd.DataFrame, *, plain: str | None = None) -> pd.DataFrame:
    """Return one row per change of the prompt, or of what is asked before the search, beside the reference arm.

    A study in which no change matters has at most 1 chance in 100 to be told that one does.

    Parameters
    ----------
    results
        Frame of `studies.results` of one model, prompt and budget.
    plain
        The arm that the changes are compared with; found where None.

    Returns
    -------
    pd.DataFrame
        `ratio` is the geometric mean of the arm's rank over the reference arm's, above 1 where the change makes the
        result worse, with its 95 % interval `low` to `high`; `p_corrected` is Holm's over the changes. `verdict` is
        CHANGED where p_corrected < 0.01 (LEVEL) and the interval leaves 1/2 to 2 (MARGIN), NO_EFFECT where it lies
        inside of it, both only with pairs enough to be significant at all; else NOT_ENOUGH, and `pairs_needed` then
        says about how many may do. An arm whose searches are all one and the same counts once (`is_fixed`, see
        `fixed_rules`), and no number of pairs would do.

    Raises
    ------
    InvalidParameter
        No reference arm or no changed one, or results that are no single comparison.
    """
    import pandas as pd

    arms = _arms(results)
    named = plain or _plain(results)
    if not arms:
        raise InvalidParameter(
            "the results have no arm with a change of the prompt; add some to the arms of the study file, "
            "such as `- reworded-1` (see prompts.CHANGES) or `- {principles: asked}`"
        )
    found = beside(results, named, arms, "prompt")
    told = {"benchmark": _only(results, "benchmark"), "model": model_of(results, named)}
    rows = [{**_row(one, len(found)), **told} for one in found]
    return marked(pd.DataFrame(rows, columns=list(COLUMNS)), results)


def verdict(results: pd.DataFrame, *, plain: str | None = None) -> Verdict:
    """Return what the changes of the prompt do to the best found; its evidence is that of `effects`.

    Its kind is CHANGED where any change is, NOT_ENOUGH where none is and some are open, else NO_EFFECT.

    Parameters
    ----------
    results
        Frame of `studies.results` of one model, prompt and budget.
    plain
        The arm that the changes are compared with; found where None.

    Raises
    ------
    InvalidParameter
        As `effects` does.
    """
    evidence = effects(results, plain=plain)
    model = model_of(results, plain or _plain(results)) or "the model"
    place = _only(results, "benchmark") or f"{results['benchmark'].nunique()} benchmarks together"
    parts = [f"{kind}: {', '.join(_told(row) for row in rows)}" for kind in KINDS if (rows := _of(evidence, kind))]
    kind = next(kind for kind in (CHANGED, NOT_ENOUGH, NO_EFFECT) if _of(evidence, kind))
    once = f"; {ONE_SEARCH}" if evidence["is_fixed"].any() else ""
    note = f"; p-values are corrected for {len(evidence)} tests by Holm's rule" if len(evidence) > 1 else ""
    start = f"{subject(model)} on {place}, n = {counts_text(evidence['n'])} pairs of searches for each change"
    sentence = f"{start}: {'; '.join(parts)}{once}{note}."
    return Verdict(sentence, kind, evidence)


def each_verdict(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict for each benchmark, model and prompt of a study that has a reference arm and a changed one.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    return [verdict(rows) for own, rows in conditions(results) if _arms(rows) and own["arm"].nunique() == 1]


def _arms(results: pd.DataFrame) -> dict[str, str]:
    """Return the changed arms, each with what is changed in it; arms with a control as well are left out."""
    found: dict[str, str] = {}
    for column, words in (("change", "{}"), ("principles", "principles {}")):
        if column in results:
            changed = results[results[column].notna()]
            changed = changed[changed["control"].isna()] if "control" in changed else changed
            for arm, value in changed.groupby("arm", sort=False)[column].first().items():
                told = words.format(value)
                found[str(arm)] = f"{found[str(arm)]}, {told}" if str(arm) in found else told
    return found


def _plain(results: pd.DataFrame) -> str:
    """Return the name of the arm in which nothing is changed."""
    if "proposer" not in results:
        raise InvalidParameter("the results have no column proposer; give the frame of studies.results")
    arms = list(dict.fromkeys(results.loc[plain_searches(results), "arm"]))
    if len(arms) != 1:
        found = f"the arms {', '.join(map(str, arms))} change nothing" if arms else "the results have no reference arm"
        raise InvalidParameter(
            f"{found}: effects are measured beside one reference arm with the same seeds; "
            + ("name it by `plain`" if arms else "add `- llm` to the arms of the study file and run it again")
        )
    return str(arms[0])


def _row(one: Contrast, tests: int) -> dict[str, object]:
    kind = _kind(one, tests)
    return {
        **{key: value for key, value in asdict(one).items() if key in COLUMNS},
        "change": one.kind,
        "mean_rank": one.mean_rank_arm,
        "mean_rank_plain": one.mean_rank,
        "verdict": kind,
        "pairs_needed": _pairs_to_settle(one, tests) if kind == NOT_ENOUGH and not one.is_fixed else None,
    }


def _kind(one: Contrast, tests: int) -> str:
    if one.n < pairs_needed(tests, LEVEL):
        return NOT_ENOUGH
    if one.low > 1 / MARGIN and one.high < MARGIN:
        return NO_EFFECT
    return CHANGED if one.p_corrected < LEVEL else NOT_ENOUGH


def _pairs_to_settle(one: Contrast, tests: int) -> int:
    """Return about how many pairs would decide, if the ratio stayed what it is and its interval shrank with root n."""
    least = pairs_needed(tests, LEVEL)
    if not one.n or math.isnan(one.ratio) or one.low == one.high:
        return least
    effect, half = abs(math.log(one.ratio)), math.log(one.high / max(one.low, 1e-9)) / 2
    room = math.log(MARGIN) - effect
    clear = one.n * (DECISIVE / 1.96 * half / effect) ** 2 if effect else math.inf
    narrow = one.n * (half / room) ** 2 if room > 0 else math.inf
    return max(least, one.n + 1, math.ceil(min(clear, narrow, 1e9)))


def _of(evidence: pd.DataFrame, kind: str) -> Sequence[Mapping[Any, Any]]:
    return evidence[evidence["verdict"] == kind].to_dict("records")


def _told(row: Mapping[Any, Any]) -> str:
    ratio = f"ratio {row['ratio']:.2f}, 95 % interval {row['low']:.2f} to {row['high']:.2f}"
    if row["is_fixed"] and row["verdict"] == NOT_ENOUGH:
        return str(row["change"])
    if row["verdict"] == NOT_ENOUGH:
        measured = "" if row["ratio"] != row["ratio"] else f"{ratio}, "
        return f"{row['change']} ({measured}about {row['pairs_needed']:,.0f} pairs may settle it)"
    return f"{row['change']} ({ratio}, p = {row['p_corrected']:.2g})"


def _only(results: pd.DataFrame, column: str) -> str | None:
    values = list(results[column].dropna().unique()) if column in results else []
    return str(values[0]) if len(values) == 1 else None
