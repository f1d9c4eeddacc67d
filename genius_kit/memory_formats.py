"""The memory format of a training, and the one case in which channels_last is not safe on a CPU.

In the backward pass of a 1x1 convolution with a stride, oneDNN writes past its buffer where the images are in
channels_last and have fewer channels than a vector holds floats: 8 with AVX2, 16 with AVX-512. Then the gradient is
wrong, the heap is damaged, or the process dies. oneDNN knows of it as "1x1 convolution backward_weights writes past
the rtus workspace"; version 3.12.0, which torch 2.14.1 brings, has it. Contiguous memory, forward passes, larger
kernels and strides of 1 are not concerned (tests/test_memory_formats.py measures them); GPUs do not use oneDNN.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import torch
    from torch import nn

NARROW = 16
"""Input channels from which on a 1x1 convolution with a stride is safe on every CPU, whatever its vectors are."""


def memory_format(network: nn.Module, device: torch.device, channels_last: bool) -> torch.memory_format:
    """Return the format to train `network` in: channels_last where it is wanted and safe, else contiguous.

    The rule does not ask which vectors the CPU has, so that the same training gives the same bits on all of them.
    """
    import torch

    is_safe = device.type != "cpu" or not has_narrow_strides(network)
    return torch.channels_last if channels_last and is_safe else torch.contiguous_format


def has_narrow_strides(network: nn.Module) -> bool:
    """Return whether `network` has a 1x1 convolution with a stride and fewer than `NARROW` input channels."""
    from torch import nn

    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(
        one.kernel_size == (1, 1) and max(one.stride) > 1 and one.in_channels // one.groups < NARROW
        for one in convolutions
    )


def is_narrow(space: SearchSpace, architecture: Sequence[int]) -> bool:
    """Return what `has_narrow_strides` says of the architecture's network, without building it.

    Such a convolution is option 0 as the first layer of a stage that halves its input.
    """
    return any(
        architecture[first] == 0 and stride > 1 and space.scaled(inputs) < NARROW
        for (first, *_), (inputs, stride) in zip(space.stages, space.stage_inputs, strict=False)
    )


def name_of(layout: torch.memory_format) -> str:
    """Return the name under which a format is recorded: torch's own, "channels_last" or "contiguous_format"."""
    return str(layout).removeprefix("torch.")


def warn_if_suspect(place: str | Path, result: Mapping[str, Any], channels_last: bool, is_narrow: bool) -> None:
    """Warn that a training on record may be wrong: it took on a CPU what `memory_format` no longer allows.

    `result` holds its `device` and its `memory_format`, which older records lack; `channels_last` is the recipe's.
    """
    was_last = result.get("memory_format") in (None, "channels_last")
    if is_narrow and channels_last and was_last and str(result.get("device")).startswith("cpu"):
        warnings.warn(_suspicion(place, "it was trained"), stacklevel=3)


def warn_if_suspect_run(
    place: str | Path | None, run: Mapping[str, Any], space: SearchSpace, evaluations: Sequence[Mapping[str, Any]]
) -> None:
    """Warn of the evaluations of a run on record that may be wrong; nothing tells where these were trained."""
    made_by = run.get("benchmark_settings", {})
    recipe = made_by.get("recipe")
    if made_by.get("kind") != "train" or not isinstance(recipe, Mapping) or not recipe.get("channels_last"):
        return
    untold = (one for one in evaluations if "memory_format" not in one and one["feedback"] is not None)
    count = sum(is_narrow(space, one["architecture"]) for one in untold)
    if count:
        warnings.warn(_suspicion(place, f"{count} of its {len(evaluations)} evaluations were trained"), stacklevel=5)


def _suspicion(place: str | Path | None, what: str) -> str:
    return (
        f"{place}: {what} with 1x1 convolutions of stride 2 on fewer than {NARROW} channels in channels_last, which on "
        "a CPU can damage memory and gradients; do not rely on it, train again"
    )
