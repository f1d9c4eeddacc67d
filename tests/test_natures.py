"""Does it search? The verdict on clients whose true nature is known, from searches on tables that nobody can know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genius_kit.chat import ChatClient
from genius_kit.tabular import TabularBenchmark
from genius_kit.verdicts import NEITHER, NOT_ENOUGH, RECITES, SEARCHES, verdict
from tests.natures import SEEDS, Climbs, Ignores, Random, Recites, best_designs, made_table, run_arms

ARMS = ("llm", "shuffled-feedback", "permuted-labels", "random")
NATURES: dict[str, tuple[Callable[[TabularBenchmark, int], ChatClient], set[str]]] = {
    "searches": (lambda table, seed: Climbs(), {SEARCHES}),
    "recites": (lambda table, seed: Recites(best_designs(table, 30)), {RECITES}),
    "random": (lambda table, seed: Random(seed), {NEITHER, NOT_ENOUGH}),
    "ignores": (lambda table, seed: Ignores(seed), {NEITHER, NOT_ENOUGH}),
}
"""By name, what makes the client of a search, and the verdicts that are right."""

RUNS = {"searches": 160}
"""Searches of an arm, 40 where no number stands: that labels cost nothing takes more to show than that they do."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", NATURES)
def test_each_nature_gets_its_verdict(name: str, seed: int) -> None:
    """From searches of 20 evaluations, each by a client of its own."""
    make, right = NATURES[name]
    table = made_table(seed)
    runs = run_arms(lambda run: make(table, 1_000 * seed + run), table, ARMS, seeds=RUNS.get(name, 40), budget=20)
    found = verdict(runs, benchmark=table)
    assert found.kind in right, found.sentence
    uses_results = found.evidence.set_index("question").loc["feedback", "answer"] == "yes"
    assert uses_results == (name == "searches")
