"""What a search space is: the options at each position, its networks' layers, the field's own strings; all by name.

What differs between spaces is a method or a class variable here and an override in the file of the space.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from genius_kit.errors import InvalidArchitecture, InvalidParameter, JournalError, UnknownName, check_integer
from genius_kit.records import Architecture
from genius_kit.spaces.definitions import DIGITS, completed, listed, tupled
from genius_kit.spaces.layers import Count, Slot, total

if TYPE_CHECKING:
    import numpy as np

CONVENTIONS = ("paper", "convolutions")


@dataclass(frozen=True)
class SearchSpace:
    """A finite space of architectures.

    The class itself is a space without networks, made from values alone; a run that searches it has them on record.
    Its subclasses have networks, and what differs between them is a method.

    Parameters
    ----------
    name
        What the space is called on record: letters, digits, dots and dashes.
    title
        What texts call it; the name unless given.
    choices
        The options at each position. Where `options` and `words` are left out, an entry may be any word or number:
        `[["3x3", "5x5"], [16, 32, 64]]`; architectures then hold the places in these lists, (0, 2).
    positions
        The name of each position, "position 1" and so on unless given.
    stages
        Consecutive positions that belong together; one stage of all unless given.
    options
        Each option index in words, where it means the same at every position; see `describe` for those that mean
        something else by it.
    largest
        The option index with the highest capacity at every position, or one for each; the last one unless given.
    key_offset
        Added to an index to print the digit of `key`.
    width
        Factor of the channel counts of the skeleton; see `load_space`.
    in_stages
        Whether architectures are written as one list per stage.
    words
        Each option of each position in words, where the menus differ from position to position.
    texts
        Pairs of a name (problem, operations, skeleton) and the template of that part of a prompt.

    Raises
    ------
    InvalidParameter
        For what is no space; the message says what to change.
    """

    name: str
    title: str = ""
    choices: tuple[tuple[int | str, ...], ...] = ()
    positions: tuple[str, ...] = ()
    stages: tuple[tuple[int, ...], ...] = ()
    options: tuple[str, ...] = ()
    largest: int | tuple[int, ...] = -1
    key_offset: int = 0
    width: float = 1.0
    in_stages: bool = False
    words: tuple[tuple[str, ...], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        given = {one.name: tupled(getattr(self, one.name)) for one in fields(SearchSpace)}
        for name, value in completed(given).items():
            object.__setattr__(self, name, value)

    input: ClassVar[str] = "images"
    """What the networks take: "images" or "signals"."""
    usual_sizes: ClassVar[tuple[int, int]] = (10, 32)
    """Classes, and pixels of a side (values of a signal), of the space's data set."""
    dataset: ClassVar[str] = "CIFAR-10"
    """The data set that prompts name, as papers write it."""
    network: ClassVar[str] = ""
    """The class that builds the networks, with its module: "cifar.MacroNetwork" of `genius_kit.networks`, or one of the
    user's own, "my_networks:TinyNetwork"."""
    is_cell: ClassVar[bool] = False
    """Whether the positions are the edges of a cell, which are written by the names of their operations."""
    has_embedding: ClassVar[bool] = False
    """Whether the first position is the width of all blocks; see `embedding_table`."""
    stage_inputs: ClassVar[tuple[tuple[int, int], ...]] = ()
    """Input channels at full width and stride of the first layer of each stage whose option 0 is a convolution."""
    names_operations: ClassVar[bool] = True
    """Whether an option is an operation with a name, and not a channel count."""
    paper_adds_other: ClassVar[bool] = False
    """Whether the convention "paper" adds the `other` operations of each layer."""
    shows_macs: ClassVar[str] = "bound"
    """When a prompt lists the MACs of the options: "always", under a "bound", "never"."""
    has_published_prompts: ClassVar[bool] = False
    """Whether the paper's conversations are about this space."""

    @property
    def family(self) -> str:
        """What is chosen: an operation per layer ("layers", "stages") or edge ("cell"), a channel count
        ("channels"), an embedding width and blocks ("transformer"), or from a menu of each position's own ("menus");
        templates ask for it."""
        if self.words:
            return "menus"
        if self.is_cell:
            return "cell"
        if self.has_embedding:
            return "transformer"
        if not self.names_operations:
            return "channels"
        return "stages" if self.in_stages else "layers"

    @property
    def is_chain(self) -> bool:
        """Whether each position is a layer that takes one of the same operations."""
        return self.names_operations and not self.is_cell and not self.has_embedding and not self.words

    @property
    def base(self) -> str:
        """The name of the space at full width, under which templates and drawings are looked up."""
        return self.name.rpartition("-w")[0] if self.width != 1 else self.name

    def check_images(self) -> None:
        """Raise InvalidParameter where the networks of this space do not take images."""
        if self.input != "images":
            raise InvalidParameter(
                f"{self.name} has networks for {self.input}, and this works on images; `genius-kit benchmark build` "
                "trains them, and a finished table is searched by its name"
            )

    def scaled(self, channels: int) -> int:
        """Return a channel count of the skeleton times `width`: the nearest whole number (halves go up), at least 1.

        Parameters
        ----------
        channels
            The count at width 1.
        """
        return max(1, int(channels * self.width + 0.5))

    def with_width(self, width: float, printed: str) -> Self:
        """Return the space with narrower or wider networks.

        Parameters
        ----------
        width
            Multiplies every channel count of the skeleton.
        printed
            The width as the name of the space prints it.

        Raises
        ------
        InvalidParameter
            The space has no width.
        """
        return replace(self, name=f"{self.name}-w{printed}", title=f"{self.title}, width {printed}", width=width)

    @cached_property
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
        """Return in words what an option index stands for at a position: "240 channels", "4 heads, MLP ratio 3.5".

        Parameters
        ----------
        position, option
            From 0.
        """
        return self.words[position][option] if self.words else self.options[option]

    def label(self, position: int, option: int) -> tuple[str, ...]:
        """Return the short lines that stand in the box of a layer where it is drawn; none where it is left out.

        Parameters
        ----------
        position, option
            From 0.
        """
        name = self.words[position][option] if self.words else self.options[option]
        if found := re.search(r"kernel (\d), expansion (\d)", name):
            return f"{found[1]}×{found[1]}", f"exp. {found[2]}"
        return () if self.network and name in ("skip", "identity") else tuple(textwrap.wrap(name, 8)[:2])

    def check(self, architecture: Sequence[int]) -> Architecture:
        """Return an architecture as a tuple of plain ints.

        Parameters
        ----------
        architecture
            One option index per position.

        Raises
        ------
        InvalidArchitecture
            It is not of the space; the message says what is wrong.
        """
        values = tuple(architecture)
        if len(values) != self.length:
            raise InvalidArchitecture(f"{self.name} has {self.length} positions, got {len(values)} values: {values}")
        for position, (value, options) in enumerate(zip(values, self.choices, strict=True)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < len(options):
                raise InvalidArchitecture(
                    f"{value!r} at position {position} is not an option index of {self.name} (0 to {len(options) - 1})"
                )
        return tuple(map(int, values))

    def encode(self, architecture: Sequence[int]) -> str:
        """Return the field's own string: digits, channel counts ("256,192,..."), or the NAS-Bench-201 arch string.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        return self.key(architecture)

    def key(self, architecture: Sequence[int]) -> str:
        """Return one digit per position, as the benchmark files and the papers abbreviate it ("22212220", "4344424").

        Parameters
        ----------
        architecture
            One option index per position.
        """
        return "".join([DIGITS[value + self.key_offset] for value in self.check(architecture)])

    def decode(self, text: str) -> Architecture:
        """Return the architecture that a string stands for.

        Parameters
        ----------
        text
            A string of `encode` or of `key`.

        Raises
        ------
        InvalidArchitecture
            The string stands for none; the message says what is wrong.
        """
        text = text.strip()
        low, high = self.key_offset, self.key_offset + len(self.options) - 1
        if len(text) != self.length or not set(text) <= set(DIGITS[low : high + 1]):
            raise InvalidArchitecture(
                f"{text[:100]!r} is not an architecture of {self.name}: expected {self.length} digits from "
                f"{DIGITS[low]} to {DIGITS[high]}, e.g. {self.key(self.all_largest)!r}"
            )
        return self.check([DIGITS.index(digit) - self.key_offset for digit in text])

    @property
    def all_largest(self) -> Architecture:
        """The architecture with the highest-capacity option at every position."""
        return self.largest if isinstance(self.largest, tuple) else (self.largest,) * self.length

    def canonical(self, architecture: Sequence[int]) -> Architecture:
        """Return the representative of the architectures that compute the same function as this one.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        return self.canonical_form(self.check(architecture))

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices; here every architecture is its own.

        Parameters
        ----------
        values
            One option index per position.
        """
        return values

    def same(self, first: Sequence[int], second: Sequence[int]) -> bool:
        """Return whether two architectures are isomorphic.

        Parameters
        ----------
        first, second
            Architectures of the space.
        """
        return self.canonical(first) == self.canonical(second)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Return one architecture, uniform over the space.

        Parameters
        ----------
        rng
            Where the draw comes from.
        """
        return tuple(int(rng.integers(len(options))) for options in self.choices)

    def neighbours(self, architecture: Sequence[int]) -> Iterator[Architecture]:
        """Yield every architecture that differs at exactly one position.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        values = self.check(architecture)
        for position, options in enumerate(self.choices):
            for option in range(len(options)):
                if option != values[position]:
                    yield (*values[:position], option, *values[position + 1 :])

    def index(self, architecture: Sequence[int]) -> int:
        """Return the row of an architecture when the space is listed in lexicographic order.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        row = 0
        for value, options in zip(self.check(architecture), self.choices, strict=True):
            row = row * len(options) + value
        return row

    def at(self, row: int) -> Architecture:
        """Return the architecture at a row of the lexicographic order; the inverse of `index`.

        Parameters
        ----------
        row
            From 0.
        """
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

    def sizes(self, num_classes: int | None = None, image_size: int | None = None) -> tuple[int, int]:
        """Return the number of classes and the image's side in pixels (for private signal cells the values of a
        signal).

        Parameters
        ----------
        num_classes, image_size
            None means those of the space's data set.

        Raises
        ------
        InvalidParameter
            Anything but a positive whole number.
        """
        classes, size = self.usual_sizes
        return (
            check_integer("num_classes", classes if num_classes is None else num_classes, 1),
            check_integer("image_size", size if image_size is None else image_size, 1),
        )

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield the layers of the networks in order, each with one count per option; a single one where none is chosen.

        Parameters
        ----------
        architecture
            Matters where the cost of a layer depends on what is chosen elsewhere.
        classes
            Number of classes.
        size
            Pixels per side.
        """
        raise InvalidParameter(f"{self.name} has no networks, so no layers to count")

    def layer_counts(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[tuple[str, Count]]:
        """Yield each layer of one network with its counts.

        Parameters
        ----------
        architecture
            One option index per position.
        classes
            Number of classes.
        size
            Pixels per side.
        """
        values = iter(self.check(architecture))
        for name, counts in self.layers(architecture, classes, size):
            yield name, counts[next(values)] if len(counts) > 1 else counts[0]

    def counts(self, architectures: np.ndarray, classes: int, size: int) -> Count:
        """Return the counts of many networks at once, arrays of shape (n,).

        Parameters
        ----------
        architectures
            Option indices, shape (n, positions).
        classes
            Number of classes.
        size
            Pixels per side.
        """
        return total(self.layers(self.all_largest, classes, size), architectures.T)

    def macs(self, count: Count, convention: str = "paper") -> Any:
        """Return the multiply-accumulates of a count.

        Parameters
        ----------
        count
            Counts of a layer or a network.
        convention
            "convolutions" leaves out the `other` operations, "paper" counts as the paper prints.

        Raises
        ------
        InvalidParameter
            Another convention.
        """
        if convention not in CONVENTIONS:
            raise InvalidParameter(f"convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
        is_more = convention == "paper" and self.paper_adds_other
        return count.convolutions + count.other if is_more else count.convolutions

    def macs_table(self, convention: str = "paper") -> tuple[dict[str, int], np.ndarray]:
        """Return the MACs of the fixed layers by name, and of each option at each position, (positions, options).

        The total of an architecture is the sum of the fixed layers plus one entry per row, exactly.

        Parameters
        ----------
        convention
            As in `macs`.

        Raises
        ------
        InvalidParameter
            A layer's cost depends on what is chosen elsewhere.
        """
        import numpy as np

        layers = list(self.layers(self.all_largest, *self.sizes()))
        fixed = {name: self.macs(counts[0], convention) for name, counts in layers if len(counts) == 1}
        table = [[self.macs(count, convention) for count in counts] for _, counts in layers if len(counts) > 1]
        return fixed, np.array(table, dtype=np.int64)

    def macs_range(self) -> tuple[int, int]:
        """Return the fewest and the most MACs that an architecture can have."""
        fixed, table = self.macs_table()
        base = sum(fixed.values())
        return base + int(table.min(axis=1).sum()), base + int(table.max(axis=1).sum())

    def embedding_table(self, convention: str = "paper") -> list[tuple[int, list[int]]]:
        """Return (MACs of all but the blocks, MACs of each option of one block) for each embedding option, if any.

        The total of an architecture is the first of its embedding's row plus one entry of the second for each block.

        Parameters
        ----------
        convention
            As in `macs`.
        """
        return []

    def network_facts(self, size: int) -> dict[str, Any]:
        """Return what else the text about the networks says at this image size.

        Parameters
        ----------
        size
            Pixels per side.
        """
        return {}

    def _no_width(self, why: str) -> InvalidParameter:
        return InvalidParameter(f"{self.name} has no width: {why}")

    def definition(self) -> dict[str, Any]:
        """Return the values that make the space, fit for JSON."""
        return {one.name: listed(getattr(self, one.name)) for one in fields(SearchSpace)}


SPACES: dict[str, Callable[[], SearchSpace]] = {}
"""The search spaces by name; each file of this folder adds its own."""

READERS: list[Callable[[str], SearchSpace | None]] = []
"""Functions that read names of which there are more than a list can hold."""


def load_space(name: str) -> SearchSpace:
    """Return a search space.

    "-w0.25" after a name is that space with narrower networks: the width (0 < w <= 4) multiplies every channel count of
    the skeleton; options, keys and sizes stay. The channel spaces and the private cells have no width.
    "signal-cell-01234" is that space with other operations, "signal-cell-dbma-sum-mean-120" one that a secret drew; see
    `signal_space`.

    Parameters
    ----------
    name
        Name of the space, with or without a width.

    Raises
    ------
    UnknownName
        No such space; the message lists the known ones.
    InvalidParameter
        A width that the space cannot have.
    """
    if name in SPACES:
        return SPACES[name]()
    read = next(filter(None, (reader(name) for reader in READERS)), None)
    base, _, digits = name.rpartition("-w")
    if read is None and base not in SPACES:
        raise UnknownName.of("search space", name, SPACES)
    return read or _with_width(SPACES[base](), digits)


def recorded_space(settings: Mapping[str, Any]) -> SearchSpace:
    """Return the space of a run by the `settings` on its record, which define one that no other process knows.

    Raises UnknownName, JournalError for a definition that makes no space.
    """
    made = settings.get("space_definition")
    if made is None:
        return load_space(settings["space"])
    try:
        return SearchSpace(**made)
    except (TypeError, InvalidParameter) as error:
        raise JournalError(
            f"the run's definition of {settings['space']!r:.100} makes no space: {error}; the journal was altered, or "
            "another version of the kit wrote it"
        ) from None


def own_definition(space: SearchSpace) -> dict[str, Any]:
    """Return what defines a space that is not found by its name, else nothing."""
    try:
        return {} if load_space(space.name) == space else space.definition()
    except (UnknownName, InvalidParameter):
        return space.definition()


def _with_width(space: SearchSpace, digits: str) -> SearchSpace:
    width = float(digits) if re.fullmatch(r"\d+(\.\d{1,4})?", digits) else 0.0
    if not 0 < width <= 4:
        raise InvalidParameter(
            f"the width of {space.name!r} must be a number above 0 and up to 4 with at most 4 decimals, as in "
            f"{space.name}-w0.25, got {digits!r}"
        )
    return space if width == 1 else space.with_width(width, f"{width:.4f}".rstrip("0").rstrip("."))
