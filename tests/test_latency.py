"""Latency: what is timed, how often, in which mode, and what is refused."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from genius_kit.benchmarks.latency import latency_of, measure_latency, spread
from genius_kit.errors import InvalidArchitecture, InvalidParameter
from genius_kit.spaces import load_space

pytestmark = pytest.mark.usefixtures("one_thread")


class Sleeper(nn.Module):
    """Sleeps in its forward pass and remembers each one."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)
        self.seconds = seconds
        self.seen: list[tuple] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        is_last = images.is_contiguous(memory_format=torch.channels_last)
        output = self.layer(images)
        self.seen.append((tuple(images.shape), self.training, torch.is_inference_mode_enabled(), is_last, output.dtype))
        time.sleep(self.seconds)
        return output


@pytest.mark.alone
def test_the_passes_are_timed() -> None:
    """A pass that sleeps 5 ms takes at least that and, in its best tenth, less than ten times as long."""
    latency = measure_latency(Sleeper(0.005), image_size=4, device="cpu", warmup=1, repeats=9)
    assert 0.005 <= latency.p10 <= latency.median <= latency.p90
    assert latency.p10 < 0.05


def test_warm_up_mode_and_layout() -> None:
    """Warm-up and repeats are passes in evaluation and inference mode on a batch in the layout asked for."""
    network = Sleeper().train()
    latency = measure_latency(network, image_size=6, batch_size=2, device="cpu", warmup=3, repeats=5)
    assert network.seen == [((2, 3, 6, 6), False, True, True, torch.float32)] * 8
    assert network.training
    assert (latency.n, latency.batch_size, latency.image_size) == (5, 2, 6)
    assert latency.threads == torch.get_num_threads()
    assert latency.device
    measure_latency(network, image_size=6, device="cpu", warmup=0, repeats=1, channels_last=False, precision="bfloat16")
    assert network.seen[-1] == ((1, 3, 6, 6), False, True, False, torch.bfloat16)


def test_mode_comes_back_after_an_error() -> None:
    """A network that cannot take the images raises its own error and keeps its mode."""
    network = nn.Conv2d(5, 2, 1).train()
    with pytest.raises(RuntimeError, match="channels"):
        measure_latency(network, image_size=6, device="cpu")
    assert network.training


def test_spread() -> None:
    """Median, tenth and ninetieth percentile of 0 to 10."""
    assert spread([float(value) for value in range(11)]) == (5.0, 1.0, 9.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": 0}, "image_size must be an integer .* got 0"),
        ({"batch_size": 0}, "batch_size must be an integer .* got 0"),
        ({"batch_size": 2.0}, "batch_size must be an integer .* got 2.0"),
        ({"warmup": -1}, "warmup must be an integer .* got -1"),
        ({"repeats": 0}, "repeats must be an integer .* got 0"),
        ({"precision": "int4"}, "int4.*float32"),
        ({"device": "abacus"}, "abacus.*cpu"),
        ({"device": f"cuda:{torch.cuda.device_count()}"}, "GPU"),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    """What is wrong and what is needed are said before anything is timed."""
    with pytest.raises(InvalidParameter, match=words):
        measure_latency(Sleeper(), **{"image_size": 4, "device": "cpu", **settings})


@pytest.mark.alone
def test_latency_of_an_architecture() -> None:
    """`latency_of` builds the network: 400 times the pixels take longer, and a wrong architecture is refused."""
    space = load_space("nas-bench-macro-w0.25")
    small, large = (
        latency_of(space, space.all_largest, image_size=side, device="cpu", warmup=1, repeats=9) for side in (8, 160)
    )
    assert 0 < small.p10 < large.p10  # the median only on a machine without other work
    assert (small.image_size, large.image_size) == (8, 160)
    assert latency_of(space, space.all_largest, device="cpu", warmup=0, repeats=1).image_size == 32
    with pytest.raises(InvalidArchitecture):
        latency_of(space, (1, 2, 3))
