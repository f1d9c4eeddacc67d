"""Text made fit for where it goes: a terminal, a CSV, LaTeX, Markdown, a label of a figure, HTML; numbers as printed.

A name of a model, an arm or a run may hold anything. Each writer hands it to the function of its place, so that it is
shown and does nothing: it steers no terminal, is no formula, command or tag, and does not change the order of signs.
"""

from __future__ import annotations

import html
import re
import sys
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_STEERING = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_FORMULA = re.compile(r"[=+\-@\t\r]")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "×": r"$\times$", "β": r"$\beta$",
}  # fmt: skip
_MARKDOWN = "\\`*_|<>[]~#$"

UNKNOWN = "–"
"""What stands for a value that is not known: never zero."""


def for_terminal(text: object) -> str:
    """Return text without what steers a terminal or turns the order of its signs; lines and tabs stay."""
    shown = _STEERING.sub("", str(text))
    if shown.isprintable():
        return shown
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in shown)


def in_line(text: object, most: int | None = None) -> str:
    """Return text as one line that a terminal may show, with an ellipsis where it is longer than `most` signs."""
    line = " ".join(for_terminal(text).split())
    return line if most is None or len(line) <= most else f"{line[: most - 1]}…"


def for_html(text: object) -> str:
    """Return text fit for an HTML page, between tags and in attributes."""
    return html.escape(for_terminal(text))


def for_latex(text: object) -> str:
    """Return text fit for LaTeX: its special signs escaped, a line break a space."""
    return "".join(_LATEX.get(sign, sign) for sign in in_line(text))


def for_markdown(text: object) -> str:
    """Return text fit for a cell of a Markdown table: its special signs escaped, a line break a space."""
    return "".join(f"\\{sign}" if sign in _MARKDOWN else sign for sign in in_line(text))


def for_figure(text: object) -> str:
    """Return text fit for a label of a figure, where a pair of $ would begin a formula; lines stay."""
    return re.sub(r"(?<!\\)\$", r"\\$", for_terminal(text).replace("\t", " "))


def for_csv(text: str) -> str:
    """Return text that no program for tables takes for a formula: one that begins like it gets a ' before it."""
    shown = for_terminal(text)
    return f"'{shown}" if _FORMULA.match(shown) and not _is_number(shown) else shown


def csv_of(frame: pd.DataFrame) -> str:
    """Return a frame as CSV without its index, each text and each name of a column as `for_csv` makes it."""
    import pandas as pd

    safe = frame.copy()
    for name, column in frame.items():
        if column.dtype.kind == "O":
            values = [for_csv(value) if isinstance(value, str) else value for value in column]
            safe[name] = pd.Series(values, index=column.index, dtype=object)
    return str(safe.rename(columns=lambda name: for_csv(str(name))).to_csv(index=False, lineterminator="\n"))


def say(*words: object, sep: str = " ", end: str = "\n", file: IO[str] | None = None, flush: bool = False) -> None:
    """Print words as `for_terminal` makes them; nothing in the package prints in another way."""
    out: Any = file or sys.stdout
    print(for_terminal(sep.join(map(str, words))), end=end, file=out, flush=flush)


def number(value: object, digits: int = 2) -> str:
    """Return a number with so many decimals and thousands separated, `UNKNOWN` for none."""
    return UNKNOWN if not is_known(value) else f"{float(value):,.{digits}f}"  # type: ignore[arg-type]


def spread(mean: object, deviation: object, digits: int = 2) -> str:
    """Return "mean ± deviation", the mean alone where there is no deviation."""
    return number(mean, digits) + (f" ± {number(deviation, digits)}" if is_known(deviation) else "")


def span(mean: object, low: object, high: object, digits: int = 2) -> str:
    """Return "mean (low–high)", "mean (low to high)" below zero, the mean alone where there is no interval."""
    if not is_known(low):
        return number(mean, digits)
    between = " to " if float(low) < 0 else "–"  # type: ignore[arg-type]
    return f"{number(mean, digits)} ({number(low, digits)}{between}{number(high, digits)})"


def unit_sign(unit: str) -> str:
    """Return the unit of a score as an axis or a heading has it: "%" for percent, any other as it is called."""
    return "%" if unit == "percent" else unit


def p_text(value: object) -> str:
    """Return a p-value with three decimals, smaller ones as a bound, `UNKNOWN` for none."""
    return number(value, 3) if not is_known(value) or float(value) >= 0.001 else "< 0.001"  # type: ignore[arg-type]


def is_known(value: object) -> bool:
    """Return whether a value is a number, not None and not NaN."""
    return isinstance(value, int | float) and value == value


def ratio_text(value: float) -> str:
    """Return a positive ratio to about three digits; far ends as a bound."""
    if value < 0.001:
        return "< 0.001"
    return "> 1,000" if value > 1000 else f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
