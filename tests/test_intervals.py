"""Student's interval covers what it says at the fewest searches that are used, on the ranks of real searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.stats.ratios import t_interval
from genius_kit.verdicts.searches.natures import simulator_of
from tests.natures import made_table
from tests.simulated import KNOWING, USERS

POOL, SAMPLES = 300, 2_000


@pytest.mark.slow
@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize("name", ["climber", "prior then climb", "recites with noise"])
@pytest.mark.parametrize("table", ["nas-bench-macro", "made"])
def test_it_covers_differences_of_ranks(table: str, name: str, count: int, data_home: Path) -> None:
    """The mean difference of the logarithms of the typical ranks of two arms lies in 93 to 97 % of the intervals."""
    loaded = made_table(3) if table == "made" else load_benchmark(table)
    client = {**USERS, **KNOWING}[name](loaded, 0)
    ranks = [
        [row["typical_rank"] for row in simulator_of(loaded).rows(client, arm, range(POOL), 10)]
        for arm in ("llm", "anonymous")
    ]
    differences = np.log(ranks[1]) - np.log(ranks[0])
    draws = np.random.default_rng(0).choice(differences, size=(SAMPLES, count))
    found = [t_interval(sample) for sample in draws]
    covered = np.mean([one.low <= differences.mean() <= one.high for one in found])
    assert 0.93 <= covered <= 0.97


def test_one_value_has_no_spread() -> None:
    """It allows everything; equal values allow themselves alone, and no value says nothing."""
    assert t_interval([3.0]) == (3.0, -np.inf, np.inf)
    assert t_interval([2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert np.isnan(t_interval([]).mean)


def test_it_is_the_textbooks() -> None:
    """The mean of 1 to 5 is 3, give or take 2.776 standard errors."""
    found = t_interval([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.high - found.mean == pytest.approx(2.7764 * (2.5 / 5) ** 0.5, abs=1e-3)
