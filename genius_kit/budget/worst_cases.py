"""The most that one request can take, known before it is sent, and what of it a reply has taken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Amount
from genius_kit.chat import OUTPUT_LIMITS

if TYPE_CHECKING:
    from genius_kit.budget.prices import Price, Prices
    from genius_kit.chat import ChatClient, Reply, Usage
    from genius_kit.errors import ModelError
    from genius_kit.records import Message

TOKENS_A_MESSAGE, TOKENS_A_REQUEST = 16, 64
"""What a chat template may add to the words: the role and the marks of a message, a preamble of the model's own."""

UNBILLED = frozenset(
    {
        *("no-key", "authentication", "permission", "not-found", "rate-limit", "quota", "loading", "redirect"),
        *("request-too-large", "context-overflow", "unsupported-parameter", "bad-request"),
    }
)
"""Causes of failure that no provider charges for: the request was turned away. All others may have been billed."""

NO_TOKENS = {"calls": 1}

_WORDS = re.compile("[0-9]{1,32}|[A-Za-z'\\u0080-\U0010ffff]{1,128}")
_LONGEST_TOKEN = 1024
"""Characters of the longest token of any of the eight vocabularies that `least_tokens` was held against."""

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""What comes beside a reply and was written by the model, so that it was billed."""


def least_tokens(*texts: str) -> int:
    """Return a number of tokens that none of eight tokenizers goes below for these texts.

    In them a token spans no two words and no word with a number, so each run of letters or digits is one or more. Held
    against every token of their vocabularies (cl100k, o200k, p50k, Claude's published one, DeepSeek's, two of Mistral's
    SentencePiece, Tekken), 24,000 random mixtures of them and 6,273 texts: never above the count but for control marks
    such as `<|image|>`; of replies it finds 64 to 73 %.
    """
    return sum(
        max(sum(_is_word(run) for run in _WORDS.findall(text)), -(-len(text) // _LONGEST_TOKEN)) for text in texts
    )


def _is_word(run: str) -> bool:
    return run[0].isdecimal() or any(map(str.isalpha, run))


@dataclass(frozen=True)
class Booking:
    """What a reply is charged with: `amount`.

    `usage` is what the server counted or, where that is more, what the words must have taken, and `cost` its price
    under the name of the model that answered, in US dollars, None where that is unknown. `is_beyond` says that it is
    more than there can be.
    """

    usage: Usage
    cost: float | None
    amount: Amount
    is_beyond: bool = False

    def record(self) -> dict[str, Any]:
        """Return tokens and price as plain values for a record."""
        tokens = {"input_tokens": self.usage.input_tokens, "output_tokens": self.usage.output_tokens}
        return {**tokens, "cost": self.cost}


@dataclass(frozen=True)
class WorstCase:
    """The most that one attempt takes: tokens of the prompt and of the reply, at the list price of the model.

    `output` is None where nothing bounds the reply, `price` is None for a model without one; `is_free` for a client
    that nobody bills, of which only the calls count. `today` is the price that the lists say now, where the run began
    at another. `excess` is how many times its worst case a call of this run took before, in tokens and in dollars.
    """

    input: int
    output: int | None
    price: Price | None
    is_free: bool = False
    today: Price | None = None
    excess: tuple[float, float] = (1.0, 1.0)

    @cached_property
    def unbounded(self) -> frozenset[str]:
        """Return what no bound is known of: "tokens", "dollars"."""
        if self.is_free:
            return frozenset()
        tokens = {"tokens"} if self.output is None else set()
        priced = self.price is not None and (self.output is not None or self.price.is_free)
        return frozenset(tokens if priced else tokens | {"dollars"})

    @cached_property
    def amount(self) -> Amount:
        """Return the worst case; what is unbounded counts as zero in it."""
        if self.is_free:
            return Amount.of(**NO_TOKENS)
        tokens = 0 if self.output is None else self.input + self.output
        cost = 0.0 if "dollars" in self.unbounded else self._most(self.input, self.output or 0)
        return Amount.of(1, math.ceil(tokens * self.excess[0]), cost * self.excess[1])

    def booked(self, reply: Reply, sent: Sequence[Message], served: Price | None) -> Booking:
        """Return what a reply to the messages `sent` is charged with: of two figures the larger is believed.

        Counts of the server are charged at the dearer price of the model that was asked for and the one that answered
        (`served`). Counts that are missing, or below what the words themselves must have taken, are charged at the
        worst case, or what the words take where that is more.
        """
        if self.is_free:
            return Booking(reply.usage, None if served is None else served.cost(reply.usage), self.amount)
        told = reply.usage.input_tokens, reply.usage.output_tokens
        thoughts = [one["content"] for one in reply.beside or () if one["kind"] in _THOUGHTS]
        least = (
            least_tokens(*(message["content"] for message in sent)),
            least_tokens(reply.text or "", reply.refusal or "", *thoughts),
        )
        received, written = (max(count or 0, words) for count, words in zip(told, least, strict=True))
        known = [None if count is None else max(count, words) for count, words in zip(told, least, strict=True)]
        usage = replace(reply.usage, input_tokens=known[0], output_tokens=known[1])
        cost = None if served is None else served.cost(usage)
        if told == (received, written):
            most = max([cost or 0.0, *(self._cost(price, usage) for price in (self.price, self.today) if price)])
            amount = Amount.of(1, received + written, most)
        else:
            amount = self.amount.or_more(Amount.of(1, received + written, self._most(received, written)))
        return Booking(usage, cost, amount, self._is_beyond(received, written, amount))

    def _cost(self, price: Price, usage: Usage) -> float:
        known = price.cost(usage)
        return price.most(usage.input_tokens or 0, usage.output_tokens or 0) if known is None else known

    def _most(self, received: int, written: int) -> float:
        return max((price.most(received, written) for price in (self.price, self.today) if price), default=0.0)

    def _is_beyond(self, received: int, written: int, amount: Amount) -> bool:
        if self.output is None:
            return False
        tokens, _ = self.excess
        too_long = written > self.output * tokens or received > self.input * tokens
        return too_long or ("dollars" not in self.unbounded and amount.dollars > self.amount.dollars)


def worst_case(client: ChatClient, messages: Sequence[Message], prices: Prices) -> WorstCase:
    """Return the most that one attempt to send `messages` through `client` takes.

    The tokens of a prompt are at most the bytes of its words in UTF-8 (a token stands for one byte or more), and an
    allowance; the reply is bounded by the output limit of the request, else by the price entry's `max_output`.
    """
    address = address_of(client)
    price = prices.find(client.model, address)
    sent = sent_parameters(client)
    spoken = _bytes("".join([message["role"] + message["content"] for message in messages]))
    can_hold_words = any(isinstance(value, str | list | dict) for value in sent.values())
    beside = _bytes(json.dumps(sent)) if can_hold_words else 0
    received = spoken + beside + TOKENS_A_MESSAGE * len(messages) + TOKENS_A_REQUEST
    is_free = bool(getattr(client, "is_free", False))
    return WorstCase(received, output_limit(client, price), price, is_free, prices.today(client.model, address))


def output_limit(client: ChatClient, price: Price | None) -> int | None:
    """Return the most tokens that a reply can have, None where nothing says so."""
    sent = sent_parameters(client)
    given = [sent[name] for name in OUTPUT_LIMITS if isinstance(sent.get(name), int)]
    known = [price.max_output] if price is not None and price.max_output is not None else []
    return min(given) if given else (known[0] if known else None)


def address_of(client: ChatClient) -> str | None:
    """Return the address of the server that a client asks, None for one that asks none."""
    return client.settings().get("base_url")


def sent_parameters(client: ChatClient) -> dict[str, Any]:
    """Return the parameters of a client's requests beside the messages."""
    parameters = client.settings().get("parameters", {})
    return parameters if isinstance(parameters, dict) else {}


def may_be_billed(error: ModelError) -> bool:
    """Return whether the provider may charge for a failed attempt."""
    return error.cause not in UNBILLED if error.may_be_billed is None else error.may_be_billed


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
