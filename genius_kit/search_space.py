"""What a search space is: the options at each position, and the translation to and from the field's own strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidArchitecture, InvalidParameter
from genius_kit.signal_rules import FIRST_RULES, SignalRules

if TYPE_CHECKING:
    import numpy as np

Architecture = tuple[int, ...]
"""One option index a position; the only form architectures have inside the package."""


@dataclass(frozen=True)
class SearchSpace:
    """A finite space of architectures: `choices[i]` are the options at position i, in the field's order.

    `family` is "layers" (one operation a layer), "channels" (one channel count a layer), "cell" (one
    operation an edge), "stages" (layers in stages of equal length) or "transformer" (an embedding width, then
    the blocks). `positions` names each position; `stages` groups consecutive positions; `options` describes each
    option index in words; see `describe` for the positions that mean something else by it. `largest` is the option
    index with the highest capacity at every position; `key_offset` is added to an index to print the digit of
    `key`. `width` multiplies the channel counts of the skeleton; see `load_space`. `widths` are channel counts that
    the options of the first position stand for, where they are no operations. `input` is what the networks take:
    "images" or "signals"; `rules` are those of the networks of signals, which images have no use for.
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
    widths: tuple[int, ...] = ()
    input: str = "images"
    rules: SignalRules = FIRST_RULES

    def check_images(self) -> None:
        """Raise InvalidParameter where the networks of this space do not take images."""
        if self.input != "images":
            raise InvalidParameter(
                f"{self.name} has networks for {self.input}, and this works on images; `genius-kit benchmark build` "
                "trains them, and a finished table is searched by its name"
            )

    @property
    def base(self) -> str:
        """The name of the space at full width, under which templates and drawings are looked up.

        Private cells have one for all choices of their operations.
        """
        if self.input == "signals":
            return "signal-cell"
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
        if self.widths and position == 0:
            return f"{self.scaled(self.widths[option])} channels"
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
