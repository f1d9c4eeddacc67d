"""Every verdict that the results of a study allow, whichever instrument it was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.contrasts import FEEDBACK, LABELS

if TYPE_CHECKING:
    import pandas as pd


def study_sentences(results: pd.DataFrame) -> list[str]:
    """Return the sentence of each verdict on `studies.results`; which there are depends on the arms of the study.

    Searches that weigh several objectives are judged by their fronts alone: the rank of an accuracy is not what they
    were after. Whether a model searches is left out where the arms for it are missing and the study tells of something
    else. Raises InvalidParameter where a study lacks what it is compared to, such as a table of a transfer.
    """
    from genius_kit import contamination, reproducibility_verdicts, sensitivity, verdicts
    from genius_kit.tradeoff_verdicts import each_tradeoff
    from genius_kit.transfer_verdicts import each_transfer

    if "objectives" in results:
        return [one.sentence for one in each_tradeoff(results)]
    found: list[Any] = [
        *reproducibility_verdicts.study_verdicts(results),
        *contamination.each_contamination(results),
        *sensitivity.each_verdict(results),
        *each_transfer(results),
    ]
    controls = set(results["control"].dropna())
    if not found or all(controls & set(needed) for needed in (FEEDBACK, LABELS)):
        found = [*verdicts.each_verdict(results), *found]
    return [one.sentence for one in found]
