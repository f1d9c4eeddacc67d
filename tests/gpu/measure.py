"""What one GPU does for a training: speed of steps and epochs, correctness, and a search that trains there.

`tests/gpu/run.sh` runs it. Every measure is one row; the JSON is written anew after each part, so that a part that
fails or comes too late takes no other with it: it is named in `missing`. Nothing is imported here that needs more than
torch, torchvision, timm, numpy, pandas, scikit-learn, pyyaml, jinja2 and pydantic (`tests/test_gpu.py` checks it).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import genius_kit as gk
from genius_kit.benchmarks.latency import device_name, spread, time_calls
from genius_kit.benchmarks.trained import TrainedBenchmark
from genius_kit.datasets import DataSet, TensorSplit, load_dataset
from genius_kit.pools import usable_cores
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import count_cost
from genius_kit.training.recipes import WeightAverage, average_decay, load_recipe
from genius_kit.training.runtime import choose_device
from genius_kit.training.trainer import seeded_network, train
from tests.training_speed import AUTHORS, COMPILED, DEFAULT, GENIUS_329, SINGLE, measure_training, noise

LIMIT = 450
"""Seconds after which no further part begins; `run.sh` interrupts the one under way 20 seconds later."""

CIFAR = {"nas-bench-macro": "22222222", "nas-bench-201": "333133"}
"""Two networks for images of 32 pixels: the second is a cell of five 3x3 convolutions and a skip connection."""
PROPOSALS = 6

Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of a GPU."""

    batch_size: int = 1024
    image_size: int = 224
    repeats: int = 20
    warmup: int = 3
    copied_bytes: int = 1 << 32
    matmul_side: int = 8192
    images: int = 50_000
    epochs: int = 4
    width: str = ""
    checked_epochs: int = 6
    search_epochs: int = 6
    compiles: bool = True


QUICK = Sizes(2, 32, 2, 1, 1 << 16, 64, 64, 2, "-w0.125", 1, 1, False)


def row(measure: str, unit: str, values: list[float], **further: Any) -> Row:
    """Return one row: median, tenth and ninetieth percentile and n of `values`."""
    median, low, high = spread(values)
    return {"measure": measure, "value": median, "unit": unit, "p10": low, "p90": high, "n": len(values), **further}


def ceilings(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield what the card reaches at best: copying float32, and multiplying square matrices in two precisions."""
    source = torch.zeros(sizes.copied_bytes // 4, device=device)
    target = torch.empty_like(source)
    seconds = time_calls(lambda: target.copy_(source), device, warmup=sizes.warmup, repeats=sizes.repeats)
    yield row("copy", "GB/s read and written", [2 * sizes.copied_bytes / 1e9 / value for value in seconds])
    side = sizes.matmul_side
    for kind in (torch.bfloat16, torch.float32):
        left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
        seconds = time_calls(lambda: left @ right, device, warmup=sizes.warmup, repeats=sizes.repeats)  # noqa: B023
        yield row(f"matmul, {str(kind).removeprefix('torch.')}", "TFLOP/s", [2 * side**3 / 1e12 / s for s in seconds])


def step(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield images per second of one training step of GENIUS-329, form by form in turns.

    Where a form does not fit into memory, all are measured at half the batch, and the default alone at the whole one.
    """
    forms = [AUTHORS, *([SINGLE] if device.type == "cuda" else []), DEFAULT]
    batch = sizes.batch_size
    while (rows := _fitting(device, sizes, batch, forms)) is None:
        batch //= 2
    yield from rows
    if batch < sizes.batch_size:
        yield from _fitting(device, sizes, sizes.batch_size, [DEFAULT]) or []


def compiled(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield the default step with `torch.compile`, beside the same step without."""
    yield from _fitting(device, sizes, sizes.batch_size, [DEFAULT, COMPILED]) or []


def _fitting(device: torch.device, sizes: Sizes, batch: int, forms: list[str]) -> list[Row] | None:
    """Return the rows of some forms at one batch size, None where memory runs out."""
    try:
        table = measure_training(
            batch_size=batch, image_size=sizes.image_size, repeats=sizes.repeats, warmup=sizes.warmup, device=device,
            forms=forms,
        )  # fmt: skip
    except torch.OutOfMemoryError:
        if batch <= 2:
            raise
        return None
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    space = load_space("mobilenet-imagenet")
    architecture = space.decode(GENIUS_329)
    macs = count_cost(space, architecture, image_size=sizes.image_size).macs
    moved = _moved_values(sizes.image_size)
    return [
        {
            "measure": f"GENIUS-329, batch {batch}, {one['form']}",
            "value": one["images_per_second"],
            "unit": "images/s",
            **{name: one[name] for name in ("p10", "p90", "n")},
            f"ratio to {forms[0]}": one["ratio"],
            "peak memory, GB": None if one["peak_memory_bytes"] is None else one["peak_memory_bytes"] / 1e9,
            "TFLOP/s": 6 * macs * one["images_per_second"] / 1e12,
            "GB/s at least": moved * _bytes_of(one["form"], device) * one["images_per_second"] / 1e9,
        }
        for one in table.to_dict("records")
    ]


def shares(one: Row, before: list[Row]) -> dict[str, float]:
    """Return which part of the measured ceilings a step reaches, {} for other rows."""
    reached = {"TFLOP/s": "matmul, bfloat16", "GB/s at least": "copy"}
    best = {row["measure"]: row["value"] for row in before if row["part"] == "ceilings"}
    return {f"of {name}": one[unit] / best[name] for unit, name in reached.items() if unit in one and name in best}


def _bytes_of(form: str, device: torch.device) -> int:
    return 2 if device.type == "cuda" and form in (DEFAULT, COMPILED) else 4


def _moved_values(image_size: int) -> int:
    """Return the values that a step reads and writes per image at the least.

    Each layer reads its input and writes its output once in the forward pass, and twice as much in the backward pass.
    """
    space, moved = load_space("mobilenet-imagenet"), 0
    network = gk.build_network(space, space.decode(GENIUS_329)).eval()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        moved += 3 * (inputs[0].numel() + output.numel())

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size))
    return moved


def epochs(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield the seconds of an epoch of two CIFAR networks: images held on the device, and a plain torchvision loop."""
    data = noise(sizes.images, 32, classes=10)
    recipe = load_recipe("cifar", epochs=sizes.epochs, batch_size=min(256, sizes.images // 2))
    for name, key in CIFAR.items():
        space = load_space(name + sizes.width)
        for form, run in (("held on the device", _kit_epochs), ("plain torchvision loop", _plain_epochs)):
            network = seeded_network(space, space.decode(key), data, recipe, 0)
            seconds = run(network, data, recipe, device)[1:]  # the first starts workers and tries algorithms
            yield row(f"{space.name} {key}, {sizes.images:,} images, {form}", "s per epoch", seconds)


def _kit_epochs(network: nn.Module, data: DataSet, recipe: Any, device: torch.device) -> list[float]:
    result = train(network, data, recipe, device=device, progress=False)
    return [one["seconds"] for one in result.history]


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images in memory through PIL, one by one, as torchvision's CIFAR10 gives them."""

    steps = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )

    def __init__(self, split: TensorSplit) -> None:
        self.pixels, self.labels = split.images.permute(0, 2, 3, 1).numpy(), split.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.steps(Image.fromarray(self.pixels[index])), self.labels[index]


def _plain_epochs(network: nn.Module, data: DataSet, recipe: Any, device: torch.device) -> list[float]:
    """Return the seconds of each epoch in float32 with torchvision's transforms in worker processes."""
    assert isinstance(data.train, TensorSplit)
    workers = min(8, usable_cores()) if device.type == "cuda" else 0
    batches = DataLoader(
        Pictures(data.train), recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), recipe.learning_rate, 0.9, weight_decay=5e-4, nesterov=True)
    seconds = []
    for _ in range(recipe.epochs):
        begun = time.perf_counter()
        for images, labels in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(images.to(device)), labels.to(device)).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return seconds


def correctness(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield how far results are from what they should be: the average, mixed precision, and a resumed training."""
    yield row("moving average, largest difference from float64", "relative", [_average_error(device)])
    losses = {one: _small_training(device, sizes, one)[1] for one in ("float32", "bfloat16")}
    pairs = zip(losses["float32"], losses["bfloat16"], strict=True)
    yield row("training loss in bfloat16 against float32", "relative", [abs(b / a - 1) for a, b in pairs])
    whole, _, weights = _small_training(device, sizes, "auto")
    with tempfile.TemporaryDirectory() as folder:
        cut = len(whole) // 2 + 1  # within an epoch: at the end of one, its measures would have to be taken again
        _small_training(device, sizes, "auto", folder=folder, stop=cut)
        resumed, _, again = _small_training(device, sizes, "auto", folder=folder)
    same = [float(one == other) for one, other in zip(whole[cut:], resumed, strict=True)]
    yield row("batches after a resume, equal bit for bit", "share", [statistics.mean(same)], batches=len(same))
    furthest = max(float((weights[name] - again[name]).abs().max()) for name in weights)
    yield row("weights after a resume, largest difference", "absolute", [furthest])


def _average_error(device: torch.device) -> float:
    """Return the largest difference of a moving average on the device from its definition, to the largest value."""
    torch.manual_seed(0)
    layer, decay = nn.Linear(64, 64).to(device), 0.99
    average = WeightAverage(layer, decay)
    expected = layer.weight.detach().double().cpu()
    for number in range(100):
        with torch.no_grad():
            layer.weight.add_(torch.randn_like(layer.weight), alpha=0.1)
        average.update(number)
        kept = average_decay(decay, number)
        expected = kept * expected + (1 - kept) * layer.weight.detach().double().cpu()
    found = average.network.weight.double().cpu()
    return float((found - expected).abs().max() / expected.abs().max())


class _Stopped(Exception):
    """Ends a training in its middle."""


def _small_training(
    device: torch.device, sizes: Sizes, precision: str, *, folder: str | None = None, stop: int | None = None
) -> tuple[list[str], list[float], dict[str, Tensor]]:
    """Return the SHA-256 of every training batch, the loss of every epoch, and the weights of one short training."""
    data, space = load_dataset("digits"), load_space("nas-bench-macro-w0.25")
    recipe = load_recipe("quick", epochs=sizes.checked_epochs, precision=precision)
    network, seen = seeded_network(space, space.decode("22222222"), data, recipe, 0), list[str]()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module.training:
            seen.append(hashlib.sha256(inputs[0].cpu().contiguous().numpy().tobytes()).hexdigest())

    network.register_forward_pre_hook(note)

    def end(done: int) -> None:
        if done == stop:
            raise _Stopped

    try:
        result = train(
            network, data, recipe, device=device, folder=folder, on_step=end, checkpoint_every=stop, progress=False
        )
    except _Stopped:
        return seen, [], {}
    losses = [one["train_loss"] for one in result.history]
    return seen, losses, {name: value.double().cpu() for name, value in network.state_dict().items()}


def search(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Yield the seconds per proposal of a search of six that trains, and how many of them trained on the device."""
    with tempfile.TemporaryDirectory() as folder:
        benchmark = TrainedBenchmark(
            "nas-bench-macro-w0.25", "digits", "quick", changes={"epochs": sizes.search_epochs}, cache=folder,
            device=str(device),
        )  # fmt: skip
        begun = time.perf_counter()
        proposer = gk.make_proposer("random", benchmark.space)
        gk.search(benchmark, proposer, budget=PROPOSALS, seed=0, journal=Path(folder) / "run.jsonl", progress=False)
        seconds = (time.perf_counter() - begun) / PROPOSALS
        frame = gk.read_run(Path(folder) / "run.jsonl").frame()
        outcomes = [benchmark.outcome(benchmark.space.decode(key)) for key in frame["key"]]
    there = sum(one is not None and one["result"]["device"].startswith(device.type) for one in outcomes)
    yield row("search of six proposals", "s per proposal", [seconds])
    yield row("proposals trained on the device", "of 6", [there], best=float(np.max(frame["validation_accuracy"])))


PARTS: dict[str, Callable[[torch.device, Sizes], Iterator[Row]]] = {
    "ceilings": ceilings,
    "correctness": correctness,
    "search": search,
    "step": step,
    "epochs": epochs,
    "compiled": compiled,
}


def measure(device: torch.device, sizes: Sizes, output: Path) -> dict[str, Any]:
    """Return what was measured, written to `output` after each part."""
    begun = time.perf_counter()
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device_name(device),
        "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": torch.version.cuda},
        "sizes": asdict(sizes),
        "rows": [],
        "missing": {},
        "seconds": {},
    }
    for name, part in PARTS.items():
        if name == "compiled" and not sizes.compiles:
            continue
        now = time.perf_counter()
        try:
            if now - begun > LIMIT:
                raise TimeoutError(f"not begun within {LIMIT} s")
            for one in part(device, sizes):
                found["rows"].append({"part": name, **one, **shares(one, found["rows"])})
        except (Exception, KeyboardInterrupt) as error:  # whatever fails, the other parts' numbers are kept
            found["missing"][name] = f"{type(error).__name__}: {error}"[:500]
        found["seconds"][name] = time.perf_counter() - now
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


COLUMNS = ("part", "measure", "value", "unit", "p10", "p90", "n")


def table(found: dict[str, Any]) -> str:
    """Return the rows in Markdown, with what is missing below them."""
    lines = [f"| {' | '.join((*COLUMNS, 'further'))} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for one in found["rows"]:
        further = ", ".join(f"{name} {_shown(value)}" for name, value in one.items() if name not in COLUMNS)
        lines.append(f"| {' | '.join(_shown(one[name]) for name in COLUMNS)} | {further} |")
    lines += [f"\nmissing: {name}: {why}" for name, why in found["missing"].items()]
    return "\n".join([f"{found['device']}, torch {found['versions']['torch']}, {found['date']}", "", *lines])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Measure and print the table; the exit status is 1 where a part is missing."""
    parser = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which show that it runs and nothing else")
    parser.add_argument("--output", type=Path, default=Path("reports/gpu.json"))
    given = parser.parse_args()
    found = measure(choose_device(given.device), QUICK if given.quick else Sizes(), given.output)
    print(table(found))
    return int(bool(found["missing"]))


if __name__ == "__main__":
    sys.exit(main())
