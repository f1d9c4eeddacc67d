"""What the runs of one study have spent and hold reserved: one file that all processes share.

`budget.ledger` in the study's folder is append-only; the last line of a run is its state. A line is written under a
lock and is on the disk before the request that it is for is sent, so a run that is killed leaves its reservation
standing, until it resumes and settles it from its journal.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genius_kit import files
from genius_kit.budget.amounts import COUNTED, Amount, Limits, exact
from genius_kit.errors import JournalError

FILE = "budget.ledger"


@dataclass(frozen=True)
class State:
    """What one run has spent, holds reserved, and how many seconds it was under way."""

    spent: Amount = field(default_factory=Amount)
    held: Amount = field(default_factory=Amount)
    seconds: float = 0.0

    @property
    def total(self) -> Amount:
        """What counts against a limit."""
        return self.spent + self.held


class OverLimit(Exception):
    """What is to be reserved does not fit: the limit, how much of it is spent, reserved and free, and what was needed.

    `will_pass` says that it fits once the runs that are under way have released what they hold.
    """

    def __init__(
        self, limit: str, needed: Decimal, *, spent: Decimal, reserved: Decimal, left: Decimal, will_pass: bool = False
    ) -> None:
        super().__init__(limit)
        self.limit, self.needed, self.will_pass = limit, needed, will_pass
        self.spent, self.reserved, self.left = spent, reserved, left


def check_fits(limits: Limits, taken: State, wanted: Amount, passing: Amount = Amount()) -> None:  # noqa: B008
    """Raise OverLimit where `wanted` does not fit beside what is `taken`; `passing` is the part that is released."""
    over = None
    for name, cap in limits.given().items():
        if name not in COUNTED:
            continue
        spent, held, needed, passes = (
            Decimal(getattr(amount, name)) for amount in (taken.spent, taken.held, wanted, passing)
        )
        left = exact(cap) - spent - held
        if needed > left:
            will_pass = needed <= left + passes and (over is None or over.will_pass)
            over = OverLimit(name, needed, spent=spent, reserved=held, left=max(left, Decimal(0)), will_pass=will_pass)
            if not will_pass:
                break
    if over is not None:
        raise over


class StudyLedger:
    """The shared ledger of the study in `folder`; any number of threads and processes may use it at once."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self._states: dict[str, State] = {}
        self._total = State()
        self._offset = 0
        self._gate = threading.Lock()

    def states(self) -> dict[str, State]:
        """Return the state of every run, by its name."""
        with self._gate, self._opened():
            return dict(self._states)

    def total(self) -> Amount:
        """Return what all runs have spent and hold."""
        with self._gate, self._opened():
            return self._total.total

    def is_alive(self, name: str) -> bool:
        """Return whether a process has the journal of a run open, by the run's name; False where nobody can tell."""
        try:
            return files.is_held(files.lock_of(self.path.parent / name.rpartition(" of ")[0]))
        except OSError:
            return False

    def change(self, name: str, state: State, limits: Limits | None = None) -> None:
        """Write the state of a run; with `limits`, raise OverLimit and write nothing where it does not fit them."""
        with self._gate, self._opened() as descriptor:
            if limits is not None:
                own = self._states.get(name, State())
                taken = State(self._total.spent - own.spent + state.spent, self._total.held - own.held)
                try:
                    check_fits(limits, taken, state.held)
                except OverLimit:
                    check_fits(limits, taken, state.held, self._passing(name))
            if self._states.get(name) != state:
                self._append(descriptor, name, state)

    def _passing(self, name: str) -> Amount:
        """Return what the other runs hold that are under way: that of one that was killed is not released."""
        others = [(other, state.held) for other, state in self._states.items() if other != name]
        return sum((held for other, held in others if held != Amount() and self.is_alive(other)), Amount())

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Hold the lock of the file, with everything read that others wrote."""
        files.make_folder(self.path.parent)
        with files.explained(self.path), files.locked(files.lock_of(self.path)):
            descriptor = files.open_for_append(self.path, private=True)
            try:
                self._read(descriptor)
                yield descriptor
            finally:
                os.close(descriptor)

    def _read(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size < self._offset:  # another file
            self._states, self._total, self._offset = {}, State(), 0
        content = os.pread(descriptor, size - self._offset, self._offset)
        whole = content.rfind(b"\n") + 1
        for line in content[:whole].splitlines():
            self._take(line)
        if whole < len(content):  # torn by a kill: what it was to reserve was never sent
            os.ftruncate(descriptor, self._offset + whole)
        self._offset += whole

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            name = event["journal"]
            state = State(Amount.read(event["spent"]), Amount.read(event["reserved"]), float(event["seconds"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(
                f"{self.path}: a line is damaged ({error!r:.100}); nothing was sent. Restore the file from a copy; or "
                "delete it, and what the journals beside it record is counted in its place"
            ) from None
        before = self._states.get(name, State())
        self._total = State(self._total.spent + state.spent - before.spent, self._total.held + state.held - before.held)
        self._states[name] = state

    def _append(self, descriptor: int, name: str, state: State) -> None:
        event: dict[str, Any] = {
            "event": "budget",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "journal": name,
            "spent": state.spent.record(),
            "reserved": state.held.record(),
            "seconds": round(state.seconds, 3),
        }
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        files.append(descriptor, line)
        self._take(line)
        self._offset += len(line)


@dataclass(frozen=True)
class Share:
    """The part of one run in a study's limits."""

    ledger: StudyLedger
    limits: Limits


_open: dict[tuple[int, Path], StudyLedger] = {}
_opening = threading.Lock()


def study_ledger(folder: str | Path) -> StudyLedger:
    """Return the ledger of a study's folder, one for each folder and process."""
    place = Path(folder).resolve()
    with _opening:
        return _open.setdefault((os.getpid(), place), StudyLedger(place))


def name_of(path: Path, begun: dict[str, Any]) -> str:
    """Return the name of a run in the ledger: its journal's, and when it began, as a journal may be deleted."""
    return f"{path.name} of {begun['time']}"
