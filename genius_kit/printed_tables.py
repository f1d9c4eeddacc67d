"""A table as it is printed: LaTeX with booktabs, and Markdown, the best in bold, n and the test in the note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "–"
"""What stands for a value that is not known: never zero."""

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "×": r"$\times$", "β": r"$\beta$",
}  # fmt: skip
_MARKDOWN = "\\`*_|<>[]~#"


def latex_text(text: str) -> str:
    """Return text fit for LaTeX: its special signs escaped, a line break a space."""
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def markdown_text(text: str) -> str:
    """Return text fit for a cell of a Markdown table: its special signs escaped, a line break a space."""
    return "".join(f"\\{sign}" if sign in _MARKDOWN else sign for sign in " ".join(text.split()))


@dataclass(frozen=True, repr=False)
class PrintedTable:
    """`rows` are cells of plain text; `bold` holds (row, column) from 0; `words` columns on the left are text.

    `breaks` are the rows before which a rule stands. `data` is the frame behind, `sources` name the files that it comes
    from. Notebooks show the Markdown.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
    data: pd.DataFrame
    bold: frozenset[tuple[int, int]] = frozenset()
    words: int = 1
    breaks: frozenset[int] = frozenset()
    sources: tuple[str, ...] = ()

    def latex(self) -> str:
        """Return a `table` environment that needs the package booktabs; the label is made of the caption."""
        columns = "l" * self.words + "r" * (len(self.header) - self.words)
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{latex_text(self.caption)}}}",
            f"  \\label{{tab:{_label(self.caption)}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            "    \\toprule",
            f"    {' & '.join(map(latex_text, self.header))} \\\\",
            "    \\midrule",
        ]
        for place, cells in enumerate(self._cells(latex_text, "\\textbf{", "}")):
            if place in self.breaks:
                lines.append("    \\midrule")
            lines.append(f"    {' & '.join(cells)} \\\\")
        lines += ["    \\bottomrule", "  \\end{tabular}", f"  \\par\\smallskip\\footnotesize {latex_text(self.note)}"]
        return "\n".join([*lines, "\\end{table}", ""])

    def markdown(self) -> str:
        """Return a Markdown table with the caption above and the note below."""
        numbers = ["---"] * self.words + ["---:"] * (len(self.header) - self.words)
        table = [list(map(markdown_text, self.header)), numbers, *self._cells(markdown_text, "**", "**")]
        lines = [f"| {' | '.join(cells)} |" for cells in table]
        return "\n".join([f"**{markdown_text(self.caption)}**", "", *lines, "", markdown_text(self.note), ""])

    def __repr__(self) -> str:
        return f"{self.caption} ({len(self.rows)} rows)"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _cells(self, write: object, before: str, after: str) -> list[list[str]]:
        assert callable(write)
        return [
            [f"{before}{write(cell)}{after}" if (y, x) in self.bold else write(cell) for x, cell in enumerate(cells)]
            for y, cells in enumerate(self.rows)
        ]


def number(value: object, digits: int = 2) -> str:
    """Return a number with so many decimals and thousands separated, `UNKNOWN` for none."""
    return UNKNOWN if not is_known(value) else f"{float(value):,.{digits}f}"  # type: ignore[arg-type]


def spread(mean: object, deviation: object, digits: int = 2) -> str:
    """Return "mean ± deviation", the mean alone where there is no deviation."""
    return number(mean, digits) + (f" ± {number(deviation, digits)}" if is_known(deviation) else "")


def span(mean: object, low: object, high: object, digits: int = 2) -> str:
    """Return "mean (low–high)", the mean alone where there is no interval."""
    return number(mean, digits) + (f" ({number(low, digits)}–{number(high, digits)})" if is_known(low) else "")


def p_text(value: object) -> str:
    """Return a p-value with three decimals, smaller ones as a bound, `UNKNOWN` for none."""
    return number(value, 3) if not is_known(value) or float(value) >= 0.001 else "< 0.001"  # type: ignore[arg-type]


def is_known(value: object) -> bool:
    """Return whether a value is a number, not None and not NaN."""
    return isinstance(value, int | float) and value == value


def best_of(values: Sequence[object], lowest: bool, digits: int = 2) -> Iterable[int]:
    """Return the places of the best value as it is printed; equals are all best, unknown ones never."""
    known = {place: round(float(value), digits) for place, value in enumerate(values) if is_known(value)}  # type: ignore[arg-type]
    if not known:
        return []
    best = min(known.values()) if lowest else max(known.values())
    return [place for place, value in known.items() if value == best]


def _label(caption: str) -> str:
    words = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in caption.lower()).split()
    return "-".join(words[:6])
