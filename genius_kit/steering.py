"""What a person may do to a running search: the hooks of the loop, which do nothing where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.records import Message
from genius_kit.spaces import Architecture

if TYPE_CHECKING:
    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal import Journal
    from genius_kit.proposers import Situation, Suggestion

ASIDES = frozenset({"paused", "resumed", "stop_requested", "budget_raised", "pace_changed", "budget_spent"})
"""Events beside the steps of the search: what a person asked for, how requests were paced, where a limit ended it. A
resumed run passes over them wherever they stand: only the last "budget_raised" changes what comes after."""

DECISIONS = ("approve", "edit", "reject")


class Stopped(Exception):
    """A person stopped the search; it goes from the worker's hook to `search.conduct`, which returns the run."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about a proposal; `architecture` is what was approved, put in its place, or rejected."""

    decision: str
    architecture: Architecture
    reason: str = ""


class Steering:
    """The hooks of a search that nobody steers. All are called from the thread that runs the search."""

    def note(self, journal: Journal, iteration: int) -> None:
        """Write what was asked for since the last event into the journal."""

    def check(self, journal: Journal, iteration: int, between_steps: bool) -> None:
        """Wait while the search is paused, before a step or a request; raises Stopped where it is to end."""

    def ask(self, client: ChatClient, messages: Sequence[Message], seed: int | None) -> Reply:
        """Return the client's reply; raises Stopped when the call is given up."""
        return client.send(messages, seed)

    def sleep(self, seconds: float) -> None:
        """Wait before a failed request is tried again; raises Stopped when the search is to end now."""
        time.sleep(seconds)

    def review(self, situation: Situation, suggestion: Suggestion) -> Decision | None:
        """Return what a person decides about a proposal, None where nobody is asked."""
        return None

    def extend(self, journal: Journal, iteration: int) -> None:
        """Write a larger budget into the journal of a search that has just spent its own."""
