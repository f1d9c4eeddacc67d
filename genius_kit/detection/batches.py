"""Batches of COCO-format images: which images stand together, which are flipped, and how they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genius_kit.detection.coco import CocoImages

Images = list[Tensor]
Targets = list[dict[str, Any]]


class Flipped(Dataset[tuple[Tensor, dict[str, Any]]]):
    """The items of `data`, each flipped from left to right with `probability`, decided by `key` and its index."""

    def __init__(self, data: CocoImages, probability: float, key: tuple[int, ...]) -> None:
        self.data, self.probability, self.key = data, probability, key

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image, target = self.data[index]
        if np.random.default_rng((*self.key, index)).random() >= self.probability:
            return image, target
        boxes = target["boxes"].clone()
        boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
        return image.flip(-1), {**target, "boxes": boxes}


def batches_by_orientation(wide: Sequence[bool], batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return whole batches of indices in an order that `key` decides; those of one batch are wide, or are not.

    A batch is padded to its largest image, so mixed ones waste memory and time: one batch at most is mixed. The last
    indices of the order that fill no batch stay out, whatever their orientation.
    """
    rng = np.random.default_rng(key)
    order = rng.permutation(len(wide)).tolist()[: len(wide) // batch_size * batch_size]
    batches, rest = [], []
    for side in (True, False):
        group = [index for index in order if wide[index] is side]
        whole = len(group) // batch_size * batch_size
        batches += [group[first : first + batch_size] for first in range(0, whole, batch_size)]
        rest += group[whole:]
    batches += [rest] * bool(rest)  # none, or exactly one batch
    return [batches[index] for index in rng.permutation(len(batches))]


def detection_batches(
    data: Dataset[Any], batches: list[list[int]], workers: int, device: torch.device
) -> DataLoader[tuple[Images, Targets]]:
    """Return a loader of (images, targets) lists, one pair a batch."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_listed,
        pin_memory=device.type == "cuda",
    )


def _listed(items: list[tuple[Tensor, dict[str, Any]]]) -> tuple[Images, Targets]:
    return [image for image, _ in items], [target for _, target in items]


def placed(images: Images, targets: Targets, device: torch.device) -> tuple[Images, Targets]:
    """Return images as float32 in 0..1 and what a target holds for training, on the device."""
    moved = [image.to(device, non_blocking=True).float() / 255 for image in images]
    kept = [{name: target[name].to(device, non_blocking=True) for name in ("boxes", "labels")} for target in targets]
    return moved, kept
