"""The most that one request can take, known before it is sent, and what of it a reply has taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Amount, exact
from genius_kit.chat import OUTPUT_LIMITS

if TYPE_CHECKING:
    from genius_kit.budget.prices import Price, Prices
    from genius_kit.chat import ChatClient, Usage
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


@dataclass(frozen=True)
class WorstCase:
    """The most that one attempt takes: tokens of the prompt and of the reply, at the list price of the model.

    `output` is None where nothing bounds the reply, `price` is None for a model without one; `is_free` for a client
    that nobody bills, of which only the calls count.
    """

    input: int
    output: int | None
    price: Price | None
    is_free: bool = False

    @property
    def unbounded(self) -> frozenset[str]:
        """Return what no bound is known of: "tokens", "dollars"."""
        if self.is_free:
            return frozenset()
        tokens = {"tokens"} if self.output is None else set()
        priced = self.price is not None and (self.output is not None or self.price.is_free)
        return frozenset(tokens if priced else tokens | {"dollars"})

    @property
    def amount(self) -> Amount:
        """Return the worst case; what is unbounded counts as zero in it."""
        if self.is_free:
            return Amount.of(**NO_TOKENS)
        written = self.output or 0
        tokens = 0 if self.output is None else self.input + written
        known = self.price is not None and "dollars" not in self.unbounded
        return Amount.of(1, tokens, self.price.most(self.input, written) if known and self.price else 0.0)

    def taken(self, usage: Usage, cost: float | None) -> Amount:
        """Return what a reply took: by its figures where they are known and possible, else the worst case.

        `cost` is its price under the name of the model that answered, in US dollars, None where it is unknown.
        """
        if self.is_free or self.is_beyond(usage, cost):
            return self.amount
        received, written = usage.input_tokens, usage.output_tokens
        if received is None or written is None:
            return self.amount
        if cost is None:
            cost = 0.0 if self.price is None else self.price.most(received, written)
        return Amount.of(1, received + written, cost)

    def is_beyond(self, usage: Usage, cost: float | None) -> bool:
        """Return whether a server counts more than there can be: then it is not believed."""
        if self.is_free or self.output is None:
            return False
        too_long = (usage.output_tokens or 0) > self.output or (usage.input_tokens or 0) > self.input
        return too_long or ("dollars" not in self.unbounded and exact(cost or 0.0) > self.amount.dollars)


def worst_case(client: ChatClient, messages: Sequence[Message], prices: Prices) -> WorstCase:
    """Return the most that one attempt to send `messages` through `client` takes.

    The tokens of a prompt are at most the bytes of its words in UTF-8 (a token stands for one byte or more), and an
    allowance; the reply is bounded by the output limit of the request, else by the price entry's `max_output`.
    """
    price = prices.find(client.model, address_of(client))
    sent = sent_parameters(client)
    spoken = sum(_bytes(message["role"]) + _bytes(message["content"]) for message in messages)
    can_hold_words = any(isinstance(value, str | list | dict) for value in sent.values())
    beside = _bytes(json.dumps(sent)) if can_hold_words else 0
    received = spoken + beside + TOKENS_A_MESSAGE * len(messages) + TOKENS_A_REQUEST
    return WorstCase(received, output_limit(client, price), price, bool(getattr(client, "is_free", False)))


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
