"""The networks of the CIFAR spaces: NAS-Bench-Macro, Channel-Bench-Macro and NAS-Bench-201.

Each layer is the one that its space counts. Activations are ReLU, as in the published code of the three
benchmarks (xiusu/NAS-Bench-Macro, xiusu/Channel-Bench-Macro, D-X-Y/AutoDL-Projects).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.ops.misc import Conv2dNormActivation

from genius_kit.networks.base import Network, NetworkSettings, drop_path_rates, stages_without_skips
from genius_kit.spaces import SearchSpace, nas_bench_macro
from genius_kit.spaces.layers import HEAD_CHANNELS
from genius_kit.spaces.nas_bench_201 import CELLS_A_STAGE, EDGES, OPERATIONS, WIDTHS

_MACRO_BLOCKS = ((3, 3), (5, 6))  # kernel, expansion of options 1 and 2


class Residual(nn.Module):
    """A body whose input is added to its output where `adds` says so, with an optional ReLU behind the sum."""

    def __init__(self, body: nn.Module, adds: bool, drop_path: float = 0.0, relu: bool = False) -> None:
        super().__init__()
        self.body, self.adds = body, adds
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.activation = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        output = self.body(features)
        return self.activation(self.drop_path(output) + features if self.adds else output)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Return a convolution without bias and its batch norm, then ReLU where wanted."""
    return Conv2dNormActivation(inputs, outputs, kernel, stride, activation_layer=nn.ReLU if relu else None)


def _inverted_residual(
    inputs: int, hidden: int, outputs: int, kernel: int = 3, stride: int = 1, drop_path: float = 0.0
) -> Residual:
    body = nn.Sequential(
        _convolution(inputs, hidden, 1),
        Conv2dNormActivation(hidden, hidden, kernel, stride, groups=hidden),
        _convolution(hidden, outputs, 1, relu=False),
    )
    return Residual(body, adds=stride == 1 and inputs == outputs, drop_path=drop_path)


class MacroNetwork(Network):
    """NAS-Bench-Macro: stem, three stages that halve the map first, a 1x1 head of 1,280 channels."""

    order: tuple[str, ...] = ("stem", "stage1", "stage2", "stage3", "head")
    head_parts = ("head", "classifier")

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__(space, architecture, settings)
        widths = [space.scaled(width) for width in (nas_bench_macro.STEM, *nas_bench_macro.WIDTHS)]
        self.stem = _convolution(3, widths[0], 3)
        chosen = stages_without_skips(space, architecture, settings.drop_path)
        for number, ((first, _), *rest) in enumerate(chosen, start=1):
            layers = [_macro_layer(first, widths[number - 1], widths[number], 2)]
            layers += [_macro_layer(option, widths[number], widths[number], 1, rate) for option, rate in rest]
            self.add_module(f"stage{number}", nn.Sequential(*layers))
            self.taps[f"stage{number}"] = (widths[number], 2**number)
        if self.features_only:
            self.order = self.order[:-1]
            return
        self.head = _convolution(widths[-1], space.scaled(HEAD_CHANNELS), 1)
        self.add_classifier(space.scaled(HEAD_CHANNELS), settings.dropout)


def _macro_layer(option: int, inputs: int, outputs: int, stride: int, drop_path: float = 0.0) -> nn.Module:
    if option == 0:  # identity, where the shape changes: a 1x1 convolution and batch norm, no activation
        return _convolution(inputs, outputs, 1, stride, relu=False)
    kernel, expansion = _MACRO_BLOCKS[option - 1]
    return _inverted_residual(inputs, inputs * expansion, outputs, kernel, stride, drop_path)


class ChannelResNet(Network):
    """Channel-Bench-Macro ResNet: stem of stride 2, five blocks of two 3x3 convolutions; the third only halves."""

    order: tuple[str, ...] = ("stem", "block1", "block2", "block3", "block4", "block5")

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__(space, architecture, settings)
        widths = _chosen_widths(space, architecture)
        rates = iter(drop_path_rates(settings.drop_path, 4))
        self.stem = _convolution(3, widths[0], 3, 2)
        shapes = ((0, 1, 0), (0, 2, 0), (0, 3, 4), (4, 5, 4), (4, 6, 4))  # which widths: input, inner, output
        for number, shape in enumerate(shapes, start=1):
            inputs, hidden, outputs = (widths[position] for position in shape)
            halves = number == 3  # without a shortcut, even where both widths are equal
            body = nn.Sequential(
                _convolution(inputs, hidden, 3, 2 if halves else 1), _convolution(hidden, outputs, 3, relu=False)
            )
            block = Residual(body, adds=not halves, drop_path=0.0 if halves else next(rates), relu=True)
            self.add_module(f"block{number}", block)
        self.taps = {"block2": (widths[0], 2), "block5": (widths[4], 4)}
        if not self.features_only:
            self.add_classifier(widths[4], settings.dropout)


class ChannelMobileNet(Network):
    """Channel-Bench-Macro MobileNet: stem of stride 2, four inverted residual blocks, a 1x1 head."""

    order: tuple[str, ...] = ("stem", "block1", "block2", "block3", "block4", "head")
    head_parts = ("head", "classifier")

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__(space, architecture, settings)
        widths = _chosen_widths(space, architecture)
        first, second, last = drop_path_rates(settings.drop_path, 3)
        self.stem = _convolution(3, widths[0], 3, 2)
        self.block1 = _inverted_residual(widths[0], widths[1], widths[0], drop_path=first)
        self.block2 = _inverted_residual(widths[0], widths[2], widths[0], drop_path=second)
        self.block3 = _inverted_residual(widths[0], widths[3], widths[4], stride=2)
        self.block4 = _inverted_residual(widths[4], widths[5], widths[4], drop_path=last)
        self.taps = {"block2": (widths[0], 2), "block4": (widths[4], 4)}
        if self.features_only:
            self.order = self.order[:-1]
            return
        self.head = _convolution(widths[4], widths[6], 1)
        self.add_classifier(widths[6], settings.dropout)


def _chosen_widths(space: SearchSpace, architecture: Sequence[int]) -> list[int]:
    return [int(space.choices[position][option]) for position, option in enumerate(architecture)]


class PreActivation(nn.Module):
    """ReLU, convolution, batch norm: the order of every convolution in NAS-Bench-201 but the stem's."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.op = nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        return self.op(features)


class Cell(nn.Module):
    """A NAS-Bench-201 cell: four nodes, the last of which is the output; `layers` holds the edges that compute.

    A node without inputs is zero. Edges behind a zero or in front of nothing are computed too, as the tables count.
    """

    def __init__(self, architecture: Sequence[int], width: int) -> None:
        super().__init__()
        self.operations = [OPERATIONS[option] for option in architecture]
        self.layers = nn.ModuleDict()
        for edge, operation in enumerate(self.operations):
            if operation == "avg_pool_3x3":
                self.layers[str(edge)] = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
            elif operation.startswith("nor_conv"):
                self.layers[str(edge)] = PreActivation(width, width, 3 if operation == "nor_conv_3x3" else 1)

    def forward(self, features: Tensor) -> Tensor:
        nodes: list[Tensor] = [features]
        for target in (1, 2, 3):
            total: Tensor | None = None
            for edge, (source, end) in enumerate(EDGES):
                if end != target or self.operations[edge] == "none":
                    continue
                skips = self.operations[edge] == "skip_connect"
                term = nodes[source] if skips else self.layers[str(edge)](nodes[source])
                total = term if total is None else total + term
            nodes.append(torch.zeros_like(features) if total is None else total)
        return nodes[3]


class Reduction(nn.Module):
    """The residual block that halves the map between two stages, with an average pool in its shortcut."""

    def __init__(self, inputs: int, outputs: int, drop_path: float) -> None:
        super().__init__()
        self.conv_a = PreActivation(inputs, outputs, 3, 2)
        self.conv_b = PreActivation(outputs, outputs, 3)
        pool = nn.AvgPool2d(2, stride=2, ceil_mode=True)  # rounds up as the convolution does; the same on even sides
        self.downsample = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.downsample(features) + self.drop_path(self.conv_b(self.conv_a(features)))


class CellNetwork(Network):
    """NAS-Bench-201 (C=16, N=5): stem, three stages of five cells with reductions between, batch norm and ReLU.

    Attribute names, and so the keys of the state dict, are those of the benchmark's own networks.
    """

    order: tuple[str, ...] = ("stem", "cells", "lastact")

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__(space, architecture, settings)
        widths = [space.scaled(width) for width in WIDTHS]
        rates = drop_path_rates(settings.drop_path, 2)
        cells: list[nn.Module] = []
        for stage, width in enumerate(widths):
            if stage:
                cells.append(Reduction(widths[stage - 1], width, rates[stage - 1]))
            cells += [Cell(architecture, width) for _ in range(CELLS_A_STAGE)]
        self.stem = _convolution(3, widths[0], 3, relu=False)
        self.cells = nn.Sequential(*cells)
        self.lastact = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
        self.taps = {f"stage {stage}": (width, 2**stage) for stage, width in enumerate(widths)}
        if not self.features_only:
            self.add_classifier(widths[-1], settings.dropout)

    def forward_maps(self, images: Tensor) -> list[Tensor]:
        """Return the ends of the three stages, the last one behind its batch norm and ReLU."""
        features, maps = self.stem(images), []
        for number, cell in enumerate(self.cells, start=1):
            features = cell(features)
            if number % (CELLS_A_STAGE + 1) == CELLS_A_STAGE:
                maps.append(features)
        return [*maps[:-1], self.lastact(maps[-1])]
