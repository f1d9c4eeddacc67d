"""NAS-Bench-Macro (Su et al., CVPR 2021): eight layers in three stages, each an identity or an inverted residual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from genius_kit.records import Architecture
from genius_kit.spaces.base import SPACES, SearchSpace
from genius_kit.spaces.layers import HEAD_CHANNELS, Count, Slot, conv, halved, inverted_residual, linear, skips_last

STEM, WIDTHS, DEPTHS = 32, (64, 128, 256), (2, 3, 3)


@dataclass(frozen=True)
class MacroSpace(SearchSpace):
    """Eight layers in three stages, each of which halves its input first."""

    network: ClassVar[str] = "cifar.MacroNetwork"
    stage_inputs: ClassVar[tuple[tuple[int, int], ...]] = tuple((width, 2) for width in (STEM, *WIDTHS[:-1]))

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices."""
        return skips_last(values, self.stages)

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield stem, the eight searchable layers, head and classifier."""
        inputs, number = self.scaled(STEM), 2
        yield "stem", (conv(3, inputs, size, kernel=3),)
        for width, depth in zip(map(self.scaled, WIDTHS), DEPTHS, strict=True):
            for layer in range(depth):
                stride = 2 if layer == 0 else 1
                skip = conv(inputs, width, halved(size)) if layer == 0 else Count()
                blocks = [inverted_residual(inputs, inputs * t, width, size, k, stride) for k, t in ((3, 3), (5, 6))]
                yield f"layer {number}", (skip, *blocks)
                inputs, number, size = width, number + 1, halved(size) if layer == 0 else size
        yield "head", (conv(inputs, self.scaled(HEAD_CHANNELS), size),)
        yield "classifier", (linear(self.scaled(HEAD_CHANNELS), classes),)


def _space() -> MacroSpace:
    return MacroSpace(
        name="nas-bench-macro",
        title="NAS-Bench-Macro",
        choices=((0, 1, 2),) * 8,
        positions=tuple(f"layer {number}" for number in range(2, 10)),
        stages=((0, 1), (2, 3, 4), (5, 6, 7)),
        options=("identity", "inverted residual, kernel 3, expansion 3", "inverted residual, kernel 5, expansion 6"),
        largest=2,
    )


SPACES["nas-bench-macro"] = _space
