"""The private tables that are at hand, each a benchmark under the name of its file."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit import files
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.errors import DataCorrupt, InvalidParameter
from genius_kit.files import data_folder
from genius_kit.private_tables import PrivateTable, read_table
from genius_kit.spaces import SearchSpace
from genius_kit.spaces.signal_cell import SignalRules

if TYPE_CHECKING:
    import numpy as np

FOLDER = "private"
_DECIMALS = 4


def private_folders() -> list[Path]:
    """Return where private tables are looked for: in the data folder, then among those that came with the checkout."""
    return [data_folder() / FOLDER, Path(__file__).resolve().parent.parent / "data" / FOLDER]


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


def private_space(name: str) -> SearchSpace:
    """Return the space that a private table lists."""
    return private_table(name).plan.space


def private_title(name: str) -> str:
    """Return the name of a private table for figures: "Private signals (my-signals)"."""
    return f"Private signals ({name})"


def private_source(table: PrivateTable) -> str:
    """Return what a run records as the source of its scores: the seal that proves which table it was.

    A table of the first format has none: there it is the commitment.
    """
    return f"private table, seal {table.seal}" if table.seal else f"private table, commitment {table.commitment}"


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
    rows = class_of_rows(table)
    validation, test = (accuracies(table, part)[rows] for part in ("validation", "test"))
    parameters, macs = trained_costs(table)
    return TabularBenchmark(
        name=name,
        title=private_title(name),
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
        source=private_source(table),
        fed_run=fed_run if protocol == "held-out" else 0,
    )


def private_runs(name: str) -> tuple[np.ndarray, str]:
    """Return the validation accuracy of every single training in percent, shape (size, seeds), and the source."""
    table = private_table(name)
    return accuracies(table, "validation")[class_of_rows(table)], private_source(table)


def accuracies(table: PrivateTable, part: str) -> np.ndarray:
    """Return the accuracy of every trained cell in percent, shape (cells, seeds), in the order of `plan.cells()`."""
    import numpy as np

    counts = [getattr(table.results[table.plan.key(cell)], part) for cell in table.plan.cells()]
    return 100 * np.array(counts, dtype=np.float64) / table.plan.task.samples


def _mean(seeds: np.ndarray) -> np.ndarray:
    import numpy as np

    mean: np.ndarray = np.round(seeds.mean(axis=1), _DECIMALS)
    return mean


def class_of_rows(table: PrivateTable) -> np.ndarray:
    """Return for every architecture of the space the place of its class among the trained cells."""
    import numpy as np

    return np.array(_places(table.plan.operations, table.plan.rules))


def trained_costs(table: PrivateTable) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and MACs of every trained cell, in the order of `plan.cells()`."""
    import numpy as np

    from genius_kit.spaces.signal_cell import cell_cost

    plan = table.plan
    sizes = plan.task.classes, plan.task.values
    costs = [cell_cost(cell, plan.operations, *sizes, plan.rules) for cell in plan.cells()]
    return np.array([cost.parameters for cost in costs]), np.array([cost.macs for cost in costs])


@lru_cache(maxsize=4)
def _places(operations: tuple[str, ...], rules: SignalRules) -> tuple[int, ...]:
    from genius_kit.spaces.signal_cell import cell_classes

    classes = cell_classes(operations, rules)
    place = {cell: number for number, cell in enumerate(sorted(set(classes.values())))}
    return tuple(place[first] for first in classes.values())


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> PrivateTable:
    table = read_table(path)
    if table.plan.name != path.stem:
        raise DataCorrupt(f"{path} is the table of {table.plan.name}; call the file {table.plan.name}.json")
    return table
