"""One look per method: the same everywhere, told apart with every colour vision and in grey."""

from itertools import combinations

import numpy as np
import pytest

from genius_kit.figures import style
from genius_kit.figures.style import STYLES
from genius_kit.paper import paper_label
from genius_kit.prompts.views import CONTROLS
from genius_kit.proposers.base import PROPOSERS
from genius_kit.proposers.methods import shown_name

TOGETHER = {
    "beside the paper": [paper_label(0), paper_label(1), style.STAND_IN, "random", style.PRIOR, "coordinate descent"],
    "optimisers": [
        paper_label(0), "random", "coordinate descent", "evolution", "local search", "TPE", "linear model",
        "Gaussian process, one-hot", "Gaussian process",
    ],
    "tradeoffs": ["llm", "shuffled feedback", "random", "evolution", "nsga2", "parego"],
    "does it search": ["llm", *map(shown_name, CONTROLS), "random", "coordinate descent", "Gaussian process"],
}  # fmt: skip
"""Methods that one figure draws together."""

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB
VISIONS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}


def lightness_and_hue(colour, vision):
    """Return CIE L*a*b* of a colour as it is seen."""
    encoded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("methods", TOGETHER.values(), ids=TOGETHER)
def test_methods_drawn_together_share_neither_colour_nor_marker(methods):
    """Each of the two alone tells them apart."""
    looks = [STYLES[name] for name in methods]
    assert len({look.marker for look in looks}) == len(methods)
    assert len({look.colour for look in looks}) == len(methods)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("methods", TOGETHER.values(), ids=TOGETHER)
def test_colours_are_told_apart_or_the_lines_are(methods, vision):
    """In each colour vision, and in grey, two methods differ by 10 in L*a*b*, or in both marker and line."""
    for first, second in combinations([STYLES[name] for name in methods], 2):
        apart = np.linalg.norm(lightness_and_hue(first.colour, vision) - lightness_and_hue(second.colour, vision))
        assert apart > 10 or (first.marker != second.marker and first.line != second.line)


def test_every_arm_of_the_shipped_studies_has_a_style():
    """None falls back on a spare one, which depends on its name."""
    arms = [name for name in (*PROPOSERS, *CONTROLS) if name not in ("given",)]
    assert [arm for arm in arms if shown_name(arm) not in STYLES] == []


def test_a_method_has_one_style_whatever_it_is_drawn_with():
    """Known and unknown methods keep colour, marker and line whatever stands beside them."""
    alone = style.styles(["random", "gpt-4.1"])
    together = style.styles(["random", "gpt-4.1", "evolution", "coordinate descent"])
    assert alone["random"] == together["random"]
    assert alone["gpt-4.1"] == together["gpt-4.1"]


def test_unknown_methods_that_meet_are_told_apart():
    """Eight models have eight styles."""
    names = [f"model {i}" for i in range(8)]
    found = style.styles(names)
    assert len({found[name] for name in names}) == 8
