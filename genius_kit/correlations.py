"""Rank correlation of a zero-cost proxy with the accuracies of a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.tabular import TabularBenchmark

COUNTED = ("parameters", "macs")
"""Proxies that a table already holds for every row."""

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
    low, high, kendall (tau-b), seconds_per_network.
    Raises UnknownName, InvalidParameter.
    """
    import pandas as pd

    names = [proxies] if isinstance(proxies, str) else list(proxies)
    if not 3 <= n <= benchmark.space.size:
        raise InvalidParameter(f"n {n} came, expected 3 to {benchmark.space.size}, the rows of {benchmark.name}")
    return pd.DataFrame([_correlation(name, benchmark, n, seed, by, seconds, settings) for name in names])


def _correlation(
    proxy: str,
    benchmark: TabularBenchmark,
    n: int,
    seed: int,
    by: str,
    seconds: float | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    import numpy as np
    from scipy import stats

    if proxy in COUNTED:
        rows, images, each = np.arange(benchmark.space.size), "none", 0.0
        scores = benchmark.evaluate_rows(rows)[proxy].astype(float)
    else:
        rows, scores, images, each = _scores(proxy, benchmark, n, seed, seconds, settings)
    accuracies = benchmark.scores(by)[rows]
    spearman = float(stats.spearmanr(scores, accuracies).statistic)
    low, high = (spearman, spearman) if proxy in COUNTED else _interval(scores, accuracies, seed)
    return {
        "proxy": proxy,
        "benchmark": benchmark.name,
        "accuracy": benchmark.feedback_name if by == "feedback" else f"{by} accuracy",
        "images": images,
        "n": len(rows),
        "spearman": spearman,
        "low": low,
        "high": high,
        "kendall": float(stats.kendalltau(scores, accuracies).statistic),
        "seconds_per_network": each,
    }


def _scores(
    proxy: str, benchmark: TabularBenchmark, n: int, seed: int, seconds: float | None, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Return rows, scores, what the images were, and the mean seconds a network."""
    import numpy as np

    from genius_kit.proxies import ProxyBenchmark

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
    from scipy import stats

    rng = np.random.default_rng(seed)
    draws = rng.integers(len(scores), size=(RESAMPLES, len(scores)))
    ranks = [stats.rankdata(values[draws], axis=1) for values in (scores, accuracies)]
    first, second = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spreads = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore"):  # a resample of one value has no coefficient
        coefficients = (first * second).sum(axis=1) / spreads
    low, high = np.nanpercentile(coefficients, [2.5, 97.5])
    return float(low), float(high)
