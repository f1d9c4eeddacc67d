"""What the paper's printed trials show: how much of them is evidence, and how early a trial finds its best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.figures.conclusions.base import INCONCLUSIVE, Conclusion, conclude, search_conclusion
from genius_kit.figures.tables import number
from genius_kit.paper import TRIAL_TABLES, best_places, early_p, paper_label, printed_evidence
from genius_kit.spaces import load_space
from genius_kit.stats.paired import holm_of
from genius_kit.verdicts.contrasts import LEVEL

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks import Benchmark
    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.runs.frames import Runs


ALONE = "accuracy alone"


def paper_conclusions(*searched: tuple[TabularBenchmark, Runs], model: str) -> tuple[Conclusion, ...]:
    """Return what the paper's printed trials show, then its GPT-4 and `model` beside random search and descent.

    `searched` and `model` are those of `search_conclusion`.
    """
    benchmarks = [benchmark for benchmark, _ in searched]
    beside = [search_conclusion(*searched, model=name, only_model=True) for name in (paper_label(0), model)]
    return (printed_conclusion(*benchmarks), order_conclusion(*benchmarks), *beside)


def printed_conclusion(*benchmarks: Benchmark) -> Conclusion:
    """Return how many printed evaluations of the paper the tables have, told apart by what finding one shows.

    An accuracy and its rank must both be right; an accuracy alone is in these tables nearly always.
    """
    found = [printed_evidence(one, t) for one in benchmarks for t in sorted(TRIAL_TABLES.get(one.name, {}))]
    lines: list[dict[Any, Any]] = [row for frame in found for row in frame.to_dict("records")]
    rows = [
        {
            "table": row["table"],
            "printed figures": row["figures"],
            "found": f"{row['found']} of {row['printed']}",
            "an arbitrary accuracy": f"{number(100 * row['by_chance'], 1)} %",
        }
        for row in sorted(lines, key=lambda row: int(row["table"].split()[1]))
    ]
    alone = [row for row in lines if row["figures"] == ALONE]
    ranked = [row for row in lines if row["figures"] != ALONE]
    told = [_told(name, some) for name, some in (("Accuracy with rank", ranked), ("accuracy alone", alone)) if some]
    note = (
        "Found: a row of the published table has the printed figures, to two decimals. An arbitrary accuracy: how "
        "often one with two decimals, between the lowest and the highest printed, has such a row; near 100 % finding "
        "one shows nothing. By chance, in the headline: that share of the printed ones. Test accuracy and rank: of "
        "what a trial picked."
    )
    headline = f"{'; '.join(told)}."
    return conclude(headline, rows, "The paper's printed evaluations in the published tables", note, words=2)


def _told(name: str, rows: Sequence[Mapping[Any, Any]]) -> str:
    printed, found = (sum(int(row[key]) for row in rows) for key in ("printed", "found"))
    expected = sum(row["printed"] * row["by_chance"] for row in rows)
    return f"{name}: {found} of {printed} in the tables (by chance {number(expected, 0)})"


def order_conclusion(*benchmarks: Benchmark) -> Conclusion:
    """Return whether the paper's trials find their best in the first half of their evaluations, by search space.

    Earlier or later only where a two-sided exact test says so, corrected by Holm's rule over the spaces.
    """
    import pandas as pd

    trials: dict[str, list[pd.DataFrame]] = {}
    for one in benchmarks:
        for temperature in TRIAL_TABLES.get(one.name, {}):
            trials.setdefault(one.space.name, []).append(best_places(one, temperature))
    spaces = {name: pd.concat(some) for name, some in trials.items()}
    p_values = {name: early_p(some) for name, some in spaces.items()}
    corrected, answers = holm_of(p_values), dict.fromkeys(spaces, INCONCLUSIVE)
    for name, some in spaces.items():
        if corrected[name] < LEVEL:
            answers[name] = "earlier" if some["early"].sum() > some["by_chance"].sum() else "later"
    rows = [
        {
            "space": load_space(name).title,
            "best in the first half": f"{int(some['early'].sum())} of {len(some)}",
            "by chance": number(some["by_chance"].sum(), 1),
            "p": number(p_values[name], 3),
            "p, corrected": number(corrected[name], 3),
            "than chance": answers[name],
        }
        for name, some in spaces.items()
    ]
    every = pd.concat(spaces.values())
    words = list(answers.values())
    said = f"earlier than chance on {words.count('earlier')} of {len(words)} spaces, later on {words.count('later')}"
    if set(words) <= {INCONCLUSIVE}:
        said = f"{INCONCLUSIVE} on every space"
    note = (
        "A trial's first evaluation with its best accuracy. By chance: where the order of a trial's evaluations does "
        "not matter. p: exact, two-sided; corrected by Holm's rule over the spaces."
    )
    headline = (
        f"Best found in the first half: {int(every['early'].sum())} of {len(every)} printed trials of GPT-4; {said}."
    )
    return conclude(headline, rows, "When the paper's trials find their best", note)
