"""What a training tells while it runs: metrics.csv, TensorBoard events where it is installed, and its progress."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genius_kit import extras, files
from genius_kit.errors import ExtraMissing
from genius_kit.progress import progress_form
from genius_kit.texts import say

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
