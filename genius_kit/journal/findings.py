"""Where a journal is not the one that was written: each line that does not follow from the one before it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.lines import bare, read_event

_TAIL = re.compile(rb'"chain":"([0-9a-f]{64})"\}\Z')
_TRIES = 300_000
"""Hashes a file that are spent on finding what an unexpected line followed: about a second."""

_CAUSES = "it was altered, or lines before it were altered, removed or put in, or it is of another journal"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a journal: the line (from 1), a stable word for the kind, and what is known of it.

    Kinds: unreadable, rewritten, unchained, copied, moved, broken, torn, truncated, missing, unlisted.
    """

    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


@dataclass
class Examined:
    """A journal as far as it can be read: `chains` holds the chain at the end of each line by its number."""

    findings: list[Finding] = field(default_factory=list)
    events: list[tuple[int, Event]] = field(default_factory=list)
    chains: dict[int, str] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    lines: int = 0


def examine(content: bytes) -> Examined:
    """Return what can be read of a journal, and every line at which it is not as it was written.

    After such a line the next is checked against it as it stands, so that each place is found and none twice.
    """
    return _Examination(content).done()


class _Examination:
    """The lines seen so far; `_previous` is the chain that the next has to follow, None where it is lost."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._found = Examined()
        self._previous: str | None = None
        self._begun = False
        self._published: list[tuple[int, bytes, str, str | None]] = []  # lines that do not follow, to be placed

    def done(self) -> Examined:
        start = 0
        *whole, rest = self._content.split(b"\n")
        for number, line in enumerate(whole, start=1):
            self._take(number, line, start)
            start += len(line) + 1
        self._found.lines = len(whole)
        if rest:
            self._say(len(whole) + 1, "torn", f"its {len(rest)} bytes have no end: a crash leaves that, or a cut")
        self._place()
        self._found.findings.sort(key=lambda finding: finding.line)
        return self._found

    def _say(self, number: int, kind: str, text: str) -> None:
        self._found.findings.append(Finding(number, kind, text))

    def _take(self, number: int, line: bytes, start: int) -> None:
        try:
            event = read_event(line)
        except ValueError as error:
            self._say(number, "unreadable", f"it cannot be read ({error})")
            tail = _TAIL.search(line)
            self._keep(number, tail[1].decode() if tail else None)
            return
        self._found.events.append((number, bare(event)))
        self._found.withheld |= chain.withheld(event)
        if "chain" in event:
            self._check(number, event, line, start)
        elif self._begun or (event["event"] == "run_started" and event.get("format", 1) != 1):
            self._say(number, "unchained", "its chain was taken off, or it was put in")

    def _check(self, number: int, event: Event, line: bytes, start: int) -> None:
        previous = self._previous if self._begun else chain.start(self._content[:start])
        try:
            chain.check_form(event, line)
            published, named = chain.published(event), str(event["chain"])
        except ValueError as error:
            self._say(number, "rewritten", f"it is not as it was written ({error})")
            self._keep(number, str(event["chain"]))
            return
        if previous is None or chain.joined(previous, published) != named:
            self._published.append((number, published, named, previous))
        self._keep(number, named)

    def _keep(self, number: int, named: str | None) -> None:
        self._begun, self._previous = True, named
        if named is not None:
            self._found.chains[number] = named

    def _place(self) -> None:
        """Say of each line that does not follow what it once followed, where that is in the file."""
        by_chain: dict[str, int] = {chain.start(): 0}
        for number, named in self._found.chains.items():
            by_chain.setdefault(named, number)
        tries = _TRIES
        for number, published, named, previous in self._published:
            if by_chain[named] != number:
                self._say(number, "copied", f"it is a copy of line {by_chain[named]}")
                continue
            followed = None
            if tries > 0:
                tries -= len(by_chain)
                followed = next((n for c, n in by_chain.items() if chain.joined(c, published) == named), None)
            if followed is not None:
                after = f"line {followed}" if followed else "nothing"
                self._say(number, "moved", f"it was written after {after}: lines were moved, put in or replaced")
            elif previous is None:
                self._say(number, "broken", f"it cannot be checked, the chain of line {number - 1} is lost")
            else:
                before = f"line {number - 1}" if number > 1 else "an empty file"
                self._say(number, "broken", f"it does not follow from {before}: {_CAUSES}")
