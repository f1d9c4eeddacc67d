"""What a scripted server may answer: a completion, an error, or either of them sent badly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL = "scripted-1"
TOKENS = (100, 20)
"""Input and output tokens of a completion, unless its usage says otherwise."""

SENDING_FAULTS = ("refuse", "close", "cut", "drip", "drip-headers", "hang")


def completion(
    text: Any,
    *,
    model: str = MODEL,
    finish_reason: str | None = "stop",
    usage: Mapping[str, Any] | None = None,
    **message: Any,
) -> dict[str, Any]:
    """Return the body of a chat completion, by default of 100 input tokens (40 cached) and 20 output (5 reasoning).

    Parameters
    ----------
    text
        The reply.
    model
        The model as the server names it.
    finish_reason
        Why the reply ended.
    usage
        Replaces single counts of tokens.
    **message
        Further fields of the message, such as `refusal`.
    """
    figures = {
        "prompt_tokens": TOKENS[0],
        "completion_tokens": TOKENS[1],
        "total_tokens": sum(TOKENS),
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
                "logprobs": None,
            }
        ],
        "usage": {**figures, **(usage or {})},
    }


def error(
    message: str, *, code: str | int | None = None, type: str = "invalid_request_error", param: str | None = None
) -> dict[str, Any]:
    """Return the body of an OpenAI error.

    Parameters
    ----------
    message, code, type, param
        Its fields.
    """
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


@dataclass
class Answer:
    """What the server sends.

    Parameters
    ----------
    body
        A dict (sent as JSON), a string or bytes.
    status
        HTTP status.
    headers
        Further headers.
    content_type
        The header of that name.
    delay
        Seconds before it.
    fault
        None, "refuse" (the connection is reset at once), "close" (no answer at all), "cut" (half of the promised body),
        "drip" (the body byte by byte), "drip-headers" (the same with the headers) or "hang" (nothing until the server
        closes).
    drip_seconds
        Seconds between the bytes of a drip.
    refuse_seconds
        Seconds for which "refuse" takes no new connection.
    tokens
        What a provider would bill, (input, output); default those of a completion with status 200, None otherwise.
    """

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0
    fault: str | None = None
    drip_seconds: float = 0.05
    refuse_seconds: float = 0.0
    tokens: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse a fault that does not exist."""
        if self.fault is not None and self.fault not in SENDING_FAULTS:
            raise ValueError(f"no fault is called {self.fault!r}; there are {', '.join(SENDING_FAULTS)}")
        if self.tokens is None:
            self.tokens = self._tokens()

    def _tokens(self) -> tuple[int, int] | None:
        if self.status != 200 or not isinstance(self.body, dict) or not self.body.get("choices"):
            return None
        usage = self.body.get("usage") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        told = [
            count if isinstance(count, int) and count >= 0 else default
            for count, default in zip(counts, TOKENS, strict=True)
        ]
        return told[0], told[1]

    def encoded(self) -> bytes:
        """Return the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


def as_answer(item: Any) -> Answer:
    """Return the Answer that a text (a good reply), a dict (a body) or an Answer stands for."""
    if isinstance(item, str):
        item = completion(item)
    return item if isinstance(item, Answer) else Answer(item)
