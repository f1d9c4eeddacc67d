"""The optimisers, behind one protocol: given what has been tried, propose the next architecture or stop.

A proposer keeps no state that a crash could lose: its random numbers come from (seed, iteration), and what it
knows comes from the trials and the journal.
"""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.records import Message, Rejection, Trial, Trials
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.spaces.costs import is_listable, list_space, sample_designs

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.chat import ChatClient
    from genius_kit.journal import Journal
    from genius_kit.llm.session import Session

RANDOM_DRAWS = 1_000  # random draws before an untried architecture is looked for among all of them
BOUNDED_DRAWS = 50  # random draws under a bound in a space too large to list


@dataclass(frozen=True)
class Situation:
    """What a proposer may know at one iteration.

    Parameters
    ----------
    benchmark
        What evaluates the proposals.
    trials
        Finished iterations.
    iteration
        From 1.
    seed
        Seed of the search.
    session
        The journal and budget of the run.
    rejected_by_person
        Architectures that a person rejected in this run, by their representatives, each with the reason given.
    last_turned_down
        The proposal of this iteration that a person turned down, and that has to be replaced.
    """

    benchmark: Benchmark
    trials: Trials
    iteration: int
    seed: int
    session: Session
    rejected_by_person: Mapping[Architecture, str] = field(default_factory=dict)
    last_turned_down: TurnedDown | None = None

    @property
    def journal(self) -> Journal:
        """The record of the run."""
        return self.session.journal

    def rng(self) -> np.random.Generator:
        """Return the generator of this (seed, iteration)."""
        import numpy as np

        return np.random.default_rng([self.seed, self.iteration])

    def refusal(
        self, architecture: Architecture, shown: Callable[[Architecture], str] | None = None
    ) -> Rejection | None:
        """Return why an architecture may not be evaluated now (tried already, rejected, over a bound), or None.

        Parameters
        ----------
        architecture
            One option index per position.
        shown
            Writes an architecture for the reader of the detail; default `space.encode`.
        """
        space = self.benchmark.space
        canonical = space.canonical(architecture)
        trial = self._tried.get(canonical)
        if trial is not None:
            return Rejection(
                "duplicate",
                f"{(shown or space.encode)(architecture)} was already evaluated as experiment {trial.iteration}"
                f"{'' if trial.architecture == architecture else ' (an equivalent design)'}; "
                "propose a design that has not been evaluated.",
            )
        if canonical in self.rejected_by_person:
            reason = self.rejected_by_person[canonical]
            return Rejection(
                "rejected by a person",
                f"{(shown or space.encode)(architecture)} was not accepted by the person who watches this search"
                f"{f' ({reason})' if reason else ''}; propose a different design.",
            )
        constraint = self.benchmark.constraint
        bound = constraint.refusal(space, architecture) if constraint is not None else None
        return bound or self.benchmark.refusal(architecture)

    def was_tried(self, architecture: Architecture) -> bool:
        """Return whether an architecture, or an isomorphic one, was evaluated or rejected by a person before.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        canonical = self.benchmark.space.canonical(architecture)
        return canonical in self._tried or canonical in self.rejected_by_person

    def open_rows(self) -> np.ndarray:
        """Return the rows of a listable space that may still be evaluated, int of shape (n,), in rising order."""
        import numpy as np

        space = self.benchmark.space
        listing = list_space(space, self.benchmark.constraint)
        tried = [space.index(architecture) for architecture in (*self._tried, *self.rejected_by_person)]
        allowed = listing.allowed if self.benchmark.known is None else listing.allowed & self.benchmark.known
        return np.flatnonzero(allowed & ~np.isin(listing.classes, tried))

    def known_rows(self) -> np.ndarray:
        """Return the rows that may still be evaluated of a benchmark that knows only some, in rising order."""
        import numpy as np

        space, known = self.benchmark.space, self.benchmark.known
        assert known is not None  # it knows only some
        left = known.copy()
        left[[space.index(one) for one in (*self._tried, *self.rejected_by_person)]] = False
        return np.flatnonzero(left)

    @property
    def _tried(self) -> dict[Architecture, Trial]:
        """The first trial of each isomorphism class, under its representative."""
        return self.trials.folded("tried", self._add_to, {})

    def _add_to(self, tried: dict[Architecture, Trial], trial: Trial) -> dict[Architecture, Trial]:
        tried.setdefault(self.benchmark.space.canonical(trial.architecture), trial)
        return tried


@dataclass(frozen=True)
class Suggestion:
    """The next architecture.

    Parameters
    ----------
    architecture
        One option index per position.
    origin
        "model", "optimiser", "given" (the first one of a search that was told it), "fallback", or "edited" (put by a
        person in the place of a proposal).
    exchange
        The messages that led to it.
    """

    architecture: Architecture
    origin: str = "optimiser"
    exchange: tuple[Message, ...] = ()


@dataclass(frozen=True)
class TurnedDown:
    """A proposal that a person rejected, and the words in which the proposer is told."""

    suggestion: Suggestion
    rejection: Rejection


@dataclass(frozen=True)
class Stop:
    """The proposer has nothing more to propose.

    Parameters
    ----------
    reason
        Goes into the journal.
    """

    reason: str


class Proposer(ABC):
    """One search method; `settings` are what make_proposer was given, so that a journal can rebuild it.

    `resolved` is what the settings came to (hash of the prompt's text, settings of the client), `client` the model
    that is asked, None where none is.
    """

    name: str
    client: ChatClient | None = None

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.settings: dict[str, Any] = {}
        self.resolved: dict[str, Any] = {}

    @classmethod
    def setting_names(cls) -> set[str]:
        """Return the names of the settings that the class takes."""
        return set(inspect.signature(cls).parameters) - {"space"}

    @abstractmethod
    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next architecture or the reason to stop."""

    def load_prompt(self, benchmark: Benchmark) -> None:  # noqa: B027 - most have none
        """Load what a model will be shown, where one is asked: its text is among what decides the run."""

    def prepare(self, benchmark: Benchmark, session: Session) -> None:  # noqa: B027 - most need nothing
        """Take note that a run begins; raises InvalidParameter for a benchmark that cannot be searched so."""

    def naming(self, situation: Situation) -> Callable[[Architecture], str]:
        """Return how an architecture is named to this proposer: a model may see the space under another view."""
        return self.space.encode


def random_untried(situation: Situation) -> Architecture | Stop:
    """Return a random architecture that may be evaluated, or Stop("exhausted") where nothing is left or found.

    It is uniform among those that are left, except under a bound in a space too large to list; see `sample_designs`.
    """
    space, rng, constraint = situation.benchmark.space, situation.rng(), situation.benchmark.constraint
    if situation.benchmark.known is not None:
        left = situation.known_rows()
        return space.at(int(rng.choice(left))) if len(left) else Stop("exhausted")
    if constraint is not None and not is_listable(space):
        draws: Iterable[Architecture] = map(tuple, sample_designs(space, constraint, rng, BOUNDED_DRAWS).tolist())
    else:
        draws = (space.sample(rng) for _ in range(RANDOM_DRAWS))
    found = next((draw for draw in draws if situation.refusal(draw) is None), None)
    if found is not None:
        return found
    rows = situation.open_rows() if is_listable(space) else ()
    return space.at(int(rng.choice(rows))) if len(rows) else Stop("exhausted")


def random_suggestion(
    situation: Situation, origin: str = "optimiser", exchange: tuple[Message, ...] = ()
) -> Suggestion | Stop:
    """Return `random_untried` as a suggestion, or its Stop."""
    draw = random_untried(situation)
    return draw if isinstance(draw, Stop) else Suggestion(draw, origin, exchange)


def scored_trials(situation: Situation) -> list[tuple[Trial, float]]:
    """Return the trials that came to a result, in order, each with its feedback."""
    return [(trial, trial.evaluation.feedback) for trial in situation.trials if trial.evaluation.feedback is not None]


_HOMES = {
    "llm": "llm.LanguageModelProposer",
    "random": "baselines.RandomProposer",
    "prior": "baselines.PriorProposer",
    "coordinate-descent": "baselines.CoordinateDescentProposer",
    "evolution": "baselines.EvolutionProposer",
    "local-search": "baselines.LocalSearchProposer",
    "gp": "bayesian.GaussianProcessProposer",
    "gp-hamming": "bayesian.HammingProcessProposer",
    "linear": "bayesian.LinearProposer",
    "tpe": "tpe.TPEProposer",
    "nsga2": "multi_objective.NSGA2Proposer",
    "parego": "multi_objective.ParEGOProposer",
    "llm+gp": "hybrids.ModelThenGaussianProcess",
    "llm+tpe": "hybrids.ModelThenTPE",
    "llm+coordinate-descent": "hybrids.ModelThenCoordinateDescent",
    "llm+local-search": "hybrids.ModelThenLocalSearch",
    "llm-mutation": "hybrids.ModelMutationProposer",
    "gp-filtered-llm": "hybrids.FilteredModelProposer",
}
PROPOSERS = tuple(_HOMES)
"""The names that `make_proposer` knows."""

WARM = ("llm+gp", "llm+tpe", "llm+coordinate-descent", "llm+local-search")
"""Optimisers that begin with a model's own first proposals."""

TALKING = ("llm", *WARM, "llm-mutation", "gp-filtered-llm")
"""Those of them that ask a language model."""

QUIZ = "memory"
"""Stands in the place of a proposer in journals without a search: questions on a table, see `verdicts.memory`."""

WEIGHING = ("nsga2", "parego")
"""Those of them that weigh several objectives and need a benchmark that has them; the others look at accuracy alone,
but for the language models, which are told all."""


def proposer_class(name: str) -> type[Proposer]:
    """Return the class of the search method called `name`; raises UnknownName, which lists the known ones."""
    if name not in _HOMES:
        raise UnknownName.of("proposer", name, PROPOSERS)
    module, _, attribute = _HOMES[name].partition(".")
    made: type[Proposer] = getattr(importlib.import_module(f"genius_kit.proposers.{module}"), attribute)
    return made


def proposer_settings(name: str) -> list[str]:
    """Return the names of the settings that a search method takes.

    Parameters
    ----------
    name
        Name of the method, as `make_proposer` takes it.
    """
    return sorted(proposer_class(name).setting_names())


def make_proposer(name: str, space: SearchSpace, **settings: Any) -> Proposer:
    """Return a search method.

    Parameters
    ----------
    name
        "llm", "random", "prior", "coordinate-descent", "gp", ...; the help of `genius-kit run` lists them.
    space
        The space to search.
    **settings
        Settings of the method, such as `model` and `prompt` of "llm".

    Raises
    ------
    UnknownName
        No such method; the message lists the known ones.
    InvalidParameter
        A setting that it does not have; the message lists its settings.
    """
    known = proposer_settings(name)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InvalidParameter(
            f"{name} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'no settings'}"
        )
    return proposer_class(name)(space, **settings)
