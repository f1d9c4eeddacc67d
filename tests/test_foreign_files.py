"""One file of another hand among the journals: what is alive is stopped all the same, what is unreadable is named."""

import os

import pytest
from typer.testing import CliRunner

from genius_kit.cli import commands as cli
from genius_kit.errors import JournalError
from genius_kit.journal import Journal, read_run
from genius_kit.journal.verify import read_heads, verify_study, write_heads
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.approval import Asker
from genius_kit.runs.frames import read_frames
from genius_kit.runs.loop import search
from genius_kit.runs.remote import UNREADABLE, command, status
from genius_kit.studies.results import read_results
from tests.doubles import ToyBenchmark
from tests.test_remote_control import ended, in_thread, until

ADA = Asker("ada", "ctl", "desk-1")


def text(path):
    path.write_text("colour,size\nred,3\n")


def binary(path):
    path.write_bytes(os.urandom(4096))


def other_lines(path):
    path.write_text('{"role": "user"}\n' * 3)


def damaged(path):
    path.write_text('{"event": "evaluation"}\n{"event": "run_finished"}\n')


def folder(path):
    path.mkdir()


def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def dangling(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


START = '{"event":"run_started","run":{"space":"nas-bench-macro","budget":3,"seed":0}}\n'
FOREIGN = [text, binary, other_lines, damaged, folder, pipe, endless, dangling, loop]


def random_run(path):
    return search(ToyBenchmark(), make_proposer("random", ToyBenchmark().space), budget=2, seed=0, journal=path)


@pytest.mark.parametrize("lay", FOREIGN)
def test_a_foreign_file_is_named_and_the_others_are_read(tmp_path, lay):
    """Status, frames and results hold every run, and say which file they passed over."""
    random_run(tmp_path / "b.jsonl")
    lay(tmp_path / "a.jsonl")
    told = status(tmp_path)
    assert [(path.name, state) for path, state, _ in told] == [("a.jsonl", UNREADABLE), ("b.jsonl", "finished")]
    assert "a.jsonl" in told[0][2]
    with pytest.warns(UserWarning, match=r"1 of 2 files .* were passed over:\n- .*a\.jsonl"):
        assert len(read_frames(tmp_path)) == 2
    with pytest.warns(UserWarning, match=r"a\.jsonl"):
        assert len(read_results(tmp_path)) == 1


def test_a_folder_with_all_of_them_is_verified_and_its_heads_are_written(tmp_path):
    """Each foreign file is a finding, and the heads are those of the journals."""
    random_run(tmp_path / "b.jsonl")
    for lay in FOREIGN:
        lay(tmp_path / f"a_{lay.__name__}.jsonl")
    assert read_heads(write_heads(tmp_path)).keys() == {"b.jsonl"}
    runs, wrong = verify_study(tmp_path)
    assert [run.path.name for run in runs if run.is_sound] == ["b.jsonl"]
    named = {finding.text for finding in wrong} | {str(run.path) for run in runs}
    assert all(any(f"a_{lay.__name__}" in text for text in named) for lay in FOREIGN)


def test_foreign_files_alone_are_refused(tmp_path):
    """A folder without a run that can be read is no empty frame."""
    text(tmp_path / "a.jsonl")
    with pytest.raises(JournalError, match=r"no journal under .* can be read"):
        read_frames(tmp_path)
    with pytest.raises(JournalError, match=r"line 1 is damaged"):
        command(tmp_path, "stop", asker=ADA)


def test_a_stop_reaches_what_lives_beside_all_of_them(tmp_path):
    """The living run stops; each foreign file is named after it, and the exit code of `ctl` is 0."""
    for lay in FOREIGN:
        lay(tmp_path / f"a_{lay.__name__}.jsonl")
    (tmp_path / "c.jsonl").write_text(START)
    (tmp_path / ".c.jsonl.lock").symlink_to(".c.jsonl.lock")
    path = tmp_path / "b.jsonl"
    thread = in_thread(path, budget=50)
    until(lambda: path.exists() and read_run(path).of("evaluation"))
    result = CliRunner().invoke(cli.app, ["ctl", str(tmp_path), "stop"])
    assert result.exit_code == 0, result.output
    assert "b.jsonl: stop" in result.output or "b.jsonl: it is stopped" in result.output
    assert all(f"a_{lay.__name__}.jsonl" in result.output for lay in FOREIGN)
    assert ".c.jsonl.lock cannot be read" in result.output
    assert not ended(thread).finished
    status(tmp_path)


def test_a_living_run_whose_journal_was_damaged_is_stopped(tmp_path):
    """Its lock says that it lives, whatever its file holds now."""
    path = tmp_path / "b.jsonl"
    with Journal(path) as journal:
        journal.record("run_started", run={"space": "nas-bench-macro", "budget": 3, "seed": 0})
        path.write_text("not a journal any more\n")
        heard = command(tmp_path, "stop", asker=ADA, patience=0.1)
    assert [(one.journal.name, one.state) for one in heard] == [("b.jsonl", UNREADABLE)] * 2
    assert heard[0].answer.startswith("asked")
