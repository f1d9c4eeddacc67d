"""The optimisers that weigh several objectives: NSGA-II over the history, and ParEGO."""

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.benchmarks.base import Objectives
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import Situation
from genius_kit.proposers.multi_objective import NSGA2Proposer, fittest, scalarised
from genius_kit.records import Cost, Evaluation, Trial, Trials
from genius_kit.stats.fronts import crowding_of, front_of, hypervolume
from tests.doubles import ToyBenchmark


class Weighed(ToyBenchmark):
    """The toy with a cost: the sum of the options costs what it gains, but for the first position, which is free."""

    def evaluate(self, architecture):
        self.evaluated.append(tuple(architecture))
        score = 50.0 + sum(architecture)
        return Evaluation(None, score, score, Cost(0, 10 * sum(architecture[1:])), "toy")


def weighed():
    """Return the toy benchmark with accuracy and multiply-accumulates."""
    return Weighed().weighing(Objectives("accuracy", "macs"))


def situation(benchmark, designs, iteration=None, seed=0):
    """Return what a proposer knows after some architectures."""
    trials = [Trial(n, design, benchmark.evaluate(design)) for n, design in enumerate(designs, start=1)]
    return Situation(benchmark, Trials(trials), iteration or len(trials) + 1, seed, None)


def test_the_fittest_are_the_front_and_its_ends_first():
    """By front, in it the least crowded, of equals the earlier; what was not measured is left out."""
    benchmark = weighed()
    ends = [(2,) + (0,) * 7, (2,) * 8]
    middle = [(2, 2) + (0,) * 6, (2, 2, 2) + (0,) * 5]
    beaten = [(0,) * 8, (0,) + (2,) * 7]
    known = situation(benchmark, [*beaten, *middle, *ends])
    order = [trial.architecture for trial in fittest(known, 6)]
    assert set(order[:2]) == set(ends)
    assert set(order[2:4]) == set(middle)
    assert order[4:] == beaten
    failed = Trial(7, (1,) * 8, Evaluation(None, None, None, None, "toy", "diverged"))
    assert failed not in fittest(Situation(benchmark, Trials([*known.trials, failed]), 8, 0, None), 9)


def ranks_of(points):
    """The front that each point is in: 0 for that of all points, 1 for that of the rest, and so on."""
    ranks, rank = np.full(len(points), -1), 0
    while (left := np.flatnonzero(ranks < 0)).size:
        ranks[left[front_of(points[left])]] = rank
        rank += 1
    return ranks


@pytest.mark.parametrize("names", [("accuracy", "macs"), ("accuracy", "macs", "parameters")])
def test_the_fittest_of_a_growing_search_are_those_of_all_its_trials(names):
    """What was left out on the way would not be among them; ties and equal points too."""
    benchmark, rng, trials = Weighed().weighing(Objectives(*names)), np.random.default_rng(1), Trials()
    for number in range(1, 121):
        accuracy, macs, parameters = (int(value) for value in rng.integers(1, 12, size=3))
        trials.append(Trial(number, (0,) * 8, Evaluation(None, None, accuracy, Cost(parameters, macs), "toy")))
        found = fittest(Situation(benchmark, trials, number + 1, 0, None), 5)
        _, losses = benchmark.objectives.measured(trials)
        ranks, crowding = ranks_of(losses), np.zeros(number)
        for rank in range(ranks.max() + 1):
            crowding[ranks == rank] = crowding_of(losses[ranks == rank])
        expected = np.lexsort((np.arange(number), -crowding, ranks))[:5]
        assert [trial.iteration for trial in found] == list(expected + 1)


@pytest.mark.parametrize("proposer", ["nsga2", "parego"])
def test_a_search_depends_on_its_trials_seed_and_iteration_alone(proposer):
    """Asked again it proposes the same untried architecture; another seed proposes another."""
    benchmark = weighed()
    rng = np.random.default_rng(3)
    known = [benchmark.space.sample(rng) for _ in range(12)]
    asked = [
        gk.make_proposer(proposer, benchmark.space).propose(situation(benchmark, known, seed=seed)).architecture
        for seed in (0, 0, *range(1, 6))
    ]
    assert asked[0] == asked[1]
    assert len(set(asked)) > 1
    assert not set(asked) & set(known)


@pytest.mark.parametrize(("proposer", "budget", "seeds"), [("nsga2", 80, 4), ("parego", 20, 2)])
def test_they_find_more_of_the_front_than_random_search(proposer, budget, seeds):
    """On the toy, by the hypervolume, in the mean of some searches."""
    benchmark = weighed()

    def volume(name, seed):
        found = gk.search(benchmark, gk.make_proposer(name, benchmark.space), budget, seed, progress=False).frame()
        points = np.stack([-found["feedback"], found["macs"] / 10], axis=1)
        return hypervolume(points, np.array([-49.0, 15.0]))

    ours, random = (np.mean([volume(name, seed) for seed in range(seeds)]) for name in (proposer, "random"))
    assert ours > random + 4


def test_settings_that_cannot_be_are_refused():
    """One parent has no partner; a probability is one."""
    space = weighed().space
    with pytest.raises(InvalidParameter, match="two parents"):
        NSGA2Proposer(space, population=1)
    with pytest.raises(InvalidParameter, match="probability"):
        NSGA2Proposer(space, crossover=1.5)


def test_a_failure_is_left_out_of_what_the_process_learns():
    """ParEGO goes on where an evaluation came to nothing, and where all of them did it draws at random."""
    benchmark = weighed()
    known = situation(benchmark, [(0,) * 8, (1,) * 8, (2,) * 8, (0, 1) * 4, (2, 0) * 4])
    failed = Trial(6, (1, 2) * 4, Evaluation(None, None, None, Cost(1, 1), "toy", "diverged"))
    proposer = gk.make_proposer("parego", benchmark.space)
    designs, targets = proposer.targets(Situation(benchmark, Trials([*known.trials, failed]), 7, 0, None))
    assert len(designs) == len(targets) == 5
    only = Situation(benchmark, Trials([failed] * 6), 7, 0, None)
    assert proposer.propose(only).architecture != failed.architecture


def test_the_scalarisation_prefers_what_is_better_in_its_worst_part():
    """The weighed maximum decides, the plain sum between equals."""
    parts = np.array([[0.5, 0.5], [0.0, 1.0], [0.5, 0.4]])
    values = scalarised(parts, np.array([0.5, 0.5]))
    assert values.argsort().tolist() == [1, 0, 2]
