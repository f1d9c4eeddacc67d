"""What the verdicts of a notebook say together: a headline of at most 25 words, and the number behind each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from genius_kit.benchmarks.catalogue import title_of
from genius_kit.figures.conclusions.base import Conclusion, conclude
from genius_kit.figures.tables import PrintedTable, study_table
from genius_kit.proposers.methods import shown_model
from genius_kit.stats.paired import Comparison
from genius_kit.studies.results import summary
from genius_kit.texts import UNKNOWN, p_text, ratio_text
from genius_kit.verdicts import Verdict, verdict
from genius_kit.verdicts.base import counts_text
from genius_kit.verdicts.headlines import Deciding, decisive, headline

if TYPE_CHECKING:
    import pandas as pd


class PairedRanks(Protocol):
    """Searches of two settings with the same seeds: what `lab.compare_prompts` returns."""

    @property
    def variant(self) -> Mapping[str, Any]: ...

    @property
    def pairs(self) -> tuple[tuple[int, float, float], ...]: ...

    @property
    def differing(self) -> dict[str, tuple[Any, Any]]: ...

    @property
    def comparison(self) -> Comparison | None: ...

    @property
    def kind(self) -> str: ...

    def more_needed(self) -> int: ...


def verdict_conclusion(verdicts: Mapping[str, Verdict], question: str, model: str = "") -> Conclusion:
    """Return verdicts as a headline that answers one question, and one row each.

    The headline has the deciding numbers as far as it has words for them. The model "offline" is called what it is.

    Parameters
    ----------
    verdicts
        Name -> verdict; the names are models, or arms of one model.
    question
        The question that the headline answers.
    model
        The model, where the names are arms.
    """
    found = {shown_model(name): (judged.kind, decisive(judged)) for name, judged in verdicts.items()}
    rows = [{"subject": name, "verdict": kind, **_cells(deciding)} for name, (kind, deciding) in found.items()]
    note = "n: searches, pairs of searches with one seed, pairs of replies, or questions."
    asked = f"{question} {shown_model(model)}:" if model and shown_model(model) not in found else question
    return conclude(headline(asked, found), rows, "What each verdict rests on", note, words=3)


def study_conclusion(studies: Mapping[str, pd.DataFrame], question: str, plain: str = "llm") -> Conclusion:
    """Return the verdict on whether each of some models searches, above one row per model and arm with its ranks.

    Parameters
    ----------
    studies
        Name of a model -> frame of `studies.results`, of that model alone.
    question
        The question that the headline answers.
    plain
        The arm that asks the model with nothing changed.

    Raises
    ------
    InvalidParameter
        As `verdicts.verdict` does.
    """
    judged = {name: verdict(results, plain=plain) for name, results in studies.items()}
    tables = {name: study_table(summary(results, reference=plain)) for name, results in studies.items()}
    rows = [
        {"model": shown_model(name), "benchmark": place, "arm": arm} | {column: told[column] for column in _TOLD}
        for name, table in tables.items()
        for (place, arm), told in zip(
            _arms(table), (dict(zip(table.header, row, strict=True)) for row in table.rows), strict=True
        )
    ]
    same = [name for name in ("model", "benchmark") if len({row[name] for row in rows}) == 1]
    shown = [{name: cell for name, cell in row.items() if name not in same} for row in rows]
    searches = counts_text(count for table in tables.values() for count in table.data["n"])
    note = (
        f"n = {searches} searches per arm. Mean rank with its bootstrap interval (rank 1 is best, tied "
        "ranks count as the middle of their range). Ratio: "
        f"geometric mean of the rank over that of “{plain}”, seed by seed, with its bootstrap interval; p: two-sided "
        "sign flips of the pairs, by Holm's rule over the arms of one model. "
    ) + " ".join(f"{shown_model(name)}: {_rests_on(decisive(one))}." for name, one in judged.items())
    caption = ": ".join(["Best found in each arm", *(rows[0][name] for name in same if name == "benchmark")])
    return conclude(verdict_conclusion(judged, question).headline, shown, caption, note, words=3 - len(same))


_TOLD = ("mean rank (95 %)", "ratio (95 %)", "p")
"""The columns of `study_table` that are shown of every arm."""


def _arms(table: PrintedTable) -> list[tuple[str, str]]:
    """Return the benchmark with its budget, and the arm, of each row of a `study_table`."""
    data = table.data
    places = [
        f"{title_of(name)}, {spent} evaluations" for name, spent in zip(data["benchmark"], data["budget"], strict=True)
    ]
    return list(zip(places, map(str, data["arm"]), strict=True))


def prompts_conclusion(paired: PairedRanks) -> Conclusion:
    """Return what the pairs of searches of two settings say, and what so many pairs can say at most.

    Parameters
    ----------
    paired
        Ranks of the pairs, as `lab.compare_prompts` gives them.
    """
    found, n = paired.comparison, len(paired.pairs)
    names = " beside ".join(", ".join(str(pair[side]) for pair in paired.differing.values()) for side in (1, 0))
    model = shown_model(str(paired.variant.get("model", "the model")))
    told, numbers = f"n = {n}", [UNKNOWN] * 3
    if found is not None:
        ratio, low, high = map(ratio_text, (found.ratio, found.ratio_low, found.ratio_high))
        told = f"ratio {ratio}, n = {n} pairs, p at least {found.smallest_p:.2g}"
        numbers = [f"{ratio} ({low} to {high})", p_text(found.p_value), p_text(found.smallest_p)]
    measured = dict(zip(("rank ÷ rank (95 %)", "p", "least p possible"), numbers, strict=True))
    counts = {"pairs": str(n), "different pairs": str(len({pair[1:] for pair in paired.pairs}))}
    repeated = n > 1 and counts["different pairs"] == "1"
    still_open = "more would repeat it" if repeated else f"about {paired.more_needed():,}"
    more = still_open if paired.kind == "cannot tell" else "0"
    row = {"prompts": names, "verdict": paired.kind, **measured, **counts, "pairs still to run": more}
    note = "A pair is one seed. p: two-sided sign flips. Identical pairs count as one."
    return conclude(f"{model}: {names}: {paired.kind} ({told}).", [row], "Two prompts, seed by seed", note, words=2)


def _cells(deciding: Deciding | None) -> dict[str, str]:
    if deciding is None:
        return {"rests on": UNKNOWN, "value (95 %)": UNKNOWN, "p": UNKNOWN, "n": UNKNOWN}
    known = deciding.estimate
    value, low, high = map(deciding.text, (known.value, known.low, known.high))
    told = UNKNOWN if math.isnan(known.value) else f"{value} ({low} to {high})"
    return {"rests on": deciding.words, "value (95 %)": told, "p": p_text(deciding.p_value), "n": str(deciding.n)}


def _rests_on(deciding: Deciding | None) -> str:
    cells = _cells(deciding)
    if cells["value (95 %)"] == UNKNOWN:
        return f"the verdict rests on {cells['rests on']}, n = {cells['n']}"
    return f"the verdict rests on {cells['rests on']}, {cells['value (95 %)']}, p {cells['p']}, n = {cells['n']}"
