"""What the record of a run says that it has spent, and what it may spend."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from genius_kit import files
from genius_kit.budget.amounts import Amount, Limits
from genius_kit.budget.ledger import Share, State, name_of, study_ledger
from genius_kit.errors import JournalError
from genius_kit.journal import Event, read_run


def recorded_limits(events: Sequence[Event]) -> dict[str, Any]:
    """Return the limits that stand last on record, as `RunBudget.record` wrote them."""
    return next((event["limits"] for event in reversed(events) if "limits" in event), {})


def recorded_terms(events: Sequence[Event], folder: Path) -> tuple[Limits, bool, Share | None]:
    """Return the limits of the run of a journal in `folder`, by its record, a consent, and its part in a study's."""
    known = dict(recorded_limits(events))
    study, allowed = known.pop("study", None), known.pop("allow_unpriced", False)
    share = Share(study_ledger(folder), Limits(**study)) if study else None
    return Limits(**known), bool(allowed), share


def spent_of(events: Iterable[Event], unknown: Amount = Amount(1)) -> Amount:  # noqa: B008 - it cannot change
    """Return what the record of a run says was spent, an attempt that may have been billed at its worst case.

    `unknown` stands for the worst case of attempts that were recorded without one.
    """
    *_, total = spending_of([*events, {"event": "end"}], unknown)
    return total


def spending_of(events: Iterable[Event], unknown: Amount = Amount(1)) -> Iterator[Amount]:  # noqa: B008
    """Yield what `spent_of` says of the record before each of its events."""
    total = Amount()
    open_: dict[str, Amount] = {}  # what waits for its end: an attempt, an evaluation on a GPU
    for event in events:
        yield sum(open_.values(), total)
        name = event["event"]
        if name in ("intent", "gpu_reserved"):
            total += open_.pop(name, Amount())
            open_[name] = Amount.read(event["reserved"]) if "reserved" in event else unknown
        elif name in ("call", "call_failed") and "intent" in open_:
            total += _taken(event, open_.pop("intent"))
        elif name == "evaluation" and "gpu_reserved" in open_:
            total += _taken(event, open_.pop("gpu_reserved"))


def _taken(event: Event, reserved: Amount) -> Amount:
    if "spent" in event:
        return Amount.read(event["spent"])
    usage = event.get("usage", {})
    tokens = [usage.get(name) for name in ("input_tokens", "output_tokens")]
    if event["event"] != "call" or event.get("cost") is None or None in tokens:
        return reserved
    return Amount.of(1, sum(tokens), event["cost"])


@dataclass
class Overruns:
    """Calls that took more than was reserved for them, of the kinds "tokens" and "dollars".

    `excess` says how many times as much the dearest of them took; `standing` are the kinds of which nobody has raised
    the limit since, each with what was reserved and what was taken.
    """

    excess: dict[str, float] = field(default_factory=dict)
    standing: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def add(self, reserved: Amount, taken: Amount) -> None:
        """Take note of what a call took."""
        for name in ("tokens", "dollars"):
            had, took = Decimal(getattr(reserved, name)), Decimal(getattr(taken, name))
            if took > had:
                self.excess[name] = self.excess.get(name, 1.0) * (float(took / had) if had else 1.0)
                self.standing[name] = had, took

    def raised(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Take note of changed limits: one that is higher, new or gone lets the run go on."""
        for old, new in ((before, now), (before.get("study", {}), now.get("study", {}))):
            for name in list(self.standing):
                if old.get(name) != new.get(name) and old.get(name, 0) < new.get(name, math.inf):
                    del self.standing[name]


def overruns_of(events: Iterable[Event]) -> Overruns:
    """Return which calls of a record took more than was reserved for them."""
    found = Overruns()
    limits: Mapping[str, Any] = {}
    for event in events:
        if "limits" in event:
            found.raised(limits, event["limits"])
            limits = event["limits"]
        if reserved := event.get("beyond_worst_case", {}).get("reserved"):
            found.add(Amount.read(reserved), Amount.read(event["spent"]))
    return found


def cost_of_calls(events: Iterable[Event]) -> float | None:
    """Return what the replies of a run cost in dollars, None where the price of one is unknown."""
    costs = [event["cost"] for event in events if event["event"] == "call"]
    return None if any(cost is None for cost in costs) else float(sum(costs))


def seconds_of(events: Iterable[Event]) -> float:
    """Return for how many seconds a run was under way in all its sittings, as far as its record says.

    That is the last time on record (`elapsed`), and the calls and evaluations after it.
    """
    passed = 0.0
    for event in events:
        if "elapsed" in event:
            passed = float(event["elapsed"])
        elif event["event"] in ("call", "evaluation"):
            passed += float(event.get("seconds") or 0.0)
    return passed


def adopt(folder: str | Path) -> None:
    """Bring the journals of a folder that its ledger knows nothing of into it: they were written without limits.

    A finished journal that came to more than the ledger says is brought up to date, and what a run that was killed
    holds reserved is released: its journal says what it may have spent. A file that is no journal is named in a warning
    and passed over: nothing of it was spent here.
    """
    ledger = study_ledger(folder)
    known = ledger.states()
    for path in sorted(Path(folder).glob("*.jsonl")):
        try:
            run = read_run(path)
        except JournalError as error:
            warnings.warn(f"{path.name} is not counted in the limits of the study: {error}", stacklevel=2)
            continue
        if not run.settings:
            continue
        name = name_of(path, run.events[0])
        state = State(spent_of(run.events), Amount(), seconds_of(run.events))
        if name not in known or (run.finished and known[name].total != state.total):
            ledger.change(name, state)
        elif known[name].held != Amount():
            with suppress(JournalError), files.locked(files.lock_of(path), JournalError("it is under way"), 0):
                events = read_run(path).events
                ledger.change(name, State(spent_of(events), Amount(), seconds_of(events)))
