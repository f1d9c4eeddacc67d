"""The hash chain of a journal: each line vouches for all before it, also after the words in it were withheld.

A line ends with `chain`, the SHA-256 of the chain before it and of the line as it may be published: without `chain`
and `salt`, and with each field that holds words of a model or a person replaced by its own salted SHA-256. So a journal
whose words were withheld has the chain that it had with them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]

FORMAT = 2
_NAMES = {"by": "person", "host": "person"}
_ASKED = {"reason": "person", **_NAMES}
WORDS = {
    "call": {"messages": "prompt", "text": "reply", "refusal": "reply", "beside": "reply"},
    "call_failed": {"message": "reply"},
    "rejected": {"detail": "reply"},
    "approval": _ASKED,
    "paused": _ASKED,
    "resumed": _ASKED,
    "stop_requested": _ASKED,
    "budget_raised": _ASKED,
}
"""Which fields of which events hold words, and whose: what `withhold` can take out.

Another table is another FORMAT, but for a field that only some events have: lines without it stay as they are.
"""

WITHHELD = "[withheld]"
"""What is shown in place of words that were taken out."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SALT_BYTES = 8
_SHAPE = {"redacted"}


def start(before: bytes = b"") -> str:
    """Return the chain that the first chained line builds on: the SHA-256 of what the file held before it."""
    return hashlib.sha256(before).hexdigest()


def line(fields: Event) -> bytes:
    """Return the one way in which an event is written, without the end of the line."""
    text = _ENCODER.encode(fields)
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair becomes the JSON escape that it came from


def seal(event: Event, previous: str) -> tuple[bytes, str]:
    """Return the line of a new event, and the chain with it, which ends the line."""
    kinds = WORDS.get(event["event"], {})
    holders = sorted({whose for field, whose in kinds.items() if event.get(field) is not None}) if kinds else ()
    if not holders:
        written = line(event)
        chain = joined(previous, written)
        return b'%b,"chain":"%b"}' % (written[:-1], chain.encode()), chain
    salts = {whose: secrets.token_hex(_SALT_BYTES) for whose in holders}
    chain = joined(previous, line(_without(event, salts)))
    return line({**event, "salt": salts, "chain": chain}), chain


def link(event: Event, previous: str) -> str:
    """Return the chain after an event as read from its line; raises ValueError where its salts are not as written."""
    return joined(previous, published(event))


def published(event: Event) -> bytes:
    """Return the line of an event as it may be published; raises ValueError where its salts are not as written."""
    return line(_without(event, _salts(event)))


def joined(previous: str, published_line: bytes) -> str:
    """Return the chain of a line as it may be published, after the chain `previous`."""
    return hashlib.sha256(previous.encode() + b"\n" + published_line).hexdigest()


def check_form(event: Event, written: bytes) -> bytes:
    """Return `published` of a line, which reads as `event`; raises ValueError where it is not as the kit writes it.

    That is byte for byte. Salts without words are refused too: the chain does not vouch for them.
    """
    try:
        as_written = line(event)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if as_written != written:
        raise ValueError("it is not written as the kit writes")
    last = ["salt", "chain"] if "salt" in event else ["chain"]
    salts = _salts(event)
    if list(event)[-len(last) :] != last or salts.keys() - words(event) or event.get("salt") == {}:
        raise ValueError("its salt or chain is not where the kit writes it")
    if salts:
        return line(_without(event, salts))
    return written.removesuffix(b",%b" % line({"chain": event["chain"]})[1:]) + b"}"


def withhold(event: Event, *whose: str) -> Event:
    """Return an event as read from its line, fit to be its line, with the words of some taken out of it.

    `whose` is "prompt", "reply" or "person". Their words are replaced by the salted SHA-256 of them, and the salt is
    dropped, so that nobody can try what they may have been.
    """
    salts = _salts(event)
    left = {kind: salt for kind, salt in salts.items() if kind not in whose}
    shown = _without(event, {kind: salt for kind, salt in salts.items() if kind in whose})
    return {
        **shown,
        **({"salt": left} if left else {}),
        **({"chain": event["chain"]} if "chain" in event else {}),
    }


def _without(event: Event, salts: dict[str, str]) -> Event:
    """Return an event without chain and salt, the words that have one of `salts` replaced by their digest."""
    kinds = _words(event)
    return {
        field: _digest(salts[kinds[field]], field, value)
        if kinds.get(field) in salts and value is not None and not is_withheld(value)
        else value
        for field, value in event.items()
        if field not in ("chain", "salt")
    }


def is_withheld(value: object) -> bool:
    """Return whether a field of an event holds no words but what stands in their place."""
    return isinstance(value, dict) and set(value) == _SHAPE


def withheld(event: Event) -> set[str]:
    """Return whose words were taken out of an event: "prompt", "reply", "person"."""
    return {whose for field, whose in _words(event).items() if is_withheld(event.get(field))}


def words(event: Event) -> set[str]:
    """Return whose words an event holds."""
    return {whose for field, whose in _words(event).items() if event.get(field) is not None} - withheld(event)


def spoken(event: Event) -> Iterator[tuple[str, str, bool]]:
    """Yield the words of an event, but for names and blanks: under whom they stand, the words, whether they are theirs.

    A prompt that holds earlier replies repeats them; they are the model's.
    """
    for field, whose in _words(event).items():
        value = None if field in _NAMES else event.get(field)
        said = value if isinstance(value, list) else [{"content": value}]
        for one in said:
            text = one.get("content")
            if isinstance(text, str) and text.strip():
                yield whose, text, one.get("role") != "assistant"


def shown(event: Event) -> Event:
    """Return an event with "[withheld]" where words were taken out of it, in the shape that the words had."""
    if not withheld(event):
        return event
    placeholders = {
        "messages": [{"role": "user", "content": WITHHELD}],
        "beside": [{"kind": WITHHELD, "content": WITHHELD, "characters": 0}],
    }
    return {
        field: placeholders.get(field, WITHHELD) if field in _words(event) and is_withheld(value) else value
        for field, value in event.items()
    }


def _words(event: Event) -> dict[str, str]:
    return WORDS.get(str(event.get("event")), {})


def _salts(event: Event) -> dict[str, str]:
    salts = event.get("salt", {})
    kinds = set(_words(event).values())
    if not isinstance(salts, dict) or not salts.keys() <= kinds or not all(isinstance(s, str) for s in salts.values()):
        raise ValueError(f"salt is {salts!r:.100}")
    return salts


def _digest(salt: str, field: str, value: object) -> dict[str, str]:
    content = b"\n".join((salt.encode(), field.encode(), line({"": value})))
    return {"redacted": hashlib.sha256(content).hexdigest()}
