"""Fashion-MNIST and CIFAR as torchvision reads them, with errors that say what is missing or damaged and where.

CIFAR's files are pickles. Each is compared with its published MD5 before any is loaded, here and by torchvision;
Fashion-MNIST's are plain arrays, whose shape and labels are checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from genius_kit.archives import unpack_tar
from genius_kit.datasets.splits import TensorSplit
from genius_kit.errors import DataCorrupt, DataMissing

WEBSITES = {
    "fashion-mnist": "https://github.com/zalandoresearch/fashion-mnist",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar.html",
}
FASHION_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FASHION_FOLDER = "FashionMNIST/raw"


def load_parts(name: str, folder: Path, download: bool = False) -> tuple[tuple[str, ...], TensorSplit, TensorSplit]:
    """Return the classes, the training part and the test part of "fashion-mnist", "cifar10" or "cifar100".

    `folder` holds FashionMNIST/raw, cifar-10-batches-py or cifar-100-python; with `download`, torchvision fetches
    what is not there. Raises DataMissing or DataCorrupt, naming the file.
    """
    from torchvision import datasets

    kind = {"fashion-mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    if download:
        _download(kind, name, folder)
    _check_files(kind, name, folder)
    try:
        train, test = kind(folder, train=True), kind(folder, train=False)
    except (RuntimeError, ValueError, AssertionError, OSError, KeyError, IndexError, TypeError, EOFError) as error:
        raise DataCorrupt(f"{name} in {folder} cannot be read: {error}; {_how_to_get(kind, name, folder)}") from error
    classes = tuple(train.classes)
    return classes, _split(name, train, len(classes)), _split(name, test, len(classes))


def _download(kind: Any, name: str, folder: Path) -> None:
    from torchvision.datasets import utils

    folder.mkdir(parents=True, exist_ok=True)
    try:
        if name == "fashion-mnist":
            kind(folder, download=True)  # each file is compared with its sum, and holds no names
        elif not all(utils.check_integrity(path, md5) for path, md5 in _files(kind, name, folder)):
            utils.download_url(kind.url, folder, kind.filename, kind.tgz_md5)
            unpack_tar(folder / kind.filename, folder)
    except (RuntimeError, OSError) as error:
        raise DataMissing(
            f"{name} could not be downloaded to {folder}: {error}; try again, or {_how_to_get(kind, name, folder)}"
        ) from error


def _check_files(kind: Any, name: str, folder: Path) -> None:
    """Raise DataMissing for the first absent file and DataCorrupt for the first whose MD5 is not the published one."""
    from torchvision.datasets.utils import check_integrity

    for path, md5 in _files(kind, name, folder):
        if not path.is_file():
            raise DataMissing(f"{path} is not there: {_how_to_get(kind, name, folder)}")
        if not check_integrity(path, md5):
            raise DataCorrupt(
                f"{path} is not the published file, its MD5 is not {md5}: {_how_to_get(kind, name, folder)}"
            )


def _files(kind: Any, name: str, folder: Path) -> list[tuple[Path, str | None]]:
    if name == "fashion-mnist":
        return [(folder / FASHION_FOLDER / file, None) for file in FASHION_FILES]
    sums = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return [(folder / kind.base_folder / file, md5) for file, md5 in sums]


def _how_to_get(kind: Any, name: str, folder: Path) -> str:
    if name == "fashion-mnist":
        what = f"put {', '.join(FASHION_FILES)} (unpacked) into {folder / FASHION_FOLDER}"
    else:
        what = f"unpack {kind.filename} in {folder}, which gives {kind.base_folder}/"
    return (
        f"{what}, from {WEBSITES[name]}; or let torchvision fetch it, load_dataset({name!r}, download=True); another "
        "folder is named by folder=, or by GENIUS_KIT_DATA (its images/ folder)"
    )


def _split(name: str, dataset: Any, classes: int) -> TensorSplit:
    """Return torchvision's arrays as RGB images, channels first, and check that they fit together."""
    images, labels = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets, dtype=torch.int64)
    images = images.unsqueeze(1).repeat(1, 3, 1, 1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    if images.dtype != torch.uint8 or len(images) != len(labels) or images.shape[-1] != images.shape[-2]:
        raise DataCorrupt(
            f"{name} has {tuple(images.shape)} {images.dtype} images and {len(labels)} labels: damaged files"
        )
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise DataCorrupt(f"{name} has labels outside of 0 to {classes - 1}, or none: damaged files")
    return TensorSplit(images, labels)
