"""Search by a surrogate: fit a model to what was evaluated, evaluate where it promises most.

Where the space can be written out, every architecture that is left is a candidate; else changes of the best ones
and random draws are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Situation, Stop, Suggestion, random_suggestion, scored_trials
from genius_kit.proposers.evolution import fitness, one_change
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.spaces.costs import is_listable, list_space, sample_designs

if TYPE_CHECKING:
    import numpy as np

STARTS = ("random", "symmetric", "prior")
INITIAL = 5
"""Random architectures evaluated before the first model is fitted."""
CANDIDATES = 2_000
"""Candidates where the space is too large to list: half of them changes of the best, half random draws."""
BOLDNESS = 2.0
"""How many times its deviation a Gaussian process counts at every second step."""
LENGTH_SCALE = 10**0.5
"""Of the plain RBF: designs that differ at h positions have the covariance exp(-h / 10)."""
HAMMING_NOISE = 0.02
LINEAR_NOISE, LINEAR_PRIOR = 0.3, 0.3
"""Variances on standardised targets: of the noise, and of each weight beforehand."""
WIDE_CLIP = 3.0
"""Interquartile ranges beyond which the baselines' targets are clipped."""
PARENTS = 10
"""Best architectures that are changed for candidates."""


class SurrogateProposer(ABC):
    """A search that scores every candidate by a model of what was evaluated, and takes the highest.

    `start` says what is evaluated before there is a model: "random" (`initial` random architectures), or, labelled
    since they know more, "symmetric" (each option everywhere, among them the all-largest) and "prior" (the
    all-largest and two one-position changes of it).
    """

    name: str

    def __init__(self, space: SearchSpace, *, start: str = "random", initial: int = INITIAL) -> None:
        if start not in STARTS:
            raise InvalidParameter(f"start is {start!r}; it is one of {', '.join(STARTS)}")
        if initial < 1:
            raise InvalidParameter(f"initial is {initial}; a model needs at least one evaluation")
        self.space = space
        self.settings: dict[str, Any] = {"start": start, "initial": initial}
        self.resolved: dict[str, Any] = self.constants()

    @abstractmethod
    def constants(self) -> dict[str, Any]:
        """Return the constants of the model, for the record: a run made with others is another run."""

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next design of the start, then the candidate that the model scores highest."""
        opening = self._opening(situation)
        if opening is not None:
            return Suggestion(opening)
        is_beginning = self.settings["start"] == "random" and len(situation.trials) < self.settings["initial"]
        if is_beginning or not scored_trials(situation):
            return random_suggestion(situation)
        candidates = candidate_designs(situation)
        if not len(candidates):
            return Stop("exhausted")
        return Suggestion(self._best_of(situation, candidates))

    def choose(self, situation: Situation, candidates: Sequence[Architecture]) -> Architecture:
        """Return the one of `candidates` that the model scores highest; needs at least one trial with a result."""
        import numpy as np

        return self._best_of(situation, np.array(candidates, dtype=np.int64))

    @abstractmethod
    def score(
        self, designs: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return how promising each candidate is, shape (m,), given the feedback (n,) of `designs` (n, positions)."""

    def _best_of(self, situation: Situation, candidates: np.ndarray) -> Architecture:
        import numpy as np

        designs, feedback = self.targets(situation)
        rng = situation.rng()
        scores = self.score(np.array(designs, dtype=np.int64), feedback, candidates, rng)
        equal = np.flatnonzero(scores >= scores.max() - 1e-12)
        return tuple(int(option) for option in candidates[int(rng.choice(equal))])

    def targets(self, situation: Situation) -> tuple[list[Architecture], np.ndarray]:
        """Return the designs that the model learns from, and what it learns of each, shape (n,): more is better.

        A failure is as bad as the worst.
        """
        import numpy as np

        worst = min(feedback for _, feedback in scored_trials(situation))
        found = [trial.evaluation.feedback for trial in situation.trials]
        designs = [trial.architecture for trial in situation.trials]
        return designs, np.array([worst if value is None else value for value in found])

    def _opening(self, situation: Situation) -> Architecture | None:
        """Return the next untried design of a start that is not random, None where there is none left."""
        import numpy as np

        rng = np.random.default_rng(situation.seed)
        largest = self.space.all_largest
        designs: list[Architecture] = []
        if self.settings["start"] == "symmetric":
            options = rng.permutation(len(self.space.options))
            designs = [(int(option),) * self.space.length for option in options]
        elif self.settings["start"] == "prior":
            if len(situation.trials) > 3:
                return None
            designs = [largest, *(one_change(self.space, largest, rng) for _ in range(2))]
        return next((design for design in designs if situation.refusal(design) is None), None)


class GaussianProcessProposer(SurrogateProposer):
    """Gaussian process with the fixed `CountsKernel`, expected improvement, every second step a bold one.

    A bold step takes the deviation `BOLDNESS` times: without it some searches stay with the operations that their
    first designs favoured. Nothing is fitted.
    """

    name = "gp"

    def constants(self) -> dict[str, Any]:
        """Return the weights of the kernel, the noise, the clipping and the boldness."""
        from genius_kit.proposers.surrogates import CLIP_IQR, NOISE, CountsKernel

        kernel = asdict(CountsKernel(len(self.space.options)))
        return {"kernel": kernel, "noise": NOISE, "clip": CLIP_IQR, "boldness": BOLDNESS}

    def score(
        self, designs: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the expected improvement of each candidate over the best of the clipped, standardised feedback."""
        from genius_kit.proposers.surrogates import (
            CLIP_IQR,
            CountsKernel,
            expected_improvement,
            gaussian_process,
            standardise,
        )

        targets = standardise(feedback, CLIP_IQR)
        kernel = CountsKernel(len(self.space.options))
        mean, deviation = gaussian_process(kernel, designs, targets, candidates)
        boldness = BOLDNESS if len(designs) % 2 == 0 else 1.0
        return expected_improvement(mean, boldness * deviation, float(targets.max()))


class HammingProcessProposer(SurrogateProposer):
    """The plain baseline: scikit-learn's Gaussian process with an RBF over one-hot designs, expected improvement.

    Length scale and noise are fixed: fitted to so few evaluations they did worse.
    """

    name = "gp-hamming"

    def constants(self) -> dict[str, Any]:
        """Return the length scale, the noise and the clipping."""
        return {"length_scale": LENGTH_SCALE, "noise": HAMMING_NOISE, "clip": WIDE_CLIP}

    def score(
        self, designs: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the expected improvement of each candidate over the best standardised feedback."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF

        from genius_kit.proposers.surrogates import expected_improvement, one_hot, standardise

        targets, options = standardise(feedback, WIDE_CLIP), len(self.space.options)
        process = GaussianProcessRegressor(RBF(LENGTH_SCALE), alpha=HAMMING_NOISE, optimizer=None)
        process.fit(one_hot(designs, options), targets)
        mean, deviation = process.predict(one_hot(candidates, options), return_std=True)
        return expected_improvement(mean, deviation, float(targets.max()))


class LinearProposer(SurrogateProposer):
    """Bayesian linear regression on one-hot designs with Thompson sampling: each step follows one posterior draw."""

    name = "linear"

    def constants(self) -> dict[str, Any]:
        """Return the variances of noise and weights, and the clipping."""
        return {"noise": LINEAR_NOISE, "prior": LINEAR_PRIOR, "clip": WIDE_CLIP}

    def score(
        self, designs: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return one draw of the linear model at each candidate."""
        from genius_kit.proposers.surrogates import standardise, thompson_linear

        targets, options = standardise(feedback, WIDE_CLIP), len(self.space.options)
        return thompson_linear(designs, targets, candidates, options, rng, noise=LINEAR_NOISE, prior=LINEAR_PRIOR)


def candidate_designs(situation: Situation) -> np.ndarray:
    """Return the designs that may be evaluated now, int of shape (m, positions).

    All of them where the space is listable; else changes of one or two positions of the best trials and random draws.
    """
    import numpy as np

    benchmark = situation.benchmark
    if is_listable(benchmark.space):
        return list_space(benchmark.space, benchmark.constraint).designs[situation.open_rows()].astype(np.int64)
    drawn = np.unique(_drawn(situation), axis=0)
    if benchmark.constraint is not None:
        from genius_kit.spaces.costs import count_costs

        drawn = drawn[benchmark.constraint.allows(count_costs(benchmark.space, drawn)[1])]
    untried = [not situation.was_tried(tuple(design)) for design in drawn.tolist()]
    return drawn[np.array(untried, dtype=bool)]


def _drawn(situation: Situation) -> np.ndarray:
    """Return designs of a space too large to list: changes of the best, tried or forbidden ones too, then random."""
    import numpy as np

    space, rng = situation.benchmark.space, np.random.default_rng([situation.seed, situation.iteration, 2])
    parents = [trial.architecture for trial in sorted(situation.trials, key=fitness, reverse=True)[:PARENTS]]
    changed = []
    for _ in range(CANDIDATES // 2):
        child = one_change(space, parents[int(rng.integers(len(parents)))], rng)
        changed.append(one_change(space, child, rng) if rng.random() < 0.5 else child)
    random = sample_designs(space, situation.benchmark.constraint, rng, CANDIDATES // 2)
    return np.concatenate([np.array(changed, dtype=np.int64), random])
