"""Parts of a network that stay as they are while the rest learns; the keys of its state dict do not change."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: nn.Module) -> None:
    """Keep every weight and running statistic of `network` as it is, in training too."""
    network.requires_grad_(False)
    freeze_norms(network)


def freeze_norms(network: nn.Module) -> None:
    """Keep the batch norms of `network` as they are, in training too: they normalise by their running statistics."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.requires_grad_(False)
            module.register_forward_pre_hook(_evaluates)


def _evaluates(module: nn.Module, inputs: Any) -> None:
    module.eval()
