"""Figures of a study: what stands in them, drawn from frames."""

import numpy as np
import pandas as pd
import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.figures.studies import arm_ranks, rank_curves, study_runs
from genius_kit.figures.style import BLUE, VERMILION
from genius_kit.studies import run as studies
from genius_kit.studies.plan import Arm, Study


def curves(benchmarks=("nas-bench-macro", "nas-bench-201-cifar10"), arms=("random", "gp")):
    """A frame as `studies.curves` gives it: ranks that fall from 100 per step."""
    rows = [
        {
            "benchmark": benchmark,
            "arm": arm,
            "n": 4,
            "evaluations": i + 1,
            "mean_rank": 100 - i,
            "low": 90 - i,
            "high": 110,
        }
        for benchmark in benchmarks
        for arm in arms
        for i in range(12)
    ]
    return pd.DataFrame(rows)


def results():
    """Three arms, five searches each."""
    rows = [
        {"arm": arm, "control": control, "rank": rank + shift}
        for arm, control, shift in (("llm", None, 0), ("anonymous", "anonymous", 100), ("random", None, 500))
        for rank in (1.5, 4.0, 9.0, 16.0, 30.0)
    ]
    return pd.DataFrame(rows)


def test_each_benchmark_has_a_panel_and_each_arm_a_line(no_data):
    """Titles are those of papers, ranks rise downwards on a log scale, n is said."""
    figure = rank_curves(curves())
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("NAS-Bench-Macro", "NAS-Bench-201 CIFAR-10")
    assert [line.get_label() for line in first.get_lines()] == ["random", "Gaussian process"]
    assert list(first.get_lines()[0].get_ydata()) == [100 - i for i in range(12)]
    assert first.yaxis_inverted()
    assert first.get_yscale() == "log"
    assert "n = 4 searches" in figure.get_supxlabel()
    assert first.get_ylabel() == "mean rank of\nthe best so far"


def test_panels_that_are_not_needed_stay_empty():
    """Four benchmarks take two rows of three."""
    names = ["nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201-cifar10"]
    figure = rank_curves(curves(names))
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2


def test_panels_share_their_axes_and_a_shorter_arm_says_so(no_data):
    """One range of ranks, and a line that ends early has its evaluations in its name."""
    short = curves(arms=["gp"]).query("evaluations <= 5")
    figure = rank_curves(pd.concat([curves(arms=["random"]), short]))
    assert len({axes.get_ylim() for axes in figure.axes[:2]}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        "random",
        "Gaussian process (5 evaluations)",
    ]
    assert {line.get_drawstyle() for line in figure.axes[0].get_lines()} == {"steps-post"}


def test_the_numbers_stand_below_the_last_panel_of_each_column():
    """Also where the last row is not full."""
    names = ["nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201-cifar10"]
    figure = rank_curves(curves(names))
    figure.draw_without_rendering()
    numbered = [any(label.get_visible() for label in axes.get_xticklabels()) for axes in figure.axes[:4]]
    assert numbered == [False, True, True, True]


def test_the_trials_of_the_paper_are_a_point(data_home):
    """The mean rank of its three trials, 32.0, at the ten evaluations of the longest."""
    figure = rank_curves(curves(["nas-bench-macro"]))
    (axes,) = figure.axes
    point = axes.get_lines()[-1]
    assert point.get_label() == "paper: GPT-4, temperature 0"
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([10], [32.0])
    assert "GPT-4's 3 trials of 6 to 10 evaluations, drawn at the longest" in figure.get_supxlabel()
    (axes,) = rank_curves(curves(["nas-bench-macro"]).query("evaluations <= 5")).axes
    assert len(axes.get_lines()) == 2


def test_every_search_is_a_dot_and_every_arm_a_mean():
    """One row per arm, named with its n; its own colour for the reference arm and for controls; 1 is at the right."""
    figure = arm_ranks(results(), expected_random=595.0, reference="llm", title="a model")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "llm (n = 5)",
        "anonymous (n = 5)",
        "random (n = 5)",
    ]
    dots = [np.asarray(found.get_offsets()) for found in axes.collections]
    assert [len(found) for found in dots] == [5, 5, 5]
    means = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]
    assert [line.get_xdata()[0] for line in means] == pytest.approx([12.1, 112.1, 512.1])
    assert [line.get_color() for line in means[:2]] == [VERMILION, BLUE]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    assert "a model" in axes.get_title(loc="left")


def test_an_arm_without_a_rank_is_drawn_without_a_mean():
    """A search that came to nothing leaves its row empty."""
    frame = results()
    frame.loc[frame["arm"] == "anonymous", "rank"] = np.nan
    axes = arm_ranks(frame).axes[0]
    assert [set(np.asarray(found.get_offsets())[:, 1]) for found in axes.collections] == [{0}, {2}]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of two arms on one embedded table."""
    folder = tmp_path_factory.mktemp("study")
    arms = (Arm("random", "random"), Arm("coordinate-descent", "coordinate-descent"))
    made = Study("small", ("nas-bench-201-cifar10",), arms, budget=3, seeds=(0, 1))
    return studies.run_study(made, folder, workers=1, progress=False)


def test_the_curves_of_a_real_study_are_drawn(study):
    """What `studies.curves` returns is what `rank_curves` reads."""
    (axes,) = rank_curves(studies.curves(study)).axes
    assert [line.get_label() for line in axes.get_lines()] == ["random", "coordinate descent"]
    assert list(axes.get_lines()[0].get_xdata()) == [1, 2, 3]


def test_the_runs_of_a_study_feed_the_figures_of_runs(study):
    """By arm, under the names that figures use."""
    runs = study_runs(study)
    assert {name: len(some) for name, some in runs.items()} == {"random": 2, "coordinate descent": 2}
    assert figures.best_so_far(runs, interval=True).axes[0].get_xlabel() == "iteration"
    with pytest.raises(InvalidParameter, match="name one of the benchmarks"):
        study_runs(study, "nas-bench-macro")


def test_the_scores_of_a_table_stand_beside_what_random_search_finds():
    """Only architectures with a line count; both distributions are exact, by all pairs of draws."""
    space = gk.SearchSpace("six", choices=[["a", "b"], ["c", "d", "e"]])
    lines = pd.DataFrame({"key": ["00", "01", "02", "10"], "score": [1.0, 3.0, 3.0, 4.0]})
    table = gk.tabular(space, lines, metric="gain", unit="dB")
    drawn = figures.draws_table(table, 2)
    assert drawn["score"].tolist() == [1, 3, 4]
    assert drawn["one_draw"].tolist() == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    assert drawn["best_of_2"].tolist() == pytest.approx([0, 3 / 6, 3 / 6])
    (axes,) = figures.score_distribution(table, 2).axes
    labels = axes.get_legend_handles_labels()[1]
    assert sorted(labels) == [
        "all 4 architectures", "best of 2 random evaluations", "mean of the best of 2, 3.50",
        "the best there is, 4.00",
    ]  # fmt: skip
    assert axes.get_xlabel() == "gain (dB)"
    with pytest.raises(InvalidParameter, match="budget 5"):
        figures.score_distribution(table, 5)


def test_what_a_table_holds_is_told_of_its_known_lines():
    """Ties share ranks, an unknown largest architecture has none, the unit is the table's, random search is exact."""
    space = gk.SearchSpace("six", choices=[["a", "b"], ["c", "d", "e"]])
    lines = pd.DataFrame({"key": ["00", "01", "02", "10"], "score": [1.0, 3.0, 3.0, 4.0]})
    table = gk.tabular(space, lines, metric="gain", unit="dB")
    best = figures.best_table(table, 10)
    assert [row[:3] for row in best.rows] == [
        ("10", "1", "4"), ("01", "2 to 3", "3"), ("02", "2 to 3", "3"), ("00", "4", "1")
    ]  # fmt: skip
    assert best.header[2] == "gain (dB)"
    told = dict(figures.source_table(table).rows)
    assert (told["architectures"], told["different scores"]) == ("4 of the 6 in the space", "3")
    found = figures.table_conclusion(table, 2)
    assert found.headline == (
        "2 random evaluations find rank 1.8 of 4 on average; the largest architecture is of unknown rank; "
        "equal within noise: not known."
    )
    assert [(row[0], row[3]) for row in found.table.rows] == [
        ("the best there is", "1"), ("random search, mean", "2.5"), ("random search, mean", "1.8")
    ]  # fmt: skip
    known = gk.tabular(space, pd.DataFrame({"key": ["00", "12"], "score": [1.0, 3.0]}))
    assert "the largest architecture is at rank 1;" in figures.table_conclusion(known, 1).headline


def test_searches_without_the_paper_s_trials_are_compared_in_the_unit_of_their_table():
    """No word on a test against trials that there are not, and no percent."""
    space = gk.SearchSpace("six", choices=[["a", "b"], ["c", "d", "e"]])
    lines = pd.DataFrame({"key": ["00", "01", "02", "10", "11", "12"], "score": [1.0, 3.0, 2.0, 4.0, 5.0, 6.0]})
    table = gk.tabular(space, lines, metric="gain", unit="dB")
    runs = figures.by_method(gk.search_many(table, "random", range(2), 2, progress=False))
    shown = figures.comparison_table(table, runs)
    assert (shown.header[3], "paper" in shown.caption + shown.note) == ("best gain (dB)", False)
    assert "best score (dB)" in figures.search_conclusion((table, runs), model="random").table.header
    assert figures.paper_comparison(table, runs).axes[0].get_ylabel() == "gain (dB)"
    assert figures.best_so_far(runs, "gain", unit="dB").axes[0].get_ylabel() == "best gain so far (dB)"
