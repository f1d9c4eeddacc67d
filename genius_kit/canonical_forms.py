"""Canonical forms: one representative of the architectures that compute the same function."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from genius_kit.search_space import Architecture

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


class CellClasses:
    """Maps a cell to the first isomorphic cell in lexicographic order; the table is made on first use."""

    def __init__(self) -> None:
        self._first: dict[str, Architecture] = {}

    def __call__(self, architecture: Architecture) -> Architecture:
        if not self._first:
            first: dict[str, Architecture] = {}
            for cell in itertools.product(range(5), repeat=6):
                first.setdefault(cell_expression(cell), cell)
            self._first = first  # only when complete: other threads may be reading
        return self._first[cell_expression(architecture)]


def skips_last(stages: tuple[tuple[int, ...], ...]) -> Callable[[Architecture], Architecture]:
    """Return a canonical form that moves skips (option 0) to the end of their stage, its first layer apart.

    The first layer of a stage changes the shape, so its option 0 is a layer of its own and stays.
    """

    def canonical(architecture: Architecture) -> Architecture:
        values: list[int] = []
        for stage in stages:
            first, *rest = (architecture[position] for position in stage)
            kept = [value for value in rest if value]
            values += [first, *kept, *([0] * (len(rest) - len(kept)))]
        return tuple(values)

    return canonical


class SignalClasses:
    """Maps a private cell to the first one that computes the same, in lexicographic order."""

    def __init__(self, operations: tuple[str, ...]) -> None:
        self._operations = operations

    def __call__(self, architecture: Architecture) -> Architecture:
        from genius_kit.signal_cells import cell_classes, signal_expression

        return cell_classes(self._operations)[signal_expression(architecture, self._operations)]
