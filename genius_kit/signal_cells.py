"""The cell of the private benchmarks: what its edges do, which of them count, how wide it is, what it costs.

A cell has an input, two inner nodes and an output, as in NAS-Bench-201. A node joins what its edges bring by the rule
of its table (`signal_rules`); an inner node that a convolution enters is normalised, and the output always is. So nodes
without a convolution are plain sums, and two cells that sum the same terms are one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from genius_kit.canonical_forms import first_of_class
from genius_kit.records import Cost
from genius_kit.signal_rules import CONVOLUTIONS, FIRST_RULES, POINTWISE, SignalRules
from genius_kit.spaces import NAS_BENCH_201_EDGES as EDGES
from genius_kit.spaces import Architecture

STEM_KERNEL, STEM_STRIDE = 5, 2


@dataclass(frozen=True)
class Edge:
    """An edge that carries something from the input towards the output."""

    source: int
    target: int
    operation: str

    @property
    def kernel(self) -> int:
        """Width of the convolution, 0 where there is none."""
        return CONVOLUTIONS.get(self.operation, (0, 0))[0]

    @property
    def dilation(self) -> int:
        """Distance between the places that the convolution sees, 0 where there is none."""
        return CONVOLUTIONS.get(self.operation, (0, 0))[1]


def active_edges(architecture: Sequence[int], operations: Sequence[str]) -> tuple[Edge, ...]:
    """Return the edges that lie on a way from the input to the output, in the order of the cell's positions."""
    named = [
        Edge(source, target, operations[option]) for (source, target), option in zip(EDGES, architecture, strict=True)
    ]
    open_edges = [edge for edge in named if edge.operation != "none"]
    reached, needed = {0}, {3}
    for node in (1, 2, 3):
        if any(edge.target == node and edge.source in reached for edge in open_edges):
            reached.add(node)
    for node in (2, 1, 0):
        if any(edge.source == node and edge.target in needed for edge in open_edges):
            needed.add(node)
    alive = reached & needed
    return tuple(edge for edge in open_edges if edge.source in alive and edge.target in alive)


def normalised_nodes(edges: Sequence[Edge], rules: SignalRules = FIRST_RULES) -> tuple[int, ...]:
    """Return the nodes with a batch norm: the input, the output, and the inner ones that a convolution enters.

    Where nodes multiply, those with several edges have one too.
    """
    entered = {edge.target for edge in edges if edge.kernel}
    if rules.join == "product":
        entered |= {node for node in (1, 2) if sum(edge.target == node for edge in edges) > 1}
    return (0, *sorted(entered & {1, 2}), 3)


def channels_of(edges: Sequence[Edge], classes: int, rules: SignalRules = FIRST_RULES) -> int:
    """Return the width of a cell by the rule of its table; by "parameters" of two that are as near the narrower.

    More convolutions mean a narrower network, so that the cell with the most of them is not the best by its size.
    """
    if rules.rule == "kernels":
        fitting = rules.target // max(1, sum(edge.kernel for edge in edges))
        return max(rules.narrowest, min(rules.widest, fitting))
    kernels, norms = sum(edge.kernel for edge in edges), len(normalised_nodes(edges, rules))
    each = STEM_KERNEL + 2 * norms + classes
    widths = range(rules.narrowest, rules.widest + 1)
    return min(widths, key=lambda width: abs(kernels * width**2 + each * width + classes - rules.target))


def cell_cost(
    architecture: Sequence[int],
    operations: Sequence[str],
    classes: int,
    values: int,
    rules: SignalRules = FIRST_RULES,
) -> Cost:
    """Return the counts of the network of a cell for signals of `values` values."""
    layers = cell_layers(architecture, operations, classes, values, rules)
    return Cost(sum(layer[1] for layer in layers), sum(layer[2] for layer in layers))


def cell_layers(
    architecture: Sequence[int],
    operations: Sequence[str],
    classes: int,
    values: int,
    rules: SignalRules = FIRST_RULES,
) -> list[tuple[str, int, int]]:
    """Return (layer name, parameters, MACs) of the network of a cell, in order."""
    edges = active_edges(architecture, operations)
    width = channels_of(edges, classes, rules)
    length = -(-values // STEM_STRIDE)
    convolutions = [
        (f"edge {edge.source}-{edge.target}", edge.kernel * width**2, edge.kernel * width**2 * length)
        for edge in edges
        if edge.kernel
    ]
    return [
        ("stem", STEM_KERNEL * width, STEM_KERNEL * width * length),
        *convolutions,
        *((f"norm {node}", 2 * width, 0) for node in normalised_nodes(edges, rules)),
        ("classifier", classes * width + classes, classes * width),
    ]


def signal_expression(architecture: Sequence[int], operations: Sequence[str], rules: SignalRules = FIRST_RULES) -> str:
    """Return what a cell computes, as text: equal texts mean the same network; "" is the empty sum.

    The normalised inner nodes have names, a and b, since a node that is used twice is not two nodes that look alike; of
    the two ways to name them the text is the first in the alphabet.
    """
    edges = active_edges(architecture, operations)
    return min(_spelled(edges, names, rules) for names in ("ab", "ba")) if edges else ""


def _spelled(edges: Sequence[Edge], names: str, rules: SignalRules) -> str:
    nodes: dict[int, tuple[str, ...]] = {0: ("x",)}
    told, normalised = [], normalised_nodes(edges, rules)
    for target in (1, 2, 3):
        coming = [edge for edge in edges if edge.target == target]
        nodes[target] = _joined([_terms(edge, nodes[edge.source]) for edge in coming], rules.join)
        if target < 3 and target in normalised:
            told.append(f"{names[target - 1]}={'+'.join(nodes[target])}")
            nodes[target] = (names[target - 1],)
    return "; ".join([*sorted(told), "+".join(nodes[3])])


def _joined(coming: Sequence[tuple[str, ...]], join: str) -> tuple[str, ...]:
    """Return the terms of a node: all that come where it sums, else one that holds what is joined."""
    if join == "sum" or len(coming) < 2:
        return tuple(sorted(itertools.chain.from_iterable(coming)))
    parts = ["+".join(terms) for terms in coming]
    return (f"{join}[{' '.join(sorted(set(parts) if join == 'maximum' else parts))}]",)


def _terms(edge: Edge, source: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an edge brings: linear operations act on each term, the others on their sum."""
    if edge.operation == "skip_connect":
        return source
    if edge.kernel or edge.operation in POINTWISE:
        return (f"{edge.operation}({'+'.join(source)})",)
    return tuple(f"{edge.operation}({term})" for term in source)


@lru_cache(maxsize=8)
def cell_classes(operations: tuple[str, ...], rules: SignalRules = FIRST_RULES) -> dict[Architecture, Architecture]:
    """Return of every cell the first one, in lexicographic order, that computes the same."""
    cells = itertools.product(range(len(operations)), repeat=len(EDGES))
    return first_of_class(cells, partial(signal_expression, operations=operations, rules=rules))
