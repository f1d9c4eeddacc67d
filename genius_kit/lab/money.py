"""How many tokens a prompt has and what asking costs, before anything is asked."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.budget.amounts import dollars
from genius_kit.budget.prices import load_prices
from genius_kit.chat import is_stand_in
from genius_kit.lab.draft import plain
from genius_kit.studies.estimate import Assumptions, expected_talk, opening_sizes

if TYPE_CHECKING:
    from genius_kit.prompts import TemplatePrompt
    from genius_kit.records import Message, Trial

CHARACTERS_A_TOKEN = 4.0
"""Of English text, where no tokenizer is at hand: an estimate, and shown as one."""

USUAL_OUTPUT_TOKENS = 500
"""Assumed for a reply before there was one."""


class TokenCounter:
    """Counts the tokens of one model, where tiktoken is installed and knows it; else says "about".

    tiktoken may fetch its tables from the network: it is loaded in a thread of its own, and until it is there (or
    where it never comes) the count is an estimate. `learn` replaces the factor of the estimate by what a server
    counted.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._encode: Callable[[str], Sequence[int]] | None = None
        self._characters = CHARACTERS_A_TOKEN
        self._how = f"{CHARACTERS_A_TOKEN:g} characters a token"
        if not is_stand_in(model) and importlib.util.find_spec("tiktoken") is not None:
            threading.Thread(target=self._load, daemon=True).start()
        elif not is_stand_in(model):
            self._how += "; `pip install tiktoken` gives a count"

    def _load(self) -> None:
        import tiktoken

        try:
            self._encode = tiktoken.encoding_for_model(self.model).encode_ordinary
        except Exception:  # an unknown model, or no network: the estimate stays
            return

    def learn(self, text: str, tokens: int | None) -> None:
        """Take from a reply how many tokens the server counted in the prompt `text`."""
        if tokens and self._encode is None:
            self._characters = len(text) / tokens
            self._how = "by the count of the last reply"

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        return len(self._encode(text)) if self._encode else round(len(text) / self._characters)

    def words(self, tokens: int) -> str:
        """Return a count in words that say whether it is one."""
        return f"{tokens:,} tokens" if self._encode else f"about {tokens:,} tokens ({self._how})"


@dataclass(frozen=True)
class Estimate:
    """What asking would take: tokens of this prompt, dollars of this call and of a whole search, None if unpriced.

    `source` says where the price comes from.
    """

    tokens: int
    call: float | None
    search: float | None
    source: str = ""


def estimate(
    prompt: TemplatePrompt,
    trials: Sequence[Trial],
    model: str,
    budget: int,
    counter: TokenCounter,
    output_tokens: int = USUAL_OUTPUT_TOKENS,
    base_url: str | None = None,
) -> Estimate:
    """Return what one call after `trials` and a whole search of `budget` would take, if no reply is refused.

    The prompt of a search grows by a line a result, in a dialogue by the reply too. `base_url` is as a client takes it.
    """

    def measure(messages: Sequence[Message]) -> float:
        return counter.count(plain(messages))

    tokens = counter.count(plain(prompt.messages(trials)))
    if is_stand_in(model):
        return Estimate(tokens, 0.0, 0.0)
    price = load_prices().find(model, base_url or os.environ.get("OPENAI_BASE_URL"))
    if price is None:
        return Estimate(tokens, None, None)
    given = Assumptions(reply_tokens=output_tokens, refusal_rate=0.0, attempts=1.0)
    sizes = opening_sizes(prompt, prompt.view.true_space, budget, measure, output_tokens)
    whole = expected_talk(sizes, price, given, rejections=0, refusal=0.0)
    call = expected_talk([tokens], price, given, rejections=0, refusal=0.0).dollars
    return Estimate(tokens, call, whole.dollars, price.source)


def cost_words(found: Estimate, model: str, budget: int, output_tokens: int) -> str:
    """Return the costs of an estimate in a sentence."""
    if is_stand_in(model):
        return "the stand-in costs nothing"
    if found.call is None or found.search is None:
        return f"no price is known for {model}: name a price file in GENIUS_KIT_PRICES"
    return (
        f"this call about {dollars(found.call)}, a search of {budget} about {dollars(found.search)} (replies of "
        f"{output_tokens} tokens, none refused; {found.source})"
    )
