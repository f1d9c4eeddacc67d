"""Latency: how long one forward pass of a network takes on the present device."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.networks import build_network
from genius_kit.spaces import SearchSpace
from genius_kit.training.runtime import FORMATS, autocast, choose_device, evaluating


@dataclass(frozen=True)
class Latency:
    """The time of one forward pass of a batch: `median`, `p10` and `p90` in seconds over `n` passes.

    `device` says which processor it was in words; `threads` counts those of torch on a CPU, and is None elsewhere.
    """

    median: float
    p10: float
    p90: float
    n: int
    batch_size: int
    image_size: int
    device: str
    threads: int | None
    precision: str


def measure_latency(
    network: nn.Module,
    *,
    image_size: int,
    batch_size: int = 1,
    device: str | torch.device | None = None,
    warmup: int = 10,
    repeats: int = 50,
    channels_last: bool = True,
    precision: str = "float32",
) -> Latency:
    """Return the latency of `network` in evaluation mode, `image_size` in pixels per side, after `warmup` passes.

    `device` defaults to a GPU if there is one; the time is that of CUDA events there and of a clock elsewhere.
    `precision` below float32 is autocast. The network is moved to the device, and its mode is given back.
    Raises InvalidParameter.
    """
    for name, value, least in (
        ("image_size", image_size, 1), ("batch_size", batch_size, 1), ("warmup", warmup, 0), ("repeats", repeats, 1),
    ):  # fmt: skip
        check_integer(name, value, least)
    if precision not in FORMATS:
        raise InvalidParameter(f"precision {precision!r} is not one of {', '.join(FORMATS)}")
    device = choose_device(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.randn(batch_size, 3, image_size, image_size).to(device, memory_format=layout)
    network.to(device, memory_format=layout)  # type: ignore[call-overload]
    with evaluating(network), torch.inference_mode(), autocast(device, precision):
        seconds = time_calls(lambda: network(images), device, warmup=warmup, repeats=repeats)
    median, p10, p90 = spread(seconds)
    threads = torch.get_num_threads() if device.type == "cpu" else None
    return Latency(median, p10, p90, repeats, batch_size, image_size, device_name(device), threads, precision)


def latency_of(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    **settings: Any,
) -> Latency:
    """Return the latency of one network as measured on the present device, in seconds; the weights are random.

    `num_classes` and `image_size` default as in `count_cost`; `settings` go to `measure_latency` (batch
    size, device, precision, warm-up, repeats). Raises InvalidArchitecture, InvalidParameter.
    """
    space.check_images()
    classes, side = space.sizes(num_classes, image_size)
    network = build_network(space, architecture, num_classes=classes, image_size=side)
    return measure_latency(network, image_size=side, **settings)


def time_calls(call: Callable[[], object], device: torch.device, *, warmup: int, repeats: int) -> list[float]:
    """Return the seconds of `repeats` calls after `warmup` unmeasured ones."""
    for _ in range(warmup):
        call()
    return [time_call(call, device) for _ in range(repeats)]


def time_call(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call: CUDA events around it on a GPU, a monotonic clock elsewhere."""
    if device.type != "cuda":
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    stream = torch.cuda.current_stream(device)
    begin.record(stream)
    call()
    end.record(stream)
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1e3


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the median, the tenth and the ninetieth percentile."""
    median, low, high = np.percentile(values, [50, 10, 90])
    return float(median), float(low), float(high)


def device_name(device: torch.device) -> str:
    """Return the processor in words: the GPU's name, or the CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device)
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
