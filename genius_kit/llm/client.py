"""The client of one model behind any OpenAI-compatible server."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genius_kit.chat import Reply, as_recorded, mapping_or_empty, usage_of_response
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.llm.bodies import decoded
from genius_kit.llm.connection import Connection, sent_names
from genius_kit.llm.http_errors import INSTEAD, SYSTEM_ROLE, quote, status_of_error
from genius_kit.llm.messages import read_message
from genius_kit.llm.rate_limit import shared_pace
from genius_kit.llm.settings import (
    after_refusal,
    as_schema,
    check_names,
    check_timeout,
    form_of,
    laid_to_form,
    without_form,
)
from genius_kit.records import Message
from genius_kit.redaction import masked

if TYPE_CHECKING:
    pass

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIClient:
    """A client of one model behind the chat completions of OpenAI or of any server that speaks the same.

    `base_url` (else OPENAI_BASE_URL, else OpenAI's own) is the address up to and with /v1; the key comes from
    OPENAI_API_KEY on first use and is kept nowhere else. `temperature`, `max_tokens`, `response_schema` (see
    `schema_for`) and `extra` (further fields of the request) are sent only when set. `timeout` bounds one whole
    attempt, in seconds; 600 by default. With `structured`, "auto" or "on" (see `llm.settings`), a server that refuses
    the schema is asked for a tool call. One client serves any number of threads. `pace` is shared by all clients of one
    model of one server; whoever calls `send` takes a slot of it.
    """

    kind = "openai"

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        response_schema: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        structured: str | None = None,
    ) -> None:
        if not model:
            raise InvalidParameter("no model was named; expected a name such as 'gpt-6.1-sol'")
        self.model = model
        self.timeout = check_timeout(timeout)
        self._parameters = _set_parameters(temperature, max_tokens, response_schema, extra)
        self._dropped: frozenset[str] = frozenset()
        self._structured = structured
        self._connection = Connection(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, self.timeout)
        self.pace = shared_pace(self._connection.shown_url, model)

    def __repr__(self) -> str:
        return f"OpenAIClient({self.settings()})"

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return self._connection.is_local

    def settings(self) -> dict[str, Any]:
        """Return model, address and every parameter that is sent; the address without user, password and query."""
        settings: dict[str, Any] = {
            "client": self.kind,
            "model": self.model,
            "base_url": self._connection.shown_url,
            "parameters": self._parameters,
            "dropped": sorted(self._dropped),
        }
        return json.loads(json.dumps(masked(settings)))

    def without(self, parameter: str, keep_limit: bool = True) -> OpenAIClient:
        """Return a client over the same connection whose requests do without `parameter` ("temperature", "seed", ...).

        A limit of the reply goes on under its other name (`max_tokens`, `max_completion_tokens`), unless the server
        has refused that too or `keep_limit` is false; without SYSTEM_ROLE, the words of a system message begin the
        first user message.
        """
        other = self._with(after_refusal(self._parameters, parameter, self._structured))
        other._dropped = self._dropped | {parameter}
        renamed = INSTEAD.get(parameter) if keep_limit and parameter in self._parameters else None
        if renamed and renamed not in other._dropped:
            other._parameters.setdefault(renamed, self._parameters[parameter])
        return other

    def in_prose(self) -> OpenAIClient:
        """Return a client over the same connection for what is no proposal, and has no form; `structured` only."""
        return self if self._structured is None else self._with(without_form(self._parameters))

    def explained(self, error: ModelError) -> ModelError:
        """Return the error of a `send` before any reply came; what may be the fault of the form is laid to it."""
        return laid_to_form(error, self._parameters, self._structured)

    def _with(self, parameters: dict[str, Any]) -> OpenAIClient:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._parameters = parameters
        return other

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Make one attempt, without any retry, and return the reply.

        A reply without content or cut short is a Reply too, since it was paid. Raises ModelError for everything
        else; no message holds the key.
        """
        request = {**self._parameters, **({} if seed is None or "seed" in self._dropped else {"seed": seed})}
        if SYSTEM_ROLE in self._dropped:
            messages = _without_system(messages)
        answer, seconds = self._connection.post(self.model, messages, request)
        reply = _read_reply(answer, seconds, self._connection, self.model, request, messages)
        return replace(reply, form=form_of(reply.text, reply.finish_reason, request, self._structured))

    def give_up(self, thread: int) -> None:
        """Hang up on the server in the `send` of the thread of this number, which then raises ModelError."""
        self._connection.give_up(thread)

    def close(self) -> None:
        """Close the connections; the next `send` opens new ones."""
        self._connection.close()


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the words of those of the system at the beginning of the first one of the user."""
    words = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not words:
        return others
    if not others or others[0]["role"] != "user":
        return [{"role": "user", "content": "\n\n".join(words)}, *others]
    return [{"role": "user", "content": "\n\n".join([*words, others[0]["content"]])}, *others[1:]]


def _set_parameters(
    temperature: float | None,
    max_tokens: int | None,
    response_schema: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    check_names(extra or {})
    chosen = {"temperature": temperature, "max_tokens": max_tokens}
    set_ones = {name: value for name, value in chosen.items() if value is not None}
    return {**set_ones, **(as_schema(response_schema) if response_schema else {}), **(extra or {})}


def _read_reply(
    answer: Any,
    seconds: float,
    connection: Connection,
    model: str,
    request: Mapping[str, Any],
    messages: Sequence[Message],
) -> Reply:
    """Return the reply in an answer with a good status; raises ModelError when there is none."""
    text = answer.content.decode("utf-8", errors="replace")  # paid: a broken sign is no reason to pay again
    body = decoded(text)
    if body is None:
        raise _unusable("not-json", "something that is not JSON", text, connection)
    fields = mapping_or_empty(body)
    if fields.get("error"):
        status = status_of_error(fields["error"])
        if status is not None:
            raise connection.status_failure(status, body, answer.headers, model, sent_names(request, messages))
        raise _unusable("error-body", "an error with status 200", text, connection)
    choices = fields.get("choices")
    choice = mapping_or_empty(choices[0]) if isinstance(choices, list) and choices else None
    if choice is None:
        raise _unusable("no-choices", "no choices", text, connection)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise _unusable("no-message", "a choice without a message", text, connection)
    said, refusal, beside = read_message(message, request)
    return Reply(
        text=said,
        model=_text(fields.get("model")),
        finish_reason=_text(choice.get("finish_reason")) or "unknown",
        usage=usage_of_response(fields.get("usage")),
        seconds=seconds,
        refusal=refusal,
        fingerprint=_text(fields.get("system_fingerprint")),
        letters=_letters(choice.get("logprobs")),
        beside=beside or None,
    )


def _letters(logprobs: object) -> dict[str, float] | None:
    """Return the log-probabilities of the capital letters that might stand in the place of the last one of a reply."""
    tokens = mapping_or_empty(logprobs).get("content")
    for token in reversed(tokens if isinstance(tokens, list) else []):
        told = mapping_or_empty(token)
        if not _is_letter(told.get("token")):
            continue
        others = told.get("top_logprobs")
        found: dict[str, float] = {}
        for one in map(mapping_or_empty, [*(others if isinstance(others, list) else []), told]):
            letter, value = re.sub(r"\W", "", str(one.get("token"))), one.get("logprob")
            if _is_letter(letter) and isinstance(value, int | float) and -math.inf < value <= 0:
                found[letter] = max(float(value), found.get(letter, -math.inf))
        return found or None
    return None


def _is_letter(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\W*[A-Z]\W*", text, re.ASCII) is not None


def _unusable(cause: str, what: str, text: str, connection: Connection) -> ModelError:
    start = quote(text) or "an empty body"
    return ModelError(
        f"{connection.shown_url} answered {what}, expected a chat completion: {start}. "
        "Check that the base URL ends in /v1 and belongs to an OpenAI-compatible server",
        cause=cause,
        retryable=True,
    )


def _text(value: object) -> str | None:
    """Return a string as it is recorded, None for anything else."""
    return as_recorded(value) if isinstance(value, str) else None
