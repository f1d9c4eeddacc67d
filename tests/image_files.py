"""Image folders, idx files and pickles for the tests, a few pixels each."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def make_folder(
    root: Path, counts: Mapping[str, int], classes: tuple[str, ...] = ("ant", "bee"), side: int = 40
) -> Path:
    """Write `counts` JPEG files per class into each part of an image folder, no two alike; return the folder."""
    for part, count in counts.items():
        for label, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                draw = np.random.RandomState(hash_of(part, label, number))
                pixels = draw.randint(0, 256, (5, 5 + number % 3, 3)).astype(np.uint8)
                image = Image.fromarray(pixels).resize((side + number % 3, side), Image.Resampling.BILINEAR)
                image.save(root / part / name / f"{number}.jpg", quality=90)
    return root


def hash_of(part: str, label: int, number: int) -> int:
    """Return a number that no two files share."""
    return len(part) * 10000 + label * 1000 + number


def cut(path: Path) -> Path:
    """Leave only the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in the idx format of MNIST and Fashion-MNIST."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def make_fashion(folder: Path, train: int = 6000, test: int = 40) -> Path:
    """Write a small Fashion-MNIST, labels in turn, where torchvision looks for it; return the folder."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    draw = np.random.RandomState(0)
    for prefix, count in (("train", train), ("t10k", test)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", draw.randint(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return folder


def make_cifar_files(folder: Path, names: list[str], count: int, fine: bool) -> None:
    """Write pickles of the form of CIFAR's, with labels in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.RandomState(1)
    for name in names:
        classes = 100 if fine else 10
        pixels = draw.randint(0, 256, (count, 3072)).astype(np.uint8)
        content = {"data": pixels, "fine_labels" if fine else "labels": [i % classes for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def make_imagenet16(folder: Path, npz: bool = False, protocol: int = 2) -> Path:
    """Write small files of downsampled ImageNet, 130 classes; return the folder that holds ImageNet16."""
    root = folder / "ImageNet16"
    root.mkdir(parents=True)
    draw = np.random.RandomState(2)
    for name in [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]:
        count = 260 if name == "val_data" else 130
        content = {
            "data": draw.randint(0, 256, (count, 768)).astype(np.uint8),
            "labels": [1 + i % 130 for i in range(count)],
        }
        if npz:
            np.savez(root / f"{name}.npz", data=content["data"], labels=np.array(content["labels"]))
        else:
            (root / name).write_bytes(pickle.dumps(content, protocol=protocol))
    return folder
