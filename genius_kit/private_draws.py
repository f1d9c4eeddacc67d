"""What the secret of a private table decides besides the signals: the task, the operations and their order, the rules.

Two tables of different secrets then share neither what an option number means nor which architectures are good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.errors import DataCorrupt
from genius_kit.private_tables import PrivatePlan
from genius_kit.signal_training import SignalRecipe
from genius_kit.signals import SignalTask, generator
from genius_kit.spaces.signal_cell import JOINS, READOUTS, drawn_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAW = 1
"""Version of the draw: another one would make other tables of the same secrets."""

SAMPLES = 8000
RECIPE = SignalRecipe(seeds=3, epochs=3, batch=32, rate=0.06)
"""Many small steps of batches of 32 leave less noise for the same time than larger batches do, and a high rate less
than a low one (see the docs)."""

NOISES = {"echoes": (0.05, 0.15), "rhythms": (1.0, 1.3), "counts": (0.35, 0.5), "orders": (0.45, 0.6)}
"""The two noise levels of each family."""
WEIGHTED = ("conv_3", "conv_3_dilated_2", "conv_3_dilated_4", "conv_5")
FREE = ("shift_3", "shift_4", "shift_6", "shift_9", "difference_2", "absolute", "reverse", "mean_5", "maximum_3")
TARGETS = (120, 160, 200)


def drawn_plan(name: str, secret: str, samples: int = SAMPLES, recipe: SignalRecipe = RECIPE) -> PrivatePlan:
    """Return the plan that a secret draws; name, number of signals and recipe are given."""
    draw = generator(secret, f"draw {DRAW}")

    def one(options: Sequence[str]) -> str:
        return options[int(draw.integers(len(options)))]

    kind = one(tuple(NOISES))
    noise = NOISES[kind][int(draw.integers(2))]
    weighted, free = one(WEIGHTED), one(FREE)
    third = one([name for name in ("skip_connect", *WEIGHTED, *FREE) if name not in (weighted, free)])
    menu = (weighted, free, third)
    operations = tuple(menu[int(place)] for place in draw.permutation(len(menu)))
    rules = drawn_rules(one(JOINS), one(READOUTS), TARGETS[int(draw.integers(len(TARGETS)))])
    return PrivatePlan(name, SignalTask(kind, samples, noise=noise), recipe, operations, rules, DRAW)


def check_draw(plan: PrivatePlan, secret: str) -> None:
    """Raise DataCorrupt where the secret draws another plan than a drawn one says."""
    if plan.draw and drawn_plan(plan.name, secret, plan.task.samples, plan.recipe) != plan:
        raise DataCorrupt(
            f"the secret draws other operations or rules than the plan of {plan.name} has; expected the one by which "
            "`drawn_plan` made it"
        )
