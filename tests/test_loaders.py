"""Batches: a pure function of seed, epoch and position, whatever the workers, processes or point of resumption."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import cut, make_folder
from torch import Tensor

from genius_kit.datasets import loaders
from genius_kit.datasets import transforms as augmentation
from genius_kit.datasets.image_folders import read_image
from genius_kit.datasets.loaders import Loader, evaluation_loader, training_loader
from genius_kit.datasets.registry import load_dataset
from genius_kit.datasets.splits import DataSet, FolderSplit, TensorSplit
from genius_kit.errors import DataCorrupt, InvalidParameter, TrainingFailed
from genius_kit.training.recipes import Recipe, load_recipe

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")

CPU = torch.device("cpu")
AUGMENTATIONS = ("none", "shift", "crop-flip", "resized-crop", "rand-augment")

Batches = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def digits() -> DataSet:
    """The digits, 120 training images."""
    return load_dataset("digits", subset=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """An image folder of 2 x 16 training images, seen at 24 pixels per side."""
    root = make_folder(tmp_path_factory.mktemp("images"), {"train": 16, "val": 5, "test": 3})
    return load_dataset("folder", folder=root, image_size=24)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers are started even where there is one core."""
    monkeypatch.setattr(loaders, "usable_cores", lambda: 2)


def made(**changes: object) -> Recipe:
    """Return the quick recipe with batches of 8, no workers, and changes."""
    return load_recipe("quick", **{"batch_size": 8, "workers": 0, **changes})


def train_batches(dataset: DataSet, recipe: Recipe, epoch: int = 0, start: int = 0, seed: int = 0) -> Batches:
    """Return the micro-batches of one epoch."""
    return list(training_loader(dataset, recipe, device=CPU, seed=seed).epoch(epoch, start))


def same(first: Batches, second: Batches) -> bool:
    """Return whether two lists of batches have the same bytes."""
    return len(first) == len(second) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("augmentation_name", AUGMENTATIONS)
@pytest.mark.parametrize("kind", ["digits", "folder"])
def test_same_seed_same_bytes(kind: str, augmentation_name: str, request: pytest.FixtureRequest) -> None:
    """A second loader repeats an epoch; another epoch or seed gives other batches; shapes and types are as stated."""
    dataset = request.getfixturevalue(kind)
    recipe = made(augmentation=augmentation_name, random_erasing=0.5)
    batches = train_batches(dataset, recipe)
    images, labels = batches[0]
    assert images.shape == (8, 3, dataset.image_size, dataset.image_size)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert same(batches, train_batches(dataset, recipe))
    assert not same(batches, train_batches(dataset, recipe, epoch=1))
    assert not same(batches, train_batches(dataset, recipe, seed=1))


@pytest.mark.parametrize("kind", ["digits", "folder"])
def test_an_epoch_resumes_anywhere(kind: str, request: pytest.FixtureRequest) -> None:
    """The batches from position `start` are those an uninterrupted epoch has there."""
    dataset = request.getfixturevalue(kind)
    recipe = made(augmentation="rand-augment", random_erasing=0.5, accumulate=2)
    loader = training_loader(dataset, recipe, device=CPU, seed=3)
    batches = list(loader.epoch(2))
    assert len(batches) == loader.micro_steps == len(dataset.train) // 8 * 2
    for start in (1, loader.micro_steps - 1, loader.micro_steps):
        assert same(batches[start:], list(loader.epoch(2, start)))


@pytest.mark.slow
def test_workers_change_nothing(folder: DataSet) -> None:
    """0, 1 and 2 workers give the same bytes, also in a second epoch, after an epoch left early, and resumed."""
    recipe = made(augmentation="rand-augment", random_erasing=0.5)
    expected = [train_batches(folder, recipe, epoch) for epoch in range(2)]
    for workers in (1, 2):
        loader = training_loader(folder, recipe.changed(workers=workers), device=CPU, seed=0)
        assert same(expected[0], list(loader.epoch(0)))
        broken_off = loader.epoch(0)
        next(broken_off)
        assert same(expected[1], list(loader.epoch(1)))
        assert same(expected[1][2:], list(loader.epoch(1, 2)))
        evaluation = evaluation_loader(folder, "test", recipe.changed(workers=workers), device=CPU)
        assert same(list(evaluation.epoch(0)), list(evaluation_loader(folder, "test", recipe, device=CPU).epoch(0)))


@pytest.mark.parametrize("kind", ["digits", "folder"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_the_batches(kind: str, accumulate: int, request: pytest.FixtureRequest) -> None:
    """Pass by pass, the slices of two processes are those of one process, image by image."""
    dataset = request.getfixturevalue(kind)
    recipe = made(augmentation="rand-augment", random_erasing=0.5, accumulate=accumulate)
    alone = train_batches(dataset, recipe, seed=5)
    ranks = [list(training_loader(dataset, recipe, device=CPU, seed=5, rank=rank, world=2).epoch(0)) for rank in (0, 1)]
    joined = [
        (torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]))
        for first, second in zip(*ranks, strict=True)
    ]
    assert same(alone, joined)


def test_the_size_of_a_batch_does_not_change_an_image(digits: DataSet) -> None:
    """An image is augmented alike in a batch of 4 and in one of 60."""
    for name in AUGMENTATIONS:
        recipe = made(augmentation=name, random_erasing=0.5, image_size=20)
        few, many = (train_batches(digits, recipe.changed(batch_size=size)) for size in (4, 60))
        assert torch.equal(torch.cat([images for images, _ in few]), torch.cat([images for images, _ in many])), name


@pytest.mark.parametrize("world", [1, 2, 3])
def test_training_takes_each_image_once_an_epoch(world: int) -> None:
    """The epoch is a permutation without its last incomplete batch, another one each time."""
    numbered = numbered_dataset(100)
    recipe = made(augmentation="none", batch_size=12)
    orders = []
    for epoch in range(2):
        seen: list[int] = []
        for rank in range(world):
            loader = training_loader(numbered, recipe, device=CPU, seed=0, rank=rank, world=world)
            assert loader.samples == 100
            seen += [int(label) for _, labels in loader.epoch(epoch) for label in labels]
        assert len(seen) == len(set(seen)) == 96
        orders.append(seen)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("kind", ["digits", "folder"])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_evaluation_takes_every_image_once(kind: str, world: int, request: pytest.FixtureRequest) -> None:
    """The shares of all processes, one after the other, are the split in its order, more processes than images too."""
    dataset = request.getfixturevalue(kind)
    recipe = made(batch_size=7)
    for part in ("train", "validation", "test"):
        labels: list[int] = []
        for rank in range(world):
            loader = evaluation_loader(dataset, part, recipe, device=CPU, rank=rank, world=world)
            batches = list(loader.epoch(0))
            assert loader.micro_steps == len(batches)
            labels += [int(label) for _, batch in batches for label in batch]
        assert labels == dataset.split(part).labels.tolist()


def test_evaluation_does_not_change_images(digits: DataSet) -> None:
    """Images in memory are normalised and nothing else."""
    recipe = made(augmentation="rand-augment", random_erasing=0.9)
    images = torch.cat([batch for batch, _ in evaluation_loader(digits, "test", recipe, device=CPU).epoch(0)])
    assert isinstance(digits.test, TensorSplit)
    expected = (digits.test.images / 255 - digits.mean[0]) / digits.std[0]
    assert torch.allclose(images, expected, atol=1e-5)


def test_evaluation_of_files_cuts_the_centre(folder: DataSet) -> None:
    """A file is resized to 1 / 0.875 of the size and its centre is taken."""
    from PIL import Image

    images, _ = next(iter(evaluation_loader(folder, "test", made(), device=CPU).epoch(0)))
    assert isinstance(folder.test, FolderSplit)
    pixels = read_image(Path(folder.test.root) / folder.test.samples[0][0])
    with_pillow = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((27, 27), Image.Resampling.BILINEAR)
    expected = np.asarray(with_pillow)[2:26, 2:26] if pixels.shape[1] == pixels.shape[2] else None
    assert expected is not None
    found = images[0] * torch.tensor(folder.std).view(3, 1, 1) + torch.tensor(folder.mean).view(3, 1, 1)
    assert np.abs(found.permute(1, 2, 0).numpy() * 255 - expected).max() < 3


def test_global_generators_are_left_alone(folder: DataSet) -> None:
    """Loading draws nothing from the generators that dropout and the caller use."""
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    train_batches(folder, made(augmentation="rand-augment", random_erasing=0.5))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert before[2] == np.random.get_state()[1].tolist()


@pytest.mark.parametrize(
    ("changes", "world", "message"),
    [
        ({"batch_size": 128}, 1, "batch_size 128 is more than the 120 training images of digits"),
        ({"batch_size": 9}, 2, "make it a multiple of 2"),
        ({"batch_size": 6, "accumulate": 2}, 2, "make it a multiple of 4"),
    ],
)
def test_impossible_batches_are_refused(changes: dict[str, int], world: int, message: str, digits: DataSet) -> None:
    """Batches that are too large or cannot be cut evenly are InvalidParameter, with what would do."""
    with pytest.raises(InvalidParameter, match=message):
        training_loader(digits, made(**changes), device=CPU, seed=0, world=world)


def test_a_rank_outside_of_the_world_is_refused(digits: DataSet) -> None:
    """Rank 2 of 2 processes does not exist."""
    with pytest.raises(InvalidParameter, match="rank must be 0 to 1 with 2 processes"):
        evaluation_loader(digits, "test", made(), device=CPU, rank=2, world=2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named(workers: int, tmp_path: Path) -> None:
    """The error of a worker process arrives as DataCorrupt with the file's name and nothing of the worker's trace."""
    bad = cut(make_folder(tmp_path, {"train": 4, "val": 2, "test": 2}) / "train" / "bee" / "2.jpg")
    dataset = load_dataset("folder", folder=tmp_path, image_size=16)
    with pytest.raises(DataCorrupt) as caught:
        train_batches(dataset, made(workers=workers))
    assert str(bad) in str(caught.value)
    assert "skip_corrupt=True" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    left = load_dataset("folder", folder=tmp_path, image_size=16, skip_corrupt=True)
    with pytest.raises(InvalidParameter, match="7 training images"):
        train_batches(left, made(workers=workers))
    assert len(train_batches(left, made(workers=workers, batch_size=7))) == 1


def test_a_worker_that_dies_is_a_failed_training(folder: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine kills a decoding process, the training fails with a cause and advice."""
    parent = os.getpid()

    def die(path: str) -> Tensor:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("only workers decode here")

    monkeypatch.setattr("genius_kit.datasets.loaders.read_image", die)
    with pytest.raises(TrainingFailed, match="lower the recipe's workers") as caught:
        train_batches(folder, made(workers=1))
    assert caught.value.cause == "process died"


@pytest.mark.parametrize("augmentation_name", AUGMENTATIONS)
def test_files_are_augmented_anew_each_epoch(augmentation_name: str, folder: DataSet) -> None:
    """Every augmentation but "none" changes the images of a folder from epoch to epoch."""
    recipe = made(augmentation=augmentation_name, batch_size=32)
    first, second = (in_order(train_batches(folder, recipe, epoch)) for epoch in (0, 1))
    assert (first.shape, first.dtype) == ((32, 3, 24, 24), torch.float32)
    assert (torch.equal(first, second)) == (augmentation_name == "none")


def in_order(batches: Batches) -> Tensor:
    """Return the images of an epoch, in an order that does not depend on the shuffle."""
    images = torch.cat([images for images, _ in batches])
    return images[torch.argsort(images.double().sum(dim=(1, 2, 3)))]


def numbered_dataset(count: int, side: int = 8) -> DataSet:
    """Return a data set in which the label of an image is its number, pixels noise."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    split = TensorSplit(images, torch.arange(count))
    names = tuple(str(number) for number in range(count))
    return DataSet("numbered", "numbered", names, side, (0.5,) * 3, (0.25,) * 3, split, split, split, "")


# augmentation


def test_shifted_images_are_windows_of_the_padded_one() -> None:
    """Each result is found in the image with a black border, all 9 x 9 places occur, mirrored half of the time."""
    count = 4000
    image = torch.arange(1, 3 * 32 * 32 + 1, dtype=torch.int32).remainder(251).add(1).to(torch.uint8).view(1, 3, 32, 32)
    images = image.expand(count, -1, -1, -1)
    draws = augmentation.draw_table(0, 0, count)
    padded = torch.nn.functional.pad(image[0], (4, 4, 4, 4))
    places = {
        bytes(window.contiguous().numpy()): (row, column, mirrored)
        for row in range(9)
        for column in range(9)
        for mirrored in (False, True)
        for window in [
            padded[:, row : row + 32, column : column + 32].flip(2)
            if mirrored
            else padded[:, row : row + 32, column : column + 32]
        ]
    }
    for name in ("shift", "crop-flip"):
        results = augmentation.augment(images, draws, name, 32)
        found = [places[bytes(result.contiguous().numpy())] for result in results]
        assert len({place[:2] for place in found}) == 81
        share = sum(mirrored for _, _, mirrored in found) / count
        assert share == 0 if name == "shift" else abs(share - 0.5) < 0.03


def test_resized_crops_cover_what_torchvisions_do() -> None:
    """On a ramp image the mean area and place of the crops agree with torchvision's RandomResizedCrop."""
    from torchvision.transforms import v2

    count = 3000
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(3, 64, 64)
    ours = augmentation.augment(
        ramp.expand(count, -1, -1, -1), augmentation.draw_table(0, 0, count), "resized-crop", 64
    )
    torch.manual_seed(0)
    crop = v2.Compose([v2.RandomResizedCrop(64, antialias=True), v2.RandomHorizontalFlip()])
    theirs = torch.stack([crop(ramp) for _ in range(count)]).float()
    assert ours.shape == theirs.shape
    for measure in (lambda x: (x[..., -1] - x[..., 0]).abs(), lambda x: x.mean(dim=3)):  # width, then place
        first, second = (measure(x)[:, 0, 0] for x in (ours, theirs))
        assert abs(first.mean() - second.mean()) < 4
        assert abs(first.std() - second.std()) < 4
    mirrored = (ours[:, 0, 0, 0] > ours[:, 0, 0, -1]).float().mean()
    assert abs(mirrored - 0.5) < 0.03


def test_a_resized_crop_of_the_whole_image_is_the_image() -> None:
    """Where area and shape are drawn as the full square, nothing changes but the mirroring."""
    images = numbered_dataset(4, 16).train.images  # type: ignore[union-attr]
    draws = torch.full((4, augmentation.COLUMNS), 0.5)
    draws[:, 3 : 3 + augmentation.ATTEMPTS] = 1.0
    plain = augmentation.augment(images, draws, "resized-crop", 16)
    assert (plain - images).abs().max() < 1e-2
    draws[:, 2] = 0.1
    mirrored = augmentation.augment(images, draws, "resized-crop", 16)
    assert (mirrored - images.flip(3)).abs().max() < 1e-2


def test_erased_rectangles_are_as_many_and_as_large_as_timms() -> None:
    """A share of `probability` loses one rectangle; their area and shape agree with timm's RandomErasing."""
    from timm.data.random_erasing import RandomErasing

    count = 3000
    ours = augmentation.erase(torch.ones(count, 3, 32, 32), augmentation.draw_table(0, 0, count), 0.25) == 0
    torch.manual_seed(0)
    random.seed(0)
    theirs = RandomErasing(probability=0.25, mode="const", device="cpu")(torch.ones(count, 3, 32, 32)) == 0
    for erased in (ours, theirs):
        assert abs(erased.flatten(1).any(1).float().mean() - 0.25) < 0.03
    areas = [erased[:, 0].flatten(1).sum(1).float() for erased in (ours, theirs)]
    areas = [area[area > 0] / 1024 for area in areas]
    assert abs(areas[0].mean() - areas[1].mean()) < 0.02
    assert areas[0].min() > 0.015
    assert areas[0].max() < 0.36
    rows, columns = ours[:, 0].any(2).sum(1), ours[:, 0].any(1).sum(1)
    assert torch.equal(rows * columns, ours[:, 0].flatten(1).sum(1))  # whole rectangles


def test_erasing_by_chance_zero_changes_nothing() -> None:
    """Probability 0 is off."""
    images = torch.ones(50, 3, 8, 8)
    assert augmentation.erase(images, augmentation.draw_table(0, 0, 50), 0.0).min() == 1


def test_an_unknown_augmentation_is_refused() -> None:
    """A name that no recipe has is InvalidParameter."""
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(InvalidParameter, match="'mosaic'"):
        augmentation.augment(images, augmentation.draw_table(0, 0, 1), "mosaic", 8)


def test_the_table_holds_uniform_numbers_of_its_own_for_each_epoch() -> None:
    """Rows differ between samples, epochs and seeds, and lie in [0, 1)."""
    table = augmentation.draw_table(0, 0, 500)
    assert table.shape == (500, augmentation.COLUMNS)
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(table.mean() - 0.5) < 0.01
    assert len(torch.unique(table[:, 0])) > 490
    for seed, epoch in ((0, 1), (1, 0)):
        assert not torch.equal(table, augmentation.draw_table(seed, epoch, 500))


# rates


def rate(batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Return images per second of some batches."""
    begin = time.perf_counter()
    images = sum(len(labels) for _, labels in batches)
    return images / (time.perf_counter() - begin)


def pillow_batches(dataset: DataSet, size: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `count` batches cropped, flipped and normalised the usual way, one Pillow image at a time."""
    from PIL import Image
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(dataset.mean, dataset.std),
        ]
    )
    assert isinstance(dataset.train, TensorSplit)
    pixels = dataset.train.images.permute(0, 2, 3, 1).numpy()
    for indices in torch.arange(size * count).split(size):
        images = [transform(Image.fromarray(pixels[index])) for index in indices.tolist()]
        yield torch.stack(images), dataset.train.labels[indices]


@pytest.mark.slow
@pytest.mark.alone
def test_augmentation_on_tensors_is_five_times_as_fast_as_pillow() -> None:
    """Crop, flip and normalise of 32-pixel images, in turns on one thread, the best of three."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        dataset, recipe = numbered_dataset(4096, 32), load_recipe("cifar")
        loader = training_loader(dataset, recipe, device=CPU, seed=0)
        ratios = [rate(loader.epoch(turn)) / rate(pillow_batches(dataset, 256, 4)) for turn in range(3)]
    finally:
        torch.set_num_threads(threads)
    assert max(ratios) >= 5, ratios


def test_loaders_have_the_stated_form(digits: DataSet, folder: DataSet) -> None:
    """Both kinds of loader are a Loader, and workers are at most one a core."""
    for dataset in (digits, folder):
        loader: Loader = training_loader(dataset, made(), device=CPU, seed=0)
        assert loader.samples == len(dataset.train)
    assert loaders.worker_count(made(workers=8)) == 2
    assert loaders.image_size(digits, made()) == 8
    assert loaders.image_size(digits, made(image_size=20)) == 20
