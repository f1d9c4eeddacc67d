"""Training the networks of one cell on the signals of a task, all seeds at once."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, check_integer
from genius_kit.spaces.signal_cell import FIRST_RULES, SignalRules, active_edges

if TYPE_CHECKING:
    import torch

    from genius_kit.private.signals import Signals, SignalTask

EVALUATED_AT_ONCE = 500


@dataclass(frozen=True)
class SignalRecipe:
    """How a network is trained: AdamW, a warm-up of one epoch, then a cosine to 0; seeds 0 to `seeds` - 1."""

    seeds: int = 3
    epochs: int = 5
    batch: int = 128
    rate: float = 0.02
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "batch"):
            check_integer(name, getattr(self, name), 1)
        for name in ("rate", "weight_decay"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InvalidParameter(f"{name} must be a number of at least 0, got {value!r}")

    def settings(self) -> dict[str, Any]:
        """Return the fields, fit for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CellResult:
    """Right answers of each seed on the validation and the test part, and the seconds that all seeds took together."""

    validation: tuple[int, ...]
    test: tuple[int, ...]
    seconds: float


def train_cell(
    architecture: Sequence[int],
    operations: Sequence[str],
    task: SignalTask,
    signals: Signals,
    recipe: SignalRecipe,
    rules: SignalRules = FIRST_RULES,
) -> CellResult:
    """Train one cell under every seed of the recipe; the same call gives the same counts on one machine.

    A cell that passes nothing on is not trained: its network answers the same label for every signal.
    """
    import torch

    from genius_kit.networks.signal import SeededCells

    begun = time.perf_counter()
    parts = {
        name: (torch.from_numpy(signals.signals[name]), torch.from_numpy(signals.labels[name]))
        for name in signals.signals
    }
    if not active_edges(architecture, operations):
        commonest = int(parts["train"][1].bincount().argmax())
        right = {name: int((parts[name][1] == commonest).sum()) for name in ("validation", "test")}
        return CellResult((right["validation"],) * recipe.seeds, (right["test"],) * recipe.seeds, 0.0)
    network = SeededCells(architecture, operations, task.classes, range(recipe.seeds), rules)
    _train(network, parts["train"], recipe)
    counts = {name: _right(network, *parts[name], recipe.seeds) for name in ("validation", "test")}
    return CellResult(counts["validation"], counts["test"], round(time.perf_counter() - begun, 3))


def _train(network: torch.nn.Module, part: tuple[torch.Tensor, torch.Tensor], recipe: SignalRecipe) -> None:
    """Train the networks of all seeds, which see the same signals in orders of their own."""
    import torch

    signals, labels = part
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True)
    rounds = max(1, len(signals) // recipe.batch)  # fewer signals than a batch are one
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(rounds, rounds * recipe.epochs))
    orders = [torch.Generator().manual_seed(10_000 + seed) for seed in range(recipe.seeds)]
    for _ in range(recipe.epochs):
        order = torch.stack([torch.randperm(len(signals), generator=draw) for draw in orders])
        for start in range(0, rounds * recipe.batch, recipe.batch):
            chosen = order[:, start : start + recipe.batch]
            logits = network(signals[chosen])
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="none")
            optimizer.zero_grad(set_to_none=True)
            loss.mean(dim=1).sum().backward()  # a sum over seeds: none has a part in the gradient of another
            optimizer.step()
            schedule.step()
    network.eval()


def _cosine(warm: int, steps: int) -> Any:
    """Return the factor of the rate by step: up over `warm` steps, then down to 0 along a cosine."""

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warm)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))

    return factor


def _right(network: torch.nn.Module, signals: torch.Tensor, labels: torch.Tensor, seeds: int) -> tuple[int, ...]:
    """Return how many signals each seed's network labels rightly."""
    import torch

    right = torch.zeros(seeds, dtype=torch.int64)
    with torch.inference_mode():
        for some, wanted in zip(signals.split(EVALUATED_AT_ONCE), labels.split(EVALUATED_AT_ONCE), strict=True):
            answers = network(some.expand(seeds, -1, -1)).argmax(dim=1)
            right += (answers == wanted).sum(dim=1)
    return tuple(right.tolist())
