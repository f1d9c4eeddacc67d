"""Private tables as benchmarks: found by name, searched like the others, judged by exact ranks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.benchmarks import catalogue
from genius_kit.benchmarks.private import add_table
from genius_kit.cli import app
from genius_kit.errors import DataCorrupt, GeniusKitError, InvalidParameter, UnknownName
from genius_kit.private.cards import card_of, card_text
from genius_kit.private.signals import seal
from genius_kit.spaces.signal_cell import OPERATIONS
from genius_kit.studies.results import best_ranks
from tests.private_doubles import made_up_table, write_table


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder with a table called made-up."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    write_table(made_up_table(), tmp_path)
    return tmp_path


def test_a_private_table_is_listed_with_its_seal(home):
    """The list of benchmarks names it, its size, and the seal in place of a file."""
    row = gk.list_benchmarks().set_index("name").loc["made-up"]
    assert row["size"] == 4096
    assert row["available"]
    assert made_up_table().seal in row["source"]


def test_every_cell_has_the_result_of_its_class(home):
    """All 4,096 cells are known; those that compute the same have the same scores and costs."""
    benchmark = gk.load_benchmark("made-up")
    table, space = made_up_table(), benchmark.space
    for architecture in map(tuple, space.all_architectures().tolist()):
        evaluation = benchmark.evaluate(architecture)
        kept = table.results[space.key(space.canonical(architecture))]
        assert evaluation.validation_accuracy == pytest.approx(100 * np.mean(kept.validation) / 4000, abs=1e-4)
        assert evaluation.test_accuracy == pytest.approx(100 * np.mean(kept.test) / 4000, abs=1e-4)
        assert evaluation.cost == gk.count_cost(space, architecture)


def test_held_out_shows_one_seed_and_reports_the_others(home):
    """The search sees the validation accuracy of one seed; the rest is the mean of the others."""
    benchmark = gk.load_benchmark("made-up", "held-out", 1)
    kept = made_up_table().results["222222"]
    evaluation = benchmark.evaluate((2,) * 6)
    assert evaluation.feedback == kept.validation[1] / 40
    assert evaluation.validation_accuracy == pytest.approx((kept.validation[0] + kept.validation[2]) / 80, abs=1e-4)
    with pytest.raises(InvalidParameter, match="0 to 2"):
        gk.load_benchmark("made-up", "held-out", 3)


def test_a_search_of_a_private_table_resumes_from_its_journal(home, tmp_path):
    """A run is recorded with the seal, resumes, and reads as any other; the secret is nowhere in it."""
    benchmark = gk.load_benchmark("made-up")
    proposer = gk.make_proposer("llm", benchmark.space, model="offline")
    run = gk.search(benchmark, proposer, budget=6, seed=3, journal=tmp_path / "a.jsonl")
    again = gk.search(benchmark, proposer, budget=6, seed=3, journal=tmp_path / "a.jsonl")
    assert list(run.frame()["key"]) == list(again.frame()["key"])
    assert run.settings["source"].endswith(made_up_table().seal)


def test_a_run_of_another_table_of_the_same_name_is_refused(home, tmp_path):
    """A journal says which table answered: a rebuilt one under the old name does not go on with it."""
    benchmark = gk.load_benchmark("made-up")
    proposer = gk.make_proposer("random", benchmark.space)
    run = gk.search(benchmark, proposer, budget=3, seed=0, journal=tmp_path / "a.jsonl")
    best_ranks(run)
    content = json.loads((home / "private" / "made-up.json").read_text())
    content["cells"]["222222"]["test"][0] += 1
    content["seal"] = seal(content)
    (home / "private" / "made-up.json").write_text(json.dumps(content))
    table = gk.load_benchmark("made-up")
    with pytest.raises(DataCorrupt, match="put the run's own table"):
        catalogue.check_recorded(table, run.settings["source"])
    with pytest.raises(GeniusKitError, match="seal"):
        gk.search(table, proposer, budget=4, seed=0, journal=tmp_path / "a.jsonl")


def test_a_study_compares_arms_on_a_private_table(home, tmp_path):
    """A study file may name it, and its results have ranks among all 4,096 cells."""
    study = gk.load_study("does-it-search", benchmarks=["made-up"], seeds=2, budget=4)
    runs = gk.run_study(study, tmp_path / "runs", progress=False)
    assert set(runs["benchmark"]) == {"made-up"}
    assert runs["rank"].between(1, 4096).all()


def test_what_is_no_private_table_is_refused(home):
    """An unknown name says where tables are looked for; a renamed file and a source are refused."""
    with pytest.raises(UnknownName, match=r"made-up.*private"):
        gk.load_benchmark("made-down")
    with pytest.raises(InvalidParameter, match="no source"):
        gk.load_benchmark("made-up", source="embedded")
    (home / "private" / "made-up.json").rename(home / "private" / "other.json")
    with pytest.raises(DataCorrupt, match=r"call the file made-up\.json"):
        gk.load_benchmark("other")


@pytest.mark.parametrize("kind", ["train", "proxy"])
def test_images_are_no_signals(kind):
    """What trains or scores on images refuses the cells of signals, and says what trains them."""
    settings = {"train": {"dataset": "digits"}, "proxy": {"proxy": "synflow"}}[kind]
    with pytest.raises(InvalidParameter, match="benchmark build"):
        gk.load_benchmark(kind, space="signal-cell", **settings)


def test_a_table_of_all_five_operations_has_a_space_of_its_own(tmp_path, monkeypatch):
    """The operations are part of the space, whose name says which they are."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    write_table(made_up_table("five", OPERATIONS), tmp_path)
    benchmark = gk.load_benchmark("five")
    assert benchmark.space.name == "signal-cell-01234"
    assert benchmark.space.size == 5**6 == len(benchmark.scores())
    assert catalogue.space_name("five") == "signal-cell-01234"
    assert gk.load_space("signal-cell-01234").options == OPERATIONS
    shown = gk.load_prompt("standard", benchmark.space).messages([])[-1]["content"]
    assert all(f"- {number}: {name}. " in shown for number, name in enumerate(OPERATIONS))


def test_a_built_table_is_added_by_its_name(tmp_path, monkeypatch):
    """`benchmark add` puts a table where it is found; another one of that name is not lost."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    path = write_table(made_up_table(), tmp_path / "built")
    result = CliRunner().invoke(app, ["benchmark", "add", str(path)])
    assert result.exit_code == 0, result.output
    assert gk.load_benchmark("made-up").evaluate((2,) * 6).test_accuracy is not None
    content = json.loads(path.read_text())
    content["commitment"] = "0" * 64
    content["seal"] = seal(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidParameter, match="another --name"):
        add_table(path)


def test_the_card_says_what_a_table_can_tell(tmp_path):
    """The figures of a card follow from the table: here seeds agree and the largest option everywhere is no winner."""
    table = made_up_table()
    card = card_of(table)
    mean = np.mean([table.results[table.plan.key(cell)].test for cell in table.plan.cells()], axis=1) / 40
    assert card.cells == 1107
    assert card.best == pytest.approx(mean.max())
    assert card.seeds_spearman > 0.99
    assert card.contrast == pytest.approx((mean.max() - np.median(mean)) / card.noise)
    own = np.mean(table.results["222222"].test) / 40
    assert card.all_largest == pytest.approx((mean > own).mean())
    assert f"{card.noise:.3f}" in card_text(table)
