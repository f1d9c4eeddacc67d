"""What was found, computed: words follow the numbers, and few searches are said to be few."""

import numpy as np
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import STAND_IN
from genius_kit.stats import random_worth, rank_ratio


def searches(benchmark, budget=10, seeds=20, **named):
    """Return runs by method of the cheap searches, and of the stand-in."""
    counts = {"random": seeds, "coordinate-descent": seeds, "prior": 1, "llm": 2, **named}
    runs = []
    for name, count in counts.items():
        told = {"model": "offline"} if name == "llm" else {}
        runs += gk.search_many(benchmark, name, range(count), budget, progress=False, **told)
    return figures.by_method(runs)


def row_of(conclusion, method):
    (row,) = [dict(zip(conclusion.table.header, row, strict=True)) for row in conclusion.table.rows if method in row]
    return row


@pytest.mark.parametrize("n", [3, 8, 40])
def test_random_search_is_found_better_or_worse_than_itself_as_rarely_as_said(n):
    """Of 4,000 samples of the null 5 % are called: the interval is exact, for three searches too."""
    generator = np.random.default_rng(0)
    called = [random_worth(list(generator.uniform(size=n))).sign for _ in range(4_000)]
    assert np.mean(np.array(called) != 0) == pytest.approx(0.05, abs=0.012)


def test_worth_in_random_search_is_that_of_so_many_evaluations():
    """The best of 50 draws is worth five times the evaluations of the best of 10, in the probabilities of 10."""
    generator = np.random.default_rng(1)
    worth = random_worth(list(generator.uniform(size=2_000) ** (1 / 5)))
    assert worth.low < 5 < worth.high
    assert worth.value == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(("n", "paired"), [(3, False), (8, False), (8, True), (40, True)])
def test_the_interval_of_a_ratio_of_ranks_covers(n, paired):
    """It holds the true ratio of log-normal ranks in 95 % of 4,000 samples, for three searches too."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(4_000):
        first, second = np.exp(generator.normal(1, 0.8, n)), np.exp(generator.normal(0, 0.8, n))
        found = rank_ratio(list(first), list(second), paired=paired)
        held += found.low < np.e < found.high
    assert held / 4_000 == pytest.approx(0.95, abs=0.015)


def test_a_number_is_a_rank_known_exactly():
    """Between two of them the ratio is the whole interval; beside a sample only the sample varies."""
    assert rank_ratio(10.0, 20.0).sign == -1
    found = rank_ratio([10.0, 12.0, 11.0], 20.0)
    assert found.low < found.value < found.high < 1


@pytest.mark.parametrize(("first", "second"), [([5.0], [7.0, 9.0]), ([3.0, 3.0], [5.0, 5.0])])
def test_too_few_searches_are_inconclusive(first, second):
    """One search, or several that show no spread, have no interval; the ratio itself is told."""
    found = rank_ratio(first, second)
    assert found.sign == 0
    assert np.isnan([found.low, found.high]).all()
    assert 0.6 < found.value < 0.7


def test_two_searches_far_apart_have_an_interval_without_an_end():
    """Their interval on logarithms passes what a float holds, which is no error and no difference."""
    found = rank_ratio([1.0, 15_000.0], [2.0, 1.0], comparisons=20)
    assert (found.high, found.sign) == (np.inf, 0)


@pytest.mark.parametrize("ranks", [[], [0.0, 1.0], [float("nan")]])
def test_what_is_no_rank_is_refused(ranks):
    """Ranks are positive numbers, at least one of them."""
    with pytest.raises(InvalidParameter, match="ranks are positive"):
        rank_ratio(ranks, [1.0, 2.0])


def test_the_conclusion_of_a_search_notebook_follows_its_runs(data_home):
    """The headline is short, names the stand-in, and each row says better or worse only where the interval does."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    conclusion = figures.search_conclusion((benchmark, searches(benchmark)), model=STAND_IN)
    assert len(conclusion.headline.split()) <= 25
    assert conclusion.headline.startswith(STAND_IN)
    assert row_of(conclusion, "coordinate descent")["times random"].endswith(", better")
    assert row_of(conclusion, "random")["rank ÷ coordinate descent"].endswith(", worse")
    assert row_of(conclusion, STAND_IN)["n"] == "1 (a fixed rule)"
    assert "±" not in row_of(conclusion, STAND_IN)["rank"]
    assert row_of(conclusion, "paper: GPT-4, temperature 0")["rank ÷ coordinate descent"].endswith("inconclusive")
    assert conclusion.headline in conclusion.markdown()


def test_the_headline_gives_the_numbers_behind_better_and_worse(data_home):
    """They are those of the model's row in the table; the model may be named as searches take it."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    conclusion = figures.search_conclusion((benchmark, searches(benchmark)), model="offline")
    row = row_of(conclusion, STAND_IN)
    assert f"random search ({row['times random'].split(',')[0]} times its evaluations)" in conclusion.headline
    assert f"coordinate descent (rank ratio {row['rank ÷ coordinate descent'].split(' ')[0]})" in conclusion.headline


def test_a_model_asked_at_several_temperatures_is_named_at_the_lowest(no_data):
    """The table may leave out the other methods."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    runs = searches(benchmark, budget=3, seeds=3)
    asked = {"gpt-4.1, temperature 1": runs["random"], "gpt-4.1, temperature 0": runs["random"], **runs}
    conclusion = figures.search_conclusion((benchmark, asked), model="gpt-4.1", only_model=True)
    assert conclusion.headline.startswith("gpt-4.1, temperature 0: inconclusive beside random search")
    assert [row[0] for row in conclusion.table.rows] == ["gpt-4.1, temperature 0"]
    assert "Bonferroni over 2 comparisons" in conclusion.table.note


def test_one_search_of_each_is_too_few(no_data):
    """The headline says so instead of better or worse."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    runs = searches(benchmark, budget=3, seeds=1)
    conclusion = figures.search_conclusion((benchmark, runs), model="random")
    assert "too few searches beside coordinate descent" in conclusion.headline
    by_name = figures.search_conclusion((benchmark, runs), model="coordinate-descent")  # as the command line has it
    assert by_name.headline.startswith("coordinate descent")
    assert "not run" not in by_name.headline


def test_another_seed_count_changes_the_numbers_and_n(data_home):
    """Nothing stands still: five searches are said to be five."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    few = figures.search_conclusion((benchmark, searches(benchmark, budget=4, seeds=5)), model=STAND_IN)
    row = row_of(few, "coordinate descent")
    assert (row["n"], row["evaluations"]) == ("5", "4")


def test_several_benchmarks_are_counted_in_one_short_headline(data_home):
    """One block per benchmark; the headline counts on how many the model is better or worse."""
    names = ("nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet")
    searched = [(benchmark, searches(benchmark, seeds=8)) for benchmark in map(gk.load_benchmark, names)]
    conclusion = figures.search_conclusion(*searched, model=STAND_IN)
    assert len(conclusion.headline.split()) <= 25
    assert "of 3" in conclusion.headline
    titles = [row[0] for row in conclusion.table.rows if row[0]]
    assert len(titles) == 3


def test_what_was_not_run_is_said_instead_of_compared(no_data):
    """Without coordinate descent there is nothing to compare with it; without the model, nothing to say of it."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    runs = searches(benchmark, budget=3, seeds=3, **{"coordinate-descent": 0})
    conclusion = figures.search_conclusion((benchmark, runs), model=STAND_IN)
    assert "not compared with coordinate descent" in conclusion.headline
    assert row_of(conclusion, "random")["rank ÷ coordinate descent"] == "not run"
    several = figures.search_conclusion((benchmark, runs), (benchmark, runs), model=STAND_IN)
    assert several.headline.endswith("not compared with coordinate descent.")
    absent = figures.search_conclusion((benchmark, runs), model="gpt-4.1")
    assert absent.headline == "gpt-4.1: not run, so there is nothing to compare."


def test_nothing_to_conclude_from_is_refused():
    """No row at all is an error that says what to do."""
    with pytest.raises(InvalidParameter, match="raise the number of searches"):
        figures.conclude("nothing", [], "caption", "note")
