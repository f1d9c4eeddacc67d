"""The events of a journal and the kinds of their fields, by which a journal of another hand is refused on reading.

Events and fields of other names pass, as a later version may write them.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # the standard one is refused by pydantic before Python 3.12

SIDE_EVENTS = frozenset(
    {
        *("paused", "resumed", "stop_requested", "budget_raised", "pace_changed", "budget_spent"),
        *("limits_set", "gpu_reserved", "price_changed"),
    }
)
"""Events beside the steps of the search: what a person asked for, how requests were paced, what they cost by now, where
a limit ended it. A resumed run passes over them wherever they stand: only the last "budget_raised" changes what comes
after."""

MOST_EVALUATIONS = 1_000_000
"""The largest budget of a run that is read: curves have a place for each."""

Number = Annotated[float, Field(gt=-1e300, lt=1e300)]
Choices = list[Annotated[int, Field(ge=0)]]
Place = Annotated[int, Field(ge=0, lt=6)]


class Withheld(TypedDict):
    """What stands in place of words that were taken out for publication, see `chain.withhold`."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]
    redacted: Any


Words = str | Withheld | None


class _Message(TypedDict):
    role: str
    content: str


class _Beside(TypedDict):
    kind: str
    content: str
    characters: int


class _Cut(TypedDict):
    characters: int
    sha256: str


class _Run(TypedDict, total=False):
    space: str
    benchmark: str
    proposer: str
    budget: Annotated[int, Field(le=MOST_EVALUATIONS)]
    seed: int
    settings: dict[Any, Any]
    space_definition: dict[str, Any]
    unit: str
    benchmark_settings: dict[Any, Any]


class _Rank(TypedDict):
    best: Number
    worst: Number
    of: Number


class _Common(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]
    time: str
    run: _Run


class _Event(_Common, total=False):
    iteration: int


class _Step(_Common, total=False):
    iteration: Required[int]


class _RunStarted(_Event, total=False):
    format: int
    limits: dict[Any, Any]
    timeout: Number
    folder: str


class _Call(_Event, total=False):
    messages: Required[list[_Message] | Withheld]
    text: Required[Words]
    purpose: str
    usage: dict[str, Number | None]
    letters: dict[str, Number] | None
    beside: list[_Beside] | Withheld | None
    form: str | None
    cut: _Cut | None
    cost: Number | None
    seconds: Number | None


class _Question(_Step, total=False):
    architecture: Choices
    text: Required[str]
    options: Required[Annotated[list[str], Field(min_length=6, max_length=6)]]
    published: Required[Place]
    shown: Required[Place | None]


class _CallFailed(_Event, total=False):
    cause: str
    message: Words
    parameter: str | None
    instead: str | None


class _Rejected(_Event, total=False):
    reason: str
    detail: Words
    architecture: Choices | None


class _Approval(_Event, total=False):
    decision: str
    architecture: Choices
    proposed: Choices
    reason: Words


class _Proposal(_Step, total=False):
    architecture: Required[Choices]
    text: str
    origin: str


class _Evaluation(_Step, total=False):
    architecture: Required[Choices]
    feedback: Required[Number | None]
    validation_accuracy: Number | None
    test_accuracy: Number | None
    parameters: Number | None
    macs: Number | None
    rank: _Rank | None
    source: str
    failure: str | None
    latency: Number | None
    seconds: Number | None
    memory_format: str


class _RunFinished(_Event, total=False):
    reason: Required[str]


class _BudgetRaised(_Event, total=False):
    budget: Required[Annotated[int, Field(le=MOST_EVALUATIONS)]]


_EVENTS: dict[str, type] = {
    "run_started": _RunStarted,
    "call": _Call,
    "question": _Question,
    "call_failed": _CallFailed,
    "rejected": _Rejected,
    "approval": _Approval,
    "proposal": _Proposal,
    "evaluation": _Evaluation,
    "run_finished": _RunFinished,
    "budget_raised": _BudgetRaised,
}

_RESUMED = {
    "intent": ("request",),
    "call_failed": ("cause", "message"),
    "approval": ("decision", "architecture", "reason"),
    "proposal": ("text", "origin"),
    "evaluation": ("validation_accuracy", "test_accuracy", "parameters", "macs", "source"),
}
"""Fields without which a run cannot go on, though every reader can do without them."""


@cache
def _adapter(name: str | None) -> TypeAdapter[Any]:
    return TypeAdapter(_Event if name is None else _EVENTS[name])


def check_shape(event: dict[str, Any], resumed: bool = False) -> None:
    """Raise ValueError for an event that lacks a field which every reader needs, or has one of another kind.

    With `resumed`, those that a run needs to go on may not be missing either.
    """
    name = event["event"]
    missing = [field for field in _RESUMED.get(name, ()) if resumed and field not in event]
    if missing:
        raise ValueError(f"{name} has no {missing[0]}")
    try:
        _adapter(name if name in _EVENTS else None).validate_python(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = str(first["loc"][0])
        if first["type"] == "missing" and len(first["loc"]) == 1:
            raise ValueError(f"{name} has no {field}") from None
        raise ValueError(f"{name} has {field} = {event[field]!r:.60}") from None
