"""Augmentation of whole batches as tensors, on the device that holds them.

Every random number is a row of a table that is drawn from (seed, epoch) and picked by the sample's index: what
happens to an image does not depend on its batch, on the number of processes or on where a training was resumed.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genius_kit.errors import InvalidParameter

ATTEMPTS = 10
"""Tries to fit a crop or a rectangle of the drawn area and shape into the image, as in torchvision and timm."""

COLUMNS = 3 + 2 * ATTEMPTS + 3 + 2 * ATTEMPTS
"""Uniform numbers per sample: place and flip, tries of the crop; whether and where to erase, tries of the rectangle."""

CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
"""Part of the image that a resized crop covers, and its width over height (Szegedy et al., CVPR 2015)."""

ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""Part of the image that is erased and the shape of the rectangle: timm's defaults (Zhong et al., AAAI 2020)."""

RAND_AUGMENT = {"num_ops": 2, "magnitude": 9}
"""RandAugment's two numbers (Cubuk et al., 2020)."""


def mixed_seed(*parts: int) -> int:
    """Return one seed below 2**63 made of several integers."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def draw_table(seed: int, epoch: int, samples: int) -> Tensor:
    """Return the uniform numbers of one epoch, float32 (samples, COLUMNS), the same on every device."""
    return torch.rand(samples, COLUMNS, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch, 1)))


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global generators of torch (CPU), numpy and Python inside the block; restore them after it."""
    states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def augment(
    images: Tensor, draws: Tensor, augmentation: str, size: int, sample_seeds: Sequence[tuple[int, ...]] = ()
) -> Tensor:
    """Return augmented images in 0..255, uint8 or float32 (b, 3, size, size).

    `images` uint8 (b, 3, H, W); `draws` (b, COLUMNS) are the samples' rows of `draw_table`. `augmentation` is one of
    a recipe's; "rand-augment" also needs `sample_seeds`, one tuple of integers a sample.
    """
    if augmentation == "none":
        return resize(images, size)
    if augmentation in ("shift", "crop-flip"):
        return _padded_crop(resize(images, size), draws, flip=augmentation == "crop-flip")
    if augmentation not in ("resized-crop", "rand-augment"):
        raise InvalidParameter(f"augmentation must be one of a recipe's augmentations, got {augmentation!r}")
    cropped = _resized_crop(images, draws, size)
    return cropped if augmentation == "resized-crop" else _rand_augment(cropped, sample_seeds)


def erase(images: Tensor, draws: Tensor, probability: float) -> Tensor:
    """Return normalised images of which some have one rectangle set to the mean colour, in place.

    `images` float32 (b, 3, S, S), `draws` (b, COLUMNS). Each image is hit with `probability`; a rectangle that fits
    in none of ten tries is left out, as in timm's RandomErasing, whose area and shape these are.
    """
    if probability == 0:
        return images
    chance, top, left, *tries = draws[:, 3 + 2 * ATTEMPTS :].unbind(1)
    height, width, fits = _rectangles(torch.stack(tries, 1), images.shape[-2:], ERASED_AREA, ERASED_ASPECT, full=False)
    first_row, first_column = (_place(top, images.shape[-2] - height), _place(left, images.shape[-1] - width))
    rows = _inside(images.shape[-2], first_row, height) & (fits & (chance < probability)).unsqueeze(1)
    columns = _inside(images.shape[-1], first_column, width)
    return images.masked_fill_((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)


def resize(images: Tensor, size: int) -> Tensor:
    """Return images of `size` pixels per side, bilinear with anti-aliasing: float32, or as they came if they fit."""
    if tuple(images.shape[-2:]) == (size, size):
        return images
    return functional.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)


def normalise(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """Return images of 0..255 as float32 multiples of `std` from `mean`, both of images scaled to 0..1.

    Tensors of `mean` and `std` that are on the images' device spare a GPU the wait for a copy.
    """
    centre = torch.as_tensor(mean, dtype=torch.float32, device=images.device).mul(255).view(-1, 1, 1)
    scale = torch.as_tensor(std, dtype=torch.float32, device=images.device).mul(255).reciprocal().view(-1, 1, 1)
    return torch.sub(images, centre).mul_(scale)


def _padded_crop(images: Tensor, draws: Tensor, flip: bool) -> Tensor:
    """Return each image cut at a random place out of itself with a black border, an eighth of a side (1 at least)."""
    size = images.shape[-1]
    border = max(1, size // 8)
    padded = functional.pad(images, (border,) * 4)
    rows, columns = _place(draws[:, 0], 2 * border), _place(draws[:, 1], 2 * border)
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: (b, 3, places, places, size, size)
    crops = windows[torch.arange(len(images), device=images.device), :, rows, columns]
    if not flip:
        return crops
    return torch.where((draws[:, 2] < 0.5).view(-1, 1, 1, 1), crops.flip(3), crops)


def _resized_crop(images: Tensor, draws: Tensor, size: int) -> Tensor:
    """Return a random part of each image, mirrored half of the time, sampled to `size` pixels per side.

    Images larger than `size` are reduced first, so that sampling never skips pixels.
    """
    if max(images.shape[-2:]) > size:
        images = resize(images, size)
    sides = images.shape[-2:]
    height, width, _ = _rectangles(draws[:, 3 : 3 + 2 * ATTEMPTS], sides, CROP_AREA, CROP_ASPECT, full=True)
    top, left = _place(draws[:, 0], sides[0] - height), _place(draws[:, 1], sides[1] - width)
    centres = (torch.arange(size, device=images.device) + 0.5) / size
    rows = (top.unsqueeze(1) + centres * height.unsqueeze(1)) * (2 / sides[0]) - 1
    columns = (left.unsqueeze(1) + centres * width.unsqueeze(1)) * (2 / sides[1]) - 1
    columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
    grid = torch.stack(torch.broadcast_tensors(columns.unsqueeze(1), rows.unsqueeze(2)), 3)  # (b, size, size, 2)
    return functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def rand_augment() -> Callable[[Tensor], Tensor]:
    """Return torchvision's RandAugment from and to a tensor uint8 (3, H, W), by way of Pillow: twice as fast."""
    from torchvision.transforms import v2

    return v2.Compose([v2.ToPILImage(), v2.RandAugment(**RAND_AUGMENT), v2.PILToTensor()])


def _rand_augment(images: Tensor, sample_seeds: Sequence[tuple[int, ...]]) -> Tensor:
    """Return each image after RandAugment under its own seed; a loop on the CPU, so slower than the rest."""
    transform, device = rand_augment(), images.device
    results = []
    for image, parts in zip(images.round().clamp(0, 255).to("cpu", torch.uint8), sample_seeds, strict=True):
        with seeded_globals(mixed_seed(*parts)):
            results.append(transform(image))
    return torch.stack(results).to(device)


def _rectangles(
    draws: Tensor, sides: Sequence[int], area: tuple[float, float], aspect: tuple[float, float], *, full: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return height, width (whole pixels, float32 (b,)) of the first try that fits, and whether one did.

    `full` allows a rectangle as large as the image, and gives the whole image where no try fits.
    """
    share, shape = draws[:, :ATTEMPTS], draws[:, ATTEMPTS:]
    pixels = (area[0] + share * (area[1] - area[0])) * (sides[0] * sides[1])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = torch.exp(low + shape * (high - low))
    heights, widths = torch.sqrt(pixels / ratio).round(), torch.sqrt(pixels * ratio).round()
    spare = 0 if full else 1
    fitting = (heights <= sides[0] - spare) & (widths <= sides[1] - spare) & (heights >= 1) & (widths >= 1)
    first = fitting.to(torch.uint8).argmax(1, keepdim=True)
    fits = fitting.any(1)
    height, width = heights.gather(1, first).squeeze(1), widths.gather(1, first).squeeze(1)
    return torch.where(fits, height, sides[0]), torch.where(fits, width, sides[1]), fits


def _place(draw: Tensor, largest: Tensor | int) -> Tensor:
    """Return whole numbers from 0 to `largest`, each as likely as the others."""
    return (draw * (largest + 1)).long()


def _inside(size: int, first: Tensor, length: Tensor) -> Tensor:
    """Return which of `size` positions lie in [first, first + length), bool (b, size)."""
    positions = torch.arange(size, device=first.device)
    return (positions >= first.unsqueeze(1)) & (positions < (first + length).unsqueeze(1))
