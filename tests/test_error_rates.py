"""How often the verdict on searches is right, and whom it never accuses: simulated studies of clients of known nature.

One study a nature in the short tests; GENIUS_KIT_STUDIES=40 and GENIUS_KIT_LOOKS=160 measure what docs/studies.md says.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.verdicts import LEANING, NEITHER, RECITES, SEARCHES
from tests.natures import made_table
from tests.simulated import IGNORANT, KNOWING, USERS, looks

STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "1"))
LOOKS = tuple(count for count in (10, 20, 40, 80, 160) if count <= int(os.environ.get("GENIUS_KIT_LOOKS", "40")))
TABLES = ("nas-bench-macro", "channel-bench-resnet", "nas-bench-201-cifar100", "made")
RIGHT = {
    "climber": SEARCHES, "evolution": SEARCHES, "half-searcher": SEARCHES, "prior then climb": LEANING,
    "recites": RECITES, "recites with noise": RECITES,
}  # fmt: skip


def studied(name: str, table: str) -> list[list[str]]:
    """The kind at each look of each study of a nature."""
    loaded = made_table(3) if table == "made" else load_benchmark(table)
    make = {**USERS, **IGNORANT, **KNOWING}[name]
    return [[found.kind for found in looks(loaded, make, study, LOOKS)] for study in range(STUDIES)]


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", [*USERS, *IGNORANT])
def test_nobody_is_accused_who_uses_results_or_knows_nothing(name: str, table: str, data_home: Path) -> None:
    """At no look; nor is one that uses results ever told that they do not matter: at most 1 % of studies each."""
    ever = Counter(kind for kinds in studied(name, table) for kind in set(kinds))
    assert ever[RECITES] <= max(1, 0.01 * STUDIES) * (STUDIES > 1)
    assert name not in USERS or ever[NEITHER] <= 0.01 * STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", RIGHT)
def test_forty_searches_an_arm_are_enough(name: str, table: str, data_home: Path) -> None:
    """The shipped size tells each of these natures in nine of ten studies."""
    at_forty = [kinds[LOOKS.index(40)] for kinds in studied(name, table)]
    assert at_forty.count(RIGHT[name]) >= 0.9 * STUDIES - (STUDIES == 1)
