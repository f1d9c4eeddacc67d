"""What the torch networks of all search spaces have in common: the attribute `classifier` comes last.

A skipped layer leaves no module, so that isomorphic designs have the same state dict. Layers are initialised as in
the work that trained the tables: torch's defaults (Kaiming, uniform) in the CIFAR spaces, timm's EfficientNet
initialisation in the ImageNet space, timm's for transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

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
        """Pixels of the image a side for one of each feature map, finest first."""
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
