"""RetinaNet on the ImageNet space: torchvision's detector with a searched network as its backbone.

Source: Lin et al., Focal Loss for Dense Object Detection (ICCV 2017); the paper's table 6 measures its network so.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.networks import build_network, load_weights
from genius_kit.networks.base import Weights
from genius_kit.spaces import SearchSpace
from genius_kit.training.finetune import fingerprint, freeze_norms

STRIDES = (8, 16, 32)
ASPECT_RATIOS = (0.5, 1.0, 2.0)
SCALES_AN_OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


class Pyramid(nn.Module):
    """A backbone and the feature pyramid on its maps at strides 8, 16 and 32.

    forward(images (B, 3, H, W)) -> five maps of `out_channels` channels at strides 8 to 128, p3 to p7; p6 is made
    from the backbone's last map, as in the RetinaNet paper.
    """

    def __init__(self, body: nn.Module, strides: Sequence[int], widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.body = body
        self.out_channels = out_channels
        # the last map of a stride has seen the most layers
        self._chosen = [max(i for i, stride in enumerate(strides) if stride == wanted) for wanted in STRIDES]
        inputs = [widths[i] for i in self._chosen]
        self.fpn = FeaturePyramidNetwork(inputs, out_channels, extra_blocks=LastLevelP6P7(inputs[-1], out_channels))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        levels = self.fpn(OrderedDict((f"p{level}", maps[i]) for level, i in enumerate(self._chosen, start=3)))
        # anchors take the type of the maps, and in half precision they would be whole pixels away
        return {name: level.float() for name, level in levels.items()}


class _Head(RetinaNetHead):
    """RetinaNet's head with float32 outputs, so that boxes are encoded and decoded exactly under autocast.

    The paper draws its weights for 256 channels; a narrower head's are scaled so that signals shrink no faster.
    """

    def __init__(self, channels: int, anchors: int, num_classes: int) -> None:
        super().__init__(channels, anchors, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data *= math.sqrt(256 / channels)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {name: output.float() for name, output in super().forward(x).items()}


def build_detector(
    space: SearchSpace,
    architecture: Sequence[int],
    num_classes: int,
    *,
    weights: Weights | None = None,
    image_size: tuple[int, int] = (800, 1333),
    channels: int = 256,
    anchor_size: int = 32,
    frozen_norm: bool | None = None,
    seed: int = 0,
) -> RetinaNet:
    """Return a RetinaNet for `num_classes` classes on a network of the ImageNet space, narrower ones included.

    Its forward takes a list of images (3, H, W) in 0..1, in training with targets (`boxes`, `labels` from 0), and
    returns losses, or `boxes`, `labels` and `scores` an image. `weights` is a classification checkpoint of the same
    architecture: its classifier is left out, the rest must fit exactly. `image_size` bounds the shorter and longer
    side in pixels, to which images are scaled; `channels` is the pyramid's width and `anchor_size` the side in pixels
    of the smallest anchor, doubled at each of the five levels. `frozen_norm` keeps the backbone's batch norms as they
    are, scale and shift included; None does so where there are weights. What is not loaded is drawn from `seed`. The
    attribute `fingerprint` is the SHA-256 of the weights it begins with.
    Raises InvalidParameter for another space, a class count below 1, or weights of another architecture.
    """
    if not space.in_stages:
        raise InvalidParameter(
            f"a detector needs feature maps at strides {STRIDES}, which only mobilenet-imagenet has, got {space.name}"
        )
    check_integer("num_classes", num_classes, 1)
    short, long = image_size
    if not 0 < short <= long:
        raise InvalidParameter(f"image_size must be (shorter side, longer side) in pixels, got {image_size}")
    anchors = anchor_generator(anchor_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _backbone(space, architecture, weights, weights is not None if frozen_norm is None else frozen_norm)
        pyramid = Pyramid(body, body.strides, body.channels, channels)
        head = _Head(channels, anchors.num_anchors_per_location()[0], num_classes)
    detector = RetinaNet(
        pyramid,
        num_classes,
        min_size=short,
        max_size=long,
        anchor_generator=anchors,
        head=head,
        detections_per_img=100,
    )
    detector.fingerprint = fingerprint(detector.state_dict())
    return detector


def anchor_generator(smallest: int) -> AnchorGenerator:
    """Return RetinaNet's anchors: three scales an octave by three aspect ratios at each of five levels."""
    sides = [[smallest * 2**level * scale for scale in SCALES_AN_OCTAVE] for level in range(5)]
    return AnchorGenerator(tuple(tuple(level) for level in sides), (ASPECT_RATIOS,) * 5)


def _backbone(space: SearchSpace, architecture: Sequence[int], weights: Any, frozen_norm: bool) -> Any:
    body: Any = build_network(space, architecture, features_only=True)
    if weights is not None:
        load_weights(body, weights)
    if frozen_norm:
        freeze_norms(body)
    return body
