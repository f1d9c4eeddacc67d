"""The proposers that cost nothing: random search, the largest design, and one change at a time from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genius_kit.proposers import Situation, Stop, Suggestion, best_trial, random_untried
from genius_kit.spaces import SearchSpace


@dataclass
class RandomProposer:
    """Uniform random search without repetition: the baseline whose distribution `statistics` knows exactly."""

    space: SearchSpace
    name: str = "random"
    settings: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return an untried architecture drawn at random."""
        draw = random_untried(situation)
        return draw if isinstance(draw, Stop) else Suggestion(draw)


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

        if situation.refusal(self.space.all_largest) is None:
            return Suggestion(self.space.all_largest)
        best = best_trial(situation)
        if best is None:
            draw = random_untried(situation)
            return draw if isinstance(draw, Stop) else Suggestion(draw)
        neighbours = list(self.space.neighbours(best.architecture))
        order = np.random.default_rng(situation.seed).permutation(len(neighbours))
        untried = (neighbours[i] for i in order if situation.refusal(neighbours[i]) is None)
        step = next(untried, None)
        return Suggestion(step) if step is not None else Stop("local optimum")
