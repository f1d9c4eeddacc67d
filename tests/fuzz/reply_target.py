"""What must hold of the reply parser on every text."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from genius_kit.records import NoImprovement, Proposal, Rejection
from genius_kit.replies import find_architectures, parse_reply
from genius_kit.spaces import SPACES, SearchSpace, load_space
from tests.fuzz.corpus import read_corpus
from tests.fuzz.plain_reading import is_printed, plain_reading
from tests.fuzz.reply_grammar import Choices, Meant, write_reply

LONGEST_SECONDS = 1.0  # of processor time for one reply
REASONS = {
    *("empty", "too long", "no design", "incomplete", "wrong length", "off-menu"),
    *("placeholder", "malformed", "edited", "ambiguous"),
}
NAMES = list(SPACES)
ALL = [load_space(name) for name in NAMES]
THOUGHT = "<think>I weigh depth against width.</think>\n"
TOKENS = [
    *("[", "]", "(", ")", "{", "}", ", ", "\n\n", "```json\n", "```", "<think>", "</think>", "...", "…", "~0", "~1"),
    *("Final answer: ", "Stage 1: ", "Stage 2 (Layer 8 to Layer 13): ", "# Stage 3\n", "Option A: ", "either ", " or "),
    *("instead of ", "previous design ", "I propose ", " to ", " -> ", "no improvement is possible", "Experiment 1: "),
    *('{"architecture": ', '"stage1": ', '"channels": ', "[2, 2, 2, 1, 2, 2, 2, 0]", "[4, 3, 4, 4, 4, 2, 4]"),
    *("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "none", "|nor_conv_3x3~0|+|", "22212220", "4344424", "333133"),
    *("reached 92.1 %", "accuracy", "best so far ", "[64, 128, 192, 256, 512, 384, 128]", "[1, 0, 1, 1, 0, 0]", "\r\n"),
]


def check_bytes(data: bytes) -> None:
    """Check the reply that `data` stands for: its first byte names the space and whether the grammar writes it."""
    if data:
        check_reply(*reply_of(data))


def reply_of(data: bytes) -> tuple[str, SearchSpace, Meant | None]:
    """Return the reply that bytes stand for, its space, and its meaning where the grammar wrote it."""
    space = ALL[data[0] % len(ALL)]
    if data[0] < 128:
        return data[1:].decode("utf-8", "replace"), space, None
    text, meant = write_reply(Choices(data[1:]), space)
    return text, space, meant


def check_reply(text: str, space: SearchSpace, meant: Meant | None = None) -> None:
    """Check every property of the parser on one reply; raises AssertionError that says which does not hold."""
    start = time.process_time()
    outcome = parse_reply(text, space)
    seconds = time.process_time() - start
    assert seconds < LONGEST_SECONDS, f"{seconds:.1f} s for {len(text)} characters"
    assert isinstance(outcome, Proposal | Rejection | NoImprovement), outcome
    if isinstance(outcome, Rejection):
        assert outcome.reason in REASONS, outcome
        assert outcome.detail.endswith("."), outcome
        assert len(outcome.detail) < 400, outcome
    if isinstance(outcome, Proposal):
        assert space.check(outcome.architecture) == outcome.architecture
        assert all(type(value) is int for value in outcome.architecture)
    _check_plain(text, space, outcome)
    if isinstance(outcome, Proposal):
        assert is_printed(text, space, outcome.architecture), f"{outcome} is not in the text"
    _check_places(text, space)
    if meant is not None:
        _check_meaning(outcome, meant)
    assert parse_reply(f"\n{text}\n\n", space) == outcome, "blank lines around it change the meaning"
    assert parse_reply(THOUGHT + text, space) == outcome, "reasoning before it changes the meaning"


def _check_plain(text: str, space: SearchSpace, outcome: object) -> None:
    plain = plain_reading(text, space)
    if plain == "refused":
        assert isinstance(outcome, Rejection), f"{outcome} of a list that is none of the space"
    elif plain is not None:
        assert outcome == Proposal(plain), f"{outcome} where the plain reading is {plain}"


def _check_places(text: str, space: SearchSpace) -> None:
    """Check that architectures stand where they say, in order."""
    found = find_architectures(text, space)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert found == sorted(found, key=lambda one: one.start)


def _check_meaning(outcome: object, meant: Meant) -> None:
    if meant.design is None:
        assert not isinstance(outcome, Proposal), f"{outcome} of a faulty answer"
    elif not meant.loose:
        assert outcome == Proposal(meant.design), f"{outcome}, meant {meant.design}"
    elif isinstance(outcome, Proposal):
        assert outcome.architecture == meant.design, f"{outcome}, meant {meant.design}"


def run_case(case: dict[str, Any]) -> object:
    """Check a kept reply and return what it means, as `outcome` of the case says it."""
    space = ALL[NAMES.index(case["space"])]
    check_reply(case["text"], space)
    outcome = parse_reply(case["text"], space)
    if isinstance(outcome, Proposal):
        return space.key(outcome.architecture)
    return outcome.reason if isinstance(outcome, Rejection) else "no improvement"


def case_of(data: bytes) -> dict[str, Any] | None:
    """Return the reply of bytes as a case to keep, None where UTF-8 cannot hold it."""
    text, space, _ = reply_of(data)
    case = {"space": space.name, "text": text}
    return {**case, "outcome": run_case(case)}


def seeds() -> list[bytes]:
    """Return inputs to start from: the kept corpus, and a few replies of the grammar for each space."""
    kept = [bytes([NAMES.index(case["space"])]) + case["text"].encode() for case in read_corpus("replies")]
    return kept + [bytes([128 + space]) + bytes(range(at, at + 60)) for space in range(18) for at in range(0, 160, 20)]


def conversation_seeds(folder: Path) -> list[bytes]:
    """Return the replies of published conversations as inputs for the space that they are about."""
    space = NAMES.index("mobilenet-imagenet")
    return [
        bytes([space]) + message["content"].encode()
        for path in sorted(folder.glob("*.json"))
        for message in json.loads(path.read_text(encoding="utf-8"))
        if message["role"] == "assistant"
    ]
