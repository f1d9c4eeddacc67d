"""Benchmarks: what an architecture scores, how it ranks, and what a search of it weighs.

`Objectives("accuracy", "latency")` goes to `load_benchmark`; values are percent, counts and seconds everywhere, and
become millions and milliseconds only where a person or a model reads them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genius_kit.errors import InvalidParameter, nearest
from genius_kit.records import Evaluation, RankRange, Rejection, Trial
from genius_kit.spaces import MacsBound, SearchSpace

if TYPE_CHECKING:
    import numpy as np

MEASURED = ("train", "proxy")
"""The benchmarks without a table: they train a network, or score an untrained one, of any space."""

MOST = 3
"""Objectives of one search: with more, hypervolumes are slow and fronts hold nearly everything."""


@dataclass(frozen=True)
class Objective:
    """One thing to be maximised or minimised.

    `unit` is that of its values. Texts show them times `factor`, to `digits` decimals, on the `scale` that goes with
    it: "multiply-accumulates in millions", "85.20 million multiply-accumulates" (`words`). `axis` names it in figures.
    """

    name: str
    title: str
    unit: str
    scale: str
    words: str
    factor: float
    digits: int
    higher_is_better: bool
    axis: str

    def number(self, value: float) -> str:
        """Return a value on the scale of texts, without a unit: "85.20"."""
        return f"{value * self.factor:.{self.digits}f}"

    def shown(self, value: float) -> str:
        """Return a value as texts print it: "85.20 million multiply-accumulates"."""
        return f"{self.number(value)} {self.words}"


_MACS, _PARAMETERS = "multiply-accumulates", "parameters"
OBJECTIVES: Mapping[str, Objective] = {
    one.name: one
    for one in (
        Objective("accuracy", "accuracy", "percent", "percent", "percent", 1.0, 2, True, "accuracy (%)"),
        Objective(
            "macs", _MACS, _MACS, "millions", f"million {_MACS}", 1e-6, 2, False, f"FLOPs ({_MACS}), millions"
        ),
        Objective(
            "parameters", _PARAMETERS, _PARAMETERS, "millions", f"million {_PARAMETERS}", 1e-6, 3, False,
            "parameters, millions",
        ),
        Objective("latency", "latency", "seconds", "milliseconds", "milliseconds", 1e3, 2, False, "latency (ms)"),
    )
}  # fmt: skip
"""Every objective, by name. "accuracy" is the feedback of an evaluation, whatever that is on a benchmark."""


@dataclass(frozen=True, init=False)
class Objectives:
    """The objectives of a search, accuracy first: a search without it would find the empty network.

    Parameters
    ----------
    *names
        Two to `MOST` names, "accuracy" first.

    Raises
    ------
    InvalidParameter
        A name that is none or stands twice, too few or too many, or another order.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        unknown = [name for name in names if name not in OBJECTIVES]
        if unknown:
            raise InvalidParameter(
                f"objective {unknown[0]!r}{nearest(unknown[0], OBJECTIVES)} is not one of {', '.join(OBJECTIVES)}"
            )
        if not names or names[0] != "accuracy" or not 2 <= len(names) <= MOST or len(set(names)) < len(names):
            raise InvalidParameter(
                "objectives must be accuracy first, then one or two different of "
                f"{', '.join(name for name in OBJECTIVES if name != 'accuracy')}, such as accuracy,macs; got "
                f"{', '.join(names) or 'none'}"
            )
        object.__setattr__(self, "names", tuple(names))

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return ",".join(self.names)

    @property
    def members(self) -> tuple[Objective, ...]:
        """The objectives themselves."""
        return tuple(OBJECTIVES[name] for name in self.names)

    @property
    def costs(self) -> tuple[Objective, ...]:
        """All but the accuracy."""
        return self.members[1:]

    def values(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """Return the value of each objective in its unit; None where any was not measured.

        Parameters
        ----------
        evaluation
            The result of an architecture.
        """
        found = [value_of(evaluation, name) for name in self.names]
        return (
            None
            if any(value is None for value in found)
            else tuple(float(value) for value in found if value is not None)
        )

    def losses(self, values: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
        """Return values as what `pareto` takes: floats of shape (n, k), the smaller the better.

        Parameters
        ----------
        values
            In their units, shape (n, k).
        """
        import numpy as np

        signs = [-1.0 if one.higher_is_better else 1.0 for one in self.members]
        return np.asarray(values, dtype=np.float64).reshape(-1, len(self)) * signs

    def measured(self, trials: Iterable[Trial]) -> tuple[list[Trial], np.ndarray]:
        """Return the trials of which every objective was measured, and their losses (n, k).

        Parameters
        ----------
        trials
            Finished iterations.
        """
        pairs = [(trial, values) for trial in trials if (values := self.values(trial.evaluation)) is not None]
        return [trial for trial, _ in pairs], self.losses([values for _, values in pairs])


def value_of(evaluation: Evaluation, name: str) -> float | None:
    """Return one objective of an evaluation in its unit, None where it was not measured."""
    if name == "accuracy":
        return evaluation.feedback
    if name == "latency":
        return evaluation.latency
    return None if evaluation.cost is None else getattr(evaluation.cost, name)


def read_objectives(given: Objectives | Sequence[str] | str | None) -> Objectives | None:
    """Return the objectives that a setting names, in a list or with commas between; None for none."""
    if given is None or isinstance(given, Objectives):
        return given
    names = given.split(",") if isinstance(given, str) else given
    return Objectives(*(name.strip() for name in names)) if names else None


def recorded_objectives(settings: Mapping[str, Any]) -> Objectives | None:
    """Return the objectives that the settings of a run name, None for a run of accuracy alone."""
    return read_objectives(settings.get("objectives"))


class Benchmark(ABC):
    """What a search asks: `evaluate` one architecture, and its `rank` where every architecture was scored.

    A benchmark of your own is a subclass with the method `evaluate`.

    Parameters
    ----------
    name
        What it is called on record.
    title
        What texts and figures call it.
    dataset
        The data set as papers write it ("CIFAR-10").
    space
        What is searched.
    protocol
        "paper" or "held-out".
    feedback_name
        What the search is shown, in words.
    constraint
        Bounds on the multiply-accumulates; None: no bound.
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

    unit = "percent"
    """The unit of the feedback; runs with another one than percent have it on record."""

    @property
    def difference_unit(self) -> str:
        """The unit of the difference of two scores: percentage points of percentages, else that of the feedback."""
        return "percentage points" if self.unit == "percent" else self.unit

    image_size: int | None = None
    """Pixels per side of the images that networks see; None: those of the space's own data set."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `load_benchmark` needs beside `kind` to make this benchmark again, fit for JSON; else empty.

        A tabular benchmark has none: its protocol, run and source are recorded by themselves.
        """
        return {}

    folder: Path | None = None
    """The folder that it was read from, where it is one of the user's."""

    known: np.ndarray | None = None
    """Which architectures can be evaluated, bool of shape (size,) in the order of `space.index`; None: all."""

    @property
    def count(self) -> int:
        """The number of architectures that can be evaluated."""
        return self.space.size if self.known is None else int(self.known.sum())

    def refusal(self, architecture: Sequence[int]) -> Rejection | None:
        """Return why a valid architecture cannot be evaluated here, fit to be told to a model, or None.

        Parameters
        ----------
        architecture
            One option index per position.
        """
        if self.known is None or self.known[self.space.index(architecture)]:
            return None
        return Rejection(
            "not in the table",
            f"no result of this architecture is known: {self.count:,} of {self.space.size:,} were measured, and only "
            "those can be evaluated",
        )

    @abstractmethod
    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return what is known of an architecture.

        Parameters
        ----------
        architecture
            One option index per position.

        Raises
        ------
        InvalidArchitecture
            It is not of the space.
        """

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that an architecture shares with its ties, or None where not all were scored.

        Parameters
        ----------
        architecture
            One option index per position.
        by
            The score: "feedback", "validation" or "test".
        """
        return None

    def weighing(self, objectives: Objectives) -> Self:
        """Return this benchmark for a search that weighs several objectives.

        Parameters
        ----------
        objectives
            What is weighed.

        Raises
        ------
        InvalidParameter
            The latency is one of them, and nothing tells it.
        """
        if "latency" in objectives.names:
            self.check_latency()
        weighed = copy.copy(self)
        weighed.objectives = objectives
        return weighed

    def check_latency(self) -> None:
        """Raise InvalidParameter unless latencies are recorded or measured here."""
        raise no_latency(self.name)

    def weighed(self, who: str) -> Objectives:
        """Return the objectives of this benchmark for somebody who needs several.

        Parameters
        ----------
        who
            Named in the message.

        Raises
        ------
        InvalidParameter
            There are none; the message says how to give some.
        """
        if self.objectives is None:
            raise InvalidParameter(
                f"{who} weighs several objectives and {self.name} has one; load it with "
                'objectives=("accuracy", "macs"), or give --objectives accuracy,macs, or `objectives:` in a study file'
            )
        return self.objectives


def no_latency(name: str) -> InvalidParameter:
    """Return the error for a benchmark of which no latency is recorded."""
    return InvalidParameter(
        f"{name} records no latency, as nas-bench-201-cifar10 does and a benchmark that trains measures; take macs or "
        "parameters in its place"
    )


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
