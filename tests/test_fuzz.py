"""The readers of replies and journals against what fuzzing found, and against a little more of it in each run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genius_kit.records import Outcome, Proposal, Rejection
from genius_kit.spaces import load_space
from tests.fuzz import journal_target, reply_target
from tests.fuzz.corpus import read_corpus

MACRO = load_space("nas-bench-macro")
REPLIES, JOURNALS = read_corpus("replies"), read_corpus("journals")


def test_every_kept_reply_means_what_it_meant() -> None:
    """Each reply that fuzzing kept holds every property of the parser and is still read or refused alike."""
    changed = {case["text"]: found for case in REPLIES if (found := reply_target.run_case(case)) != case["outcome"]}
    assert REPLIES
    assert changed == {}


def test_every_kept_journal_is_read_resumed_or_refused() -> None:
    """Each journal that fuzzing kept holds every property of the readers."""
    assert JOURNALS
    for case in JOURNALS:
        journal_target.run_case(case)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(space=st.integers(128, 255), choices=st.binary(min_size=20, max_size=90))
def test_a_written_reply_means_what_it_was_written_from(space: int, choices: bytes) -> None:
    """A reply with one answer is read as it or refused, a faulty one is refused, no earlier architecture is taken."""
    reply_target.check_bytes(bytes([space]) + choices)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from([1, 2, 3, 6, 7]), choices=st.binary(min_size=10, max_size=40))
def test_an_altered_journal_is_resumed_to_the_same_end_or_refused(kind: int, choices: bytes) -> None:
    """Bytes, lines and fields altered at random: nothing is read but what was written, and no byte is lost."""
    journal_target.check_bytes(bytes([kind]) + choices)


PLANTED: dict[str, tuple[str, Outcome, str]] = {
    "a design made up": ("I propose [2, 2, 2, 1, 2, 2, 2, 0].", Proposal((1,) * 8), "is not in the text"),
    "a plain answer overlooked": ("[2, 2, 2, 1, 2, 2, 2, 0]", Rejection("no design", "None."), "plain reading is"),
    "a list of another length": ("[2, 2, 2]", Proposal((2,) * 8), "none of the space"),
    "a reason that nobody counts": ("none", Rejection("odd", "None."), "odd"),
}


@pytest.mark.parametrize(("text", "answer", "message"), PLANTED.values(), ids=PLANTED)
def test_a_wrong_parser_is_caught(text: str, answer: Outcome, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The properties notice a parser that invents an architecture, overlooks a plain answer, or gives a reason."""
    monkeypatch.setattr(reply_target, "parse_reply", lambda text, space: answer)
    with pytest.raises(AssertionError, match=message):
        reply_target.check_reply(text, MACRO)


def test_a_reply_that_changes_with_blank_lines_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The properties notice a parser for which blank lines around a reply matter."""
    real = reply_target.parse_reply
    broken = Rejection("empty", "None.")
    monkeypatch.setattr(
        reply_target, "parse_reply", lambda text, space: broken if text[0] == "\n" else real(text, space)
    )
    with pytest.raises(AssertionError, match="blank lines"):
        reply_target.check_reply("[2, 2, 2, 1, 2, 2, 2, 0]", MACRO)
