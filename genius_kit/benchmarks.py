"""Benchmarks: what an architecture scores, how it ranks, and the one door to every kind of them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from genius_kit.errors import InvalidParameter
from genius_kit.objectives import Objectives, read_objectives
from genius_kit.records import Evaluation, RankRange
from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.proxies import ProxyBenchmark
    from genius_kit.spaces.costs import MacsBound
    from genius_kit.tabular import TabularBenchmark
    from genius_kit.trained import TrainedBenchmark

MEASURED = ("train", "proxy")
"""The benchmarks without a table: they train a network, or score an untrained one, of any space."""


class Benchmark(ABC):
    """What a search asks: `evaluate` one architecture, and its `rank` where every architecture was scored.

    `dataset` is written as in the papers ("CIFAR-10"); `protocol` is "paper" or "held-out"; `feedback_name`
    says in words what the search is shown; `constraint` bounds the multiply-accumulates (None: no bound).
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        dataset: str,
        space: SearchSpace,
        protocol: str = "paper",
        feedback_name: str = "validation accuracy",
        constraint: MacsBound | None = None,
    ) -> None:
        self.name = name
        self.title = title
        self.dataset = dataset
        self.space = space
        self.protocol = protocol
        self.feedback_name = feedback_name
        self.constraint = constraint

    kind = ""
    """What `load_benchmark` calls it where `name` says more: "train", "proxy"."""

    objectives: Objectives | None = None
    """What the search weighs; None: the feedback alone. See `weighing`."""

    image_size: int | None = None
    """Pixels a side of the images that networks see; None: those of the space's own data set."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `load_benchmark` needs beside `kind` to make this benchmark again, fit for JSON; else empty.

        A tabular benchmark has none: its protocol, run and source are recorded by themselves.
        """
        return {}

    @abstractmethod
    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return what is known of `architecture`; raises InvalidArchitecture when it is not of the space."""

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that `architecture` shares with its ties, or None where not all were scored."""
        return None

    def weighing(self, objectives: Objectives) -> Self:
        """Return this benchmark for a search that weighs several objectives.

        Raises InvalidParameter for the latency where nothing tells it.
        """
        if "latency" in objectives.names:
            from genius_kit.catalogue import check_latency

            check_latency(self.name)
        weighed = copy.copy(self)
        weighed.objectives = objectives
        return weighed


@overload
def load_benchmark(name: Literal["train"], **settings: Any) -> TrainedBenchmark: ...
@overload
def load_benchmark(name: Literal["proxy"], **settings: Any) -> ProxyBenchmark: ...
@overload
def load_benchmark(
    name: str,
    protocol: str = "paper",
    fed_run: int = 0,
    *,
    source: str | None = None,
    objectives: Objectives | Sequence[str] | str | None = None,
    **settings: Any,
) -> TabularBenchmark: ...
def load_benchmark(
    name: str,
    protocol: str = "paper",
    fed_run: int = 0,
    *,
    source: str | None = None,
    objectives: Objectives | Sequence[str] | str | None = None,
    **settings: Any,
) -> Benchmark:
    """Return the benchmark called `name`.

    "train" evaluates by training, "proxy" by a score of the untrained network; `settings` are those of
    `trained.TrainedBenchmark` and `proxies.ProxyBenchmark`. Every other name is a table; see `catalogue.load_tabular`:
    `protocol` is "paper" or "held-out", `fed_run` the run that "held-out" shows, `source` "published" or "embedded".
    With `objectives`, such as ("accuracy", "macs") or "accuracy,latency", a search weighs several; see `Objectives`.

    Raises UnknownName, InvalidParameter (a setting that the benchmark does not have), DataMissing, DataCorrupt.
    """
    weighed = read_objectives(objectives)
    loaded = _loaded(name, protocol, fed_run, source, settings)
    return loaded if weighed is None else loaded.weighing(weighed)


def _loaded(name: str, protocol: str, fed_run: int, source: str | None, settings: dict[str, Any]) -> Benchmark:
    if name in MEASURED:
        return _measured(name, {"protocol": protocol, "fed_run": fed_run, "source": source}, settings)
    from genius_kit.catalogue import is_table, load_tabular

    if settings and is_table(name):
        raise InvalidParameter(
            f"{name} has no setting {', '.join(sorted(settings))}; a table has protocol, fed_run and source"
        )
    return load_tabular(name, protocol, fed_run, source=source)


def _measured(name: str, tabular: dict[str, Any], settings: dict[str, Any]) -> Benchmark:
    """Return the benchmark that trains or scores, after refusing what only a table has or what none has."""
    given = [
        key for key, default in (("protocol", "paper"), ("fed_run", 0), ("source", None)) if tabular[key] != default
    ]
    if given:
        raise InvalidParameter(f"{name!r} has no setting {', '.join(given)}: nothing is recorded beforehand")
    kind: Any
    if name == "train":
        from genius_kit.trained import TrainedBenchmark as kind
    else:
        from genius_kit.proxies import ProxyBenchmark as kind
    check_settings(name, kind, settings)
    return kind(**settings)


def check_settings(name: str, kind: type[Benchmark], settings: dict[str, Any]) -> None:
    """Raise InvalidParameter for a setting that the benchmark's constructor does not take, or one that it lacks."""
    import inspect

    parameters = inspect.signature(kind).parameters
    unknown = sorted(set(settings) - set(parameters))
    needed = [key for key, one in parameters.items() if one.default is one.empty]
    missing = [key for key in needed if key not in settings]
    if unknown or missing:
        wrong = f"has no setting {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
        raise InvalidParameter(f"the benchmark {name!r} {wrong}; its settings are {', '.join(parameters)}")


def list_benchmarks() -> pd.DataFrame:
    """Return one row a table: name, title, size, available, source, how_to_get (empty when nothing is missing).

    "train" and "proxy" are not listed: they need no file and serve any space.
    """
    from genius_kit.catalogue import list_tabular

    return list_tabular()
