"""Verdicts on constructed studies of which the truth is known: each kind, its answers, its sentence and evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import InvalidParameter
from genius_kit.verdicts import KINDS, pairs_to_settle, verdict
from genius_kit.verdicts.base import Contrast, rank_text
from genius_kit.verdicts.searches.findings import DECISIVE, LEAST_FOLLOWING, SIGN, findings
from tests.natures import best_designs, made_table

SIZE = 6561
SEEDS = 40
FOLLOWING, CONTRARY = (0.9, 0.4, 0.6, 0.05), (-0.3, -0.4, -0.2, -0.05)


def ranks(mean: float, seed: int, n: int = SEEDS) -> np.ndarray:
    """Best ranks of searches with that mean: skewed, like those of random search."""
    return np.ceil(np.random.default_rng(seed).exponential(mean, n))


def aimless(seed: int) -> tuple[tuple[float, ...], ...]:
    """What seven replies come to that do not depend on the scores shown."""
    told = np.random.default_rng([seed, 5]).uniform(-1, 1, (7, 2)) * [1, 0.6]
    return tuple(
        (*pair, stay) for pair, stay in zip(told, np.random.default_rng(seed).uniform(-0.5, 0.5, 7), strict=True)
    )


def study(
    arms: dict[str, Sequence[float]],
    benchmark: str = "made",
    follows: tuple[float, ...] | None = None,
    lists: Sequence[str] = (),
    **columns: object,
) -> pd.DataFrame:
    """The results frame of one model: arms by the name of their control or proposer, one search per seed.

    A typical proposal has about the root of the best rank, times 20. `follows` is what each reply comes to under
    shuffled results, None for one that ignores them; `lists` are proposals that searches draw from, else random ones.
    """
    space, rows = made_table(0).space, []
    for arm, found in arms.items():
        talks = arm not in ("random", "prior", "coordinate-descent")
        for seed, rank in enumerate(found):
            draws = np.random.default_rng([seed, len(arm)])
            own = [space.key(space.sample(draws)) for _ in range(3)] if not len(lists) else [lists[seed % len(lists)]]
            rows.append(
                {
                    "benchmark": benchmark,
                    "arm": arm,
                    "proposer": "llm" if talks else arm,
                    "control": arm if talks and arm != "llm" else None,
                    "model": "gpt-x" if talks else None,
                    "prompt": "standard" if talks else None,
                    "seed": seed,
                    "budget": 10,
                    "evaluations": 10,
                    "model_proposals": 10 if talks else 0,
                    "rank": rank,
                    "p_random": 1 - (1 - rank / SIZE) ** 10,
                    "typical_rank": 20 * rank**0.5 if talks else None,
                    "proposals": " ".join(own) if talks else None,
                    "follows": ((follows,) * 7 if follows else aimless(seed)) if arm == "shuffled-feedback" else None,
                    **columns,
                }
            )
    return pd.DataFrame(rows)


def searcher(**changes: object) -> pd.DataFrame:
    """A study of one that searches."""
    return study(SEARCHER, **{"follows": FOLLOWING, **changes})


def cheat(table: TabularBenchmark, seeds: int = SEEDS, kept: int = 12, **changes: object) -> pd.DataFrame:
    """A study of one that names the best architectures of a table, whatever it is shown; each search another few."""
    keys = [table.space.key(one) for one in best_designs(table, kept)]
    lists = [" ".join(np.random.default_rng(seed).permutation(keys)[:9]) for seed in range(seeds)]
    return study({arm: found[:seeds] for arm, found in CHEAT.items()}, lists=lists, **changes)


SEARCHER = {"llm": ranks(9, 1), "shuffled-feedback": ranks(300, 2), "permuted-labels": ranks(9, 3)}
CHEAT = {"llm": [26.0] * SEEDS, "shuffled-feedback": [26.0] * SEEDS, "permuted-labels": ranks(600, 4)}
BOTH = {"llm": ranks(9, 5), "shuffled-feedback": ranks(40, 6), "permuted-labels": ranks(190, 7)}
CHANCE = {"llm": ranks(600, 8), "shuffled-feedback": ranks(600, 9), "permuted-labels": ranks(600, 10)}


@pytest.fixture(scope="module")
def table() -> TabularBenchmark:
    """A table that nobody can know."""
    return made_table(0)


@pytest.fixture(scope="module")
def kinds(table: TabularBenchmark) -> dict[str, pd.DataFrame]:
    """A study of each nature."""
    return {
        "searches": searcher(),
        "recites": cheat(table),
        "searches and leans on the labels": study(BOTH, follows=FOLLOWING),
        "does neither": study(CHANCE, p_random=0.5),
    }


def test_nothing_is_said_to_matter_from_few_searches_alone() -> None:
    """What chance does is told from 40 searches per arm on; before, the sentence says how many it takes."""
    few = verdict(study({arm: found[:39] for arm, found in CHANCE.items()}, p_random=0.5))
    assert few.kind == "not enough runs"
    assert "from 40 searches per arm on" in few.sentence
    assert verdict(study({arm: found[:40] for arm, found in CHANCE.items()}, p_random=0.5)).kind == "does neither"


@pytest.mark.parametrize("kind", KINDS[:4])
def test_every_truth_is_recognised(kind: str, kinds: dict[str, pd.DataFrame], table: TabularBenchmark) -> None:
    """The perfect searcher, the cheat that knows the table, both at once, and pure chance get their own verdict."""
    found = verdict(kinds[kind], benchmark=table)
    assert found.kind == kind, found.sentence
    assert found.sentence.startswith(f"gpt-x {kind} on Made table made: ")
    assert found.sentence.endswith(".")
    assert "\n" not in found.sentence
    assert "nan" not in found.sentence
    uses = "yes" if kind.startswith("searches") else "less than"
    assert found.uses_results.startswith(uses)
    needs = "yes" if kind in ("recites", "searches and leans on the labels") else "less than"
    assert found.needs_names.startswith(needs)
    assert (found.memory is not None) == (kind == "recites")


def test_the_sentence_of_the_cheat(table: TabularBenchmark) -> None:
    """It has n, mean ranks, ratios, intervals and p-values, and what shows the memory."""
    sentence = verdict(cheat(table), benchmark=table).sentence
    assert "memory of this table: with their positions exchanged its architectures are worse, p = 0.00" in sentence
    assert "mean rank 26.0 over n = 40 pairs of searches" in sentence
    assert "26.0 with shuffled results (typical proposal 1.00 times the rank" in sentence
    assert f"{CHEAT['permuted-labels'].mean():.0f} with permuted labels (typical proposal " in sentence
    assert "its replies follow shuffled results " in sentence
    assert "n = 280 replies of 40 searches" in sentence


def test_the_evidence_holds_the_numbers_of_the_sentence() -> None:
    """One row per comparison, with pairs, ratio, interval, bounds at every look, e-values, and what it answers."""
    evidence = verdict(searcher()).evidence.set_index("question")
    assert list(evidence.index) == ["feedback", "replies", "labels", "random search"]
    assert list(evidence["answer"]) == ["yes", "yes", "no", "yes"]
    assert list(evidence["n"]) == [SEEDS, 7 * SEEDS, SEEDS, SEEDS]
    ratio = np.exp(np.mean(np.log(SEARCHER["shuffled-feedback"] / SEARCHER["llm"]) / 2))
    assert evidence.loc["feedback", "ratio"] == pytest.approx(ratio)
    for low, high in (("low", "high"), ("bound_low", "bound_high")):
        assert (evidence[low] <= evidence["ratio"]).all()
        assert (evidence["ratio"] <= evidence[high]).all()
    assert (evidence["bound_low"].drop("replies") <= evidence["low"].drop("replies")).all()
    assert evidence.loc["feedback", "p_value"] == pytest.approx(8 * np.exp(-evidence.loc["feedback", "evidence_up"]))


def test_a_list_that_every_search_repeats_counts_once(table: TabularBenchmark) -> None:
    """An arbitrary list whose other numbers happen to be worse is no recital, whatever the number of searches."""
    some = [" ".join(table.space.key(table.space.sample(np.random.default_rng(one))) for one in range(9))]
    found = verdict(study(CHEAT, lists=some), benchmark=table)
    assert found.kind == "cannot tell"
    assert "searches repeat one list, which counts once, and its list is no better than luck" in found.sentence
    assert "with permuted labels (one list, repeated)" in found.sentence
    assert found.evidence.set_index("question").loc["labels", "independent"] == 1


def test_a_list_that_is_better_than_luck_convicts_though_it_counts_once(table: TabularBenchmark) -> None:
    """The best architectures of the table in every search are no accident."""
    keys = [" ".join(table.space.key(one) for one in best_designs(table, 12))]
    found = verdict(study(CHEAT, lists=keys), benchmark=table)
    assert found.kind == "recites"
    assert found.memory.startswith("memory of this table")


def test_a_list_that_is_nearly_better_than_luck_is_told_with_the_bound(table: TabularBenchmark) -> None:
    """Fair architectures: fewer than 10 % of other numberings are as good, more than the 0.5 % of a verdict."""
    keys = [" ".join(table.space.key(one) for one in best_designs(table, 3000)[200::66][:10])]
    found = verdict(study(CHEAT, lists=keys), benchmark=table)
    assert found.kind == "cannot tell"
    assert "its list is not clearly better than luck" in found.sentence
    assert "at most 0.5 % may be" in found.sentence


def test_labels_that_matter_by_luck_convict_nobody(table: TabularBenchmark) -> None:
    """Lists that vary, are worse under other numbers and yet no better than luck are no question of more searches."""
    found = verdict(study(CHEAT), benchmark=table)
    assert found.kind == "cannot tell"
    assert "labels matter, and its list is no better than luck" in found.sentence


def test_without_the_table_nobody_is_accused(table: TabularBenchmark) -> None:
    """Whether a list is luck takes the table of the ranks."""
    found = verdict(cheat(table))
    assert found.kind == "cannot tell"
    assert "give `benchmark`" in found.sentence


def test_results_that_do_harm_are_told_so() -> None:
    """One that follows the worst result uses its results, and is told neither that they do not matter nor to search."""
    found = verdict(study({**SEARCHER, "shuffled-feedback": SEARCHER["llm"]}, follows=CONTRARY))
    assert found.kind == "cannot tell"
    assert found.uses_results == "to its harm"
    assert "it uses its results, to its harm" in found.sentence


def test_replies_that_follow_decide_where_ranks_do_not() -> None:
    """A strong prior leaves no room in rank: equal ranks with shuffled results are no sign that results are unused."""
    found = verdict(study({**CHEAT, "shuffled-feedback": CHEAT["llm"]}, follows=FOLLOWING))
    assert found.kind == "searches and leans on the labels"
    assert found.uses_results == "yes"


def test_a_sign_that_replies_follow_keeps_the_question_open(table: TabularBenchmark) -> None:
    """Bounds below the margin are no proof of absence while the replies still speak for a small effect."""
    frame = cheat(table)
    frame["follows"] = [
        told and tuple((min(best + 0.07, 1), min(trend + 0.03, 1), *more) for best, trend, *more in told)
        for told in frame["follows"]
    ]
    found = verdict(frame, benchmark=table)
    row = found.evidence.set_index("question").loc["replies"]
    assert row["bound_high"] < LEAST_FOLLOWING
    assert math.log(SIGN) < row["evidence_up"] < math.log(DECISIVE)
    assert found.kind == "not enough runs"
    assert "whether its replies follow its results is open, as a weak sign of it is left" in found.sentence


@pytest.mark.parametrize(("place", "worth"), [(2, 0.12), (3, 0.15), (3, -0.15)])
def test_results_used_in_few_replies_or_for_steps_alone_are_used(
    place: int, worth: float, table: TabularBenchmark
) -> None:
    """Moves from the best in a fifth of the replies, or steps that hang on the last score, are no reciting."""
    frame = cheat(table)
    draws = np.random.default_rng(0)
    frame["follows"] = [
        told and tuple((*one[:place], worth + draws.normal(0, 0.1), *one[place + 1 :]) for one in told)
        for told in frame["follows"]
    ]
    found = verdict(frame, benchmark=table)
    assert found.uses_results == "yes"
    assert found.kind == "searches and leans on the labels"
    assert "(following: p < 0.001, n = 40)" in found.headline()  # the mean, which is about 0, would not tell it
    words = "of the sign that is strongest" if place == 2 else "as the length of its steps depends on the last score"
    assert f", {words}); random search" in found.sentence


def test_what_is_open_is_counted_in_different_lists_where_searches_repeat_them(table: TabularBenchmark) -> None:
    """Twenty searches of nine lists are nine draws, and more searches of them do not settle anything."""
    draws = np.random.default_rng(0)
    lists = [table.space.key(table.space.sample(draws)) for _ in range(9)]
    sentence = verdict(study({arm: found[:20] for arm, found in CHANCE.items()}, lists=lists), benchmark=table).sentence
    assert re.search(r"whether it needs the numbers .* \(about \d+ different lists may settle it\)", sentence)


def test_labels_that_may_do_harm_are_an_open_question() -> None:
    """A client that would do better with other labels is not said to do neither."""
    found = verdict(study({**CHANCE, "permuted-labels": CHANCE["permuted-labels"] / 3}, p_random=0.5))
    assert found.kind == "not enough runs"
    assert "whether the numbers of the options do harm is open" in found.sentence


def test_seven_seeds_are_not_enough(table: TabularBenchmark) -> None:
    """However clear they look, seven pairs decide nothing, and the sentence says how many could."""
    found = verdict(cheat(table, 7), benchmark=table)
    assert found.kind == "not enough runs"
    assert "7 pairs of searches decide nothing however they end, at least 8 are needed" in found.sentence


def test_one_pair_has_no_statistics() -> None:
    """A study of one seed still gets its sentence, with the two ranks and no p-value."""
    found = verdict(study({"llm": [3], "shuffled-feedback": [5], "permuted-labels": [6]}))
    assert found.kind == "not enough runs"
    assert "mean rank 3.0 over n = 1 pair of searches, against 5.0 with shuffled results" in found.sentence
    assert "nan" not in found.sentence


def test_what_is_open_is_named_with_the_searches_that_may_settle_it() -> None:
    """Twelve pairs show that results are used, and leave open whether labels matter."""
    arms = {"llm": ranks(20, 1, 12), "shuffled-feedback": ranks(300, 2, 12), "permuted-labels": ranks(40, 3, 12)}
    found = verdict(study(arms, follows=FOLLOWING))
    assert found.kind == "not enough runs"
    assert "it uses its results; whether it needs the numbers of the options is open" in found.sentence
    searches = int(found.sentence.split("(about ")[1].split(" searches")[0])
    assert 12 < searches < 500
    assert (found.uses_results, found.needs_names) == ("yes", "inconclusive")


def test_more_searches_only_sharpen_an_answer() -> None:
    """The bounds of 10, 20 and 40 searches of one study narrow, and no look takes a "yes" back."""
    looks = [verdict(searcher()[lambda frame, count=count: frame["seed"] < count]) for count in (10, 20, 40)]
    rows = [look.evidence.set_index("question").loc["labels"] for look in looks]
    widths = [math.log(row["bound_high"] / row["bound_low"]) for row in rows]
    assert widths[0] > widths[1] > widths[2]
    assert [look.uses_results for look in looks] == ["yes"] * 3


def test_no_feedback_stands_in_for_shuffled_feedback() -> None:
    """Where nothing was shuffled the ranks without results decide; where both are there, the shuffled ones do."""
    arms = {"llm": SEARCHER["llm"], "no-feedback": SEARCHER["shuffled-feedback"], "permuted-labels": ranks(9, 3)}
    assert verdict(study(arms)).kind == "searches"
    evidence = verdict(study({**SEARCHER, "no-feedback": SEARCHER["llm"]}, follows=FOLLOWING)).evidence
    assert list(evidence[evidence["question"] == "feedback"]["arm"]) == ["shuffled-feedback"]


def test_without_shuffled_results_nobody_is_accused(table: TabularBenchmark) -> None:
    """That results are unused takes the replies to shuffled ones."""
    frame = cheat(table)
    frame = frame.replace({"shuffled-feedback": "no-feedback"}).assign(follows=None)
    assert verdict(frame, benchmark=table).kind == "not enough runs"


def test_a_name_reader_is_convicted_by_the_names(table: TabularBenchmark) -> None:
    """A model that survives new numbers but not the loss of the names needs them, and its answer says which."""
    frame = cheat(table)
    lost = frame[frame["arm"] == "permuted-labels"].assign(arm="anonymous", control="anonymous")
    frame.loc[frame["arm"] == "permuted-labels", ["rank", "typical_rank"]] = [26.0, 20 * 26.0**0.5]
    found = verdict(pd.concat([frame, lost]), benchmark=table)
    assert found.kind == "recites"
    assert "without names" in found.sentence
    assert list(found.evidence[found.evidence["question"] == "labels"]["answer"]) == ["no", "yes"]


def test_one_good_guess_by_the_names_is_seen() -> None:
    """Labels matter where they are worth one good architecture per search, though nine of ten are as they would be."""
    frame = study({**CHANCE, "llm": ranks(20, 3), "shuffled-feedback": ranks(20, 4)}, follows=FOLLOWING)
    frame["typical_rank"] = 500.0
    found = verdict(frame)
    assert found.kind == "searches and leans on the labels"
    assert "the numbers of the options" in found.sentence


@pytest.mark.parametrize("missing", ["shuffled-feedback", "permuted-labels"])
def test_without_a_control_nothing_can_be_told(missing: str) -> None:
    """The sentence names the arm that is needed."""
    found = verdict(study({arm: found for arm, found in SEARCHER.items() if arm != missing}))
    assert found.kind == "cannot tell"
    assert f"it takes an arm {missing}" in found.sentence


def test_good_without_feedback_and_labels_is_unexplained() -> None:
    """A rank that neither control changes and random search does not reach is no search and no recital of labels."""
    found = verdict(
        study({"llm": [26.0] * SEEDS, "shuffled-feedback": [26.0] * SEEDS, "permuted-labels": [26.0] * SEEDS})
    )
    assert found.kind == "cannot tell"
    assert "it takes a benchmark that it cannot know" in found.sentence


def test_a_search_that_gains_nothing_is_still_one() -> None:
    """Results that are used and yet reach no further than chance make a search that says so."""
    found = verdict(study(dict.fromkeys(CHANCE, CHANCE["llm"]), follows=FOLLOWING, p_random=0.5))
    assert found.kind == "searches"
    assert "though no better than random search" in found.sentence


def test_random_search_needs_as_many_times_the_evaluations_as_it_has() -> None:
    """Searches that are random search with five times the budget are found to be worth about five times."""
    rng = np.random.default_rng(0)
    best = rng.random((400, 50)).max(axis=1)  # p_random with a tenth of the draws: uniform scores
    arms = {"llm": [30.0] * 400, "shuffled-feedback": [30.0] * 400, "permuted-labels": [30.0] * 400}
    frame = study(arms)
    frame.loc[frame["arm"] == "llm", "p_random"] = 1 - best**10
    (found,) = [one for one in findings(frame, "llm") if one.question == "random search"]
    assert found.ratio == pytest.approx(5, rel=0.12)
    assert found.low < 5 < found.high


def test_the_random_arm_counts_where_the_distribution_is_unknown() -> None:
    """Without exact probabilities the searches are paired with those of the arm random."""
    frame = study({**CHANCE, "random": ranks(600, 11)}).drop(columns="p_random")
    evidence = verdict(frame).evidence.set_index("question")
    assert evidence.loc["random search", "arm"] == "random"
    assert evidence.loc["random search", "mean_rank_arm"] == pytest.approx(ranks(600, 11).mean())


def test_cheap_rules_are_set_beside_the_model() -> None:
    """The sentence says whether the rules without a model do as well, better or worse; a prior run once is enough."""
    arms = {**SEARCHER, "coordinate-descent": SEARCHER["llm"][::-1], "prior": [21.0]}
    sentence = verdict(study(arms, follows=FOLLOWING)).sentence
    llm = f"{SEARCHER['llm'].mean():.1f}"
    assert f"changing one choice at a time does as well (rank {llm} against {llm}, p = " in sentence
    assert f"a single evaluation, does worse (rank 21.0 against {llm}, p = " in sentence
    better = verdict(study({**CHEAT, "prior": [21.0]})).sentence
    assert "does better (rank 21.0 against 26.0, p = " in better


def test_optimisers_with_its_own_start_are_set_beside_the_model() -> None:
    """The sentence tells what they come to from the model's first proposals; what is open stays what it was."""
    begun = {"llm+gp": SEARCHER["llm"] / 4, "llm+tpe": SEARCHER["llm"] * 4}
    frame = study({**SEARCHER, **begun}, follows=FOLLOWING)
    is_begun = frame["arm"].isin(list(begun))
    frame.loc[is_begun, "proposer"], frame.loc[is_begun, "control"] = frame.loc[is_begun, "arm"], None
    found = verdict(frame)
    means = [f"(rank {rank_text(SEARCHER['llm'].mean() * factor)})" for factor in (1 / 4, 4)]
    told = f"begun with its own first proposals, gp does better {means[0]}, tpe does worse {means[1]}"
    assert told in found.sentence
    assert found.kind == verdict(study(SEARCHER, follows=FOLLOWING)).kind


def test_evaluations_that_are_not_the_models_own_are_confessed() -> None:
    """Below one half of own proposals the sentence says so; the evidence always has the share."""
    found = verdict(searcher(model_proposals=1.1))
    assert "(only 11 % of the evaluations were the model's own proposals)" in found.sentence
    assert found.evidence["own_proposals"].tolist() == pytest.approx([0.11] * 4)
    assert "own proposals" not in verdict(searcher()).sentence


def test_searches_without_a_rank_are_counted_as_left_out() -> None:
    """A failed search drops its pair, in every comparison that has it, and is mentioned."""
    frame = searcher()
    failed = (frame["arm"] == "shuffled-feedback") & (frame["seed"] < 2)
    frame.loc[failed, ["rank", "typical_rank"]] = float("nan")
    frame.loc[failed, "follows"] = None
    frame = frame[(frame["arm"] != "permuted-labels") | (frame["seed"] != 5)]
    found = verdict(frame)
    assert found.kind == "searches"
    assert "n = 38 pairs of searches (2 without a rank or a partner left out)" in found.sentence
    assert found.evidence["left_out"].tolist() == [2, 2, 1, 0]


def test_unfinished_searches_are_left_out() -> None:
    """A search whose journal has no end yet is not compared with whole ones, though it has a rank."""
    frame = searcher(reason="budget")
    frame.loc[(frame["arm"] == "llm") & (frame["seed"] == 7), "reason"] = None
    found = verdict(frame)
    assert found.evidence.set_index("question")["n"].drop("replies").tolist() == [SEEDS - 1] * 3
    assert "(1 without a rank or a partner left out)" in found.sentence


def test_several_benchmarks_are_judged_one_by_one() -> None:
    """Nothing is pooled: what each says is told, and a kind is that of all of them."""
    names = ("made", "made too")
    alike = [study(SEARCHER, name, FOLLOWING) for name in names]
    found = verdict(pd.concat(alike))
    assert found.kind == "searches"
    assert found.uses_results == "yes"
    assert found.sentence.startswith("2 benchmarks, each judged by itself, searches. ")
    assert [verdict(one).sentence in found.sentence for one in alike] == [True, True]
    assert found.evidence["benchmark"].value_counts().to_dict() == dict.fromkeys(names, 4)
    unlike = verdict(pd.concat([alike[0], study(CHANCE, names[1])]))
    kinds = [verdict(study(CHANCE, names[1])).kind, "searches"]
    assert unlike.kind == ("not enough runs" if "not enough runs" in kinds else "cannot tell")
    assert f"{names[0]}: searches; {names[1]}: {kinds[0]}" in unlike.sentence


def test_the_benchmark_adds_its_title_and_exact_random_search(data_home: Path) -> None:
    """Given the table, the sentence has what ten random evaluations reach on it."""
    benchmark = load_benchmark("nas-bench-macro")
    keys = [benchmark.space.key(benchmark.space.all_largest)]
    sentence = verdict(searcher(benchmark="nas-bench-macro", lists=keys), benchmark=benchmark).sentence
    assert "on NAS-Bench-Macro: " in sentence
    assert "597 for 10 random evaluations" in sentence
    with pytest.raises(InvalidParameter, match="not of nas-bench-macro alone"):
        verdict(searcher(benchmark="channel-bench-resnet"), benchmark=benchmark)


def test_arms_with_names_of_their_own() -> None:
    """A control is found by its column whatever its arm is called, and so is a reference arm of another name."""
    frame = searcher()
    frame["arm"] = frame["arm"].replace({"llm": "mine", "shuffled-feedback": "blind"})
    found = verdict(frame, plain="mine")
    assert found.kind == "searches"
    assert "with shuffled results" in found.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(arm="other"), "no arm is called 'llm'"),
        (lambda frame: frame.drop(columns=["rank", "seed"]), "no column seed, rank"),
        (lambda frame: frame.drop(columns=["follows"]), "no column follows"),
        (lambda frame: pd.concat([frame, frame]), "seed 0 on made more than once"),
        (lambda frame: frame.assign(model=["a", "b"] * (len(frame) // 2)), "model is a, b; keep one"),
        (lambda frame: frame.assign(budget=[10, 20] * (len(frame) // 2)), "budget is 10, 20; keep one"),
        (lambda frame: pd.concat([frame, frame[frame["control"].notna()].assign(arm="again")]), "keep one of them"),
    ],
)
def test_results_of_several_studies_are_refused(change, message: str) -> None:
    """Mixed models, budgets and repeated seeds would make pairs of what are none: each is refused by name."""
    with pytest.raises(InvalidParameter, match=message):
        verdict(change(searcher()))


@pytest.mark.slow
def test_chance_is_seldom_called_anything_else() -> None:
    """Of a hundred studies of pure chance, hardly any is called a search or a recital."""
    draws = np.random.default_rng(0)
    kinds = []
    for seed in range(100):
        frame = study({arm: ranks(600, 3 * seed + i) for i, arm in enumerate(CHANCE)})
        frame["follows"] = [aimless(1_000 * seed + one) if told else None for one, told in enumerate(frame["follows"])]
        kinds.append(verdict(frame.assign(p_random=draws.random(len(frame)))).kind)
    assert sum(kind in ("does neither", "not enough runs", "cannot tell") for kind in kinds) >= 99


def test_nothing_is_nan_in_a_sentence_with_only_failed_searches() -> None:
    """A study in which every search failed has no pairs and says so."""
    found = verdict(study({arm: [math.nan] * 8 for arm in SEARCHER}))
    assert found.kind == "not enough runs"
    assert "0 pairs" in found.sentence
    assert "nan" not in found.sentence


@pytest.mark.parametrize(
    ("ratio", "low", "high", "pairs"), [(6.0, 2.2, 16.4, 9), (1.1, 0.5, 2.4, 41), (0.9, 0.5, 2.4, 41)]
)
def test_the_pairs_that_may_settle_it_are_the_fewer_of_two_counts(
    ratio: float, low: float, high: float, pairs: int
) -> None:
    """A large effect needs only to become significant, a small one an interval narrower than the margin."""
    contrast = Contrast(
        "feedback", "shuffled-feedback", "shuffled-feedback", 8, 0, 9.0, False, 9.0, ratio, low, high, 0.1
    )
    assert pairs_to_settle(contrast) == pairs
