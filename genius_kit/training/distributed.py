"""The processes that train one network together, as torchrun starts them; one process alone is a team of one."""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from genius_kit.errors import InvalidParameter
from genius_kit.training.recipes import Recipe

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class Team:
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


def join_team(device: torch.device) -> Team:
    """Return the team that torchrun's environment describes (WORLD_SIZE, RANK), joined; without it a team of one.

    NCCL connects GPUs, gloo anything else. A process group that is already there is used as it is.
    """
    if not distributed.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Team(0, 1, device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        atexit.register(_leave)
    return Team(distributed.get_rank(), distributed.get_world_size(), device)


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def synchronised(network: nn.Module, recipe: Recipe, team: Team) -> nn.Module:
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
    was_training = network.training
    network.eval()  # no dropout, no running statistics
    try:
        logits = network(torch.zeros(1, 3, image_size, image_size, device=device))
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    finally:
        network.train(was_training)
    return any(gradient is None for gradient in gradients)


def without_exchange(network: nn.Module, last_pass: bool) -> AbstractContextManager[None]:
    """Return the context of one pass of a batch: gradients travel between the processes in the last one only."""
    if last_pass or not isinstance(network, nn.parallel.DistributedDataParallel):
        return nullcontext()
    return network.no_sync()
