"""The paper's tables as they are printed, marked as not re-measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.paper import NOT_MEASURED, SOURCE, TITLES, paper_table
from genius_kit.printed_tables import PrintedTable, best_of, number, spread
from genius_kit.provenance import PAPER_TABLES

if TYPE_CHECKING:
    import pandas as pd


def as_printed(name: str) -> PrintedTable:
    """Return a table of the paper ("table1" to "table13") as printed, the best of each accuracy in bold.

    Raises UnknownName. The note says that nothing of it was measured here.
    """
    frame = paper_table(name)
    names = [str(column) for column in frame]
    text = [column for column in names if frame[column].dtype.kind not in "ifu"]
    numbers = [column for column in names if column not in text and not str(column).endswith("_std")]
    cells = [frame[column].tolist() for column in text] + [_printed(frame, column) for column in numbers]
    bold = {
        (place, x)
        for x, column in enumerate([*text, *numbers])
        if "trial" not in frame and _is_accuracy(str(column))
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


def _is_accuracy(column: str) -> bool:
    return column.endswith(("_percent", "_mean")) or column.startswith("ap")


def _printed(frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column as text with the decimals of its longest value, and its standard deviation if it has one."""
    known = [float(value) for value in frame[column].dropna()]
    digits = max((len(f"{value:.6g}".partition(".")[2]) for value in known), default=0)
    deviations = frame.get(column.removesuffix("_mean") + "_std") if column.endswith("_mean") else None
    if deviations is None:
        return [number(value, digits) for value in frame[column]]
    return [spread(*pair, digits) for pair in zip(frame[column], deviations.astype(float), strict=True)]


_WORDS = {
    "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16 120": "ImageNet16-120", "flops": "FLOPs", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "imagenet": "ImageNet", "top1": "top-1", "top5": "top-5", "millions": "(millions)",
    "percent": "(%)", "gpu days": "(GPU days)", "mean": "(%)",
}  # fmt: skip


def _heading(column: str) -> str:
    """Return the name of a column as a reader writes it, its unit in brackets."""
    words = f" {column.replace('_', ' ')} "
    for name, shown in _WORDS.items():
        words = words.replace(f" {name} ", f" {shown} ")
    return words.strip()
