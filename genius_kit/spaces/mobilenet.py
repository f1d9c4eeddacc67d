"""The ImageNet space of the paper: five stages of six layers, each left out or an inverted residual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from genius_kit.records import Architecture
from genius_kit.spaces.base import SPACES, SearchSpace
from genius_kit.spaces.layers import (
    HEAD_CHANNELS,
    Count,
    Slot,
    conv,
    halved,
    inverted_residual,
    linear,
    multiple_of_8,
    skips_last,
    squeeze_excite,
)

STEM, LAST = 16, 320
WIDTHS, STRIDES = (24, 40, 80, 96, 192), (2, 2, 2, 1, 2)


@dataclass(frozen=True)
class MobileNetSpace(SearchSpace):
    """Thirty layers in five stages, with squeeze-excite in every block; the first of a stage is never left out."""

    usual_sizes: ClassVar[tuple[int, int]] = (1000, 224)
    dataset: ClassVar[str] = "ImageNet"
    network: ClassVar[str] = "mobilenet.ImageNetNetwork"
    stage_inputs: ClassVar[tuple[tuple[int, int], ...]] = tuple(zip((STEM, *WIDTHS[:-1]), STRIDES, strict=True))
    paper_adds_other: ClassVar[bool] = True
    shows_macs: ClassVar[str] = "always"
    has_published_prompts: ClassVar[bool] = True

    def canonical_form(self, values: Architecture) -> Architecture:
        """Return the representative of valid option indices."""
        return skips_last(values, self.stages)

    def layers(self, architecture: Sequence[int], classes: int, size: int) -> Iterator[Slot]:
        """Yield "layer 0" to "layer 35", as the paper numbers them."""
        size, inputs, number = halved(size), self.scaled(STEM), 2
        yield "layer 0", (conv(3, inputs, size, kernel=3),)
        depthwise = conv(inputs, inputs, size, 3, depthwise=True)
        yield "layer 1", (depthwise + squeeze_excite(inputs) + conv(inputs, inputs, size),)
        for width, first_stride in zip(map(self.scaled, WIDTHS), STRIDES, strict=True):
            for layer in range(6):
                stride = first_stride if layer == 0 else 1
                after = halved(size) if stride == 2 else size
                skip = conv(inputs, width, after) if layer == 0 else Count()
                blocks = [
                    inverted_residual(inputs, multiple_of_8(inputs * expansion), width, size, kernel, stride, True)
                    for expansion in (4, 6)
                    for kernel in (3, 5, 7)
                ]
                yield f"layer {number}", (skip, *blocks)
                inputs, number, size = width, number + 1, after
        last, head = self.scaled(LAST), self.scaled(HEAD_CHANNELS)
        yield "layer 32", (conv(inputs, last, size),)
        pool = Count(other=last * size**2 + last)  # one addition per element, one division per channel
        yield "layer 33", (pool,)
        yield "layer 34", (conv(last, head, 1, norm=False, bias=True),)
        yield "layer 35", (linear(head, classes),)


def _space() -> MobileNetSpace:
    blocks = (f"inverted residual, kernel {kernel}, expansion {expand}" for expand in (4, 6) for kernel in (3, 5, 7))
    return MobileNetSpace(
        name="mobilenet-imagenet",
        title="GENIUS ImageNet space",
        choices=(tuple(range(7)),) * 30,
        positions=tuple(f"layer {number}" for number in range(2, 32)),
        stages=tuple(tuple(range(6 * stage, 6 * stage + 6)) for stage in range(5)),
        options=("skip", *blocks),
        largest=6,
        in_stages=True,
    )


SPACES["mobilenet-imagenet"] = _space
