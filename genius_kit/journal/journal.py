"""The record of a run: one append-only JSONL file, which is also what a run resumes from.

A resumed run executes the same code from its first step. While the journal still holds events from before,
`Journal.record` hands those back instead of writing (after checking that they agree), so no call is paid and
no network trained twice; then it goes on live. Each line is on the disk before anything more is paid (lines
between which nothing was paid share one fsync), holds no secret of the environment, and ends with a hash that vouches
for all lines before it (`chain`). The file is private (0600).
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from genius_kit import files
from genius_kit.errors import JournalError
from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.journal.lines import mend
from genius_kit.redaction import masked

SETTLE_SECONDS = 1.0
_FREE = frozenset({"run_started", "proposal", "rejected", "evaluation"})
"""Events after which nothing was paid: they wait for the next one that is, SETTLE_SECONDS at most, or for the end."""

TAIL_BYTES = 96  # of the end of the file, which the chain of its last line is in
PROBE_SECONDS = 0.1  # a look at whether the run has an owner takes its lock, for far less than that


class Journal:
    """One run's record, open for appending; use as a context manager. `path=None` keeps it in memory.

    Raises JournalError when another process has the journal open, when a line other than the last is damaged or not
    the one that was written (the message names it), and when the disk refuses: all lines before are then safe. A torn
    last line, which is what a crash leaves, is moved to `<path>.torn`, with a warning.
    """

    def __init__(
        self,
        path: str | Path | None,
        on_event: Callable[[Event], None] | None = None,
        patience: float = 0.0,
        *,
        recorded: Iterable[Event] = (),
    ) -> None:
        """`patience` is how many seconds to wait for a journal that another process has open.

        `recorded` are the events of before, where no file holds them.
        """
        self._patience = patience
        self.path = Path(path) if path is not None else None
        self.events: list[Event] = []
        self._on_event = on_event
        self._pending: deque[Event] = deque(recorded)
        self._budget: int | None = None
        self._descriptor: int | None = None
        self._broken = False
        self._settled = time.monotonic()  # when the disk last had every line
        self._unsettled = False
        self._head: str | None = None
        self._end, self._tail = 0, b""  # how long the file is, and its end, as it was left here
        self._lock: Any = None

    def __enter__(self) -> Journal:
        if self.path is None:
            return self
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _acquire(self.path, self._patience)
        except OSError as error:
            raise _refused(self.path, error) from error
        try:
            self._open(self.path)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise _refused(self.path, error) from error
            raise
        return self

    def _open(self, path: Path) -> None:
        known = mend(path) if path.exists() else None
        self._descriptor = files.open_for_append(path, private=True)
        self._end = os.fstat(self._descriptor).st_size
        os.lseek(self._descriptor, -min(self._end, TAIL_BYTES), os.SEEK_END)
        self._tail = os.read(self._descriptor, TAIL_BYTES)
        if known is None:
            files.settle_folder(path.parent)
        self._pending.extend(known.events if known else ())
        self._head = known.head if known and known.head else chain.start(path.read_bytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._descriptor is not None:
                self._close(self._descriptor)
        except OSError as refusal:
            raise _refused(self.path, refusal) from refusal
        finally:
            self._descriptor = None
            if self._lock is not None:
                self._lock.release()

    def _close(self, descriptor: int) -> None:
        try:
            if self._unsettled:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @property
    def replaying(self) -> bool:
        """Whether events from before are still to be handed back, those beside the steps apart."""
        return bool(self._pending) and any(event["event"] not in SIDE_EVENTS for event in self._pending)

    @property
    def begun(self) -> dict[str, Any]:
        """The settings on record of the run that this journal resumes; empty for a new one."""
        return self._pending[0].get("run", {}) if self.next_is("run_started") else {}

    @property
    def begun_price(self) -> dict[str, Any] | None:
        """The price entry on record of the run that this journal resumes; None for a new or an unpriced one."""
        return self._pending[0].get("price") if self.next_is("run_started") else None

    def next_is(self, *names: str) -> bool:
        """Return whether the next recorded event is one of `names`; those beside the steps are passed over."""
        if self._pending:
            self._pass_over()
        return bool(self._pending) and self._pending[0]["event"] in names

    def take(self, *names: str) -> Event | None:
        """Hand back the next recorded event if it is one of `names`, else None."""
        return self._see(self._pending.popleft()) if self._pending and self.next_is(*names) else None

    def budget(self, initial: int) -> int:
        """Return the budget at this point: `initial`, or what a person made of it."""
        if self._pending:
            self._pass_over()
        return initial if self._budget is None else self._budget

    def _pass_over(self) -> None:
        """Hand back the recorded events that no step waits for: they were written whenever they came."""
        while self._pending and self._pending[0]["event"] in SIDE_EVENTS:
            self._see(self._pending.popleft())

    def record(self, name: str, **fields: Any) -> Event:
        """Write one event, or hand back the recorded one in its place.

        Raises JournalError when the recorded event is of another kind or differs in a field: then the journal
        belongs to another run (other settings, other code, other replies).
        """
        if self._pending:
            self._pass_over()
        if not self._pending:
            return self._append(name, fields)
        recorded = self._pending.popleft()
        if recorded["event"] != name:
            raise JournalError(
                f"{self.path}: the record says {recorded['event']!r} where this run comes to {name!r}; it was written "
                "with other settings or another version. Choose another journal, or the settings it began with."
            )
        expected = _plain(fields)
        for key, value in expected.items():
            if recorded.get(key) != value and key not in _MAY_DIFFER:
                _refuse_difference(self.path, name, key, recorded.get(key), value)
        return self._see(recorded)

    def note(self, name: str, **fields: Any) -> None:
        """Write an event that no step waits for, one of `SIDE_EVENTS`; nothing while a run is read back."""
        if name not in SIDE_EVENTS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(SIDE_EVENTS))}")
        if not self.replaying:
            self._pass_over()
            self._append(name, fields)

    def _append(self, name: str, fields: dict[str, Any]) -> Event:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = _plain({"event": name, "time": now, **fields})
        if self._descriptor is not None:
            self._write(event, self._descriptor)
        return self._see(event)

    def _write(self, event: Event, descriptor: int) -> None:
        assert self._head is not None  # an open file has one
        if self._broken:
            raise JournalError(f"{self.path} could not be written before; open it again, which mends its last line")
        self._check_alone(descriptor)
        line, head = chain.seal(event, self._head)
        self._broken = True
        now = time.monotonic()
        settle = event["event"] not in _FREE or now - self._settled > SETTLE_SECONDS
        try:
            files.append(descriptor, line + b"\n", settle)
        except OSError as error:
            raise _refused(self.path, error) from error
        self._end, self._tail = self._end + len(line) + 1, (self._tail + line + b"\n")[-TAIL_BYTES:]
        self._check_alone(descriptor)
        self._broken, self._head, self._unsettled = False, head, not settle
        self._settled = now if settle else self._settled

    def _check_alone(self, descriptor: int) -> None:
        """Raise JournalError where the file does not end with what this journal wrote last: its lock kept nobody out.

        It is looked at before a line and after it, so that of two that write at once one sees it at least.
        """
        try:
            if os.fstat(descriptor).st_size == self._end:
                os.lseek(descriptor, -len(self._tail), os.SEEK_END)  # appending goes to the end all the same
                if os.read(descriptor, TAIL_BYTES) == self._tail:
                    return
        except OSError as error:
            raise _refused(self.path, error) from error
        raise JournalError(
            f"{self.path} was changed by another process while this run wrote it: it does not end with the line that "
            "was written last. Its lock kept nobody out: the file has a second name, or its file system "
            f"({files.file_system(self.path or '')}) keeps no locks between processes or machines. Stop the other run; "
            f"`genius-kit verify {self.path}` says which lines can be trusted"
        )

    def _see(self, event: Event) -> Event:
        self.events.append(event)
        if event["event"] == "budget_raised":
            self._budget = event["budget"]
        if self._on_event is not None:
            self._on_event(event)
        return event


_MAY_DIFFER = frozenset(
    {"format", "versions", "price", "study", "data", "code", "limits", "approval", "timeout", "folder"}
)  # what a resumed run need not share with its beginning


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a file would hold of some fields: plain JSON, without the secrets of the environment."""
    plain: dict[str, Any] = masked(json.loads(chain.line(fields)))
    return plain


def _refused(path: Path | None, error: OSError) -> JournalError:
    return JournalError(
        f"{path} cannot be written ({error.strerror or error}). Every line that is in it is whole and safe; make "
        f"room or correct the folder's rights, then go on with `genius-kit resume {path}` or the same command again"
    )


class _Nothing:
    """What a field that is not there has; `None` is something."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _refuse_difference(path: Path | None, name: str, key: str, recorded: Any, wanted: Any) -> None:
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        both = {inner: (recorded.get(inner, _NOTHING), wanted.get(inner, _NOTHING)) for inner in {**recorded, **wanted}}
        inner, (before, now) = next((inner, pair) for inner, pair in both.items() if pair[0] != pair[1])
        return _refuse_difference(path, name, f"{key}.{inner}", before, now)
    raise JournalError(
        f"{path}: {name} has {key} = {recorded!r:.200}, this run has {wanted!r:.200}. A journal resumes only with the "
        "settings it began with; choose another journal for other settings."
    )


def _acquire(path: Path, patience: float) -> Any:
    """Return the lock of a journal, whatever link it was named by; raises JournalError, WriteFailed."""
    place = files.lock_of(path)
    taken = JournalError(f"{path} is in use by another run; wait for it to end, stop it, or choose another journal")
    lock = files.hold(place, taken, max(patience, PROBE_SECONDS))
    if not files.excludes(place):
        lock.release()
        raise JournalError(files.lockless(path))
    return lock
