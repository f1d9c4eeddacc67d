"""NAS-Bench-201 (Dong and Yang, ICLR 2020): one of five operations on each of the six edges of a cell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from genius_kit.errors import InvalidArchitecture
from genius_kit.records import Architecture
from genius_kit.spaces.base import SPACES, SearchSpace
from genius_kit.spaces.layers import Count, Slot, conv, halved, linear

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
WIDTHS, CELLS_A_STAGE = (16, 32, 64), 5


@dataclass(frozen=True)
class CellSpace(SearchSpace):
    """One operation per edge of a cell with four nodes; its string is that of NAS-Bench-201."""

    is_cell: ClassVar[bool] = True

    def encode(self, architecture: Sequence[int]) -> str:
        """Return the arch string, as in "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|"."""
        edges = iter(self.check(architecture))
        nodes = [[f"{self.options[next(edges)]}~{source}" for source in range(node)] for node in (1, 2, 3)]
        return "+".join("|" + "|".join(node) + "|" for node in nodes)

    def decode(self, text: str) -> Architecture:
        """Return the architecture of an arch string or of a key; raises InvalidArchitecture."""
        text = text.strip()
        if "|" not in text:
            return super().decode(text)
        found = re.findall(r"([a-z0-9_]+)~(\d+)", text)
        unknown = [name for name, _ in found if name not in self.options]
        if unknown:
            raise InvalidArchitecture(f"operation {unknown[0]!r} is not one of {', '.join(self.options)} (in {text!r})")
        values = tuple(self.options.index(name) for name, _ in found)
        if len(values) != self.length or self.encode(values) != text:
            raise InvalidArchitecture(f"{text!r} is not of the form {self.encode(self.all_largest)!r}")
        return values


@dataclass(frozen=True)
class Cell201(CellSpace):
    """The cell of NAS-Bench-201 in its network of fifteen (C=16, N=5)."""

    network: ClassVar[str] = "cifar.CellNetwork"

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices."""
        return _isomorphic_cells()[values]

    def sizes(self, num_classes: int | None = None, image_size: int | None = None) -> tuple[int, int]:
        """Return classes and pixels as every space does; 120 classes mean ImageNet16-120, 16 pixels."""
        return super().sizes(num_classes, 16 if image_size is None and num_classes == 120 else image_size)

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield the layers; an edge's cost is that of its fifteen copies, and pooling is free."""
        widths = tuple(map(self.scaled, WIDTHS))
        sizes = (size, halved(size), halved(halved(size)))
        yield "stem", (conv(3, widths[0], size, kernel=3),)
        for position in self.positions:
            one, three = (
                sum((conv(width, width, side, kernel) for width, side in zip(widths, sizes, strict=True)
                     for _ in range(CELLS_A_STAGE)), start=Count())
                for kernel in (1, 3)
            )  # fmt: skip
            yield position, (Count(), Count(), one, three, Count())
        for number in (1, 2):
            inputs, width, side = widths[number - 1], widths[number], sizes[number]
            shortcut = conv(inputs, width, side, norm=False)
            yield f"reduction {number}", (conv(inputs, width, side, 3) + conv(width, width, side, 3) + shortcut,)
        yield "last norm", (Count(parameters=2 * widths[2]),)
        yield "classifier", (linear(widths[2], classes, counts_bias=True),)


def cell_expression(architecture: Architecture) -> str:
    """Return what a NAS-Bench-201 cell computes, as text: equal texts mean isomorphic cells.

    `skip_connect` passes its node on unchanged, a `none` edge passes zero ("#"), an operation on an edge that
    passes zero is zero too, and the inputs of a node are summed in sorted order. Gives the 6,466 unique cells
    that the field counts (Dong and Yang, ICLR 2020); zero terms and the grouping of sums are kept there, so
    a few cells that compute the same function still count apart (4,930 remain when they are merged).
    """
    nodes = ["0"]
    edges = dict(zip(EDGES, architecture, strict=True))
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = OPERATIONS[edges[source, target]]
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


@cache
def _isomorphic_cells() -> dict[Architecture, Architecture]:
    return first_of_class(itertools.product(range(5), repeat=6), cell_expression)


def _space() -> Cell201:
    return Cell201(
        name="nas-bench-201",
        title="NAS-Bench-201",
        choices=(OPERATIONS,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=OPERATIONS,
        largest=3,
    )


SPACES["nas-bench-201"] = _space
