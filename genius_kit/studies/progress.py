"""Progress of a study: a table that is redrawn on a terminal, one row an arm; plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genius_kit.progress import progress_form
from genius_kit.studies.plan import Task
from genius_kit.studies.tasks import Outcome

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_SECONDS = 10.0  # between two plain lines


class StudyProgress:
    """Counts what came of the runs in `tasks`; `GENIUS_KIT_PROGRESS` chooses "bar", "plain" or "none"."""

    def __init__(self, tasks: Sequence[Task], shown: bool = True) -> None:
        self._arms = {task.order: _row(task) for task in tasks}
        self._single = len({task.benchmark for task in tasks}) == 1
        self._outcomes: dict[int, Outcome] = {}
        self._running: set[int] = set()
        self._form = progress_form() if shown else "none"
        self._live: Any = None
        self._told = time.monotonic()

    def __enter__(self) -> StudyProgress:
        if self._form == "bar":
            from rich.console import Console
            from rich.live import Live

            self._live = Live(self.table(), console=Console(file=sys.stderr), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._form == "plain":
            self._print()

    def update(self, outcomes: Sequence[Outcome], running: Sequence[int]) -> None:
        """Take note of what came, and of what is under way."""
        self._outcomes.update({outcome.order: outcome for outcome in outcomes})
        self._running = set(running) - set(self._outcomes)
        if self._live is not None:
            self._live.update(self.table(), refresh=True)
        elif self._form == "plain" and time.monotonic() - self._told >= PLAIN_SECONDS:
            self._print()

    def table(self) -> Table:
        """Return the table as it stands: one row an arm, then all of them."""
        from rich.table import Table

        table = Table("arm", *("done", "running", "failed", "of", self._measure()))
        for column in table.columns[1:]:
            column.justify = "right"
        for arm in dict.fromkeys(self._arms.values()):
            table.add_row(arm, *self._cells([order for order, other in self._arms.items() if other == arm]))
        table.add_section()
        table.add_row("all", *self._cells(list(self._arms))[:-1], "")
        return table

    def _measure(self) -> str:
        return "mean rank" if self._single else "mean top %"  # ranks of tables of several sizes have no mean

    def _cells(self, orders: Sequence[int]) -> list[str]:
        came = [self._outcomes[order] for order in orders if order in self._outcomes]
        done = [outcome for outcome in came if outcome.failure is None]
        ranks = [
            outcome.rank if self._single else 100 * outcome.rank / outcome.rank_of
            for outcome in done
            if outcome.rank is not None and outcome.rank_of is not None
        ]
        mean = f"{sum(ranks) / len(ranks):.{1 if self._single else 2}f}" if ranks else "-"
        running = len(self._running.intersection(orders))
        return [str(len(done)), str(running), str(len(came) - len(done)), str(len(orders)), mean]

    def _print(self) -> None:
        self._told = time.monotonic()
        done, _, failed, total, _ = self._cells(list(self._arms))
        failures = f", {failed} failed" if failed != "0" else ""
        print(f"{done} of {total} runs{failures}", file=sys.stderr, flush=True)


def _row(task: Task) -> str:
    told = [str(task.settings[key]) for key in ("model", "prompt") if key in task.settings]
    return " ".join([task.arm, *([f"({', '.join(told)})"] if told else [])])
