"""One run under way, passed to whoever needs it: its record, its budget, who steers it, replies of other runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genius_kit.budget.limits import RunBudget
from genius_kit.chat import ChatClient, Reply
from genius_kit.journal import Journal
from genius_kit.records import Message

if TYPE_CHECKING:
    from genius_kit.llm.recorded import Answers


class Stopped(Exception):
    """A person stopped the search; it goes from the hook of the thread that searches to `runs.loop`."""


class CallCancelled(Exception):
    """The call under way was given up, the search is paused: its intent stays unanswered, and it is sent anew later."""


class Steering:
    """The hooks of a search that nobody steers. All are called from the thread that runs the search."""

    def attach(self, journal: Journal, largest_budget: int) -> None:
        """Take note that the search begins; the journal is open."""

    def detach(self) -> None:
        """Take note that the search has ended; the journal is still open."""

    def note(self, journal: Journal, iteration: int) -> None:
        """Write what was asked for since the last event into the journal."""

    def check(self, journal: Journal, iteration: int, between_steps: bool) -> None:
        """Wait while the search is paused, before a step or a request; raises Stopped where it is to end."""

    def ask(self, client: ChatClient, messages: Sequence[Message], seed: int | None) -> Reply:
        """Return the client's reply; raises Stopped or CallCancelled when the call is given up."""
        return client.send(messages, seed)

    def sleep(self, seconds: float) -> None:
        """Wait before a failed request is tried again; raises Stopped when the search is to end now."""
        time.sleep(seconds)

    def review(self, situation: Any, suggestion: Any) -> Any:
        """Return the `runs.approval.Decision` of a person about a proposal, None where nobody is asked.

        `situation` and `suggestion` are those of `proposers.base`. Raises Stopped where the run is to end.
        """
        return None

    def extend(self, journal: Journal, iteration: int) -> None:
        """Write a larger budget into the journal of a search that has just spent its own."""


@dataclass
class Session:
    """What one run needs at every step; `replies` are those of other runs, where they may be given again."""

    journal: Journal
    budget: RunBudget = field(default_factory=RunBudget)
    control: Steering = field(default_factory=Steering)
    replies: Answers | None = None
