"""What verdicts say in one headline: of every instrument, in at most 25 words, with the number that decides."""

import math

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures, verdicts
from genius_kit.benchmarks import load_benchmark
from genius_kit.lab.compare import Paired
from genius_kit.proposers.methods import STAND_IN
from genius_kit.verdicts import prompts, tradeoffs, transfer
from genius_kit.verdicts.contamination import contamination
from genius_kit.verdicts.headlines import decisive
from genius_kit.verdicts.reproducibility import LEAST, each_verdict
from tests.natures import best_designs, made_table
from tests.test_verdicts import BOTH, CHANCE, FOLLOWING, cheat, searcher, study

SEEDS = 20
GOOD, BAD = np.linspace(5, 20, SEEDS), np.linspace(200, 900, SEEDS)[::-1]
TABLE = "nas-bench-201-cifar10"


def results(arms, benchmark="nas-bench-macro", size=6_561, **columns):
    """Return results as `studies.results` gives them: arms by name, each with the ranks of its seeds."""
    rows = [
        {
            "study": "s", "benchmark": benchmark, "arm": arm, "proposer": "llm", "model": "m", "prompt": "p",
            "control": None if arm == "llm" or "change" in columns else arm, "seed": seed, "budget": 10,
            "evaluations": 10, "rank": rank, "p_random": 1 - (1 - rank / size) ** 10, "top_percent": 100 * rank / size,
            "reason": "budget", "principles": None, **columns,
        }
        for arm, ranks in arms.items()
        for seed, rank in enumerate(ranks)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(change=frame["arm"].where(frame["arm"] != "llm")) if "change" in columns else frame


def remembered():
    """Return the verdict on a model that names the best of the public table by its bare name."""
    table = load_benchmark("nas-bench-201-cifar10", source="embedded")
    keys = [table.space.key(design) for design in best_designs(table)]
    arms = {"llm": GOOD, "permuted-labels": BAD, "knowledge-probe": GOOD}
    both = pd.concat([results(arms, name, follows=None) for name in (table.name, "private")])
    named = [" ".join((keys * 2)[seed % 12 : seed % 12 + 9]) for seed in both["seed"]]
    told = both.assign(typical_rank=both["rank"], proposals=named)
    return contamination(told, public=table.name, private="private")


def moved():
    """Return the verdict on architectures that lose ten ranks for one when they are moved."""
    pairs = [("a", "a", 2.0), ("a", "b", 20.0), ("b", "b", 2.0), ("b", "a", 20.0)]
    rows = [
        {"method": "m", "source": a, "target": b, "seed": seed, "rank": rank + seed, "undecided": 1.0}
        for a, b, rank in pairs
        for seed in range(SEEDS)
    ]
    return transfer.transfer_verdicts(pd.DataFrame(rows))[0]


def extended():
    """Return the verdict on fronts that have more of the hypervolume than random ones."""
    parts = []
    for arm, share in (("llm", 0.9), ("random", 0.8)):
        part = results({arm: GOOD}, objectives="accuracy,latency").assign(proposer=arm, hypervolume=share)
        parts.append(part.assign(hypervolume=part["hypervolume"] + part["seed"] / 1_000))
    told = pd.concat(parts).assign(random_hypervolume=0.8, double_hypervolume=0.85, epsilon=0.1, front=1)
    chances = np.where(told["arm"] == "llm", 0.02, np.where(told["seed"] % 2, 0.4, 0.6))
    return tradeoffs.tradeoff_verdict(told.assign(p_hypervolume=chances, designs=range(len(told))))


def changed():
    """Return the verdict on prompts of which one change alone hurts."""
    return prompts.verdict(results({"llm": GOOD, "last-5": 10 * GOOD, "best-first": GOOD}, change=""))


OTHERS = {
    "contaminated": (remembered, "ratio", "p_memory"),
    "specialised": (moved, "loss", "p_value"),
    "better than random search": (extended, "gain", "p_value"),
    "changes the result": (changed, "ratio", "p_corrected"),
}


def judged(kind):
    """Return the verdict on a study of known nature."""
    results_of = {
        "searches": searcher,
        "recites": lambda: cheat(TABLE_OF_STUDIES),
        "searches and leans on the labels": lambda: study(BOTH, follows=FOLLOWING),
        "does neither": lambda: study(CHANCE, p_random=0.5),
        "not enough runs": lambda: study({arm: ranks[:4] for arm, ranks in CHANCE.items()}),
        "cannot tell": lambda: study({"llm": CHANCE["llm"], "permuted-labels": CHANCE["permuted-labels"]}),
    }
    found = verdicts.verdict(results_of[kind](), benchmark=TABLE_OF_STUDIES)
    assert found.kind == kind
    return found


TABLE_OF_STUDIES = made_table(0)
RESTS_ON = {
    "searches": ("feedback", "replies"),
    "recites": ("labels",),
    "searches and leans on the labels": ("feedback", "replies"),
    "does neither": ("random search",),
}


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_a_search_is_told_by_the_comparison_that_decides(kind):
    """The headline has the kind; the number is that of a comparison on which the verdict rests."""
    found = judged(kind)
    deciding, conclusion = decisive(found), figures.verdict_conclusion({"offline": found}, "Does it search?")
    assert conclusion.headline.startswith(f"Does it search? {STAND_IN}: {kind}")
    assert len(conclusion.headline.split()) <= 25
    if kind in RESTS_ON:
        rows = found.evidence[found.evidence["question"].isin(RESTS_ON[kind])]
        assert deciding.estimate.value in list(rows["ratio"])
        assert deciding.text(deciding.estimate.value) in conclusion.headline


@pytest.mark.parametrize("kind", [*verdicts.KINDS, *OTHERS])
def test_a_verdict_shows_its_comparisons_as_one_table(kind):
    """A row per comparison, as it is printed: no NaN, no None, small p as a bound; and a headline of 25 words."""
    found = OTHERS[kind][0]() if kind in OTHERS else judged(kind)
    shown = found.contrasts()
    assert len(shown) == len(found.evidence)
    assert {"question", "95 % interval", "n"} <= set(shown)
    cells = {str(cell) for row in shown.itertuples(index=False) for cell in row}
    assert not cells & {"nan", "None", "inf", "0.000", ""}
    assert all(len(interval.split(" to ")[-1]) <= len("> 1,000") for interval in shown["95 % interval"])
    assert len(found.headline().split()) <= 25
    assert kind in found.headline()
    page = found._repr_html_()
    assert page.index("<table>") < page.index("<details>") < page.index("</details>")
    assert all(str(cell).replace("<", "&lt;") in page for cell in shown.iloc[0])


def test_the_comparison_that_convicts_is_answered_with_its_numbers():
    """A model that recites needs the labels: its ratio, interval, p and n as the evidence has them."""
    found = judged("recites")
    shown = found.contrasts().set_index("reference").loc["permuted-labels"]
    row = found.evidence.set_index("kind").loc["permuted-labels"]
    assert (shown["question"], shown["answer"]) == ("needs labels?", row["answer"])
    assert float(shown["ratio"].replace(",", "")) == pytest.approx(row["ratio"], rel=0.05)
    assert shown["n"] == row["n"]


@pytest.mark.parametrize("kind", OTHERS)
def test_every_instrument_makes_a_row(kind):
    """Kind, deciding number with its interval, p and n come from the evidence of the verdict."""
    make, unit, p_value = OTHERS[kind]
    found = make()
    deciding, conclusion = decisive(found), figures.verdict_conclusion({"gpt-x": found}, "And so?")
    (row,) = conclusion.table.rows
    assert found.kind == row[1] == kind
    assert deciding.unit == unit
    assert deciding.estimate.sign == 1
    assert deciding.p_value in list(found.evidence[p_value])
    assert row[-1] == str(SEEDS)
    assert f"n = {SEEDS})." in conclusion.headline
    assert deciding.text(deciding.estimate.value) in conclusion.headline


def test_many_verdicts_are_counted(no_data, tmp_path):
    """Arms of one study that do not fit the words one by one are told as how many of each kind."""
    study = gk.load_study("reproducibility", seeds=LEAST, budget=2)
    journals = gk.run_study(study, tmp_path, progress=False)["journal"]
    (found,) = each_verdict(list(journals))  # the arms of a fixed rule are one
    conclusion = figures.verdict_conclusion({f"arm {place}": found for place in range(5)}, "Does it repeat?")
    assert conclusion.headline == f"Does it repeat? deterministic: 5 of 5; n = {decisive(found).n}."
    assert all(row[3].startswith("1.00 (") for row in conclusion.table.rows)


def test_the_headline_stays_short_whatever_was_found():
    """Long kinds and names cost the numbers first, then the rarest kinds."""
    several = {f"a model with a long name {place}": judged(kind) for place, kind in enumerate(verdicts.KINDS)}
    for count in range(1, len(several) + 1):
        some = dict(list(several.items())[:count])
        headline = figures.verdict_conclusion(some, "A question that has many words itself?").headline
        assert len(headline.split()) <= 25
    assert "1 of 6" in headline


def test_a_verdict_without_a_comparison_has_no_number():
    """Nothing stands in for what was not measured."""
    alone = verdicts.verdict(study({"llm": [9.0], "shuffled-feedback": [9.0], "permuted-labels": [9.0]}))
    conclusion = figures.verdict_conclusion({"gpt-x": alone}, "Does it search?")
    assert math.isnan(decisive(alone).estimate.value)
    assert conclusion.headline == "Does it search? gpt-x: not enough runs (n = 1)."
    assert (conclusion.table.rows[0][3], conclusion.table.rows[0][5]) == ("–", "1")


@pytest.mark.slow
def test_the_study_of_a_model_is_told_by_its_verdict_and_its_arms(data_home, tmp_path):
    """Each row names its model and arm, n stands below, and another number of seeds changes them."""
    for seeds in (2, 8):
        plan = {"benchmarks": ["nas-bench-macro"], "seeds": seeds, "budget": 3}
        studies = {
            name: gk.run_study(gk.load_study("does-it-search", models=[model], **plan), tmp_path, progress=False)
            for name, model in (("offline", "offline"), ("always 12222222", "reciter:12222222"))
        }
        conclusion = figures.study_conclusion(studies, "Does it search?")
        arms = [arm.name for arm in gk.load_study("does-it-search").arms]
        expected = [(name, arm) for name in (STAND_IN, "always 12222222") for arm in arms]
        assert [row[:2] for row in conclusion.table.rows] == expected
        assert f"n = {seeds} searches per arm" in conclusion.table.note
    assert len(conclusion.headline.split()) <= 25
    assert conclusion.headline.endswith(f"n = {seeds}.")
    assert conclusion.table.note.count("the verdict rests on") == len(studies)


def test_the_numbers_stay_where_the_words_suffice():
    """Two models with the longest kind and the longest name still show the ratios that decide."""
    found = {"offline": judged("searches and leans on the labels"), "always 12222222": judged("recites")}
    headline = figures.verdict_conclusion(found, "Does it search?").headline
    for one in found.values():
        assert decisive(one).text(decisive(one).estimate.value) in headline
    assert len(headline.split()) <= 25


RANKS = tuple(float(rank) for rank in np.linspace(300, 900, 12))
PAIRS = {
    "better": [(rank, rank / (5 + place % 3)) for place, rank in enumerate(RANKS)],
    "worse": [(rank / (5 + place % 3), rank) for place, rank in enumerate(RANKS)],
    "no difference that matters": [(rank, rank) for rank in RANKS],
    "cannot tell": [(rank, rank * (2 + place % 2)) for place, rank in enumerate(RANKS[:3])],
}


@pytest.mark.parametrize("kind", PAIRS)
def test_two_prompts_are_told_apart_only_by_their_pairs(kind):
    """Kind, ratio and n are those of the comparison; what so few pairs can show at all stands beside it."""
    pairs = tuple((seed, *ranks) for seed, ranks in enumerate(PAIRS[kind]))
    paired = Paired({"model": "offline", "prompt": "minimal"}, {"model": "offline", "prompt": "reasoned"}, pairs)
    conclusion = figures.prompts_conclusion(paired)
    row = dict(zip(conclusion.table.header, conclusion.table.rows[0], strict=True))
    assert conclusion.headline.startswith(f"{STAND_IN}: reasoned beside minimal: {kind} (ratio ")
    assert f"n = {len(pairs)} pairs, p at least {paired.comparison.smallest_p:.2g}" in conclusion.headline
    assert (row["verdict"], row["pairs"]) == (kind, str(len(pairs)))
    assert (row["pairs still to run"] == "0") == (kind != "cannot tell")
    assert len(conclusion.headline.split()) <= 25


def test_pairs_that_repeat_one_another_need_no_more_of_them():
    """What a fixed rule does again says nothing new, and the row says so."""
    same = tuple((seed, 525.0, 525.0) for seed in range(3))
    conclusion = figures.prompts_conclusion(Paired({"prompt": "a"}, {"prompt": "b"}, same))
    assert conclusion.table.rows[0][-3:] == ("3", "1", "more would repeat it")


@pytest.mark.parametrize("pairs", [(), ((0, 5.0, 7.0),)])
def test_fewer_than_two_pairs_compare_nothing(pairs):
    """One pair has neither a ratio nor a test."""
    conclusion = figures.prompts_conclusion(
        Paired({"prompt": "a", "model": "gpt-x"}, {"prompt": "b", "model": "gpt-x"}, pairs)
    )
    assert conclusion.headline == f"gpt-x: b beside a: cannot tell (n = {len(pairs)})."
    assert conclusion.table.rows[0][2:5] == ("–", "–", "–")
