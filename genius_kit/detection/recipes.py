"""How a detector is trained, as data: every number that decides its weights, with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from genius_kit.training.recipes import Changeable, Count, Positive, Precision, Rate, Share, find_recipe


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
