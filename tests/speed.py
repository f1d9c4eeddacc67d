"""Speed of a training step, measured in pairs: the default configuration against the authors' form of it.

The forms alternate in one run (A B A B ...), so that a change of load meets them all, and the table says on which
device that was, with how many repeats and which spread. Run it as `python -m tests.speed`; the second command
there measures the input pipeline, see `input_speed`.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from genius_kit.benchmarks.latency import device_name, spread, time_call
from genius_kit.datasets.splits import DataSet, TensorSplit
from genius_kit.errors import InvalidParameter
from genius_kit.files import write_whole
from genius_kit.spaces import load_space
from genius_kit.training.loop import TrainingLoop
from genius_kit.training.recipes import Recipe, load_recipe
from genius_kit.training.runtime import choose_device, join_team, torch_state
from genius_kit.training.trainer import seeded_network

GENIUS_329 = "100010101110404300430440505550"
"""The paper's network for ImageNet under 330 million multiply-accumulates (arXiv:2304.10970)."""

AUTHORS, DEFAULT = "authors", "default"

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
    compiles: bool = False,
) -> pd.DataFrame:
    """Return the speed of one SGD step in each form, one row a form, in images a second.

    "authors": float32, channels first, composed activations, a loop over the parameters in SGD. "default": the
    step of `training` with its defaults. On a GPU the default computes in bfloat16 where it can, so "default in
    float32" is there too; with `compiles`, "default, compiled". Columns: form, images_per_second (median), p10, p90,
    n, ratio (of the medians, to the authors' form), ratio_p10, ratio_p90 (of the pairs), peak_memory_bytes (of CUDA;
    None on a CPU, where it is not told apart), batch_size, image_size, device, threads.
    Raises UnknownName, InvalidArchitecture, InvalidParameter.
    """
    for name, value, least in (("repeats", repeats, 1), ("warmup", warmup, 0), ("batch_size", batch_size, 2)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidParameter(f"{name} {value!r} came, expected a whole number of at least {least}")
    chosen = choose_device(device)
    recipe = load_recipe(
        "imagenet_search", batch_size=batch_size, image_size=image_size, learning_rate=0.01, epochs=1_000_000
    )
    dataset = _noise(batch_size, image_size)
    with torch_state(chosen):
        steps = _forms(space, architecture, dataset, recipe, chosen, compiles)
        seconds, memory = _alternate(steps, chosen, warmup=warmup, repeats=repeats)
    rows = [_row(form, seconds, memory[form], batch_size) for form in steps]
    threads = torch.get_num_threads() if chosen.type == "cpu" else None
    return pd.DataFrame(rows).assign(
        batch_size=batch_size, image_size=image_size, device=device_name(chosen), threads=threads
    )


def _forms(
    space: str, architecture: str, dataset: DataSet, recipe: Recipe, device: torch.device, compiles: bool
) -> dict[str, Step]:
    """Return the step of each form; the authors' is the first."""
    where = load_space(space)

    def network() -> nn.Module:
        return seeded_network(where, where.decode(architecture), dataset, recipe, 0)

    steps = {AUTHORS: _authors_step(network(), dataset, recipe, device)}
    if device.type == "cuda":
        single = recipe.changed(precision="float32")
        steps["default in float32"] = _default_step(network(), dataset, single, device)
    steps[DEFAULT] = _default_step(network(), dataset, recipe, device)
    if compiles:
        steps["default, compiled"] = _default_step(network(), dataset, recipe.changed(compile=True), device)
    return steps


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


def _noise(count: int, side: int) -> DataSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    split = TensorSplit(images, torch.randint(1000, (count,), generator=generator))
    classes = tuple(str(number) for number in range(1000))
    half = (0.5, 0.5, 0.5)
    return DataSet("noise", "Noise", classes, side, half, half, split, split.take([0]), split.take([0]), "")


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
    pairs = [slow / fast for slow, fast in zip(seconds[AUTHORS], seconds[form], strict=True)]
    median, low, high = spread(paces)
    _, ratio_low, ratio_high = spread(pairs)
    return {
        "form": form,
        "images_per_second": median,
        "p10": low,
        "p90": high,
        "n": len(paces),
        "ratio": statistics.median(seconds[AUTHORS]) / statistics.median(seconds[form]),
        "ratio_p10": ratio_low,
        "ratio_p90": ratio_high,
        "peak_memory_bytes": memory,
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
        batch_size=batch_size, image_size=image_size, repeats=repeats, warmup=warmup, device=device, compiles=compiles
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
    from tests.input_speed import measure_input

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
