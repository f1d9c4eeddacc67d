"""How much of a table's Pareto front a search found: its share of the hypervolume, beside what random search finds.

Every objective counts in parts of its range over the whole table, 0 the best value and 1 the worst; the reference point
is the worst of every one. The share is 1 where the whole front was found, 0 where nothing below the reference was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.base import Objectives, recorded_objectives
from genius_kit.benchmarks.catalogue import is_judged, recorded_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import distinct
from genius_kit.runs.provenance import marked
from genius_kit.spaces import recorded_space
from genius_kit.stats.fronts import epsilon, front_of, hypervolume, hypervolumes
from genius_kit.stats.paired import mean_band

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.journal import Run


DRAWS = 2_000
"""Random searches that are drawn for their mean share; its standard error is then a 45th of their spread."""

COLUMNS = (
    "objectives", "hypervolume", "epsilon", "front", "random_hypervolume", "double_hypervolume", "p_hypervolume",
    "designs",
)  # fmt: skip
"""What the results of a study tell of a run with several objectives."""


UNKNOWN_PART = 2.0
"""Every objective of an architecture that a table does not know: worse than the worst."""


class FrontReference:
    """The front of a whole table, and what a set of its architectures is worth beside it.

    `parts` holds every objective of every architecture, 0 the best and 1 the worst, shape (size, k); `rows` are those
    of the architectures that are known, and the others are worse in every objective.
    Raises InvalidParameter for a benchmark that weighs one objective.
    """

    def __init__(self, benchmark: TabularBenchmark) -> None:
        self.objectives: Objectives = benchmark.weighed("a front")
        losses = benchmark.losses()
        self.rows = np.arange(len(losses)) if benchmark.known is None else np.flatnonzero(benchmark.known)
        low, spread = losses[self.rows].min(axis=0), np.ptp(losses[self.rows], axis=0)
        self.parts: np.ndarray = np.full(losses.shape, UNKNOWN_PART)
        self.parts[self.rows] = (losses[self.rows] - low) / np.where(spread > 0, spread, 1.0)
        self.name = benchmark.name

    @cached_property
    def front(self) -> np.ndarray:
        """The rows of the table that no other row dominates, int, in the order of the accuracy, the best first."""
        rows = np.flatnonzero(front_of(self.parts))
        return rows[np.argsort(self.parts[rows, 0], kind="stable")]

    @cached_property
    def volume(self) -> float:
        """The hypervolume of the whole table, up to 1."""
        return self._volume(self.front)

    def share(self, rows: Sequence[int] | np.ndarray) -> float:
        """Return which part of the table's hypervolume some rows of it have, 0 to 1."""
        return self._volume(rows) / self.volume

    def curve(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the share after each of some rows, shape (n,)."""
        return np.array([self.share(rows[: count + 1]) for count in range(len(rows))])

    def epsilon(self, rows: Sequence[int] | np.ndarray) -> float:
        """Return how far, in parts of each range, the worst covered architecture of the front is missed; 0 for none."""
        return epsilon(self.parts[np.asarray(rows, dtype=np.intp)], self.parts[self.front])

    def found(self, rows: Sequence[int] | np.ndarray) -> int:
        """Return how many of some rows are on the front of the table."""
        return int(np.isin(np.unique(rows), self.front).sum())

    def random_shares(self, budget: int, first: int | None = None, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
        """Return the shares of `draws` random searches without repetition, float of shape (draws,), drawn by `seed`.

        All begin at the row `first` where it is given. Raises InvalidParameter unless 1 <= budget <= size.
        """
        size = len(self.rows)
        if not 1 <= budget <= size:
            raise InvalidParameter(f"budget {budget} is not between 1 and the {size} rows of the table")
        rng = np.random.default_rng([seed, budget])
        rows = self.rows[np.stack([rng.choice(size, budget, replace=False) for _ in range(draws)])]
        if first is not None:
            rows[(rows != first).all(axis=1), 0] = first
        return hypervolumes(self.parts[rows], np.ones(self.parts.shape[1])) / self.volume

    def _volume(self, rows: Sequence[int] | np.ndarray) -> float:
        return hypervolume(self.parts[np.asarray(rows, dtype=np.intp)], np.ones(self.parts.shape[1]))


_front_reference = lru_cache(maxsize=16)(FrontReference)  # a table is read once per process


def front_reference_of(run: Run) -> FrontReference:
    """Return the reference of the table that a run searched; raises InvalidParameter for a run of one objective."""
    if recorded_objectives(run.settings) is None:
        raise InvalidParameter(
            f"the run of {run.settings.get('benchmark')} has one objective, so there is no front; search a benchmark "
            'that was loaded with objectives=("accuracy", "macs")'
        )
    return _front_reference(recorded_benchmark(run.settings))


def rows_of(run: Run) -> list[int]:
    """Return the rows of the table that a run evaluated with a result, in order."""
    space = recorded_space(run.settings)
    return [space.index(event["architecture"]) for event in run.of("evaluation") if event["feedback"] is not None]


def tradeoff_row(run: Run, benchmark: TabularBenchmark | None = None) -> dict[str, Any]:
    """Return the COLUMNS of a run: its share, and that of random search with its budget and its first architecture.

    `epsilon` is the additive epsilon indicator, `front` how many architectures of the table's front were found;
    `random_hypervolume` is the mean share of random searches (DRAWS drawn), `double_hypervolume` with twice as many
    evaluations, `p_hypervolume` the part of them that does as well. `designs` is a short sum of what was evaluated
    after a given first architecture: where it is the same, two searches are one. Empty for a run of one objective, or
    of no table.
    """
    objectives, known = recorded_objectives(run.settings), bool(run.settings) and is_judged(run.settings)
    if objectives is None or not (known or benchmark) or not rows_of(run):
        return {}
    measure, rows = front_reference_of(run) if benchmark is None else FrontReference(benchmark), rows_of(run)
    budget, first = run.budget or len(rows), run.settings.get("first")
    begun = None if first is None or not rows else rows[0]
    once, twice = _random(measure, budget, begun), _random(measure, min(2 * budget, len(measure.rows)), begun)
    share = measure.share(rows)
    return {
        "objectives": str(objectives),
        "hypervolume": share,
        "epsilon": measure.epsilon(rows),
        "front": measure.found(rows),
        "random_hypervolume": float(once.mean()),
        "double_hypervolume": float(twice.mean()),
        "p_hypervolume": float((once >= share - 1e-12).mean()),
        "designs": hashlib.sha256(repr(sorted(rows[begun is not None :])).encode()).hexdigest()[:12],
    }


@lru_cache(maxsize=512)
def _random(measure: FrontReference, budget: int, first: int | None) -> np.ndarray:
    return measure.random_shares(budget, first)


def share_curves(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Return the share of the table's hypervolume by evaluation, one row per evaluation of each method.

    A run that ended early keeps what it found.

    Parameters
    ----------
    runs
        Name of a method -> its runs, all of one table and the same objectives.

    Returns
    -------
    pd.DataFrame
        method, n (1 of the `searches` of a fixed rule, see `fixed_rules`), searches, evaluations (from 1), mean, low,
        high (95 % bootstrap over whole runs, by percentiles; missing for one run).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, some in runs.items():
        curves = [front_reference_of(run).curve(rows_of(run)) for run in distinct(some)]
        length = max(map(len, curves))
        values = np.stack([np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves])
        for place, (mean, low, high) in enumerate(zip(values.mean(axis=0), *mean_band(values), strict=True), start=1):
            measured = {"evaluations": place, "mean": mean, "low": low, "high": high}
            rows.append({"method": name, "n": len(values), "searches": len(some), **measured})
    return marked(pd.DataFrame(rows), runs)
