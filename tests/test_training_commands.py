"""The commands that train: what they read, what they print, and that a second call trains nothing."""

import pytest
from typer.testing import CliRunner

from genius_kit.cli import app
from genius_kit.cli.options import read_changes
from genius_kit.errors import InvalidParameter


def test_changes_are_read_as_json_writes_them():
    """Numbers, truth values and null are themselves; anything else is text."""
    texts = ["epochs=2", "learning_rate=1e-2", "nesterov=false", "ema_decay=null", "optimizer=adamw", "name=a=b"]
    assert read_changes(texts) == {
        "epochs": 2,
        "learning_rate": 0.01,
        "nesterov": False,
        "ema_decay": None,
        "optimizer": "adamw",
        "name": "a=b",
    }
    assert read_changes(None) == {}


@pytest.mark.parametrize("texts", [["epochs"], ["=2"], ["epochs=1", "epochs=2"]])
def test_a_change_of_another_form_is_refused(texts):
    """The message shows what was given and the form that is needed."""
    with pytest.raises(InvalidParameter, match="must be FIELD=VALUE"):
        read_changes(texts)


def test_train_prints_its_accuracies_and_reads_a_finished_folder_back(tmp_path, monkeypatch):
    """The same command again gives the same line and leaves the weights as they are."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", "none")
    command = ["train", "nas-bench-macro-w0.125", "00000000", "--dataset", "digits", "--set", "epochs=1"]
    first = CliRunner().invoke(app, [*command, "--output", str(tmp_path)])
    assert first.exit_code == 0, first.output
    assert first.output.startswith("validation: last ")
    written = (tmp_path / "weights.pt").stat().st_mtime_ns
    second = CliRunner().invoke(app, [*command, "--output", str(tmp_path)])
    assert second.output == first.output
    assert (tmp_path / "weights.pt").stat().st_mtime_ns == written


def test_a_misspelt_recipe_field_is_named():
    """The error of the recipe reaches the caller of the command."""
    command = ["train", "nas-bench-macro", "22222222", "--dataset", "digits", "--output", "x", "--set", "epoch=1"]
    outcome = CliRunner().invoke(app, command)
    assert isinstance(outcome.exception, InvalidParameter)
    assert "no field 'epoch'" in str(outcome.exception)
