"""Neural architecture search by a language model: propose, evaluate, record, replay.

Importing this package imports neither torch nor openai nor matplotlib: each name below loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genius_kit.version import __version__ as __version__

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark, list_benchmarks, load_benchmark
    from genius_kit.benchmarks.own import from_function, register, tabular
    from genius_kit.budget.amounts import Limits
    from genius_kit.datasets.registry import load_dataset
    from genius_kit.files import output_folder
    from genius_kit.journal import read_run
    from genius_kit.journal.verify import verify_run
    from genius_kit.networks import build_network, load_weights
    from genius_kit.prompts import list_prompts, load_prompt
    from genius_kit.proposers.base import make_proposer
    from genius_kit.records import Cost, Evaluation, NoImprovement, Proposal, RankRange, Rejection, Trial
    from genius_kit.replies import parse_reply
    from genius_kit.reports.bundle import read_bundle
    from genius_kit.reports.run import report, run_notebook
    from genius_kit.runs.batch import replay_conversation, resume, search_many
    from genius_kit.runs.loop import search
    from genius_kit.spaces import SearchSpace, count_cost, load_space
    from genius_kit.studies.estimate import estimate_run, estimate_study
    from genius_kit.studies.export import to_optuna
    from genius_kit.studies.results import read_results
    from genius_kit.studies.run import load_study, run_study, study_names
    from genius_kit.training.finetune import fine_tune
    from genius_kit.training.recipes import Recipe, load_recipe
    from genius_kit.training.trainer import train
    from genius_kit.verdicts.searches.judge import does_it_search

_HOMES = {
    "budget.amounts": ("Limits",),
    "benchmarks": ("Benchmark", "list_benchmarks", "load_benchmark"),
    "benchmarks.own": ("from_function", "register", "tabular"),
    "spaces": ("SearchSpace", "count_cost", "load_space"),
    "datasets": ("load_dataset",),
    "files": ("output_folder",),
    "studies.estimate": ("estimate_run", "estimate_study"),
    "studies.export": ("to_optuna",),
    "journal": ("read_run",),
    "networks": ("build_network", "load_weights"),
    "prompts": ("list_prompts", "load_prompt"),
    "proposers.base": ("make_proposer",),
    "training.recipes": ("Recipe", "load_recipe"),
    "records": ("Cost", "Evaluation", "NoImprovement", "Proposal", "RankRange", "Rejection", "Trial"),
    "replies": ("parse_reply",),
    "reports": ("report", "run_notebook"),
    "reports.bundle": ("read_bundle",),
    "runs.batch": ("replay_conversation", "resume", "search_many"),
    "runs.loop": ("search",),
    "studies": ("load_study", "run_study", "study_names"),
    "studies.results": ("read_results",),
    "training.trainer": ("train",),
    "verdicts.searches.judge": ("does_it_search",),
    "journal.verify": ("verify_run",),
    "training.finetune": ("fine_tune",),
}
_ROOMS = ("figures", "stats", "studies", "verdicts")
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Benchmark", "Cost", "Evaluation", "Limits", "NoImprovement", "Proposal", "RankRange", "Recipe", "Rejection",
    "SearchSpace", "Trial", "build_network", "count_cost", "does_it_search", "estimate_run", "estimate_study",
    "fine_tune", "from_function", "list_benchmarks", "list_prompts", "load_benchmark", "load_dataset",
    "load_prompt", "load_recipe", "load_space", "load_study", "load_weights", "make_proposer", "output_folder",
    "parse_reply", "read_bundle",
    "read_results", "read_run", "register", "replay_conversation", "report", "resume", "run_notebook", "run_study",
    "search", "search_many", "study_names", "tabular", "to_optuna", "train", "verify_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
