"""A benchmark that trains: evaluating an architecture is training its network, once, ever."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genius_kit.benchmarks.base import Benchmark, Objectives
from genius_kit.benchmarks.cache import Job, Outcome, OutcomeStore, content_of, key_of, train_once
from genius_kit.benchmarks.latency import measure_latency
from genius_kit.datasets import DataSet, load_dataset
from genius_kit.datasets.loaders import image_size as image_size_of
from genius_kit.errors import InvalidParameter, WorkerDied, check_integer
from genius_kit.files import data_folder
from genius_kit.networks import build_network
from genius_kit.pools import RestartingPool
from genius_kit.records import Cost, Evaluation
from genius_kit.spaces import Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost
from genius_kit.training.recipes import RECIPES, Recipe, load_recipe
from genius_kit.training.runtime import choose_device

if TYPE_CHECKING:
    import pandas as pd


class TrainedBenchmark(Benchmark):
    """A benchmark whose feedback is the validation accuracy after the last epoch of a training.

    `space`, `dataset` and `recipe` are names or what the names stand for; `changes` are fields of the recipe to
    change, `image_size` (pixels per side) one of them. `folder`, `subset` and `skip_corrupt` are those of
    `load_dataset`. `seed` is that of the training, the same for every architecture. `time_limit` is in seconds a
    training, and `constraint` bounds the multiply-accumulates.

    `executor` is where trainings run: a `concurrent.futures.Executor`, a function that makes one (it is then replaced
    when a worker dies), or None for this process, in which trainings go one after another. `cache` is the folder of
    results (default: `trained` in the data folder); whatever is recorded there is not trained again, even if it took
    longer than `time_limit`. A training that fails is an evaluation without feedback whose `failure` says why.

    Raises UnknownName, InvalidParameter, DataMissing, DataCorrupt.
    """

    kind = "train"
    image_size: int

    def __init__(
        self,
        space: str | SearchSpace,
        dataset: str | DataSet = "digits",
        recipe: str | Recipe | Mapping[str, Any] = "quick",
        *,
        changes: Mapping[str, Any] | None = None,
        image_size: int | None = None,
        folder: str | Path | None = None,
        subset: int | None = None,
        skip_corrupt: bool = False,
        seed: int = 0,
        time_limit: float | None = None,
        constraint: MacsBound | Mapping[str, Any] | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
        cache: str | Path | None = None,
        device: str | None = None,
        keep_weights: bool = False,
        progress: bool = False,
    ) -> None:
        space = load_space(space if isinstance(space, str) else space.name)
        space.check_images()
        check_integer("seed", seed, 0)
        if time_limit is not None and not time_limit > 0:
            raise InvalidParameter(f"time_limit is {time_limit!r}; expected seconds above 0, or None")
        self.recipe = _recipe(recipe, {**(changes or {}), **({} if image_size is None else {"image_size": image_size})})
        path = None if folder is None else str(folder)
        self._source: dict[str, Any] = {"folder": path, "subset": subset, "skip_corrupt": skip_corrupt}
        self.data = _read(dataset, self._source)
        self._is_sent = executor is not None and isinstance(dataset, str)  # by its name, to be read where it trains
        super().__init__(
            name=f"train-{space.name}-{self.data.name}-{self.recipe.name}",
            title=f"{space.title} trained on {self.data.title}",
            dataset=self.data.title,
            space=space,
            constraint=MacsBound(**constraint) if isinstance(constraint, Mapping) else constraint,
        )
        self.image_size = image_size_of(self.data, self.recipe)
        self.seed, self.time_limit = seed, time_limit
        self._cost(space.all_largest)  # an image size that does not fit fails here
        self.store = OutcomeStore(cache or data_folder() / "trained")
        shared = key_of(content_of(space, None, self.recipe, self.data.fingerprint, self.image_size, seed))
        words = f"{self.recipe.name} on {self.data.name}, {self.image_size} px, seed {seed}"
        self.source = f"trained: {words} ({shared[:12]})"
        self._device, self._keep_weights, self._progress = device, keep_weights, progress
        self._executor = _executor(executor)
        self._is_elsewhere = executor is not None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the results of a search, fit for JSON.

        The device, the executor and the cache are left out. The time limit is in: it decides which trainings fail,
        and a resumed search has to go on with it.
        """
        return {
            "space": self.space.name,
            "dataset": self.data.name,
            "recipe": self.recipe.as_dict(),
            **self._source,
            "seed": self.seed,
            "time_limit": self.time_limit,
            "constraint": None if self.constraint is None else dataclasses.asdict(self.constraint),
        }

    @property
    def on_gpu(self) -> bool:
        """Whether trainings may be on a GPU: also where a worker decides that."""
        return (self._is_elsewhere and self._device is None) or choose_device(self._device).type != "cpu"

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Train the network of `architecture` unless its result is recorded; raises InvalidArchitecture.

        Isomorphic architectures share one training; the cost is that of the one asked for.
        """
        values = self.space.check(architecture)
        cost = self._cost(values)
        outcome = self._outcome(values)
        if outcome["failure"] is not None:
            return Evaluation(None, None, None, cost, self.source, self._words(outcome["failure"]))
        result = outcome["result"]
        validation, latency = result["last_validation_accuracy"], self._latency(values)
        return Evaluation(
            validation, result["test_accuracy"], validation, cost, self.source,
            latency=latency, memory_format=result.get("memory_format"),
        )  # fmt: skip

    def weighing(self, objectives: Objectives) -> Self:
        """Return this benchmark for a search that weighs several objectives; it shares trainings and workers.

        A latency is the median of one image's forward pass, measured where the search runs; see `measure_latency`.
        """
        weighed = copy.copy(self)
        weighed.objectives = objectives
        return weighed

    def _latency(self, architecture: Architecture) -> float | None:
        """Return the latency in seconds, None where it is no objective."""
        if self.objectives is None or "latency" not in self.objectives.names:
            return None
        size = self.image_size
        network = build_network(self.space, architecture, num_classes=self.data.num_classes, image_size=size)
        return measure_latency(network, image_size=size, device=self._device).median

    def outcome(self, architecture: Sequence[int]) -> Outcome | None:
        """Return what is recorded of the training of `architecture`, None where nothing is; trains nothing."""
        return self.store.read(self._content(architecture))

    def history(self, architecture: Sequence[int]) -> pd.DataFrame | None:
        """Return one row per epoch of the recorded training of `architecture` (see TrainingResult), or None."""
        import pandas as pd

        outcome = self.outcome(architecture)
        return None if outcome is None or outcome["result"] is None else pd.DataFrame(outcome["result"]["history"])

    def weights(self, architecture: Sequence[int]) -> Path | None:
        """Return the file of the trained weights, None unless they were kept (`keep_weights`) where it was trained."""
        path = self.store.training_folder(key_of(self._content(architecture))) / "weights.pt"
        return path if path.is_file() else None

    def _cost(self, architecture: Sequence[int]) -> Cost:
        return count_cost(self.space, architecture, num_classes=self.data.num_classes, image_size=self.image_size)

    def _content(self, architecture: Sequence[int]) -> dict[str, Any]:
        values = self.space.check(architecture)
        return content_of(self.space, values, self.recipe, self.data.fingerprint, self.image_size, self.seed)

    def _outcome(self, architecture: Sequence[int]) -> Outcome:
        content = self._content(architecture)
        known = self.store.read(content)
        if known is not None:
            return known
        outcome = self._trained(self._job(content))
        if outcome["lasting"] and self.store.read(content) is None:  # a worker that shares no folder with us
            self.store.write(content, outcome)
        return outcome

    def _trained(self, job: Job) -> Outcome:
        """Return the outcome of a training; the death of its worker is a failure."""
        if self._executor is None:
            return train_once(job)
        try:
            outcome: Outcome = self._executor.submit(train_once, job).result()
            return outcome
        except BrokenExecutor as error:
            raise InvalidParameter(
                "a process of the executor died, and nothing can be trained in it any more: give process_executor(), "
                "or a function that makes an executor, which are begun again then, and resume the search"
            ) from error
        except Exception as error:
            if not isinstance(error, WorkerDied) and type(error).__name__ != "KilledWorker":  # dask's word for it
                raise
            message = "the process that trained ended without an answer, killed perhaps when memory ran out; try a "
            message += f"smaller batch or fewer trainings at a time ({type(error).__name__})"
            return {"result": None, "failure": {"cause": "process died", "message": message}, "lasting": False}

    def _job(self, content: dict[str, Any]) -> Job:
        return Job(
            content=content,
            dataset=self.data.name if self._is_sent else self.data,
            source=self._source,
            recipe=self.recipe,
            cache=str(self.store.folder),
            device=None if self._device is None else str(self._device),
            time_limit=self.time_limit,
            keep_weights=self._keep_weights,
            progress=self._progress,
        )

    def _words(self, failure: Mapping[str, str]) -> str:
        """Return a failure as a sentence: what the prompt says, then what is known of it."""
        limit = f"not done within {self.time_limit:g} s" if self.time_limit else "not done in time"
        words = {"diverged": "training diverged", "time limit": limit}.get(failure["cause"], failure["cause"])
        known = " ".join(failure["message"].removeprefix(f"{failure['cause']}: ").split())
        return f"{words}: {known}"


def _executor(given: Executor | Callable[[], Executor] | None) -> Executor | None:
    if given is None or isinstance(given, Executor):
        return given
    if not callable(given):
        raise InvalidParameter(f"executor is {given!r}; expected an Executor, a function that makes one, or None")
    return RestartingPool(given)


def _read(dataset: str | DataSet, source: dict[str, Any]) -> DataSet:
    """Return the data set of a name, or the one given, to which `source` does not apply."""
    if isinstance(dataset, str):
        return load_dataset(dataset, **source)
    given = [name for name, value in source.items() if value]
    if given:
        raise InvalidParameter(f"{', '.join(given)} came with a data set that is read already; give its name instead")
    return dataset


def _recipe(recipe: str | Recipe | Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe by name, as it is, or from the fields that a journal holds."""
    if not isinstance(recipe, Mapping):
        return load_recipe(recipe, **changes)
    known = RECIPES.get(str(recipe.get("name")))
    if known is not None and known.as_dict() == dict(recipe):
        return known.changed(**changes)
    missing = RECIPES["quick"].as_dict().keys() - recipe.keys()
    if missing:
        raise InvalidParameter(
            f"recipe has no {', '.join(sorted(missing))}; give all its fields, or a name and changes"
        )
    return RECIPES["quick"].changed(**{"source": "as recorded", **recipe, **changes})
