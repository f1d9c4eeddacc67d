"""The file of a table of the user's own as a frame: CSV, Parquet or JSON, read within bounds."""

from __future__ import annotations

import csv
import importlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit import files
from genius_kit.benchmarks.own.lines import KEY, MOST_ARCHITECTURES
from genius_kit.errors import ExtraMissing, GeniusKitError, InvalidParameter

if TYPE_CHECKING:
    import pandas as pd

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
