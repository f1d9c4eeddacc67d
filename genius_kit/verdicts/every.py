"""Every verdict that the results of a study allow, whichever instrument it was made for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.verdicts import contamination, prompts, reproducibility, tradeoffs, transfer
from genius_kit.verdicts.base import FEEDBACK, LABELS, Verdict
from genius_kit.verdicts.searches import decision

if TYPE_CHECKING:
    import pandas as pd


def study_sentences(results: pd.DataFrame) -> list[str]:
    """Return the sentence of each verdict on `studies.results`; which there are depends on the arms of the study.

    Searches that weigh several objectives are judged by their fronts alone: the rank of an accuracy is not what they
    were after. Whether a model searches is left out where the arms for it are missing and the study tells of something
    else. Where an instrument lacks what it compares to, such as a table of a transfer, its sentence says so.
    """
    if "objectives" in results:
        return _told(tradeoffs.each_tradeoff, results)
    special = (
        reproducibility.study_verdicts, contamination.each_contamination, prompts.each_verdict,
        transfer.each_transfer,
    )  # fmt: skip
    found = [sentence for instrument in special for sentence in _told(instrument, results)]
    controls = set(results["control"].dropna())
    if not found or all(controls & set(needed) for needed in (FEEDBACK, LABELS)):
        found = [*_told(decision.each_verdict, results), *found]
    return found


def _told(instrument: Callable[[pd.DataFrame], list[Verdict]], results: pd.DataFrame) -> list[str]:
    """Return the sentences of one instrument, or the one that says what it lacks."""
    try:
        return [one.sentence for one in instrument(results)]
    except InvalidParameter as missing:
        return [f"no verdict: {missing}"]
