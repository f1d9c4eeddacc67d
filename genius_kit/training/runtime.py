"""Where a training runs: its device, and the processes of a distributed one."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from genius_kit.errors import InvalidParameter
from genius_kit.training.recipes import Recipe

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
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and give every module its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def torch_state(device: torch.device, one_size: bool = True) -> Iterator[None]:
    """Let cuDNN choose its algorithms by trial where all images have `one_size`.

    That setting and torch's random numbers are given back as they were.
    """
    benchmark = torch.backends.cudnn.benchmark
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.backends.cudnn.benchmark = one_size
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark


PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class DistContext:
    """This process's place among those that train: `rank` of `world`. Every method must be called by all of them."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over the processes."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Return, for each flag, whether it is set in any process."""
        if self.world == 1:
            return flags
        sums = self.total(torch.tensor(flags, dtype=torch.int32, device=self.device))
        return tuple(bool(value) for value in sums.tolist())

    def from_leader(self, value: Any) -> Any:
        """Return the leader's `value` in every process."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process the leader's buffers (running statistics), so that all evaluate the same network."""
        if self.world > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)

    def wrap(self, network: nn.Module, image_size: int) -> nn.Module:
        """Return `network` so that its gradients are averaged over the processes; the weights begin as the leader's."""
        if self.world == 1:
            return network
        on_gpu = self.device.type == "cuda"
        return nn.parallel.DistributedDataParallel(
            network,
            device_ids=[self.device.index] if on_gpu else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=has_unused_parameters(network, image_size, self.device),
        )


def join_team(device: torch.device) -> DistContext:
    """Return the team that torchrun's environment describes (WORLD_SIZE, RANK), joined; without it a team of one.

    NCCL connects GPUs, gloo anything else. A process group that is already there is used as it is.
    """
    if not distributed.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return DistContext(0, 1, device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        atexit.register(_leave)
    return DistContext(distributed.get_rank(), distributed.get_world_size(), device)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def synchronised(network: nn.Module, recipe: Recipe, team: DistContext) -> nn.Module:
    """Return `network` with batch statistics taken over all processes, where the recipe asks for it.

    Raises InvalidParameter on a CPU, where torch has no such layer. Through timm, whose fused layers keep their
    activations.
    """
    if not recipe.sync_batch_norm or team.world == 1:
        return network
    if team.device.type != "cuda":
        raise InvalidParameter(
            "recipe field sync_batch_norm: torch synchronises batch norm on GPUs only; set it to False, each process "
            "then normalises its own part of the batch"
        )
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(network)


def has_unused_parameters(network: nn.Module, image_size: int, device: torch.device) -> bool:
    """Return whether a parameter has no part in the logits, as on the dead edges of a cell. Leaves no trace."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with evaluating(network):  # no dropout, no running statistics
        logits = network(torch.zeros(1, 3, image_size, image_size, device=device))
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    return any(gradient is None for gradient in gradients)


def without_exchange(network: nn.Module, last_pass: bool) -> AbstractContextManager[None]:
    """Return the context of one pass of a batch: gradients travel between the processes in the last one only."""
    if last_pass or not isinstance(network, nn.parallel.DistributedDataParallel):
        return nullcontext()
    return network.no_sync()
