"""Image files in one folder per class: found, decoded and, when asked, checked one by one."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from genius_kit.datasets.splits import FolderSplit
from genius_kit.errors import DataCorrupt, DataMissing
from genius_kit.files import is_inside
from genius_kit.pools import usable_cores

LAYOUT = "one folder per class with the images in it, such as train/cat/1.jpg and val/cat/2.jpg"


def class_names(root: Path, part: str) -> tuple[str, ...]:
    """Return the names of the class folders in `root`/`part`, sorted; names that start with a dot are left out.

    Raises DataMissing without that folder and DataCorrupt with fewer than two classes in it.
    """
    folder = root / part
    if not folder.is_dir():
        raise DataMissing(f"{folder} is not a folder: it needs {LAYOUT}")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise DataCorrupt(f"{folder} holds {len(names)} class folders and needs at least 2: {LAYOUT}")
    return tuple(names)


def scan(root: Path, part: str, classes: tuple[str, ...]) -> FolderSplit:
    """Return the images of `root`/`part`, sorted by class, then by path.

    Raises DataCorrupt when a class of the training part has no image here, or a folder is no class of it.
    """
    _check_links(root / part)
    found = class_names(root, part)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataCorrupt(
            f"{root / part / unknown[0]} is no class of {root / 'train'} ({len(classes)} classes): "
            "remove or rename it, or add its training images"
        )
    folder, labels = root / part, {name: label for label, name in enumerate(classes)}
    images = make_dataset(
        folder, labels, is_valid_file=lambda path: _is_image(os.path.relpath(path, folder)), allow_empty=True
    )
    empty = set(labels.values()) - {label for _, label in images}
    if empty:
        raise DataCorrupt(
            f"{folder / classes[min(empty)]} has no image: put files there that end in {', '.join(IMG_EXTENSIONS)}; "
            "every class of the training part needs some"
        )
    samples = sorted((label, os.path.relpath(path, root)) for path, label in images)
    return FolderSplit(str(root), tuple((path, label) for label, path in samples))


def read_image(path: str | Path) -> Tensor:
    """Return an image file as RGB, uint8 (3, H, W).

    torchvision decodes JPEG, PNG, GIF and WebP, whatever the file is called; Pillow what torchvision refuses.
    Grey, palette, CMYK and transparent images become RGB. Raises DataCorrupt, naming the file.
    """
    decode = _decoder()
    try:
        image = decode(os.fspath(path))
    except RuntimeError:
        return _read_with_pillow(path)
    if image.dtype != torch.uint8:  # 16 bits per channel
        image = (image.to(torch.int32) >> 8).to(torch.uint8)
    return image[0] if image.ndim == 4 else image  # the first frame of an animation


def without_corrupt(split: FolderSplit) -> tuple[FolderSplit, int]:
    """Return the split without the files that cannot be decoded, and their count; every file is decoded once."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        good = list(pool.map(lambda sample: _is_readable(os.path.join(split.root, sample[0])), split.samples))
    kept = split.take([index for index, readable in enumerate(good) if readable])
    lost = set(split.labels.tolist()) - set(kept.labels.tolist())
    if lost:
        label = min(lost)
        path = next(path for path, other in split.samples if other == label)
        raise DataCorrupt(f"no image of class {label} can be decoded, {Path(split.root) / path} first: replace them")
    return kept, len(split) - len(kept)


def _check_links(part: Path) -> None:
    """Raise DataCorrupt for a link in a part (train, val, test) that leads out of it, or to a folder within a class.

    torchvision's finder follows links, and one to a folder above would lead it in a circle.
    """
    for place, folders, names in os.walk(part):
        for path in (os.path.join(place, name) for name in (*folders, *names)):
            if not os.path.islink(path):
                continue
            if not is_inside(part, os.path.relpath(path, part)):
                raise DataCorrupt(
                    f"{path} is a link that leads out of {part}: put the files themselves there, or remove it"
                )
            if os.path.isdir(path) and Path(place) != part:
                raise DataCorrupt(f"{path} is a link to a folder within a class: put the files themselves there")


def _is_image(relative: str) -> bool:
    hidden = any(name.startswith(".") for name in Path(relative).parts)
    return not hidden and relative.lower().endswith(IMG_EXTENSIONS)


def _is_readable(path: str) -> bool:
    try:
        read_image(path)
    except DataCorrupt:
        return False
    return True


@cache
def _decoder() -> Callable[[str], Tensor]:
    """Return torchvision's decoder of a file to RGB, or Pillow's where a torchvision has none any more.

    torchvision 0.29 announces that torchcodec will replace it, once per call: that is said here, not in every log.
    """
    try:
        from torchvision.io import ImageReadMode, decode_image, read_file
    except ImportError:
        return _read_with_pillow
    warnings.filterwarnings(
        "ignore", message="The image decoding and encoding capabilities", category=DeprecationWarning
    )
    return lambda path: decode_image(read_file(path), mode=ImageReadMode.RGB)


def _read_with_pillow(path: str | Path) -> Tensor:
    from PIL import Image
    from torchvision.transforms.v2.functional import pil_to_tensor

    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):  # Pillow's own conversion would clip
                grey = torch.from_numpy(np.asarray(image).astype(np.int32) >> 8).to(torch.uint8)
                return grey.expand(3, -1, -1).contiguous()
            return pil_to_tensor(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataCorrupt(
            f"{path} cannot be decoded as an image ({type(error).__name__}: {error}): replace or remove the file, "
            "or leave such files out with skip_corrupt=True"
        ) from error
