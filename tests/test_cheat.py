"""A client that recites looks good without the controls, and is exposed by them."""

import pytest

import genius_kit as gk
from genius_kit import verdicts
from genius_kit.studies import run as studies

SEEDS = 20


@pytest.fixture(scope="module")
def cheat(imported, tmp_path_factory):
    """The shipped study with a client that always answers 12222222."""
    study = gk.load_study("does-it-search", models=["reciter:12222222"], seeds=SEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(imported))
        yield gk.run_study(study, tmp_path_factory.mktemp("cheat"), workers=2, progress=False)


@pytest.mark.full
def test_a_cheat_is_exposed_by_the_permuted_labels(cheat):
    """Its plain runs beat the paper's mean of 32 and random search; with the labels permuted they are random's."""
    table = studies.summary(cheat).set_index("arm")
    assert table.loc["llm", "mean_rank"] < 32
    assert table.loc["llm", "worth_random"] > 200
    assert table.loc["permuted-labels", "mean_rank"] > 10 * table.loc["llm", "mean_rank"]
    assert table.loc["permuted-labels", "p_value"] < 0.05
    (found,) = verdicts.each_verdict(cheat)
    assert found.kind == verdicts.RECITES
    assert "only 10 % of the evaluations were the model's own" in found.sentence


@pytest.mark.full
def test_every_arm_begins_alike(cheat):
    """At one seed all arms evaluate the same first architecture, whoever proposes afterwards."""
    first = {}
    for _, row in cheat.iterrows():
        events = gk.read_run(row["journal"]).of("evaluation")
        first.setdefault(row["seed"], set()).add(tuple(events[0]["architecture"]))
    assert {len(designs) for designs in first.values()} == {1}
    assert len(set().union(*first.values())) == SEEDS


def test_too_few_seeds_are_no_verdict(data_home, tmp_path):
    """With two pairs the sentence says that they are not enough, and how many would be."""
    study = gk.load_study("does-it-search", seeds=2, budget=3)
    (found,) = verdicts.each_verdict(gk.run_study(study, tmp_path, workers=2, progress=False))
    assert found.kind == verdicts.NOT_ENOUGH
    assert "at least 8 are needed" in found.sentence
