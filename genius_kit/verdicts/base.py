"""What every verdict shares: its shape, the words of its kinds, and how its numbers are printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genius_kit.benchmarks.noise import QUANTILE
from genius_kit.records import Card
from genius_kit.verdicts.contrasts import MARGIN, Contrast

if TYPE_CHECKING:
    import pandas as pd

SEARCHES, RECITES, LEANING = "searches", "recites", "searches and leans on the labels"
NEITHER, NOT_ENOUGH, CANNOT_TELL = "does neither", "not enough runs", "cannot tell"
KINDS = (SEARCHES, RECITES, LEANING, NEITHER, NOT_ENOUGH, CANNOT_TELL)

DECISIVE = 2.5
"""Standard errors that are significant in two to four tests corrected by Holm's rule (p = 0.0125)."""


@dataclass(frozen=True, repr=False)
class Verdict(Card):
    """What a study says: `sentence` to read aloud, `kind` one of its instrument's, `evidence` a row a comparison.

    `uses_results` and `needs_names` are the two answers behind the kind, "yes", "to its harm", "less than X" or
    "inconclusive"; `memory` says what its list shows where it recites. `knows_table` is what the questions on the
    table's accuracies say (one of `memory.KINDS`), and decides no kind. `method` is whose searches are judged where a
    study gives a verdict on each. None where an instrument does not ask.
    """

    sentence: str
    kind: str
    evidence: pd.DataFrame
    uses_results: str | None = None
    needs_names: str | None = None
    memory: str | None = None
    knows_table: str | None = None
    method: str | None = None

    def facts(self) -> Mapping[str, object]:
        """Return the kind and the sentence; the evidence is a frame of its own."""
        return {"kind": self.kind, "sentence": self.sentence}

    def with_questions(self, answers: Verdict) -> Verdict:
        """Return the verdict with that of `memory.memory` on the same model and table beside it."""
        return replace(self, sentence=f"{self.sentence} {answers.sentence}", knows_table=answers.kind)


def pairs_to_settle(contrast: Contrast) -> int:
    """Return about how many pairs would decide, if the ratio stayed what it is and its interval shrank with root n.

    Either the ratio is then significant (`DECISIVE` standard errors above 1), or the interval is too narrow to hold
    both 1 and MARGIN; the fewer of the two.
    """
    width = math.log(contrast.high / max(contrast.low, 1e-9))
    narrow = contrast.n * (width / math.log(MARGIN)) ** 2
    effect, error = math.log(contrast.ratio), width / (2 * QUANTILE)
    clear = contrast.n * (DECISIVE * error / effect) ** 2 if effect > 0 else math.inf
    return max(contrast.n + 1, math.ceil(min(narrow, clear)))


def verb(kind: str) -> str:
    """Return what a model does, as a sentence says it."""
    return {NOT_ENOUGH: "has not enough runs for a verdict", CANNOT_TELL: "has no verdict"}.get(kind, kind)


def rank_text(value: float) -> str:
    """Return a rank as sentences print it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_text(value: float) -> str:
    """Return a ratio to about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def counts_text(counts: Iterable[int]) -> str:
    """Return counts in words: the one that all are, or "4 to 9"."""
    known = sorted(set(map(int, counts)))
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
