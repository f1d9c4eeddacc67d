"""Locks that keep nobody out: two that write one journal never both finish, and the message names the file system."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from doubles import QueueClient, ToyBenchmark

import genius_kit as gk
from genius_kit import files
from genius_kit.errors import GeniusKitError, JournalError
from genius_kit.journal import Journal
from genius_kit.journal.verify import verify_run
from genius_kit.runs.remote import commands_file, is_owned, owner_file


@pytest.fixture
def without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose flock says yes to everybody."""
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)


def test_a_lock_without_effect_is_noticed(tmp_path: Path, without_effect: None) -> None:
    """Before a line is written; what is told is the kind of file system, and nothing of room."""
    with pytest.raises(JournalError, match="keeps no locks") as refused, Journal(tmp_path / "a.jsonl"):
        pass
    assert files.file_system(tmp_path) in str(refused.value)
    assert "room" not in str(refused.value)
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(GeniusKitError, match=r"file system of .* keeps no locks") as refused, Journal(tmp_path / "a"):
        pass
    assert "room" not in str(refused.value)


def test_the_file_system_of_a_place_is_that_of_its_mount() -> None:
    assert files.file_system("/proc/self/status").startswith("proc at /proc")


def test_a_link_to_a_journal_is_the_same_journal(tmp_path: Path) -> None:
    """It is in use under both names, commands and answers lie in one place, and a run goes on by the link."""
    path, link = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    with Journal(path) as journal:
        link.symlink_to(path)
        journal.record("run_started", run={})
        with pytest.raises(JournalError, match="in use by another run"), Journal(link):
            pass
        assert is_owned(link)
    assert not is_owned(link)
    assert (commands_file(link), owner_file(link)) == (commands_file(path), owner_file(path))
    with Journal(link) as journal:
        assert journal.take("run_started")
    assert verify_run(path).is_sound


@pytest.fixture
def unnoticed(without_effect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that fool the probe too, as those of two machines do."""
    monkeypatch.setattr(files, "excludes", lambda path: True)


@pytest.mark.parametrize("second_name", ["the same", "a hard link"])
def test_a_second_writer_is_seen_by_the_end_of_the_file(second_name: str, tmp_path: Path, unnoticed: None) -> None:
    """Whoever finds another's line at the end writes no more, and the lines that are there stay sound."""
    path, other = tmp_path / "a.jsonl", tmp_path / "a.jsonl"
    with Journal(path) as first:
        first.record("run_started", run={})
        if second_name == "a hard link":
            other = tmp_path / "b.jsonl"
            os.link(path, other)
        with Journal(other) as second:
            second.take("run_started")
            second.record("proposal", iteration=1, architecture=[0], text="0", origin="optimiser")
            with pytest.raises(JournalError, match="changed by another process"):
                first.record("proposal", iteration=1, architecture=[1], text="1", origin="optimiser")
            second.record("run_finished", reason="budget")
    assert verify_run(path).is_sound


def test_a_line_that_was_written_over_is_seen(tmp_path: Path, unnoticed: None) -> None:
    """Of the same length, as where appending is not one step: the content tells."""
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.record("run_started", run={})
        content = path.read_bytes()
        path.open("r+b").write(content[:-20] + b"0123456789abcdef0" + content[-3:])
        with pytest.raises(JournalError, match="changed by another process"):
            journal.record("proposal", iteration=1, architecture=[0], text="0", origin="optimiser")


def test_two_writers_never_both_finish(tmp_path: Path, unnoticed: None) -> None:
    """Two searches begin one journal at once, many times over, with nothing to keep them apart."""
    together = threading.Barrier(2)

    def search(path: Path, ends: list[Any]) -> None:
        together.wait()
        client = QueueClient("22222222", "22222220", "22222200")
        made = gk.make_proposer("llm", ToyBenchmark().space, client=client)
        try:
            ends.append(gk.search(ToyBenchmark(), made, 3, journal=path, progress=False))
        except GeniusKitError as error:
            ends.append(error)

    for number in range(25):
        path, ends = tmp_path / f"{number}.jsonl", list[Any]()
        threads = [threading.Thread(target=search, args=(path, ends)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrote = [end for end in ends if not isinstance(end, Exception) and end.finished]
        assert len(ends) == 2
        # one that came when the other had finished reads it back, and has written nothing
        assert len(wrote) <= 1 or verify_run(path).is_sound
