"""Who asks something of a running search, and what a person decides about a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Action = Literal["pause", "pause-now", "resume", "stop", "stop-now", "budget"]
COMMANDS: tuple[str, ...] = get_args(Action)
"""What a person may ask of a run from another process."""

DECISIONS = ("approve", "edit", "reject", "end")


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
