"""Search by a surrogate: fit a model to what was evaluated, evaluate where it promises most.

Where the space can be written out, every architecture that is left is a candidate; else changes of the best ones
and random draws are. To the models, architectures are int arrays of shape (n, positions), targets standardised
accuracies of shape (n,).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, random_suggestion, scored_trials
from genius_kit.proposers.baselines import fitness, one_change
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.spaces.costs import count_costs, is_listable, list_space, sample_designs

STARTS = ("random", "symmetric", "prior")
INITIAL = 5
"""Random architectures evaluated before the first model is fitted."""
CANDIDATES = 2_000
"""Candidates where the space is too large to list: half of them changes of the best, half random draws."""
PARENTS = 10
"""Best architectures that are changed for candidates."""
NOISE = 0.1
"""Variance of the noise on standardised targets."""
CLIP_IQR = 1.5
"""Targets farther than this many interquartile ranges from their median are brought back to there."""
BOLDNESS = 2.0
"""How many times its deviation a Gaussian process counts at every second step."""
LENGTH_SCALE = 10**0.5
"""Of the plain RBF: architectures that differ at h positions have the covariance exp(-h / 10)."""
HAMMING_NOISE = 0.02
LINEAR_NOISE, LINEAR_PRIOR = 0.3, 0.3
"""Variances on standardised targets: of the noise, and of each weight beforehand."""
WIDE_CLIP = 3.0
"""Interquartile ranges beyond which the baselines' targets are clipped."""


class SurrogateProposer(Proposer):
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

    @abstractmethod
    def score(
        self, tried: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return how promising each candidate is, shape (m,), given the feedback (n,) of `tried` (n, positions)."""

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return the next architecture of the start, then the candidate that the model scores highest."""
        opening = self._opening(situation)
        if opening is not None:
            return Suggestion(opening)
        is_beginning = self.settings["start"] == "random" and len(situation.trials) < self.settings["initial"]
        if is_beginning or not scored_trials(situation):
            return random_suggestion(situation)
        candidates = candidate_designs(situation)
        return Suggestion(self.choose(situation, candidates)) if len(candidates) else Stop("exhausted")

    def choose(self, situation: Situation, candidates: np.ndarray | Sequence[Architecture]) -> Architecture:
        """Return the one of `candidates` that the model scores highest; needs at least one trial with a result."""
        candidates = np.asarray(candidates, dtype=np.int64)
        tried, feedback = self.targets(situation)
        rng = situation.rng()
        scores = self.score(np.array(tried, dtype=np.int64), feedback, candidates, rng)
        equal = np.flatnonzero(scores >= scores.max() - 1e-12)
        return tuple(int(option) for option in candidates[int(rng.choice(equal))])

    def targets(self, situation: Situation) -> tuple[list[Architecture], np.ndarray]:
        """Return the architectures that the model learns from, and what it learns of each, (n,): more is better.

        A failure is as bad as the worst.
        """
        worst = min(feedback for _, feedback in scored_trials(situation))
        found = [trial.evaluation.feedback for trial in situation.trials]
        tried = [trial.architecture for trial in situation.trials]
        return tried, np.array([worst if value is None else value for value in found])

    def _opening(self, situation: Situation) -> Architecture | None:
        """Return the next untried architecture of a start that is not random, None where there is none left."""
        rng, largest = np.random.default_rng(situation.seed), self.space.all_largest
        opening: list[Architecture] = []
        if self.settings["start"] == "symmetric":
            options = rng.permutation(len(self.space.options))
            opening = [(int(option),) * self.space.length for option in options]
        elif self.settings["start"] == "prior" and len(situation.trials) <= 3:
            opening = [largest, *(one_change(self.space, largest, rng) for _ in range(2))]
        return next((one for one in opening if situation.refusal(one) is None), None)


class GaussianProcessProposer(SurrogateProposer):
    """Gaussian process with the fixed `CountsKernel`, expected improvement, every second step a bold one.

    A bold step takes the deviation `BOLDNESS` times: without it some searches stay with the operations that their
    first architectures favoured. Nothing is fitted.
    """

    name = "gp"

    def constants(self) -> dict[str, Any]:
        """Return the weights of the kernel, the noise, the clipping and the boldness."""
        kernel = asdict(CountsKernel(len(self.space.options)))
        return {"kernel": kernel, "noise": NOISE, "clip": CLIP_IQR, "boldness": BOLDNESS}

    def score(
        self, tried: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the expected improvement of each candidate over the best of the clipped, standardised feedback."""
        targets = standardise(feedback, CLIP_IQR)
        mean, deviation = gaussian_process(CountsKernel(len(self.space.options)), tried, targets, candidates)
        boldness = BOLDNESS if len(tried) % 2 == 0 else 1.0
        return expected_improvement(mean, boldness * deviation, float(targets.max()))


class HammingProcessProposer(SurrogateProposer):
    """The plain baseline: scikit-learn's Gaussian process with an RBF over one-hot options, expected improvement.

    Length scale and noise are fixed: fitted to so few evaluations they did worse.
    """

    name = "gp-hamming"

    def constants(self) -> dict[str, Any]:
        """Return the length scale, the noise and the clipping."""
        return {"length_scale": LENGTH_SCALE, "noise": HAMMING_NOISE, "clip": WIDE_CLIP}

    def score(
        self, tried: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the expected improvement of each candidate over the best standardised feedback."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF

        targets, options = standardise(feedback, WIDE_CLIP), len(self.space.options)
        process = GaussianProcessRegressor(RBF(LENGTH_SCALE), alpha=HAMMING_NOISE, optimizer=None)
        process.fit(one_hot(tried, options), targets)
        mean, deviation = process.predict(one_hot(candidates, options), return_std=True)
        return expected_improvement(mean, deviation, float(targets.max()))


class LinearProposer(SurrogateProposer):
    """Bayesian linear regression on one-hot options with Thompson sampling: each step follows one posterior draw."""

    name = "linear"

    def constants(self) -> dict[str, Any]:
        """Return the variances of noise and weights, and the clipping."""
        return {"noise": LINEAR_NOISE, "prior": LINEAR_PRIOR, "clip": WIDE_CLIP}

    def score(
        self, tried: np.ndarray, feedback: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return one draw of the linear model at each candidate."""
        targets, options = standardise(feedback, WIDE_CLIP), len(self.space.options)
        return thompson_linear(tried, targets, candidates, options, rng, noise=LINEAR_NOISE, prior=LINEAR_PRIOR)


def candidate_designs(situation: Situation) -> np.ndarray:
    """Return the architectures that may be evaluated now, int of shape (m, positions).

    All of them where the space is listable; else changes of one or two positions of the best trials and random draws.
    """
    space, constraint = situation.benchmark.space, situation.benchmark.constraint
    if is_listable(space):
        return list_space(space, constraint).designs[situation.open_rows()].astype(np.int64)
    if situation.benchmark.known is not None:
        rng = np.random.default_rng([situation.seed, situation.iteration, 2])
        rows = rng.permutation(situation.known_rows())[:CANDIDATES]
        return np.array([space.at(int(row)) for row in rows], dtype=np.int64)
    drawn = np.unique(_drawn(situation), axis=0)
    if constraint is not None:
        drawn = drawn[constraint.allows(count_costs(space, drawn)[1])]
    untried = [not situation.was_tried(tuple(one)) for one in drawn.tolist()]
    return drawn[np.array(untried, dtype=bool)]


def _drawn(situation: Situation) -> np.ndarray:
    """Return architectures of a space too large to list: changes of the best, not all of them allowed, then random."""
    space, rng = situation.benchmark.space, np.random.default_rng([situation.seed, situation.iteration, 2])
    parents = [trial.architecture for trial in sorted(situation.trials, key=fitness, reverse=True)[:PARENTS]]
    changed = []
    for _ in range(CANDIDATES // 2):
        child = one_change(space, parents[int(rng.integers(len(parents)))], rng)
        changed.append(one_change(space, child, rng) if rng.random() < 0.5 else child)
    random = sample_designs(space, situation.benchmark.constraint, rng, CANDIDATES // 2)
    return np.concatenate([np.array(changed, dtype=np.int64), random])


def one_hot(designs: np.ndarray, options: int) -> np.ndarray:
    """Return the architectures as indicators, float of shape (n, positions * options)."""
    return np.take(np.eye(options), designs, axis=0).reshape(len(designs), -1)


def option_counts(designs: np.ndarray, options: int) -> np.ndarray:
    """Return how often each option occurs in each architecture, float of shape (n, options)."""
    cells = designs + options * np.arange(len(designs))[:, None]
    return np.bincount(cells.ravel(), minlength=options * len(designs)).reshape(-1, options).astype(float)


def standardise(feedback: np.ndarray, clip: float) -> np.ndarray:
    """Return targets of mean 0 and standard deviation 1, outliers clipped first; zeros where all are equal.

    Outliers are what is more than `clip` interquartile ranges from the median, brought back to there: a network
    that did not train scores far below the rest, and would flatten every other difference.
    """
    low, median, high = np.percentile(feedback, (25, 50, 75))
    feedback = np.clip(feedback, median - clip * (high - low), median + clip * (high - low))
    spread = feedback.std()
    return (feedback - feedback.mean()) / spread if spread > 1e-12 else np.zeros(len(feedback))


@dataclass(frozen=True)
class CountsKernel:
    """A fixed kernel that adds four views of an architecture; nothing is fitted.

    What it is made of, counts x (option counts . option counts) / positions^2; how alike two such lists are,
    composition x exp(-squared distance of the option counts / 8); position by position, linear x matching positions /
    positions; and how near, hamming x exp(-0.4 x differing positions).
    """

    options: int
    counts: float = 2.0
    composition: float = 0.4
    linear: float = 0.5
    hamming: float = 0.5

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the covariances of two sets of architectures, (n, positions) and (m, positions), as (n, m)."""
        positions = first.shape[1]
        matching = one_hot(first, self.options) @ one_hot(second, self.options).T
        ours, theirs = option_counts(first, self.options), option_counts(second, self.options)
        products = ours @ theirs.T
        apart = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * products
        near = np.exp(-0.4 * (positions - np.arange(positions + 1)))[matching.astype(np.intp)]
        return (
            self.counts * products / positions**2
            + self.composition * np.exp(-apart / 8)
            + self.linear * matching / positions
            + self.hamming * near
        )

    def variances(self, designs: np.ndarray) -> np.ndarray:
        """Return the prior variance of each architecture, shape (n,)."""
        products = (option_counts(designs, self.options) ** 2).sum(axis=1)
        fixed = self.composition + self.linear + self.hamming
        variances: np.ndarray = self.counts * products / designs.shape[1] ** 2 + fixed
        return variances


def gaussian_process(
    kernel: CountsKernel, designs: np.ndarray, targets: np.ndarray, candidates: np.ndarray, noise: float = NOISE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior mean and standard deviation at `candidates`, two arrays of shape (m,).

    The prior has mean 0; `noise` is the variance of the targets' noise.
    """
    factor = cholesky(kernel(designs, designs) + noise * np.eye(len(designs)), lower=True)
    across = solve_triangular(factor, kernel(designs, candidates), lower=True)  # (n, m)
    mean = solve_triangular(factor, targets, lower=True) @ across
    variance = kernel.variances(candidates) - (across**2).sum(axis=0)
    return mean, np.sqrt(np.maximum(variance, 1e-12))


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expected amount by which each candidate exceeds `best`, shape (m,) (Jones et al., 1998)."""
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    improvement: np.ndarray = deviation * (z * ndtr(z) + density)
    return improvement


def thompson_linear(
    designs: np.ndarray,
    targets: np.ndarray,
    candidates: np.ndarray,
    options: int,
    rng: np.random.Generator,
    *,
    noise: float,
    prior: float,
) -> np.ndarray:
    """Return one draw from the posterior of a linear model of one-hot options, at `candidates`, shape (m,).

    Each weight has prior variance `prior` and the targets noise variance `noise`; an intercept is among the weights.
    """
    features = _with_intercept(one_hot(designs, options))
    precision = features.T @ features / noise + np.eye(features.shape[1]) / prior
    factor = cholesky(precision, lower=True)  # precision = factor factor^T
    half = solve_triangular(factor, features.T @ targets / noise, lower=True)
    weights = solve_triangular(factor.T, half + rng.standard_normal(len(half)), lower=False)
    values: np.ndarray = _with_intercept(one_hot(candidates, options)) @ weights
    return values


def _with_intercept(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))])
