"""Everything that a server of language models can do wrong, by name, and a mixture of it drawn by a seed."""

from __future__ import annotations

import email.utils
import hashlib
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from genius_kit.testing.answers import Answer, as_answer, completion, error
from genius_kit.testing.server import request_digest

Fault = Callable[[str], Answer]
"""Makes the Answer from the text of the reply that would have been good; most faults do not use it."""

_TOO_MANY = error("Rate limit reached for requests", code="rate_limit_exceeded", type="requests")


def _status(status: int, message: str, **fields: Any) -> Fault:
    return lambda text: Answer(error(message, **fields), status)


def _date(seconds: float) -> str:
    """Return the date after that wait, rounded up: it has no fractions, and must not have passed on arrival."""
    return email.utils.formatdate(math.ceil(time.time() + seconds), usegmt=True)


def _sent(text: str, **sending: Any) -> Answer:
    return Answer(completion(text), **sending)


def _replaced(text: str, old: str, new: bytes) -> Answer:
    """Return a completion whose bytes are changed in one place, as no JSON writer would write it."""
    return Answer(json.dumps(completion(text)).encode().replace(old.encode(), new, 1), tokens=(100, 20))


def _huge_integers(text: str) -> Answer:
    """A list of 50,000 integers with one of 5,000 digits among them, and such a one as a number of tokens."""
    listed = "[" + ", ".join(["7" * 5000, *map(str, range(50_000))]) + "]"
    return _replaced(listed, '"total_tokens": 120', b'"total_tokens": ' + b"9" * 5000)


FAULTS: Mapping[str, Fault] = {
    "refused": lambda text: Answer(fault="refuse"),
    "unauthorized": _status(401, "Incorrect API key provided.", code="invalid_api_key"),
    "forbidden": _status(403, "You are not allowed to use this model."),
    "not-found": _status(404, "The model does not exist.", code="model_not_found"),
    "rate-limit": lambda text: Answer(_TOO_MANY, 429),
    "rate-limit-seconds": lambda text: Answer(_TOO_MANY, 429, {"Retry-After": "1"}),
    "rate-limit-date": lambda text: Answer(_TOO_MANY, 429, {"Retry-After": _date(1)}),
    "quota": _status(429, "You exceeded your current quota.", code="insufficient_quota", type="insufficient_quota"),
    "server-error": _status(500, "The server had an error.", type="server_error"),
    "loading": _status(503, "Loading model", code=503, type="unavailable_error"),
    "delay": lambda text: _sent(text, delay=0.5),
    "drip": lambda text: _sent(text, fault="drip", drip_seconds=0.0005),
    "hang": lambda text: _sent(text, fault="hang"),
    "closed-midway": lambda text: _sent(text, fault="cut"),
    "html": lambda text: Answer("<html><body>Please log in.</body></html>", content_type="text/html"),
    "broken-json": lambda text: Answer(json.dumps(completion(text))[:-30], tokens=(100, 20)),
    "empty-choices": lambda text: Answer({**completion(text), "choices": []}, tokens=(100, 0)),
    "null-content": lambda text: Answer(completion(None)),
    "error-body": lambda text: Answer(error("The engine is overloaded.", type="server_error")),
    "length": lambda text: Answer(completion(text[: len(text) // 2], finish_reason="length")),
    "content-filter": lambda text: Answer(completion("", finish_reason="content_filter")),
    "refusal": lambda text: Answer(completion(None, refusal="I cannot help with that.")),
    "other-model": lambda text: Answer(completion(text, model="another-model-2")),
    "wrong-usage": lambda text: Answer(
        completion(text, usage={"prompt_tokens": -7, "completion_tokens": "many", "prompt_tokens_details": [1]}),
        tokens=(100, 20),
    ),
    "ten-megabytes": lambda text: Answer(completion("la " * 3_500_000, usage={"completion_tokens": 3_500_000})),
    "invalid-utf-8": lambda text: _replaced(f"QQ {text}", "QQ", b"\xff\xfe\xc3"),
    "lone-surrogate": lambda text: _replaced(f"QQ {text}", "QQ", b"\\ud83d"),
    "huge-integers": _huge_integers,
    "duplicate-keys": lambda text: _replaced(text, '"content": ', b'"content": "an earlier content", "content": '),
}
"""Every fault by name, as a function from the good reply's text to the Answer that takes its place.

"refused" resets the connection of one request; `ChatServer.refusing` closes the port itself. "hang" never answers, so
it is for clients with a deadline. "delay", "drip", "other-model", "wrong-usage", "invalid-utf-8", "lone-surrogate" and
"duplicate-keys" hold a reply that can be used.
"""


def random_faults(
    rate: float,
    seed: int,
    answer: Callable[[dict[str, Any], int], Any] | str,
    faults: Mapping[str, Fault] | None = None,
) -> Callable[[dict[str, Any], int], Any]:
    """Return a script that puts a fault in the place of a reply with some probability.

    Whether there is one and which depends only on the seed, the content of the request and how many times it was sent,
    so that the same seed gives the same faults whatever the order in which parallel requests arrive.

    Parameters
    ----------
    rate
        Probability of a fault.
    seed
        Decides the faults.
    answer
        The good reply: its text, or a function of (request body, number) to it.
    faults
        Those drawn from, each as likely as another; default all of FAULTS but "hang".
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be a probability, 0 to 1, got {rate!r}")
    drawn = faults if faults is not None else {name: fault for name, fault in FAULTS.items() if name != "hang"}
    names = sorted(drawn)
    arrivals: Counter[str] = Counter()
    lock = threading.Lock()

    def script(body: dict[str, Any], number: int) -> Any:
        digest = request_digest(body)
        with lock:
            arrivals[digest] += 1
            arrival = arrivals[digest]
        good = answer if isinstance(answer, str) else answer(body, number)
        chance = hashlib.sha256(f"{seed} {digest} {arrival}".encode()).digest()
        if int.from_bytes(chance[:8], "big") >= rate * 2**64:
            return good
        fault = drawn[names[int.from_bytes(chance[8:16], "big") % len(names)]]
        return fault(good) if isinstance(good, str) else fault(_text_of(good))

    return script


def _text_of(good: Any) -> str:
    """Return the text of a good reply that is a body or an Answer."""
    body = as_answer(good).body
    content = body["choices"][0]["message"]["content"] if isinstance(body, dict) else ""
    return content if isinstance(content, str) else ""
