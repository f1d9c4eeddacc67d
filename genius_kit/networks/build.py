"""Building the network of an architecture, whatever its space."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from genius_kit.errors import InvalidParameter
from genius_kit.networks.base import NetworkSettings
from genius_kit.spaces import SearchSpace


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
    """Return the network of `architecture`: images (B, 3, S, S) to logits (B, num_classes), `classifier` last.

    `num_classes` and `image_size` default as in `count_cost`; only transformers are built for one image size.
    `dropout` comes before the classifier; `drop_path` is the rate of the last residual block, from 0 at the first.
    `features_only` gives a network that returns feature maps, finest first, with `channels` and `strides`: the ends
    of stages 1, 2, 4 and of layer 32 (strides 4, 8, 16, 32) in the ImageNet space, of each resolution elsewhere.
    That of a private signal cell takes signals (B, values). Raises InvalidArchitecture, InvalidParameter.
    """
    values = space.check(architecture)
    classes, size = space.sizes(num_classes, image_size)
    for name, rate in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise InvalidParameter(f"{name} {rate!r} came, expected a number from 0 up to, not including, 1")
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
    module, name = space.network.split(".")
    return getattr(importlib.import_module(f"genius_kit.networks.{module}"), name)
