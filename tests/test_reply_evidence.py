"""What is read from the replies of a recorded search: the prompts that were sent say which score stood where."""

from __future__ import annotations

import re

import numpy as np
import pytest

from genius_kit.stats.replies import follows
from genius_kit.studies.evidence import reply_columns
from tests.natures import Climbs, Random, Recites, made_table, run_one

TABLE = made_table(4)
LINE = re.compile(r"^\d+\. (\[.*\]) -> (.*)$", re.MULTILINE)


def shown(run, iteration: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The architectures and scores of the first prompt of a step, and the architecture of its reply."""
    (call, *_) = [call for call in run.of("call") if call["iteration"] == iteration]
    found = LINE.findall(call["messages"][-1]["content"])
    cells = [[int(one) for one in re.findall(r"\d", cells)] for cells, _ in found]
    named = [int(one) for one in re.findall(r"\d", call["text"])]
    return np.array(cells), np.array([float(score) for _, score in found]), np.array(named)


def test_the_places_are_those_of_the_prompts() -> None:
    """Each pair of numbers is that of the scores as the prompt printed them, and of the architecture in the reply."""
    run = run_one(Climbs(), TABLE, "shuffled-feedback", seed=3, budget=8)
    told = reply_columns(run, TABLE)["follows"]
    scores = np.array([event["feedback"] for event in run.of("evaluation")])
    assert len(told) == 5
    for step, pair in zip(range(4, 9), told, strict=True):
        cells, printed, named = shown(run, step)
        places = np.array([int(np.flatnonzero(scores == score)[0]) for score in printed])
        assert sorted(places) == list(range(step - 1))
        assert pair == pytest.approx(tuple(follows(named, cells, scores[: step - 1], places)), abs=1e-5)


@pytest.mark.parametrize(("client", "low", "high"), [(Climbs(), 0.85, 1.0), (Random(), -0.25, 0.25)])
def test_who_uses_results_follows_them(client, low: float, high: float) -> None:
    """Over eight searches a climber's replies are near the architecture shown as best, random ones anywhere."""
    runs = [run_one(client, TABLE, "shuffled-feedback", seed=seed, budget=10) for seed in range(8)]
    best = [pair[0] for run in runs for pair in reply_columns(run, TABLE)["follows"]]
    assert low <= np.mean(best) <= high


def test_a_refused_reply_is_a_reply_too() -> None:
    """One that names the same architecture for ever is refused from then on, and what it named counts at each step."""
    run = run_one(Recites([(2, 1, 0, 2, 1, 0)]), TABLE, "shuffled-feedback", seed=1, budget=9)
    found = reply_columns(run, TABLE)
    assert found["proposals"] == TABLE.space.key((2, 1, 0, 2, 1, 0))
    assert len(found["follows"]) == 6


def test_the_typical_rank_is_the_geometric_mean_of_the_models_own() -> None:
    """The first architecture was given and does not count; no other arm than the shuffled one is asked what follows."""
    run = run_one(Climbs(), TABLE, seed=2, budget=5)
    found = reply_columns(run, TABLE)
    ranks = [TABLE.rank(event["architecture"]).mean for event in run.of("evaluation")[1:]]
    assert found["typical_rank"] == pytest.approx(np.exp(np.log(ranks).mean()))
    assert len(found["proposals"].split()) == 4
    assert found["follows"] is None


def test_a_run_of_before_the_rule_is_read_with_that_of_then() -> None:
    """Where any score could keep its place two architectures leave a choice, so that there is one reply more."""
    run = run_one(Climbs(), TABLE, "shuffled-feedback", seed=3, budget=6)
    run.events[0]["run"]["resolved"].pop("shuffle")
    assert len(reply_columns(run, TABLE)["follows"]) == 4
