"""What cannot differ between seeds counts once: no spread, no interval, no test, never bold, and no more runs asked."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.figures import studies
from genius_kit.figures.studies import forest
from genius_kit.proposers.methods import counted_once, distinct, n_text, sequence_of
from genius_kit.studies.tradeoffs import share_curves
from genius_kit.verdicts import prompts, verdict
from genius_kit.verdicts.contamination import contamination
from genius_kit.verdicts.transfer import transfer_matrix, transfers
from tests.natures import Random, Searches, made_table, run_arms, run_one

STAND_IN = "offline stand-in, not a language model"
ARMS = ("llm", "shuffled-feedback", "permuted-labels", "random")


def frame(*steps):
    """A run that evaluated these (key, feedback)."""
    keys, feedback = zip(*steps, strict=True)
    ranks = [1000 if value != value else int(1000 - value) for value in feedback]
    best = np.fmax.accumulate(np.array(feedback, dtype=float))
    return pd.DataFrame(
        {
            "iteration": range(1, len(keys) + 1), "key": keys, "feedback": feedback, "best_so_far": best,
            "rank_best": ranks, "rank_worst": ranks, "rank_of": 1000,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("other", "counted"),
    [
        (frame(("01", 80.0), ("02", 82.0)), 1),
        (frame(("01", 80.0), ("02", 82.5)), 2),  # trained anew, with another result
        (frame(("01", 80.0), ("03", 82.0)), 2),
        (frame(("02", 82.0), ("01", 80.0)), 2),
        (frame(("01", 80.0)), 2),
    ],
    ids=["the same", "another result", "another architecture", "another order", "a shorter search"],
)
def test_searches_are_one_where_every_step_and_result_is(other, counted):
    """Same architectures, same order, same results; anything else is another search."""
    one = frame(("01", 80.0), ("02", 82.0))
    assert len(distinct([one, other])) == counted
    assert len(distinct([one, one, other])) == (1 if counted == 1 else 3)
    assert len(distinct([one])) == 1


def test_failed_evaluations_are_the_same_where_both_failed():
    """A step without a result equals one without a result."""
    failed = frame(("01", float("nan")), ("02", 82.0))
    assert sequence_of(failed) == sequence_of(failed.copy())
    assert len(distinct([failed, failed.copy()])) == 1


def test_a_run_and_what_does_not_say_its_architectures():
    """Runs are told by their events; trials of which only accuracies are printed are never one."""
    table = made_table(0)
    runs = [run_one(Searches(), table, seed=seed, budget=2, first="none") for seed in (0, 1)]
    assert sequence_of(runs[0]) == sequence_of(runs[1])
    printed = frame(("01", 80.0)).drop(columns="key")
    assert sequence_of(printed) is None
    assert len(distinct([printed, printed])) == 2


def test_the_count_is_said_in_words():
    """n where all count, 1 and why where they are one."""
    assert (n_text(20, 20), n_text(1, 1), n_text(20, 1)) == ("n = 20", "n = 1", "n = 1, a fixed rule")


def results(*rows):
    """Rows (arm, seed, sequence, finished) of a study."""
    columns = ["arm", "seed", "sequence", "reason"]
    return pd.DataFrame(rows, columns=columns, index=[7] * len(rows)).assign(benchmark="t", model="m", budget=3)


def test_each_arm_of_results_is_counted_for_itself():
    """The first search of a fixed rule stands for all; unfinished ones stay, and are compared with none."""
    found = counted_once(
        results(
            ("rule", 0, "a", "budget"), ("other", 0, "a", "budget"), ("rule", 1, "a", "budget"),
            ("other", 1, "b", "budget"), ("rule", 2, "cut off", None),
        )
    )  # fmt: skip
    assert found[["arm", "seed", "searches"]].to_numpy().tolist() == [
        ["rule", 0, 2], ["other", 0, 1], ["other", 1, 1], ["rule", 2, 1],
    ]  # fmt: skip
    plain = results(("rule", 0, "a", "budget"), ("rule", 1, "a", "budget")).drop(columns="sequence")
    assert len(counted_once(plain)) == 2


def test_benchmarks_are_counted_apart():
    """The same steps on two tables are two searches."""
    both = pd.concat([results(("rule", 0, "a", "budget")), results(("rule", 1, "a", "budget")).assign(benchmark="u")])
    assert len(counted_once(both)) == 2


def test_legends_say_that_a_fixed_rule_counts_once():
    """Three searches that are one are n = 1; three that differ are n = 3."""
    runs = {
        STAND_IN: [frame(("01", 80.0), ("02", 82.0))] * 3,
        "random": [frame((f"{seed}1", 80.0 + seed), ("02", 81.0)) for seed in range(3)],
    }
    for figure in (
        figures.best_so_far(runs),
        figures.best_so_far(runs, interval=True),
        figures.rank_by_iteration(runs),
    ):
        said = figure.axes[0].get_legend_handles_labels()[1]
        assert said == [f"{STAND_IN} (n = 1, a fixed rule)", "random (n = 3)"]


def test_a_table_beside_the_paper_has_neither_spread_nor_test_nor_bold_for_a_fixed_rule(data_home):
    """However good it is: what is bold is the mean of searches that can differ."""
    table = gk.load_benchmark("nas-bench-201-cifar100")
    runs = figures.by_method(
        [
            *gk.search_many(table, "llm", range(3), 3, progress=False),
            *gk.search_many(table, "prior", range(3), 3, progress=False),
            *gk.search_many(table, "random", range(3), 3, progress=False),
        ]
    )
    beside = figures.ours_beside_paper(table, runs).set_index("method")
    assert beside["runs"].to_dict()[STAND_IN] == 1
    assert beside.loc[[STAND_IN, "prior (largest everywhere)"], ["best_accuracy_std", "rank_std"]].isna().all(axis=None)
    assert beside.loc[STAND_IN, "rank"] < beside.loc["paper: GPT-4, temperature 0", "rank"]
    printed = figures.comparison_table(table, runs)
    cells = {row[0]: row for row in printed.rows}
    for name in (STAND_IN, "prior (largest everywhere)"):
        assert cells[name][1] == "1"
        assert not any("±" in cell for cell in cells[name])
        assert cells[name][-1] == "–"
    fixed = {row for row, cell in enumerate(printed.rows) if cell[1] == "1"}
    assert printed.bold
    assert not {row for row, _ in printed.bold} & fixed
    rows = [line for line in printed.latex().splitlines() if line.lstrip().startswith(STAND_IN)]
    assert rows
    assert "textbf" not in rows[0]


@pytest.fixture(scope="module")
def fixed():
    """Twelve searches per arm of the stand-in that all begin where its rule does."""
    return run_arms(Searches(), made_table(0), ARMS, seeds=12, budget=3, first="none")


def test_no_verdict_asks_for_more_searches_of_a_fixed_rule(fixed):
    """It has no verdict and says why, with no p-value; begun at random architectures its searches differ."""
    found = verdict(fixed)
    assert found.kind == "cannot tell"
    assert "its searches are all identical and count once" in found.sentence
    deciding = found.evidence[found.evidence["question"] != "cheap rule"]
    assert set(deciding["n"]) <= {0, 1}
    assert not np.isfinite(deciding["high"].astype(float)).any()
    assert (deciding["p_value"].fillna(1) == 1).all()
    for words in ("settle", "needed", "p ="):
        assert words not in found.sentence
    begun = verdict(run_arms(Searches(), made_table(0), ARMS, seeds=12, budget=3)).evidence
    ranks = begun[begun["question"] != "replies"]  # with three evaluations no reply can follow a shuffle
    assert set(ranks["n"]) == {12}
    assert ranks["p_value"].notna().all()


def test_no_wording_asks_for_more_pairs_of_a_fixed_rule():
    """Each change is named, with neither an interval nor a number of pairs."""
    arms = ({"name": "llm"}, {"name": "reworded-1", "change": "reworded-1"})
    told = prompts.verdict(run_arms(Searches(), made_table(0), arms, seeds=3, budget=2, first="none"))
    assert told.evidence[["n", "is_fixed"]].to_numpy().tolist() == [[1, True]]
    assert told.evidence["pairs_needed"].isna().all()
    assert "settle" not in told.sentence
    assert "count once" in told.sentence
    with pytest.raises(InvalidParameter, match="all identical and count once"):
        forest(told.evidence)


def test_no_verdict_on_contamination_asks_for_more_searches_of_a_fixed_rule():
    """Neither table gives it more than one pair."""
    public, private = made_table(0, "public"), made_table(1, "private")
    arms = ("llm", "permuted-labels", "anonymous")
    runs = run_arms(Searches(), [public, private], arms, seeds=12, budget=2, first="none")
    found = contamination(runs, public="public", private="private")
    assert (found.kind, set(found.evidence["n"])) == ("cannot tell", {1})
    assert "settle" not in found.sentence
    assert "needed" not in found.sentence


def test_designs_of_a_fixed_rule_are_moved_once():
    """A table that is searched twelve times by one rule is one search; a client that draws anew is twelve."""
    tables = {name: made_table(seed, name) for seed, name in enumerate(("one", "other"))}
    for client, n in ((Searches(), 1), (lambda seed: Random(seed), 6)):
        runs = run_arms(client, list(tables.values()), seeds=6, budget=2, first="none")
        assert set(transfer_matrix(transfers(runs, tables))["n"]) == {n}


def test_prompts_of_a_fixed_rule_are_one_pair():
    """However many seeds both prompts were run with."""
    runs = [
        run_arms(Searches(), made_table(0), seeds=4, budget=2, first="none", prompt=prompt)
        for prompt in ("standard", "minimal")
    ]
    assert len(figures.prompt_pairs(pd.concat(runs))) == 1


def test_figures_of_a_study_draw_a_fixed_rule_once(fixed):
    """One dot and its mark, no interval, and the label says why."""
    axes = studies.arm_ranks(fixed, reference="llm").axes[0]
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels[0] == f"{STAND_IN} (n = 1, a fixed rule)"
    assert "random (n = 12)" in labels
    assert len(np.asarray(axes.collections[0].get_offsets())) == 1
    runs = [run_one(Searches(), made_table(0), seed=seed, budget=2, first="none") for seed in (0, 1, 2)]
    assert set(figures.operation_table(runs)["runs"]) == {1}
    assert "n = 1 run, a fixed rule" in figures.operation_frequencies(runs).get_suptitle()


def test_the_share_of_a_front_has_no_interval_for_a_fixed_rule(no_data):
    """The curve is that of its one search."""
    table = gk.load_benchmark("nas-bench-201-cifar10", source="embedded", objectives=("accuracy", "latency"))
    runs = {name: gk.search_many(table, name, range(3), 2, progress=False) for name in ("llm", "random")}
    curves = share_curves(runs).groupby("method")
    assert curves["n"].first().to_dict() == {"llm": 1, "random": 3}
    assert curves["searches"].first().to_dict() == {"llm": 3, "random": 3}
    assert curves["low"].count().to_dict() == {"llm": 0, "random": 2}
    said = figures.hypervolume_figure(runs).axes[0].get_legend_handles_labels()[1]
    assert said == ["llm (n = 1, a fixed rule)", "random (n = 3)"]
