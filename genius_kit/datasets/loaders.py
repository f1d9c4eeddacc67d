"""Batches of a data set on the device, as a pure function of the seed, the epoch and the position.

Images in memory are augmented as tensors where they lie. Image files are decoded and augmented by worker processes,
under a seed of their own each. What comes out does not depend on the number of workers or on where an epoch starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from genius_kit.datasets import transforms as augmentation
from genius_kit.datasets.image_folders import read_image
from genius_kit.datasets.splits import DataSet, FolderSplit, Split, TensorSplit
from genius_kit.errors import DataCorrupt, InvalidParameter, TrainingFailed
from genius_kit.pools import usable_cores

ORDER, IMAGE = 0, 2
"""Mark the seeds of an epoch's order and of its single images; its random table has 1."""

CENTRE = 0.875
"""Part of the shorter side that the network sees in evaluation: the ImageNet standard."""


Decoded = tuple[Tensor, Tensor | None]
"""Images uint8 (b, 3, size, size) and random numbers for `erase`, None in evaluation."""


class Loading(Protocol):
    """What a loader reads of a recipe (`training.Recipe`, and that of a detector): see there for each field."""

    @property
    def batch_size(self) -> int: ...

    @property
    def accumulate(self) -> int: ...

    @property
    def augmentation(self) -> str: ...

    @property
    def random_erasing(self) -> float: ...

    @property
    def image_size(self) -> int | None: ...

    @property
    def workers(self) -> int: ...


def image_size(dataset: DataSet, recipe: Loading) -> int:
    """Return the pixels per side that the network sees: the recipe's, else the data set's own."""
    return recipe.image_size or dataset.image_size


def worker_count(recipe: Loading) -> int:
    """Return how many processes decode image files: the recipe's count, at most one a core."""
    return min(recipe.workers, usable_cores())


def training_loader(
    dataset: DataSet, recipe: Loading, *, device: torch.device, seed: int, rank: int = 0, world: int = 1
) -> Loader:
    """Return the shuffled, augmented batches of the training part for process `rank` of `world`.

    Batch t of an epoch is permutation[t * B : (t + 1) * B] with B = recipe.batch_size, cut into recipe.accumulate
    passes, each into `world` equal slices; what is left at the end of the epoch is dropped.
    Raises InvalidParameter when the batch is larger than the training part or cannot be cut evenly.
    """
    samples, batch = len(dataset.train), recipe.batch_size
    _check_rank(rank, world)
    if batch > samples:
        raise InvalidParameter(
            f"batch_size {batch} is more than the {samples} training images of {dataset.name}: make it smaller"
        )
    if batch % (world * recipe.accumulate):
        raise InvalidParameter(
            f"batch_size {batch} cannot be split evenly over {world} processes x accumulate={recipe.accumulate}: "
            f"make it a multiple of {world * recipe.accumulate}"
        )
    plan = _Shuffled(samples, recipe, seed, rank, world)
    return _loader(dataset, dataset.train, recipe, device, plan, seed)


def evaluation_loader(
    dataset: DataSet, split: str, recipe: Loading, *, device: torch.device, rank: int = 0, world: int = 1
) -> Loader:
    """Return the batches of "train", "validation" or "test" in order, as they are, each sample once over all ranks.

    Images in memory are resized; image files are resized to 1 / 0.875 of the network's size and cut to their centre.
    """
    _check_rank(rank, world)
    part = dataset.split(split)
    return _loader(dataset, part, recipe, device, _Ordered(len(part), recipe, rank, world), None)


class _Shuffled:
    """The indices of one process's micro-batches in training."""

    def __init__(self, samples: int, recipe: Loading, seed: int, rank: int, world: int) -> None:
        self.samples, self.seed, self.rank, self.world = samples, seed, rank, world
        self.size = recipe.batch_size // (recipe.accumulate * world)
        self.steps = samples // recipe.batch_size * recipe.accumulate

    def batches(self, epoch: int, start: int) -> list[Tensor]:
        """Return the indices of each micro-batch from `start` on."""
        generator = torch.Generator().manual_seed(augmentation.mixed_seed(self.seed, epoch, ORDER))
        slices = torch.randperm(self.samples, generator=generator).split(self.size)
        return list(slices[start * self.world + self.rank : self.steps * self.world : self.world])


class _Ordered:
    """The indices of one process's batches in evaluation: one contiguous share of the samples."""

    def __init__(self, samples: int, recipe: Loading, rank: int, world: int) -> None:
        self.share = torch.arange(samples * rank // world, samples * (rank + 1) // world)
        self.size = max(1, recipe.batch_size // (recipe.accumulate * world))
        self.samples, self.steps = samples, -(-len(self.share) // self.size)

    def batches(self, epoch: int, start: int) -> list[Tensor]:
        """Return the indices of each batch from `start` on."""
        return list(self.share.split(self.size))[start : self.steps]


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise InvalidParameter(f"rank must be 0 to {world - 1} with {world} processes, got {rank}")


def _loader(
    dataset: DataSet, split: Split, recipe: Loading, device: torch.device, plan: _Shuffled | _Ordered, seed: int | None
) -> Loader:
    if isinstance(split, FolderSplit):
        return _FileLoader(dataset, split, recipe, device, plan, seed)
    return _TensorLoader(dataset, split, recipe, device, plan, seed)


class Loader:
    """Micro-batches of one process: `micro_steps` an epoch; `samples` counts those of the whole split.

    Without a `seed` nothing is augmented.
    """

    def __init__(
        self, dataset: DataSet, recipe: Loading, device: torch.device, plan: _Shuffled | _Ordered, seed: int | None
    ) -> None:
        self.samples, self.micro_steps = plan.samples, plan.steps
        self._recipe, self._device, self._plan, self._seed = recipe, torch.device(device), plan, seed
        self._size = image_size(dataset, recipe)
        self._mean, self._std = (torch.tensor(values, device=self._device) for values in (dataset.mean, dataset.std))

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images float32 (b, 3, S, S), normalised, and labels int64 (b,) on the device.

        The first `start` micro-batches are left out without being computed. One epoch at a time: starting another
        ends the one before. Raises DataCorrupt, naming the file, for an image that cannot be decoded.
        """
        raise NotImplementedError

    def _finished(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Return normalised images, partly erased where the recipe says so."""
        images = augmentation.normalise(images, self._mean, self._std)
        return images if draws is None else augmentation.erase(images, draws, self._recipe.random_erasing)


class _TensorLoader(Loader):
    """Batches of images in memory: on the device if a quarter of its free memory holds them, else copied a batch."""

    def __init__(self, dataset: DataSet, split: TensorSplit, *arguments: Any) -> None:
        super().__init__(dataset, *arguments)
        home = self._device if _fits(split.images, self._device) else torch.device("cpu")
        self._images, self._labels = split.images.to(home), split.labels.to(home)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        home, table = self._images.device, None
        if self._seed is not None:
            table = augmentation.draw_table(self._seed, number, self.samples).to(home)
        batches = self._plan.batches(number, start)
        places = torch.cat(batches).to(home).split(self._plan.size) if batches else ()  # one copy per epoch
        for indices, chosen in zip(batches, places, strict=True):
            images, labels = (_to_device(values[chosen], self._device) for values in (self._images, self._labels))
            draws = None if table is None else _to_device(table[chosen], self._device)
            yield self._finished(self._augmented(images, draws, number, indices), draws), labels

    def _augmented(self, images: Tensor, draws: Tensor | None, epoch: int, indices: Tensor) -> Tensor:
        if draws is None or self._seed is None:
            return augmentation.resize(images, self._size)
        seeds = [(self._seed, epoch, IMAGE, index) for index in indices.tolist()]
        return augmentation.augment(images, draws, self._recipe.augmentation, self._size, seeds)


class _FileLoader(Loader):
    """Batches of image files, decoded by worker processes that stay for the next epoch (in evaluation they do not)."""

    def __init__(self, dataset: DataSet, split: FolderSplit, *arguments: Any) -> None:
        super().__init__(dataset, *arguments)
        self._labels = split.labels
        self._order = _MutableOrder()
        workers = worker_count(self._recipe)
        self._decoded = torch.utils.data.DataLoader(
            FileBatches(split, self._size, self._recipe.augmentation, self._seed),
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0 and self._seed is not None,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # else each epoch would draw from the global one
        )

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        batches = self._plan.batches(number, start)
        self._order.items = [(number, indices) for indices in batches]
        for indices, decoded in zip(batches, _alive(self._decoded), strict=True):
            if isinstance(decoded, str):
                raise DataCorrupt(decoded)
            draws = None if decoded[1] is None else _to_device(decoded[1], self._device)
            yield (
                self._finished(_to_device(decoded[0], self._device), draws),
                _to_device(self._labels[indices], self._device),
            )


def _alive(batches: Iterable[Decoded | str]) -> Iterator[Decoded | str]:
    """Yield what worker processes send; raises TrainingFailed when one of them died."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingFailed(
            f"a process that decodes images died ({error}): where memory ran out, lower the recipe's workers; "
            "workers=0 decodes in the training process",
            cause="process died",
        ) from error


class _MutableOrder:
    """The (epoch, indices) pairs that come next: a loader whose workers stay reads it anew each epoch."""

    def __init__(self) -> None:
        self.items: list[tuple[int, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def _fits(images: Tensor, device: torch.device) -> bool:
    """Return whether the images take at most a quarter of the device's free memory."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.numel() * images.element_size() <= free / 4


def _to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return values on the device, copied beside its work where it is a GPU."""
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    return (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)


class FileBatches(torch.utils.data.Dataset[Decoded | str]):
    """Image files by (epoch, indices): uint8 (b, 3, size, size) with random numbers for `erase`, or a message.

    The message is about the first damaged file: unlike an exception, it crosses the process boundary as it is.
    `seed` None switches augmentation off, and the random numbers are None.
    """

    def __init__(self, split: FolderSplit, size: int, kind: str, seed: int | None) -> None:
        self._root = os.fsencode(split.root)
        # one array, not a million strings: those would be copied into each worker as it counts references
        self._paths = np.array([os.fsencode(path) for path, _ in split.samples])
        self._transform = evaluation_transform(size) if seed is None else training_transform(kind, size)
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
        with augmentation.seeded_globals(augmentation.mixed_seed(seed, epoch, IMAGE, index)):
            return self._transform(image), torch.rand(augmentation.COLUMNS)


def training_transform(kind: str, size: int) -> Callable[[Tensor], Tensor]:
    """Return what turns an image (3, H, W) of any size into an augmented one (3, size, size), both uint8.

    "none" resizes and cuts the centre as in evaluation; "shift" and "crop-flip" then cut a random place out of that
    with a black border of an eighth; "resized-crop" and "rand-augment" are torchvision's own.
    """
    border = max(1, size // 8)
    resized = [
        v2.RandomResizedCrop(size, scale=augmentation.CROP_AREA, ratio=augmentation.CROP_ASPECT, antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    shifted = [evaluation_transform(size), v2.RandomCrop(size, padding=border)]
    steps = {
        "none": [evaluation_transform(size)],
        "shift": shifted,
        "crop-flip": [*shifted, v2.RandomHorizontalFlip()],
        "resized-crop": resized,
        "rand-augment": [*resized, augmentation.rand_augment()],
    }
    if kind not in steps:
        raise InvalidParameter(f"augmentation must be one of {', '.join(steps)}, got {kind!r}")
    return v2.Compose(steps[kind])


def evaluation_transform(size: int) -> Callable[[Tensor], Tensor]:
    """Return what resizes the shorter side to size / 0.875 and cuts the centre, (3, size, size) uint8."""
    return v2.Compose([v2.Resize(round(size / CENTRE), antialias=True), v2.CenterCrop(size)])
