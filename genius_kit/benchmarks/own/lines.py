"""A table of the user's own: its file (CSV, Parquet or JSON), what each line holds, and every mistake at once.

Lines may come in any order, and only some architectures need one.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit import files
from genius_kit.errors import ExtraMissing, GeniusKitError, InvalidParameter, nearest
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.definitions import DIGITS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


KEY = "key"

SCORE = "score"

SEED = re.compile(r"score_\w{1,40}")
"""The score of one training among several of an architecture."""

COSTS = ("parameters", "macs")

NUMBERS = (SCORE, "test", *COSTS, "latency")
"""Columns of numbers that a table may have beside the scores of single trainings."""

MOST_ARCHITECTURES = 10_000_000
"""The largest space of a table: each architecture of it has a place in memory, known or not."""

MOST_MISTAKES = 20
"""Lines that are told of each kind of mistake."""

LARGEST = 1e12
"""The largest number that a score, a factor or a latency may be."""


@dataclass(frozen=True)
class Lines:
    """What the lines of a table hold: the row of `space.index` of each, its numbers, the scores of its trainings."""

    rows: np.ndarray
    numbers: dict[str, np.ndarray]
    runs: np.ndarray | None = None


def checked(lines: Lines | None, mistakes: list[str], where: str) -> Lines:
    """Return the lines of a table; raises InvalidParameter where there are mistakes, with all of them."""
    if mistakes or lines is None:
        raise InvalidParameter(f"{where} is not a table of this space:\n" + "\n".join(f"- {one}" for one in mistakes))
    return lines


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
    low = -LARGEST if name not in (*COSTS, "latency") else 0.0
    high = 1e18 if name in COSTS else LARGEST
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
    plain = value.item() if hasattr(value, "item") else value
    return "empty" if plain is None or plain != plain or plain == "" else repr(plain)[:80]


MOST_BYTES = 2_000_000_000
"""The largest file of a table."""

MOST_COLUMNS = 500


def read_frame(path: Path) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Return the file of a table as a frame, and what names the place of a row; raises InvalidParameter."""
    import pandas as pd

    try:
        read = {".csv": _read_csv, ".parquet": _read_parquet, ".json": _read_json}[path.suffix]
        frame = read(path)
    except GeniusKitError:
        raise
    except pd.errors.ParserWarning:
        raise InvalidParameter(
            f"{path}: lines have more values than line 1 has names; name each column, and quote text with commas"
        ) from None
    except RecursionError:
        raise InvalidParameter(f"{path} cannot be read as a table: it is nested too deep") from None
    except Exception as error:  # whatever pandas and its readers raise for a file that is none
        told = " ".join(str(error).split())[:300]
        raise InvalidParameter(f"{path} cannot be read as a table: {told or type(error).__name__}") from None
    if len(frame.columns) > MOST_COLUMNS:
        raise InvalidParameter(f"{path} has {len(frame.columns):,} columns; at most {MOST_COLUMNS} are read")
    word, first = ("line", 2) if path.suffix == ".csv" else ("entry", 1)
    places = frame.index.to_numpy() if path.suffix == ".csv" else range(len(frame))
    return frame.reset_index(drop=True), lambda row: f"{path.name}, {word} {int(places[row]) + first}"


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    with files.open_plain(path, MOST_BYTES) as raw:
        head = raw.readline(1_000_000)
    names = next(csv.reader(io.StringIO(head.decode("utf-8-sig"))), [])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidParameter(f"{path}, line 1: the column {twice[0]!r:.100} stands twice; leave one out")
    if len(names) < 2:
        raise InvalidParameter(
            f"{path}, line 1: {head[:80]!r} are no names of columns with commas between, such as a,b,score"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a line with more values than there are names
        frame = pd.read_csv(
            path,
            dtype={KEY: str},
            keep_default_na=False,  # an option may be called none or NA
            na_values=[""],
            encoding="utf-8-sig",
            skipinitialspace=True,
            skip_blank_lines=False,
            index_col=False,
            low_memory=False,
        )
    return frame.rename(columns=lambda name: str(name).strip()).dropna(how="all")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        parquet = importlib.import_module("pyarrow.parquet")  # pandas reads with it
    except ImportError:
        raise ExtraMissing(f"{path} needs pyarrow, which is not installed: pip install pyarrow") from None
    with files.open_plain(path, MOST_BYTES):
        pass  # which refuses what is no plain file
    count = parquet.ParquetFile(path).metadata.num_rows
    if count > MOST_ARCHITECTURES:
        raise InvalidParameter(f"{path} has {count:,} rows; at most {MOST_ARCHITECTURES:,} are read")
    return pd.read_parquet(path)


def _read_json(path: Path) -> pd.DataFrame:
    import pandas as pd

    content = files.read_plain(path, MOST_BYTES)
    if files.is_dense([content]):
        raise InvalidParameter(f"{path} holds more lists and objects than a table has")
    data = json.loads(content)
    parts = list(data.values()) if isinstance(data, dict) else data if isinstance(data, list) else [None]
    if not parts or not all(isinstance(one, list if isinstance(data, dict) else dict) for one in parts):
        raise InvalidParameter(
            f'{path} is no table: expected [{{"a": 1, "score": 2.5}}, ...], or {{"a": [1], "score": [2.5]}}'
        )
    return pd.DataFrame(data)
