"""Search spaces: the options at each position, and the translation to and from the field's own strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidArchitecture, InvalidParameter, UnknownName

if TYPE_CHECKING:
    import numpy as np

Architecture = tuple[int, ...]
"""One option index a position; the only form architectures have inside the package."""

NAS_BENCH_201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NAS_BENCH_201_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

SIGNAL_OPERATIONS = ("none", "skip_connect", "conv_1", "conv_3", "shift_6")
"""What an edge of a private signal cell may carry; a private table has all of them or some."""
DEFAULT_SIGNAL_OPERATIONS = ("none", "skip_connect", "conv_3", "shift_6")
_CAPACITY = ("none", "skip_connect", "shift_6", "conv_1", "conv_3")

TRANSFORMER_EMBEDDINGS = (144, 168, 192, 216, 240)
TRANSFORMER_BLOCKS = ((3, 3.5), (3, 4.0), (4, 3.5), (4, 4.0))
"""Heads and MLP ratio of the options 1 to 4 of a block; option 0 leaves the block out."""


@dataclass(frozen=True)
class SearchSpace:
    """A finite space of architectures: `choices[i]` are the options at position i, in the field's order.

    `family` is "layers" (one operation a layer), "channels" (one channel count a layer), "cell" (one
    operation an edge), "stages" (layers in stages of equal length) or "transformer" (an embedding width, then
    the blocks). `positions` names each position; `stages` groups consecutive positions; `options` describes each
    option index in words; see `describe` for the positions that mean something else by it. `largest` is the option
    index with the highest capacity at every position; `key_offset` is added to an index to print the digit of
    `key`. `width` multiplies the channel counts of the skeleton; see `load_space`.
    """

    name: str
    title: str
    family: str
    choices: tuple[tuple[int | str, ...], ...]
    positions: tuple[str, ...]
    stages: tuple[tuple[int, ...], ...]
    options: tuple[str, ...]
    largest: int
    key_offset: int = 0
    canonical_form: Callable[[Architecture], Architecture] | None = None
    width: float = 1.0

    @property
    def is_signal_cell(self) -> bool:
        """Whether its cells are those of a private table: see `signal_cells` for what they compute and cost."""
        return self.name.split("-w")[0].startswith("signal-cell")

    def check_images(self) -> None:
        """Raise InvalidParameter where the networks of this space do not take images."""
        if self.is_signal_cell:
            raise InvalidParameter(
                f"{self.name} has networks for signals, and this works on images; `genius-kit benchmark build` trains "
                "them, and a finished table is searched by its name"
            )

    @property
    def base(self) -> str:
        """The name of the space at full width, under which templates, drawings and tables are looked up."""
        return self.name.rpartition("-w")[0] if self.width != 1 else self.name

    def scaled(self, channels: int) -> int:
        """Return a channel count of the skeleton times `width`: the nearest whole number (halves go up), at least 1."""
        return max(1, int(channels * self.width + 0.5))

    @property
    def length(self) -> int:
        """Number of positions."""
        return len(self.choices)

    @cached_property
    def size(self) -> int:
        """Number of architectures, isomorphic ones counted apart."""
        product = 1
        for options in self.choices:
            product *= len(options)
        return product

    def describe(self, position: int, option: int) -> str:
        """Return in words what an option index stands for at a position: "240 channels", "4 heads, MLP ratio 3.5"."""
        if self.family == "transformer" and position == 0:
            return f"{self.scaled(TRANSFORMER_EMBEDDINGS[option])} channels"
        return self.options[option]

    def check(self, architecture: Sequence[int]) -> Architecture:
        """Return `architecture` as a tuple of plain ints, or raise InvalidArchitecture saying what is wrong."""
        values = tuple(architecture)
        if len(values) != self.length:
            raise InvalidArchitecture(f"{self.name} has {self.length} positions, {len(values)} values came: {values}")
        for position, (value, options) in enumerate(zip(values, self.choices, strict=True)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < len(options):
                raise InvalidArchitecture(
                    f"{value!r} at position {position} is not an option index of {self.name} (0 to {len(options) - 1})"
                )
        return tuple(int(value) for value in values)

    def encode(self, architecture: Sequence[int]) -> str:
        """Return the field's own string: digits, channel counts ("256,192,..."), or the NAS-Bench-201 arch string."""
        values = self.check(architecture)
        if self.family == "channels":
            return ",".join(str(self.choices[i][value]) for i, value in enumerate(values))
        if self.family == "cell":
            return self._arch_string(values)
        return self.key(values)

    def key(self, architecture: Sequence[int]) -> str:
        """Return one digit a position, as the benchmark files and the papers abbreviate it ("22212220", "4344424")."""
        return "".join(str(value + self.key_offset) for value in self.check(architecture))

    def decode(self, text: str) -> Architecture:
        """Return the architecture that `text` (a string of `encode` or of `key`) stands for.

        Raises InvalidArchitecture, naming what came and what was expected.
        """
        stripped = text.strip()
        if self.family == "cell" and "|" in stripped:
            return self._decode_arch_string(stripped)
        if self.family == "channels" and "," in stripped:
            return self._decode_channels(stripped)
        return self._decode_digits(stripped)

    def _decode_digits(self, text: str) -> Architecture:
        low, high = self.key_offset, self.key_offset + len(self.options) - 1
        if len(text) != self.length or not re.fullmatch(f"[{low}-{high}]*", text):
            raise InvalidArchitecture(
                f"{text!r} is not an architecture of {self.name}: expected {self.length} digits from {low} to {high}, "
                f"e.g. {self.key(self.all_largest)!r}"
            )
        return self.check([int(digit) - self.key_offset for digit in text])

    def _decode_channels(self, text: str) -> Architecture:
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != self.length:
            raise InvalidArchitecture(
                f"{text!r} has {len(parts)} channel counts, {self.name} has {self.length} positions"
            )
        indices = []
        for position, (part, options) in enumerate(zip(parts, self.choices, strict=True)):
            if part not in {str(option) for option in options}:
                menu = ", ".join(str(option) for option in options)
                raise InvalidArchitecture(f"channel {part} at position {position} is not one of {menu}")
            indices.append([str(option) for option in options].index(part))
        return tuple(indices)

    def _decode_arch_string(self, text: str) -> Architecture:
        found = re.findall(r"([a-z0-9_]+)~(\d+)", text)
        unknown = [name for name, _ in found if name not in self.options]
        if unknown:
            raise InvalidArchitecture(f"operation {unknown[0]!r} is not one of {', '.join(self.options)} (in {text!r})")
        values = tuple(self.options.index(name) for name, _ in found)
        if len(values) != self.length or self._arch_string(values) != text:
            raise InvalidArchitecture(f"{text!r} is not of the form {self._arch_string(self.all_largest)!r}")
        return values

    def _arch_string(self, values: Architecture) -> str:
        edges = iter(values)
        nodes = [[f"{self.options[next(edges)]}~{source}" for source in range(node)] for node in (1, 2, 3)]
        return "+".join("|" + "|".join(node) + "|" for node in nodes)

    @property
    def all_largest(self) -> Architecture:
        """The architecture with the highest-capacity option at every position."""
        return (self.largest,) * self.length

    def canonical(self, architecture: Sequence[int]) -> Architecture:
        """Return the representative of the architectures that compute the same function as `architecture`.

        In NAS-Bench-201 the representative is found through the cell's expression; see `cell_expression`.
        """
        values = self.check(architecture)
        return self.canonical_form(values) if self.canonical_form else values

    def same(self, first: Sequence[int], second: Sequence[int]) -> bool:
        """Return whether two architectures are isomorphic."""
        return self.canonical(first) == self.canonical(second)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Return one architecture, uniform over the space."""
        return tuple(int(rng.integers(len(options))) for options in self.choices)

    def neighbours(self, architecture: Sequence[int]) -> Iterator[Architecture]:
        """Yield every architecture that differs from `architecture` at exactly one position."""
        values = self.check(architecture)
        for position, options in enumerate(self.choices):
            for option in range(len(options)):
                if option != values[position]:
                    yield (*values[:position], option, *values[position + 1 :])

    def index(self, architecture: Sequence[int]) -> int:
        """Return the row of `architecture` when the space is listed in lexicographic order."""
        row = 0
        for value, options in zip(self.check(architecture), self.choices, strict=True):
            row = row * len(options) + value
        return row

    def at(self, row: int) -> Architecture:
        """Return the architecture at `row` of the lexicographic order; the inverse of `index`."""
        if not 0 <= row < self.size:
            raise InvalidArchitecture(f"row {row} is not in {self.name} (0 to {self.size - 1})")
        values = []
        for options in reversed(self.choices):
            row, value = divmod(row, len(options))
            values.append(value)
        return tuple(reversed(values))

    def all_architectures(self) -> np.ndarray:
        """Return every architecture in lexicographic order as an int8 array of shape (size, length)."""
        import numpy as np

        grids = np.meshgrid(*[np.arange(len(options), dtype=np.int8) for options in self.choices], indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=1)


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


class _CellClasses:
    """Maps a cell to the first isomorphic cell in lexicographic order; the table is made on first use."""

    def __init__(self) -> None:
        self._first: dict[str, Architecture] = {}

    def __call__(self, architecture: Architecture) -> Architecture:
        if not self._first:
            import itertools

            first: dict[str, Architecture] = {}
            for cell in itertools.product(range(5), repeat=6):
                first.setdefault(cell_expression(cell), cell)
            self._first = first  # only when complete: other threads may be reading
        return self._first[cell_expression(architecture)]


def _skips_last(stages: tuple[tuple[int, ...], ...]) -> Callable[[Architecture], Architecture]:
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


def _macro() -> SearchSpace:
    stages = ((0, 1), (2, 3, 4), (5, 6, 7))
    return SearchSpace(
        name="nas-bench-macro",
        title="NAS-Bench-Macro",
        family="layers",
        choices=((0, 1, 2),) * 8,
        positions=tuple(f"layer {number}" for number in range(2, 10)),
        stages=stages,
        options=("identity", "inverted residual, kernel 3, expansion 3", "inverted residual, kernel 5, expansion 6"),
        largest=2,
        canonical_form=_skips_last(stages),
    )


def _channels(kind: str, base: tuple[int, ...]) -> SearchSpace:
    return SearchSpace(
        name=f"channel-bench-{kind.lower()}",
        title=f"Channel-Bench-Macro {kind}",
        family="channels",
        choices=tuple(tuple(width * factor for factor in (1, 2, 3, 4)) for width in base),
        positions=tuple(f"width {number}" for number in range(1, 8)),
        stages=(tuple(range(7)),),
        options=("1/4 of the full width", "2/4 of the full width", "3/4 of the full width", "the full width"),
        largest=3,
        key_offset=1,
    )


def _cell() -> SearchSpace:
    return SearchSpace(
        name="nas-bench-201",
        title="NAS-Bench-201",
        family="cell",
        choices=(NAS_BENCH_201_OPERATIONS,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in NAS_BENCH_201_EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=NAS_BENCH_201_OPERATIONS,
        largest=3,
        canonical_form=_CellClasses(),
    )


def _imagenet() -> SearchSpace:
    stages = tuple(tuple(range(6 * stage, 6 * stage + 6)) for stage in range(5))
    blocks = tuple(
        f"inverted residual, kernel {kernel}, expansion {expansion}" for expansion in (4, 6) for kernel in (3, 5, 7)
    )
    return SearchSpace(
        name="mobilenet-imagenet",
        title="GENIUS ImageNet space",
        family="stages",
        choices=(tuple(range(7)),) * 30,
        positions=tuple(f"layer {number}" for number in range(2, 32)),
        stages=stages,
        options=("skip", *blocks),
        largest=6,
        canonical_form=_skips_last(stages),
    )


def _transformer() -> SearchSpace:
    """Return the choices of AutoFormer-tiny (Chen et al., ICCV 2021), with two narrower embeddings and any depth.

    There the embedding is 192, 216 or 240 and the depth 12 to 14; here a block is left out by its option 0.
    """
    blocks = tuple(range(1, 15))
    return SearchSpace(
        name="vision-transformer",
        title="Vision transformer space",
        family="transformer",
        choices=(tuple(range(5)),) * 15,
        positions=("embedding", *(f"block {number}" for number in blocks)),
        stages=((0,), blocks),
        options=("skip", *(f"{heads} heads, MLP ratio {ratio:g}" for heads, ratio in TRANSFORMER_BLOCKS)),
        largest=4,
        canonical_form=_skips_last(((0, *blocks),)),  # any block may be a skip, so only the embedding stays in place
    )


def signal_space(operations: tuple[str, ...] = DEFAULT_SIGNAL_OPERATIONS) -> SearchSpace:
    """Return the space of the private cells with these operations; its name tells which, where they are not the usual.

    The name ends in their places in SIGNAL_OPERATIONS, one digit each, such as "signal-cell-01234".
    """
    places = "".join(str(SIGNAL_OPERATIONS.index(name)) for name in operations)
    return SearchSpace(
        name="signal-cell" if operations == DEFAULT_SIGNAL_OPERATIONS else f"signal-cell-{places}",
        title="Private signal cells",
        family="cell",
        choices=(operations,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in NAS_BENCH_201_EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=operations,
        largest=max(range(len(operations)), key=lambda option: _CAPACITY.index(operations[option])),
        canonical_form=_SignalClasses(operations),
    )


class _SignalClasses:
    """Maps a private cell to the first one that computes the same, in lexicographic order."""

    def __init__(self, operations: tuple[str, ...]) -> None:
        self._operations = operations

    def __call__(self, architecture: Architecture) -> Architecture:
        from genius_kit.signal_cells import cell_classes, signal_expression

        return cell_classes(self._operations)[signal_expression(architecture, self._operations)]


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "nas-bench-macro": _macro,
    "channel-bench-resnet": lambda: _channels("ResNet", (64, 64, 64, 128, 128, 128, 128)),
    "channel-bench-mobilenet": lambda: _channels("MobileNet", (32, 192, 192, 192, 64, 384, 256)),
    "nas-bench-201": _cell,
    "mobilenet-imagenet": _imagenet,
    "vision-transformer": _transformer,
    "signal-cell": signal_space,
}


def load_space(name: str) -> SearchSpace:
    """Return the search space called `name`; "-w0.25" after a name is that space with narrower networks.

    The width (0 < w <= 4) multiplies every channel count of the skeleton; the options, the keys and the sizes stay
    as they are. "-w1" and trailing zeros are dropped from the name. The channel spaces have no width: it is what
    they search, and so do the private cells, which choose theirs by a rule. "signal-cell-01234" is that space with
    other operations; see `signal_space`. Raises UnknownName, which lists the known names, and InvalidParameter for a
    width that is refused.
    """
    if re.fullmatch(r"signal-cell-[0-4]{2,5}", name) and len(set(name[12:])) == len(name[12:]):
        return signal_space(tuple(SIGNAL_OPERATIONS[int(place)] for place in name[12:]))
    base, _, digits = name.rpartition("-w")
    if name not in SPACES and base in SPACES:
        return _with_width(SPACES[base](), digits)
    if name not in SPACES:
        raise UnknownName(f"no search space is called {name!r}; the known ones are {', '.join(SPACES)}")
    return SPACES[name]()


def _with_width(space: SearchSpace, digits: str) -> SearchSpace:
    width = float(digits) if re.fullmatch(r"\d+(\.\d{1,4})?", digits) else 0.0
    if not 0 < width <= 4:
        raise InvalidParameter(
            f"width {digits!r} of {space.name!r} came, expected a number over 0 and up to 4 with at most 4 "
            f"decimals, as in {space.name}-w0.25"
        )
    if width == 1:
        return space
    if space.family == "channels":
        raise InvalidParameter(f"{space.name} has no width: its channel counts are what is searched; drop -w{digits}")
    if space.is_signal_cell:
        raise InvalidParameter(f"{space.name} has no width: a rule chooses that of each cell; drop -w{digits}")
    printed = f"{width:.4f}".rstrip("0").rstrip(".")
    return replace(space, name=f"{space.name}-w{printed}", title=f"{space.title}, width {printed}", width=width)
