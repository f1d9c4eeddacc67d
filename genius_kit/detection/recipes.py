"""How a detector is trained, as data: every number that decides its weights, with its source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from genius_kit.errors import InvalidParameter
from genius_kit.training.recipes import Changeable, find_recipe


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
    epochs: int
    batch_size: int
    learning_rate: float
    image_size: tuple[int, int] = (800, 1333)
    channels: int = 256
    anchor_size: int = 32
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_steps: int = 500
    milestones: tuple[int, ...] = (8, 11)
    flip: float = 0.5
    clip_gradient: float | None = None
    precision: str = "auto"
    channels_last: bool = True
    workers: int = 4

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "channels", "anchor_size"):
            if getattr(self, name) < 1:
                raise InvalidParameter(f"recipe {self.name}: {name} is {getattr(self, name)}, expected at least 1")
        if self.learning_rate <= 0 or not 0 <= self.flip <= 1 or min(self.warmup_steps, self.workers) < 0:
            raise InvalidParameter(
                f"recipe {self.name}: expected learning_rate above 0, flip from 0 to 1, warmup_steps and workers at "
                f"least 0; {self.learning_rate}, {self.flip}, {self.warmup_steps} and {self.workers} came"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return every field that decides the weights, fit for JSON: `source` and `workers` do not."""
        fields = dataclasses.asdict(self).items()
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields}
        return {name: value for name, value in plain.items() if name not in ("source", "workers")}

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
