"""What a training does at each step, as pure functions of the step: learning rate, decay of the average, seeds."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self, TypeVar, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from torch import Tensor, nn

from genius_kit.datasets.transforms import seeded_globals
from genius_kit.errors import InvalidParameter, UnknownName


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimiser step `step`, counted from 0.

    It rises linearly through the warm-up, whose last step has the peak, then falls along one half cosine towards
    `minimum_learning_rate`, which the step after the last would have. Source: SGDR (Loshchilov and Hutter, ICLR 2017)
    without restarts; warm-up as in Goyal et al., arXiv:1706.02677.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    passed = (step - warmup) / max(1, recipe.epochs * steps_per_epoch - warmup)
    lowest = recipe.minimum_learning_rate
    return lowest + (recipe.learning_rate - lowest) * (1 + math.cos(math.pi * passed)) / 2


def average_decay(decay: float, step: int) -> float:
    """Return how much of the moving average is kept after optimiser step `step`, counted from 0.

    It begins at 0.1 and reaches `decay` once (1 + step) / (10 + step) does (0.9999 after 90,000 steps), so that a
    short training is not judged by its first weights. Source: TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of the random numbers of one step (dropout, mixup): 63 bits that depend on all three."""
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


_FUSED = ("cpu", "cuda", "mps")
"""Devices whose fused update is used: on a CPU it takes 1/2.6 of the time of a loop over the parameters."""


def make_optimizer(network: nn.Module, recipe: Any) -> torch.optim.Optimizer:
    """Return the recipe's SGD or AdamW over the parameters of `network` that take gradients.

    With `decays_norm_and_bias=False` parameters of one dimension (norm, bias) and those that the network names in
    `no_weight_decay()` are left out of the weight decay.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise InvalidParameter("the network has no parameter that takes gradients; nothing can be trained")
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": recipe.weight_decay}]
    if not recipe.decays_norm_and_bias and recipe.weight_decay:
        from timm.optim import param_groups_weight_decay

        names = getattr(network, "no_weight_decay", None)
        spared = names() if callable(names) else ()
        groups = param_groups_weight_decay(network, recipe.weight_decay, no_weight_decay_list=spared)
    fused = parameters[0].device.type in _FUSED
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), fused=fused)
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=fused,
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load `state`, every tensor in the memory format of its parameter.

    A checkpoint may come from another device, where the network had another format (`memory_formats`). A fused update
    walks through memory and looks at no strides: it would pair the momentum of one weight with another.
    """
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class WeightAverage:
    """An exponential moving average of a network: parameters and running statistics alike; counters are copied.

    `network` holds it. The decay warms up (`average_decay`). One `_foreach_lerp_` takes half the time of
    timm's ModelEmaV3 and a seventh of that of a loop over the modules.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._averaged = [average for average, value in pairs if value.is_floating_point()]
        self._values = [value for _, value in pairs if value.is_floating_point()]
        self._copied = [(average, value) for average, value in pairs if not value.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step `step`, counted from 0."""
        torch._foreach_lerp_(self._averaged, self._values, 1 - average_decay(self._decay, step))
        for average, value in self._copied:
            average.copy_(value)


class Mixing:
    """timm's mixup and cutmix, one draw per step: all passes and processes of a step share it. Needs an even batch.

    The partners of an image lie in its own pass. Sources: Zhang et al., ICLR 2018; Yun et al., ICCV 2019.
    """

    def __init__(self, recipe: Recipe, num_classes: int, images_per_pass: int) -> None:
        from timm.data import Mixup

        if images_per_pass % 2:
            raise InvalidParameter(
                f"recipe {recipe.name}: mixup and cutmix pair the images of a pass, which has {images_per_pass}; "
                "choose a batch_size that gives an even number"
            )
        self._mix = Mixup(recipe.mixup, recipe.cutmix, label_smoothing=0.0, num_classes=num_classes)

    def __call__(self, images: Tensor, labels: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return mixed images (B, 3, S, S) and class probabilities (B, num_classes); `images` is overwritten."""
        with seeded_globals(step_seed(seed, step)):  # timm draws from numpy's
            return self._mix(images, labels)


Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Changeable:
    """What every kind of recipe can do; `kind` is its name in messages, `warmup` its field of the warm-up."""

    kind: ClassVar[str] = "recipe"
    can_accumulate: ClassVar[bool] = True
    warmup: ClassVar[str] = "warmup_epochs"

    def __post_init__(self) -> None:
        """Check every field, and make a rate that was given as 1 the 1.0 that it is."""
        try:
            checked = dict(_fields_of(type(self)).model_validate(vars(self)))  # type: ignore[arg-type] # a class is hashable
        except ValidationError as error:
            first = error.errors()[0]
            self.refuse(str(first["loc"][0]), first["msg"].removeprefix("Input should be "))
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    def refuse(self, field: str, expected: str) -> NoReturn:
        """Raise InvalidParameter for the value of a field."""
        name = getattr(self, "name", "")
        raise InvalidParameter(f"recipe {name}: {field} must be {expected}, got {getattr(self, field)!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return every field that decides the weights, fit for JSON: `source` and `workers` do not."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in ("source", "workers")}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    def changed(self, **changes: Any) -> Self:
        """Return this recipe with some fields changed; raises InvalidParameter for a misspelt or impossible one."""
        known = [field.name for field in dataclasses.fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise InvalidParameter(f"a {self.kind} has no field {unknown[0]!r}; it has {', '.join(known)}")
        return dataclasses.replace(self, **changes)


@functools.cache
def _fields_of(kind: type[Changeable]) -> type[BaseModel]:
    """Return the model of a recipe's fields: the types and bounds that its annotations say, nothing converted."""
    hints = get_type_hints(kind, include_extras=True)
    fields: Any = {one.name: (hints[one.name], ...) for one in dataclasses.fields(kind)}
    return create_model("Fields", __config__=ConfigDict(strict=True, allow_inf_nan=False), **fields)


Kind = TypeVar("Kind", bound=Changeable)


@dataclass(frozen=True)
class Recipe(Changeable):
    """One way to train a network. The rate warms up linearly from zero, then follows one cosine, both by the step.

    Parameters
    ----------
    name
        What the recipe is called.
    source
        Where its numbers come from.
    epochs
        Passes over the training images, at least 1.
    batch_size
        Images per optimiser step, over all processes and passes; a multiple of `accumulate`.
    learning_rate
        The peak, for this batch size.
    image_size
        Pixels per side; None: the data set's own.
    optimizer
        "sgd" or "adamw".
    momentum
        Of SGD, or the first beta of AdamW (the second is 0.999); in [0, 1).
    nesterov
        Nesterov's momentum; SGD only.
    weight_decay
        At least 0.
    decays_norm_and_bias
        Whether weight decay also acts on biases and norm layers.
    warmup_epochs
        Epochs of the linear warm-up, at most `epochs`.
    minimum_learning_rate
        Where the cosine ends.
    label_smoothing
        In [0, 1).
    augmentation
        "none", "shift" (random crop of the padded image), "crop-flip" (with a horizontal flip: the CIFAR standard),
        "resized-crop" (with a flip: the ImageNet standard) or "rand-augment" (resized-crop, then RandAugment n=2 m=9).
    mixup, cutmix
        Parameter of their beta distributions; 0 switches them off.
    random_erasing
        Probability per image.
    dropout
        Rate before the classifier.
    drop_path
        Rate of stochastic depth at the last block.
    ema_decay
        Decay of a moving average of the weights, which is then the network that is evaluated; None keeps none.
    clip_gradient
        Largest norm of the gradient; None does not clip.
    accumulate
        Passes that a batch is split into.
    precision
        "auto" (bfloat16 or float16 where the device computes in it, else float32) or one of these by name.
    channels_last
        Memory format of images and weights.
    compile
        Whether `torch.compile` compiles the network.
    sync_batch_norm
        Whether batch norms share their statistics over processes.
    workers
        Processes that decode images, for image folders only.

    Raises
    ------
    InvalidParameter
        A field of another type or out of its range.
    """

    name: str
    source: str
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    image_size: Count | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Rate = 0.0
    decays_norm_and_bias: bool = True
    warmup_epochs: Rate = 0.0
    minimum_learning_rate: Rate = 0.0
    label_smoothing: Share = 0.0
    augmentation: Literal["none", "shift", "crop-flip", "resized-crop", "rand-augment"] = "none"
    mixup: Rate = 0.0
    cutmix: Rate = 0.0
    random_erasing: Share = 0.0
    dropout: Share = 0.0
    drop_path: Share = 0.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    clip_gradient: Positive | None = None
    accumulate: Count = 1
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    sync_batch_norm: bool = False
    workers: Annotated[int, Field(ge=0)] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.accumulate:
            self.refuse("batch_size", f"a multiple of accumulate={self.accumulate}, so that its parts are equal")
        if self.warmup_epochs > self.epochs:
            self.refuse("warmup_epochs", f"at most the {self.epochs} epochs of the training")
        if self.minimum_learning_rate > self.learning_rate:
            self.refuse("minimum_learning_rate", f"at most the learning_rate {self.learning_rate!r}")
        if self.nesterov and self.optimizer == "sgd" and self.momentum == 0:
            self.refuse("nesterov", "False, for there is no momentum")


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
    """Return a recipe, with some fields changed.

    Parameters
    ----------
    recipe
        A name ("quick", "cifar", "imagenet_search", "imagenet_retrain") or a recipe.
    **changes
        Fields of `Recipe` and their new values.

    Raises
    ------
    UnknownName
        No such recipe.
    InvalidParameter
        A misspelt or impossible field.
    """
    return find_recipe(Recipe, RECIPES, recipe, changes)


def find_recipe(kind: type[Kind], known: Mapping[str, Kind], recipe: str | Kind, changes: Mapping[str, Any]) -> Kind:
    """Return one of the `known` recipes of a kind by its name, or `recipe` itself, with `changes`; raises as above."""
    if not isinstance(recipe, str):
        chosen = recipe
    elif recipe in known:
        chosen = known[recipe]
    else:
        raise UnknownName.of(kind.kind, recipe, known)
    return chosen.changed(**changes) if changes else chosen
