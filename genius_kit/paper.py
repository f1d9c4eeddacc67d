"""The figures printed in the paper, in the same form as our own runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from genius_kit.errors import UnknownName
from genius_kit.fixed_rules import distinct
from genius_kit.provenance import PAPER_TABLES, marked

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from genius_kit.benchmarks import Benchmark
    from genius_kit.spaces import Architecture

TRIAL_TABLES: dict[str, dict[float, str]] = {
    "nas-bench-macro": {0: "table8_nas_bench_macro_temperature0", 1: "table7_nas_bench_macro_temperature1"},
    "channel-bench-resnet": {0: "table9_channel_bench_resnet_temperature0"},
    "channel-bench-mobilenet": {0: "table10_channel_bench_mobilenet_temperature0"},
    "nas-bench-201-cifar10": {0: "table11_nas_bench_201_cifar10"},
    "nas-bench-201-cifar100": {0: "table12_nas_bench_201_cifar100"},
    "nas-bench-201-imagenet16-120": {0: "table13_nas_bench_201_imagenet16_120"},
}
"""Which table of the paper prints the trials on a benchmark, by sampling temperature."""

TITLES = {
    "table1": "NAS-Bench-201, accuracy (%) of the architecture that each method picks",
    "table2": "ImageNet, 224 pixels: accuracy, FLOPs (multiply-accumulates) and search cost",
    "table3": "Ablation: training epochs during the search, at 224 pixels",
    "table4": "Ablation: input size during the search, at 20 epochs",
    "table5": "Transfer to CIFAR-10 and CIFAR-100",
    "table6": "RetinaNet on COCO, by backbone",
    "table7": "NAS-Bench-Macro, trials at temperature 1",
    "table8": "NAS-Bench-Macro, trials at temperature 0",
    "table9": "Channel-Bench-Macro ResNet, trials at temperature 0",
    "table10": "Channel-Bench-Macro MobileNet, trials at temperature 0",
    "table11": "NAS-Bench-201 CIFAR-10, trials",
    "table12": "NAS-Bench-201 CIFAR-100, trials",
    "table13": "NAS-Bench-201 ImageNet16-120, trials",
}
"""What each table of the paper shows, in our words."""

NOT_MEASURED = "as printed, not re-measured"
SOURCE = "Zheng et al., arXiv:2304.10970v4"
_COLUMNS = {
    "accuracy_percent": "feedback",
    "validation_accuracy_percent": "feedback",
    "test_accuracy_percent": "test_accuracy",
    "rank": "rank_best",
}


@cache
def _tables() -> dict[str, Any]:
    from importlib.resources import files

    text = files("genius_kit").joinpath(PAPER_TABLES).read_text(encoding="utf-8")
    return dict(json.loads(text))


def paper_table(name: str) -> pd.DataFrame:
    """Return a table of the paper as printed: one row a method, or one row an iteration of a trial.

    `name` is a key of paper_tables.json or its beginning ("table1", "table8"). Accuracies are in percent; nested
    entries become columns such as `cifar10_test_mean`. Raises UnknownName, which lists the known tables.
    """
    import pandas as pd

    tables = {key: value for key, value in _tables().items() if key.startswith("table")}
    key = next((key for key in tables if name in (key, key.split("_")[0])), None)
    if key is None:
        raise UnknownName(f"the paper has no table {name!r} here; the known ones are {', '.join(tables)}")
    rows = tables[key]
    if isinstance(rows, dict):
        table = pd.DataFrame(rows)
    elif any(isinstance(value, list) for value in rows[0].values()):
        table = _trials_as_rows(rows)
    else:
        table = pd.json_normalize(rows, sep="_")
    return marked(table, pd.DataFrame({"source": [PAPER_TABLES]}))


def paper_architecture(name: str) -> Architecture:
    """Return a network of the paper, "GENIUS-329" or "GENIUS-401"; raises UnknownName."""
    architectures = _tables()["architectures"]
    if name not in architectures:
        raise UnknownName(f"the paper has no network {name!r} here; it has {', '.join(architectures)}")
    return tuple(architectures[name])


def _trials_as_rows(trials: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for number, trial in enumerate(trials, 1):
        frame = pd.DataFrame({**trial, "trial": number})
        frame["iteration"] = range(1, len(frame) + 1)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    return table[["trial", "iteration", *(name for name in table if name not in ("trial", "iteration"))]]


def paper_runs(benchmark: Benchmark, temperature: float = 0) -> list[pd.DataFrame]:
    """Return the paper's trials on `benchmark`, one frame a trial, with the columns that the figures read.

    Ranks are the printed ones (tables 7 to 10). Where the paper prints none (tables 11 to 13), they are the ranks
    that rows with the same rounded validation accuracy share in `benchmark`. Raises UnknownName where the
    paper reports no trials.
    """
    tables = TRIAL_TABLES.get(benchmark.name, {})
    if temperature not in tables:
        raise UnknownName(f"the paper prints no trials on {benchmark.name} at temperature {temperature:g}")
    frames = []
    for _, trial in paper_table(tables[temperature]).groupby("trial"):
        frame = trial.rename(columns=_COLUMNS).reset_index(drop=True)
        if "rank_best" in frame:
            frame["rank_worst"] = frame["rank_best"]
        else:
            frame = _with_ranks(frame, benchmark)
        frame["rank_of"] = benchmark.space.size
        frame["source"] = PAPER_TABLES
        frame["best_so_far"] = frame["feedback"].cummax()
        frames.append(frame)
    return frames


def _with_ranks(frame: pd.DataFrame, benchmark: Any) -> pd.DataFrame:
    """Add the ranks that the scores within half a unit of the printed digit would have."""
    scores = benchmark.scores(by="feedback")
    half = 0.005  # accuracies are printed with two decimals
    best = [1 + int((scores > value + half).sum()) for value in frame["feedback"]]
    worst = [max(1, int((scores >= value - half).sum())) for value in frame["feedback"]]
    return frame.assign(rank_best=best, rank_worst=[max(pair) for pair in zip(best, worst, strict=True)])


def ours_beside_paper(benchmark: Benchmark, runs: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return one row a method: the paper's trials first, then each of `runs` (name -> runs or frames).

    Columns: `method`, `runs` (n, of a fixed rule 1, see `fixed_rules`), `iterations` (the longest), `best_accuracy`
    (the feedback) and `rank` of the best found with their sample standard deviations over runs, `top_percent`, and the
    `test_accuracy` of the best found, with its standard deviation, where any is known. The rank is the mean over runs
    of the middle of the tie range, not the rank of the mean.
    """
    import pandas as pd

    methods = {**paper_methods(benchmark), **runs}
    table = marked(pd.DataFrame([summary(name, found) for name, found in methods.items()]), methods)
    if benchmark.feedback_name == "test accuracy":  # the same figure twice
        table = table.drop(columns=["test_accuracy", "test_accuracy_std"])
    return table.dropna(axis="columns", how="all")


def paper_methods(benchmark: Benchmark) -> dict[str, list[pd.DataFrame]]:
    """Return the paper's trials on `benchmark` under the name of each temperature; none where it reports none."""
    return {paper_label(t): paper_runs(benchmark, t) for t in sorted(TRIAL_TABLES.get(benchmark.name, {}))}


def paper_label(temperature: float) -> str:
    """Return the name of the paper's search in legends and tables."""
    return f"paper: GPT-4, temperature {temperature:g}"


def summary(method: str, runs: Sequence[Any]) -> dict[str, Any]:
    """Return mean and sample standard deviation over `runs` of the best accuracy and its rank.

    A deviation is missing for one search, which is also what all searches of a fixed rule are (see `fixed_rules`).
    """
    import numpy as np
    import pandas as pd

    frames = distinct([run if hasattr(run, "columns") else run.frame() for run in runs])
    rows = [frame.loc[frame["feedback"].astype(float).idxmax()] for frame in frames]
    best = np.array([row["feedback"] for row in rows], dtype=float)
    ranks = np.array([(row["rank_best"] + row["rank_worst"]) / 2 for row in rows], dtype=float)
    tested = np.array([row["test_accuracy"] for row in rows if pd.notna(row.get("test_accuracy"))], dtype=float)
    return {
        "method": method,
        "runs": len(rows),
        "iterations": max(len(frame) for frame in frames),
        "best_accuracy": best.mean(),
        "best_accuracy_std": _deviation(best),
        "rank": ranks.mean(),
        "rank_std": _deviation(ranks),
        "test_accuracy": tested.mean() if len(tested) else None,
        "test_accuracy_std": _deviation(tested),
        "top_percent": 100 * ranks.mean() / rows[0]["rank_of"],
    }


def _deviation(values: np.ndarray) -> float | None:
    """Return the sample standard deviation, None below two values."""
    return float(values.std(ddof=1)) if len(values) > 1 else None
