"""What the body of an answer says, however a server sends its JSON: plain, after comments, or as a stream of events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from genius_kit.chat import mapping_or_empty

LONGEST_INTEGER = 100  # digits
_MARKS = ("data:", ":", "event:", "id:", "retry:")


def decoded(text: str) -> Any:
    """Return what the JSON of a body says, None where it is none; of a number too long to be read, infinity.

    A byte order mark and lines of comment (": OPENROUTER PROCESSING") before it are passed over. Of a stream of
    events, which some servers send although none was asked for, the chunks are joined to the one completion.
    """
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith(_MARKS):
        return _json(text)
    lines = [line.strip() for line in text.split("\n")]  # not splitlines(): JSON may hold other ends of lines
    events = [_json(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
    bodies = [body for body in events if isinstance(body, dict)]
    whole = [body for body in bodies if "error" in body or "message" in _first_choice(body)]
    if bodies:
        return whole[0] if whole else _joined(bodies)
    return _json("\n".join(line.removeprefix("data:") for line in lines if not line.startswith(_MARKS[1:])))


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else math.inf  # int() refuses 4,301 digits: the reply is paid


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    return mapping_or_empty(choices[0]) if isinstance(choices, list) and choices else {}


def _joined(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the completion whose pieces the chunks of a stream are; None where there is none."""
    whole: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    message: dict[str, Any] = {}
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value is not None and name != "choices"}
        piece = _first_choice(chunk)
        choice |= {name: value for name, value in piece.items() if value is not None and name != "delta"}
        _add(message, mapping_or_empty(piece.get("delta")))
    return {**whole, "choices": [{**choice, "message": message}]} if choice or message else None


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Append a piece to what is there of a message: texts end to end, tool calls by their index."""
    for name, value in delta.items():
        before = message.get(name)
        if name == "tool_calls" and isinstance(value, list):
            calls = message.setdefault(name, [])
            for piece in map(mapping_or_empty, value):
                place = piece.get("index")
                if not isinstance(place, int) or place >= len(calls):
                    calls.append({})
                    place = -1
                _add(calls[place], piece)
        elif isinstance(before, str) and isinstance(value, str) and name not in ("role", "type", "id", "name"):
            message[name] = before + value
        elif isinstance(before, dict) and isinstance(value, Mapping):
            _add(before, value)
        elif value is not None:
            message[name] = dict(value) if isinstance(value, Mapping) else value
