"""The paper's figures and tables: every one is there, as printed or checked against the published tables."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Annotation, Text

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import UnknownName
from genius_kit.paper import TITLES, TRIAL_TABLES


def test_every_table_of_the_paper_is_in_the_contents(no_data):
    """Tables 1 to 13, two figures, the trajectories; what is missing is named."""
    table = figures.contents().set_index("item")
    assert {f"table {i}" for i in range(1, 14)} | {"figure 2", "figure 3", "ImageNet trajectories"} == set(table.index)
    assert table.loc["table 5", "here"] == table.loc["table 6", "here"] == "as printed, not re-measured"
    assert table.loc["figure 2", "missing"] == "nas-bench-macro"
    assert table.loc["table 11", "missing"] == ""  # the embedded table serves
    assert set(TITLES) == {f"table{i}" for i in range(1, 14)}


@pytest.mark.parametrize(
    ("name", "temperature", "printed", "agreeing"),
    [
        ("nas-bench-macro", 1, 30, 26),
        ("nas-bench-macro", 0, 22, 22),
        ("channel-bench-resnet", 0, 30, 30),
        ("channel-bench-mobilenet", 0, 27, 26),
        ("nas-bench-201-cifar10", 0, 50, 50),
        ("nas-bench-201-cifar100", 0, 50, 50),
        ("nas-bench-201-imagenet16-120", 0, 50, 50),
    ],
)
def test_printed_evaluations_are_checked_against_the_table(name, temperature, printed, agreeing, data_home):
    """All but the five known pairs of tables 7 and 10 are in the published tables."""
    table = figures.printed_trials(gk.load_benchmark(name), temperature)
    assert (len(table), int(table["agrees"].sum())) == (printed, agreeing)
    if "test_agrees" in table:
        assert table["test_agrees"].all()


def test_trials_that_the_paper_does_not_print_are_refused(data_home):
    """There is no table at temperature 1 on the channel tables."""
    with pytest.raises(UnknownName, match="prints no trials"):
        figures.printed_trials(gk.load_benchmark("channel-bench-resnet"), 1)


def test_table_2_names_every_method_and_no_name_covers_another():
    """26 names by FLOPs, those with a printed search cost by cost."""
    figure = figures.table_2_figure()
    figure.draw_without_rendering()
    for panel, count in zip(figure.axes, (26, 20), strict=True):
        labels = [text for text in panel.texts if isinstance(text, Annotation)]
        assert len(labels) == count
        boxes = [Text.get_window_extent(label) for label in labels]
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
        inside = panel.get_window_extent()
        assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_table_1_stands_beside_ours():
    """Ten methods as printed on three data sets, then ours with n."""
    cifar10 = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    runs = {"random": gk.search_many(cifar10, "random", [0, 1], 3, progress=False)}
    table = figures.table_1({"nas-bench-201-cifar10": runs})
    assert (table["origin"] == "as printed").sum() == 30
    ours = table[table["origin"] == "ours"]
    assert ours[["method", "data_set", "n"]].to_numpy().tolist() == [["random", "CIFAR-10", 2]]
    figure = figures.table_1_figure(table)
    assert [axes.get_title() for axes in figure.axes] == ["CIFAR-10", "CIFAR-100", "ImageNet16-120"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-2:] == ["GENIUS", "random"]


def test_the_ablations_are_drawn_as_printed():
    """Tables 3 and 4: five points each, marked as not re-measured."""
    figure = figures.ablation_figure()
    assert "nothing re-measured" in figure.get_supxlabel()
    assert [len(np.asarray(axes.get_lines()[0].get_xdata())) for axes in figure.axes] == [5] * 4
    assert list(figures.ablation_table()["varied"].unique()) == ["epochs", "input_size"]


@pytest.mark.parametrize("name", list(TRIAL_TABLES))
def test_the_searches_beside_the_paper_are_grouped_by_method(name, data_home, tmp_path):
    """The stand-in once, and three controls; a second call resumes what is recorded."""
    benchmark = gk.load_benchmark(name)
    runs = figures.beside_paper(benchmark, model_seeds=1, control_seeds=2, budget=2, output=tmp_path)
    assert {method: len(some) for method, some in runs.items()} == {
        "offline stand-in, not a language model": 1,
        "random": 2,
        "coordinate descent": 2,
        "prior (largest everywhere)": 1,
    }
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
