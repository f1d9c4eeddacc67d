"""What was found where networks are trained, or scored untrained: can they be told apart, is a proxy above counting?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.catalogue import title_of
from genius_kit.errors import InvalidParameter
from genius_kit.figures.conclusions.base import Conclusion, answer, conclude
from genius_kit.runs.frames import Runs, frames_of
from genius_kit.stats import Estimate, share_difference, share_of
from genius_kit.texts import UNKNOWN, is_known, number, span

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.trained import TrainedBenchmark


PARTS = {"test_accuracy": "test", "validation_accuracy": "validation"}


def training_conclusion(benchmark: TrainedBenchmark, runs: Runs) -> Conclusion:
    """Return which trained network is the best by validation, and how many others its test accuracy tells from it.

    Every network counts once. Intervals are those of shares of images: they know nothing of another seed of the
    training. Where there are no test images validation takes their place.

    Parameters
    ----------
    benchmark
        The benchmark "train" that the searches used.
    runs
        Name of a method -> its searches.
    """
    networks, failed = _networks(runs)
    if networks.empty:
        row, note = {"trained": "0", "failed": str(failed)}, "The column `failure` of the table of runs says why."
        headline = "No training had a result, so there is nothing to compare."
        return conclude(headline, [row], "Trainings", note, words=0)
    judge = "test_accuracy" if networks["test_accuracy"].notna().all() else "validation_accuracy"
    sizes = {column: len(benchmark.data.split(part)) for column, part in PARTS.items()}
    best = networks.iloc[int(networks["validation_accuracy"].argmax())]
    others = networks[networks["key"] != best["key"]]
    apart = {row["key"]: _beside(row[judge], best[judge], sizes[judge], len(others)) for _, row in others.iterrows()}
    rows = [_network_row(row, apart.get(row["key"]), sizes, judge) for _, row in networks.iterrows()]
    note = (
        f"Accuracy with the 95 % interval of its {sizes['validation_accuracy']:,} validation and "
        f"{sizes['test_accuracy']:,} test images (Wilson); difference in points, {PARTS[judge]} (Newcombe, Bonferroni "
        f"over {len(others)}). Each network is trained once: the intervals leave out the variation between seeds. "
        f"Trainings that failed: {failed}."
    )
    told = f"{number(best['validation_accuracy'])} %"
    told += f", {number(best['test_accuracy'])} % on test" if judge == "test_accuracy" else ""
    differ = sum(one.sign != 0 for one in apart.values())
    compared = (
        f"{differ} of {len(others)} others differ from it (95 % intervals)" if len(others) else "no other to compare"
    )
    headline = f"Best by validation of {len(networks)} trained networks: {best['key']}, {told}; {compared}."
    return conclude(headline, rows, benchmark.title, note, words=2)


def _networks(runs: Runs) -> tuple[pd.DataFrame, int]:
    """Return one row a trained network, with the methods that proposed it, and how many trainings failed."""
    import pandas as pd

    frames = [frame.assign(method=name) for name, some in frames_of(runs).items() for frame in some]
    every = pd.concat(frames, ignore_index=True)
    methods = every.groupby("key")["method"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    each = every.drop_duplicates("key").assign(method=lambda frame: frame["key"].map(methods))
    accuracies = ["validation_accuracy", "test_accuracy"]
    each[accuracies] = each[accuracies].astype(float)
    known = each["validation_accuracy"].notna()
    return each[known], int((~known).sum())


def _beside(accuracy: float, best: float, images: int, comparisons: int) -> Estimate:
    hits = [round(value / 100 * images) for value in (accuracy, best)]
    return share_difference(hits[0], images, hits[1], images, comparisons=comparisons)


def _network_row(row: Any, beside: Estimate | None, sizes: dict[str, int], judge: str) -> dict[str, str]:
    cells = {f"{part} (%)": _accuracy(row[column], sizes[column]) for column, part in reversed(PARTS.items())}
    apart = "the best by validation" if beside is None else _signed(beside, "higher", "lower")
    return {"network": row["key"], "proposed by": row["method"], **cells, f"{PARTS[judge]} beside the best": apart}


def _accuracy(accuracy: float, images: int) -> str:
    if accuracy != accuracy:
        return UNKNOWN
    share = share_of(round(accuracy / 100 * images), images)
    return span(accuracy, 100 * share.low, 100 * share.high)


def _signed(estimate: Estimate, above: str, below: str, scale: float = 100, digits: int = 1) -> str:
    """Return a difference with its interval and what it says, as a table prints it."""
    value, low, high = (f"{scale * one:+.{digits}f}" for one in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high}), {answer(estimate, above, below)}"


def proxy_conclusion(correlations: pd.DataFrame) -> Conclusion:
    """Return which proxies order networks better than counting.

    Better or worse only where the interval of the difference, over the same networks, says so.

    Parameters
    ----------
    correlations
        Frame of `correlations.correlate`.
    """
    if correlations.empty:
        raise InvalidParameter("no proxy was given; name some, such as naswot or synflow")
    found = correlations.to_dict("records")
    gains = [Estimate(row["gain"], row["gain_low"], row["gain_high"], 0.0) for row in found if is_known(row["gain"])]
    titles = ", ".join(title_of(str(name)) for name in correlations["benchmark"].unique())
    note = (
        "Spearman's rank correlation with the accuracies of the table, over every network or over n drawn by a seed. "
        "Above counting: its difference from the better of parameters and multiply-accumulates on the same networks "
        "(paired bootstrap, Bonferroni over the scores)."
    )
    return conclude(_proxy_headline(titles, found, gains), list(map(_proxy_row, found)), titles, note, words=2)


def _proxy_headline(titles: str, found: list[dict[Any, Any]], gains: list[Estimate]) -> str:
    if not gains:
        return f"{titles}: no untrained score was computed, so there is nothing to compare with counting."
    better, worse = (sum(gain.sign == sign for gain in gains) for sign in (1, -1))
    n = min(row["n"] for row in found)
    return (
        f"{titles}: {better} of {len(gains)} untrained scores order networks better than counting, {worse} worse "
        f"(95 % intervals, n = {n:,} networks)."
    )


def _proxy_row(row: dict[Any, Any]) -> dict[str, str]:
    sampled = is_known(row["gain"])
    gain = Estimate(row["gain"], row["gain_low"], row["gain_high"], 0.0)
    low = row["low"] if sampled else None
    return {
        "score": row["proxy"],
        "images": row["images"],
        "n": f"{row['n']:,}",
        "Spearman (95 %)": span(row["spearman"], low, row["high"]),
        "above counting (95 %)": _signed(gain, "better", "worse", 1, 2) if sampled else UNKNOWN,
    }
