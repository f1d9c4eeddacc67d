"""How fast one server may be asked: the arithmetic behind `pace`, without clock, lock or thread.

Nothing is limited until the server answers 429, save that the first requests go `FIRST_BURST` at a time and more as
they are answered. Then a rate is kept: what the server took in the second before, cut a little at each new episode
and grown slowly, later faster, while there are requests that wait for it. An episode begins with a refusal and ends
when one request sent after it was not refused; until then one goes at a time, after the wait that the server asked for
or a short one that doubles. Refusals of requests from before the cut change nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

FIRST_BURST = 16
"""Requests side by side to a server of which nothing is known."""
CUT, CUT_SOON, SOON_REQUESTS = 0.94, 0.85, 5
"""What an episode leaves of the rate; less where it comes after so few requests, or soon for the wait it costs."""
HOLD_GROWTH = 1.6
"""By how much the wait grows with each request in a row that is refused, where the server names none."""
FIRST_SHARE = 0.85
"""The first rate, as a share of what the server took within a second: much of that may have been a burst."""
KNOWN_SHARE, FORGETTING = 0.6, 0.8
"""Below this share of the highest rate that was cut growth is quick; each cut there makes that rate count for less."""
SHORTEST_HOLD_SECONDS, LONGEST_HOLD_SECONDS = 0.05, 60.0
LOGGED_STEP = 1.25
"""Growth is told when the rate or the number side by side has grown by this factor since it was told last."""
STEADY_GROWTH, QUICK_GROWTH = 1e-9, 0.04
"""Growth a reply: beside a limit that is known, and while it is still looked for."""
GROWING_REPLIES_A_SECOND = 8.0
"""More replies than these a second do not make the rate grow faster."""


class Control:
    """The rate and the number of requests side by side; all times are seconds of one clock that never jumps.

    `rate` is in requests a second, None while there is no limit; `limit` is how many may be under way.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.limit = float(FIRST_BURST)
        self._known = math.inf  # the highest rate that was cut; below half of it the way back is quick
        self._next = 0.0  # when the rate lets the next one go
        self._held_until = 0.0
        self._hold = 0.0
        self._refused_probes = 0
        self._in_episode = self._came_soon = False
        self._probe: tuple[int, float] | None = (
            None  # number and time of the one that tries whether the episode is over
        )
        self._patience = 0.1  # seconds after which a probe that was not refused is taken to have been let in
        self._last_number = 0
        self._cut_number = 0  # requests up to this one were sent before the last cut
        self._recent: deque[float] = deque()  # when the requests of the last second were sent
        self._done: deque[float] = deque()  # when those that were let in and answered within the last second were
        self._done_before = 0  # how many of these there were at the beginning of the episode
        self._window_start = 0.0  # since when `_sent_since` and `_refused_since` count
        self._sent_since = self._refused_since = 0
        self._window_estimate = 0.0
        self._base = 0.0
        self._grown_since = 0.0
        self._growing = 0
        self._told: tuple[float | None, float] = (None, self.limit)

    def ready_at(self, now: float, under_way: int) -> float:
        """Return when the next request may be sent: a time not after `now` for at once, infinity for unknown."""
        if self._in_episode:
            if self._probe is None:
                return self._held_until
            self._end_episode_if_silent(now)
            if self._in_episode:
                return self._probe[1] + self._patience if self._probe else self._held_until
        if under_way >= int(self.limit):
            return math.inf
        return max(self._held_until, self._next if self.rate is not None else 0.0)

    def send(self, now: float) -> int:
        """Note that a request is sent and return its number."""
        self._last_number += 1
        if self._in_episode and self._probe is None:
            self._probe = (self._last_number, now)
        self._recent.append(now)
        _forget(self._recent, now)
        if self.rate is not None:
            step = 1.0 / self.rate
            self._next = max(now - step, self._next) + step  # one that came late is made up for
        if not self._sent_since:
            self._window_start = now
        self._sent_since += 1
        return self._last_number

    def succeeded(self, number: int, now: float, saturated: bool, limit_reached: bool) -> None:
        """Note that a request was let in: its reply came, or a failure that is none of the rate's.

        `saturated` says whether requests wait, `limit_reached` whether as many as may be were under way.
        """
        self._done.append(now)
        _forget(self._done, now)
        if self._in_episode and self._probe is not None and number == self._probe[0]:
            self._end_episode(now)
        if not saturated or self._in_episode or number <= self._cut_number:
            return
        if limit_reached:
            self.limit += 1.0
        if self.rate is not None and not limit_reached:
            self._grow(now)

    def refused(self, number: int, sent_at: float, now: float, under_way: int, retry_after: float | None) -> bool:
        """Note a 429 and return whether it cut the pace; `under_way` counts the refused request too."""
        self._refused_since += 1
        if retry_after is not None:
            self._held_until = max(self._held_until, now + retry_after)
        if number <= self._cut_number:
            self._window_estimate -= 1
            return False
        self._patience = 0.1 + 2 * (now - sent_at)
        self._cut_number = self._last_number
        if self._in_episode:
            self._refused_probes += 1
            self._hold = min(LONGEST_HOLD_SECONDS, HOLD_GROWTH * self._hold)
        else:
            self._begin_episode(now, under_way, retry_after or 0.0)
        self._probe = None
        self._held_until = max(self._held_until, now + (self._hold if retry_after is None else 0.0))
        return True

    def _begin_episode(self, now: float, under_way: int, asked: float) -> None:
        self._in_episode, self._refused_probes = True, 0
        self._came_soon = self._sent_since <= SOON_REQUESTS or now - self._grown_since < 2 * asked
        _forget(self._recent, now)
        _forget(self._done, now)
        self._done_before = len(self._done)
        self._window_estimate = len(self._recent) - 1.0
        self._hold = max(SHORTEST_HOLD_SECONDS, 2 / self.rate) if self.rate is not None else SHORTEST_HOLD_SECONDS
        if self.rate is None:
            self.limit = max(1.0, 0.9 * min(self.limit, under_way))

    def _end_episode_if_silent(self, now: float) -> None:
        if self._probe is not None and now >= self._probe[1] + self._patience:
            self._end_episode(now)

    def _end_episode(self, now: float) -> None:
        """Set the rate that the episode leaves; the counts begin anew."""
        taken_a_second = max(1.0, self._window_estimate, self._done_before)
        if self.rate is None:
            rate = FIRST_SHARE * taken_a_second
        else:
            rate = (CUT_SOON if self._came_soon else CUT) * self.rate
            if self._known == math.inf:
                rate = self._known = min(rate, taken_a_second)
            elif self.rate < KNOWN_SHARE * self._known:
                self._known *= FORGETTING
            else:
                self._known = max(self._known, rate)
        if self._refused_probes:
            taken = max(1, self._sent_since - self._refused_since)
            measured = taken / (now - self._window_start)
            rate = min(rate, measured if self.rate is None else max(measured, rate / 4))
        self.rate = self._base = rate
        self._in_episode, self._probe = False, None
        self._next = now + 1.0 / rate
        self._sent_since = self._refused_since = 0
        self._grown_since, self._growing = now, 0

    def _grow(self, now: float) -> None:
        assert self.rate is not None
        if self.rate > 1.3 * len(self._recent) + 2:
            return  # the rate is not what holds the requests back
        if self.rate < KNOWN_SHARE * self._known:
            self.rate *= 1 + QUICK_GROWTH
            return
        self._growing += 1
        steps = min(self._growing, GROWING_REPLIES_A_SECOND * (now - self._grown_since))
        self.rate = max(self.rate, self._base * math.exp(STEADY_GROWTH * steps**4))

    def state(self, now: float) -> dict[str, Any]:
        """Return the rate (requests a second), the limit side by side, and the seconds for which nothing is sent."""
        rate = None if self.rate is None else round(self.rate, 3)
        self._told = (self.rate, self.limit)
        return {"rate": rate, "limit": int(self.limit), "hold": round(max(0.0, self._held_until - now), 3)}

    def news(self, now: float) -> dict[str, Any] | None:
        """Return the state where it has changed enough since it was told last, else None."""
        rate, limit = self._told
        changed = (rate is None) != (self.rate is None) or self.limit >= LOGGED_STEP * limit
        if rate is not None and self.rate is not None:
            changed = changed or not 1 <= self.rate / rate < LOGGED_STEP
        return self.state(now) if changed else None


def _forget(times: deque[float], now: float) -> None:
    """Drop what is older than a second."""
    while times and times[0] < now - 1.0:
        times.popleft()
