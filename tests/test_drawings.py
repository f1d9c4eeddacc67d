"""Drawings: each space has one, it says what is in the architecture, and no two texts overlap."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from genius_kit.errors import InvalidArchitecture
from genius_kit.figures.drawings import draw_architecture
from genius_kit.spaces import SPACES, load_space


@pytest.fixture
def plt():
    """Pyplot that draws to files, all figures closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


CASES = [
    ("nas-bench-macro", "01210012"),
    ("nas-bench-macro", "22222222"),
    ("channel-bench-resnet", "4344424"),
    ("channel-bench-mobilenet", "4444444"),
    ("nas-bench-201", "333133"),
    ("nas-bench-201", "012340"),
    ("mobilenet-imagenet", "012345601234560123456012345606"),
    ("mobilenet-imagenet", "666666666666666666666666666666"),
    ("vision-transformer", "012340123401234"),
    ("vision-transformer", "444444444444444"),
]


def _texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_no_text_overlaps_another(plt, name, key):
    """Every label of every drawing stands free of the others, the title, and the figure's edge."""
    space = load_space(name)
    ax = draw_architecture(space, space.decode(key))
    figure = ax.get_figure()
    figure.canvas.draw()
    labels = [*ax.texts, ax.title, ax._left_title]
    legend = ax.get_legend()
    labels += legend.get_texts() if legend else []
    labels += [*ax.get_xticklabels(), *ax.get_yticklabels()] if ax.axison else []
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1


def test_layers_name_kernel_and_expansion(plt):
    """A block shows kernel and expansion; a skip that must change width is a 1x1 convolution."""
    space = load_space("nas-bench-macro")
    texts = _texts(draw_architecture(space, space.decode("01210012")))
    assert texts.count("3×3\nexp. 3") == 3
    assert texts.count("5×5\nexp. 6") == 2
    assert (texts.count("1×1 conv"), texts.count("skip")) == (2, 1)
    assert [text for text in texts if text.startswith("stage")] == ["stage 1", "stage 2", "stage 3"]


def test_skips_are_thin_and_dashed(plt):
    """A skip's box is dashed and lower than a block's."""
    space = load_space("mobilenet-imagenet")
    ax = draw_architecture(space, space.decode("100000" * 5))
    dashed = [patch for patch in ax.patches if patch.get_linestyle() == "--"]
    solid = [patch for patch in ax.patches if patch not in dashed]
    assert (len(dashed), len(solid)) == (25, 5)
    assert max(patch.get_height() for patch in dashed) < min(patch.get_height() for patch in solid)
    assert len([text for text in _texts(ax) if text.startswith("layer")]) == 30


def test_channels_show_used_and_full_width(plt):
    """Each width has a bar of its channels inside the outline of the full width."""
    space = load_space("channel-bench-resnet")
    ax = draw_architecture(space, space.decode("1344424"))
    heights = [patch.get_height() for patch in ax.patches]
    assert heights == [256, 256, 256, 512, 512, 512, 512, 64, 192, 256, 512, 512, 256, 512]
    assert _texts(ax)[0] == "64 / 256"


def test_cell_names_its_operations(plt):
    """Each edge but `none` carries the name of its operation; `none` is dotted."""
    space = load_space("nas-bench-201")
    ax = draw_architecture(space, space.decode("012340"))
    assert {"skip", "1×1 conv", "3×3 conv", "3×3 pool"} <= set(_texts(ax))
    dotted = [patch for patch in ax.patches if patch.get_linestyle() == ":"]
    assert len(dotted) == 2


def test_given_axes_are_used(plt):
    """With `ax` nothing new is opened, and the same axes come back."""
    _, axes = plt.subplots(1, len(SPACES))
    for ax, name in zip(axes, SPACES, strict=True):
        space = load_space(name)
        assert draw_architecture(space, space.all_largest, ax) is ax
    assert len(plt.get_fignums()) == 1


def test_wrong_architectures_are_refused(plt):
    """An architecture of another space raises before anything is drawn."""
    with pytest.raises(InvalidArchitecture, match="8 positions"):
        draw_architecture(load_space("nas-bench-macro"), (0, 1))
    assert plt.get_fignums() == []


def test_importing_drawings_does_not_import_matplotlib():
    """Matplotlib is imported by drawing, not by the module."""
    code = "import sys, genius_kit.figures.drawings, genius_kit.spaces.costs; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
