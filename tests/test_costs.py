"""Parameters and multiply-accumulates: exact on every published row and figure."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from genius_kit.errors import InvalidArchitecture, InvalidParameter
from genius_kit.records import Cost
from genius_kit.spaces import SPACES, load_space
from genius_kit.spaces.costs import MacsBound, all_costs, count_cost, layer_costs, whole_millions

GENIUS_329 = "100010101110404300430440505550"
GENIUS_401 = "101011110011440404450505650605"


@pytest.mark.parametrize(
    ("file", "space_name"),
    [
        ("nas-bench-macro_cifar10.json", "nas-bench-macro"),
        ("Results_ResNet.json", "channel-bench-resnet"),
        ("Results_MobileNet.json", "channel-bench-mobilenet"),
    ],
)
def test_every_published_row_is_exact(published, file, space_name):
    """Both counts equal the published ones on all rows of the three tables that state them."""
    space = load_space(space_name)
    table = json.loads((published / file).read_text())
    parameters, macs = all_costs(space)
    assert len(table) == space.size
    for key, row in table.items():
        index = space.index(space.decode(key))
        assert (parameters[index], macs[index]) == (row["params"], row["flops"])


@pytest.mark.parametrize(
    ("classes", "base_parameters", "base", "three", "one"),
    [
        (10, 73_306, 7_783_050, 35_389_440, 3_932_160),
        (100, 79_156, 7_788_900, 35_389_440, 3_932_160),
        (120, 80_456, 1_953_400, 8_847_360, 983_040),
    ],
)
def test_nas_bench_201_costs_are_linear_in_its_convolutions(classes, base_parameters, base, three, one):
    """All 15,625 cells follow the published formulas; 120 classes mean ImageNet16-120 at 16 pixels."""
    space = load_space("nas-bench-201")
    parameters, macs = all_costs(space, num_classes=classes)
    cells = space.all_architectures()
    n1, n3 = (cells == 2).sum(axis=1), (cells == 3).sum(axis=1)
    np.testing.assert_array_equal(parameters, base_parameters + 243_040 * n3 + 28_000 * n1)
    np.testing.assert_array_equal(macs, base + three * n3 + one * n1)


@pytest.mark.parametrize(
    ("key", "parameters", "paper", "convolutions"),
    [(GENIUS_329, 6_967_464, 329_412_864, 306_968_192), (GENIUS_401, 7_452_328, 401_495_296, 372_264_320)],
)
def test_imagenet_designs_in_both_conventions(key, parameters, paper, convolutions):
    """The two chosen architectures have the published parameters, and MACs in both named conventions."""
    space = load_space("mobilenet-imagenet")
    architecture = space.decode(key)
    assert count_cost(space, architecture) == Cost(parameters, paper)
    assert count_cost(space, architecture, convention="convolutions") == Cost(parameters, convolutions)


def test_imagenet_table_is_the_one_the_model_was_shown(published):
    """Every entry of the searchable layers printed in the published prompt is ours, to its four decimals."""
    prompt = json.loads((published / "chat_history" / "329M.json").read_text())[1]["content"]
    found = re.findall(r"flops_stage(\d)_(first|rest)\s*=\s*\[([^\]]*)\]", prompt)
    _, table = load_space("mobilenet-imagenet").macs_table()
    assert len(found) == 10
    for stage, kind, entries in found:
        rows = table[[6 * int(stage) - 6]] if kind == "first" else table[6 * int(stage) - 5 : 6 * int(stage)]
        np.testing.assert_allclose(rows / 1e6, [[float(entry) for entry in entries.split(",")]] * len(rows), atol=6e-5)


def test_fixed_layers_exceed_the_shown_ones(published):
    """The fixed layers cost 1.62 M more than the published prompt states, so no model could compute the total."""
    prompt = json.loads((published / "chat_history" / "329M.json").read_text())[1]["content"]
    shown = sum(float(figure) for figure in re.findall(r"FLOPS:\s*(\d[\d.]*)\s*}", prompt))
    fixed, _ = load_space("mobilenet-imagenet").macs_table()
    assert sum(fixed.values()) / 1e6 - shown == pytest.approx(1.62, abs=0.005)


@pytest.mark.parametrize("name", SPACES)
def test_layers_add_up(name):
    """On any architecture the layers sum to the total, in both conventions."""
    space = load_space(name)
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = space.sample(rng)
        for convention in ("paper", "convolutions"):
            layers = layer_costs(space, architecture, convention=convention)
            total = count_cost(space, architecture, convention=convention)
            assert total == Cost(sum(layer[1] for layer in layers), sum(layer[2] for layer in layers))
            assert len({layer[0] for layer in layers}) == len(layers)


@pytest.mark.parametrize("name", [name for name in SPACES if load_space(name).size < 1_000_000])
def test_all_costs_agree_with_one_at_a_time(name):
    """The vectorised counts, shape (size,), equal `count_cost` row by row, other classes and image size included."""
    space = load_space(name)
    parameters, macs = all_costs(space, num_classes=37, image_size=64)
    assert parameters.shape == macs.shape == (space.size,)
    for row in np.random.default_rng(1).integers(space.size, size=25).tolist():
        assert count_cost(space, space.at(row), num_classes=37, image_size=64) == Cost(parameters[row], macs[row])


@pytest.mark.parametrize("name", ["nas-bench-macro", "nas-bench-201", "mobilenet-imagenet"])
def test_macs_table_adds_up(name):
    """Fixed layers plus one entry per position give the exact total."""
    space = load_space(name)
    for convention in ("paper", "convolutions"):
        fixed, table = space.macs_table(convention)
        assert table.shape == (space.length, len(space.options))
        for architecture in [space.sample(np.random.default_rng(seed)) for seed in range(10)]:
            total = sum(fixed.values()) + table[np.arange(space.length), architecture].sum()
            assert total == count_cost(space, architecture, convention=convention).macs


def test_isomorphic_designs_cost_the_same():
    """Moving a skip inside its stage changes neither count."""
    space = load_space("mobilenet-imagenet")
    for seed in range(20):
        architecture = space.sample(np.random.default_rng(seed))
        assert count_cost(space, architecture) == count_cost(space, space.canonical(architecture))


def test_counts_are_plain_integers():
    """Counts are Python ints, fit for JSON."""
    for name in SPACES:
        space = load_space(name)
        cost = count_cost(space, np.array(space.all_largest))
        assert (type(cost.parameters), type(cost.macs)) == (int, int)


def test_bound_judges_rounded_totals():
    """330.24 M and 429.91 M are inside bounds of 330 and 430; 330.55 M is not inside 330."""
    space = load_space("mobilenet-imagenet")
    first = space.decode("100000110000444000555500666660")  # 330.24 M
    assert MacsBound(330, 270).refusal(space, first) is None
    refusal = MacsBound(330).refusal(space, space.decode("100010101110402220330440404550"))  # 330.55 M
    assert refusal is not None
    assert refusal.reason == "constraint"


def test_refusal_states_measured_excess_and_bound():
    """The detail holds exactly the measured total, the excess and the bound, in that order, on either side."""
    space = load_space("mobilenet-imagenet")
    above = MacsBound(300).refusal(space, space.decode(GENIUS_329))
    below = MacsBound(500, 400).refusal(space, space.decode(GENIUS_329))
    assert re.findall(r"\d+", above.detail) == ["329", "29", "300"]
    assert "above the upper bound" in above.detail
    assert re.findall(r"\d+", below.detail) == ["329", "71", "400"]
    assert "below the lower bound" in below.detail


@pytest.mark.parametrize(("macs", "millions"), [(0, 0), (499_999, 0), (500_000, 1), (329_412_864, 329)])
def test_whole_millions(macs, millions):
    """Halves round up."""
    assert whole_millions(macs) == millions


@pytest.mark.parametrize(("upper", "lower"), [(0, None), (-3, None), (100, 101), (100, -1)])
def test_impossible_bounds_are_refused(upper, lower):
    """An empty or negative range raises and says what is wrong."""
    with pytest.raises(InvalidParameter, match="bounds must be 0 <= lower <= upper in millions, got"):
        MacsBound(upper, lower)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"convention": "thop"}, "'thop' is not one of paper, convolutions"),
        ({"num_classes": 0}, "num_classes must be an integer .* got 0"),
        ({"image_size": -1}, "image_size must be an integer .* got -1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    """An unknown convention or an impossible size raises and names it."""
    space = load_space("nas-bench-macro")
    with pytest.raises(InvalidParameter, match=message):
        count_cost(space, space.all_largest, **settings)


def test_what_cannot_be_listed_is_refused():
    """Too large a space has no list of costs, a channel space no table per layer, a wrong length no cost."""
    with pytest.raises(InvalidParameter, match="too many to list"):
        all_costs(load_space("mobilenet-imagenet"))
    with pytest.raises(InvalidParameter, match="no MACs of its own"):
        load_space("channel-bench-resnet").macs_table()
    with pytest.raises(InvalidArchitecture, match="8 positions"):
        count_cost(load_space("nas-bench-macro"), (0, 1))
