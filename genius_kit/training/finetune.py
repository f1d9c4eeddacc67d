"""Parts of a network that stay as they are while the rest learns; the keys of its state dict do not change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genius_kit.datasets import DataSet
from genius_kit.datasets.loaders import image_size
from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.networks import build_network, load_weights
from genius_kit.networks.base import Weights, read_weights
from genius_kit.spaces import SearchSpace
from genius_kit.training.recipes import Recipe, load_recipe
from genius_kit.training.trainer import TrainingResult, train


def freeze(network: nn.Module) -> None:
    """Keep every weight and running statistic of `network` as it is, in training too."""
    network.requires_grad_(False)
    freeze_norms(network)


def freeze_norms(network: nn.Module) -> None:
    """Keep the batch norms of `network` as they are, in training too: they normalise by their running statistics."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.requires_grad_(False)
            module.register_forward_pre_hook(_evaluates)


def _evaluates(module: nn.Module, inputs: Any) -> None:
    module.eval()


FINE_TUNE = Recipe(
    name="fine_tune",
    source="Kornblith et al., Do Better ImageNet Models Transfer Better? (CVPR 2019): Nesterov momentum, batch 256, "
    "cosine, 20,000 steps of 224 px crops with flips; they search the rate and the decay over grids, 0.01 and 1e-4 are "
    "ours, and so are 100 epochs, about 19,500 steps on CIFAR's 50,000 images. Not GENIUS's own: those are not known",
    epochs=100,
    batch_size=256,
    learning_rate=0.01,
    image_size=224,
    nesterov=True,
    weight_decay=1e-4,
    augmentation="resized-crop",
)
"""How a pretrained network is fine-tuned."""


def fine_tune(
    space: SearchSpace,
    architecture: Sequence[int],
    weights: Weights,
    dataset: DataSet,
    recipe: str | Recipe = FINE_TUNE,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    linear_probe: bool = False,
    **options: Any,
) -> TrainingResult:
    """Train a pretrained network with a new classifier on a data set.

    Parameters
    ----------
    space
        The space of the architecture.
    architecture
        One option index per position.
    weights
        A state dict or the path of a file with one.
    dataset
        The data set to train on (`load_dataset`).
    recipe
        A recipe or its name; default 100 epochs of SGD (FINE_TUNE).
    seed
        Seed of the classifier, the order of the images and their augmentation.
    device
        "cpu", "cuda", ...; None takes a GPU where there is one.
    folder
        Where the training is kept and resumed; None keeps nothing.
    linear_probe
        Train the new classifier only; the rest and its batch norms stay as they are.
    **options
        Further options of `train` (time_limit, progress, ...).

    Raises
    ------
    InvalidParameter
        Weights of another architecture, or a file that is not a state dict.
    """
    chosen = load_recipe(recipe)
    state = read_weights(weights)
    size = image_size(dataset, chosen)
    network = pretrained_network(space, architecture, state, dataset.num_classes, chosen, size, seed, linear_probe)
    begins = {"fine_tunes": {"weights": fingerprint(state), "linear_probe": linear_probe}}
    return train(network, dataset, chosen, seed=seed, device=device, folder=folder, identity=begins, **options)


def pretrained_network(
    space: SearchSpace,
    architecture: Sequence[int],
    weights: Weights,
    num_classes: int,
    recipe: Recipe = FINE_TUNE,
    size: int | None = None,
    seed: int = 0,
    linear_probe: bool = False,
) -> nn.Module:
    """Return the network with pretrained `weights` and a new classifier for `num_classes` classes, drawn from `seed`.

    The class count that the weights were trained for is read from their classifier, which is then dropped. With
    `linear_probe` only the new classifier learns: the rest has no gradients, and its batch norms stay as they are.
    `size` is in pixels per side and matters to transformers, whose patches and positions are resampled by timm where
    the pretrained ones are of another size.
    """
    check_integer("num_classes", num_classes, 1)
    state = read_weights(weights)
    network: Any = build_network(
        space,
        architecture,
        num_classes=_pretrained_classes(state),
        image_size=size,
        dropout=recipe.dropout,
        drop_path=0.0 if linear_probe else recipe.drop_path,
    )
    load_weights(network, _resampled(network, state))
    if linear_probe:
        freeze(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.classifier = nn.Linear(network.classifier.in_features, num_classes)
    network.num_classes = num_classes
    return network


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict: its names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _resampled(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with a transformer's patch embedding and positions brought to the size that `network` has."""
    fitted, own = dict(state), network.state_dict()
    positions, patches = "pos_embed", "patch_embed.proj.weight"
    if {positions, patches} <= own.keys() & fitted.keys():
        side = int(own[positions].shape[1] ** 0.5)
        if fitted[positions].shape[1:2] != own[positions].shape[1:2]:
            fitted[positions] = resample_abs_pos_embed(fitted[positions], [side, side], num_prefix_tokens=0)
        if fitted[patches].shape[2:] != own[patches].shape[2:]:
            fitted[patches] = resample_patch_embed(fitted[patches], list(own[patches].shape[2:]))
    return fitted


def _pretrained_classes(state: Mapping[str, Tensor]) -> int:
    weight = state.get("classifier.weight")
    if weight is None or weight.ndim != 2:
        raise InvalidParameter(
            f"the weights have no classifier.weight of two dimensions, so their class count is unknown; they have "
            f"{', '.join(list(state)[:3]) or 'no entries'}: give the state dict of a network of this package"
        )
    return weight.shape[0]
