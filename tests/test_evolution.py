"""Regularised evolution and local search: who is changed, how, and what is never evaluated twice."""

import dataclasses
import functools
import hashlib
import itertools
import json

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.baselines import choose_parent, climb, differing, mutate
from genius_kit.records import Evaluation, Trial
from tests.doubles import ToyBenchmark
from tests.test_listing import situation


def trial(number, key, score):
    return Trial(number, tuple(int(digit) for digit in key), Evaluation(None, score, score, None, "toy"))


def keys(run):
    return list(run.frame()["key"])


def test_a_child_changes_one_position_of_a_recent_design():
    """After the random start, each architecture is one change away from one of the last ten."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("evolution", ToyBenchmark().space), 40, seed=3)
    designs = [tuple(map(int, key)) for key in keys(run)]
    for number in range(10, 40):
        assert any(differing(designs[number], parent) == 1 for parent in designs[number - 10 : number])


def test_the_parent_is_the_best_of_the_sample():
    """With the whole population as the sample, the parent is its best; older trials are dead."""
    now = situation(ToyBenchmark(), [(0,) * 8] * 2)
    now.trials[:] = [trial(1, "22222222", 99.0), trial(2, "00000001", 60.0), trial(3, "00000011", 70.0)]
    assert choose_parent(now, population=2, sample=2).iteration == 3
    assert choose_parent(now, population=3, sample=3).iteration == 1
    assert choose_parent(now, population=4, sample=4) is None


def test_a_failed_evaluation_is_never_the_parent_of_choice():
    """A trial without a result loses to every other."""
    now = situation(ToyBenchmark(), [(0,) * 8])
    now.trials[:] = [trial(1, "00000001", 10.0), trial(2, "22222222", None)]
    assert choose_parent(now, population=2, sample=2).iteration == 1


def test_a_parent_without_untried_changes_has_no_child():
    """When every neighbour was evaluated there is nothing to mutate to."""
    benchmark = ToyBenchmark()
    parent = (1,) * 8
    assert mutate(situation(benchmark, [parent, *benchmark.space.neighbours(parent)]), parent) is None
    assert differing(mutate(situation(benchmark, [parent]), parent), parent) == 1


def test_local_search_climbs_and_restarts():
    """It moves to a better neighbour, stays after a worse one, and begins anew at one that is no neighbour."""
    trials = [trial(1, "00000000", 50.0), trial(2, "00000001", 49.0), trial(3, "00000010", 51.0)]
    assert functools.reduce(climb, trials[:2], None).iteration == 1
    assert functools.reduce(climb, trials, None).iteration == 3
    assert functools.reduce(climb, [*trials, trial(4, "22000000", 40.0)], None).iteration == 4


def test_local_search_reaches_the_optimum_of_a_sum():
    """On a space where each position counts alone the first climb ends at the top."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("local-search", ToyBenchmark().space), 40, seed=1)
    assert "22222222" in keys(run)


@pytest.mark.parametrize("name", ["evolution", "local-search"])
def test_nothing_is_evaluated_twice_and_a_seed_repeats(name):
    """No two architectures of a run are isomorphic; the same seed gives the same run, another one another."""
    space = ToyBenchmark().space
    runs = [keys(gk.search(ToyBenchmark(), gk.make_proposer(name, space), 60, seed=seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    designs = [space.decode(key) for key in runs[0]]
    assert not any(space.same(a, b) for a, b in itertools.combinations(designs, 2))


@pytest.mark.parametrize(("population", "sample"), [(0, 0), (5, 6), (5, 0)])
def test_a_sample_that_does_not_fit_is_refused(population, sample):
    """The message gives both numbers."""
    with pytest.raises(InvalidParameter, match=f"population of {population}, got {sample}"):
        gk.make_proposer("evolution", ToyBenchmark().space, population=population, sample=sample)


class Counted(type(ToyBenchmark().space)):
    """The toy's space, which counts the canonical forms that it makes."""

    made = 0

    def canonical_form(self, values):
        Counted.made += 1
        return super().canonical_form(values)


def test_a_step_takes_no_longer_after_many_others():
    """Random search makes about as many canonical forms at the end of a search as at its beginning."""
    benchmark = ToyBenchmark()
    values = {field.name: getattr(benchmark.space, field.name) for field in dataclasses.fields(benchmark.space)}
    benchmark.space = Counted(**values)
    made = []

    def watch(event):
        if event["event"] == "evaluation":
            made.append(Counted.made)

    gk.search(benchmark, gk.make_proposer("random", benchmark.space), 300, seed=0, on_event=watch)
    assert made[-1] - made[-101] < 1.5 * (made[100] - made[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("random", "fb956294f584"),
        ("evolution", "c2dace78fc8c"),
        ("local-search", "5f3ee1001840"),
        ("coordinate-descent", "109a4d68641b"),
    ],
)
def test_a_seed_proposes_what_it_always_did(name, expected):
    """The architectures of five searches of fifty evaluations are those of every earlier version."""
    space, runs = ToyBenchmark().space, []
    for seed in range(5):
        runs.append(keys(gk.search(ToyBenchmark(), gk.make_proposer(name, space), 50, seed=seed)))
    assert hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:12] == expected
