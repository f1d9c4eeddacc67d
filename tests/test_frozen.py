"""Journals of every format that was written, kept as they were: each is read, resumed and replayed alike."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.errors import ModelError
from genius_kit.journal import Journal, chain, read_run
from genius_kit.journal.verify import verify_run
from genius_kit.llm import Reply, Usage
from genius_kit.llm.recorded import ReplayClient
from genius_kit.llm.session import Session, Steering
from genius_kit.runs.approval import Decision
from genius_kit.runs.loop import Search
from genius_kit.runs.steps import open_run
from tests.doubles import QueueClient, ToyBenchmark

FOLDER = Path(__file__).parent / "frozen"
FULL = os.environ.get("GENIUS_KIT_FULL_TAMPER") == "1"
JOURNALS = sorted(FOLDER.glob("*/*.jsonl"))
pytestmark = pytest.mark.usefixtures("no_sockets", "no_data")

each = pytest.mark.parametrize("frozen", JOURNALS, ids=lambda path: f"{path.parent.name}-{path.stem}")
spoken = pytest.mark.parametrize(
    "frozen",
    [path for path in JOURNALS if b'"event":"call"' in path.read_bytes()],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)


class Recorded(Steering):
    """A person who decides again what is on record."""

    def __init__(self, events):
        self.decisions = [event for event in events if event["event"] == "approval"]

    def review(self, situation, suggestion):
        if not self.decisions:
            return None
        event = self.decisions.pop(0)
        return Decision(event["decision"], tuple(event["architecture"]), event["reason"])


def decisions(path):
    """Return the lines that say what was decided and measured, without times and chains."""
    kept = [event for event in read_run(path).events if event["event"] in ("proposal", "evaluation")]
    return [chain.line({k: v for k, v in event.items() if k not in ("time", "seconds")}) for event in kept]


def answers_in(events):
    """Return what a queue has to answer for the calls of some events."""
    made = []
    for event in events:
        if event["event"] == "call":
            fields = {name: event[name] for name in ("text", "model", "finish_reason", "seconds", "refusal")}
            made.append(Reply(usage=Usage(**event["usage"]), **fields))
        if event["event"] == "call_failed":
            fields = {name: event[name] for name in ("cause", "retryable", "retry_after", "parameter")}
            made.append(ModelError(event["message"], **fields))
    return made


def run_again(frozen, journal, client=None, rest=(), budget=None):
    """Run the search of a frozen journal into `journal`; `rest` are the events that are not in it yet."""
    kept = read_run(frozen).settings
    benchmark = ToyBenchmark()
    if kept["benchmark"] != "toy":
        benchmark = gk.load_benchmark(kept["benchmark"], source="embedded")
    settings = kept["settings"]
    if kept["benchmark"] == "toy" or client is not None:
        settings = {**settings, "client": client or QueueClient(*answers_in(rest))}
    proposer = gk.make_proposer(kept["proposer"], benchmark.space, **settings)
    first = benchmark.space.decode(kept["first"]) if "first" in kept else None
    study = read_run(frozen).events[0].get("study")
    with Journal(journal) as record:
        session = Session(record, control=Recorded(rest))
        return Search(benchmark, proposer, budget or kept["budget"], kept["seed"], first, study).conduct(session)


def test_every_format_has_every_kind():
    """No kind of run is missing in a format; there is one folder per format that was written."""
    kinds = {folder.name: {path.stem for path in folder.glob("*.jsonl")} for folder in FOLDER.glob("format-*")}
    assert set(kinds) == {f"format-{number}" for number in range(1, chain.FORMAT + 1)}
    assert len(set(map(frozenset, kinds.values()))) == 1


@each
def test_it_is_read(frozen):
    """Frame, steps and verification of it work, and nothing is found in it."""
    run = read_run(frozen)
    assert run.finished
    assert len(run.frame()) == run.budget == len(open_run(frozen))
    verified = verify_run(frozen)
    assert verified.findings == ()
    assert verified.is_sound == (frozen.parent.name != "format-1")


@each
def test_it_is_gone_through_whole(frozen, tmp_path):
    """A finished journal is gone through step by step with this version: nothing is asked, nothing written."""
    path = Path(shutil.copy(frozen, tmp_path))
    run = run_again(frozen, path)
    assert [event["event"] for event in run.events] == [event["event"] for event in read_run(frozen).events]
    assert path.read_bytes() == frozen.read_bytes()


@each
def test_it_resumes_to_the_same_decisions(frozen, tmp_path):
    """Cut after each of its events, it goes on and decides and measures the same, byte for byte."""
    lines = frozen.read_bytes().splitlines(keepends=True)
    events = read_run(frozen).events
    for kept in range(1, len(lines)):
        if events[kept - 1]["event"] not in ("evaluation", "proposal", "call", "run_started", "approval"):
            continue
        path = tmp_path / f"{kept}.jsonl"
        path.write_bytes(b"".join(lines[:kept]))
        raised = [event["budget"] for event in events[kept:] if event["event"] == "budget_raised"]
        if raised:
            ask_again(path, raised[-1])
        run_again(frozen, path, rest=events[kept:])
        assert decisions(path) == decisions(frozen), kept
        assert verify_run(path).findings == ()


def ask_again(path, budget):
    """Raise the budget of a journal, as the person did after the place at which it was cut."""
    with Journal(path) as record:
        while record.take(*{event["event"] for event in read_run(path).events}):
            pass
        record.note("budget_raised", iteration=1, budget=budget)


@pytest.mark.parametrize("name", ["table", "steered"])
def test_cut_within_a_record_it_resumes_to_the_same_decisions(name, tmp_path, monkeypatch):
    """Cut at bytes within the first record of each kind, which is then torn: it goes on as if it were not there.

    The full run cuts at every byte.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    frozen = FOLDER / f"format-{chain.FORMAT}" / f"{name}.jsonl"
    lines, events = frozen.read_bytes().splitlines(keepends=True), read_run(frozen).events
    first = {event["event"]: place for place, event in reversed(list(enumerate(events)))}
    for kind, place in first.items():
        if place == 0:
            continue  # a torn first line is a run that has not begun: see test_journal
        step = 1 if FULL else max(1, len(lines[place]) // 5)
        for cut in range(1, len(lines[place]), step):
            path = tmp_path / f"{kind}-{cut}.jsonl"
            path.write_bytes(b"".join(lines[:place]) + lines[place][:cut])
            raised = [event["budget"] for event in events[place:] if event["event"] == "budget_raised"]
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                if raised:
                    ask_again(path, raised[-1])
                run_again(frozen, path, rest=events[place:] if cut < len(lines[place]) - 1 else events[place + 1 :])
            assert any("torn" in str(one.message) for one in told) == (cut < len(lines[place]) - 1)
            assert decisions(path) == decisions(frozen), (kind, cut)
            assert verify_run(path).findings == ()


@spoken
def test_its_replies_are_replayed_to_the_same_decisions(frozen, tmp_path):
    """Answered from the recording, prompts compared strictly, a new run decides and measures the same."""
    client = ReplayClient.from_journal(frozen)
    run = read_run(frozen)
    run_again(frozen, tmp_path / "a.jsonl", client, [e for e in run.events if e["event"] == "approval"], run.budget)
    assert decisions(tmp_path / "a.jsonl") == decisions(frozen)
    assert client.mismatches == 0
    assert json.loads((tmp_path / "a.jsonl").read_bytes().splitlines()[0])["format"] == chain.FORMAT
