"""Replies in a form that the server enforces: what is asked for, what the server made of it, and how it is read.

The first request of a run asks for the form and so finds out what the server takes: a schema (`response_format`), a
tool call where a schema is refused, else prose. What was refused, and the form of each reply, are on record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genius_kit.errors import ModelError
from genius_kit.reasoning import ANSWER, REASONING, read_form

if TYPE_CHECKING:
    from genius_kit.spaces import SearchSpace

STRUCTURED = ("auto", "on", "off")
"""Ask for the form and read prose where a server does not give it; end the run, or refuse the reply, there; ask for
prose."""

TOOL = "propose_architecture"
SCHEMA_FORM, TOOL_FORM, IGNORED, MISSING = "json_schema", "tool", "ignored", "missing"
"""Forms of a recorded reply: as the schema or the tool says; in another one, and read as prose; or refused for it."""

_PARAMETERS = ("response_format", "tools", "tool_choice")
_UNEXPLAINED = ("bad-request", "server")
_UNSUPPORTED = re.compile(r"support|parameter|response_format|schema|structured|tool", re.I)
_OF_MODEL = re.compile(
    r"(?:invalid|unknown|no such) model\b|\bmodel\b[^.]*\b(?:not (?:exist|found|known)|unknown)", re.I
)


def reply_form(space: SearchSpace, with_reasoning: bool = True) -> dict[str, Any]:
    """Return the JSON schema of a reply that proposes one architecture of `space`, written as the prompts ask for it.

    The schema cannot say everything (a channel count fits some positions only): the reply is parsed as any other.
    """
    if space.is_cell:
        menu = list(range(len(space.options)))
    else:
        menu = sorted({int(option) for options in space.choices for option in options})
    form = _list_of({"type": "integer", "enum": menu}, space.length)
    if space.in_stages:
        form = _list_of(_list_of({"type": "integer", "enum": menu}, len(space.stages[0])), len(space.stages))
    fields = {**({REASONING: {"type": "string"}} if with_reasoning else {}), ANSWER: form}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _list_of(items: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def as_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request for a reply after `schema`."""
    named = {"name": ANSWER, "strict": True, "schema": dict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def as_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request for a reply as the arguments of a tool, which nothing runs."""
    told = {"name": TOOL, "description": "Propose one architecture.", "strict": True, "parameters": dict(schema)}
    choice = {"type": "function", "function": {"name": TOOL}}
    return {"tools": [{"type": "function", "function": told}], "tool_choice": choice}


def after_refusal(parameters: Mapping[str, Any], refused: str, structured: str | None) -> dict[str, Any]:
    """Return the parameters left after a server refused one: a tool call in place of the schema, then neither.

    Raises ModelError where `structured` is "on" and the server takes neither.
    """
    if structured is None or refused not in _PARAMETERS:
        return {name: value for name, value in parameters.items() if name != refused}
    left = without_form(parameters)
    if refused == "response_format" and refused in parameters:
        return {**left, **as_tool(parameters[refused]["json_schema"]["schema"])}
    if structured == "on":
        raise ModelError(
            "the server takes neither a response_format of type json_schema nor a tool call: use --structured auto, "
            "or off, to have its replies read as prose",
            cause="unstructured",
        )
    return left


def without_form(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request that asks for prose."""
    return {name: value for name, value in parameters.items() if name not in _PARAMETERS}


def laid_to_form(error: ModelError, request: Mapping[str, Any], structured: str | None) -> ModelError:
    """Return the error of a request that asked for a form; one without an explanation is laid to what was asked for.

    Servers refuse a form in any words, or none. Where it was something else, the request in prose meets it again.
    """
    asked = [name for name in _PARAMETERS[:2] if name in request]
    is_form = error.cause == "not-found" and _UNSUPPORTED.search(str(error))  # as OpenRouter says it
    is_open = error.cause in _UNEXPLAINED and not _OF_MODEL.search(str(error))
    if structured is None or not asked or error.retryable or not (is_form or is_open):
        return error
    return ModelError(str(error), cause="unsupported-parameter", parameter=asked[0])


def form_of(text: str | None, finish_reason: str, request: Mapping[str, Any], structured: str | None) -> str | None:
    """Return the form of a reply to a request, None where none was asked for; a cut one is taken to be in it."""
    asked = TOOL_FORM if "tools" in request else SCHEMA_FORM if "response_format" in request else None
    if structured is None or asked is None:
        return None
    if not (text or "").strip() or finish_reason == "length" or read_form(text) is not None:
        return asked
    return MISSING if structured == "on" else IGNORED
