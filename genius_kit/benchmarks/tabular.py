"""A benchmark that is a table: every architecture was trained before, evaluating is looking up, ties share ranks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from genius_kit.benchmarks.base import Benchmark, Objectives
from genius_kit.errors import InvalidParameter
from genius_kit.records import Cost, Evaluation, RankRange
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import numpy as np

SCORES = ("feedback", "validation", "test")


class TabularBenchmark(Benchmark):
    """A benchmark whose every architecture was trained: evaluating is looking up.

    `columns` maps "feedback", and "validation" or "test" where they are known, to accuracies in percent in the
    order of `space.index`; `parameters` and `macs` are counts in the same order; `source` names what answered;
    `latency`, where one is recorded, returns that of every architecture in seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        dataset: str,
        space: SearchSpace,
        protocol: str,
        feedback_name: str,
        columns: Mapping[str, np.ndarray],
        parameters: np.ndarray,
        macs: np.ndarray,
        source: str,
        fed_run: int = 0,
        latency: Callable[[], np.ndarray] | None = None,
    ) -> None:
        super().__init__(
            name=name, title=title, dataset=dataset, space=space, protocol=protocol, feedback_name=feedback_name
        )
        self.source = source
        self.fed_run = fed_run
        self._columns = dict(columns)
        self._parameters = parameters
        self._macs = macs
        self._ranks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._load_latency = latency
        self._latency: np.ndarray | None = None

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the recorded result of `architecture`; raises InvalidArchitecture."""
        row = self.space.index(architecture)
        return Evaluation(
            validation_accuracy=self._cell("validation", row),
            test_accuracy=self._cell("test", row),
            feedback=self._cell("feedback", row),
            cost=Cost(parameters=int(self._parameters[row]), macs=int(self._macs[row])),
            source=self.source,
            latency=None if self._latency is None else float(self._latency[row]),
        )

    def weighing(self, objectives: Objectives) -> Self:
        """Return this table for a search that weighs several objectives; its evaluations then tell them all.

        Raises InvalidParameter for the latency where none is recorded.
        """
        weighed = copy.copy(self)
        weighed.objectives, weighed._latency = objectives, None
        if "latency" in objectives.names:
            self.check_latency()
            weighed._latency = self._load_latency() if self._load_latency else None
        return weighed

    def check_latency(self) -> None:
        """Raise InvalidParameter where no latency is recorded."""
        if self._load_latency is None:
            super().check_latency()

    def losses(self) -> np.ndarray:
        """Return the objectives of every architecture as `pareto` takes them, shape (size, k), by `space.index`.

        Raises InvalidParameter where the benchmark weighs nothing.
        """
        import numpy as np

        objectives = self.weighed("a front")
        columns = {"accuracy": self.scores(), "parameters": self._parameters, "macs": self._macs}
        columns |= {} if self._latency is None else {"latency": self._latency}
        return objectives.losses(np.stack([columns[name] for name in objectives.names], axis=1))

    def rank(self, architecture: Sequence[int], by: str = "feedback") -> RankRange | None:
        """Return the ranks that `architecture` shares with its ties by one score, or None where it was not recorded.

        `by` is "feedback", "validation" or "test"; rank 1 is best.
        """
        if by in SCORES and by not in self._columns:
            return None
        best, worst = self.ranks(by)
        row = self.space.index(architecture)
        return RankRange(best=int(best[row]), worst=int(worst[row]), of=self.space.size)

    def scores(self, by: str = "feedback") -> np.ndarray:
        """Return the accuracy of every architecture in percent, shape (size,), in the order of `space.index`.

        Raises InvalidParameter when this benchmark has no such score.
        """
        if by not in self._columns:
            raise InvalidParameter(
                f"{self.name} from {self.source} has no score {by!r}; it has {', '.join(self._columns)}"
            )
        return self._columns[by]

    def ranks(self, by: str = "feedback") -> tuple[np.ndarray, np.ndarray]:
        """Return the best and the worst rank of every architecture, two int arrays of shape (size,).

        Equal scores share both: best is 1 + the rows that score higher, worst is the rows that score as high or higher.
        """
        if by not in self._ranks:
            self._ranks[by] = tied_ranks(self.scores(by))
        return self._ranks[by]

    def optimum(self, by: str = "feedback") -> tuple[Architecture, ...]:
        """Return every architecture with the highest score, in lexicographic order."""
        best, _ = self.ranks(by)
        return tuple(self.space.at(int(row)) for row in (best == 1).nonzero()[0])

    def evaluate_rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the recorded results of many rows of `space.index` at once: every score, `parameters` and `macs`."""
        found = {name: column[rows] for name, column in self._columns.items()}
        return {**found, "parameters": self._parameters[rows], "macs": self._macs[rows]}

    def _cell(self, by: str, row: int) -> float | None:
        column = self._columns.get(by)
        return None if column is None else float(column[row])


def tied_ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and worst rank of each score (1 is the highest), two int arrays of the shape of `scores`."""
    import numpy as np

    ordered = np.sort(scores)
    best = scores.size - np.searchsorted(ordered, scores, side="right") + 1
    worst = scores.size - np.searchsorted(ordered, scores, side="left")
    return best, worst
