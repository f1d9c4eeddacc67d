"""The picture of the two questions, and the known natures that are drawn in it."""

from itertools import combinations

import pandas as pd
import pytest
from matplotlib.text import Text

from genius_kit import figures
from genius_kit.figures.layout import NAME
from genius_kit.verdicts import Verdict
from genius_kit.verdicts.searches.natures import known_natures
from tests.natures import made_table


@pytest.fixture(scope="module")
def known():
    """Verdicts on every known nature on a made table."""
    return known_natures(made_table(3), seeds=40)


def test_each_nature_lies_where_its_kind_is_drawn(known):
    """To the right where results are used, above where labels are needed, on both axes beyond what counts as none."""
    table = figures.questions_table(known).set_index("of")
    uses = {"a hill climber", "one that searches in half of its replies", "a prior, then a climb"}
    assert set(table.index[table["follows_low"] > 0.25]) == uses
    assert table.loc["one that recites with a fifth of noise", "without_low"] > 2
    assert table.loc[["random search", "a hill climber"], "without"].lt(2).all()
    assert {name: known[name].kind for name in ("a hill climber", "one that recites with a fifth of noise")} == {
        "a hill climber": "searches",
        "one that recites with a fifth of noise": "recites",
    }


def named(figure):
    """The names of the points."""
    return [text for text in figure.axes[0].texts if text.get_gid() == NAME]


def test_the_picture_names_each_point_and_its_verdict(known):
    """A name per point, none on another; what was not asked is not drawn."""
    unasked = Verdict("", "cannot tell", pd.DataFrame({"question": ["labels"], "ratio": [3.0], "kind": ["anonymous"]}))
    figure = figures.two_questions({"gpt-x": known["a hill climber"], "gpt-y": unasked}, known)
    labels = named(figure)
    assert "gpt-x: searches" in [label.get_text() for label in labels]
    assert len(labels) == len(known) + 1
    boxes = [Text.get_window_extent(label) for label in labels]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_natures_are_drawn_without_a_model(known):
    """The picture of the docs: known natures alone."""
    assert len(named(figures.two_questions({}, known))) == len(known)


def test_the_picture_says_what_its_lines_bars_and_n_are(known):
    """Both bounds, the intervals, the table and the searches per arm stand in it; of no verdict there is no n."""
    (axes,) = figures.two_questions({}, known).axes
    assert "bars: 95 % intervals; dashed: left of 0.25, results" in axes.get_xlabel()
    assert "(1: a hill climber, averaged over tables; hollow: scripted clients" in axes.get_xlabel()
    assert axes.get_title(loc="left").endswith("; n = 40 searches per arm")
    assert figures.two_questions({}).axes[0].get_title(loc="left") == ""
