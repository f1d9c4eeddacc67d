"""Small networks of signals, one cell under several seeds at once, for tables that a CPU fills in an hour.

The weights have a leading dimension for the seeds, and a convolution is one batched product of them with the windows of
its input: on a CPU many times quicker than as many small convolutions. See `spaces.signal_cell` for what a cell is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from genius_kit.errors import InvalidParameter
from genius_kit.networks.base import NetworkSettings
from genius_kit.spaces import Architecture
from genius_kit.spaces.signal_cell import (
    FIRST_RULES,
    STEM_KERNEL,
    STEM_STRIDE,
    Edge,
    SignalRules,
    SignalSpace,
    active_edges,
    channels_of,
    normalised_nodes,
)


class SeededNorm(nn.Module):
    """A batch norm a seed, of values (seeds, channels, signals, length).

    `fused` is torch's own, half as long again as quick; it rounds otherwise, and the tables of the first rules were
    made without it.
    """

    momentum, epsilon = 0.1, 1e-5

    def __init__(self, seeds: int, channels: int, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.scale = nn.Parameter(torch.ones(seeds, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(seeds, channels, 1, 1))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(seeds, channels, 1, 1))
        self.register_buffer("variance", torch.ones(seeds, channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return the values normalised, while training by their own mean and variance."""
        if self.fused:
            flat = values.reshape(1, -1, values.shape[2] * values.shape[3])  # seeds and channels are all channels here
            mean, variance, scale, shift = (
                kept.view(-1) for kept in (self.mean, self.variance, self.scale, self.shift)
            )
            normed = nn.functional.batch_norm(
                flat, mean, variance, scale, shift, self.training, self.momentum, self.epsilon
            )
            return normed.view(values.shape)
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(values, dim=(2, 3), keepdim=True, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        scale = self.scale * torch.rsqrt(variance + self.epsilon)
        return torch.addcmul(self.shift - mean * scale, values, scale)


class SeededCells(nn.Module):
    """The network of one cell under several seeds: stem, cell, mean over the signal, linear layer."""

    def __init__(
        self,
        architecture: Sequence[int],
        operations: Sequence[str],
        classes: int,
        seeds: Sequence[int],
        rules: SignalRules = FIRST_RULES,
    ) -> None:
        super().__init__()
        self.edges, self.rules = active_edges(architecture, operations), rules
        width = channels_of(self.edges, classes, rules)
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.stem = _weights(draws, width, STEM_KERNEL)
        self.convolutions = nn.ParameterDict(
            {_name(edge): _weights(draws, width, edge.kernel * width) for edge in self.edges if edge.kernel}
        )
        normalised = normalised_nodes(self.edges, rules)
        fused = rules != FIRST_RULES
        self.norms = nn.ModuleDict({str(node): SeededNorm(len(seeds), width, fused) for node in normalised})
        self.classifier = _weights(draws, classes, width, gain=1.0)
        self.bias = nn.Parameter(torch.zeros(len(seeds), classes, 1))

    def forward(self, signals: Tensor) -> Tensor:
        """Return the logits (seeds, classes, signals) of signals of shape (seeds, signals, values)."""
        nodes: dict[int, Tensor] = {0: self._normalised(0, self._stem(signals))}
        for target in (1, 2, 3):
            terms = [self._carried(edge, nodes[edge.source]) for edge in self.edges if edge.target == target]
            if terms:
                nodes[target] = self._normalised(target, reduce(_JOINS[self.rules.join], terms))
        active = torch.relu(nodes[3])
        pooled = active.mean(dim=3) if self.rules.readout == "mean" else active.amax(dim=3)
        return torch.bmm(self.classifier, pooled) + self.bias

    def _normalised(self, node: int, values: Tensor) -> Tensor:
        name = str(node)
        return self.norms[name](values) if name in self.norms else values

    def _stem(self, signals: Tensor) -> Tensor:
        seeds, count, _ = signals.shape
        around = STEM_KERNEL // 2
        windows = nn.functional.pad(signals, (around, around)).unfold(2, STEM_KERNEL, STEM_STRIDE)
        length = windows.shape[2]
        flat = windows.reshape(seeds, count * length, STEM_KERNEL).transpose(1, 2)
        return torch.bmm(self.stem, flat).view(seeds, -1, count, length)

    def _carried(self, edge: Edge, values: Tensor) -> Tensor:
        return self._convolved(edge, torch.relu(values)) if edge.kernel else carried(edge.operation, values)

    def _convolved(self, edge: Edge, values: Tensor) -> Tensor:
        seeds, channels, count, length = values.shape
        if edge.kernel > 1:
            around = edge.dilation * (edge.kernel // 2)
            padded = nn.functional.pad(values, (around, around))
            starts = range(0, 2 * around + 1, edge.dilation)
            values = torch.cat([padded[..., start : start + length] for start in starts], dim=1)
        flat = values.reshape(seeds, edge.kernel * channels, count * length)
        return torch.bmm(self.convolutions[_name(edge)], flat).view(seeds, channels, count, length)


def carried(operation: str, values: Tensor) -> Tensor:
    """Return what an operation without weights makes of values (..., length)."""
    name, _, number = operation.rpartition("_")
    if operation == "absolute":
        return values.abs()
    if operation == "reverse":
        return values.flip(-1)
    if name == "shift":
        return _delayed(values, int(number))
    if name == "difference":
        return values - _delayed(values, int(number))
    if name in ("mean", "maximum"):
        return _pooled(name, int(number), values)
    return values


def _delayed(values: Tensor, places: int) -> Tensor:
    return nn.functional.pad(values[..., :-places], (places, 0))


def _pooled(name: str, kernel: int, values: Tensor) -> Tensor:
    """Return mean or maximum over `kernel` places, zeros outside."""
    padded, length = nn.functional.pad(values, (kernel // 2, kernel // 2)), values.shape[-1]
    parts = [padded[..., start : start + length] for start in range(kernel)]
    return reduce(torch.maximum, parts) if name == "maximum" else sum(parts[1:], parts[0]) / kernel


_JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "maximum": torch.maximum,
    "product": torch.mul,
}


class SignalNetwork(SeededCells):
    """The network of one private cell under one seed, drawn from torch's generator: what `build_network` returns."""

    def __init__(self, space: SignalSpace, architecture: Architecture, settings: NetworkSettings) -> None:
        if settings.features_only or settings.dropout or settings.drop_path:
            raise InvalidParameter(f"networks of {space.name} have no dropout, no drop path and no feature maps")
        seed = int(torch.randint(2**62, ()))
        super().__init__(architecture, space.options, settings.num_classes, (seed,), space.rules)
        self.space_name, self.key, self.num_classes = space.name, space.key(architecture), settings.num_classes

    def forward(self, signals: Tensor) -> Tensor:
        """Return logits (B, num_classes) of signals (B, values)."""
        return super().forward(signals.unsqueeze(0))[0].T


def _name(edge: Edge) -> str:
    return f"{edge.source}-{edge.target}"


def _weights(draws: Sequence[torch.Generator], outputs: int, inputs: int, gain: float = 2.0) -> nn.Parameter:
    drawn = [torch.randn(outputs, inputs, generator=draw) for draw in draws]
    return nn.Parameter(torch.stack(drawn) * math.sqrt(gain / inputs))
