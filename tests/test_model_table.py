"""Models side by side: the served name, dates, money and comparison of each, and names that a server does not know."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chat_server import Answer, ChatServer, completion, error

import genius_kit as gk
from genius_kit.benchmarks import load_benchmark
from genius_kit.errors import InvalidParameter, StudyFailed
from genius_kit.llm.connection import server_models
from genius_kit.llm.offline import Design, read_messages
from genius_kit.studies.models import TABLE_COLUMNS, model_table
from genius_kit.studies.plan import Study
from tests.natures import SEEDS, Climbs, Ignores, Random, Recites, Searches, best_designs, run_arms

SERVED = ("gpt-4.1", "unpriced-1")


def draws(body: dict[str, Any], number: int) -> Any:
    """A reply with a random architecture, by a dated build of the model that was asked."""
    design = [random.Random(number).randrange(5) for _ in range(6)]
    return completion(f"Architecture: {design}", model=f"{body['model']}-2025-04-14")


def study(url: str, *models: str, **sizes: Any) -> Study:
    """The shipped study in a small size."""
    settings: dict[str, Any] = {"base_url": url, "allow_unpriced": True, "source": "embedded"}
    return gk.load_study("models", models=list(models), **settings, **{"seeds": 3, "budget": 3, **sizes})


@pytest.fixture
def runs(no_data: Path, tmp_path: Path) -> pd.DataFrame:
    """The results of the stand-in and two served models."""
    with ChatServer(draws, models=SERVED) as server:
        return gk.run_study(study(server.url, "offline", *SERVED), tmp_path, progress=False)


def test_one_row_a_model_says_what_was_served_when_and_for_how_much(runs: pd.DataFrame) -> None:
    """The server's own name, the days, n, tokens and dollars; unknown prices are not zero, the stand-in's is."""
    table = model_table(runs)
    assert list(table.columns) == [*TABLE_COLUMNS, "method", "model_kind"]
    assert list(table["model"]) == ["offline", *SERVED]
    offline, priced, unpriced = (row for _, row in table.iterrows())
    assert list(table["served"]) == [
        "offline stand-in, not a language model", "gpt-4.1-2025-04-14", "unpriced-1-2025-04-14",
    ]  # fmt: skip
    assert (table["first_run"] <= table["last_run"]).all()
    assert table["first_run"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert list(table["n"]) == [3, 3, 3]
    assert priced["input_tokens"] == 100 * runs.loc[runs["model"] == "gpt-4.1", "calls"].sum()
    assert priced["cost"] == pytest.approx(runs.loc[runs["model"] == "gpt-4.1", "cost"].sum())
    assert priced["cost_a_run"] == pytest.approx(priced["cost"] / 3)
    assert priced["cost"] > 0
    assert pd.isna(unpriced["cost"])
    assert (offline["cost"], offline["cost_a_run"]) == (0, 0)
    assert pd.isna(offline["input_tokens"])
    assert priced["low"] <= priced["mean_rank"] <= priced["high"]


def test_models_are_compared_seed_by_seed(runs: pd.DataFrame) -> None:
    """The first model is the reference unless another is named; its ratio is what the ranks say."""
    table = model_table(runs, reference="gpt-4.1").set_index("model")
    assert table.loc["gpt-4.1", "pairs"] == 0
    ranks = runs.pivot(index="seed", columns="model", values="rank").astype(float)
    expected = (ranks["offline"] / ranks["gpt-4.1"]).prod() ** (1 / 3)
    assert table.loc["offline", "ratio"] == pytest.approx(expected)
    assert table.loc["offline", "pairs"] == 3
    assert set(model_table(runs)["reference"]) == {"offline"}


class Served:
    """Answers for four models of known nature, by the name that is asked for."""

    def __init__(self, seed: int, best: list[Design]) -> None:
        self.seed = seed
        self.natures = {"climbs": Climbs(), "random": Random(seed), "recites": Recites(best)}

    def __call__(self, body: dict[str, Any], number: int) -> Any:
        """Return the reply; the one that ignores results draws its order from the first architecture."""
        nature = self.natures.get(body["model"])
        if nature is None:
            begins = read_messages(body["messages"]).results[0][0]
            nature = Ignores(int("".join(map(str, begins)) + str(self.seed)))
        return completion(nature.send(body["messages"]).text, model=body["model"])


SEARCHES = 20 if SEEDS > 1 else 10
"""Runs of each model: ten are enough at the seed that is always taken, twenty at every one of 20 seeds."""


@pytest.mark.full
@pytest.mark.parametrize("seed", range(SEEDS))
def test_models_of_known_nature_are_told_apart(seed: int, no_data: Path, tmp_path: Path) -> None:
    """Searching or reciting good architectures is better than drawing at random, ignoring results is not."""
    table = load_benchmark("nas-bench-201-cifar10", source="embedded")
    names = ["random", "climbs", "recites", "ignores"]
    with ChatServer(Served(seed, best_designs(table)), models=names) as server:
        asked = study(server.url, *names, seeds=[1_000 * seed + run for run in range(SEARCHES)], budget=40)
        found = model_table(gk.run_study(asked, tmp_path, workers=2, progress=False)).set_index("model")
    assert set(found["n"]) == {SEARCHES}
    for name in ("climbs", "recites"):
        assert found.loc[name, "ratio_high"] < 1
        assert found.loc[name, "p_value"] < 0.05
    assert found.loc["ignores", "p_value"] > 0.01  # chance alone falls below once in a hundred


def test_unfinished_runs_are_counted_and_left_out(runs: pd.DataFrame) -> None:
    """n counts what came to an end."""
    cut = runs.copy()
    cut.loc[cut["model"].eq("gpt-4.1") & cut["seed"].eq(0), "reason"] = None
    row = model_table(cut).set_index("model").loc["gpt-4.1"]
    assert (row["n"], row["unfinished"]) == (2, 1)


def test_what_cannot_be_compared_is_refused(no_data: Path, runs: pd.DataFrame) -> None:
    """No model at all, a reference or an arm that is not there, runs without a journal."""
    with pytest.raises(InvalidParameter, match=r"no model is called 'gpt-9'; the results have offline, gpt-4.1, unpr"):
        model_table(runs, reference="gpt-9")
    with pytest.raises(InvalidParameter, match="no run of the arm 'mine' asks a model; the arms that do are llm"):
        model_table(runs, arm="mine")
    table = load_benchmark("nas-bench-201-cifar10", source="embedded")
    with pytest.raises(InvalidParameter, match=r"no run asks a model; the arms that do are none. The study `models`"):
        model_table(run_arms(None, table, ("random",), seeds=1, budget=1))
    with pytest.raises(InvalidParameter, match="some runs have no journal on disk"):
        model_table(run_arms(Searches(), table, seeds=1, budget=1))


def test_a_model_that_the_server_does_not_list_is_warned_of_and_asked(no_data: Path, tmp_path: Path) -> None:
    """The warning names the model and what the server lists, the nearest names first; the run decides."""
    offered = ["llama", "gpt-4.1-mini", *(f"other-{number}" for number in range(20))]
    with ChatServer(draws, models=offered) as server, pytest.warns(UserWarning, match="does not list") as warned:
        runs = gk.run_study(study(server.url, "llama", "gpt-4.1-min:nitro", seeds=1), tmp_path, progress=False)
    message = next(str(one.message) for one in warned if "does not list" in str(one.message))
    assert f"{server.url} does not list 'gpt-4.1-min:nitro' (did you mean 'gpt-4.1-mini'?); it lists" in message
    assert "gpt-4.1-mini, llama, other-0, " in message
    assert "and 12 more" in message
    assert "if it knows no such model, correct the name in `models` (or --models)" in message
    assert set(runs["reason"]) == {"budget"}


def test_a_name_that_no_server_knows_costs_one_call_a_run(no_data: Path, tmp_path: Path) -> None:
    """A server that lists other models and refuses this one ends the run with its own words."""

    def refuses(body: dict[str, Any], number: int) -> Answer:
        return Answer(error(f"invalid model: {body['model']}"), status=400)

    with (
        ChatServer(refuses, models=["llama"]) as server,
        pytest.warns(UserWarning, match="does not list 'lama'"),
        pytest.raises(StudyFailed, match="invalid model: lama"),
    ):
        gk.run_study(study(server.url, "lama", seeds=1), tmp_path, progress=False)
    assert server.count == 1


def test_a_tag_is_not_needed_and_a_finished_study_asks_no_server(no_data: Path, tmp_path: Path) -> None:
    """Ollama lists `llama:latest` for `llama`; the second call finds everything done, with the server gone."""
    with ChatServer(draws, models=["llama:latest"]) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        first = gk.run_study(study(server.url, "llama", seeds=1), tmp_path, progress=False)
    assert not [one for one in warned if "does not list" in str(one.message)]
    again = gk.run_study(study(server.url, "llama", seeds=1), tmp_path, progress=False)
    assert list(first["best_key"]) == list(again["best_key"])


def test_without_a_list_the_first_refusal_ends_the_run_with_its_reason(no_data: Path, tmp_path: Path) -> None:
    """A server that lists no models answers 404 on the model itself, and the run names it."""

    def refuses(body: dict[str, Any], number: int) -> Answer:
        return Answer(error(f"The model `{body['model']}` does not exist", code="model_not_found"), status=404)

    with ChatServer(refuses, models=None) as server, pytest.raises(StudyFailed) as failure:
        gk.run_study(study(server.url, "gpt-9", seeds=1), tmp_path, progress=False)
    assert server.count == 1
    assert "answered 404: The model `gpt-9` does not exist. Check the model name ('gpt-9')" in str(failure.value)


def test_servers_that_do_not_answer_list_nothing(no_sockets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, an address that is none, a server that wants a key that is not there: None, and no error."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert server_models() is None
    assert server_models("localhost") is None


def test_an_empty_list_says_nothing() -> None:
    """A server that lists no model at all is taken for one that does not list."""
    with ChatServer(models=()) as server:
        assert server_models(server.url) is None
    assert server_models(server.url) is None
