"""The error rates of the verdict on searches: studies of every known nature on five tables, grown and at other budgets.

`python -m tests.error_matrix FILE` adds what is missing to FILE, one study per line, and prints the tables; it may be
ended and run again. GENIUS_KIT_STUDIES is how many studies of 10 evaluations per nature and table has (40),
GENIUS_KIT_LOOKS the largest number of seeds (160). `--print` prints what there is. Exit code 1: a bound does not hold.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from genius_kit.benchmarks import load_benchmark
from genius_kit.verdicts import LEANING, NEITHER, RECITES, SEARCHES
from genius_kit.verdicts.searches.natures import looks
from tests import other_natures, simulated

TABLES = (
    "nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201-cifar10",
    "nas-bench-201-cifar100",
)  # fmt: skip
USERS = {**simulated.USERS, **other_natures.USERS}
IGNORANT = {**simulated.IGNORANT, **other_natures.IGNORANT}
KNOWING = {**simulated.KNOWING, **other_natures.KNOWING}
NATURES = {**USERS, **IGNORANT, **KNOWING}
WRONG = {RECITES: {**USERS, **IGNORANT}, NEITHER: USERS}
"""Who may be told so in one study of a hundred at most, at whatever look."""

RIGHT = {
    "climber": (SEARCHES, 0.9), "evolution": (SEARCHES, 0.9), "half-searcher": (SEARCHES, 0.8),
    "prior then climb": (LEANING, 0.9), "recites with noise": (RECITES, 0.9),
}  # fmt: skip
"""What at least such a share of the studies of the shipped size say."""

SHIPPED = (10, 40)
"""Evaluations per search and seeds of the shipped study."""

STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "40"))
MOST = int(os.environ.get("GENIUS_KIT_LOOKS", "160"))
LOOKS = (10, 12, 20, 40, 80, 160)
"""The numbers of seeds at which a study is judged as it grows."""

SIZES = ((10, 160, 1), (5, 40, 4), (20, 40, 4), (20, 160, 5))
"""Evaluations per search, the largest number of seeds, and of how many studies one has them."""

Cell = tuple[int, int, int, str, str]
"""A study's number, its evaluations per search, its largest number of seeds, its table and its client's nature."""


def cells() -> Iterator[Cell]:
    """Yield what is to be measured, one study of everything before the next."""
    for study in range(STUDIES):
        for budget, most, one_of in SIZES:
            if study % one_of == one_of - 1:
                yield from ((study, budget, min(most, MOST), table, nature) for table in TABLES for nature in NATURES)


def measured(study: int, budget: int, most: int, table: str, nature: str) -> list[dict[str, Any]]:
    """Return one row a look at one study."""
    seeds = [count for count in LOOKS if count <= most]
    found = looks(load_benchmark(table), NATURES[nature], study, seeds, budget)
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


def print_tables(rows: pd.DataFrame) -> None:
    """Print what the studies of each nature were told, in percent, all tables together."""
    for (budget, seeds), part in rows.groupby(["budget", "seeds"]):
        print(f"\n{seeds} searches of {budget} evaluations, percent of studies")
        shares = pd.crosstab(part["nature"], part["kind"], normalize="index") * 100
        shares.insert(0, "n", part.groupby("nature").size())
        print(shares.reindex([name for name in NATURES if name in shares.index]).round(1).to_string())


def missed(rows: pd.DataFrame) -> list[str]:
    """Return which bounds do not hold, beyond what chance does to one count in a thousand."""
    ever = rows.groupby(["nature", "budget", "most", "table", "study"])["kind"].agg(set)
    found = []
    for kind, natures in WRONG.items():
        for nature, told in ever[ever.index.get_level_values("nature").isin(natures)].groupby("nature"):
            count = sum(kind in kinds for kinds in told)
            print(f'{nature}: ever told "{kind}" in {count} of {len(told)} studies')
            if stats.binomtest(count, len(told), 0.01, "greater").pvalue < 0.001:
                found.append(f'{nature} is told "{kind}" in more than 1 % of studies')
    shipped = rows[(rows["budget"] == SHIPPED[0]) & (rows["seeds"] == SHIPPED[1])]
    for nature, (kind, share) in RIGHT.items():
        told = shipped.loc[shipped["nature"] == nature, "kind"]
        count = int((told == kind).sum())
        print(f'{nature}: told "{kind}" in {count} of {len(told)} studies of the shipped size')
        if len(told) and stats.binomtest(count, len(told), share, "less").pvalue < 0.001:
            found.append(f'{nature} is told "{kind}" in less than {100 * share:.0f} % of studies')
    return found


if __name__ == "__main__":
    if "--print" not in sys.argv:
        main(Path(sys.argv[1]))
    measured_rows = pd.read_json(Path(sys.argv[1]), lines=True)
    print_tables(measured_rows)
    sys.exit("; ".join(missed(measured_rows)) or 0)
