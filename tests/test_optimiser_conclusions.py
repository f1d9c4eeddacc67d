"""What a study of optimisers shows: better and worse only where an exact interval says so, and the worth of GPT-4."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.stats.random_search import RandomSearch, worth_interval
from genius_kit.studies import run as studies


def study(folder, tables=("nas-bench-201-cifar10", "nas-bench-201-cifar100"), budget=12, **arms):
    """Return the results of so many searches by each arm on each table."""
    counts = arms or {"random": 6, "coordinate-descent": 6}
    for table in tables:
        benchmark = gk.load_benchmark(table)
        for arm, count in counts.items():
            gk.search_many(benchmark, arm.replace("_", "-"), range(count), budget, output=folder, progress=False)
    return studies.results(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory, embedded_cache):
    """Six searches of twelve evaluations by random search and coordinate descent on two tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        yield study(tmp_path_factory.mktemp("study"))


def row_of(conclusion, method):
    (row,) = [dict(zip(conclusion.table.header, row, strict=True)) for row in conclusion.table.rows if row[0] == method]
    return row


def with_ranks(results, rank):
    """Return the results as if every search by coordinate descent had ended at one rank."""
    ours = results["proposer"] == "coordinate-descent"
    return results.assign(**{name: results[name].where(~ours, rank) for name in ("rank", "rank_best", "rank_worst")})


def test_the_tables_on_which_a_method_is_better_are_counted(results):
    """Coordinate descent is better on both; the headline says so in at most 25 words, random search has no row."""
    conclusion = figures.optimiser_conclusion(results)
    assert (
        conclusion.headline
        == "Better than random search after 12 evaluations, on how many of 2 tables: coordinate descent 2."
    )
    row = row_of(conclusion, "coordinate descent")
    assert (row["better"], row["inconclusive"], row["worse"], row["n"]) == ("2", "0", "0", "6")
    assert row["rank ÷ random search"].endswith(", better")
    assert [row[0] for row in conclusion.table.rows] == ["coordinate descent"]


@pytest.mark.parametrize(("rank", "said"), [(15_000, "worse"), (1_180, "inconclusive"), (2, "better")])
def test_the_words_follow_the_ranks(results, rank, said):
    """The mean of random search (rank 1,202 of 15,625 after twelve) is inconclusive, far ends are not."""
    row = row_of(figures.optimiser_conclusion(with_ranks(results, rank)), "coordinate descent")
    assert row[said] == "2"


def test_where_nothing_can_be_told_the_headline_says_so(results):
    """One search that ends where random search does, and its ratio without an interval."""
    conclusion = figures.optimiser_conclusion(with_ranks(results, 1_180)[results["seed"] == 0])
    assert conclusion.headline.endswith("better or worse than random search: inconclusive on 2 tables.")
    assert row_of(conclusion, "coordinate descent")["rank ÷ random search"].endswith("too few searches")


def test_a_long_list_of_methods_keeps_the_headline_short(results):
    """The best ones are named first, the others stand in the table; more comparisons ask for more evidence."""
    random = results[results["proposer"] == "random"]
    more = [random.assign(arm=f"method {place}", proposer="other") for place in range(12)]
    conclusion = figures.optimiser_conclusion(pd.concat([*more, results], ignore_index=True))
    assert len(conclusion.headline.split()) <= 25
    assert "of 2 tables: coordinate descent 1; method" in conclusion.headline
    assert len(conclusion.table.rows) == 13


def test_without_another_method_nothing_is_compared(results):
    """Random search alone says so; no run at all is an error that says what to do."""
    alone = results[results["proposer"] == "random"]
    assert figures.optimiser_conclusion(alone).headline.endswith("there is nothing to compare.")
    with pytest.raises(InvalidParameter, match="nothing to conclude"):
        figures.optimiser_conclusion(results.iloc[:0])


@pytest.mark.parametrize("n", [3, 8, 40])
def test_the_interval_of_a_worth_holds_the_exact_answer(n):
    """Random search needs exactly 20 evaluations for its own mean rank after 20; 90 % of 1,000 intervals say so."""
    generator, size = np.random.default_rng(0), 2_000
    target = RandomSearch(np.arange(size, dtype=float)).expected_best_rank(20)
    held = 0
    for _ in range(1_000):
        drawn = np.floor(generator.random((n, 200)) * size) + 1
        _, low, high = worth_interval(np.minimum.accumulate(drawn, axis=1), target)
        held += low <= 20 <= high
    assert 0.88 < held / 1_000 < 0.98


def test_a_rank_that_is_never_reached_needs_more_than_there_were():
    """Infinite, and with one search there is no interval."""
    curves = np.array([[50.0, 40.0], [60.0, 30.0]])
    assert worth_interval(curves, 1.0)[0] == float("inf")
    assert np.isnan(worth_interval(curves[:1], 45.0)[1])


def test_the_geometric_mean_rank_of_random_search_is_that_of_its_draws():
    """The exact law beside 4,000 searches."""
    random = RandomSearch(np.arange(500, dtype=float))
    generator = np.random.default_rng(3)
    best = [generator.choice(500, 10, replace=False).min() + 1 for _ in range(4_000)]
    assert random.geometric_best_rank(10) == pytest.approx(np.exp(np.log(best).mean()), rel=0.06)


def test_the_evaluations_for_the_rank_of_the_paper_stand_in_a_table(results):
    """One column per table of the paper, with the printed rank in the first row."""
    conclusion = figures.worth_conclusion(results)
    assert conclusion.headline.startswith("After ten evaluations better than the paper's GPT-4 in 0 of 4 comparisons")
    assert len(conclusion.headline.split()) <= 25
    assert row_of(conclusion, "random")["NAS-Bench-201 CIFAR-10"].startswith("> 12")
    assert row_of(conclusion, "paper: GPT-4 after ten")["NAS-Bench-201 CIFAR-10"].endswith("(n = 5)")
    assert row_of(conclusion, "coordinate descent")["n"] == "6"


def test_searches_shorter_than_the_paper_s_are_not_compared_with_it(results, no_data, tmp_path):
    """Nor is a table on which the paper prints nothing."""
    short = figures.worth_conclusion(study(tmp_path / "short", budget=4, random=2))
    assert "end before ten evaluations" in short.headline
    elsewhere = figures.worth_conclusion(study(tmp_path / "else", ("private-motif-pairs",), 4, random=2))
    assert "None of these tables" in elsewhere.headline
    alone = figures.worth_conclusion(results[results["seed"] == 0])
    assert row_of(alone, "random")["NAS-Bench-201 CIFAR-10"].endswith("too few searches")
