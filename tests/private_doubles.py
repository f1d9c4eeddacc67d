"""A private table that nobody trained, for tests: scores that follow from the cell, so that searching can succeed."""

from __future__ import annotations

import json
from pathlib import Path

from genius_kit.private.draws import drawn_plan
from genius_kit.private.signals import SignalTask, commitment
from genius_kit.private.tables import PrivatePlan, PrivateTable
from genius_kit.private.training import CellResult, SignalRecipe
from genius_kit.spaces.signal_cell import DEFAULT_OPERATIONS, active_edges

SECRET = "00112233445566778899aabbccddeeff"  # pragma: allowlist secret
WORTH = {"skip_connect": 100, "conv_1": 150, "conv_3": 300, "shift_6": 420}


def made_up_table(name: str = "made-up", operations: tuple[str, ...] = DEFAULT_OPERATIONS) -> PrivateTable:
    """Return a table in which shifts are worth most, each further convolution costs, and seeds differ by a little."""
    plan = PrivatePlan(name, SignalTask(samples=4000), SignalRecipe(), operations)
    results = {}
    for place, cell in enumerate(plan.cells()):
        edges = active_edges(cell, operations)
        right = 400 + sum(WORTH[edge.operation] for edge in edges) - 90 * sum(edge.kernel > 0 for edge in edges) ** 2
        seeds = [max(0, min(4000, right + 7 * ((place * step) % 5))) for step in (1, 2, 3)]
        results[plan.key(cell)] = CellResult(tuple(seeds), tuple(max(0, count - 11) for count in seeds), 1.0)
    return PrivateTable(plan, commitment(SECRET, plan.settings()), results)


def drawn_table(name: str = "drawn") -> PrivateTable:
    """Return a table whose plan SECRET draws; its scores fall along the key and differ by a little between seeds."""
    plan = drawn_plan(name, SECRET)
    results = {}
    for place, cell in enumerate(plan.cells()):
        right = 3000 - (37 * place) % 2000
        seeds = tuple(right + (place * step) % 5 for step in (1, 2, 3))
        results[plan.key(cell)] = CellResult(seeds, tuple(count - 11 for count in seeds), 1.0)
    return PrivateTable(plan, commitment(SECRET, plan.settings()), results)


def write_table(table: PrivateTable, home: Path) -> Path:
    """Write a table where the catalogue finds it, with `home` as the data folder, and return its path."""
    path = home / "private" / f"{table.plan.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table.content()), encoding="utf-8")
    return path
