"""Where a training computes: the device, and the number format it computes in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from genius_kit.errors import InvalidParameter

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for; None takes a CUDA GPU where there is one, else the CPU (mps only when asked).

    Under torchrun each process of a machine gets the GPU of its LOCAL_RANK. Raises InvalidParameter for a device that
    is not known or not there, and for more processes on a machine than it has GPUs.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise InvalidParameter(f"device {device!r} is not known; use 'cpu', 'cuda', 'cuda:1' or 'mps'") from None
    if chosen.type == "cuda":
        return _gpu(chosen)
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidParameter("device 'mps' is not available here; use 'cpu', or leave the device out")
    if chosen.type not in ("cpu", "mps"):
        raise InvalidParameter(f"device {device!r} is not supported; use 'cpu', 'cuda' or 'mps'")
    return chosen


def _gpu(chosen: torch.device) -> torch.device:
    if not torch.cuda.is_available():
        raise InvalidParameter(f"device {str(chosen)!r} was asked for, but torch sees no CUDA GPU; use 'cpu'")
    gpus = torch.cuda.device_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes > 1:
        if processes > gpus:
            raise InvalidParameter(
                f"{processes} processes on this machine, but {gpus} GPU{'s' * (gpus != 1)}: start torchrun with "
                f"--nproc-per-node {gpus}, or train on the CPU with device 'cpu'"
            )
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    index = torch.cuda.current_device() if chosen.index is None else chosen.index
    if index >= gpus:
        raise InvalidParameter(f"device 'cuda:{index}' was asked for, but there are {gpus} GPUs, counted from 0")
    return torch.device("cuda", index)


def choose_precision(device: torch.device, precision: str = "auto") -> str:
    """Return "float32", "bfloat16" or "float16"; "auto" takes a smaller format on GPUs only.

    There it is bfloat16 where the GPU computes in it, else float16 (with a scaled loss). On a CPU "auto" is float32,
    so that a result does not depend on the make of the CPU: a step in bfloat16 took 5.6 times as long as in float32
    without instructions for it and 1.2 times as long with AVX512-BF16.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context in which a forward pass computes in `precision`."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=FORMATS[precision])


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` CPU threads, and give back what there were."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def torch_state(device: torch.device) -> Iterator[None]:
    """Let cuDNN choose its algorithms by trial; give that setting and torch's random numbers back as they were."""
    benchmark = torch.backends.cudnn.benchmark
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.backends.cudnn.benchmark = True  # the images of a training all have one size
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
