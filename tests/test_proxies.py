"""Zero-cost proxies: closed forms, degenerate networks, the benchmark they make, their correlation with tables."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.proxies import (
    LOWEST_LOGARITHM,
    PROXIES,
    ProxyBenchmark,
    correlate,
    grad_norm,
    naswot,
    synflow,
)
from genius_kit.errors import InvalidArchitecture, InvalidParameter, UnknownName
from genius_kit.networks import build_network
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.batch import resume
from genius_kit.runs.loop import search
from genius_kit.spaces import load_space
from genius_kit.spaces.costs import MacsBound, count_cost

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES, LABELS = torch.zeros(2, 3, 1, 1), torch.tensor([0, 1])
TRAINED = ("synflow", "naswot", "grad_norm")


def small(**changes: object) -> ProxyBenchmark:
    """Return a benchmark that takes milliseconds per evaluation."""
    settings: dict = {"space": "nas-bench-macro-w0.25", "dataset": "noise", "batch_size": 4, "image_size": 8}
    return ProxyBenchmark(**{**settings, **changes})


def test_synflow_of_a_linear_network_by_hand() -> None:
    """Each of two bias-free layers contributes the whole flow: |W2| |W1| 1 = 6 + 22 = 28, so that the sum is 56."""
    first, second = nn.Linear(3, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -2.0]])
    second.weight.data = torch.tensor([[-1.0, 2.0]])
    network = nn.Sequential(nn.Flatten(), first, second)
    assert synflow(network, IMAGES, LABELS) == pytest.approx(math.log10(56))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), nn.GroupNorm(1, 3)])
def test_synflow_bypasses_normalisation(norm: nn.Module) -> None:
    """A normalisation with any scale, shift or statistics changes nothing."""
    torch.manual_seed(0)
    convolution, linear = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)
    norm.weight.data.fill_(7.0)
    norm.bias.data.fill_(-3.0)
    plain = synflow(nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), linear), IMAGES, LABELS)
    normed = synflow(nn.Sequential(convolution, norm, nn.ReLU(), nn.Flatten(), linear), IMAGES, LABELS)
    assert normed == pytest.approx(plain, abs=1e-12)


def test_synflow_of_a_deep_network_does_not_overflow() -> None:
    """A flow of 1e180, far beyond float32, is still told from one ten times larger."""
    layers = [nn.Linear(3, 3, bias=False) for _ in range(60)]
    for layer in layers:
        layer.weight.data = torch.eye(3) * 1000
    first = synflow(nn.Sequential(nn.Flatten(), *layers), IMAGES, LABELS)
    layers[0].weight.data *= 10
    assert first == pytest.approx(math.log10(60 * 3) + 180)
    assert synflow(nn.Sequential(nn.Flatten(), *layers), IMAGES, LABELS) == pytest.approx(first + 1)


def codes_to_images(codes: list[list[int]]) -> torch.Tensor:
    """Return images (B, 3, 1, F / 3) whose values are positive where the code is 1."""
    return (torch.tensor(codes).float() - 0.5).reshape(len(codes), 3, 1, -1)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.Hardswish(), nn.GELU()])
def test_naswot_of_known_codes(activation: nn.Module) -> None:
    """The kernel counts agreeing codes: log of the determinant of [[6,5,2],[5,6,3],[2,3,6]] by hand."""
    images = codes_to_images([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]])
    agreeing = [[6, 5, 2], [5, 6, 1], [2, 1, 6]]
    expected = math.log(6 * (36 - 1) - 5 * (30 - 2) + 2 * (5 - 12))
    assert np.linalg.det(agreeing) == pytest.approx(math.exp(expected))
    assert naswot(nn.Sequential(activation, nn.Flatten()), images, LABELS) == pytest.approx(expected)


def test_naswot_adds_up_layers() -> None:
    """Two equal activations double the kernel, so that the determinant of two images grows fourfold."""
    images = codes_to_images([[1, 1, 0], [1, 0, 1]])
    one = naswot(nn.Sequential(nn.ReLU()), images, LABELS)
    two = naswot(nn.Sequential(nn.Identity(), nn.ReLU(), Shifted(), nn.ReLU()), images, LABELS)
    assert two == pytest.approx(one + 2 * math.log(2))


class Shifted(nn.Module):
    """Gives a ReLU's zeros back their sign."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - 0.1


def test_naswot_of_equal_images_is_the_lowest() -> None:
    """Two images with one code make the determinant zero: 0 and not minus infinity."""
    assert naswot(nn.Sequential(nn.ReLU()), codes_to_images([[1, 0, 1], [1, 0, 1]]), LABELS) == 0.0


def test_naswot_needs_activations() -> None:
    """A network without activations is refused, with the kinds it looks for."""
    with pytest.raises(InvalidParameter, match=r"ReLU.*another proxy"):
        naswot(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), IMAGES, LABELS)


def test_grad_norm_of_a_linear_model() -> None:
    """The gradient of a linear model's cross-entropy is (softmax - label)^T x / B."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    labels = np.array([0, 3, 1, 1, 2])
    chances = np.exp(x @ weight.T)
    chances /= chances.sum(axis=1, keepdims=True)
    gradient = (chances - np.eye(4)[labels]).T @ x / 5
    layer = nn.Linear(3, 4, bias=False)
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    images = torch.tensor(x, dtype=torch.float32).reshape(5, 3, 1, 1)
    score = grad_norm(nn.Sequential(nn.Flatten(), layer), images, torch.tensor(labels))
    assert score == pytest.approx(math.log10(np.linalg.norm(gradient)), abs=1e-5)


def test_grad_norm_sums_the_layers() -> None:
    """The norms of the layers are added, not their squares."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    images = torch.randn(2, 3, 1, 1)
    nn.functional.cross_entropy(network(images), LABELS).backward()
    expected = sum(float(network[i].weight.grad.norm()) for i in (1, 3))
    assert grad_norm(network, images, LABELS) == pytest.approx(math.log10(expected), abs=1e-6)


@pytest.mark.parametrize("name", TRAINED)
def test_a_cell_that_passes_nothing_has_the_lowest_score(name: str) -> None:
    """The cell of six `none` edges scores the floor, which JSON can hold, and below any cell that passes something."""
    space = load_space("nas-bench-201")
    scorer = ProxyBenchmark(space, name, dataset="noise", batch_size=4, image_size=8)
    nothing, something = (scorer.evaluate(space.decode(key)).feedback for key in ("000000", "000333"))
    assert nothing == (0.0 if name == "naswot" else LOWEST_LOGARITHM)
    assert nothing < something
    json.dumps(nothing, allow_nan=False)


@pytest.mark.parametrize("name", TRAINED)
def test_the_network_is_left_alone(name: str) -> None:
    """A proxy changes no weight, statistic, gradient, mode or hook of the network it scores."""
    space = load_space("nas-bench-macro-w0.25")
    network = build_network(space, space.all_largest, num_classes=10, image_size=8).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)
    PROXIES[name](network, images, labels)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    "name", ["nas-bench-macro", "channel-bench-resnet", "nas-bench-201", "mobilenet-imagenet", "vision-transformer"]
)
def test_every_space_has_finite_scores(name: str) -> None:
    """Each proxy scores the smallest and the largest network of a space differently, and finitely."""
    space = load_space(name)
    largest = space.all_largest
    smallest = (0,) * space.length if space.family != "cell" else (1,) * 6
    smallest = (0, 1, *smallest[2:]) if space.family == "transformer" else smallest
    for proxy in PROXIES:
        scorer = ProxyBenchmark(space, proxy, dataset="noise", batch_size=4, num_classes=10, image_size=32)
        scores = [scorer.evaluate(architecture).feedback for architecture in (smallest, largest)]
        assert all(math.isfinite(score) and score > LOWEST_LOGARITHM and abs(score) < 1e6 for score in scores), proxy
        assert scores[0] != scores[1], proxy


def test_counts_are_those_of_costs() -> None:
    """`parameters` in thousands and `macs` in millions equal count_cost, from the benchmark and from the network."""
    space = load_space("nas-bench-macro-w0.25")
    cost = count_cost(space, space.all_largest, num_classes=10, image_size=8)
    network = build_network(space, space.all_largest, num_classes=10, image_size=8)
    images = torch.randn(2, 3, 8, 8)
    for name, count in (("parameters", cost.parameters / 1e3), ("macs", cost.macs / 1e6)):
        evaluation = small(proxy=name).evaluate(space.all_largest)
        assert evaluation.feedback == PROXIES[name](network, images, LABELS) == count
        assert evaluation.cost == cost


@pytest.mark.parametrize("name", PROXIES)
def test_evaluation_is_no_accuracy_and_repeats_exactly(name: str) -> None:
    """Feedback is the score alone, named as such; the same settings give the same score, and leave the random state."""
    scorer = small(proxy=name)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    evaluation = scorer.evaluate((2, 0, 1, 2, 0, 1, 2, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluation.validation_accuracy is None
    assert evaluation.test_accuracy is None
    assert "accuracy" not in scorer.feedback_name
    assert "higher is better" in scorer.feedback_name
    again = ProxyBenchmark(**json.loads(json.dumps(scorer.settings)))
    assert again.evaluate((2, 0, 1, 2, 0, 1, 2, 2)) == evaluation
    assert again.settings == scorer.settings


def test_seeds_change_the_score_and_repeats_average_them() -> None:
    """Another seed draws other weights; `repeats` on one batch is the mean over consecutive seeds."""
    images = small(proxy="synflow").images
    ones = [small(proxy="synflow", seed=seed).evaluate((2,) * 8).feedback for seed in (3, 4)]
    both = small(proxy="synflow", seed=3, repeats=2)
    assert ones[0] != ones[1]
    assert both.evaluate((2,) * 8).feedback == pytest.approx(sum(ones) / 2)  # synflow sees no image
    assert "seeds 3 to 4" in both.source
    assert not torch.equal(images, both.images)


def test_digits_fill_the_batch() -> None:
    """The batch is of the training digits, normalised, at the size asked for, by the seed."""
    first, other = (
        ProxyBenchmark("nas-bench-201", "naswot", batch_size=32, image_size=16, seed=seed) for seed in (0, 1)
    )
    assert first.images.shape == (32, 3, 16, 16)
    assert first.images.dtype == torch.float32
    assert abs(float(first.images.mean())) < 0.5
    assert set(first.labels.tolist()) <= set(range(10))
    assert not torch.equal(first.images, other.images)


def test_a_search_runs_on_a_proxy(tmp_path: Path) -> None:
    """Three random proposals are scored, journalled and counted, inside the bound on MACs."""
    bound = MacsBound(30)
    scorer = load_benchmark("proxy", **small(proxy="naswot", constraint=bound).settings)
    assert ProxyBenchmark(**scorer.settings).constraint == bound
    journal = tmp_path / "run.jsonl"
    run = search(scorer, make_proposer("random", scorer.space), 3, journal=journal, progress=False)
    frame = run.frame()
    assert run.finished
    assert len(frame) == 3
    assert (frame["feedback"] > 0).all()
    assert frame["validation_accuracy"].isna().all()
    assert frame["macs"].notna().all()
    cut = tmp_path / "cut.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    cut.write_text("".join(lines[:4]), encoding="utf-8")  # until the second proposal
    assert list(resume(cut).frame()["feedback"]) == list(frame["feedback"])


def test_searches_side_by_side_score_as_one() -> None:
    """Threads that draw weights at the same time do not disturb each other's."""
    scorer = small(proxy="synflow")
    architectures = [scorer.space.at(row) for row in range(0, 6561, 400)]
    alone = [scorer.evaluate(architecture).feedback for architecture in architectures]
    with ThreadPoolExecutor(4) as pool:
        together = [evaluation.feedback for evaluation in pool.map(scorer.evaluate, architectures)]
    assert together == alone


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"proxy": "zen"}, UnknownName, "zen.*synflow"),
        ({"space": "nowhere"}, UnknownName, "nowhere"),
        ({"dataset": "nothing"}, UnknownName, "nothing"),
        ({"batch_size": 1}, InvalidParameter, "batch_size must be an integer of at least 2, got 1"),
        ({"batch_size": True}, InvalidParameter, "batch_size must be an integer .* got True"),
        ({"repeats": 0}, InvalidParameter, "repeats must be an integer .* got 0"),
        ({"seed": -1}, InvalidParameter, "seed must be an integer .* got -1"),
        ({"image_size": 0}, InvalidParameter, "image_size"),
        ({"dataset": "digits", "num_classes": 4}, InvalidParameter, "num_classes is 4, .*10"),
        ({"dataset": "digits", "batch_size": 100_000}, InvalidParameter, "batch_size 100000"),
        ({"device": "abacus"}, InvalidParameter, "abacus"),
    ],
)
def test_bad_settings_are_refused(settings: dict, error: type[Exception], words: str) -> None:
    """What is wrong and what is needed are said when the benchmark is made."""
    with pytest.raises(error, match=words):
        small(**settings)


def test_an_architecture_of_another_space_is_refused() -> None:
    """A wrong length is an InvalidArchitecture, as everywhere."""
    with pytest.raises(InvalidArchitecture):
        small().evaluate((1, 2))


@pytest.mark.parametrize("table", ["nas-bench-macro", "nas-bench-201-cifar10"])
def test_counts_correlate_as_scipy_says(data_home: Path, table: str) -> None:
    """Parameters and MACs are compared over every row, with no interval to speak of."""
    benchmark = load_benchmark(table)
    rows = benchmark.evaluate_rows(np.arange(benchmark.space.size))
    frame = correlate(["parameters", "macs"], benchmark).set_index("proxy")
    for name in ("parameters", "macs"):
        expected = stats.spearmanr(rows[name], rows["feedback"]).statistic
        assert frame.loc[name, "spearman"] == frame.loc[name, "low"] == pytest.approx(expected)
        assert frame.loc[name, "n"] == benchmark.space.size


def test_a_sample_is_correlated_with_its_interval(data_home: Path) -> None:
    """A sampled proxy has an interval round its coefficient, the same one again by the same seed."""
    benchmark = load_benchmark("nas-bench-macro")
    settings = {"n": 12, "dataset": "noise", "batch_size": 2, "image_size": 4}
    row = correlate("synflow", benchmark, **settings).iloc[0]
    assert row["n"] == 12
    assert -1 <= row["low"] <= row["spearman"] <= row["high"] <= 1
    assert row["low"] < row["high"]
    assert row["seconds_per_network"] > 0
    again = correlate("synflow", benchmark, **settings).iloc[0]
    assert (again[["spearman", "low", "high"]] == row[["spearman", "low", "high"]]).all()


def test_a_time_limit_shortens_the_sample(data_home: Path) -> None:
    """After the seconds given the first architectures of the sample are what is compared."""
    benchmark = load_benchmark("nas-bench-macro")
    row = correlate("synflow", benchmark, n=50, seconds=0.0, dataset="noise", batch_size=2, image_size=4).iloc[0]
    assert row["n"] == 3


@pytest.mark.parametrize("n", [2, 6562])
def test_an_impossible_sample_is_refused(data_home: Path, n: int) -> None:
    """A sample is between 3 rows and all of them."""
    with pytest.raises(InvalidParameter, match=f"got {n}"):
        correlate("synflow", load_benchmark("nas-bench-macro"), n=n)
