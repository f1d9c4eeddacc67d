"""Figures of fronts: their data are the fronts, and they are drawn of one table only."""

import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import InvalidParameter
from genius_kit.figures import tradeoffs as pareto_figures
from genius_kit.studies import tradeoffs
from genius_kit.studies.tradeoffs import FrontReference

TABLE = "nas-bench-201-cifar10"
pytestmark = pytest.mark.usefixtures("no_data")


def searches(objectives="accuracy,latency", count=2):
    """Return random searches of the embedded table."""
    benchmark = gk.load_benchmark(TABLE, source="embedded", objectives=objectives)
    made = gk.make_proposer("random", benchmark.space)
    return [gk.search(benchmark, made, 6, seed, progress=False) for seed in range(count)]


def test_the_table_behind_has_every_front():
    """The front of the table once, then that of each run: evaluated architectures, none beaten by another."""
    runs = {"random": searches()}
    table = figures.front_table(runs)
    whole = table[table["method"] == pareto_figures.TABLE]
    benchmark = gk.load_benchmark(TABLE, source="embedded", objectives="accuracy,latency")
    assert len(whole) == len(FrontReference(benchmark).front)
    for number, run in enumerate(runs["random"], start=1):
        front = table[(table["run"] == number) & (table["method"] == "random")]
        frame = run.frame().set_index("key")
        assert set(front["key"]) <= set(frame.index)
        assert front["accuracy"].tolist() == frame.loc[front["key"], "feedback"].tolist()
        ordered = front.sort_values("latency")
        assert ordered["accuracy"].is_monotonic_increasing


def test_figures_name_their_axes_and_count_their_searches(tmp_path):
    """The front with the cost's unit, every row on its axis, the share up to 1; the same bytes every time."""
    runs = {"random": searches(), "llm": searches(count=1)}
    (axes,) = figures.pareto_front_figure(runs).axes
    assert axes.get_xlabel() == "latency (ms)"
    assert axes.get_ylabel() == "validation accuracy (%),\nlog below the best"
    rows = axes.get_lines()[0].get_ydata()
    assert len(rows) == 15_625
    assert axes.get_ylim()[0] < rows.min() < rows.max() < axes.get_ylim()[1]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["random (n = 2)", "llm (n = 1)", "front of the table (25 architectures)"]
    curves = tradeoffs.share_curves(runs)
    assert curves["mean"].between(0, 1).all()
    assert curves[curves["method"] == "llm"]["low"].isna().all()
    for folder in ("a", "b"):
        figures.save_figure(figures.hypervolume_figure(runs, curves), tmp_path / folder, "hv", curves)
    assert (tmp_path / "a" / "hv.svg").read_bytes() == (tmp_path / "b" / "hv.svg").read_bytes()
    assert (tmp_path / "a" / "hv.csv").exists()


def test_the_cost_of_a_figure_is_one_that_the_runs_weigh():
    """Of several it can be named; one that none weighs is refused with those that are."""
    runs = {"random": searches("accuracy,macs,parameters", 1)}
    assert figures.pareto_front_figure(runs, "parameters").axes[0].get_xlabel() == "parameters, millions"
    with pytest.raises(InvalidParameter, match="macs, parameters"):
        figures.pareto_front_figure(runs, "latency")


def test_runs_of_different_objectives_are_not_drawn_together():
    """Their shares are of different volumes; the message names both."""
    with pytest.raises(InvalidParameter, match="accuracy,latency"):
        figures.pareto_front_figure({"a": searches(count=1), "b": searches("accuracy,macs", 1)})
