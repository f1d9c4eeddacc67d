"""Canonical forms: one representative of the architectures that compute the same function.

Equal forms are equal objects, so that a space read twice is one space to every cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from genius_kit.search_space import Architecture
from genius_kit.signal_rules import FIRST_RULES, SignalRules

NAS_BENCH_201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NAS_BENCH_201_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def cell_expression(architecture: Architecture) -> str:
    """Return what a NAS-Bench-201 cell computes, as text: equal texts mean isomorphic cells.

    `skip_connect` passes its node on unchanged, a `none` edge passes zero ("#"), an operation on an edge that
    passes zero is zero too, and the inputs of a node are summed in sorted order. Gives the 6,466 unique cells
    that the field counts (Dong and Yang, ICLR 2020); zero terms and the grouping of sums are kept there, so
    a few cells that compute the same function still count apart (4,930 remain when they are merged).
    """
    nodes = ["0"]
    edges = dict(zip(NAS_BENCH_201_EDGES, architecture, strict=True))
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = NAS_BENCH_201_OPERATIONS[edges[source, target]]
            if operation == "none" or nodes[source] == "#":
                terms.append("#")
            else:
                terms.append(nodes[source] if operation == "skip_connect" else f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


def first_of_class(
    cells: Iterable[Architecture], expression: Callable[[Architecture], str]
) -> dict[Architecture, Architecture]:
    """Return of each cell the first one among `cells` with an equal expression."""
    first: dict[str, Architecture] = {}
    return {cell: first.setdefault(expression(cell), cell) for cell in cells}


def isomorphic_cell(architecture: Architecture) -> Architecture:
    """Return the first NAS-Bench-201 cell, in lexicographic order, that is isomorphic to `architecture`."""
    return _isomorphic_cells()[architecture]


@cache
def _isomorphic_cells() -> dict[Architecture, Architecture]:
    return first_of_class(itertools.product(range(5), repeat=6), cell_expression)


@dataclass(frozen=True)
class SkipsLast:
    """A canonical form that moves skips (option 0) to the end of their stage, its first layer apart.

    The first layer of a stage changes the shape, so its option 0 is a layer of its own and stays.
    """

    stages: tuple[tuple[int, ...], ...]

    def __call__(self, architecture: Architecture) -> Architecture:
        values: list[int] = []
        for stage in self.stages:
            first, *rest = (architecture[position] for position in stage)
            kept = [value for value in rest if value]
            values += [first, *kept, *([0] * (len(rest) - len(kept)))]
        return tuple(values)


@dataclass(frozen=True)
class SignalClasses:
    """Maps a private cell to the first one that computes the same, in lexicographic order."""

    operations: tuple[str, ...]
    rules: SignalRules = FIRST_RULES

    def __call__(self, architecture: Architecture) -> Architecture:
        from genius_kit.signal_cells import cell_classes

        return cell_classes(self.operations, self.rules)[architecture]
