"""Work beside the cells: functions that run in threads, and what they found handed to the thread of the widgets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from genius_kit.errors import GeniusKitError


class Desk:
    """Where the results of threads arrive: the event loop of the kernel, or the caller's own thread without one."""

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have `function` called in the thread of the widgets, soon."""
        if self._loop is None or self._loop.is_closed():
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    def work(
        self, function: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> threading.Thread:
        """Run `function` in a thread, then hand its result to `then`, or what went wrong in a sentence to `failed`."""

        def run() -> None:
            try:
                found = function()
            except Exception as error:
                self.post(failed, sentence(error))
            else:
                self.post(then, found)

        thread = threading.Thread(target=run, daemon=True, name="genius-kit-lab")
        thread.start()
        return thread


def sentence(error: BaseException) -> str:
    """Return an error as a sentence; one that is not ours with its kind, so that it can be reported."""
    text = " ".join(str(error).split()) or "no more is known"
    return text if isinstance(error, GeniusKitError) else f"Unexpected {type(error).__name__}: {text}"
