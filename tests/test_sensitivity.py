"""Tests of prompt sensitivity: effects, verdicts, figure, the shipped studies, and the natures that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.figures import studies as sensitivity_figures
from genius_kit.prompts.views import CHANGES
from genius_kit.studies import run as studies
from genius_kit.verdicts import each_verdict, prompts
from genius_kit.verdicts.prompts import CHANGED, NO_EFFECT, NOT_ENOUGH
from tests.natures import SEEDS, Ignores, Random, Recites, Searches, run_arms

HARMLESS = ["reworded-1", "operations-shuffled", "best-first", "no-rationale"]
HARMFUL = ["last-5", "wrong-numbers"]


def frame_of(arms: dict[str, list[float]], **columns: Any) -> pd.DataFrame:
    """Results of a study: arm by arm the ranks of its seeds; arms other than "llm" have a change of their name."""
    rows = [
        {
            "study": "s", "benchmark": "b", "arm": arm, "proposer": "llm", "control": None,
            "change": None if arm == "llm" else arm, "principles": None, "model": "m", "prompt": "standard",
            "seed": seed, "budget": 10, "evaluations": 10, "rank": rank, "reason": "budget", **columns,
        }
        for arm, ranks in arms.items()
        for seed, rank in enumerate(ranks)
    ]  # fmt: skip
    return pd.DataFrame(rows)


RANKS = [float(10 + 7 * (seed * seed % 11)) for seed in range(16)]


def test_each_change_has_its_effect_and_verdict() -> None:
    """Ten times the rank in every pair changes the result, a tenth more does not, a wild one is open."""
    wild = [rank * (9 if seed % 2 else 1 / 7) for seed, rank in enumerate(RANKS)]
    arms = {"llm": RANKS, "last-5": [10 * r for r in RANKS], "best-first": [1.1 * r for r in RANKS], "wild": wild}
    found = prompts.effects(frame_of(arms)).set_index("change")
    assert list(found["verdict"]) == [CHANGED, NO_EFFECT, NOT_ENOUGH]
    assert found.loc["last-5", "ratio"] == pytest.approx(10)
    assert found.loc["last-5", "p_corrected"] < 0.01
    assert found.loc["wild", "pairs_needed"] > 16
    assert pd.isna(found.loc["last-5", "pairs_needed"])
    told = prompts.verdict(frame_of(arms))
    assert told.kind == CHANGED
    for words in (
        "m on b, n = 16 pairs",
        "changes the result: last-5 (ratio 10.00",
        "no effect within a factor of 2",
        "may settle",
    ):
        assert words in told.sentence
    assert prompts.verdict(frame_of({"llm": RANKS, "best-first": RANKS})).kind == NO_EFFECT


def test_few_pairs_are_not_enough_however_clear_they_are() -> None:
    """With too few pairs for any significance, equal results are no absence and unequal ones no effect."""
    for factor in (1, 50):
        few = {"llm": RANKS[:6], "last-5": [factor * rank for rank in RANKS[:6]]}
        found = prompts.verdict(frame_of(few))
        assert found.kind == NOT_ENOUGH
        assert found.evidence["pairs_needed"].iloc[0] >= 8
    alone = prompts.verdict(frame_of({"llm": RANKS[:1], "last-5": RANKS[:1]}))
    assert alone.kind == NOT_ENOUGH
    assert "about 8 pairs" in alone.sentence


def test_a_significant_difference_below_the_margin_is_told_as_small() -> None:
    """A gain of a fifth in every one of many pairs is no effect within a factor of two."""
    many = RANKS * 3
    found = prompts.effects(frame_of({"llm": many, "best-first": [1.2 * rank for rank in many]})).iloc[0]
    assert found["p_corrected"] < 0.01
    assert found["verdict"] == NO_EFFECT


def test_only_what_is_changed_is_compared() -> None:
    """Arms of controls and optimisers are left out; an arm with a name of its own is known by its change."""
    frame = frame_of({"llm": RANKS, "own name": RANKS, "no-feedback": RANKS, "gp": RANKS})
    frame.loc[frame["arm"] == "own name", "change"] = "last-5"
    frame.loc[frame["arm"] == "no-feedback", ["control", "change"]] = ["no-feedback", None]
    frame.loc[frame["arm"] == "gp", ["proposer", "change"]] = ["gp", None]
    found = prompts.effects(frame)
    assert list(zip(found["change"], found["arm"], strict=True)) == [("last-5", "own name")]


@pytest.mark.parametrize(
    ("arms", "columns", "words"),
    [
        ({"last-5": RANKS}, {}, "no reference arm.*`- llm`"),
        ({"llm": RANKS}, {}, "no arm with a change.*reworded-1"),
    ],
)
def test_what_it_compares_to_has_to_be_there(arms: dict[str, list[float]], columns: dict[str, Any], words: str) -> None:
    """Without the reference arm or any change the message names the line to add to the study file."""
    with pytest.raises(InvalidParameter, match=words):
        prompts.verdict(frame_of(arms, **columns))


def test_results_that_are_several_are_refused() -> None:
    """Two reference arms, two models, and a seed that is there twice are named."""
    frame = frame_of({"llm": RANKS, "last-5": RANKS})
    other = frame.assign(model="m2")
    for results, words in (
        (pd.concat([frame, other]), "model is m, m2"),
        (pd.concat([frame, frame]), "more than once"),
        (pd.concat([frame, frame[frame["arm"] == "llm"].assign(arm="llm again")]), "llm, llm again change nothing"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            prompts.verdict(results)
    assert (
        prompts.effects(pd.concat([frame, frame[frame["arm"] == "llm"].assign(arm="b")]), plain="llm")["n"].iloc[0]
        == 16
    )


def test_an_unfinished_search_is_left_out() -> None:
    """It has no rank to compare; the pair is counted as left out."""
    frame = frame_of({"llm": RANKS, "last-5": RANKS})
    frame.loc[3, "reason"] = None
    row = prompts.effects(frame).iloc[0]
    assert (row["n"], row["left_out"]) == (15, 1)


def test_the_forest_has_a_row_a_change() -> None:
    """Rows are labelled with n, the axis is of ratios, and nothing to draw is refused."""
    found = prompts.effects(frame_of({"llm": RANKS, "last-5": [5 * r for r in RANKS], "best-first": RANKS}))
    figure = sensitivity_figures.forest(found, "m")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["last-5 (n = 16)", "best-first (n = 16)"]
    assert figure.axes[0].get_xscale() == "log"
    low, high = figure.axes[0].get_xlim()
    assert low < 0.5
    assert high > 5
    with pytest.raises(InvalidParameter, match="two pairs"):
        sensitivity_figures.forest(prompts.effects(frame_of({"llm": RANKS[:1], "last-5": RANKS[:1]})))


def test_the_shipped_study_has_every_change_beside_the_plain_arm() -> None:
    """Its arms are `llm` and CHANGES, on the table that is in the package; that of principles has its two arms."""
    study = gk.load_study("prompt-sensitivity")
    assert [arm.name for arm in study.arms] == ["llm", *CHANGES]
    assert study.source == "embedded"
    principles = gk.load_study("principles")
    assert [arm.name for arm in principles.arms] == ["llm", "principles asked", "principles fed-back"]


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("name", ["prompt-sensitivity", "principles"])
def test_the_shipped_studies_run_end_to_end_and_say_how_many_runs_would_do(name: str, tmp_path: Path) -> None:
    """Offline, on few seeds: every arm is there, nothing failed, and the verdict is that there are not enough."""
    study = gk.load_study(name, seeds=2, budget=3)
    results = gk.run_study(study, tmp_path, progress=False, workers=1)
    assert len(results) == 2 * len(study.arms)
    assert results["reason"].notna().all()
    told = prompts.verdict(results)
    assert told.kind == NOT_ENOUGH
    assert len(told.evidence) == len(study.arms) - 1
    assert "not a language model" in told.sentence or "offline" in told.sentence
    assert each_verdict(results) == []
    assert studies.summary(results)["reference"].unique().tolist() == ["llm"]
    assert len(gk.run_study(study, tmp_path, progress=False, workers=1)) == len(results)


def test_a_study_file_says_where_a_change_is_wrong(tmp_path: Path) -> None:
    """An arm is given by its name or by its setting; one that goes not with the study is refused with its line."""
    path = tmp_path / "own.yaml"
    text = "name: own\nbenchmarks: [nas-bench-201-cifar10]\nbudget: 3\nseeds: 2\narms:\n  - llm\n"
    path.write_text(
        text
        + "  - last-5\n  - {change: reworded-1, name: other words}\n"
        + "  - {control: permuted-labels, change: newest-first}\n"
    )
    assert [arm.name for arm in gk.load_study(path).arms] == [
        "llm",
        "last-5",
        "other words",
        "permuted-labels newest-first",
    ]
    for arm, words in (
        ("{change: upside-down}", "upside-down"),
        ("{change: last-5, history: dialogue}", "line 7.*told once"),
        ("{control: no-feedback, change: best-5}", "line 7.*shows none"),
        ("{principles: shouted}", "shouted"),
    ):
        path.write_text(f"{text}  - {arm}\n")
        with pytest.raises(InvalidParameter, match=words):
            gk.load_study(path)


NATURES = {
    "searches": lambda seed: Searches(),
    "recites": lambda seed: Recites([f"{3 - place % 2}{place // 5 % 5}{place % 5}1{seed % 5}3" for place in range(30)]),
    "ignores": Ignores,
    "random": Random,
}


@pytest.mark.parametrize("nature", NATURES)
def test_no_nature_is_said_to_be_changed_by_what_does_not_touch_it(nature: str, no_data: None) -> None:
    """Order and words change none of them, and but for the one that searches nothing does.

    The size of the test is for speed; the one that the documents report has 40 searches of 30 evaluations.
    """
    table = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    changes = HARMLESS[:2] if nature == "searches" else ["reworded-1", "last-5", "wrong-numbers"]
    for seed in range(SEEDS):
        arms = ["llm", *({"name": change, "change": change} for change in changes)]
        results = run_arms(NATURES[nature](seed), table, arms, seeds=range(100 * seed, 100 * seed + 10), budget=8)
        found = prompts.effects(results)
        assert CHANGED not in set(found["verdict"])
        if nature != "random":
            assert (found.loc[found["change"] != "last-5", "ratio"] == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_one_that_searches_is_hurt_by_wrong_numbers_and_by_hidden_results(seed: int, no_data: None) -> None:
    """Its ranks get worse by more than a factor of two, and the verdict says so."""
    table = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    arms = ["llm", *({"name": change, "change": change} for change in HARMFUL)]
    searches = range(100 * seed, 100 * seed + 40)
    found = prompts.effects(run_arms(Searches(), table, arms, seeds=searches, budget=30)).set_index("change")
    assert list(found["verdict"]) == [CHANGED, CHANGED]
    assert (found.loc[HARMFUL, "ratio"] > 2).all()
