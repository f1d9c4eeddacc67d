"""Commands to a run from another process, through small files beside its journal, and what state a run is in.

`<journal>.ctl` holds the commands to one run, `all.ctl` those to all runs of its folder: one JSON object per line,
added by whoever asks, read by the run before each step and in every wait. `<journal>.owner` is what the run says of
itself while it is not simply running: its state, and what it answered to each command. All of it is data from outside:
what is not a command is passed over, and nothing in it can do more than a command does.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from genius_kit import files
from genius_kit.budget.spending import cost_of_calls
from genius_kit.errors import InvalidParameter, JournalError, nearest
from genius_kit.files import PRIVATE
from genius_kit.journal import Event, Run, complete, read_run
from genius_kit.runs.approval import Asker

Action = Literal["pause", "pause-now", "resume", "stop", "stop-now", "budget"]
COMMANDS: tuple[str, ...] = get_args(Action)
"""What a person may ask of a run from another process."""

ALL = "all.ctl"
UNREADABLE = "unreadable"
"""What is said in the place of a state of a file that is no journal, or a damaged one."""
LONGEST_LINE, LONGEST_READ = 2_000, 1_000_000  # bytes
LONGEST_WORDS = 500  # signs of name and reason
ANSWERS_KEPT = 50
HEARD_SECONDS = 2.0  # a run looks ten times per second, unless it evaluates
LOOK_SECONDS = 0.02
_BUSY = "asked; it is alive and busy (an evaluation, or its process is held), and heeds it before its next step"


def _printable(words: str) -> str:
    if not words.isprintable():
        raise ValueError("words that nobody can read")
    return words


Words = Annotated[str, AfterValidator(_printable)]


class Command(BaseModel):
    """One command as it stands in a file: what is asked, by whom, from which machine, why."""

    model_config = ConfigDict(frozen=True, strict=True)

    id: Annotated[Words, Field(min_length=1)]
    command: Action
    budget: int | None = None
    reason: Words | None = ""
    by: Words | None = None
    host: Words | None = None

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if (self.command == "budget") != (self.budget is not None):
            raise ValueError("a budget goes with the command of that name")
        return self

    @property
    def asker(self) -> Asker:
        """Who asks."""
        return Asker(self.by or None, "ctl", self.host or None)

    def line(self) -> bytes:
        """Return the command as a line."""
        return self.model_dump_json().encode() + b"\n"


def parse(line: bytes) -> Command:
    """Return the command of a line; raises ValueError for anything that is not one."""
    if len(line) > LONGEST_LINE:
        raise ValueError("too long")
    return Command.model_validate_json(line)


def commands_file(run: str | Path) -> Path:
    """Return the file of commands to one run, or to all runs of a folder."""
    return Path(run) / ALL if Path(run).is_dir() else Path(f"{os.path.realpath(run)}.ctl")


def owner_file(journal: str | Path) -> Path:
    """Return the file in which a run says how it is."""
    return Path(f"{os.path.realpath(journal)}.owner")


def _scratch(journal: str | Path) -> Path:
    return Path(f"{owner_file(journal)}.part")


def size_of(folder: str | Path) -> int:
    """Return the length of a folder's file of commands in bytes: those before it were meant for others."""
    return _size(Path(folder) / ALL)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class CommandFile:
    """One file of commands, read as it grows. `start` is where to begin, in bytes; by default at its present end."""

    def __init__(self, path: Path, start: int | None = None) -> None:
        self._path = path
        self._known = (0, 0)  # inode and size at the last look
        self._warned = False
        self._offset = _size(path) if start is None else start

    def poll(self) -> list[Command]:
        """Return the commands that came since the last call; costs one look at the file's size where none came."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return []
        seen = (found.st_ino, found.st_size)
        if seen == self._known:
            return []
        if self._known[0] not in (0, found.st_ino) or found.st_size < self._offset:
            self._offset = 0  # another file in its place
        self._known = seen
        return list(self._commands(found)) if self._offset != found.st_size else []

    def _commands(self, found: os.stat_result) -> Iterator[Command]:
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
            return self._warn("others may write to it, or it is no plain file")
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read(LONGEST_READ)
        except OSError as error:
            return self._warn(str(error))
        whole = content.rfind(b"\n") + 1
        self._offset += whole or (len(content) if len(content) == LONGEST_READ else 0)
        for line in content[:whole].splitlines():
            try:
                yield parse(line)
            except ValueError as error:
                why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
                self._warn(f"a line is no command ({why})")

    def _warn(self, why: str) -> None:
        if not self._warned:
            logging.getLogger(__name__).warning("%s is not heeded: %s", self._path, why)
        self._warned = True


def stops_study(folder: Path, start: int) -> bool:
    """Return whether all runs of a folder were told to stop after the first `start` bytes of its file of commands."""
    return any(command.command in ("stop", "stop-now") for command in CommandFile(folder / ALL, start).poll())


class Owner(BaseModel):
    """What a run says of itself: its state, the proposal that waits for a decision, its answers to commands by id."""

    state: Literal["running", "paused", "awaiting approval", "stopping"] = "running"
    waits: str | None = None
    answers: dict[str, str] = {}

    def write(self, journal: Path) -> None:
        """Put it beside the journal, for those that look now; a disk that refuses does no harm to the run."""
        scratch = _scratch(journal)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.model_dump_json())
            scratch.replace(owner_file(journal))


def read_owner(journal: str | Path) -> Owner:
    """Return what the owner of a run says; one that says nothing is running."""
    try:
        return Owner.model_validate_json(files.read_plain(owner_file(journal), LONGEST_READ))
    except (OSError, ValueError):
        return Owner()


class ControlChannel:
    """A run's side of the files: what was asked of it, and what it says of itself. Its journal's lock is held."""

    def __init__(self, journal: Path, folder_from: int | None = None) -> None:
        self._journal = journal
        self.close()  # what an owner that died has left behind
        self._files = (CommandFile(commands_file(journal)), CommandFile(journal.parent / ALL, folder_from))
        self._said = Owner()
        self._seen: set[str] = set()

    def asked(self) -> list[Command]:
        """Return the commands that came since the last call, each once."""
        fresh = []
        for command in (*self._files[0].poll(), *self._files[1].poll()):
            if command.id not in self._seen:
                self._seen.add(command.id)
                fresh.append(command)
        return fresh

    def say(self, state: str, waits: str | None, answers: Mapping[str, str]) -> None:
        """Tell others what has changed."""
        kept = dict(list({**self._said.answers, **answers}.items())[-ANSWERS_KEPT:])
        told = Owner.model_validate({"state": state, "waits": waits, "answers": kept})
        if told != self._said:
            self._said = told
            told.write(self._journal)

    def close(self) -> None:
        """Take the files of this run away."""
        for path in (commands_file(self._journal), owner_file(self._journal), _scratch(self._journal)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


# what state a run is in


def is_owned(journal: str | Path) -> bool:
    """Return whether a living process has the journal open for writing, however slow it is.

    Raises JournalError where the file system cannot tell.
    """
    lock = files.lock_of(journal)
    try:
        return files.is_held(lock)
    except OSError as error:
        if error.filename:
            raise JournalError(f"{lock} cannot be read ({error.strerror}): is the run another user's?") from None
        raise JournalError(f"{lock} cannot be tried ({error.strerror}): whether the run lives is unknown") from None


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
    reason = f": {asked['reason']}" if asked.get("reason") else ""
    if asked["event"] == "budget_spent":
        return f"a budget is spent{reason}"
    if asked.get("by") is None:
        return str(asked.get("reason") or "stopped")
    host = f" on {asked['host']}" if asked.get("host") else ""
    return f"stopped by {asked['by']} ({asked.get('via')}{host}){reason}"


def _was_heeded(asked: Event, after: Sequence[Event]) -> bool:
    """Return whether the run ended by this: at once, or with the evaluation of the iteration that was under way."""
    steps = [event for event in after if event["event"] not in ("paused", "resumed", "budget_raised", "pace_changed")]
    if not steps:
        return True
    done = [event["iteration"] for event in steps if event["event"] == "evaluation"]
    return not asked.get("now", True) and steps[-1]["event"] == "evaluation" and done == [asked.get("iteration")]


def how_to_go_on(run: Run) -> str:
    """Return the command that goes on with a run."""
    study = run.events[0].get("study") if run.events else None
    again = "`genius-kit study` with its file" if isinstance(study, dict) and study.get("name") else "the same command"
    return f"`genius-kit resume {run.path}`, or {again} again" if run.path is not None else "`search` with its journal"


def status(run: str | Path) -> list[tuple[Path, str, str]]:
    """Return journal, state and progress of the run of a journal, or of each run of a folder.

    A file of a folder that cannot be read is named, with UNREADABLE as its state.
    """
    told = []
    for path in _journals(Path(run)):
        try:
            owned = is_owned(path)
            found = read_run(path)
        except JournalError as error:
            if not Path(run).is_dir():
                raise
            told.append((path, UNREADABLE, str(error)))
            continue
        if Path(run).is_dir() and not found.settings:
            continue
        waits, why = read_owner(path).waits, why_stopped(found)
        with complete(path):
            more = [_progress(found)]
        more += [f"waits for a decision on {waits}"] if waits and owned else []
        more += [why] if why and not owned else []
        told.append((path, state_of(found, owned), "; ".join(more)))
    if not told:
        raise _no_run(run)
    return told


def _journals(run: Path) -> list[Path]:
    return sorted(run.rglob("*.jsonl")) if run.is_dir() else [run]


def _no_run(folder: str | Path) -> JournalError:
    return JournalError(f"there is no run in {folder}; `genius-kit run` and `genius-kit study` write them")


def _progress(run: Run) -> str:
    """Return how far a run is, in words."""
    cost = cost_of_calls(run.events)
    money = "" if cost is None or not run.of("call") else f", spent ${cost:.4f}"
    unanswered = len(run.unanswered_intents)
    lost = f", {unanswered} call{'s' * (unanswered != 1)} without a reply on record" if unanswered else ""
    return f"{len(run.of('evaluation'))} of {run.budget} evaluated{money}{lost}"


# sending a command


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
    says what goes on. A run that is so already says so, and nothing changes. A run that lives is told whatever its
    journal holds; a file of a folder that cannot be read comes last, with UNREADABLE as its state.
    """
    sent = _checked(name, budget, asker, reason)
    run = Path(run)
    found: list[Run] = []
    living: list[Path] = []
    unread: list[Heard] = []
    for path in _journals(run):
        try:
            one = read_run(path)
            owned = bool(one.settings) and not one.finished and is_owned(path)
        except JournalError as error:
            if _lives(path):
                living.append(path)
            elif not run.is_dir():
                raise
            unread.append(Heard(path, str(error), UNREADABLE))
            continue
        found += [one] if one.settings else []
        living += [path] if owned else []
    if not found and not living:
        raise _no_run(run) if not unread else JournalError("\n".join(heard.answer for heard in unread))
    if not living:
        raise JournalError(_nobody(run, [one for one in found if not one.finished]))
    files = {commands_file(path.parent if run.is_dir() else path) for path in living}
    for file in sorted(files):
        _append(file, sent)
    end = time.monotonic() + patience
    return [*(_answer(path, sent, files, end) for path in living), *unread]


def _lives(journal: Path) -> bool:
    """Return whether a process holds a journal that cannot be read; False where nobody can say."""
    try:
        return is_owned(journal)
    except JournalError:
        return False


def _state(journal: Path, owned: bool) -> str:
    try:
        return state_of(read_run(journal), owned)
    except JournalError:
        return UNREADABLE


def _checked(name: str, budget: int | None, asker: Asker, reason: str) -> Command:
    if name not in COMMANDS:
        raise InvalidParameter(
            f"{name!r} is no command{nearest(name, (*COMMANDS, 'status'))}; the commands are {', '.join(COMMANDS)}, "
            "and `genius-kit ctl` has status"
        )
    if (name == "budget") != (budget is not None) or (budget is not None and budget < 1):
        raise InvalidParameter("budget takes the number of evaluations in all, such as `budget 20`; nothing else does")
    words = (asker.by or "", reason)
    if not all(map(str.isprintable, words)) or sum(map(len, words)) > LONGEST_WORDS:
        raise InvalidParameter(f"name and reason are at most {LONGEST_WORDS} printable characters in one line")
    asked = {"id": secrets.token_hex(8), "command": name, "budget": budget}
    return Command.model_validate({**asked, "reason": reason, "by": asker.by, "host": asker.host})


def _nobody(run: Path, unfinished: Sequence[Run]) -> str:
    if not unfinished:
        return (
            f"{run} is finished: there is nothing to command. To extend a search, give its command again with a larger "
            "--budget and with --reuse: replies on record are not asked for again"
        )
    first = unfinished[0]
    why = why_stopped(first)
    told = f"it is {state_of(first, False)}{f' ({why})' if why else ''}"
    if len(unfinished) > 1:
        told = f"none of its {len(unfinished)} unfinished runs is under way"
    return f"no process is running {run}: {told}. All that is recorded is safe; to go on: {how_to_go_on(first)}"


def _append(file: Path, sent: Command) -> None:
    line = sent.line()
    if len(line) > LONGEST_LINE:
        raise InvalidParameter(
            f"the command has {len(line)} bytes, at most {LONGEST_LINE} are heard: shorten the reason"
        )
    if file.is_symlink():
        raise JournalError(f"{file} is a link; remove it, commands go into a plain file beside the journal")
    try:
        descriptor = files.open_for_append(file, private=True)
        try:
            files.append(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JournalError(f"{file} cannot be written ({error.strerror}); is the run another user's?") from None


def _answer(journal: Path, sent: Command, files: set[Path], end: float) -> Heard:
    """Wait until the run answers, ends, or the time is up; a file that a beginning run took away is written again."""
    own = commands_file(journal)
    while True:
        answer = read_owner(journal).answers.get(sent.id)
        owned = is_owned(journal)
        state = _state(journal, owned) if answer or not owned or time.monotonic() >= end else ""
        if state:
            return Heard(journal, answer or (_BUSY if owned else f"it is {state} now"), state)
        if own in files and not own.exists():
            _append(own, sent)
        time.sleep(LOOK_SECONDS)
