"""NSGA-II over the history of a search: the fittest of all that was evaluated breed one design at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Situation, Stop, Suggestion, random_suggestion
from genius_kit.proposers.evolution import MUTATION_DRAWS, one_change
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.llm.session import Session

POPULATION = 10
CROSSOVER = 0.9
"""Probability that a child has two parents (Deb et al., 2002)."""


class NSGA2Proposer:
    """NSGA-II (Deb et al., IEEE TEC 2002), one child a step, of a benchmark that weighs several objectives.

    The population are the best `population` of all evaluations, by the front that they are in and then by how far
    their neighbours in it lie. Two tournaments of two choose the parents; a child takes each position from either of
    them, and each is then changed with a probability of one in their number, at least one where the child is a copy
    of a parent. The first `population` designs are random. Nothing but the trials is known.
    """

    name = "nsga2"

    def __init__(self, space: SearchSpace, *, population: int = POPULATION, crossover: float = CROSSOVER) -> None:
        if population < 2:
            raise InvalidParameter(f"population is {population}; two parents are needed")
        if not 0 <= crossover <= 1:
            raise InvalidParameter(f"crossover is {crossover}; it is a probability, 0 to 1")
        self.space = space
        self.settings: dict[str, Any] = {"population": population, "crossover": crossover}
        self.resolved: dict[str, Any] = {}

    def prepare(self, benchmark: Benchmark, session: Session) -> None:
        """Raise InvalidParameter for a benchmark of one objective."""
        benchmark.weighed(self.name)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried child of the population; a random architecture at first and where there is none."""
        population = fittest(situation, self.settings["population"])
        if len(situation.trials) < self.settings["population"] or not population:
            return random_suggestion(situation)
        rng = situation.rng()
        for _ in range(MUTATION_DRAWS):
            child = self._child(population, rng)
            if situation.refusal(child) is None:
                return Suggestion(child)
        return random_suggestion(situation)

    def _child(self, population: list[Trial], rng: np.random.Generator) -> Architecture:
        mother, father = (_tournament(population, rng) for _ in range(2))
        child = mother
        if rng.random() < self.settings["crossover"]:
            picked = rng.random(self.space.length) < 0.5
            child = tuple(one if first else other for one, other, first in zip(mother, father, picked, strict=True))
        changes = int(rng.binomial(self.space.length, 1 / self.space.length))
        for _ in range(max(changes, int(child in (mother, father)))):
            child = one_change(self.space, child, rng)
        return child


def fittest(situation: Situation, count: int) -> list[Trial]:
    """Return the best `count` trials, the best first: by their front, in it the least crowded, of equals the earlier.

    Trials of which an objective was not measured are left out.
    """
    import numpy as np

    from genius_kit.pareto import crowding_of, ranks_of

    trials, losses = situation.benchmark.weighed("nsga2").measured(situation.trials)
    if not trials:
        return []
    ranks, crowding = ranks_of(losses), np.zeros(len(trials))
    for rank in range(int(ranks.max()) + 1):
        crowding[ranks == rank] = crowding_of(losses[ranks == rank])
    return [trials[int(place)] for place in np.lexsort((np.arange(len(trials)), -crowding, ranks))[:count]]


def _tournament(population: list[Trial], rng: np.random.Generator) -> Architecture:
    """Return the better of two that are drawn: the population stands in order."""
    return population[int(rng.integers(len(population), size=2).min())].architecture
