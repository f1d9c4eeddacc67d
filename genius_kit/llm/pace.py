"""The pace at which all runs of this process ask one model of one server; it adapts to the server's rate limits.

A run takes a slot around each attempt. Slots are given in the order in which they were asked for, at once while the
server has set no limit; after a 429 everybody waits as long as the server asked for, and then a rate is kept that
`pace_control` works out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakValueDictionary

from genius_kit.errors import ModelError
from genius_kit.llm.pace_control import Control

CHECK_SECONDS = 0.25
"""How often somebody who waits for a slot asks whether the run is to stop."""

LONGEST_HOLD_SECONDS = 120.0
"""A longer wait than this is not everybody's: the request that was told so ends its own run."""


class Slot:
    """Leave to make one attempt. `change` says how the attempt changed the pace, None where it did not."""

    def __init__(self, pace: Pace, number: int, sent_at: float, waited: bool) -> None:
        self.change: dict[str, Any] | None = None
        self._pace, self._number, self._sent_at, self._waited = pace, number, sent_at, waited
        self._open = True

    def failed(self, error: ModelError) -> None:
        """Tell what came of the attempt; a rate limit cuts the pace, any other failure was let in like a reply."""
        if self._open and error.cause == "rate-limit":
            self._open = False
            self.change = self._pace._refuse(self._number, self._sent_at, error.retry_after)

    def _close(self, answered: bool) -> None:
        """Give the slot back; `answered` where the attempt came to its end."""
        if self._open:
            self._open = False
            self.change = self._pace._end(self._number, self._waited, answered)


class Pace:
    """One for each server and model; any number of threads share it."""

    def __init__(self, server: str = "", model: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.server, self.model = server, model
        self._clock = clock
        self._lock = threading.Lock()
        self._control = Control()
        self._queue: deque[threading.Event] = deque()
        self._under_way = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Become the pace of another process, which has one of its own."""
        return shared_pace, (self.server, self.model)

    @property
    def rate(self) -> float | None:
        """Requests a second that are sent at most, None while there is no limit."""
        return self._control.rate

    @property
    def limit(self) -> int:
        """Requests that are under way at most."""
        return int(self._control.limit)

    @contextmanager
    def slot(self, wait: Callable[[float], None] = time.sleep) -> Iterator[Slot]:
        """Wait for leave to make one attempt, and hold it for the length of the block.

        `wait` is called with 0 now and then while the slot is waited for: what it raises ends the wait. An attempt that
        failed is told to `slot.failed`; a block that raises without that gives the slot back and says nothing of the
        server. `slot.change` is there after `failed`, else after the block.
        """
        slot = self._enter(wait)
        try:
            yield slot
        except ModelError:
            slot._close(answered=True)
            raise
        except BaseException:
            slot._close(answered=False)
            raise
        slot._close(answered=True)

    def _enter(self, wait: Callable[[float], None]) -> Slot:
        turn = threading.Event()
        waited = False
        with self._lock:
            self._queue.append(turn)
            if self._queue[0] is turn:
                turn.set()
        checked = self._clock()
        try:
            while True:
                with self._lock:
                    now = self._clock()
                    first = self._queue[0] is turn
                    ready_at = self._control.ready_at(now, self._under_way) if first else None
                    if ready_at is not None and ready_at <= now:
                        self._under_way += 1
                        return Slot(self, self._control.send(now), now, waited)
                    turn.clear()
                waited = True
                turn.wait(min(CHECK_SECONDS, CHECK_SECONDS if ready_at is None else ready_at - now))
                if self._clock() - checked >= CHECK_SECONDS:
                    checked = self._clock()
                    wait(0.0)
        finally:
            with self._lock:
                self._queue.remove(turn)
                self._wake_first()

    def _wake_first(self) -> None:
        if self._queue:
            self._queue[0].set()

    def _refuse(self, number: int, sent_at: float, retry_after: float | None) -> dict[str, Any] | None:
        asked = retry_after if retry_after is not None and retry_after <= LONGEST_HOLD_SECONDS else None
        with self._lock:
            cut = self._control.refused(number, sent_at, self._clock(), self._under_way, asked)
            self._under_way -= 1
            self._wake_first()
            if not cut:
                return None
            return _told({"why": "rate limit", **self._control.state(self._clock())})

    def _end(self, number: int, waited: bool, answered: bool) -> dict[str, Any] | None:
        with self._lock:
            if answered:
                reached = self._under_way >= self.limit
                self._control.succeeded(number, self._clock(), waited or bool(self._queue), reached)
            self._under_way -= 1
            self._wake_first()
            news = self._control.news(self._clock())
        return None if news is None else _told({"why": "replies came", **news})


class NoSlot:
    """Leave that needs no asking: a stand-in answers as often as it is asked."""

    change = None

    def failed(self, error: ModelError) -> None:
        """Nothing follows."""


def slot_of(client: Any, wait: Callable[[float], None]) -> AbstractContextManager[Slot | NoSlot]:
    """Return a slot of the client's pace, or one that is free where the client has none."""
    pace: Pace | None = getattr(client, "pace", None)
    return nullcontext(NoSlot()) if pace is None else pace.slot(wait)


_shared: WeakValueDictionary[tuple[str, str], Pace] = WeakValueDictionary()
_sharing = threading.Lock()


def shared_pace(server: str, model: str) -> Pace:
    """Return the pace of a model of a server, the same one for all clients of this process that are in use."""
    with _sharing:
        pace = _shared.get((server, model))
        if pace is None:
            pace = _shared[server, model] = Pace(server, model)
        return pace


def _told(change: dict[str, Any]) -> dict[str, Any]:
    rate = "any number of" if change["rate"] is None else change["rate"]
    logging.getLogger(__name__).info(
        "pace changed (%s): at most %s requests a second, %s side by side, none for %s s",
        *(change["why"], rate, change["limit"], change["hold"]),
    )
    return change
