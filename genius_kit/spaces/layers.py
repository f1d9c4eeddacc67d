"""What layers are counted with: one `Count` a convolution, linear layer or block of them.

A layer is written once, as the convolutions it is made of; widths may be whole columns of architectures.
The skeletons were fitted to the published tables and are exact on every row; see tests/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.records import Architecture

if TYPE_CHECKING:
    import numpy as np

HEAD_CHANNELS = 1280  # of NAS-Bench-Macro and of the ImageNet space


@dataclass(frozen=True)
class Count:
    """Parameters, MACs of convolutions and linear layers, and the `other` operations that the paper adds.

    Each is an int, or an int64 array with one entry per architecture.
    """

    parameters: Any = 0
    convolutions: Any = 0
    other: Any = 0

    def __add__(self, more: Count) -> Count:
        return Count(self.parameters + more.parameters, self.convolutions + more.convolutions, self.other + more.other)


Slot = tuple[str, tuple[Count, ...]]
"""One layer in order: its name, and one count per option (a single one when nothing is to be chosen)."""


def total(layers: Iterable[Slot], columns: np.ndarray) -> Count:
    """Return the sum over `layers` for many architectures, each field an array; `columns` is (positions, n)."""
    import numpy as np

    position, found = 0, Count()
    for _, counts in layers:
        if len(counts) == 1:
            found += counts[0]
            continue
        chosen = columns[position]
        fields = zip(*((count.parameters, count.convolutions, count.other) for count in counts), strict=True)
        found += Count(*(np.array(field)[chosen] for field in fields))
        position += 1
    return found


def halved(size: int) -> int:
    """Return the side of an image behind a stride of 2."""
    return (size + 1) // 2


def conv(
    inputs: Any,
    outputs: Any,
    size: int,
    kernel: int = 1,
    depthwise: bool = False,
    norm: bool = True,
    bias: bool = False,
) -> Count:
    """Count one convolution whose output is `size` pixels per side, with its batch norm (scale and shift) or bias."""
    weights = outputs * kernel**2 * (1 if depthwise else inputs)
    elements = outputs * size**2
    return Count(weights + outputs * (2 * norm + bias), weights * size**2, 4 * elements if norm else 0 * elements)


def linear(inputs: Any, classes: int, counts_bias: bool = False) -> Count:
    """Count one linear layer with its bias, which is an operation only where it `counts_bias`."""
    return Count(inputs * classes + classes, inputs * classes + classes * counts_bias)


def inverted_residual(
    inputs: Any, hidden: Any, outputs: Any, size: int, kernel: int = 3, stride: int = 1, squeeze: bool = False
) -> Count:
    """Count expansion, depthwise convolution, optional squeeze-excite, projection; `size` is the input's side."""
    reduced = halved(size) if stride == 2 else size
    count = conv(inputs, hidden, size) + conv(hidden, hidden, reduced, kernel, depthwise=True)
    if squeeze:
        count += squeeze_excite(hidden)
    return count + conv(hidden, outputs, reduced)


def squeeze_excite(channels: int) -> Count:
    """Count two 1x1 convolutions with bias through a quarter of the channels, made a multiple of 8 as timm does."""
    squeezed = multiple_of_8(channels * 0.25)
    return conv(channels, squeezed, 1, norm=False, bias=True) + conv(squeezed, channels, 1, norm=False, bias=True)


def multiple_of_8(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8 and at least nine tenths of `channels`: timm's `make_divisible`.

    At full width every expansion is one already.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def skips_last(architecture: Architecture, stages: Sequence[Sequence[int]]) -> Architecture:
    """Return the canonical form that moves skips (option 0) to the end of their stage, its first layer apart.

    The first layer of a stage changes the shape, so its option 0 is a layer of its own and stays.
    """
    values: list[int] = []
    for stage in stages:
        first, *rest = [architecture[position] for position in stage]
        kept = [value for value in rest if value]
        values += [first, *kept, *([0] * (len(rest) - len(kept)))]
    return tuple(values)
