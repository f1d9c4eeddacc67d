"""Files of a training that a crash cannot spoil (written beside their place, moved there in one go), and its progress.

A checkpoint holds tensors, numbers and texts only, so it is read with `weights_only=True`; it carries the identity
of its run and is refused by another. The one before is replaced only once the new one is whole on the disk.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from genius_kit import extras, files
from genius_kit.errors import CheckpointError, ExtraMissing
from genius_kit.progress import progress_form
from genius_kit.texts import say

State = dict[str, Any]

_ELSEWHERE = "Choose another folder, or the settings it began with."


def save_checkpoint(path: Path, identity: Mapping[str, Any], state: State) -> None:
    """Write `state` (nested dicts and lists of tensors, numbers and texts) for the run that `identity` describes."""
    save_whole(path, {"identity": _plain(identity), "state": state})


def save_whole(path: Path, content: object) -> None:
    """Write what `torch.save` makes of `content`, whole or not at all; raises WriteFailed."""
    with files.whole_file(path) as file:
        torch.save(content, file)


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> State:
    """Return the state at `path`, with its tensors on the CPU.

    Raises CheckpointError when the file is damaged (every byte is checked) or was written by another run; the message
    names each field that differs.
    """
    content = load_whole(path)
    if not isinstance(content, dict) or not {"identity", "state"} <= content.keys():
        raise _damaged(path, "it is not a training checkpoint")
    check_identity(path, content["identity"], identity)
    return content["state"]


def load_whole(path: Path) -> Any:
    """Return what `torch.save` wrote at `path`, tensors on the CPU; raises CheckpointError when a byte has changed."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes zip archives, and does not check their sums itself
            spoilt = archive.testzip()
        if spoilt is None:
            return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    raise _damaged(path, f"its part {spoilt} has another checksum")


def _damaged(path: Path, detail: str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read ({detail:.200}). Restore it from a copy, or delete the folder to begin anew"
    )


@contextmanager
def of_this_version(path: Path | None) -> Iterator[None]:
    """Raise CheckpointError where a field is missing or unknown at `path`: another version of the kit wrote it."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} was written by another version of the kit ({type(error).__name__}: {error!s:.100}). Go on with "
            "that version, choose another folder, or delete this one to begin anew"
        ) from error


def check_identity(path: Path, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming each field in which the run recorded at `path` differs from the one `wanted`."""
    before, now = _flat(recorded), _flat(_plain(wanted))
    differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if differing:
        each = "; ".join(f"{name} {before.get(name)!r:.80}, here {now.get(name)!r:.80}" for name in differing[:5])
        raise CheckpointError(f"{path} is another run's: {each}. {_ELSEWHERE}")


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(identity, allow_nan=False))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value})
    return flat


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as strict JSON, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files.write_whole(path, text)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object at `path`; raises CheckpointError when it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(path, "it holds no object")
    return content


@contextmanager
def folder_in_use(folder: Path, patience: float = 15.0) -> Iterator[None]:
    """Hold a training folder for this process; raises CheckpointError when another has it.

    `patience` is in seconds: the data workers of a process that was killed outlive it by a few.
    """
    taken = CheckpointError(
        f"{folder} is in use by another training; wait for it to end, stop it, or choose another folder"
    )
    with files.locked(files.make_folder(folder) / ".lock", taken, patience):
        yield


COLUMNS = ("epoch", "step", "train_loss", "learning_rate", "validation_accuracy", "images_per_second", "seconds")
"""Loss: mean of the epoch. Learning rate: of its last step. Accuracy in percent. Seconds: of the epoch, all told."""

Row = dict[str, Any]


class MetricsLog:
    """The folder's metrics.csv and TensorBoard events: one row per epoch, none twice after a resume.

    The history in the checkpoint is the truth; the CSV is written anew from it, whole, each time.
    """

    def __init__(self, folder: Path, epochs_done: int, columns: Sequence[str] = COLUMNS) -> None:
        self._path, self._columns = folder / "metrics.csv", columns
        self._events, self._epochs_done = folder / "tensorboard", epochs_done
        self._board: Any = None

    def write(self, history: Sequence[Row]) -> None:
        """Bring the CSV up to date with `history`."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, self._columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(history)
        files.write_whole(self._path, text.getvalue())

    def add(self, row: Row) -> None:
        """Send one epoch to TensorBoard, whose file is begun with the first: a full disk is told of by the CSV."""
        with files.explained(self._events):
            self._board = self._board or _board(self._events, self._epochs_done)
            if self._board is not None:
                for name in self._columns:
                    if name not in ("epoch", "step") and row[name] is not None:
                        self._board.add_scalar(name, row[name], row["epoch"])
                self._board.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._board is not None:
            with files.explained(self._events):
                self._board.close()


def _board(folder: Path, epochs_done: int) -> Any:
    try:
        library = extras.load("torch.utils.tensorboard", "tensorboard")
    except ExtraMissing:
        return None
    return library.SummaryWriter(str(folder), purge_step=epochs_done + 1)


class StepProgress:
    """Counts optimiser steps out of `total`, with the time that remains.

    `GENIUS_KIT_PROGRESS` chooses "bar", "plain" (a line per epoch) or "none"; unset, a bar is drawn where one can be.
    """

    def __init__(self, total: int, done: int, shown: bool) -> None:
        self._form = progress_form() if shown else "none"
        self._total, self._first, self._done = total, done, done
        self._begun = time.perf_counter()
        self._bar: Any = None
        if self._form == "bar":
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, initial=done, unit="step", leave=False)

    def step(self) -> None:
        """Take note of one optimiser step."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def epoch(self, row: Row, epochs: int) -> None:
        """Take note of one epoch."""
        measure = row.get("validation_accuracy", row.get("AP"))  # accuracy of a classifier, precision of a detector
        text = f"loss {row['train_loss']:.3f}" + ("" if measure is None else f", validation {measure:.2f} %")
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
        elif self._form == "plain":
            pace = (time.perf_counter() - self._begun) / max(1, self._done - self._first)
            remaining = round(pace * (self._total - self._done))
            say(f"epoch {row['epoch']} of {epochs}: {text}, {remaining} s remain", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
