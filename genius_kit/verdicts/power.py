"""What the verdict on searches tells of clients of known nature at a number of seeds: to be read before paying."""

from __future__ import annotations

from collections.abc import Sequence

from genius_kit.contrasts import FEEDBACK, LABELS
from genius_kit.verdicts.base import LEANING, RECITES, SEARCHES

POWER: dict[str, tuple[str, dict[int, float]]] = {
    "a hill climber": (SEARCHES, {20: 0.68, 40: 0.96}),
    "an evolutionary search": (SEARCHES, {20: 0.73, 40: 0.99}),
    "one that searches in half of its replies": (SEARCHES, {20: 0.79, 40: 0.99}),
    "a prior, then a climb": (LEANING, {20: 0.99, 40: 1.0}),
    "one that recites with a fifth of noise": (RECITES, {20: 0.62, 40: 0.99}),
}
"""By nature: what is right, and the share of studies that say so at some numbers of seeds an arm.

Measured by `tests/simulated.py` at 10 evaluations a search with the arms of the shipped study, pooled over
NAS-Bench-Macro, both Channel-Bench tables and NAS-Bench-201 (CIFAR-10 and -100): 180 to 240 studies each.
"""


def power_text(controls: Sequence[str], seeds: int) -> str | None:
    """Return what a study with these control arms and so many seeds would say; None where it asks something else."""
    if not set(controls) & set(FEEDBACK) or not set(controls) & set(LABELS):
        return None
    measured = sorted(next(iter(POWER.values()))[1])
    known = [count for count in measured if count <= seeds]
    if not known:
        return f"{seeds} seeds an arm are too few for a verdict; {measured[-1]} are enough for most natures"
    told = [f'{nature} is told "{kind}" in {100 * found[known[-1]]:.0f} %' for nature, (kind, found) in POWER.items()]
    return (
        f"of simulated studies with {known[-1]} seeds an arm and 10 evaluations a search, {', '.join(told)}; the "
        "others are told that it takes more seeds"
    )
