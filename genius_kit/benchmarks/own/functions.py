"""A function of the user's own as a benchmark: tried again where it fails, within a time limit, each result kept."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genius_kit.benchmarks.base import Benchmark
from genius_kit.benchmarks.own.tables import KNOWN_FUNCTIONS, Metric, function_source
from genius_kit.errors import DataCorrupt, InvalidParameter, check_integer
from genius_kit.files import data_folder, locked, make_folder, read_plain, write_whole
from genius_kit.records import Architecture, Cost, Evaluation
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.costs import count_cost

FOLDER = "evaluated"
"""Where results are kept in the data folder."""

RESULTS = ("score", "test", "parameters", "macs", "latency")
"""What a function may return by name, `score` at least."""

_FORMAT = 1
_LONGEST_RECORD = 100_000


class FunctionBenchmark(Benchmark):
    """What a function says of architectures; see `from_function`."""

    def __init__(
        self,
        space: SearchSpace,
        function: Callable[[Architecture], Any],
        *,
        name: str,
        title: str,
        dataset: str,
        metric: Metric,
        trials: Trials,
        version: str,
        cache: Path,
    ) -> None:
        super().__init__(name=name, title=title, dataset=dataset, space=space, feedback_name=metric.shown)
        self.unit, self.metric, self.trials, self.time_limit = metric.unit, metric, trials, trials.time_limit
        self._function, self._cache = function, cache
        self._decides = {"function": version, "space": space.definition(), "format": _FORMAT}
        self.source = function_source(name, hashlib.sha256(json.dumps(self._decides).encode()).hexdigest())
        KNOWN_FUNCTIONS[self.source] = self

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return what the function says, or what it said before; raises InvalidArchitecture.

        A call that comes to nothing is an evaluation without feedback, whose `failure` says why, and is not kept.
        """
        values = self.space.canonical(architecture)
        path = self._cache / f"{self._key(values)}.json"
        with locked(make_folder(self._cache) / f"{path.stem}.lock"):
            result = self._kept(path)
            if result is None:
                try:
                    result = _checked(self.trials.call(self._function, values))
                except _CameToNothing as error:
                    return Evaluation(None, None, None, self._cost(values, {}), self.source, str(error))
                write_whole(path, json.dumps({"key": path.stem, "result": result}, allow_nan=False))
        score, test = (None if result.get(one) is None else result[one] * self.metric.scale for one in RESULTS[:2])
        is_percent = self.unit == "percent"
        return Evaluation(
            validation_accuracy=score if is_percent else None,
            test_accuracy=test if is_percent else None,
            feedback=score,
            cost=self._cost(values, result),
            source=self.source,
            latency=result.get("latency") if self.objectives and "latency" in self.objectives.names else None,
        )

    def check_latency(self) -> None:
        """Nothing is known beforehand: the function says the latency, or it is not measured."""

    def _key(self, architecture: Architecture) -> str:
        return hashlib.sha256(json.dumps([self._decides, list(architecture)]).encode()).hexdigest()

    def _kept(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            record = json.loads(read_plain(path, _LONGEST_RECORD))
            if record["key"] != path.stem:
                raise ValueError("its key is another one")
            return _checked(record["result"])
        except (ValueError, KeyError, TypeError, OSError, _CameToNothing) as error:
            raise DataCorrupt(f"{path} cannot be used ({error}); delete it, and the function is asked again") from None

    def _cost(self, architecture: Architecture, result: Mapping[str, Any]) -> Cost | None:
        """Return what the function counted, else what the layers of the space come to, if it has any."""
        if "parameters" in result and "macs" in result:
            return Cost(int(result["parameters"]), int(result["macs"]))
        has_layers = type(self.space).layers is not SearchSpace.layers
        return count_cost(self.space, architecture) if has_layers else None


@dataclass(frozen=True)
class Trials:
    """How often a function is tried, how long each time, with which wait between, and where."""

    retries: int = 1
    wait: float = 0.0
    time_limit: float | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        check_integer("retries", self.retries, 0, 1_000)
        if not 0 <= self.wait < math.inf:
            raise InvalidParameter(f"wait is {self.wait!r}; expected seconds from 0")
        if self.time_limit is not None and not 0 < self.time_limit < math.inf:
            raise InvalidParameter(f"time_limit is {self.time_limit!r}; expected seconds above 0, or None")

    def call(self, function: Callable[[Architecture], Any], architecture: Architecture) -> Any:
        """Return what the function returns; raises _CameToNothing in words fit for a record."""
        for attempt in range(1, self.retries + 2):
            try:
                return self._future(function, architecture).result(self.time_limit)
            except TimeoutError as error:
                if str(error) or self.time_limit is None:  # the function's own
                    failure: Exception = error
                else:
                    raise _CameToNothing(f"not done within {self.time_limit:g} s") from None
            except Exception as error:
                failure = error
            if attempt <= self.retries:
                time.sleep(self.wait)
        told = " ".join(f"{type(failure).__name__}: {failure}".split())[:500]
        times = f" {self.retries + 1} times" if self.retries else ""
        raise _CameToNothing(f"the function failed{times}: {told}")

    def _future(self, function: Callable[[Architecture], Any], architecture: Architecture) -> Future[Any]:
        if self.executor is not None:
            return self.executor.submit(function, architecture)
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(function(architecture))
            except BaseException as error:
                future.set_exception(error)

        if self.time_limit is None:
            run()
        else:  # a thread that may outlive the limit, and the process does not wait for it
            threading.Thread(target=run, daemon=True).start()
        return future


class _CameToNothing(Exception):
    """A call without a usable result; its words are the failure of the evaluation."""


def _checked(given: Any) -> dict[str, Any]:
    """Return what a function returned by name; raises _CameToNothing for what is no result."""
    result = dict(given) if isinstance(given, Mapping) else {"score": given}
    found = {}
    for name, value in result.items():
        is_number = isinstance(value, int | float) or hasattr(value, "__float__")
        if name not in RESULTS or not is_number or not math.isfinite(float(value)):
            wanted = f"a finite number, or one for each of {', '.join(RESULTS)}"
            raise _CameToNothing(f"the function returned no result: {name!r:.50} is {value!r:.100}, expected {wanted}")
        found[name] = int(value) if name in ("parameters", "macs") else float(value)
    if "score" not in found:
        raise _CameToNothing(f"the function returned no result: expected a score, {', '.join(map(str, found))} came")
    return found


def from_function(
    space: SearchSpace,
    function: Callable[[Architecture], Any],
    *,
    name: str | None = None,
    title: str | None = None,
    dataset: str = "data that are not named",
    metric: str = "score",
    higher_is_better: bool = True,
    unit: str = "points",
    factor: float = 1.0,
    retries: int = 1,
    wait: float = 0.0,
    time_limit: float | None = None,
    executor: Executor | None = None,
    version: str | None = None,
    cache: str | Path | None = None,
) -> FunctionBenchmark:
    """Return a function as a benchmark: evaluating an architecture is calling it, once, ever.

    Parameters
    ----------
    space
        What is searched.
    function
        Takes an architecture, a tuple of option indices (`space.describe(position, option)` is an option in words), and
        returns its score, or a mapping with `score` and perhaps `test`, `parameters` and `macs`, `latency` (seconds).
    name, title
        What it is called on record, and in texts and figures; the function's name unless given.
    dataset, metric, higher_is_better, unit, factor
        As those of `tabular`.
    retries, wait
        How often a call that raises an error is tried again, and seconds between.
    time_limit
        Seconds of one call. After it the evaluation has failed and the search goes on; a call that does not end by
        itself goes on in a thread of this process, which is not waited for.
    executor
        Where it is called: a `concurrent.futures.Executor`; None: in this process.
    version
        What the results belong to; the text of the function unless given. Give another one when what it reads changes.
    cache
        Folder of the results, `evaluated` in the data folder unless given. What is there is not evaluated again.

    Returns
    -------
    FunctionBenchmark
        A benchmark without ranks, as not all architectures are known.

    Raises
    ------
    InvalidParameter
        For a setting that cannot be, or where `version` is needed because the text of the function is not there.
    """
    called = name or getattr(function, "__name__", "function").strip("<>")
    return FunctionBenchmark(
        space,
        function,
        name=called,
        title=title or called,
        dataset=dataset,
        metric=Metric(metric, higher_is_better, unit, factor),
        trials=Trials(retries, wait, time_limit, executor),
        version=f"{called} {version or _text_sum(function)}",
        cache=Path(cache or data_folder() / FOLDER),
    )


def _text_sum(function: Callable[[Architecture], Any]) -> str:
    """Return the SHA-256 of the text of a function."""
    if not callable(function):
        raise InvalidParameter(f"function is {function!r:.100}; expected a function of an architecture")
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        raise InvalidParameter(
            "the text of the function is not there, by which its results are kept: give version=, such as version='1'"
        ) from None
