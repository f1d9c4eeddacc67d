"""How often the verdict on searches is right, and whom it never accuses: simulated studies of clients of known nature.

One study a nature in the short tests; GENIUS_KIT_STUDIES=40 and GENIUS_KIT_LOOKS=160 measure what docs/studies.md says.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.verdicts import LEANING, NEITHER, NOT_ENOUGH, RECITES, SEARCHES
from tests.natures import made_table
from tests.simulated import IGNORANT, KNOWING, USERS, looks

NATURES = {**USERS, **IGNORANT, **KNOWING}
STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "1"))
LOOKS = tuple(count for count in (10, 20, 40, 80, 160) if count <= int(os.environ.get("GENIUS_KIT_LOOKS", "40")))
TABLES = ("made", "nas-bench-macro", "channel-bench-resnet", "nas-bench-201-cifar100")[: 4 if STUDIES > 1 else 2]
RIGHT = {
    "climber": SEARCHES, "evolution": SEARCHES, "half-searcher": SEARCHES, "prior then climb": LEANING,
    "recites": RECITES, "recites with noise": RECITES,
}  # fmt: skip
"""What nine of ten studies of the shipped size are to say."""


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", NATURES)
def test_the_verdict_is_right_and_accuses_nobody(name: str, table: str, data_home: Path) -> None:
    """Who uses results or knows nothing is not said to recite, nor who uses them to do neither, at whatever look."""
    loaded = made_table(3) if table == "made" else load_benchmark(table)
    studies = [[found.kind for found in looks(loaded, NATURES[name], study, LOOKS)] for study in range(STUDIES)]
    ever = Counter(kind for kinds in studies for kind in set(kinds))
    allowed = max(1, 0.01 * STUDIES) * (STUDIES > 1)  # one by chance, as a cell of 40 may have
    assert name in KNOWING or ever[RECITES] <= allowed
    assert name not in USERS or ever[NEITHER] <= allowed
    if name in RIGHT:
        shipped = [kinds[LOOKS.index(40)] for kinds in studies]
        assert set(shipped) <= {RIGHT[name], NOT_ENOUGH}
        assert STUDIES == 1 or shipped.count(RIGHT[name]) >= 0.9 * STUDIES - 2 * (0.09 * STUDIES) ** 0.5
