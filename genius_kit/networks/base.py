"""The network of an architecture, whatever its space, and what all have in common: `classifier` comes last.

A skipped layer leaves no module, so that isomorphic architectures have the same state dict. Layers are initialised as
in the work that trained the tables: torch's defaults (Kaiming, uniform) in the CIFAR spaces, timm's EfficientNet
initialisation in the ImageNet space, timm's for transformers.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import SearchSpace


@dataclass(frozen=True)
class NetworkSettings:
    """What a network is built with besides its architecture; see `build_network`."""

    num_classes: int
    image_size: int
    dropout: float = 0.0
    drop_path: float = 0.0
    features_only: bool = False


class Network(nn.Module):
    """A convolutional network: the parts named in `order` one after the other, a global pool, the head, `classifier`.

    A subclass sets the parts, and gives `taps`: (channels, stride) of the feature map behind a part. These maps are
    what a features-only network returns, which has no parts behind the last of them. `head_parts` names the parts
    that a features-only network lacks.
    """

    order: tuple[str, ...] = ()
    head_parts: tuple[str, ...] = ("classifier",)

    def __init__(self, space: SearchSpace, architecture: Sequence[int], settings: NetworkSettings) -> None:
        super().__init__()
        self.space_name, self.key = space.name, space.key(architecture)
        self.num_classes, self.image_size = settings.num_classes, settings.image_size
        self.features_only = settings.features_only
        self.taps: dict[str, tuple[int, int]] = {}

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each feature map, finest first."""
        return tuple(channels for channels, _ in self.taps.values())

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the image per side for one of each feature map, finest first."""
        return tuple(stride for _, stride in self.taps.values())

    def add_classifier(self, inputs: int, dropout: float) -> None:
        """Add the pool, the dropout and the linear layer; not to a features-only network."""
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(inputs, self.num_classes)

    def forward_maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps (B, channels[i], S / strides[i], S / strides[i]), finest first."""
        features, maps = images, []
        for name in self.order:
            features = getattr(self, name)(features)
            if name in self.taps:
                maps.append(features)
        return maps

    def forward_features(self, images: Tensor) -> Tensor:
        """Return what the pool sees."""
        features = images
        for name in self.order:
            features = getattr(self, name)(features)
        return features  # (B, C, H, W)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return what the dropout and the classifier see."""
        return self.global_pool(features).flatten(1)  # (B, C)

    def forward(self, images: Tensor) -> Any:
        """Return logits (B, num_classes) of images (B, 3, S, S), or the list of feature maps when features-only."""
        if self.features_only:
            return self.forward_maps(images)
        return self.classifier(self.dropout(self.forward_head(self.forward_features(images))))


def stages_without_skips(
    space: SearchSpace, architecture: Sequence[int], drop_path: float
) -> list[list[tuple[int, float]]]:
    """Return the options of each stage with their drop path rates; only a stage's first layer keeps an option 0.

    The rates rise linearly from 0 to `drop_path` over the layers that are not the first of a stage, as only these
    are residual.
    """
    stages = [[architecture[position] for position in stage] for stage in space.stages]
    rates = iter(drop_path_rates(drop_path, sum(option > 0 for _, *rest in stages for option in rest)))
    return [[(first, 0.0), *((option, next(rates)) for option in rest if option)] for first, *rest in stages]


def drop_path_rates(drop_path: float, blocks: int) -> list[float]:
    """Return the rate of each of `blocks` residual blocks, linear from 0 to `drop_path`."""
    return [float(drop_path * block / max(1, blocks - 1)) for block in range(blocks)]


def build_network(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    features_only: bool = False,
) -> nn.Module:
    """Return the network of an architecture: images (B, 3, S, S) to logits (B, num_classes), `classifier` last.

    The network of a private signal cell takes signals (B, values).

    Parameters
    ----------
    space
        The space of the architecture.
    architecture
        One option index per position.
    num_classes
        Number of classes; default as in `count_cost`.
    image_size
        Pixels per side, which only transformers need; default as in `count_cost`.
    dropout
        Rate of the dropout before the classifier.
    drop_path
        Rate of stochastic depth at the last residual block, rising from 0 at the first.
    features_only
        Return feature maps instead, finest first, with `channels` and `strides`: the ends of stages 1, 2, 4 and of
        layer 32 (strides 4, 8, 16, 32) in the ImageNet space, of each resolution elsewhere.

    Raises
    ------
    InvalidArchitecture, InvalidParameter
        An architecture that is not of the space, or a size that its network cannot have.
    """
    values = space.check(architecture)
    classes, size = space.sizes(num_classes, image_size)
    for name, rate in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise InvalidParameter(f"{name} must be a number from 0 up to, not including, 1, got {rate!r}")
    settings = NetworkSettings(classes, size, float(dropout), float(drop_path), features_only)
    return _network_class(space)(space, values, settings)


_SEEDING = threading.Lock()
"""Held while weights are drawn: searches run in threads, and torch's generator is one for them all."""


def build_seeded(space: SearchSpace, architecture: Sequence[int], seed: int, **settings: Any) -> nn.Module:
    """Return the network of `build_network(space, architecture, **settings)`, its weights drawn from `seed` alone."""
    with _SEEDING, torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build_network(space, architecture, **settings)


def _network_class(space: SearchSpace) -> Any:
    if not space.network:
        raise InvalidParameter(f"{space.name} has no networks: its class names none (`network`)")
    module, mark, name = space.network.rpartition(":")  # "my_networks:Tiny" is one of the user's own
    if not mark:
        module, _, name = f"genius_kit.networks.{space.network}".rpartition(".")
    return getattr(importlib.import_module(module), name)
