"""The data card of a private table: how well it tells cells apart, and what whoever recites would score on it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from genius_kit.private.tables import PrivateTable
from genius_kit.spaces import Architecture
from genius_kit.stats.agreement import spearman

TOP = 0.1
"""The part of the cells in which the order of the best is looked at."""

RESIDUAL = {
    "two convolutions, a skip around them": "conv_3 none conv_3 skip_connect none skip_connect",
    "three convolutions, a skip around them": "conv_3 none conv_3 skip_connect none conv_3",
    "three convolutions, a skip around each two": "conv_3 skip_connect conv_3 none skip_connect conv_3",
    "three convolutions, every skip": "conv_3 skip_connect conv_3 skip_connect skip_connect conv_3",
    "a convolution and a skip in turn": "conv_3 skip_connect none none none conv_3",
}
"""Cells as a residual network has them, by the operations of their six edges."""


def _figure(words: str) -> Any:
    return field(metadata={"words": words})


@dataclass(frozen=True)
class Card:
    """Figures of one table over its trained cells, each with its words; accuracies are of the test part, in percent.

    The deviation of one training is from the mean of its cell, pooled over cells. `top_spearman` is among the TOP cells
    by the mean of all but one seed, against the one left out. `residual` is the smallest share of all RESIDUAL cells.
    NaN stands for what one seed cannot give, or a table without residual cells. The figures that begin with `rows` are
    by the mean validation accuracy, which a search is shown: what knowing networks is worth on this table.
    """

    cells: int = _figure("cells trained, one of each class that computes the same")
    lowest: float = _figure("lowest test accuracy, percent")
    median: float = _figure("median test accuracy, percent")
    best: float = _figure("best test accuracy, percent")
    noise: float = _figure("deviation of one training, points")
    seeds_spearman: float = _figure("Spearman correlation between seeds")
    top_spearman: float = _figure("the same in the top 10 %, mean of the others against one")
    contrast: float = _figure("best above median, in deviations of one training")
    splits: float = _figure("Spearman correlation of validation and test")
    all_largest: float = _figure("share of cells above the largest option everywhere")
    residual: float = _figure("share of cells above the best residual cell")
    parameters: float = _figure("Spearman correlation of the parameters with the accuracy")
    macs: float = _figure("Spearman correlation of the MACs with the accuracy")
    rows: int = _figure("rows of the space, which a search draws from")
    rows_all_largest: float = _figure("share of rows above the largest option everywhere")
    rows_parameters: float = _figure("over rows, Spearman correlation of the parameters with the validation accuracy")
    rows_macs: float = _figure("the same of the MACs")
    rows_convolutions: float = _figure("the same of the number of convolutions")


def card_of(table: PrivateTable) -> Card:
    """Return the figures of a table."""
    plan, runs = table.plan, table.accuracies("test")
    mean = runs.mean(axis=1)
    noise = float(np.sqrt(runs.var(axis=1, ddof=1).mean())) if runs.shape[1] > 1 else float("nan")
    parameters, macs = table.costs()
    return Card(
        cells=len(mean),
        lowest=float(mean.min()),
        median=float(np.median(mean)),
        best=float(mean.max()),
        noise=noise,
        seeds_spearman=_between_seeds(runs),
        top_spearman=_among_the_best(runs),
        contrast=float((mean.max() - np.median(mean)) / noise),
        all_largest=share_above(table, plan.space.all_largest),
        residual=min(
            (share_above(table, cell) for cell in residual_cells(plan.operations).values()), default=float("nan")
        ),
        parameters=spearman(parameters, mean),
        macs=spearman(macs, mean),
        splits=spearman(table.accuracies("validation").mean(axis=1), mean),
        **_of_rows(table),
    )


def _of_rows(table: PrivateTable) -> dict[str, Any]:
    """Return the figures of a Card over all rows of the space."""
    space, rows = table.plan.space, table.class_of_rows()
    shown = table.accuracies("validation").mean(axis=1)[rows]
    parameters, macs = (costs[rows] for costs in table.costs())
    kernels = [place for place, name in enumerate(space.options) if name.startswith("conv")]
    convolutions = np.isin(space.all_architectures(), kernels).sum(axis=1)
    measured = {"parameters": parameters, "macs": macs, "convolutions": convolutions}
    return {
        "rows": space.size,
        "rows_all_largest": float((shown > shown[space.index(space.all_largest)]).mean()),
        **{f"rows_{name}": spearman(values, shown) for name, values in measured.items()},
    }


def residual_cells(operations: tuple[str, ...]) -> dict[str, Architecture]:
    """Return those RESIDUAL cells that a table with these operations has, by their names."""
    return {
        name: tuple(operations.index(edge) for edge in edges.split())
        for name, edges in RESIDUAL.items()
        if set(edges.split()) <= set(operations)
    }


def share_above(table: PrivateTable, architecture: Architecture) -> float:
    """Return which part of the trained cells has a higher mean test accuracy than this one, 0 to 1."""
    space = table.plan.space
    mean = table.accuracies("test").mean(axis=1)
    own = mean[table.plan.cells().index(space.canonical(architecture))]
    return float((mean > own).mean())


@dataclass(frozen=True)
class Agreement:
    """What knowing one table is worth on another: Spearman correlations of validation accuracy, over so many rows.

    `by_key` is over rows with the same option numbers, which is what memorised keys carry over, `by_meaning` over rows
    with the same operations, which only exist where the menus overlap. NaN where there are fewer than three rows.
    """

    by_key: float
    keys: int
    by_meaning: float
    meanings: int


def agreement_of(first: PrivateTable, second: PrivateTable) -> Agreement:
    """Return how two tables agree, each row once."""
    one, other = _shown_by_key(first), _shown_by_key(second)
    keys = [(key, key) for key in one if key in other]
    places = {str(place): name for place, name in enumerate(first.plan.operations)}
    found = {name: str(place) for place, name in enumerate(second.plan.operations)}
    shared = [key for key in one if all(places[digit] in found for digit in key)]
    meanings = [(key, "".join(found[places[digit]] for digit in key)) for key in shared]
    return Agreement(_spearman(one, other, keys), len(keys), _spearman(one, other, meanings), len(meanings))


def _shown_by_key(table: PrivateTable) -> dict[str, float]:
    space, shown = table.plan.space, table.accuracies("validation").mean(axis=1)[table.class_of_rows()]
    return {space.key(row): float(value) for row, value in zip(space.all_architectures(), shown, strict=True)}


def _spearman(one: dict[str, float], other: dict[str, float], pairs: list[tuple[str, str]]) -> float:
    if len(pairs) < 3:
        return float("nan")
    return spearman([one[key] for key, _ in pairs], [other[key] for _, key in pairs])


def card_text(table: PrivateTable) -> str:
    """Return the card in Markdown: what the table is made of, and its figures."""
    plan, card = table.plan, card_of(table)
    task, recipe, rules = (
        ", ".join(f"{key} {value}" for key, value in part.settings().items())
        for part in (plan.task, plan.recipe, plan.rules)
    )
    rows = [f"| {one.metadata['words']} | {_shown(getattr(card, one.name))} |" for one in fields(card)]
    return "\n".join(
        [
            f"# {plan.name}",
            "",
            f"Task: {task}.  ",
            f"Recipe: {recipe}.  ",
            f"Operations: {', '.join(plan.operations)}.  ",
            *([f"Rules: {rules}; drawn by the secret, as task and operations are.  "] if plan.draw else []),
            f"Commitment: `{table.commitment}`." + ("  " if table.seal else ""),
            *([f"Seal: `{table.seal}`."] if table.seal else []),
            "",
            "| figure | value |",
            "|---|---|",
            *rows,
        ]
    )


def _shown(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _between_seeds(runs: np.ndarray) -> float:
    pairs = itertools.combinations(range(runs.shape[1]), 2)
    found = [spearman(runs[:, first], runs[:, second]) for first, second in pairs]
    return float(np.mean(found)) if found else float("nan")


def _among_the_best(runs: np.ndarray) -> float:
    seeds = runs.shape[1]
    if seeds < 2:
        return float("nan")
    found = []
    for left_out in range(seeds):
        others = np.delete(runs, left_out, axis=1).mean(axis=1)
        best = np.argsort(-others, kind="stable")[: max(2, int(TOP * len(others)))]
        found.append(spearman(others[best], runs[best, left_out]))
    return float(np.mean(found))
