"""Design principles: a language model is asked for them before its first design (section 5.3 of the paper).

The answer is on record as a call whose purpose is "principles". It is shown to the model again, or not, as the setting
`principles=` says. It is text of the model's: it fills a hole and is never read as a template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.prompts.base import fill, read_template
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Message

if TYPE_CHECKING:
    from genius_kit.prompts.template import TemplatePrompt

PRINCIPLES = ("asked", "fed-back")
"""They are asked for and not shown again; they stand in the prompt of every later step."""

PURPOSE = "principles"
"""What the record says that the call is for; calls that ask for a design have no purpose beside their name."""

_QUESTION, _NOTE = "ask", "fed_back"


def check_principles(principles: str | None, control: str | None, prompt: str) -> None:
    """Raise InvalidParameter for an unknown setting, or one that does not go with this prompt or control."""
    if principles is None:
        return
    if principles not in PRINCIPLES:
        raise InvalidParameter(f"principles is {principles!r}; it is one of {', '.join(PRINCIPLES)}")
    if prompt == "published":
        raise InvalidParameter("the published prompt has principles in it: its text is fixed. Take another variant")
    if control == "knowledge-probe":
        raise InvalidParameter(
            "knowledge-probe explains no problem that principles could be about: leave out one of the two"
        )


def question(prompt: TemplatePrompt) -> list[Message]:
    """Return the messages that ask for principles: the problem as `prompt` has it, no results, no answer format."""
    return replace(prompt, texts=replace(prompt.texts, source=read_template("principles", _QUESTION))).messages(())


def fed_back(text: str) -> str:
    """Return what stands before the results of every later step; "" where the model gave no principles."""
    text = without_reasoning(text).strip()
    return fill(read_template("principles", _NOTE), {"principles": text}, f"{_NOTE}.md") if text else ""


def elicited(events: Iterable[dict[str, Any]]) -> str | None:
    """Return what the model answered in this run, None where it has not been asked; an empty reply is ""."""
    asked = (event for event in events if event["event"] == "call" and event.get("purpose") == PURPOSE)
    found = next(asked, None)
    return None if found is None else str(found["text"] or "")


def texts_sha256() -> str:
    """Return the sum of the texts that ask for principles and feed them back."""
    both = "\0".join(read_template("principles", name) for name in (_QUESTION, _NOTE))
    return hashlib.sha256(both.encode()).hexdigest()


def note_length() -> int:
    """Return how many characters stand around principles that are fed back, at most."""
    return len(read_template("principles", _NOTE))
