"""The records that pass between the modules: what was evaluated, what a reply said, what a trial was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from genius_kit.spaces import Architecture


class Message(TypedDict):
    """One chat message; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Cost:
    """Exact counts of one network: trainable `parameters` and multiply-accumulates `macs`, both integers."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Evaluation:
    """What is known of one architecture.

    Accuracies are in percent, None where the source has none; `feedback` is the one that the search is shown
    (None when it was never measured); `source` names the file or package that answered. `failure` says why a
    measurement came to nothing: a few words, then after ": " what is known of it; None where nothing failed.
    `latency` is in seconds, None where it is no objective of the search; `memory_format` is that of a training.
    """

    validation_accuracy: float | None
    test_accuracy: float | None
    feedback: float | None
    cost: Cost | None
    source: str
    failure: str | None = None
    latency: float | None = None
    memory_format: str | None = None


@dataclass(frozen=True)
class RankRange:
    """The ranks that rows of equal score share: 1 is best, `best <= worst <= of`."""

    best: int
    worst: int
    of: int

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


@dataclass(frozen=True)
class Proposal:
    """A reply that names exactly one architecture of the space."""

    architecture: Architecture


@dataclass(frozen=True)
class Rejection:
    """A reply that cannot be used: `reason` is a short stable word for counting, `detail` is fit to send back."""

    reason: str
    detail: str


@dataclass(frozen=True)
class NoImprovement:
    """The model declared that no better architecture exists."""


Outcome = Proposal | Rejection | NoImprovement


@dataclass(frozen=True)
class Trial:
    """One finished iteration: what was proposed and what came of it.

    `exchange` holds the assistant and user messages of the iteration (replies, refusals, the accepted reply),
    without the opening prompt; it is empty for proposers that do not talk.
    """

    iteration: int
    architecture: Architecture
    evaluation: Evaluation
    exchange: tuple[Message, ...] = field(default=())
