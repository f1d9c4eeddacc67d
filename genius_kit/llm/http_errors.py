"""What an answer says: the JSON of its body, however a server sends it, and what went wrong, one ModelError a cause."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from genius_kit.chat import OUTPUT_LIMITS, mapping_or_empty
from genius_kit.errors import ModelError
from genius_kit.redaction import mask
from genius_kit.texts import in_line

LONGEST_INTEGER = 100  # digits
_MARKS = ("data:", ":", "event:", "id:", "retry:")
LONGEST_DETAIL = 400
"""Characters of the server's own words that an error message quotes."""

SYSTEM_ROLE = "system role"
"""What is refused by a server whose model takes no system message; its words then begin the first user message."""

INSTEAD = {**dict(zip(OUTPUT_LIMITS, reversed(OUTPUT_LIMITS), strict=True)), SYSTEM_ROLE: "user message"}
"""What takes the place of a refused part of a request; what is not here is only left out."""

_OVERFLOW = re.compile(
    r"context[_ ](length|window|size)|maximum context|prompt is too long|reduce the length of the messages"
    r"|input token count|`inputs` tokens",  # Gemini, Together
    re.I,
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|n.t support|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed"
    r"|not available|unavailable|deprecated",
    re.I,
)
# OpenAI: 'messages[0].role' does not support 'system'; templates of Gemma and Mistral, by vLLM, SGLang, llama.cpp, LM
# Studio: System role not supported, roles must alternate; Gemini: Developer instruction is not enabled
_SYSTEM = re.compile(
    r"""\b(system|developer)[\\'"`\s_-]{1,5}(role|message|prompt|instruction)s?\b"""
    r"""|\brole\b.{0,90}['"`](system|developer)\\?['"`]|\broles?\W{1,4}(system|developer)\b""",
    re.I,
)
_REFUSED = re.compile(rf"{_UNSUPPORTED.pattern}|not enabled|disabled|invalid|without|(must|should) be|only", re.I)
_ROLES = re.compile(
    r"must alternate|only user(,| and) (and )?(assistant|model)\b"
    r"|(even index|first message) must be (from )?(the )?user",
    re.I,
)
# DeepSeek: This response_format type is unavailable now; Groq: does not support response format `json_schema`; Gemini:
# JSON mode is not enabled; llama.cpp, vLLM: the schema cannot become a grammar; OpenRouter: no endpoint takes it
_SCHEMA = re.compile(
    r"response[_ .-]?(format|schema|mime)|json[_ -]?(mode|object|output|schema|validate)|structured[_ -]?output"
    r"|guided[_ -]?(json|decoding)|grammar|constrained|\bschemas?\b|initialize samplers"
    r"|no (endpoints|providers) .{0,100}(requested parameters|support)",
    re.I,
)
_QUOTA_CODES = {
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error"),
}
_NO_CREDIT = "The account has no credit left: waiting does not help"
# Anthropic, with 400; a free tier of Gemini that holds none of the model, with 429
_NO_CREDIT_WORDS = re.compile(
    r"credit balance|insufficient (balance|credits?|funds)|purchase credits|\blimit: 0(?![.\d])", re.I
)
_TOO_LARGE = "The request is too long for the server: use history='table', a shorter prompt or a higher limit"
_FILTERED = "The server's content filter refuses the prompt: change the prompt, or use another model or server"
_NEXT_STEP = {
    401: ("authentication", "The key was not accepted: export OPENAI_API_KEY=... with a valid one"),
    402: ("quota", _NO_CREDIT),
    403: ("permission", "The key has no access to {model!r}: use another model or key"),
    404: ("not-found", "Check the model name ({model!r}) and the base URL, which usually ends in /v1"),
}
"""Cause and next step of the statuses that say all by themselves."""
_STATUS_OF_CODE = {
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthenticated"), 401),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("model_not_found", "not_found_error", "not_found"), 404),
    **dict.fromkeys((*_QUOTA_CODES, "rate_limit_exceeded", "rate_limit_error", "resource_exhausted"), 429),
}
_NO_MODEL = re.compile(r"model\b.{0,80}(not found|not exist|n.t exist)|(invalid|unknown|no such) model", re.I)
_PASSING = re.compile(
    r"overload|busy|capacity|again|later|temporar|timed? ?out|unavailable|rate.?limit|too many|internal|loading",
    re.I,
)
_UNIT_SECONDS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "se": 1.0, "h": 3600.0, "ho": 3600.0, "hr": 3600.0}
_AMOUNT = r"(\d+(?:\.\d+)?)\s*(ms|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?|h(?:(?:ou)?rs?)?)(?![a-z])"
_WAIT = re.compile(
    rf"(?:retryDelay|(?:try|retry) again (?:in|after)|retry (?:in|after)|wait(?: for)?)\W{{0,8}}((?:{_AMOUNT}[\s,]*)+)",
    re.I,
)


def quote(text: str) -> str:
    """Return the start of the server's words on one line, without secrets: masked first, cut afterwards."""
    line = in_line(mask(text))
    return line if len(line) <= LONGEST_DETAIL else line[:LONGEST_DETAIL] + "..."


def retry_after_seconds(headers: Mapping[str, str], text: str = "") -> float | None:
    """Return the wait in seconds that the server asked for.

    It stands in a header (`retry-after-ms`; `retry-after`: seconds or a date), else in the words of the answer
    ("retryDelay": "34s", "try again in 1m3.5s", "try again in 20ms").
    """
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else _seconds_in(text)
    until = _seconds_until(headers.get("retry-after"))
    return _seconds_in(text) if until is None else until


def _seconds_in(text: str) -> float | None:
    """Return the longest wait that an answer names in words, None where it names none."""
    waits = [
        sum(float(number) * _UNIT_SECONDS[unit[:2]] for number, unit in found)
        for found in (re.findall(_AMOUNT, wait[1].lower()) for wait in _WAIT.finditer(text))
    ]
    return max(filter(math.isfinite, waits), default=None)


def _seconds_until(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date or "").timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def status_of_error(error: object) -> int | None:
    """Return the status that an error in a body of status 200 stands for; None where it names none that is known."""
    fields = mapping_or_empty(error)
    for told in (fields.get("code"), fields.get("status"), fields.get("type")):
        if re.fullmatch("[45][0-9][0-9]", str(told)):
            return int(str(told))
        if str(told).lower() in _STATUS_OF_CODE:
            return _STATUS_OF_CODE[str(told).lower()]
    return 404 if _NO_MODEL.search(_as_text(error)) else None


def is_lasting(error: ModelError, before: str | None) -> bool:
    """Return whether a good status with no reply in it will come again: it has, word for word, and is no passing fault.

    `before` is the message of the attempt before.
    """
    passes = error.cause == "error-body" and _PASSING.search(str(error))
    unusable = error.cause in ("not-json", "no-choices", "no-message", "error-body")
    return unusable and not passes and str(error) == before


def status_failure(
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    server: str,
    model: str,
    sent: Collection[str],
    target: str | None = None,
) -> ModelError:
    """Return the error for an answer with an error status.

    `body` is the decoded JSON or the text, `server` the address fit to print, `sent` the names of the optional
    parameters of the request, SYSTEM_ROLE among them where it has such a message, `target` the address that the answer
    redirects to, fit to print. No message holds a secret of this process.
    """
    if isinstance(body, str):
        body = decoded(body) or body
    if isinstance(body, list) and body:  # Gemini
        body = body[0]
    error = mapping_or_empty(mapping_or_empty(body).get("error", body))
    text = _as_text(body)
    said = error.get("message")
    detail = quote(said if isinstance(said, str) and said else text) or "no explanation"
    answer = f"{server} answered {status}: {detail.removesuffix('.')}"
    refused = _refused(status, text, error, sent)
    if refused is not None:
        instead = INSTEAD.get(refused)
        step = f"The server does not take {refused!r}: " + (f"use {instead!r}" if instead else "leave it out")
        return ModelError(f"{answer}. {step}", cause="unsupported-parameter", parameter=refused, instead=instead)
    cause, step = _cause(status, text, detail, error)
    place = f"{target}: set the base URL to that" if target else "another address: set the base URL to it"
    later = cause == "rate-limit" or status in (408, 409, 425, 498) or (status >= 500 and status not in (501, 505))
    return ModelError(
        f"{answer}. {step.format(model=model, place=place)}",
        cause=cause,
        retryable=later and headers.get("x-should-retry") != "false",
        retry_after=retry_after_seconds(headers, text) if later else None,
    )


def _cause(status: int, text: str, detail: str, error: Mapping[str, Any]) -> tuple[str, str]:
    """Return what an error status stands for, and the next step."""
    codes = {str(error.get("code")), str(error.get("type"))}
    if status in (400, 429) and (codes & _QUOTA_CODES or _NO_CREDIT_WORDS.search(text)):
        return "quota", _NO_CREDIT
    if status in (400, 413, 422) and _OVERFLOW.search(text):
        step = "The prompt is too long for the model: use history='table', a shorter prompt or another model"
        return "context-overflow", step
    if status == 413 or (status == 429 and detail.lower().startswith("request too large")):
        return "request-too-large", _TOO_LARGE
    if status in (400, 422):
        if "content_filter" in codes:
            return "bad-request", _FILTERED
        return "bad-request", _NEXT_STEP[404][1] if _NO_MODEL.search(text) else "Check the settings of the model"
    if status == 429:
        return "rate-limit", "Too many requests: wait, or use fewer workers"
    if status in _NEXT_STEP:
        return _NEXT_STEP[status]
    if status < 400:
        return "redirect", "It redirects to {place}"
    if status == 503 and "loading" in detail.lower():
        return "loading", "It is loading the model: try again in a while"
    return "server" if status >= 500 else f"status-{status}", "The fault is on its side"


def _as_text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)


def _refused(status: int, text: str, error: Mapping[str, Any], sent: Collection[str]) -> str | None:
    """Return what of the request the server cannot take at all; a value out of range is not that."""
    if status not in (400, 404, 413, 422, 500, 501) or _OVERFLOW.search(text):
        return None
    is_unsupported = status in (400, 413, 422) and _UNSUPPORTED.search(text)
    named = str(error.get("param")).split(".")[0]
    if is_unsupported and named in sent:
        return named
    if SYSTEM_ROLE in sent and (_ROLES.search(text) or (_SYSTEM.search(text) and _REFUSED.search(text))):
        return SYSTEM_ROLE
    if "response_format" in sent and _SCHEMA.search(text):
        return "response_format"
    places = {name: re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in sent if is_unsupported}
    found = {name: place.start() for name, place in places.items() if place}
    return min(found, key=found.__getitem__) if found else None


# The body of an answer


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
    whole = [body for body in bodies if "error" in body or "message" in first_choice(body)]
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


def first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice of a completion, an empty one where there is none."""
    choices = body.get("choices")
    return mapping_or_empty(choices[0]) if isinstance(choices, list) and choices else {}


def _joined(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the completion whose pieces the chunks of a stream are; None where there is none."""
    whole: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    message: dict[str, Any] = {}
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if value is not None and name != "choices"}
        piece = first_choice(chunk)
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
