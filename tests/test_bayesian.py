"""Surrogates: the kernels and models by their definitions, and the searches that follow them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import genius_kit as gk
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.proposers.bayesian import (
    CountsKernel,
    candidate_designs,
    expected_improvement,
    gaussian_process,
    option_counts,
    standardise,
    thompson_linear,
)
from genius_kit.records import Evaluation
from genius_kit.spaces.costs import MacsBound, count_cost, whole_millions
from tests.doubles import ToyBenchmark
from tests.test_listing import situation

NAMES = ["gp", "gp-hamming", "linear"]


class LargeToy(ToyBenchmark):
    """The ImageNet space under a bound, scored by the sum of the options; too large to list."""

    def __init__(self):
        super().__init__()
        self.space = gk.load_space("mobilenet-imagenet")
        self.constraint = MacsBound(330)


class FailingToy(ToyBenchmark):
    """Every other architecture cannot be measured."""

    def evaluate(self, architecture):
        evaluation = super().evaluate(architecture)
        if sum(architecture) % 2:
            return evaluation
        return Evaluation(None, None, None, None, "toy", "diverged: at step 3")


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=2, max_size=12))
@settings(max_examples=50)
def test_the_kernel_is_what_its_docstring_says(designs):
    """Each entry is the sum of the four views, it is symmetric, positive, and its diagonal is `variances`."""
    array = np.array(designs)
    kernel = CountsKernel(5)
    covariances = kernel(array, array)
    for i, j in itertools.product(range(len(designs)), repeat=2):
        counts = sum(designs[i].count(option) * designs[j].count(option) for option in range(5))
        matching = sum(a == b for a, b in zip(designs[i], designs[j], strict=True))
        apart = sum((designs[i].count(option) - designs[j].count(option)) ** 2 for option in range(5))
        expected = 2 * counts / 36 + 0.4 * np.exp(-apart / 8) + 0.5 * matching / 6 + 0.5 * np.exp(-0.4 * (6 - matching))
        assert covariances[i, j] == pytest.approx(expected)
    np.testing.assert_allclose(np.diag(covariances), kernel.variances(array))
    assert np.linalg.eigvalsh(covariances).min() > -1e-9


def test_the_process_interpolates_and_falls_back_to_its_prior():
    """With little noise the mean at a measured architecture is its target; far away it is the prior's."""
    rng = np.random.default_rng(0)
    designs = rng.integers(0, 5, size=(8, 6))
    targets = rng.normal(size=8)
    kernel = CountsKernel(5, counts=0, composition=0, linear=0, hamming=1)
    mean, deviation = gaussian_process(kernel, designs, targets, designs, noise=1e-8)
    np.testing.assert_allclose(mean, targets, atol=1e-5)
    assert deviation.max() < 1e-3
    far = (designs[:1] + 1) % 5
    mean, deviation = gaussian_process(kernel, designs[:1], targets[:1], far, noise=1e-8)
    assert mean[0] == pytest.approx(np.exp(-2.4) * targets[0])  # six positions apart
    assert deviation[0] == pytest.approx((1 - np.exp(-4.8)) ** 0.5)


def test_expected_improvement_is_the_mean_of_what_exceeds_the_best():
    """It agrees with a large simulation of the normal distribution."""
    draws = np.random.default_rng(0).normal(0.3, 0.7, size=2_000_000)
    simulated = np.maximum(draws - 0.9, 0).mean()
    assert expected_improvement(np.array([0.3]), np.array([0.7]), 0.9)[0] == pytest.approx(simulated, rel=0.01)


def test_a_network_that_did_not_train_does_not_flatten_the_rest():
    """An outlier is brought to `clip` interquartile ranges; equal targets become zeros."""
    targets = standardise(np.array([10.0, 90.0, 90.5, 91.0, 91.5]), clip=3.0)
    assert np.ptp(targets[1:]) > 1
    clipped = standardise(np.array([10.0, 90.0, 90.5, 91.0, 91.5]), clip=1.5)
    assert (clipped[2] - clipped[0]) / (clipped[3] - clipped[1]) == pytest.approx(1.5)  # from the median, in ranges
    assert list(standardise(np.array([3.0, 3.0]), clip=3.0)) == [0, 0]
    assert standardise(np.array([90.0, 91.0, 93.0]), clip=3.0).std() == pytest.approx(1)


def test_the_linear_draws_have_the_posterior_s_mean_and_spread():
    """Many draws at one candidate are normal with the closed form's mean and deviation."""
    rng = np.random.default_rng(1)
    designs, targets = rng.integers(0, 3, size=(12, 4)), rng.normal(size=12)
    candidate = np.array([[2, 1, 0, 2]])
    draws = np.array(
        [thompson_linear(designs, targets, candidate, 3, rng, noise=0.5, prior=2.0)[0] for _ in range(4000)]
    )
    features = np.column_stack([np.eye(3)[designs].reshape(12, -1), np.ones(12)])
    covariance = np.linalg.inv(features.T @ features / 0.5 + np.eye(13) / 2.0)
    point = np.append(np.eye(3)[candidate].ravel(), 1.0)
    mean, deviation = point @ covariance @ features.T @ targets / 0.5, np.sqrt(point @ covariance @ point)
    assert stats.kstest((draws - mean) / deviation, "norm").pvalue > 1e-3


def test_option_counts_forget_positions():
    """Two architectures made of the same options have the same counts."""
    assert (option_counts(np.array([[0, 1, 2], [2, 0, 1]]), 3) == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_finds_the_top_of_a_sum(name):
    """On a space where each position counts alone the optimum is found within thirty evaluations."""
    run = gk.search(ToyBenchmark(), gk.make_proposer(name, ToyBenchmark().space), 30, seed=0, progress=False)
    assert "22222222" in list(run.frame()["key"])


@pytest.mark.parametrize("name", NAMES)
def test_failed_evaluations_are_stepped_over(name):
    """Designs without a result count as the worst seen: they are not proposed again, nor are their likes."""
    run = gk.search(FailingToy(), gk.make_proposer(name, ToyBenchmark().space), 20, seed=0, progress=False)
    assert len(set(run.frame()["key"])) == 20
    assert run.frame()["feedback"].notna().sum() > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["gp", "random"]
    + [
        pytest.param(name, marks=pytest.mark.full)
        for name in ("gp-hamming", "linear", "evolution", "local-search", "tpe")
    ],
)
def test_a_bound_holds_in_a_space_too_large_to_list(name):
    """Every architecture evaluated is inside the bound, and none comes twice."""
    benchmark = LargeToy()
    run = gk.search(benchmark, gk.make_proposer(name, benchmark.space), 14, seed=1, progress=False)
    assert len(set(benchmark.evaluated)) == 14 == len(run.frame())
    assert all(whole_millions(count_cost(benchmark.space, design).macs) <= 330 for design in benchmark.evaluated)


def test_large_spaces_offer_changes_of_the_best_and_random_designs():
    """Candidates are allowed, untried and many."""
    benchmark = LargeToy()
    start = benchmark.space.decode("111000" * 5)
    candidates = [tuple(design) for design in candidate_designs(situation(benchmark, [start])).tolist()]
    assert 200 < len(candidates) == len(set(candidates)) <= 2000
    assert start not in candidates
    assert any(sum(a != b for a, b in zip(start, design, strict=True)) == 1 for design in candidates)


@pytest.mark.parametrize(("start", "expected"), [("symmetric", {"00000000", "11111111", "22222222"})])
def test_the_symmetric_start_is_each_option_everywhere(start, expected):
    """Its first architectures are the uniform ones, in an order drawn by the seed."""
    runs = [
        gk.search(ToyBenchmark(), gk.make_proposer("gp", ToyBenchmark().space, start=start), 4, seed, progress=False)
        for seed in range(6)
    ]
    assert all(set(run.frame()["key"][:3]) == expected for run in runs)
    assert len({tuple(run.frame()["key"][:3]) for run in runs}) > 1


def test_the_prior_start_is_the_largest_design_and_two_changes_of_it():
    """Three architectures, then the model."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("gp", ToyBenchmark().space, start="prior"), 5, progress=False)
    keys = list(run.frame()["key"])
    assert keys[0] == "22222222"
    assert [sum(digit != "2" for digit in key) for key in keys[1:3]] == [1, 1]


@pytest.mark.parametrize(
    ("given", "words"), [({"start": "warm"}, "random, symmetric, prior"), ({"initial": 0}, "at least one")]
)
def test_wrong_settings_are_refused(given, words):
    """The message names what is allowed."""
    with pytest.raises(InvalidParameter, match=words):
        gk.make_proposer("gp", ToyBenchmark().space, **given)


def test_the_best_of_given_candidates_is_chosen():
    """`choose` takes the candidate that the model expects most of."""
    benchmark = ToyBenchmark()
    run = gk.search(benchmark, gk.make_proposer("random", benchmark.space), 20, seed=0, progress=False)
    now = situation(benchmark, [])
    now.trials[:] = [
        gk.Trial(i, design, benchmark.evaluate(design)) for i, design in enumerate(list(benchmark.evaluated), 1)
    ]
    assert run.finished
    chosen = gk.make_proposer("gp", benchmark.space).choose(now, [(0,) * 8, (2,) * 8, (1,) * 8])
    assert chosen == (2,) * 8


@pytest.mark.parametrize("name", NAMES)
def test_the_constants_of_a_model_are_on_record(name, monkeypatch, tmp_path):
    """A run that was made with other constants is not continued."""
    path = tmp_path / "a.jsonl"
    space = ToyBenchmark().space
    run = gk.search(ToyBenchmark(), gk.make_proposer(name, space), 3, journal=path, progress=False)
    assert run.settings["resolved"]["clip"] > 0
    for constant in ("BOLDNESS", "LENGTH_SCALE", "LINEAR_PRIOR"):
        monkeypatch.setattr(f"genius_kit.proposers.bayesian.{constant}", 7.0)
    with pytest.raises(JournalError, match="resolved"):
        gk.search(ToyBenchmark(), gk.make_proposer(name, space), 3, journal=path, progress=False)
