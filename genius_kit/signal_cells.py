"""The cell of the private benchmarks: what its edges do, which of them count, how wide it is, what it costs.

A cell has an input, two inner nodes and an output, as in NAS-Bench-201. A node sums what its edges bring; an inner node
that a convolution enters is normalised, and the output always is. So nodes without a convolution are plain sums, and
two cells that sum the same terms are one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from genius_kit.canonical_forms import first_of_class
from genius_kit.records import Cost
from genius_kit.spaces import NAS_BENCH_201_EDGES as EDGES
from genius_kit.spaces import Architecture

SHIFT, STEM_KERNEL, STEM_STRIDE = 6, 5, 2
KERNELS = {"conv_1": 1, "conv_3": 3}
CHANNELS = range(4, 25)
TARGET_PARAMETERS = 3000


@dataclass(frozen=True)
class Edge:
    """An edge that carries something from the input towards the output."""

    source: int
    target: int
    operation: str

    @property
    def kernel(self) -> int:
        """Width of the convolution, 0 where there is none."""
        return KERNELS.get(self.operation, 0)


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


def normalised_nodes(edges: Sequence[Edge]) -> tuple[int, ...]:
    """Return the nodes with a batch norm: the input, the output, and the inner ones that a convolution enters."""
    entered = {edge.target for edge in edges if edge.kernel}
    return (0, *sorted(entered & {1, 2}), 3)


def channels_of(edges: Sequence[Edge], classes: int) -> int:
    """Return the width at which a cell has about TARGET_PARAMETERS parameters, within CHANNELS; of two the narrower.

    More convolutions mean a narrower network, so that the cell with the most of them is not the best by its size.
    """
    kernels, norms = sum(edge.kernel for edge in edges), len(normalised_nodes(edges))
    each = STEM_KERNEL + 2 * norms + classes
    return min(CHANNELS, key=lambda width: abs(kernels * width**2 + each * width + classes - TARGET_PARAMETERS))


def cell_cost(architecture: Sequence[int], operations: Sequence[str], classes: int, values: int) -> Cost:
    """Return the counts of the network of a cell for signals of `values` values."""
    layers = cell_layers(architecture, operations, classes, values)
    return Cost(sum(layer[1] for layer in layers), sum(layer[2] for layer in layers))


def cell_layers(
    architecture: Sequence[int], operations: Sequence[str], classes: int, values: int
) -> list[tuple[str, int, int]]:
    """Return (layer name, parameters, MACs) of the network of a cell, in order."""
    edges = active_edges(architecture, operations)
    width = channels_of(edges, classes)
    length = -(-values // STEM_STRIDE)
    convolutions = [
        (f"edge {edge.source}-{edge.target}", edge.kernel * width**2, edge.kernel * width**2 * length)
        for edge in edges
        if edge.kernel
    ]
    return [
        ("stem", STEM_KERNEL * width, STEM_KERNEL * width * length),
        *convolutions,
        *((f"norm {node}", 2 * width, 0) for node in normalised_nodes(edges)),
        ("classifier", classes * width + classes, classes * width),
    ]


def signal_expression(architecture: Sequence[int], operations: Sequence[str]) -> str:
    """Return what a cell computes, as text: equal texts mean the same network; "" is the empty sum.

    The normalised inner nodes have names, a and b, since a node that is used twice is not two nodes that look alike; of
    the two ways to name them the text is the first in the alphabet.
    """
    edges = active_edges(architecture, operations)
    return min(_spelled(edges, names) for names in ("ab", "ba")) if edges else ""


def _spelled(edges: Sequence[Edge], names: str) -> str:
    nodes: dict[int, tuple[str, ...]] = {0: ("x>0",)}
    told = []
    for target in (1, 2, 3):
        coming = [edge for edge in edges if edge.target == target]
        terms = tuple(sorted(term for edge in coming for term in _terms(edge, nodes[edge.source])))
        if target < 3 and any(edge.kernel for edge in coming):
            told.append(f"{names[target - 1]}={'+'.join(terms)}")
            terms = (f"{names[target - 1]}>0",)
        nodes[target] = terms
    return "; ".join([*sorted(told), "+".join(nodes[3])])


def _terms(edge: Edge, source: tuple[str, ...]) -> tuple[str, ...]:
    if edge.kernel:
        return (f"{edge.operation}({'+'.join(source)})>0",)
    return tuple(_shifted(term) for term in source) if edge.operation == "shift_6" else source


def _shifted(term: str) -> str:
    inner, _, times = term.rpartition(">")
    return f"{inner}>{int(times) + 1}"


@lru_cache(maxsize=8)
def cell_classes(operations: tuple[str, ...]) -> dict[Architecture, Architecture]:
    """Return of every cell the first one, in lexicographic order, that computes the same."""
    cells = itertools.product(range(len(operations)), repeat=len(EDGES))
    return first_of_class(cells, partial(signal_expression, operations=operations))
