"""Asking a person on the terminal about each proposal: the approver of `genius-kit run --approve`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from genius_kit.errors import GeniusKitError
from genius_kit.runs.gate import Request
from genius_kit.runs.control import Decision, user_name

REPLY_LINES, LINE_CHARACTERS = 8, 160
KEYS = {"a": "approve", "e": "edit", "r": "reject", "q": "end"}
_ONE_AT_A_TIME = threading.Lock()  # runs side by side share the terminal


class TerminalApprover:
    """Asks about one proposal at a time; without a terminal, or when it is closed, nobody decides, which denies."""

    def __init__(
        self,
        by: str | None = None,
        read: Callable[[], str] | None = None,
        write: Callable[[str], None] | None = None,
    ) -> None:
        """`by` is who decides, by default the user. `read` returns a line, "" at the end; `write` takes text."""
        self._by = by or user_name()
        self._has_terminal = read is not None or sys.stdin.isatty()
        self._read = read or sys.stdin.readline
        self._write = write or _write

    def __call__(self, request: Request) -> Decision | None:
        """Return the decision of the person at the terminal, None where there is none."""
        if not self._has_terminal:
            return None
        with _ONE_AT_A_TIME:
            self._write(described(request))
            try:
                return self._decision(request)
            except EOFError:
                self._write("\nno answer: nothing is evaluated\n")
                return None

    def _decision(self, request: Request) -> Decision:
        while True:
            key = self._line("[a]pprove, [e]dit, [r]eject, [q] end the run? ").lower()[:1]
            if key not in KEYS:
                continue
            design = self._line("evaluate instead: ") if key == "e" else None
            try:
                request.check(Decision(KEYS[key], design))
            except GeniusKitError as error:
                self._write(f"{error}\n")
                continue
            reason = self._line("reason (may be empty): ") if key != "a" else ""
            return Decision(KEYS[key], design, reason, self._by, "terminal")

    def _line(self, question: str) -> str:
        self._write(question)
        line = self._read()
        if not line:
            raise EOFError
        return printable(line).strip()


def described(request: Request) -> str:
    """Return what a person needs to know of a proposal: the design, its cost, the results so far, the reply's end."""
    cost = request.cost
    best = [trial.evaluation.feedback for trial in request.trials if trial.evaluation.feedback is not None]
    told = [
        f"\n{request.run}, design {request.iteration}: {request.text}",
        f"  {cost.macs:,} MACs, {cost.parameters:,} parameters" if cost else "  MACs and parameters are not known",
        f"  {len(request.trials)} evaluated so far{f', best {max(best):.2f} %' if best else ''}; {request.why}",
    ]
    lines = [printable(line)[:LINE_CHARACTERS] for line in (request.reply or "").strip().splitlines()]
    told += [f"  | {line}" for line in lines[-REPLY_LINES:]]
    return "\n".join(told) + "\n"


def printable(text: str) -> str:
    """Return text without what would steer the terminal; a model may have written it."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
