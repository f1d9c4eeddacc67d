"""Verdicts on constructed studies of which the truth is known: each kind, its sentence and its evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.contrasts import MARGIN, Contrast, contrasts
from genius_kit.errors import InvalidParameter
from genius_kit.verdicts import KINDS, NOT_ENOUGH, RECITES, pairs_to_settle, verdict

SIZE = 6561
SEEDS = 40


def ranks(mean: float, seed: int, n: int = SEEDS) -> np.ndarray:
    """Best ranks of searches with that mean: skewed, like those of random search."""
    return np.ceil(np.random.default_rng(seed).exponential(mean, n))


def study(arms: dict[str, Sequence[float]], benchmark: str = "nas-bench-macro", **columns: object) -> pd.DataFrame:
    """The results frame of one model: arms by the name of their control or proposer, one search a seed."""
    rows = []
    for arm, found in arms.items():
        talks = arm not in ("random", "prior", "coordinate-descent")
        for seed, rank in enumerate(found):
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
                    **columns,
                }
            )
    return pd.DataFrame(rows)


SEARCHER = {"llm": ranks(9, 1), "shuffled-feedback": ranks(300, 2), "permuted-labels": ranks(9, 3)}
CHEAT = {"llm": [26.0] * SEEDS, "shuffled-feedback": [26.0] * SEEDS, "permuted-labels": ranks(600, 4)}
BOTH = {"llm": ranks(9, 5), "shuffled-feedback": ranks(40, 6), "permuted-labels": ranks(90, 7)}
CHANCE = {"llm": ranks(600, 8), "shuffled-feedback": ranks(600, 9), "permuted-labels": ranks(600, 10)}


@pytest.mark.parametrize(
    ("arms", "kind"),
    [(SEARCHER, "searches"), (CHEAT, "recites"), (BOTH, "searches and leans on the labels"), (CHANCE, "does neither")],
)
def test_every_truth_is_recognised(arms: dict[str, Sequence[float]], kind: str) -> None:
    """The perfect searcher, the cheat that always says 26, both at once, and pure chance get their own verdict."""
    found = verdict(study(arms))
    assert found.kind == kind
    assert found.kind in KINDS
    assert found.sentence.startswith(f"gpt-x {kind} on nas-bench-macro: ")


def test_an_accusation_takes_more_than_one_in_twenty() -> None:
    """Eight pairs show that labels matter with p = 0.016, which is not enough to say that a model recites."""
    found = verdict(study({arm: ranks[:8] for arm, ranks in CHEAT.items()}))
    assert found.kind == NOT_ENOUGH
    assert "whether it recites is open, as to say so takes labels that matter with p < 0.01" in found.sentence
    assert verdict(study({arm: ranks[:10] for arm, ranks in CHEAT.items()})).kind == RECITES


def test_the_sentence_of_the_cheat() -> None:
    """It is one sentence with n, mean ranks, ratios, intervals and p-values, and says how many tests were corrected."""
    sentence = verdict(study(CHEAT)).sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ". " not in sentence
    assert "mean rank 26.0 in every one of n = 40 pairs of searches" in sentence
    assert "26.0 with its results shuffled (ratio 1.00, 95 % interval 1.00 to 1.00, p = 1)" in sentence
    assert f"{CHEAT['permuted-labels'].mean():.0f} with permuted labels (ratio " in sentence
    assert "p-values are corrected for 3 tests by Holm's rule" in sentence


def test_the_evidence_holds_the_numbers_of_the_sentence() -> None:
    """One row a contrast, with pairs, ratio, interval, raw and corrected p-value, and what it answers."""
    evidence = verdict(study(SEARCHER)).evidence.set_index("question")
    assert list(evidence.index) == ["feedback", "labels", "random search"]
    assert list(evidence["answer"]) == ["yes", "no", "yes"]
    assert (evidence["n"] == SEEDS).all()
    ratio = np.exp(np.mean(np.log(SEARCHER["shuffled-feedback"] / SEARCHER["llm"])))
    assert evidence.loc["feedback", "ratio"] == pytest.approx(ratio)
    assert (evidence["low"] <= evidence["ratio"]).all()
    assert (evidence["ratio"] <= evidence["high"]).all()
    assert (evidence["p_corrected"] >= evidence["p_value"]).all()
    assert evidence.loc["feedback", "p_value"] == 2e-4
    assert evidence.loc["feedback", "p_corrected"] == pytest.approx(6e-4)


def test_four_seeds_are_not_enough() -> None:
    """However clear they look, four pairs cannot be significant, and the sentence says how many could."""
    arms = {"llm": [1, 2, 3, 1], "shuffled-feedback": [900] * 4, "permuted-labels": [2, 2, 2, 2]}
    found = verdict(study(arms))
    assert found.kind == "not enough runs"
    assert (
        "4 pairs of searches cannot reach p < 0.05 in 3 tests however they end, at least 7 are needed" in found.sentence
    )


def test_one_pair_has_no_statistics() -> None:
    """A study of one seed still gets its sentence, with the two ranks and no p-value."""
    found = verdict(study({"llm": [3], "shuffled-feedback": [5], "permuted-labels": [6]}))
    assert found.kind == "not enough runs"
    assert "mean rank 3.0 over n = 1 pair of searches, against 5.0 with its results shuffled" in found.sentence
    assert "nan" not in found.sentence


def test_wide_intervals_are_not_enough() -> None:
    """Twelve pairs that allow no effect and a large one decide nothing, and about how many would is said."""
    found = verdict(
        study({"llm": ranks(20, 1, 12), "shuffled-feedback": ranks(30, 2, 12), "permuted-labels": [20] * 12})
    )
    assert found.kind == "not enough runs"
    assert "whether it uses its results is open" in found.sentence
    pairs = int(found.sentence.split("(about ")[1].split(" pairs")[0])
    assert 12 < pairs < 500


def test_labels_that_cost_little_are_not_needed() -> None:
    """A searcher that permuted labels cost a third, well below the margin of 2, still searches."""
    found = verdict(study({**SEARCHER, "permuted-labels": SEARCHER["llm"] * 1.3}))
    assert MARGIN > 1.3
    assert found.kind == "searches"
    assert "ratio 1.30" in found.sentence


def test_a_small_gain_from_results_is_called_small() -> None:
    """Results that are worth less than the margin make a search when significant, and the sentence says how little."""
    found = verdict(study({**SEARCHER, "shuffled-feedback": SEARCHER["llm"] * 1.2}))
    assert found.kind == "searches"
    assert "(the gain from its results is below a factor of 2)" in found.sentence
    assert "below a factor" not in verdict(study(SEARCHER)).sentence


def test_no_feedback_stands_in_for_shuffled_feedback() -> None:
    """Where nothing was shuffled the arm without results decides; where both are there, the shuffled one does."""
    arms = {"llm": SEARCHER["llm"], "no-feedback": SEARCHER["shuffled-feedback"], "permuted-labels": ranks(9, 3)}
    assert verdict(study(arms)).kind == "searches"
    evidence = verdict(study({**SEARCHER, "no-feedback": SEARCHER["llm"]})).evidence
    assert list(evidence[evidence["question"] == "feedback"]["arm"]) == ["shuffled-feedback"]


def test_either_change_of_labels_convicts() -> None:
    """A model that survives new numbers but not the loss of the names recites."""
    arms = {**CHEAT, "permuted-labels": [26.0] * SEEDS, "anonymous": ranks(600, 4)}
    found = verdict(study(arms))
    assert found.kind == "recites"
    assert "without names" in found.sentence


@pytest.mark.parametrize("missing", ["shuffled-feedback", "permuted-labels"])
def test_without_a_control_nothing_can_be_told(missing: str) -> None:
    """The sentence names the arm that is needed."""
    found = verdict(study({arm: found for arm, found in SEARCHER.items() if arm != missing}))
    assert found.kind == "cannot tell"
    assert f"it takes an arm {missing}" in found.sentence


def test_good_without_feedback_and_labels_is_unexplained() -> None:
    """A rank that neither control changes and random search does not reach is no search and no recital of labels."""
    found = verdict(study({"llm": [26.0] * 20, "shuffled-feedback": [26.0] * 20, "permuted-labels": [26.0] * 20}))
    assert found.kind == "cannot tell"
    assert "it takes a benchmark that it cannot know" in found.sentence


def test_feedback_without_gain_over_random_is_unexplained() -> None:
    """Results that help and yet reach no further than chance do not make a search."""
    arms = {"llm": CHANCE["llm"], "shuffled-feedback": CHANCE["llm"] * 4, "permuted-labels": CHANCE["llm"]}
    found = verdict(study(arms))
    assert found.kind == "cannot tell"
    assert "no better than random search" in found.sentence


def test_random_search_needs_as_many_times_the_evaluations_as_it_has() -> None:
    """Searches that are random search with five times the budget are found to be worth about five times."""
    rng = np.random.default_rng(0)
    best = rng.random((400, 50)).max(axis=1)  # p_random with a tenth of the draws: uniform scores
    arms = {"llm": [30.0] * 400, "shuffled-feedback": [30.0] * 400, "permuted-labels": [30.0] * 400}
    frame = study(arms)
    frame.loc[frame["arm"] == "llm", "p_random"] = 1 - best**10
    (contrast,) = [one for one in contrasts(frame, "llm")[0] if one.question == "random search"]
    assert contrast.ratio == pytest.approx(5, rel=0.12)
    assert contrast.low < 5 < contrast.high


def test_probabilities_even_about_one_half_are_chance() -> None:
    """Searches whose exact probabilities are spread evenly are random search, with p 1 and once its evaluations."""
    frame = study(CHANCE)
    frame.loc[frame["arm"] == "llm", "p_random"] = (np.arange(SEEDS) + 0.5) / SEEDS
    evidence = verdict(frame).evidence.set_index("question").loc["random search"]
    assert evidence["p_value"] > 0.9
    assert evidence["ratio"] == pytest.approx(1.0)


def test_results_that_do_harm_are_not_used() -> None:
    """A model that ends worse with its results than with shuffled ones does not search, however significant."""
    evidence = verdict(study({**SEARCHER, "shuffled-feedback": [1.0] * SEEDS})).evidence.set_index("question")
    assert evidence.loc["feedback", "p_corrected"] < 0.05
    assert evidence.loc["feedback", "answer"] == "no"


def test_the_random_arm_counts_where_the_distribution_is_unknown() -> None:
    """Without exact probabilities the searches are paired with those of the arm random."""
    frame = study({**CHANCE, "random": ranks(600, 11)}).drop(columns="p_random")
    evidence = verdict(frame).evidence.set_index("question")
    assert evidence.loc["random search", "arm"] == "random"
    assert evidence.loc["random search", "mean_rank_arm"] == pytest.approx(ranks(600, 11).mean())


def test_cheap_rules_are_set_beside_the_model() -> None:
    """The sentence says whether the rules without a model do as well, better or worse; a prior run once is enough."""
    arms = {**SEARCHER, "coordinate-descent": SEARCHER["llm"][::-1], "prior": [21.0]}
    sentence = verdict(study(arms)).sentence
    llm = f"{SEARCHER['llm'].mean():.1f}"
    assert f"changing one choice at a time does as well (rank {llm} against {llm}, p = " in sentence
    assert f"a single evaluation, does worse (rank 21.0 against {llm}, p = " in sentence
    better = verdict(study({**CHEAT, "prior": [21.0]})).sentence
    assert "does better (rank 21.0 against 26.0, p = " in better


def test_evaluations_that_are_not_the_models_own_are_confessed() -> None:
    """Below one half of own proposals the sentence says so; the evidence always has the share."""
    frame = study(SEARCHER, model_proposals=1.1)
    found = verdict(frame)
    assert "(only 11 % of the evaluations were the model's own proposals)" in found.sentence
    assert found.evidence["own_proposals"].tolist() == pytest.approx([0.11] * 3)
    assert "own proposals" not in verdict(study(SEARCHER)).sentence


def test_searches_without_a_rank_are_counted_as_left_out() -> None:
    """A failed search drops its pair, in every contrast that has it, and is mentioned."""
    frame = study(SEARCHER)
    frame.loc[(frame["arm"] == "shuffled-feedback") & (frame["seed"] < 2), "rank"] = float("nan")
    frame = frame[(frame["arm"] != "permuted-labels") | (frame["seed"] != 5)]
    found = verdict(frame)
    assert found.kind == "searches"
    assert "n = 38 pairs of searches (2 without a rank or a partner left out)" in found.sentence
    assert found.evidence["left_out"].tolist() == [2, 1, 0]


def test_unfinished_searches_are_left_out() -> None:
    """A search whose journal has no end yet is not compared with whole ones, though it has a rank."""
    frame = study(SEARCHER, reason="budget")
    frame.loc[(frame["arm"] == "llm") & (frame["seed"] == 7), "reason"] = None
    found = verdict(frame)
    assert found.evidence["n"].tolist() == [SEEDS - 1] * 3
    assert "(1 without a rank or a partner left out)" in found.sentence


def test_benchmarks_are_pooled_by_pairs() -> None:
    """Half the seeds on each of two benchmarks are as many pairs; a seed is paired within its own benchmark only."""
    halves = [
        study({arm: found[part] for arm, found in SEARCHER.items()}, name)
        for part, name in ((slice(0, 20), "nas-bench-macro"), (slice(20, 40), "channel-bench-resnet"))
    ]
    pooled, single = verdict(pd.concat(halves)), verdict(study(SEARCHER))
    assert "on 2 benchmarks together" in pooled.sentence
    np.testing.assert_allclose(pooled.evidence["ratio"], single.evidence["ratio"])


def test_the_benchmark_adds_its_title_and_exact_random_search(data_home: Path) -> None:
    """Given the table, the sentence has what ten random evaluations reach on it."""
    benchmark = load_benchmark("nas-bench-macro")
    assert "on NAS-Bench-Macro: " in (sentence := verdict(study(SEARCHER), benchmark=benchmark).sentence)
    assert "597 for 10 random evaluations" in sentence
    with pytest.raises(InvalidParameter, match="not of nas-bench-macro alone"):
        verdict(study(SEARCHER, "channel-bench-resnet"), benchmark=benchmark)


def test_arms_with_names_of_their_own() -> None:
    """A control is found by its column whatever its arm is called, and so is a plain arm of another name."""
    frame = study(SEARCHER)
    frame["arm"] = frame["arm"].replace({"llm": "mine", "shuffled-feedback": "blind"})
    found = verdict(frame, plain="mine")
    assert found.kind == "searches"
    assert "with its results shuffled" in found.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(arm="other"), "no arm is called 'llm'"),
        (lambda frame: frame.drop(columns=["rank", "seed"]), "no column seed, rank"),
        (lambda frame: pd.concat([frame, frame]), "seed 0 on nas-bench-macro more than once"),
        (lambda frame: frame.assign(model=["a", "b"] * (len(frame) // 2)), "model is a, b; keep one"),
        (lambda frame: frame.assign(budget=[10, 20] * (len(frame) // 2)), "budget is 10, 20; keep one"),
        (lambda frame: pd.concat([frame, frame[frame["control"].notna()].assign(arm="again")]), "keep one of them"),
    ],
)
def test_results_of_several_studies_are_refused(change, message: str) -> None:
    """Mixed models, budgets and repeated seeds would make pairs of what are none: each is refused by name."""
    with pytest.raises(InvalidParameter, match=message):
        verdict(change(study(SEARCHER)))


@pytest.mark.slow
def test_chance_is_seldom_called_anything_else() -> None:
    """Of a hundred studies of pure chance, hardly any is called a search or a recital: the correction holds."""
    kinds = [
        verdict(study({arm: ranks(600, 3 * seed + i) for i, arm in enumerate(CHANCE)})).kind for seed in range(100)
    ]
    assert sum(kind in ("does neither", "not enough runs") for kind in kinds) >= 93
    assert kinds.count("does neither") > 50


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
