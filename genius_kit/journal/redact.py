"""A copy of a journal for publication: words are withheld, what vouches for it stays."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from pathlib import Path

from genius_kit import files
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.lines import read_content, read_lines, scan

WORDS = ("prompt", "reply", "person")
"""Whose words can be withheld."""


def redact(journal: str | Path, output: str | Path, whose: Collection[str] = WORDS) -> Path:
    """Write a copy of a journal without some people's words, and return its path.

    Where others repeat them (a prompt that shows the replies before it), the words of those are withheld too. Its chain
    and head are those of the original, its frame, results and figures too; it cannot be resumed or replayed.

    Parameters
    ----------
    journal
        The journal.
    output
        The file to write.
    whose
        Whose words are withheld: "prompt", "reply", "person".

    Raises
    ------
    JournalError
        The journal is not as it was written, or its words have no salt (format 1).
    InvalidParameter
        The output is there already.
    """
    journal, output = Path(journal), Path(output)
    if output.exists():
        raise InvalidParameter(f"{output} is there; name a file that is not: no record is written over")
    content = read_content(journal)
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(output, redacted(journal, content, whose), private=True)
    return output


def redacted(journal: Path, content: bytes, whose: Collection[str]) -> bytes:
    """Return the content of the copy; a torn last line is left out. For errors see `redact`."""
    unknown = set(whose) - set(WORDS)
    if unknown or not whose:
        raise InvalidParameter(f"only {WORDS} can be withheld, got {', '.join(sorted(unknown)) or 'nothing'}")
    whose = spread(read_lines(journal, io.BytesIO(content), checked=True).events, whose)
    lines = []
    for line in scan(journal, io.BytesIO(content)):
        if "chain" in line.event:
            lines.append(chain.line(chain.withhold(line.event, *whose)))
        elif chain.words(line.event) & whose:
            raise _without_salt(journal, line.number)
        else:
            lines.append(line.content)
    return b"".join(line + b"\n" for line in lines)


def spread(events: Iterable[Event], whose: Collection[str]) -> set[str]:
    """Return `whose`, and who else's words hold some of theirs anywhere in a run."""
    stands: dict[str, set[str]] = {}
    theirs: dict[str, set[str]] = {}
    for event in events:
        for kind, text, own in chain.spoken(event):
            stands.setdefault(kind, set()).add(text)
            if own:
                theirs.setdefault(kind, set()).add(text)
    taken = set(whose)
    while more := {kind for kind in stands.keys() - taken if _holds(stands[kind], taken, theirs)}:
        taken |= more
    return taken


def _holds(texts: set[str], taken: set[str], theirs: dict[str, set[str]]) -> bool:
    everything = "\0".join(texts)
    return any(text in everything for kind in taken for text in theirs.get(kind, ()))


def _without_salt(journal: Path, number: int) -> JournalError:
    """Return the error for words that cannot be taken out of a journal of the first format."""
    return JournalError(
        f"{journal}: the words of line {number} cannot be withheld: it is of format 1, which has no chain that would "
        "still hold. Publish it as it is, or run the search again with this version"
    )
