"""A language model beside an optimiser: it begins the search, mutates a parent, or names what is chosen from."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

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
from genius_kit.proposers.evolution import choose_parent
from genius_kit.proposers.llm import LanguageModelProposer
from genius_kit.records import Message, Proposal
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.proposers.bayesian import GaussianProcessProposer

MODEL_PROPOSALS = 5
PROPOSALS = 3
LINE_CHARACTERS = 200  # of the line that shows a parent, at most
MUTATION_POPULATION = 4
"""Smaller than that of evolution: its first designs are random, and the model is not asked for them."""

Class = TypeVar("Class", bound=type)


def _with_language_settings(made: Class) -> Class:
    """Let a class say, when it is inspected, that it takes the settings of the language model beside its own."""
    own = list(inspect.signature(made).parameters.values())
    language = inspect.signature(LanguageModelProposer).parameters.values()
    named = [one for one in own if one.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = [*named, *(one for one in language if one.name != "space")]
    made.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    return made


class _ModelFirst(LanguageModelProposer, ABC):
    """The model makes the first proposals, an optimiser goes on from all results so far.

    With one proposal it is a baseline that starts as the model does: what the model finds beyond it is the search,
    what both find is the first guess. A first architecture that was given counts as no proposal. A model that declares
    an end before it has made all of its proposals hands over at once.
    """

    def __init__(self, space: SearchSpace, *, model_proposals: int = MODEL_PROPOSALS, **settings: Any) -> None:
        super().__init__(space, **settings)
        _check_positive("model_proposals", model_proposals)
        self.settings["model_proposals"] = model_proposals

    @cached_property
    @abstractmethod
    def optimiser(self) -> Proposer:
        """The optimiser that goes on, with no start of its own."""

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
        given = sum(event["event"] == "proposal" and event["origin"] == "given" for event in events)
        declined = any(event["event"] == "declined" for event in events)
        return declined or len(situation.trials) - given >= self.settings["model_proposals"]


@_with_language_settings
class ModelThenGaussianProcess(_ModelFirst):
    """The model makes the first proposals, the Gaussian process goes on."""

    name = "llm+gp"

    @cached_property
    def optimiser(self) -> Proposer:
        """The Gaussian process."""
        return _gaussian_process(self.space)


@_with_language_settings
class ModelThenTPE(_ModelFirst):
    """The model makes the first proposals, Optuna's TPE goes on, from its model at once."""

    name = "llm+tpe"

    @cached_property
    def optimiser(self) -> Proposer:
        """TPE without random start."""
        return make_proposer("tpe", self.space, initial=1)


@_with_language_settings
class ModelThenCoordinateDescent(_ModelFirst):
    """The model makes the first proposals, coordinate descent goes on from the best of them."""

    name = "llm+coordinate-descent"

    @cached_property
    def optimiser(self) -> Proposer:
        """Coordinate descent from the best so far."""
        return make_proposer("coordinate-descent", self.space, start="best")


@_with_language_settings
class ModelThenLocalSearch(_ModelFirst):
    """The model makes the first proposals, local search goes on from the last that was no step down."""

    name = "llm+local-search"

    @cached_property
    def optimiser(self) -> Proposer:
        """Local search, which climbs from where the proposals stand."""
        return make_proposer("local-search", self.space)


@_with_language_settings
class ModelMutationProposer(LanguageModelProposer):
    """Regularised evolution whose mutation is the model: it is shown the parent and asked for a small change of it.

    As in evolution, the first `population` designs are random, a parent is the best of `sample` (default: all) of
    the last `population`, and the oldest die.
    """

    name = "llm-mutation"

    def __init__(
        self, space: SearchSpace, *, population: int = MUTATION_POPULATION, sample: int | None = None, **settings: Any
    ) -> None:
        super().__init__(space, **settings)
        if self.settings["prompt"] == "published":
            raise InvalidParameter("llm-mutation cannot ask in the published prompt: its text is fixed")
        _check_positive("population", population)
        sample = population if sample is None else sample
        if not 1 <= sample <= population:
            raise InvalidParameter(f"sample {sample} of population {population}: expected 1 <= sample <= population")
        self.settings |= {"population": population, "sample": sample}

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
        """Return a random design at first, then what the model makes of the parent."""
        parent = choose_parent(situation, population=self.settings["population"], sample=self.settings["sample"])
        if parent is None:
            return random_suggestion(situation)
        prompt = self.prompt(situation.seed)
        assert isinstance(prompt, TemplatePrompt)  # the published one was refused
        line = prompt.lines(situation.trials)[situation.trials.index(parent)]
        return self.ask_for(situation, fill(self._text, {"parent": line}, "mutation.md"))


@_with_language_settings
class FilteredModelProposer(LanguageModelProposer):
    """The model names several designs in one conversation, the Gaussian process picks the one to evaluate.

    Before any result it is the first that is evaluated. All that were named are on record ("candidates").
    """

    name = "gp-filtered-llm"

    def __init__(self, space: SearchSpace, *, proposals: int = PROPOSALS, **settings: Any) -> None:
        super().__init__(space, **settings)
        _check_positive("proposals", proposals)
        self.settings["proposals"] = proposals

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`, and the text that asks for another design."""
        super().load_prompt(benchmark)
        self._text = _load_text(self, "another")

    def talks(self, budget: int) -> tuple[slice, int]:
        """Return all iterations, with as many conversations as designs are asked for."""
        return slice(0, budget), self.settings["proposals"]

    @property
    def instruction_length(self) -> int:
        """Characters of the texts that ask for another design."""
        return len(self._text) * self.settings["proposals"]

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the design of highest expected improvement among those that the model names.

        A model that names none in time is replaced by a random design, or ends the run, as `on_exhausted` says; one
        that names fewer than it is asked for is taken at what it named.
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
        """Return all designs that the model names, `first` among them, and the whole talk."""
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
        return _gaussian_process(self.space)


def _gaussian_process(space: SearchSpace) -> GaussianProcessProposer:
    """Return the Gaussian process that has no start of its own: it goes on from the first result there is."""
    from genius_kit.proposers.bayesian import GaussianProcessProposer

    return GaussianProcessProposer(space, start="random", initial=1)


def _load_text(proposer: LanguageModelProposer, name: str) -> str:
    """Return a text that a hybrid adds to the conversation; its hash is among what decides the run."""
    text = read_template("hybrids", name)
    proposer.resolved["instruction_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return text


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InvalidParameter(f"{name} is {value}; it is a count of at least 1")
