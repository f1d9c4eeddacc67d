"""How many tokens a prompt has and what asking costs, before anything is asked."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.budget.amounts import dollars
from genius_kit.budget.prices import Price, load_prices
from genius_kit.chat import Usage, is_stand_in
from genius_kit.journal.run import total
from genius_kit.lab.draft import plain
from genius_kit.proposers.llm import ModelSettings
from genius_kit.studies.estimate import Assumptions, Sum, expected_talk, longest_refusal, opening_sizes

if TYPE_CHECKING:
    from genius_kit.journal import Event, Run
    from genius_kit.prompts import TemplatePrompt
    from genius_kit.records import Message, Trial

CHARACTERS_A_TOKEN = 4.0
"""Of English text: an estimate, and shown as one."""

USUAL_OUTPUT_TOKENS = 500
"""Assumed for a reply before there was one."""

MOST_PROMPTS = 50  # of a search, that its estimate looks at


class TokenCounter:
    """Estimates the tokens of prompts by their length, from the first reply on as its server counted them."""

    def __init__(self) -> None:
        self._characters = CHARACTERS_A_TOKEN
        self._how = f"{CHARACTERS_A_TOKEN:g} characters per token"

    def learn(self, text: str, tokens: int | None) -> None:
        """Take from a reply how many tokens the server counted in the prompt `text`."""
        if tokens:
            self._characters = len(text) / tokens
            self._how = "by the count of the last reply"

    def count(self, text: str) -> int:
        """Return about how many tokens `text` has."""
        return round(len(text) / self._characters)

    def words(self, tokens: int) -> str:
        """Return a count in words that say where it is from."""
        return f"about {tokens:,} tokens ({self._how})"


@dataclass(frozen=True)
class Estimate:
    """What asking would take: `tokens` of this prompt; dollars of this `call`, and of `search`, a whole one.

    Dollars are None where no price is known. `bound` is what 95 of 100 searches stay below; `calls` are expected in
    one, more where replies are refused. `source` says where the price comes from.
    """

    tokens: int
    call: float | None = None
    search: float | None = None
    bound: float | None = None
    calls: int = 0
    source: str = ""


def estimate(
    prompt: TemplatePrompt,
    trials: Sequence[Trial],
    model: str,
    budget: int,
    counter: TokenCounter,
    output_tokens: int = USUAL_OUTPUT_TOKENS,
    base_url: str | None = None,
    max_tokens: int | None = None,
) -> Estimate:
    """Return what one call after `trials` and a whole search of `budget` would take, under `studies.estimate`'s terms.

    The prompt of a search grows by a line a result, in a dialogue by the reply too. `base_url` is as a client takes it,
    `max_tokens` the output limit.
    """
    tokens = counter.count(plain(prompt.messages(trials)))
    if is_stand_in(model):
        return Estimate(tokens, 0.0, 0.0, 0.0, budget)
    price = load_prices().find(model, base_url or os.environ.get("OPENAI_BASE_URL"))
    if price is None:
        return Estimate(tokens, calls=budget)
    given = Assumptions(reply_tokens=output_tokens)
    call = expected_talk([tokens], price, given.limited(max_tokens), rejections=0, refusal=0.0).dollars
    whole, most = (
        _search(prompt, budget, price, counter, one.limited(max_tokens), one.characters_a_token)
        for one in (given, given.cautious())
    )
    return Estimate(tokens, call, whole.dollars, most.dollars, round(whole.calls), price.source)


def _search(
    prompt: TemplatePrompt, budget: int, price: Price, counter: TokenCounter, given: Assumptions, characters: float
) -> Sum:
    """Return what a search takes where replies are as `given` says; of a long one some prompts stand for all."""
    more = CHARACTERS_A_TOKEN / characters

    def measure(messages: Sequence[Message]) -> float:
        return counter.count(plain(messages)) * more

    sizes = opening_sizes(prompt, prompt.view.true_space, budget, measure, given.reply_tokens)
    step = -(-budget // MOST_PROMPTS)
    some = sizes[step // 2 :: step]
    refusal = counter.count(longest_refusal(prompt)) * more
    return expected_talk(some, price, given, ModelSettings.rejections_limit, refusal).times(budget / len(some))


def cost_words(found: Estimate, model: str, budget: int, output_tokens: int) -> str:
    """Return the costs of an estimate in a sentence."""
    if is_stand_in(model):
        return "the stand-in costs nothing"
    if found.call is None:
        return _unpriced(model)
    return (
        f"this call about {dollars(found.call)}, {search_words(found, budget)} (replies of {output_tokens} tokens, "
        f"1 of 10 refused; {found.source})"
    )


def search_words(found: Estimate, budget: int, searches: int = 1) -> str:
    """Return in words what some searches of a budget take, before they begin."""
    many = f"{searches} searches" if searches > 1 else "a search"
    calls = f"{many} of {budget}: about {found.calls:,} calls"
    if found.bound is None:
        return f"{calls}, at an unknown price"
    if not found.bound:
        return f"{calls}, which cost nothing"
    return f"{calls}, about {dollars(found.search)}, in 95 of 100 cases at most {dollars(found.bound)}"


def together(estimates: Sequence[Estimate], times: int = 1) -> Estimate:
    """Return what several searches take, each `times` times; the bound is the sum of theirs."""
    sums = [total([getattr(one, name) for one in estimates]) for name in ("search", "bound", "calls")]
    search, bound = (None if value is None else value * times for value in sums[:2])
    return Estimate(0, None, search, bound, int(sums[2] or 0) * times)


def _unpriced(model: str) -> str:
    return f"no price is known for {model}: name a price file in GENIUS_KIT_PRICES"


@dataclass(frozen=True)
class Spending:
    """Tokens and dollars of recorded calls, None where a server did not count or no price is known.

    `is_bound` says that a server did not tell which tokens came from its cache, and that all are priced as new.
    """

    input_tokens: int | None
    output_tokens: int | None
    dollars: float | None
    is_bound: bool

    @property
    def text(self) -> str:
        """The sums in words."""
        counts = [self.input_tokens, self.output_tokens]
        tokens = "tokens not counted" if None in counts else f"{counts[0]:,} tokens in, {counts[1]:,} out"
        bound = ", its cache not told: all priced as new" if self.is_bound else ""
        return f"{dollars(self.dollars)} ({tokens}{bound})"


def spending(calls: Sequence[Event], price: Price | None) -> Spending:
    """Return what recorded calls took; `price` is for those whose cost is not on record, though their tokens are."""
    if not calls:
        return Spending(0, 0, 0.0, False)
    costs = [call["cost"] for call in calls]
    missing = [place for place, cost in enumerate(costs) if cost is None]
    for place in missing:
        known = {
            name: calls[place]["usage"].get(name) for name in ("input_tokens", "output_tokens", "reasoning_tokens")
        }
        costs[place] = price.cost(Usage(**known, cached_input_tokens=0)) if price else None
    received, written = (total([call["usage"][f"{name}_tokens"] for call in calls]) for name in ("input", "output"))
    spent = total(costs)
    return Spending(received, written, spent, bool(missing) and spent is not None)


def price_of(run: Run) -> Price | None:
    """Return the price that a run began with, None where its journal holds none."""
    recorded = run.events[0].get("price") if run.events else None
    return Price.read(recorded) if recorded else None


_ADVICE = (
    (r"go on with: (?:genius-kit resume \S* \S* MORE|search\(\.\.\., limits=\.\.\.\) with more)", 'raise "{spend}"'),
    (r"\(--max-tokens\)", '("{output}")'),
    (r"\(max_tokens=, --max-tokens, `max_tokens:` in a study file\)", '("{output}")'),
    (r"Set a limit \(max_tokens\), raise the timeout", 'Set "{output}", raise "{timeout}"'),
    (r"raise the timeout", 'raise "{timeout}"'),
    (
        r"allow_unpriced=True, --allow-unpriced, `allow_unpriced: true` in a study file, (\w+=1)",
        r"set \1 for the kernel",
    ),
)
FIELDS = {"spend": "Spend at most $", "output": "Output limit", "timeout": "Timeout in seconds"}
"""Labels of the lab's controls that an error may send a person to."""


def in_fields(text: str) -> str:
    """Return a message with advice for the command line put in terms of the lab's own controls."""
    for pattern, advice in _ADVICE:
        text = re.sub(pattern, advice.format(**FIELDS), text)
    return text
