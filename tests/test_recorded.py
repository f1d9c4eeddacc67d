"""The recorded studies of a real model that come with the checkout: whole, readable, and what their card says."""

import pytest

import genius_kit as gk
from genius_kit.errors import UnknownName
from genius_kit.journal import read_run
from tests import recorded

STUDIES = ["contamination", "does-it-search", "reproducibility"]
pytestmark = pytest.mark.usefixtures("data_home")


def test_each_study_is_there_once():
    """The names that the notebooks use, each a bundle that a checkout can carry."""
    assert list(recorded.bundles()) == STUDIES
    assert all(path.stat().st_size < 5_000_000 for path in recorded.bundles().values())


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_recorded_study_is_whole_and_of_a_real_model(name, tmp_path):
    """Sums, chains and heads hold, every run is finished and on a table that is here, and no word is withheld."""
    results = gk.read_bundle(name, tmp_path)
    assert results["reason"].notna().all()
    assert results["rank"].notna().all()
    assert results.groupby(["benchmark", "arm"])["seed"].nunique().nunique() == 1
    asked = results[results["model"].notna()]
    assert set(asked["model_kind"]) == {"language model"}
    calls = [call for path in asked["journal"] for call in read_run(path).of("call")]
    assert all(call["model"].startswith("SmolLM2-135M-Instruct") for call in calls)
    assert all(isinstance(call["text"], str) and call["messages"][-1]["content"] for call in calls)


@pytest.mark.slow
def test_the_card_is_computed_from_the_bundles():
    """Counts, settings, versions and every verdict with its numbers; `python -m tests.recorded` writes it."""
    (told,) = recorded.BLOCK.findall(recorded.PAGE.read_text(encoding="utf-8"))
    assert told == recorded.block()


def test_a_study_that_is_not_recorded_is_named(tmp_path):
    """The known names are in the message."""
    with pytest.raises(UnknownName, match=r"does-it-serch.*does-it-search"):
        gk.read_bundle("does-it-serch", tmp_path)
