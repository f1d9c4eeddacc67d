"""A table of the user's own as a benchmark: every architecture of its space, or only some."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genius_kit.benchmarks.base import Benchmark
from genius_kit.benchmarks.own.lines import COSTS, LARGEST, SCORE, Lines, checked, read_lines
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import InvalidParameter, nearest
from genius_kit.records import Evaluation
from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

UNKNOWN = ("refuse", "nearest")
"""What becomes of an architecture without a line: it is refused to who proposes it, or has the score of the nearest
that is known: of those that differ at the fewest positions the first in the order of the space."""

_DECIMALS = 6

_FUNCTION = "own function"
_ORIGIN = "own table"
"""How the source of such a table begins."""

KNOWN: weakref.WeakValueDictionary[tuple[str, str, int], OwnTable] = weakref.WeakValueDictionary()
"""The tables that are in memory, by source, protocol and shown run: a run of this process finds its own."""

KNOWN_FUNCTIONS: weakref.WeakValueDictionary[str, Benchmark] = weakref.WeakValueDictionary()
"""The functions that are in memory, by source."""


@dataclass(frozen=True)
class Metric:
    """What a score is: its name, whether more is better, its unit, and the factor that brings it to that unit.

    A search is shown scores that it maximises. Where less is better they are taken with a minus sign, and so named.
    """

    name: str = "score"
    higher_is_better: bool = True
    unit: str = "points"
    factor: float = 1.0

    @property
    def shown(self) -> str:
        """The name of what a search maximises."""
        return self.name if self.higher_is_better else f"negative {self.name}"

    @property
    def scale(self) -> float:
        """What a score of the table is multiplied by."""
        return self.factor if self.higher_is_better else -self.factor


class OwnTable(TabularBenchmark):
    """A table of the user's own; `files` are the SHA-256 of the files that it was read from, by name."""

    files: Mapping[str, str] = {}
    given: tuple[Lines, Metric, str] | None = None
    """What it was made of: its lines, what a score is, and what becomes of an unknown architecture."""
    owners: np.ndarray | None = None
    """By the rule "nearest" the row whose score each architecture has."""
    reload: tuple[Callable[..., Self], tuple[Any, ...]] | None = None
    """How another process reads it again, where it can."""

    def __copy__(self) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.reload is None:
            return super().__reduce_ex__(protocol)
        make, given = self.reload
        return make, (*given, () if self.objectives is None else self.objectives.names)

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the recorded result; what is no percentage stands in the feedback alone.

        Raises InvalidArchitecture for one that is not known.
        """
        found = super().evaluate(architecture)
        return found if self.unit == "percent" else replace(found, validation_accuracy=None, test_accuracy=None)

    def _source_of(self, row: int) -> str:
        if self.owners is None or self.owners[row] == row:
            return self.source
        return f"{self.source}, by the nearest that is known: {self.space.key(self.space.at(int(self.owners[row])))}"


def tabular(
    space: SearchSpace,
    frame: pd.DataFrame,
    *,
    name: str | None = None,
    title: str | None = None,
    dataset: str = "data that are not named",
    metric: str = "score",
    higher_is_better: bool = True,
    unit: str = "points",
    factor: float = 1.0,
    noise: float | None = None,
    unknown: str = "refuse",
    protocol: str = "paper",
    fed_run: int = 0,
) -> TabularBenchmark:
    """Return a frame of results as a benchmark, which every method, control and verdict works on.

    Parameters
    ----------
    space
        What is searched.
    frame
        One line per architecture. Either a column for each position of the space, under its name, with the options by
        name or number, or a column `key`. Then `score`, or the scores of single trainings, `score_1`, `score_2` and so
        on, or both; and where they are known `test`, `parameters` and `macs` (counts), `latency` (seconds).
    name, title
        What it is called on record, and in texts and figures; those of the space unless given.
    dataset, metric
        What prompts say of the scores.
    higher_is_better
        Whether a search looks for high scores; low ones are shown to it with a minus sign.
    unit
        Unit of the scores, for prompts.
    factor
        What scores are multiplied by: 100 makes percent of fractions. Prompts print two decimals.
    noise
        The standard deviation of one training's score, where no single trainings are in the frame.
    unknown
        "refuse": who proposes an architecture without a line is told so, and asked again. "nearest": it has the score
        of the nearest one that is known, of those that differ at the fewest positions the first in the space's order.
    protocol, fed_run
        "held-out" shows the search the training `fed_run` (from 0) alone and reports the mean of the others.

    Returns
    -------
    TabularBenchmark
        The frame as a benchmark. Its scores are the frame's times `factor`.

    Raises
    ------
    InvalidParameter
        Where the frame does not fit the space; the message names each line that is wrong, and what to do.
    """
    lines = checked(*read_lines(space, frame, lambda place: f"row {place}"), "the frame")
    told = Metric(metric, higher_is_better, unit, factor)
    source = f"{_ORIGIN}, sha256 {_sum_of(lines, [space.definition(), asdict(told), noise, unknown])}"
    named = (name or space.name, title or space.title, dataset)
    return own_table(space, lines, told, named, source, noise, unknown, protocol, fed_run)


def own_table(
    space: SearchSpace,
    lines: Lines,
    metric: Metric,
    named: tuple[str, str, str],
    source: str,
    noise: float | None = None,
    unknown: str = "refuse",
    protocol: str = "paper",
    fed_run: int = 0,
) -> OwnTable:
    """Return the lines of a table as a benchmark with a name, a title and a data set; see `tabular`."""
    import numpy as np

    check_rules(metric, noise, unknown, protocol, lines, fed_run)
    known, owners = _known(space, lines.rows, unknown)
    shown, kept = _shown_and_kept(lines, protocol, fed_run)
    values = {"feedback": shown * metric.scale, "validation": kept * metric.scale}
    if "test" in lines.numbers:
        values["test"] = lines.numbers["test"] * metric.scale
    spread = partial(_spread, space.size, lines.rows, owners)
    columns = {name: spread(np.round(column, _DECIMALS), -np.inf) for name, column in values.items()}
    costs = {name: lines.numbers[name].astype(np.int64) for name in COSTS if name in lines.numbers}
    latency = lines.numbers.get("latency")
    made = OwnTable(
        name=named[0],
        title=named[1],
        dataset=named[2],
        space=space,
        protocol=protocol,
        feedback_name=metric.shown,
        columns=columns,
        parameters=spread(costs["parameters"], np.iinfo(np.int64).max // 2) if len(costs) == len(COSTS) else None,
        macs=spread(costs["macs"], np.iinfo(np.int64).max // 2) if len(costs) == len(COSTS) else None,
        source=source,
        fed_run=fed_run if protocol == "held-out" else 0,
        latency=None if latency is None else partial(spread, latency, np.inf),
    )
    made.known, made.owners, made.unit = known, owners, metric.unit
    made.noise = None if noise is None else noise * metric.factor
    made.runs = lines.runs * metric.scale if lines.runs is not None and lines.runs.shape[1] > 1 else None
    made.given = lines, metric, unknown
    KNOWN[source, protocol, made.fed_run] = made
    return made


def check_rules(metric: Metric, noise: float | None, unknown: str, protocol: str, lines: Lines, fed_run: int) -> None:
    """Raise InvalidParameter for a rule that a table cannot have."""
    if unknown not in UNKNOWN:
        raise InvalidParameter(f"unknown is {unknown!r}{nearest(unknown, UNKNOWN)}; it is one of {', '.join(UNKNOWN)}")
    if protocol not in ("paper", "held-out"):
        raise InvalidParameter(f"protocol {protocol!r} is not one of paper, held-out")
    if not 0 < metric.factor <= LARGEST:
        raise InvalidParameter(f"factor is {metric.factor!r}; expected a number above 0, such as 100")
    if noise is not None and not 0 <= noise <= LARGEST:
        raise InvalidParameter(f"noise is {noise!r}; expected the standard deviation of one training's score, or None")
    trainings = 0 if lines.runs is None else lines.runs.shape[1]
    if protocol == "held-out" and not (trainings > 1 and 0 <= fed_run < trainings):
        raise InvalidParameter(
            f"held-out shows the training {fed_run} of {trainings}; it needs two columns of single trainings or more, "
            "such as score_1 and score_2, and one of them as fed_run, from 0"
        )


def _known(space: SearchSpace, rows: np.ndarray, unknown: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return which architectures are known, None for all, and whose score each has, None for its own."""
    import numpy as np

    if len(rows) == space.size:
        return None, None
    if unknown == "nearest":
        return None, nearest_rows(space, rows)
    known = np.zeros(space.size, dtype=bool)
    known[rows] = True
    return known, None


def nearest_rows(space: SearchSpace, rows: np.ndarray) -> np.ndarray:
    """Return for every architecture the nearest of `rows`: the fewest positions that differ, then the lowest row."""
    import numpy as np

    far = space.size * (space.length + 1)
    costs = np.full(space.size, far, dtype=np.int64)
    costs[rows] = rows  # the distance times the size, plus the row
    costs = costs.reshape([len(menu) for menu in space.choices])
    for axis in range(space.length):
        costs = np.minimum(costs, costs.min(axis=axis, keepdims=True) + space.size)
    found: np.ndarray = costs.ravel() % space.size
    return found


def _spread(size: int, rows: np.ndarray, owners: np.ndarray | None, values: np.ndarray, empty: Any) -> np.ndarray:
    """Return the values of some rows at their places among `size`, `empty` or that of the owner elsewhere."""
    import numpy as np

    column = np.full(size, empty, dtype=values.dtype)
    column[rows] = values
    return column if owners is None else column[owners]


def _shown_and_kept(lines: Lines, protocol: str, fed_run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a search is shown and what is reported of each line: the score, or one training and the others."""
    import numpy as np

    if protocol == "paper" or lines.runs is None:
        return lines.numbers[SCORE], lines.numbers[SCORE]
    return lines.runs[:, fed_run], np.delete(lines.runs, fed_run, axis=1).mean(axis=1)


def _sum_of(lines: Lines, rules: list[Any]) -> str:
    """Return the SHA-256 of what a table holds, whatever the order of its lines, and of its rules."""
    import numpy as np

    order = np.argsort(lines.rows)
    digest = hashlib.sha256(json.dumps([sorted(lines.numbers), *rules]).encode())
    for column in (lines.rows, *(lines.numbers[name] for name in sorted(lines.numbers))):
        digest.update(np.ascontiguousarray(column[order]).tobytes())
    if lines.runs is not None:
        digest.update(np.ascontiguousarray(lines.runs[order]).tobytes())
    return digest.hexdigest()


def own_source(source: object) -> bool:
    """Return whether a recorded source is a table of a user's own."""
    return isinstance(source, str) and source.startswith(_ORIGIN)


def function_source(name: str, digest: str) -> str:
    """Return what a function says of where its results are from."""
    return f"{_FUNCTION} {name}, sha256 {digest}"


def is_function(source: object) -> bool:
    """Return whether a recorded source is a function of a user's own."""
    return isinstance(source, str) and source.startswith(_FUNCTION)


def folder_source(name: str, digest: str) -> str:
    """Return what a table says of where it is from: the name of its file, and the sum of all of the folder's files."""
    return f"{_ORIGIN} {Path(name).name}, sha256 {digest}"
