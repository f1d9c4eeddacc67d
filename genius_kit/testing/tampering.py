"""Copies of a journal, altered in known ways: what a check is tried on, in tests and in the notebook on safety."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import files
from genius_kit.errors import InvalidParameter
from genius_kit.journal import chain, read_run
from genius_kit.runs.audit import Audit, audit_run

if TYPE_CHECKING:
    import pandas as pd


Events = list[dict[str, Any]]

_BETTER_BY = 1.5  # percentage points


def _better_result(events: Events) -> None:
    """Raise the accuracy of the first evaluation."""
    event = next(event for event in events if event["event"] == "evaluation")
    event["feedback"] = round((event["feedback"] or 0.0) + _BETTER_BY, 4)


def _forged_approval(events: Events) -> None:
    """Let a person have approved what was rejected."""
    event = next((event for event in events if event.get("decision") == "reject"), None)
    if event is None:
        raise InvalidParameter("no decision of this run is a rejection that could be forged; choose another way")
    event["decision"] = "approve"


def _swapped_design(events: Events) -> None:
    """Put another architecture into the first evaluation that a model proposed, and into its proposal."""
    place = next(place for place, event in enumerate(events) if event.get("origin") == "model")
    design = events[place]["architecture"]
    other = [*design[:-1], 0 if design[-1] else 1]
    for event in events[place : place + 2]:
        event["architecture"] = other


def _without_a_failure(events: Events) -> None:
    """Take out the first reply that was refused, or the first reply where none was."""
    known = [event["event"] for event in events]
    del events[known.index("rejected" if "rejected" in known else "call")]


def _cut(events: Events) -> None:
    """Take away the last two lines."""
    del events[-2:]


WAYS: dict[str, Callable[[Events], None]] = {
    "a better result": _better_result,
    "a forged approval": _forged_approval,
    "another design": _swapped_design,
    "a refusal taken out": _without_a_failure,
    "the end cut off": _cut,
}
"""What can be done to a copy, by name."""


def tamper(journal: str | Path, output: str | Path, way: str, sealed: bool = False) -> Path:
    """Write a copy of a journal that is altered in one of `WAYS`, and return its path; the journal stays as it is.

    With `sealed` all of its lines get a new chain that fits, as somebody could do who knows this package. Raises
    InvalidParameter for an unknown way, an `output` that is the journal, and a journal that holds nothing to alter.
    """
    journal, output = Path(journal), Path(output)
    if way not in WAYS:
        raise InvalidParameter(f"{way!r} is no way to alter a journal here; it is one of {', '.join(WAYS)}")
    if output.resolve() == journal.resolve():
        raise InvalidParameter(f"{output} is the journal itself; name another file for the copy")
    events = [json.loads(line) for line in journal.read_bytes().splitlines()]
    WAYS[way](events)
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = _resealed(events) if sealed else map(chain.line, events)
    files.write_whole(output, b"".join(line + b"\n" for line in lines))
    return output


def _resealed(events: Events) -> Iterator[bytes]:
    head = chain.start()
    for event in events:
        line, head = chain.seal({key: value for key, value in event.items() if key not in ("chain", "salt")}, head)
        yield line


def tampering_table(journal: str | Path, folder: str | Path, head: str | None = None) -> pd.DataFrame:
    """Return what the checks say of altered copies under `folder`, one row a way, with the old chain and a new one.

    Columns: altered, chain ("kept" or "written anew"), found_by_chain (`verify` alone), found_by_head (against `head`,
    by default that of the journal), found_by_audit (replies and results read anew), first_finding. Ways for which the
    journal holds nothing are left out.
    """
    import pandas as pd

    known = head or audit_run(journal).verification.head
    rows = []
    for way in _possible(journal):
        for sealed in (False, True):
            name = f"{way.replace(' ', '-')}{'-sealed' if sealed else ''}.jsonl"
            copy = tamper(journal, Path(folder) / name, way, sealed)
            rows.append(_checked(way, sealed, audit_run(copy), audit_run(copy, known)))
    return pd.DataFrame(rows)


def _possible(journal: str | Path) -> list[str]:
    decided = [event["decision"] for event in read_run(journal).of("approval")]
    return [way for way in WAYS if way != "a forged approval" or "reject" in decided]


def _checked(way: str, sealed: bool, alone: Audit, against: Audit) -> dict[str, Any]:
    by_chain = [str(finding) for finding in alone.verification.findings]
    by_audit = [finding for finding in alone.findings if finding not in by_chain]
    by_head = [str(finding) for finding in against.verification.findings]
    return {
        "altered": way,
        "chain": "written anew" if sealed else "kept",
        "found_by_chain": bool(by_chain),
        "found_by_head": bool(by_head),
        "found_by_audit": bool(by_audit),
        "first_finding": next(iter([*by_chain, *by_audit, *by_head]), ""),
    }
