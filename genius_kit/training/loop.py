"""The loop of every training, of classifiers and detectors: steps, epochs and checkpoints.

What stops a training (memory, a loss that diverges, a lost process, time) becomes an error that says what to try.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genius_kit.datasets import DataSet
from genius_kit.datasets.loaders import Loader, evaluation_loader, image_size, training_loader
from genius_kit.errors import InvalidParameter, TrainingFailed
from genius_kit.memory_formats import memory_format, name_of
from genius_kit.training.checkpoints import (
    COLUMNS,
    MetricsLog,
    Row,
    State,
    StepProgress,
    load_checkpoint,
    of_this_version,
    save_checkpoint,
)
from genius_kit.training.recipes import (
    Mixing,
    Recipe,
    WeightAverage,
    learning_rate,
    make_optimizer,
    restore_optimizer,
    step_seed,
)
from genius_kit.training.runtime import (
    DistContext,
    autocast,
    choose_precision,
    evaluating,
    synchronised,
    without_exchange,
)

_NO_MEMORY = re.compile(r"not enough memory|can't allocate memory|cannot allocate memory|out of memory", re.IGNORECASE)
_PEER_GONE = re.compile(
    r"closed by peer|reset by peer|broken pipe|timed out (waiting|after)|NCCL (communicator|operation)|remote process",
    re.IGNORECASE,
)


@contextmanager
def explained(recipe: Any) -> Iterator[None]:
    """Raise TrainingFailed in place of an error of memory or of a lost process; others pass unchanged."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise out_of_memory(recipe, error) from error
    except RuntimeError as error:
        if _NO_MEMORY.search(str(error)):
            raise out_of_memory(recipe, error) from error
        if torch.distributed.is_initialized() and _PEER_GONE.search(str(error)):
            raise TrainingFailed(
                "another process of this training ended or stopped answering; its own message says why. Start the job "
                f"again: it goes on from the last checkpoint ({_first_line(error)})",
                cause="process died",
            ) from error
        raise


def out_of_memory(recipe: Any, error: BaseException) -> TrainingFailed:
    """Return the failure of a batch that does not fit into memory."""
    passes = recipe.accumulate
    split = f"set accumulate={2 * passes} (the same batch in smaller passes), or" if recipe.can_accumulate else "set"
    return TrainingFailed(
        f"out of memory at batch_size {recipe.batch_size} in {passes} pass{'es' * (passes > 1)}: {split} a smaller "
        f"batch_size or image_size ({_first_line(error)})",
        cause="out of memory",
    )


def diverged(recipe: Any, step: int, what: str) -> TrainingFailed:
    """Return the failure of a training whose numbers are no longer finite."""
    warmup = "a longer warm-up" if getattr(recipe, recipe.warmup) else f"{recipe.warmup} above 0"
    return TrainingFailed(
        f"diverged: {what} by step {step}. Try a lower learning_rate than {recipe.learning_rate}, {warmup}, "
        "or clip_gradient=1.0",
        cause="diverged",
    )


def time_is_up(limit: float, step: int, steps: int, kept: bool) -> TrainingFailed:
    """Return the failure of a training that reached its time limit in seconds; `kept` says that it can go on."""
    further = "the same call with a larger time_limit goes on from there" if kept else "set a larger time_limit"
    return TrainingFailed(
        f"time limit of {limit:g} s reached after {step} of {steps} steps; {further}", cause="time limit"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def evaluate(
    network: nn.Module,
    loader: Loader,
    *,
    precision: str = "float32",
    memory_format: torch.memory_format = torch.contiguous_format,
    team: DistContext | None = None,
) -> float:
    """Return the top-1 accuracy in percent of `network`, in evaluation mode, over one pass of `loader`.

    With a `team` each process brings its own part of the samples, and all get the accuracy over all of them. The mode
    of the network is put back. Raises InvalidParameter when there are no samples.
    """
    if loader.samples == 0:
        raise InvalidParameter(
            "the loader has no samples, so there is no accuracy; choose another part of the data set"
        )
    counts: Tensor | None = None
    with evaluating(network), torch.inference_mode():
        for images, labels in loader.epoch(0):
            with autocast(images.device, precision):
                logits = network(images.contiguous(memory_format=memory_format))
            right = (logits.argmax(1) == labels).sum()
            now = torch.stack([right, torch.full_like(right, len(labels))])
            counts = now if counts is None else counts + now
    if team is not None:
        counts = team.total(torch.zeros(2, dtype=torch.int64, device=team.device) if counts is None else counts)
    assert counts is not None
    return 100.0 * int(counts[0]) / int(counts[1])


CHECK_STEPS = 10
"""Steps between two looks at the loss and the clock on a GPU, which must wait for each; a CPU looks every step."""

Batch = tuple[Any, Any]
"""Inputs and targets, in the form that a loop's own `losses` takes."""


class Loop:
    """One training in this process, from its checkpoint in `folder` if there is one; `run` brings it to its end.

    A subclass sets `epoch_steps` before this class begins, and says what its batches, losses, learning rate and
    measures are. `network_name` is what the checkpoint calls the network, `columns` are those of metrics.csv.
    """

    network_name = "network"
    columns: tuple[str, ...] = COLUMNS
    loss_shape: tuple[int, ...] = ()
    epoch_steps: int
    time_limit: float | None = None
    checkpoint_every: int | None = None
    on_step: Callable[[int], None] | None = None
    on_epoch: Callable[[Row], None] | None = None

    def __init__(
        self,
        network: nn.Module,
        recipe: Any,
        seed: int,
        team: DistContext,
        folder: Path | None,
        identity: Mapping[str, Any],
        progress: bool,
    ) -> None:
        self.recipe, self._seed, self._team = recipe, seed, team
        self._identity = identity
        self._begun = time.perf_counter()
        self._average: WeightAverage | None = None
        self.make_network(network)
        self.steps = recipe.epochs * self.epoch_steps
        self.step, self.history = 0, list[Row]()
        self._seconds_before = self._epoch_began = 0.0
        self._loss_sum = torch.zeros(self.loss_shape, device=team.device)
        self._checkpoint = folder / "checkpoint.pt" if folder is not None else None
        with of_this_version(self._checkpoint):
            self._restore()
        self._log = None
        if folder is not None and team.leads:
            self._log = MetricsLog(folder, len(self.history), self.columns)
            self._log.write(self.history)
        self._progress = StepProgress(self.steps, self.step, progress and team.leads)

    def make_network(self, network: nn.Module) -> None:
        """Bring the network to its device and format, and make its optimiser."""
        device = self._team.device
        self.precision = choose_precision(device, self.recipe.precision)
        self.format = memory_format(network, device, self.recipe.channels_last)
        self.memory_format: str | None = name_of(self.format)
        self.network = self._wrapped = network.to(device=device).to(memory_format=self.format)
        self._optimizer = make_optimizer(network, self.recipe)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, a pass each, from number `start` on."""
        raise NotImplementedError

    def losses(self, inputs: Any, targets: Any) -> Tensor:
        """Return what one pass of a batch is to make small, of shape `loss_shape`: the sum is followed."""
        raise NotImplementedError

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        raise NotImplementedError

    def measures(self, losses: Tensor) -> Row:
        """Return what the row of an epoch says besides its loss; `losses` are the means of the epoch."""
        raise NotImplementedError

    def final_measures(self) -> dict[str, Any]:
        """Return the fields of the result that this kind alone has, and leave the network in evaluation mode."""
        raise NotImplementedError

    @property
    def seconds(self) -> float:
        """Time spent so far, added up over interruptions."""
        return self._seconds_before + time.perf_counter() - self._begun

    def run(self) -> None:
        """Train to the last step; raises TrainingFailed."""
        while self.step < self.steps:
            epoch, done = divmod(self.step, self.epoch_steps)
            self.network.train()
            batches = self.batches(epoch, done * self.recipe.accumulate)
            for _ in range(done, self.epoch_steps):
                self.train_step(batches)
                self._look_after_step()
            self._end_epoch()

    def train_step(self, batches: Iterator[Batch]) -> None:
        """Move the weights once, by the gradient of one batch, in `accumulate` passes."""
        recipe, passes = self.recipe, self.recipe.accumulate
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        for number in range(passes):
            part = number * self._team.world + self._team.rank  # of the batch: the same with more passes or processes
            torch.manual_seed(step_seed(self._seed, self.step, part))
            with without_exchange(self._wrapped, number == passes - 1):
                losses = self.losses(*next(batches)) / passes
                self._scaler.scale(losses.sum()).backward()
            self._loss_sum += losses.detach()
        if recipe.clip_gradient is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_gradient)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self.step)
        self.step += 1

    def _look_after_step(self) -> None:
        """Stop a training that diverged or whose time is up, in all processes at once; write a checkpoint if due."""
        ends_epoch = self.step % self.epoch_steps == 0
        due = self.checkpoint_every is not None and self.step % self.checkpoint_every == 0 and not ends_epoch
        every = 1 if self._team.device.type == "cpu" else CHECK_STEPS
        if due or ends_epoch or self.step % every == 0:
            is_finite = math.isfinite(self._loss_sum.sum().item())
            self._stop_if("the loss was no longer finite", not is_finite, may_end=not ends_epoch)
        if due:
            self._save()
        self._progress.step()
        if self.on_step is not None:
            self.on_step(self.step)

    def _stop_if(self, trouble: str, broken: bool, may_end: bool) -> None:
        late = self.time_limit is not None and self.seconds >= self.time_limit and self.step < self.steps
        broken, late = self._team.any_of(broken, late)
        if broken:
            raise diverged(self.recipe, self.step, trouble)
        if late and may_end:
            self._save()
            assert self.time_limit is not None
            raise time_is_up(self.time_limit, self.step, self.steps, self._checkpoint is not None)

    def _end_epoch(self) -> None:
        """Measure, log, and write a checkpoint that holds the epoch's row."""
        finite = torch.stack([parameter.isfinite().all() for parameter in self.network.parameters()]).all()
        self._stop_if("the weights were no longer finite", not finite.item(), may_end=False)
        losses = self._team.total(self._loss_sum) / (self.epoch_steps * self._team.world)
        images = self.epoch_steps * self.recipe.batch_size
        pace = images / max(self.seconds - self._epoch_began, 1e-9)
        row: Row = {
            "epoch": self.step // self.epoch_steps,
            "step": self.step,
            "train_loss": losses.sum().item(),
            "learning_rate": self.learning_rate(self.step - 1),
            **self.measures(losses),
            "images_per_second": pace,
            "seconds": self.seconds - self._epoch_began,
        }
        self.history.append(row)
        self._loss_sum.zero_()
        self._epoch_began = self.seconds
        self._save()
        self._tell(row)
        self._stop_if("", False, may_end=True)

    def _tell(self, row: Row) -> None:
        if self._log is not None:
            self._log.write(self.history)
            self._log.add(row)
        self._progress.epoch(row, self.recipe.epochs)
        if self.on_epoch is not None:
            self.on_epoch(row)

    def result_fields(self, folder: Path | None) -> dict[str, Any]:
        """Return the fields of the finished training's result."""
        return {
            **self.final_measures(),
            "history": tuple(self.history),
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "seconds": self.seconds,
            "device": str(self._team.device),
            "precision": self.precision,
            "weights": str(folder / "weights.pt") if folder is not None else None,
            "memory_format": self.memory_format,
        }

    def _save(self) -> None:
        if self._checkpoint is None or not self._team.leads:
            return
        state: State = {
            self.network_name: self.network.state_dict(),
            "average": self._average.network.state_dict() if self._average is not None else {},
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "memory_format": self.memory_format,
            "step": self.step,
            "loss_sum": self._loss_sum,
            "history": self.history,
            "seconds": self.seconds,
            "epoch_began": self._epoch_began,
        }
        save_checkpoint(self._checkpoint, self._identity, state)

    def _restore(self) -> None:
        """Take the state from the checkpoint, read by the leader and given to all."""
        state = None
        if self._checkpoint is not None and self._team.leads and self._checkpoint.exists():
            state = load_checkpoint(self._checkpoint, self._identity)
        state = self._team.from_leader(state)
        if state is None:
            return
        self.network.load_state_dict(state[self.network_name])
        if self._average is not None:
            self._average.network.load_state_dict(state["average"])
        restore_optimizer(self._optimizer, state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        if state.get("memory_format") is None:  # the beginning is from before it was recorded
            self.memory_format = None
        self._loss_sum.copy_(state["loss_sum"])
        self.step, self.history = state["step"], state["history"]
        self._seconds_before, self._epoch_began = state["seconds"], state["epoch_began"]
        self._begun = time.perf_counter()

    def close(self) -> None:
        """Close the event file and the bar."""
        if self._log is not None:
            self._log.close()
        self._progress.close()


class TrainingLoop(Loop):
    """The training of a classifier, in one process or several, with mixed images and averaged weights if asked for."""

    def __init__(
        self,
        network: nn.Module,
        dataset: DataSet,
        recipe: Recipe,
        seed: int,
        team: DistContext,
        folder: Path | None,
        identity: Mapping[str, Any],
        progress: bool,
    ) -> None:
        device, rank, world = team.device, team.rank, team.world
        self._classes, self._size = dataset.num_classes, image_size(dataset, recipe)
        self._batches = training_loader(dataset, recipe, device=device, seed=seed, rank=rank, world=world)
        self._validation, self._test = (
            evaluation_loader(dataset, split, recipe, device=device, rank=rank, world=world)
            for split in ("validation", "test")
        )
        self.epoch_steps = self._batches.micro_steps // recipe.accumulate
        super().__init__(network, recipe, seed, team, folder, identity, progress)

    def make_network(self, network: nn.Module) -> None:
        """Bring the network to its device, wrapped for several processes, with its average and its mixed images."""
        recipe, team = self.recipe, self._team
        super().make_network(synchronised(network, recipe, team))
        self._wrapped = team.wrap(self.network, self._size)
        self._forward = torch.compile(self._wrapped) if recipe.compile else self._wrapped
        self._average = WeightAverage(self.network, recipe.ema_decay) if recipe.ema_decay is not None else None
        images = recipe.batch_size // (recipe.accumulate * team.world)
        self._mixing = Mixing(recipe, self._classes, images) if recipe.mixup or recipe.cutmix else None

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        return self._batches.epoch(epoch, start)

    def learning_rate(self, step: int) -> float:
        return learning_rate(self.recipe, step, self.epoch_steps)

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of images (B, 3, S, S) and labels (B,)."""
        targets = labels
        if self._mixing is not None:
            images, targets = self._mixing(images, labels, self._seed, self.step)
        with autocast(self._team.device, self.precision):
            logits = self._forward(images.contiguous(memory_format=self.format))
            if logits.shape[1] != self._classes:
                raise InvalidParameter(f"the network gives {logits.shape[1]} logits for {self._classes} classes")
            return functional.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)

    def measures(self, losses: Tensor) -> Row:
        return {"validation_accuracy": self._accuracy(self._validation)}

    def _accuracy(self, loader: Loader) -> float:
        network = self._average.network if self._average is not None else self.network
        self._team.share_buffers(network)
        return evaluate(network, loader, precision=self.precision, memory_format=self.format, team=self._team)

    def final_measures(self) -> dict[str, Any]:
        """Return the accuracies, and leave the network in evaluation mode, with the averaged weights if there are."""
        test = self._accuracy(self._test) if self._test.samples else None
        if self._average is not None:
            self.network.load_state_dict(self._average.network.state_dict())
        self.network.eval()
        accuracies = [row["validation_accuracy"] for row in self.history]
        best = max(range(len(accuracies)), key=lambda index: accuracies[index])
        return {
            "last_validation_accuracy": accuracies[-1],
            "best_validation_accuracy": accuracies[best],
            "best_epoch": best + 1,
            "test_accuracy": test,
        }
