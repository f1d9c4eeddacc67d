"""`genius-kit ctl`: pause, resume and stop runs from another terminal; and how a run ends at Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from genius_kit.errors import InvalidParameter
from genius_kit.method_names import stand_in_note
from genius_kit.runs.control import Asker, user_name
from genius_kit.runs.remote import COMMANDS

if TYPE_CHECKING:
    from genius_kit.journal import Run
    from genius_kit.runs.gate import Approver

ENDED_EARLY = 4
"""Exit code of a run that a person or a limit ended before its end; it resumes."""

ONLY_FALLBACKS = 5
"""Exit code of a run in which no reply of the model was taken."""

Approve = Annotated[bool, typer.Option("--approve", help="Ask on this terminal before each evaluation.")]
By = Annotated[str | None, typer.Option("--as", help="Who asks or decides, for the journal; else the user's name.")]


def ctl(
    run: Annotated[Path, typer.Argument(help="A journal, or a folder: all of its unfinished runs.")],
    command: Annotated[str, typer.Argument(help=f"{', '.join(COMMANDS)} or status.")],
    number: Annotated[int | None, typer.Argument(help="With budget: the evaluations in all.")] = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With status: print JSON.")] = False,
) -> None:
    """Tell a run that is under way elsewhere to pause, resume or stop, or give it another budget."""
    from genius_kit.runs import commanding

    if command == "status":
        if number is not None:
            raise InvalidParameter(f"status takes no number, {number} came")
        told = commanding.status(run)
        print(
            commanding.as_json(told) if as_json else "\n".join(f"{path}: {state}, {more}" for path, state, more in told)
        )
        return
    asker = Asker(by or user_name(), "ctl", socket.gethostname())
    for heard in commanding.command(run, command, number, asker=asker, reason=reason):
        print(f"{heard.journal}: {heard.answer}")


def terminal_approver(approve: bool, by: str | None) -> Approver | None:
    """Return who asks on the terminal, None where nobody is to be asked."""
    if not approve:
        if by is not None:
            raise InvalidParameter("--as says who approves: it goes with --approve")
        return None
    from genius_kit.runs.terminal_approval import TerminalApprover

    return TerminalApprover(by)


def tell_stand_in(models: Iterable[object]) -> None:
    """Say which of the models that were asked are none, where there is one."""
    note = stand_in_note(models)
    if note is not None:
        print(note)


def tell_ended_early(runs: list[Run]) -> None:
    """Say of each run that was ended before its end why, and what goes on; raises typer.Exit where there is one."""
    from genius_kit.runs.state import how_to_go_on, why_stopped

    early = [run for run in runs if not run.finished]
    for run in early:
        print(
            f"genius-kit: {run.path}: {why_stopped(run) or 'it was ended'}; to go on: {how_to_go_on(run)}",
            file=sys.stderr,
        )
    if early:
        raise typer.Exit(ENDED_EARLY)


def tell_only_fallbacks(runs: list[Run]) -> None:
    """Say of each run in which no reply was taken why not; raises typer.Exit where there is one."""
    found = [run for run in runs if run.only_fallbacks]
    for run in found:
        reasons = Counter(event["reason"] for event in run.of("rejected")).most_common()
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons)
        print(
            f"genius-kit: {run.path}: no reply of the model was taken, all {len(run.of('evaluation'))} evaluations are "
            f"random fallbacks; refused: {why}. It is no evidence about the model: look at its replies "
            f'(`gk.read_run(...).of("call")`) before you run it again',
            file=sys.stderr,
        )
    if found:
        raise typer.Exit(ONLY_FALLBACKS)


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


_received: list[int] = []


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _received.append(number)
    raise Terminated("SIGTERM")


@contextmanager
def ends_at_once(goes_on: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process with 130 or 143 and a word on what goes on; work under way is left.

    A journal bears an end at any point, so nothing has to be waited for.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if is_main else None
    try:
        yield
    except KeyboardInterrupt as interrupt:
        end_now(str(interrupt), goes_on)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def end_now(why: str, goes_on: str) -> NoReturn:
    """Say why the process ends and what goes on, and end it."""
    terminated = bool(_received)
    told = why if why not in ("", "SIGTERM") else f"ended by {'SIGTERM' if terminated else 'Ctrl-C'}; {goes_on}"
    sys.stdout.flush()
    print(f"genius-kit: {told}", file=sys.stderr, flush=True)
    os._exit(143 if terminated else 130)
