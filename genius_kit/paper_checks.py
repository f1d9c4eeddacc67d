"""The paper's trials beside the published tables: are the printed figures in them, and is that evidence?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import UnknownName
from genius_kit.paper import NOT_MEASURED, TITLES, TRIAL_TABLES, paper_table

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks import Benchmark

CHAT_FILES = ("chat_history/329M.json", "chat_history/401M.json")
CELLS = ("nas-bench-201-cifar10", "nas-bench-201-cifar100", "nas-bench-201-imagenet16-120")
MEASURED = "measured here, beside the paper's"
CHECKED = "checked against the published table, beside ours"
REPLAYED = "replayed from the published conversation"
REDRAWN = "redrawn from the printed figures; re-measuring takes an ImageNet training"
ITEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "figure 2": ("NAS-Bench-Macro, accuracy and rank by iteration, two temperatures", MEASURED, ("nas-bench-macro",)),
    "figure 3": ("Channel-Bench-Macro, by iteration", MEASURED, ("channel-bench-resnet", "channel-bench-mobilenet")),
    "table 1": (TITLES["table1"], MEASURED, CELLS),
    "table 2": (TITLES["table2"], REDRAWN, ()),
    "ImageNet trajectories": ("every reply of both conversations, evaluated or sent back", REPLAYED, CHAT_FILES),
    "table 3": (TITLES["table3"], REDRAWN, ()),
    "table 4": (TITLES["table4"], REDRAWN, ()),
    "table 5": (TITLES["table5"], NOT_MEASURED, ()),
    "table 6": (TITLES["table6"], NOT_MEASURED, ()),
    "table 7": (TITLES["table7"], CHECKED, ("nas-bench-macro",)),
    "table 8": (TITLES["table8"], CHECKED, ("nas-bench-macro",)),
    "table 9": (TITLES["table9"], CHECKED, ("channel-bench-resnet",)),
    "table 10": (TITLES["table10"], CHECKED, ("channel-bench-mobilenet",)),
    "table 11": (TITLES["table11"], CHECKED, CELLS[:1]),
    "table 12": (TITLES["table12"], CHECKED, CELLS[1:2]),
    "table 13": (TITLES["table13"], CHECKED, CELLS[2:]),
}
"""Figure or table of the paper -> what it shows, how it comes about here, the data that it needs."""


def contents() -> pd.DataFrame:
    """Return every figure and table of the paper: `item`, `shows`, `here` (how it comes about), `missing` (data)."""
    import pandas as pd

    from genius_kit.reports.run import missing_data

    missing = {need: bool(missing_data([need])) for _, _, needs in ITEMS.values() for need in needs}
    rows = [
        {"item": item, "shows": shows, "here": how, "missing": ", ".join(need for need in needs if missing[need])}
        for item, (shows, how, needs) in ITEMS.items()
    ]
    return pd.DataFrame(rows)


def printed_trials(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return every printed evaluation of the paper's trials beside what the published table says.

    One row an evaluation: `trial`, `iteration`, `accuracy` (percent, as printed) with `rank` as printed (missing in
    tables 11 to 13), `rank_best` to `rank_worst`, the ranks that rows of this accuracy (to two decimals) have, and
    `agrees`: whether the printed rank is one of them, or, without a printed rank, whether there is such a row. Tables
    11 to 13 print accuracy and rank by test of what a trial picked: `test_accuracy`, `test_rank`, `test_agrees`.
    Raises UnknownName where the paper prints no trials.
    """
    tables = TRIAL_TABLES.get(benchmark.name, {})
    if temperature not in tables:
        raise UnknownName(f"the paper prints no trials on {benchmark.name} at temperature {temperature:g}")
    import pandas as pd

    printed = paper_table(tables[temperature])
    rows = [_checked(row, benchmark) for row in printed.to_dict("records")]
    return pd.DataFrame(rows)


def printed_evidence(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return how many printed figures of the paper's trials are in the published table, and how many chance would be.

    One row a kind of figure: "accuracy and rank", where a row must have both, "accuracy alone" (tables 11 to 13, by
    validation) and "test accuracy and rank" (theirs, one a trial). `printed` are counted, `found` are in the table.
    `by_chance` is how often an arbitrary accuracy with two decimals, between the lowest and the highest printed one,
    has such a row: near 1 nothing is learnt from finding it. Raises UnknownName where the paper prints no trials.
    """
    import pandas as pd

    printed = printed_trials(benchmark, temperature)
    ranks = printed["rank"].tolist() if "rank" in printed else None
    kind = "accuracy alone" if ranks is None else "accuracy and rank"
    chance = _by_chance(printed["accuracy"].tolist(), ranks, benchmark, "feedback")
    rows = [{"figures": kind, "printed": len(printed), "found": int(printed["agrees"].sum()), "by_chance": chance}]
    if "test_rank" in printed:
        picked = printed.drop_duplicates("trial")
        chance = _by_chance(picked["test_accuracy"].tolist(), picked["test_rank"].tolist(), benchmark, "test")
        found = int(picked["test_agrees"].eq(True).sum())
        rows.append({"figures": "test accuracy and rank", "printed": len(picked), "found": found, "by_chance": chance})
    number = TRIAL_TABLES[benchmark.name][temperature].split("_")[0].replace("table", "table ")
    return pd.DataFrame([{"table": number, **row} for row in rows])


def _by_chance(accuracies: Sequence[float], ranks: Sequence[int] | None, benchmark: Any, by: str) -> float:
    """Return the share of two-decimal accuracies between those printed that a row has, with a printed rank if given."""
    import numpy as np

    span = range(round(100 * min(accuracies)), round(100 * max(accuracies)) + 1)
    found = [_ranks_of(accuracy / 100, benchmark, by) for accuracy in span]
    if ranks is None:
        return float(np.mean([ends is not None for ends in found]))
    return float(np.mean([[ends is not None and ends[0] <= rank <= ends[1] for ends in found] for rank in ranks]))


def best_places(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return at which evaluation each trial of the paper first has its best accuracy.

    One row a trial: `trial`, `evaluations`, `best_at` (from 1), `early`, whether that is in the first half (an odd one
    in the middle is not), and `by_chance`, the probability of it where the order of the evaluations does not matter.
    Raises UnknownName where the paper prints no trials.
    """
    import pandas as pd

    rows = []
    for trial, printed in printed_trials(benchmark, temperature).groupby("trial"):
        accuracies = printed["accuracy"].tolist()
        length, equal = len(accuracies), accuracies.count(max(accuracies))
        half, at = length // 2, accuracies.index(max(accuracies)) + 1
        chance = 1 - math.comb(length - half, equal) / math.comb(length, equal)
        row = {"trial": trial, "evaluations": length, "best_at": at, "early": at <= half, "by_chance": chance}
        rows.append(row)
    return pd.DataFrame(rows)


def early_p(trials: pd.DataFrame) -> float:
    """Return the two-sided p-value of so many early best evaluations, from `early` and `by_chance` of `best_places`.

    Exact: twice the smaller tail of the sum of independent trials, the binomial law where all chances are one half.
    """
    import numpy as np

    law = np.ones(1)
    for chance in trials["by_chance"]:
        law = np.convolve(law, [1 - chance, chance])
    count = int(trials["early"].sum())
    return min(1.0, 2 * float(min(law[: count + 1].sum(), law[count:].sum())))


def _checked(row: dict[Any, Any], benchmark: Any) -> dict[str, Any]:
    accuracy = float(row["accuracy_percent"] if "accuracy_percent" in row else row["validation_accuracy_percent"])
    rank, found = row.get("rank"), _ranks_of(accuracy, benchmark, "feedback")
    checked = {
        "trial": row["trial"],
        "iteration": row["iteration"],
        "accuracy": accuracy,
        **({"rank": rank} if rank is not None else {}),
        "rank_best": found[0] if found else None,
        "rank_worst": found[1] if found else None,
        "agrees": found is not None and (rank is None or found[0] <= rank <= found[1]),
    }
    if "test_rank" in row:
        by_test = _ranks_of(row["test_accuracy_percent"], benchmark, "test")
        checked |= {
            "test_accuracy": row["test_accuracy_percent"],
            "test_rank": row["test_rank"],
            "test_agrees": None if by_test is None else by_test[0] <= row["test_rank"] <= by_test[1],
        }
    return checked


def _ranks_of(accuracy: float, benchmark: Any, by: str) -> tuple[int, int] | None:
    """Return the best and the worst rank of the rows with this accuracy to the printed digits, None without a row."""
    import numpy as np

    scores = benchmark.scores(by)
    here = np.abs(scores - accuracy) < 0.005 + 1e-9  # printed with two decimals, a half either way
    if not here.any():
        return None
    best, worst = benchmark.ranks(by)
    return int(best[here].min()), int(worst[here].max())
