"""What limits are about: the limits themselves, and amounts of what counts against them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from genius_kit.errors import InvalidParameter

COUNTED = ("calls", "tokens", "dollars", "gpu_hours")
"""What is reserved before it is spent; seconds pass by themselves."""

RESERVES = {"worst": None, "95%": 1}
"""What may be reserved for a request, each with its attempts; None for all of them.

A reply takes 1.05 attempts (see `studies.estimate`), so that one is enough for 95 %.
"""

_SMALLEST = Decimal("1e-9")


@dataclass(frozen=True)
class Limits:
    """The most that a run, or all runs of a study, may take; None is no limit.

    Parameters
    ----------
    calls
        Requests that may have been billed.
    tokens
        Tokens of prompts and replies.
    dollars
        US dollars at list price.
    gpu_hours
        Hours of evaluations on a GPU.
    seconds
        Wall time while the run is under way.
    reserve
        What is set aside per request: "worst" (default) its worst case with all attempts; "95%" that of one attempt,
        which is enough for 95 % of requests; the next attempt is then reserved when it is made.

    Raises
    ------
    InvalidParameter
        A limit that is negative or not a number.
    """

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    gpu_hours: float | None = None
    seconds: float | None = None
    reserve: str | None = None

    def __post_init__(self) -> None:
        if self.reserve not in (None, *RESERVES):
            raise InvalidParameter(f"reserve must be one of {', '.join(RESERVES)}, got {self.reserve!r}")
        for name, value in self.given().items():
            if name == "reserve":
                continue
            whole = name in ("calls", "tokens")
            kind: Any = int if whole else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value) or value < 0:
                expected = "a whole number" if whole else "a number"
                raise InvalidParameter(f"the limit of {name} must be {expected} not below 0, got {value!r}")

    def given(self) -> dict[str, Any]:
        """Return what is set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, others: Limits) -> Limits:
        """Return these limits, and the `others` where these say nothing.

        Parameters
        ----------
        others
            Limits that fill what is None here.
        """
        return Limits(**{**others.given(), **self.given()})


@dataclass(frozen=True)
class Amount:
    """What was spent, or is reserved; dollars and GPU-hours are exact to 1e-9, rounded up when they are made."""

    calls: int = 0
    tokens: int = 0
    dollars: Decimal = Decimal(0)
    gpu_hours: Decimal = Decimal(0)

    @classmethod
    def of(cls, calls: int = 0, tokens: int = 0, dollars: float = 0.0, gpu_hours: float = 0.0) -> Amount:
        """Return the amount of some plain numbers."""
        return cls(calls, tokens, exact(dollars), exact(gpu_hours))

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Amount:
        """Return the amount that `record` wrote."""
        return cls.of(**{name: recorded[name] for name in COUNTED if name in recorded})

    def record(self) -> dict[str, Any]:
        """Return the amount as plain values for a file, without what is zero."""
        told = {"calls": self.calls, "tokens": self.tokens}
        parts = {"dollars": float(self.dollars), "gpu_hours": float(self.gpu_hours)}
        return {name: value for name, value in {**told, **parts}.items() if value}

    def times(self, count: int) -> Amount:
        """Return this amount `count` times."""
        return Amount(self.calls * count, self.tokens * count, self.dollars * count, self.gpu_hours * count)

    def or_more(self, other: Amount) -> Amount:
        """Return of each kind the larger one."""
        return Amount(*(max(getattr(self, name), getattr(other, name)) for name in COUNTED))

    def __add__(self, other: Amount) -> Amount:
        sums = self.calls + other.calls, self.tokens + other.tokens
        return Amount(*sums, self.dollars + other.dollars, self.gpu_hours + other.gpu_hours)

    def __sub__(self, other: Amount) -> Amount:
        return self + other.times(-1)


def exact(value: float) -> Decimal:
    """Return a number as it is written, rounded up to a billionth."""
    return Decimal(str(value)).quantize(_SMALLEST, ROUND_CEILING)


def dollars(amount: Any) -> str:
    """Return an amount of money: "$1.25", "$0.0042", "unknown" for None."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}" if amount >= 0.0001 else "below $0.0001"


def words(name: str, value: float | Decimal) -> str:
    """Return an amount of one kind in words: "$0.25", "1,200 tokens", "0.5 GPU-hours"."""
    if name == "dollars":
        return dollars(value)
    unit = {"gpu_hours": "GPU-hours"}.get(name, name)
    return f"{float(value):,.6g} {unit}" if name in ("gpu_hours", "seconds") else f"{int(value):,} {unit}"
