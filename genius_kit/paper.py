"""The figures printed in the paper, as runs of our form, checked against the tables, and our searches beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import missing_data
from genius_kit.chat import is_stand_in
from genius_kit.errors import UnknownName
from genius_kit.proposers.methods import distinct
from genius_kit.runs.batch import search_many
from genius_kit.runs.frames import by_method
from genius_kit.runs.provenance import PAPER_TABLES, marked

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Run
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

CHAT_FILES = ("chat_history/329M.json", "chat_history/401M.json")
CELLS = ("nas-bench-201-cifar10", "nas-bench-201-cifar100", "nas-bench-201-imagenet16-120")
MEASURED = "measured here, beside the paper's"
CHECKED = "checked against the published table, beside ours"
REPLAYED = "replayed from the published conversation"
REDRAWN = "redrawn from the printed figures; re-measuring takes an ImageNet training"
ITEMS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "figure 2": ("NAS-Bench-Macro, accuracy and rank by iteration, two temperatures", MEASURED, ("nas-bench-macro",)),
    "figure 3": ("Channel-Bench-Macro, by iteration", MEASURED, ("channel-bench-resnet", "channel-bench-mobilenet")),
    "table 1": (TITLES["table1"], MEASURED, CELLS),
    "table 2": (TITLES["table2"], REDRAWN, ()),
    "ImageNet trajectories": ("every reply of both conversations, evaluated or sent back", REPLAYED, CHAT_FILES),
    "table 3": (TITLES["table3"], REDRAWN, ()),
    "table 4": (TITLES["table4"], REDRAWN, ()),
    "table 5": (TITLES["table5"], NOT_MEASURED, ()),
    "table 6": (TITLES["table6"], NOT_MEASURED, ()),
    "table 7": (TITLES["table7"], CHECKED, ("nas-bench-macro",)),
    "table 8": (TITLES["table8"], CHECKED, ("nas-bench-macro",)),
    "table 9": (TITLES["table9"], CHECKED, ("channel-bench-resnet",)),
    "table 10": (TITLES["table10"], CHECKED, ("channel-bench-mobilenet",)),
    "table 11": (TITLES["table11"], CHECKED, CELLS[:1]),
    "table 12": (TITLES["table12"], CHECKED, CELLS[1:2]),
    "table 13": (TITLES["table13"], CHECKED, CELLS[2:]),
}
"""Figure or table of the paper -> what it shows, how it comes about here, the data that it needs."""

CONTROLS = ("random", "coordinate-descent", "prior")


@cache
def _tables() -> dict[str, Any]:
    return dict(json.loads(files("genius_kit").joinpath(PAPER_TABLES).read_text(encoding="utf-8")))


def paper_table(name: str) -> pd.DataFrame:
    """Return a table of the paper as printed: one row per method, or one per iteration of a trial.

    Accuracies are in percent; nested entries become columns such as `cifar10_test_mean`.

    Parameters
    ----------
    name
        A key of paper_tables.json or its beginning ("table1", "table8").

    Raises
    ------
    UnknownName
        No such table; the message lists the known ones.
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

    frames = [pd.DataFrame({"trial": number, "iteration": 0, **trial}) for number, trial in enumerate(trials, 1)]
    return pd.concat([one.assign(iteration=range(1, len(one) + 1)) for one in frames], ignore_index=True)


def paper_runs(benchmark: Benchmark, temperature: float = 0) -> list[pd.DataFrame]:
    """Return the paper's trials on a benchmark, one frame per trial, with the columns that figures read.

    Ranks are the printed ones (tables 7 to 10). Where the paper prints none (tables 11 to 13), they are the ranks
    that rows with the same rounded validation accuracy share in `benchmark`.

    Parameters
    ----------
    benchmark
        The table that the trials searched.
    temperature
        The paper's temperature.

    Raises
    ------
    UnknownName
        The paper reports no trials there.
    """
    frames = []
    for _, trial in _printed(benchmark, temperature).groupby("trial"):
        frame = trial.rename(columns=_COLUMNS).reset_index(drop=True)
        if "rank_best" in frame:
            frame["rank_worst"] = frame["rank_best"]
        else:
            frame = _with_ranks(frame, benchmark)
        frame["rank_of"] = benchmark.count
        frame["source"] = PAPER_TABLES
        frame["best_so_far"] = frame["feedback"].cummax()
        frames.append(frame)
    return frames


def _printed(benchmark: Benchmark, temperature: float) -> pd.DataFrame:
    """Return the table of the paper's trials on a benchmark; raises UnknownName where it prints none."""
    tables = TRIAL_TABLES.get(benchmark.name, {})
    if temperature not in tables:
        raise UnknownName(f"the paper prints no trials on {benchmark.name} at temperature {temperature:g}")
    return paper_table(tables[temperature])


def _with_ranks(frame: pd.DataFrame, benchmark: Any) -> pd.DataFrame:
    """Add the ranks that the scores within half a unit of the printed digit would have."""
    scores = benchmark.scores(by="feedback")
    half = 0.005  # accuracies are printed with two decimals
    best = [1 + int((scores > value + half).sum()) for value in frame["feedback"]]
    worst = [max(1, int((scores >= value - half).sum())) for value in frame["feedback"]]
    return frame.assign(rank_best=best, rank_worst=[max(pair) for pair in zip(best, worst, strict=True)])


def ours_beside_paper(benchmark: Benchmark, runs: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return one row per method: the paper's trials first, then each of `runs`.

    Parameters
    ----------
    benchmark
        The table that was searched.
    runs
        Name of a method -> its runs or their frames.

    Returns
    -------
    pd.DataFrame
        method, runs (n; 1 for a fixed rule, see `fixed_rules`), iterations (the longest), best_accuracy (the feedback),
        rank (mean over runs of the middle of the tie range), top_percent, and test_accuracy of the best found where any
        is known; each with its sample standard deviation over runs.
    """
    import pandas as pd

    methods = {**paper_methods(benchmark), **runs}
    table = marked(pd.DataFrame([summary(name, found) for name, found in methods.items()]), methods)
    if benchmark.feedback_name == "test accuracy":  # the same figure twice
        table = table.drop(columns=["test_accuracy", "test_accuracy_std"])
    return table.dropna(axis="columns", how="all")


def paper_methods(benchmark: Benchmark) -> dict[str, list[pd.DataFrame]]:
    """Return the paper's trials under the name of each temperature; empty where it reports none.

    Parameters
    ----------
    benchmark
        The table that the trials searched.
    """
    return {paper_label(t): paper_runs(benchmark, t) for t in sorted(TRIAL_TABLES.get(benchmark.name, {}))}


def paper_label(temperature: float) -> str:
    """Return the name of the paper's search in legends and tables."""
    return f"paper: GPT-4, temperature {temperature:g}"


def summary(method: str, runs: Sequence[Any]) -> dict[str, Any]:
    """Return mean and sample standard deviation over `runs` of the best accuracy and its rank.

    A deviation is missing for one search, which is also what all searches of a fixed rule are (see `fixed_rules`).
    """
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


def contents() -> pd.DataFrame:
    """Return every figure and table of the paper: `item`, `shows`, `here` (how it comes about), `missing` (data)."""
    import pandas as pd

    missing = {need: bool(missing_data([need])) for _, _, needs in ITEMS.values() for need in needs}
    rows = [
        {"item": item, "shows": shows, "here": how, "missing": ", ".join(need for need in needs if missing[need])}
        for item, (shows, how, needs) in ITEMS.items()
    ]
    return pd.DataFrame(rows)


def printed_trials(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return every printed evaluation of the paper's trials beside what the published table says.

    Parameters
    ----------
    benchmark
        The table that the trials searched.
    temperature
        The paper's temperature.

    Returns
    -------
    pd.DataFrame
        One row per evaluation: trial, iteration, accuracy (percent) and rank as printed (no rank in tables 11 to 13),
        rank_best to rank_worst, the ranks of rows with this accuracy (to two decimals), and agrees: whether the printed
        rank is one of them, or, without a printed rank, whether there is such a row. Tables 11 to 13 print accuracy
        and rank by test of what a trial picked: test_accuracy, test_rank, test_agrees, where the table knows them.

    Raises
    ------
    UnknownName
        The paper prints no trials there.
    """
    import pandas as pd

    printed = _printed(benchmark, temperature).to_dict("records")
    return pd.DataFrame([_checked(row, benchmark) for row in printed])


def printed_evidence(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return how many printed numbers of the paper's trials are in the published table, and how many chance would give.

    Parameters
    ----------
    benchmark
        The table that the trials searched.
    temperature
        The paper's temperature.

    Returns
    -------
    pd.DataFrame
        One row per kind of number: "accuracy and rank" (both must be right), "accuracy alone" (tables 11 to 13, by
        validation), "test accuracy and rank" (theirs, one per trial). `printed` are counted, `found` are in the table;
        `by_chance` is how often an arbitrary accuracy with two decimals, between the lowest and the highest printed
        one, has such a row: near 1 nothing is learnt from finding it.

    Raises
    ------
    UnknownName
        The paper prints no trials there.
    """
    import pandas as pd

    printed = printed_trials(benchmark, temperature)
    ranks = printed["rank"].tolist() if "rank" in printed else None
    kind = "accuracy alone" if ranks is None else "accuracy and rank"
    chance = _by_chance(printed["accuracy"].tolist(), ranks, benchmark, "feedback")
    rows = [{"figures": kind, "printed": len(printed), "found": int(printed["agrees"].sum()), "by_chance": chance}]
    if "test_rank" in printed:
        picked = printed.drop_duplicates("trial")
        chance = _by_chance(picked["test_accuracy"].tolist(), picked["test_rank"].tolist(), benchmark, "test")
        found = int(picked["test_agrees"].eq(True).sum())
        rows.append({"figures": "test accuracy and rank", "printed": len(picked), "found": found, "by_chance": chance})
    number = TRIAL_TABLES[benchmark.name][temperature].split("_")[0].replace("table", "table ")
    return pd.DataFrame([{"table": number, **row} for row in rows])


def _by_chance(accuracies: Sequence[float], ranks: Sequence[int] | None, benchmark: Any, by: str) -> float:
    """Return the share of two-decimal accuracies between those printed that a row has, with a printed rank if given."""
    span = range(round(100 * min(accuracies)), round(100 * max(accuracies)) + 1)
    found = [_ranks_of(accuracy / 100, benchmark, by) for accuracy in span]
    if ranks is None:
        return float(np.mean([ends is not None for ends in found]))
    return float(np.mean([[ends is not None and ends[0] <= rank <= ends[1] for ends in found] for rank in ranks]))


def best_places(benchmark: Benchmark, temperature: float = 0) -> pd.DataFrame:
    """Return at which evaluation each trial of the paper first has its best accuracy.

    One row per trial: `trial`, `evaluations`, `best_at` (from 1), `early`, whether that is in the first half (an odd
    one in the middle is not), and `by_chance`, its probability where the order of the evaluations does not matter.
    Raises UnknownName where the paper prints no trials.
    """
    import pandas as pd

    rows = []
    for trial, printed in printed_trials(benchmark, temperature).groupby("trial"):
        accuracies = printed["accuracy"].tolist()
        length, equal = len(accuracies), accuracies.count(max(accuracies))
        half, at = length // 2, accuracies.index(max(accuracies)) + 1
        chance = 1 - math.comb(length - half, equal) / math.comb(length, equal)
        rows.append({"trial": trial, "evaluations": length, "best_at": at, "early": at <= half, "by_chance": chance})
    return pd.DataFrame(rows)


def early_p(trials: pd.DataFrame) -> float:
    """Return the two-sided p-value of so many early best evaluations, from `early` and `by_chance` of `best_places`.

    Exact: twice the smaller tail of the sum of independent trials, the binomial law where all chances are one half.
    """
    law = np.ones(1)
    for chance in trials["by_chance"]:
        law = np.convolve(law, [1 - chance, chance])
    count = int(trials["early"].sum())
    return min(1.0, 2 * float(min(law[: count + 1].sum(), law[count:].sum())))


def _checked(row: dict[Any, Any], benchmark: Any) -> dict[str, Any]:
    accuracy = float(row["accuracy_percent"] if "accuracy_percent" in row else row["validation_accuracy_percent"])
    rank, found = row.get("rank"), _ranks_of(accuracy, benchmark, "feedback")
    checked = {
        "trial": row["trial"],
        "iteration": row["iteration"],
        "accuracy": accuracy,
        **({"rank": rank} if rank is not None else {}),
        "rank_best": found[0] if found else None,
        "rank_worst": found[1] if found else None,
        "agrees": found is not None and (rank is None or found[0] <= rank <= found[1]),
    }
    if "test_rank" in row and benchmark.rank(benchmark.space.all_largest, "test") is not None:
        by_test = _ranks_of(row["test_accuracy_percent"], benchmark, "test")
        checked |= {
            "test_accuracy": row["test_accuracy_percent"],
            "test_rank": row["test_rank"],
            "test_agrees": None if by_test is None else by_test[0] <= row["test_rank"] <= by_test[1],
        }
    return checked


def _ranks_of(accuracy: float, benchmark: Any, by: str) -> tuple[int, int] | None:
    """Return the best and the worst rank of the rows with this accuracy to the printed digits, None without a row."""
    scores = benchmark.scores(by)
    here = np.abs(scores - accuracy) < 0.005 + 1e-9  # printed with two decimals, a half either way
    if not here.any():
        return None
    best, worst = benchmark.ranks(by)
    return int(best[here].min()), int(worst[here].max())


def beside_paper(
    benchmark: Benchmark,
    model: str = "offline",
    seeds: int = 3,
    control_seeds: int = 40,
    budget: int = 10,
    output: str | Path | None = None,
    *,
    proposers: Sequence[str] = CONTROLS,
    first: str = "none",
    temperature: float | None = None,
    **settings: Any,
) -> dict[str, list[Run]]:
    """Run the searches that are drawn beside the paper's trials and return them by method.

    Parameters
    ----------
    benchmark
        The table to search.
    model
        Model to ask; "offline" is the rule-based stand-in.
    seeds
        Searches per temperature.
    control_seeds
        Searches of each proposer; of "prior", the largest option everywhere, one.
    budget
        Evaluations per search.
    output
        Folder of the model's journals, where the same call again resumes them; None keeps them in memory.
    proposers
        Searches without a model.
    first
        What every search evaluates first, as in `search_many`.
    temperature
        Of the replies; None: each that the paper reports. The stand-in has none and runs once.
    **settings
        What `search_many` takes beside: of the model (prompt, history, params, base_url), and limits of each search.
    """
    temperatures: list[float | None] = [temperature]
    if temperature is None and not is_stand_in(model):
        temperatures = [float(one) for one in sorted(TRIAL_TABLES.get(benchmark.name, {0: ""}))]
    runs: list[Run] = []
    for one in temperatures:
        asked: dict[str, Any] = {"model": model, "temperature": one, **settings, "output": output, "progress": False}
        runs += search_many(benchmark, "llm", range(seeds), budget, first=first, **asked)
    for name in proposers:
        count = 1 if name == "prior" else control_seeds
        runs += search_many(benchmark, name, range(count), budget, progress=False, first=first)
    return by_method(runs)
