"""Cost of a run or a study before anything is sent: expected, a 95 % bound, and the worst case that limits reserve."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Limits, dollars
from genius_kit.budget.prices import Price, load_prices
from genius_kit.budget.worst_cases import TOKENS_A_MESSAGE, worst_case
from genius_kit.chat import Usage
from genius_kit.errors import InvalidParameter
from genius_kit.llm.calls import ATTEMPTS_LIMIT, LONGEST_WAIT_SECONDS, REFUSALS_LIMIT
from genius_kit.prompts.template import note_length, question
from genius_kit.records import Evaluation, Message, Rejection, Trial
from genius_kit.runs.loop import NO_FIRST

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.prompts import Prompt
    from genius_kit.proposers.base import Proposer
    from genius_kit.proposers.llm import LanguageModelProposer
    from genius_kit.spaces import SearchSpace
    from genius_kit.studies.plan import Study

DETAIL_CHARACTERS = 400
"""Assumed length of the reason that a refused reply is answered with."""

WIDTH = 80
"""Columns of a terminal, in which figures and assumptions are printed."""

LINE_BYTES = 64
"""What the line of a result may have more than the one that is measured: a failure in words, say."""


@dataclass(frozen=True)
class Assumptions:
    """What an estimate takes for granted: `refusal_rate` of replies is refused, `attempts` are made for each reply.

    `reply_tokens` and `characters_a_token` make the expected size. What models and servers do differs: the 95 % bound
    is what is expected of one that is `cautious`. In the worst case every reply is as long as it may be, all are
    refused as often as may be, and each comes back in the prompt at `bytes_a_token` in the worst case.
    """

    reply_tokens: int = 500
    refusal_rate: float = 0.1
    characters_a_token: float = 4.0
    attempts: float = 1.05
    reply_seconds: float = 10.0
    bytes_a_token: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.refusal_rate < 1:
            raise InvalidParameter(f"the refusal rate must be a share from 0 up to below 1, got {self.refusal_rate!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "refusal_rate" and not (math.isfinite(value) and value > 0):
                raise InvalidParameter(f"{field.name} must be a number above 0, got {value!r}")

    def cautious(self) -> Assumptions:
        """Return the assumptions of the 95 % bound.

        Replies 4 times as long and as slow, 3 times as many refusals and repeated attempts, 3/4 of the characters in a
        token. Where the four vary by themselves, log-normal with these as their 95th percentiles, more than 95 of 100
        runs cost less.
        """
        return replace(
            self,
            reply_tokens=4 * self.reply_tokens,
            refusal_rate=min(3 * self.refusal_rate, (1 + self.refusal_rate) / 2),
            characters_a_token=0.75 * self.characters_a_token,
            attempts=1 + 3 * (self.attempts - 1),
            reply_seconds=4 * self.reply_seconds,
        )

    def limited(self, most: int | None) -> Assumptions:
        """Return them with replies of at most `most` tokens, the output limit of a request."""
        return self if most is None else replace(self, reply_tokens=min(self.reply_tokens, most))

    @property
    def text(self) -> str:
        """The assumptions in words."""
        likely = [
            f"{name}: {given.refusal_rate:.0%} of replies refused, {given.reply_tokens:,} tokens per reply (at most "
            f"the output limit), {given.characters_a_token:g} characters per token, {given.attempts:.3g} attempts and "
            f"{given.reply_seconds:g} s per reply"
            for name, given in (("expected", self), ("95 % bound", self.cautious()))
        ]
        worst = (
            "worst case: each reply as long as it may be and refused as often as it may be, "
            f"{ATTEMPTS_LIMIT} attempts per request, one token per byte of a prompt"
        )
        return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in (*likely, worst))


@dataclass(frozen=True)
class Sum:
    """Calls, tokens, US dollars and seconds; None where nothing bounds them, or no price is known."""

    calls: float = 0.0
    tokens: float | None = 0.0
    dollars: float | None = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Sum) -> Sum:
        values: list[Any] = []
        for field in fields(self):
            one, two = getattr(self, field.name), getattr(other, field.name)
            values.append(None if one is None or two is None else one + two)
        return Sum(*values)

    def at_most(self, other: Sum) -> Sum:
        """Return the lower of both, field by field; None bounds nothing."""
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Sum(*(one if one is None or two is None else min(one, two) for one, two in pairs))

    def times(self, count: float) -> Sum:
        """Return this `count` times."""
        values: list[Any] = []
        for field in fields(self):
            value = getattr(self, field.name)
            values.append(None if value is None else value * count)
        return Sum(*values)


@dataclass(frozen=True)
class Forecast:
    """What `runs` runs take: expected, a 95 % `bound`, at worst; `limit` is the most dollars that their limits allow.

    `is_free` says that nobody bills them, `unpriced` that those that somebody may bill have no known price, of which
    there are `unpriced_runs`; `prices` says where the prices of the others come from.
    """

    runs: int
    expected: Sum
    bound: Sum
    worst: Sum
    assumptions: Assumptions
    is_free: bool = False
    unpriced: bool = False
    limit: float | None = None
    unpriced_runs: int = 0
    prices: tuple[str, ...] = ()

    @property
    def most(self) -> float | None:
        """The most dollars that can be spent: the worst case, or the limit where that is lower; None if unknown."""
        known = [value for value in (self.worst.dollars, self.limit) if value is not None]
        return min(known) if known else None

    @property
    def at_stake(self) -> float | None:
        """The dollars that a person is asked about: the 95 % bound, or `most` where that is lower; None if unknown."""
        known = [value for value in (self.bound.dollars, self.most) if value is not None]
        return min(known) if known else None

    def table(self) -> str:
        """Return the figures as a table in text, at most 80 columns wide."""
        rows = [("", "calls", "tokens", "dollars", "time")]
        for name, found in (("expected", self.expected), ("95 % bound", self.bound), ("worst case", self.worst)):
            rows.append(
                (name, _count(found.calls), _count(found.tokens), dollars(found.dollars), _duration(found.seconds))
            )
        lines = [f"{name:<12}" + "".join(f"{cell:>17}" for cell in cells) for name, *cells in rows]
        prices = [textwrap.fill(f"price of {price}", WIDTH, subsequent_indent="  ") for price in self.prices]
        return "\n".join([*lines, *prices])


def estimate_run(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int = 10,
    *,
    runs: int = 1,
    limits: Limits | None = None,
    assumptions: Assumptions | None = None,
    first: str = NO_FIRST,
) -> Forecast:
    """Return what some searches will take, from the real prompt of the benchmark.

    A person who rejects proposals makes a model be asked more often than this says.

    Parameters
    ----------
    benchmark
        What evaluates the proposals.
    proposer
        The search method (`make_proposer`).
    budget
        Evaluations per search.
    runs
        Number of searches.
    limits
        Limits of each run.
    assumptions
        Tokens and seconds per request, and the like; measured defaults where None.
    first
        What each search evaluates first, as in `gk.search`: nobody is asked for it.
    """
    given = assumptions or Assumptions()
    measuring = _measuring(benchmark, budget)
    if proposer.client is None:
        measured = measuring.times(runs)
        return Forecast(runs, measured, measured, measured, given, is_free=True)
    talking: Any = proposer
    talking.load_prompt(benchmark)
    found = _talk(talking, benchmark, budget, _asked(talking, budget, first), given)
    return Forecast(
        runs,
        (found.expected + measuring).times(runs),
        (found.bound + measuring).times(runs),
        (found.worst + measuring).times(runs),
        given,
        found.is_free,
        found.unpriced,
        None if limits is None or limits.dollars is None else limits.dollars * runs,
        runs if found.unpriced else 0,
        found.prices,
    )


def estimate_study(
    study: Study | str | Path, output: str | Path | None = None, *, assumptions: Assumptions | None = None
) -> Forecast:
    """Return what a study will take.

    Runs that begin with the replies of the reference arm are expected to find them on record; at worst they are asked.

    Parameters
    ----------
    study
        A study, its name, or the path of its file.
    output
        The folder of studies: only runs that are not finished there count. None counts all runs.
    assumptions
        Tokens and seconds per request, and the like; measured defaults where None.
    """
    from genius_kit.proposers.base import make_proposer
    from genius_kit.studies.plan import Study
    from genius_kit.studies.run import benchmark_of, load_study, unfinished

    study = study if isinstance(study, Study) else load_study(study)
    given = assumptions or Assumptions()
    tasks = study.plan() if output is None else unfinished(study, output)
    is_plain_asked = any(arm.proposer == "llm" and not arm.settings for arm in study.arms)
    known: dict[str, Forecast] = {}
    found = []
    for task in tasks:
        key = json.dumps([task.benchmark, task.proposer, task.settings, task.budget], sort_keys=True)
        if key not in known:
            benchmark = benchmark_of(task)
            made = make_proposer(task.proposer, benchmark.space, **task.settings)
            known[key] = estimate_run(
                benchmark,
                made,
                task.budget,
                limits=study.money.run_limits,
                assumptions=assumptions,
                first=task.first,
            )
        found.append(
            replace(known[key], expected=Sum(), bound=Sum()) if task.follows and is_plain_asked else known[key]
        )
    limit = study.money.limits.dollars if study.money.limits else None
    most = [forecast.most for forecast in found if not forecast.unpriced]
    of_runs = None if None in most else sum(value for value in most if value is not None)
    limits = [value for value in (limit, of_runs) if value is not None]
    return Forecast(
        len(found),
        sum((forecast.expected for forecast in found), Sum()),
        sum((forecast.bound for forecast in found), Sum()),
        sum((forecast.worst for forecast in found), Sum()),
        given,
        all(forecast.is_free for forecast in found),
        all(forecast.is_free or forecast.unpriced for forecast in found) and any(one.unpriced for one in found),
        min(limits) if limits else None,
        sum(forecast.unpriced for forecast in found),
        tuple(sorted({price for forecast in found for price in forecast.prices})),
    )


def opening_sizes(
    prompt: Prompt,
    space: SearchSpace,
    budget: int,
    measure: Callable[[Sequence[Message]], float],
    said: float = 0.0,
) -> list[float]:
    """Return the size of the first prompt of each of `budget` iterations, as `measure` says.

    Each has one result more than the one before; in a dialogue also `said`, what was said about that result.
    """

    def size(results: int) -> float:
        trials = [Trial(number, space.all_largest, _RESULT) for number in range(1, results + 1)]
        return measure(prompt.messages(trials)) + (said * results if prompt.history == "dialogue" else 0.0)

    if not prompt.lists_all:  # soon as long as it ever is: no line leads from the first to the last
        return [size(results) for results in range(budget)]
    first, last = size(min(1, budget - 1)), size(budget - 1)
    step = (last - first) / max(1, budget - 2)  # the numbers of the lines grow: between the ends it is less than this
    return [size(0), *(first + step * place for place in range(budget - 1))]


def expected_talk(
    sizes: Sequence[float], price: Price | None, given: Assumptions, rejections: int, refusal: float, talks: int = 1
) -> Sum:
    """Return what conversations that begin with prompts of these sizes, in tokens, are expected to take.

    Each has at most `rejections` replies refused, answered by `refusal` tokens; an iteration holds `talks` of them.
    """
    total = Sum()
    for size in sizes:
        for talk in range(talks):
            for refused in range(rejections + 1):
                chance = given.refusal_rate**refused * given.attempts
                received = size + (talk + refused) * (given.reply_tokens + refusal)
                cost = None if price is None else price.cost(Usage(round(received), 0, given.reply_tokens, 0))
                one = Sum(1.0, received + given.reply_tokens, cost, given.reply_seconds)
                total += one.times(chance)
    return total


_RESULT = Evaluation(100.0, 100.0, 100.0, None, "estimate")


@dataclass(frozen=True)
class _Talk:
    """What the conversations of one run take, whether nobody bills them, and where their price comes from, if any."""

    expected: Sum
    bound: Sum
    worst: Sum
    is_free: bool = False
    unpriced: bool = False
    prices: tuple[str, ...] = ()


def _asked(proposer: LanguageModelProposer, budget: int, first: str) -> tuple[slice, int]:
    """Return what `proposer.talks` does for a search whose first architecture is `first`: later by one where given."""
    asked, talks = proposer.talks(budget)
    return (asked if first == NO_FIRST or asked.start else slice(1, min(asked.stop + 1, budget))), talks


def _talk(
    proposer: LanguageModelProposer, benchmark: Benchmark, budget: int, asks: tuple[slice, int], given: Assumptions
) -> _Talk:
    """Return what the conversations of one run take; `asks` is what `_asked` says."""
    prompt, client = proposer.prompt(0), proposer.client
    asked, talks = asks
    iterations = len(range(budget)[asked])
    if not iterations:
        return _Talk(Sum(), Sum(), Sum(), is_free=True)
    bound = worst_case(client, (), load_prices())
    rejections = int(proposer.settings["rejections_limit"])
    refusal = longest_refusal(prompt)
    before, is_fed_back = _principles(proposer)
    instruction = proposer.instruction_length + (note_length() if is_fed_back else 0)

    price = bound.price
    told: dict[str, Any] = {"unpriced": price is None, "prices": (f"{client.model}: {price.text}",) if price else ()}
    if bound.is_free:
        price = Price(0.0, 0.0, 0.0, 0.0, "")
    expected, likely = (
        _likely(proposer, benchmark, budget, asks, one.limited(bound.output), price)
        for one in (given, given.cautious())
    )
    requests = talks * (rejections + 1)
    calls = (iterations * requests + len(before)) * ATTEMPTS_LIMIT
    attempts = calls + (iterations * requests + len(before)) * REFUSALS_LIMIT
    waiting = attempts * (float(getattr(client, "timeout", 0.0)) + LONGEST_WAIT_SECONDS)
    if bound.is_free:
        quick = replace(expected, seconds=0.0), replace(likely, seconds=0.0)
        return _Talk(*quick, Sum(calls, 0.0, 0.0, 0.0), is_free=True)
    if bound.output is None:
        cost = 0.0 if price is not None and price.is_free else None
        return _Talk(expected, likely, Sum(calls, None, cost, waiting), **told)
    turn = bound.output * given.bytes_a_token + _bytes(refusal) + 2 * TOKENS_A_MESSAGE

    def most(messages: Sequence[Message]) -> float:
        filled = worst_case(client, messages, load_prices()).input
        said = bound.output * given.bytes_a_token if is_fed_back and bound.output else 0
        return filled + instruction * 4 + LINE_BYTES * budget + said

    dearest = opening_sizes(prompt, benchmark.space, budget, most, requests * turn)[asked]
    received = math.ceil(sum(requests * size + turn * (requests - 1) * requests / 2 for size in dearest))
    received += math.ceil(sum(most(messages) for messages in before))
    written = (iterations * requests + len(before)) * bound.output
    longest = max(*dearest, *map(most, before), 0.0) + turn * (requests - 1)
    cost = None if price is None else price.most(received, written, longest) * ATTEMPTS_LIMIT
    tokens_in_all = float((received + written) * ATTEMPTS_LIMIT)
    worst = Sum(calls, tokens_in_all, cost, waiting)
    return _Talk(expected, likely.at_most(worst), worst, **told)


def _likely(
    proposer: LanguageModelProposer,
    benchmark: Benchmark,
    budget: int,
    asks: tuple[slice, int],
    given: Assumptions,
    price: Price | None,
) -> Sum:
    """Return what the conversations of one run take where replies are as `given` says."""
    prompt, (asked, talks) = proposer.prompt(0), asks
    before, is_fed_back = _principles(proposer)
    instruction = proposer.instruction_length + (note_length() if is_fed_back else 0)

    def tokens(messages: Sequence[Message]) -> float:
        shown = (sum(len(message["content"]) for message in messages) + instruction) / given.characters_a_token
        return shown + (given.reply_tokens if is_fed_back else 0)

    plain = opening_sizes(prompt, benchmark.space, budget, tokens, given.reply_tokens)[asked]
    back = len(longest_refusal(prompt)) / given.characters_a_token
    found = expected_talk(plain, price, given, int(proposer.settings["rejections_limit"]), back, talks)
    return found + expected_talk([tokens(messages) for messages in before], price, given, 0, 0.0)


def longest_refusal(prompt: Prompt) -> str:
    return prompt.refusal(Rejection("estimate", "x" * DETAIL_CHARACTERS))["content"]


def _principles(proposer: LanguageModelProposer) -> tuple[list[list[Message]], bool]:
    """Return the requests that ask for design principles, one or none, and whether the answer is fed back."""
    if not proposer.asks_principles:
        return [], False
    prompt: Any = proposer.prompt(0)
    return [question(prompt)], proposer.settings["principles"] == "fed-back"


def _measuring(benchmark: Benchmark, budget: int) -> Sum:
    """Return the most that evaluations take: nothing in a table, else what the time limit says."""
    from genius_kit.benchmarks import MEASURED

    if benchmark.kind not in MEASURED:
        return Sum()
    limit = getattr(benchmark, "time_limit", None)
    return Sum(seconds=None if limit is None else float(limit) * budget)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _count(value: float | None) -> str:
    return "not bounded" if value is None else f"{value:,.0f}"


def _duration(seconds: float | None) -> str:
    """Return a time in words: "45 s", "12 min", "3.5 h", "480 days"."""
    if seconds is None:
        return "not bounded"
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.{0 if unit != 'h' else 1}f} {unit}"
    return f"{seconds:.0f} s"
