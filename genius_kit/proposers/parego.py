"""ParEGO: the Gaussian process of `gp` on one weighted sum of all objectives after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.proposers.base import Situation, Stop, Suggestion, random_suggestion
from genius_kit.proposers.bayesian import GaussianProcessProposer
from genius_kit.spaces import Architecture

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks import Benchmark
    from genius_kit.llm.session import Session

SLOPE = 0.05
"""Part of the plain sum in each scalarisation, so that it grows with every objective (Knowles, 2006)."""
_WEIGHTS_TAG = 3  # keep the draw of the weights apart from those of candidates, see `bayesian`


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
        """Return the next design; a random one while no trial has every objective."""
        trials, _ = situation.benchmark.weighed(self.name).measured(situation.trials)
        if situation.trials and not trials and self.settings["start"] == "random":
            return random_suggestion(situation)
        return super().propose(situation)

    def targets(self, situation: Situation) -> tuple[list[Architecture], np.ndarray]:
        """Return the designs with every objective measured, and what the drawn weights make of them: more is better."""
        import numpy as np

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
