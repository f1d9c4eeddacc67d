"""Rate limits of a scripted server, in the three forms that providers use: when is one more request too many?"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol


class Limiter(Protocol):
    """Decides on one request; the server holds a lock around it."""

    def admit(self, now: float) -> float | None:
        """Return None for a request that is let in at `now`, else the seconds until one would be."""


class TokenBucket:
    """At most `rate` requests per second in the long run, and a burst of them at once.

    Parameters
    ----------
    rate
        Requests per second.
    burst
        Requests at once; default those of one second.
    """

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self.burst = max(1.0, rate if burst is None else burst)
        self._tokens = self.burst
        self._last: float | None = None

    def admit(self, now: float) -> float | None:
        """Take a token, or return the seconds until there is one.

        Parameters
        ----------
        now
            Time in seconds.
        """
        passed = 0.0 if self._last is None else now - self._last
        self._tokens = min(self.burst, self._tokens + passed * self.rate)
        self._last = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return None


class FixedWindow:
    """At most `rate` x `seconds` requests in each window, which begin at fixed times.

    Parameters
    ----------
    rate
        Requests per second.
    seconds
        Length of a window.
    """

    def __init__(self, rate: float, seconds: float = 1.0) -> None:
        self.rate, self.seconds = rate, seconds
        self._window: int | None = None
        self._count = 0

    def admit(self, now: float) -> float | None:
        """Count a request of this window, or return the seconds until the next begins.

        Parameters
        ----------
        now
            Time in seconds.
        """
        window = math.floor(now / self.seconds)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= max(1, int(self.rate * self.seconds)):
            return (window + 1) * self.seconds - now
        self._count += 1
        return None


class SlidingWindow:
    """At most `rate` x `seconds` requests in any window; refused ones do not count.

    Parameters
    ----------
    rate
        Requests per second.
    seconds
        Length of the window.
    """

    def __init__(self, rate: float, seconds: float = 1.0) -> None:
        self.rate, self.seconds = rate, seconds
        self._times: deque[float] = deque()

    def admit(self, now: float) -> float | None:
        """Note a request, or return the seconds until the oldest leaves the window.

        Parameters
        ----------
        now
            Time in seconds.
        """
        while self._times and now - self._times[0] >= self.seconds:
            self._times.popleft()
        if len(self._times) >= max(1, int(self.rate * self.seconds)):
            return self.seconds - (now - self._times[0])
        self._times.append(now)
        return None
