"""The commands of `genius-kit`, each loaded from its module when it is asked for, and how they end.

Exit codes: 0 done, 1 failed, 2 wrong usage or data missing, 3 the model could not be reached (the run resumes), 4 a run
was ended before its end by a person or a limit (it resumes), 5 no reply of the model was taken in a run, 130 Ctrl-C,
143 SIGTERM.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from genius_kit import errors

COMMANDS = {
    "run": ("run", "Search a benchmark: one journal a run."),
    "resume": ("run", "Continue an unfinished run."),
    "ctl": ("run", "Pause, resume or stop runs that are under way elsewhere."),
    "memory": ("run", "Ask a model for the accuracies of a published table."),
    "study": ("study", "Run what a study file says, and print its summary."),
    "slurm": ("study", "Print the script that runs a study as a Slurm job array."),
    "estimate": ("estimate", "Say what a run or a study will take, before it is sent."),
    "replay": ("record", "Run a published conversation or draw a bundle again."),
    "verify": ("record", "Say whether a record is as it was written."),
    "audit": ("record", "Say what a run did, and whether that is in order."),
    "redact": ("record", "Copy a journal without words, for publication."),
    "bundle": ("record", "Pack a study into an archive that `replay` draws again."),
    "report": ("report", "Execute the notebooks, and write HTML pages."),
    "lab": ("report", "Open JupyterLab on the notebooks."),
    "train": ("train", "Train one network."),
    "detect": ("train", "Train and measure a detector on a network."),
    "data": ("data", "Get and check the published benchmark files."),
    "benchmark": ("data", "Make a benchmark that no model can have read of."),
    "doctor": ("data", "Say what is installed, and which data and key are there."),
}
"""Each command with its module in this folder and its line in `genius-kit --help`."""

ENDED_EARLY, ONLY_FALLBACKS = 4, 5
"""Exit codes of a run that was ended before its end, and of one in which no reply of the model was taken."""

_USAGE_ERRORS = (
    errors.DataMissing,
    errors.ExtraMissing,
    errors.UnknownName,
    errors.InvalidParameter,
    errors.InvalidArchitecture,
)


def loaded(name: str) -> Any:
    """Return the command called `name`, with its options."""
    module = importlib.import_module(f"genius_kit.cli.{COMMANDS[name][0]}")
    return get_group(module.app).commands[name]


class _Listed(TyperGroup):
    """The list of the commands: the module of one is imported when it is asked for."""

    def __init__(self, **given: Any) -> None:
        listed = {name: TyperCommand(name, help=words) for name, (_, words) in COMMANDS.items()}
        super().__init__(**{**given, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name else None, rest


app = typer.Typer(cls=_Listed, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def _genius_kit() -> None:
    """Neural architecture search by a language model: propose, evaluate, record, replay."""


def main() -> None:
    """Run the command; an error of this package is one message on stderr and an exit code."""
    try:
        app()
    except errors.GeniusKitError as error:
        print(f"genius-kit: {error}", file=sys.stderr)
        usage, model = isinstance(error, _USAGE_ERRORS), isinstance(error, errors.ModelError)
        sys.exit(2 if usage else 3 if model else ENDED_EARLY if isinstance(error, errors.BudgetSpent) else 1)
    except OSError as error:  # a full disk, a folder without rights
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"genius-kit: {place}{error.strerror or error}. What is in journals, checkpoints and finished files is "
            "safe; make room or correct the rights, then give the same command again: it goes on from there",
            file=sys.stderr,
        )
        sys.exit(1)


def tell_stand_in(models: Iterable[object]) -> None:
    """Say which of the models that were asked are none, where there is one."""
    from genius_kit.proposers.methods import stand_in_note

    note = stand_in_note(models)
    if note is not None:
        print(note)


_terminations: list[int] = []


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _terminations.append(number)
    raise KeyboardInterrupt("SIGTERM")


@contextmanager
def ends_at_once(goes_on: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process with 130 or 143 and a word on what goes on; work under way is left.

    A journal resumes after any line, so nothing has to be waited for.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if is_main else None
    try:
        yield
    except KeyboardInterrupt as interrupt:
        by, why = "SIGTERM" if _terminations else "Ctrl-C", str(interrupt)
        sys.stdout.flush()
        told = f"ended by {by}; {goes_on}" if why in ("", "SIGTERM") else why
        print(f"genius-kit: {told}", file=sys.stderr, flush=True)
        os._exit(143 if _terminations else 130)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
