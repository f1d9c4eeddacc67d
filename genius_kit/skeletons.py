"""The layers of every space, in order, each with its exact counts: what `costs` sums up.

A layer is written once, as the convolutions it is made of; widths may be whole columns of architectures.
The skeletons were fitted to the published tables and are exact on every row; see tests/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import SearchSpace

IMAGENET_STEM, IMAGENET_LAST = 16, 320
IMAGENET_WIDTHS, IMAGENET_STRIDES = (24, 40, 80, 96, 192), (2, 2, 2, 1, 2)
MACRO_STEM, MACRO_WIDTHS, MACRO_DEPTHS = 32, (64, 128, 256), (2, 3, 3)
HEAD_CHANNELS = 1280  # of both
CELL_WIDTHS, CELLS_A_STAGE = (16, 32, 64), 5

_CLASSES = {"mobilenet-imagenet": 1000, "vision-transformer": 1000}
_IMAGE_SIZES = {"mobilenet-imagenet": 224, "vision-transformer": 224, "signal-cell": 48}


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


Scale = Callable[[int], int]
"""Turns a channel count of the skeleton into that of a space with another width; see `SearchSpace.scaled`."""

Slot = tuple[str, tuple[Count, ...]]
"""One layer in order: its name, and one count an option (a single one when nothing is to be chosen)."""


def slots(
    space: SearchSpace,
    choice: Sequence[Any],
    num_classes: int | None,
    image_size: int | None,
    are_widths: bool = False,
) -> Iterator[Slot]:
    """Yield the layers of a space; `choice` (option indices, or widths) matters to the channel spaces only.

    The transformer space takes its embedding from there too; see `transformer_costs`.
    """
    classes, size = class_and_image_sizes(space, num_classes, image_size)
    if space.input == "signals":
        raise InvalidParameter(f"an edge of {space.name} has no cost of its own: a rule chooses the width of each cell")
    if space.family == "channels":
        widths = choice if are_widths else [space.choices[i][value] for i, value in enumerate(space.check(choice))]
        channel_slots = _resnet_slots if space.name == "channel-bench-resnet" else _mobilenet_slots
        return channel_slots(widths, classes, size)
    if space.family == "transformer":
        from genius_kit.transformer_costs import transformer_slots

        return transformer_slots(space, space.check(choice)[0], classes, size)
    builders = {"layers": _macro_slots, "cell": _cell_slots, "stages": _imagenet_slots}
    return builders[space.family](space.scaled, classes, size)


def class_and_image_sizes(space: SearchSpace, num_classes: int | None, image_size: int | None) -> tuple[int, int]:
    """Return the number of classes and the image's side in pixels, where None means those of the space's data set.

    For private signal cells the second is the number of values of a signal.
    Raises InvalidParameter for anything but a positive whole number.
    """
    usual = space.rules.classes if space.input == "signals" else _CLASSES.get(space.base, 10)
    classes = usual if num_classes is None else num_classes
    is_imagenet16 = space.base == "nas-bench-201" and classes == 120
    size = (16 if is_imagenet16 else _IMAGE_SIZES.get(space.base, 32)) if image_size is None else image_size
    for name, value in (("num_classes", classes), ("image_size", size)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise InvalidParameter(f"{name} {value!r} came, expected a positive whole number")
    return int(classes), int(size)


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
    squeezed = _multiple_of_8(channels * 0.25)
    return _conv(channels, squeezed, 1, norm=False, bias=True) + _conv(squeezed, channels, 1, norm=False, bias=True)


def _multiple_of_8(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8 and at least nine tenths of `channels`: timm's `make_divisible`.

    At full width every expansion is one already.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _macro_slots(scale: Scale, classes: int, size: int) -> Iterator[Slot]:
    """Yield NAS-Bench-Macro: eight searchable layers in three stages, each of which halves its input first."""
    inputs, number = scale(MACRO_STEM), 2
    yield "stem", (_conv(3, inputs, size, kernel=3),)
    for width, depth in zip(map(scale, MACRO_WIDTHS), MACRO_DEPTHS, strict=True):
        for layer in range(depth):
            stride = 2 if layer == 0 else 1
            skip = _conv(inputs, width, _halved(size)) if layer == 0 else Count()
            blocks = [_inverted_residual(inputs, inputs * t, width, size, k, stride) for k, t in ((3, 3), (5, 6))]
            yield f"layer {number}", (skip, *blocks)
            inputs, number, size = width, number + 1, _halved(size) if layer == 0 else size
    yield "head", (_conv(inputs, scale(HEAD_CHANNELS), size),)
    yield "classifier", (_linear(scale(HEAD_CHANNELS), classes),)


def _cell_slots(scale: Scale, classes: int, size: int) -> Iterator[Slot]:
    """Yield NAS-Bench-201 (C=16, N=5): an edge's cost is that of its fifteen copies; pooling is free."""
    widths = tuple(map(scale, CELL_WIDTHS))
    sizes = (size, _halved(size), _halved(_halved(size)))
    yield "stem", (_conv(3, widths[0], size, kernel=3),)
    for edge in ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3"):
        one, three = (
            _sum(_conv(width, width, side, kernel) for width, side in zip(widths, sizes, strict=True)
                 for _ in range(CELLS_A_STAGE))
            for kernel in (1, 3)
        )  # fmt: skip
        yield f"edge {edge}", (Count(), Count(), one, three, Count())
    for number in (1, 2):
        inputs, width, side = widths[number - 1], widths[number], sizes[number]
        shortcut = _conv(inputs, width, side, norm=False)
        yield f"reduction {number}", (_conv(inputs, width, side, 3) + _conv(width, width, side, 3) + shortcut,)
    yield "last norm", (Count(parameters=2 * widths[2]),)
    yield "classifier", (_linear(widths[2], classes, counts_bias=True),)


def _sum(counts: Iterator[Count]) -> Count:
    return sum(counts, start=Count())


def _imagenet_slots(scale: Scale, classes: int, size: int) -> Iterator[Slot]:
    """Yield the ImageNet space: five stages of six layers, squeeze-excite in every block."""
    size, inputs, number = _halved(size), scale(IMAGENET_STEM), 2
    yield "layer 0", (_conv(3, inputs, size, kernel=3),)
    depthwise = _conv(inputs, inputs, size, 3, depthwise=True)
    yield "layer 1", (depthwise + _squeeze_excite(inputs) + _conv(inputs, inputs, size),)
    for width, first_stride in zip(map(scale, IMAGENET_WIDTHS), IMAGENET_STRIDES, strict=True):
        for layer in range(6):
            stride = first_stride if layer == 0 else 1
            after = _halved(size) if stride == 2 else size
            skip = _conv(inputs, width, after) if layer == 0 else Count()
            blocks = [
                _inverted_residual(
                    inputs, _multiple_of_8(inputs * expansion), width, size, kernel, stride, squeeze=True
                )
                for expansion in (4, 6)
                for kernel in (3, 5, 7)
            ]
            yield f"layer {number}", (skip, *blocks)
            inputs, number, size = width, number + 1, after
    last, head = scale(IMAGENET_LAST), scale(HEAD_CHANNELS)
    yield "layer 32", (_conv(inputs, last, size),)
    pool = Count(other=last * size**2 + last)  # one addition an element, one division a channel
    yield "layer 33", (pool,)
    yield "layer 34", (_conv(last, head, 1, norm=False, bias=True),)
    yield "layer 35", (_linear(head, classes),)


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
