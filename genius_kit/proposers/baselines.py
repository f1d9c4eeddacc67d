"""The proposers that cost nothing: random search, the largest design, and one change at a time from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Situation, Stop, Suggestion, best_trial, random_suggestion
from genius_kit.proposers.evolution import fitness
from genius_kit.records import Trial
from genius_kit.spaces import Architecture, SearchSpace


@dataclass
class RandomProposer:
    """Uniform random search without repetition: the baseline whose distribution `statistics` knows exactly."""

    space: SearchSpace
    name: str = "random"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried architecture drawn at random."""
        return random_suggestion(situation)


@dataclass
class PriorProposer:
    """The largest option everywhere, evaluated once: what a designer knows before any search."""

    space: SearchSpace
    name: str = "prior"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the all-largest architecture the first time, then stop."""
        if situation.was_tried(self.space.all_largest):
            return Stop("prior spent")
        refusal = situation.refusal(self.space.all_largest)
        return Suggestion(self.space.all_largest) if refusal is None else Stop(refusal.reason)


STARTS = ("largest", "best")


class CoordinateDescentProposer:
    """Start at the all-largest architecture and change one position at a time, keeping what is better.

    Each run tries the one-position changes in its own random order, each on the best architecture so far, and begins
    again with the first when it has been through them all. It never evaluates an architecture twice, and stops at a
    local optimum: after a pass that found nothing new. With `start="best"` it begins at the best architecture that was
    evaluated before, at a random one where there is none.
    """

    name = "coordinate-descent"

    def __init__(self, space: SearchSpace, *, start: str = "largest") -> None:
        if start not in STARTS:
            raise InvalidParameter(f"start is {start!r}; it is one of {', '.join(STARTS)}")
        self.space, self.start = space, start
        self.settings: dict[str, Any] = {} if start == "largest" else {"start": start}
        self.resolved: dict[str, Any] = {"order": "each change once a pass"}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next untried change of the best architecture so far."""
        if self.start == "largest" and situation.refusal(self.space.all_largest) is None:
            return Suggestion(self.space.all_largest)
        if best_trial(situation) is None:
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
        trials = list(situation.trials)
        scored = next(place for place, trial in enumerate(trials) if trial.evaluation.feedback is not None)
        before = _before_the_optimiser(situation) if self.start == "best" else self._up_to_the_largest(trials)
        return max(trials[: max(before, scored + 1)], key=fitness).architecture

    def _up_to_the_largest(self, trials: Sequence[Trial]) -> int:
        return next((place for place, trial in enumerate(trials, 1) if trial.architecture == self.space.all_largest), 1)


def _before_the_optimiser(situation: Situation) -> int:
    """Return how many evaluations came before the first that an optimiser proposed."""
    proposals = [event for event in situation.journal.events if event["event"] == "proposal"]
    own = (event["iteration"] - 1 for event in proposals if event["origin"] == "optimiser")
    return next(own, len(situation.trials))
