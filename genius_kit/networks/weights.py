"""Weights loaded into a network from a state dict or a checkpoint, or refused by naming what does not fit."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genius_kit.errors import InvalidParameter

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
