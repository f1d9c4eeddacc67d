"""Where a model's prior helps: the ratios beside its own searches, the figure's rows and the conclusion."""

import math

import numpy as np
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.figures.priors import LABELS, PRIOR, RANDOM
from genius_kit.studies.results import random_search

TABLES = ("private-signals", "private-motif-pairs")
BUDGET, SEEDS = 3, 4


def searched(folder, **given):
    """Return the results of the stand-in on the private tables, which need no download."""
    arms = ["llm", LABELS, "coordinate-descent"]
    asked = {"benchmarks": list(TABLES), "arms": arms, "seeds": SEEDS, "budget": BUDGET, "first": "random", **given}
    return gk.run_study(gk.load_study("does-it-search", **asked), folder, progress=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Four searches of each arm on two tables."""
    return searched(tmp_path_factory.mktemp("priors"))


def of(results, benchmark, arm):
    """Return the ranks of the best of one arm, by seed."""
    rows = results[(results["benchmark"] == benchmark) & (results["arm"] == arm)]
    return np.log(rows.sort_values("seed")["rank"].astype(float).to_numpy())


def test_ratios_are_those_of_the_ranks(results):
    """Beside another arm the mean over pairs of one seed, beside random search its exact law, highest ratio first."""
    ratios = figures.prior_ratios(results)
    shown = ratios[ratios["beside"] == LABELS]
    assert list(shown["ratio"]) == sorted(shown["ratio"], reverse=True)
    for name in TABLES:
        table, rows = gk.load_benchmark(name), ratios[ratios["benchmark"] == name].set_index("beside")
        own = of(results, name, "llm")
        assert set(rows.index) == {LABELS, "coordinate-descent", RANDOM, PRIOR}
        for arm in (LABELS, "coordinate-descent"):
            assert rows.loc[arm, "ratio"] == pytest.approx(math.exp((of(results, name, arm) - own).mean()))
        largest = table.rank(table.space.all_largest).mean
        assert rows.loc[PRIOR, "ratio"] == pytest.approx(largest / math.exp(own.mean()))
        assert rows["best_rank"].iloc[0] == pytest.approx(math.exp(own.mean()))
        assert rows["best_random"].iloc[0] == random_search(table).geometric_best_rank(BUDGET)
        assert rows.loc[RANDOM, "low"] < rows.loc[RANDOM, "ratio"] < rows.loc[RANDOM, "high"]


def test_random_search_against_itself_needs_as_many_evaluations(tmp_path):
    """Of forty random searches the exact interval holds 1."""
    found = searched(tmp_path, benchmarks=[TABLES[0]], arms=["llm", "random"], seeds=40)
    rows = figures.prior_ratios(found.assign(proposals=None), plain="random").set_index("beside")
    assert rows.loc[RANDOM, "low"] < 1 < rows.loc[RANDOM, "high"]
    assert rows.loc[RANDOM, "ratio"] == pytest.approx(1, rel=0.5)


def test_a_fixed_rule_counts_once(tmp_path):
    """Without a random first architecture the searches are one, and no interval tells luck from names."""
    found = searched(tmp_path, benchmarks=[TABLES[0]], first="none")
    rows = figures.prior_ratios(found).set_index("beside")
    assert set(rows["n_text"]) == {"n = 1, a fixed rule"}
    assert rows.loc[[LABELS, "coordinate-descent"], ["low", "high"]].isna().all(axis=None)
    assert rows.loc[RANDOM, "low"] == rows.loc[RANDOM, "ratio"] == rows.loc[RANDOM, "high"]
    assert "names help on 0 of 1 tables, harm on 0" in figures.prior_conclusion(found).headline


@pytest.mark.parametrize(
    ("factor", "said"), [(100, "help on 2 of 2 tables, harm on 0"), (0.01, "help on 0 of 2 tables, harm on 2")]
)
def test_the_conclusion_counts_the_tables(results, factor, said):
    """Names help where every permuted search is far worse, and harm where it is far better."""
    changed = results.copy()
    own = {(row.benchmark, row.seed): row.rank for row in results[results["arm"] == "llm"].itertuples()}
    is_permuted = changed["arm"] == LABELS
    pairs = zip(changed.loc[is_permuted, "benchmark"], changed.loc[is_permuted, "seed"], strict=True)
    changed.loc[is_permuted, "rank"] = [own[pair] * factor * (1 + 0.1 * pair[1]) for pair in pairs]
    conclusion = figures.prior_conclusion(changed)
    assert said in conclusion.headline
    assert len(conclusion.headline.split()) <= 25
    assert len(conclusion.table.rows) == 2


def test_the_figure_names_each_table_with_its_searches(results):
    """One row per table, the interval of each search beside, and the model in the title."""
    (axes,) = figures.prior_figure(figures.prior_ratios(results), "offline").axes
    assert {label.get_text() for label in axes.get_yticklabels()} == {
        f"Private signals ({name}) (n = {SEEDS})" for name in TABLES
    }
    assert "not a language model" in axes.get_title(loc="left")


def test_no_search_of_the_model_is_said(results):
    """Nothing stands beside an arm that did not run."""
    with pytest.raises(InvalidParameter, match="no search of the arm 'llm' is finished"):
        figures.prior_ratios(results[results["arm"] != "llm"])
