"""The private tables that are at hand, each a benchmark under the name of its file."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from genius_kit import files
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.files import data_folder
from genius_kit.private.tables import PrivateTable, read_table

FOLDER = "private"
_DECIMALS = 4


def private_folders() -> list[Path]:
    """Return where private tables are looked for: in the data folder, then among those that came with the checkout."""
    return [data_folder() / FOLDER, Path(__file__).resolve().parents[2] / "data" / FOLDER]


def private_tables() -> dict[str, Path]:
    """Return the file of each private table by its name, in alphabetic order; nothing is read."""
    found = {path.stem: path for folder in reversed(private_folders()) for path in folder.glob("*.json")}
    return dict(sorted(found.items()))


def private_table(name: str) -> PrivateTable:
    """Return the table called `name`, one of `private_tables`; raises DataCorrupt where it is not sound."""
    path = private_tables()[name]
    return _read(path, path.stat().st_mtime_ns)


def add_table(table: str | Path) -> Path:
    """Copy a whole table, a file or the folder of a build, into the data folder and return where it is.

    Raises DataMissing and DataCorrupt as `read_table` does, InvalidParameter where another table of that name is there.
    """
    whole = read_table(table)
    content = json.dumps(whole.content(), separators=(",", ":")) + "\n"
    path = private_folders()[0] / f"{whole.plan.name}.json"
    if path.is_file() and path.read_text(encoding="utf-8") != content:
        raise InvalidParameter(f"{path} is another table of that name; build yours with another --name, or move it")
    files.make_folder(path.parent)
    files.write_whole(path, content)
    return path


def load_private(name: str, protocol: str, fed_run: int) -> TabularBenchmark:
    """Return the benchmark of a private table.

    "paper" shows the search the mean validation accuracy of all seeds and reports the mean test accuracy; "held-out"
    shows the validation accuracy of seed `fed_run` alone and reports the means of the other seeds.
    Raises InvalidParameter for a seed that the table has not, DataCorrupt.
    """
    table = private_table(name)
    seeds = table.plan.recipe.seeds
    if protocol == "held-out" and not (0 <= fed_run < seeds and seeds > 1):
        raise InvalidParameter(f"fed_run {fed_run} is not a seed of {name} beside others (0 to {seeds - 1})")
    fed = [fed_run] if protocol == "held-out" else list(range(seeds))
    others = [seed for seed in range(seeds) if seed not in fed] or fed
    rows = table.class_of_rows()
    validation, test = (table.accuracies(part)[rows] for part in ("validation", "test"))
    parameters, macs = table.costs()
    return TabularBenchmark(
        name=name,
        title=table.title,
        dataset="signals that were made for this table",
        space=table.plan.space,
        protocol=protocol,
        feedback_name="validation accuracy",
        columns={
            "feedback": _mean(validation[:, fed]),
            "validation": _mean(validation[:, others]),
            "test": _mean(test[:, others]),
        },
        parameters=parameters[rows],
        macs=macs[rows],
        source=table.source,
        fed_run=fed_run if protocol == "held-out" else 0,
    )


def _mean(seeds: np.ndarray) -> np.ndarray:
    mean: np.ndarray = np.round(seeds.mean(axis=1), _DECIMALS)
    return mean


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> PrivateTable:
    table = read_table(path)
    if table.plan.name != path.stem:
        raise DataCorrupt(f"{path} is the table of {table.plan.name}; call the file {table.plan.name}.json")
    return table
