"""Speed of this machine: `python -m tests.speed training` and `input`.

The input pipeline is measured here: images in memory augmented as tensors against PIL, and JPEG files per worker.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from torch import Tensor

from genius_kit.benchmarks.latency import device_name, spread
from genius_kit.datasets.loaders import training_loader, worker_count
from genius_kit.datasets.splits import DataSet, FolderSplit, TensorSplit
from genius_kit.errors import check_integer
from genius_kit.files import write_whole
from genius_kit.pools import usable_cores
from genius_kit.training.recipes import Recipe, load_recipe
from genius_kit.training.runtime import cpu_threads
from tests.training_speed import AUTHORS, COMPILED, DEFAULT, measure_training

CPU = torch.device("cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10; any numbers cost the same
JPEG_SIZE, JPEG_QUALITY = (500, 375), 90
"""Width and height in pixels of the generated files: those of most ImageNet images, which have 110 kB on average."""


def measure_input(
    *,
    repeats: int = 5,
    images: int = 256,
    recipe: str | Recipe = "imagenet_retrain",
    training_rate: float | None = None,
) -> pd.DataFrame:
    """Return images a second of each part of the input pipeline, one row a part.

    "tensors" and "PIL" crop, flip and normalise the same 32-pixel images in turns; `ratio` is to the median of PIL.
    "files" decodes and augments `images` generated JPEG files with one worker beside this process, and "files, all
    workers" with as many as `recipe` uses here. With `training_rate` (images a second of a training step),
    `keeps_up` says whether the files' rate is at least that. This process computes with one thread meanwhile.
    Columns: part, images_per_second (median), p10, p90, n, ratio, workers, keeps_up, device.
    Raises UnknownName, InvalidParameter.
    """
    for name, value, least in (("repeats", repeats, 1), ("images", images, 32)):
        check_integer(name, value, least)
    chosen = load_recipe(recipe)
    with cpu_threads(1), tempfile.TemporaryDirectory() as folder:
        rows = _memory_rows(repeats)
        files = jpeg_folder(Path(folder), images)
        for part, workers in (("files", 1), ("files, all workers", worker_count(chosen))):
            paces = _file_paces(files, chosen, workers, repeats)
            rows.append(_row(part, paces, workers=workers, training_rate=training_rate))
    return pd.DataFrame(rows).assign(device=f"{device_name(CPU)}, {usable_cores()} cores")


def _memory_rows(repeats: int, images: int = 1024) -> list[dict[str, Any]]:
    """Return the rows of tensors and PIL, measured in turns on the images of one epoch of the CIFAR recipe."""
    dataset = _memory(images)
    recipe = load_recipe("cifar", batch_size=128)
    epochs = {
        "tensors": lambda number: training_loader(dataset, recipe, device=CPU, seed=0).epoch(number),
        "PIL": lambda number: _pil_epoch(dataset, recipe.batch_size),
    }
    paces: dict[str, list[float]] = {part: [] for part in epochs}
    for turn in range(repeats + 1):
        for part, epoch in epochs.items():
            pace = _pace(epoch(turn))
            if turn:  # the first is the warm-up
                paces[part].append(pace)
    slower = statistics.median(paces["PIL"])
    return [_row(part, values, ratio=statistics.median(values) / slower) for part, values in paces.items()]


def _pace(batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    begun = time.perf_counter()
    images = sum(len(labels) for _, labels in batches)
    return images / (time.perf_counter() - begun)


def _memory(count: int) -> DataSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return _dataset(TensorSplit(images, torch.arange(count) % 10), 32)


def _dataset(split: TensorSplit | FolderSplit, side: int) -> DataSet:
    classes = tuple(str(number) for number in range(10))
    return DataSet("generated", "Generated", classes, side, MEAN, STD, split, split.take([0]), split.take([0]), "")


def _pil_epoch(dataset: DataSet, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of the usual pipeline: each image through PIL, in this process."""
    from PIL import Image
    from torchvision import transforms

    assert isinstance(dataset.train, TensorSplit)
    steps: Callable[[Any], Tensor] = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pixels = dataset.train.images.permute(0, 2, 3, 1).numpy()
    for chosen in torch.randperm(len(pixels)).split(batch_size):
        images = [steps(Image.fromarray(pixels[index])) for index in chosen.tolist()]
        yield torch.stack(images), dataset.train.labels[chosen]


def jpeg_folder(folder: Path, count: int) -> FolderSplit:
    """Write `count` JPEG files of smooth random content to `folder` and return them as a split of ten classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(256, size=(94, 125, 3), dtype=np.uint8))
        name = f"{number:05}.jpg"
        coarse.resize(JPEG_SIZE, Image.Resampling.BICUBIC).save(folder / name, quality=JPEG_QUALITY)
        samples.append((name, number % 10))
    return FolderSplit(str(folder), tuple(samples))


def _file_paces(files: FolderSplit, recipe: Recipe, workers: int, repeats: int) -> list[float]:
    """Return images a second of each of `repeats` epochs, after one in which the workers start."""
    made = recipe.changed(batch_size=32, accumulate=1, workers=workers)
    loader = training_loader(_dataset(files, 224), made, device=CPU, seed=0)
    return [_pace(loader.epoch(number)) for number in range(repeats + 1)][1:]


def _row(
    part: str,
    paces: Sequence[float],
    *,
    ratio: float | None = None,
    workers: int | None = None,
    training_rate: float | None = None,
) -> dict[str, Any]:
    median, low, high = spread(list(paces))
    keeps_up = None if workers is None or training_rate is None else median >= training_rate
    return {
        "part": part,
        "images_per_second": median,
        "p10": low,
        "p90": high,
        "n": len(paces),
        "ratio": ratio,
        "workers": workers,
        "keeps_up": keeps_up,
    }


app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure how fast this machine trains.")


@app.command()
def training(
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 224,
    repeats: Annotated[int, typer.Option(help="Measured steps a form.")] = 10,
    warmup: Annotated[int, typer.Option(help="Steps before them.")] = 2,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")] = None,
    compiles: Annotated[bool, typer.Option("--compile", help="Measure torch.compile too (minutes to start).")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the table here as CSV.")] = None,
) -> None:
    """One training step of GENIUS-329: the default configuration against the authors' form."""
    table = measure_training(
        batch_size=batch_size,
        image_size=image_size,
        repeats=repeats,
        warmup=warmup,
        device=device,
        forms=(AUTHORS, DEFAULT, COMPILED) if compiles else None,
    )
    _show(table, output)


@app.command(name="input")
def input_pipeline(
    repeats: Annotated[int, typer.Option(help="Measured turns a form.")] = 5,
    images: Annotated[int, typer.Option(help="JPEG files to generate.")] = 256,
    recipe: Annotated[
        str, typer.Option(help="Whose augmentation and worker count the JPEG files get.")
    ] = "imagenet_retrain",
    training_rate: Annotated[
        float | None, typer.Option(help="Images a second to keep up with; else it is measured.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the table here as CSV.")] = None,
) -> None:
    """Images a second of the input pipeline: as tensors, through PIL, and from JPEG files against a training step."""
    if training_rate is None:
        table = measure_training(repeats=3, warmup=1)
        training_rate = float(table.loc[table["form"] == DEFAULT, "images_per_second"].iloc[0])
        print(f"training: {training_rate:.1f} images a second")
    _show(measure_input(repeats=repeats, images=images, recipe=recipe, training_rate=training_rate), output)


def _show(table: pd.DataFrame, output: Path | None) -> None:
    print(table.round(3).to_string(index=False))
    if output is not None:
        write_whole(output, table.to_csv(index=False))


if __name__ == "__main__":
    app()
