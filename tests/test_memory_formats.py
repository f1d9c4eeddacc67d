"""The memory format of a training on a CPU: which networks get which, and that no convolution damages memory in it."""

import itertools
import json
import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from genius_kit.benchmarks.cache import OutcomeStore, content_of
from genius_kit.journal import Run
from genius_kit.memory_formats import has_narrow_strides, is_narrow, memory_format
from genius_kit.networks import build_network
from genius_kit.spaces import load_space
from genius_kit.training.checkpoints import load_whole, save_whole
from genius_kit.training.recipes import RECIPES
from tests import convolution_child
from tests.training_doubles import recipe, train

CPU = torch.device("cpu")
WIDTHS = ("0.125", "0.25", "0.5", "0.75", "1")
SPACES = (
    *(f"{name}-w{width}" for name in ("nas-bench-macro", "nas-bench-201", "mobilenet-imagenet") for width in WIDTHS),
    *(f"vision-transformer-w{width}" for width in ("0.25", "1")),
    "channel-bench-resnet",
    "channel-bench-mobilenet",
)
SIDES = {"mobilenet-imagenet": (32, 224), "vision-transformer": (224,)}
"""Pixels of an image per side; the other spaces take those of the digits, of CIFAR-10, and twice as many."""

CHECKED = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3", "MALLOC_CHECK_": "3"}
"""The environment in which glibc checks every block that is freed; another C library ignores it."""


def one(inputs, outputs=8, kernel=1, stride=2, groups=1):
    """Return a network of one convolution."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, groups=groups))


@pytest.mark.parametrize(
    ("network", "is_last"),
    [
        *((one(inputs), False) for inputs in (1, 2, 4, 6, 7, 8, 12, 15)),
        *((one(inputs), True) for inputs in (16, 17, 24, 64)),
        (one(4, kernel=3), True),
        (one(4, stride=1), True),
        (one(4, stride=(1, 2)), False),
        (one(32, groups=8), False),
    ],
)
def test_channels_last_is_left_where_it_is_not_safe(network, is_last):
    """A 1x1 convolution with a stride wants 16 input channels per group on a CPU; elsewhere everything is safe."""
    assert (memory_format(network, CPU, True) is torch.channels_last) is is_last
    assert memory_format(network, CPU, False) is torch.contiguous_format
    assert memory_format(network, torch.device("cuda"), True) is torch.channels_last


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_the_rule_about_architectures_is_that_about_networks(name):
    """With skips everywhere, nowhere, and in the first layer of one stage alone."""
    space = load_space(name)
    skipping = [[0 if place == first else space.largest for place in range(len(space.choices))]
                for first, *_ in space.stages]  # fmt: skip
    for architecture in [space.all_largest, (0,) * len(space.choices), *skipping]:
        assert is_narrow(space, architecture) == has_narrow_strides(build_network(space, architecture, image_size=32))


def test_the_networks_of_the_paper_are_trained_in_channels_last():
    """GENIUS-329 and every network of full width have 16 channels and more wherever a 1x1 convolution has a stride."""
    for name in ("nas-bench-macro", "nas-bench-201", "mobilenet-imagenet", "channel-bench-resnet"):
        space = load_space(name)
        assert memory_format(build_network(space, (0,) * len(space.choices)), CPU, True) is torch.channels_last


def architectures(space):
    """Yield architectures that have every layer of the space: each option everywhere, widths in pairs."""
    options = range(max(map(len, space.choices)))
    pairs = itertools.product(options, repeat=2) if space.family == "channels" else zip(options, options, strict=True)
    for pair in pairs:
        yield tuple(min(pair[place % 2], len(some) - 1) for place, some in enumerate(space.choices))


def shapes_of(network, side):
    """Return (inputs, outputs, kernel, stride, groups, side) of each convolution on images of `side` pixels."""
    found = []

    def note(layer, inputs, _):
        square = (layer.kernel_size[0], layer.stride[0], layer.groups, inputs[0].shape[-1])
        found.append((layer.in_channels, layer.out_channels, *square))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, side, side))
    return found


@pytest.fixture(scope="module")
def shapes():
    """The distinct shapes of the convolutions of all spaces."""
    found = set()
    for space in map(load_space, SPACES):
        for side in SIDES.get(space.base, (8, 32, 64)):
            for architecture in architectures(space):
                found.update(shapes_of(build_network(space, architecture, image_size=side), side))
    return sorted(found)


def run(shapes, layouts, vectors):
    """Return the return code of the child that runs `shapes` with these vectors at most, and its last line."""
    lines = "\n".join(json.dumps([*shape, layout]) for shape, layout in zip(shapes, layouts, strict=True))
    environment = {**os.environ, **CHECKED, "ONEDNN_MAX_CPU_ISA": vectors}
    child = subprocess.run(
        [sys.executable, convolution_child.__file__], input=lines, env=environment, capture_output=True, text=True
    )
    return child.returncode, child.stdout.splitlines()[-1]


@pytest.mark.full
@pytest.mark.parametrize("vectors", ["AVX2", "AVX512_CORE"])
def test_no_convolution_damages_memory_in_the_format_that_it_gets(shapes, vectors):
    """Forward and backward of every shape that a space can ask for, under the allocator's checks."""
    guarded = [memory_format(one(*shape[:5]), CPU, True) for shape in shapes]
    names = [str(layout).removeprefix("torch.") for layout in guarded]
    assert len(shapes) > 1000
    assert set(names) == {"channels_last", "contiguous_format"}
    assert run(shapes, names, vectors) == (0, "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vectors", "shape"),
    [("AVX2", (4, 8, 1, 2, 1, 8)), ("AVX2", (7, 8, 1, 2, 1, 32)), ("AVX512_CORE", (12, 8, 1, 2, 1, 64))],
)
def test_the_checks_find_the_flaw_where_channels_last_is_not_left(vectors, shape):
    """The same child dies of a narrow shape in channels_last, and its last line names it, or dies as it ends."""
    assert memory_format(one(*shape[:5]), CPU, True) is torch.contiguous_format
    code, line = run([shape], ["channels_last"], vectors)
    if code == 0:
        pytest.skip(f"the oneDNN of torch {torch.__version__} does not show the flaw on this processor")
    assert code < 0
    assert line == "whole" or json.loads(line) == [*shape, "channels_last"]


NARROW = load_space("nas-bench-macro-w0.25")
SKIPS, BLOCKS = (0,) * 8, (1,) * 8
DOUBT = r"fewer than 16 channels in channels_last.*do not rely on it"


def test_a_result_tells_its_format_and_one_from_before_is_doubted(tmp_path, one_thread):
    """Whatever the recipe wants; a folder that does not tell may hold what the flaw made."""
    networks = [build_network(NARROW, SKIPS, image_size=8) for _ in range(3)]
    result = train(networks[0], tmp_path, changes={"epochs": 1})
    assert result.memory_format == "contiguous_format"
    assert train(networks[1], changes={"epochs": 1, "channels_last": False}).memory_format == "contiguous_format"
    with warnings.catch_warnings(action="error"):
        assert train(networks[1], tmp_path, changes={"epochs": 1}) == result
    record = json.loads((tmp_path / "result.json").read_text())
    del record["result"]["memory_format"]
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.warns(UserWarning, match=DOUBT):
        assert train(networks[2], tmp_path, changes={"epochs": 1}).memory_format is None


def test_a_training_that_began_before_formats_were_recorded_tells_none(tmp_path, one_thread):
    """Its first part may be spoilt, so that its end does not vouch for it."""
    network = build_network(NARROW, BLOCKS, image_size=8)
    assert train(network, tmp_path, changes={"epochs": 1}).memory_format == "channels_last"
    (tmp_path / "result.json").unlink()
    checkpoint = load_whole(tmp_path / "checkpoint.pt")
    del checkpoint["state"]["memory_format"]
    save_whole(tmp_path / "checkpoint.pt", checkpoint)
    assert train(network, tmp_path, changes={"epochs": 1}).memory_format is None


@pytest.mark.parametrize(
    ("architecture", "channels_last", "result", "is_doubted"),
    [
        (SKIPS, True, {"device": "cpu"}, True),
        (SKIPS, True, {"device": "cpu", "memory_format": None}, True),
        (SKIPS, True, {"device": "cpu", "memory_format": "contiguous_format"}, False),
        (SKIPS, True, {"device": "cuda"}, False),
        (SKIPS, False, {"device": "cpu"}, False),
        (BLOCKS, True, {"device": "cpu"}, False),
    ],
)
def test_a_result_in_the_cache_is_doubted_by_its_record(tmp_path, architecture, channels_last, result, is_doubted):
    """By the device and the format where they are told, and by the architecture."""
    wanted = recipe(channels_last=channels_last)
    content = content_of(NARROW, architecture, wanted, "a data set", 8, 0)
    whole = {"last_validation_accuracy": 90.0, "test_accuracy": None, "history": [], **result}
    OutcomeStore(tmp_path).write(content, {"result": whole, "failure": None})
    with warnings.catch_warnings(record=True, action="always") as given:
        OutcomeStore(tmp_path).read(content)
    assert [DOUBT for one in given if "do not rely on it" in str(one.message)] == [DOUBT] * is_doubted


@pytest.mark.parametrize(
    ("kind", "more", "doubted"),
    [("train", {}, 1), ("train", {"memory_format": "contiguous_format"}, 0), ("proxy", {}, 0)],
)
def test_a_journal_of_a_training_run_is_doubted_where_it_tells_no_format(kind, more, doubted):
    """One sentence with the number of evaluations, whenever its rows are read."""
    made_by = {"kind": kind, "recipe": RECIPES["quick"].as_dict()}
    events = [{"event": "run_started", "run": {"space": NARROW.name, "benchmark_settings": made_by}}]
    for iteration, architecture in enumerate((SKIPS, BLOCKS), start=1):
        known = dict.fromkeys(("validation_accuracy", "test_accuracy", "rank", "parameters", "macs", "source"))
        events.append({"event": "proposal", "iteration": iteration, "text": "", "origin": "random"})
        events.append(
            {
                "event": "evaluation",
                "iteration": iteration,
                "architecture": architecture,
                "feedback": 9.0,
                **known,
                **more,
            }
        )
    with warnings.catch_warnings(record=True, action="always") as given:
        Run(None, events).rows()
    told = [str(one.message) for one in given]
    assert len(told) == doubted
    assert all("1 of its 2 evaluations were trained" in one for one in told)
