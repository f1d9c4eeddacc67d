"""What the offline stand-in does with several aims: read the costs beside the results, fill gaps of the front."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Design = tuple[int, ...]

_TOLD = re.compile(r"^\d+\. (\[[\[\], \d]*\]) -> -?\d+\.\d+ \w+, (.+)$", re.MULTILINE)
_COST = re.compile(r"\d+\.\d{2,}")
_STRIDE = 7
"""How far apart in their order changes are that are tried one after the other, so that all positions take turns."""


def read_costs(text: str) -> dict[Design, tuple[float, ...]]:
    """Return the costs that stand beside the result of each design in a list of results; empty where none do."""
    found = {
        tuple(int(number) for number in re.findall(r"\d+", design)): tuple(float(cost) for cost in _COST.findall(rest))
        for design, rest in _TOLD.findall(text)
    }
    return {design: costs for design, costs in found.items() if costs}


def by_gap(results: Sequence[tuple[Design, float]], costs: Mapping[Design, tuple[float, ...]]) -> list[Design]:
    """Return the designs of the front of the results: the cheapest first, then the other ends, then by widest gap."""
    import numpy as np

    from genius_kit.pareto import crowding_of, front_of

    known = [(design, (-score, *costs[design])) for design, score in results if design in costs]
    width = min((len(values) for _, values in known), default=0)
    points = np.array([values[:width] for _, values in known]).reshape(len(known), width)
    front = np.flatnonzero(front_of(points))
    if not len(front):
        return []
    front = front[np.argsort(points[front, 1], kind="stable")]
    return [known[front[place]][0] for place in np.argsort(-crowding_of(points[front]), kind="stable")]


def in_turn(changes: Sequence[Design], tried: int) -> Design | None:
    """Return one of the untried changes of a design, another one at each step; None where there are none."""
    return changes[tried * _STRIDE % len(changes)] if changes else None
