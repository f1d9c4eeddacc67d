"""The error rates of the verdict on searches: studies of every known nature on five tables, grown and at other budgets.

`python -m tests.error_matrix FILE` adds what is missing to FILE, one study a line, and prints the tables; it may be
ended and run again. GENIUS_KIT_STUDIES is how many studies a nature, table and budget has (40), GENIUS_KIT_LOOKS the
largest number of seeds at budget 10 (160). `--print` prints what there is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from genius_kit.benchmarks import load_benchmark
from genius_kit.verdicts import NEITHER, RECITES
from tests import other_natures, simulated

TABLES = (
    "nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201-cifar10",
    "nas-bench-201-cifar100",
)  # fmt: skip
USERS = {**simulated.USERS, **other_natures.USERS}
IGNORANT = {**simulated.IGNORANT, **other_natures.IGNORANT}
KNOWING = {**simulated.KNOWING, **other_natures.KNOWING}
NATURES = {**USERS, **IGNORANT, **KNOWING}
STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "40"))
MOST = int(os.environ.get("GENIUS_KIT_LOOKS", "160"))
LOOKS = (10, 12, 20, 40, 80, 160)
"""The numbers of seeds at which a study is judged as it grows."""

SIZES = ((10, 160, 1), (5, 40, 4), (20, 40, 4), (20, 160, 20))
"""Evaluations a search, the largest number of seeds, and of how many studies one has them."""

Cell = tuple[int, int, int, str, str]
"""A study's number, its evaluations a search, its largest number of seeds, its table and its client's nature."""


def cells() -> Iterator[Cell]:
    """Yield what is to be measured, one study of everything before the next."""
    for study in range(STUDIES):
        for budget, most, one_of in SIZES:
            if study % one_of == one_of - 1:
                yield from ((study, budget, min(most, MOST), table, nature) for table in TABLES for nature in NATURES)


def measured(study: int, budget: int, most: int, table: str, nature: str) -> list[dict[str, Any]]:
    """Return one row a look at one study."""
    seeds = [count for count in LOOKS if count <= most]
    found = simulated.looks(load_benchmark(table), NATURES[nature], study, seeds, budget)
    cell = {"study": study, "budget": budget, "most": most, "table": table, "nature": nature}
    return [
        {**cell, "seeds": count, "kind": one.kind, "reason": one.sentence.split("; mean rank")[0]}
        for count, one in zip(seeds, found, strict=True)
    ]


def main(path: Path) -> None:
    """Add to `path` what is missing."""
    known = {key(json.loads(line)) for line in path.read_text().splitlines()} if path.exists() else set()
    with path.open("a") as file:
        for cell in cells():
            if cell not in known:
                file.writelines(json.dumps(row) + "\n" for row in measured(*cell))
                file.flush()


def key(row: dict[str, Any]) -> Cell:
    """Return which study a row is of."""
    return row["study"], row["budget"], row["most"], row["table"], row["nature"]


def print_tables(path: Path) -> None:
    """Print how many studies were told what, and how many were ever told what is wrong of them."""
    rows = pd.read_json(path, lines=True)
    for (budget, seeds), part in rows.groupby(["budget", "seeds"]):
        print(f"\n{seeds} searches of {budget} evaluations, percent of studies")
        shares = pd.crosstab(part["nature"], part["kind"], normalize="index") * 100
        shares.insert(0, "n", part.groupby("nature").size())
        print(shares.reindex([name for name in NATURES if name in shares.index]).round(1).to_string())
    ever = rows.groupby(["nature", "budget", "most", "table", "study"])["kind"].agg(set)
    for kind, wronged in ((RECITES, {**USERS, **IGNORANT}), (NEITHER, USERS)):
        told = ever[ever.index.get_level_values("nature").isin(wronged)].map(lambda kinds, kind=kind: kind in kinds)
        print(f'\never told "{kind}" wrongly: {told.sum()} of {len(told)} studies')
        print(told.groupby(level=["nature", "table"]).agg(["sum", "count"]).query("sum > 0").to_string())


if __name__ == "__main__":
    if "--print" not in sys.argv:
        main(Path(sys.argv[1]))
    print_tables(Path(sys.argv[1]))
