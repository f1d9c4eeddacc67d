"""The commands that train: `genius-kit train`, and `detect train` and `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from genius_kit.cli.commands import ends_at_once
from genius_kit.cli.options import Changes, grouped, read_changes
from genius_kit.texts import say

GOES_ON = "the same command again goes on from the last checkpoint"

Seed = Annotated[int, Option(min=0)]
Device = Annotated[str | None, Option(help="cpu, cuda, cuda:1, mps; a GPU where there is one by default.")]
DetectorArchitecture = Annotated[str, Argument(help="30 digits of the ImageNet space.")]

app = typer.Typer(rich_markup_mode="rich")
detect = typer.Typer(
    epilog="Example: genius-kit detect train 100010101110404300430440505550 images annotations.json --output detector",
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="RetinaNet on a network of the ImageNet space, COCO format.",
)
app.add_typer(detect, name="detect")


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector is trained, or was."""

    space: Annotated[str, Option(help="mobilenet-imagenet, or a scaled width of it.")] = "mobilenet-imagenet"
    recipe: Annotated[str, Option(help="retinanet_1x or tiny.")] = "retinanet_1x"
    changes: Changes = None
    device: Device = None
    skip_corrupt: Annotated[bool, Option("--skip-corrupt", help="Leave out and count broken entries.")] = False

    def settings(self) -> dict[str, Any]:
        """Return them as `genius_kit.detection.train` takes them."""
        return {**vars(self), "changes": read_changes(self.changes)}


@app.command(epilog="Example: genius-kit train nas-bench-macro-w0.25 22222222 --dataset digits --output trained/a")
def train(
    space: Annotated[str, Argument(help="Space name, e.g. nas-bench-macro-w0.25.")],
    architecture: Annotated[str, Argument(help="As the space writes it, e.g. 22222222.")],
    dataset: Annotated[str, Option(help="digits, fashion-mnist, cifar10, cifar100, imagenet, folder ...")],
    output: Annotated[Path, Option(help="Folder of checkpoint, log and weights; an unfinished one resumes.")],
    recipe: Annotated[str, Option(help="quick, cifar, imagenet_search or imagenet_retrain.")] = "quick",
    changes: Changes = None,
    data_folder: Annotated[Path | None, Option(help="Where the images are.")] = None,
    seed: Seed = 0,
    device: Device = None,
    time_limit: Annotated[float | None, Option(help="Seconds of training, over all interruptions.")] = None,
    checkpoint_every: Annotated[int | None, Option(min=1, help="Steps; each epoch by default.")] = None,
) -> None:
    """Train one network. The same command again resumes; under torchrun it trains on several devices."""
    from genius_kit.training.trainer import train_architecture

    with ends_at_once(GOES_ON):
        result = train_architecture(
            space,
            architecture,
            dataset,
            recipe,
            changes=read_changes(changes),
            data_folder=data_folder,
            seed=seed,
            device=device,
            folder=output,
            time_limit=time_limit,
            checkpoint_every=checkpoint_every,
        )
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks
        test = "none" if result.test_accuracy is None else f"{result.test_accuracy:.2f} %"
        best = f"{result.best_validation_accuracy:.2f} % (epoch {result.best_epoch})"
        say(f"validation: last {result.last_validation_accuracy:.2f} %, best {best}; test, last epoch: {test}")
        say(f"{result.seconds:.0f} s on {result.device}, {result.precision}; weights: {result.weights}")


@detect.command(
    "train",
    epilog="Example: genius-kit detect train 100010101110404300430440505550 images annotations.json --output detector",
)
@grouped
def detect_train(
    architecture: DetectorArchitecture,
    images: Annotated[Path, Argument(help="Folder of the training images.")],
    annotations: Annotated[Path, Argument(help="Their COCO annotation file (JSON).")],
    output: Annotated[Path, Option(help="Folder of checkpoint and weights; an unfinished one resumes.")],
    weights: Annotated[Path | None, Option(help="Classification weights of the same network.")] = None,
    validation_images: Annotated[Path | None, Option(help="Images measured after each epoch.")] = None,
    validation_annotations: Annotated[Path | None, Option(help="Their annotation file.")] = None,
    seed: Seed = 0,
    *,
    given: DetectorOptions,
) -> None:
    """Train a detector and print the COCO measures of its last epoch (percent)."""
    from genius_kit.detection.train import train_command

    with ends_at_once(GOES_ON):
        result = train_command(
            architecture,
            images,
            annotations,
            output,
            weights=weights,
            validation_images=validation_images,
            validation_annotations=validation_annotations,
            seed=seed,
            **given.settings(),
        )
    _print_measures(result.measures)
    say(f"weights: {result.weights}")


@detect.command(
    "evaluate",
    epilog="Example: genius-kit detect evaluate 100010101110404300430440505550 weights.pt images annotations.json",
)
@grouped
def detect_evaluate(
    architecture: DetectorArchitecture,
    weights: Annotated[Path, Argument(help="The weights.pt of `detect train`.")],
    images: Annotated[Path, Argument(help="Folder of the images.")],
    annotations: Annotated[Path, Argument(help="Their COCO annotation file (JSON).")],
    *,
    given: DetectorOptions,
) -> None:
    """Print the COCO measures of a trained detector (percent)."""
    from genius_kit.detection.train import evaluate_command

    _print_measures(evaluate_command(architecture, weights, images, annotations, **given.settings()))


def _print_measures(measures: Mapping[str, Any]) -> None:
    for name, value in measures.items():
        say(f"{name:14s} {'-' if value is None else f'{value:.2f}' if isinstance(value, float) else value}")
