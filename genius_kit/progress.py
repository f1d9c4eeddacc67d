"""Progress of running searches: a bar on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Any

from genius_kit.journal.chain import Event
from genius_kit.texts import say


class Progress:
    """Counts evaluations out of `total`, from any thread; call it with each event of a journal.

    `GENIUS_KIT_PROGRESS` chooses "bar", "plain" or "none"; unset, a bar is drawn where one can be.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._best: float | None = None
        self._unit = "%"
        self._lock = threading.Lock()
        self._form = progress_form()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._form == "bar":
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, unit="evaluation", leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            if kind is None:
                self._bar.total = self._bar.n  # a notebook shows a bar that ends below its total in red, as failed
            self._bar.close()

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if event["event"] == "run_started":
            self._unit = event["run"].get("unit", "%")
        if event["event"] != "evaluation":
            return
        with self._lock:
            self._done += 1
            if event["feedback"] is not None:
                self._best = event["feedback"] if self._best is None else max(self._best, event["feedback"])
            best = "" if self._best is None else f"best {self._best:.2f} {self._unit}"
            if self._bar is not None:
                self._bar.set_postfix_str(best, refresh=False)
                self._bar.update()
            elif self._form == "plain" and (self._done == self._total or self._done % max(1, self._total // 10) == 0):
                say(f"{self._done} of {self._total} evaluations, {best}", file=sys.stderr, flush=True)


def progress_form() -> str:
    """Return "bar", "plain" or "none": what `GENIUS_KIT_PROGRESS` says; unset, a bar where one can be drawn."""
    can_draw = sys.stderr.isatty() or "ipykernel" in sys.modules
    return os.environ.get("GENIUS_KIT_PROGRESS") or ("bar" if can_draw else "plain")


def is_progress_wanted() -> bool:
    """Return whether a command shows progress unasked: a bar, or what `GENIUS_KIT_PROGRESS` names."""
    return progress_form() == "bar" or bool(os.environ.get("GENIUS_KIT_PROGRESS"))
