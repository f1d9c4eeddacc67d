"""One training of a detector: its steps, and the folder that keeps them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from genius_kit import files
from genius_kit.detection.batches import Flipped, batches_by_orientation, detection_batches, placed
from genius_kit.detection.coco import COCO_MEASURES, CocoImages
from genius_kit.detection.recipes import DetectionRecipe
from genius_kit.errors import InvalidParameter, TrainingFailed
from genius_kit.memory_formats import has_narrow_strides, memory_format, name_of, warn_if_suspect
from genius_kit.networks import load_weights
from genius_kit.training.checkpoints import (
    check_identity,
    load_checkpoint,
    of_this_version,
    read_json,
    save_checkpoint,
    save_whole,
    write_json,
)
from genius_kit.training.recipes import restore_optimizer
from genius_kit.training.runtime import autocast, choose_precision

Row = dict[str, Any]
"""One epoch of the history: numbers by name, None where a measure does not exist."""


@dataclass(frozen=True)
class DetectionResult:
    """What a detector's training came to.

    `history` has a row an epoch: epoch, train_loss, classification_loss, box_loss, learning_rate, seconds and, where
    it was measured, the COCO measures in percent. `measures` are those of the last epoch. `weights` is the path of the
    final state dict in the folder. `memory_format` is as in `training.TrainingResult`.
    """

    history: tuple[dict[str, float | None], ...]
    measures: dict[str, float | None]
    parameters: int
    seconds: float
    device: str
    precision: str
    weights: str | None
    memory_format: str | None = None


class Run:
    """One training: the detector and its optimiser on a device, and the batches of each epoch."""

    def __init__(
        self, detector: nn.Module, data: CocoImages, recipe: DetectionRecipe, seed: int, device: torch.device
    ) -> None:
        self.recipe, self.seed, self.device, self.data = recipe, seed, device, data
        self.precision = choose_precision(device, recipe.precision)
        layout = memory_format(detector, device, recipe.channels_last)
        self.memory_format: str | None = name_of(layout)
        self.detector = detector.to(device).to(memory_format=layout)
        self.learnt = [parameter for parameter in detector.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(
            self.learnt, lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")
        self.indices = data.indices_with_boxes()
        self.steps = len(self.indices) // recipe.batch_size
        if not self.steps:
            raise InvalidParameter(
                f"batch_size {recipe.batch_size} is more than the {len(self.indices)} images that have boxes: make it "
                "smaller"
            )

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights of this training."""
        return {
            "detector": getattr(self.detector, "fingerprint", None),
            "recipe": self.recipe.as_dict(),
            "data": self.data.fingerprint,
            "images": len(self.indices),
            "seed": self.seed,
        }

    def train_epoch(self, epoch: int, progress: bool) -> Row:
        """Train one epoch and return its row of the history."""
        began, sums = time.perf_counter(), torch.zeros(2, dtype=torch.float64)
        self.detector.train()
        batches = self._batches(epoch)
        shown = tqdm(batches, total=self.steps, desc=f"epoch {epoch + 1}", leave=False, disable=not progress)
        for number, (images, targets) in enumerate(shown):
            step = epoch * self.steps + number
            rate = self.recipe.learning_rate_at(step, self.steps)
            losses = self._step(images, targets, rate)
            self._demand_finite(losses, step)
            sums += losses
            shown.set_postfix(loss=f"{losses.sum():.3f}", refresh=False)
        classification, box = (sums / self.steps).tolist()
        seconds = time.perf_counter() - began
        return {
            "epoch": epoch + 1,
            "train_loss": classification + box,
            "classification_loss": classification,
            "box_loss": box,
            "learning_rate": rate,
            "seconds": seconds,
            "images_per_second": self.steps * self.recipe.batch_size / seconds,
        }

    def _step(self, images: list[Tensor], targets: list[dict[str, Tensor]], rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        try:
            with autocast(self.device, self.precision):
                losses = self.detector(*placed(images, targets, self.device))
            self.scaler.scale(sum(losses.values())).backward()
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"a batch of {len(images)} images did not fit into the memory of {self.device}: make batch_size or "
                "image_size smaller",
                cause="out of memory",
            ) from error
        if self.recipe.clip_gradient is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.learnt, self.recipe.clip_gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack([losses["classification"].detach(), losses["bbox_regression"].detach()]).double().cpu()

    def _demand_finite(self, losses: Tensor, step: int) -> None:
        if not torch.isfinite(losses).all():
            raise TrainingFailed(
                f"the loss is {losses.sum():.3g} at step {step}: try a smaller learning_rate than "
                f"{self.recipe.learning_rate}, more warmup_steps, or clip_gradient",
                cause="diverged",
            )

    def _batches(self, epoch: int) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        shapes = self.data.shapes()
        wide = [shapes[index][1] >= shapes[index][0] for index in self.indices]
        chosen = batches_by_orientation(wide, self.recipe.batch_size, (self.seed, epoch))
        items = Flipped(self.data, self.recipe.flip, (self.seed, epoch))
        batches = [[self.indices[i] for i in batch] for batch in chosen]
        return iter(detection_batches(items, batches, self.recipe.workers, self.device))

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        parts: dict[str, Any] = {"detector": self.detector, "optimizer": self.optimizer, "scaler": self.scaler}
        return {"memory_format": self.memory_format, **{name: part.state_dict() for name, part in parts.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what a checkpoint held."""
        self.detector.load_state_dict(state["detector"])
        restore_optimizer(self.optimizer, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if state.get("memory_format") is None:  # the beginning is from before it was recorded
            self.memory_format = None

    def result(self, history: list[Row]) -> DetectionResult:
        """Return what the training came to."""
        return DetectionResult(
            history=tuple(history),
            measures={name: history[-1][name] for name in COCO_MEASURES if name in history[-1]},
            parameters=sum(parameter.numel() for parameter in self.detector.parameters()),
            seconds=sum(row["seconds"] or 0.0 for row in history),
            device=str(self.device),
            precision=self.precision,
            weights=None,
            memory_format=self.memory_format,
        )


class Store:
    """The folder of one training: checkpoint.pt, metrics.csv, and at the end weights.pt and result.json."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, identity

    def finished(self, detector: nn.Module) -> DetectionResult | None:
        """Return the result that is there, with the detector's weights, or None."""
        path = self.folder / "result.json"
        if not path.is_file():
            return None
        content = read_json(path)
        with of_this_version(path):
            check_identity(path, content.pop("identity"), self.identity)
            content["history"] = tuple(content["history"])
            result = DetectionResult(**{**content, "weights": str(self.folder / "weights.pt")})
        load_weights(detector, self.folder / "weights.pt")
        warn_if_suspect(self.folder, content, self.identity["recipe"]["channels_last"], has_narrow_strides(detector))
        return result

    def resume(self, run: Run) -> list[Row]:
        """Return the epochs that are done, with the run brought to their end."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return []
        state = load_checkpoint(path, self.identity)
        with of_this_version(path):
            run.restore(state)
            history: list[Row] = state["history"]
        return history

    def save(self, run: Run, history: list[Row]) -> None:
        """Write the checkpoint and the table of epochs."""
        save_checkpoint(self.folder / "checkpoint.pt", self.identity, {**run.state(), "history": history})
        files.write_whole(self.folder / "metrics.csv", pd.DataFrame(history).to_csv(index=False))

    def finish(self, run: Run, result: DetectionResult) -> DetectionResult:
        """Write the weights and the result, and remove the checkpoint."""
        path = self.folder / "weights.pt"
        save_whole(path, run.detector.state_dict())
        result = dataclasses.replace(result, weights=str(path))
        write_json(self.folder / "result.json", {**dataclasses.asdict(result), "identity": self.identity})
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)
        return result
