"""What is in the message of a completion: the answer, and what a server sends beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from genius_kit.chat import Beside, as_recorded, mapping_or_empty
from genius_kit.llm.settings import TOOL

LONGEST_BESIDE = 100_000
LONGEST_KIND = 40
"""Characters that are kept of what came beside an answer, and of the server's name for it."""

_FIELDS = ("reasoning_content", "reasoning", "tool_calls", "function_call")
_SAID = ("text", "output_text")
"""Types of the parts of a message that are its text."""


def read_message(message: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[str | None, str | None, list[Beside]]:
    """Return the text of a message, the model's refusal, and what came beside both; None for what did not come.

    The arguments of the one tool that `request` asks for are the text. Reasoning never is.
    """
    parts = _parts(message.get("content"))
    said = [_plain(part) for kind, part in parts if kind in _SAID]
    refused = "".join(_plain(part) for kind, part in parts if kind == "refusal")
    beside = [(kind, part) for kind, part in parts if kind not in (*_SAID, "refusal")]
    told = {name: message.get(name) for name in _FIELDS}
    text = "".join(said) if said else None
    if "tools" in request and (arguments := _arguments(told["tool_calls"])) is not None:
        beside.append(("content", text))
        text, told["tool_calls"] = arguments, None
    kept = _kept([*told.items(), *beside])
    return _recorded(text), _recorded(message.get("refusal") or refused or None), kept


def _recorded(value: object) -> str | None:
    return as_recorded(value) if isinstance(value, str) else None


def _parts(content: object) -> list[tuple[str, Any]]:
    """Return the parts of a content that is a string, a part, or a list of them, each with its type."""
    made = [_part(part) for part in (content if isinstance(content, list) else [content])]
    return [(kind, part) for kind, part in made if part is not None]


def _part(part: object) -> tuple[str, Any]:
    kind = mapping_or_empty(part).get("type")
    is_text = isinstance(part, str) or (kind is None and "text" in mapping_or_empty(part))
    return ("text" if is_text else kind if isinstance(kind, str) else "content"), part


def _plain(value: object, deepest: int = 8) -> str:
    """Return the words in a part, however it nests them."""
    if isinstance(value, str) or not deepest:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "".join(_plain(one, deepest - 1) for one in value)
    fields = mapping_or_empty(value)
    named = next((name for name in ("text", "thinking", *_FIELDS[:2], "refusal") if fields.get(name)), None)
    return "" if named is None else _plain(fields[named], deepest - 1)


def _arguments(calls: object) -> str | None:
    """Return the arguments of the one call of the tool that was asked for, None where there are several or none."""
    if not isinstance(calls, list) or len(calls) != 1:
        return None
    called = mapping_or_empty(mapping_or_empty(calls[0]).get("function"))
    if called.get("name") != TOOL:
        return None
    arguments = called.get("arguments")
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _kept(told: list[tuple[str, Any]]) -> list[Beside]:
    """Return what came, each as it is recorded; the same words under two names once."""
    kept: list[Beside] = []
    for kind, content in _in_words(told):
        recorded = as_recorded(content)
        one = Beside(kind=as_recorded(kind)[:LONGEST_KIND], content=recorded[:LONGEST_BESIDE], characters=len(recorded))
        if one["content"] not in [other["content"] for other in kept]:
            kept.append(one)
    return kept


def _in_words(told: list[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for kind, value in told:
        words = "" if kind in _FIELDS[2:] else _plain(value)
        if words.strip() or (value and not words):
            yield kind, words or json.dumps(value, ensure_ascii=False)
