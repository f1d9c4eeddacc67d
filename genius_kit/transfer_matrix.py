"""Designs found on one table, scored on the others: see `transfer_verdicts` for what follows from it.

Searches of any study over several tables are read; nothing is searched anew. A cell is carried between NAS-Bench-201
and the private cells edge by edge: each operation becomes the one with its role there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.comparisons import LEAST_PAIRS, interval
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.fixed_rules import counted_once
from genius_kit.method_names import LANGUAGE_MODEL, model_kind, shown_name
from genius_kit.provenance import marked
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark

ROLES = (
    ("none", ("none",)),
    ("skip_connect", ("skip_connect",)),
    ("nor_conv_1x1", ("conv_1", "conv_3")),
    ("nor_conv_3x3", ("conv_3",)),
    ("avg_pool_3x3", ("shift_6",)),
)
"""Each operation of NAS-Bench-201 beside those of the private cells that take its place, the first that is there.

The last pair are the operations that mix neighbours without parameters. A convolution of kernel 1 becomes one of kernel
3 where the private cells have no other.
"""

Tables = Mapping[str, "TabularBenchmark"]
_COLUMNS = ("method", "source", "target", "seed", "key", "rank", "undecided", "top_percent", "regret", "is_fixed")


def carry(architecture: Sequence[int], source: SearchSpace, target: SearchSpace) -> Architecture:
    """Return the design of `target` that takes the place of one of `source`: itself, or edge by edge by ROLES.

    Raises InvalidParameter for spaces between which nothing can be carried, or where `target` lacks an operation.
    """
    design = source.check(architecture)
    if source.name == target.name:
        return design
    if not _is_carried(source, target):
        raise InvalidParameter(
            f"no design can be carried from {source.name} to {target.name}: it takes tables of one space, or of "
            "nas-bench-201 and the private cells"
        )
    return tuple(_replaced(source.options[option], target) for option in design)


def are_carried(results: pd.DataFrame) -> bool:
    """Return whether designs are carried between all tables of the results of a study; without journals none is."""
    from genius_kit.benchmarks.catalogue import recorded_benchmark
    from genius_kit.journal import read_run

    firsts = results[results["journal"].notna()].drop_duplicates("benchmark")
    spaces = [recorded_benchmark(read_run(path).settings).space for path in firsts["journal"]]
    if len(spaces) < results["benchmark"].nunique():
        return False
    return all(_is_carried(spaces[0], space) for space in spaces)


def _is_carried(source: SearchSpace, target: SearchSpace) -> bool:
    return source.name == target.name or (source.is_cell and target.is_cell)


def _replaced(operation: str, target: SearchSpace) -> int:
    """Return the option of `target` with the role of an operation."""
    candidates = [operation]
    for public, private in ROLES:
        candidates += [public, *private] if operation in (public, private[0]) else []
    found = [name for name in candidates if name in target.options]
    if not found:
        raise InvalidParameter(
            f"{target.name} has nothing in the place of {operation}: its operations are {', '.join(target.options)}"
        )
    return target.options.index(found[0])


def transfers(results: pd.DataFrame, tables: Tables | None = None) -> pd.DataFrame:
    """Return the best design of every finished search, scored on every table: one row a search and target.

    `results` is what `studies.results` returns, of at least two tables; `tables` gives those by name, else they are
    loaded as the journals name them. Columns: method (the model, or the arm where none is asked), source, target, seed,
    key (of the design on the target), rank, undecided (ranks 1 to this one are one within the target's noise; 1 where
    single trainings are not known), top_percent, regret in percentage points, is_fixed (the
    searches of the method on the source are one, which counts once, see `fixed_rules`).

    Raises InvalidParameter for fewer than two tables, repeated seeds, and spaces between which nothing is carried.
    """
    import pandas as pd

    done = counted_once(results[results["reason"].notna() & results["best_key"].notna()])
    names = [str(name) for name in done["benchmark"].unique()]
    if len(names) < 2:
        raise InvalidParameter(
            f"the results are of {', '.join(names) or 'no table'}; a transfer takes at least two: add to `benchmarks`"
        )
    known = {name: _table(name, done, tables) for name in names}
    undecided = {name: _undecided(table) for name, table in known.items()}
    methods = _methods(done)
    twice = done.assign(method=methods).duplicated(["method", "benchmark", "seed"])
    if twice.any():
        raise InvalidParameter(
            f"{methods[twice].iloc[0]} has a seed more than once on {done[twice]['benchmark'].iloc[0]}; keep one "
            "budget and one setting of each arm"
        )
    rows = [
        _scored(method, row, known[row["benchmark"]], known[target], undecided[target])
        for method, row in zip(methods, done.to_dict("records"), strict=True)
        for target in names
    ]
    return marked(pd.DataFrame(rows, columns=list(_COLUMNS)), done)


def _table(name: str, done: pd.DataFrame, tables: Tables | None) -> TabularBenchmark:
    from genius_kit.benchmarks.catalogue import recorded_benchmark
    from genius_kit.journal import read_run

    if tables is not None and name in tables:
        return tables[name]
    journals = done.loc[(done["benchmark"] == name) & done["journal"].notna(), "journal"]
    if not len(journals):
        raise InvalidParameter(f"{name} is not among `tables` and none of its searches has a journal that names it")
    return recorded_benchmark(read_run(journals.iloc[0]).settings)


def _undecided(table: TabularBenchmark) -> int:
    """Return how many designs are the best of a table within its noise; 1 where single trainings are not known."""
    from genius_kit.noise import resolutions

    try:
        return int(resolutions([table])["undecided"].iloc[0])
    except (UnknownName, InvalidParameter):
        return 1


def _methods(done: pd.DataFrame) -> pd.Series:
    """Return the name of each run's method: the arm, the model in place of a plain llm, the prompt of several."""
    several = done["prompt"].nunique() > 1

    def named(row: pd.Series) -> str:
        arm, model, kind = str(row["arm"]), row["model"], model_kind(row["model"])
        if kind == LANGUAGE_MODEL:
            told = [model] if arm == "llm" else [arm, model]
        else:
            told = [arm if kind is None else shown_name(arm, model)]
        return ", ".join([*told, *([row["prompt"]] if several and isinstance(row["prompt"], str) else [])])

    return done.apply(named, axis=1)


def _scored(
    method: str, row: Mapping[Any, Any], source: TabularBenchmark, target: TabularBenchmark, undecided: int
) -> dict[str, Any]:
    design = carry(source.space.decode(row["best_key"]), source.space, target.space)
    place, scores = target.space.index(design), target.scores()
    rank = sum(int(ends[place]) for ends in target.ranks()) / 2
    return {
        "method": method,
        "source": source.name,
        "target": target.name,
        "seed": int(row["seed"]),
        "key": target.space.key(design),
        "rank": rank,
        "undecided": undecided,
        "top_percent": 100 * rank / target.space.size,
        "regret": float(scores.max() - scores[place]),
        "is_fixed": row["searches"] > 1,
    }


def transfer_matrix(moved: pd.DataFrame) -> pd.DataFrame:
    """Return one row a method, source and target of what `transfers` gives; the diagonal is the search on the table.

    Columns: method, source, target, n (searches), top_percent (geometric mean of the rank in percent of the table)
    with its 95 % interval low to high, NaN below two searches, and the mean regret in percentage points.
    """
    import numpy as np
    import pandas as pd

    rows = []
    for (method, source, target), group in moved.groupby(["method", "source", "target"], sort=False):
        logs = np.log(group["top_percent"].to_numpy(dtype=float))
        ends = interval(logs) if len(logs) >= LEAST_PAIRS else (logs.mean(), np.nan, np.nan)
        measured = dict(zip(("top_percent", "low", "high"), map(float, np.exp(ends)), strict=True))
        named = {"method": method, "source": source, "target": target, "n": len(group)}
        rows.append({**named, **measured, "regret": float(group["regret"].mean())})
    return marked(pd.DataFrame(rows), moved)
