"""The commands of the record: `genius-kit replay`, `verify`, `audit`, `redact` and `bundle`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from genius_kit.cli.commands import print_table
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal.redact import WORDS
from genius_kit.journal.redact import redact as write_redacted
from genius_kit.journal.verify import HEADS, verdict, verify_run, verify_study
from genius_kit.paper import paper_architecture
from genius_kit.reports import bundle as bundles
from genius_kit.runs.audit import audit_run
from genius_kit.runs.batch import replay_conversation
from genius_kit.texts import say

if TYPE_CHECKING:
    import pandas as pd

ALTERED, NO_JOURNAL = 1, 2

Journal = Annotated[Path, Argument(help="A journal.")]
Head = Annotated[str | None, Option(help="A head that was published before: 64 hexadecimal signs.")]

app = typer.Typer(rich_markup_mode="rich")


@app.command(epilog="Example: genius-kit replay 329M")
def replay(
    conversation: Annotated[
        str, Argument(help="A published conversation (its file, or 329M or 401M), or the bundle of a study.")
    ],
    strict: Annotated[bool, Option("--strict", help="Refuse a prompt that differs from the recorded one.")] = False,
    output: Annotated[
        Path | None, Option(help="Journal to write; none by default. Of a bundle: the folder to write.")
    ] = None,
) -> None:
    """Replay the search of a published conversation, or redraw a bundle: no key, no network."""
    path = Path(conversation)
    if path.is_file() and bundles.is_bundle(path):
        _replay_bundle(path, output or Path(path.name.split(".")[0]))
        return
    frame = replay_conversation(path, output, strict=strict).frame()
    shown = frame.assign(macs=frame["macs"] / 1e6)[["iteration", "key", "macs", "feedback", "rejections"]]
    names = {"iteration": "step", "key": "architecture", "macs": "MACs, M", "feedback": "%"}
    print_table(shown.rename(columns={**names, "rejections": "refused"}))
    say(f"\n{_winner(frame)}")


def _winner(frame: pd.DataFrame) -> str:
    """Return in words which architecture a replayed search found, and what the paper calls it."""
    best = frame.iloc[int(frame["feedback"].astype(float).argmax())]
    known = {"".join(map(str, paper_architecture(one))): one for one in ("GENIUS-329", "GENIUS-401")}
    called = f": the paper's {known[best['key']]}" if best["key"] in known else ""
    return f"best: {best['key']}\n{best['feedback']:.2f} %, step {best['iteration']} of {len(frame)}{called}"


def _replay_bundle(path: Path, output: Path) -> None:
    """Unpack and check a bundle, draw all of it again, and say which files are as they were packed."""
    done = bundles.replay_bundle(path, output)
    say(f"{done.folder}: {len(done.runs)} journals, all sound")
    for name in done.matched:
        say(f"the same   {name}")
    for name in done.differing:
        say(f"DIFFERENT  {name}")
    if done.missing is not None:
        say(f"genius-kit: nothing was drawn: {done.missing}", file=sys.stderr)
        raise typer.Exit(NO_JOURNAL)
    if done.differing:
        say("other versions draw other bytes: environment.txt names those that the bundle was drawn with")
        raise typer.Exit(ALTERED)


@app.command(epilog="Example: genius-kit verify studies/optimisers")
def verify(
    path: Annotated[Path, Argument(help="A journal, or a folder of a study.")],
    head: Head = None,
) -> None:
    """Say whether a record is as it was written, where it is not, and what it was made from.

    Exit code 0: sound; 1: altered; 2: not a journal, or without a chain.
    """
    if path.is_dir() and head is not None:
        raise InvalidParameter("--head goes with one journal; a study is checked against its heads.csv")
    try:
        code = _study(path) if path.is_dir() else _run(path, head)
    except JournalError as error:
        say(f"genius-kit: {error}", file=sys.stderr)
        code = NO_JOURNAL
    if code:
        raise typer.Exit(code)


def _run(path: Path, head: str | None) -> int:
    verified = verify_run(path, head)
    say(verified.report())
    return ALTERED if verified.findings else 0 if verified.is_sound else NO_JOURNAL


def _study(folder: Path) -> int:
    runs, wrong = verify_study(folder)
    for verified in runs:
        say(f"{verified.path.relative_to(folder).as_posix()}: {verdict(verified)}")
    for finding in wrong:
        say(f"{folder}: {finding}")
    sound = sum(verified.is_sound for verified in runs)
    listed = "against its heads.csv" if (folder / HEADS).is_file() else "without a heads.csv to check against"
    say(f"{sound} of {len(runs)} journals are sound, {listed}")
    if wrong or any(verified.findings for verified in runs):
        return ALTERED
    return 0 if sound == len(runs) else NO_JOURNAL


@app.command(epilog="Example: genius-kit audit runs/JOURNAL")
def audit(
    journal: Journal,
    head: Head = None,
    events: Annotated[bool, Option("--events", help="List every event too.")] = False,
) -> None:
    """Say what a run did: who approved what, what was spent of what, whether each proposal follows from what was asked.

    Exit code 0: in order; 1: it is not; 2: not a journal.
    """
    try:
        found = audit_run(journal, head)
    except JournalError as error:
        say(f"genius-kit: {error}", file=sys.stderr)
        raise typer.Exit(NO_JOURNAL) from None
    listed = found.events.assign(time=found.events["time"].str[11:19]).drop(columns="chain")
    tables = [*([listed] if events else []), found.asked_and_done, found.approvals, found.spending]
    for table in tables:
        if len(table):
            print_table(table)
            say()
    say(found.report())
    if not found.is_in_order:
        raise typer.Exit(ALTERED)


@app.command(epilog="Example: genius-kit redact runs/JOURNAL --output published.jsonl")
def redact(
    journal: Journal,
    output: Annotated[Path, Option(help="The copy to write.")],
    prompts: Annotated[bool, Option("--prompts", help="Withhold what the model was sent.")] = False,
    replies: Annotated[bool, Option("--replies", help="Withhold what the model wrote.")] = False,
    persons: Annotated[bool, Option("--persons", help="Withhold what a person wrote.")] = False,
) -> None:
    """Write a copy of a journal without words, for publication: its chain, head, results and figures are the same.

    Without --prompts, --replies or --persons all three are withheld; words that repeat withheld ones always are.
    """
    chosen = [whose for whose, wanted in zip(WORDS, (prompts, replies, persons), strict=True) if wanted]
    made = verify_run(write_redacted(journal, output, chosen or WORDS))
    if more := set(made.withheld) - set(chosen or WORDS):
        say(f"the words of {', '.join(sorted(more))} repeat them, and were withheld too")
    say(f"{made.path}: words withheld: {', '.join(made.withheld) or 'none were there'}; head {made.head}, as before")


@app.command(epilog="Example: genius-kit bundle studies/optimisers --output optimisers.tar.gz")
def bundle(
    study: Annotated[Path, Argument(help="The folder of a study: studies/NAME.")],
    output: Annotated[Path, Option(help="The archive to write: NAME.tar.gz, or NAME.tar.xz, which is smaller.")],
    withhold: Annotated[
        str | None, Option(help="Words to leave out of the journals: prompts, replies, persons, commas between.")
    ] = None,
) -> None:
    """Pack a study into one archive from which `genius-kit replay` draws everything again, offline."""
    whose = {"prompts": "prompt", "replies": "reply", "persons": "person"}
    named = [name.strip() for name in (withhold or "").split(",") if name.strip()]
    if unknown := [name for name in named if name not in whose]:
        raise InvalidParameter(f"--withhold must be some of {', '.join(whose)}, got {unknown[0]!r}")
    made = bundles.bundle(study, output, [whose[name] for name in named])
    say(f"{made}: {made.stat().st_size / 1e6:.2f} MB; `genius-kit replay {made} --output DIR` draws it again")
