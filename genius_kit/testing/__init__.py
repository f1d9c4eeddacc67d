"""A chat server on loopback that misbehaves on a script: for those who write or test a client of language models.

Nothing here is used by a search. `ChatServer` speaks OpenAI's chat completions, `FAULTS` names everything that it can
do wrong, `random_faults` mixes those in by a seed, the limiters answer 429 beyond a rate, and the server counts what
it served and what a provider would have billed. No key, no network, nothing but the standard library.
"""

from __future__ import annotations

from genius_kit.testing.answers import MODEL, Answer, completion, error
from genius_kit.testing.faults import FAULTS, Fault, random_faults
from genius_kit.testing.limits import FixedWindow, Limiter, SlidingWindow, TokenBucket
from genius_kit.testing.server import Bill, ChatServer, Script, request_digest

__all__ = [
    "FAULTS",
    "MODEL",
    "Answer",
    "Bill",
    "ChatServer",
    "Fault",
    "FixedWindow",
    "Limiter",
    "Script",
    "SlidingWindow",
    "TokenBucket",
    "completion",
    "error",
    "random_faults",
    "request_digest",
]
