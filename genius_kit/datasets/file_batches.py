"""Batches of decoded image files, each image augmented under a seed of its own, in whichever process."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genius_kit.datasets.image_folders import read_image
from genius_kit.datasets.splits import FolderSplit
from genius_kit.datasets.transforms import COLUMNS, CROP_AREA, CROP_ASPECT, rand_augment, seeded_globals
from genius_kit.errors import DataCorrupt, InvalidParameter

IMAGE = 2
"""Marks the seeds of single images, beside those of an epoch's order and of its random table."""

CENTRE = 0.875
"""Part of the shorter side that the network sees in evaluation: the ImageNet standard."""


Decoded = tuple[Tensor, Tensor | None]


class FileBatches(torch.utils.data.Dataset[Decoded | str]):
    """Image files by (epoch, indices): uint8 (b, 3, size, size) with random numbers for `erase`, or a message.

    The message is about the first damaged file: unlike an exception, it crosses the process boundary as it is.
    `seed` None switches augmentation off, and the random numbers are None.
    """

    def __init__(self, split: FolderSplit, size: int, augmentation: str, seed: int | None) -> None:
        self._root = os.fsencode(split.root)
        # one array, not a million strings: those would be copied into each worker as it counts references
        self._paths = np.array([os.fsencode(path) for path, _ in split.samples])
        self._transform = evaluation_transform(size) if seed is None else training_transform(augmentation, size)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: tuple[int, Tensor]) -> Decoded | str:
        epoch, indices = place
        try:
            if self._seed is None:
                return torch.stack([self._transform(self._read(index)) for index in indices.tolist()]), None
            pairs = [self._augmented(self._seed, epoch, index) for index in indices.tolist()]
        except DataCorrupt as error:
            return str(error)
        return torch.stack([image for image, _ in pairs]), torch.stack([draws for _, draws in pairs])

    def _read(self, index: int) -> Tensor:
        return read_image(os.fsdecode(os.path.join(self._root, self._paths[index])))

    def _augmented(self, seed: int, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        image = self._read(index)
        with seeded_globals(seed, epoch, IMAGE, index):
            return self._transform(image), torch.rand(COLUMNS)


def training_transform(augmentation: str, size: int) -> Callable[[Tensor], Tensor]:
    """Return what turns an image (3, H, W) of any size into an augmented one (3, size, size), both uint8.

    "none" resizes and cuts the centre as in evaluation; "shift" and "crop-flip" then cut a random place out of that
    with a black border of an eighth; "resized-crop" and "rand-augment" are torchvision's own.
    """
    from torchvision.transforms import v2

    border = max(1, size // 8)
    resized = [
        v2.RandomResizedCrop(size, scale=CROP_AREA, ratio=CROP_ASPECT, antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    shifted = [evaluation_transform(size), v2.RandomCrop(size, padding=border)]
    steps = {
        "none": [evaluation_transform(size)],
        "shift": shifted,
        "crop-flip": [*shifted, v2.RandomHorizontalFlip()],
        "resized-crop": resized,
        "rand-augment": [*resized, rand_augment()],
    }
    if augmentation not in steps:
        raise InvalidParameter(f"augmentation is {augmentation!r}, expected one of {', '.join(steps)}")
    return v2.Compose(steps[augmentation])


def evaluation_transform(size: int) -> Callable[[Tensor], Tensor]:
    """Return what resizes the shorter side to size / 0.875 and cuts the centre, (3, size, size) uint8."""
    from torchvision.transforms import v2

    return v2.Compose([v2.Resize(round(size / CENTRE), antialias=True), v2.CenterCrop(size)])
