"""Networks: what is built is what is counted, named as published, trains, and takes only weights that fit."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from timm.layers import DropPath
from timm.models._efficientnet_blocks import InvertedResidual
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from genius_kit.errors import InvalidArchitecture, InvalidParameter, UnknownName
from genius_kit.networks import build_network, load_weights
from genius_kit.networks.cifar import Cell
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import count_cost, layer_costs

GENIUS_329 = "100010101110404300430440505550"
GENIUS_401 = "101011110011440404450505650605"
FAMILIES = ("nas-bench-macro", "channel-bench-resnet", "channel-bench-mobilenet", "nas-bench-201", "mobilenet-imagenet")
SCALABLE = ("nas-bench-macro", "nas-bench-201", "mobilenet-imagenet")
SMALL = {
    "nas-bench-macro-w0.25": (1, 0, 2, 1, 0, 0, 2, 1),
    "channel-bench-resnet": (0,) * 7,
    "channel-bench-mobilenet": (0,) * 7,
    "nas-bench-201-w0.5": (3, 2, 1, 4, 0, 3),
    "mobilenet-imagenet-w0.25": load_space("mobilenet-imagenet").decode("001000102010010000040000500600"),
}
"""A small network of each family, that a test can train."""


def small_network(name, **settings):
    """Return a small seeded network of that space, for ten classes of images of 32 pixels."""
    torch.manual_seed(0)
    settings = {"num_classes": 10, "image_size": 32} | settings
    return build_network(load_space(name), SMALL[name], **settings)


@pytest.fixture
def uninitialised(monkeypatch):
    """Leave the weights of what is built as they are: initialising on the meta device is slow and changes nothing."""
    for name in ("kaiming_uniform_", "normal_", "uniform_", "ones_", "zeros_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)


def built_cost(space, architecture, num_classes, image_size):
    """Return the parameters of the built module and torch's own count of its MACs, on the meta device.

    Layers that the counter does not count are passed over, to be quick.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(space, architecture, num_classes=num_classes, image_size=image_size).eval()
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.ReLU, nn.Hardswish, nn.Hardsigmoid)):
                module.forward = lambda features: features
        with FlopCounterMode(display=False) as counter:
            logits = network(torch.empty(2, 3, image_size, image_size))
    assert logits.shape == (2, num_classes)
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() / 2 / 2


def assert_counts_agree(space, architecture, num_classes, image_size):
    """Compare the analytic counts of one network with those of the module."""
    sizes = {"num_classes": num_classes, "image_size": image_size}
    cost = count_cost(space, architecture, convention="convolutions", **sizes)
    bias = num_classes if space.family == "cell" else 0  # counted by NAS-Bench-201, not by torch
    assert built_cost(space, architecture, **sizes) == (cost.parameters, cost.macs - bias)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * (name == "mobilenet-imagenet")) for name in FAMILIES]
)
def test_counts_are_those_of_the_module(name, uninitialised):
    """Parameters and MACs equal the built module's on 200 random architectures, class counts and image sizes."""
    space, rng, draw = load_space(name), np.random.default_rng(0), random.Random(0)
    for _ in range(200):
        assert_counts_agree(space, space.sample(rng), draw.choice([1, 10, 120]), draw.choice([17, 32, 64]))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCALABLE)
def test_counts_of_other_widths_are_those_of_the_module(name, uninitialised):
    """They equal at 25 random widths too, down to one channel."""
    rng, draw = np.random.default_rng(1), random.Random(1)
    for width in ["0.01", *(f"{draw.uniform(0.02, 2):.2f}" for _ in range(24))]:
        space = load_space(f"{name}-w{width}")
        assert_counts_agree(space, space.sample(rng), 10, 32)


@pytest.mark.parametrize(("name", "base"), [(f"{name}-w0.25", name) for name in SCALABLE])
def test_width_scaled_spaces(name, base):
    """A width is part of the name and title, scales the cost of the fixed layers, and keeps options and keys."""
    space, full = load_space(name), load_space(base)
    assert (space.name, space.base, space.width, full.base) == (name, base, 0.25, base)
    assert "0.25" in space.title
    assert (space.choices, space.options) == (full.choices, full.options)
    assert space.decode(space.encode(space.all_largest)) == space.all_largest
    assert layer_costs(space, space.all_largest)[0][1] == layer_costs(full, space.all_largest)[0][1] / 4
    assert count_cost(space, space.all_largest).macs < count_cost(full, space.all_largest).macs / 4


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("nas-bench-macro-w1", "nas-bench-macro"),
        ("nas-bench-macro-w1.0", "nas-bench-macro"),
        ("nas-bench-macro-w0.50", "nas-bench-macro-w0.5"),
        ("nas-bench-201-w2.0", "nas-bench-201-w2"),
        ("channel-bench-resnet-w1", "channel-bench-resnet"),
    ],
)
def test_widths_have_one_name(asked, name):
    """The full width has no suffix, and trailing zeros are dropped."""
    assert load_space(asked).name == name


@pytest.mark.parametrize("width", ["0", "4.1", "-1", "nan", "", "1e-3", "0.12345", "half"])
def test_bad_widths_are_refused(width):
    """A width that is no number over 0 and up to 4 raises, saying what is needed."""
    with pytest.raises(InvalidParameter, match="must be a number above 0 and up to 4"):
        load_space(f"nas-bench-macro-w{width}")


def test_channel_spaces_have_no_width():
    """A space that searches channel counts cannot be scaled, and an unknown space stays unknown."""
    with pytest.raises(InvalidParameter, match="its channel counts are what is searched"):
        load_space("channel-bench-resnet-w0.5")
    with pytest.raises(UnknownName):
        load_space("nas-bench-macros-w0.5")


@pytest.mark.parametrize(("key", "parameters", "entries"), [(GENIUS_329, 6_967_464, 406), (GENIUS_401, 7_452_328, 472)])
def test_published_designs(key, parameters, entries):
    """GENIUS-329 and 401 have the published parameters, 1,000 classes, and the authors' number of state entries."""
    space = load_space("mobilenet-imagenet")
    with torch.device("meta"):
        network = build_network(space, space.decode(key))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == entries
    assert (network.num_classes, network.key, network.space_name) == (1000, key, "mobilenet-imagenet")


def test_attributes_of_the_imagenet_network():
    """Children are the authors' attributes; names inside are theirs too, also of option 0 as a stage's first layer."""
    space = load_space("mobilenet-imagenet")
    with torch.device("meta"):
        network = build_network(space, space.decode("001000" + GENIUS_329[6:]))
    stages = [f"stage{number}" for number in range(7)]
    published = {"conv_stem", "bn1", "act1", *stages, "global_pool", "conv_head", "act2", "classifier"}
    assert {name for name, _ in network.named_children()} == published | {"dropout"}
    keys = network.state_dict().keys()
    block = [
        "conv_pw.weight",
        "bn1.running_var",
        "conv_dw.weight",
        "se.conv_reduce.bias",
        "conv_pwl.weight",
        "bn3.bias",
    ]
    for key in [*(f"stage1.1.{name}" for name in block), "stage1.0.downsample.0.weight", "stage1.0.downsample.1.bias"]:
        assert key in keys
    assert {"stage0.conv_dw.weight", "stage6.conv.weight", "stage6.bn1.weight", "conv_head.bias"} <= set(keys)


def test_activations_are_fused_and_squeeze_excite_is_everywhere():
    """Every block has squeeze-excite; hard-swish and hard-sigmoid are torch's own modules."""
    space = load_space("mobilenet-imagenet")
    with torch.device("meta"):
        network = build_network(space, space.decode(GENIUS_329))
    modules = list(network.modules())
    kinds = {type(module) for module in modules}
    assert sum(isinstance(module, nn.Hardsigmoid) for module in modules) == sum(map(bool, map(int, GENIUS_329))) + 1
    assert nn.Hardswish in kinds
    assert not any(re.search("[Ss]igmoid|[Ss]wish", kind.__name__) for kind in kinds - {nn.Hardswish, nn.Hardsigmoid})


@pytest.mark.parametrize("name", ["mobilenet-imagenet", "nas-bench-macro"])
def test_skips_leave_no_module(name):
    """Stages hold their first layer and those not skipped, so isomorphic architectures have one state dict."""
    space = load_space(name)
    rng = np.random.default_rng(2)
    for _ in range(3):
        architecture = space.sample(rng)
        shapes = []
        with torch.device("meta"):
            for design in (architecture, space.canonical(architecture)):
                network = build_network(space, design)
                shapes.append([(key, tuple(value.shape)) for key, value in network.state_dict().items()])
        for number, stage in enumerate(space.stages, start=1):
            kept = 1 + sum(architecture[position] > 0 for position in stage[1:])
            assert len(network.get_submodule(f"stage{number}")) == kept
        assert shapes[0] == shapes[1]


def test_cells_compute_the_graph():
    """A cell sums its edges: skips add up, `none` is zero of the same shape, the pool leaves out the padding."""
    features = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(Cell((1,) * 6, 4)(features), 4 * features)
    torch.testing.assert_close(Cell((0, 0, 0, 1, 0, 0), 4)(features), features)
    torch.testing.assert_close(Cell((0, 1, 0, 0, 0, 1), 4)(features), features)
    assert torch.equal(Cell((3, 3, 3, 0, 0, 0), 4)(features), torch.zeros_like(features))
    torch.testing.assert_close(Cell((0, 0, 0, 4, 0, 0), 4)(torch.ones(1, 4, 5, 5)), torch.ones(1, 4, 5, 5))


@pytest.mark.parametrize("name", SMALL)
def test_a_step_lowers_the_loss(name):
    """Every parameter that can has a gradient, and one step of gradient descent lowers the loss on its batch."""
    network = small_network(name)
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 10
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert any(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    torch.optim.SGD(network.parameters(), lr=0.02).step()
    assert nn.functional.cross_entropy(network(images), labels) < loss


@pytest.mark.parametrize("name", SMALL)
def test_features_before_the_classifier(name):
    """The head and classifier applied to `forward_features` give the logits, and a seed decides the weights."""
    network, again = small_network(name).eval(), small_network(name).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = network(images)
        assert logits.shape == (2, 10)
        features = network.forward_head(network.forward_features(images))
        assert torch.equal(network.classifier(features), logits)
        assert torch.equal(again(images), logits)


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("nas-bench-macro-w0.25", (2, 4, 8)),
        ("channel-bench-resnet", (2, 4)),
        ("channel-bench-mobilenet", (2, 4)),
        ("nas-bench-201-w0.5", (1, 2, 4)),
        ("mobilenet-imagenet-w0.25", (4, 8, 16, 32)),
    ],
)
def test_feature_maps(name, strides):
    """`features_only` gives maps of the stated channels and strides, from the whole network's weights."""
    whole, body = small_network(name).eval(), small_network(name, features_only=True).eval()
    load_weights(body, whole.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = body(images)
    assert body.strides == strides
    expected = [
        (2, channels, 64 // stride, 64 // stride) for channels, stride in zip(body.channels, strides, strict=True)
    ]
    assert [tuple(feature_map.shape) for feature_map in maps] == expected
    assert not hasattr(body, "classifier")
    if not hasattr(whole, "head"):  # then the last map is what the pool sees
        assert torch.equal(maps[-1], whole.forward_features(images))
    heads = set(whole.head_parts)
    assert {key for key in whole.state_dict() if key.split(".")[0] not in heads} == set(body.state_dict())


def test_feature_maps_of_the_imagenet_space():
    """Dense prediction gets the ends of stages 1, 2 and 4 and of layer 32."""
    space = load_space("mobilenet-imagenet")
    with torch.device("meta"):
        network = build_network(space, space.decode(GENIUS_329), features_only=True)
    assert (network.channels, network.strides) == ((24, 40, 96, 320), (4, 8, 16, 32))


@pytest.mark.parametrize("name", SMALL)
def test_dropout_and_drop_path(name):
    """Dropout comes before the classifier, drop path rises from 0 over residual blocks; neither acts in evaluation."""
    network = small_network(name, dropout=0.3, drop_path=0.2)
    rates = [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
    assert network.dropout.p == 0.3
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2)
    images, plain = torch.randn(2, 3, 32, 32), small_network(name).eval()
    load_weights(network, plain.state_dict())
    with torch.no_grad():
        assert torch.equal(network.eval()(images), plain(images))


def test_drop_path_is_on_residual_blocks_only():
    """The first layer of a stage has none, as it adds nothing."""
    network = small_network("mobilenet-imagenet-w0.25", drop_path=0.2)
    for name, module in network.named_modules():
        if isinstance(module, InvertedResidual) and name.endswith(".0"):
            assert isinstance(module.drop_path, nn.Identity)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 0}, "num_classes must be an integer .* got 0"),
        ({"num_classes": 2.5}, "num_classes must be an integer .* got 2.5"),
        ({"num_classes": True}, "num_classes must be an integer .* got True"),
        ({"image_size": -8}, "image_size must be an integer .* got -8"),
        ({"dropout": 1.0}, "dropout must be .*got 1.0"),
        ({"drop_path": -0.1}, "drop_path must be .*got -0.1"),
        ({"dropout": float("nan")}, "dropout must be .*got nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    """A class count, size or rate that cannot be is refused, and so is an architecture of another space."""
    space = load_space("nas-bench-macro")
    with pytest.raises(InvalidParameter, match=message):
        build_network(space, space.all_largest, **settings)
    with pytest.raises(InvalidArchitecture):
        build_network(space, (0, 1))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "optimizer": {"lr": 1}},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
        lambda state: {"n_averaged": torch.tensor(2), **{f"module.{key}": value for key, value in state.items()}},
    ],
)
def test_weights_are_loaded(tmp_path, wrap):
    """A state dict is found inside the usual wrappings, in memory and in a file."""
    name = "nas-bench-macro-w0.25"
    trained = small_network(name)
    nn.init.constant_(trained.classifier.bias, 7.0)
    torch.save(wrap(trained.state_dict()), tmp_path / "weights.pt")
    for source in (wrap(trained.state_dict()), tmp_path / "weights.pt", str(tmp_path / "weights.pt")):
        network = small_network(name)
        load_weights(network, source)
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in trained.state_dict().items())


def test_weights_of_other_networks_are_refused():
    """Another architecture or class count raises, naming keys and shapes; the network stays as it was."""
    space = load_space("nas-bench-macro-w0.25")
    network = small_network(space.name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    deeper = build_network(space, (1, 0, 2, 1, 1, 0, 2, 1))
    with pytest.raises(
        InvalidParameter, match=r"unexpected stage2\.2\..* and \d+ more\. This checkpoint is of another"
    ):
        load_weights(network, deeper.state_dict())
    with pytest.raises(InvalidParameter, match=r"missing stage2\.2\."):
        load_weights(deeper, network.state_dict())
    more_classes = small_network(space.name, num_classes=100)
    with pytest.raises(InvalidParameter, match=r"classifier\.weight \(100, 320\) instead of \(10, 320\)"):
        load_weights(network, more_classes.state_dict())
    with pytest.raises(InvalidParameter, match="classifier"):
        load_weights(network, more_classes.state_dict(), strict=False)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_loose_loading_takes_what_is_there():
    """Without `strict` a part of the weights is loaded, but weights of which nothing fits are refused."""
    network, other = small_network("nas-bench-macro-w0.25"), small_network("nas-bench-macro-w0.25")
    nn.init.constant_(other.classifier.bias, 7.0)
    load_weights(network, {"classifier.bias": other.classifier.bias.data, "foreign": torch.ones(1)}, strict=False)
    assert torch.equal(network.classifier.bias, other.classifier.bias)
    with pytest.raises(InvalidParameter, match="unexpected foreign"):
        load_weights(network, {"foreign": torch.ones(1)}, strict=False)


def test_files_that_are_no_weights_are_refused(tmp_path):
    """A missing, cut or foreign file, and one with other objects than tensors, raise; no code in it is run."""
    network = small_network("nas-bench-macro-w0.25")
    torch.save(network.state_dict(), tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pt").write_text("these are no weights")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(network, tmp_path / "module.pt")
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    for name, message in [
        ("absent.pt", "no weights can be read"),
        ("cut.pt", "damaged"),
        ("text.pt", "damaged"),
        ("empty.pt", "damaged"),
        ("module.pt", "holds more than tensors"),
        ("other.pt", "holds no state dict"),
    ]:
        with pytest.raises(InvalidParameter, match=message):
            load_weights(network, tmp_path / name)
    with pytest.raises(InvalidParameter, match="no weights can be read"):
        load_weights(network, tmp_path)
