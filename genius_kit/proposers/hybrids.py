"""A language model beside an optimiser: it begins the search, mutates a parent, or names what is chosen from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from genius_kit.errors import InvalidParameter
from genius_kit.prompts import TemplatePrompt
from genius_kit.prompts.base import fill, read_template
from genius_kit.proposers.base import (
    Proposer,
    Situation,
    Stop,
    Suggestion,
    make_proposer,
    random_suggestion,
    scored_trials,
)
from genius_kit.proposers.baselines import check_sample, choose_parent
from genius_kit.proposers.llm import LanguageModelProposer, ModelSettings
from genius_kit.records import Message, Proposal
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.chat import ChatClient
    from genius_kit.proposers.bayesian import GaussianProcessProposer

LINE_CHARACTERS = 200  # of the line that shows a parent, at most


def _load_text(proposer: Proposer, name: str) -> str:
    """Return a text that is added to the conversation; its hash is among what decides the run."""
    text = read_template("hybrids", name)
    proposer.resolved["instruction_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return text


@dataclass(frozen=True, kw_only=True)
class FirstSettings(ModelSettings):
    """How many proposals the model makes before an optimiser goes on."""

    counts: ClassVar[tuple[str, ...]] = ("model_proposals",)
    model_proposals: int = 5


class _ModelFirst(LanguageModelProposer):
    """The model makes the first proposals, an optimiser goes on from all results so far.

    With one proposal it is a baseline that starts as the model does: what the model finds beyond it is the search,
    what both find is the first guess. A first architecture that was given counts as no proposal. A model that declares
    an end before it has made all of its proposals hands over at once.
    """

    takes = FirstSettings
    start: ClassVar[dict[str, Any]] = {}
    """Settings by which the optimiser has no start of its own."""

    @cached_property
    def optimiser(self) -> Proposer:
        """The optimiser that goes on."""
        return make_proposer(self.name.removeprefix("llm+"), self.space, **self.start)

    def talks(self, budget: int) -> tuple[slice, int]:
        """Return the iterations of the model's proposals."""
        return slice(0, min(budget, self.settings["model_proposals"])), 1

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the model's proposal while it has one to make, then the optimiser's."""
        if not self._is_over(situation):
            step = self.ask_for(situation)
            if step != Stop("declined"):
                return step
        return self.optimiser.propose(situation)

    def _is_over(self, situation: Situation) -> bool:
        """Return whether the model has made its proposals; fallbacks for refused ones count."""
        events = situation.journal.events
        first = next((event["origin"] for event in events if event["event"] == "proposal"), None)
        made = len(situation.trials) - (first == "given")
        return made >= self.settings["model_proposals"] or any(event["event"] == "declined" for event in events)


class ModelThenGaussianProcess(_ModelFirst):
    """The model makes the first proposals, the Gaussian process goes on."""

    name = "llm+gp"
    start: ClassVar[dict[str, Any]] = {"initial": 1}


class ModelThenTPE(_ModelFirst):
    """The model makes the first proposals, Optuna's TPE goes on, from its model at once."""

    name = "llm+tpe"
    start: ClassVar[dict[str, Any]] = {"initial": 1}


class ModelThenCoordinateDescent(_ModelFirst):
    """The model makes the first proposals, coordinate descent goes on from the best of them."""

    name = "llm+coordinate-descent"
    start: ClassVar[dict[str, Any]] = {"start": "best"}


class ModelThenLocalSearch(_ModelFirst):
    """The model makes the first proposals, local search goes on from the last that was no step down."""

    name = "llm+local-search"


@dataclass(frozen=True, kw_only=True)
class MutationSettings(ModelSettings):
    """Of how many architectures the population is, and among how many of it a parent is chosen (all by default).

    It is smaller than that of evolution: its first architectures are random, and the model is not asked for them.
    """

    counts: ClassVar[tuple[str, ...]] = ("population",)
    population: int = 4
    sample: int | None = None

    def check(self, space: SearchSpace) -> None:
        """Refuse a sample that cannot be drawn, and a prompt to which no parent can be added, too."""
        super().check(space)
        if str(self.prompt) == "published":
            raise InvalidParameter("llm-mutation cannot ask in the published prompt: its text is fixed")
        check_sample(self.population if self.sample is None else self.sample, self.population)

    def record(self, client: ChatClient | None) -> dict[str, Any]:
        """Return them with the sample that is drawn."""
        return {**super().record(client), "sample": self.population if self.sample is None else self.sample}


class ModelMutationProposer(LanguageModelProposer):
    """Regularised evolution whose mutation is the model: it is shown the parent and asked for a small change of it.

    As in evolution, the first `population` architectures are random, a parent is the best of `sample` (default: all) of
    the last `population`, and the oldest die.
    """

    name = "llm-mutation"
    takes = MutationSettings

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`, and the text that names the parent."""
        super().load_prompt(benchmark)
        self._text = _load_text(self, "mutation")

    def talks(self, budget: int) -> tuple[slice, int]:
        """Return the iterations after the random ones."""
        return slice(min(budget, self.settings["population"]), budget), 1

    @property
    def instruction_length(self) -> int:
        """Characters of the text that names the parent, and of its line."""
        return len(self._text) + LINE_CHARACTERS

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return a random architecture at first, then what the model makes of the parent."""
        parent = choose_parent(situation, population=self.settings["population"], sample=self.settings["sample"])
        if parent is None:
            return random_suggestion(situation)
        prompt = self.prompt(situation.seed)
        assert isinstance(prompt, TemplatePrompt)  # the published one was refused
        line = prompt.lines(situation.trials)[situation.trials.index(parent)]
        return self.ask_for(situation, fill(self._text, {"parent": line}, "mutation.md"))


@dataclass(frozen=True, kw_only=True)
class FilterSettings(ModelSettings):
    """How many architectures the model names before one of them is picked."""

    counts: ClassVar[tuple[str, ...]] = ("proposals",)
    proposals: int = 3


class FilteredModelProposer(LanguageModelProposer):
    """The model names several architectures in one conversation, the Gaussian process picks the one to evaluate.

    Before any result it is the first that is evaluated. All that were named are on record ("candidates").
    """

    name = "gp-filtered-llm"
    takes = FilterSettings

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`, and the text that asks for another architecture."""
        super().load_prompt(benchmark)
        self._text = _load_text(self, "another")

    def talks(self, budget: int) -> tuple[slice, int]:
        """Return all iterations, with as many conversations as architectures are asked for."""
        return slice(0, budget), self.settings["proposals"]

    @property
    def instruction_length(self) -> int:
        """Characters of the texts that ask for another architecture."""
        return len(self._text) * self.settings["proposals"]

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the architecture of highest expected improvement among those that the model names.

        A model that names none in time is replaced by a random architecture, or ends the run, as `on_exhausted` says;
        one that names fewer than it is asked for is taken at what it named.
        """
        step = self.ask_for(situation)
        if isinstance(step, Stop) or step.origin != "model":
            return step
        named, exchange = self._name_more(situation, step)
        chosen = named[0]
        if len(named) > 1 and scored_trials(situation):
            chosen = self._surrogate.choose(situation, named)
        situation.journal.record(
            "candidates",
            iteration=situation.iteration,
            architectures=[list(architecture) for architecture in named],
            chosen=list(chosen),
        )
        return Suggestion(chosen, "model", exchange)

    def _name_more(self, situation: Situation, first: Suggestion) -> tuple[list[Architecture], tuple[Message, ...]]:
        """Return all architectures that the model names, `first` among them, and the whole talk."""
        another = Message(role="user", content=fill(self._text, {}, "another.md"))
        named, exchange = [first.architecture], first.exchange
        while len(named) < self.settings["proposals"]:
            talk = self.converse(situation, exclude=named, exchange=(*exchange, another))
            exchange = talk.exchange
            if not isinstance(talk.outcome, Proposal):
                break
            named.append(talk.outcome.architecture)
        return named, exchange

    @cached_property
    def _surrogate(self) -> GaussianProcessProposer:
        from genius_kit.proposers.bayesian import GaussianProcessProposer

        return GaussianProcessProposer(self.space, initial=1)
