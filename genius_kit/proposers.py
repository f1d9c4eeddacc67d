"""The optimisers, behind one protocol: given what has been tried, propose the next architecture or stop.

A proposer keeps no state that a crash could lose: its random numbers come from (seed, iteration), and what it
knows comes from the trials and the journal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.records import Message, NoImprovement, Outcome, Proposal, Rejection, Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Journal
    from genius_kit.llm import ChatClient, Reply

FALLBACK_DRAWS = 1_000  # random draws before a fallback gives up finding an untried architecture


@dataclass(frozen=True)
class Situation:
    """What a proposer may know at one iteration (numbered from 1)."""

    benchmark: Benchmark
    trials: Sequence[Trial]
    iteration: int
    seed: int
    journal: Journal

    def rng(self) -> np.random.Generator:
        """Return the generator of this (seed, iteration)."""
        import numpy as np

        return np.random.default_rng([self.seed, self.iteration])

    def refusal(self, architecture: Architecture) -> Rejection | None:
        """Return why `architecture` may not be evaluated now (tried already, over a bound), or None."""
        space = self.benchmark.space
        for trial in self.trials:
            if space.same(trial.architecture, architecture):
                return Rejection(
                    "duplicate",
                    f"{space.encode(architecture)} was already evaluated as experiment {trial.iteration}"
                    f"{'' if trial.architecture == architecture else ' (an equivalent design)'}; "
                    "propose a design that has not been evaluated.",
                )
        constraint = self.benchmark.constraint
        return constraint.refusal(space, architecture) if constraint is not None else None


@dataclass(frozen=True)
class Suggestion:
    """The next architecture; `origin` is "model", "optimiser" or "fallback", `exchange` the talk that led to it."""

    architecture: Architecture
    origin: str = "optimiser"
    exchange: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Stop:
    """The proposer has nothing more to propose; `reason` goes into the journal."""

    reason: str


class Proposer(Protocol):
    """One search method."""

    name: str
    settings: dict[str, Any]  # what make_proposer was given, so that a journal can rebuild it
    resolved: dict[str, Any]  # what the settings came to (prompt text hash, client settings)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next architecture or the reason to stop."""
        ...


def _random_untried(situation: Situation) -> Architecture | None:
    """Return a uniform draw among what may still be evaluated, None when `FALLBACK_DRAWS` draws found nothing."""
    rng = situation.rng()
    draws = (situation.benchmark.space.sample(rng) for _ in range(FALLBACK_DRAWS))
    return next((draw for draw in draws if situation.refusal(draw) is None), None)


@dataclass
class RandomProposer:
    """Uniform random search without repetition: the baseline whose distribution `statistics` knows exactly."""

    space: SearchSpace
    name: str = "random"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried architecture drawn at random."""
        draw = _random_untried(situation)
        return Suggestion(draw) if draw is not None else Stop("exhausted")


@dataclass
class PriorProposer:
    """The largest option everywhere, evaluated once: what a designer knows before any search."""

    space: SearchSpace
    name: str = "prior"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the all-largest architecture the first time, then stop."""
        if situation.trials:
            return Stop("prior spent")
        refusal = situation.refusal(self.space.all_largest)
        return Suggestion(self.space.all_largest) if refusal is None else Stop(refusal.reason)


@dataclass
class CoordinateDescentProposer:
    """Start at the all-largest architecture and change one position at a time, keeping what is better.

    Each run tries the one-step changes in its own random order; after an improvement it goes on from the better
    architecture, and it never evaluates one twice. Stops at a local optimum.
    """

    space: SearchSpace
    name: str = "coordinate-descent"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next untried change of the best architecture so far."""
        import numpy as np

        if not situation.trials and situation.refusal(self.space.all_largest) is None:
            return Suggestion(self.space.all_largest)
        scored = [trial for trial in situation.trials if trial.evaluation.feedback is not None]
        if not scored:
            draw = _random_untried(situation)
            return Suggestion(draw) if draw is not None else Stop("exhausted")
        best = max(scored, key=lambda trial: trial.evaluation.feedback or 0.0).architecture
        neighbours = list(self.space.neighbours(best))
        order = np.random.default_rng(situation.seed).permutation(len(neighbours))
        untried = (neighbours[i] for i in order if situation.refusal(neighbours[i]) is None)
        step = next(untried, None)
        return Suggestion(step) if step is not None else Stop("local optimum")


class LanguageModelProposer:
    """A language model proposes; refused and repeated proposals are answered with the reason and asked again."""

    name = "llm"

    def __init__(
        self,
        space: SearchSpace,
        *,
        model: str | None = None,
        prompt: str = "standard",
        history: str = "table",
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        constrained_replies: bool = False,
        rejections_limit: int = 5,
        on_exhausted: str = "fallback",
        client: ChatClient | None = None,
        conversation: str | None = None,
    ) -> None:
        """`client` replaces the one that `model` and `base_url` name; "offline", the default, is the stand-in.

        After `rejections_limit` refused replies in one iteration a random untried architecture is evaluated and
        marked as such (`on_exhausted="fallback"`), or the run ends ("stop").
        """
        if on_exhausted not in ("fallback", "stop"):
            raise InvalidParameter(f"on_exhausted is {on_exhausted!r}; it is 'fallback' or 'stop'")
        if history not in ("table", "dialogue"):
            raise InvalidParameter(f"history is {history!r}; it is 'table' or 'dialogue'")
        self.space = space
        self.settings: dict[str, Any] = {
            "model": model or (client.model if client is not None else "offline"),
            "prompt": str(prompt),
            "history": history,
            "base_url": base_url,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "constrained_replies": constrained_replies,
            "rejections_limit": rejections_limit,
            "on_exhausted": on_exhausted,
            "conversation": str(conversation) if conversation else None,
        }
        self.client = client or _client(space, self.settings)
        self._prompt: Any = None
        self._caller: Any = None
        self._limit = rejections_limit
        self._on_exhausted = on_exhausted
        self.resolved: dict[str, Any] = {"client": self.client.kind, **self.client.settings()}

    def prepare(self, benchmark: Benchmark, journal: Journal) -> None:
        """Load the prompt for `benchmark` and start this run's record of calls."""
        from genius_kit.calls import Caller

        self.load_prompt(benchmark)
        self._caller = Caller(self.client, journal)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`; the hash of its text is then among what decides the run."""
        from genius_kit.prompts import load_prompt

        self._prompt = load_prompt(
            self.settings["prompt"],
            self.space,
            history=self.settings["history"],
            constraint=benchmark.constraint,
            dataset=benchmark.dataset,
            feedback_name=benchmark.feedback_name,
            image_size=benchmark.image_size,
            conversation=self.settings["conversation"],
        )
        self.resolved["prompt_sha256"] = self._prompt.sha256

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Ask until a reply can be used, at most `rejections_limit` times more than once."""
        opening = self._prompt.messages(situation.trials)
        exchange: list[Message] = []
        for _ in range(self._limit + 1):
            reply = self._caller.ask([*opening, *exchange], situation.iteration)
            exchange.append({"role": "assistant", "content": reply.text or "(empty reply)"})
            outcome = self._judge(reply, situation)
            if isinstance(outcome, Proposal):
                return Suggestion(outcome.architecture, "model", tuple(exchange))
            if isinstance(outcome, NoImprovement):
                situation.journal.record("declined", iteration=situation.iteration)
                return Stop("declined")
            exchange.append(self._prompt.refusal(outcome))
        return self._give_up(situation, exchange)

    def _judge(self, reply: Reply, situation: Situation) -> Outcome:
        outcome = _read(reply, self.space)
        refused: Architecture | None = None
        if isinstance(outcome, Proposal):
            refusal = situation.refusal(outcome.architecture)
            if refusal is None:
                return outcome
            refused, outcome = outcome.architecture, refusal
        elif isinstance(outcome, NoImprovement):
            if situation.trials:
                return outcome
            outcome = Rejection("declined too early", "Nothing has been evaluated yet; propose a first design.")
        situation.journal.record(
            "rejected",
            iteration=situation.iteration,
            reason=outcome.reason,
            detail=outcome.detail,
            architecture=None if refused is None else list(refused),
        )
        return outcome

    def _give_up(self, situation: Situation, exchange: list[Message]) -> Suggestion | Stop:
        draw = _random_untried(situation) if self._on_exhausted == "fallback" else None
        return Stop("rejections") if draw is None else Suggestion(draw, "fallback", tuple(exchange))


def _read(reply: Reply, space: SearchSpace) -> Outcome:
    """Return what a reply says; a reply that was cut, filtered or empty is refused whatever it holds."""
    from genius_kit.replies import parse_reply

    if reply.refusal:
        return Rejection("model refused", "You declined to answer; please propose one design in the format asked for.")
    if reply.finish_reason == "length":
        return Rejection(
            "cut", "Your reply was cut off at the output limit; answer more briefly, with the design last."
        )
    if reply.finish_reason == "content_filter":
        return Rejection("content filter", "Your reply was withheld by a filter; please propose one design again.")
    if not reply.text or not reply.text.strip():
        return Rejection("empty", "Your reply was empty; please propose one design in the format asked for.")
    return parse_reply(reply.text, space)


def _client(space: SearchSpace, settings: dict[str, Any]) -> ChatClient:
    if settings["model"] == "offline":
        from genius_kit.offline import OfflineClient

        return OfflineClient()
    from genius_kit.llm import OpenAIClient, schema_for

    return OpenAIClient(
        settings["model"],
        base_url=settings["base_url"],
        temperature=settings["temperature"],
        max_tokens=settings["max_tokens"],
        response_schema=schema_for(space) if settings["constrained_replies"] else None,
    )


PROPOSERS: dict[str, Callable[..., Proposer]] = {
    "llm": LanguageModelProposer,
    "random": RandomProposer,
    "prior": PriorProposer,
    "coordinate-descent": CoordinateDescentProposer,
}


def make_proposer(name: str, space: SearchSpace, **settings: Any) -> Proposer:
    """Return the search method called `name`.

    Raises UnknownName for an unknown method and InvalidParameter for a setting it does not have; both list the
    known ones.
    """
    if name not in PROPOSERS:
        raise UnknownName(f"no proposer is called {name!r}; the known ones are {', '.join(PROPOSERS)}")
    known = set(inspect.signature(PROPOSERS[name]).parameters) - {"space", "name", "settings", "resolved"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InvalidParameter(
            f"{name} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known)) or 'no settings'}"
        )
    return PROPOSERS[name](space, **settings)
