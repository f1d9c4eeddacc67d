"""ImageNet16-120: the first 120 classes of ImageNet at 16 x 16 pixels, read without trusting the files.

The files are pickles, and a pickle can run any code when it is loaded. They are compared with their published sums
and then read by an unpickler that knows nothing but numpy arrays.
Source: Chrabaszcz et al., "A Downsampled Variant of ImageNet", arXiv:1707.08819; NAS-Bench-201 (ICLR 2020).
"""

from __future__ import annotations

import codecs
import hashlib
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genius_kit.datasets.splits import TensorSplit
from genius_kit.errors import DataCorrupt, DataMissing

CLASSES = 120
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

SOURCE = (
    "https://image-net.org/download-images (log in; downsampled images, 16x16, train and val), "
    "or the ImageNet16 archive named in the README of NAS-Bench-201"
)


def load_parts(folder: Path) -> tuple[TensorSplit, TensorSplit]:
    """Return the training and the held-out images of the first 120 classes, labels from 0.

    `folder` or its ImageNet16 folder holds train_data_batch_1 to train_data_batch_10 and val_data, as pickles or as
    .npz files with arrays `data` (n, 3 x side x side) and `labels` (from 1).
    Raises DataMissing or DataCorrupt, naming the file.
    """
    root = next((place for place in (folder / "ImageNet16", folder) if _find(place, TEST_FILE)), folder / "ImageNet16")
    train = [_read(root, name) for name in TRAIN_FILES]
    return _joined(train), _read(root, TEST_FILE)


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler for dictionaries of numpy arrays: every other name in the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the few names that arrays need; raises UnpicklingError for any other."""
        if (module, name) not in _allowed():
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of an array")
        return _allowed()[module, name]


def _allowed() -> dict[tuple[str, str], Any]:
    """Return what a pickled array may name: numpy 1 and 2, Python 2 and 3, all protocols."""
    names: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    names["_codecs", "encode"] = codecs.encode  # how Python 3 writes bytes for Python 2
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _empty_array
        names[f"{core}.numeric", "_frombuffer"] = _array_of_buffer
    return names


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Stand in for numpy's private _reconstruct; the contents follow in the pickle."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"it builds a {kind}, expected an array")
    return np.ndarray.__new__(np.ndarray, shape, code.decode() if isinstance(code, bytes) else code)


def _array_of_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    """Stand in for numpy's private _frombuffer (pickle protocol 5)."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def read_pickle(path: Path, md5: str | None) -> dict[str, Any]:
    """Return the dictionary of arrays, lists and numbers in a pickle, without running anything it names.

    Raises DataCorrupt for another MD5 sum than `md5` (if given), a damaged file, or one that names other things.
    """
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 is not None and found != md5:
        raise DataCorrupt(
            f"{path} is not the published file: its MD5 is {found}, expected {md5}; get it again from {SOURCE}, "
            "or give a .npz file of the same name"
        )
    try:
        content_read = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise DataCorrupt(f"{path} is refused, it is no pickle of arrays: {error}; get it from {SOURCE}") from error
    if not isinstance(content_read, dict):
        raise DataCorrupt(f"{path} holds a {type(content_read).__name__}, expected a dictionary; see {SOURCE}")
    return content_read


def _find(root: Path, name: str) -> Path | None:
    """Return the pickle called `name`, else the .npz file, else None."""
    return next((path for path in (root / name, root / f"{name}.npz") if path.is_file()), None)


def _read(root: Path, name: str) -> TensorSplit:
    path = _find(root, name)
    if path is None:
        raise DataMissing(
            f"{name} (or {name}.npz) of ImageNet16-120 is not in {root}: put {', '.join((*TRAIN_FILES, TEST_FILE))} "
            f"there, from {SOURCE}; another folder is named by folder=, or by GENIUS_KIT_DATA (its images/ folder)"
        )
    content = _read_npz(path) if path.suffix == ".npz" else read_pickle(path, MD5.get(name))
    try:
        pixels, labels = np.asarray(content["data"]), np.asarray(content["labels"])
    except KeyError as error:
        raise DataCorrupt(f"{path} has no {error}, expected `data` and `labels`; see {SOURCE}") from error
    return _first_classes(path, pixels, labels)


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("data", "labels") if name in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataCorrupt(f"{path} cannot be read as .npz: {error}; get it again from {SOURCE}") from error


def _first_classes(path: Path, pixels: np.ndarray, labels: np.ndarray) -> TensorSplit:
    """Return the images of the first 120 classes, uint8 (n, 3, side, side), labels from 0."""
    side = math.isqrt(pixels.shape[1] // 3) if pixels.ndim == 2 else 0
    if pixels.dtype != np.uint8 or side == 0 or 3 * side * side != pixels.shape[1]:
        raise DataCorrupt(f"{path}: data is {pixels.dtype} {pixels.shape}, expected uint8 (n, 768)")
    if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu" or labels.min(initial=1) < 1:
        raise DataCorrupt(f"{path}: labels are {labels.dtype} {labels.shape}, expected {len(pixels)} integers from 1")
    kept = labels <= CLASSES
    images = torch.from_numpy(pixels[kept].reshape(-1, 3, side, side))
    return TensorSplit(images, torch.from_numpy(labels[kept].astype(np.int64) - 1))


def _joined(splits: list[TensorSplit]) -> TensorSplit:
    return TensorSplit(torch.cat([part.images for part in splits]), torch.cat([part.labels for part in splits]))
