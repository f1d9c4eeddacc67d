"""Optuna's tree-structured Parzen estimator as a proposer: the baseline that most people would reach for."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, random_suggestion, scored_trials
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import optuna

INITIAL = 10
"""Random architectures before the first model: Optuna's own default."""

ASKED = 50
"""Proposals asked for in one iteration before a random architecture is taken: TPE repeats itself near its end."""


class TPEProposer(Proposer):
    """`optuna.samplers.TPESampler` with the default settings of the installed version, which is recorded.

    Each position is a categorical parameter named like it. The sampler is made anew from (seed, iteration) and
    all trials, so that it has no state to lose; its first `initial` architectures are random (ten by its own default).
    """

    name = "tpe"

    def __init__(self, space: SearchSpace, *, initial: int = INITIAL) -> None:
        if initial < 1:
            raise InvalidParameter(f"initial is {initial}; a model needs at least one evaluation")
        self.space = space
        self.initial = initial
        self.settings: dict[str, Any] = {} if initial == INITIAL else {"initial": initial}
        self.resolved: dict[str, Any] = {"optuna": load_optuna().__version__}

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Return TPE's first proposal that may be evaluated, or a random architecture after `ASKED` repetitions."""
        study = self._study(situation)
        distributions = parameters_of(self.space)
        for _ in range(ASKED):
            asked = study.ask(distributions)
            design = architecture_of(self.space, asked.params)
            if situation.refusal(design) is None:
                return Suggestion(design)
        return random_suggestion(situation)

    def _study(self, situation: Situation) -> optuna.Study:
        """Return a study in memory that holds the trials with a result."""
        library = load_optuna()
        sampler = library.samplers.TPESampler(n_startup_trials=self.initial, seed=int(situation.rng().integers(2**32)))
        study = library.create_study(direction="maximize", sampler=sampler)
        distributions = parameters_of(self.space)
        for trial, feedback in scored_trials(situation):
            values = params_of(self.space, trial.architecture)
            study.add_trial(library.trial.create_trial(params=values, distributions=distributions, value=feedback))
        return study


def load_optuna() -> ModuleType:
    """Return the library, its messages about every study switched off."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def parameters_of(space: SearchSpace) -> dict[str, Any]:
    """Return Optuna's distribution of each position: categorical over its option indices, named like the position."""
    from optuna.distributions import CategoricalDistribution

    return {
        position: CategoricalDistribution(tuple(range(len(options))))
        for position, options in zip(space.positions, space.choices, strict=True)
    }


def params_of(space: SearchSpace, architecture: Architecture) -> dict[str, int]:
    """Return an architecture as Optuna's parameters."""
    return dict(zip(space.positions, architecture, strict=True))


def architecture_of(space: SearchSpace, params: dict[str, Any]) -> Architecture:
    """Return the architecture that Optuna's parameters name; the inverse of `params_of`."""
    return tuple(int(params[position]) for position in space.positions)
