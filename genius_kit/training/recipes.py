"""How a network is trained, as data: every number that decides the weights, with its source."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from genius_kit.errors import InvalidParameter, UnknownName

AUGMENTATIONS = ("none", "shift", "crop-flip", "resized-crop", "rand-augment")
OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_Limit = tuple[tuple[type, ...], Callable[[Any], bool], str]
_NUMBER = (int, float)
_POSITIVE_COUNT: _Limit = ((int,), lambda value: value >= 1, "a whole number, at least 1")
_AT_LEAST_ZERO: _Limit = (_NUMBER, lambda value: value >= 0, "a number, at least 0")
_BELOW_ONE: _Limit = (_NUMBER, lambda value: 0 <= value < 1, "a number, at least 0 and below 1")
_SWITCH: _Limit = ((bool,), lambda value: True, "True or False")
_TEXT: _Limit = ((str,), lambda value: True, "a text")


def _one_of(known: tuple[str, ...]) -> _Limit:
    return (str,), lambda value: value in known, f"one of {', '.join(known)}"


_LIMITS: dict[str, _Limit] = {
    "name": _TEXT,
    "source": _TEXT,
    "epochs": _POSITIVE_COUNT,
    "batch_size": _POSITIVE_COUNT,
    "accumulate": _POSITIVE_COUNT,
    "workers": ((int,), lambda value: value >= 0, "a whole number, at least 0"),
    "image_size": (
        (int, type(None)),
        lambda value: value is None or value >= 1,
        "a whole number of pixels, at least 1, or None",
    ),
    "learning_rate": (_NUMBER, lambda value: value > 0, "a number above 0"),
    "weight_decay": _AT_LEAST_ZERO,
    "warmup_epochs": _AT_LEAST_ZERO,
    "minimum_learning_rate": _AT_LEAST_ZERO,
    "mixup": _AT_LEAST_ZERO,
    "cutmix": _AT_LEAST_ZERO,
    "momentum": _BELOW_ONE,
    "label_smoothing": _BELOW_ONE,
    "random_erasing": _BELOW_ONE,
    "dropout": _BELOW_ONE,
    "drop_path": _BELOW_ONE,
    "ema_decay": (
        (*_NUMBER, type(None)),
        lambda value: value is None or 0 < value < 1,
        "a number above 0 and below 1, or None",
    ),
    "clip_gradient": ((*_NUMBER, type(None)), lambda value: value is None or value > 0, "a number above 0, or None"),
    "augmentation": _one_of(AUGMENTATIONS),
    "optimizer": _one_of(OPTIMIZERS),
    "precision": _one_of(PRECISIONS),
    "nesterov": _SWITCH,
    "decays_norm_and_bias": _SWITCH,
    "channels_last": _SWITCH,
    "compile": _SWITCH,
    "sync_batch_norm": _SWITCH,
}


def _is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    """Return whether `value` is of one of the kinds; a bool is no number, and neither are NaN and infinity."""
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and not (isinstance(value, float) and not math.isfinite(value))


@dataclass(frozen=True)
class Changeable:
    """What every kind of recipe can do; `kind` is its name in messages."""

    kind: ClassVar[str] = "recipe"

    def changed(self, **changes: Any) -> Self:
        """Return this recipe with some fields changed; raises InvalidParameter for a misspelt or impossible one."""
        known = [field.name for field in dataclasses.fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise InvalidParameter(f"a {self.kind} has no field {unknown[0]!r}; it has {', '.join(known)}")
        return dataclasses.replace(self, **changes)


Kind = TypeVar("Kind", bound=Changeable)


@dataclass(frozen=True)
class Recipe(Changeable):
    """One way to train; `source` says where its numbers come from.

    `batch_size` is the total over processes and accumulated steps, and `learning_rate` the peak for that batch.
    `image_size` is in pixels a side, None takes the data set's own. Warm-up is linear from zero, then one cosine
    down to `minimum_learning_rate`, both functions of the step. `augmentation`: "shift" (random crop of the padded
    image), "crop-flip" (with a horizontal flip: the CIFAR standard), "resized-crop" (with a flip: the ImageNet
    standard), "rand-augment" (resized-crop, then RandAugment n=2 m=9). `mixup` and `cutmix` are the parameters of
    their beta distributions, 0 switches them off; `random_erasing` is a probability. `ema_decay` None keeps no
    moving average; with one, the averaged network is the one that is evaluated. `clip_gradient` bounds the norm.
    AdamW takes `momentum` as its first beta (the second is 0.999) and no `nesterov`.
    `accumulate` splits a batch into that many passes. `precision` "auto" takes bfloat16 or float16 where the device
    computes in it, else float32. `workers` decode images beside the training and matter to image folders only.
    Raises InvalidParameter for a field of another type or out of its range.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    image_size: int | None = None
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decays_norm_and_bias: bool = True
    warmup_epochs: float = 0.0
    minimum_learning_rate: float = 0.0
    label_smoothing: float = 0.0
    augmentation: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    random_erasing: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.0
    ema_decay: float | None = None
    clip_gradient: float | None = None
    accumulate: int = 1
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    sync_batch_norm: bool = False
    workers: int = 8

    def __post_init__(self) -> None:
        for field, (kinds, holds, expected) in _LIMITS.items():
            value = getattr(self, field)
            if not (_is_a(value, kinds) and holds(value)):
                self._refuse(field, expected)
        if self.batch_size % self.accumulate:
            self._refuse("batch_size", f"a multiple of accumulate={self.accumulate}, so that its parts are equal")
        if self.warmup_epochs > self.epochs:
            self._refuse("warmup_epochs", f"at most the {self.epochs} epochs of the training")
        if self.minimum_learning_rate > self.learning_rate:
            self._refuse("minimum_learning_rate", f"at most the learning_rate {self.learning_rate!r}")
        if self.nesterov and self.optimizer == "sgd" and self.momentum == 0:
            self._refuse("nesterov", "False, for there is no momentum")

    def _refuse(self, field: str, expected: str) -> None:
        raise InvalidParameter(f"recipe {self.name}: {field} is {getattr(self, field)!r}, expected {expected}")

    def as_dict(self) -> dict[str, Any]:
        """Return every field that decides the weights, fit for JSON: `source` and `workers` do not.

        A rate given as 1 is the same as 1.0 and reads so.
        """
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in ("source", "workers")}
        rates = {name for name, limit in _LIMITS.items() if float in limit[0]}
        return {name: float(value) if name in rates and value is not None else value for name, value in fields.items()}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="imagenet_search",
            source="GENIUS (arXiv:2304.10970): 20 epochs at 196 px on 99 % of the training images",
            epochs=20,
            batch_size=1024,
            learning_rate=0.5,
            image_size=196,
            weight_decay=1e-4,
            augmentation="resized-crop",
        ),
        Recipe(
            name="imagenet_retrain",
            source="GENIUS (arXiv:2304.10970): 500 epochs on 8 A100; the averaged network is reported. Label smoothing "
            "and the decay of the average are not stated there: 0.1 and 0.9999, as is usual for these networks",
            epochs=500,
            batch_size=2048,
            learning_rate=0.8,
            image_size=224,
            weight_decay=4e-5,
            warmup_epochs=5,
            label_smoothing=0.1,
            augmentation="rand-augment",
            dropout=0.2,
            ema_decay=0.9999,
        ),
        Recipe(
            name="cifar",
            source="NAS-Bench-201 (Dong and Yang, ICLR 2020): 200 epochs, Nesterov, cosine, crop and flip",
            epochs=200,
            batch_size=256,
            learning_rate=0.1,
            nesterov=True,
            weight_decay=5e-4,
            augmentation="crop-flip",
        ),
        Recipe(
            name="quick",
            source="this project: seconds on two CPU cores for digits and a narrow network; the weight decay is the "
            "one of 5e-4, 5e-3, 1e-2 and 2e-2 with the highest validation accuracy, since a thousand images are few",
            epochs=12,
            batch_size=64,
            learning_rate=0.05,
            nesterov=True,
            weight_decay=1e-2,
            warmup_epochs=1,
            label_smoothing=0.1,
            augmentation="shift",
        ),
    )
}


def load_recipe(recipe: str | Recipe, **changes: Any) -> Recipe:
    """Return the recipe called `recipe` (or the recipe itself) with some fields changed.

    Raises UnknownName for the name, InvalidParameter for a misspelt or impossible field.
    """
    return find_recipe(Recipe, RECIPES, recipe, changes)


def find_recipe(kind: type[Kind], known: Mapping[str, Kind], recipe: str | Kind, changes: Mapping[str, Any]) -> Kind:
    """Return one of the `known` recipes of a kind by its name, or `recipe` itself, with `changes`; raises as above."""
    if not isinstance(recipe, str):
        chosen = recipe
    elif recipe in known:
        chosen = known[recipe]
    else:
        raise UnknownName(f"no {kind.kind} is called {recipe!r}; the known ones are {', '.join(known)}")
    return chosen.changed(**changes) if changes else chosen
