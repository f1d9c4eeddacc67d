"""Finds a table of the user's own: by the path of its folder, by its name, or by what a run recorded."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genius_kit import files
from genius_kit.benchmarks.own import nas_bench_101, transnas_bench_101
from genius_kit.benchmarks.own.folder import SPACE_FILE, is_folder, load_folder, read_plan, shared_folder, write_folder
from genius_kit.benchmarks.own.tables import KNOWN, KNOWN_FUNCTIONS, OwnTable, is_function
from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter
from genius_kit.files import data_folder
from genius_kit.spaces import SPACES, SearchSpace

FOLDER = "benchmarks"
"""Where folders are kept in the data folder that are found by their names."""

Reader = Callable[[Path], Iterator[dict[str, str]]]
"""Yields the files of a folder for each table of a published file."""

_READERS: dict[str, Reader] = {".tfrecord": nas_bench_101.folders, ".pth": transnas_bench_101.folders}
_JSON: dict[str, Reader] = {"nas_bench": nas_bench_101.folders, "transnas": transnas_bench_101.folders}


def own_folders() -> dict[str, Path]:
    """Return the folders that are found by their names, in alphabetic order; nothing of them is read."""
    return {path.parent.name: path.parent for path in sorted((data_folder() / FOLDER).glob(f"*/{SPACE_FILE}"))}


def add_folder(folder: str | Path) -> Path:
    """Copy a folder into the data folder, from where it loads by its name, and return where it is.

    Raises InvalidParameter for a folder that is none, or where another one of that name is there.
    """
    table = load_folder(folder)
    place = data_folder() / FOLDER / table.name
    if place.exists() and load_folder(place).files != table.files:
        raise InvalidParameter(f"{place} is another benchmark of that name; give yours another name in {SPACE_FILE}")
    files.make_folder(place)
    for name in table.files:
        shutil.copyfile(Path(folder) / name, place / name)
    return place


def is_published_file(path: str | Path) -> bool:
    """Return whether a path is a file of NAS-Bench-101 or TransNAS-Bench-101, by its name."""
    path = Path(path)
    return path.suffix in _READERS or (path.suffix == ".json" and _of_json(path) is not None)


def _of_json(path: Path) -> Reader | None:
    return next((reader for start, reader in _JSON.items() if path.name.startswith(start)), None)


def add_file(path: str | Path) -> list[Path]:
    """Read the user's own file of NAS-Bench-101 or TransNAS-Bench-101 and keep each of its tables in the data folder.

    `.tfrecord` and `nas_bench...json` are of NAS-Bench-101, `.pth` and `transnas...json` of TransNAS-Bench-101. Raises
    DataMissing, DataCorrupt, InvalidParameter.
    """
    path = Path(path)
    read = _READERS.get(path.suffix) or _of_json(path)
    if read is None:
        raise InvalidParameter(f"{path} is no .tfrecord of NAS-Bench-101 and no .pth of TransNAS-Bench-101")
    try:
        places = [_kept(texts) for texts in read(path)]
    except OSError as error:
        raise DataMissing(f"{path} cannot be read ({error.strerror or error})") from None
    if not places:
        raise DataCorrupt(f"{path} holds no architecture of a space that is read")
    return places


def _kept(texts: Mapping[str, str]) -> Path:
    """Keep the files of one folder in the data folder, and return where they are."""
    with tempfile.TemporaryDirectory() as made:
        return add_folder(write_folder(Path(made) / "table", texts))


def register(what: SearchSpace | OwnTable | str | Path) -> Path | None:
    """Make a space or a table known by its name; what a run needs to be read is in its journal without this.

    Parameters
    ----------
    what
        A space: `load_space` finds it by its name in this process, as trainings do; call it in the module that defines
        the space, which every process imports. A folder, or a table of `tabular`: it is copied into the data folder,
        from where every process and command loads it by its name.

    Returns
    -------
    Path or None
        The folder that was written, None for a space.

    Raises
    ------
    InvalidParameter
        Where another one of that name is known.
    """
    if not isinstance(what, SearchSpace | OwnTable):
        return add_folder(what)
    if isinstance(what, OwnTable):
        return add_folder(what.folder) if what.folder is not None else _written(what)
    known = SPACES.get(what.name)
    if known is not None and known() != what:
        raise InvalidParameter(f"another space is called {what.name}; give yours another name")
    SPACES[what.name] = lambda: what
    return None


def _written(table: OwnTable) -> Path:
    """Write a table that came from a frame as a folder into the data folder, and return where it is."""
    return _kept(_texts(table))


def _texts(table: OwnTable) -> dict[str, str]:
    """Return the files of the folder that holds a table from a frame."""
    assert table.given is not None  # `own_table` made it
    (lines, metric, unknown), space = table.given, table.space
    menus = [[space.describe(place, option) for option in range(len(menu))] for place, menu in enumerate(space.choices)]
    told = {
        "name": table.name,
        "title": table.title,
        "dataset": table.dataset,
        "metric": {
            "name": metric.name,
            "direction": "higher" if metric.higher_is_better else "lower",
            "unit": metric.unit,
            "factor": metric.factor,
        },
        **({} if table.noise is None else {"noise": table.noise / metric.factor}),
        "positions": dict(zip(space.positions, menus, strict=True)),
        "largest": {
            name: menus[i][end] for i, (name, end) in enumerate(zip(space.positions, space.all_largest, strict=True))
        },
        "stages": [[space.positions[place] for place in stage] for stage in space.stages],
        "answer": "stages" if space.in_stages else "list",
        "unknown": unknown,
    }
    architectures = [space.at(int(row)) for row in lines.rows]
    columns = {name: [menus[i][one[i]] for one in architectures] for i, name in enumerate(space.positions)}
    trainings = {} if lines.runs is None else {f"score_{i + 1}": column for i, column in enumerate(lines.runs.T)}
    numbers = {name: column.tolist() for name, column in (trainings | lines.numbers).items()}
    texts = {f"{part}.md": text for part, text in space.texts}
    return {SPACE_FILE: json.dumps(told, indent=1) + "\n", **texts, "table.json": json.dumps({**columns, **numbers})}


def own_row(name: str) -> dict[str, Any]:
    """Return the row of `list_benchmarks` of a folder that is found by its name."""
    plan = read_plan(own_folders()[name])
    row = {"name": name, "title": plan.space.title, "size": plan.space.size, "available": True}
    return {**row, "source": plan.source, "how_to_get": ""}


def own_title(name: str) -> str | None:
    """Return the title of a table of the user's own that is in memory or found by its name, else None."""
    in_memory = next((table.title for table in list(KNOWN.values()) if table.name == name), None)
    folder = own_folders().get(name)
    return in_memory or (None if folder is None else read_plan(folder).space.title)


def own_recorded(settings: Mapping[str, Any], **beside: Any) -> Any:
    """Return the table or function of the user's own that a run searched: one in memory, else the table's folder.

    Raises DataMissing where it is not here, DataCorrupt where what is here is another one.
    """
    if is_function(settings.get("source")):
        function = KNOWN_FUNCTIONS.get(str(settings["source"]))
        if function is None:
            raise DataMissing(
                f"the function {settings['benchmark']} of this run is not in this process: make it again by "
                "`gk.from_function`, and call `gk.search` with the same journal, which goes on"
            )
        return function
    name, source = str(settings["benchmark"]), str(settings["source"])
    protocol, fed_run = str(settings["protocol"]), int(settings.get("fed_run") or 0)
    if beside:
        raise InvalidParameter(f"{name} is a table, which has no setting {', '.join(beside)}")
    if (known := KNOWN.get((source, protocol, fed_run))) is not None:
        return known
    places = [Path(str(settings.get("folder") or "")), own_folders().get(name)]
    folder = next((place for place in places if place is not None and is_folder(place)), None)
    if folder is None:
        raise DataMissing(
            f"the table {name} of this run ({source}) is not here: call `gk.load_benchmark(FOLDER)` or `gk.tabular` "
            f"before in this process, or `genius-kit benchmark add FOLDER` once, which keeps it in {data_folder()}"
        )
    table = shared_folder(str(folder), protocol, fed_run)
    if table.source != source:
        raise DataCorrupt(
            f"the run was made on the {source}, and {folder} now is the {table.source}; put the files of then back"
        )
    return table
