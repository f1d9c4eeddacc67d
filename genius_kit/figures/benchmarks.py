"""What there is to be found in a table: where it is from, its best architectures, and what chance finds among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import data_sums
from genius_kit.benchmarks.noise import noise_floor, resolutions
from genius_kit.figures.conclusions.base import Conclusion, conclude
from genius_kit.figures.tables import PrintedTable, frame_table
from genius_kit.figures.tradeoffs import cloud, pareto_front
from genius_kit.runs.provenance import marked
from genius_kit.studies.results import random_search
from genius_kit.texts import UNKNOWN, number, unit_sign

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.records import RankRange
    from genius_kit.spaces import Architecture


LONGEST = 40
"""Characters of an architecture in a table; a longer one is told by its key."""


def source_table(benchmark: TabularBenchmark) -> PrintedTable:
    """Return where the scores of a table are from: file or package with its checksum, size, scores and their noise.

    Parameters
    ----------
    benchmark
        The table.
    """
    space, scores = benchmark.space, benchmark.known_scores()
    unit = f"({unit_sign(benchmark.unit)})"
    rows = {
        "table": benchmark.title,
        "data set": benchmark.dataset,
        "source": benchmark.source,
        **{f"SHA-256 of {name}": digest for name, digest in data_sums(benchmark).items()},
        "architectures": f"{benchmark.count:,} of the {space.size:,} in the space",
        "positions": f"{space.length}, with {', '.join(str(len(menu)) for menu in space.choices)} options",
        "what a search is shown": f"{benchmark.feedback_name} {unit}, protocol {benchmark.protocol}",
        "from worst to best": f"{number(scores.min())} to {number(scores.max())}",
        "different scores": f"{len(np.unique(scores)):,}",
        "equal within the noise of the trainings": _undecided(benchmark),
    }
    return frame_table([{"what": what, "found": found} for what, found in rows.items()])


def best_table(benchmark: TabularBenchmark, count: int = 10) -> PrintedTable:
    """Return the best architectures of a table by what a search is shown, ties in the order of the space.

    Parameters
    ----------
    benchmark
        The table.
    count
        How many.
    """
    scores = benchmark.scores()
    rows = np.argsort(-scores, kind="stable")[: min(count, benchmark.count)]
    return recorded_table(benchmark, [benchmark.space.at(int(row)) for row in rows])


def recorded_table(benchmark: TabularBenchmark, architectures: Sequence[Architecture]) -> PrintedTable:
    """Return what a table has on record of some architectures; its `data` has the columns that figures read.

    Parameters
    ----------
    benchmark
        The table.
    architectures
        Architectures that it knows.
    """
    import pandas as pd

    rows = []
    for one in architectures:
        found, rank = benchmark.evaluate(one), benchmark.rank(one)
        cost = {} if found.cost is None else {"parameters": found.cost.parameters, "macs": found.cost.macs}
        scores = {"feedback": found.feedback, "test_accuracy": found.test_accuracy}
        text = benchmark.space.encode(one)
        text = text if len(text) <= LONGEST else benchmark.space.key(one)
        rows.append({"architecture": text, "rank": _span(rank), **scores, **cost})
    data = marked(pd.DataFrame(rows).dropna(axis="columns", how="all"), pd.DataFrame({"source": [benchmark.source]}))
    unit = unit_sign(benchmark.unit)
    named = {"feedback": f"{benchmark.feedback_name} ({unit})", "test_accuracy": f"test score ({unit})"}
    shown = frame_table(data.rename(columns=named if unit != "%" else {"feedback": named["feedback"]}))
    return PrintedTable("", shown.header, shown.rows, shown.note, data, words=1)


def front_of_table(benchmark: TabularBenchmark) -> pd.DataFrame:
    """Return the architectures of a table that no other beats at the same multiply-accumulates, by rising `macs`.

    Parameters
    ----------
    benchmark
        A table that records multiply-accumulates.
    """
    import pandas as pd

    macs, feedback = cloud(benchmark)
    frame = pd.DataFrame({"macs": macs, "feedback": feedback})
    return marked(pareto_front(frame), pd.DataFrame({"source": [benchmark.source]}))


def table_conclusion(benchmark: TabularBenchmark, budget: int = 10) -> Conclusion:
    """Return what random search finds in a table, exactly, beside its best, its largest and what noise leaves equal.

    Parameters
    ----------
    benchmark
        The table.
    budget
        Evaluations of the random search that the headline is about.
    """
    random, count = random_search(benchmark), benchmark.count
    best, largest = benchmark.optimum(), benchmark.space.all_largest
    at = benchmark.rank(largest)
    rows = [_row(benchmark, "the best there is", benchmark.rank(best[0]), float(random.scores.max()), "")]
    if at is not None:
        shown = benchmark.evaluate(largest).feedback
        rows += [_row(benchmark, "largest option everywhere", at, float(shown or np.nan), "1")]
    for few in sorted({1, budget, 10 * budget} & set(range(1, count + 1))):
        mean = random.expected_best_rank(few)
        rows += [_row(benchmark, "random search, mean", mean, random.expected_best(few), f"{few:,}")]
    found = number(random.expected_best_rank(budget), 1)
    middle = "of unknown rank" if at is None else f"at rank {number(at.mean, 0 if at.best == at.worst else 1)}"
    headline = (
        f"{budget:,} random evaluations find rank {found} of {count:,} on average; the largest architecture is "
        f"{middle}; equal within noise: {_undecided(benchmark)}."
    )
    note = (
        "Random search without repetition, by its exact distribution; a tie counts as the middle of its ranks, 1 is "
        "best. Equal within noise: the architectures that trainings cannot tell from the best (95 %, one pair)."
    )
    return conclude(headline, rows, "What there is to be found", note)


def _row(
    benchmark: TabularBenchmark, what: str, rank: RankRange | float | None, score: float, evaluations: str
) -> dict[str, str]:
    middle = rank if isinstance(rank, float) else rank.mean if rank is not None else np.nan
    return {
        "search": what,
        "evaluations": evaluations or UNKNOWN,
        f"{benchmark.feedback_name} ({unit_sign(benchmark.unit)})": number(score),
        "rank": number(rank, 1) if isinstance(rank, float) else _span(rank),
        "top %": number(100 * middle / benchmark.count),
    }


def _span(rank: RankRange | None) -> str:
    if rank is None:
        return UNKNOWN
    return f"{rank.best:,}" if rank.best == rank.worst else f"{rank.best:,} to {rank.worst:,}"


def _undecided(benchmark: TabularBenchmark) -> str:
    """Return which ranks the noise of the trainings does not tell from the best."""
    if np.isnan(noise_floor(benchmark).sd):
        return "not known"
    row: dict[Any, Any] = resolutions([benchmark]).to_dict("records")[0]
    return f"ranks 1 to {row['undecided']:,}"
