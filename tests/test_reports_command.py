"""`genius-kit report` and `genius-kit lab` as a user types them, each call its own process."""

import os
import subprocess
import sys
import time

import pytest

from tests.notebook_files import write

COMMAND = [sys.executable, "-c", "from genius_kit.cli import main; main()"]


@pytest.fixture
def call(tmp_path):
    """Run genius-kit in an empty folder with nothing downloaded, and return the finished process."""

    def run(*arguments):
        environment = {**os.environ, "GENIUS_KIT_DATA": str(tmp_path / "data")}
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )

    return run


@pytest.mark.slow
def test_a_report_says_what_it_did_and_its_exit_code_too(tmp_path, call):
    """0 when all is done, 1 when a notebook failed; the sentence and the index are there either way."""
    folder = tmp_path / "notebooks"
    write(folder, "a", "print(iterations, name)")
    write(folder, "b", "import time; time.sleep(60)")
    done = call("report", "--time-limit", 4, "--set", "iterations=5", "--set", "name=007")
    assert done.returncode == 1
    assert "1 done, 1 failed" in done.stdout
    assert "b.ipynb, cell 3: the notebook ran longer than 4 s, its time limit" in done.stdout
    assert "5 007" in (tmp_path / "reports" / "a.html").read_text()
    assert (tmp_path / "reports" / "b.failed.html").is_file()
    write(folder, "b", "1")
    assert call("report").returncode == 0


@pytest.mark.slow
def test_a_report_says_that_the_stand_in_answered(tmp_path, call):
    """Where a notebook's parameter `model` names it; one line, and none for a language model."""
    write(tmp_path / "notebooks", "a", "print(model)", parameters='model: str = "offline"  # who answers')
    note = "Note: the replies come from the offline stand-in, not from a language model."
    assert call("report").stdout.count(note) == 1
    assert note not in call("report", "--set", "model=gpt-4.1").stdout


@pytest.mark.slow
def test_a_second_call_does_nothing_and_says_so(tmp_path, call):
    """In under ten seconds, with exit code 0; --force runs it."""
    for name in ("a", "b", "c"):
        write(tmp_path / "notebooks", name, "print(1)")
    from genius_kit.reports.records import code_sum

    for _ in range(3):  # where the package is being edited meanwhile, its sum changes
        before = code_sum()
        assert call("report", "--all").returncode == 0
        start = time.perf_counter()
        again = call("report", "--all")
        seconds = time.perf_counter() - start
        if code_sum() == before:
            break
    assert again.returncode == 0
    assert "nothing to do: all 3 notebooks are done" in again.stdout
    assert seconds < 10
    assert "1 done" in call("report", "a", "--force").stdout


def test_missing_data_fails_only_with_all(tmp_path, call):
    """Exit code 2 with --all, 0 without; the command that gets the data is named."""
    write(tmp_path / "notebooks", "a", "1", needs=["nas-bench-macro"])
    assert call("report").returncode == 0
    done = call("report", "--all")
    assert done.returncode == 2
    assert "genius-kit data fetch" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "zzz"), "no notebook is called 'zzz'; the known ones are a"),
        (("report", "--set", "iteration=3"), "no notebook has a parameter 'iteration'"),
        (("report", "--set", "iterations=x"), "must be int, got 'x'"),
        (("report", "--set", "iterations"), "--set must be NAME=VALUE"),
        (("report", "--set", "api_key=x"), "looks like a secret"),
        (("report", "--grid", "grid.yml"), "grid.yml, line 2: no notebook is called 'zzz'"),
        (("report", "--output", "grid.yml"), "cannot be written"),
        (("report", "--notebooks", "nowhere"), "no notebook lies in nowhere"),
        (("report", "a", "--all"), "do not go together"),
        (("lab", "--notebooks", "nowhere"), "name that of the notebooks"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(tmp_path, call, arguments, message):
    """No traceback, and nothing has run."""
    write(tmp_path / "notebooks", "a", "open('ran', 'w');")
    (tmp_path / "grid.yml").write_text("a: {iterations: 3}\nzzz: {iterations: 3}")
    done = call(*arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "notebooks" / "ran").exists()


def test_lab_opens_jupyterlab_on_the_notebooks(tmp_path, call, monkeypatch):
    """It becomes JupyterLab on the folder above, with their list open; options that are not ours are passed on."""
    from typer.testing import CliRunner

    from genius_kit.cli import app
    from genius_kit.cli import report as report_commands

    (tmp_path / "notebooks").mkdir()
    started = []
    monkeypatch.setattr(report_commands.os, "execv", lambda program, command: started.append(command))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["lab", "--no-browser", "--port", "8889"]).exit_code == 0
    opened = [f"--ServerApp.root_dir={tmp_path}", "--LabApp.default_url=/lab/tree/notebooks"]
    assert started == [[sys.executable, "-m", "jupyterlab", *opened, "--no-browser", "--port", "8889"]]
    version = call("lab", "--version")
    assert version.returncode == 0
    assert version.stdout.strip()[0].isdigit()


@pytest.mark.slow
@pytest.mark.alone
def test_two_workers_are_faster_than_one(tmp_path):
    """At least 1.5 times, on notebooks that wait."""
    from genius_kit.reports import run as reports

    for name in "abcd":
        write(tmp_path / "notebooks", name, "import time; time.sleep(4)")
    seconds = []
    for workers in (1, 2):
        start = time.perf_counter()
        reports.report(tmp_path / "notebooks", tmp_path / "out", workers=workers, force=True)
        seconds.append(time.perf_counter() - start)
    assert seconds[0] / seconds[1] >= 1.5
