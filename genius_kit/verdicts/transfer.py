"""Specialised or general: architectures found on one table, scored on the others, and how much rank they lose there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.benchmarks.noise import resolutions
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.journal import read_run
from genius_kit.proposers.methods import LANGUAGE_MODEL, ONE_SEARCH, counted_once, model_kind, shown_name, subject
from genius_kit.runs.provenance import marked
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.stats.paired import LEAST_PAIRS, holm_of, interval, pairs_needed, sign_flip_p
from genius_kit.verdicts.base import LEVEL, MARGIN, NOT_ENOUGH, Verdict

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

SPECIALISED, GENERAL = "specialised", "general"
KINDS = (SPECIALISED, GENERAL, NOT_ENOUGH)

Tables = Mapping[str, "TabularBenchmark"]
_COLUMNS = ("method", "source", "target", "seed", "key", "rank", "undecided", "top_percent", "regret", "is_fixed")


def carry(architecture: Sequence[int], source: SearchSpace, target: SearchSpace) -> Architecture:
    """Return the architecture of another space that takes the place of one: itself, or edge by edge by ROLES.

    Parameters
    ----------
    architecture
        One option index per position of `source`.
    source, target
        The two spaces.

    Raises
    ------
    InvalidParameter
        Spaces between which nothing can be carried, or an operation that `target` lacks.
    """
    design = source.check(architecture)
    if source.name == target.name:
        return design
    if not _is_carried(source, target):
        raise InvalidParameter(
            f"no architecture can be carried from {source.name} to {target.name}: it takes tables of one space, or of "
            "nas-bench-201 and the private cells"
        )
    return tuple(_replaced(source.options[option], target) for option in design)


def are_carried(results: pd.DataFrame) -> bool:
    """Return whether architectures are carried between all tables of the results of a study; without journals none is.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
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
    """Return the best architecture of every finished search, scored on every table: one row per search and target.

    Parameters
    ----------
    results
        Frame of `studies.results`, of at least two tables.
    tables
        Name -> table; None loads them as the journals name them.

    Returns
    -------
    pd.DataFrame
        method (the model, or the arm where none is asked), source, target, seed, key (of the architecture on the
        target), rank, undecided (ranks 1 to this one are one within the target's noise; 1 where single trainings are
        not known), top_percent, regret in the score's unit, is_fixed (the searches of the method on the source are
        one, which counts once, see `fixed_rules`).

    Raises
    ------
    InvalidParameter
        Fewer than two tables, repeated seeds, or spaces between which nothing is carried.
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
    if tables is not None and name in tables:
        return tables[name]
    journals = done.loc[(done["benchmark"] == name) & done["journal"].notna(), "journal"]
    if not len(journals):
        raise InvalidParameter(f"{name} is not among `tables` and none of its searches has a journal that names it")
    return recorded_benchmark(read_run(journals.iloc[0]).settings)


def _undecided(table: TabularBenchmark) -> int:
    """Return how many architectures are the best of a table within its noise; 1 without single trainings."""
    try:
        return int(resolutions([table])["undecided"].iloc[0])
    except (UnknownName, InvalidParameter):
        return 1


def _methods(done: pd.DataFrame) -> pd.Series:
    """Return the name of each run's method: the arm, the model in place of a plain llm, the prompt of several."""
    several = done["prompt"].nunique() > 1

    def named(row: pd.Series) -> str:
        arm, model = str(row["arm"]), row["model"]
        told = [shown_name(arm, model)]
        if model_kind(model) == LANGUAGE_MODEL:
            told = [model] if arm == "llm" else [arm, model]
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
        "top_percent": 100 * rank / target.count,
        "regret": float(scores.max() - scores[place]),
        "is_fixed": row["searches"] > 1,
    }


def transfer_matrix(moved: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method, source and target; the diagonal is the search on the table itself.

    Parameters
    ----------
    moved
        Frame of `transfers`.

    Returns
    -------
    pd.DataFrame
        method, source, target, n (searches), top_percent (geometric mean of the rank in percent of the table) with its
        95 % interval low to high, NaN below two searches, and the mean regret in the score's unit.
    """
    import pandas as pd

    rows = []
    for (method, source, target), group in moved.groupby(["method", "source", "target"], sort=False):
        logs = np.log(group["top_percent"].to_numpy(dtype=float))
        ends = interval(logs) if len(logs) >= LEAST_PAIRS else (logs.mean(), np.nan, np.nan)
        measured = dict(zip(("top_percent", "low", "high"), map(float, np.exp(ends)), strict=True))
        named = {"method": method, "source": source, "target": target, "n": len(group)}
        rows.append({**named, **measured, "regret": float(group["regret"].mean())})
    return marked(pd.DataFrame(rows), moved)


def transfer_verdicts(moved: pd.DataFrame, tables: Sequence[str] | None = None) -> list[Verdict]:
    """Return one verdict per method: are its architectures general, or special to the table where they were found?

    The loss of a pair of tables is how many times higher the rank on one is of the architecture found on the other,
    than of the architecture found there at the same seed; ranks that the table's noise cannot tell from 1 are one. Both
    directions of every pair are averaged seed by seed, so that how good the architectures are cancels out and only
    moving them counts; a seed is one observation. "general": the 95 % interval of the loss stays below a factor of 2
    (MARGIN). "specialised": it does not, and the loss is significant (sign flips, Holm's over the methods). "not enough
    runs": anything else, too few seeds, and a method whose searches are all one and the same, which counts once.

    Parameters
    ----------
    moved
        Frame of `transfers`.
    tables
        Names of the tables that count; None: all.

    Returns
    -------
    list[Verdict]
        Columns of their evidence: method, source, target, n, loss (how many times higher the rank on `target` is of
        what was found on `source` than of what was found there), low, high (95 %); the last row, of "all" tables, is
        what decides, with its p_value, corrected.

    Raises
    ------
    InvalidParameter
        A table has no searches of a method, its diagonal being what the others lose against.
    """
    import pandas as pd

    chosen = list(tables) if tables is not None else [str(name) for name in moved["source"].unique()]
    if len(chosen) < 2:
        raise InvalidParameter(f"a transfer needs at least two tables, got {', '.join(chosen) or 'none'}")
    methods = [str(name) for name in moved["method"].unique()]
    losses = {method: _losses(moved[moved["method"] == method], method, chosen) for method in methods}
    # of each method the mean over all pairs by seed, for the seeds that every table has
    means = {
        method: pd.concat(found.values(), axis=1).dropna().mean(axis=1).to_numpy() for method, found in losses.items()
    }
    corrected = holm_of({method: sign_flip_p(mean) for method, mean in means.items() if len(mean) >= LEAST_PAIRS})
    found = [_verdict(one, losses[one], means[one], corrected.get(one), len(corrected)) for one in methods]
    fixed = set(moved.loc[moved["is_fixed"], "method"]) if "is_fixed" in moved else set()
    return [
        replace(one, sentence=f"{subject(str(one.method))} has no verdict: {ONE_SEARCH}.")  # more of them would not do
        if one.kind == NOT_ENOUGH and one.method in fixed
        else one
        for one in found
    ]


def each_transfer(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict per method of a study that searches several tables and changes nothing in what is seen.

    None where no architecture can be carried between the tables.

    Parameters
    ----------
    results
        Frame of `studies.results`.

    Raises
    ------
    InvalidParameter
        As `transfer_verdicts` does.
    """
    changed = [name for name in ("control", "change", "principles") if results[name].notna().any()]
    done = results[results["reason"].notna() & results["rank"].notna()]
    if changed or done["benchmark"].nunique() < 2 or not are_carried(done):
        return []
    return transfer_verdicts(transfers(done))


def _losses(moved: pd.DataFrame, method: str, tables: list[str]) -> dict[tuple[str, str], pd.Series]:
    """Return for each ordered pair of tables the logarithm of the loss by seed."""
    ranks = moved.assign(logarithm=np.log(moved[["rank", "undecided"]].max(axis=1).astype(float)))
    logs = {
        (str(source), str(target)): rows.set_index("seed")["logarithm"]
        for (source, target), rows in ranks.groupby(["source", "target"])
    }
    present = {source for source, _ in logs}
    missing = [name for name in tables if name not in present]
    if missing:
        raise InvalidParameter(
            f"{method} was not searched on {', '.join(missing)}, so that nothing can be lost there: add it to "
            "`benchmarks` of the study and run it again, finished runs are kept"
        )
    return {
        (source, target): (logs[source, target] - logs[target, target]).dropna()
        for source, target in permutations(tables, 2)
    }


def _verdict(
    method: str, losses: dict[tuple[str, str], pd.Series], mean: np.ndarray, p_value: float | None, tests: int
) -> Verdict:
    import pandas as pd

    rows = [{"source": a, "target": b, **_loss(values.to_numpy())} for (a, b), values in losses.items()]
    whole = {"source": "all", "target": "all", **_loss(mean), "p_value": p_value}
    evidence = pd.DataFrame([{"method": method, **row} for row in (*rows, whole)])
    count, least = len(mean), pairs_needed(max(1, tests))
    tables = len({source for source, _ in losses})
    if count < least:
        reason = f"{count} seeds on all {tables} tables cannot reach p < {LEVEL} in {tests} tests, {least} are needed"
        sentence = f"{subject(method)} has not enough runs for a verdict: {reason}."
        return Verdict(sentence, NOT_ENOUGH, evidence, method=method)
    kind, start = _kind(method, whole)
    lost = mean[mean != 0]
    repeats = len(set(lost)) < len(lost) / 2  # most lost what another one did: their number is little evidence
    alike = "; most searches lost the same, so that their number may say little" if repeats else ""
    return Verdict(f"{start}: {_numbers(whole, losses, tables, tests)}{alike}.", kind, evidence, method=method)


def _loss(logs: np.ndarray) -> dict[str, Any]:
    if len(logs) < LEAST_PAIRS:
        return {"n": len(logs), **dict.fromkeys(("loss", "low", "high"), float("nan"))}
    return {"n": len(logs), **dict(zip(("loss", "low", "high"), map(float, np.exp(interval(logs))), strict=True))}


def _kind(method: str, whole: dict[str, Any]) -> tuple[str, str]:
    if whole["high"] < MARGIN:
        return GENERAL, f"{subject(method)} finds general architectures"
    if whole["p_value"] < LEVEL and whole["loss"] > 1:
        return SPECIALISED, f"{subject(method)} finds specialised architectures"
    return NOT_ENOUGH, f"{subject(method)} has not enough runs for a verdict"


def _numbers(whole: dict[str, Any], losses: Mapping[tuple[str, str], pd.Series], tables: int, tests: int) -> str:
    worst = max(losses, key=lambda pair: float(losses[pair].mean()))
    most = _loss(losses[worst].to_numpy())
    corrected = f", corrected for {tests} methods by Holm's rule" if tests > 1 else ""
    return (
        f"on another of the {tables} tables their rank is {whole['loss']:.2f} times as high as that of what is found "
        f"there (95 % interval {whole['low']:.2f} to {whole['high']:.2f}, n = {whole['n']} seeds, "
        f"p = {whole['p_value']:.2g}{corrected}); most is lost from {worst[0]} to {worst[1]}, {most['loss']:.2f} times "
        f"({most['low']:.2f} to {most['high']:.2f}); general means below {MARGIN:g} times"
    )
