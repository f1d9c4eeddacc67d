"""What went wrong with a call, read from the server's answer: one ModelError a cause."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

from genius_kit.chat import mapping_or_empty
from genius_kit.errors import ModelError
from genius_kit.redaction import mask

LONGEST_DETAIL = 400
"""Characters of the server's own words that an error message quotes."""

_OVERFLOW = re.compile(
    r"context[_ ](length|window|size)|maximum context|prompt is too long|reduce the length of the messages", re.I
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|n.t support|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed"
    r"|not available",
    re.I,
)
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


def quote(text: str) -> str:
    """Return the start of the server's words on one line, without secrets: masked first, cut afterwards."""
    line = " ".join(mask(text).split())
    return line if len(line) <= LONGEST_DETAIL else line[:LONGEST_DETAIL] + "..."


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait in seconds that the server asked for (`retry-after-ms`; `retry-after`: seconds or a date)."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    return _seconds_until(headers.get("retry-after"))


def _seconds_until(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date or "").timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def status_failure(
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    server: str,
    model: str,
    sent: Collection[str],
) -> ModelError:
    """Return the error for an answer with an error status.

    `body` is the decoded JSON or the text, `server` the address fit to print, `sent` the names of the optional
    parameters of the request. No message holds a secret of this process.
    """
    error = mapping_or_empty(mapping_or_empty(body).get("error", body))
    said = error.get("message")
    detail = quote(said if isinstance(said, str) and said else _as_text(body)) or "no explanation"
    answer = f"{server} answered {status}: {detail}"
    if status in (400, 413, 422):
        return _refused_request(answer, _as_text(body), error, sent)
    if status == 429:
        return _too_many(answer, error, detail, headers)
    if status == 401:
        return ModelError(
            f"{answer}. The key was not accepted: export OPENAI_API_KEY=... with a valid one", cause="authentication"
        )
    if status == 403:
        return ModelError(f"{answer}. The key has no access to {model!r}: use another model or key", cause="permission")
    if status == 404:
        return ModelError(
            f"{answer}. Check the model name ({model!r}) and the base URL, which usually ends in /v1", cause="not-found"
        )
    if status < 400:
        return ModelError(f"{answer}. Set the base URL to the address it redirects to", cause="redirect")
    return _server_trouble(status, answer, detail, headers)


def _as_text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)


def _refused_request(answer: str, text: str, error: Mapping[str, Any], sent: Collection[str]) -> ModelError:
    if _OVERFLOW.search(text):
        return ModelError(
            f"{answer}. The prompt is too long for the model: use history='table', a shorter prompt or another model",
            cause="context-overflow",
        )
    parameter = _refused_parameter(text, error, sent)
    if parameter:
        return ModelError(
            f"{answer}. The server does not take {parameter!r}: leave it out",
            cause="unsupported-parameter",
            parameter=parameter,
        )
    return ModelError(f"{answer}. Check the settings of the model", cause="bad-request")


def _refused_parameter(text: str, error: Mapping[str, Any], sent: Collection[str]) -> str | None:
    """Return the sent parameter that the server cannot take at all; a value out of range is not that."""
    if not _UNSUPPORTED.search(text):
        return None
    named = error.get("param")
    if isinstance(named, str) and named.split(".")[0] in sent:
        return named.split(".")[0]
    places = {name: re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in sent}
    found = {name: place.start() for name, place in places.items() if place}
    return min(found, key=found.__getitem__) if found else None


def _too_many(answer: str, error: Mapping[str, Any], detail: str, headers: Mapping[str, str]) -> ModelError:
    if {str(error.get("code")), str(error.get("type"))} & _QUOTA_CODES:
        return ModelError(f"{answer}. The account has no credit left: waiting does not help", cause="quota")
    if detail.lower().startswith("request too large"):
        return ModelError(f"{answer}. Use a shorter prompt or a higher limit", cause="request-too-large")
    return ModelError(
        f"{answer}. Too many requests: wait, or use fewer workers",
        cause="rate-limit",
        retryable=headers.get("x-should-retry") != "false",
        retry_after=retry_after_seconds(headers),
    )


def _server_trouble(status: int, answer: str, detail: str, headers: Mapping[str, str]) -> ModelError:
    loading = status == 503 and "loading" in detail.lower()
    later = status in (408, 409, 425) or (status >= 500 and status not in (501, 505))
    return ModelError(
        f"{answer}. " + ("It is loading the model: try again in a while" if loading else "The fault is on its side"),
        cause="loading" if loading else "server" if status >= 500 else f"status-{status}",
        retryable=later and headers.get("x-should-retry") != "false",
        retry_after=retry_after_seconds(headers),
    )
