"""What was found, from the runs of a notebook: a headline of at most 25 words and a small table.

"Better" and "worse" are said only where a 95 % interval says so; all else is "inconclusive".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.benchmarks.noise import resolutions
from genius_kit.errors import InvalidParameter
from genius_kit.figures.tables import PrintedTable
from genius_kit.paper import paper_methods, summary
from genius_kit.proposers.methods import are_one, sequence_of, shown_model, shown_name
from genius_kit.runs.frames import Runs, frames_of, middle_rank
from genius_kit.stats import Estimate, random_worth, rank_ratio
from genius_kit.stats.random_search import RandomSearch
from genius_kit.texts import for_markdown, number, ratio_text, spread, unit_sign
from genius_kit.verdicts.headlines import RANDOM

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark


DESCENT = "coordinate descent"
NOT_RUN, INCONCLUSIVE = "not run", "inconclusive"


@dataclass(frozen=True, repr=False)
class Conclusion:
    """What the runs of a notebook show; notebooks print the Markdown.

    Parameters
    ----------
    headline
        The result in at most 25 words.
    table
        The numbers behind it.
    """

    headline: str
    table: PrintedTable

    def markdown(self) -> str:
        """Return the headline in bold above the table."""
        return f"**{for_markdown(self.headline)}**\n\n{self.table.markdown()}"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return self.headline


def conclude(headline: str, rows: Sequence[Mapping[str, str]], caption: str, note: str, words: int = 1) -> Conclusion:
    """Return a conclusion with its table.

    Parameters
    ----------
    headline
        The result in at most 25 words.
    rows
        One mapping of column to cell per row, the same columns in each.
    caption, note
        Texts above and below the table.
    words
        How many columns on the left are text.

    Raises
    ------
    InvalidParameter
        There is no row: nothing was run that could be compared.
    """
    import pandas as pd

    if not rows:
        raise InvalidParameter("there is nothing to conclude from: no run is finished; raise the number of searches")
    header = tuple(rows[0])
    cells = tuple(tuple(row[name] for name in header) for row in rows)
    return Conclusion(headline, PrintedTable(caption, header, cells, note, pd.DataFrame(rows), words=words))


def answer(estimate: Estimate, above: str = "worse", below: str = "better") -> str:
    """Return what an interval says: `above` or `below` where it lies on one side of no difference, else inconclusive.

    The words are those for ratios of ranks, where less is better.
    """
    return {1: above, -1: below, 0: INCONCLUSIVE}[estimate.sign]


def estimate_cell(estimate: Estimate | None, above: str = "worse", below: str = "better") -> str:
    """Return a ratio with its interval and what it says, as a table prints it; "not run" for None."""
    if estimate is None:
        return NOT_RUN
    said = answer(estimate, above, below)
    if math.isnan(estimate.low):
        return f"{ratio_text(estimate.value)}, {said}: too few searches"
    if estimate.low == estimate.high:
        return f"{ratio_text(estimate.value)}, {said}"
    return f"{ratio_text(estimate.value)} ({ratio_text(estimate.low)} to {ratio_text(estimate.high)}), {said}"


def search_conclusion(*searched: tuple[TabularBenchmark, Runs], model: str, only_model: bool = False) -> Conclusion:
    """Return what the searches on each benchmark show about one model or method.

    Each method, the paper's trials among them, is compared with random search (exact: how many times the evaluations it
    needs to do as well) and with coordinate descent, by the ratio of the geometric means of the ranks of the best
    found. A method whose searches cannot differ has n = 1 and no spread. Intervals are corrected (Bonferroni) for all
    comparisons of the table.

    Parameters
    ----------
    *searched
        Pairs of a benchmark and its runs by method (`by_method`).
    model
        A model as `gk.search_many` takes it, or a method.
    only_model
        Leave the other methods out of the table.
    """
    rows, answers = [], []
    units = sorted({unit_sign(benchmark.unit) for benchmark, _ in searched})
    score = f"best {'accuracy' if units == ['%'] else 'score'} ({', '.join(units)})"
    framed = [(benchmark, frames_of({**paper_methods(benchmark), **runs})) for benchmark, runs in searched]
    asked, methods = shown_model(model), [method for _, frames in framed for method in frames]
    if shown_name(model) in methods:
        asked = shown_name(model)
    elif asked not in methods:  # at several temperatures: at the lowest, or the first params
        asked = min((method for method in methods if method.startswith(f"{asked}, ")), default=asked)
    listed = [[asked] if only_model and asked in frames else list(frames) for _, frames in framed]
    comparisons = max(1, sum(2 * len(methods) - len({"random", DESCENT} & set(methods)) for methods in listed))
    for (benchmark, frames), methods in zip(framed, listed, strict=True):
        found = _beside_baselines(benchmark, frames, comparisons)
        for place, method in enumerate(methods):
            random, descent = found[method]
            named = benchmark.title if place == 0 else ""
            cells = {
                "times random": "–" if method == "random" else estimate_cell(random, "better", "worse"),
                "rank ÷ coordinate descent": "–" if method == DESCENT else estimate_cell(descent),
            }
            rows.append({"benchmark": named, **_search_row(method, frames[method], score), **cells})
        answers.append(found.get(asked))
    left_out = "benchmark" if len(searched) == 1 else "search" if only_model else None
    rows = [{name: cell for name, cell in row.items() if name != left_out} for row in rows]
    caption = f"Best found by {asked if left_out == 'search' else 'each search'}"
    note = (
        "Mean ± sample standard deviation over n searches; rank 1 is best, tied ranks count as the middle of their "
        "range. Times random: how many times its evaluations random search needs to do as well (exact distribution). "
        "Rank ÷ coordinate descent: ratio of geometric means (t on logarithms). 95 % intervals, Bonferroni over "
        f"{comparisons} comparisons. "
        + f"Equal within the noise of the trainings: {', '.join(_noise(one) for one, _ in searched)}."
    )
    return conclude(_search_headline(asked, answers), rows, caption, note, words=2 if left_out is None else 1)


def _beside_baselines(
    benchmark: TabularBenchmark, frames: Mapping[str, Sequence[pd.DataFrame]], comparisons: int
) -> dict[str, tuple[Estimate, Estimate | None]]:
    """Return what each method is worth in random search and its ratio to coordinate descent, None without a partner."""
    random = RandomSearch(benchmark.known_scores())
    best = {method: [float(middle_rank(one).min()) for one in some] for method, some in frames.items()}
    ranks = {method: _over_searches(best[method], some) for method, some in frames.items()}
    found: dict[str, tuple[Estimate, Estimate | None]] = {}
    for method, some in frames.items():
        worse = [_probability_worse(random, frame) for frame in some]
        beside_random = random_worth(_over_searches(worse, some), comparisons=comparisons)
        alone = method == DESCENT or DESCENT not in ranks
        descent = None if alone else rank_ratio(ranks[method], ranks[DESCENT], comparisons=comparisons)
        found[method] = (beside_random, descent)
    return found


def _over_searches(values: list[float], frames: Sequence[pd.DataFrame]) -> float | list[float]:
    """Return one value a search, a single one where they cannot differ."""
    return values[0] if is_fixed(frames) else values


def _probability_worse(random: RandomSearch, frame: pd.DataFrame) -> float:
    best = frame.iloc[int(middle_rank(frame).argmin())]
    return random.probability_worse(int(best["rank_best"]), int(best["rank_worst"]), len(frame))


def is_fixed(frames: Sequence[pd.DataFrame]) -> bool:
    """Return whether searches cannot differ: several that are all the same, or a single evaluation by a rule."""
    return are_one(map(sequence_of, frames)) or (len(frames) == len(frames[0]) == 1 and "architecture" in frames[0])


def _search_row(method: str, frames: Sequence[pd.DataFrame], score: str) -> dict[str, str]:
    told, fixed = summary(method, frames), is_fixed(frames)
    several = len(frames) > 1 and not fixed
    return {
        "search": method,
        "n": "1 (a fixed rule)" if fixed else str(len(frames)),
        "evaluations": str(told["iterations"]),
        score: spread(told["best_accuracy"], told["best_accuracy_std"] if several else None),
        "rank": spread(told["rank"], told["rank_std"] if several else None, 1),
    }


def _search_headline(model: str, answers: Sequence[tuple[Estimate, Estimate | None] | None]) -> str:
    told = [pair for pair in answers if pair is not None]
    if not told:
        return f"{model}: not run, so there is nothing to compare."
    if len(told) == 1:
        (one, other), against = told[0], f"not compared with {DESCENT}"
        if other is not None:
            against = f"{_beside(other)} {DESCENT} (rank ratio {ratio_text(other.value)})"
        random_part = f"{RANDOM} ({ratio_text(one.value)} times its evaluations)"
        return f"{model}: {_beside(one, 'better', 'worse')} {random_part}, {against}."
    random = [answer(pair[0], "better", "worse") for pair in told]
    descent = [NOT_RUN if pair[1] is None else answer(pair[1]) for pair in told]
    counts = [(said.count("better"), said.count("worse")) for said in (random, descent)]
    beside = f"than {DESCENT} on {counts[1][0]} (worse on {counts[1][1]})"
    if set(descent) == {NOT_RUN}:
        beside = f"not compared with {DESCENT}"
    return f"{model}: better than {RANDOM} on {counts[0][0]} of {len(told)} (worse on {counts[0][1]}), {beside}."


def _beside(estimate: Estimate, above: str = "worse", below: str = "better") -> str:
    said = answer(estimate, above, below)
    if said != INCONCLUSIVE:
        return f"{said} than"
    return "too few searches beside" if math.isnan(estimate.low) else f"{INCONCLUSIVE} beside"


def _noise(benchmark: TabularBenchmark) -> str:
    (row,) = resolutions([benchmark]).to_dict("records")
    if math.isnan(row["sd"]):
        return f"not known for {benchmark.title}"
    return f"ranks 1 to {number(row['undecided'], 0)} of {benchmark.count:,} ({benchmark.title})"
