"""The network of an architecture, whatever its space, and what all have in common: `classifier` comes last.

A skipped layer leaves no module, so that isomorphic architectures have the same state dict. Layers are initialised as
in the work that trained the tables: torch's defaults (Kaiming, uniform) in the CIFAR spaces, timm's EfficientNet
initialisation in the ImageNet space, timm's for transformers.
"""

from __future__ import annotations

import importlib
import pickle
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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


_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "network", "weights")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
_SHOWN = 3
_DAMAGE: tuple[type[Exception], ...] = (
    pickle.UnpicklingError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
"""What torch's reader of pickles raises on bytes that are none."""


Weights = Mapping[str, Any] | str | Path
"""A state dict, or the file of one."""


def load_weights(network: nn.Module, state: Weights, *, strict: bool = True) -> None:
    """Load weights into a network in place; nothing is changed when they do not fit.

    A features-only network takes the weights of the whole network.

    Parameters
    ----------
    network
        The network to fill.
    state
        A state dict or the path of a file with one, as `read_weights` takes it.
    strict
        False allows missing and unexpected keys, but no other shape.

    Raises
    ------
    InvalidParameter
        Weights that do not fit; the message names the first keys that differ, and what to do.
    """
    found = read_weights(state)
    if getattr(network, "features_only", False):
        dropped = getattr(network, "head_parts", ("classifier",))
        found = {key: value for key, value in found.items() if key.partition(".")[0] not in dropped}
    differences = _differences(network.state_dict(), found, strict)
    if differences:
        raise InvalidParameter(
            f"{_source(state)} does not fit {_words(network)}: {'; '.join(differences)}. This checkpoint is of "
            "another architecture or class count: build the network it was saved from (its space, architecture and "
            "num_classes), load it there, and replace the attribute `classifier` for other classes"
        )
    network.load_state_dict(found, strict=strict)


def read_weights(weights: Weights) -> dict[str, Tensor]:
    """Return a state dict, from a file without running code from it where a path is given.

    One inside a checkpoint (under "state_dict", "model", ...; an averaged one first) is found, and the prefix of
    DistributedDataParallel or torch.compile is dropped. Raises InvalidParameter, naming the file.
    """
    return _state_dict(weights if isinstance(weights, Mapping) else _read(Path(weights)), _source(weights))


def _source(weights: Weights) -> str:
    return "the state dict" if isinstance(weights, Mapping) else str(weights)


def _read(path: Path) -> Any:
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise InvalidParameter(f"no weights can be read at {path} ({error}); give the path of a state dict") from error
    except _DAMAGE as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InvalidParameter(
            f"{path} is damaged, or holds more than tensors and is not opened for safety ({reason}); save a state dict "
            "with torch.save(network.state_dict(), path)"
        ) from error


def _state_dict(content: Any, source: str) -> dict[str, Tensor]:
    """Return the state dict in `content`, unwrapped and without prefixes."""
    while isinstance(content, Mapping) and not all(isinstance(value, Tensor) for value in content.values()):
        inner = [content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        content = inner[0] if inner else None
    if not isinstance(content, Mapping) or not content or not all(isinstance(key, str) for key in content):
        raise InvalidParameter(
            f"{source} holds no state dict, neither by itself nor under {', '.join(_WRAPPERS)}; give a mapping "
            "from names to tensors, as network.state_dict() gives"
        )
    state = {key: value for key, value in content.items() if key != "n_averaged"}  # torch's AveragedModel counts there
    while (prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None)) and state:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _differences(own: Mapping[str, Tensor], found: Mapping[str, Tensor], strict: bool) -> list[str]:
    """Return in words how `found` differs from what is expected: missing keys, unexpected ones, other shapes."""
    shared = [key for key in own if key in found]
    shapes = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(own[key].shape)}"
        for key in shared
        if found[key].shape != own[key].shape
    ]
    differences = [f"shapes of {_first(shapes)}"] * bool(shapes)
    if strict or not shared:
        missing = [key for key in own if key not in found]
        unexpected = [key for key in found if key not in own]
        differences += [f"missing {_first(missing)}"] * bool(missing)
        differences += [f"unexpected {_first(unexpected)}"] * bool(unexpected)
    return differences


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _words(network: nn.Module) -> str:
    if not hasattr(network, "space_name"):
        return type(network).__name__
    return f"{network.space_name} {network.key} with {network.num_classes} classes"
