"""The cell of the private benchmarks: what its edges do, which of them count, how wide it is, what it costs.

A cell has an input, two inner nodes and an output, as in NAS-Bench-201. A node joins what its edges bring by the rule
of its table (`SignalRules`); an inner node that a convolution enters is normalised, and the output always is. So nodes
without a convolution are plain sums, and two cells that sum the same terms are one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.records import Architecture
from genius_kit.spaces.base import READERS, SPACES, SearchSpace
from genius_kit.spaces.layers import Count, Slot, linear
from genius_kit.spaces.nas_bench_201 import EDGES, CellSpace, first_of_class

if TYPE_CHECKING:
    import numpy as np

CONVOLUTIONS = {
    "conv_1": (1, 1),
    "conv_3": (3, 1),
    "conv_3_dilated_2": (3, 2),
    "conv_3_dilated_4": (3, 4),
    "conv_5": (5, 1),
    "conv_7": (7, 1),
}
"""Kernel and dilation of the operations with weights."""

POINTWISE = ("absolute", "maximum_3")
"""Operations without weights that are not linear."""

LIBRARY = (
    *("none", "skip_connect", "conv_1", "conv_3", "shift_6", "conv_3_dilated_2", "conv_3_dilated_4", "conv_5"),
    *("shift_3", "shift_4", "shift_9", "difference_2", "absolute", "reverse", "mean_5", "maximum_3", "conv_7"),
)
"""Every operation that an edge of a private cell may carry; a letter in the name of a space is a place here."""
_LETTERS = "abcdefghijklmnopq"

OPERATIONS = LIBRARY[:5]
"""What an edge may carry where the secret decides the signals only; all of them or some."""

DEFAULT_OPERATIONS = ("none", "skip_connect", "conv_3", "shift_6")

JOINS, READOUTS = ("sum", "maximum", "product"), ("mean", "maximum")
WIDTH_RULES = ("parameters", "kernels")


@dataclass(frozen=True)
class SignalRules:
    """How the networks of a table are made, whatever their cell.

    `join` is what a node makes of its edges, `readout` how the last values become one per channel. The width of a
    network lies from `narrowest` to `widest` channels. By the rule "parameters" it is the one nearest to `target`
    parameters with so many `classes`; by "kernels" channels times the sum of all kernels is at most `target`, so that
    each further convolution makes the network narrower and smaller.
    """

    join: str = "sum"
    readout: str = "mean"
    rule: str = "parameters"
    target: int = 3000
    narrowest: int = 4
    widest: int = 24
    classes: int = 25

    def __post_init__(self) -> None:
        for name, known in (("join", JOINS), ("readout", READOUTS), ("rule", WIDTH_RULES)):
            if getattr(self, name) not in known:
                raise InvalidParameter(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        for name in ("target", "narrowest", "widest", "classes"):
            check_integer(name, getattr(self, name), 1, 1_000_000)
        if self.narrowest > self.widest:
            raise InvalidParameter(f"narrowest {self.narrowest} is above widest {self.widest}; expected at most that")

    def settings(self) -> dict[str, Any]:
        """Return the fields, fit for JSON."""
        return asdict(self)


FIRST_RULES = SignalRules()
"""Those of the tables whose secret decides the signals only."""


def drawn_rules(join: str, readout: str, target: int) -> SignalRules:
    """Return the rules of a table whose secret decides them: more convolutions make a network narrower and smaller."""
    return SignalRules(join, readout, "kernels", target, narrowest=8, widest=40, classes=16)


STEM_KERNEL, STEM_STRIDE, VALUES = 5, 2, 48


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


@dataclass(frozen=True)
class SignalSpace(CellSpace):
    """Private cells with some operations and the rules of their networks, which take signals."""

    rules: SignalRules = FIRST_RULES

    input: ClassVar[str] = "signals"
    network: ClassVar[str] = "signal.SignalNetwork"

    @property
    def base(self) -> str:
        """One name for all choices of operations and rules."""
        return "signal-cell"

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices."""
        return cell_classes(self.options, self.rules)[values]

    def with_width(self, width: float, printed: str) -> Self:
        """Raise InvalidParameter."""
        raise self._no_width(f"a rule chooses that of each cell; drop -w{printed}")

    def sizes(self, num_classes: int | None = None, image_size: int | None = None) -> tuple[int, int]:
        """Return the number of classes and of values of a signal; by default those of the table, and 48."""
        return super().sizes(
            self.rules.classes if num_classes is None else num_classes, VALUES if image_size is None else image_size
        )

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Raise InvalidParameter."""
        raise InvalidParameter(f"an edge of {self.name} has no cost of its own: a rule chooses the width of each cell")

    def layer_counts(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[tuple[str, Count]]:
        """Yield each layer of the network of one cell with its counts, for signals of `size` values."""
        edges = active_edges(self.check(architecture), self.options)
        width, length = channels_of(edges, classes, self.rules), -(-size // STEM_STRIDE)
        yield "stem", Count(STEM_KERNEL * width, STEM_KERNEL * width * length)
        for edge in edges:
            if edge.kernel:
                weights = edge.kernel * width**2
                yield f"edge {edge.source}-{edge.target}", Count(weights, weights * length)
        for node in normalised_nodes(edges, self.rules):
            yield f"norm {node}", Count(2 * width)
        yield "classifier", linear(width, classes)

    def counts(self, architectures: np.ndarray, classes: int, size: int) -> Count:
        """Return the counts of many cells at once."""
        import numpy as np

        each = [sum((one for _, one in self.layer_counts(cell, classes, size)), Count()) for cell in architectures]
        return Count(np.array([one.parameters for one in each]), np.array([one.convolutions for one in each]))


def signal_space(operations: tuple[str, ...] = DEFAULT_OPERATIONS, rules: SignalRules = FIRST_RULES) -> SignalSpace:
    """Return the space of the private cells with these operations; its name tells which, where they are not the usual.

    The name ends in their places in OPERATIONS, one digit each, such as "signal-cell-01234". With rules that a
    secret drew it ends in letters, which are places in LIBRARY, and the rules: "signal-cell-dbma-sum-mean-120".
    """
    places = "".join(str(LIBRARY.index(name)) for name in operations)
    usual = "signal-cell" if operations == DEFAULT_OPERATIONS else f"signal-cell-{places}"
    letters = "".join(_LETTERS[LIBRARY.index(name)] for name in operations)
    drawn = f"signal-cell-{letters}-{rules.join}-{rules.readout}-{rules.target}"
    return SignalSpace(
        name=usual if rules == FIRST_RULES else drawn,
        title="Private signal cells",
        choices=(operations,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=operations,
        largest=max(range(len(operations)), key=lambda option: _capacity(operations[option])),
        rules=rules,
    )


def _capacity(operation: str) -> tuple[int, int]:
    """Return what orders operations by capacity: the kernel, then nothing, a skip, anything else."""
    return CONVOLUTIONS.get(operation, (0, 0))[0], min(LIBRARY.index(operation), 2)


def _named(name: str) -> SearchSpace | None:
    """Return the space of a name that tells its operations, and its rules where a secret drew them."""
    if re.fullmatch(r"signal-cell-[0-4]{2,5}", name) and len(set(name[12:])) == len(name[12:]):
        return signal_space(tuple(OPERATIONS[int(place)] for place in name[12:]))
    drawn = re.fullmatch(r"signal-cell-([a-q]{2,5})-([a-z]+)-([a-z]+)-([1-9]\d{1,3})", name)
    if drawn is None or len(set(drawn[1])) < len(drawn[1]):
        return None
    operations = tuple(LIBRARY[_LETTERS.index(letter)] for letter in drawn[1])
    return signal_space(operations, drawn_rules(drawn[2], drawn[3], int(drawn[4])))


SPACES["signal-cell"] = signal_space
READERS.append(_named)
