"""Zero-cost proxies: scores of a network that was not trained, and how their ranks go with the accuracies of a table.

A proxy is a function of (network, images, labels) that returns a float, higher is better; images are float
(B, 3, S, S), labels int64 (B,). Each works on a copy and leaves the network, its gradients and its statistics alone.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genius_kit.benchmarks.base import Benchmark
from genius_kit.datasets import load_dataset
from genius_kit.datasets.loaders import training_loader
from genius_kit.errors import InvalidParameter, UnknownName, check_integer
from genius_kit.networks import build_seeded
from genius_kit.records import Cost, Evaluation
from genius_kit.spaces import Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost
from genius_kit.stats.agreement import spearman
from genius_kit.training.recipes import Recipe
from genius_kit.training.runtime import choose_device

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark

Proxy = Callable[[nn.Module, Tensor, Tensor], float]

LOWEST_LOGARITHM = math.log10(sys.float_info.min)
"""Score of a network through which nothing passes (-307.65), where the logarithm itself would be minus infinity."""

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)
NORMALISATIONS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def parameters(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the parameters of `network` in thousands: the first baseline of a proxy.

    Source: White et al., "A deeper look at zero-cost proxies for lightweight NAS", ICLR blog track 2022.
    """
    return _counted_cost(network, images).parameters / 1e3


def macs(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the multiply-accumulates of `network` for one image, in millions: the second baseline of a proxy.

    Source: Ning et al., "Evaluating efficient performance estimators of neural architectures", NeurIPS 2021.
    """
    return _counted_cost(network, images).macs / 1e6


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the decimal logarithm of the synaptic flow: the sum of |w * dR/dw|, R the sum of the outputs.

    All parameters are replaced by their absolute values, the input is one image of ones, and every normalisation is
    bypassed; summed over the weights of convolutions and linear layers, in float64. Only the shape of `images`
    matters. A network without flow gets `LOWEST_LOGARITHM`.
    Source: Tanaka et al., "Pruning neural networks without any data", NeurIPS 2020; as a proxy, without batch norm:
    Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021.
    """
    flowing = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for parameter in flowing.parameters():
            parameter.abs_()
    for module in flowing.modules():
        if isinstance(module, NORMALISATIONS):
            module.register_forward_hook(_bypass)
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
    weights = _weights(flowing)
    gradients = torch.autograd.grad(flowing(ones).sum(), weights, allow_unused=True)
    flows = (w.detach() * g for w, g in zip(weights, gradients, strict=True) if g is not None)
    return _logarithm(sum(float(flow.abs().sum()) for flow in flows))


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return log |K| of a batch, where K[i, j] counts the activations whose binary codes agree on images i and j.

    The code of an activation is the sign of what enters it: for a ReLU whether it passes the value, as in the paper;
    Hardswish, SiLU and GELU have no linear regions, and their code is the sign all the same. Batch norm uses the
    batch's statistics. A singular K gets 0, the lowest there is: K is made of whole numbers, so that its determinant
    is at least 1 when it is not 0. Raises InvalidParameter for a network without such activations.
    Source: Mellor et al., "Neural architecture search without training", ICML 2021.
    """
    coded = copy.deepcopy(network).train()
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def add_code(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        signs = (inputs[0] > 0).flatten(1).float() * 2 - 1  # (B, features), -1 or 1
        kernel.add_((signs @ signs.T + signs.shape[1]) / 2)

    modules = [module for module in coded.modules() if isinstance(module, ACTIVATIONS)]
    if not modules:
        names = ", ".join(kind.__name__ for kind in ACTIVATIONS)
        raise InvalidParameter(f"naswot needs activations ({names}), and the network has none: take another proxy")
    for module in modules:
        module.register_forward_pre_hook(add_code)
    with torch.no_grad():
        coded(images)
    if int(torch.linalg.matrix_rank(kernel, hermitian=True)) < len(kernel):
        return 0.0
    return max(0.0, float(torch.linalg.slogdet(kernel).logabsdet))


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the decimal logarithm of the gradient norm of the cross-entropy of one batch, batch norm training.

    The Euclidean norms of the gradients are summed over the weights of convolutions and linear layers. No gradient,
    or one that is not finite, gets `LOWEST_LOGARITHM`.
    Source: Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021.
    """
    learning = copy.deepcopy(network).train()
    loss = nn.functional.cross_entropy(learning(images), labels)
    gradients = torch.autograd.grad(loss, _weights(learning), allow_unused=True)
    total = sum(float(gradient.norm()) for gradient in gradients if gradient is not None)
    return _logarithm(total if math.isfinite(total) else 0.0)


PROXIES: dict[str, Proxy] = {
    "parameters": parameters,
    "macs": macs,
    "synflow": synflow,
    "naswot": naswot,
    "grad_norm": grad_norm,
}

_WORDS = {
    "parameters": ("parameters in thousands", "White et al., 2022"),
    "macs": ("millions of multiply-accumulates", "Ning et al., NeurIPS 2021"),
    "synflow": ("log10 synflow score", "Tanaka et al., NeurIPS 2020"),
    "naswot": ("naswot score", "Mellor et al., ICML 2021"),
    "grad_norm": ("log10 gradient norm", "Abdelfattah et al., ICLR 2021"),
}
"""What each score is called in a prompt, and its paper."""


def _counted_cost(network: Any, images: Tensor) -> Cost:
    space = load_space(network.space_name)
    architecture = space.decode(network.key)
    return count_cost(space, architecture, num_classes=network.num_classes, image_size=images.shape[-1])


def _weights(network: nn.Module) -> list[Tensor]:
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return list({id(layer.weight): layer.weight for layer in layers}.values())


def _bypass(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Return what entered a normalisation; timm's fused ones keep their activation."""
    activation = getattr(module, "act", None)
    return activation(inputs[0]) if isinstance(activation, nn.Module) else inputs[0]


def _logarithm(value: float) -> float:
    if not math.isfinite(value):
        return math.log10(sys.float_info.max)
    return max(LOWEST_LOGARITHM, math.log10(value)) if value > 0 else LOWEST_LOGARITHM


class ProxyBenchmark(Benchmark):
    """A benchmark whose feedback is a zero-cost proxy of a network that was not trained; it knows no accuracy.

    `space` is a space or its name, `proxy` one of `PROXIES`. The batch is the first of `dataset`'s training images
    ("noise": standard normal images with random labels) in the order of `seed`; `image_size` defaults to the data
    set's own, and for noise to that of the space. The weights are drawn from `seed`, and with `repeats` the score is
    the mean over that many consecutive seeds. `constraint` bounds the MACs as in the other benchmarks.
    Raises UnknownName, InvalidParameter, DataMissing.
    """

    kind = "proxy"

    def __init__(
        self,
        space: str | SearchSpace,
        proxy: str = "synflow",
        *,
        dataset: str = "digits",
        batch_size: int = 64,
        seed: int = 0,
        repeats: int = 1,
        num_classes: int | None = None,
        image_size: int | None = None,
        folder: str | None = None,
        device: str | None = None,
        constraint: MacsBound | Mapping[str, Any] | None = None,
    ) -> None:
        space = load_space(space) if isinstance(space, str) else space
        space.check_images()
        if proxy not in PROXIES:
            raise UnknownName.of("proxy", proxy, PROXIES)
        for name, value, least in (("batch_size", batch_size, 2), ("repeats", repeats, 1), ("seed", seed, 0)):
            check_integer(name, value, least)
        score, paper = _WORDS[proxy]
        super().__init__(
            name=f"proxy-{proxy}-{space.name}",
            title=f"{proxy} on {space.title}",
            dataset=dataset,
            space=space,
            feedback_name=f"{score} (higher is better)",
            constraint=MacsBound(**constraint) if isinstance(constraint, Mapping) else constraint,
        )
        self._arguments = {
            "proxy": proxy, "dataset": dataset, "batch_size": batch_size, "seed": seed, "repeats": repeats,
            "num_classes": num_classes, "image_size": image_size, "folder": None if folder is None else str(folder),
        }  # fmt: skip
        self.proxy, self.seeds = proxy, range(seed, seed + repeats)
        self.dataset, self.images, self.labels, self.num_classes = _batch(space, self._arguments, choose_device(device))
        self.image_size = side = self.images.shape[-1]
        count_cost(space, space.all_largest, num_classes=self.num_classes, image_size=side)  # or the size fails here
        seeds = f"seed {seed}" if repeats == 1 else f"seeds {seed} to {seed + repeats - 1}"
        self.source = f"{proxy} ({paper}) of {batch_size} {dataset} images of {side} px, {seeds}"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the scores, fit for JSON: `ProxyBenchmark(**settings)` scores as this one. No device."""
        bound = None if self.constraint is None else dataclasses.asdict(self.constraint)
        return {"space": self.space.name, **self._arguments, "constraint": bound}

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the proxy's score as feedback, with the exact cost; raises InvalidArchitecture."""
        values = self.space.check(architecture)
        cost = count_cost(self.space, values, num_classes=self.num_classes, image_size=self.image_size)
        counted = {"parameters": cost.parameters / 1e3, "macs": cost.macs / 1e6}
        score = counted[self.proxy] if self.proxy in counted else self._mean_score(values)
        return Evaluation(None, None, score, cost, self.source)

    def _mean_score(self, architecture: Architecture) -> float:
        return sum(self._score(architecture, seed) for seed in self.seeds) / len(self.seeds)

    def _score(self, architecture: Architecture, seed: int) -> float:
        sizes = {"num_classes": self.num_classes, "image_size": self.image_size}
        network = build_seeded(self.space, architecture, seed, **sizes)
        return PROXIES[self.proxy](network.to(self.images.device), self.images, self.labels)


def _batch(space: SearchSpace, arguments: Mapping[str, Any], device: torch.device) -> tuple[str, Tensor, Tensor, int]:
    """Return what the images are, the images float (B, 3, S, S), labels (B,) and the number of classes."""
    if arguments["dataset"] == "noise":
        images, labels, classes = _noise(space, arguments)
        return "random images", images.to(device), labels.to(device), classes
    dataset = load_dataset(arguments["dataset"], folder=arguments["folder"])
    classes = arguments["num_classes"] or dataset.num_classes
    if classes < dataset.num_classes:
        raise InvalidParameter(
            f"num_classes is {classes}, but {dataset.name} has {dataset.num_classes}: leave num_classes out"
        )
    recipe = Recipe(
        name="proxy", source="this project: one batch", epochs=1, batch_size=arguments["batch_size"],
        learning_rate=1.0, image_size=arguments["image_size"], workers=0,
    )  # fmt: skip
    loader = training_loader(dataset, recipe, device=device, seed=arguments["seed"])
    images, labels = next(iter(loader.epoch(0)))
    return dataset.title, images, labels, classes


def _noise(space: SearchSpace, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor, int]:
    classes, side = space.sizes(arguments["num_classes"], arguments["image_size"])
    generator = torch.Generator().manual_seed(arguments["seed"])
    images = torch.randn(arguments["batch_size"], 3, side, side, generator=generator)
    labels = torch.randint(classes, (arguments["batch_size"],), generator=generator)
    return images, labels, classes


COUNTED = ("parameters", "macs")
"""Proxies that a table already holds for every row."""

COLUMNS = (
    "proxy", "benchmark", "accuracy", "images", "n", "spearman", "low", "high", "kendall", "seconds_per_network",
    "counted", "gain", "gain_low", "gain_high",
)  # fmt: skip

RESAMPLES = 2_000  # of the bootstrap


def correlate(
    proxies: str | Sequence[str],
    benchmark: TabularBenchmark,
    *,
    n: int = 500,
    seed: int = 0,
    by: str = "feedback",
    seconds: float | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Return the rank correlation of each proxy with the accuracies of `benchmark`, one row a proxy.

    `parameters` and `macs` are compared over all rows, so that `low` and `high`, the bounds of the 95 % bootstrap
    interval of Spearman's coefficient, are the coefficient itself. The others are evaluated on a sample of `n`
    architectures drawn without repetition by `seed`, or on its first ones when `seconds` have passed; `settings`
    go to ProxyBenchmark (data set, batch size, image size). Columns: proxy, benchmark, accuracy, images, n, spearman,
    low, high, kendall (tau-b), seconds_per_network; and counted, gain, gain_low, gain_high: by how much Spearman's
    coefficient is above that of the better count of this table (`counted`) on the same architectures. The interval of
    the gain draws architectures anew for both, and holds for all sampled proxies together at 95 % (Bonferroni).
    Raises UnknownName, InvalidParameter.
    """
    import pandas as pd

    names = [proxies] if isinstance(proxies, str) else list(proxies)
    if not 3 <= n <= benchmark.space.size:
        raise InvalidParameter(f"n must be 3 to {benchmark.space.size}, the rows of {benchmark.name}, got {n}")
    counts = _counts(benchmark)
    best = max(COUNTED, key=lambda count: spearman(counts[count], benchmark.scores(by)))
    sampled = max(1, sum(name not in COUNTED for name in names))
    found = []
    for name in names:
        if name in COUNTED:
            found.append(_correlation(name, benchmark, by, np.arange(benchmark.space.size), counts[name], seed))
            continue
        rows, scores, images, each = _scores(name, benchmark, n, seed, seconds, settings)
        row = _correlation(name, benchmark, by, rows, scores, seed)
        gain = _gain(scores, counts[best][rows], benchmark.scores(by)[rows], seed, sampled)
        found.append({**row, "images": images, "seconds_per_network": each, "counted": best, **gain})
    return pd.DataFrame(found, columns=list(COLUMNS))


def _counts(benchmark: TabularBenchmark) -> dict[str, np.ndarray]:
    """Return what every row of a table has in parameters and multiply-accumulates."""
    table = benchmark.evaluate_rows(np.arange(benchmark.space.size))
    return {name: table[name].astype(float) for name in COUNTED}


def _correlation(
    proxy: str, benchmark: TabularBenchmark, by: str, rows: np.ndarray, scores: np.ndarray, seed: int
) -> dict[str, Any]:
    from scipy import stats

    accuracies = benchmark.scores(by)[rows]
    coefficient = spearman(scores, accuracies)
    low, high = (coefficient, coefficient) if proxy in COUNTED else _interval(scores, accuracies, seed)
    return {
        "proxy": proxy,
        "benchmark": benchmark.name,
        "accuracy": benchmark.feedback_name if by == "feedback" else f"{by} accuracy",
        "images": "none",
        "n": len(rows),
        "spearman": coefficient,
        "low": low,
        "high": high,
        "kendall": float(stats.kendalltau(scores, accuracies).statistic),
        "seconds_per_network": 0.0,
    }


def _scores(
    proxy: str, benchmark: TabularBenchmark, n: int, seed: int, seconds: float | None, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Return rows, scores, what the images were, and the mean seconds per network."""
    scorer = ProxyBenchmark(benchmark.space, proxy, **settings)
    rows = np.random.default_rng(seed).choice(benchmark.space.size, n, replace=False)
    scores: list[float] = []
    begun = time.perf_counter()
    for row in rows:
        if seconds is not None and len(scores) >= 3 and time.perf_counter() - begun > seconds:
            break
        feedback = scorer.evaluate(benchmark.space.at(int(row))).feedback
        assert feedback is not None
        scores.append(feedback)
    each = (time.perf_counter() - begun) / len(scores)
    images = f"{len(scorer.images)} {scorer.settings['dataset']}, {scorer.image_size} px"
    return rows[: len(scores)], np.array(scores), images, each


def _interval(scores: np.ndarray, accuracies: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of Spearman's coefficient, architectures drawn anew in pairs."""
    (coefficients,) = _resampled(seed, accuracies, scores)
    low, high = np.nanpercentile(coefficients, [2.5, 97.5])
    return float(low), float(high)


def _gain(
    scores: np.ndarray, counts: np.ndarray, accuracies: np.ndarray, seed: int, comparisons: int
) -> dict[str, float]:
    """Return by how much the coefficient of `scores` is above that of `counts`, with its interval."""
    ours, theirs = _resampled(seed, accuracies, scores, counts)
    tail = 2.5 / comparisons
    low, high = np.nanpercentile(ours - theirs, [tail, 100 - tail])
    gain = spearman(scores, accuracies) - spearman(counts, accuracies)
    return {"gain": gain, "gain_low": float(low), "gain_high": float(high)}


def _resampled(seed: int, accuracies: np.ndarray, *scores: np.ndarray) -> list[np.ndarray]:
    """Return Spearman's coefficients of each of `scores` over the same resamples of architectures."""
    from scipy import stats

    draws = np.random.default_rng(seed).integers(len(accuracies), size=(RESAMPLES, len(accuracies)))
    ranks = [stats.rankdata(values[draws], axis=1) for values in (accuracies, *scores)]
    first, *others = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):  # a resample of one value has no coefficient
        return [(first * rank).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (rank**2).sum(axis=1)) for rank in others]
