"""What must hold of the journal's readers, and of resuming, on every file."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from genius_kit.errors import GeniusKitError, JournalError
from genius_kit.journal import Event, Journal, Run, chain, read_run
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from genius_kit.runs.steps import open_run
from tests.doubles import QueueClient, ToyBenchmark
from tests.fuzz.corpus import read_corpus
from tests.fuzz.reply_grammar import Choices

LONGEST_SECONDS = 1.0  # of processor time for reading one file
TOKENS = [
    *('{"event":"', '"iteration":', '"chain":"', '"salt":{', '"time":"', "\n", "}\n", "null", "NaN", "1e999", "-0"),
    *(
        '"run_started"',
        '"intent"',
        '"call"',
        '"rejected"',
        '"proposal"',
        '"evaluation"',
        '"run_finished"',
        '"approval"',
    ),
    *('"architecture":[', '"feedback":', '"budget_raised"', '"redacted"', "\\ud800", "\\u0000", "9" * 30, "[[[[", "{{"),
]
ODD = (None, 0, -1, 10**30, 1.5, "", "x", [], {}, [None], {"redacted": ""}, True, [0] * 8, {"event": "call"}, "\ud800")


class EchoClient(QueueClient):
    """Answers by what it was sent, so that an answer can be given again after any cut; some are refused or off."""

    def send(self, messages, seed=None):
        number = sha256(messages[-1]["content"].encode()).digest()
        self.answers = ["none at all" if number[9] % 4 == 0 else str([value % 3 for value in number[:8]])]
        return super().send(messages, seed)


def run_search(path: Path | None) -> Run:
    """Run, resume or read back the search that the journals of the fuzzer are made from."""
    proposer = make_proposer("llm", ToyBenchmark().space, client=EchoClient(), rejections_limit=3)
    return search(ToyBenchmark(), proposer, budget=4, seed=1, journal=path, progress=False)


@cache
def whole() -> tuple[bytes, tuple[Event, ...]]:
    """Return the bytes of an undisturbed journal, and its events."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        run = run_search(path)
        return path.read_bytes(), tuple(run.events)


def check_bytes(data: bytes) -> None:
    """Check the journal that `data` stands for; its first byte says how it is made from the rest."""
    if data:
        content, altered = journal_of(data)
        check_journal(content, altered, resumed=data[0] % 8 >= 4)


def journal_of(data: bytes) -> tuple[bytes, bool]:
    """Return the journal that bytes stand for, and whether it is the undisturbed one with bytes altered."""
    kind, choices = data[0] % 4, Choices(data[1:])
    if kind == 0:
        return data[1:], False
    if kind == 1:
        return _odd_events(choices), False
    return _altered_bytes(choices), True


def _altered_bytes(choices: Choices) -> bytes:
    """Return the undisturbed journal with some bytes or lines cut, changed, moved or repeated."""
    content, _ = whole()
    for _ in range(1 + choices.number(3)):
        place = (choices.number(256) * 256 + choices.number(256)) % (len(content) + 1)
        length, kind = choices.number(40), choices.number(8)
        lines = content.splitlines(keepends=True)
        line = choices.number(max(1, len(lines)))
        if kind == 0:
            content = content[:place]
        elif kind == 1:
            content = content[:place] + bytes([choices.number(256)]) + content[place + 1 :]
        elif kind == 2:
            content = content[:place] + content[place + length :]
        elif kind == 3:
            content = content[:place] + choices.pick(TOKENS).encode() + content[place:]
        elif kind == 4:
            content = b"".join(lines[:line] + lines[line : line + 1] + lines[line:])
        elif kind == 5:
            content = b"".join(lines[:line] + lines[line + 1 :])
        elif kind == 6:
            content = b"".join([*lines[line:], *lines[:line]])
        else:
            content = content + content[:place]
    return content


def _odd_events(choices: Choices) -> bytes:
    """Return the journal of a strange writer: values replaced, fields or events dropped, the chain sound or none."""
    events = [deepcopy(event) for event in whole()[1]]
    chained = choices.number(2) == 0
    for _ in range(1 + choices.number(2)):
        event = choices.pick(events)
        owner: Any = event
        key: Any = choices.pick(list(event))
        while isinstance(owner[key], dict | list) and owner[key] and choices.number(2):
            owner = owner[key]
            key = choices.pick(list(owner) if isinstance(owner, dict) else range(len(owner)))
        kind = choices.number(4)
        if kind < 2:
            owner[key] = deepcopy(choices.pick(ODD))
        elif kind == 2:
            del owner[key]
        elif len(events) > 1:
            events.remove(event)
    lines, head = [], chain.start()
    for event in events:
        line, head = (
            chain.seal(event, head) if chained and isinstance(event.get("event"), str) else (chain.line(event), head)
        )
        lines.append(line + b"\n")
    return b"".join(lines)


def check_journal(content: bytes, altered: bool = False, resumed: bool = False) -> None:
    """Check every property of the readers on one file; raises AssertionError that says which does not hold.

    `altered` says that `content` is the undisturbed journal with bytes altered: then nothing is read but what it held.
    `resumed` goes on with the search, which has to end as it would have or be refused.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "a.jsonl"
        path.write_bytes(content)
        read = _timed(lambda: read_run(path))
        _timed(lambda: list(open_run(path)))
        if read is not None:
            _check_views(read)
        opened = _timed(lambda: _open(path))
        left = path.read_bytes()
        if opened is None:
            assert left == content, "a refused journal was changed"
            return
        assert read is not None, "resumed although it cannot be read"
        assert opened == read.events, "resumed with other events than are read"
        _check_mended(path, content, left)
        if altered and b'"chain":"' in left:
            _check_prefix(opened)
        if resumed:
            _check_resumed(path, altered and b'"chain":"' in left)


def _timed(step: Callable[[], Any]) -> Any:
    """Return what a step returns, None where it refuses the file as documented."""
    start = time.process_time()
    try:
        return step()
    except GeniusKitError:
        return None
    finally:
        seconds = time.process_time() - start
        assert seconds < LONGEST_SECONDS, f"{seconds:.1f} s"


def _open(path: Path) -> list[Event]:
    """Return the events of before, as a resumed run gets them."""
    with Journal(path) as journal:
        while journal.next_is(*{event["event"] for event in journal._pending}):
            journal.take(*{event["event"] for event in journal._pending})
        return journal.events + list(journal._pending)


def _check_views(run: Run) -> None:
    """Check that what is derived from the events comes or is refused as documented."""
    for view in ("settings", "budget", "finished", "reason", "unanswered_intents"):
        _timed(lambda view=view: getattr(run, view))
    _timed(run.frame)


def _check_mended(path: Path, content: bytes, left: bytes) -> None:
    """Check that opening lost no byte, and that a second time changes nothing."""
    torn = Path(f"{path}.torn")
    kept = torn.read_bytes().strip(b"\n") if torn.exists() else b""
    assert left == content or (left + kept).replace(b"\n", b"") == content.replace(b"\n", b""), "bytes are gone"
    assert not left or left.endswith(b"\n")
    again = _open(path)
    assert path.read_bytes() == left, "a mended journal was changed again"
    assert again == read_run(path).events


def _check_prefix(events: list[Event]) -> None:
    whole_run = list(whole()[1])
    assert events == whole_run[: len(events)], "an altered event was read"


def _check_resumed(path: Path, altered: bool) -> None:
    """Check that the search goes on to its undisturbed end, or refuses; where bytes were altered it may not refuse."""
    try:
        ended = run_search(path)
    except JournalError:
        assert not altered, "a sound prefix was refused"
        return
    if altered:
        assert _decisions(ended.events) == _decisions(whole()[1])


def _decisions(events: Any) -> list[Any]:
    return [event["architecture"] for event in events if event["event"] == "evaluation"]


def run_case(case: dict[str, Any]) -> None:
    """Check a kept journal."""
    if "choices" in case:
        check_bytes(bytes.fromhex(case["choices"]))
    else:
        check_journal(case["content"].encode("latin-1"), resumed=True)


def case_of(data: bytes) -> dict[str, Any] | None:
    """Return the journal of bytes as a case to keep: its content, or the choices that alter the undisturbed one."""
    if not data:
        return None
    return {"content": data[1:].decode("latin-1")} if data[0] % 4 == 0 else {"choices": data.hex()}


def seeds() -> list[bytes]:
    """Return inputs to start from: the kept corpus, the undisturbed journal, and some of each kind."""
    kept = [
        bytes.fromhex(case["choices"]) if "choices" in case else b"\0" + case["content"].encode("latin-1")
        for case in read_corpus("journals")
    ]
    made = [bytes([kind]) + bytes(range(at, at + 12)) for kind in range(8) for at in range(0, 240, 12)]
    return [*kept, *made, b"\0" + whole()[0], b"\0" + whole()[0][:-40]]
