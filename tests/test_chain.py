"""The hash chain of journals: what a line vouches for, and what stays when its words are withheld."""

import hashlib
import json
import os
import re
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import genius_kit as gk
from genius_kit.errors import JournalError
from genius_kit.journal import Journal, chain, read_run
from tests.doubles import QueueClient, ToyBenchmark

WORDS = st.text() | st.none() | st.lists(st.fixed_dictionaries({"role": st.text(), "content": st.text()}))
CALLS = st.fixed_dictionaries(
    {"event": st.just("call"), "iteration": st.integers(), "messages": WORDS, "text": WORDS, "refusal": WORDS},
    optional={"beside": WORDS},
)


def recorded(path, budget=3):
    """Search the toy benchmark with the offline client, and return the lines of the journal."""
    benchmark = ToyBenchmark()
    proposer = gk.make_proposer("llm", benchmark.space, model="offline")
    gk.search(benchmark, proposer, budget, journal=path, progress=False)
    return path.read_bytes().splitlines()


@given(CALLS)
def test_a_line_is_read_as_it_was_written(event):
    """Whatever the words, the sealed line is canonical UTF-8 JSON, and its chain follows from what it says."""
    line, head = chain.seal(event, chain.start())
    read = json.loads(line.decode())
    assert chain.line(read) == line
    assert read["chain"] == head == chain.link(read, chain.start())
    assert {field: read[field] for field in event} == event


@given(CALLS, st.sets(st.sampled_from(["prompt", "reply", "person"])))
def test_words_withheld_leave_the_chain(event, whose):
    """A line whose words were taken out holds none of them, no salt to try them with, and has the same chain."""
    line, head = chain.seal(event, chain.start())
    left = chain.withhold(json.loads(line), *whose)
    assert chain.link(left, chain.start()) == head == left["chain"]
    for field, kind in chain.WORDS["call"].items():
        assert chain.is_withheld(left.get(field)) == (kind in whose and event.get(field) is not None)
    assert not set(left.get("salt", {})) & whose


@given(CALLS, st.sampled_from(["iteration", "messages", "text", "refusal"]), WORDS)
def test_another_word_is_another_chain(event, field, value):
    """A line of which any field is another does not follow from the same chain."""
    line, head = chain.seal(event, chain.start())
    read = json.loads(line)
    if value != read[field]:
        assert chain.link({**read, field: value}, chain.start()) != head


def test_the_first_link_stands_on_nothing(tmp_path):
    """The first line of a new journal builds on the hash of no bytes, and every next line on the one before."""
    lines = recorded(tmp_path / "a.jsonl")
    head = hashlib.sha256(b"").hexdigest()
    for line in lines:
        event = json.loads(line)
        published = {field: value for field, value in event.items() if field != "chain"}
        if "salt" not in event:
            content = json.dumps(published, ensure_ascii=False, separators=(",", ":")).encode()
            assert event["chain"] == hashlib.sha256(head.encode() + b"\n" + content).hexdigest()
        head = event["chain"]


def test_a_journal_without_a_chain_gets_one_from_where_it_goes_on(tmp_path):
    """Lines of the first format stay as they are, and the first new line vouches for all of their bytes."""
    path = tmp_path / "a.jsonl"
    lines = [json.loads(line) for line in recorded(path, 3)]
    old = [chain.line({k: v for k, v in event.items() if k not in ("chain", "salt", "format")}) for event in lines]
    whole = read_run(path).events
    path.write_bytes(b"\n".join(old[:4]) + b"\n")
    recorded(path, 3)
    went_on = path.read_bytes().splitlines()
    assert went_on[:4] == old[:4]
    fifth = json.loads(went_on[4])
    assert fifth["chain"] == chain.link(fifth, chain.start(b"\n".join(old[:4]) + b"\n"))
    assert [event["event"] for event in read_run(path).events] == [event["event"] for event in whole]
    path.write_bytes(path.read_bytes().replace(b'"budget":3', b'"budget":4', 1))
    with pytest.raises(JournalError, match=r"line 5 is damaged .*its chain does not follow"):
        Journal(path).__enter__()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], "line 4 is damaged .*does not follow"),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "line 4 is damaged .*does not follow"),
        (lambda lines: [*lines[:3], lines[3].replace(b'"iteration":', b'"iteration": '), *lines[4:]], "not written as"),
        (lambda lines: [*lines[:3], lines[3].rpartition(b',"chain"')[0] + b"}", *lines[4:]], "line 4 .*has no chain"),
        (lambda lines: [*lines[:3], b"", *lines[3:]], "line 4 is damaged .an empty line"),
        (lambda lines: [*lines[:3], b"[" * 100_000, *lines[3:]], "line 4 is damaged .nested too deeply"),
    ],
)
def test_an_altered_journal_is_not_gone_on_with(tmp_path, alter, said):
    """A line that was removed, moved, rewritten or put in is named, and the file is left as it is."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(alter(recorded(path))) + b"\n")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=said):
        Journal(path).__enter__()
    assert path.read_bytes() == before


def test_what_the_chain_costs(tmp_path):
    """A chain and its salts take at most 150 bytes per record, and sealing a prompt of 10 kB at most 1 ms."""
    for line in recorded(tmp_path / "a.jsonl"):
        event = json.loads(line)
        assert len(line) - len(chain.line({k: v for k, v in event.items() if k not in ("chain", "salt")})) <= 150
    call = {"event": "call", "messages": [{"role": "user", "content": "a line of 16 b.\n" * 625}], "text": "x"}
    begun = time.perf_counter()
    for _ in range(200):
        chain.seal(call, chain.start())
    assert (time.perf_counter() - begun) / 200 < 1e-3


def test_a_journal_is_private(tmp_path):
    """A journal, and what was torn from it, can be read by its owner only."""
    path = tmp_path / "a.jsonl"
    recorded(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="torn"):
        recorded(path)
    for file in (path, tmp_path / "a.jsonl.torn"):
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_a_secret_of_the_environment_is_not_written(tmp_path, monkeypatch):
    """A key that stands in a prompt or a reply is masked in the journal, which resumes all the same."""
    key = "sk-canary-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    benchmark, path = ToyBenchmark(), tmp_path / "a.jsonl"
    replies = [f"{key}\nArchitecture: [2, 2, 2, 2, 2, 2, 2, {last}]" for last in (2, 1, 0)]
    proposer = gk.make_proposer("llm", benchmark.space, client=QueueClient(*replies[:2]))
    with pytest.raises(IndexError):
        gk.search(benchmark, proposer, 3, journal=path, progress=False)
    proposer = gk.make_proposer("llm", benchmark.space, client=QueueClient(*replies[2:]))
    run = gk.search(benchmark, proposer, 3, journal=path, progress=False)
    assert len(run.frame()) == 3
    assert key not in path.read_text()
    assert r"[key]\nArchitecture" in path.read_text()


def test_a_surrogate_half_is_kept(tmp_path):
    """Half a surrogate pair in a reply, which no UTF-8 can hold, is written as its escape and read back."""
    with Journal(tmp_path / "a.jsonl") as record:
        record.record("call", text="\ud83d alone", messages=[], refusal=None)
    with Journal(tmp_path / "a.jsonl") as record:
        assert record.take("call")["text"] == "\ud83d alone"


def test_the_hash_of_a_published_line_can_be_counted_by_anybody():
    """The digest of words and the chain are plain SHA-256 of what the file says, in the order that is documented."""
    event = {"event": "call", "iteration": 1, "text": "yes", "salt": {"reply": "00ff"}}
    digest = hashlib.sha256(b'00ff\ntext\n{"":"yes"}').hexdigest()
    published = f'{{"event":"call","iteration":1,"text":{{"redacted":"{digest}"}}}}'.encode()
    before = hashlib.sha256(b"").hexdigest()
    assert chain.start() == before
    assert chain.published(event) == published
    assert chain.link(event, before) == hashlib.sha256(before.encode() + b"\n" + published).hexdigest()
    assert chain.withhold(event, "reply") == json.loads(published)


FORMS = {
    '{"event":"x", "chain":"0"}': "it is not written as the kit writes",
    '{"chain":"0","event":"x"}': "its salt or chain is not where the kit writes it",
    '{"event":"call","text":"a","chain":"0","salt":{"reply":"0"}}': "its salt or chain is not where the kit writes it",
    '{"event":"call","salt":{"reply":"0"},"text":"a","chain":"0"}': "its salt or chain is not where the kit writes it",
    '{"event":"call","text":null,"salt":{"reply":"0"},"chain":"0"}': "its salt or chain is not where the kit writes it",
    '{"event":"call","text":"a","salt":{},"chain":"0"}': "its salt or chain is not where the kit writes it",
    '{"event":"call","text":"a","salt":{"person":"0"},"chain":"0"}': "salt is {'person': '0'}",
    '{"event":"call","text":"a","salt":{"reply":0},"chain":"0"}': "salt is {'reply': 0}",
    '{"event":"call","text":"a","salt":[],"chain":"0"}': "salt is []",
    '{"event":"call","text":"a","salt":{"reply":"0"},"chain":"0"}': None,
    '{"event":"call","text":"a","chain":"0"}': None,
    '{"event":"x","chain":"0"}': None,
}


@pytest.mark.parametrize("text", FORMS)
def test_a_line_of_another_form_is_refused(text):
    """The bytes, the places of salt and chain, and the owners of the salts are those that the kit writes."""
    if FORMS[text] is None:
        chain.check_form(json.loads(text), text.encode())
        return
    with pytest.raises(ValueError, match=rf"^{re.escape(FORMS[text])}$"):
        chain.check_form(json.loads(text), text.encode())


def test_a_line_nested_too_deeply_is_refused():
    """What Python cannot write is none of the kit's lines."""
    event = {"event": "x"}
    for _ in range(5_000):
        event = {"event": "x", "in": event}
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        chain.check_form(event, b"")


def test_what_stands_in_place_of_withheld_words():
    """Words that were taken out read "[withheld]" in their own shape; other fields of that shape stay as they are."""
    gone = {"redacted": "0" * 64}
    event = {"event": "call", "messages": gone, "text": gone, "refusal": None, "other": gone}
    assert chain.shown(event) == {
        "event": "call",
        "messages": [{"role": "user", "content": "[withheld]"}],
        "text": "[withheld]",
        "refusal": None,
        "other": gone,
    }
    assert chain.withhold({"event": "call", "text": "a", "salt": {"reply": "0"}}, "prompt") == {
        "event": "call",
        "text": "a",
        "salt": {"reply": "0"},
    }


def test_there_is_one_way_to_write_an_event():
    """UTF-8 as it is, no spaces, the fields in their order; what JSON cannot say is refused."""
    assert (
        chain.line({"event": "x", "b": "größer 🙂", "a": [1, None]})
        == '{"event":"x","b":"größer 🙂","a":[1,null]}'.encode()
    )
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            chain.line({"event": "x", "a": number})


def test_words_that_were_withheld_are_not_hashed_again():
    """A copy whose words were withheld one owner after another has the chain that it had."""
    event = {"event": "call", "messages": [], "text": "a", "salt": {"prompt": "0", "reply": "1"}}
    once = chain.withhold(event, "prompt")
    assert chain.withhold({**once, "salt": {"prompt": "0", "reply": "1"}}, "prompt") == once
    assert chain.withhold(once, "reply") == chain.withhold(event, "prompt", "reply")
    assert chain.link(once, "") == chain.link(event, "")
