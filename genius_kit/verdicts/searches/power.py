"""What the verdict on searches tells of clients of known nature at a number of seeds: to be read before paying."""

from __future__ import annotations

from collections.abc import Sequence

from genius_kit.verdicts.base import LEANING, RECITES, SEARCHES
from genius_kit.verdicts.contrasts import FEEDBACK, LABELS

SHIPPED = 40
"""Seeds an arm of the shipped study."""

POWER: dict[str, tuple[str, dict[int, float]]] = {
    "a hill climber": (SEARCHES, {12: 0.15, 20: 0.73, 40: 0.98, 80: 1.0}),
    "an evolutionary search": (SEARCHES, {12: 0.18, 20: 0.70, 40: 0.99, 80: 1.0}),
    "one that searches in half of its replies": (SEARCHES, {12: 0.20, 20: 0.77, 40: 0.98, 80: 1.0}),
    "a prior, then a climb": (LEANING, {12: 0.61, 20: 0.98, 40: 1.0, 80: 1.0}),
    "one that recites with a fifth of noise": (RECITES, {12: 0.03, 20: 0.71, 40: 0.98, 80: 0.99}),
}
"""By nature: what is right, and the share of studies that say so at some numbers of seeds an arm.

Measured with `verdicts.natures` at 10 evaluations a search with the arms of the shipped study, pooled over
NAS-Bench-Macro, both Channel-Bench tables and NAS-Bench-201 (CIFAR-10 and -100): 93 to 95 studies each at 12 seeds, 173
to 175 at 20 and 40, 98 to 100 at 80.
"""


def power_text(controls: Sequence[str], seeds: int) -> str | None:
    """Return what a study with these control arms and so many seeds would say; None where it asks something else."""
    if not set(controls) & set(FEEDBACK) or not set(controls) & set(LABELS):
        return None
    measured = sorted(next(iter(POWER.values()))[1])
    known = [count for count in measured if count <= seeds]
    if not known:
        return f"{seeds} seeds an arm are too few for a verdict; {SHIPPED} are enough for most natures"
    told = [f'{nature} is told "{kind}" in {100 * found[known[-1]]:.0f} %' for nature, (kind, found) in POWER.items()]
    return (
        f"of simulated studies with {known[-1]} seeds an arm and 10 evaluations a search, {', '.join(told)}; nearly "
        "all others are told that it takes more seeds"
    )
