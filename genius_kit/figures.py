"""Figures of runs, beside the paper's: drawn from frames, the same input giving the same bytes.

Every method has one colour, marker and line style in every figure, so that it reads in grey too. A *run* is anything
with `.frame()`, or the frame itself (columns as `Run.frame` gives them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.paper import ours_beside_paper, paper_methods, paper_runs, paper_table
from genius_kit.plots import (
    BLACK,
    BLUE,
    PRIOR,
    REPLAYED,
    STAND_IN,
    VERMILION,
    Style,
    draw_band,
    draw_line,
    finish,
    marks,
    new_figure,
    rank_axis,
    save_figure,
    styles,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.spaces import Architecture

__all__ = [
    "accuracy_against_macs",
    "best_architecture",
    "best_so_far",
    "by_method",
    "cloud",
    "imagenet_trajectory",
    "ours_beside_paper",
    "paper_comparison",
    "paper_methods",
    "paper_runs",
    "paper_table",
    "rank_by_iteration",
    "run_table",
    "save_figure",
    "table_2_points",
    "trajectory_table",
]

_SHOWN = 8  # trials a panel drawn one by one

Runs = Mapping[str, Sequence[Any]]
"""Name of a method -> its runs."""


def by_method(runs: Sequence[Any]) -> dict[str, list[Any]]:
    """Group runs under the name that figures give their method: the model for a language model, else the proposer."""
    groups: dict[str, list[Any]] = {}
    for run in runs:
        settings = run.settings
        name = PRIOR if settings["proposer"] == "prior" else settings["proposer"].replace("-", " ")
        if settings["proposer"] == "llm":
            model = settings["settings"].get("model") or "language model"
            name = {"offline": STAND_IN, "as recorded": REPLAYED}.get(model, model)
        groups.setdefault(name, []).append(run)
    return groups


def run_table(runs: Runs) -> pd.DataFrame:
    """Return the data behind a figure: the frames of all runs, with the columns `method` and `run` (from 1) first."""
    import pandas as pd

    parts = []
    for name, frames in _frames(runs).items():
        for number, frame in enumerate(frames, 1):
            kept = frame.drop(columns=["method", "run"], errors="ignore")
            kept.insert(0, "run", number)
            kept.insert(0, "method", name)
            parts.append(kept)
    return pd.concat(parts, ignore_index=True)


def best_architecture(runs: Sequence[Any]) -> Architecture:
    """Return the architecture with the best feedback of all `runs` (of one space), the earliest of equals.

    Raises InvalidParameter where every evaluation failed.
    """
    from genius_kit.spaces import load_space

    table = run_table({"all": runs})
    scores = table["feedback"].astype(float)
    if scores.isna().all():
        raise InvalidParameter(f"none of the {len(table)} evaluations came to a result; the column `failure` says why")
    best = int(scores.argmax())
    return load_space(runs[0].settings["space"]).decode(str(table["key"].iloc[best]))


def best_so_far(runs: Runs, feedback_name: str = "accuracy") -> Figure:
    """Draw the best accuracy so far by iteration: mean over runs, in a band that holds the middle 80 % of them.

    A run that stopped keeps what it found: its line goes on without markers. The line begins where every run has a
    result; evaluations that failed have none.
    """
    import numpy as np

    figure, (axes,) = new_figure(1, 1)
    frames, floor, tops = _frames(runs), [], []
    for name, some in frames.items():
        values = np.stack([_held(frame["best_so_far"], _budget(frames)) for frame in some])  # (runs, iterations)
        mean, style = values.mean(axis=0), styles(list(runs))[name]
        known = mean[np.isfinite(mean)]
        if not len(known):
            raise InvalidParameter(f"a run of {name} measured nothing; leave it out, its column `failure` says why")
        draw_line(axes, mean, style, _longest(some), label=_count(name, some))
        draw_band(axes, values, style)
        floor.append(float(known[min(2, len(known) - 1)]))  # the first draws of random search would flatten the rest
        tops.append(float(np.nanmax(values)))
    margin = 0.08 * (max(tops) - min(floor)) or 0.1
    axes.set_ylim(min(floor) - margin, max(tops) + margin)
    axes.set(xlabel="iteration", ylabel=f"best {feedback_name} so far (%)")
    axes.set_title("line: mean over n searches; band: the middle 80 % of them", fontsize=8, color="#555555", loc="left")
    return finish(figure, [axes])


def rank_by_iteration(runs: Runs) -> Figure:
    """Draw the rank of the best found so far: mean over runs; the bars span the mean tie range (1 is best)."""
    import numpy as np

    figure, (axes,) = new_figure(1, 1)
    frames = _frames(runs)
    for name, some in frames.items():
        low = np.mean([_held(frame["rank_best"].cummin(), _budget(frames)) for frame in some], axis=0)
        high = np.mean([_held(frame["rank_worst"].cummin(), _budget(frames)) for frame in some], axis=0)
        style = styles(list(runs))[name]
        draw_line(axes, (low + high) / 2, style, _longest(some), label=_count(name, some))
        axes.vlines(np.arange(1, len(low) + 1), low, high, color=style.colour, linewidth=4, alpha=0.3)
    axes.set(xlabel="iteration", ylabel="rank of the best so far (1 is best)")
    axes.set_title("mean over n searches; the bars span the ties", fontsize=8, color="#555555", loc="left")
    rank_axis(axes)
    return finish(figure, [axes])


def paper_comparison(benchmark: Any, runs: Runs) -> Figure:
    """Draw what the paper's figure 2 draws, beside ours: accuracy (above) and rank (below) of every trial.

    One column a temperature of the paper, then one a method of `runs`; a thin line a trial, the best so far
    (mean over trials) thick. Ranks of the paper are the printed ones, or found from the accuracy where none are.
    """
    import numpy as np

    columns = _frames({**paper_methods(benchmark), **runs})
    figure, axes = new_figure(2, len(columns), sharey="row", sharex=True)
    for column, (name, frames) in enumerate(columns.items()):
        style, length = styles(list(columns))[name], _budget(columns)
        accuracy, rank = axes[column], axes[len(columns) + column]
        _draw_trials((accuracy, rank), frames, style)
        steps = np.arange(1, length + 1)
        best = np.mean([_held(frame["best_so_far"], length) for frame in frames], axis=0)
        lowest = np.mean([_held(_middle(frame).cummin(), length) for frame in frames], axis=0)
        for panel, values in ((accuracy, best), (rank, lowest)):
            panel.step(steps, values, where="mid", color=style.colour, linewidth=2.2)
        accuracy.set_title(_wrapped(name, frames), fontsize=9)
        rank.set_xlabel("iteration")
    axes[0].set_ylabel(f"{benchmark.feedback_name} (%)")
    axes[len(columns)].set_ylabel("rank (1 is best)")
    hidden = _accuracy_limits(axes[: len(columns)], columns)
    rank_axis(axes[len(columns)])
    note = f"thick: best so far, mean over trials; thin: each trial, shaded: middle 80 % of more than {_SHOWN}{hidden}"
    figure.supxlabel(note, fontsize=8, color="#555555")
    for axis in axes:
        axis.tick_params(labelsize=8)
    return finish(figure, axes, legend=False)


def accuracy_against_macs(
    points: Mapping[str, pd.DataFrame], accuracy_name: str = "accuracy", background: Any = None
) -> Figure:
    """Draw accuracy against multiply-accumulates, with the Pareto front of all points; n counts the points.

    Each frame has `macs` (a count) and `feedback` (percent), and `name` where points are to be labelled; `background`
    is a pair of arrays (macs, accuracy) drawn in grey behind, e.g. a whole table; the lowest twentieth of the points
    then lies below the axis.
    """
    import numpy as np
    import pandas as pd

    figure, (axes,) = new_figure(1, 1)
    if background is not None:
        axes.plot(background[0] / 1e6, background[1], ".", color="#cccccc", markersize=1.5, zorder=0, rasterized=True)
    for name, frame in points.items():
        known = frame.dropna(subset=["macs", "feedback"]).drop_duplicates(["macs", "feedback"])
        style = styles(list(points))[name]
        x, y, few = known["macs"] / 1e6, known["feedback"], len(known) < 60
        look: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4, "markersize": 7 if few else 4}
        look.update(color=style.colour, label=f"{name} (n = {len(known)})", zorder=2 + few)
        axes.plot(x, y, style.marker, **look)
        for row in known.to_dict("records"):
            if row.get("name"):
                axes.annotate(
                    row["name"],
                    (row["macs"] / 1e6, row["feedback"]),
                    xytext=(4, 3),
                    textcoords="offset points",
                    fontsize=7,
                )
    front = pareto_front(pd.concat(points.values()))
    axes.step(front["macs"] / 1e6, front["feedback"], where="post", color="#777777", linewidth=1, label="Pareto front")
    if background is not None:
        shown = np.concatenate([frame["feedback"].astype(float) for frame in points.values()])
        low, high = np.quantile(shown, 0.05), max(shown.max(), background[1].max())
        axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    axes.set(xlabel="FLOPs (multiply-accumulates), millions", ylabel=f"{accuracy_name} (%)")
    return finish(figure, [axes])


def cloud(benchmark: Any) -> tuple[Any, Any]:
    """Return multiply-accumulates (counts) and feedback (percent) of every row of a table, as two arrays."""
    import numpy as np

    rows = benchmark.evaluate_rows(np.arange(benchmark.space.size))
    return rows["macs"], benchmark.scores(by="feedback")


def table_2_points() -> dict[str, pd.DataFrame]:
    """Return the paper's table 2 in the form that `accuracy_against_macs` draws: GENIUS (named), and all others."""
    table = paper_table("table2")
    points = table.assign(macs=table["flops_millions"] * 1e6, feedback=table["top1_percent"])
    ours = table["method"].str.startswith("GENIUS")
    return {"GENIUS": points[ours].assign(name=table["method"]), "other methods of table 2": points[~ours]}


def pareto_front(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no other row beats with at most its `macs` and at least its `feedback`, by rising `macs`."""
    known = frame.dropna(subset=["macs", "feedback"]).sort_values(["macs", "feedback"], ascending=[True, False])
    return known[known["feedback"] > known["feedback"].cummax().shift(fill_value=float("-inf"))]


def trajectory_table(run: Any) -> pd.DataFrame:
    """Return one row a reply of an ImageNet run.

    Columns: `reply` and `iteration` (from 1), `outcome` ("repaired" or "evaluated"), the `reason` for which a reply was
    sent back, `architecture` (digits), `macs` (a count, the paper's convention), `feedback` (percent).
    """
    import pandas as pd

    from genius_kit.costs import count_cost
    from genius_kit.spaces import load_space

    space = load_space(run.settings["space"])
    rows: list[dict[str, Any]] = []
    for event in run.events:
        if event["event"] not in ("rejected", "evaluation"):
            continue
        architecture = event.get("architecture")
        rows.append(
            {
                "reply": len(rows) + 1,
                "iteration": event["iteration"],
                "outcome": "repaired" if event["event"] == "rejected" else "evaluated",
                "reason": event.get("reason", ""),
                "architecture": space.key(architecture) if architecture else "",
                "macs": count_cost(space, architecture, convention="paper").macs if architecture else None,
                "feedback": event.get("feedback"),
            }
        )
    return pd.DataFrame(rows)


def imagenet_trajectory(run: Any, upper_millions: int, lower_millions: int | None = None, title: str = "") -> Figure:
    """Draw every reply of an ImageNet run: multiply-accumulates against the bound above, told accuracy below.

    A cross was sent back (over the bound, or a duplicate), a dot was evaluated; every second iteration is shaded.
    """
    table = trajectory_table(run)
    figure, (macs, accuracy) = new_figure(2, 1, sharex=True)
    done, repaired = table[table["outcome"] == "evaluated"], table[table["outcome"] == "repaired"]
    macs.plot(table["reply"], table["macs"] / 1e6, color="#999999", linewidth=0.8)
    macs.plot(
        repaired["reply"], repaired["macs"] / 1e6, "x", color=VERMILION, markersize=7, markeredgewidth=1.6,
        label=f"sent back ({len(repaired)})",
    )  # fmt: skip
    macs.plot(done["reply"], done["macs"] / 1e6, "o", color=BLUE, markersize=6, label=f"evaluated ({len(done)})")
    bound = f"{upper_millions} M" if lower_millions is None else f"{lower_millions} to {upper_millions} M"
    macs.axhline(upper_millions, color=BLACK, linestyle="--", linewidth=1, label=f"bound: {bound}")
    if lower_millions is not None:
        macs.axhline(lower_millions, color=BLACK, linestyle="--", linewidth=1)
    macs.set(ylabel="FLOPs (multiply-\naccumulates), millions", title=title)
    told = done.dropna(subset=["feedback"])
    accuracy.plot(told["reply"], told["feedback"].astype(float), "o-", color=BLUE, label="accuracy told to the model")
    accuracy.step(
        told["reply"],
        told["feedback"].astype(float).cummax(),
        where="post",
        color=BLACK,
        linewidth=1,
        label="best so far",
    )
    accuracy.set(xlabel="reply", ylabel="top-1 accuracy (%)")
    for iteration, rows in table.groupby("iteration"):
        if int(str(iteration)) % 2 == 0:
            for axes in (macs, accuracy):
                axes.axvspan(
                    rows["reply"].min() - 0.5, rows["reply"].max() + 0.5, color="#f2f2f2", zorder=0, linewidth=0
                )
    macs.margins(y=0.1)
    macs.set_xlim(0.5, len(table) + 0.5)
    return finish(figure, [macs, accuracy], beside=True)


def _frames(runs: Runs) -> dict[str, list[pd.DataFrame]]:
    found = {name: [run if hasattr(run, "columns") else run.frame() for run in some] for name, some in runs.items()}
    empty = [name for name, frames in found.items() if not frames or any(frame.empty for frame in frames)]
    if empty or not found:
        raise InvalidParameter(f"there is no evaluation to draw for {', '.join(empty) or 'any method'}")
    return found


def _longest(frames: Sequence[pd.DataFrame]) -> int:
    return max(len(frame) for frame in frames)


def _budget(frames: Mapping[str, Sequence[pd.DataFrame]]) -> int:
    return max(_longest(some) for some in frames.values())


def _held(values: pd.Series, length: int) -> Any:
    """Return `values` as an array of `length`, its last value held: a run that stopped keeps what it found."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    return np.pad(array, (0, length - len(array)), mode="edge")


def _middle(frame: pd.DataFrame) -> pd.Series:
    return (frame["rank_best"].astype(float) + frame["rank_worst"].astype(float)) / 2


def _count(name: str, frames: Sequence[Any]) -> str:
    return f"{name} (n = {len(frames)})"


def _wrapped(name: str, frames: Sequence[Any]) -> str:
    import textwrap

    return "\n".join([*textwrap.wrap(name, 24), f"n = {len(frames)}"])


def _draw_trials(panels: tuple[Axes, Axes], frames: Sequence[pd.DataFrame], style: Style) -> None:
    """Draw what each trial evaluated, accuracy and rank; many trials as a band."""
    import numpy as np

    for axes, read in zip(panels, (lambda frame: frame["feedback"], _middle), strict=True):
        if len(frames) > _SHOWN:
            length = _longest(frames)
            values = np.full((len(frames), length), np.nan)
            for row, frame in enumerate(frames):
                values[row, : len(frame)] = read(frame)
            draw_band(axes, values, style, alpha=0.3)
            continue
        for frame in frames:
            thin = {**marks(style), "linewidth": 0.7, "alpha": 0.55, "markersize": 3}
            axes.plot(frame["iteration"], read(frame), **thin)


def _accuracy_limits(axes: Sequence[Axes], columns: Mapping[str, Sequence[pd.DataFrame]]) -> str:
    """Start the axis below the median first evaluation of every column; return words on what lies below it."""
    import numpy as np

    values = np.concatenate([frame["feedback"].astype(float) for frames in columns.values() for frame in frames])
    firsts = [[frame["feedback"].astype(float).iloc[0] for frame in frames] for frames in columns.values()]
    low, high = float(np.nanmin([np.median(some) for some in firsts])), float(np.nanmax(values))
    margin = 0.1 * (high - low) or 0.1
    axes[0].set_ylim(low - margin, high + margin)
    hidden = int((values < low - margin).sum())
    return f"; {hidden} of {len(values)} accuracies lie below the axis" if hidden else ""
