"""Why a training came to nothing: errors of torch and of the machine, each turned into one that says what to try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from genius_kit.errors import TrainingFailed
from genius_kit.training.recipes import Recipe

_NO_MEMORY = re.compile(r"not enough memory|can't allocate memory|cannot allocate memory|out of memory", re.IGNORECASE)
_PEER_GONE = re.compile(
    r"closed by peer|reset by peer|broken pipe|timed out (waiting|after)|NCCL (communicator|operation)|remote process",
    re.IGNORECASE,
)


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
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


def out_of_memory(recipe: Recipe, error: BaseException) -> TrainingFailed:
    """Return the failure of a batch that does not fit into memory."""
    return TrainingFailed(
        f"out of memory at batch_size {recipe.batch_size} in {recipe.accumulate} pass{'es' * (recipe.accumulate > 1)}: "
        f"set accumulate={2 * recipe.accumulate} (the same batch in smaller passes), or a smaller batch_size or "
        f"image_size ({_first_line(error)})",
        cause="out of memory",
    )


def diverged(recipe: Recipe, step: int, what: str) -> TrainingFailed:
    """Return the failure of a training whose numbers are no longer finite."""
    warmup = "a longer warm-up" if recipe.warmup_epochs else "warmup_epochs above 0"
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
