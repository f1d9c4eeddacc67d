"""Is a record the one that was written, and what was it made from: the check that anybody can run on a journal."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genius_kit.chat import mapping_or_empty
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.files import read_text, write_whole
from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.lines import read_content, read_event
from genius_kit.journal.run import Run

HEADS = "heads.csv"
"""The file of a study that names the head of each journal: what is published, and verified against."""

LONGEST_HEADS = 10_000_000
"""Bytes of a heads.csv: some 70,000 journals."""

SHOWN = 20
"""Findings of a journal that are told; a file that was replaced has as many as lines."""

LOOSE = 100
"""Places at which a journal may be wrong for its findings to say what a line once followed."""

_HEAD = re.compile(r"[0-9a-f]{64}")
_TAIL = re.compile(rb'"chain":"([0-9a-f]{64})"\}\Z')
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

    def say(self, number: int, kind: str, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(number, kind, text))


def examine(content: bytes) -> Examined:
    """Return what can be read of a journal, and every line at which it is not as it was written.

    After such a line the next is checked against it as it stands, so that each place is found and none twice.
    """
    found, loose = Examined(), dict[int, tuple[bytes, str | None]]()
    begun, previous, start = False, None, 0  # the chain that the next line has to follow, None where it is lost
    for number, ended in enumerate(io.BytesIO(content), start=1):
        if not ended.endswith(b"\n"):
            found.say(number, "torn", f"its {len(ended)} bytes have no end: a crash leaves that, or a cut")
            break
        line = ended[:-1]
        event, named = _read(found, number, line)
        if event is not None and named is None:
            if begun or (event["event"] == "run_started" and event.get("format", 1) != 1):
                found.say(number, "unchained", "its chain was taken off, or it was put in")
        else:
            before = previous if begun else chain.start(content[:start])
            published = None if event is None else _published(found, number, event, line)
            if published is not None and (before is None or chain.joined(before, published) != named):
                loose[number] = published, before
            begun, previous = True, named
        if event is not None:
            event.pop("chain", None)
            event.pop("salt", None)
        start += len(ended)
        found.lines = number
    _place(found, loose)
    found.findings.sort(key=lambda finding: finding.line)
    return found


def _read(found: Examined, number: int, line: bytes) -> tuple[Event | None, str | None]:
    """Take note of one line and return its event and its chain, as far as they can be read."""
    event: Event | None = None
    try:
        event = read = read_event(line)
        found.events.append((number, read))
        if read["event"] in chain.WORDS:
            found.withheld |= chain.withheld(read)
        named = str(read["chain"]) if "chain" in read else None
    except ValueError as error:
        found.say(number, "unreadable", f"it cannot be read ({error})")
        tail = _TAIL.search(line)
        named = tail[1].decode() if tail else None
    if named is not None:
        found.chains[number] = named
    return event, named


def _published(found: Examined, number: int, event: Event, line: bytes) -> bytes | None:
    """Return the line as it may be published, None where it is not as the kit writes it."""
    try:
        return chain.check_form(event, line)
    except ValueError as error:
        found.say(number, "rewritten", f"it is not as it was written ({error})")
        return None


def _place(found: Examined, loose: Mapping[int, tuple[bytes, str | None]]) -> None:
    """Say of each line that does not follow from the one before it what it once followed, where that is in the file.

    That is a line which nothing follows now: the one before such a line, or the last.
    """
    first = {named: number for number, named in reversed(found.chains.items())}
    ends = [number - 1 for number in (*loose, *(finding.line for finding in found.findings))]
    chains = {chain.start(): 0, **{found.chains[end]: end for end in (*ends, found.lines) if end in found.chains}}
    for number, (published, before) in loose.items():
        named = found.chains[number]
        places = chains.items() if len(ends) <= LOOSE else ()
        followed = next((place for end, place in places if chain.joined(end, published) == named), None)
        if first[named] != number:
            found.say(number, "copied", f"it is a copy of line {first[named]}")
        elif followed is not None:
            after = f"line {followed}" if followed else "nothing"
            found.say(number, "moved", f"it was written after {after}: lines were moved, put in or replaced")
        elif before is None:
            found.say(number, "broken", f"it cannot be checked, the chain of line {number - 1} is lost")
        else:
            line = f"line {number - 1}" if number > 1 else "an empty file"
            found.say(number, "broken", f"it does not follow from {line}: {_CAUSES}")


@dataclass(frozen=True)
class Verification:
    """What is known of one journal.

    Parameters
    ----------
    path
        The journal.
    run
        What can be read of it.
    lines
        Number of its lines.
    head
        The chain at its end, None where it has none.
    findings
        The places at which it is not as it was written.
    unchained
        Lines of the first format, which only the first line with a chain vouches for.
    after_head
        Lines after the head that it was checked against; None where there was no such head.
    withheld
        Whose words were taken out: "prompt", "reply", "person".
    unanswered
        Lines of the calls that were sent without an answer on record, which may have been paid twice.
    found
        What was read of each line.
    """

    path: Path
    run: Run
    lines: int
    head: str | None
    findings: tuple[Finding, ...]
    unchained: int = 0
    after_head: int | None = None
    withheld: tuple[str, ...] = ()
    unanswered: tuple[int, ...] = ()
    found: Examined = field(default_factory=Examined, repr=False)

    @property
    def is_sound(self) -> bool:
        """Whether every byte is as it was written, as far as a chain can say."""
        return self.head is not None and not self.findings

    @property
    def is_finished(self) -> bool:
        """Whether the last line says that the run came to its end."""
        return self.run.finished

    @property
    def reason(self) -> str | None:
        """Why the run ended, None while it has not."""
        return str(self.run.events[-1].get("reason")) if self.run.finished else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decided the run, as its first line says; empty where that is lost."""
        return mapping_or_empty(self._started.get("run"))

    @property
    def data(self) -> dict[str, str]:
        """The files that the run's results are from, with their SHA-256; "not on record" in journals of before."""
        source = self.settings.get("source")
        named = mapping_or_empty(self._started.get("data")) or ({str(source): "not on record"} if source else {})
        return {str(name): str(sum_) for name, sum_ in named.items()}

    @property
    def code(self) -> dict[str, Any]:
        """The versions that began the run and, where it ran from a checkout, its commit and whether files differed."""
        return {name: value for part in ("versions", "code") for name, value in self._part(part).items()}

    @property
    def price(self) -> dict[str, Any] | None:
        """The price entry that the calls were counted at, None for an unpriced model or no model."""
        return dict(self._part("price")) or None

    @property
    def models(self) -> dict[str, int]:
        """How many replies came from each model, as the server named it."""
        return dict(Counter(str(call.get("model")) for call in self.run.of("call")))

    @property
    def _started(self) -> Event:
        return self.run.events[0] if self.run.events and self.run.events[0]["event"] == "run_started" else {}

    def _part(self, name: str) -> Mapping[str, Any]:
        return mapping_or_empty(self._started.get(name))

    def report(self) -> str:
        """Return all of it in words, a line each."""
        return "\n".join(_lines(self))


def verify_run(path: str | Path, head: str | None = None) -> Verification:
    """Return whether a journal is as it was written, where it is not, and what the run was made from.

    Parameters
    ----------
    path
        The journal of one run.
    head
        A hash of the chain that was published before: a removed end or a wholly rewritten journal is then found too.

    Raises
    ------
    JournalError
        There is no such file, or none of its lines is a line of a journal.
    InvalidParameter
        A head that cannot be one.
    """
    path = Path(path)
    if head is not None and not _HEAD.fullmatch(head := head.strip().lower()):
        raise InvalidParameter(f"head must be the 64 hexadecimal signs that `verify` prints, got {head!r:.100}")
    found = examine(read_content(path))
    if not found.events:
        raise JournalError(f"{path} is not a journal: none of its {found.lines} lines is an event of a run")
    verified = _verification(path, found)
    return verified if head is None else _against(verified, found, head)


def _verification(path: Path, found: Examined) -> Verification:
    run = Run(path, [event for _, event in found.events])
    open_calls = {id(event) for event in run.unanswered_intents}
    unchained = min(found.chains, default=found.lines + 1) - 1
    return Verification(
        path=path,
        run=run,
        lines=found.lines,
        head=found.chains.get(max(found.chains)) if found.chains else None,
        findings=tuple(found.findings),
        unchained=unchained,
        withheld=tuple(sorted(found.withheld)),
        unanswered=tuple(number for number, event in found.events if id(event) in open_calls),
        found=found,
    )


def _against(verified: Verification, found: Examined, head: str) -> Verification:
    at = next((number for number, named in found.chains.items() if named == head), None)
    if at is not None:
        return replace(verified, after_head=found.lines - at)
    text = (
        f"the head {head[:16]}... is the chain of none of its {found.lines} lines: lines were removed from its end, or "
        "it was rewritten as a whole, or is the journal of another run"
    )
    gone = Finding(found.lines + 1, "truncated", text)
    return replace(verified, findings=(*verified.findings, gone))


def heads_table(journals: Iterable[Path], folder: Path) -> str:
    """Return the CSV of what is to be published of some journals under `folder`: journal, lines, head.

    A file that cannot be read as a journal has no line.
    """
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(("journal", "lines", "head"))
    for path in sorted(journals):
        try:
            found = examine(read_content(path))
        except JournalError:
            continue
        if found.chains:
            last = max(found.chains)
            write.writerow((path.relative_to(folder).as_posix(), last, found.chains[last]))
    return out.getvalue()


def write_heads(folder: str | Path) -> Path:
    """Write heads.csv of all journals under a folder, and return its path.

    Parameters
    ----------
    folder
        The folder of a study.
    """
    folder = Path(folder)
    write_whole(folder / HEADS, heads_table(folder.rglob("*.jsonl"), folder), private=True)
    return folder / HEADS


def read_heads(path: Path) -> dict[str, str]:
    """Return the head of each journal that a heads.csv names; raises JournalError where it is none."""
    heads: dict[str, str] = {}
    try:
        for row in csv.DictReader(io.StringIO(read_text(path, LONGEST_HEADS))):
            name, head = row["journal"], row["head"]
            if name in heads or not _HEAD.fullmatch(head or ""):
                raise JournalError(
                    f"{path} is no list of heads: it needs the columns journal, lines, head, and each journal once"
                )
            heads[name] = head
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise JournalError(f"{path} is no list of heads ({error}); restore it from a copy") from None
    return heads


def verify_study(
    folder: str | Path, heads: Mapping[str, str] | None = None
) -> tuple[list[Verification], list[Finding]]:
    """Return `verify_run` of every journal under a folder, and what is wrong with the folder itself.

    A journal that is named and not there is found, and one that is there and not named.

    Parameters
    ----------
    folder
        The folder of a study.
    heads
        Journal -> the published head to check it against; default the folder's heads.csv.

    Raises
    ------
    JournalError
        There is no journal.
    """
    folder = Path(folder)
    listed = folder / HEADS
    known = dict(heads) if heads is not None else read_heads(listed) if listed.is_file() else None
    journals = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.jsonl"))}
    begun = {
        name: path
        for name, path in journals.items()
        if name in (known or {}) or not path.is_file() or path.stat().st_size
    }
    if not begun:
        raise JournalError(f"no journal lies under {folder}; `genius-kit study` writes them to studies/NAME")
    found = []
    wrong = [Finding(0, "missing", f"{name} is gone; its head is listed") for name in known or {} if name not in begun]
    for name, path in begun.items():
        head = known.get(name) if known else None
        try:
            found.append(verify_run(path, head))
        except JournalError as error:
            wrong.append(Finding(0, "unreadable", str(error)))
            continue
        if known is not None and head is None and found[-1].head is not None:
            wrong.append(Finding(0, "unlisted", f"{name} is not listed; it was written after the heads, or put in"))
    return found, wrong


def verdict(verified: Verification) -> str:
    """Return one sentence: sound, altered (where first), or without a chain."""
    if verified.findings:
        first, more = verified.findings[0], len(verified.findings) - 1
        return f"ALTERED, {first}" + (f" (and {more} more)" if more else "")
    if verified.head is None:
        return "has no chain: it is of format 1, whose lines nothing vouches for"
    return f"sound, {verified.lines} lines, head {verified.head}"


def _lines(verified: Verification) -> Iterator[str]:
    state = "ALTERED" if verified.findings else "sound" if verified.is_sound else "no chain (format 1)"
    yield f"{verified.path}: {state}"
    for finding in verified.findings[:SHOWN]:
        yield f"  {finding}"
    if len(verified.findings) > SHOWN:
        yield f"  and {len(verified.findings) - SHOWN} more"
    yield _row("head", f"{verified.head or '-'} at line {verified.lines}")
    if verified.after_head is not None:
        later = f", {verified.after_head} lines were written after it" if verified.after_head else ", which ends it"
        yield _row("published", f"the head that was given is in it{later}")
    if verified.head and verified.unchained:
        yield _row("format 1", f"lines 1 to {verified.unchained} have no chain; line {verified.unchained + 1} vouches")
    yield _row("run", f"finished ({verified.reason})" if verified.is_finished else "unfinished: it resumes")
    yield from _made_from(verified)
    if verified.unanswered:
        lines = ", ".join(map(str, verified.unanswered))
        yield _row("unanswered", f"calls of lines {lines}: sent, no answer on record; they may have been paid twice")
    if verified.withheld:
        yield _row("withheld", f"words of {', '.join(verified.withheld)} were taken out for publication")


def _made_from(verified: Verification) -> Iterator[str]:
    for name, sum_ in verified.data.items():
        yield _row("data", f"{name}  SHA-256 {sum_}")
    if verified.code:
        yield _row("code", ", ".join(f"{name} {value}" for name, value in verified.code.items()))
    if prompt := mapping_or_empty(verified.settings.get("resolved")).get("prompt_sha256"):
        named = mapping_or_empty(verified.settings.get("settings")).get("prompt")
        yield _row("prompt", f"{named}  SHA-256 {prompt}")
    for model, replies in verified.models.items():
        yield _row("model", f"{model}: {replies} replies")
    if verified.models:
        price = verified.price
        yield _row("price", ", ".join(f"{key} {value}" for key, value in price.items()) if price else "none on record")
    for changed in verified.run.of("price_changed"):
        now = ", ".join(f"{key} {value}" for key, value in mapping_or_empty(changed.get("price")).items())
        yield _row("price", f"from {str(changed['time'])[:10]} on: {now or 'unknown'}; counted at the dearer of both")


def _row(name: str, text: str) -> str:
    return f"  {name:10s} {text}"
