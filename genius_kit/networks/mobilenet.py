"""The network of the ImageNet space, built from timm's blocks.

Attribute names are those of the authors' code (mingkai-zheng/GENIUS, imagenet/network), and so are the keys of its
state dict: published GENIUS-329 and GENIUS-401 checkpoints load strictly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from timm.layers import create_conv2d, make_divisible
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual, SqueezeExcite
from timm.models._efficientnet_builder import efficientnet_init_weights
from torch import Tensor, nn

from genius_kit.networks.base import Network, NetworkSettings, stages_without_skips
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.layers import HEAD_CHANNELS
from genius_kit.spaces.mobilenet import LAST, STEM, STRIDES, WIDTHS

_BLOCKS = tuple((kernel, expansion) for expansion in (4, 6) for kernel in (3, 5, 7))
_SQUEEZE: Any = partial(
    SqueezeExcite,
    rd_ratio=0.25,
    rd_round_fn=partial(make_divisible, divisor=8),
    gate_layer=nn.Hardsigmoid,
    force_act_layer=nn.ReLU,
)
_TAPPED = {"stage1": 4, "stage2": 8, "stage4": 16, "stage6": 32}
"""Where feature maps are taken, and their strides: the last part at each resolution, layer 32 included."""


class ImageNetNetwork(Network):
    """Stem, a depthwise separable layer (stage0), five searched stages, a 1x1 layer (stage6), pool and head.

    Squeeze-excite is in every block, activations are torch's fused hard-swish and hard-sigmoid.
    """

    order: tuple[str, ...] = ("conv_stem", "bn1", "act1", *(f"stage{number}" for number in range(7)))
    head_parts = ("conv_head", "classifier")

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__(space, architecture, settings)
        stem, last, head = (space.scaled(count) for count in (STEM, LAST, HEAD_CHANNELS))
        widths = [space.scaled(width) for width in WIDTHS]
        self.conv_stem = create_conv2d(3, stem, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(stem)
        self.act1 = nn.Hardswish(inplace=True)
        self.stage0 = DepthwiseSeparableConv(stem, stem, act_layer=nn.Hardswish, se_layer=_SQUEEZE)
        for number, stage in enumerate(_stages(space, architecture, [stem, *widths], settings.drop_path), start=1):
            self.add_module(f"stage{number}", stage)
        self.stage6 = ConvBnAct(widths[-1], last, 1, act_layer=nn.Hardswish)
        ends = dict(zip(("stage1", "stage2", "stage3", "stage4", "stage5"), widths, strict=True)) | {"stage6": last}
        self.taps = {name: (ends[name], stride) for name, stride in _TAPPED.items()}
        if not self.features_only:
            self.add_classifier(head, settings.dropout)
            self.conv_head = create_conv2d(last, head, 1, bias=True)
            self.act2 = nn.Hardswish(inplace=True)
        efficientnet_init_weights(self)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.act2(self.conv_head(self.global_pool(features))).flatten(1)  # (B, 1280)


def _stages(
    space: SearchSpace, architecture: Sequence[int], widths: Sequence[int], drop_path: float
) -> list[nn.Sequential]:
    """Return the five stages; `widths` begins with the stem's. Skips leave nothing, but in a stage's first layer."""
    stages = []
    for number, ((first, _), *rest) in enumerate(stages_without_skips(space, architecture, drop_path)):
        inputs, outputs = widths[number], widths[number + 1]
        layers = [_layer(first, inputs, outputs, STRIDES[number])]
        layers += [_layer(option, outputs, outputs, 1, rate) for option, rate in rest]
        stages.append(nn.Sequential(*layers))
    return stages


def _layer(option: int, inputs: int, outputs: int, stride: int, drop_path: float = 0.0) -> nn.Module:
    if option == 0:  # as the first layer of a stage: no activation, under the name that the authors gave it
        convolution = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        return nn.Sequential(OrderedDict(downsample=convolution))
    kernel, expansion = _BLOCKS[option - 1]
    return InvertedResidual(
        inputs,
        outputs,
        dw_kernel_size=kernel,
        stride=stride,
        exp_ratio=expansion,
        act_layer=nn.Hardswish,
        se_layer=_SQUEEZE,
        drop_path_rate=drop_path,
    )
