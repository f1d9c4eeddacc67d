"""How often the verdict on searches is right, and whom it never accuses: one simulated study of each known nature.

`.ci/full errors` measures what docs/studies.md says, see `tests/error_matrix.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.verdicts import NEITHER, NOT_ENOUGH, RECITES
from genius_kit.verdicts.searches.natures import looks
from tests.error_matrix import NATURES, RIGHT, WRONG, missed
from tests.natures import made_table

SIZES = (10, 20, 40)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "table"), [(name, place % 2) for place, name in enumerate(NATURES)])
def test_the_verdict_is_right_and_accuses_nobody(name: str, table: int, data_home: Path) -> None:
    """Who uses results or knows nothing is not said to recite, nor who uses them to do neither, at whatever look."""
    loaded = load_benchmark("nas-bench-macro") if table else made_table(3)
    kinds = [found.kind for found in looks(loaded, NATURES[name], 0, SIZES)]
    assert not [kind for kind, natures in WRONG.items() if name in natures and kind in kinds]
    if name in RIGHT:
        assert set(kinds) <= {RIGHT[name][0], NOT_ENOUGH}
        assert not table or kinds[-1] == RIGHT[name][0]


def test_who_keeps_its_own_record_is_seen_to_use_it() -> None:
    """Replies to shuffled results do not show it, as it climbs by what it was shown before; its own moves do."""
    (found,) = looks(made_table(3), NATURES["keeps a record"], 0, [20])
    evidence = found.evidence.set_index("question")
    assert found.uses_results == "yes"
    assert evidence.loc["replies", "p_value"] > 0.05 > 0.001 > evidence.loc["moves", "p_value"]
    assert "its proposals follow its own results" in found.sentence


def test_a_bound_that_does_not_hold_is_named() -> None:
    """Four accusations in forty studies are not chance, one is; a right answer in half of the studies is too seldom."""

    def studies(nature: str, kinds: list[str]) -> pd.DataFrame:
        cell = {"nature": nature, "budget": 10, "most": 40, "seeds": 40, "table": "made"}
        return pd.DataFrame([{**cell, "study": study, "kind": kind} for study, kind in enumerate(kinds)])

    rest = [NOT_ENOUGH] * 36
    assert missed(studies("random", [*rest, *[RECITES] * 4])) == [
        f'random is told "{RECITES}" in more than 1 % of studies'
    ]
    assert not missed(studies("sluggish", [*rest, NEITHER]))
    half = list(np.repeat([RIGHT["climber"][0], NOT_ENOUGH], 20))
    assert missed(studies("climber", half)) == ['climber is told "searches" in less than 90 % of studies']
