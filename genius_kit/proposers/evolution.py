"""Search by small changes: regularised evolution, and local search with restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Situation, Stop, Suggestion, random_suggestion
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

POPULATION = 10
SAMPLE = 10
MUTATION_DRAWS = 100
"""Mutations drawn before a parent counts as exhausted and a random architecture takes its turn."""


class EvolutionProposer:
    """Regularised evolution (Real et al., AAAI 2019): the oldest dies, the best of a random sample is changed once.

    The population is the last `population` evaluations; a child is one of its parent's one-position changes. The
    first `population` architectures are drawn at random.
    """

    name = "evolution"

    def __init__(self, space: SearchSpace, *, population: int = POPULATION, sample: int = SAMPLE) -> None:
        if not 1 <= sample <= population:
            raise InvalidParameter(f"sample {sample} of population {population}: expected 1 <= sample <= population")
        self.space = space
        self.settings: dict[str, Any] = {"population": population, "sample": sample}
        self.resolved: dict[str, Any] = {}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return a change of the parent; a random architecture at first and where the parent has no untried change."""
        parent = choose_parent(situation, **self.settings)
        child = mutate(situation, parent.architecture) if parent is not None else None
        if child is not None:
            return Suggestion(child)
        return random_suggestion(situation)


class LocalSearchProposer:
    """Climb from a random architecture by the first one-position change that is better; restart at a local optimum."""

    name = "local-search"

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.settings: dict[str, Any] = {}
        self.resolved: dict[str, Any] = {}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried neighbour of where the climb stands, or a random restart where there is none."""
        here = climb(situation.trials)
        if here is not None:
            neighbours = [other for other in self.space.neighbours(here.architecture) if not situation.refusal(other)]
            if neighbours:
                return Suggestion(neighbours[int(situation.rng().integers(len(neighbours)))])
        return random_suggestion(situation)


def choose_parent(situation: Situation, population: int = POPULATION, sample: int = SAMPLE) -> Trial | None:
    """Return the best of `sample` of the last `population` trials; None while there are fewer than `population`.

    A trial that came to no result loses to every other.
    """
    if len(situation.trials) < population:
        return None
    drawn = situation.rng().choice(population, size=sample, replace=False)
    return max((situation.trials[-1 - int(age)] for age in sorted(drawn, reverse=True)), key=fitness)


def mutate(situation: Situation, parent: Architecture) -> Architecture | None:
    """Return `parent` with one position changed, untried and allowed, or None after `MUTATION_DRAWS` draws."""
    import numpy as np

    space = situation.benchmark.space
    rng = np.random.default_rng([situation.seed, situation.iteration, 1])  # apart from the draw of the parent
    children = (one_change(space, parent, rng) for _ in range(MUTATION_DRAWS))
    return next((child for child in children if situation.refusal(child) is None), None)


def one_change(space: SearchSpace, parent: Architecture, rng: np.random.Generator) -> Architecture:
    """Return `parent` with another option at one position, both drawn uniformly."""
    position = int(rng.integers(space.length))
    step = int(rng.integers(1, len(space.choices[position])))
    option = (parent[position] + step) % len(space.choices[position])
    return (*parent[:position], option, *parent[position + 1 :])


def climb(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial where a local search stands that made `trials`; None before the first.

    It moves to every better neighbour; an architecture that is no neighbour is a restart.
    """
    here: Trial | None = None
    for trial in trials:
        is_neighbour = here is not None and differing(here.architecture, trial.architecture) == 1
        if here is None or not is_neighbour or fitness(trial) > fitness(here):
            here = trial
    return here


def differing(first: Architecture, second: Architecture) -> int:
    """Return the number of positions at which two architectures differ (their Hamming distance)."""
    return sum(one != other for one, other in zip(first, second, strict=True))


def fitness(trial: Trial) -> float:
    """Return the trial's feedback, minus infinity where it came to no result."""
    feedback = trial.evaluation.feedback
    return float("-inf") if feedback is None else feedback
