"""Speed of a training step, measured in pairs: the default configuration against the authors' form of it.

The forms alternate in one run (A B A B ...), so that a change of load meets them all, and the table says on which
device that was, with how many repeats and which spread. `python -m tests.speed training` runs it.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from genius_kit.benchmarks.latency import device_name, spread, time_call
from genius_kit.datasets.splits import DataSet, TensorSplit
from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.spaces import load_space
from genius_kit.training.loop import TrainingLoop
from genius_kit.training.recipes import Recipe, load_recipe
from genius_kit.training.runtime import choose_device, join_team, torch_state
from genius_kit.training.trainer import seeded_network

GENIUS_329 = "100010101110404300430440505550"
"""The paper's network for ImageNet under 330 million multiply-accumulates (arXiv:2304.10970)."""

AUTHORS, SINGLE, DEFAULT, COMPILED = "authors", "default in float32", "default", "default, compiled"

Step = Callable[[], object]


class ComposedHardswish(nn.Module):
    """Hard-swish as separate operations, each with a tensor of its own: x * relu6(x + 3) / 6."""

    def forward(self, features: Tensor) -> Tensor:
        return features * functional.relu6(features + 3) / 6


class ComposedHardsigmoid(nn.Module):
    """Hard-sigmoid as separate operations: relu6(x + 3) / 6."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu6(features + 3) / 6


_COMPOSED: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Hardswish: ComposedHardswish,
    nn.Hardsigmoid: ComposedHardsigmoid,
}


def compose_activations(network: nn.Module) -> int:
    """Replace every fused hard-swish and hard-sigmoid of `network` by its composed form; return how many there were."""
    replaced = 0
    for name, child in network.named_children():
        if type(child) in _COMPOSED:
            setattr(network, name, _COMPOSED[type(child)]())
            replaced += 1
        else:
            replaced += compose_activations(child)
    return replaced


def measure_training(
    *,
    space: str = "mobilenet-imagenet",
    architecture: str = GENIUS_329,
    batch_size: int = 32,
    image_size: int = 224,
    repeats: int = 10,
    warmup: int = 2,
    device: str | torch.device | None = None,
    forms: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the speed of one SGD step in each form, one row per form, in images per second.

    "authors": float32, channels first, composed activations, a loop over the parameters in SGD. "default": the
    step of `training` with its defaults. On a GPU the default computes in bfloat16 where it can, so "default in
    float32" is there too. `forms` names others, "default, compiled" among them. Columns: form, images_per_second
    (median), p10, p90, n, ratio (of the medians, to the first form), ratio_p10, ratio_p90 (of the pairs),
    peak_memory_bytes (of CUDA; None on a CPU, where it is not told apart), batch_size, image_size, device, threads.
    Raises UnknownName, InvalidArchitecture, InvalidParameter.
    """
    for name, value, least in (("repeats", repeats, 1), ("warmup", warmup, 0), ("batch_size", batch_size, 2)):
        check_integer(name, value, least)
    chosen = choose_device(device)
    names = forms or (AUTHORS, *((SINGLE,) if chosen.type == "cuda" else ()), DEFAULT)
    recipe = load_recipe(
        "imagenet_search", batch_size=batch_size, image_size=image_size, learning_rate=0.01, epochs=1_000_000
    )
    dataset = noise(batch_size, image_size)
    with torch_state(chosen):
        steps = {name: _step(name, space, architecture, dataset, recipe, chosen) for name in names}
        seconds, memory = _alternate(steps, chosen, warmup=warmup, repeats=repeats)
    rows = [_row(form, seconds, memory[form], batch_size) for form in steps]
    threads = torch.get_num_threads() if chosen.type == "cpu" else None
    return pd.DataFrame(rows).assign(
        batch_size=batch_size, image_size=image_size, device=device_name(chosen), threads=threads
    )


def _step(form: str, space: str, architecture: str, dataset: DataSet, recipe: Recipe, device: torch.device) -> Step:
    where = load_space(space)
    network = seeded_network(where, where.decode(architecture), dataset, recipe, 0)
    if form == AUTHORS:
        return _authors_step(network, dataset, recipe, device)
    changes = {SINGLE: {"precision": "float32"}, DEFAULT: {}, COMPILED: {"compile": True}}
    return _default_step(network, dataset, recipe.changed(**changes[form]), device)


def _authors_step(network: nn.Module, dataset: DataSet, recipe: Recipe, device: torch.device) -> Step:
    if not compose_activations(network):
        raise InvalidParameter("the network has no hard-swish: the authors' form is one of the ImageNet space")
    network.to(device).train()
    images, labels = _batch(dataset, device)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay,
        foreach=False, fused=False,
    )  # fmt: skip

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _default_step(network: nn.Module, dataset: DataSet, recipe: Recipe, device: torch.device) -> Step:
    """Return the trainer's own step on a batch that is ready."""
    loop = TrainingLoop(network, dataset, recipe, 0, join_team(device), None, {}, False)
    network.train()
    batches: Iterator[tuple[Tensor, Tensor]] = itertools.repeat(_batch(dataset, device))
    return lambda: loop.train_step(batches)


def noise(count: int, side: int, classes: int = 1000) -> DataSet:
    """Return a data set of random images and labels, a few of them for validation and test."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    split = TensorSplit(images, torch.randint(classes, (count,), generator=generator))
    names, half, few = (
        tuple(str(number) for number in range(classes)),
        (0.5, 0.5, 0.5),
        split.take(range(min(10, count))),
    )
    return DataSet("noise", "Noise", names, side, half, half, split, few, few, "")


def _batch(dataset: DataSet, device: torch.device) -> tuple[Tensor, Tensor]:
    assert isinstance(dataset.train, TensorSplit)
    return (dataset.train.images.float() / 127.5 - 1).to(device), dataset.train.labels.to(device)


def _alternate(
    steps: Mapping[str, Step], device: torch.device, *, warmup: int, repeats: int
) -> tuple[dict[str, list[float]], dict[str, int | None]]:
    """Return the seconds of each step, form by form in turn, and the highest memory of each on a GPU in bytes."""
    seconds: dict[str, list[float]] = {form: [] for form in steps}
    memory: dict[str, int | None] = dict.fromkeys(steps)
    for turn in range(warmup + repeats):
        for form, step in steps.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            taken = time_call(step, device)
            if turn >= warmup:
                seconds[form].append(taken)
                if device.type == "cuda":
                    memory[form] = max(memory[form] or 0, torch.cuda.max_memory_allocated(device))
    return seconds, memory


def _row(form: str, seconds: Mapping[str, list[float]], memory: int | None, batch_size: int) -> dict[str, Any]:
    paces = [batch_size / value for value in seconds[form]]
    first = next(iter(seconds.values()))
    pairs = [slow / fast for slow, fast in zip(first, seconds[form], strict=True)]
    median, low, high = spread(paces)
    _, ratio_low, ratio_high = spread(pairs)
    return {
        "form": form,
        "images_per_second": median,
        "p10": low,
        "p90": high,
        "n": len(paces),
        "ratio": statistics.median(first) / statistics.median(seconds[form]),
        "ratio_p10": ratio_low,
        "ratio_p90": ratio_high,
        "peak_memory_bytes": memory,
    }
