"""Spaces written out: classes, bounds, and what may still be evaluated."""

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Journal
from genius_kit.llm.session import Session
from genius_kit.proposers.base import RANDOM_DRAWS, Situation, Stop, random_untried
from genius_kit.records import Evaluation, Trial, Trials
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import MacsBound, count_cost, count_costs, is_listable, list_space, macs_range
from tests.doubles import ToyBenchmark


def situation(benchmark, tried, seed=0):
    trials = [Trial(i, a, Evaluation(None, 50.0, 50.0, None, "toy")) for i, a in enumerate(tried, 1)]
    return Situation(benchmark, Trials(trials), len(trials) + 1, seed, Session(Journal(None)))


@pytest.mark.parametrize(("name", "classes"), [("nas-bench-macro", 3969), ("nas-bench-201", 6466)])
def test_every_architecture_has_the_row_of_its_representative(name, classes):
    """The listing counts the known number of isomorphism classes, and each row points at its representative."""
    space = gk.load_space(name)
    listing = list_space(space)
    assert len(np.unique(listing.classes)) == classes
    for row in range(0, space.size, 97):
        assert space.at(int(listing.classes[row])) == space.canonical(space.at(row))


def test_a_bound_allows_what_its_refusal_lets_through():
    """The vectorised bound agrees with the one that judges single architectures, on every architecture."""
    space, bound = gk.load_space("nas-bench-macro"), MacsBound(60, 40)
    allowed = list_space(space, bound).allowed
    assert 0 < allowed.sum() < space.size
    assert all(allowed[row] == (bound.refusal(space, space.at(row)) is None) for row in range(0, space.size, 13))


def test_a_bound_that_nothing_satisfies_is_refused():
    """The message says what the architectures need, for a space that can be listed and for one that cannot."""
    for name, bound in (("nas-bench-macro", MacsBound(1)), ("mobilenet-imagenet", MacsBound(10))):
        space = gk.load_space(name)
        low, high = (round(macs / 1e6) for macs in macs_range(space))
        with pytest.raises(InvalidParameter, match=f"{low} to {high} million"):
            bound.check_satisfiable(space)


@pytest.mark.parametrize("name", ["mobilenet-imagenet", "vision-transformer", "channel-bench-mobilenet"])
def test_many_designs_are_counted_at_once(name):
    """Counting an array of architectures gives what counting each one gives."""
    space, rng = gk.load_space(name), np.random.default_rng(0)
    designs = [space.sample(rng) for _ in range(20)]
    parameters, macs = count_costs(space, np.array(designs))
    assert [(int(p), int(m)) for p, m in zip(parameters, macs, strict=True)] == [
        (count_cost(space, design).parameters, count_cost(space, design).macs) for design in designs
    ]


@pytest.mark.parametrize("name", ["nas-bench-201", "nas-bench-macro", "signal-cell-01234"])
def test_a_space_that_is_loaded_twice_is_listed_once(name):
    """Benchmarks of one space share its list, though each loads the space for itself."""
    assert load_space(name) == load_space(name)
    assert list_space(load_space(name)) is list_space(load_space(name))


def test_large_spaces_are_not_listed():
    """A space too large to write out is refused, with its size."""
    space = gk.load_space("mobilenet-imagenet")
    assert not is_listable(space)
    with pytest.raises(InvalidParameter, match="up to 100,000"):
        list_space(space)


def test_open_rows_leave_out_isomorphic_designs():
    """A tried architecture closes its whole class."""
    benchmark = ToyBenchmark()
    now = situation(benchmark, [benchmark.space.decode("22210222")])
    rows = now.open_rows()
    assert len(rows) == benchmark.space.size - 2  # the identity at either of two layers
    assert benchmark.space.index(benchmark.space.decode("22201222")) not in rows


def test_random_search_finds_the_last_design_and_then_stops(monkeypatch):
    """Where draws no longer hit what is left, it is looked up; with nothing left the search is exhausted."""
    benchmark = ToyBenchmark()
    benchmark.constraint = MacsBound(13)  # leaves few architectures
    allowed = [benchmark.space.at(int(row)) for row in situation(benchmark, []).open_rows()]
    assert 1 < len(allowed) < 40
    last = allowed[-1]
    others = [design for design in allowed if not benchmark.space.same(design, last)]
    assert random_untried(situation(benchmark, others)) in [d for d in allowed if benchmark.space.same(d, last)]
    assert random_untried(situation(benchmark, allowed)) == Stop("exhausted")
    assert RANDOM_DRAWS > 0
