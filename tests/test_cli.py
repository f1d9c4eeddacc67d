"""The genius-kit command as a user types it, each call its own process."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from genius_kit.cli import app, commands
from genius_kit.version import __version__
from tests.printed_commands import command_of, parse

COMMAND = [sys.executable, "-c", "from genius_kit.cli import main; main()"]


def call(*arguments, **environment):
    """Run genius-kit without a key and return the finished process."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env={**clean, **environment}, check=False
    )


@pytest.fixture
def empty(tmp_path):
    """An environment in which nothing was downloaded."""
    return {"GENIUS_KIT_DATA": str(tmp_path / "data")}


def test_help_lists_the_commands():
    """--help names what there is."""
    done = call("--help")
    assert done.returncode == 0
    for command in ("run", "resume", "replay", "report", "doctor", "data"):
        assert f"│ {command} " in done.stdout


def test_the_version_is_printed():
    """--version: one line, exit code 0."""
    done = call("--version")
    assert (done.returncode, done.stdout) == (0, f"genius-kit {__version__}\n")


def shown_in_help(command, path=""):
    """Yield each command with its name."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from shown_in_help(inner, f"{path} {name}".strip())


@pytest.mark.parametrize(("path", "command"), [*shown_in_help(command_of(app))], ids=lambda one: str(one)[:40])
def test_every_help_fits_and_has_an_example_that_is_read(path, command, monkeypatch):
    """No line is wider than 80 columns, and the example is a command that the program reads."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*path.split(), "--help"]).output
    assert max(map(len, shown.splitlines())) <= 80
    example = command.epilog.removeprefix("Example: ")
    words = shlex.split(example.partition(" | ")[0])
    assert " ".join(words[1:]).startswith(path)
    assert path == "lab" or parse(words).is_complete


def test_an_unknown_command_or_option_is_wrong_usage():
    """Exit code 2: the command that came, the option that may have been meant."""
    for arguments, told in ((["runn"], "'runn'"), (["run", "nas-bench-macro", "--budgt", "3"], "--budget")):
        done = call(*arguments)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_an_unknown_benchmark_names_the_known_ones(empty):
    """A misspelt benchmark is wrong usage: exit code 2."""
    done = call("run", "nas-bench-999", **empty)
    assert done.returncode == 2
    assert "nas-bench-201-cifar10" in done.stderr
    near = call("run", "nas-bench-201-cifr10", **empty)
    assert "did you mean 'nas-bench-201-cifar10'?" in near.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_names_both_ways_to_get_it(empty):
    """Data that is not there: exit code 2, with the two commands."""
    done = call("run", "nas-bench-macro", "--proposer", "random", **empty)
    assert done.returncode == 2
    assert "genius-kit data fetch" in done.stderr
    assert "genius-kit data import" in done.stderr


def test_no_key_says_how_to_set_one(empty, tmp_path):
    """Without a key the run stops with exit code 3 and leaves no journal: nothing was asked."""
    done = call("run", "nas-bench-201-cifar10", "--model", "gpt-4.1", "--yes", "--output", tmp_path / "runs", **empty)
    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "runs").glob("*.jsonl")) == []


@pytest.mark.slow
def test_runs_side_by_side_with_no_key_and_no_download(empty, tmp_path):
    """The offline stand-in searches the embedded benchmark; the same command again changes nothing."""
    arguments = ("run", "nas-bench-201-cifar10", "--budget", 3, "--runs", 2, "--workers", 2, "--output", tmp_path / "r")
    first = call(*arguments, **empty)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("the replies come from the offline stand-in, not from a language model") == 1
    journals = {path: path.read_bytes() for path in (tmp_path / "r").glob("*.jsonl")}
    assert len(journals) == 2
    assert first.stderr == ""  # no line per evaluation unless it is asked for
    assert "333343" in call(*arguments, "-v", **empty).stdout
    again = call(*arguments, **empty)
    assert again.returncode == 0
    assert "2 of 2 runs were finished before" in again.stdout
    assert "finished before" not in first.stdout
    assert journals == {path: path.read_bytes() for path in (tmp_path / "r").glob("*.jsonl")}
    assert "larger --budget and with --reuse" in call("ctl", next(iter(journals)), "pause", **empty).stderr
    assert "(did you mean 'status'?)" in call("ctl", next(iter(journals)), "statu", **empty).stderr
    assert "a journal is shown by `genius-kit audit" in call("replay", next(iter(journals)), **empty).stderr
    assert "conversations are 329M and 401M" in call("replay", tmp_path / "X.jsonl", **empty).stderr


@pytest.mark.slow
def test_a_study_says_that_the_stand_in_answers(empty, tmp_path):
    """One line, and the tables name it: never as a model, never with a temperature."""
    done = call("study", "reproducibility", "--seeds", 2, "--budget", 2, "--output", tmp_path / "s", **empty)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Note: the replies come from the offline stand-in, not from a language model.") == 1
    assert max(map(len, done.stdout.splitlines())) <= 80 or str(tmp_path) in done.stdout
    table = " ".join(done.stdout.split("\n\n")[0].split())
    assert "offline stand-in, not a language model" in table
    assert "Does it repeat itself? offline stand-in" in " ".join(done.stdout.split())
    assert not any(words in table for words in ("llm", "temperature"))
    asked_nobody = ("run", "nas-bench-201-cifar10", "--proposer", "random", "--budget", 1, "--output", tmp_path / "r")
    assert "not from a language model" not in call(*asked_nobody, **empty).stdout


def test_objectives_are_given_with_commas_between(empty, tmp_path):
    """Both are on record; a name that is none is wrong usage, and the known ones are told."""
    output = tmp_path / "runs"
    told = ("run", "nas-bench-201-cifar10", "--proposer", "random", "--budget", "2", "--output", output, "--objectives")
    assert call(*told, "accuracy,latency", **empty).returncode == 0
    (journal,) = output.glob("*.jsonl")
    assert '"objectives":["accuracy","latency"]' in journal.read_text()
    done = call(*told, "accuracy,flops", **empty)
    assert done.returncode == 2
    assert "macs, parameters, latency" in done.stderr


def test_resume_continues_a_cut_journal(empty, tmp_path):
    """A journal cut in the middle is completed with the settings it began with."""
    call("run", "nas-bench-201-cifar10", "--budget", 3, "--output", tmp_path, **empty)
    journal = next(tmp_path.glob("*.jsonl"))
    whole = journal.read_text().splitlines()
    journal.write_text("\n".join(whole[:7]) + "\n")
    done = call("resume", journal, **empty)
    assert done.returncode == 0, done.stderr
    assert len(journal.read_text().splitlines()) in (len(whole), len(whole) + 1)


@pytest.mark.slow
def test_resume_refuses_a_finished_journal_that_was_altered(empty, tmp_path):
    """What is shown is what was written, or the line that is not."""
    call("run", "nas-bench-201-cifar10", "--proposer", "random", "--budget", 2, "--output", tmp_path, **empty)
    journal = next(tmp_path.glob("*.jsonl"))
    assert call("resume", journal, **empty).returncode == 0
    text = journal.read_text()
    journal.write_text(text.replace('"macs":', '"macs":1', 1))
    done = call("resume", journal, **empty)
    assert done.returncode == 1
    assert "is not as it was written: line 3" in done.stderr
    assert "genius-kit verify" in done.stderr


def test_doctor_never_prints_the_key(empty):
    """A key is only said to be set."""
    done = call("doctor", OPENAI_API_KEY="sk-very-secret-value", **empty)
    assert done.returncode == 0, done.stderr
    assert "sk-very-secret-value" not in done.stdout + done.stderr
    assert "set" in done.stdout


def test_replay_prints_the_published_search(published):
    """The ten architectures of a published conversation come out, and which of them is the paper's."""
    done = call("replay", Path(published) / "chat_history" / "329M.json")
    assert done.returncode == 0, done.stderr
    rows, ending = done.stdout.split("\n\n")
    assert rows.count("\n") == 10
    assert ending == "best: 100010101110404300430440505550\n72.61 %, step 4 of 10: the paper's GENIUS-329\n"


def test_data_import_and_verify(published, tmp_path):
    """Importing the published folder makes every benchmark available, and verify finds no fault."""
    environment = {"GENIUS_KIT_DATA": str(tmp_path)}
    assert call("data", "import", published, **environment).returncode == 0
    assert call("data", "verify", **environment).returncode == 0
    status = call("data", "status", **environment)
    assert "nas-bench-macro" in status.stdout


@pytest.mark.slow
@pytest.mark.alone
def test_help_takes_at_most_half_the_time_of_importing_torch():
    """Start-up loads nothing heavy: best of three, alternating."""

    def seconds(arguments):
        begun = time.perf_counter()
        subprocess.run(arguments, capture_output=True, check=True)
        return time.perf_counter() - begun

    pairs = [(seconds([*COMMAND, "--help"]), seconds([sys.executable, "-c", "import torch"])) for _ in range(3)]
    helps, torches = zip(*pairs, strict=True)
    assert min(helps) <= 0.5 * min(torches), pairs


def test_a_table_that_almost_fits_keeps_its_cells_in_one_line(monkeypatch, capsys):
    """The rows of a verdict on a terminal of 80 columns: one blank between them rather than a word cut in two."""
    monkeypatch.setenv("COLUMNS", "80")
    row = ["beats own start?", "coordinate-descent", "0.67", "-0.13 to 0.10", "< 0.001", "140", "unclear"]
    commands.print_table(
        pd.DataFrame([row], columns=["question", "reference", "ratio", "95 % interval", "p", "n", "answer"])
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(cell in lines[1] for cell in row)
    commands.print_table(pd.DataFrame([["a", "b"]], columns=["one", "two"]))
    assert capsys.readouterr().out.splitlines()[0].rstrip() == "one  two"
