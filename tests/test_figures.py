"""Figures and the paper's tables: right numbers, one style per method, the same bytes from the same input."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.figures.layout import fit
from genius_kit.figures.style import GREY
from genius_kit.paper import TRIAL_TABLES, paper_label
from genius_kit.proposers import methods
from tests.doubles import ToyBenchmark


def frame(*feedback, ranks=None):
    """One run of a made-up table of 100 rows."""
    ranks = ranks or range(50, 50 - len(feedback), -1)
    return pd.DataFrame(
        {
            "iteration": range(1, len(feedback) + 1),
            "feedback": feedback,
            "best_so_far": pd.Series(feedback).cummax(),
            "rank_best": list(ranks),
            "rank_worst": [rank + 2 for rank in ranks],
            "rank_of": 100,
            "macs": [1_000_000 * (i + 1) for i in range(len(feedback))],
            "key": [str(i) for i in range(len(feedback))],
        }
    )


RUNS = {"random": [frame(80.0, 82.0, 81.0), frame(79.0, 83.0)], "gpt-4.1": [frame(85.0, 84.0, 86.0)]}


@pytest.fixture(scope="module")
def toy_runs():
    """Real runs of the loop on a toy table."""
    return gk.search_many(ToyBenchmark(), "random", [0, 1], 3, progress=False)


def names_at_ends(axes):
    """The names that stand at the ends of the curves, each on one line."""
    return [text.get_text().replace("\n", " ").replace("\u00a0", " ") for text in axes.texts]


def test_each_curve_ends_in_its_name_with_the_number_of_runs():
    """No legend, and no name on another one, at the width of a column too."""
    figure = figures.best_so_far(RUNS)
    for shown in (figure, fit(figure, "cvpr", "column")):
        (axes,) = shown.axes
        assert names_at_ends(axes) == ["random (n = 2)", "gpt-4.1 (n = 1)"]
        assert not shown.legends
        shown.draw_without_rendering()
        first, second = (Text.get_window_extent(text) for text in axes.texts)
        assert not first.overlaps(second)


def test_many_curves_have_a_legend():
    """Ten names at the ends would stand on one another."""
    (axes,) = figures.best_so_far({f"model {i}": [frame(80.0 + i, 82.0)] for i in range(10)}).axes
    assert len(axes.figure.legends[0].get_texts()) == 10
    assert not axes.texts


def test_the_best_so_far_is_the_mean_and_a_short_run_keeps_what_it_found():
    """The line is the mean of the running maxima, the last one held."""
    (axes,) = figures.best_so_far(RUNS).axes
    assert list(axes.get_lines()[0].get_ydata()) == [79.5, 82.5, 82.5]


@pytest.mark.parametrize("draw", [figures.best_so_far, figures.rank_by_iteration])
def test_the_best_so_far_is_a_step_that_ends_with_the_runs(draw):
    """It rises where something is evaluated, one evaluation is one mark, and the title says what the thin line is."""
    (axes,) = draw({"random": [frame(80.0, 82.0, 81.0)], "prior": [frame(85.0)]}).axes
    lines = axes.get_lines()
    assert {line.get_drawstyle() for line in lines} == {"steps-post"}
    assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3], [1]]
    assert axes.get_title(loc="left").endswith("; thin: after the last evaluation")
    assert draw({"random": [frame(80.0)]}).axes[0].get_title(loc="left") == "line: one search each"
    assert "thin" not in draw(RUNS | {"random": [frame(80.0, 82.0, 81.0)]}).axes[0].get_title(loc="left")


@pytest.mark.parametrize("low", [90.0, 10.0])
def test_the_axis_of_accuracies_holds_every_value(low):
    """Low values are not clipped; where they would flatten the rest the axis is logarithmic and says so."""
    runs = {"random": [frame(low, 92.0, 93.0, 93.2), frame(91.0, 92.0, 92.5, 93.0)]}
    (axes,) = figures.best_so_far(runs).axes
    bottom, top = axes.get_ylim()
    drawn = [*axes.get_lines()[0].get_ydata(), *axes.collections[0].get_paths()[0].vertices[:, 1]]
    assert bottom < min(drawn) < max(drawn) < top
    assert ("log" in axes.get_ylabel()) == (axes.get_yscale() != "linear") == (low == 10.0)
    assert len({label.get_text()[-2:-1] == "." for label in axes.get_yticklabels()}) == 1


def test_the_interval_of_the_mean_is_drawn_where_every_run_has_a_value():
    """With `interval` the band is narrower than the runs are apart, and one run has none."""
    (axes,) = figures.best_so_far(
        {"random": [frame(80.0, 82.0), frame(79.0, 84.0), frame(81.0, 83.0)]}, interval=True
    ).axes
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert 79.0 <= heights.min() < heights.max() <= 84.0
    assert "95 % interval" in axes.get_title(loc="left")
    assert not figures.best_so_far({"random": [frame(80.0, 82.0)]}, interval=True).axes[0].collections


def test_each_network_is_named_once_beside_its_training():
    """At the right of the second panel; the left one has the same colours, and no legend repeats them."""
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "validation_accuracy": [20.0, 60.0]})
    figure = figures.training_curves({"22222222": history, "11111111": history}, chance=10)
    left, right = figure.axes
    assert names_at_ends(left) == []
    assert names_at_ends(right) == ["chance", "22222222", "11111111"]
    assert [line.get_color() for line in left.get_lines()] == [line.get_color() for line in right.get_lines()[:2]]
    assert not figure.legends


def test_a_model_at_two_temperatures_is_two_methods():
    """The name carries the temperature; the stand-in has none."""
    from genius_kit.journal import Run

    runs = [
        Run(
            None, [{"event": "run_started", "run": {"proposer": "llm", "settings": {"model": model, "temperature": t}}}]
        )
        for model, t in (("gpt-4.1", 0.0), ("gpt-4.1", 1.0), ("gpt-4.1", None), ("offline", 1.0))
    ]
    assert list(figures.by_method(runs)) == [
        "gpt-4.1, temperature 0", "gpt-4.1, temperature 1", "gpt-4.1", methods.STAND_IN,
    ]  # fmt: skip


def test_the_rank_line_is_the_mean_of_the_middles_of_the_tie_ranges():
    """Ranks are ranges: the line runs through their middles, and the axis has the best on top."""
    (axes,) = figures.rank_by_iteration(RUNS).axes
    assert list(axes.get_lines()[0].get_ydata()) == [51.0, 50.0, 49.5]
    assert axes.yaxis_inverted()


def test_the_ticks_of_ranks_have_one_format():
    """Over less than two powers of ten too: 200 and 1,000, never 2 x 10^2."""
    figure = figures.rank_by_iteration({"random": [frame(80.0, 82.0, 83.0, ranks=[900, 400, 150])]})
    figure.draw_without_rendering()
    told = [label.get_text() for label in figure.axes[0].get_yticklabels(which="both")]
    assert "200" in told
    assert all(text.replace(",", "").isdigit() for text in told if text)


def test_the_stand_in_is_named_as_what_it_is(toy_runs):
    """Runs of the stand-in are never grouped under a model's name."""
    offline = gk.search_many(gk.load_benchmark("nas-bench-201-cifar10"), "llm", [0], 1, progress=False)
    assert list(figures.by_method([*toy_runs, *offline])) == ["random", "offline stand-in, not a language model"]


def test_nothing_to_draw_is_an_error_that_names_the_method():
    """An empty run is refused, not drawn as an empty picture."""
    with pytest.raises(InvalidParameter, match="no evaluation to draw for random"):
        figures.best_so_far({"random": [frame()]})


def test_the_run_table_holds_every_evaluation(toy_runs):
    """The data behind a figure names method and run of each row."""
    table = figures.run_table({"random": toy_runs})
    assert list(table.columns[:2]) == ["method", "run"]
    assert list(table["run"]) == [1, 1, 1, 2, 2, 2]


def test_the_best_architecture_is_the_one_with_the_best_feedback(toy_runs):
    """It comes back in the package's form, ready to be drawn."""
    best = max((row for run in toy_runs for row in run.frame().to_dict("records")), key=lambda row: row["feedback"])
    assert ToyBenchmark().space.key(figures.best_architecture(toy_runs)) == best["key"]


def test_the_pareto_front_drops_what_costs_more_for_less():
    """Only rows that no other row beats on both counts stay."""
    points = pd.DataFrame({"macs": [1, 2, 3, 3, 4], "feedback": [10.0, 12.0, 11.0, 12.0, 13.0]})
    assert list(figures.pareto_front(points)["feedback"]) == [10.0, 12.0, 13.0]


def test_accuracy_against_macs_draws_every_method_once_and_clips_nothing():
    """One cloud a method, the front, and every row of the table behind."""
    points = {"random": frame(80.0, 82.0), "gpt-4.1": frame(85.0)}
    (axes,) = figures.accuracy_against_macs(
        points, background=(np.array([1e6, 2e6, 3e6]), np.array([10, 84.0, 85.0]))
    ).axes
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["random (n = 2)", "gpt-4.1 (n = 1)"]
    assert axes.get_title(loc="left") == "grey: the whole table; line: Pareto front of the n architectures in colour"
    assert axes.get_ylim()[0] < 10


def test_table_2_names_every_network():
    """The paper's own two and the 24 others."""
    points = figures.table_2_points()
    assert list(points["GENIUS"]["name"]) == ["GENIUS-329", "GENIUS-401"]
    (axes,) = figures.accuracy_against_macs(points).axes
    assert {text.get_text() for text in axes.texts} == set(figures.paper_table("table2")["method"])


def test_the_paper_tables_are_read_as_printed():
    """Nested figures become columns, trials become rows."""
    table = figures.paper_table("table1").set_index("method")
    assert table.loc["GENIUS", "cifar10_test_mean"] == 93.79
    trials = figures.paper_table("table8")
    assert list(trials.groupby("trial").size()) == [6, 6, 10]
    assert figures.paper_table("table3")["epochs"].tolist() == [10, 20, 30, 40, 50]


def test_an_unknown_paper_table_lists_the_known_ones():
    """table1 is not table10 and table99 does not exist."""
    assert "temperature" not in str(figures.paper_table("table1").columns)
    with pytest.raises(UnknownName, match="table13"):
        figures.paper_table("table99")


@pytest.mark.parametrize("name", list(TRIAL_TABLES))
def test_every_table_of_trials_becomes_runs(name, data_home):
    """The paper's trials have the columns that our runs have, on every benchmark."""
    benchmark = gk.load_benchmark(name)
    for temperature in TRIAL_TABLES[name]:
        for run in figures.paper_runs(benchmark, temperature):
            assert {"iteration", "feedback", "best_so_far", "rank_best", "rank_worst", "rank_of"} <= set(run)
            assert (run["rank_best"] <= run["rank_worst"]).all()


def test_the_paper_means_are_the_known_ones(data_home):
    """Mean rank 32.0 on NAS-Bench-Macro at temperature 0, ranks taken before the mean."""
    table = figures.ours_beside_paper(gk.load_benchmark("nas-bench-macro"), {}).set_index("method")
    assert table.loc[paper_label(0), "rank"] == 32.0
    assert round(table.loc[paper_label(0), "top_percent"], 2) == 0.49
    assert table.loc[paper_label(0), "runs"] == 3


def test_one_evaluation_of_the_largest_network_is_rank_21(data_home):
    """The prior's row of the comparison is the known fact."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    runs = figures.by_method(gk.search_many(benchmark, "prior", [0], 10, progress=False))
    table = figures.ours_beside_paper(benchmark, runs).set_index("method")
    assert table.loc[methods.PRIOR, "rank"] == 21.0
    assert table.loc[methods.PRIOR, "iterations"] == 1


def test_the_comparison_has_a_column_a_temperature_and_a_method(data_home):
    """Figure 2: accuracy above, rank below, the paper first."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    runs = {"random": gk.search_many(benchmark, "random", range(12), 3, progress=False)}
    axes = figures.paper_comparison(benchmark, runs).axes
    assert [one.get_title().replace("\n", " ") for one in axes[:3]] == [
        "paper: GPT-4, temperature 0 n = 3",
        "paper: GPT-4, temperature 1 n = 3",
        "random n = 12",
    ]
    assert len(axes) == 6
    assert {line.get_color() for one in axes for line in one.get_lines()[:-1]} == {GREY}
    lowest = min(line.get_ydata().min() for line in axes[2].get_lines())
    assert axes[2].get_ylim()[0] < lowest


def test_a_single_evaluation_is_a_line_across_the_columns(data_home):
    """The largest network has no column of its own."""
    benchmark = gk.load_benchmark("nas-bench-macro")
    runs = figures.by_method(gk.search_many(benchmark, "prior", [0], 10, progress=False))
    figure = figures.paper_comparison(benchmark, runs)
    assert len(figure.axes) == 4
    assert [set(one.get_lines()[-1].get_ydata()) for one in figure.axes[2:]] == [{21.0}] * 2
    assert methods.PRIOR in figure.get_supxlabel()


@pytest.mark.parametrize(("name", "replies", "sent_back"), [("329M", 26, 16), ("401M", 17, 7)])
def test_a_replayed_conversation_shows_every_reply(name, replies, sent_back, published):
    """Each reply is one row, either evaluated or sent back, with its exact count."""
    run = gk.replay_conversation(published / "chat_history" / f"{name}.json")
    table = figures.trajectory_table(run)
    assert len(table) == replies
    assert (table["outcome"] == "sent back").sum() == sent_back
    assert (table["outcome"] == "evaluated").sum() == 10
    macs, accuracy = figures.imagenet_trajectory(run, int(name[:3]) + 1).axes
    assert f"sent back ({sent_back})" in [text.get_text() for text in macs.figure.legends[0].get_texts()]
    assert accuracy.get_xlabel() == "reply"


def test_conversations_and_journals_are_replayed_by_name(published, data_home, tmp_path):
    """The paper's under its names, a copy under that of its file; each is drawn against the bound it was judged by."""
    copy = tmp_path / "mine.json"
    copy.write_bytes((published / "chat_history" / "401M.json").read_bytes())
    gk.replay_conversation(copy, tmp_path / "again.jsonl")
    runs = figures.replays(f"329M, {copy},{tmp_path / 'again.jsonl'}")
    assert list(runs) == ["GENIUS-329", "mine", "again"]
    assert [len(run.of("evaluation")) for run in runs.values()] == [10, 10, 10]
    assert figures.slip_table(runs)[["search", "iteration"]].to_numpy().tolist() == [
        ["GENIUS-329", 2],
        ["GENIUS-329", 5],
    ]
    for name, bound in {"GENIUS-329": "270 to 330 M", "again": "370 to 430 M"}.items():
        texts = figures.imagenet_trajectory(runs[name]).legends[0].get_texts()
        told = {f"bound: {bound}", "accuracy told to the model (9)", "every second iteration"}
        assert told <= {text.get_text() for text in texts}
