"""The pace at which all runs of this process ask one model of one server; it adapts to the server's rate limits.

A run takes a slot around each attempt. Slots are given in the order in which they were asked for, at once while the
server has set no limit. After a 429 everybody waits as long as the server asked for, and then a rate is kept by
additive increase and multiplicative decrease (Chiu and Jain, 1989).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from genius_kit.errors import ModelError

FIRST_BURST = 16
"""Requests side by side to a server of which nothing is known."""
FIRST_SHARE = 0.85
"""The first rate, as a share of what the server took within a second: much of that may have been a burst."""
CUT, CUT_SOON, SOON = 0.9, 0.7, 5
"""What an episode leaves of the rate, and what one leaves that comes after fewer than `SOON` replies."""
INCREASE, QUICK_INCREASE, KNOWN_SHARE = 0.005, 0.04, 0.6
"""Growth in a second as a share of the rate known, and growth a reply while the rate is below that share of it."""
SHORTEST_HOLD_SECONDS, LONGEST_HOLD_SECONDS = 0.05, 60.0
"""The wait where the server names none; it doubles while the server refuses."""
LONGEST_SHARED_HOLD_SECONDS = 120.0
"""A longer wait than this is not everybody's: the request that was told so ends its own run."""
LOGGED_STEP = 1.25
"""Growth is told when the rate or the number side by side has grown by this factor since it was told last."""
CHECK_SECONDS = 0.25
"""How often somebody who waits for a slot asks whether the run is to stop."""


class Control:
    """The arithmetic, without clock, lock or thread; all times are seconds of one clock that never jumps.

    `rate`: requests per second, None until the first refusal; `limit` is how many may be under way. A refusal begins
    an episode, which ends when one request sent after it was let in: until then one goes at a time. Refusals of
    requests that were sent before change nothing more.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.limit = float(FIRST_BURST)
        self._known = 0.0  # the highest rate that an episode left
        self._next = self._held_until = self._hold = 0.0
        self._sent = self._cut = 0  # requests; those up to `_cut` were sent before the last refusal
        self._in_episode = False
        self._probed_at: float | None = None  # when the one was sent that tries the server in an episode
        self._patience = 0.1  # seconds after which a probe that was not refused is taken to have been let in
        self._recent: deque[float] = deque()  # when the requests of the last second were sent
        self._taken = 0  # how many of these the server took, at the beginning of the episode
        self._let_in = 0  # replies since the last episode
        self._told: tuple[float | None, float] = (None, self.limit)

    def ready_at(self, now: float, under_way: int) -> float:
        """Return when the next request may be sent: a time not after `now` for at once, infinity for unknown."""
        if self._in_episode:
            ready_at = self._held_until if self._probed_at is None else self._probed_at + self._patience
            if self._probed_at is None or now < ready_at:
                return ready_at
            self._end_episode(now)
        return math.inf if under_way >= int(self.limit) else max(self._held_until, self._next)

    def send(self, now: float) -> int:
        """Note that a request is sent and return its number."""
        self._sent += 1
        self._recent.append(now)
        while self._recent[0] < now - 1.0:
            self._recent.popleft()
        if self._in_episode:
            self._probed_at = now
        if self.rate is not None:
            self._next = max(now, self._next + 1.0 / self.rate)  # one that came late is made up for
        return self._sent

    def succeeded(self, number: int, now: float, saturated: bool, limit_reached: bool) -> None:
        """Note that a request was let in: its reply came, or a failure that is none of the rate's.

        `saturated` says whether requests wait, `limit_reached` whether as many as may be were under way.
        """
        if number <= self._cut:
            return
        if self._in_episode:
            self._end_episode(now)
        self._let_in += 1
        if saturated and (limit_reached or self.rate is None):  # those let in may not have begun yet
            self.limit += 1.0
        elif saturated and self.rate is not None:
            is_quick = self.rate < KNOWN_SHARE * self._known
            self.rate += QUICK_INCREASE * self.rate if is_quick else INCREASE * self._known / self.rate

    def refused(self, number: int, sent_at: float, now: float, under_way: int, retry_after: float | None) -> bool:
        """Note a 429 and return whether it cut the pace; `under_way` counts the refused request too."""
        self._held_until = max(self._held_until, now + (retry_after or 0.0))
        if number <= self._cut:
            self._taken -= 1
            return False
        self._patience = 0.1 + 2 * (now - sent_at)
        self._cut = self._sent
        if self._in_episode:
            self._hold = min(LONGEST_HOLD_SECONDS, 2 * self._hold)
        else:
            self._in_episode = True
            self._taken = sum(sent >= now - 1.0 for sent in self._recent) - 1
            self._hold = max(SHORTEST_HOLD_SECONDS, 2 / self.rate if self.rate else 0.0)
            if self.rate is None:
                self.limit = max(1.0, 0.9 * min(self.limit, under_way))
        self._probed_at = None
        self._held_until = max(self._held_until, now + (self._hold if retry_after is None else 0.0))
        return True

    def _end_episode(self, now: float) -> None:
        """Set the rate that the episode leaves."""
        is_soon = self._let_in < SOON
        if self.rate is None:
            self.rate = FIRST_SHARE * max(1, self._taken)
        else:
            self.rate *= CUT_SOON if is_soon else CUT
        self._known = self.rate if is_soon else max(self._known, self.rate)
        self._in_episode, self._let_in, self._next = False, 0, now + 1.0 / self.rate

    def state(self, now: float) -> dict[str, Any]:
        """Return the rate (requests per second), the limit side by side, and the seconds for which nothing is sent."""
        rate = None if self.rate is None else round(self.rate, 3)
        self._told = (self.rate, self.limit)
        return {"rate": rate, "limit": int(self.limit), "hold": round(max(0.0, self._held_until - now), 3)}

    def news(self, now: float) -> dict[str, Any] | None:
        """Return the state where it has changed enough since it was told last, else None."""
        rate, limit = self._told
        is_new = self.rate is not None and (rate is None or not 1 <= self.rate / rate < LOGGED_STEP)
        return self.state(now) if is_new or self.limit >= LOGGED_STEP * limit else None


@dataclass
class Permit:
    """Leave to make one attempt. `change` says how the attempt changed the pace, None where it did not.

    Without a pace it needs no asking: a stand-in answers as often as it is asked.
    """

    pace: Pace | None = None
    number: int = 0
    sent_at: float = 0.0
    waited: bool = False
    change: dict[str, Any] | None = None

    def failed(self, error: ModelError) -> None:
        """Note the outcome of an attempt; a rate limit cuts the pace, any other failure was let in like a reply."""
        if self.pace is not None and error.cause == "rate-limit":
            self.pace.refused(self, error.retry_after)


class Pace:
    """One for each server and model; any number of threads share it."""

    def __init__(self, server: str = "", model: str = "") -> None:
        self.server, self.model = server, model
        self._lock = threading.Lock()
        self._control = Control()
        self._queue: deque[threading.Event] = deque()
        self._under_way = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Become the pace of another process, which has one of its own."""
        return shared_pace, (self.server, self.model)

    @property
    def rate(self) -> float | None:
        """Requests per second that are sent at most, None while there is no limit."""
        return self._control.rate

    @property
    def limit(self) -> int:
        """Requests that are under way at most."""
        return int(self._control.limit)

    @contextmanager
    def slot(self, wait: Callable[[float], None] = time.sleep) -> Iterator[Permit]:
        """Wait for leave to make one attempt, and hold it for the length of the block.

        `wait` is called with 0 now and then while the slot is waited for: what it raises ends the wait. An attempt that
        failed is told to `slot.failed`; a block that raises without that gives the slot back and says nothing of the
        server. `slot.change` is there after `failed`, else after the block.
        """
        slot = self._enter(wait)
        is_answered = False
        try:
            yield slot
            is_answered = True
        except ModelError:
            is_answered = True
            raise
        finally:
            if slot.pace is not None:
                self._ended(slot, is_answered)

    def _enter(self, wait: Callable[[float], None]) -> Permit:
        turn = threading.Event()
        waited = False
        checked = time.monotonic()
        with self._lock:
            self._queue.append(turn)
        try:
            while True:
                with self._lock:
                    turn.clear()
                    now = time.monotonic()
                    is_first = self._queue[0] is turn
                    ready_at = self._control.ready_at(now, self._under_way) if is_first else math.inf
                    if ready_at <= now:
                        self._under_way += 1
                        return Permit(self, self._control.send(now), now, waited)
                waited = True
                turn.wait(min(CHECK_SECONDS, ready_at - now))
                if time.monotonic() - checked >= CHECK_SECONDS:
                    checked = time.monotonic()
                    wait(0.0)
        finally:
            with self._lock:
                self._queue.remove(turn)
                self._wake_first()

    def _wake_first(self) -> None:
        if self._queue:
            self._queue[0].set()

    def refused(self, slot: Permit, retry_after: float | None) -> None:
        """Take the slot of an attempt back that met a rate limit, and keep to it."""
        asked = retry_after if retry_after is not None and retry_after <= LONGEST_SHARED_HOLD_SECONDS else None
        with self._lock:
            now = time.monotonic()
            is_cut = self._control.refused(slot.number, slot.sent_at, now, self._under_way, asked)
            self._take_back(slot, "rate limit", self._control.state(now) if is_cut else None)

    def _ended(self, slot: Permit, is_answered: bool) -> None:
        with self._lock:
            now = time.monotonic()
            if is_answered:
                is_wanted, is_reached = slot.waited or bool(self._queue), self._under_way >= self.limit
                self._control.succeeded(slot.number, now, is_wanted, is_reached)
            self._take_back(slot, "replies came", self._control.news(now))

    def _take_back(self, slot: Permit, why: str, change: dict[str, Any] | None) -> None:
        self._under_way -= 1
        self._wake_first()
        slot.pace = None
        if change is not None:
            slot.change = {"why": why, **change}
            rate = "any number of" if change["rate"] is None else change["rate"]
            logging.getLogger(__name__).info(
                "pace changed (%s): at most %s requests per second, %s side by side, none for %s s",
                *(why, rate, change["limit"], change["hold"]),
            )


def slot_of(client: Any, wait: Callable[[float], None]) -> AbstractContextManager[Permit]:
    """Return a slot of the client's pace, or one that is free where the client has none."""
    pace: Pace | None = getattr(client, "pace", None)
    return nullcontext(Permit()) if pace is None else pace.slot(wait)


_shared: WeakValueDictionary[tuple[str, str], Pace] = WeakValueDictionary()
_sharing = threading.Lock()


def shared_pace(server: str, model: str) -> Pace:
    """Return the pace of a model of a server, the same one for all clients of this process that are in use."""
    with _sharing:
        pace = _shared.get((server, model))
        if pace is None:
            pace = _shared[server, model] = Pace(server, model)
        return pace
