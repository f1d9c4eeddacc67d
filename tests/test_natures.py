"""Does it search? The verdict on clients whose true nature is known, from searches on tables that nobody can know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.chat import ChatClient
from genius_kit.verdicts import NEITHER, NOT_ENOUGH, RECITES, SEARCHES, verdict
from tests.natures import SEEDS, Climbs, Ignores, Random, Recites, best_designs, made_table, run_arms

ARMS = ("llm", "shuffled-feedback", "permuted-labels")
NATURES: dict[str, tuple[Callable[[TabularBenchmark, int], ChatClient], set[str], int]] = {
    "searches": (lambda table, seed: Climbs(), {SEARCHES}, 40),
    "recites": (lambda table, seed: Recites(best_designs(table, 30)), {RECITES}, 40),
    "random": (lambda table, seed: Random(seed), {NEITHER, NOT_ENOUGH}, 40),
    "ignores": (lambda table, seed: Ignores(seed), {NEITHER, NOT_ENOUGH}, 40),
}
"""By name, what makes the client of a search, the verdicts that are right, and the searches of an arm."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", NATURES)
def test_each_nature_gets_its_verdict(name: str, seed: int) -> None:
    """From searches of 20 evaluations, each by a client of its own."""
    make, right, searches = NATURES[name]
    table = made_table(seed)
    runs = run_arms(lambda run: make(table, 1_000 * seed + run), table, ARMS, seeds=searches, budget=20)
    found = verdict(runs, benchmark=table)
    assert found.kind in right, found.sentence
    uses_results = found.evidence.set_index("question").loc["feedback", "answer"] == "yes"
    assert uses_results == (name == "searches")
