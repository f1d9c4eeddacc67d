"""Events and messages as an audit names them: in a few words, and by their sum."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from genius_kit.journal.chain import is_withheld
from genius_kit.journal import Event

TEXT_CHARACTERS = 80


def described(messages: Any) -> tuple[int | None, int | None, str | None]:
    """Return how many messages a request has, their characters, and the SHA-256 of them as compact JSON, keys sorted.

    None where they were withheld.
    """
    if is_withheld(messages):
        return None, None, None
    content = json.dumps(messages, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sum_ = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return len(messages), sum(len(one["content"]) for one in messages), sum_


def in_words(event: Event) -> str:
    """Return what an event says, in a few words."""
    name = event["event"]
    told = {
        "run_started": lambda: (
            f"{event['run']['proposer']} on {event['run']['benchmark']}, seed {event['run']['seed']}"
        ),
        "intent": lambda: f"request {event['request']}",
        "call": lambda: f"{event.get('model')}: {event['text']}",
        "call_failed": lambda: f"{event['cause']}: {event['message']}",
        "rejected": lambda: f"{event['reason']}: {event['detail']}",
        "approval": lambda: f"{event['decision']} {event.get('reason', '')}",
        "proposal": lambda: f"{event['text']} ({event.get('origin')})",
        "evaluation": lambda: f"{event['feedback']} from {event.get('source')}",
        "run_finished": lambda: str(event["reason"]),
        "budget_spent": lambda: str(event.get("message")),
        "stop_requested": lambda: str(event.get("reason")),
        "budget_raised": lambda: str(event["budget"]),
    }
    try:
        text = told[name]() if name in told else ""
    except KeyError as lost:
        text = f"without its {lost.args[0]}"
    text = " ".join(str(text).split())
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 3]}..."
