"""Channel-Bench-Macro (Zhu et al., 2022): the channel counts of seven layers of a ResNet or a MobileNet."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from genius_kit.errors import InvalidArchitecture, InvalidParameter
from genius_kit.records import Architecture
from genius_kit.spaces.base import SPACES, SearchSpace
from genius_kit.spaces.layers import Count, Slot, conv, halved, inverted_residual, linear, total

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ChannelSpace(SearchSpace):
    """One channel count per layer; what a layer costs depends on its neighbours' counts."""

    names_operations: ClassVar[bool] = False
    shows_macs: ClassVar[str] = "never"

    def encode(self, architecture: Sequence[int]) -> str:
        """Return the channel counts with commas."""
        return ",".join(str(self.choices[i][value]) for i, value in enumerate(self.check(architecture)))

    def decode(self, text: str) -> Architecture:
        """Return the architecture of channel counts with commas, or of a key; raises InvalidArchitecture."""
        if "," not in text:
            return super().decode(text)
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != self.length:
            raise InvalidArchitecture(
                f"{text.strip()!r} has {len(parts)} channel counts, {self.name} has {self.length} positions"
            )
        indices = []
        for position, (part, options) in enumerate(zip(parts, map(partial(map, str), self.choices), strict=True)):
            menu = list(options)
            if part not in menu:
                raise InvalidArchitecture(f"channel {part} at position {position} is not one of {', '.join(menu)}")
            indices.append(menu.index(part))
        return tuple(indices)

    def with_width(self, width: float, printed: str) -> Self:
        """Raise InvalidParameter."""
        raise self._no_width(f"its channel counts are what is searched; drop -w{printed}")

    @abstractmethod
    def _layers(self, widths: Sequence[Any], classes: int, size: int) -> Iterator[Slot]:
        """Yield the layers of a network with these channel counts, each an int or a whole column."""

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield the layers of one network: nothing is to be chosen any more."""
        widths = [self.choices[i][value] for i, value in enumerate(self.check(architecture))]
        return self._layers(widths, classes, size)

    def counts(self, architectures: np.ndarray, classes: int, size: int) -> Count:
        """Return the counts of many networks at once."""
        import numpy as np

        widths = [np.array(options)[column] for options, column in zip(self.choices, architectures.T, strict=True)]
        return total(self._layers(widths, classes, size), architectures.T)

    def macs_table(self, convention: str = "paper") -> tuple[dict[str, int], np.ndarray]:
        """Raise InvalidParameter."""
        raise InvalidParameter(f"a layer of {self.name} has no MACs of its own: use layer_costs on an architecture")


@dataclass(frozen=True)
class ResNetChannels(ChannelSpace):
    """The seven widths of a ResNet; its stem has stride 2, and batch norm follows every convolution."""

    network: ClassVar[str] = "cifar.ChannelResNet"

    def _layers(self, widths: Sequence[Any], classes: int, size: int) -> Iterator[Slot]:
        size = halved(size)
        yield "stem", (conv(3, widths[0], size, kernel=3),)
        for number, (outer, inner) in enumerate(((0, 1), (0, 2), (3, 4), (4, 5), (4, 6)), start=1):
            if number == 3:  # the block that downsamples: widths 4 and 5, no shortcut
                size = halved(size)
                count = conv(widths[0], widths[3], size, 3) + conv(widths[3], widths[4], size, 3)
            else:
                count = conv(widths[outer], widths[inner], size, 3) + conv(widths[inner], widths[outer], size, 3)
            yield f"block {number}", (count,)
        yield "classifier", (linear(widths[4], classes),)


@dataclass(frozen=True)
class MobileNetChannels(ChannelSpace):
    """The seven widths of a MobileNet; its stem has stride 2, and batch norm follows every convolution."""

    network: ClassVar[str] = "cifar.ChannelMobileNet"

    def _layers(self, widths: Sequence[Any], classes: int, size: int) -> Iterator[Slot]:
        size = halved(size)
        yield "stem", (conv(3, widths[0], size, kernel=3),)
        for number, (inputs, hidden, outputs) in enumerate(((0, 1, 0), (0, 2, 0), (0, 3, 4), (4, 5, 4)), start=1):
            stride = 2 if number == 3 else 1
            block = inverted_residual(widths[inputs], widths[hidden], widths[outputs], size, stride=stride)
            yield f"block {number}", (block,)
            size = halved(size) if stride == 2 else size
        yield "head", (conv(widths[4], widths[6], size),)
        yield "classifier", (linear(widths[6], classes),)


def _space(kind: str) -> ChannelSpace:
    made, full = {
        "ResNet": (ResNetChannels, (64, 64, 64, 128, 128, 128, 128)),
        "MobileNet": (MobileNetChannels, (32, 192, 192, 192, 64, 384, 256)),
    }[kind]
    return made(
        name=f"channel-bench-{kind.lower()}",
        title=f"Channel-Bench-Macro {kind}",
        choices=tuple(tuple(width * factor for factor in (1, 2, 3, 4)) for width in full),
        positions=tuple(f"width {number}" for number in range(1, 8)),
        stages=(tuple(range(7)),),
        options=("1/4 of the full width", "2/4 of the full width", "3/4 of the full width", "the full width"),
        largest=3,
        key_offset=1,
    )


SPACES["channel-bench-resnet"] = partial(_space, "ResNet")
SPACES["channel-bench-mobilenet"] = partial(_space, "MobileNet")
