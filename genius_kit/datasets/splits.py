"""Labelled images in three parts, and how one part is divided: always by class, always the same way.

Every order here is that of SHA-256 sums, so no split depends on the version of a random number generator.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genius_kit.errors import DataCorrupt, InvalidParameter


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """Images in memory: `images` uint8 (n, 3, H, W), `labels` int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int]) -> TensorSplit:
        """Return the samples at `indices`, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return TensorSplit(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Images in files: `samples` holds (path relative to `root`, label) pairs."""

    root: str
    samples: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> Tensor:
        """Labels, int64 (n,)."""
        return torch.tensor([label for _, label in self.samples], dtype=torch.int64)

    def take(self, indices: Sequence[int]) -> FolderSplit:
        """Return the samples at `indices`, in that order."""
        return FolderSplit(self.root, tuple(self.samples[index] for index in indices))


Split = TensorSplit | FolderSplit

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images of known classes in three parts: the network learns from `train`, is chosen by `validation`.

    `mean` and `std` are those of the training images, per channel, scaled to 0..1. `image_size` is in pixels per side.
    `skipped` counts the files that could not be decoded and were left out on request. `fingerprint` is the SHA-256
    of all that decides a training or its accuracy.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    skipped: int = 0

    @property
    def num_classes(self) -> int:
        """Count of classes."""
        return len(self.classes)

    def split(self, name: str) -> Split:
        """Return the part called "train", "validation" or "test"; raises InvalidParameter for another name."""
        if name not in PARTS:
            raise InvalidParameter(f"a data set has no part {name!r}: it has {', '.join(PARTS)}")
        part: Split = getattr(self, name)
        return part


def divide(split: Split, count: int, salt: str) -> tuple[Split, Split]:
    """Return two disjoint parts of a split; the second has `count` samples, spread over the classes by their size.

    Both keep the order of the samples. Raises DataCorrupt when there are not enough samples for two parts.
    """
    if not 0 < count < len(split):
        raise DataCorrupt(f"{len(split)} images cannot give {count} to another part: add images")
    members = _by_class(split, salt)
    held_out = set()
    for label, share in _shares(members, count).items():
        held_out.update(members[label][:share])
    kept = [index for index in range(len(split)) if index not in held_out]
    return split.take(kept), split.take(sorted(held_out))


def first_balanced(split: Split, count: int, salt: str) -> Split:
    """Return the first `count` samples of a fixed order in which the classes take turns.

    Raises InvalidParameter when the split has no `count` samples.
    """
    if not 1 <= count <= len(split):
        raise InvalidParameter(f"subset must be 1 to {len(split)}, the images of the training part, got {count}")
    members, chosen = _by_class(split, salt), list[int]()
    for turn in range(max(len(indices) for indices in members.values())):
        if len(chosen) < count:
            now = [indices[turn] for indices in members.values() if turn < len(indices)]
            chosen += sorted(now, key=lambda index: _order(split, index, salt))
    return split.take(chosen[:count])


def fingerprint(parts: dict[str, Split], **settings: object) -> str:
    """Return the SHA-256 of settings and samples: every byte in memory, every path, label and size in a folder."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, split in parts.items():
        digest.update(f"\n{name} {len(split)}\n".encode())
        if isinstance(split, TensorSplit):
            digest.update(repr(tuple(split.images.shape)).encode())
            digest.update(split.images.contiguous().numpy().data)
            digest.update(split.labels.contiguous().numpy().data)
        else:
            for path, label in split.samples:
                size = _file_size(os.path.join(split.root, path))
                digest.update(f"{path}\0{label}\0{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise DataCorrupt(f"{path} cannot be read: {error.strerror}; replace or remove it") from error


def _by_class(split: Split, salt: str) -> dict[int, list[int]]:
    """Return the indices of each class in the fixed order of `salt`."""
    members: dict[int, list[int]] = {}
    for index, label in enumerate(split.labels.tolist()):
        members.setdefault(label, []).append(index)
    return {label: sorted(members[label], key=lambda index: _order(split, index, salt)) for label in sorted(members)}


def _order(split: Split, index: int, salt: str) -> bytes:
    """Return what a sample is sorted by: the sum of its path, or of its index where there is none."""
    name = split.samples[index][0] if isinstance(split, FolderSplit) else str(index)
    return hashlib.sha256(f"{salt}\0{name}".encode(errors="surrogateescape")).digest()


def _shares(members: dict[int, list[int]], count: int) -> dict[int, int]:
    """Return how many of each class make up `count`, by the largest remainders; each class keeps one at least.

    Raises DataCorrupt when there are too few images for that.
    """
    total = sum(len(indices) for indices in members.values())
    exact = {label: count * len(indices) / total for label, indices in members.items()}
    shares = {label: math.floor(share) for label, share in exact.items()}
    for label in sorted(exact, key=lambda label: (shares[label] - exact[label], label)):
        if sum(shares.values()) < count and shares[label] + 1 < len(members[label]):
            shares[label] += 1
    if sum(shares.values()) < count:
        raise DataCorrupt(f"{total} images of {len(members)} classes cannot give {count} to another part: add images")
    return shares
