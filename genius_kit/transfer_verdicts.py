"""Specialised or general: how much rank the designs of each method lose when they are moved to another table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

from genius_kit.cards import Judged
from genius_kit.comparisons import LEAST_PAIRS, holm, interval, pairs_needed, sign_flip_p
from genius_kit.contrasts import LEVEL, MARGIN
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import ONE_SEARCH
from genius_kit.method_names import subject

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SPECIALISED, GENERAL, NOT_ENOUGH = "specialised", "general", "not enough runs"
KINDS = (SPECIALISED, GENERAL, NOT_ENOUGH)


@dataclass(frozen=True, repr=False)
class TransferVerdict(Judged):
    """What the searches of one `method` say: `sentence` to read aloud, `kind` one of KINDS, `evidence` one row a pair.

    Columns of `evidence`: method, source, target, n, loss (how many times higher the rank on `target` is of what was
    found on `source` than of what was found there), low, high (95 %); the last row, of "all" tables, is what decides,
    with its p_value, corrected.
    """

    sentence: str
    kind: str
    method: str
    evidence: pd.DataFrame


def transfer_verdicts(moved: pd.DataFrame, tables: Sequence[str] | None = None) -> list[TransferVerdict]:
    """Return one verdict a method of what `transfer_matrix.transfers` gives, over all its tables, or over those named.

    The loss of a pair of tables is how many times higher the rank on one is of the design found on the other, than of
    the design found there at the same seed; ranks that the table's noise cannot tell from 1 are one. Both directions
    of every pair are averaged seed by seed, so that how good the designs are cancels out and only moving them counts;
    a seed is one observation. "general": the 95 % interval of the loss stays below a factor of 2 (MARGIN).
    "specialised": it does not, and the loss is significant (sign flips, Holm's over the methods). "not enough runs":
    anything else, too few seeds, and a method whose searches are all one and the same, which counts once.

    Raises InvalidParameter where a table has no searches of a method, its diagonal being what the others lose against.
    """
    chosen = list(tables) if tables is not None else [str(name) for name in moved["source"].unique()]
    if len(chosen) < 2:
        raise InvalidParameter(f"tables {', '.join(chosen) or 'none'} came; a transfer takes at least two")
    methods = [str(name) for name in moved["method"].unique()]
    losses = {method: _losses(moved[moved["method"] == method], method, chosen) for method in methods}
    means = {method: _mean_loss(found) for method, found in losses.items()}
    tested = [method for method in methods if len(means[method]) >= LEAST_PAIRS]
    corrected = dict(zip(tested, holm([sign_flip_p(means[method]) for method in tested]), strict=True))
    found = [_verdict(method, losses[method], means[method], corrected.get(method), len(tested)) for method in methods]
    fixed = set(moved.loc[moved["is_fixed"], "method"]) if "is_fixed" in moved else set()
    return [_fixed(one) if one.kind == NOT_ENOUGH and one.method in fixed else one for one in found]


def _fixed(one: TransferVerdict) -> TransferVerdict:
    """Return the verdict on a method whose searches on a table are one search: more of them would not do."""
    return replace(one, sentence=f"{subject(one.method)} has no verdict: {ONE_SEARCH}.")


def each_transfer(results: pd.DataFrame) -> list[TransferVerdict]:
    """Return one verdict a method of a study that searches several tables and changes nothing in what is seen.

    None where no design can be carried between the tables. Raises InvalidParameter as `transfer_verdicts` does.
    """
    from genius_kit.transfer_matrix import are_carried, transfers

    changed = [name for name in ("control", "change", "principles") if results[name].notna().any()]
    done = results[results["reason"].notna() & results["rank"].notna()]
    if changed or done["benchmark"].nunique() < 2 or not are_carried(done):
        return []
    return transfer_verdicts(transfers(done))


def _losses(moved: pd.DataFrame, method: str, tables: list[str]) -> dict[tuple[str, str], pd.Series]:
    """Return for each ordered pair of tables the logarithm of the loss by seed."""
    import numpy as np

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


def _mean_loss(losses: dict[tuple[str, str], pd.Series]) -> np.ndarray:
    """Return the mean over all pairs by seed, for the seeds that every table has."""
    import pandas as pd

    found: np.ndarray = pd.concat(losses.values(), axis=1).dropna().mean(axis=1).to_numpy()
    return found


def _verdict(
    method: str, losses: dict[tuple[str, str], pd.Series], mean: np.ndarray, p_value: float | None, tests: int
) -> TransferVerdict:
    import pandas as pd

    rows = [{"source": a, "target": b, **_loss(values.to_numpy())} for (a, b), values in losses.items()]
    whole = {"source": "all", "target": "all", **_loss(mean), "p_value": p_value}
    evidence = pd.DataFrame([{"method": method, **row} for row in (*rows, whole)])
    count, least = len(mean), pairs_needed(max(1, tests))
    tables = len({source for source, _ in losses})
    if count < least:
        reason = f"{count} seeds on all {tables} tables cannot reach p < {LEVEL} in {tests} tests, {least} are needed"
        sentence = f"{subject(method)} has not enough runs for a verdict: {reason}."
        return TransferVerdict(sentence, NOT_ENOUGH, method, evidence)
    kind, start = _kind(method, whole)
    alike = "; most searches lost the same, so that their number may say little" if _repeats(mean[mean != 0]) else ""
    return TransferVerdict(f"{start}: {_numbers(whole, losses, tables, tests)}{alike}.", kind, method, evidence)


def _repeats(losses: np.ndarray) -> bool:
    """Return whether most searches lost what another one did: then their number is little evidence."""
    return len(set(losses)) < len(losses) / 2


def _loss(logs: np.ndarray) -> dict[str, Any]:
    import numpy as np

    if len(logs) < LEAST_PAIRS:
        return {"n": len(logs), **dict.fromkeys(("loss", "low", "high"), float("nan"))}
    return {"n": len(logs), **dict(zip(("loss", "low", "high"), map(float, np.exp(interval(logs))), strict=True))}


def _kind(method: str, whole: dict[str, Any]) -> tuple[str, str]:
    if whole["high"] < MARGIN:
        return GENERAL, f"{subject(method)} finds general designs"
    if whole["p_value"] < LEVEL and whole["loss"] > 1:
        return SPECIALISED, f"{subject(method)} finds specialised designs"
    return NOT_ENOUGH, f"{subject(method)} has not enough runs for a verdict"


def _numbers(
    whole: dict[str, Any], losses: dict[tuple[str, str], pd.Series], tables: int, tests: int
) -> str:  # fmt: skip
    worst = max(losses, key=lambda pair: float(losses[pair].mean()))
    most = _loss(losses[worst].to_numpy())
    corrected = f", corrected for {tests} methods by Holm's rule" if tests > 1 else ""
    return (
        f"on another of the {tables} tables their rank is {whole['loss']:.2f} times as high as that of what is found "
        f"there (95 % interval {whole['low']:.2f} to {whole['high']:.2f}, n = {whole['n']} seeds, "
        f"p = {whole['p_value']:.2g}{corrected}); most is lost from {worst[0]} to {worst[1]}, {most['loss']:.2f} times "
        f"({most['low']:.2f} to {most['high']:.2f}); general means below {MARGIN:g} times"
    )
