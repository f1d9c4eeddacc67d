"""What the fields of an event may hold, so that a journal of another hand is refused where it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genius_kit.chat import is_beside
from genius_kit.journal.chain import is_withheld

ASIDES = frozenset(
    {
        *("paused", "resumed", "stop_requested", "budget_raised", "pace_changed", "budget_spent"),
        *("limits_set", "gpu_reserved"),
    }
)
"""Events beside the steps of the search: what a person asked for, how requests were paced, where a limit ended it. A
resumed run passes over them wherever they stand: only the last "budget_raised" changes what comes after."""

Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _table(value: Any) -> bool:
    return isinstance(value, dict)


def _choices(value: Any) -> bool:
    return isinstance(value, list) and all(_whole(option) and option >= 0 for option in value)


def _chances(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(one) for one in value.values())


def _accuracies(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 6 and all(map(_text, value))


def _place(value: Any) -> bool:
    return _whole(value) and 0 <= value < 6


def _optional(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _words(value: Any) -> bool:
    """Return whether a field holds words, nothing, or what stands in the place of words that were withheld."""
    return value is None or isinstance(value, str) or is_withheld(value)


def _messages(value: Any) -> bool:
    if is_withheld(value):
        return True
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
        for one in value
    )


def _beside(value: Any) -> bool:
    return is_withheld(value) or is_beside(value)


def _usage(value: Any) -> bool:
    return isinstance(value, dict) and all(_optional(_number)(count) for count in value.values())


def _run(value: Any) -> bool:
    """Return whether the settings of a run are of the right kinds, as far as they are given."""
    kinds = {
        "space": _text,
        "benchmark": _text,
        "proposer": _text,
        "budget": _whole,
        "seed": _whole,
        "settings": _table,
        "benchmark_settings": _table,
    }
    return isinstance(value, dict) and all(test(value[name]) for name, test in kinds.items() if name in value)


def _rank(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(value.get(name)) for name in ("best", "worst", "of"))


_EVERY: dict[str, Test] = {"time": _text, "iteration": _whole, "run": _run}
_FIELDS: dict[str, dict[str, Test]] = {
    "run_started": {"format": _whole, "limits": _table, "timeout": _number},
    "call": {
        "messages": _messages,
        "text": _words,
        "purpose": _text,
        "usage": _usage,
        "letters": _optional(_chances),
        "beside": _optional(_beside),
        "form": _optional(_text),
        "cost": _optional(_number),
        "seconds": _optional(_number),
    },
    "question": {
        "architecture": _choices,
        "text": _text,
        "options": _accuracies,
        "published": _place,
        "shown": _optional(_place),
    },
    "call_failed": {"cause": _text, "message": _words, "parameter": _optional(_text), "instead": _optional(_text)},
    "rejected": {"reason": _text, "detail": _words, "architecture": _optional(_choices)},
    "approval": {"decision": _text, "architecture": _choices, "proposed": _choices, "reason": _words},
    "proposal": {"architecture": _choices, "text": _text, "origin": _text},
    "evaluation": {
        "architecture": _choices,
        "feedback": _optional(_number),
        "validation_accuracy": _optional(_number),
        "test_accuracy": _optional(_number),
        "parameters": _optional(_number),
        "macs": _optional(_number),
        "rank": _optional(_rank),
        "source": _text,
        "failure": _optional(_text),
        "latency": _optional(_number),
        "seconds": _optional(_number),
        "memory_format": _text,
    },
    "run_finished": {"reason": _text},
    "budget_raised": {"budget": _whole},
}
_NEEDED = {
    "call": ("messages", "text"),
    "question": ("iteration", "text", "options", "published", "shown"),
    "proposal": ("iteration", "architecture"),
    "evaluation": ("iteration", "architecture", "feedback"),
    "run_finished": ("reason",),
    "budget_raised": ("budget",),
}


_RESUMED = {
    "intent": ("request",),
    "call_failed": ("cause", "message"),
    "approval": ("decision", "architecture", "reason"),
    "proposal": ("text", "origin"),
    "evaluation": ("validation_accuracy", "test_accuracy", "parameters", "macs", "source"),
}


def check_shape(event: dict[str, Any], resumed: bool = False) -> None:
    """Raise ValueError for an event that lacks a field which every reader needs, or has one of another kind.

    Events and fields of other names pass, as a later version may write them; so do fields that a reader can miss.
    With `resumed`, those that a run needs to go on may not be missing either.
    """
    name = event["event"]
    needed = (*_NEEDED.get(name, ()), *(_RESUMED.get(name, ()) if resumed else ()))
    missing = [field for field in needed if field not in event]
    if missing:
        raise ValueError(f"{name} has no {missing[0]}")
    fields = _FIELDS.get(name, {})
    for field, value in event.items():
        test = fields.get(field) or _EVERY.get(field)
        if test is not None and not test(value):
            raise ValueError(f"{name} has {field} = {value!r:.60}")
