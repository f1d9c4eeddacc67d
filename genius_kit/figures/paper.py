"""The paper's tables and searches as pictures, ours beside them where the data allow it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.figures.axes import accuracy_axis, finish, log_axis, new_figure, outer_legend, rank_axis, row_axis
from genius_kit.figures.layout import name_points
from genius_kit.figures.runs import best_accuracy, best_rank, draw_searches
from genius_kit.figures.style import BLACK, BLUE, GREY, VERMILION, styles
from genius_kit.journal import read_run
from genius_kit.paper import CHAT_FILES, paper_methods, paper_table, summary
from genius_kit.prompts.published import Conversation, Slip, read_conversation
from genius_kit.proposers.methods import distinct, n_text
from genius_kit.runs.batch import replay_conversation
from genius_kit.runs.frames import Runs, frames_of, longest, middle_rank
from genius_kit.runs.provenance import marked
from genius_kit.spaces import recorded_space
from genius_kit.spaces.costs import MacsBound, count_cost
from genius_kit.texts import unit_sign

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.journal import Run

DATA_SETS = {
    "nas-bench-201-cifar10": ("cifar10", "CIFAR-10"),
    "nas-bench-201-cifar100": ("cifar100", "CIFAR-100"),
    "nas-bench-201-imagenet16-120": ("imagenet16_120", "ImageNet16-120"),
}
"""Benchmark -> how table 1 names its columns, and what a reader calls it."""

ABLATIONS = (("table3", "epochs", "224 pixels"), ("table4", "input_size", "20 epochs"))
"""Table of the paper, what it varies, what it leaves as it is."""

PRINTED = "as printed"
PICKED = {
    "validation_mean": "best_accuracy", "validation_std": "best_accuracy_std", "test_mean": "test_accuracy",
    "test_std": "test_accuracy_std", "n": "runs",
}  # fmt: skip
"""Column of `table_1` -> the entry of `paper.summary` that it shows of our methods."""

_SHOWN = 8  # trials per panel whose evaluations are joined by a line


def table_1(ours: Mapping[str, Mapping[str, Sequence[Any]]] | None = None) -> pd.DataFrame:
    """Return table 1 of the paper with our methods below: accuracy (percent) of what a search picks by validation.

    Parameters
    ----------
    ours
        Benchmark -> method -> runs.

    Returns
    -------
    pd.DataFrame
        One row per method and data set: method, data_set, validation_mean, validation_std, test_mean, test_std and n
        searches (missing for rows of the paper, which does not say it).
    """
    import pandas as pd

    printed = paper_table("table1").to_dict("records")
    rows: list[dict[str, Any]] = []
    for benchmark, (column, title) in DATA_SETS.items():
        for row in printed:
            kinds = {f"{k}_{m}": row[f"{column}_{k}_{m}"] for k in ("validation", "test") for m in ("mean", "std")}
            rows.append({"method": row["method"], "data_set": title, **kinds, "n": None, "origin": PRINTED})
        for method, runs in (ours or {}).get(benchmark, {}).items():
            found = summary(method, runs)
            picked = {name: found[told] for name, told in PICKED.items()}
            rows.append({"method": method, "data_set": title, **picked, "origin": "ours"})
    own = [run for methods in (ours or {}).values() for runs in methods.values() for run in runs]
    return marked(pd.DataFrame(rows), own)


def table_1_figure(table: pd.DataFrame) -> Figure:
    """Draw table 1: test accuracy with its sample standard deviation, one panel per data set.

    Filled is measured here, open is as printed; methods below 0.85 of the best lie left of the axis and say so.

    Parameters
    ----------
    table
        Frame of `table_1`.
    """
    titles = list(dict.fromkeys(table["data_set"]))
    methods = list(dict.fromkeys(table["method"]))
    figure, axes = new_figure(1, len(titles), sharey=True)
    figure.set_size_inches(8.6, 1.3 + 0.24 * len(methods))
    for panel, title in zip(axes, titles, strict=True):
        _draw_methods(panel, table[table["data_set"] == title].set_index("method"), methods)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("test accuracy (%)")
    row_axis(axes[0], methods, room=0.4, fontsize=8)
    note = "open: as printed in table 1; filled: measured here; bars: sample standard deviation"
    figure.supxlabel(note, fontsize=8, color="#555555")
    return finish(figure, axes)


def _draw_methods(panel: Axes, here: pd.DataFrame, methods: Sequence[str]) -> None:
    known = here["test_mean"].dropna().astype(float)
    spreads = here["test_std"].astype(float).fillna(0.0)
    floor = 0.85 * known.max()
    for row, method in enumerate(methods):
        if method not in known:
            continue
        value, printed = float(known[method]), bool(here.loc[method, "origin"] == PRINTED)
        if value < floor:
            panel.annotate(f"← {value:.1f}", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=7)
            continue
        colour = (BLACK if method == "GENIUS" else GREY) if printed else styles(methods)[method].colour
        panel.errorbar(
            [value], [row], xerr=[float(spreads[method])], color=colour, linewidth=1.2, markersize=5.5,
            marker="o" if printed else styles(methods)[method].marker, markerfacecolor="white" if printed else colour,
        )  # fmt: skip
    shown = known[known >= floor]
    low, high = float((shown - spreads[shown.index]).min()), float((shown + spreads[shown.index]).max())
    panel.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    panel.grid(axis="y", visible=False)


def table_2_figure() -> Figure:
    """Draw the paper's table 2, every method named: top-1 accuracy against FLOPs (above) and search cost (below).

    All figures are as printed. A method without a printed search cost stands in the upper panel only.
    """
    table, columns = paper_table("table2"), ("flops_millions", "search_cost_gpu_days")
    figure, panels = new_figure(2, 1)
    figure.set_size_inches(6.8, 8.2)
    for panel, column in zip(panels, columns, strict=True):
        known = table.dropna(subset=[column])
        is_ours = known["method"].str.startswith("GENIUS")
        for rows, colour, marker in ((known[~is_ours], GREY, "s"), (known[is_ours], BLACK, "o")):
            panel.plot(rows[column], rows["top1_percent"], marker, color=colour, markersize=5)
        panel.set(ylabel="top-1 accuracy (%), as printed")
    panels[0].set(xlabel="FLOPs (multiply-accumulates), millions")
    missing = int(table["search_cost_gpu_days"].isna().sum())
    panels[1].set(xlabel=f"search cost (GPU days); {missing} methods of table 2 print none")
    log_axis(panels[1])
    for panel in panels:
        panel.margins(x=0.08, y=0.08)
    for panel, column in zip(panels, columns, strict=True):
        known = table.dropna(subset=[column])
        name_points(panel, list(zip(known[column], known["top1_percent"], known["method"], strict=True)))
    return finish(figure, panels)


def ablation_table() -> pd.DataFrame:
    """Return the paper's tables 3 and 4 below one another, as printed, with the column `varied`."""
    import pandas as pd

    parts = [paper_table(name).assign(varied=varied) for name, varied, _ in ABLATIONS]
    return pd.concat(parts, ignore_index=True)


def ablation_figure() -> Figure:
    """Draw the paper's ablations (tables 3 and 4): accuracy and search cost by epochs and by input size, as printed."""
    figure, panels = new_figure(2, 2, sharex="col", sharey="row")
    figure.set_size_inches(6.4, 4.2)
    for column, (table, varied, fixed) in enumerate(ABLATIONS):
        rows = paper_table(table)
        accuracy, cost = panels[column], panels[2 + column]
        accuracy.plot(rows[varied], rows["top1_percent"], color=BLACK, marker="o", linestyle="-")
        cost.plot(rows[varied], rows["search_cost_gpu_days"], color=BLUE, marker="s", linestyle="--")
        accuracy.set_title(f"{table.replace('table', 'table ')}: {fixed}", fontsize=9)
        cost.set_xlabel(varied.replace("_", " ") + (" (pixels)" if varied == "input_size" else ""))
        cost.set_xticks(rows[varied])
    panels[0].set_ylabel("top-1 (%) after\nfull training")
    panels[2].set_ylabel("search cost\n(GPU days)")
    figure.supxlabel("as printed in the paper; one search each, nothing re-measured", fontsize=8, color="#555555")
    return finish(figure, panels)


def paper_comparison(benchmark: Any, runs: Runs) -> Figure:
    """Draw what the paper's figure 2 draws, beside ours: accuracy (above) and rank (below) of every trial.

    One column per temperature of the paper, then one per method. Grey is what was evaluated; the method's colour
    is the best so far: its mean over trials, in a band that holds the middle 80 % of them. A method that evaluates a
    single architecture is a line across every column. Ranks of the paper are the printed ones, or found from the
    accuracy where none are.

    Parameters
    ----------
    benchmark
        The table that was searched.
    runs
        Name of a method -> its runs.
    """
    methods = frames_of({**paper_methods(benchmark), **runs})
    columns = {name: frames for name, frames in methods.items() if longest(frames) > 1} or methods
    singles = {name: frames[0] for name, frames in methods.items() if name not in columns}
    figure, axes = new_figure(2, len(columns), sharey="row", sharex=True)
    above, below = axes[: len(columns)], axes[len(columns) :]
    for accuracy, rank, (name, frames) in zip(above, below, columns.items(), strict=True):
        _draw_trials(accuracy, {name: frames}, _accuracy, best_accuracy, singles)
        _draw_trials(rank, {name: frames}, middle_rank, best_rank, singles)
        title = [*textwrap.wrap(name, 24), n_text(len(frames), len(distinct(frames)))]
        accuracy.set_title("\n".join(title), fontsize=9)
        rank.set_xlabel("iteration")
    above[0].set_ylabel(textwrap.fill(f"{benchmark.feedback_name} ({unit_sign(benchmark.unit)})", 24))
    below[0].set_ylabel("rank (1 is best)")
    accuracy_axis(above[0], np.concatenate([_accuracy(frame) for some in methods.values() for frame in some]))
    rank_axis(below[0])
    note = "grey: each evaluation; colour: best so far, mean over n trials and the middle 80 % of them"
    note += "".join(f"; dashed: {name}" for name in singles)
    figure.supxlabel(note, fontsize=8, color="#555555")
    for axis in axes:
        axis.tick_params(labelsize=8)
    return finish(figure, axes)


def _accuracy(frame: pd.DataFrame) -> pd.Series:
    return frame["feedback"].astype(float)


def _draw_trials(panel: Axes, method: Runs, read: Any, best: Any, singles: Mapping[str, pd.DataFrame]) -> None:
    """Draw what each trial of one method evaluated and found, by `read` and `best`, and what single evaluations did."""
    ((name, frames),) = method.items()
    line = "-" if len(frames) <= _SHOWN else "none"
    look: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": 2.5, "linestyle": line, "linewidth": 0.5}
    for frame in frames:
        panel.plot(frame["iteration"], read(frame), alpha=0.45, markeredgewidth=0, **look)
    draw_searches(panel, method, best, marked=False)
    panel.get_lines()[-1].set(linestyle="-", linewidth=2)  # a panel of its own needs no line style
    for single, frame in singles.items():
        colour = styles([name, *singles])[single].colour
        panel.axhline(float(read(frame).iloc[0]), color=colour, linestyle="--", linewidth=1)


def replays(conversations: str) -> dict[str, Run]:
    """Return the ImageNet searches that conversations and journals record, by name, the paper's as GENIUS-329 and -401.

    Parameters
    ----------
    conversations
        By commas: names of published conversations ("329M", "401M"), paths of such files, or of journals (`.jsonl`).
    """
    found = {}
    for path in (Path(name.strip()) for name in conversations.split(",") if name.strip()):
        name = f"GENIUS-{path.stem.removesuffix('M')}" if f"chat_history/{path.stem}.json" in CHAT_FILES else path.stem
        found[name] = read_run(path) if path.suffix == ".jsonl" else replay_conversation(path)
    return found


def slip_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return where the people of replayed conversations told the model a count or an architecture that is not its own.

    Parameters
    ----------
    runs
        Name of a search -> its run, as `replays` gives them; a journal of another search has no such slip.
    """
    import pandas as pd

    rows = []
    for name, run in runs.items():
        chat = _conversation(run)
        rows += [{"search": name, **vars(slip)} for slip in (chat.slips() if chat else ())]
    return pd.DataFrame(rows, columns=["search", *(field.name for field in fields(Slip))])


def _bound(run: Run) -> MacsBound | None:
    """Return the bound of a search: of its benchmark as recorded, or of the conversation that it replays."""
    told, chat = run.settings.get("benchmark_settings", {}).get("constraint"), _conversation(run)
    return MacsBound(**told) if told else chat.bound if chat else None


def _conversation(run: Run) -> Conversation | None:
    """Return the conversation that a run replays, None for another run or where its file is not here any more."""
    path = run.settings["settings"].get("conversation")
    return read_conversation(path) if path and Path(path).is_file() else None


def trajectory_table(run: Any) -> pd.DataFrame:
    """Return one row per reply of an ImageNet run.

    Parameters
    ----------
    run
        The run, such as a replay of the published conversation.

    Returns
    -------
    pd.DataFrame
        reply and iteration (from 1), outcome ("sent back" or "evaluated"), the reason for which a reply was sent back,
        architecture (digits), macs (a count, the paper's convention), feedback (percent).
    """
    import pandas as pd

    space = recorded_space(run.settings)
    rows: list[dict[str, Any]] = []
    for event in run.events:
        if event["event"] not in ("rejected", "evaluation"):
            continue
        architecture = event.get("architecture")
        rows.append(
            {
                "reply": len(rows) + 1,
                "iteration": event["iteration"],
                "outcome": "sent back" if event["event"] == "rejected" else "evaluated",
                "reason": event.get("reason", ""),
                "architecture": space.key(architecture) if architecture else "",
                "macs": count_cost(space, architecture, convention="paper").macs if architecture else None,
                "feedback": event.get("feedback"),
            }
        )
    return marked(pd.DataFrame(rows), run)


def imagenet_trajectory(
    run: Any, upper_millions: int | None = None, lower_millions: int | None = None, title: str = ""
) -> Figure:
    """Draw every reply of an ImageNet run: multiply-accumulates against the bound above, told accuracy below.

    A cross was sent back (over the bound, or a duplicate), a dot was evaluated; every second iteration is shaded.

    Parameters
    ----------
    run
        The run, such as a replay of the published conversation.
    upper_millions, lower_millions
        Bounds in millions of multiply-accumulates; without an upper one those of the search.
    title
        Title of the figure.
    """
    table, own = trajectory_table(run), None if upper_millions else _bound(run)
    upper, lower = (upper_millions, lower_millions) if own is None else (own.upper_millions, own.lower_millions)
    figure, (macs, accuracy) = new_figure(2, 1, sharex=True)
    done, refused = table[table["outcome"] == "evaluated"], table[table["outcome"] == "sent back"]
    macs.plot(table["reply"], table["macs"] / 1e6, color=GREY, linewidth=0.8)
    macs.plot(
        refused["reply"], refused["macs"] / 1e6, "x", color=VERMILION, markersize=6, markeredgewidth=1.6,
        label=f"sent back ({len(refused)})",
    )  # fmt: skip
    macs.plot(done["reply"], done["macs"] / 1e6, "o", color=BLUE, markersize=4.5, label=f"evaluated ({len(done)})")
    label = f"bound: {upper} M" if lower is None else f"bound: {lower} to {upper} M"
    for at, named in ((upper, label), (lower, None)):
        if at is not None:
            macs.axhline(at, color=BLACK, linestyle="--", linewidth=1, label=named)
    macs.set(ylabel="FLOPs (multiply-\naccumulates), millions", title=title)
    told = done.dropna(subset=["feedback"]).astype({"feedback": float})
    label = f"accuracy told to the model ({len(told)})"
    accuracy.plot(told["reply"], told["feedback"], "o-", color=BLUE, label=label)
    accuracy.step(told["reply"], told["feedback"].cummax(), where="post", color=BLACK, linewidth=1, label="best so far")
    accuracy.set(xlabel="reply", ylabel="top-1 accuracy (%)")
    for iteration, rows in table.groupby("iteration"):
        if int(str(iteration)) % 2 == 0:
            ends = rows["reply"].min() - 0.5, rows["reply"].max() + 0.5
            for axes in (macs, accuracy):
                axes.axvspan(*ends, color="#ebebeb", zorder=0, linewidth=0, label="every second iteration")
    macs.margins(y=0.1)
    macs.set_xlim(0.5, len(table) + 0.5)
    outer_legend(figure, macs, accuracy, columns=3)
    return finish(figure, [macs, accuracy])
