"""A benchmark of the user's own in a folder: `space.yaml` says what is searched, `table.csv` what was measured.

Texts for prompts lie beside them. Everything in it is text from outside: read within bounds, nothing of it evaluated. A
copy of a table in arrays is kept in the data folder's cache, under the sum of its file.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from genius_kit import files
from genius_kit.benchmarks.base import Objectives
from genius_kit.benchmarks.own.lines import MOST_BYTES, Lines, checked, plain, read_frame, read_lines
from genius_kit.benchmarks.own.tables import UNKNOWN, Metric, OwnTable, folder_source, own_table
from genius_kit.benchmarks.tabular import cache_folder, save_table
from genius_kit.errors import DataMissing, InvalidParameter
from genius_kit.located import Located, read_yaml
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.definitions import DIGITS, LONGEST_TEXT, MOST_POSITIONS, PARTS

SPACE_FILE = "space.yaml"

TABLES = ("table.csv", "table.parquet", "table.json")

_CACHE_FORMAT = 1

_log = logging.getLogger(__name__)

_WORDS: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 500}

_OPTIONS: dict[str, Any] = {
    "type": "array",
    "minItems": 2,
    "maxItems": len(DIGITS),
    "uniqueItems": True,
    "items": {"type": ["string", "number"]},
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
        "title": _WORDS,
        "dataset": _WORDS,
        "metric": {
            "type": "object",
            "properties": {
                "name": _WORDS,
                "direction": {"enum": ["higher", "lower"]},
                "unit": _WORDS,
                "factor": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e12},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        "noise": {"type": "number", "minimum": 0, "maximum": 1e12},
        "positions": {"type": ["object", "array"], "minItems": 2, "maxItems": MOST_POSITIONS},
        "options": _OPTIONS,
        "largest": {"type": ["object", "string", "number"]},
        "stages": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        },
        "answer": {"enum": ["list", "stages"]},
        "unknown": {"enum": list(UNKNOWN)},
        "table": {"enum": list(TABLES)},
    },
    "required": ["name", "positions"],
    "additionalProperties": False,
}
"""What `space.yaml` says, as a JSON schema."""


@dataclass
class Plan:
    """What a folder says beside its table; `files` are the SHA-256 of its files by name."""

    folder: Path
    space: SearchSpace
    named: tuple[str, str, str]
    metric: Metric
    noise: float | None
    unknown: str
    table: Path
    files: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What evaluations say of where they are from."""
        sums = json.dumps(sorted(self.files.items()))
        return folder_source(self.table.name, hashlib.sha256(sums.encode()).hexdigest())


def is_folder(name: object) -> bool:
    """Return whether a benchmark's name is that of a folder: one with a `space.yaml`, or a path."""
    text = str(name)
    try:
        return (Path(text) / SPACE_FILE).is_file() or (("/" in text or "\\" in text) and Path(text).is_dir())
    except (OSError, ValueError):
        return False


def load_folder(
    folder: str | Path, protocol: str = "paper", fed_run: int = 0, objectives: Sequence[str] = ()
) -> OwnTable:
    """Return the benchmark of a folder.

    Raises InvalidParameter with every mistake, the line and the remedy, DataMissing where there is no table.
    """
    plan = read_plan(folder)
    made = own_table(
        plan.space,
        _lines(plan),
        plan.metric,
        plan.named,
        plan.source,
        plan.noise,
        plan.unknown,
        protocol,
        fed_run,
    )
    made.folder, made.files = Path(folder), plan.files
    made.reload = (_reloaded, (str(Path(folder).resolve()), str(folder), protocol, fed_run))
    return made if not objectives else made.weighing(Objectives(*objectives))


@lru_cache(maxsize=8)
def _kept(folder: str, protocol: str, fed_run: int, changed: tuple[int, ...]) -> OwnTable:
    return load_folder(folder, protocol, fed_run)


def shared_folder(folder: str, protocol: str, fed_run: int, objectives: Sequence[str] = ()) -> OwnTable:
    """Return the benchmark of a folder, read once a process unless its files change."""
    names = (SPACE_FILE, *(f"{part}.md" for part in PARTS), *TABLES)
    found = (Path(folder) / name for name in names)
    changed = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in found)
    table = _kept(str(folder), protocol, fed_run, changed)
    return table if not objectives else table.weighing(Objectives(*objectives))


def _reloaded(place: str, named: str, protocol: str, fed_run: int, objectives: Sequence[str]) -> OwnTable:
    """Return in another process the benchmark of the folder at `place`, under the path by which it was asked for."""
    table = copy.copy(shared_folder(place, protocol, fed_run, objectives))
    table.folder = Path(named)
    return table


def read_space(folder: str | Path) -> tuple[Located, SearchSpace, Metric, dict[str, str]]:
    """Return what the texts of a folder say, its space and what a score is, and the SHA-256 of each text by name.

    Raises InvalidParameter with every mistake.
    """
    folder = Path(folder)
    if not (folder / SPACE_FILE).is_file():
        raise InvalidParameter(
            f"{folder} has no {SPACE_FILE}; `genius-kit benchmark init {folder}` writes one that explains itself"
        )
    located, digest = _yaml(folder / SPACE_FILE)
    mistakes = located.mistakes(SCHEMA)
    if mistakes:
        raise InvalidParameter("\n".join(str(one) for one in mistakes))
    sums = {SPACE_FILE: digest}
    texts = []
    for part in PARTS:
        if (path := folder / f"{part}.md").exists():
            text, sums[path.name] = _text(path)
            texts.append((part, text))
    told = located.data.get("metric", {"name": "score"})
    metric = Metric(
        told["name"], told.get("direction") != "lower", told.get("unit", "points"), float(told.get("factor", 1))
    )
    return located, _space(located, tuple(texts)), metric, sums


def read_plan(folder: str | Path) -> Plan:
    """Return what a folder says beside its table; raises InvalidParameter, DataMissing."""
    located, space, metric, sums = read_space(folder)
    data, path = located.data, _table(Path(folder), located.data.get("table"))
    sums[path.name] = _sum(path)
    named = (data["name"], space.title, data.get("dataset", "data that are not named"))
    return Plan(Path(folder), space, named, metric, data.get("noise"), data.get("unknown", "refuse"), path, sums)


def _yaml(path: Path) -> tuple[Located, str]:
    text, digest = _text(path)
    return read_yaml(text, str(path)), digest


def _text(path: Path) -> tuple[str, str]:
    """Return a text file and its SHA-256; raises InvalidParameter for what is no text, or too much."""
    try:
        content = files.read_plain(path, 4 * LONGEST_TEXT)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"{path}: not UTF-8 text ({error.reason}); save the file as UTF-8") from None
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read ({error.strerror})") from None
    if len(text) > LONGEST_TEXT or "\0" in text:
        raise InvalidParameter(f"{path} is no text of at most {LONGEST_TEXT:,} characters")
    return text, hashlib.sha256(content).hexdigest()


def _space(located: Located, texts: tuple[tuple[str, str], ...]) -> SearchSpace:
    """Return the space that a file describes; raises InvalidParameter with the line."""
    data = located.data
    names, menus = _menus(located)
    words = tuple(tuple(str(option) for option in menu) for menu in menus)
    for place, menu in enumerate(words):
        if len({plain(word) for word in menu}) < len(menu):
            raise located.error(
                ("positions", names[place]) if isinstance(data["positions"], dict) else ("options",),
                f"the options {', '.join(menu):.200} are not all different as a table writes them; each comes once",
            )
    stages = tuple(
        tuple(_place(located, names, number, name) for name in stage)
        for number, stage in enumerate(data.get("stages", ()))
    )
    with located.at("stages" if stages else "positions"):
        return SearchSpace(
            name=data["name"],
            title=data.get("title", data["name"]),
            choices=words,
            positions=tuple(names),
            stages=stages,
            largest=_largest(located, names, words),
            in_stages=data.get("answer") == "stages",
            texts=texts,
        )


def _menus(located: Located) -> tuple[list[str], list[list[Any]]]:
    """Return the name and the options of each position."""
    data = located.data
    given = data["positions"]
    if isinstance(given, dict):
        if "options" in data:
            raise located.error(("options",), "options go with positions that are a list of names; leave one out")
        part = {
            "type": "object",
            "properties": {"positions": {"type": "object", "minProperties": 2, "additionalProperties": _OPTIONS}},
        }
        if found := located.mistakes(part):
            raise InvalidParameter("\n".join(str(one) for one in found))
        return list(given), list(given.values())
    if "options" not in data:
        raise located.error(("positions",), "positions are a list of names, which needs `options`, the same for all")
    part = {"type": "object", "properties": {"positions": {"items": _WORDS, "uniqueItems": True}}}
    if found := located.mistakes(part):
        raise InvalidParameter("\n".join(str(one) for one in found))
    return list(given), [data["options"]] * len(given)


def _place(located: Located, names: list[str], stage: int, name: str) -> int:
    if name not in names:
        raise located.error(
            ("stages", stage), f"no position is called {name!r:.100}; there are {', '.join(names):.300}"
        )
    return names.index(name)


def _largest(located: Located, names: list[str], words: tuple[tuple[str, ...], ...]) -> int | tuple[int, ...]:
    """Return the option with the highest capacity at each position: the last one where none is named."""
    given = located.data.get("largest", {})
    wanted = given if isinstance(given, dict) else dict.fromkeys(names, given)
    ends = [len(menu) - 1 for menu in words]
    for name, option in wanted.items():
        menus = dict(zip(names, words, strict=True))
        if name not in menus or str(option) not in menus[name]:
            known = ", ".join(menus.get(name, names))
            raise located.error(("largest",), f"{name}: {option} is not one of {known:.300}")
        ends[names.index(name)] = menus[name].index(str(option))
    return ends[0] if len(set(words)) == 1 and len(set(ends)) == 1 else tuple(ends)


def _table(folder: Path, named: str | None) -> Path:
    found = [folder / name for name in TABLES if (folder / name).exists() and named in (None, name)]
    if not found:
        raise DataMissing(
            f"{folder} has no {named or 'table.csv'}: write one, with a line for each architecture that was measured"
        )
    if len(found) > 1:
        raise InvalidParameter(
            f"{folder} has {' and '.join(path.name for path in found)}; name one in {SPACE_FILE}, as table: "
            f"{found[0].name}"
        )
    return found[0]


def _sum(path: Path) -> str:
    """Return the SHA-256 of a table's file."""
    try:
        with files.open_plain(path, MOST_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read as a table ({error.strerror})") from None


def _lines(plan: Plan) -> Lines:
    """Return the lines of a folder's table, from the cache where the file is the same."""
    decided = json.dumps([plan.files[plan.table.name], plan.space.definition(), plan.table.suffix])
    path = cache_folder() / f"own-{hashlib.sha256(decided.encode()).hexdigest()}-v{_CACHE_FORMAT}.npz"
    if (kept := _cached(path, plan.space)) is not None:
        return kept
    frame, line = read_frame(plan.table)
    lines = checked(*read_lines(plan.space, frame, line), str(plan.table))
    columns = {"rows": lines.rows, **{f"of {name}": column for name, column in lines.numbers.items()}}
    save_table(path, columns if lines.runs is None else {**columns, "runs": lines.runs})
    return lines


def _cached(path: Path, space: SearchSpace) -> Lines | None:
    """Return the lines of a cache, None where there is none that is sound."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            table = {name: archive[name] for name in archive.files}
        rows, runs = table.pop("rows"), table.pop("runs", None)
        numbers = {name.removeprefix("of "): column for name, column in table.items()}
        columns = [rows, *numbers.values(), *([] if runs is None else [runs])]
        if any(len(column) != len(rows) for column in columns) or not 0 <= rows.min() <= rows.max() < space.size:
            raise ValueError("its columns are not those of a table")
        return Lines(rows, numbers, runs)
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged archive raises whatever zipfile, zlib, numpy and tokenize raise
        _log.warning("the cached table %s is damaged (%s) and is made again", path, error)
        return None


def write_folder(folder: str | Path, texts: Mapping[str, str]) -> Path:
    """Write the files of a folder that is not there yet, or is empty; raises InvalidParameter for another one."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidParameter(f"{folder} is there already and not empty; name a new folder")
    files.make_folder(folder)
    for name, text in texts.items():
        files.write_whole(folder / name, text)
    return folder
