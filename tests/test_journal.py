"""The journal: torn and damaged files, locking, and handing recorded events back."""

import json

import pytest

from genius_kit.errors import JournalError
from genius_kit.journal import Journal, read_run


def write(path, *events):
    with Journal(path) as journal:
        for name, fields in events:
            journal.record(name, **fields)


def names(events):
    return [event["event"] for event in events]


def test_events_come_back_in_order(tmp_path):
    """What was recorded is what is read."""
    write(tmp_path / "a.jsonl", ("one", {"x": 1}), ("two", {"x": "ü"}))
    assert [(e["event"], e["x"]) for e in read_run(tmp_path / "a.jsonl").events] == [("one", 1), ("two", "ü")]


def test_recorded_events_are_handed_back_before_new_ones_are_written(tmp_path):
    """A second pass over the same steps writes nothing until it goes past the record."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {"x": 1}))
    write(path, ("one", {"x": 1}), ("two", {}))
    assert names(read_run(path).events) == ["one", "two"]


def test_other_settings_are_refused_by_name(tmp_path):
    """A journal of other settings is refused, and the message names the setting."""
    path = tmp_path / "a.jsonl"
    write(path, ("run_started", {"run": {"budget": 5}}))
    with pytest.raises(JournalError, match=r"run\.budget = 5, this run has 6"):
        write(path, ("run_started", {"run": {"budget": 6}}))


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_cut_at_every_byte_of_the_last_record_is_repaired(tmp_path, newline):
    """Whatever part of the last line is left, the journal opens, keeps the rest, and goes on."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {"x": 1}), ("two", {"text": "prüfung"}))
    content = path.read_bytes()
    begin = content.index(b"\n") + 1
    for cut in range(begin, len(content) + 1):
        torn = content[:cut] + (newline if cut > begin and cut < len(content) - 1 else b"")
        path.write_bytes(torn)
        complete = cut >= len(content) - 1
        if not complete and cut > begin:
            with pytest.warns(UserWarning, match="torn"):
                write(path, ("one", {"x": 1}), ("two", {"text": "prüfung"}))
        else:
            write(path, ("one", {"x": 1}), ("two", {"text": "prüfung"}))
        assert names(read_run(path).events) == ["one", "two"]
        assert path.read_bytes().count(b"\n") == 2


def test_a_torn_line_is_kept_beside_the_journal(tmp_path):
    """Nothing is lost: the torn bytes are moved to a file of their own."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {}))
    with path.open("ab") as file:
        file.write(b'{"event":"tw')
    with pytest.warns(UserWarning, match="torn"):
        write(path, ("one", {}))
    assert (tmp_path / "a.jsonl.torn").read_bytes() == b'{"event":"tw\n'


@pytest.mark.parametrize("damage", [b"not json", b"", b"[1]", b'{"no":"event"}', b"\xff\xfe"])
def test_a_damaged_middle_is_refused_and_the_line_named(tmp_path, damage):
    """Damage that no crash leaves is refused."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {}), ("two", {}), ("three", {}))
    lines = path.read_bytes().split(b"\n")
    lines[1] = damage
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    for read in (lambda: read_run(path), lambda: write(path, ("one", {}))):
        with pytest.raises(JournalError, match="line 2"):
            read()
    assert path.read_bytes() == before


def test_a_second_writer_is_refused(tmp_path):
    """Two runs on one journal would interleave: the second is refused and the first goes on."""
    path = tmp_path / "a.jsonl"
    with Journal(path) as first:
        first.record("one")
        with pytest.raises(JournalError, match="in use"), Journal(path):
            pass
        first.record("two")
    assert names(read_run(path).events) == ["one", "two"]


def test_a_missing_journal_is_named(tmp_path):
    """Reading a file that is not there says where journals come from."""
    with pytest.raises(JournalError, match="genius-kit run"):
        read_run(tmp_path / "none.jsonl")


def test_numbers_that_json_cannot_say_are_refused(tmp_path):
    """NaN never reaches the file."""
    with Journal(tmp_path / "a.jsonl") as journal, pytest.raises(ValueError, match="JSON"):
        journal.record("one", x=float("nan"))
    assert read_run(tmp_path / "a.jsonl").events == []


def test_a_line_is_plain_json(tmp_path):
    """Each line is one JSON object with its event and time."""
    write(tmp_path / "a.jsonl", ("one", {"x": 1}))
    event = json.loads((tmp_path / "a.jsonl").read_text())
    assert event["event"] == "one"
    assert event["time"].endswith("+00:00")


def test_a_persons_events_are_passed_over_wherever_they_stand(tmp_path):
    """A resumed run takes its own steps; pauses between them are kept in place, the last budget counts from there."""
    path = tmp_path / "a.jsonl"
    steps = [("one", {}), ("paused", {}), ("budget_raised", {"budget": 7}), ("two", {}), ("resumed", {})]
    write(path, *steps)
    with Journal(path) as journal:
        assert journal.budget(5) == 5
        assert journal.next_is("one")
        journal.record("one")
        assert journal.budget(5) == 7
        assert journal.replaying
        assert journal.take("two")
        assert not journal.replaying
        assert journal.take("three") is None
        journal.record("three")
    assert names(read_run(path).events) == ["one", "paused", "budget_raised", "two", "resumed", "three"]


def test_a_journal_in_memory_goes_on_from_what_it_is_given():
    """Events of before are handed back as those of a file are."""
    with Journal(None, recorded=[{"event": "one", "time": "t", "x": 1}]) as journal:
        assert journal.record("one", x=1)["time"] == "t"
        journal.record("two")
    assert names(journal.events) == ["one", "two"]


def test_a_larger_budget_opens_a_finished_run(tmp_path):
    """The budget is the last one named; what was finished is not, until it has finished again."""
    end = [("run_started", {"run": {"budget": 5}}), ("run_finished", {"reason": "budget"})]
    write(tmp_path / "a.jsonl", *end)
    run = read_run(tmp_path / "a.jsonl")
    assert (run.finished, run.budget) == (True, 5)
    write(tmp_path / "a.jsonl", *end, ("budget_raised", {"budget": 9}))
    run = read_run(tmp_path / "a.jsonl")
    assert (run.finished, run.reason, run.budget) == (False, None, 9)
