"""Searches that do not differ between their seeds: a fixed rule makes one search, however often it is run.

The rule, for every table, figure and test: two or more searches of one arm that all evaluated the same architectures
in the same order, with the same results, are one search and count once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

Search = TypeVar("Search")

SEQUENCE = "sequence"
"""The column of `studies.results` in which `sequence_of` stands."""

ARM = ("study", "benchmark", "arm", "model", "prompt", "touched", "budget")
"""Rows that agree in these columns, those of them that are there, are searches of one arm."""

TOLD = "n = 1, a fixed rule"

ONE_SEARCH = (
    "its searches are all one and the same, which counts once, and more seeds would repeat it: let each begin at an "
    "architecture of its own (`first: random` in a study file)"
)


def sequence_of(search: Any) -> str | None:
    """Return a short sum of what a search evaluated, in order, with the results: equal for equal searches.

    `search` is a Run or its frame; None for a frame that does not say which architectures it is of.
    """
    if hasattr(search, "columns"):
        if not {"key", "feedback"} <= set(search.columns):
            return None
        steps = list(zip(search["key"], search["feedback"].astype(float), strict=True))
    else:
        steps = [(one["architecture"], one["feedback"]) for one in search.of("evaluation")]
    return hashlib.sha256(repr(steps).encode()).hexdigest()[:12]


def are_one(sequences: Iterable[object]) -> bool:
    """Return whether the searches with these sequences, two or more, are one search; unknown ones (None) are not."""
    found = list(sequences)
    return len(found) > 1 and isinstance(found[0], str) and len(set(found)) == 1


def distinct(searches: Sequence[Search]) -> list[Search]:
    """Return the searches (Runs or frames) of one method, of a fixed rule the first alone."""
    return list(searches[:1] if are_one(map(sequence_of, searches)) else searches)


def counted_once(results: pd.DataFrame) -> pd.DataFrame:
    """Return `studies.results` with the first search alone of each arm whose finished searches are one search.

    The column `searches` says how many each row stands for.
    """
    counted = results.assign(searches=1).reset_index(drop=True)
    if SEQUENCE not in results:
        return counted
    done = counted[counted["reason"].notna()] if "reason" in results else counted
    for _, rows in done.groupby([name for name in ARM if name in results], dropna=False):
        if are_one(rows[SEQUENCE]):
            counted.loc[rows.index, "searches"] = [len(rows), *[0] * (len(rows) - 1)]
    return counted[counted["searches"] > 0]


def fixed_arms(counted: pd.DataFrame) -> set[str]:
    """Return the names of the arms of which `counted_once` counted several searches as one."""
    return set(counted.loc[counted["searches"] > 1, "arm"].astype(str))


def n_text(searches: int, counted: int) -> str:
    """Return how many of some searches count, in words: "n = 20", or "n = 1, a fixed rule" where they are one."""
    return TOLD if counted < searches else f"n = {counted}"
