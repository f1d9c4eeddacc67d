"""What state a run is in: whether a living process owns it, what that says of itself, and how it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit.errors import JournalError
from genius_kit.journal import Run, read_run
from genius_kit.runs.remote import read_owner

if TYPE_CHECKING:
    from genius_kit.journal import Event

__all__ = ["how_to_go_on", "is_owned", "run_state", "state_of", "why_stopped"]


def is_owned(journal: str | Path) -> bool:
    """Return whether a living process has the journal open for writing, however slow it is.

    The operating system frees the lock of a process that dies, so a lock file left behind says nothing. Raises
    JournalError where the file system cannot tell.
    """
    import fcntl

    try:
        descriptor = os.open(f"{journal}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"{journal}.lock cannot be read ({error.strerror}): is the run another user's?") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise JournalError(
            f"{journal}.lock cannot be tried ({error.strerror}): whether the run lives is unknown"
        ) from None
    finally:
        os.close(descriptor)  # which frees it
    return False


def run_state(journal: str | Path) -> str:
    """Return what state the run at `journal` is in; raises JournalError where there is none.

    With a living owner, however slow: "running", "paused", "awaiting approval" or "stopping". Without one: "finished",
    "stopped" (as somebody asked, or for want of a person's approval) or "interrupted"; both resume.
    """
    owned = is_owned(journal)  # before the journal is read: it may end in between, never begin again unseen
    return state_of(read_run(journal), owned)


def state_of(run: Run, owned: bool) -> str:
    """Return `run_state` of a run that was read."""
    if run.finished:
        return "finished"
    if owned and run.path is not None:
        return read_owner(run.path).state
    return "interrupted" if why_stopped(run) is None else "stopped"


def why_stopped(run: Run) -> str | None:
    """Return who or what ended an unfinished run, and why; None where it was cut off."""
    places = [place for place, event in enumerate(run.events) if event["event"] in ("stop_requested", "budget_spent")]
    if run.finished or not places:
        return None
    asked = run.events[places[-1]]
    if not _was_heeded(asked, run.events[places[-1] + 1 :]):
        return None
    return _in_words(asked)


def _was_heeded(asked: Event, after: list[Event]) -> bool:
    """Return whether the run ended by this: at once, or with the evaluation of the iteration that was under way."""
    steps = [event for event in after if event["event"] not in ("paused", "resumed", "budget_raised", "pace_changed")]
    if not steps:
        return True
    done = [event["iteration"] for event in steps if event["event"] == "evaluation"]
    return not asked.get("now", True) and steps[-1]["event"] == "evaluation" and done == [asked.get("iteration")]


def _in_words(asked: Event) -> str:
    if asked["event"] == "budget_spent":
        return f"a budget is spent{_reason(asked)}"
    if asked.get("by") is None:
        return str(asked.get("reason") or "stopped")
    where = f"{asked.get('via')} on {asked['host']}" if asked.get("host") else str(asked.get("via"))
    return f"stopped by {asked['by']} ({where}){_reason(asked)}"


def _reason(event: Event) -> str:
    return f": {event['reason']}" if event.get("reason") else ""


def how_to_go_on(run: Run) -> str:
    """Return the command that goes on with a run."""
    study = run.events[0].get("study") if run.events else None
    again = "`genius-kit study` with its file" if isinstance(study, dict) and study.get("name") else "the same command"
    return f"`genius-kit resume {run.path}`, or {again} again" if run.path is not None else "`search` with its journal"
