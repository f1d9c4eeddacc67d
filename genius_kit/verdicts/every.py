"""Every verdict that the results of a study allow, whichever instrument it was made for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.verdicts import contamination, prompts, reproducibility, tradeoffs, transfer
from genius_kit.verdicts.base import FEEDBACK, LABELS
from genius_kit.verdicts.searches import decision

if TYPE_CHECKING:
    import pandas as pd


def study_sentences(results: pd.DataFrame) -> list[str]:
    """Return `study_verdicts` as sentences to read aloud."""
    return [one if isinstance(one, str) else one.sentence for one in study_verdicts(results)]


def study_verdicts(results: pd.DataFrame) -> list[Any]:
    """Return each verdict on `studies.results`; which there are depends on the arms of the study.

    Searches that weigh several objectives are judged by their fronts alone: the rank of an accuracy is not what they
    were after. Whether a model searches is left out where the arms for it are missing and the study tells of something
    else. Where an instrument lacks what it compares to, such as a table of a transfer, a sentence says so.
    """
    if "objectives" in results:
        return _told(tradeoffs.each_tradeoff, results)
    special = (
        reproducibility.study_verdicts, contamination.each_contamination, prompts.each_verdict,
        transfer.each_transfer,
    )  # fmt: skip
    found = [one for instrument in special for one in _told(instrument, results)]
    controls = set(results["control"].dropna())
    if not found or all(controls & set(needed) for needed in (FEEDBACK, LABELS)):
        found = [*_told(decision.each_verdict, results), *found]
    return found


def _told(instrument: Callable[[pd.DataFrame], Sequence[Any]], results: pd.DataFrame) -> list[Any]:
    """Return the verdicts of one instrument, or the sentence that says what it lacks."""
    try:
        return list(instrument(results))
    except InvalidParameter as missing:
        return [f"no verdict: {missing}"]
