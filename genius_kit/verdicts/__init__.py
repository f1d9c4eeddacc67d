"""Verdicts on studies: one sentence with its numbers, and the words of its kinds.

`searches` asks whether a model searches or recites, `contamination`, `reproducibility`, `prompts`, `rationales`,
`transfer` and `tradeoffs` ask further questions, each with a `verdict` of its own; `every` gives all that a study
allows. `base` is what they share; `repeats` reads repeated searches, `claims` what replies state.
"""

from genius_kit.benchmarks.noise import resolutions
from genius_kit.verdicts import contamination, prompts, rationales, repeats, reproducibility, tradeoffs, transfer
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
from genius_kit.verdicts.searches import memory
from genius_kit.verdicts.searches.decision import each_verdict, verdict
from genius_kit.verdicts.searches.natures import known_natures, power_text

__all__ = [
    "CANNOT_TELL",
    "KINDS",
    "LEANING",
    "NEITHER",
    "NOT_ENOUGH",
    "RECITES",
    "SEARCHES",
    "Verdict",
    "contamination",
    "each_verdict",
    "known_natures",
    "memory",
    "pairs_to_settle",
    "power_text",
    "prompts",
    "ratio_text",
    "rationales",
    "repeats",
    "reproducibility",
    "resolutions",
    "tradeoffs",
    "transfer",
    "verdict",
]
