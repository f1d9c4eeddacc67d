"""The journal: torn and damaged files, locking, and handing recorded events back."""

import json
import os
import warnings
from contextlib import nullcontext
from itertools import accumulate

import pytest

from genius_kit.errors import JournalError
from genius_kit.journal import Journal, Run, read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.journal.lines import read_event
from genius_kit.journal.verify import verify_run
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from tests.doubles import QueueClient, ToyBenchmark


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


def test_a_cut_at_every_byte_of_the_last_record_is_repaired(tmp_path):
    """Whatever part of the last line is left, the journal opens, keeps the rest, and goes on."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {"x": 1}), ("two", {"text": "prüfung"}))
    content = path.read_bytes()
    begin = content.index(b"\n") + 1
    for cut in range(begin, len(content) + 1):
        path.write_bytes(content[:cut])
        with pytest.warns(UserWarning, match="torn") if begin < cut < len(content) - 1 else nullcontext():
            write(path, ("one", {"x": 1}), ("two", {"text": "prüfung"}))
        assert names(read_run(path).events) == ["one", "two"]
        assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("altered", [b'{"event":"tw\n', b"\n", b'{"event":"two"} {"event":"three"}\n'])
def test_a_last_line_with_its_end_was_not_torn(tmp_path, altered):
    """A crash never leaves it: it was altered, perhaps by a line feed between two lines, and nothing is taken off."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {"x": 1}))
    content = path.read_bytes() + altered
    path.write_bytes(content)
    with pytest.raises(JournalError, match="line 2 is damaged"):
        write(path, ("one", {"x": 1}))
    assert path.read_bytes() == content


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
    *((name, {"iteration": 1, "budget": 4}) for name in sorted(SIDE_EVENTS)),
    ("run_finished", {"reason": "budget"}),
]


@pytest.mark.slow
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
        if name not in SIDE_EVENTS:
            journal.record(name, **fields)
        elif name not in names(read_run(path).events):
            journal.note(name, **fields)


def test_damage_in_the_middle_is_refused_wherever_it_is(tmp_path):
    """A byte in any line but the last is another: the line, or the one after it, is named; the file stays as it is."""
    path = tmp_path / "a.jsonl"
    write(path, *[kind for kind in KINDS if kind[0] not in SIDE_EVENTS])
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


def test_settings_that_differ_only_by_a_null_are_refused_by_name(tmp_path):
    """A setting that is None is not one that is missing: the message says which it was."""
    path = tmp_path / "a.jsonl"
    write(path, ("run_started", {"run": {"budget": 5, "first": None}}))
    with pytest.raises(JournalError, match=r"run\.first = None, this run has nothing"):
        write(path, ("run_started", {"run": {"budget": 5}}))


def test_a_copy_without_its_words_is_refused_as_it_lies(tmp_path):
    """What cannot be resumed is left as it is, a torn last line too."""
    path = tmp_path / "a.jsonl"
    content = b'{"event":"call","messages":{"redacted":"0"},"text":"x"}\n{"event":"tw'
    path.write_bytes(content)
    with pytest.raises(JournalError, match="withheld"):
        write(path, ("one", {}))
    assert path.read_bytes() == content
    assert not (tmp_path / "a.jsonl.torn").exists()


def call(iteration, **fields):
    usage = {"input_tokens": 10, "output_tokens": 5}
    known = {"messages": [], "text": "x", "usage": usage, "cost": 0.5, "seconds": 2.0}
    return {"event": "call", "iteration": iteration, **known, **fields}


def measured(iteration, feedback, **fields):
    known = {"validation_accuracy": 1.5, "test_accuracy": 2.5, "parameters": 7, "macs": 9, "source": "s", "rank": None}
    architecture = [0] * 7 + [iteration]
    return (
        {"event": "evaluation", "iteration": iteration, "architecture": architecture, "feedback": feedback}
        | known
        | fields
    )


def proposed(iteration):
    return {"event": "proposal", "iteration": iteration, "architecture": [], "text": f"t{iteration}", "origin": "model"}


EVENTS = [
    {"event": "run_started", "run": {"space": "nas-bench-macro", "budget": 4}},
    {"event": "intent", "iteration": 1},
    call(1),
    {"event": "rejected", "iteration": 1},
    {"event": "intent", "iteration": 1},
    {"event": "call_failed", "iteration": 1},
    {"event": "intent", "iteration": 1},
    call(1),
    proposed(1),
    measured(1, 50.0, rank={"best": 3, "worst": 4, "of": 5}),
    {"event": "intent", "iteration": 2},
    {"event": "paused", "iteration": 2},
    {"event": "intent", "iteration": 2},
    call(2, cost=None, usage={"input_tokens": None, "output_tokens": 5}),
    proposed(2),
    measured(2, None, failure="diverged"),
    {"event": "budget_raised", "iteration": 2, "budget": 5},
    {"event": "budget_raised", "iteration": 2, "budget": 6},
    proposed(3),
    measured(0, 40.0) | {"iteration": 3},
    {"event": "run_finished", "reason": "budget"},
]


def test_a_frame_says_what_each_evaluation_was_and_took():
    """One row per evaluation: its own fields, the best so far, and the sums of its calls, None where one is unknown."""
    rows = Run(None, EVENTS).frame().astype(object).where(lambda frame: frame.notna(), None).to_dict("records")
    same = {"origin": "model", "person": None, "source": "s", "reused": 0}
    same |= {"validation_accuracy": 1.5, "test_accuracy": 2.5, "parameters": 7, "macs": 9}
    no_rank = {"rank_best": None, "rank_worst": None, "rank_of": None}
    assert rows == [
        {
            **same,
            "iteration": 1,
            "architecture": "t1",
            "key": "00000001",
            "feedback": 50.0,
            "best_so_far": 50.0,
            "rank_best": 3,
            "rank_worst": 4,
            "rank_of": 5,
            "failure": None,
            "calls": 2,
            "failed_calls": 1,
            "rejections": 1,
            "input_tokens": 20,
            "output_tokens": 10,
            "cost": 1.0,
            "seconds": 4.0,
        },
        {
            **same,
            **no_rank,
            "iteration": 2,
            "architecture": "t2",
            "key": "00000002",
            "feedback": None,
            "best_so_far": 50.0,
            "calls": 1,
            "failed_calls": 0,
            "rejections": 0,
            "input_tokens": None,
            "output_tokens": 5,
            "cost": None,
            "seconds": 2.0,
            "failure": "diverged",
        },
        {
            **same,
            **no_rank,
            "iteration": 3,
            "architecture": "t3",
            "key": "00000000",
            "feedback": 40.0,
            "best_so_far": 50.0,
            "calls": 0,
            "failed_calls": 0,
            "rejections": 0,
            "input_tokens": None,
            "output_tokens": None,
            "cost": None,
            "seconds": None,
            "failure": None,
        },
    ]
    empty = Run(None, []).frame()
    assert (len(empty), list(empty.columns)) == (0, list(Run(None, EVENTS).frame().columns))
    assert {str(empty.dtypes[name]) for name in ("feedback", "best_so_far")} == {"float64"}


def test_what_a_run_says_of_itself():
    """Settings, the budget as it was raised last, whether and why it ended, and the calls without an answer."""
    run, begun, nothing = Run(None, EVENTS), Run(None, EVENTS[:-5]), Run(None, [])
    assert run.settings == {"space": "nas-bench-macro", "budget": 4}
    assert (run.budget, begun.budget, nothing.budget) == (6, 4, None)
    assert (run.finished, begun.finished, nothing.finished) == (True, False, False)
    assert (run.reason, begun.reason, nothing.reason, nothing.settings) == ("budget", None, None, {})
    assert names(run.of("rejected", "call_failed")) == ["rejected", "call_failed"]
    assert run.unanswered_intents == [EVENTS[10]]
    assert Run(None, EVENTS[:2]).unanswered_intents == [EVENTS[1]]


@pytest.mark.parametrize("lost", ["proposal", "parameters"])
def test_a_frame_of_altered_events_is_refused(lost):
    """An evaluation without its proposal or one of its fields has no row; the message says what it lacks."""
    events = [event for event in EVENTS if event["event"] != lost]
    events = [{key: value for key, value in event.items() if key != lost} for event in events]
    with pytest.raises(JournalError, match=rf"an event lacks its {lost}; .*genius-kit verify"):
        Run(None, events).frame()


def test_what_no_step_waits_for_has_its_own_names(tmp_path):
    """An event beside the steps is written when nothing is read back, under one of the known names only."""
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        journal.record("one")
        journal.note("paused", iteration=1)
        with pytest.raises(ValueError, match=r"^'two' is none of .*budget_raised, .*paused, "):
            journal.note("two")
    with Journal(path) as journal:
        journal.note("paused", iteration=2)
        assert journal.next_is("one", "two")
        assert not journal.next_is("two")
        assert journal.take("two") is None
        assert journal.take("one")["event"] == "one"
        assert journal.take("one") is None
        journal.note("paused", iteration=3)
    assert [(e["event"], e.get("iteration")) for e in read_run(path).events] == [
        ("one", None),
        ("paused", 1),
        ("paused", 3),
    ]


def test_the_messages_of_a_refused_record_say_what_to_do(tmp_path):
    """An event of another kind, and one that differs, name the file, both sides and the way on."""
    path = tmp_path / "a.jsonl"
    write(path, ("one", {"x": {"y": 1}}))
    with pytest.raises(JournalError) as caught:
        write(path, ("two", {}))
    assert str(caught.value) == (
        f"{path}: the record says 'one' where this run comes to 'two'; it was written with other settings or another "
        "version. Choose another journal, or the settings it began with."
    )
    for fields, said in (({"x": {"y": 2}}, "x.y = 1, this run has 2"), ({"x": 3}, "x = {'y': 1}, this run has 3")):
        with pytest.raises(JournalError) as caught:
            write(path, ("one", fields))
        assert str(caught.value) == (
            f"{path}: one has {said}. A journal resumes only with the settings it began with; choose another journal "
            "for other settings."
        )
    with pytest.raises(JournalError, match=r"one has x\.z = nothing, this run has None"):
        write(path, ("one", {"x": {"y": 1, "z": None}}))


def test_a_disk_that_refuses_is_told_and_the_journal_is_opened_again(tmp_path, monkeypatch):
    """The message says that the lines before are safe; nothing more is written until the file has been opened anew."""
    path = tmp_path / "a.jsonl"

    def full(descriptor, content, settle=True):
        raise OSError(28, "No space left on device")

    with Journal(path) as journal:
        journal.record("one")
        with monkeypatch.context() as patch:
            patch.setattr("genius_kit.files.append", full)
            with pytest.raises(JournalError) as caught:
                journal.record("two")
        with pytest.raises(JournalError) as again:
            journal.record("two")
    assert str(caught.value).startswith(
        f"{path} cannot be written (No space left on device). Every line that is in it "
    )
    assert str(caught.value).endswith(f"then go on with `genius-kit resume {path}` or the same command again")
    assert str(again.value).startswith(f"{path} could not be written before; open it again")
    write(path, ("one", {}), ("two", {}))
    assert names(read_run(path).events) == ["one", "two"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_paid_before_the_disk_has_every_line(tmp_path, monkeypatch):
    """A request leaves after an fsync of all lines before it, a reply is followed by one; free lines share the next."""
    path, settled, sent = tmp_path / "a.jsonl", [], []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sync(file), settled.append(path.stat().st_size))[0])

    class Watched(QueueClient):
        def send(self, messages, seed=None):
            sent.append((path.stat().st_size, settled[-1]))
            return super().send(messages, seed)

    space = ToyBenchmark().space
    client = Watched("22222222", "22222220", "22222200")
    search(ToyBenchmark(), make_proposer("llm", space, client=client), 3, journal=path, progress=False)
    assert [size for size, _ in sent] == [safe for _, safe in sent]
    lines = path.read_bytes().splitlines(keepends=True)
    ends = accumulate(map(len, lines))
    paid = [end for end, line in zip(ends, lines, strict=True) if read_event(line)["event"] == "call"]
    assert set(paid) <= set(settled)
    assert settled[-1] == path.stat().st_size
    assert len({size for size in settled if size}) <= 3 * 2 + 1
