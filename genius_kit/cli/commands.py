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
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from genius_kit import errors
from genius_kit.texts import for_terminal, in_line, say
from genius_kit.version import __version__

if TYPE_CHECKING:
    import pandas as pd

START, SEARCH, STUDIES, RECORDS = "Start here", "Search", "Studies", "Records"
MEMORY, NOTEBOOKS, TRAINING = "What a model knows by heart", "Notebooks", "Training"

COMMANDS = {
    "doctor": ("data", START, "Check what is installed, the data, the key and the server."),
    "data": ("data", START, "Get and check the published benchmark files."),
    "replay": ("record", START, "Replay a published conversation, or redraw a bundle."),
    "run": ("run", SEARCH, "Search a benchmark and write one journal per run."),
    "resume": ("run", SEARCH, "Continue an unfinished run."),
    "ctl": ("run", SEARCH, "Pause, resume, stop or extend runs from another terminal."),
    "estimate": ("estimate", STUDIES, "Estimate what a run or a study costs, before it is sent."),
    "study": ("study", STUDIES, "Run a study file and print its summary and verdicts."),
    "slurm": ("study", STUDIES, "Print the script that runs a study as a Slurm job array."),
    "bundle": ("record", STUDIES, "Pack a study into an archive that `replay` redraws."),
    "memory": ("run", MEMORY, "Ask a model for the accuracies of a published table."),
    "benchmark": ("data", MEMORY, "Bring a table of your own, or make one that no model can have read."),
    "verify": ("record", RECORDS, "Check that a record is as it was written."),
    "audit": ("record", RECORDS, "Show what a run did, and check that it is in order."),
    "redact": ("record", RECORDS, "Copy a journal without its words, for publication."),
    "report": ("report", NOTEBOOKS, "Execute the notebooks and write HTML pages."),
    "lab": ("report", NOTEBOOKS, "Open JupyterLab on the notebooks."),
    "train": ("train", TRAINING, "Train one network."),
    "detect": ("train", TRAINING, "Train and evaluate a detector on a network."),
}
"""Each command with its module in this folder, its panel and its line in `genius-kit --help`, in the order of use."""

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
        listed = {
            name: TyperCommand(name, help=words, rich_help_panel=panel) for name, (_, panel, words) in COMMANDS.items()
        }
        super().__init__(**{**given, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name else None, rest


app = typer.Typer(cls=_Listed, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


def _print_version(asked: bool) -> None:
    if asked:
        say(f"genius-kit {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: genius-kit run nas-bench-201-cifar10 --budget 5")
def _genius_kit(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Neural architecture search by a language model: propose, evaluate, record, replay."""


def _warning_text(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"genius-kit: warning: {for_terminal(message)}\n"


def main() -> None:
    """Run the command; an error of this package is one message on stderr and an exit code."""
    warnings.formatwarning = _warning_text
    try:
        app()
    except errors.GeniusKitError as error:
        say(f"genius-kit: {error}", file=sys.stderr)
        usage, model = isinstance(error, _USAGE_ERRORS), isinstance(error, errors.ModelError)
        sys.exit(2 if usage else 3 if model else ENDED_EARLY if isinstance(error, errors.BudgetSpent) else 1)
    except OSError as error:  # a full disk, a folder without rights
        place = f"{error.filename}: " if error.filename else ""
        say(
            f"genius-kit: {place}{error.strerror or error}. What is in journals, checkpoints and finished files is "
            "safe; make room or correct the rights, then give the same command again: it goes on from there",
            file=sys.stderr,
        )
        sys.exit(1)


LEAST_WIDTH = 10
"""Columns that a narrow terminal leaves to the text of a table."""


def print_table(table: pd.DataFrame) -> None:
    """Print a frame that fits the terminal: text to the left, numbers to the right, "-" where there is nothing.

    Two blanks stand between columns, or one where that is what lets every cell stay in one line.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    cells = table.astype(object).where(table.notna(), None).map(_cell)
    widths = {name: max(map(len, [str(name), *cells[name]])) for name in table}
    blanks = 1 if 0 <= console.width - sum(widths.values()) - (len(widths) - 1) < len(widths) - 1 else 2
    shown = Table(box=None, pad_edge=False, padding=(0, blanks, 0, 0), header_style="bold")
    for name, longest in widths.items():
        is_number = bool(cells[name].str.match(r"[-–$<\d]").all())
        shown.add_column(
            Text(in_line(name)),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
            min_width=longest if is_number else min(longest, LEAST_WIDTH),
        )
    for row in cells.itertuples(index=False):
        shown.add_row(*map(Text, row))
    console.print(shown)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else in_line(value)


def tell_stand_in(models: Iterable[object]) -> None:
    """Say which of the models that were asked are none, where there is one."""
    from genius_kit.proposers.methods import stand_in_note

    note = stand_in_note(models)
    if note is not None:
        say(note)


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
        say(f"genius-kit: {told}", file=sys.stderr, flush=True)
        os._exit(143 if _terminations else 130)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
