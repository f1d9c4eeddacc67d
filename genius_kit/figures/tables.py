"""Tables as they are printed, LaTeX with booktabs and Markdown: of any frame, of a study, ours beside the paper's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import title_of
from genius_kit.errors import InvalidParameter
from genius_kit.paper import NOT_MEASURED, SOURCE, TITLES, ours_beside_paper, paper_label, paper_methods, paper_table
from genius_kit.proposers.methods import distinct, shown_model, shown_name, with_names
from genius_kit.runs.frames import Runs, frames_of, middle_rank, run_table
from genius_kit.runs.provenance import PAPER_TABLES
from genius_kit.stats.paired import LEAST_PAIRS, holm_of, permutation_p
from genius_kit.texts import UNKNOWN, for_latex, for_markdown, is_known, number, p_text, span, spread, unit_sign
from genius_kit.verdicts.base import counts_text

if TYPE_CHECKING:
    import pandas as pd


STAND_IN_NOTE = " The stand-in is a fixed rule, not a language model."
ONCE_NOTE = " Searches that are all identical count once, as n = 1."

_WORDS = {
    "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16 120": "ImageNet16-120", "flops": "FLOPs", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "imagenet": "ImageNet", "top1": "top-1", "top5": "top-5", "millions": "(millions)",
    "percent": "(%)", "gpu days": "(GPU days)", "mean": "(%)",
}  # fmt: skip
_HEADINGS = {
    "accuracy": "accuracy (%)", "best_accuracy": "best accuracy (%)", "cost": "cost (USD)",
    "cost_a_run": "cost per run (USD)", "distinct": "different first architectures", "entropy": "entropy (bits)",
    "feedback": "accuracy (%)", "first_designs": "same first architecture", "first_words": "same first words",
    "key": "architecture", "latency": "latency (ms)", "macs": "MACs", "mean_rank_plain": "mean rank, reference",
    "median": "median (ms)", "p10": "10th percentile (ms)", "p90": "90th percentile (ms)",
    "p_corrected": "p, corrected", "p_value": "p", "regret": "regret (score's unit)", "sd": "SD",
    "sd_rank": "SD of rank", "sha256": "SHA-256", "share": "share (%)", "template_sha256": "SHA-256 of the template",
    "kendall": "Kendall", "spearman": "Spearman", "test_accuracy": "test accuracy (%)", "time": "time (UTC)",
    "top_percent": "top %", "validation_accuracy": "validation accuracy (%)",
}  # fmt: skip
_MILLISECONDS = ("latency", "median", "p10", "p90")
"""Columns in seconds that are printed in milliseconds, as the figures draw them."""

_WORD = re.compile(r"^[^\W\d_]|[^\W\d_]{3}")
_HASH, _TIME = (
    re.compile("([0-9a-f]{12})[0-9a-f]{28,}"),
    re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?\+00:00"),
)


@dataclass(frozen=True, repr=False)
class PrintedTable:
    """A table as a paper prints it; notebooks show the Markdown.

    A further column is text where most of its cells hold a word.

    Parameters
    ----------
    caption
        Text above the table.
    header
        One title per column.
    rows
        Cells of plain text.
    note
        Text below the table.
    data
        The frame behind it.
    bold
        Pairs (row, column) from 0 that are set in bold.
    words
        How many columns on the left are text.
    breaks
        Rows before which a rule stands.
    sources
        Names of the data files behind it.
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
        columns = "".join("l" if is_text else "r" for is_text in self._texts())
        label = "-".join(re.findall("[a-z0-9]+", self.caption.lower())[:6])
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{for_latex(self.caption)}}}",
            f"  \\label{{tab:{label}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            "    \\toprule",
            f"    {' & '.join(map(for_latex, self.header))} \\\\",
            "    \\midrule",
        ]
        for place, cells in enumerate(self._cells(for_latex, "\\textbf{", "}")):
            if place in self.breaks:
                lines.append("    \\midrule")
            lines.append(f"    {' & '.join(cells)} \\\\")
        lines += ["    \\bottomrule", "  \\end{tabular}", f"  \\par\\smallskip\\footnotesize {for_latex(self.note)}"]
        return "\n".join([*lines, "\\end{table}", ""])

    def markdown(self) -> str:
        """Return a Markdown table with the caption above and the note below."""
        sides = [":---" if is_text else "---:" for is_text in self._texts()]
        table = [list(map(for_markdown, self.header)), sides, *self._cells(for_markdown, "**", "**")]
        lines = [f"| {' | '.join(cells)} |" for cells in table]
        above = [f"**{for_markdown(self.caption)}**", ""] if self.caption else []
        return "\n".join([*above, *lines, "", for_markdown(self.note), ""])

    def __repr__(self) -> str:
        return f"{self.caption} ({len(self.rows)} rows)"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _texts(self) -> list[bool]:
        """Return of each column whether it is text, which stands at the left."""
        columns = [[cell for cell in column if cell not in ("", UNKNOWN)] for column in zip(*self.rows, strict=True)]
        wordy = [2 * sum(map(bool, map(_WORD.search, cells))) > len(cells) for cells in columns]
        return [place < self.words or any(wordy[place : place + 1]) for place in range(len(self.header))]

    def _cells(self, write: Callable[[str], str], before: str, after: str) -> list[list[str]]:
        return [
            [f"{before}{write(cell)}{after}" if (y, x) in self.bold else write(cell) for x, cell in enumerate(cells)]
            for y, cells in enumerate(self.rows)
        ]


def frame_table(rows: pd.DataFrame | Iterable[Mapping[str, Any]], caption: str = "", note: str = "") -> PrintedTable:
    """Return any frame, or rows of cells by column, as a reader's table: headings in words, "–" for what is not known.

    A column with its `_std` is one "mean ± SD", one with its `_low` and `_high` (or with `low` and `high` after it) has
    its 95 % interval; p-values are bounds below 0.001. A named index is columns, whose repeated values are left out; an
    index without a name is not shown. A table without rows says so.

    Parameters
    ----------
    rows
        A frame, or mappings of column to cell.
    caption, note
        Texts above and below the table.
    """
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    levels = [name for name in frame.index.names if name is not None]
    data = frame.reset_index() if levels else frame.reset_index(drop=True)
    shown: dict[str, list[str]] = {}
    for place, column in enumerate(names := list(map(str, data.columns))):
        if _has_partner(column, names):
            continue
        ends = _ends(place, names)
        heading = _HEADINGS.get(column) or title_of(column).replace("_", " ")
        shown[f"{heading} (95 %)" if ends else heading] = _column(data.set_axis(names, axis=1), column, ends)
    cells = list(zip(*shown.values(), strict=True))
    leading = len(levels[:-1])
    blank = [next((x for x in range(leading) if row[x] != before[x]), leading) for before, row in pairwise(cells)]
    told = [("",) * same + row[same:] for same, row in zip([0, *blank][: len(cells)], cells, strict=True)]
    words = int(bool(names) and data.dtypes.iloc[0].kind not in "iufb")
    return PrintedTable(
        caption, tuple(shown), tuple(told), note if told else f"No row. {note}".strip(), data, words=words
    )


def _has_partner(column: str, names: Sequence[str]) -> bool:
    """Return whether a column is the deviation or an end of the interval of another, which shows it."""
    if column in ("low", "high"):
        return "low" in names[1:]
    return any(column.removesuffix(end) in names for end in ("_std", "_low", "_high") if column.endswith(end))


def _ends(place: int, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns of the interval of a column, None where it has none."""
    column = names[place]
    if f"{column}_low" in names:
        return f"{column}_low", f"{column}_high"
    return ("low", "high") if names[place + 1 : place + 2] == ["low"] else None


def _column(data: pd.DataFrame, column: str, ends: tuple[str, str] | None) -> list[str]:
    """Return the cells of a column as text, numbers all to the same decimals."""
    scale = 1_000 if column in _MILLISECONDS else 1
    values = [_plain(value, scale) for value in data[column].tolist()]
    if column == "p" or column.startswith("p_"):
        return [p_text(value) for value in values]
    known = [abs(float(value)) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    is_whole = all(value == int(value) for value in known)
    most = max(known, default=0.0) or 1.0
    digits = 0 if is_whole and not ends else 1 if most >= 100 else 2 if most >= 1 else 2 - math.floor(math.log10(most))
    others = [
        [_plain(value, scale) for value in data[name].tolist()] for name in ends or [f"{column}_std"] if name in data
    ]
    write: Callable[..., str] = span if ends else spread
    return [
        write(value, *more, digits) if others and is_known(value) else _cell(value, digits)
        for value, *more in zip(values, *others, strict=True)
    ]


def _cell(value: object, digits: int) -> str:
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value, digits)
    return _TIME.sub(r"\1 \2", _HASH.sub(r"\1…", shown_model(title_of(str(value)))))


def _plain(value: Any, scale: int = 1) -> Any:
    """Return a value of a frame as Python has it, a number times `scale`, None where it is missing."""
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    return plain * scale if scale != 1 and is_known(plain) else plain


def best_of(values: Sequence[object], lowest: bool, digits: int = 2) -> Iterable[int]:
    """Return the places of the best value as it is printed; equals are all best, unknown ones never."""
    known = {place: round(float(value), digits) for place, value in enumerate(values) if is_known(value)}  # type: ignore[arg-type]
    if not known:
        return []
    best = min(known.values()) if lowest else max(known.values())
    return [place for place, value in known.items() if value == best]


def comparison_table(benchmark: Any, runs: Runs) -> PrintedTable:
    """Return `ours_beside_paper` as a printed table: n, best accuracy, rank, top %, and a test against the paper.

    The searches of a fixed rule count once (see `fixed_rules`): it has no spread and is never the best mean, in bold.
    The test, where both have two searches or more: permutations of the logarithms of the final ranks between a method
    and the paper's trials at temperature 0, two-sided, corrected by Holm.

    Parameters
    ----------
    benchmark
        The table that was searched.
    runs
        Name of a method -> its runs.
    """
    frame = ours_beside_paper(benchmark, runs)
    reference = paper_label(0)
    every = {**paper_methods(benchmark), **runs}
    data = frame.assign(p_holm=np.array(_against(reference, every), dtype=float))
    tested = "test_accuracy" in frame
    told = run_table(every)
    sources = told["source"].dropna().unique() if "source" in told else ()
    unit = unit_sign(benchmark.unit)
    header = ["method", "n", "evaluations", f"best {benchmark.feedback_name} ({unit})", "rank", "top %"]
    measures = [("best_accuracy", False, 3), ("rank", True, 4), ("top_percent", True, 5)]
    if tested:
        header = [*header, "test accuracy (%)" if unit == "%" else f"test score ({unit})"]
        measures = [*measures, ("test_accuracy", False, 6)]
    has_tests = data["p_holm"].notna().any()
    rows = []
    for row in data.to_dict("records"):
        cells = [
            row["method"], str(row["runs"]), str(row["iterations"]),
            spread(row["best_accuracy"], row.get("best_accuracy_std")),
            spread(row["rank"], row.get("rank_std"), 1), number(row["top_percent"]),
        ]  # fmt: skip
        cells += [spread(row["test_accuracy"], row.get("test_accuracy_std"))] if tested else []
        rows.append((*cells, *([p_text(row["p_holm"])] if has_tests else [])))
    digits = {"rank": 1}
    bold = {
        (place, column)
        for name, lowest, column in measures
        for place in best_of(data[name].where(data["runs"] > 1).tolist(), lowest, digits.get(name, 2))
    }
    beside = reference in every
    test = " No test: that takes two searches of a method and of the paper at temperature 0." if beside else ""
    if has_tests:
        test = f" p: two-sided permutation test of the logarithms of final ranks against “{reference}”, Holm-corrected."
    note = (
        f"Mean ± sample standard deviation over n searches; rank 1 is best of {benchmark.count:,}, tied ranks "
        f"count as the middle of their range. Bold: the best mean of two searches or more.{test}"
        f"{_rules(data['method'], data['runs'])}"
    )
    return PrintedTable(
        caption=f"{benchmark.title}: {f'ours beside the paper ({SOURCE})' if beside else 'best found by each search'}",
        header=(*header, *(["p"] if has_tests else [])),
        rows=tuple(rows),
        note=note,
        data=data,
        bold=frozenset(bold),
        sources=tuple(map(str, sources)),
    )


def _against(reference: str, runs: Runs) -> list[float | None]:
    """Return the corrected p-value of each method's final ranks against the reference's, None where it has none."""
    if reference not in runs:
        return [None] * len(runs)
    ranks = {
        name: [float(middle_rank(one).iloc[int(one["feedback"].astype(float).argmax())]) for one in distinct(frames)]
        for name, frames in frames_of(runs).items()
    }
    corrected = holm_of(
        {
            name: _unpaired_p(some, ranks[reference])
            for name, some in ranks.items()
            if name != reference and min(len(some), len(ranks[reference])) >= LEAST_PAIRS
        }
    )
    return [corrected.get(name) for name in runs]


def _unpaired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of equal mean logarithms of two samples: exact, or of 9,999 permutations."""

    def difference(ours: Any, theirs: Any, axis: int) -> Any:
        return np.mean(ours, axis=axis) - np.mean(theirs, axis=axis)

    return permutation_p((np.log(first), np.log(second)), difference, "independent")


def study_table(summary: pd.DataFrame) -> PrintedTable:
    """Return `studies.summary` as a printed table, one block per benchmark and budget.

    The p-values are corrected by Holm over the arms of a block.

    Parameters
    ----------
    summary
        Frame of `studies.summary`.

    Raises
    ------
    InvalidParameter
        There is no row to print.
    """
    if summary.empty:
        raise InvalidParameter("the summary has no row: no run of the study is finished; run it again to resume it")
    told = [name for name in ("model", "prompt") if summary[name].nunique() > 1]
    data = with_names(summary.reset_index(drop=True))
    blocks = [list(group.index) for _, group in data.groupby(["benchmark", "budget"], sort=False)]
    data = data.take([int(str(row)) for block in blocks for row in block]).reset_index(drop=True)
    starts = [sum(map(len, blocks[:place])) for place in range(len(blocks) + 1)]
    corrected: list[float | None] = []
    bold: set[tuple[int, int]] = set()
    column = 3 + len(told)
    for first, last in pairwise(starts):
        known = holm_of(dict(enumerate(data["p_value"].tolist()[first:last])))
        corrected += [known.get(place) for place in range(last - first)]
        means = data["mean_rank"].where(data["n"] > 1).tolist()
        bold |= {(first + place, column) for place in best_of(means[first:last], True, 1)}
    data = data.assign(p_holm=np.array(corrected, dtype=float))
    rows = [_study_cells(row, told, place in starts) for place, row in enumerate(data.to_dict("records"))]
    return PrintedTable(
        caption=f"{'; '.join(dict.fromkeys(data['study'].dropna().astype(str))) or 'Study'}: rank of the best found",
        header=("benchmark", "arm", *told, "n", "mean rank (95 %)", "top %", "ratio (95 %)", "p"),
        rows=tuple(rows),
        note=_study_note(data),
        data=data,
        bold=frozenset(bold),
        words=2 + len(told),
        breaks=frozenset(starts[1:-1]),
    )


def _study_cells(row: dict[Any, Any], told: Sequence[str], is_first: bool) -> tuple[str, ...]:
    name = title_of(str(row["benchmark"]))
    return (
        f"{name}, {row['budget']} evaluations" if is_first else "",
        row["method"],
        *(shown_model(row[key]) if isinstance(row[key], str) else "" for key in told),
        str(row["n"]),
        span(row["mean_rank"], row["low"], row["high"], 1),
        number(row["top_percent"]),
        span(row["ratio"], row["ratio_low"], row["ratio_high"]),
        p_text(row["p_holm"]),
    )


def _study_note(data: pd.DataFrame) -> str:
    names = dict(zip(data["arm"], data["method"], strict=True))
    references = [names.get(name, shown_name(str(name))) for name in data["reference"].dropna().unique()]
    test = (
        f" ratio: geometric mean of rank over the rank of “{references[0]}”, seed by seed; p: two-sided "
        "sign-flip test of the paired logarithms of ranks, Holm-corrected over the arms of a block."
        if references and data["p_holm"].notna().any()
        else " No test: no arm has two pairs of searches with the reference."
    )
    return (
        f"n = {counts_text(data['n'])} searches per arm; rank 1 is best, tied ranks count as the middle of their "
        f"range; 95 % intervals: bootstrap over searches. Bold: the lowest mean rank of two searches or more.{test}"
        f"{_rules(data['method'], data['n'])}"
    )


def _rules(methods: pd.Series, counts: pd.Series) -> str:
    """Return in words what the stand-in is, and what n = 1 may stand for, where the table has either."""
    has_stand_in, has_one = methods.str.contains("stand-in").any(), (counts == 1).any()
    return STAND_IN_NOTE * bool(has_stand_in) + ONCE_NOTE * bool(has_one)


def as_printed(name: str) -> PrintedTable:
    """Return a table of the paper as printed, the best of each accuracy in bold.

    The note says that nothing of it was measured here.

    Parameters
    ----------
    name
        "table1" to "table13".

    Raises
    ------
    UnknownName
        No such table.
    """
    frame = paper_table(name)
    names = [str(column) for column in frame]
    text = [column for column in names if frame[column].dtype.kind not in "ifu"]
    numbers = [column for column in names if column not in text and not str(column).endswith("_std")]
    cells = [frame[column].tolist() for column in text] + [_printed(frame, column) for column in numbers]
    bold = {
        (place, x)
        for x, column in enumerate([*text, *numbers])
        if "trial" not in frame and (column.endswith(("_percent", "_mean")) or column.startswith("ap"))
        for place in best_of(frame[column].tolist(), lowest=False)
    }
    key = next(title for title in TITLES if name.split("_")[0] == title)
    return PrintedTable(
        caption=f"{key.replace('table', 'Table ')}. {TITLES[key]}",
        header=tuple(_heading(str(column)) for column in [*text, *numbers]),
        rows=tuple(zip(*cells, strict=True)),
        note=f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}: {SOURCE}. Bold: the best of a column; n and a test are not "
        "printed.",
        data=frame,
        bold=frozenset(bold),
        words=max(1, len(text)),
        sources=(PAPER_TABLES,),
    )


def _printed(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column as text with the decimals of its longest value, and its standard deviation if it has one."""
    known = [float(value) for value in frame[column].dropna()]
    digits = max((len(f"{value:.6g}".partition(".")[2]) for value in known), default=0)
    deviations = frame.get(column.removesuffix("_mean") + "_std") if column.endswith("_mean") else None
    if deviations is None:
        return [number(value, digits) for value in frame[column]]
    return [spread(*pair, digits) for pair in zip(frame[column], deviations.astype(float), strict=True)]


def _heading(column: str) -> str:
    """Return the name of a column as a reader writes it, its unit in brackets."""
    words = f" {column.replace('_', ' ')} "
    for name, shown in _WORDS.items():
        words = words.replace(f" {name} ", f" {shown} ")
    return words.strip()
