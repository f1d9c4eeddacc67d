"""Commands to a run from another process, through small files beside its journal.

`<journal>.ctl` holds the commands to one run, `all.ctl` those to all runs of its folder: one JSON object a line, added
by whoever asks, read by the run before each step and in every wait. `<journal>.owner` is what the run says of
itself while it is not simply running: its state, and what it answered to each command. All of it is data from outside:
what is not a command is passed over, and nothing in it can do more than a command does.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genius_kit import durable
from genius_kit.runs.control import Asker

ALL = "all.ctl"
COMMANDS = ("pause", "pause-now", "resume", "stop", "stop-now", "budget")
LONGEST_LINE, LONGEST_READ = 2_000, 1_000_000  # bytes
ANSWERS_KEPT = 50
STATES = ("running", "paused", "awaiting approval", "stopping")


@dataclass(frozen=True)
class Command:
    """One command as it stands in a file."""

    id: str
    command: str
    asker: Asker
    budget: int | None = None
    reason: str = ""

    def line(self) -> bytes:
        """Return the command as a line."""
        given = {"id": self.id, "command": self.command, "budget": self.budget, "reason": self.reason}
        return json.dumps({**given, **self.asker.fields()}).encode() + b"\n"


def commands_file(run: str | Path) -> Path:
    """Return the file of commands to one run, or to all runs of a folder."""
    run = Path(run)
    return run / ALL if run.is_dir() else Path(f"{run}.ctl")


def owner_file(journal: str | Path) -> Path:
    """Return the file in which a run says how it is."""
    return Path(f"{journal}.owner")


def _scratch(journal: str | Path) -> Path:
    return Path(f"{journal}.owner.part")


def size_of(folder: str | Path) -> int:
    """Return the length of a folder's file of commands in bytes: those before it were meant for others."""
    try:
        return (Path(folder) / ALL).stat().st_size
    except OSError:
        return 0


def parse(line: bytes) -> Command:
    """Return the command of a line; raises ValueError for anything that is not one."""
    if len(line) > LONGEST_LINE:
        raise ValueError("too long")
    try:
        given = json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(given, dict) or given.get("command") not in COMMANDS:
        raise ValueError("no such command")
    budget = given.get("budget")
    if (given["command"] == "budget") != (type(budget) is int) or (budget is not None and type(budget) is not int):
        raise ValueError("a budget goes with the command of that name")
    words = [given.get(name) or "" for name in ("id", "by", "host", "reason")]
    if not all(isinstance(word, str) and word.isprintable() for word in words) or not words[0]:
        raise ValueError("words that nobody can read")
    return Command(words[0], given["command"], Asker(words[1] or None, "ctl", words[2] or None), budget, words[3])


class Mailbox:
    """One file of commands, read as it grows. `start` is where to begin, in bytes; by default at its present end."""

    def __init__(self, path: Path, start: int | None = None) -> None:
        self._path = path
        self._known = (0, 0)  # inode and size at the last look
        self._warned = False
        self._offset = start if start is not None else self._end()

    def _end(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

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
        if self._offset == found.st_size:
            return []
        return list(self._commands(found))

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
                self._warn(f"a line is no command ({error})")

    def _warn(self, why: str) -> None:
        if not self._warned:
            logging.getLogger(__name__).warning("%s is not heeded: %s", self._path, why)
        self._warned = True


def stops_study(folder: Path, start: int) -> bool:
    """Return whether all runs of a folder were told to stop after the first `start` bytes of its file of commands."""
    return any(command.command in ("stop", "stop-now") for command in Mailbox(folder / ALL, start).poll())


@dataclass
class Owner:
    """What a run says of itself: its state, the design that waits for a decision, its answers to commands by id."""

    state: str = "running"
    waits: str | None = None
    answers: dict[str, str] = field(default_factory=dict)

    def write(self, journal: Path) -> None:
        """Put it beside the journal, for those that look now; a disk that refuses does no harm to the run."""
        kept = dict(list(self.answers.items())[-ANSWERS_KEPT:])
        told = {"state": self.state, "waits": self.waits, "answers": kept, "pid": os.getpid()}
        scratch = _scratch(journal)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, durable.PRIVATE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(told))
            scratch.replace(owner_file(journal))


def read_owner(journal: str | Path) -> Owner:
    """Return what the owner of a run says; one that says nothing is running."""
    try:
        told = json.loads(owner_file(journal).read_bytes()[:LONGEST_READ])
    except (OSError, ValueError, RecursionError):
        return Owner()
    if not isinstance(told, Mapping) or told.get("state") not in STATES:
        return Owner()
    answers: Any = told.get("answers")
    answers = answers if isinstance(answers, Mapping) else {}
    waits = told.get("waits")
    return Owner(
        told["state"],
        waits if isinstance(waits, str) else None,
        {str(name): str(answer) for name, answer in answers.items()},
    )


class Desk:
    """A run's side of the files: what was asked of it, and what it says of itself. Its journal's lock is held."""

    def __init__(self, journal: Path, folder_from: int | None = None) -> None:
        self._journal = journal
        self.close()  # what an owner that died has left behind
        self._boxes = (Mailbox(commands_file(journal)), Mailbox(journal.parent / ALL, folder_from))
        self._said = Owner()
        self._seen: set[str] = set()

    def asked(self) -> list[Command]:
        """Return the commands that came since the last call, each once."""
        fresh = [command for box in self._boxes for command in box.poll() if command.id not in self._seen]
        self._seen.update(command.id for command in fresh)
        return fresh

    def say(self, state: str, waits: str | None, answers: Mapping[str, str]) -> None:
        """Tell others what has changed."""
        told = Owner(state, waits, {**self._said.answers, **answers})
        if told != self._said:
            self._said = told
            told.write(self._journal)

    def close(self) -> None:
        """Take the files of this run away."""
        for path in (commands_file(self._journal), owner_file(self._journal), _scratch(self._journal)):
            with suppress(OSError):
                path.unlink(missing_ok=True)
