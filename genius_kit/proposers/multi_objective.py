"""The optimisers that weigh several objectives: NSGA-II over the history, and ParEGO on one weighted sum per step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, random_suggestion
from genius_kit.proposers.baselines import MUTATION_DRAWS, one_change
from genius_kit.proposers.bayesian import GaussianProcessProposer
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.stats.fronts import crowding_of, front_of

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.llm.session import Session

POPULATION = 10
CROSSOVER = 0.9
"""Probability that a child has two parents (Deb et al., 2002)."""
SLOPE = 0.05
"""Part of the plain sum in each scalarisation, so that it grows with every objective (Knowles, 2006)."""
_WEIGHTS_TAG = 3  # keep the draw of the weights apart from those of candidates, see `bayesian`


class NSGA2Proposer(Proposer):
    """NSGA-II (Deb et al., IEEE TEC 2002), one child per step, of a benchmark that weighs several objectives.

    The population are the best `population` of all evaluations, by the front that they are in and then by how far
    their neighbours in it lie. Two tournaments of two choose the parents; a child takes each position from either of
    them, and each is then changed with a probability of one in their number, at least one where the child is a copy
    of a parent. The first `population` architectures are random. Nothing but the trials is known.
    """

    name = "nsga2"

    def __init__(self, space: SearchSpace, *, population: int = POPULATION, crossover: float = CROSSOVER) -> None:
        super().__init__(space)
        if population < 2:
            raise InvalidParameter(f"population is {population}; two parents are needed")
        if not 0 <= crossover <= 1:
            raise InvalidParameter(f"crossover is {crossover}; it is a probability, 0 to 1")
        self.settings = {"population": population, "crossover": crossover}

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

    Trials of which an objective was not measured are left out, and so are those that `count` others dominate, which
    can never again be among the best.
    """
    objectives = situation.benchmark.weighed("nsga2")

    def add(kept: list[Trial], trial: Trial) -> list[Trial]:
        trials, losses = objectives.measured([*kept, trial])
        no_worse = (losses[:, None] <= losses).all(axis=2)  # of (dominating, dominated)
        dominating = (no_worse & ~no_worse.T).sum(axis=0)
        return [one for one, number in zip(trials, dominating, strict=True) if number < count]

    kept = situation.trials.folded(f"the fittest {count}", add, list[Trial]())
    losses = objectives.measured(kept)[1]
    left, best = np.arange(len(kept)), list[int]()
    while len(left) and len(best) < count:
        first = front_of(losses[left])
        best += left[first][np.argsort(-crowding_of(losses[left[first]]), kind="stable")].tolist()
        left = left[~first]
    return [kept[place] for place in best[:count]]


def _tournament(population: list[Trial], rng: np.random.Generator) -> Architecture:
    """Return the better of two that are drawn: the population stands in order."""
    return population[int(rng.integers(len(population), size=2).min())].architecture


class ParEGOProposer(GaussianProcessProposer):
    """ParEGO (Knowles, IEEE TEC 2006): at each step the weights of a Chebyshev scalarisation are drawn anew.

    Objectives count in parts of the range seen so far. The kernel, the expected improvement and the start are those
    of "gp". The benchmark has to weigh several objectives.
    """

    name = "parego"

    def constants(self) -> dict[str, Any]:
        """Return the constants of "gp" and the part of the plain sum."""
        return {**super().constants(), "slope": SLOPE}

    def prepare(self, benchmark: Benchmark, session: Session) -> None:
        """Raise InvalidParameter for a benchmark of one objective."""
        benchmark.weighed(self.name)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next architecture; a random one while no trial has every objective."""
        trials, _ = situation.benchmark.weighed(self.name).measured(situation.trials)
        if situation.trials and not trials and self.settings["start"] == "random":
            return random_suggestion(situation)
        return super().propose(situation)

    def targets(self, situation: Situation) -> tuple[list[Architecture], np.ndarray]:
        """Return the architectures with every objective measured, and what the drawn weights make of each, (n,)."""
        trials, losses = situation.benchmark.weighed(self.name).measured(situation.trials)
        low, spread = losses.min(axis=0), np.ptp(losses, axis=0)
        parts = (losses - low) / np.where(spread > 0, spread, 1.0)
        rng = np.random.default_rng([situation.seed, situation.iteration, _WEIGHTS_TAG])
        weights = rng.dirichlet(np.ones(losses.shape[1]))
        return [trial.architecture for trial in trials], scalarised(parts, weights)


def scalarised(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the augmented Chebyshev value of each point (n, k), negated: the greater the better, shape (n,)."""
    weighed = parts * weights
    values: np.ndarray = -(weighed.max(axis=1) + SLOPE * weighed.sum(axis=1))
    return values
