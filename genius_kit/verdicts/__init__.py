"""Verdicts on studies: one sentence with its numbers, and the words of its kinds.

`searches` asks whether a model searches or recites, `judge` any agent, `memory` whether one knows a table by heart;
`natures` simulates clients of known nature, `power` says what a study can find; `base` is what they share.
"""

from genius_kit.verdicts.base import (
    CANNOT_TELL,
    KINDS,
    LEANING,
    NEITHER,
    NOT_ENOUGH,
    RECITES,
    SEARCHES,
    Verdict,
    pairs_to_settle,
    ratio_text,
)
from genius_kit.verdicts.searches import each_verdict, verdict

__all__ = [
    "CANNOT_TELL",
    "KINDS",
    "LEANING",
    "NEITHER",
    "NOT_ENOUGH",
    "RECITES",
    "SEARCHES",
    "Verdict",
    "each_verdict",
    "pairs_to_settle",
    "ratio_text",
    "verdict",
]
