"""One training as a job that any process can take, and the rule that none is done twice."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, TrainingFailed
from genius_kit.outcomes import Outcome, OutcomeStore, key_of
from genius_kit.spaces import load_space

if TYPE_CHECKING:
    from genius_kit.datasets import DataSet
    from genius_kit.recipes import Recipe

LASTING = ("diverged",)
"""Causes of failure that come again on every machine; the others are tried again when they are asked for again."""

_ONE_AT_A_TIME = threading.Lock()
"""Training draws from the process's only random generator: two at once would not give the same weights again."""


@dataclass(frozen=True)
class Job:
    """One training as plain values that any process can take: `content` decides its result, the rest does not."""

    content: dict[str, Any]
    dataset: str | DataSet
    source: dict[str, Any]
    recipe: Recipe
    cache: str
    device: str | None
    time_limit: float | None
    keep_weights: bool
    progress: bool


def train_once(job: Job) -> Outcome:
    """Train the network of a job and record what came of it, or return what is recorded already.

    Only one process at a time trains it. A training that a kill cut short goes on from its checkpoint.
    """
    store, key = OutcomeStore(job.cache), key_of(job.content)
    with store.lock(key):
        known = store.read(job.content)
        if known is not None:
            return known
        dataset = _dataset(job)
        try:
            with _ONE_AT_A_TIME:
                result, failure = _train(job, dataset, store.training_folder(key)), None
        except TrainingFailed as error:
            result, failure = None, {"cause": error.cause, "message": str(error)}
        lasting = failure is None or failure["cause"] in LASTING
        outcome = {"dataset": dataset.name, "result": result, "failure": failure, "lasting": lasting, **_versions()}
        if lasting:
            store.write(job.content, outcome)
            store.clear_training(key, job.keep_weights and failure is None)
        return outcome


def _train(job: Job, dataset: DataSet, folder: Path) -> dict[str, Any]:
    """Return the fields of the training's result; raises TrainingFailed."""
    from genius_kit import training
    from genius_kit.training_failures import explained

    space, seed = load_space(job.content["space"]), job.content["seed"]
    with explained(job.recipe):
        network = training.seeded_network(space, tuple(job.content["architecture"]), dataset, job.recipe, seed)
        result = training.train(
            network,
            dataset,
            job.recipe,
            seed=seed,
            device=job.device,
            folder=folder,
            time_limit=job.time_limit,
            progress=job.progress,
        )
    fields = dataclasses.asdict(result)
    del fields["weights"]
    return fields


def _dataset(job: Job) -> DataSet:
    """Return the data set of a job; raises InvalidParameter when this machine has another one of that name."""
    if not isinstance(job.dataset, str):
        return job.dataset
    dataset = _loaded(job.dataset, **job.source)
    if dataset.fingerprint != job.content["dataset"]:
        _loaded.cache_clear()  # the files may have changed since this process read them
        dataset = _loaded(job.dataset, **job.source)
    if dataset.fingerprint != job.content["dataset"]:
        raise InvalidParameter(
            f"the process that trains reads another {dataset.name} than the one that searches: give both the same files"
        )
    return dataset


@lru_cache(maxsize=2)
def _loaded(name: str, folder: str | None, subset: int | None, skip_corrupt: bool) -> DataSet:
    """Return a data set, kept for the next training in this process."""
    from genius_kit.datasets import load_dataset

    return load_dataset(name, folder=folder, subset=subset, skip_corrupt=skip_corrupt)


def _versions() -> dict[str, dict[str, str]]:
    from importlib.metadata import version

    return {"versions": {name: version(name) for name in ("genius-kit", "torch")}}
