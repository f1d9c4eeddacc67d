"""What part of a table's front a search finds, and the verdict on clients and optimisers of known nature."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.stats.fronts import front_of
from genius_kit.studies import tradeoffs
from genius_kit.studies.results import read_results
from genius_kit.studies.tradeoffs import FrontReference
from genius_kit.verdicts import tradeoffs as verdicts
from tests import natures

TABLE = "nas-bench-201-cifar10"
pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(scope="module")
def benchmark(embedded_cache):
    """The embedded table with accuracy and latency."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        return gk.load_benchmark(TABLE, source="embedded", objectives="accuracy,latency")


def test_the_front_of_the_whole_table_is_exact(benchmark):
    """No row of the 15,625 dominates one of it, every other row is dominated, and its ends are the table's."""
    measure, losses = FrontReference(benchmark), benchmark.losses()
    front = losses[measure.front]
    for row, loss in enumerate(losses):
        beaten = ((front <= loss).all(axis=1) & (front < loss).any(axis=1)).any()
        assert beaten != (row in measure.front)
    assert len(measure.front) == 25
    assert front[0][0] == losses[:, 0].min()
    assert front[:, 1].min() == losses[:, 1].min()


def test_the_share_goes_from_nothing_to_the_whole_front(benchmark):
    """1 and a missed distance of 0 for the front, 0 at the reference, rising with each evaluation."""
    measure = FrontReference(benchmark)
    assert measure.share(measure.front) == pytest.approx(1)
    assert measure.epsilon(measure.front) == 0
    assert measure.found(np.append(measure.front, measure.front)) == 25
    assert measure.share([int(measure.parts[:, 0].argmax())]) < 0.05
    curve = measure.curve(np.random.default_rng(0).permutation(benchmark.space.size)[:20])
    assert (np.diff(curve) >= 0).all()
    assert measure.parts.min() == 0
    assert measure.parts.max() == 1


@pytest.mark.parametrize("first", [None, 42])
def test_random_search_is_drawn_without_repetition(benchmark, first):
    """Its mean share is that of the same searches one by one, and it begins where it is told to."""
    measure = FrontReference(benchmark)
    shares = measure.random_shares(12, first, draws=300)
    rng = np.random.default_rng(5)
    others = [row for row in range(benchmark.space.size) if row != first]
    begun = [] if first is None else [first]
    alone = [measure.share([*begun, *rng.choice(others, 12 - len(begun), replace=False)]) for _ in range(300)]
    error = np.hypot(shares.std(), np.std(alone)) / 300**0.5
    assert abs(shares.mean() - np.mean(alone)) < 4 * error
    assert (measure.random_shares(1, 42, draws=3) == measure.share([42])).all()
    with pytest.raises(InvalidParameter, match="budget 0"):
        measure.random_shares(0)


def test_three_objectives_have_a_front_too():
    """More architectures are on it than with two of them, and the share of two of its architectures is below one."""
    benchmark = gk.load_benchmark(TABLE, source="embedded", objectives="accuracy,latency,macs")
    measure = FrontReference(benchmark)
    assert len(measure.front) > 25
    assert front_of(benchmark.losses()[measure.front]).all()
    assert 0 < measure.share(measure.front[:2]) < measure.share(measure.front) == pytest.approx(1)


def rows(shares, arm="llm", random=0.8, double=0.85, chances=None, first_seed=0):
    """Return results of searches with these shares, as `studies.results` gives them."""
    count = len(shares)
    return pd.DataFrame(
        {
            "benchmark": TABLE,
            "arm": arm,
            "proposer": arm,
            "model": "m" if arm == "llm" else None,
            "prompt": "p" if arm == "llm" else None,
            "budget": 10,
            "seed": range(first_seed, first_seed + count),
            "reason": "budget",
            "objectives": "accuracy,latency",
            "hypervolume": shares,
            "random_hypervolume": random,
            "double_hypervolume": double,
            "p_hypervolume": np.linspace(0.01, 0.05, count) if chances is None else chances,
            "epsilon": 0.1,
            "front": 1,
            "designs": [f"{arm}{place}" for place in range(count)],
        }
    )


def both(own, **changes):
    """Return the searches of an arm beside random ones."""
    return pd.concat([rows(own, **changes), rows([0.79, 0.81] * 10, "random", chances=[0.4, 0.6] * 10)])


def test_a_clear_gain_is_better_and_the_sentence_has_its_numbers():
    """n, share, interval, p-value, what twice as many random evaluations gain, and the paired arm."""
    found = verdicts.tradeoff_verdict(both([0.90, 0.92] * 10))
    assert found.kind == verdicts.BETTER
    for part in ("n = 20 searches of 10 evaluations", "0.910", "0.800", "0.110", "95 % interval", "0.050", "20 pairs"):
        assert part in found.sentence
    assert found.evidence["paired_gain"].iloc[0] == pytest.approx(0.11)


def test_no_gain_is_no_better_only_where_the_interval_rules_it_out():
    """The same mean in few or scattered searches is not enough, and the sentence says how many may do."""
    even = np.linspace(0.05, 0.95, 20)
    assert verdicts.tradeoff_verdict(both([0.79, 0.81] * 10, chances=even)).kind == verdicts.NO_BETTER
    scattered = verdicts.tradeoff_verdict(both([0.6, 1.0] * 10, chances=even))
    assert scattered.kind == verdicts.NOT_ENOUGH
    assert "searches may settle it" in scattered.sentence


def test_less_than_random_is_worse():
    """As far below as twice the evaluations would be above."""
    found = verdicts.tradeoff_verdict(both([0.70, 0.72] * 10, chances=np.linspace(0.9, 0.99, 20)))
    assert found.kind == verdicts.WORSE


def test_too_few_searches_are_not_enough_however_they_end():
    """Five cannot reach p < 0.05; one has no interval at all."""
    found = verdicts.tradeoff_verdict(both([0.95] * 5))
    assert found.kind == verdicts.NOT_ENOUGH
    assert "at least 6 are needed" in found.sentence
    assert "1 search cannot" in verdicts.tradeoff_verdict(both([0.95])).sentence


def test_the_same_list_in_every_search_is_one_search():
    """A client that never looks at its results has no spread, and its n is no evidence."""
    found = verdicts.tradeoff_verdict(both([0.95] * 20).assign(designs=lambda frame: frame["arm"]))
    assert found.kind == verdicts.NOT_ENOUGH
    assert "1 search" in found.sentence
    assert found.evidence["repeated"].iloc[0] == 19
    assert "more of them would repeat it" in found.sentence
    assert "needed" not in found.sentence
    assert "settle" not in found.sentence


def test_a_study_without_its_baseline_or_its_objectives_is_refused():
    """The message names what is missing and how to add it."""
    own = rows([0.9] * 8)
    with pytest.raises(InvalidParameter, match="add `- random`"):
        verdicts.tradeoff_verdict(own)
    with pytest.raises(InvalidParameter, match="objectives: "):
        verdicts.tradeoff_table(own.drop(columns="hypervolume"))
    with pytest.raises(InvalidParameter, match="there are llm, random"):
        verdicts.tradeoff_verdict(both([0.9] * 8), plain="gp")
    with pytest.raises(InvalidParameter, match="several of budget"):
        verdicts.tradeoff_verdict(pd.concat([both([0.9] * 8), rows([0.9] * 8).assign(budget=20)]))
    unfinished = both([0.9] * 8).assign(reason=lambda frame: frame["reason"].where(frame["arm"] == "llm"))
    with pytest.raises(InvalidParameter, match="add `- random`"):
        verdicts.tradeoff_verdict(unfinished)


def test_results_of_a_study_have_the_share_only_where_there_is_one(benchmark, tmp_path):
    """A plain study keeps its columns; one with objectives has the share, and its ranks by accuracy as before."""
    study = gk.load_study("tradeoffs", seeds=1, budget=3)
    study = dataclasses.replace(study, arms=tuple(arm for arm in study.arms if arm.name in ("llm", "random")))
    found = gk.run_study(study, tmp_path, progress=False, workers=1)
    again = read_results(tmp_path)
    assert again[list(tradeoffs.COLUMNS)].equals(found[list(tradeoffs.COLUMNS)])
    measure = FrontReference(benchmark)
    run = gk.read_run(found["journal"][0])
    assert found["hypervolume"][0] == pytest.approx(measure.share(tradeoffs.rows_of(run)))
    assert found["objectives"].tolist() == ["accuracy,latency"] * 2
    plain = gk.run_study(dataclasses.replace(study, objectives=()), tmp_path / "plain", progress=False, workers=1)
    assert "hypervolume" not in plain
    with pytest.raises(InvalidParameter, match="one objective"):
        tradeoffs.front_reference_of(gk.read_run(plain["journal"][0]))


FULL = natures.SEEDS > 1
COUNT, BUDGET = (50, 20) if FULL else (20, 20)
NATURES = {
    "searches": lambda seed: natures.Searches(),
    "recites": lambda seed: natures.Recites([(3, 3, 3, 1, 3, 3)]),
    "random": natures.Random,
    "ignores": natures.Ignores,
}


def study_of(benchmark, name, number):
    """Return the results of a client of one nature beside random searches, each search a client of its own."""
    seeds = range(1000 * number, 1000 * number + COUNT)
    own = [
        natures.run_one(NATURES[name](seed), benchmark, seed=seed, budget=BUDGET, rejections_limit=0) for seed in seeds
    ]
    return read_results([*own, *(natures.run_one(None, benchmark, "random", seed=s, budget=BUDGET) for s in seeds)])


@pytest.mark.parametrize("number", range(natures.SEEDS))
@pytest.mark.parametrize("name", NATURES)
def test_each_nature_gets_its_verdict(benchmark, name, number):
    """Who searches is better; who recites, draws or ignores its results is not.

    With GENIUS_KIT_NATURE_SEEDS=20 the searches are many enough that "no better" is the verdict in each; in a short
    run they may be too few to say so, and never say "better".
    """
    kind = verdicts.tradeoff_verdict(study_of(benchmark, name, number)).kind
    if name == "searches":
        assert kind == verdicts.BETTER
    else:
        assert kind in ((verdicts.NO_BETTER, verdicts.WORSE) if FULL else set(verdicts.KINDS) - {verdicts.BETTER})


@pytest.mark.skipif(not FULL, reason="takes minutes: GENIUS_KIT_NATURE_SEEDS=20")
def test_the_gaussian_process_is_better_than_random(benchmark):
    """ParEGO with twenty evaluations, in twelve searches."""
    seeds = range(int(os.environ.get("GENIUS_KIT_PAREGO_SEEDS", "12")))
    runs = [
        natures.run_one(None, benchmark, name, seed=seed, budget=20) for name in ("parego", "random") for seed in seeds
    ]
    assert verdicts.tradeoff_verdict(read_results(runs), plain="parego").kind == verdicts.BETTER
