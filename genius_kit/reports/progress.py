"""Signs of life of a report: which notebook is at which cell, and for how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from shutil import get_terminal_size
from types import TracebackType
from typing import TypeVar

from genius_kit.progress import progress_form

LOOK_SECONDS = 1.0  # between two looks at what is running
PLAIN_SECONDS = 5.0  # between two lines in a log

Result = TypeVar("Result")


@dataclass
class Running:
    """A notebook under way: for how many seconds, and at which of its `cells` code cells (0: not known)."""

    name: str
    seconds: float = 0.0
    cell: int = 0
    cells: int = 0

    def at(self, cell: int, cells: int) -> None:
        """Take note that cell number `cell` begins."""
        self.cell, self.cells = cell, cells

    def __str__(self) -> str:
        place = f"cell {self.cell} of {self.cells}, " if self.cells else ""
        return f"{self.name} ({place}{self.seconds:.0f} s)"


def landing(
    futures: Mapping[Future[Result], Running], look: Callable[[Sequence[Running], int], None]
) -> Iterator[Future[Result]]:
    """Yield the futures as they end; every second, `look` is told what is running and how many have not ended."""
    waiting = set(futures)
    began: dict[Future[Result], float] = {}
    while waiting:
        landed, waiting = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
        yield from landed
        running = [future for future in futures if future in waiting and future.running()]
        for future in running:
            now = time.monotonic()
            futures[future].seconds = now - began.setdefault(future, now)
        look([futures[future] for future in running], len(waiting))


class ReportProgress:
    """Prints what is running to the error stream: a line that is overwritten on a terminal, in a log one every 5 s.

    `GENIUS_KIT_PROGRESS` chooses "bar", "plain" or "none".
    """

    def __init__(self) -> None:
        self._form = progress_form()
        self._told = time.monotonic()
        self._drawn = 0

    def __enter__(self) -> ReportProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def look(self, running: Sequence[Running], left: int) -> None:
        """Print what is running, with how many notebooks are left."""
        if not running:
            return
        told = f"running {', '.join(map(str, running))}; {left} left"
        if self._form == "bar":
            self.clear()
            told = told[: get_terminal_size().columns - 1]
            self._drawn = len(told)
            print(told, end="", file=sys.stderr, flush=True)
        elif self._form == "plain" and time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            print(told, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for another to be printed in its place."""
        if self._drawn:
            print(f"\r{' ' * self._drawn}\r", end="", file=sys.stderr, flush=True)
            self._drawn = 0
