"""A language model beside an optimiser: it begins the search, mutates a parent, or names what is chosen from."""

from __future__ import annotations

import hashlib
import inspect
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
"""Smaller than that of evolution: its first architectures are random, and the model is not asked for them."""


class _Hybrid(LanguageModelProposer):
    """Takes the settings of the language model beside its own, and says so when it is inspected."""

    def __init_subclass__(cls) -> None:
        own, language = (inspect.signature(made.__init__).parameters for made in (cls, LanguageModelProposer))
        taken = {name: one for name, one in {**own, **language}.items() if name not in ("self", "settings")}
        cls.__signature__ = inspect.Signature(list(taken.values()))  # type: ignore[attr-defined]

    def _count(self, **setting: int) -> None:
        """Take a setting of this class, by its name, that is a count of at least 1."""
        for name, value in setting.items():
            if value < 1:
                raise InvalidParameter(f"{name} is {value}; it is a count of at least 1")
        self.settings |= setting

    def _load_text(self, name: str) -> str:
        """Return a text that is added to the conversation; its hash is among what decides the run."""
        text = read_template("hybrids", name)
        self.resolved["instruction_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return text


class _ModelFirst(_Hybrid):
    """The model makes the first proposals, an optimiser goes on from all results so far.

    With one proposal it is a baseline that starts as the model does: what the model finds beyond it is the search,
    what both find is the first guess. A first architecture that was given counts as no proposal. A model that declares
    an end before it has made all of its proposals hands over at once.
    """

    start: ClassVar[dict[str, Any]] = {}
    """Settings by which the optimiser has no start of its own."""

    def __init__(self, space: SearchSpace, *, model_proposals: int = MODEL_PROPOSALS, **settings: Any) -> None:
        super().__init__(space, **settings)
        self._count(model_proposals=model_proposals)

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


class ModelMutationProposer(_Hybrid):
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
        self._count(population=population)
        self.settings["sample"] = population if sample is None else sample
        check_sample(self.settings["sample"], population)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`, and the text that names the parent."""
        super().load_prompt(benchmark)
        self._text = self._load_text("mutation")

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


class FilteredModelProposer(_Hybrid):
    """The model names several designs in one conversation, the Gaussian process picks the one to evaluate.

    Before any result it is the first that is evaluated. All that were named are on record ("candidates").
    """

    name = "gp-filtered-llm"

    def __init__(self, space: SearchSpace, *, proposals: int = PROPOSALS, **settings: Any) -> None:
        super().__init__(space, **settings)
        self._count(proposals=proposals)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`, and the text that asks for another design."""
        super().load_prompt(benchmark)
        self._text = self._load_text("another")

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
        from genius_kit.proposers.bayesian import GaussianProcessProposer

        return GaussianProcessProposer(self.space, initial=1)
