"""Answers from a recording: a journal, a published conversation, or a list of pairs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from genius_kit.chat import Reply, checked_usage, mapping_or_empty
from genius_kit.errors import JournalError, ReplayMismatch
from genius_kit.journal.lines import read_lines, words_withheld
from genius_kit.records import Message

Pair = tuple[Sequence[Message], Reply]
"""What was sent, and what came back."""


class RecordedTurn(Protocol):
    """A turn of a published conversation: the messages up to the reply, and the reply."""

    @property
    def messages(self) -> Sequence[Message]: ...

    @property
    def reply(self) -> str: ...


class ReplayClient:
    """A client that gives the recorded replies in their order, to any number of threads.

    `strict` raises ReplayMismatch when the messages are not the recorded ones, naming the first that differs, and
    keeps its place; otherwise the reply is given all the same and `mismatches` counts. Nothing is left: ReplayMismatch.
    """

    kind = "replay"
    is_free = True

    def __init__(self, pairs: Iterable[Pair], strict: bool = True, source: str = "recorded pairs") -> None:
        self._pairs = [(tuple(messages), reply) for messages, reply in pairs]
        self._lock = threading.Lock()
        self.strict = strict
        self.source = source
        self.position = 0
        self.mismatches = 0
        self.model = next((reply.model for _, reply in self._pairs if reply.model), "as recorded")

    @classmethod
    def from_journal(cls, path: str | Path, strict: bool = True) -> ReplayClient:
        """Return a client that answers from the `call` events of a journal; a torn last line is left out.

        Raises JournalError when the file cannot be read, another line is damaged, no reply is in it, or the prompts
        or replies were withheld for publication.
        """
        pairs = list(_recorded_calls(Path(path)))
        if not pairs:
            raise JournalError(f"{path} holds no reply of a model, so there is nothing to replay: name another journal")
        return cls(pairs, strict, source=Path(path).name)

    @classmethod
    def from_turns(
        cls, turns: Iterable[RecordedTurn], strict: bool = True, model: str = "gpt-4", source: str = "conversation"
    ) -> ReplayClient:
        """Return a client that answers from the turns of a published conversation, which tells no counts or times."""
        pairs = [(turn.messages, Reply(turn.reply, model, finish_reason="unknown")) for turn in turns]
        return cls(pairs, strict, source)

    def settings(self) -> dict[str, Any]:
        """Return what is replayed: its name, the number of replies and the SHA-256 of the messages and replies."""
        digest = hashlib.sha256()
        for messages, reply in self._pairs:
            digest.update(json.dumps([_plain(messages), reply.text]).encode())
        return {
            "client": self.kind,
            "model": self.model,
            "source": self.source,
            "replies": len(self._pairs),
            "sha256": digest.hexdigest(),
            "strict": self.strict,
        }

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the next recorded reply; `seed` changes nothing. Raises ReplayMismatch."""
        with self._lock:
            if self.position >= len(self._pairs):
                raise ReplayMismatch(
                    f"all {len(self._pairs)} replies of {self.source} were given and one more was asked for: "
                    "use a smaller budget, or a client that can answer"
                )
            recorded, reply = self._pairs[self.position]
            difference = first_difference(recorded, messages)
            if difference and self.strict:
                raise ReplayMismatch(
                    f"call {self.position + 1} of {len(self._pairs)} of {self.source} was recorded for another prompt: "
                    f"{difference}. Use the settings of the recording, or strict=False"
                )
            self.mismatches += bool(difference)
            self.position += 1
            return reply

    def without(self, parameter: str) -> ReplayClient:
        """Return this client: a recording takes no parameters."""
        return self


def first_difference(recorded: Sequence[Message], came: Sequence[Message]) -> str | None:
    """Return where two lists of messages first differ, in words; None when they are equal."""
    for number, (old, new) in enumerate(zip(recorded, came, strict=False), start=1):
        if old["role"] != new["role"]:
            return f"message {number} is of {new['role']!r}, recorded was {old['role']!r}"
        if old["content"] != new["content"]:
            return f"message {number} ({new['role']}) " + _text_difference(old["content"], new["content"])
    if len(recorded) != len(came):
        return f"{len(came)} messages came, {len(recorded)} were recorded"
    return None


def _text_difference(old: str, new: str) -> str:
    pairs = enumerate(zip(old, new, strict=False))
    start = next((place for place, (left, right) in pairs if left != right), min(len(old), len(new)))
    window = slice(max(0, start - 20), start + 40)
    return f"differs at character {start}: {new[window]!r} came, {old[window]!r} was recorded"


def _plain(messages: Sequence[Message]) -> list[list[str]]:
    return [[message["role"], message["content"]] for message in messages]


def _recorded_calls(path: Path) -> Iterator[Pair]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"no journal can be read at {path} ({error.strerror}): check the name") from error
    lines = read_lines(path, content)
    if lines.withheld & {"prompt", "reply"}:
        raise words_withheld(path, lines.withheld, "replayed")
    for number, event in enumerate(lines.events, start=1):
        if event["event"] == "call":
            yield _pair(event, f"line {number} of {path}")


def _pair(event: dict[str, Any], place: str) -> Pair:
    messages, text = event.get("messages"), event.get("text")
    if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
        raise JournalError(f"{place} is a call without its messages: expected a list of role and content")
    if not isinstance(text, str | None):
        raise JournalError(f"{place} is a call whose text is {text!r}: expected a string or null")
    model, refusal, seconds, form = (event.get(name) for name in ("model", "refusal", "seconds", "form"))
    beside = event.get("beside")
    usage = mapping_or_empty(event.get("usage"))
    return messages, Reply(
        text=text,
        model=model if isinstance(model, str) else None,
        finish_reason=str(event.get("finish_reason") or "unknown"),
        usage=checked_usage(
            *(usage.get(name) for name in ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"))
        ),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        refusal=refusal if isinstance(refusal, str) else None,
        beside=beside if isinstance(beside, list) else None,
        form=form if isinstance(form, str) else None,
    )


def _is_message(message: object) -> bool:
    fields = mapping_or_empty(message)
    return isinstance(fields.get("role"), str) and isinstance(fields.get("content"), str)
