"""Trainings as jobs, and their results: one small file each, found by what decides it, so that none is done twice.

Beside `KEY.json` lie `KEY.lock`, which one training at a time holds, and while it goes on the folder `KEY` with its
checkpoint. A file that was altered or cut is refused, never guessed at.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genius_kit.datasets import DataSet, load_dataset
from genius_kit.errors import DataCorrupt, InvalidParameter, TrainingFailed
from genius_kit.files import locked, make_folder, write_whole
from genius_kit.memory_formats import is_narrow, warn_if_suspect
from genius_kit.spaces import SearchSpace, load_space
from genius_kit.training import trainer
from genius_kit.training.loop import explained
from genius_kit.training.recipes import Recipe
from genius_kit.version import __version__

TRAINING_VERSION = 1
"""Raise it whenever the same settings come to train other weights: what was recorded before is then not used again."""

FORMAT = 1

_READ = ("last_validation_accuracy", "test_accuracy", "history")  # what a search and its figures take of a result

Outcome = dict[str, Any]
"""`result` (the fields of a TrainingResult) or `failure` (`cause` and `message`); the other of the two is None."""


def content_of(
    space: SearchSpace, architecture: Sequence[int] | None, recipe: Recipe, fingerprint: str, image_size: int, seed: int
) -> dict[str, Any]:
    """Return everything that decides a training's result, fit for JSON; isomorphic architectures have the same.

    Without an architecture it is what all trainings of a benchmark share.
    """
    return {
        "version": TRAINING_VERSION,
        "space": space.name,
        "architecture": None if architecture is None else list(space.canonical(architecture)),
        "recipe": recipe.as_dict(),
        "dataset": fingerprint,
        "image_size": image_size,
        "seed": seed,
    }


def key_of(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a content in hexadecimal."""
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class OutcomeStore:
    """The folder of outcomes; several processes may share it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Return where the outcome of `key` is kept."""
        return self.folder / f"{key}.json"

    def training_folder(self, key: str) -> Path:
        """Return where the training of `key` keeps its checkpoint, and its weights when they are wanted."""
        return self.folder / key

    def read(self, content: dict[str, Any]) -> Outcome | None:
        """Return the outcome recorded for `content`, None where there is none; raises DataCorrupt for a damaged one."""
        path = self.path(key_of(content))
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            outcome = _checked(json.loads(text), content)
        except ValueError as error:
            raise DataCorrupt(
                f"{path} cannot be used ({error}); delete it, and the network is trained again when it is asked for"
            ) from error
        if outcome["result"] is not None:
            is_last, space = content["recipe"]["channels_last"], load_space(content["space"])
            warn_if_suspect(path, outcome["result"], is_last, is_narrow(space, content["architecture"]))
        return outcome

    def write(self, content: dict[str, Any], outcome: Outcome) -> None:
        """Record `outcome`, whole or not at all; raises WriteFailed."""
        key = key_of(content)
        record = {"format": FORMAT, "key": key, "content": content, **outcome}
        record["sha256"] = hashlib.sha256(_canonical(record)).hexdigest()
        make_folder(self.folder)
        write_whole(self.path(key), json.dumps(record, allow_nan=False, indent=1))

    def clear_training(self, key: str, keep_weights: bool = False) -> None:
        """Delete what the training of `key` left: all of it, or its checkpoint only."""
        folder = self.training_folder(key)
        if not keep_weights:
            shutil.rmtree(folder, ignore_errors=True)
            return
        (folder / "checkpoint.pt").unlink(missing_ok=True)


def _checked(record: Any, content: dict[str, Any]) -> Outcome:
    """Return the outcome in a record; raises ValueError saying what is wrong with it."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"it is no record of format {FORMAT}, which this version of the kit reads")
    digest = record.pop("sha256", None)
    if digest != hashlib.sha256(_canonical(record)).hexdigest():
        raise ValueError("its content is not the one that was written")
    if record.get("key") != key_of(record.get("content") or {}) or record["content"] != content:
        raise ValueError("its key does not belong to its content")
    if (record.get("result") is None) == (record.get("failure") is None):
        raise ValueError("it holds neither a result nor a failure, or both")
    if lacking := [name for name in _READ if name not in (record.get("result") or _READ)]:
        raise ValueError(f"its result has no {lacking[0]}: another version of the kit wrote it")
    return {name: value for name, value in record.items() if name not in ("format", "key", "content")}


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
    """Train the network of a job and record its result, or return the recorded one.

    Only one process at a time trains it. A training that a kill cut short goes on from its checkpoint.
    """
    store, key = OutcomeStore(job.cache), key_of(job.content)
    with locked(make_folder(store.folder) / f"{key}.lock"):
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
    space, seed = load_space(job.content["space"]), job.content["seed"]
    with explained(job.recipe):
        network = trainer.seeded_network(space, tuple(job.content["architecture"]), dataset, job.recipe, seed)
        result = trainer.train(
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
    return load_dataset(name, folder=folder, subset=subset, skip_corrupt=skip_corrupt)


def _versions() -> dict[str, dict[str, str]]:
    return {"versions": {"genius-kit": __version__, "torch": version("torch")}}
