"""One piece of work in a thread of its own, so that nobody has to wait for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Errand(Generic[Result]):
    """Work that `changed` is notified of when it is done; one that nobody waits for ends with the process."""

    def __init__(self, work: Callable[[], Result], changed: threading.Condition, name: str) -> None:
        self.done = False
        self._work, self._changed = work, changed
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # raised again where the result is waited for
            self._error = error
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def result(self) -> Result:
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]
