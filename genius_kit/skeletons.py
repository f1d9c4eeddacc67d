"""The layers of every space, in order, each with its exact counts: what `costs` sums up.

A layer is written once, as the convolutions it is made of; widths may be whole columns of architectures.
The skeletons were fitted to the published tables and are exact on every row; see tests/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import SearchSpace

IMAGENET_WIDTHS, IMAGENET_STRIDES = (24, 40, 80, 96, 192), (2, 2, 2, 1, 2)
MACRO_WIDTHS, MACRO_DEPTHS = (64, 128, 256), (2, 3, 3)
CELL_WIDTHS, CELLS_A_STAGE = (16, 32, 64), 5

_CLASSES = {"mobilenet-imagenet": 1000}
_IMAGE_SIZES = {"mobilenet-imagenet": 224}


@dataclass(frozen=True)
class Count:
    """Parameters, MACs of convolutions and linear layers, and the `other` operations that the paper adds.

    Each is an int, or an int64 array with one entry an architecture.
    """

    parameters: Any = 0
    convolutions: Any = 0
    other: Any = 0

    def __add__(self, more: Count) -> Count:
        return Count(self.parameters + more.parameters, self.convolutions + more.convolutions, self.other + more.other)


Slot = tuple[str, tuple[Count, ...]]
"""One layer in order: its name, and one count an option (a single one when nothing is to be chosen)."""


def slots(
    space: SearchSpace,
    choice: Sequence[Any],
    num_classes: int | None,
    image_size: int | None,
    are_widths: bool = False,
) -> Iterator[Slot]:
    """Yield the layers of a space; `choice` (option indices, or widths) matters to the channel spaces only."""
    classes = _CLASSES.get(space.name, 10) if num_classes is None else num_classes
    is_imagenet16 = space.family == "cell" and classes == 120
    size = (16 if is_imagenet16 else _IMAGE_SIZES.get(space.name, 32)) if image_size is None else image_size
    for name, value in (("num_classes", classes), ("image_size", size)):
        if value < 1:
            raise InvalidParameter(f"{name} {value} came, expected a positive whole number")
    if space.family == "channels":
        widths = choice if are_widths else [space.choices[i][value] for i, value in enumerate(space.check(choice))]
        channel_slots = _resnet_slots if space.name == "channel-bench-resnet" else _mobilenet_slots
        return channel_slots(widths, classes, size)
    builders = {"layers": _macro_slots, "cell": _cell_slots, "stages": _imagenet_slots}
    return builders[space.family](classes, size)


def _halved(size: int) -> int:
    return (size + 1) // 2


def _conv(
    inputs: Any,
    outputs: Any,
    size: int,
    kernel: int = 1,
    depthwise: bool = False,
    norm: bool = True,
    bias: bool = False,
) -> Count:
    """Count one convolution whose output is `size` pixels a side, with its batch norm (scale and shift) or bias."""
    weights = outputs * kernel**2 * (1 if depthwise else inputs)
    elements = outputs * size**2
    return Count(weights + outputs * (2 * norm + bias), weights * size**2, 4 * elements if norm else 0 * elements)


def _linear(inputs: Any, classes: int, counts_bias: bool = False) -> Count:
    return Count(inputs * classes + classes, inputs * classes + classes * counts_bias)


def _inverted_residual(
    inputs: Any, hidden: Any, outputs: Any, size: int, kernel: int = 3, stride: int = 1, squeeze: bool = False
) -> Count:
    """Count expansion, depthwise convolution, optional squeeze-excite, projection; `size` is the input's side."""
    reduced = _halved(size) if stride == 2 else size
    count = _conv(inputs, hidden, size) + _conv(hidden, hidden, reduced, kernel, depthwise=True)
    if squeeze:
        count += _squeeze_excite(hidden)
    return count + _conv(hidden, outputs, reduced)


def _squeeze_excite(channels: int) -> Count:
    """Count two 1x1 convolutions with bias through a quarter of the channels, made a multiple of 8 as timm does."""
    squeezed = max(8, (channels // 4 + 4) // 8 * 8)
    squeezed += 8 if squeezed < 0.9 * (channels // 4) else 0
    return _conv(channels, squeezed, 1, norm=False, bias=True) + _conv(squeezed, channels, 1, norm=False, bias=True)


def _macro_slots(classes: int, size: int) -> Iterator[Slot]:
    """Yield NAS-Bench-Macro: eight searchable layers in three stages, each of which halves its input first."""
    yield "stem", (_conv(3, 32, size, kernel=3),)
    inputs, number = 32, 2
    for width, depth in zip(MACRO_WIDTHS, MACRO_DEPTHS, strict=True):
        for layer in range(depth):
            stride = 2 if layer == 0 else 1
            skip = _conv(inputs, width, _halved(size)) if layer == 0 else Count()
            blocks = [_inverted_residual(inputs, inputs * t, width, size, k, stride) for k, t in ((3, 3), (5, 6))]
            yield f"layer {number}", (skip, *blocks)
            inputs, number, size = width, number + 1, _halved(size) if layer == 0 else size
    yield "head", (_conv(256, 1280, size),)
    yield "classifier", (_linear(1280, classes),)


def _cell_slots(classes: int, size: int) -> Iterator[Slot]:
    """Yield NAS-Bench-201 (C=16, N=5): an edge's cost is that of its fifteen copies; pooling is free."""
    sizes = (size, _halved(size), _halved(_halved(size)))
    yield "stem", (_conv(3, CELL_WIDTHS[0], size, kernel=3),)
    for edge in ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3"):
        one, three = (
            _sum(_conv(width, width, side, kernel) for width, side in zip(CELL_WIDTHS, sizes, strict=True)
                 for _ in range(CELLS_A_STAGE))
            for kernel in (1, 3)
        )  # fmt: skip
        yield f"edge {edge}", (Count(), Count(), one, three, Count())
    for number in (1, 2):
        inputs, width, side = CELL_WIDTHS[number - 1], CELL_WIDTHS[number], sizes[number]
        shortcut = _conv(inputs, width, side, norm=False)
        yield f"reduction {number}", (_conv(inputs, width, side, 3) + _conv(width, width, side, 3) + shortcut,)
    yield "last norm", (Count(parameters=2 * CELL_WIDTHS[2]),)
    yield "classifier", (_linear(CELL_WIDTHS[2], classes, counts_bias=True),)


def _sum(counts: Iterator[Count]) -> Count:
    return sum(counts, start=Count())


def _imagenet_slots(classes: int, size: int) -> Iterator[Slot]:
    """Yield the ImageNet space: five stages of six layers, squeeze-excite in every block."""
    size = _halved(size)
    yield "layer 0", (_conv(3, 16, size, kernel=3),)
    separable = _conv(16, 16, size, 3, depthwise=True) + _squeeze_excite(16) + _conv(16, 16, size)
    yield "layer 1", (separable,)
    inputs, number = 16, 2
    for width, first_stride in zip(IMAGENET_WIDTHS, IMAGENET_STRIDES, strict=True):
        for layer in range(6):
            stride = first_stride if layer == 0 else 1
            after = _halved(size) if stride == 2 else size
            skip = _conv(inputs, width, after) if layer == 0 else Count()
            blocks = [
                _inverted_residual(inputs, inputs * expansion, width, size, kernel, stride, squeeze=True)
                for expansion in (4, 6)
                for kernel in (3, 5, 7)
            ]
            yield f"layer {number}", (skip, *blocks)
            inputs, number, size = width, number + 1, after
    yield "layer 32", (_conv(192, 320, size),)
    yield (
        "layer 33",
        (Count(other=320 * size**2 + 320),),
    )  # global pool: one addition an element, one division a channel
    yield "layer 34", (_conv(320, 1280, 1, norm=False, bias=True),)
    yield "layer 35", (_linear(1280, classes),)


def _resnet_slots(widths: Sequence[Any], classes: int, size: int) -> Iterator[Slot]:
    """Yield Channel-Bench-Macro ResNet; its stem has stride 2, and batch norm follows every convolution."""
    size = _halved(size)
    yield "stem", (_conv(3, widths[0], size, kernel=3),)
    for number, (outer, inner) in enumerate(((0, 1), (0, 2), (3, 4), (4, 5), (4, 6)), start=1):
        if number == 3:  # the block that downsamples: widths 4 and 5, no shortcut
            size = _halved(size)
            count = _conv(widths[0], widths[3], size, 3) + _conv(widths[3], widths[4], size, 3)
        else:
            count = _conv(widths[outer], widths[inner], size, 3) + _conv(widths[inner], widths[outer], size, 3)
        yield f"block {number}", (count,)
    yield "classifier", (_linear(widths[4], classes),)


def _mobilenet_slots(widths: Sequence[Any], classes: int, size: int) -> Iterator[Slot]:
    """Yield Channel-Bench-Macro MobileNet; its stem has stride 2, and batch norm follows every convolution."""
    size = _halved(size)
    yield "stem", (_conv(3, widths[0], size, kernel=3),)
    for number, (inputs, hidden, outputs) in enumerate(((0, 1, 0), (0, 2, 0), (0, 3, 4), (4, 5, 4)), start=1):
        stride = 2 if number == 3 else 1
        block = _inverted_residual(widths[inputs], widths[hidden], widths[outputs], size, stride=stride)
        yield f"block {number}", (block,)
        size = _halved(size) if stride == 2 else size
    yield "head", (_conv(widths[4], widths[6], size),)
    yield "classifier", (_linear(widths[6], classes),)
