"""The paper's figures and tables: every one is there, as printed or checked against the published tables."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation, Text

import genius_kit as gk
from genius_kit import figures
from genius_kit.errors import UnknownName
from genius_kit.paper import TITLES, TRIAL_TABLES, best_places, early_p


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


def test_an_accuracy_alone_is_hardly_evidence(data_home):
    """Nearly every accuracy is in the table of CIFAR-100; hardly one has the printed rank as well."""
    evidence = figures.printed_evidence(gk.load_benchmark("nas-bench-201-cifar100")).set_index("figures")
    assert evidence["found"].tolist() == evidence["printed"].tolist() == [50, 5]
    assert 0.95 < evidence.loc["accuracy alone", "by_chance"] < 1
    assert evidence.loc["test accuracy and rank", "by_chance"] < 0.02
    ranked = figures.printed_evidence(gk.load_benchmark("nas-bench-macro"), 1).iloc[0]
    assert (ranked["table"], ranked["found"], ranked["printed"]) == ("table 7", 26, 30)
    assert ranked["by_chance"] < 0.01


def test_the_share_of_arbitrary_accuracies_is_that_of_draws(data_home):
    """2,000 accuracies drawn between the lowest and the highest printed one, held against the table."""
    benchmark = gk.load_benchmark("nas-bench-201-imagenet16-120")
    printed = figures.printed_trials(benchmark)["accuracy"]
    drawn = np.random.default_rng(0).integers(round(100 * printed.min()), round(100 * printed.max()) + 1, 2_000)
    rows = np.unique(np.round(100 * benchmark.scores()).astype(int))
    expected = figures.printed_evidence(benchmark).loc[0, "by_chance"]
    assert np.isin(drawn, rows).mean() == pytest.approx(expected, abs=0.02)


def test_the_conclusion_on_the_printed_trials_tells_evidence_from_chance(data_home):
    """Its counts are those of the tables that were given; another choice of tables changes them."""
    macro, cifar10 = gk.load_benchmark("nas-bench-macro"), gk.load_benchmark("nas-bench-201-cifar10")
    both = figures.printed_conclusion(cifar10, macro)
    assert both.headline.startswith(
        "Accuracy with rank: 53 of 57 in the tables (by chance 0); accuracy alone: 50 of 50"
    )
    assert len(both.headline.split()) <= 25
    assert [row[0] for row in both.table.rows] == ["table 7", "table 8", "table 11", "table 11"]
    assert "accuracy alone" not in figures.printed_conclusion(macro).headline


@pytest.mark.parametrize(
    ("early", "chances", "p"),
    [(12, [0.5] * 15, 0.0352), (0, [0.5] * 3, 0.25), (8, [0.5] * 15, 1.0), (2, [0.5, 0.75], 0.75), (1, [0.5], 1.0)],
)
def test_early_best_evaluations_are_tested_exactly(early, chances, p):
    """The two-sided binomial law where all chances are one half: 12 of 15 has p = 0.035."""
    trials = pd.DataFrame({"early": [place < early for place in range(len(chances))], "by_chance": chances})
    assert early_p(trials) == pytest.approx(p, abs=1e-4)


def test_where_a_trial_finds_its_best(data_home):
    """Table 10: the second of three trials has its best at 4 and at 8 of 8, the third first at 5 of 9."""
    places = best_places(gk.load_benchmark("channel-bench-mobilenet"))
    assert places["best_at"].tolist() == [4, 4, 5]
    assert places["early"].tolist() == [True, True, False]
    assert places["by_chance"].round(3).tolist() == [0.5, 0.786, 0.722]


def test_twelve_of_fifteen_is_inconclusive_beside_the_other_spaces(data_home):
    """Alone the 15 trials on NAS-Bench-201 would be earlier than chance; read with three other spaces they are not."""
    cells = [gk.load_benchmark(name) for name in TRIAL_TABLES if name.startswith("nas-bench-201")]
    alone = figures.order_conclusion(*cells)
    assert alone.headline.endswith(
        "12 of 15 printed trials of GPT-4; earlier than chance on 1 of 1 spaces, later on 0."
    )
    everywhere = figures.order_conclusion(*map(gk.load_benchmark, TRIAL_TABLES))
    assert everywhere.headline.endswith("18 of 27 printed trials of GPT-4; inconclusive on every space.")
    assert max(len(one.headline.split()) for one in (alone, everywhere)) <= 25


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
    runs = figures.beside_paper(benchmark, seeds=1, control_seeds=2, budget=2, output=tmp_path)
    assert {method: len(some) for method, some in runs.items()} == {
        "offline stand-in, not a language model": 1,
        "random": 2,
        "coordinate descent": 2,
        "prior (largest everywhere)": 1,
    }
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
