"""The baselines: random search, the largest architecture, and searches by small changes of what was evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, random_suggestion, scored_trials
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

STARTS = ("largest", "best")
POPULATION = 10
SAMPLE = 10
MUTATION_DRAWS = 100
"""Mutations drawn before a parent counts as exhausted and a random architecture takes its turn."""


class RandomProposer(Proposer):
    """Uniform random search without repetition: the baseline whose distribution `statistics` knows exactly."""

    name = "random"

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried architecture drawn at random."""
        return random_suggestion(situation)


class PriorProposer(Proposer):
    """The largest option everywhere, evaluated once: what a designer knows before any search."""

    name = "prior"

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the all-largest architecture the first time, then stop."""
        if situation.was_tried(self.space.all_largest):
            return Stop("prior spent")
        refusal = situation.refusal(self.space.all_largest)
        return Suggestion(self.space.all_largest) if refusal is None else Stop(refusal.reason)


class CoordinateDescentProposer(Proposer):
    """Start at the all-largest architecture and change one position at a time, keeping what is better.

    Each run tries the one-position changes in its own random order, each on the best architecture so far, and begins
    again with the first when it has been through them all. It never evaluates an architecture twice, and stops at a
    local optimum: after a pass that found nothing new. With `start="best"` it begins at the best architecture that was
    evaluated before, at a random one where there is none.
    """

    name = "coordinate-descent"

    def __init__(self, space: SearchSpace, *, start: str = "largest") -> None:
        super().__init__(space)
        if start not in STARTS:
            raise InvalidParameter(f"start is {start!r}; it is one of {', '.join(STARTS)}")
        self.start = start
        self.settings = {} if start == "largest" else {"start": start}
        self.resolved = {"order": "each change once a pass"}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next untried change of the best architecture so far."""
        if self.start == "largest" and situation.refusal(self.space.all_largest) is None:
            return Suggestion(self.space.all_largest)
        if not scored_trials(situation):
            return random_suggestion(situation)
        step = self._next_change(situation)
        return Suggestion(step) if step is not None else Stop("local optimum")

    def _next_change(self, situation: Situation) -> Architecture | None:
        """Go through the passes again with what is known, up to the first change that is not; None at their end.

        What was evaluated before the descent (a given first architecture) is where it may start.
        """
        import numpy as np

        changes = [
            (position, option) for position, options in enumerate(self.space.choices) for option in range(len(options))
        ]
        order = np.random.default_rng(situation.seed).permutation(len(changes))
        known = {trial.architecture: fitness(trial) for trial in situation.trials}
        best = self._start(situation)
        while True:
            begun = best
            for place in order:
                position, option = changes[place]
                changed = (*best[:position], option, *best[position + 1 :])
                if changed in known:
                    best = max(best, changed, key=known.__getitem__)
                elif situation.refusal(changed) is None:
                    return changed
            if best == begun:
                return None

    def _start(self, situation: Situation) -> Architecture:
        """Return where the descent began: the best up to the all-largest, or of what was evaluated before.

        That is up to the first that has a result where none of it came to one.
        """
        trials = situation.trials
        scored = next(place for place, trial in enumerate(trials, 1) if trial.evaluation.feedback is not None)
        if self.start == "best":
            before = _before_the_optimiser(situation)
        else:
            largest = self.space.all_largest
            before = next((place for place, trial in enumerate(trials, 1) if trial.architecture == largest), 1)
        return max(trials[: max(before, scored)], key=fitness).architecture


def _before_the_optimiser(situation: Situation) -> int:
    """Return how many evaluations came before the first that an optimiser proposed."""
    proposals = (event for event in situation.journal.events if event["event"] == "proposal")
    own = (event["iteration"] - 1 for event in proposals if event["origin"] == "optimiser")
    return next(own, len(situation.trials))


class EvolutionProposer(Proposer):
    """Regularised evolution (Real et al., AAAI 2019): the oldest dies, the best of a random sample is changed once.

    The population is the last `population` evaluations; a child is one of its parent's one-position changes. The
    first `population` architectures are drawn at random.
    """

    name = "evolution"

    def __init__(self, space: SearchSpace, *, population: int = POPULATION, sample: int = SAMPLE) -> None:
        super().__init__(space)
        check_sample(sample, population)
        self.settings = {"population": population, "sample": sample}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return a change of the parent; a random architecture at first and where the parent has no untried change."""
        parent = choose_parent(situation, **self.settings)
        child = mutate(situation, parent.architecture) if parent is not None else None
        return random_suggestion(situation) if child is None else Suggestion(child)


class LocalSearchProposer(Proposer):
    """Climb from a random architecture by the first one-position change that is better; restart at a local optimum."""

    name = "local-search"

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried neighbour of where the climb stands, or a random restart where there is none."""
        here = situation.trials.folded("climb", climb, None)
        neighbours = self.space.neighbours(here.architecture) if here is not None else ()
        untried = [other for other in neighbours if not situation.refusal(other)]
        if untried:
            return Suggestion(untried[int(situation.rng().integers(len(untried)))])
        return random_suggestion(situation)


def check_sample(sample: int, population: int) -> None:
    """Raise InvalidParameter for a sample that cannot be drawn from the population."""
    if not 1 <= sample <= population:
        raise InvalidParameter(f"sample must be 1 to the population of {population}, got {sample}")


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


def climb(here: Trial | None, trial: Trial) -> Trial:
    """Return the trial where a local search stands after `trial`, that stood at `here` (None: nowhere yet).

    It moves to a better neighbour; an architecture that is no neighbour is a restart.
    """
    is_neighbour = here is not None and differing(here.architecture, trial.architecture) == 1
    return here if here is not None and is_neighbour and fitness(trial) <= fitness(here) else trial


def differing(first: Architecture, second: Architecture) -> int:
    """Return the number of positions at which two architectures differ (their Hamming distance)."""
    return sum(one != other for one, other in zip(first, second, strict=True))


def fitness(trial: Trial) -> float:
    """Return the trial's feedback, minus infinity where it came to no result."""
    feedback = trial.evaluation.feedback
    return float("-inf") if feedback is None else feedback
