"""What the secret of a private table decides besides the signals: the task, the operations and their order, the rules.

Two tables of different secrets then share neither what an option number means nor which architectures are good. Some
secrets make a poor table: the largest option everywhere is among the best, or seeds disagree, or the best rows differ
by little more than two trainings of one of them. So a pilot trains some rows first, and another secret is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.private.signals import SignalTask, generator, make_signals, new_secret
from genius_kit.private.tables import PrivatePlan
from genius_kit.private.training import SignalRecipe
from genius_kit.spaces.signal_cell import JOINS, READOUTS, drawn_rules
from genius_kit.stats.agreement import spearman

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


ROWS, TRIES = 40, 30
LEAST_SEEDS, LEAST_ABOVE, MOST_PARAMETERS, LEAST_SPREAD = 0.95, 0.35, 0.4, 2.5
"""Bounds of a pilot. Those on the largest option and the parameters are stricter than the 25 % and 0.5 of a table, of
which few rows say less; that on the spread tells tables whose seeds agree in the top tenth from others (see the docs).
"""


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
            f"the secret draws other operations or rules than the plan of {plan.name} has; give the one by which "
            "`drawn_plan` made it"
        )


@dataclass(frozen=True)
class Pilot:
    """Figures over some rows, by validation accuracy.

    `seeds` is the Spearman correlation of one seed with the mean of the others, `above` the part of the rows that beat
    the largest option everywhere, `parameters` the Spearman correlation of the parameters with the accuracy, `spread`
    the deviation of the means of the best quarter in deviations of one training of these rows.
    """

    rows: int
    seeds: float
    above: float
    parameters: float
    spread: float

    @property
    def passes(self) -> bool:
        """Whether a table of this secret is worth building."""
        agree = self.seeds >= LEAST_SEEDS and self.spread >= LEAST_SPREAD
        return agree and self.above >= LEAST_ABOVE and abs(self.parameters) <= MOST_PARAMETERS

    def __str__(self) -> str:
        verdict = "it is built" if self.passes else "another secret is drawn"
        return (
            f"pilot of {self.rows} rows: seeds agree with {self.seeds:.2f} (at least {LEAST_SEEDS}), the best quarter "
            f"is spread over {self.spread:.1f} deviations of one training (at least {LEAST_SPREAD}), {self.above:.0%} "
            f"beat the largest option everywhere (at least {LEAST_ABOVE:.0%}), parameters go with the accuracy by "
            f"{self.parameters:.2f} (at most {MOST_PARAMETERS} either way): {verdict}"
        )


def pilot(plan: PrivatePlan, secret: str, rows: int = ROWS) -> Pilot:
    """Train `rows` rows that the secret draws, under every seed of the plan, and return what they say of the table."""
    draw, space, signals = generator(secret, "pilot"), plan.space, make_signals(plan.task, secret)
    cells = [space.sample(draw) for _ in range(rows)]
    trained = {cell: plan.train(cell, signals).validation for cell in map(space.canonical, cells)}
    largest = np.mean(plan.train(space.canonical(space.all_largest), signals).validation)
    right = np.array([trained[space.canonical(cell)] for cell in cells])
    parameters = [plan.cost(cell).parameters for cell in cells]
    mean = right.mean(axis=1)
    above, sizes_matter = float((mean > largest).mean()), spearman(parameters, mean)
    return Pilot(rows, _agreement(right), above, sizes_matter, spread_of_the_best(right))


def promising_secret(
    name: str, samples: int = SAMPLES, recipe: SignalRecipe = RECIPE, rows: int = ROWS
) -> Iterator[tuple[str, PrivatePlan, Pilot]]:
    """Yield fresh secrets with their plans and pilots; the last one passes.

    Raises InvalidParameter after TRIES secrets, and for one seed, which cannot agree with another.
    """
    if recipe.seeds < 2:
        raise InvalidParameter(f"a pilot compares seeds: train at least 2 (got {recipe.seeds}), or take `--pilot 0`")
    for _ in range(TRIES):
        secret = new_secret()
        plan = drawn_plan(name, secret, samples, recipe)
        found = pilot(plan, secret, rows)
        yield secret, plan, found
        if found.passes:
            return
    raise InvalidParameter(
        f"none of {TRIES} secrets passed its pilot; with {SAMPLES} signals and {RECIPE.epochs} epochs some do: "
        "raise --samples or --epochs, or build without a pilot (`--pilot 0`)"
    )


def spread_of_the_best(runs: np.ndarray) -> float:
    """Return the deviation of the means of the best quarter of the rows, in deviations of one training of them.

    `runs` has shape (rows, seeds), at least two of each.
    """
    best = runs[np.argsort(-runs.mean(axis=1), kind="stable")[: max(2, len(runs) // 4)]]
    noise = best.var(axis=1, ddof=1).mean()
    return float(np.sqrt(best.mean(axis=1).var(ddof=1) / noise)) if noise else float("inf")


def _agreement(runs: np.ndarray) -> float:
    """Return the mean Spearman correlation of one seed with the mean of the others, of values (rows, seeds)."""
    seeds = range(runs.shape[1])
    return float(np.mean([spearman(np.delete(runs, one, 1).mean(axis=1), runs[:, one]) for one in seeds]))
