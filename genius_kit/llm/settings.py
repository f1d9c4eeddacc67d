"""What is asked of a server beside the messages: fields of the request that are the user's, and the form of a reply.

The first request of a run asks for the form and so finds out what the server takes: a schema (`response_format`), a
tool call where a schema is refused, else prose. What was refused, and the form of each reply, are on record.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.chat import OUTPUT_LIMITS
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.reasoning import ANSWER, REASONING, read_form
from genius_kit.redaction import looks_secret, variables_in

if TYPE_CHECKING:
    from genius_kit.spaces import SearchSpace

TIMEOUT_SECONDS, LONGEST_TIMEOUT = 600.0, 86_400.0
"""For one attempt: where no other time is given, and at most (a day)."""

LONGEST_PARAMS, DEEPEST_PARAMS = 10_000, 8  # characters of JSON; mappings and lists within one another

RESERVED = {
    "model": "it is named by --model (model=)",
    "messages": "they are made from the prompt",
    "stream": "replies are read whole",
    "n": "each request has one reply",
    "seed": "use the setting request_seed",
    "temperature": "use --temperature (temperature=)",
    "max_tokens": "use --max-tokens (max_tokens=)",
    "max_output_tokens": "use --max-tokens (max_tokens=)",
    "response_format": "use --structured (structured=)",
}
"""Fields of a request that have a place of their own, and which."""

TOOLS = ("tools", "tool_choice", "functions", "function_call", "web_search_options")
"""Fields that let a model do more than propose."""

_NAME = re.compile(r"[A-Za-z_][\w-]{0,63}")

STRUCTURED = ("auto", "on", "off")
"""Ask for the form and read prose where a server does not give it; end the run, or refuse the reply, there; ask for
prose."""

TOOL = "propose_architecture"
SCHEMA_FORM, TOOL_FORM, IGNORED, MISSING = "json_schema", "tool", "ignored", "missing"
"""Forms of a recorded reply: as the schema or the tool says; in another one, and read as prose; or refused for it."""

_FORM = ("response_format", "tools", "tool_choice")
_UNEXPLAINED = ("bad-request", "server")
_UNSUPPORTED = re.compile(r"support|parameter|response_format|schema|structured|tool", re.I)
_OF_MODEL = re.compile(
    r"(?:invalid|unknown|no such) model\b|\bmodel\b[^.]*\b(?:not (?:exist|found|known)|unknown)", re.I
)


def check_names(fields: Mapping[str, Any]) -> None:
    """Raise InvalidParameter for a field of a request that has a place of its own, or is named like a secret."""
    for name in fields:
        if name in RESERVED:
            raise InvalidParameter(f"the field {name!r} of a request has a place of its own: {RESERVED[name]}")
    for name in names_in(fields):
        if looks_secret(name):
            raise InvalidParameter(
                f"the field {name!r} looks like a secret, and what is sent is recorded: export OPENAI_API_KEY instead"
            )


def check_params(params: object) -> dict[str, Any]:
    """Return a plain copy of further fields of each request, such as {"reasoning_effort": "high"}; empty for None.

    Raises InvalidParameter for what `check_names` refuses, what JSON cannot hold, what is too large or too deep, an
    output limit that is none, and the value of a variable that holds a secret.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise InvalidParameter(f"params must be a mapping such as {{'reasoning_effort': 'high'}}, got {params!r:.100}")
    for name in params:
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            hint = "; write a mapping within a mapping in full" if "." in str(name) else ""
            raise InvalidParameter(f"params: {name!r:.80} is no name of a field, such as top_p{hint}")
    text = _json(params)
    if len(text) > LONGEST_PARAMS:
        raise InvalidParameter(f"params have {len(text):,} characters of JSON; at most {LONGEST_PARAMS:,} are sent")
    check_names(params)
    if tools := [name for name in TOOLS if name in params]:
        raise InvalidParameter(f"params cannot give {tools[0]!r}: a model is offered no tools in a search")
    for name in OUTPUT_LIMITS:
        if name in params:
            check_output_limit(params[name], name)
    for variable in variables_in(text):
        raise InvalidParameter(f"params hold the value of {variable}, and what is sent is recorded: leave it out")
    return dict(json.loads(text))


def check_output_limit(tokens: object, name: str = "max_tokens") -> None:
    """Raise InvalidParameter for what bounds no reply: a limit that is none would be reserved as one."""
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise InvalidParameter(f"{name} must be a whole number of tokens from 1, got {tokens!r:.80}")


def check_timeout(timeout: object) -> float:
    """Return the seconds that one attempt may take, TIMEOUT_SECONDS for None; raises InvalidParameter."""
    if timeout is None:
        return TIMEOUT_SECONDS
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
        raise InvalidParameter(
            f"timeout must be seconds, more than 0 and at most {LONGEST_TIMEOUT:,.0f}, got {timeout!r}"
        )
    return timeout


def read_fields(texts: Sequence[str], option: str, example: str) -> dict[str, Any]:
    """Return {"top_p": 0.9} for ["top_p=0.9"]: what reads as JSON is JSON, anything else plain text.

    Raises InvalidParameter, in the words of `option` and `example`, for a text without "=" and a field given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise InvalidParameter(f"{option} must be FIELD=VALUE, each field once, such as {example}, got {name}")
        found[name] = _value(value)
    return found


def read_params(texts: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a request that texts such as "top_p=0.9" give; raises InvalidParameter."""
    return check_params(read_fields(texts, "--param", "reasoning_effort=high"))


def read_line(line: str) -> dict[str, Any]:
    """Return the fields that a line gives in the words of a command: top_p=0.9 'thinking={"type": "enabled"}'."""
    try:
        return read_params(shlex.split(line))
    except ValueError as error:
        raise InvalidParameter(f"{line!r:.100} is cut ({error}); close the quotation mark") from None


def line_of(params: Mapping[str, Any]) -> str:
    """Return fields as the line that `read_line` reads."""
    return shlex.join(f"{name}={_text_of(value)}" for name, value in params.items())


def names_in(value: object) -> Iterator[str]:
    """Yield the names of a nested value's fields."""
    if isinstance(value, Mapping):
        yield from (str(name) for name in value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from names_in(item)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text_of(value: Any) -> str:
    plain = isinstance(value, str) and _value(value) == value
    return str(value) if plain else json.dumps(value)


def _json(params: Mapping[str, Any]) -> str:
    """Return fields as JSON; raises InvalidParameter for what JSON cannot hold, and for what is too deep."""
    if _depth(params) > DEEPEST_PARAMS:
        raise InvalidParameter(f"params are nested more than {DEEPEST_PARAMS} deep; give plain fields")
    try:
        text = json.dumps(params, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise InvalidParameter(f"params cannot be written as JSON ({error}); give plain values") from None
    return text


def _depth(value: object, above: int = 0) -> int:
    """Return how deep a value is nested, one more than is allowed for anything deeper."""
    if above > DEEPEST_PARAMS or not isinstance(value, Mapping | list | tuple):
        return above
    inner = value.values() if isinstance(value, Mapping) else value
    return max((_depth(one, above + 1) for one in inner), default=above + 1)


def reply_form(space: SearchSpace, with_reasoning: bool = True) -> dict[str, Any]:
    """Return the JSON schema of a reply that proposes one architecture of `space`, written as the prompts ask for it.

    The schema cannot say everything (a channel count fits some positions only): the reply is parsed as any other.
    """
    form = _list_of(_number_of(space), space.length)
    if space.in_stages:
        form = _list_of(_list_of(_number_of(space), len(space.stages[0])), len(space.stages))
    return _object_of({**({REASONING: {"type": "string"}} if with_reasoning else {}), ANSWER: form})


def schema_for(space: SearchSpace) -> dict[str, Any]:
    """Return the JSON schema of a reply that names one architecture of `space` as `space.encode` does.

    It is what runs asked for before `reply_form`, where cells are strings and stages one list.
    """
    if not space.is_cell:
        return _object_of({ANSWER: _list_of(_number_of(space), space.length)})
    operation = f"({'|'.join(space.options)})~"
    pattern = re.sub(r"[a-z0-9_]+~", operation, re.sub(r"([|+])", r"\\\1", space.encode(space.all_largest)))
    return _object_of({ANSWER: {"type": "string", "pattern": f"^{pattern}$"}})


def _number_of(space: SearchSpace) -> dict[str, Any]:
    menu = (
        range(len(space.options)) if space.is_cell else {int(option) for options in space.choices for option in options}
    )
    return {"type": "integer", "enum": sorted(menu)}


def _list_of(items: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def _object_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


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
    if structured is None or refused not in _FORM:
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
    return {name: value for name, value in parameters.items() if name not in _FORM}


def laid_to_form(error: ModelError, request: Mapping[str, Any], structured: str | None) -> ModelError:
    """Return the error of a request that asked for a form; one without an explanation is laid to what was asked for.

    Servers refuse a form in any words, or none. Where it was something else, the request in prose meets it again.
    """
    asked = [name for name in _FORM[:2] if name in request]
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
