"""Training and evaluating one network: the same loop on a CPU, on one GPU, or on many under torchrun.

A training is a pure function of the network it begins with, the data set, the recipe and the seed: everything that
is random at a step comes from (seed, step). On a CPU with the same number of threads the weights are therefore the
same bit for bit, whether or not the training was interrupted; on GPUs torch's deterministic algorithms are not forced
(they cost time), so there they are the same up to rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from genius_kit.datasets import DataSet, load_dataset
from genius_kit.datasets.loaders import image_size
from genius_kit.errors import InvalidParameter
from genius_kit.memory_formats import has_narrow_strides, warn_if_suspect
from genius_kit.networks import build_seeded
from genius_kit.spaces import SearchSpace, load_space
from genius_kit.spaces.costs import count_cost
from genius_kit.training.checkpoints import (
    Row,
    check_identity,
    folder_in_use,
    load_whole,
    of_this_version,
    read_json,
    save_whole,
    write_json,
)
from genius_kit.training.loop import Loop, TrainingLoop, explained
from genius_kit.training.recipes import Recipe, load_recipe
from genius_kit.training.runtime import DistContext, choose_device, cpu_threads, join_team, torch_state

SMALL_PASS = 500_000_000
"""Multiply-accumulates of a batch below which one CPU thread is as fast as two (measured on NAS-Bench-Macro, 8 px)."""


@dataclass(frozen=True, kw_only=True)
class TrainedResult:
    """Result of any training.

    `history` has a row per epoch. `seconds` is the time spent, added up over interruptions; steps that a kill undid are
    not in it. `weights` is the path of the final state dict, None without a folder. `memory_format` is torch's name of
    the weights' format, None in results (or with a beginning) from before it was recorded.
    """

    history: tuple[Row, ...]
    parameters: int
    seconds: float
    device: str
    precision: str
    weights: str | None
    memory_format: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingResult(TrainedResult):
    """Result of one training. Accuracies in percent, of the averaged network where the recipe keeps one.

    `last` is the final epoch, and the test accuracy is its network's; `best` is the epoch with the highest validation
    accuracy, the earliest of equals, whose weights are not kept. The columns of `history` are `progress.COLUMNS`.
    """

    last_validation_accuracy: float
    best_validation_accuracy: float
    best_epoch: int
    test_accuracy: float | None


def train(
    network: nn.Module,
    dataset: DataSet,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    time_limit: float | None = None,
    checkpoint_every: int | None = None,
    on_step: Callable[[int], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    progress: bool = True,
    identity: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train a network in place and return the result; it ends in evaluation mode with the weights that were evaluated.

    Under torchrun every process calls this with the same arguments; the first one writes and calls back.

    Parameters
    ----------
    network
        Images (B, 3, S, S) to logits (B, classes); dropout and stochastic depth are its own, built with the recipe's.
    dataset
        The data set (`load_dataset`).
    recipe
        How to train (`load_recipe`).
    seed
        Seed of the order of the images and their augmentation.
    device
        "cpu", "cuda", ...; None takes a GPU where there is one.
    folder
        Receives checkpoint.pt, metrics.csv, TensorBoard events where that is installed, and at the end weights.pt and
        result.json. An unfinished training is resumed from it, a finished one read back. None keeps nothing.
    time_limit
        Seconds of training, added up over interruptions; None is no limit.
    checkpoint_every
        Optimiser steps between checkpoints; None writes one after each epoch only.
    on_step
        Called with the number of steps done.
    on_epoch
        Called with the row of the epoch.
    progress
        Show a progress bar.
    identity
        Further facts on which a resumed training must agree with its beginning, such as the weights it starts from.

    Raises
    ------
    TrainingFailed
        "out of memory", "diverged", "time limit" or "process died".
    CheckpointError
        A folder that is damaged, in use, or another training's.
    InvalidParameter
        Settings that do not fit together.
    """
    _check_settings(network, dataset, time_limit, checkpoint_every)
    team = join_team(choose_device(device))
    facts = _identity(network, dataset, recipe, seed, identity)
    place = Path(folder) if folder is not None else None

    def begin() -> TrainingLoop:
        loop = TrainingLoop(network, dataset, recipe, seed, team, place, facts, progress)
        loop.time_limit, loop.checkpoint_every = time_limit, checkpoint_every
        if team.leads:
            loop.on_step, loop.on_epoch = on_step, on_epoch
        return loop

    with torch_state(team.device), _threads(network, dataset, recipe, team.device):
        return carry_out(TrainingResult, network, recipe, team, place, facts, begin)


Result = TypeVar("Result", bound=TrainedResult)


def carry_out(
    kind: type[Result],
    network: nn.Module,
    recipe: Any,
    team: DistContext,
    folder: Path | None,
    identity: Mapping[str, Any],
    begin: Callable[[], Loop],
) -> Result:
    """Read back the training that is finished in `folder`, or bring the loop that `begin` makes to its end.

    The network ends in evaluation mode with its final weights; the folder then has weights.pt and result.json.
    """
    with ExitStack() as stack:
        stack.enter_context(explained(recipe))
        if folder is not None and team.leads:
            stack.enter_context(folder_in_use(folder))
        finished = team.from_leader(_read_finished(kind, folder, identity) if team.leads else None)
        if finished is not None:
            network.eval().load_state_dict(finished["weights"])
            assert folder is not None
            warn_if_suspect(folder, finished["result"], recipe.channels_last, has_narrow_strides(network))
            return kind(**finished["result"])
        loop = begin()
        stack.callback(loop.close)
        loop.run()
        result = kind(**loop.result_fields(folder))
        if folder is not None and team.leads:
            _write_finished(folder, identity, network, result)
        return result


def _read_finished(
    kind: type[TrainedResult], folder: Path | None, identity: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the result and the weights of a finished training in `folder`, None where it is not finished."""
    if folder is None or not (folder / "result.json").exists():
        return None
    path = folder / "result.json"
    record = read_json(path)
    with of_this_version(path):
        check_identity(path, record.pop("identity"), identity)
        fields = record["result"]
        result = {**fields, "history": tuple(fields["history"]), "weights": str(folder / "weights.pt")}
        kind(**result)
    return {"result": result, "weights": load_whole(folder / "weights.pt")}


def _write_finished(folder: Path, identity: Mapping[str, Any], network: nn.Module, result: TrainedResult) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_whole(folder / "weights.pt", weights)
    fields = {name: value for name, value in dataclasses.asdict(result).items() if name != "weights"}
    write_json(folder / "result.json", {"identity": identity, "result": fields})


def _check_settings(
    network: nn.Module, dataset: DataSet, time_limit: float | None, checkpoint_every: int | None
) -> None:
    classes = getattr(network, "num_classes", dataset.num_classes)
    if classes != dataset.num_classes:
        raise InvalidParameter(
            f"the network has {classes} classes, the data set {dataset.name} {dataset.num_classes}: build it with "
            f"num_classes={dataset.num_classes}, or replace its classifier (genius_kit.training.finetune)"
        )
    if time_limit is not None and not time_limit > 0:
        raise InvalidParameter(f"time_limit must be seconds above 0, or None, got {time_limit!r}")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise InvalidParameter(f"checkpoint_every must be steps, at least 1, or None, got {checkpoint_every!r}")


def _identity(
    network: nn.Module, dataset: DataSet, recipe: Recipe, seed: int, further: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what must be the same for a training to be the same one, apart from the weights it begins with."""
    shapes = [(name, list(value.shape)) for name, value in network.state_dict().items()]
    named = {name: getattr(network, name, None) for name in ("space_name", "key")}
    return {
        "network": {"class": type(network).__name__, **named, "shapes": sha256(repr(shapes).encode()).hexdigest()},
        "data_set": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "recipe": recipe.as_dict(),
        "seed": seed,
        **(further or {}),
    }


def _threads(
    network: nn.Module, dataset: DataSet, recipe: Recipe, device: torch.device
) -> AbstractContextManager[None]:
    """Return the context in which a small network trains on one CPU thread: more gain nothing there, and lose much.

    Torch's threads wait for one another actively after every operation, so that a neighbour on one of two cores made
    such a training three to ten times slower. The rule depends on the network and the recipe alone.
    """
    is_small = device.type == "cpu" and _pass_macs(network, dataset, recipe) < SMALL_PASS
    return cpu_threads(1) if is_small else nullcontext()


def _pass_macs(network: nn.Module, dataset: DataSet, recipe: Recipe) -> float:
    """Return the multiply-accumulates of one forward pass of a batch, infinity for a network of no space."""
    name, key = getattr(network, "space_name", None), getattr(network, "key", None)
    if not isinstance(name, str) or not isinstance(key, str):
        return float("inf")
    space, side = load_space(name), image_size(dataset, recipe)
    cost = count_cost(space, space.decode(key), num_classes=dataset.num_classes, image_size=side)
    return cost.macs * recipe.batch_size / recipe.accumulate


def seeded_network(
    space: SearchSpace, architecture: tuple[int, ...], dataset: DataSet, recipe: Recipe, seed: int
) -> nn.Module:
    """Return the network for a data set and a recipe, its first weights a function of `seed` alone."""
    return build_seeded(
        space,
        architecture,
        seed,
        num_classes=dataset.num_classes,
        image_size=image_size(dataset, recipe),
        dropout=recipe.dropout,
        drop_path=recipe.drop_path,
    )


def train_architecture(
    space: str,
    architecture: str,
    dataset: str,
    recipe: str | Recipe = "quick",
    *,
    changes: Mapping[str, Any] | None = None,
    data_folder: str | Path | None = None,
    seed: int = 0,
    **options: Any,
) -> TrainingResult:
    """Build the architecture that `architecture` spells in `space`, train it, and return the result.

    `changes` are fields of the recipe to set, `options` those of `train`. What the train command runs, in every
    process under torchrun. Raises what `train`, the spaces, the data sets and the recipes raise.
    """
    chosen = load_recipe(recipe, **(changes or {}))
    where = load_space(space)
    images = load_dataset(dataset, folder=data_folder)
    network = seeded_network(where, where.decode(architecture), images, chosen, seed)
    return train(network, images, chosen, seed=seed, **options)
