"""The client of one model behind any OpenAI-compatible server, and how the completions are read that it gets."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from genius_kit.chat import Beside, ChatClient, Cut, Reply, as_recorded, mapping_or_empty, usage_of_response
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.llm.connection import Connection, asked_address
from genius_kit.llm.http_errors import INSTEAD, SYSTEM_ROLE, decoded, first_choice, quote, status_of_error
from genius_kit.llm.rate_limit import shared_pace
from genius_kit.llm.settings import (
    TOOL,
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

LONGEST_BESIDE = 100_000
LONGEST_KIND = 40
"""Characters that are kept of what came beside an answer, and of the server's name for it."""

LONGEST_TEXT = 100_000
"""Characters of an answer that are used, sent back and recorded: its two ends, where it has more."""

_FIELDS = ("reasoning_content", "reasoning", "tool_calls", "function_call")
_SAID = ("text", "output_text")
"""Types of the parts of a message that are its text."""


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
            raise InvalidParameter("no model was named; give a name such as 'gpt-6.1-sol'")
        check_names(extra or {})
        self.model = model
        self.timeout = check_timeout(timeout)
        chosen = {"temperature": temperature, "max_tokens": max_tokens}
        self._parameters: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
        self._parameters |= {**(as_schema(response_schema) if response_schema else {}), **(extra or {})}
        self._dropped: frozenset[str] = frozenset()
        self._structured = structured
        self._connection = Connection(asked_address(base_url), self.timeout)
        self._settings: str | None = None
        self.pace = shared_pace(self._connection.shown_url, model)

    def __repr__(self) -> str:
        return f"OpenAIClient({self.settings()})"

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return self._connection.is_local

    def settings(self) -> dict[str, Any]:
        """Return model, address and every parameter that is sent; the address without user, password and query."""
        if self._settings is None:
            settings = {
                "client": self.kind,
                "model": self.model,
                "base_url": self._connection.shown_url,
                "parameters": self._parameters,
                "dropped": sorted(self._dropped),
            }
            self._settings = json.dumps(masked(settings))
        return dict(json.loads(self._settings))

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
        other.__dict__.update(self.__dict__, _parameters=parameters, _settings=None)
        return other

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Make one attempt, without any retry, and return the reply.

        A reply without content or cut short is a Reply too, since it was paid. Raises ModelError for everything
        else; no message holds the key.
        """
        request: dict[str, Any] = dict(self._parameters)
        if seed is not None and "seed" not in self._dropped:
            request["seed"] = seed
        if SYSTEM_ROLE in self._dropped:
            messages = _without_system(messages)
        request |= {"model": self.model, "messages": list(messages)}
        answer, headers, seconds = self._connection.post(request)
        body = self._completion(answer, headers, request)
        choice = first_choice(body)
        text, refusal, beside = read_message(choice["message"], request)
        finish_reason = _recorded(choice.get("finish_reason")) or "unknown"
        text, cut = _ends(text)
        refusal, _ = _ends(refusal)
        return Reply(
            text=text,
            model=_recorded(body.get("model")),
            finish_reason=finish_reason,
            usage=usage_of_response(body.get("usage")),
            seconds=seconds,
            refusal=refusal,
            fingerprint=_recorded(body.get("system_fingerprint")),
            letters=_letters(choice.get("logprobs")),
            beside=beside or None,
            form=form_of(text, finish_reason, request, self._structured),
            cut=cut,
        )

    def _completion(self, text: str, headers: Mapping[str, str], request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the completion in an answer with a good status; raises ModelError when there is none."""
        body = decoded(text)
        fields = mapping_or_empty(body)
        choice = first_choice(fields)
        is_said = mapping_or_empty(choice.get("message")).get("content")
        error = fields.get("error") or (None if is_said else choice.get("error"))  # of a choice: OpenRouter
        if body is None:
            cause, what = "not-json", "something that is not JSON"
        elif error:
            cause, what = "error-body", "an error with status 200"
            if (status := status_of_error(error)) is not None:
                raise self._connection.status_failure(status, {"error": error}, headers, request)
        elif not (isinstance(fields.get("choices"), list) and fields["choices"]):
            cause, what = "no-choices", "no choices"
        elif not isinstance(choice.get("message"), Mapping):
            cause, what = "no-message", "a choice without a message"
        else:
            return fields
        raise ModelError(
            f"{self._connection.shown_url} answered {what} instead of a chat completion: "
            f"{quote(text) or 'an empty body'}. "
            "Check that the base URL ends in /v1 and belongs to an OpenAI-compatible server",
            cause=cause,
            retryable=True,
        )

    def give_up(self, thread: int) -> None:
        """Hang up on the server in the `send` of the thread of this number, which then raises ModelError."""
        self._connection.give_up(thread)

    def close(self) -> None:
        """Close the connections; the next `send` opens new ones."""
        self._connection.close()

    def in_use(self) -> AbstractContextManager[object]:
        """Return a block at whose end the connections close, with the last of the blocks that are under way."""
        return self._connection


def in_use(client: ChatClient | None) -> AbstractContextManager[object]:
    """Return `OpenAIClient.in_use` of a client, and a block that does nothing for one that has no connections."""
    return client.in_use() if isinstance(client, OpenAIClient) else nullcontext()


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the words of those of the system at the beginning of the first one of the user."""
    words = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if words and others and others[0]["role"] == "user":
        words.append(others.pop(0)["content"])
    return [{"role": "user", "content": "\n\n".join(words)}, *others] if words else others


def _letters(logprobs: object) -> dict[str, float] | None:
    """Return the log-probabilities of the capital letters that might stand in the place of the last one of a reply."""
    tokens = mapping_or_empty(logprobs).get("content")
    for token in map(mapping_or_empty, reversed(tokens if isinstance(tokens, list) else [])):
        if not _is_letter(token.get("token")):
            continue
        others = token.get("top_logprobs")
        found: dict[str, float] = {}
        for one in map(mapping_or_empty, [*(others if isinstance(others, list) else []), token]):
            letter, value = re.sub(r"\W", "", str(one.get("token"))), one.get("logprob")
            if _is_letter(letter) and isinstance(value, int | float) and -math.inf < value <= 0:
                found[letter] = max(float(value), found.get(letter, -math.inf))
        return found or None
    return None


def _is_letter(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\W*[A-Z]\W*", text, re.ASCII) is not None


def _ends(text: str | None) -> tuple[str | None, Cut | None]:
    """Return the text with its middle left out where it is too long, and what the whole of it was."""
    if text is None or len(text) <= LONGEST_TEXT:
        return text, None
    half = LONGEST_TEXT // 2
    whole = Cut(characters=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters are left out ...]\n{text[-half:]}", whole


def _recorded(value: object) -> str | None:
    """Return a string as it is recorded, None for anything else."""
    return as_recorded(value) if isinstance(value, str) else None


# The message of a completion


def read_message(message: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[str | None, str | None, list[Beside]]:
    """Return the text of a message, the model's refusal, and what came beside both; None for what did not come.

    The arguments of the one tool that `request` asks for are the text. Reasoning never is.
    """
    content = message.get("content")
    parts = [_part(part) for part in (content if isinstance(content, list) else [content]) if part is not None]
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


def _part(part: object) -> tuple[str, Any]:
    """Return a part of a content with its type."""
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
    kept: dict[str, Beside] = {}
    for kind, content in _in_words(told):
        recorded = as_recorded(content)
        one = Beside(kind=as_recorded(kind)[:LONGEST_KIND], content=recorded[:LONGEST_BESIDE], characters=len(recorded))
        kept.setdefault(one["content"], one)
    return list(kept.values())


def _in_words(told: list[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for kind, value in told:
        words = "" if kind in _FIELDS[2:] else _plain(value)
        if words.strip() or (value and not words):
            yield kind, words or json.dumps(value, ensure_ascii=False)
