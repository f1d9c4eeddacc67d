"""What a person may do to a running search: the hooks of the loop, which do nothing where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.records import Message

if TYPE_CHECKING:
    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal.journal import Event, Journal
    from genius_kit.proposers.base import Situation, Suggestion

ASIDES = frozenset(
    {
        *("paused", "resumed", "stop_requested", "budget_raised", "pace_changed", "budget_spent"),
        *("limits_set", "gpu_reserved"),
    }
)
"""Events beside the steps of the search: what a person asked for, how requests were paced, where a limit ended it. A
resumed run passes over them wherever they stand: only the last "budget_raised" changes what comes after."""

DECISIONS = ("approve", "edit", "reject", "end")


class Stopped(Exception):
    """A person stopped the search; it goes from the worker's hook to `loop.conduct`, which returns the run."""


class HungUp(Exception):
    """The call under way was given up, the search is paused: its intent stays unanswered, and it is sent anew later."""


@dataclass(frozen=True)
class Asker:
    """Who asks something of a run, and from where: `via` is "ctl", "lab", "api", "terminal" or a signal."""

    by: str | None
    via: str
    host: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return what an event says of it."""
        return {"by": self.by, "via": self.via, **({"host": self.host} if self.host else {})}


def here(via: str, by: str | None = None) -> Asker:
    """Return the user of this process, or the one that `by` names."""
    return Asker(by or user_name(), via)


def user_name() -> str:
    """Return the name of the user of this process, "unknown" where the system knows none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


@dataclass(frozen=True)
class Decision:
    """What a person decides about a proposal: "approve", "edit", "reject" or "end", with who and why.

    `architecture` is what "edit" puts in the place of the proposal, as indices or as the space writes it.
    "end" ends the run, which resumes with the same question.
    """

    decision: str
    architecture: Sequence[int] | str | None = None
    reason: str = ""
    by: str | None = None
    via: str | None = None


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
        """Return the client's reply; raises Stopped or HungUp when the call is given up."""
        return client.send(messages, seed)

    def sleep(self, seconds: float) -> None:
        """Wait before a failed request is tried again; raises Stopped when the search is to end now."""
        time.sleep(seconds)

    def review(self, situation: Situation, suggestion: Suggestion) -> Decision | None:
        """Return what a person decides about a proposal, None where nobody is asked; raises Stopped where it ends."""
        return None

    def extend(self, journal: Journal, iteration: int) -> None:
        """Write a larger budget into the journal of a search that has just spent its own."""


def touch(events: Sequence[Event]) -> str | None:
    """Return how a person touched the design of one iteration: "edited", "rejected before", "approved", or None.

    "rejected before" is a design that came after a person had rejected another one in its place.
    """
    decisions = [event["decision"] for event in events if event["event"] == "approval"]
    for decision, word in (("edit", "edited"), ("reject", "rejected before"), ("approve", "approved")):
        if decision in decisions:
            return word
    return None
