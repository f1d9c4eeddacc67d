"""Published images: Fashion-MNIST and CIFAR as torchvision reads them, and ImageNet16-120.

CIFAR's and ImageNet16's files are pickles, and a pickle can run any code when it is loaded. Each is compared with its
published MD5 before it is loaded; Fashion-MNIST's files are plain arrays, whose shape and labels are checked.
Source of ImageNet16-120, the first 120 classes of ImageNet at 16 x 16 pixels: Chrabaszcz et al., "A Downsampled Variant
of ImageNet", arXiv:1707.08819; NAS-Bench-201 (ICLR 2020).
"""

from __future__ import annotations

import hashlib
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
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


def load_torchvision(
    name: str, folder: Path, download: bool = False
) -> tuple[tuple[str, ...], TensorSplit, TensorSplit]:
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


IMAGENET16_CLASSES = 120
TRAIN_FILES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST_FILE = "val_data"

MD5 = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""MD5 sums of the published pickles, as NAS-Bench-201's own reader states them."""

IMAGENET16_SOURCE = (
    "https://image-net.org/download-images (log in; downsampled images, 16x16, train and val), "
    "or the ImageNet16 archive named in the README of NAS-Bench-201"
)


def load_imagenet16(folder: Path) -> tuple[TensorSplit, TensorSplit]:
    """Return the training and the held-out images of the first 120 classes, labels from 0.

    `folder` or its ImageNet16 folder holds train_data_batch_1 to train_data_batch_10 and val_data, as pickles or as
    .npz files with arrays `data` (n, 3 x side x side) and `labels` (from 1).
    Raises DataMissing or DataCorrupt, naming the file.
    """
    root = next((place for place in (folder / "ImageNet16", folder) if _find(place, TEST_FILE)), folder / "ImageNet16")
    train = [_read(root, name) for name in TRAIN_FILES]
    return _joined(train), _read(root, TEST_FILE)


def _read_pickle(path: Path) -> dict[str, Any]:
    """Return what a published pickle holds; raises DataCorrupt for any other file, which is not opened."""
    content = path.read_bytes()
    found, expected = hashlib.md5(content, usedforsecurity=False).hexdigest(), MD5[path.name]
    if found != expected:
        raise DataCorrupt(
            f"{path} is not the published file: its MD5 is {found}, not {expected}; get it again from "
            f"{IMAGENET16_SOURCE}, or give a .npz file of the same name"
        )
    read: dict[str, Any] = pickle.loads(content, encoding="latin1")
    return read


def _find(root: Path, name: str) -> Path | None:
    """Return the pickle called `name`, else the .npz file, else None."""
    return next((path for path in (root / name, root / f"{name}.npz") if path.is_file()), None)


def _read(root: Path, name: str) -> TensorSplit:
    path = _find(root, name)
    if path is None:
        raise DataMissing(
            f"{name} (or {name}.npz) of ImageNet16-120 is not in {root}: put {', '.join((*TRAIN_FILES, TEST_FILE))} "
            f"there, from {IMAGENET16_SOURCE}; another folder is named by folder=, or by GENIUS_KIT_DATA (its images/ "
            "folder)"
        )
    content = _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)
    try:
        pixels, labels = np.asarray(content["data"]), np.asarray(content["labels"])
    except KeyError as error:
        raise DataCorrupt(f"{path} has no {error}; it needs `data` and `labels`, see {IMAGENET16_SOURCE}") from error
    return _first_classes(path, pixels, labels)


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("data", "labels") if name in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataCorrupt(f"{path} cannot be read as .npz: {error}; get it again from {IMAGENET16_SOURCE}") from error


def _first_classes(path: Path, pixels: np.ndarray, labels: np.ndarray) -> TensorSplit:
    """Return the images of the first 120 classes, uint8 (n, 3, side, side), labels from 0."""
    side = math.isqrt(pixels.shape[1] // 3) if pixels.ndim == 2 else 0
    if pixels.dtype != np.uint8 or side == 0 or 3 * side * side != pixels.shape[1]:
        raise DataCorrupt(f"{path}: data must be uint8 (n, 768), got {pixels.dtype} {pixels.shape}")
    if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu" or labels.min(initial=1) < 1:
        raise DataCorrupt(f"{path}: labels must be {len(pixels)} integers from 1, got {labels.dtype} {labels.shape}")
    kept = labels <= IMAGENET16_CLASSES
    images = torch.from_numpy(pixels[kept].reshape(-1, 3, side, side))
    return TensorSplit(images, torch.from_numpy(labels[kept].astype(np.int64) - 1))


def _joined(splits: list[TensorSplit]) -> TensorSplit:
    return TensorSplit(torch.cat([part.images for part in splits]), torch.cat([part.labels for part in splits]))
