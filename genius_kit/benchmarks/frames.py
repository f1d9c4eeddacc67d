"""A table of the user's own as a benchmark: one line an architecture, its options by name or its key, and its score.

Lines may come in any order, and only some architectures need one. What is wrong is said with the line and the remedy,
all of it at once. `folder` reads the same from files.
"""

from __future__ import annotations

import hashlib
import json
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import InvalidParameter, nearest
from genius_kit.records import Evaluation
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.definitions import DIGITS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KEY, SCORE = "key", "score"
SEED = re.compile(r"score_\w{1,40}")
"""The score of one training among several of an architecture."""
COSTS = ("parameters", "macs")
NUMBERS = (SCORE, "test", *COSTS, "latency")
"""Columns of numbers that a table may have beside the scores of single trainings."""

MOST_ARCHITECTURES = 10_000_000
"""The largest space of a table: each architecture of it has a place in memory, known or not."""
MOST_MISTAKES = 20
"""Lines that are told of each kind of mistake."""

UNKNOWN = ("refuse", "nearest")
"""What becomes of an architecture without a line: it is refused to who proposes it, or has the score of the nearest
that is known: of those that differ at the fewest positions the first in the order of the space."""

_DECIMALS = 6
_ORIGIN = "own table"
"""How the source of such a table begins."""
_LARGEST = 1e12

KNOWN: weakref.WeakValueDictionary[tuple[str, str, int], OwnTable] = weakref.WeakValueDictionary()
"""The tables that are in memory, by source, protocol and shown run: a run of this process finds its own."""


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


@dataclass(frozen=True)
class Lines:
    """What the lines of a table hold: the row of `space.index` of each, its numbers, the scores of its trainings."""

    rows: np.ndarray
    numbers: dict[str, np.ndarray]
    runs: np.ndarray | None = None


class OwnTable(TabularBenchmark):
    """A table of the user's own; `files` are the SHA-256 of the files that it was read from, by name."""

    files: Mapping[str, str] = {}
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
        One line an architecture. Either a column for each position of the space, under its name, with the options by
        name or number, or a column `key`. Then `score`, or the scores of single trainings, `score_1`, `score_2` and so
        on, or both; and where they are known `test`, `parameters` and `macs` (counts), `latency` (seconds).
    name, title
        What it is called on record, and in texts and figures; those of the space unless given.
    dataset, metric, unit
        What prompts say of the scores.
    higher_is_better
        Whether a search looks for high scores; low ones are shown to it with a minus sign.
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
    source = f"{_ORIGIN}, sha256 {_sum_of(lines)}"
    told = Metric(metric, higher_is_better, unit, factor)
    named = (name or space.name, title or space.title, dataset)
    return own_table(space, lines, told, named, source, noise, unknown, protocol, fed_run)


def checked(lines: Lines | None, mistakes: list[str], where: str) -> Lines:
    """Return the lines of a table; raises InvalidParameter where there are mistakes, with all of them."""
    if mistakes or lines is None:
        raise InvalidParameter(f"{where} is not a table of this space:\n" + "\n".join(f"- {one}" for one in mistakes))
    return lines


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
    KNOWN[source, protocol, made.fed_run] = made
    return made


def check_rules(metric: Metric, noise: float | None, unknown: str, protocol: str, lines: Lines, fed_run: int) -> None:
    """Raise InvalidParameter for a rule that a table cannot have."""
    if unknown not in UNKNOWN:
        raise InvalidParameter(f"unknown is {unknown!r}{nearest(unknown, UNKNOWN)}; it is one of {', '.join(UNKNOWN)}")
    if protocol not in ("paper", "held-out"):
        raise InvalidParameter(f"protocol {protocol!r} is not one of paper, held-out")
    if not 0 < metric.factor <= _LARGEST:
        raise InvalidParameter(f"factor is {metric.factor!r}; expected a number above 0, such as 100")
    if noise is not None and not 0 <= noise <= _LARGEST:
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


def _sum_of(lines: Lines) -> str:
    """Return the SHA-256 of what a table holds, whatever the order of its lines."""
    import numpy as np

    order = np.argsort(lines.rows)
    digest = hashlib.sha256(json.dumps(sorted(lines.numbers)).encode())
    for column in (lines.rows, *(lines.numbers[name] for name in sorted(lines.numbers))):
        digest.update(np.ascontiguousarray(column[order]).tobytes())
    if lines.runs is not None:
        digest.update(np.ascontiguousarray(lines.runs[order]).tobytes())
    return digest.hexdigest()


@dataclass
class _Reading:
    """The mistakes of one table; `line` names the place of a row of the frame."""

    line: Callable[[int], str]
    mistakes: list[str] = field(default_factory=list)

    def add(self, rows: np.ndarray, told: Callable[[int], str]) -> None:
        """Note a mistake at each of some rows, the first ones with words of their own."""
        shown = [int(row) for row in rows[:MOST_MISTAKES]]
        self.mistakes += [f"{self.line(row)}: {told(row)}" for row in shown]
        if len(rows) > len(shown):
            self.mistakes.append(f"and {len(rows) - len(shown):,} more lines of that kind")


def read_lines(space: SearchSpace, frame: pd.DataFrame, line: Callable[[int], str]) -> tuple[Lines | None, list[str]]:
    """Return the lines of a frame, None where they cannot be used, and every mistake in it."""
    import numpy as np

    reading = _Reading(line)
    if space.size > MOST_ARCHITECTURES:
        return None, [
            f"{space.name} has {space.size:,} architectures; a table has at most {MOST_ARCHITECTURES:,}: leave out "
            "positions or options that no line has"
        ]
    if not len(frame):
        return None, ["there is no line; write one for each architecture that was measured"]
    names = [str(name) for name in frame.columns]
    _check_names(space, names, reading)
    if reading.mistakes:
        return None, reading.mistakes
    frame = frame.set_axis(names, axis=1)
    rows = _rows_of_keys(space, frame[KEY], reading) if KEY in names else _rows_of_names(space, frame, reading)
    seeds = [name for name in names if SEED.fullmatch(name)]
    columns = {name: _number(name, frame[name], reading) for name in names if name in NUMBERS or name in seeds}
    if rows is not None:
        _check_twice(space, rows, reading)
    if reading.mistakes or rows is None:
        return None, reading.mistakes
    runs = np.stack([columns.pop(name) for name in seeds], axis=1) if seeds else None
    if SCORE not in columns and runs is not None:
        columns[SCORE] = runs.mean(axis=1)
    return Lines(rows, columns, runs), []


def _check_names(space: SearchSpace, names: list[str], reading: _Reading) -> None:
    """Note columns that stand twice, that are missing, or that nothing is known of."""
    known = [*space.positions, KEY, *NUMBERS]
    twice = sorted({name for name in names if names.count(name) > 1})
    has_key, missing = KEY in names, [name for name in space.positions if name not in names]
    if twice:
        reading.mistakes.append(f"the column {twice[0]!r:.100} stands twice; leave one out")
    clash = sorted(set(space.positions) & {KEY, *NUMBERS})
    if clash:
        reading.mistakes.append(f"a position is called {clash[0]!r}, as is a column of results; rename the position")
    if has_key and len(missing) < space.length:
        reading.mistakes.append("there is a column `key` beside those of the positions; leave one of the two out")
    if not has_key and missing:
        near = "".join(nearest(missing[0], [name for name in names if name not in known]))
        reading.mistakes.append(
            f"there is no column {', '.join(missing[:10])}{near}; a line has one for each position, or a column `key` "
            f"such as {space.key(space.all_largest)}"
        )
    if SCORE not in names and not any(SEED.fullmatch(name) for name in names):
        reading.mistakes.append("there is no column `score`, and no `score_1`, `score_2` of single trainings")
    if len(set(COSTS) & set(names)) == 1:
        reading.mistakes.append("parameters and macs go together; give both, or neither")


def unused_columns(space: SearchSpace, names: list[str]) -> list[str]:
    """Return the columns of a table that nothing is read from."""
    return [name for name in names if name not in (*space.positions, KEY, *NUMBERS) and not SEED.fullmatch(name)]


def plain(word: object) -> str:
    """Return an option as it is compared: numbers by their value, so that 0.10 and 0.1 are one."""
    text = str(word).strip()
    try:
        number = float(text)
    except ValueError:
        return text.casefold()
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _rows_of_names(space: SearchSpace, frame: pd.DataFrame, reading: _Reading) -> np.ndarray | None:
    """Return the row of each line whose options stand in a column for each position."""
    import numpy as np

    rows = np.zeros(len(frame), dtype=np.int64)
    for place, name in enumerate(space.positions):
        options = _options_of(space, place, frame[name], reading)
        rows = rows * len(space.choices[place]) + options
    return rows if not reading.mistakes else None


def _options_of(space: SearchSpace, place: int, column: pd.Series, reading: _Reading) -> np.ndarray:
    """Return the option index in each line of a column, by the names of the options or, where none is one, numbers."""
    import numpy as np
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=False)
    words = [space.describe(place, option) for option in range(len(space.choices[place]))]
    menu = {plain(word): option for option, word in enumerate(words)}
    given = ["" if value is None or value != value else plain(value) for value in values.tolist()]
    if not any(value in menu for value in given):
        menu = {str(option): option for option in range(len(words))}
    found = np.array([menu.get(value, -1) for value in given], dtype=np.int64)[codes]
    name = space.positions[place]
    reading.add(
        np.flatnonzero(found < 0),
        lambda row: f"{name} is {_cell(column.iloc[row])}; expected one of {', '.join(words):.300}",
    )
    return found


def _rows_of_keys(space: SearchSpace, column: pd.Series, reading: _Reading) -> np.ndarray | None:
    """Return the row of each line whose architecture stands as a key, one digit a position."""
    import numpy as np

    texts = [str(value).strip() for value in column.tolist()]
    wrong = np.array([len(text) != space.length or not text.isascii() for text in texts])
    marks = np.array(["?" * space.length if bad else text for text, bad in zip(texts, wrong, strict=True)])
    digits = marks.astype(f"S{space.length}").view("S1").reshape(len(texts), space.length).view(np.uint8)
    values = np.full(256, -1, dtype=np.int64)
    values[np.frombuffer(DIGITS.encode(), dtype=np.uint8)] = np.arange(len(DIGITS)) - space.key_offset
    options = values[digits]
    sizes = np.array([len(menu) for menu in space.choices])
    reading.add(
        np.flatnonzero(wrong | ((options < 0) | (options >= sizes)).any(axis=1)),
        lambda row: (
            f"key is {_cell(column.iloc[row])}; expected {space.length} digits such as "
            f"{space.key(space.all_largest)}, which stay text only in quotes or in a column read as text"
        ),
    )
    return None if reading.mistakes else options @ np.cumprod([1, *sizes[:0:-1]])[::-1]


def _number(name: str, column: pd.Series, reading: _Reading) -> np.ndarray:
    """Return the numbers of a column as floats, noting the lines without a usable one."""
    import numpy as np
    import pandas as pd

    values: np.ndarray = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    low = -_LARGEST if name not in (*COSTS, "latency") else 0.0
    high = 1e18 if name in COSTS else _LARGEST
    wanted = "a count" if name in COSTS else "seconds" if name == "latency" else "a number"
    reading.add(
        np.flatnonzero(~((values >= low) & (values <= high))),
        lambda row: f"{name} is {_cell(column.iloc[row])}; expected {wanted}, or leave the line out",
    )
    return values


def _check_twice(space: SearchSpace, rows: np.ndarray, reading: _Reading) -> None:
    """Note the lines of an architecture that has one already."""
    import numpy as np

    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    repeated = np.flatnonzero(first[inverse] != np.arange(len(rows)))
    reading.add(
        repeated,
        lambda row: (
            f"{space.key(space.at(int(rows[row])))} stands in {reading.line(int(first[inverse[row]]))} already; "
            "write the scores of several trainings into columns score_1, score_2, ... of one line"
        ),
    )


def _cell(value: object) -> str:
    return "empty" if value is None or value != value or value == "" else repr(value)[:80]


def own_source(source: object) -> bool:
    """Return whether a recorded source is a table of a user's own."""
    return isinstance(source, str) and source.startswith(_ORIGIN)


def folder_source(name: str, digest: str) -> str:
    """Return what a table says of where it is from: the name of its file, and the sum of all of the folder's files."""
    return f"{_ORIGIN} {Path(name).name}, sha256 {digest}"
