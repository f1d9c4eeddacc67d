"""The journal: torn and damaged files, locking, and handing recorded events back."""

import json
import os
import warnings

import pytest

from genius_kit.errors import JournalError
from genius_kit.journal import Journal, read_run
from genius_kit.steering import ASIDES
from genius_kit.verify import verify_run


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


MEASURED = {"validation_accuracy": None, "test_accuracy": 1e-7, "parameters": 3, "macs": 4, "source": "toy"}
KINDS = [
    ("run_started", {"run": {"budget": 3, "settings": {"prompt": "ü"}}}),
    ("intent", {"iteration": 1, "request": "0123456789abcdef"}),
    ("call_failed", {"iteration": 1, "cause": "server", "message": "gestört", "retryable": True}),
    (
        "call",
        {
            "iteration": 1,
            "messages": [{"role": "user", "content": "ä 中 \U0001f600 \n"}],
            "text": "\ud83d",
            "usage": {},
        },
    ),
    ("rejected", {"iteration": 1, "reason": "length", "detail": "7 “values”", "architecture": None}),
    ("candidates", {"iteration": 1, "architectures": [[1, 2], [2, 1]], "chosen": 0}),
    ("declined", {"iteration": 1}),
    (
        "approval",
        {"iteration": 1, "decision": "edit", "architecture": [1], "proposed": [2], "reason": "weil", "by": "ö"},
    ),
    ("proposal", {"iteration": 1, "architecture": [1], "text": "1", "origin": "model"}),
    ("evaluation", {"iteration": 1, "architecture": [1], "feedback": 1e-7, "rank": None, **MEASURED}),
    *((name, {"iteration": 1, "budget": 4}) for name in sorted(ASIDES)),
    ("run_finished", {"reason": "budget"}),
]


@pytest.mark.parametrize(("name", "fields"), KINDS, ids=[name for name, _ in KINDS])
def test_every_kind_of_record_may_be_torn_at_every_byte(tmp_path, monkeypatch, name, fields):
    """Cut anywhere in its last record, a journal opens, takes the record again, and opens again, sound."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    path, kept = tmp_path / "a.jsonl", tmp_path / "kept.jsonl"
    write(path, ("one", {"x": 1}))
    begin = path.stat().st_size
    put(path, name, fields)
    content = path.read_bytes()
    for cut in range(begin, len(content) + 1):
        kept.write_bytes(content[:cut])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            put(kept, name, fields)
        assert any("torn" in str(one.message) for one in told) == (begin < cut < len(content) - 1)
        assert names(read_run(kept).events) == ["one", name]
        put(kept, name, fields)
        assert names(read_run(kept).events) == ["one", name]
        assert verify_run(kept).is_sound


def put(path, name, fields):
    """Go through the first record, then write one of `name`, unless it is there."""
    with Journal(path) as journal:
        journal.record("one", x=1)
        if name not in ASIDES:
            journal.record(name, **fields)
        elif name not in names(read_run(path).events):
            journal.aside(name, **fields)


def test_damage_in_the_middle_is_refused_wherever_it_is(tmp_path):
    """A byte in any line but the last is another: the line, or the one after it, is named; the file stays as it is."""
    path = tmp_path / "a.jsonl"
    write(path, *[kind for kind in KINDS if kind[0] not in ASIDES])
    content = path.read_bytes()
    ends = [at for at, sign in enumerate(content) if sign == 10]
    for at in range(0, ends[-2], 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        line = sum(end < at for end in ends) + 1
        with pytest.raises(JournalError, match=f"line ({line}|{line + 1}) is damaged"):
            write(path, KINDS[0])
        assert path.read_bytes()[at] == content[at] ^ 4


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
