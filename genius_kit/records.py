"""The records that pass between the modules: an evaluation, a reply, a trial; and how each shows itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

from genius_kit.texts import for_html, in_line

LONGEST = 160
"""Characters of a value in a line; a card has SENTENCE."""

SENTENCE = 2_000


class Card:
    """Shows an object by its `facts`, by name. Values may be text from outside, so they are escaped."""

    def facts(self) -> Mapping[str, object]:
        """Return what is shown; the name of the class stands above."""
        raise NotImplementedError

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {in_line(value, LONGEST)}" for name, value in self.facts().items())
        return in_line(f"{type(self).__name__}({told})", 200 + LONGEST // 4)

    def _repr_html_(self) -> str:
        cell = "text-align:left;white-space:normal;max-width:60em"
        rows = "".join(
            f'<tr><th style="text-align:left">{for_html(name)}</th>'
            f'<td style="{cell}">{for_html(in_line(value, SENTENCE))}</td></tr>'
            for name, value in self.facts().items()
        )
        title = re.sub("(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).capitalize()
        return f'<table><caption style="text-align:left">{for_html(title)}</caption>{rows}</table>'


Value = TypeVar("Value")

Architecture = tuple[int, ...]
"""One option index per position; the only form architectures have inside the package."""


class Message(TypedDict):
    """One chat message; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, repr=False)
class Cost(Card):
    """Exact counts of one network.

    Parameters
    ----------
    parameters
        Trainable parameters.
    macs
        Multiply-accumulates.
    """

    parameters: int
    macs: int

    def facts(self) -> dict[str, object]:
        """Return both counts."""
        return {"parameters": f"{self.parameters:,}", "multiply-accumulates": f"{self.macs:,}"}


@dataclass(frozen=True, repr=False)
class Evaluation(Card):
    """What is known of one architecture.

    Parameters
    ----------
    validation_accuracy, test_accuracy
        In percent, None where the source has none.
    feedback
        The accuracy that the search is shown, in percent; None when it was never measured.
    cost
        Counts of the network, None where unknown.
    source
        The file or package that answered.
    failure
        Why a measurement failed: a few words, then after ": " the details; None where nothing failed.
    latency
        In seconds, None where it is no objective of the search.
    memory_format
        Memory format of a training, None for tables.
    """

    validation_accuracy: float | None
    test_accuracy: float | None
    feedback: float | None
    cost: Cost | None
    source: str
    failure: str | None = None
    latency: float | None = None
    memory_format: str | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Evaluation:
        """Return what a recorded evaluation says.

        Parameters
        ----------
        event
            An "evaluation" event of a journal.
        """
        cost = None if event["parameters"] is None else Cost(event["parameters"], event["macs"])
        accuracies = event["validation_accuracy"], event["test_accuracy"], event["feedback"]
        rest = event.get("failure"), event.get("latency"), event.get("memory_format")
        return cls(*accuracies, cost, event["source"], *rest)

    def facts(self) -> dict[str, object]:
        """Return what is known; accuracies in percent, latency in seconds."""
        percent = {
            "validation accuracy": self.validation_accuracy,
            "test accuracy": self.test_accuracy,
        }
        counts = dict(self.cost.facts()) if self.cost else {}
        told = {"failure": self.failure, "latency": self.latency, "memory format": self.memory_format}
        known = {name: f"{value:.2f} %" for name, value in percent.items() if value is not None}
        rest = {name: value for name, value in told.items() if value is not None}
        shown = {} if self.feedback is None else {"feedback": f"{self.feedback:.2f}"}  # of a proxy it is no percentage
        return {**shown, **known, **counts, **rest, "source": self.source}


@dataclass(frozen=True, repr=False)
class RankRange(Card):
    """The ranks that rows of equal score share: 1 is best, `best <= worst <= of`.

    Parameters
    ----------
    best, worst
        First and last rank of the tie.
    of
        Number of rows that are ranked.
    """

    best: int
    worst: int
    of: int

    @classmethod
    def of_best(cls, evaluations: Iterable[Mapping[str, Any]]) -> RankRange | None:
        """Return the ranks of the best of some recorded evaluations, None where nothing is scored or ranked.

        Parameters
        ----------
        evaluations
            "evaluation" events of a journal.
        """
        scored = [event for event in evaluations if event["feedback"] is not None]
        rank = max(scored, key=lambda event: event["feedback"])["rank"] if scored else None
        return None if rank is None else cls(rank["best"], rank["worst"], rank["of"])

    @property
    def mean(self) -> float:
        """Middle of the range: the expected rank when ties are broken at random."""
        return (self.best + self.worst) / 2

    @property
    def top_percent(self) -> float:
        """`mean` in percent of the table."""
        return 100 * self.mean / self.of

    def __str__(self) -> str:
        return f"{self.best}" if self.best == self.worst else f"{self.best}-{self.worst}"

    def facts(self) -> dict[str, object]:
        """Return the rank, of how many, and in percent of them."""
        return {"rank": str(self), "of": f"{self.of:,}", "top": f"{self.top_percent:.3g} %"}


@dataclass(frozen=True)
class Proposal:
    """A reply that names exactly one architecture of the space.

    Parameters
    ----------
    architecture
        One option index per position.
    """

    architecture: Architecture


@dataclass(frozen=True)
class Rejection:
    """A reply that cannot be used.

    Parameters
    ----------
    reason
        A short stable word for counting.
    detail
        A sentence that can be sent back to the model.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class NoImprovement:
    """The model declared that no better architecture exists."""


Outcome = Proposal | Rejection | NoImprovement


@dataclass(frozen=True)
class Trial:
    """One finished iteration: what was proposed and its result.

    Parameters
    ----------
    iteration
        From 1.
    architecture
        One option index per position.
    evaluation
        Its result.
    exchange
        Assistant and user messages of the iteration (replies, refusals, the accepted reply) without the opening prompt;
        empty for proposers that ask no model.
    """

    iteration: int
    architecture: Architecture
    evaluation: Evaluation
    exchange: tuple[Message, ...] = field(default=())


class Trials(list[Trial]):
    """The trials of one search, in order, to which the search appends alone; what is made of them is kept beside them.

    A search that makes something of all its trials at every step would take longer at each.
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        super().__init__(trials)
        self._kept: dict[str, tuple[int, Any]] = {}

    def folded(self, name: str, step: Callable[[Value, Trial], Value], start: Value) -> Value:
        """Return what `step` makes of `start` and each trial after the other; each is taken once under this `name`."""
        count, value = self._kept.get(name, (0, start))
        for trial in self[count:]:
            value = step(value, trial)
        self._kept[name] = (len(self), value)
        return value
