"""Training and measuring a detector on data of the COCO format, as in the paper's table 6.

Runs on one device. The schedule is RetinaNet's; see DETECTION_RECIPES for where its numbers come from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm.auto import tqdm

from genius_kit.detection.coco import (
    COCO_MEASURES,
    CocoImages,
    Flipped,
    Images,
    Targets,
    batches_by_orientation,
    coco_measures,
    detection_batches,
    load_coco,
    placed,
)
from genius_kit.detection.model import build_detector
from genius_kit.errors import InvalidParameter
from genius_kit.networks import load_weights
from genius_kit.spaces import load_space
from genius_kit.training.checkpoints import Row
from genius_kit.training.loop import Loop
from genius_kit.training.recipes import Changeable, Count, Positive, Precision, Rate, Share, find_recipe
from genius_kit.training.runtime import DistContext, autocast, choose_device, evaluating, torch_state
from genius_kit.training.trainer import TrainedResult, carry_out


@dataclass(frozen=True)
class DetectionRecipe(Changeable):
    """One way to train a detector; `source` says where its numbers come from.

    `image_size` bounds the shorter and longer side in pixels. The learning rate rises linearly over `warmup_steps`
    optimiser steps (at most one epoch) and is divided by ten after each epoch of `milestones`. `flip` is the
    probability of a horizontal flip. `channels` and `anchor_size` are those of `build_detector`. `precision` and
    `channels_last` are as in `genius_kit.training.recipes.Recipe`; `workers` decode images beside the training.
    """

    kind: ClassVar[str] = "detection recipe"
    can_accumulate: ClassVar[bool] = False
    warmup: ClassVar[str] = "warmup_steps"
    accumulate: ClassVar[int] = 1
    optimizer: ClassVar[str] = "sgd"
    nesterov: ClassVar[bool] = False
    decays_norm_and_bias: ClassVar[bool] = True

    name: str
    source: str
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    image_size: Annotated[tuple[Count, Count], Field(strict=False)] = (800, 1333)
    channels: Count = 256
    anchor_size: Count = 32
    momentum: Share = 0.9
    weight_decay: Rate = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    milestones: Annotated[tuple[Count, ...], Field(strict=False)] = (8, 11)
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    clip_gradient: Positive | None = None
    precision: Precision = "auto"
    channels_last: bool = True
    workers: Annotated[int, Field(ge=0)] = 4

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of optimiser step `step`, counted from 0."""
        warmup = min(self.warmup_steps, steps_per_epoch)
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        passed = sum(step >= epoch * steps_per_epoch for epoch in self.milestones)
        return float(self.learning_rate * rising * 0.1**passed)


DETECTION_RECIPES = {
    recipe.name: recipe
    for recipe in (
        DetectionRecipe(
            name="retinanet_1x",
            source="RetinaNet (Lin et al., ICCV 2017: 90,000 steps of 16 images, SGD 0.01, decay 1e-4, shorter side "
            "800, horizontal flips) in the epochs of the customary 1x schedule: 12, divided by ten after 8 and 11. "
            "What the paper's table 6 changed of it, if anything, is not known here",
            epochs=12,
            batch_size=16,
            learning_rate=0.01,
        ),
        DetectionRecipe(
            name="tiny",
            source="this project: a minute on two CPU cores for a few dozen images of 64 to 96 pixels, untrained",
            epochs=60,
            batch_size=4,
            learning_rate=0.02,
            image_size=(64, 96),
            channels=32,
            anchor_size=16,
            warmup_steps=10,
            milestones=(50,),
            clip_gradient=10.0,
            workers=0,
        ),
    )
}


def load_detection_recipe(recipe: str | DetectionRecipe, **changes: Any) -> DetectionRecipe:
    """Return the recipe called `recipe` (or the recipe itself) with some fields changed.

    Raises UnknownName for the name, InvalidParameter for a misspelt or impossible field.
    """
    return find_recipe(DetectionRecipe, DETECTION_RECIPES, recipe, changes)


@dataclass(frozen=True, kw_only=True)
class DetectionResult(TrainedResult):
    """Result of a detector's training.

    A row of `history` has the loss in its two parts and, where they were taken, the COCO measures in percent;
    `measures` are those of the last epoch.
    """

    measures: dict[str, float | None]


class DetectionLoop(Loop):
    """The training of a detector on one device: batches of one orientation, and RetinaNet's two losses."""

    network_name = "detector"
    loss_shape = (2,)
    columns: tuple[str, ...] = (
        "epoch", "train_loss", "classification_loss", "box_loss", "learning_rate", "seconds", "images_per_second",
    )  # fmt: skip

    def __init__(
        self,
        detector: nn.Module,
        data: CocoImages,
        recipe: DetectionRecipe,
        seed: int,
        device: torch.device,
        folder: Path | None,
        identity: dict[str, Any],
        validation: CocoImages | None,
        progress: bool,
    ) -> None:
        self._data, self._validation, self._shows = data, validation, progress
        self._indices = data.indices_with_boxes()
        self.epoch_steps = len(self._indices) // recipe.batch_size
        if not self.epoch_steps:
            raise InvalidParameter(
                f"batch_size {recipe.batch_size} is more than the {len(self._indices)} images that have boxes: make it "
                "smaller"
            )
        if validation is not None:
            self.columns = (*self.columns, *COCO_MEASURES)
        super().__init__(detector, recipe, seed, DistContext(0, 1, device), folder, identity, progress)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Images, Targets]]:
        """Yield the batches of an epoch, in an order and with flips that the seed and the epoch decide."""
        shapes, key = self._data.shapes(), (self._seed, epoch)
        wide = [shapes[index][1] >= shapes[index][0] for index in self._indices]
        chosen = batches_by_orientation(wide, self.recipe.batch_size, key)[start:]
        items = Flipped(self._data, self.recipe.flip, key)
        batches = [[self._indices[i] for i in batch] for batch in chosen]
        return iter(detection_batches(items, batches, self.recipe.workers, self._team.device))

    def learning_rate(self, step: int) -> float:
        rate: float = self.recipe.learning_rate_at(step, self.epoch_steps)
        return rate

    def losses(self, images: Images, targets: Targets) -> Tensor:
        """Return the losses of classes and of boxes, float32 (2,)."""
        device = self._team.device
        with autocast(device, self.precision):
            found = self.network(*placed(images, targets, device))
        return torch.stack([found["classification"], found["bbox_regression"]])

    def measures(self, losses: Tensor) -> Row:
        parts = dict(zip(("classification_loss", "box_loss"), losses.tolist(), strict=True))
        if self._validation is None:
            return parts
        device = self._team.device
        return parts | evaluate_detector(self.network, self._validation, device=device, progress=self._shows)

    def final_measures(self) -> dict[str, Any]:
        self.network.eval()
        return {"measures": {name: self.history[-1][name] for name in COCO_MEASURES if name in self.history[-1]}}


def train_detector(
    detector: nn.Module,
    data: CocoImages,
    recipe: str | DetectionRecipe = "retinanet_1x",
    *,
    validation: CocoImages | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    progress: bool = True,
) -> DetectionResult:
    """Train a detector of `build_detector` and return the result; the detector keeps the final weights.

    It ends in evaluation mode. Images without boxes are left out of the training. With `validation`, its COCO measures
    are taken after every epoch. With `folder`, a checkpoint is written after every epoch; an unfinished folder is
    resumed (on a CPU to the same weights as without a break), a finished one is read back, and one of another detector,
    recipe, data set or seed is refused. Raises InvalidParameter, CheckpointError, and TrainingFailed when the loss
    diverges or memory runs out.
    """
    chosen, place, where = load_detection_recipe(recipe), choose_device(device), Path(folder) if folder else None
    _check(detector, data, chosen)
    identity = {
        "detector": getattr(detector, "fingerprint", None),
        "recipe": chosen.as_dict(),
        "data": data.fingerprint,
        "images": len(data.indices_with_boxes()),
        "seed": seed,
    }

    def begin() -> DetectionLoop:
        loop = DetectionLoop(detector, data, chosen, seed, place, where, identity, validation, progress)
        loop.on_epoch = on_epoch
        return loop

    with torch_state(place, one_size=False):
        return carry_out(DetectionResult, detector, chosen, DistContext(0, 1, place), where, identity, begin)


def _check(detector: nn.Module, data: CocoImages, recipe: DetectionRecipe) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidParameter("a detector is trained on one device: start it without torchrun")
    _check_classes(detector, data)
    head: Any = detector
    if tuple(head.transform.min_size) != (recipe.image_size[0],) or head.transform.max_size != recipe.image_size[1]:
        sizes = (*head.transform.min_size, head.transform.max_size)
        raise InvalidParameter(
            f"the detector was built for images of {sizes} pixels, the recipe {recipe.name} says {recipe.image_size}: "
            "build it with image_size=recipe.image_size"
        )


def _check_classes(detector: Any, data: CocoImages) -> None:
    classes = detector.head.classification_head.num_classes
    if classes != len(data.classes):
        raise InvalidParameter(
            f"the detector has {classes} classes, the data set has {len(data.classes)} "
            f"({', '.join(data.classes[:5])}): build it with num_classes={len(data.classes)}"
        )


def evaluate_detector(
    detector: nn.Module,
    data: CocoImages,
    *,
    batch_size: int = 8,
    device: str | torch.device | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, float | None]:
    """Return the COCO measures of a detector on all images of `data`: AP, AP50, AP75, APS, APM and APL, in percent.

    A measure is None where `data` has no object of that size. Computes in float32. Raises InvalidParameter when the
    class counts differ.
    """
    _check_classes(detector, data)
    place = choose_device(device)
    with evaluating(detector.to(place)):
        return coco_measures(data, _predictions(detector, data, batch_size, place, workers, progress))


@torch.inference_mode()
def _predictions(
    detector: nn.Module, data: CocoImages, batch_size: int, device: torch.device, workers: int, progress: bool
) -> list[dict[str, Any]]:
    shapes = data.shapes()
    order = sorted(range(len(data)), key=lambda index: shapes[index][0] / shapes[index][1])  # little padding
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    found = []
    for images, targets in tqdm(
        detection_batches(data, batches, workers, device), desc="evaluation", leave=False, disable=not progress
    ):
        outputs = detector(placed(images, targets, device)[0])
        found += [{**output, "image_id": target["image_id"]} for output, target in zip(outputs, targets, strict=True)]
    return found


def train_command(
    architecture: str,
    images: str | Path,
    annotations: str | Path,
    folder: str | Path,
    *,
    space: str = "mobilenet-imagenet",
    weights: str | Path | None = None,
    recipe: str = "retinanet_1x",
    validation_images: str | Path | None = None,
    validation_annotations: str | Path | None = None,
    seed: int = 0,
    device: str | None = None,
    skip_corrupt: bool = False,
    changes: dict[str, Any] | None = None,
) -> DetectionResult:
    """Build, train and measure one detector from names and paths: what `genius-kit detect train` does.

    `architecture` is a key of the space; `changes` are fields of the recipe. The measures are those on the validation
    part, where one is given.
    """
    if (validation_images is None) != (validation_annotations is None):
        raise InvalidParameter("a validation part needs both its folder of images and its annotation file")
    chosen = load_detection_recipe(recipe, **(changes or {}))
    data = load_coco(images, annotations, skip_corrupt=skip_corrupt)
    held_out = None
    if validation_images is not None and validation_annotations is not None:
        held_out = load_coco(validation_images, validation_annotations, skip_corrupt=skip_corrupt)
    detector = _built(space, architecture, chosen, data, weights, seed)
    return train_detector(detector, data, chosen, validation=held_out, seed=seed, device=device, folder=folder)


def evaluate_command(
    architecture: str,
    weights: str | Path,
    images: str | Path,
    annotations: str | Path,
    *,
    space: str = "mobilenet-imagenet",
    recipe: str = "retinanet_1x",
    batch_size: int = 8,
    workers: int = 4,
    device: str | None = None,
    skip_corrupt: bool = False,
    changes: dict[str, Any] | None = None,
) -> dict[str, float | None]:
    """Return the COCO measures of a trained detector, from names and paths: what `genius-kit detect evaluate` does.

    `weights` is the weights.pt that `train_command` wrote with the same space, architecture, recipe and changes.
    """
    chosen = load_detection_recipe(recipe, **(changes or {}))
    data = load_coco(images, annotations, skip_corrupt=skip_corrupt)
    detector = _built(space, architecture, chosen, data, None, 0)
    load_weights(detector, weights)
    return evaluate_detector(detector, data, batch_size=batch_size, device=device, workers=workers)


def _built(
    space: str, architecture: str, recipe: DetectionRecipe, data: CocoImages, weights: str | Path | None, seed: int
) -> nn.Module:
    where = load_space(space)
    return build_detector(
        where,
        where.decode(architecture),
        len(data.classes),
        weights=weights,
        image_size=recipe.image_size,
        channels=recipe.channels,
        anchor_size=recipe.anchor_size,
        seed=seed,
    )
