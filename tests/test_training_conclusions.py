"""What was found where networks are trained, and in the published conversations: the words follow the numbers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import genius_kit as gk
from genius_kit import figures
from genius_kit.benchmarks import downloads, proxies
from genius_kit.benchmarks.proxies import correlate
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import STAND_IN
from genius_kit.stats import share_difference, share_of
from genius_kit.verdicts.rationales import agreement

NAMED = {"GENIUS-329": "chat_history/329M.json", "GENIUS-401": "chat_history/401M.json"}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A benchmark that trains on digits; nothing is trained here."""
    cache = tmp_path_factory.mktemp("trained")
    return gk.load_benchmark("train", space="nas-bench-macro-w0.25", dataset="digits", cache=cache)


def frame(*accuracies):
    """Return the frame of a search of these (validation, test) accuracies, None for a training that failed."""
    columns = ["key", "validation_accuracy", "test_accuracy"]
    rows = [(f"{place}" * 8, *(one or (None, None))) for place, one in enumerate(accuracies)]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.slow
@pytest.mark.parametrize("accuracies", [(0.98, 0.95), (0.5, 0.5), (0.03, 0.01)])
def test_the_interval_of_a_difference_of_shares_covers(accuracies):
    """It holds the true difference in at least 93 % of 2,000 samples of 359 images, also near the ends."""
    generator = np.random.default_rng(0)
    hits = [generator.binomial(359, share, 2_000) for share in accuracies]
    found = [share_difference(int(a), 359, int(b), 359) for a, b in zip(*hits, strict=True)]
    held = np.mean([one.low <= accuracies[0] - accuracies[1] <= one.high for one in found])
    assert 0.93 < held < 0.975


def test_more_comparisons_widen_the_interval():
    """Bonferroni: the same shares are read more carefully where there are more of them."""
    alone, among = share_difference(350, 359, 335, 359), share_difference(350, 359, 335, 359, comparisons=10)
    assert (alone.sign, among.sign) == (1, 0)
    assert share_of(359, 359).high == pytest.approx(1)


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (5, 4), (-1, 4)])
def test_what_is_no_share_is_refused(hits, n):
    """No sample, and more hits than samples."""
    with pytest.raises(InvalidParameter, match="a share needs"):
        share_of(hits, n)


def test_trained_networks_are_told_apart_only_by_their_intervals(benchmark):
    """Of three others the one that is ten points below differs; each network counts once, whoever proposed it."""
    runs = {STAND_IN: [frame((97.0, 97.5), (98.0, 98.0), (96.0, 88.0))], "random": [frame((97.0, 97.5), (98.0, 98.0))]}
    conclusion = figures.training_conclusion(benchmark, runs)
    assert conclusion.headline == (
        "Best by validation of 3 trained networks: 11111111, 98.00 %, 98.00 % on test; "
        "1 of 2 others differ from it (95 % intervals)."
    )
    rows = {row[0]: row for row in conclusion.table.rows}
    assert rows["00000000"][1] == f"{STAND_IN}, random"
    assert rows["00000000"][-1].endswith(", inconclusive")
    assert rows["22222222"][-1].endswith(", lower")
    assert "359 test images" in conclusion.table.note


def test_one_network_and_none_leave_nothing_to_compare(benchmark):
    """The headline says so, and how many failed stands below."""
    alone = figures.training_conclusion(benchmark, {"random": [frame((97.0, 97.5), None)]})
    assert "no other to compare" in alone.headline
    assert "Trainings that failed: 1" in alone.table.note
    none = figures.training_conclusion(benchmark, {"random": [frame(None)]})
    assert "nothing to compare" in none.headline


def test_without_test_images_validation_judges(benchmark):
    """A data set of two parts has no test accuracy, and the column says which part it was."""
    without = frame((97.0, 97.5), (98.0, 98.0)).assign(test_accuracy=None)
    conclusion = figures.training_conclusion(benchmark, {"random": [without]})
    assert "on test" not in conclusion.headline
    assert conclusion.table.header[-1] == "validation beside the best"


@pytest.fixture
def scored(monkeypatch):
    """Scores in place of those of networks: the accuracy with so much noise, or the count itself."""

    def scores(proxy, benchmark, n, seed, seconds, settings):
        rows = np.random.default_rng(seed).choice(benchmark.space.size, n, replace=False)
        if proxy == "count":
            found = benchmark.evaluate_rows(rows)["macs"].astype(float)
        else:
            spread = {"good": 0.1, "bad": 5.0}[proxy] * benchmark.scores().std()
            found = benchmark.scores()[rows] + np.random.default_rng(1).normal(0, spread, n)
        return rows, found, "none", 0.0

    monkeypatch.setattr(proxies, "_scores", scores)


def test_a_score_is_better_than_counting_only_where_the_difference_is(data_home, scored):
    """The gain is that of the same networks; the count itself gains nothing, with an interval of nothing."""
    table = gk.load_benchmark("nas-bench-macro")
    found = correlate(["macs", "good", "bad", "count"], table, n=200)
    rows = found.set_index("proxy")
    assert set(rows.loc[["good", "bad", "count"], "counted"]) == {"macs"}
    assert rows.loc["good", "gain_low"] > 0 > rows.loc["bad", "gain_high"]
    assert rows.loc["count", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert np.isnan(rows.loc["macs", "gain"])
    conclusion = figures.proxy_conclusion(found)
    assert "1 of 3 untrained scores order networks better than counting, 1 worse" in conclusion.headline
    assert "n = 200" in conclusion.headline
    assert len(conclusion.headline.split()) <= 25
    said = {row[0]: row[-1].rsplit(", ", 1)[-1] for row in conclusion.table.rows}
    assert said == {"macs": "–", "good": "better", "bad": "worse", "count": "inconclusive"}


def test_few_networks_are_inconclusive(data_home, scored):
    """Four networks cannot show what two hundred do."""
    found = correlate(["good"], gk.load_benchmark("nas-bench-macro"), n=4)
    assert "0 of 1" in figures.proxy_conclusion(found).headline


def test_counts_alone_are_compared_with_nothing(data_home):
    """There is no score of an untrained network that could be better."""
    found = correlate(["parameters", "macs"], gk.load_benchmark("nas-bench-macro"))
    assert "nothing to compare" in figures.proxy_conclusion(found).headline
    with pytest.raises(InvalidParameter, match="no proxy was given"):
        figures.proxy_conclusion(found[:0])


def test_the_gain_has_the_sign_that_scipy_says(data_home, scored):
    """Spearman's coefficient of the score minus that of the count on the rows of the sample."""
    table = gk.load_benchmark("nas-bench-macro")
    row = correlate(["good"], table, n=50, seed=3).iloc[0]
    rows, scores, *_ = proxies._scores("good", table, 50, 3, None, {})
    counts = table.evaluate_rows(rows)["macs"]
    ours, theirs = (stats.spearmanr(values, table.scores()[rows]).statistic for values in (scores, counts))
    assert row["gain"] == pytest.approx(ours - theirs)
    assert row["gain_low"] < row["gain"] < row["gain_high"]


def test_the_published_searches_are_told_by_their_replies(data_home):
    """Replies outside the bound, evaluations and told accuracies are those of the replay; nothing is compared."""
    replays = {name: gk.replay_conversation(downloads.find(file)) for name, file in NAMED.items()}
    conclusion = figures.imagenet_conclusion(replays)
    rows = {row[0]: dict(zip(conclusion.table.header, row, strict=True)) for row in conclusion.table.rows}
    assert rows["GENIUS-329"]["outside the bound"] == "16 of 26"
    assert rows["GENIUS-401"]["outside the bound"] == "7 of 17"
    assert rows["GENIUS-329"]["multiply-accumulates"] == "329,412,864 / 306,968,192"
    for name, run in replays.items():
        told = run.frame()["feedback"].dropna().astype(float)
        assert rows[name]["first told (%)"] == f"{told.iloc[0]:.2f}"
        assert rows[name]["best told (%)"].startswith(f"{told.max():.2f} at evaluation {told.argmax() + 1}")
        assert f"{told.max() - told.iloc[0]:+.2f}" in conclusion.headline
    assert len(conclusion.headline.split()) <= 25
    assert "better" not in conclusion.headline


def nothing_said():
    """Return the agreement of no reply."""
    return agreement(gk.load_space("nas-bench-201"), [])


def test_claims_are_beyond_chance_only_by_their_test(data_home):
    """GPT-4's words in both conversations; a model without a claim has no answer."""
    silent, chance = nothing_said(), dataclasses.replace(nothing_said(), checked=7, held=7, share=1.0, p_value=1.0)
    for said, told in ((silent, "no claim"), (chance, "7 of 7, no")):
        conclusion = figures.claims_conclusion({"offline": said})
        rows = {row[0]: row for row in conclusion.table.rows}
        assert f"{STAND_IN}: {told}" in conclusion.headline
        assert rows["GPT-4, GENIUS-329"][1] == "31 of 36"
        assert "GPT-4, GENIUS-401: 11 of 14, yes" in conclusion.headline
        assert len(conclusion.headline.split()) <= 25


def test_a_conversation_that_was_not_downloaded_is_said_to_be(no_data):
    """No figure of it is typed in anywhere."""
    conclusion = figures.claims_conclusion({"offline": nothing_said()})
    assert conclusion.headline.count("not downloaded") == 2
    assert "genius-kit data fetch" in conclusion.markdown()
