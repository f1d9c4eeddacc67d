"""The comparison with known anchors: what is within two standard errors, and that the anchors name what exists."""

import pandas as pd
import pytest

from genius_kit.benchmarks.catalogue import BENCHMARK_NAMES
from genius_kit.proposers.base import PROPOSERS
from tests.anchors import compare_with_anchors, read_anchors


def test_the_anchors_name_proposers_and_tables():
    """Every anchor is of a known proposer, a known table and a number of evaluations; each stands once."""
    anchors = read_anchors()
    assert set(anchors["arm"]) <= set(PROPOSERS)
    assert set(anchors["benchmark"]) == set(BENCHMARK_NAMES)
    assert set(anchors["evaluations"]) == {10, 20, 50, 100}
    assert not anchors.duplicated(["arm", "benchmark", "evaluations"]).any()


@pytest.mark.parametrize(("mean", "error", "within"), [(8.0, 1.0, True), (11.0, 1.0, True), (13.0, 1.0, False)])
def test_a_mean_far_above_its_anchor_is_not_within(mean, error, within):
    """The anchor of 8.8 has an error of 8.8 / sqrt(40); the excess is counted in errors of the difference."""
    row = {"arm": "coordinate-descent", "benchmark": "nas-bench-macro", "evaluations": 10, "n": 40}
    (found,) = compare_with_anchors(pd.DataFrame([{**row, "mean_rank": mean, "standard_error": error}])).to_dict(
        "records"
    )
    assert found["within"] is within
    assert found["excess"] == pytest.approx((mean - 8.8) / (error**2 + 8.8**2 / 40) ** 0.5)


def test_what_has_no_anchor_is_left_out():
    """Other arms and other numbers of evaluations are not compared."""
    row = {"arm": "local-search", "benchmark": "nas-bench-macro", "evaluations": 10, "n": 40}
    assert compare_with_anchors(pd.DataFrame([{**row, "mean_rank": 1.0, "standard_error": 1.0}])).empty
