"""Folders that another version of the kit wrote are refused in one sentence that says what to do, or gone on with."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.benchmarks.cache import OutcomeStore, _canonical, key_of
from genius_kit.cli import app
from genius_kit.detection.train import DETECTION_RECIPES, DetectionResult
from genius_kit.errors import CheckpointError, DataCorrupt, JournalError
from genius_kit.journal import chain
from genius_kit.private.builds import kept_plan
from genius_kit.runs.batch import resume
from genius_kit.training.checkpoints import load_whole, save_whole
from genius_kit.training.loop import Loop
from genius_kit.training.runtime import DistContext
from genius_kit.training.trainer import carry_out
from tests.doubles import ToyBenchmark
from tests.training_doubles import TinyNetwork, train

TINY = DETECTION_RECIPES["tiny"]
FROZEN = Path(__file__).parent / "frozen"
ANOTHER = "another version of the kit.*begin anew"


def edited(path, change):
    """Change the JSON object in a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def first_line(**changes):
    """Return the first event of a frozen journal with other fields."""
    frozen = json.loads((FROZEN / "format-2" / "table.jsonl").read_bytes().splitlines()[0])
    return {name: value for name, value in frozen.items() if name != "chain"} | changes


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training that is finished."""
    folder = tmp_path_factory.mktemp("trained")
    train(TinyNetwork(), folder)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["result"].pop("precision"),
        lambda record: record["result"].update(watts=3),
        lambda record: record.update(result="98.2 %"),
        lambda record: record.pop("result"),
        lambda record: record.pop("identity"),
    ],
)
def test_a_finished_training_with_other_fields_is_refused(trained, tmp_path, change):
    """A field that is missing, one more, and a record of another form."""
    folder = Path(shutil.copytree(trained, tmp_path / "a"))
    edited(folder / "result.json", change)
    with pytest.raises(CheckpointError, match=rf"result\.json was written by {ANOTHER}"):
        train(TinyNetwork(), folder)


@pytest.mark.parametrize("field", ["average", "loss_sum", "epoch_began"])
def test_a_checkpoint_without_a_field_is_refused(trained, tmp_path, field):
    """What was trained so far is not guessed at."""
    folder = Path(shutil.copytree(trained, tmp_path / "a"))
    (folder / "result.json").unlink()
    content = load_whole(folder / "checkpoint.pt")
    del content["state"][field]
    save_whole(folder / "checkpoint.pt", content)
    with pytest.raises(CheckpointError, match=rf"checkpoint\.pt was written by {ANOTHER}"):
        train(TinyNetwork(), folder)


@pytest.mark.parametrize("record", [{"history": []}, {"identity": {}}, {"identity": {}, "history": [], "measure": 1}])
def test_a_finished_detector_with_other_fields_is_refused(tmp_path, record):
    """As of any training."""
    (tmp_path / "result.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"result\.json was written by {ANOTHER}"):
        carry_out(DetectionResult, nn.Linear(1, 1), TINY, DistContext(0, 1, torch.device("cpu")), tmp_path, {}, Loop)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(format=0), "no record of format 1, which this version"),
        (lambda record: record["result"].pop("test_accuracy"), "has no test_accuracy: another version of the kit"),
    ],
)
def test_a_kept_training_of_another_version_is_refused(tmp_path, change, told):
    """The message says that the file can be deleted, which trains the network again."""
    store, content = OutcomeStore(tmp_path), {"version": 1, "architecture": [0]}
    result = {"last_validation_accuracy": 1.0, "test_accuracy": 2.0, "history": []}
    store.write(content, {"result": result, "failure": None})

    def sealed(record):
        change(record)
        del record["sha256"]
        record["sha256"] = hashlib.sha256(_canonical(record)).hexdigest()

    edited(store.path(key_of(content)), sealed)
    with pytest.raises(DataCorrupt, match=f"{told}.*delete it, and the network is trained again"):
        store.read(content)


def test_a_journal_of_a_later_format_is_not_gone_on_with(tmp_path):
    """It is left as it is; the message has both formats."""
    path = tmp_path / "later.jsonl"
    path.write_bytes(chain.seal(first_line(format=chain.FORMAT + 1), chain.start(b""))[0] + b"\n")
    before = path.read_bytes()
    told = f"format {chain.FORMAT + 1}, and this version of the kit writes format {chain.FORMAT}"
    with pytest.raises(JournalError, match=told):
        gk.search(ToyBenchmark(), gk.make_proposer("random", ToyBenchmark().space), 3, journal=path, progress=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize("missing", ["budget", "seed", "settings", "proposer", "benchmark", "protocol"])
def test_a_journal_whose_beginning_lacks_a_setting_is_not_resumed(tmp_path, missing):
    """The message names the setting, and how to look into the file."""
    run = {name: value for name, value in first_line()["run"].items() if name != missing}
    path = tmp_path / "older.jsonl"
    path.write_bytes(chain.seal(first_line(run=run), chain.start(b""))[0] + b"\n")
    with pytest.raises(JournalError, match=f"an event lacks its {missing};.*genius-kit verify.*with that version"):
        resume(path)


@pytest.mark.parametrize(("event", "missing"), [("proposal", "origin"), ("evaluation", "seconds")])
def test_results_of_a_journal_that_lacks_a_field_are_refused(tmp_path, event, missing):
    """Whatever is read of it says which field is missing; nothing is guessed in its place."""
    head, lines = chain.start(b""), []
    for line in (FROZEN / "format-2" / "table.jsonl").read_bytes().splitlines():
        read = {name: value for name, value in json.loads(line).items() if name not in ("chain", "salt")}
        if read["event"] == event:
            del read[missing]
        sealed, head = chain.seal(read, head)
        lines.append(sealed + b"\n")
    (tmp_path / "older.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f"an event lacks its {missing};"):
        gk.read_results(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "a", "task": {}, "recipe": {"rounds": 3}}', "\x00"])
def test_a_build_with_a_plan_of_another_form_is_refused(tmp_path, content):
    """Nothing is trained, and the plan is left as it is."""
    (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataCorrupt, match=r"plan\.json .*restore it"):
        kept_plan(tmp_path)
    done = CliRunner().invoke(app, ["benchmark", "card", str(tmp_path)])
    assert isinstance(done.exception, DataCorrupt)
    assert (tmp_path / "plan.json").read_text(encoding="utf-8") == content
