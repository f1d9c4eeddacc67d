"""Spaces and results of a user's own: made in a notebook, from a frame, from a folder, or measured by a function."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.benchmarks import Objectives
from genius_kit.benchmarks.noise import noise_floor
from genius_kit.benchmarks.own.folder import read_plan
from genius_kit.benchmarks.own.found import add_folder
from genius_kit.benchmarks.own.tables import nearest_rows
from genius_kit.cli import app
from genius_kit.errors import DataMissing, GeniusKitError, InvalidArchitecture, InvalidParameter, JournalError
from genius_kit.figures.drawings import draw_architecture
from genius_kit.lab.drawing import drawing_svg
from genius_kit.prompts.formatting import format_design
from genius_kit.prompts.views import CHANGES, CONTROLS
from genius_kit.proposers.base import PROPOSERS, TALKING, WEIGHING
from genius_kit.replies import parse_reply
from genius_kit.spaces import recorded_space
from genius_kit.studies.folders import check_folder, folder_rows, init_folder, own_or_example
from genius_kit.verdicts.every import study_verdicts

ROOT = Path(__file__).parent.parent
MALFORMED = int(os.environ.get("GENIUS_KIT_MALFORMED", "50"))
"""How many malformed folders are tried."""

SPACE = gk.SearchSpace(
    "small-convnets",
    choices=[["3x3", "5x5"], [16, 32, 64, 128], ["relu", "gelu", "silu"], [0, 0.1]],
    positions=["kernel", "width", "activation", "dropout"],
)
TASK = "Find the network with the highest {{ metric }} on {{ dataset }}.\n"


def results(space=SPACE, seed=0):
    """Return a frame with a line for each architecture; scores rise with the options, plus draws."""
    designs = space.all_architectures()
    columns = {
        name: [space.describe(place, option) for option in designs[:, place]]
        for place, name in enumerate(space.positions)
    }
    scores = 80 + designs.sum(axis=1) + np.random.default_rng(seed).normal(size=(3, len(designs)))
    trainings = {f"score_{number}": np.round(row, 3) for number, row in enumerate(scores, start=1)}
    costs = {"parameters": 100 + designs.sum(axis=1), "macs": 10**6 * (1 + designs.sum(axis=1))}
    return pd.DataFrame({**columns, **trainings, "test": scores.mean(axis=0) - 1, **costs, "latency": 0.01})


def write(folder, frame, name="mine", **more):
    """Write a folder with a table and return it."""
    folder.mkdir(parents=True)
    told = {
        "name": name,
        "dataset": "its data",
        "metric": {"name": "validation accuracy", "unit": "percent"},
        "positions": {
            SPACE.positions[place]: [SPACE.describe(place, option) for option in range(len(menu))]
            for place, menu in enumerate(SPACE.choices)
        },
        **more,
    }
    (folder / "space.yaml").write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML
    (folder / "problem.md").write_text(TASK, encoding="utf-8")
    frame.to_csv(folder / "table.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder of its own, where nothing was kept before."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))


@pytest.fixture(params=["whole", "refuse", "nearest"])
def folder(request, tmp_path):
    """A folder with all lines, or with two thirds of them and a rule for the others."""
    frame = results() if request.param == "whole" else results().drop(index=range(0, SPACE.size, 3))
    return write(tmp_path / "mine", frame, **({} if request.param == "whole" else {"unknown": request.param}))


def test_a_run_of_a_space_made_here_is_read_in_another_process(tmp_path):
    """The journal carries what defines the space, whose name no other process knows."""

    class Guess(gk.Benchmark):
        def evaluate(self, architecture):
            return gk.Evaluation(80.0, None, 80.0 + sum(architecture), None, source="a guess")

    journal = tmp_path / "run.jsonl"
    benchmark = Guess(name="guess", title="A guess", dataset="its data", space=SPACE)
    run = gk.search(benchmark, gk.make_proposer("llm", SPACE, model="offline"), 5, 0, journal, progress=False)
    program = "import sys, genius_kit as gk; print(*gk.read_run(sys.argv[1]).frame()['key'])"
    done = subprocess.run([sys.executable, "-c", program, journal], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(run.frame()["key"])
    assert len(run.frame()) == 5
    assert not gk.verify_run(journal).findings


def test_every_architecture_is_written_read_and_drawn():
    """Keys, replies and drawings of a space whose positions have menus of their own."""
    for architecture in map(SPACE.at, range(SPACE.size)):
        assert SPACE.decode(SPACE.key(architecture)) == architecture
        assert parse_reply(f"Architecture: {list(architecture)}", SPACE) == gk.Proposal(architecture)
    assert parse_reply("Architecture: [0, 4, 0, 0]", SPACE).reason == "off-menu"
    assert "128" in drawing_svg(SPACE, (0, 3, 0, 0))
    assert "128" in "".join(text.get_text() for text in draw_architecture(SPACE, (0, 3, 0, 0)).texts)


@pytest.mark.parametrize(
    "menus", [[["a", "b"], [1, 2, 3]] * 2, [["skip", "conv", "pool"]] * 4, [list(range(20)), [1, 2]] * 2]
)
def test_an_architecture_in_stages_is_read_as_it_is_printed(menus):
    """One list a stage, of menus of their own, of one menu for all, and of more options than there are digits."""
    space = gk.SearchSpace("staged", choices=menus, stages=[(0, 1), (2, 3)], in_stages=True)
    for architecture in map(space.at, range(0, space.size, 7)):
        printed = format_design(space, architecture)
        assert printed.count("[") == 3
        assert parse_reply(f"Architecture: {printed}", space) == gk.Proposal(architecture)
        assert space.decode(space.key(architecture)) == architecture
    assert "data that are not named" in gk.load_prompt("standard", space).messages(())[-1]["content"]


@pytest.mark.parametrize("kind", [("control", name) for name in CONTROLS] + [("change", name) for name in CHANGES])
def test_a_prompt_under_a_control_or_change_names_what_it_may(kind):
    """Renumbered menus keep every option once; a nameless prompt names none."""
    seen = gk.make_proposer("llm", SPACE, model="offline", **dict([kind])).view(3)
    text = gk.load_prompt("standard", SPACE, **dict([kind])).seen(seen).messages(())[-1]["content"]
    assert [seen.read(seen.show(one)) for one in map(SPACE.at, range(SPACE.size))] == [
        *map(SPACE.at, range(SPACE.size))
    ]
    words = [word for menu in SPACE.words for word in menu if len(word) > 2]
    if kind[1] in ("anonymous", "knowledge-probe"):
        assert not [word for word in words if word in text]
    else:
        assert all(text.count(f": {word}.") == 1 for word in words)
    if kind[1] == "permuted-labels":
        assert all(labels[option] != option for labels in seen.rows for option in range(len(labels)))
        for labels, menu in zip(seen.rows, SPACE.words, strict=True):
            assert all(f"- {labels[option]}: {word}." in text for option, word in enumerate(menu))


def test_a_frame_is_a_benchmark():
    """Scores, ranks, ties, noise and costs are those of the frame, by words or by keys, in any order."""
    frame = results().sample(frac=1, random_state=0)
    table = gk.tabular(SPACE, frame, metric="validation accuracy", unit="percent")
    mean = frame[["score_1", "score_2", "score_3"]].mean(axis=1)
    best = frame.loc[mean.idxmax()]
    architecture = tuple(SPACE.words[place].index(str(best[name])) for place, name in enumerate(SPACE.positions))
    found = table.evaluate(architecture)
    assert table.rank(architecture).best == 1
    assert found.feedback == pytest.approx(mean.max(), abs=1e-6)
    assert (found.cost.parameters, found.cost.macs) == (best["parameters"], best["macs"])
    assert 0.5 < noise_floor(table).sd < 2  # the draws have deviation 1
    keys = [SPACE.key(table.space.at(row)) for row in range(SPACE.size)]
    keyed = results().drop(columns=list(SPACE.positions)).assign(key=keys)
    assert (gk.tabular(SPACE, keyed).scores() == table.scores()).all()
    assert gk.tabular(SPACE, keyed).source == gk.tabular(SPACE, keyed[::-1]).source


def test_less_is_better_with_a_minus_sign():
    """A loss is maximised as its negative, in the unit that its factor makes."""
    frame = results().assign(score=lambda frame: 1 / frame["score_1"])
    table = gk.tabular(SPACE, frame, metric="loss", higher_is_better=False, factor=1000)
    assert table.feedback_name == "negative loss"
    assert table.scores().max() == pytest.approx(-1000 * frame["score"].min(), abs=1e-6)
    assert table.evaluate((0, 0, 0, 0)).validation_accuracy is None  # no percentage


def test_held_out_shows_one_training_and_reports_the_others():
    """The trainings of a line stand in columns of their own."""
    frame = results()
    table = gk.tabular(SPACE, frame, unit="percent", protocol="held-out", fed_run=1)
    assert table.scores() == pytest.approx(frame["score_2"])
    assert table.scores("validation") == pytest.approx(frame[["score_1", "score_3"]].mean(axis=1), abs=1e-6)


def test_what_is_not_known_is_refused_or_has_the_nearest_score():
    """Both rules say what they do: a refusal has words for the model, a nearest score names whose it is."""
    frame, rows = results(), np.arange(0, SPACE.size, 3)
    part = frame.drop(index=rows)
    refusing = gk.tabular(SPACE, part, unit="percent")
    assert refusing.count == len(part)
    assert refusing.refusal(SPACE.at(1)) is None
    assert "only those can be evaluated" in refusing.refusal(SPACE.at(0)).detail
    assert {refusing.rank(SPACE.at(row)).of for row in (1, 2)} == {len(part)}
    assert refusing.rank(SPACE.at(0)) is None
    with pytest.raises(InvalidArchitecture):
        refusing.evaluate(SPACE.at(0))
    near = gk.tabular(SPACE, part, unit="percent", unknown="nearest")
    designs, known = SPACE.all_architectures(), np.setdiff1d(np.arange(SPACE.size), rows)
    expected = known[(designs[:, None] != designs[known][None]).sum(axis=2).argmin(axis=1)]
    assert (nearest_rows(SPACE, known) == expected).all()
    assert near.evaluate(SPACE.at(0)).feedback == near.scores()[expected[0]]
    assert SPACE.key(SPACE.at(expected[0])) in near.evaluate(SPACE.at(0)).source


ENDS = ("prior spent", "local optimum", "not in the table", "declined")
"""Why a search may end before its budget, here where some neighbours are not known."""


def test_every_method_control_and_change_searches_a_folder(folder):
    """Eight evaluations of architectures that the folder knows, each once."""
    table = gk.load_benchmark(str(folder))
    kinds = [{}, *({"control": name} for name in CONTROLS), *({"change": name} for name in CHANGES)]
    made = [("llm", kind) for kind in kinds] + [(name, {}) for name in PROPOSERS]
    for name, kind in made:
        asked = table.weighing(Objectives("accuracy", "macs")) if name in WEIGHING else table
        given = {**kind, **({"model": "offline"} if name in TALKING else {})}
        run = gk.search(asked, gk.make_proposer(name, table.space, **given), 8, 1, progress=False)
        keys = [tuple(event["architecture"]) for event in run.of("evaluation")]
        assert len(set(keys)) == len(keys)
        assert all(table.refusal(key) is None for key in keys)
        assert len(keys) == 8 or run.reason in ENDS, (name, kind)


STUDIES = ("does-it-search", "contamination", "prompt-sensitivity", "reproducibility", "principles", "models",
           "optimisers", "transfer", "tradeoffs")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_comes_to_its_verdict_on_a_folder(study, tmp_path, monkeypatch):
    """The shipped studies run on folders, and another process comes to the same numbers from the journals."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    part = results().drop(index=range(0, SPACE.size, 3))
    folders = [write(tmp_path / "mine", part, title="My table")]
    if study == "transfer":
        folders.append(write(tmp_path / "other", results(seed=1), "other"))
    names = [str(one) for one in folders] + (["private-motif-pairs"] if study == "contamination" else [])
    planned = gk.load_study(study, benchmarks=names, seeds=2, budget=4)
    found = gk.run_study(planned, tmp_path / "studies", workers=2, progress=False)
    assert set(found["benchmark"]) == {"mine", *(["other"] if study == "transfer" else []), *names[1:][-1:]} - set(
        map(str, folders)
    )
    assert found["rank"].notna().all()
    assert found["reason"].notna().all()
    told = [one if isinstance(one, str) else one.sentence for one in study_verdicts(found)]
    assert not [one for one in told if one.startswith("no verdict")], told
    again = gk.read_results(tmp_path / "studies")
    pd.testing.assert_frame_equal(found[["rank", "regret", "best_key"]], again[["rank", "regret", "best_key"]])


@pytest.mark.slow
def test_a_journal_finds_its_folder_in_another_process(tmp_path):
    """The folder is found by where it was, or by its name where it was added; another one of that name is refused."""
    folder = write(tmp_path / "mine", results())
    table = gk.load_benchmark(str(folder))
    gk.search(table, gk.make_proposer("random", table.space), 4, 0, tmp_path / "runs" / "a.jsonl", progress=False)
    program = "import sys, genius_kit as gk; print(gk.read_results(sys.argv[1])['regret'].iloc[0])"

    def judged():
        command = [sys.executable, "-c", program, str(tmp_path / "runs")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first = judged()
    assert float(first.stdout) >= 0
    added = gk.register(folder)
    assert gk.load_benchmark("mine").scores().tolist() == table.scores().tolist()
    shutil.move(folder, tmp_path / "moved")
    assert judged().stdout == first.stdout
    shutil.rmtree(added)
    assert "is not here" in judged().stderr
    write(folder, results(seed=5))
    assert "put the files of then back" in judged().stderr


def test_the_record_has_the_sums_of_the_folder(tmp_path):
    """Each file of it, as `genius-kit verify` and bundles tell."""
    table = gk.load_benchmark(str(write(tmp_path / "mine", results())))
    run = gk.search(table, gk.make_proposer("random", table.space), 2, 0, progress=False)
    assert set(run.events[0]["data"]) == {"mine/space.yaml", "mine/problem.md", "mine/table.csv"}
    assert run.events[0]["data"] == {f"mine/{name}": digest for name, digest in table.files.items()}


def test_a_frame_is_registered_as_a_folder():
    """What is written loads by its name with the same scores, ranks and rules."""
    table = gk.tabular(SPACE, results().drop(index=[3, 4]), name="kept", metric="loss", higher_is_better=False, noise=2)
    gk.register(table)
    again = gk.load_benchmark("kept")
    assert (again.scores() == table.scores()).all()
    assert (again.known == table.known).all()
    assert (again.feedback_name, again.unit, again.noise) == (table.feedback_name, table.unit, table.noise)
    assert "kept" in set(gk.list_benchmarks()["name"])


def test_a_space_is_registered_by_its_name():
    """`load_space` then finds it, and refuses another one of the name."""
    space = gk.SearchSpace("registered", choices=[["a", "b"], ["c", "d"]])
    gk.register(space)
    assert gk.load_space("registered") == space
    with pytest.raises(InvalidParameter, match="another space"):
        gk.register(gk.SearchSpace("registered", choices=[["a", "b"], ["c", "e"]]))


def test_the_example_is_sound(tmp_path):
    """`genius-kit benchmark init` writes a folder that `check` finds nothing wrong with, and that runs."""
    folder = init_folder(tmp_path / "mine")
    told = "\n".join(check_folder(folder))
    assert "108 of them have a line, all there are" in told
    assert "next: genius-kit run" in told
    with pytest.raises(InvalidParameter, match="not empty"):
        init_folder(folder)


def test_a_study_takes_a_folder_by_its_path_also_where_it_was_added(tmp_path):
    """Two folders whose tables have one name are refused, since their runs could not be told apart."""
    folder, other = (str(init_folder(tmp_path / name)) for name in ("mine", "other"))
    add_folder(folder)
    assert gk.load_study("does-it-search", benchmarks=[folder]).benchmarks == ("digits-perceptrons",)
    for twice in ([folder, other], [folder, "digits-perceptrons"]):
        with pytest.raises(InvalidParameter, match="two folders have the same name"):
            gk.load_study("does-it-search", benchmarks=twice)


def test_a_notebook_has_the_folder_that_is_named_or_the_example(tmp_path):
    """The example is written once; what `check` says of it are the rows of a table, without the next command."""
    assert own_or_example("mine", tmp_path / "example") == "mine"
    assert not (tmp_path / "example").exists()
    for _ in range(2):
        assert own_or_example("", tmp_path / "example") == str(tmp_path / "example")
    rows = {row["what"]: row["found"] for row in folder_rows(tmp_path / "example")}
    assert rows["random search"] == "10 evaluations find rank 9.9 of 108 on average, which is exact"
    assert rows["table.csv"] == "108 of them have a line, all there are"
    assert "next" not in rows


WRONG = {
    "colum": ("table.csv", "kernel,", "kernal,", "did you mean 'kernal'"),
    "option": ("table.csv", "\n5x5,", "\n7x7,", "table.csv, line 26: kernel is '7x7'; expected one of 3x3, 5x5"),
    "yaml key": ("space.yaml", '"dataset"', '"datasett"', "line 1: unknown key 'datasett' (did you mean 'dataset'?)"),
    "position": ("space.yaml", '"activation"', '"act"', "there is no column act"),
    "placeholder": ("problem.md", "{{ metric }}", "{{ metrik }}", "unknown placeholders: metrik"),
    "loop": ("problem.md", "Find", "{% for a in dataset %}{% endfor %}", "more than text, placeholders and conditions"),
    "code": ("problem.md", "{{ metric }}", "{{ metric.__class__ }}", "more than text, placeholders and conditions"),
    "tag": ("space.yaml", '"mine"', "!!python/object/apply:os.system ['id']", "not plain YAML"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_told_with_its_place(wrong, tmp_path):
    """What came, what was expected."""
    file, old, new, told = WRONG[wrong]
    folder = write(tmp_path / "mine", results())
    path = folder / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(GeniusKitError) as raised:
        list(check_folder(folder))
    assert told in str(raised.value)


def test_all_mistakes_of_a_table_are_told_at_once(tmp_path):
    """Lines that stand twice, scores that are none: each with its line."""
    frame = results()
    frame.loc[4, "score_2"] = np.nan
    folder = write(tmp_path / "mine", pd.concat([frame, frame.iloc[[7]]]))
    with pytest.raises(InvalidParameter) as raised:
        list(check_folder(folder))
    told = str(raised.value)
    assert "table.csv, line 6: score_2 is empty" in told
    assert f"table.csv, line {len(frame) + 2}: 0101 stands in table.csv, line 9 already" in told


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_other_kinds_of_tables(kind, tmp_path):
    """Parquet where pyarrow is there, else the way to get it; JSON as a list of lines or of columns."""
    folder = write(tmp_path / "mine", results())
    expected = gk.load_benchmark(str(folder)).scores().tolist()
    (folder / "table.csv").unlink()
    if kind == "json":
        (folder / "table.json").write_text(results().to_json(orient="records"), encoding="utf-8")
    else:
        (folder / "table.parquet").write_bytes(b"PAR1")
        if not importlib_has("pyarrow"):
            with pytest.raises(GeniusKitError, match="pip install pyarrow"):
                gk.load_benchmark(str(folder))
            return
        results().astype(dict.fromkeys(SPACE.positions, str)).to_parquet(folder / "table.parquet")
    assert gk.load_benchmark(str(folder)).scores().tolist() == expected


def importlib_has(name):
    from importlib.util import find_spec

    return find_spec(name) is not None


LINES = st.lists(
    st.tuples(
        st.sampled_from(["3x3", "5x5", "9x9", "", "\x00", '"']), st.text(max_size=6), st.floats(), st.text(max_size=3)
    ),
    max_size=6,
)


@st.composite
def malformed(draw):
    """Draw the three files of a folder with something wrong in one of them or in all."""
    yaml = json.dumps({"name": "mine", "positions": {"kernel": ["3x3", "5x5"], "width": [16, 32]}})
    table = "kernel,width,score\n3x3,16,1\n3x3,32,2\n5x5,16,3\n5x5,32,4\n"
    which = draw(st.sampled_from(["space.yaml", "table.csv", "problem.md", "all"]))
    texts = {"space.yaml": yaml, "table.csv": table, "problem.md": TASK}
    for name in texts if which == "all" else [which]:
        text = texts[name]
        for _ in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, len(text)))
            end = min(len(text), start + draw(st.integers(0, 12)))
            put = draw(
                st.one_of(
                    st.text(max_size=8),
                    st.sampled_from(["{%", "{{", "}}", "[", "{", "&a", "*a", ": ", "!!int", ",", "\n", '"', "1e999"]),
                )
            )
            text = text[:start] + put + text[end:]
        texts[name] = text
    if draw(st.booleans()) and which in ("table.csv", "all"):
        texts["table.csv"] = "kernel,width,score,more\n" + "\n".join(",".join(map(str, line)) for line in draw(LINES))
    return {name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()}


@settings(max_examples=MALFORMED, suppress_health_check=list(HealthCheck))
@given(texts=malformed())
def test_a_malformed_folder_is_a_clear_error_and_writes_nothing(texts, tmp_path_factory):
    """Whatever stands in it: it is sound, or one error of the package says what is wrong; nothing is written for it."""
    folder = tmp_path_factory.mktemp("folders") / "mine"
    folder.mkdir()
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    kept = folder.parent / "data"
    before, os.environ["GENIUS_KIT_DATA"] = os.environ["GENIUS_KIT_DATA"], str(kept)
    told = ""
    try:
        list(check_folder(folder))
    except GeniusKitError as error:
        told = str(error)
    finally:
        os.environ["GENIUS_KIT_DATA"] = before
    assert len(told) < 50_000
    assert not (told and kept.exists())
    assert {path.name for path in folder.iterdir()} == set(texts)


def test_a_function_is_tried_again_within_its_limit_and_asked_once(tmp_path):
    """Failures are retried and then on record; what came to a result is kept, so that it is not asked again."""
    asked, ended = [], threading.Event()

    def measure(architecture):
        asked.append(architecture)
        if architecture == (0, 0, 0, 0):
            ended.wait(30)
        if architecture == (1, 1, 1, 1) and asked.count(architecture) < 3:
            raise OSError("the node went away")
        if architecture == (0, 1, 1, 1):
            raise ValueError("never")
        return {"score": sum(architecture) / 10, "parameters": 3, "macs": 4}

    told = {"unit": "percent", "factor": 100, "retries": 2, "time_limit": 0.3, "cache": tmp_path / "kept"}
    benchmark = gk.from_function(SPACE, measure, **told)
    assert benchmark.evaluate((0, 0, 0, 0)).failure == "not done within 0.3 s"
    assert benchmark.evaluate((1, 1, 1, 1)).feedback == pytest.approx(40)
    assert benchmark.evaluate((0, 1, 1, 1)).failure == "the function failed 3 times: ValueError: never"
    assert asked.count((1, 1, 1, 1)) == asked.count((0, 1, 1, 1)) == 3
    assert gk.from_function(SPACE, measure, **told).evaluate((1, 1, 1, 1)).cost == gk.Cost(3, 4)
    assert asked.count((1, 1, 1, 1)) == 3  # from the record
    ended.set()
    run = gk.search(benchmark, gk.make_proposer("random", SPACE), 4, 0, tmp_path / "run.jsonl", progress=False)
    assert gk.read_run(tmp_path / "run.jsonl").frame()["feedback"].tolist() == run.frame()["feedback"].tolist()


def test_a_search_of_a_function_resumes_where_the_function_is(tmp_path):
    """In this process by its journal; where the function is not, the error says what to do."""
    benchmark = gk.from_function(SPACE, lambda architecture: sum(architecture), name="total", version="1")
    journal = tmp_path / "run.jsonl"
    gk.search(benchmark, gk.make_proposer("random", SPACE), 3, 0, journal, progress=False)
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:4]), encoding="utf-8")
    assert len(gk.resume(journal).of("evaluation")) == 3
    journal.write_text("".join(lines[:4]), encoding="utf-8")
    del benchmark
    with pytest.raises(DataMissing, match="make it again"):
        gk.resume(journal)


def test_a_million_lines_load_again_from_their_arrays(tmp_path):
    """The arrays that are kept give what the lines gave; a rank of a loaded table is looked up."""
    space = gk.SearchSpace("large", choices=[list(range(10))] * 4)
    frame = pd.DataFrame(space.all_architectures(), columns=list(space.positions))
    frame["score"] = np.random.default_rng(0).random(len(frame))
    folder = tmp_path / "large"
    folder.mkdir()
    told = {"name": "large", "positions": list(space.positions), "options": list(range(10))}
    (folder / "space.yaml").write_text(json.dumps(told), encoding="utf-8")
    frame.to_csv(folder / "table.csv", index=False)
    first = gk.load_benchmark(str(folder))
    [kept] = (tmp_path / "data" / "cache").glob("own-*.npz")
    changed = kept.stat().st_mtime_ns
    again = gk.load_benchmark(str(folder))
    assert kept.stat().st_mtime_ns == changed
    assert (again.scores() == first.scores()).all()
    kept.write_bytes(b"damaged")
    assert (gk.load_benchmark(str(folder)).scores() == first.scores()).all()
    best = int(first.scores().argmax())
    assert first.rank(space.at(best)).best == 1
    assert first.space.size == 10_000


def test_the_definition_on_the_page_from_csv_to_verdict_is_read(tmp_path):
    """Its YAML stands in the place of the example's; its commands are run by `tests.printed_commands`."""
    page = (ROOT / "docs" / "from_csv.md").read_text(encoding="utf-8")
    done = CliRunner().invoke(app, ["benchmark", "init", str(tmp_path / "my-table")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [told] = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "my-table" / "space.yaml").write_text(told, encoding="utf-8")
    assert read_plan(tmp_path / "my-table").space.size == 18


BAD = (None, 5, -1, "x", [], [[]], {}, [1, 2], [["a"]], True, 1e9, float("nan"), "a" * 1000, [["a", "b"], ["a", "b"]])


@settings(max_examples=300)
@given(changes=st.dictionaries(st.sampled_from(sorted(SPACE.definition())), st.sampled_from(BAD), max_size=2))
def test_an_altered_definition_is_refused_or_makes_a_space(changes):
    """A journal is text from outside: what it says of a space is checked whole."""
    made = {**SPACE.definition(), **changes}
    try:
        space = recorded_space({"space": "small-convnets", "space_definition": made})
    except JournalError:
        return
    assert space.decode(space.key(space.all_largest)) == space.all_largest
