"""Data sets by name: read from files that are there, checked, and divided the same way on every machine.

Nothing is downloaded unless asked. A file that is missing or damaged raises an error that says where it belongs
and where it comes from.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genius_kit.datasets import image_folders, published
from genius_kit.datasets import transforms as augmentation
from genius_kit.datasets.splits import (
    PARTS,
    DataSet,
    FolderSplit,
    Split,
    TensorSplit,
    divide,
    fingerprint,
    first_balanced,
)
from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter, UnknownName
from genius_kit.files import data_folder

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, as torchvision and timm normalise; taken for every image folder."""

IMAGENET_CLASSES = 1000
IMAGENET_SOURCE = "https://image-net.org/download-images (log in; ILSVRC2012 train and val)"
FOLDER_IMAGE_SIZE = 224


Colour = tuple[float, float, float]
Parts = tuple[tuple[str, ...], Split, Split, Split]


@dataclass(frozen=True)
class Source:
    """How one data set is read: `parts(folder, download)` gives its classes and its three parts at their own size."""

    title: str
    image_size: int
    parts: Callable[[Path, bool], Parts]


def load_dataset(
    name: str,
    *,
    folder: str | Path | None = None,
    image_size: int | None = None,
    subset: int | None = None,
    skip_corrupt: bool = False,
    download: bool = False,
) -> DataSet:
    """Return a data set with its splits.

    Parameters
    ----------
    name
        One of DATASETS, or "folder" for the images in `folder`/train/<class>/ and beside it.
    folder
        Where the files are; by default images/ in the data folder.
    image_size
        Pixels per side; images are resized or decoded to it. None: the data set's own (224 for files).
    subset
        Number of training images to keep, the first of a fixed order in which the classes take turns; None: all.
    skip_corrupt
        Decode every image file once and leave out those that cannot be read, counted in `skipped`.
    download
        Let torchvision fetch what is missing of fashion-mnist and CIFAR.

    Raises
    ------
    UnknownName, InvalidParameter
        No such data set, or a size or subset that it cannot have.
    DataMissing, DataCorrupt
        Files that are missing (the message says where they belong and come from) or damaged.
    """
    source = _source(name)
    if image_size is not None and image_size < 1:
        raise InvalidParameter(f"image_size must be at least 1 pixel per side, or None, got {image_size}")
    size = image_size or source.image_size
    classes, *splits = source.parts(_folder(name, folder), download)
    parts = {part: _resized(split, size) for part, split in zip(PARTS, splits, strict=True)}
    mean, std = _moments(parts["train"])
    if subset is not None:
        parts["train"] = first_balanced(parts["train"], subset, f"{name} subset")
    skipped = _leave_out_corrupt(parts) if skip_corrupt else 0
    sums = fingerprint(parts, name=name, classes=classes, image_size=size, mean=mean, std=std)
    return DataSet(name, source.title, classes, size, mean, std, **parts, fingerprint=sums, skipped=skipped)


def _source(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    if os.path.isdir(name):
        raise UnknownName(f"{name!r} is a folder: a data set of your own is load_dataset('folder', folder={name!r})")
    raise UnknownName.of("data set", name, [*DATASETS, "folder"])


def _folder(name: str, folder: str | Path | None) -> Path:
    if folder is not None:
        return Path(folder).expanduser()
    if name == "folder":
        raise InvalidParameter("the data set 'folder' needs folder=: the folder that holds train/, with val/ and test/")
    return data_folder() / "images"


def _digits(folder: Path, download: bool) -> Parts:
    """Return scikit-learn's digits, which need no file: 1,079, 359 and 359 images.

    Of the first few divisions this is the one whose validation and test parts are equally hard: three nearest
    neighbours are right on 98.6 and 98.3 % of them. Others differ by up to 1.4 points, which a search would read as
    over-fitting.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    grey = torch.from_numpy(pixels).mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    whole = TensorSplit(grey.repeat(1, 3, 1, 1), torch.from_numpy(labels).to(torch.int64))
    rest, test = divide(whole, 359, "digits 60/20/20 test")
    return tuple(str(digit) for digit in range(10)), *divide(rest, 359, "digits 60/20/20 validation"), test


def _published(name: str, validation: int) -> Callable[[Path, bool], Parts]:
    def parts(folder: Path, download: bool) -> Parts:
        classes, train, test = published.load_torchvision(name, folder, download)
        return classes, *divide(train, validation, f"{name} validation"), test

    return parts


def _imagenet16(folder: Path, download: bool) -> Parts:
    """Return the whole training part, and two halves of the held-out one, as in NAS-Bench-201."""
    train, held_out = published.load_imagenet16(folder)
    for where, split in (("training", train), ("validation", held_out)):
        absent = set(range(published.IMAGENET16_CLASSES)) - set(split.labels.tolist())
        if absent:
            raise DataCorrupt(
                f"the {where} files in {folder} have no image of class {min(absent) + 1}, but 1 to 120 are needed"
            )
    classes = tuple(f"class {number}" for number in range(1, published.IMAGENET16_CLASSES + 1))
    return classes, train, *divide(held_out, len(held_out) // 2, "imagenet16-120 test")


def _imagenet(folder: Path, download: bool) -> Parts:
    """Return 99 % and 1 % of the training part, and the validation part as the test."""
    root = next((place for place in (folder / "imagenet", folder) if (place / "train").is_dir()), None)
    if root is None or not (root / "val").is_dir():
        raise DataMissing(
            f"ImageNet is not in {folder / 'imagenet'}: put train/<class>/*.JPEG and val/<class>/*.JPEG there (the "
            f"validation images sorted into the same {IMAGENET_CLASSES} class folders), from {IMAGENET_SOURCE}; "
            "another folder is named by folder=, or by GENIUS_KIT_DATA (its images/ folder)"
        )
    classes = image_folders.class_names(root, "train")
    if len(classes) != IMAGENET_CLASSES:
        raise DataCorrupt(
            f"{root / 'train'} holds {len(classes)} class folders, but ImageNet has {IMAGENET_CLASSES}: complete "
            "it, or use load_dataset('folder', folder=...) for a data set of your own"
        )
    train = image_folders.scan(root, "train", classes)
    hundredth = max(len(classes), len(train) // 100)
    return classes, *divide(train, hundredth, "imagenet validation"), image_folders.scan(root, "val", classes)


def _own_folder(folder: Path, download: bool) -> Parts:
    """Return train/, val/ and test/; for each of the last two that is not there, a tenth of train/ is held out."""
    if not (folder / "train").is_dir():
        raise DataMissing(f"{folder / 'train'} is not a folder: it needs {image_folders.LAYOUT}")
    classes = image_folders.class_names(folder, "train")
    train: Split = image_folders.scan(folder, "train", classes)
    tenth = max(len(classes), len(train) // 10)
    parts: dict[str, Split] = {}
    for part in ("test", "val"):
        if (folder / part).is_dir():
            parts[part] = image_folders.scan(folder, part, classes)
        else:
            train, parts[part] = divide(train, tenth, f"folder {part}")
    return classes, train, parts["val"], parts["test"]


def _resized(split: Split, size: int) -> Split:
    """Return images in memory at `size` pixels per side, rounded to whole values; files are resized when decoded."""
    if isinstance(split, FolderSplit) or split.images.shape[-1] == size:
        return split
    pieces = [
        augmentation.resize(piece, size).round().clamp(0, 255).to(torch.uint8) for piece in split.images.split(4096)
    ]
    return TensorSplit(torch.cat(pieces), split.labels)


def _moments(split: Split) -> tuple[Colour, Colour]:
    """Return mean and standard deviation per channel of images scaled to 0..1, from exact sums."""
    if isinstance(split, FolderSplit):
        return IMAGENET_MEAN, IMAGENET_STD
    channels = [_moments_of(split.images[:, channel]) for channel in range(3)]
    means, deviations = zip(*channels, strict=True)
    return means, deviations


def _moments_of(values: Tensor) -> tuple[float, float]:
    """Return mean and standard deviation of 8-bit values as parts of 255; a constant counts as spread by one."""
    count = values.numel()
    total = int(values.sum(dtype=torch.int64))
    squares = sum(int(piece.to(torch.int32).square_().sum(dtype=torch.int64)) for piece in values.split(4096))
    spread = math.sqrt(count * squares - total * total)  # whole numbers of any length until here
    return total / count / 255, max(spread / count, 1.0) / 255


def _leave_out_corrupt(parts: dict[str, Split]) -> int:
    """Take the files that cannot be decoded out of each part and return how many there were."""
    skipped = 0
    for name, split in parts.items():
        if isinstance(split, FolderSplit):
            parts[name], count = image_folders.without_corrupt(split)
            skipped += count
    return skipped


SOURCES = {
    "digits": Source("8x8 digits of scikit-learn, 60/20/20", 8, _digits),
    "fashion-mnist": Source(
        "Fashion-MNIST, 5,000 training images for validation", 28, _published("fashion-mnist", 5000)
    ),
    "cifar10": Source("CIFAR-10, 5,000 training images for validation", 32, _published("cifar10", 5000)),
    "cifar100": Source("CIFAR-100, 5,000 training images for validation", 32, _published("cifar100", 5000)),
    "imagenet16-120": Source("ImageNet16-120, validation and test halve its held-out images", 16, _imagenet16),
    "imagenet": Source("ImageNet, 1 % of the training part for validation", FOLDER_IMAGE_SIZE, _imagenet),
    "folder": Source("image folder, a tenth of train/ where val/ or test/ is missing", FOLDER_IMAGE_SIZE, _own_folder),
}
DATASETS = tuple(name for name in SOURCES if name != "folder")
