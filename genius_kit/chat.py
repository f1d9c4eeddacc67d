"""What passes between a search and a language model: the reply, its token counts, the client's shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from genius_kit.records import Message
from genius_kit.redaction import mask

OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens")
"""Parameters of a request that bound the reply, one limit under two names; a server may refuse either."""


OFFLINE, RECITER = "offline", "reciter:"
"""The model name that the offline stand-in answers to, and what begins that of a client that names one architecture."""
OFFLINE_NAME = "offline stand-in, not a language model"
"""What the offline stand-in calls itself."""


@dataclass(frozen=True)
class Usage:
    """Token counts of one reply, None where the server did not say.

    As OpenAI counts: `input_tokens` includes those read from a cache and those written to one, `output_tokens`
    includes the reasoning ones. `claimed_output_tokens` is the server's own count of the reply, where its other figures
    show more.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    claimed_output_tokens: int | None = None


class Beside(TypedDict):
    """What a server sent beside the text of a reply: the name it has there, its words, and how many characters came."""

    kind: str
    content: str
    characters: int


class Cut(TypedDict):
    """What the whole text of a reply was, of which only the ends were kept: its length and the SHA-256 of its UTF-8."""

    characters: int
    sha256: str


@dataclass(frozen=True)
class Reply:
    """One paid answer: `text` is None when the server sent no content, `model` is the name as served.

    `finish_reason` is the server's word ("stop", "length", "content_filter", ...), "unknown" where it gave none;
    `seconds` is the time from sending to the last byte; `refusal` is the model's refusal, when it sent one apart;
    `fingerprint` names the build behind the model (OpenAI's system_fingerprint), where the server told it; `letters`
    are the log-probabilities of the capital letters at the last place where the reply has one, if they were asked for;
    `beside` is what came beside the text (reasoning, tool calls, parts that are no text), which is never read as the
    answer nor sent again; `form` says whether a form that was asked for was kept, see `llm.settings`;
    `cut` says what a text was that was too long to be kept whole.
    """

    text: str | None
    model: str | None
    finish_reason: str
    usage: Usage = Usage()
    seconds: float = 0.0
    refusal: str | None = None
    fingerprint: str | None = None
    letters: Mapping[str, float] | None = None
    beside: list[Beside] | None = None
    form: str | None = None
    cut: Cut | None = None


def is_beside(value: object) -> bool:
    """Return whether a value is a list of what came beside a reply, as a journal holds it."""
    kinds = {"kind": str, "content": str, "characters": int}
    return isinstance(value, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(name), kind) for name, kind in kinds.items()) for one in value
    )


TOLD_SOMETIMES = ("fingerprint", "letters", "beside", "form", "cut")
"""Fields of a reply that are recorded only where there is something in them."""


class ChatClient(Protocol):
    """Anything that answers a chat: a server, a recording, a stand-in."""

    @property
    def kind(self) -> str:
        """What answers, in words fit to print."""

    @property
    def model(self) -> str:
        """The model that is asked for."""

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the reply, fit for JSON; never a key."""

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Make one attempt and return the reply; raises ModelError, never retries."""

    def without(self, parameter: str) -> ChatClient:
        """Return a client whose requests do without `parameter`."""


def is_stand_in(model: str) -> bool:
    """Return whether a client of this package answers by that name, which is no language model and costs nothing."""
    return model in (OFFLINE, OFFLINE_NAME) or model.startswith(RECITER)


def as_recorded(text: str) -> str:
    """Return the text of a reply as a journal can hold it: no half of a surrogate pair, no secret.

    It is used in this form too, so that a resumed run reads what the first one read.
    """
    return mask(re.sub("[\ud800-\udfff]", "\ufffd", text))


def count_or_none(value: object) -> int | None:
    """Return `value` if it is a count of tokens: a plain integer, not negative."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def checked_usage(
    input_tokens: object = None,
    cached_input_tokens: object = None,
    output_tokens: object = None,
    reasoning_tokens: object = None,
    cache_write_tokens: object = None,
    claimed_output_tokens: object = None,
) -> Usage:
    """Return a Usage with None in place of every figure that cannot be right (a string, a part above its whole)."""
    received, written = count_or_none(input_tokens), count_or_none(output_tokens)
    cached = _part(cached_input_tokens, received)
    stored = _part(cache_write_tokens, None if received is None else received - (cached or 0))
    claimed = _part(claimed_output_tokens, written)
    return Usage(received, cached, written, _part(reasoning_tokens, written), stored, claimed)


def _part(value: object, whole: int | None) -> int | None:
    part = count_or_none(value)
    return None if part is not None and whole is not None and part > whole else part


def usage_of_response(usage: object) -> Usage:
    """Return the token counts of the `usage` object of a chat completion, whatever the server put there.

    The largest count of the reply is believed: that of the completion, what the total leaves beside the prompt, or
    completion and reasoning together where there is more reasoning than completion (xAI and Gemini count it beside).
    """
    figures = mapping_or_empty(usage)
    received, completed, total = (
        count_or_none(figures.get(f"{name}_tokens")) for name in ("prompt", "completion", "total")
    )
    reasoning = count_or_none(mapping_or_empty(figures.get("completion_tokens_details")).get("reasoning_tokens"))
    beside = 0 if total is None or received is None else total - received
    if completed is None:
        return _told(figures, received, beside if beside > 0 else None, reasoning, None)
    apart = reasoning if reasoning is not None and reasoning > completed else 0
    written = max(completed + apart, beside)
    claimed = completed if completed < written else None
    hidden = written - claimed if claimed is not None and not reasoning else reasoning
    return _told(figures, received, written, hidden, claimed)


def _told(
    figures: Mapping[str, Any], received: int | None, written: int | None, reasoning: int | None, claimed: int | None
) -> Usage:
    told = mapping_or_empty(figures.get("prompt_tokens_details"))
    return checked_usage(
        received, told.get("cached_tokens"), written, reasoning, told.get("cache_write_tokens"), claimed
    )


def recorded_usage(usage: Usage) -> dict[str, int | None]:
    """Return the counts as a journal holds them: cache writes and another count of the reply only where they came."""
    rare = ("cache_write_tokens", "claimed_output_tokens")
    return {name: count for name, count in vars(usage).items() if count is not None or name not in rare}


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}
