"""Rank correlation of a zero-cost proxy with the accuracies of a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark

COUNTED = ("parameters", "macs")
"""Proxies that a table already holds for every row."""

COLUMNS = (
    "proxy", "benchmark", "accuracy", "images", "n", "spearman", "low", "high", "kendall", "seconds_per_network",
    "counted", "gain", "gain_low", "gain_high",
)  # fmt: skip

RESAMPLES = 2_000  # of the bootstrap


def correlate(
    proxies: str | Sequence[str],
    benchmark: TabularBenchmark,
    *,
    n: int = 500,
    seed: int = 0,
    by: str = "feedback",
    seconds: float | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Return the rank correlation of each proxy with the accuracies of `benchmark`, one row a proxy.

    `parameters` and `macs` are compared over all rows, so that `low` and `high`, the bounds of the 95 % bootstrap
    interval of Spearman's coefficient, are the coefficient itself. The others are evaluated on a sample of `n`
    architectures drawn without repetition by `seed`, or on its first ones when `seconds` have passed; `settings`
    go to ProxyBenchmark (data set, batch size, image size). Columns: proxy, benchmark, accuracy, images, n, spearman,
    low, high, kendall (tau-b), seconds_per_network; and counted, gain, gain_low, gain_high: by how much Spearman's
    coefficient is above that of the better count of this table (`counted`) on the same architectures. The interval of
    the gain draws architectures anew for both, and holds for all sampled proxies together at 95 % (Bonferroni).
    Raises UnknownName, InvalidParameter.
    """
    import numpy as np
    import pandas as pd

    names = [proxies] if isinstance(proxies, str) else list(proxies)
    if not 3 <= n <= benchmark.space.size:
        raise InvalidParameter(f"n {n} came, expected 3 to {benchmark.space.size}, the rows of {benchmark.name}")
    counts = _counts(benchmark)
    best = max(COUNTED, key=lambda count: _spearman(counts[count], benchmark.scores(by)))
    sampled = max(1, sum(name not in COUNTED for name in names))
    found = []
    for name in names:
        if name in COUNTED:
            found.append(_correlation(name, benchmark, by, np.arange(benchmark.space.size), counts[name], seed))
            continue
        rows, scores, images, each = _scores(name, benchmark, n, seed, seconds, settings)
        row = _correlation(name, benchmark, by, rows, scores, seed)
        gain = _gain(scores, counts[best][rows], benchmark.scores(by)[rows], seed, sampled)
        found.append({**row, "images": images, "seconds_per_network": each, "counted": best, **gain})
    return pd.DataFrame(found, columns=list(COLUMNS))


def _counts(benchmark: TabularBenchmark) -> dict[str, np.ndarray]:
    """Return what every row of a table has in parameters and multiply-accumulates."""
    import numpy as np

    table = benchmark.evaluate_rows(np.arange(benchmark.space.size))
    return {name: table[name].astype(float) for name in COUNTED}


def _spearman(scores: np.ndarray, accuracies: np.ndarray) -> float:
    from scipy import stats

    return float(stats.spearmanr(scores, accuracies).statistic)


def _correlation(
    proxy: str, benchmark: TabularBenchmark, by: str, rows: np.ndarray, scores: np.ndarray, seed: int
) -> dict[str, Any]:
    from scipy import stats

    accuracies = benchmark.scores(by)[rows]
    spearman = _spearman(scores, accuracies)
    low, high = (spearman, spearman) if proxy in COUNTED else _interval(scores, accuracies, seed)
    return {
        "proxy": proxy,
        "benchmark": benchmark.name,
        "accuracy": benchmark.feedback_name if by == "feedback" else f"{by} accuracy",
        "images": "none",
        "n": len(rows),
        "spearman": spearman,
        "low": low,
        "high": high,
        "kendall": float(stats.kendalltau(scores, accuracies).statistic),
        "seconds_per_network": 0.0,
    }


def _scores(
    proxy: str, benchmark: TabularBenchmark, n: int, seed: int, seconds: float | None, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Return rows, scores, what the images were, and the mean seconds a network."""
    import numpy as np

    from genius_kit.benchmarks.proxies import ProxyBenchmark

    scorer = ProxyBenchmark(benchmark.space, proxy, **settings)
    rows = np.random.default_rng(seed).choice(benchmark.space.size, n, replace=False)
    scores: list[float] = []
    begun = time.perf_counter()
    for row in rows:
        if seconds is not None and len(scores) >= 3 and time.perf_counter() - begun > seconds:
            break
        feedback = scorer.evaluate(benchmark.space.at(int(row))).feedback
        assert feedback is not None
        scores.append(feedback)
    each = (time.perf_counter() - begun) / len(scores)
    images = f"{len(scorer.images)} {scorer.settings['dataset']}, {scorer.image_size} px"
    return rows[: len(scores)], np.array(scores), images, each


def _interval(scores: np.ndarray, accuracies: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of Spearman's coefficient, architectures drawn anew in pairs."""
    import numpy as np

    (coefficients,) = _resampled(seed, accuracies, scores)
    low, high = np.nanpercentile(coefficients, [2.5, 97.5])
    return float(low), float(high)


def _gain(
    scores: np.ndarray, counts: np.ndarray, accuracies: np.ndarray, seed: int, comparisons: int
) -> dict[str, float]:
    """Return by how much the coefficient of `scores` is above that of `counts`, with its interval."""
    import numpy as np

    ours, theirs = _resampled(seed, accuracies, scores, counts)
    tail = 2.5 / comparisons
    low, high = np.nanpercentile(ours - theirs, [tail, 100 - tail])
    gain = _spearman(scores, accuracies) - _spearman(counts, accuracies)
    return {"gain": gain, "gain_low": float(low), "gain_high": float(high)}


def _resampled(seed: int, accuracies: np.ndarray, *scores: np.ndarray) -> list[np.ndarray]:
    """Return Spearman's coefficients of each of `scores` over the same resamples of architectures."""
    import numpy as np
    from scipy import stats

    draws = np.random.default_rng(seed).integers(len(accuracies), size=(RESAMPLES, len(accuracies)))
    ranks = [stats.rankdata(values[draws], axis=1) for values in (accuracies, *scores)]
    first, *others = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):  # a resample of one value has no coefficient
        return [(first * rank).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (rank**2).sum(axis=1)) for rank in others]
