"""The paper's trials beside the published tables: is every printed rank the rank that the table gives?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    from genius_kit.reports import missing_data

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
    from genius_kit.errors import UnknownName

    tables = TRIAL_TABLES.get(benchmark.name, {})
    if temperature not in tables:
        raise UnknownName(f"the paper prints no trials on {benchmark.name} at temperature {temperature:g}")
    import pandas as pd

    printed = paper_table(tables[temperature])
    rows = [_checked(row, benchmark) for row in printed.to_dict("records")]
    return pd.DataFrame(rows)


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
