"""What was found by models side by side, on fronts and in a record: the words follow the numbers."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.figures.style import STAND_IN
from genius_kit.runs.approval import within_macs
from genius_kit.runs.audit import audit_run
from genius_kit.testing import tampering
from genius_kit.verdicts.tradeoffs import tradeoff_table
from tests import natures

TABLE = "nas-bench-201-cifar10"


def side_by_side(ratios, p_values, tables=None, other="gpt-x", pairs=10):
    """Return a table of models: the stand-in, and another one with these ratios and p-values on a table each."""
    rows = []
    for place, (ratio, p_value) in enumerate(zip(ratios, p_values, strict=True)):
        table = (tables or [TABLE, "nas-bench-201-cifar100", "nas-bench-macro"])[place]
        shared = {"benchmark": table, "n": pairs, "mean_rank": 100.0, "low": 80.0, "high": 130.0}
        rows.append({**shared, "model": "offline", "reference": "offline", "pairs": 0, "p_value": np.nan})
        told = {"ratio": ratio, "ratio_low": ratio / 2, "ratio_high": 2 * ratio, "p_value": p_value, "pairs": pairs}
        rows.append({**shared, "model": other, "reference": "offline", **told})
    return pd.DataFrame(rows)


def answers(conclusion):
    """Return what the rows that compare say."""
    return [cell.rsplit(", ", 1)[1] for *_, cell, _ in conclusion.table.rows if ", " in cell]


@pytest.mark.parametrize(
    ("ratios", "p_values", "said"),
    [
        ((0.2, 4.0, 0.9), (0.001, 0.002, 0.6), ["better", "worse", "inconclusive"]),
        ((0.2, 0.3, 0.9), (0.03, 0.03, 0.04), ["inconclusive"] * 3),
        ((1.1,), (0.9,), ["inconclusive"]),
    ],
)
def test_a_model_is_better_or_worse_where_the_corrected_test_says_so(ratios, p_values, said):
    """Three tables are three tests: 0.03 in each is no difference on any."""
    conclusion = figures.models_conclusion(side_by_side(ratios, p_values))
    assert answers(conclusion) == said
    count = len(ratios)
    assert f"gpt-x better on {said.count('better')} of {count} tables, worse on {said.count('worse')}" in str(
        conclusion.headline
    )
    assert STAND_IN in conclusion.headline
    assert "n = 10 pairs" in conclusion.headline
    assert len(conclusion.headline.split()) <= 25


def test_many_models_are_counted_in_a_short_headline():
    """What does not fit model by model is told as how many comparisons are better and worse."""
    several = [side_by_side((0.2,), (1e-4,), other=f"model-{number}") for number in range(5)]
    frame = pd.concat(several, ignore_index=True).drop_duplicates(["benchmark", "model"])
    headline = figures.models_conclusion(frame).headline
    assert "better in 5 of 5 comparisons, worse in 0" in headline
    assert len(headline.split()) <= 25


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame[frame["model"] == "offline"], "no second model was asked, so there is nothing to compare"),
        (lambda frame: frame.assign(p_value=np.nan, pairs=1), "too few searches"),
        (lambda frame: frame.assign(ratio=1.0, ratio_low=1.0, ratio_high=1.0), "so there is nothing to compare"),
    ],
)
def test_what_leaves_nothing_to_compare_is_said(change, said):
    """One model, one search each, or searches that end at the same ranks."""
    conclusion = figures.models_conclusion(change(side_by_side((0.5,), (0.01,))))
    assert said in conclusion.headline
    assert len(conclusion.headline.split()) <= 25


def test_a_model_with_other_searches_stands_there_unpaired():
    """Its row names its table and what random search needs for its rank; the headline is about the paired ones."""
    paired = side_by_side((0.2, 0.3), (0.001, 0.002)).assign(budget=10, worth_random=12.0)
    alone = paired.iloc[[0]].assign(model="gpt-y", pairs=0, worth_random=4.5, budget=20)
    conclusion = figures.models_conclusion(pd.concat([paired, alone], ignore_index=True))
    assert "gpt-x better on 2 of 2" in conclusion.headline
    assert "gpt-y" not in conclusion.headline
    table, model, _, evaluations, _, worth, ratio, p_value = conclusion.table.rows[-1]
    assert (table, model, evaluations, worth) == ("NAS-Bench-201 CIFAR-10", "gpt-y", "20", "4")
    assert (ratio, p_value) == ("not paired", "–")


@pytest.fixture(scope="module")
def fronts(embedded_cache):
    """The results of a few short searches of the stand-in and of chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        benchmark = gk.load_benchmark(TABLE, source="embedded", objectives="accuracy,latency")
        runs = [
            natures.run_one(client, benchmark, arm, seed=seed, budget=8)
            for arm, client in (("llm", natures.Searches()), ("random", None))
            for seed in range(7)
        ]
        return gk.read_results(runs)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_a_front_is_told_with_its_share_and_its_gain(no_data, fronts, n):
    """The cells are those of `tradeoff_table`; fewer than six searches are not enough."""
    results = fronts[fronts["seed"] < n]
    conclusion, table = figures.front_conclusion(results), tradeoff_table(results).set_index("arm")
    rows = {row[0]: dict(zip(conclusion.table.header, row, strict=True)) for row in conclusion.table.rows}
    assert list(rows) == [STAND_IN, "random"]
    for arm, row in zip(("llm", "random"), rows.values(), strict=True):
        assert row["n"] == str(n)
        assert row["share of the hypervolume (95 %)"].startswith(f"{table.loc[arm, 'hypervolume']:.3f}")
        assert row["gain over random search (95 %)"].startswith(f"{table.loc[arm, 'gain']:.3f}")
    assert (" to " in rows[STAND_IN]["gain over random search (95 %)"]) == (n > 1)
    assert STAND_IN in conclusion.headline
    assert f"n = {n}" in conclusion.headline
    assert ("not enough runs" in conclusion.headline) == (rows[STAND_IN]["verdict"] == "not enough runs")
    assert n >= 6 or "not enough runs" in conclusion.headline
    assert len(conclusion.headline.split()) <= 25


@pytest.mark.parametrize(("most_macs", "rejected", "copies"), [(186_000_000, 1, 10), (900_000_000, 0, 8)])
def test_a_record_is_told_by_what_was_found_in_it(no_data, tmp_path, most_macs, rejected, copies):
    """Replies, decisions, spending, and how many altered copies each check finds, of as many as there are."""
    benchmark = gk.load_benchmark(TABLE, source="embedded")
    path = tmp_path / "a.jsonl"
    rule, limits = within_macs(most_macs, "ada"), gk.Limits(calls=9)
    gk.search(benchmark, gk.make_proposer("llm", benchmark.space), 3, 0, path, limits=limits, approve=rule)
    audit, altered = audit_run(path), tampering.tampering_table(path, tmp_path / "altered")
    conclusion = figures.record_conclusion(audit, altered)
    rows = dict(conclusion.table.rows)
    assert rows["replies, and how many were sent back"] == f"{3 + rejected}, {rejected}"
    assert rows["decisions of a person"].startswith(f"{3 + rejected} (approve 3")
    assert rows["calls: spent of what is allowed"] == f"{3 + rejected} calls of 9"
    assert rows["recorded accuracies that the table gives"] == "3 of 3"
    told = f"{copies // 2} of {copies // 2}"
    assert rows["altered copies found against the published head"] == f"old chain {told}, new chain {told}"
    assert f"altered copies found (of {copies}): published head {copies}, audit" in conclusion.headline
    assert "in order" in conclusion.headline
    assert conclusion.headline.startswith(STAND_IN)
    assert len(conclusion.headline.split()) <= 25


def test_a_record_that_is_not_in_order_is_said_to_be_none(no_data, tmp_path):
    """The audit of an altered copy counts its findings."""
    benchmark = gk.load_benchmark(TABLE, source="embedded")
    path = tmp_path / "a.jsonl"
    gk.search(benchmark, gk.make_proposer("llm", benchmark.space), 2, 0, path)
    altered = tampering.tampering_table(path, tmp_path / "altered")
    copy = tampering.tamper(path, tmp_path / "one.jsonl", "a better result", sealed=True)
    conclusion = figures.record_conclusion(audit_run(copy), altered)
    rows = dict(conclusion.table.rows)
    assert "not in order" in conclusion.headline
    assert rows["recorded accuracies that the table gives"] == "1 of 2"
    assert rows["decisions of a person"] == "none: no person was asked"
