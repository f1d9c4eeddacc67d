"""Sending commands to runs: who is asked, whether it is so already, and what each run answered."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genius_kit import durable
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import Run, read_run
from genius_kit.runs.remote import COMMANDS, LONGEST_LINE, Command, commands_file, read_owner
from genius_kit.runs.state import how_to_go_on, is_owned, state_of, why_stopped
from genius_kit.runs.control import Asker

HEARD_SECONDS = 2.0  # a run looks ten times a second, unless it evaluates
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Heard:
    """What became of a command to one run; `answer` is a sentence, `state` the run's state after it."""

    journal: Path
    answer: str
    state: str


def command(
    run: str | Path,
    name: str,
    budget: int | None = None,
    *,
    asker: Asker,
    reason: str = "",
    patience: float = HEARD_SECONDS,
) -> list[Heard]:
    """Send a command to the run of a journal, or to all unfinished runs of a folder, and return what each answered.

    Raises InvalidParameter for what is no command, JournalError where no living run is there to hear it: the message
    says what goes on. A run that is so already says so, and nothing changes.
    """
    sent = _checked(name, budget, asker, reason)
    run = Path(run)
    journals = unfinished(run)
    living = [found for found in journals if found.path is not None and is_owned(found.path)]
    if not living:
        raise JournalError(_nobody(run, journals))
    boxes = {commands_file(found.path.parent if run.is_dir() else found.path) for found in living if found.path}
    for box in sorted(boxes):
        _append(box, sent)
    end = time.monotonic() + patience
    return [_wait(found.path, sent, boxes, end) for found in living if found.path is not None]


def _checked(name: str, budget: int | None, asker: Asker, reason: str) -> Command:
    if name not in COMMANDS:
        raise InvalidParameter(f"{name!r} is no command; expected one of {', '.join(COMMANDS)}")
    if (name == "budget") != (budget is not None) or (budget is not None and budget < 1):
        raise InvalidParameter("budget takes the number of evaluations in all, such as `budget 20`; nothing else does")
    if not all(word.isprintable() for word in (asker.by or "", reason)) or len(reason) + len(asker.by or "") > 500:
        raise InvalidParameter("name and reason are at most 500 printable characters in one line")
    return Command(secrets.token_hex(8), name, asker, budget, reason)


def unfinished(run: str | Path) -> list[Run]:
    """Return the unfinished run of a journal, or those of a folder; raises JournalError where there is no run."""
    run = Path(run)
    if not run.is_dir():
        found = read_run(run)
        return [found] if found.settings and not found.finished else []
    return [found for found in _runs_of(run) if not found.finished]


def _runs_of(folder: Path) -> Sequence[Run]:
    found = [read_run(path) for path in sorted(folder.rglob("*.jsonl"))]
    runs = [run for run in found if run.settings]
    if not runs:
        raise JournalError(f"there is no run in {folder}; `genius-kit run` and `genius-kit study` write them")
    return runs


def _nobody(run: Path, journals: Sequence[Run]) -> str:
    if not journals:
        return f"{run} is finished: there is nothing to command. `genius-kit run` begins another"
    first = journals[0]
    why = why_stopped(first)
    told = f"it is {state_of(first, False)}{f' ({why})' if why else ''}"
    if len(journals) > 1:
        told = f"none of its {len(journals)} unfinished runs is under way"
    return f"nobody runs {run}: {told}. All that is recorded is safe; to go on: {how_to_go_on(first)}"


def _append(box: Path, sent: Command) -> None:
    line = sent.line()
    if len(line) > LONGEST_LINE:
        raise InvalidParameter(
            f"the command has {len(line)} bytes, at most {LONGEST_LINE} are heard: shorten the reason"
        )
    if box.is_symlink():
        raise JournalError(f"{box} is a link; remove it, commands go into a plain file beside the journal")
    try:
        descriptor = durable.open_for_append(box, private=True)
        try:
            durable.append(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JournalError(f"{box} cannot be written ({error.strerror}); is the run another user's?") from None


def _wait(journal: Path, sent: Command, boxes: set[Path], end: float) -> Heard:
    """Wait until the run answers, ends, or the time is up; a file that a beginning run took away is written again."""
    own = commands_file(journal)
    while True:
        answer = read_owner(journal).answers.get(sent.id)
        owned = is_owned(journal)
        state = state_of(read_run(journal), owned) if answer or not owned or time.monotonic() >= end else ""
        if answer is not None:
            return Heard(journal, answer, state)
        if not owned:
            return Heard(journal, f"it is {state} now", state)
        if state:
            return Heard(journal, _LATER, state)
        if own in boxes and not own.exists():
            _append(own, sent)
        time.sleep(LOOK_SECONDS)


_LATER = "asked; it is alive and busy (an evaluation, or its process is held), and heeds it before its next step"


def counted(run: Run) -> str:
    """Return how far a run is, in words."""
    spent = [event["cost"] for event in run.of("call")]
    money = "" if not spent or any(cost is None for cost in spent) else f", spent ${sum(spent):.4f}"
    unanswered = len(run.unanswered_intents)
    lost = f", {unanswered} call{'s' * (unanswered != 1)} without a reply on record" if unanswered else ""
    return f"{len(run.of('evaluation'))} of {run.budget} evaluated{money}{lost}"


def status(run: str | Path) -> list[tuple[Path, str, str]]:
    """Return journal, state and progress of the run of a journal, or of each run of a folder."""
    run = Path(run)
    told = []
    for path in sorted(run.rglob("*.jsonl")) if run.is_dir() else [run]:
        owned = is_owned(path)
        found = read_run(path)
        if run.is_dir() and not found.settings:
            continue
        state, waits = state_of(found, owned), read_owner(path).waits
        why = why_stopped(found) if not owned else None
        more = [
            counted(found),
            *([f"waits for a decision on {waits}"] if waits and owned else []),
            *([why] if why else []),
        ]
        told.append((path, state, "; ".join(more)))
    if not told:
        raise JournalError(f"there is no run in {run}; `genius-kit run` and `genius-kit study` write them")
    return told


def as_json(told: Sequence[tuple[Path, str, str]]) -> str:
    """Return a status as JSON, for scripts."""
    return json.dumps([{"journal": str(path), "state": state, "told": more} for path, state, more in told])
