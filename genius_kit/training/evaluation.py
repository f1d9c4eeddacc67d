"""The accuracy of a network on one part of a data set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genius_kit.datasets.loaders import Loader
from genius_kit.errors import InvalidParameter
from genius_kit.training.devices import autocast
from genius_kit.training.distributed import Team


def evaluate(
    network: nn.Module,
    loader: Loader,
    *,
    precision: str = "float32",
    memory_format: torch.memory_format = torch.contiguous_format,
    team: Team | None = None,
) -> float:
    """Return the top-1 accuracy in percent of `network`, in evaluation mode, over one pass of `loader`.

    With a `team` each process brings its own part of the samples, and all get the accuracy over all of them. The mode
    of the network is put back. Raises InvalidParameter when there are no samples.
    """
    if loader.samples == 0:
        raise InvalidParameter(
            "the loader has no samples, so there is no accuracy; choose another part of the data set"
        )
    was_training = network.training
    network.eval()
    counts: Tensor | None = None
    with torch.inference_mode():
        for images, labels in loader.epoch(0):
            with autocast(images.device, precision):
                logits = network(images.contiguous(memory_format=memory_format))
            right = (logits.argmax(1) == labels).sum()
            now = torch.stack([right, torch.full_like(right, len(labels))])
            counts = now if counts is None else counts + now
    network.train(was_training)
    if team is not None:
        counts = team.total(torch.zeros(2, dtype=torch.int64, device=team.device) if counts is None else counts)
    assert counts is not None
    return 100.0 * int(counts[0]) / int(counts[1])
