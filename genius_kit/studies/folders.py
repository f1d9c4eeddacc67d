"""A folder of the user's own looked through: what it holds, what a search gets there, and every mistake in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genius_kit.benchmarks.noise import describe
from genius_kit.benchmarks.own.folder import Plan, is_folder, load_folder, read_plan, write_folder
from genius_kit.benchmarks.own.lines import read_frame, read_lines, unused_columns
from genius_kit.benchmarks.own.tables import OwnTable
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.prompts import load_prompt
from genius_kit.prompts.base import TEMPLATES
from genius_kit.prompts.template import VARIANTS
from genius_kit.prompts.views import CHANGES, CONTROLS
from genius_kit.studies.results import random_search

EXAMPLE = ("space.yaml", "problem.md", "table.csv")
"""The files of the example, which are a real table: see its `space.yaml`."""

BUDGET = 10
"""Evaluations of the random search whose expected rank is told."""


def init_folder(folder: str | Path) -> Path:
    """Write the example into a new folder and return it; raises InvalidParameter where something is there."""
    return write_folder(folder, {name: (TEMPLATES / "example" / name).read_text("utf-8") for name in EXAMPLE})


def check_folder(folder: str | Path) -> Iterator[str]:
    """Yield in words what a folder holds; raises InvalidParameter with every mistake, its line and the remedy first."""
    mistakes, plan = [], None
    try:
        plan = read_plan(folder)
        frame, line = read_frame(plan.table)
        mistakes = [f"{one}" for one in read_lines(plan.space, frame, line)[1]]
    except GeniusKitError as error:
        mistakes = str(error).splitlines()
    mistakes += _of_prompts(plan) if plan is not None else []
    if mistakes or plan is None:
        count = f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)}"
        raise InvalidParameter("\n".join([f"{count} in {folder}:", *(f"- {one}" for one in mistakes)]))
    yield from _told(plan, load_folder(folder), [str(name) for name in frame.columns])


def own_or_example(folder: str, place: str | Path) -> str:
    """Return `folder`, or where it is empty the example, which is written to `place` unless it is there."""
    if not folder and not is_folder(place):
        init_folder(place)
    return folder or str(place)


def folder_rows(folder: str | Path) -> list[dict[str, str]]:
    """Return what `check_folder` tells as rows of a table; raises InvalidParameter as it does."""
    lines = (line.partition(": ") for line in check_folder(folder))
    return [{"what": what, "found": found} for what, _, found in lines if what != "next"]


def _of_prompts(plan: Plan) -> list[str]:
    """Return what is wrong with the texts: each prompt is made, with every control and change that goes with it."""
    found: dict[str, None] = {}
    kinds = [("control", name) for name in CONTROLS] + [("change", name) for name in CHANGES]
    for variant, kind in [*((name, None) for name in VARIANTS), *(("standard", one) for one in kinds)]:
        given: dict[str, Any] = {} if kind is None else dict([kind])
        try:
            load_prompt(variant, plan.space, dataset=plan.named[2], unit=plan.metric.unit, **given)
        except GeniusKitError as error:
            found[str(error)] = None
    return list(found)


def _told(plan: Plan, table: OwnTable, columns: list[str]) -> Iterator[str]:
    space, known = plan.space, len(np.unique(table.owners)) if table.owners is not None else table.count
    menus = ", ".join(f"{name} {len(menu)}" for name, menu in zip(space.positions, space.choices, strict=True))
    yield f"{table.title}: {space.size:,} architectures at {space.length} positions ({menus})"
    yield f"{plan.table.name}: {known:,} of them have a line{_missing(plan, space.size - known)}"
    scores = table.known_scores()
    different, ends = len(np.unique(np.round(scores, 2))), f"{scores.min():.2f} to {scores.max():.2f}"
    yield f"{table.feedback_name}: {ends} {table.unit}, {different:,} different values"
    if different < len(np.unique(scores)) // 2:
        yield (
            "decimals: prompts print two, so that many different scores look the same there; give the metric a "
            "larger factor, such as factor: 100"
        )
    best = table.optimum()
    words = ", ".join(f"{name} {space.describe(i, best[0][i])}" for i, name in enumerate(space.positions))
    yield f"best: {space.key(best[0])} ({words}){f', and {len(best) - 1:,} as good' if best[1:] else ''}"
    budget = min(BUDGET, table.count)
    rank = random_search(table).expected_best_rank(budget)
    yield f"random search: {budget} evaluations find rank {rank:.1f} of {table.count:,} on average, which is exact"
    yield describe(table)
    if unused := unused_columns(space, columns):
        yield f"columns that nothing is read from: {', '.join(unused)}"
    if not dict(space.texts).get("problem"):
        yield "no problem.md: a prompt says in general words that options are picked at positions"
    yield "prompts: all variants, controls and changes can be made"
    yield f"next: genius-kit run {plan.folder}"


def _missing(plan: Plan, count: int) -> str:
    """Return what becomes of architectures without a line."""
    if not count:
        return ", all there are"
    if plan.unknown == "nearest":
        return (
            f"; the {count:,} others have the score of the nearest that has one (unknown: nearest): of those that "
            "differ at the fewest positions the first in the order of the space"
        )
    return (
        f"; the {count:,} others are refused (unknown: refuse): who proposes one is told that it was not measured and "
        "asked again, which costs a call and no evaluation; ranks are among those that were measured"
    )
