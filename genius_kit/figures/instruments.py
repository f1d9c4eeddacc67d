"""Figures of the other instruments: the two questions, reproducibility, transfer, trainings, the audit of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import recorded_benchmark, title_of
from genius_kit.budget.amounts import words
from genius_kit.budget.spending import recorded_limits, spent_of
from genius_kit.errors import InvalidParameter
from genius_kit.figures.axes import finish, log_axis, name_curves, new_figure, row_axis
from genius_kit.figures.layout import name_points
from genius_kit.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Style, marks, styles
from genius_kit.paper import paper_methods
from genius_kit.proposers.methods import are_one, sequence_of, shown_model, shown_name
from genius_kit.runs.frames import middle_rank
from genius_kit.runs.provenance import marked
from genius_kit.verdicts.base import MARGIN, counts_text
from genius_kit.verdicts.repeats import Given, Repeats, as_repeats
from genius_kit.verdicts.reproducibility import by_iteration, one_benchmark, paper_together
from genius_kit.verdicts.searches.findings import LEAST_FOLLOWING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.benchmarks.trained import TrainedBenchmark
    from genius_kit.journal import Run
    from genius_kit.runs.audit import Audit
    from genius_kit.verdicts import Verdict


CORNERS = {
    (0, 0): "neither",
    (1, 0): "searches",
    (0, 1): "recites, if better\nthan luck",
    (1, 1): "searches and leans\non the labels",
}
"""What the corners of the picture stand for, by (results used, labels needed)."""

LANES = {
    "request reserved": ("intent",),
    "reply": ("call",),
    "attempt failed": ("call_failed",),
    "refused": ("rejected",),
    "a person approved": (),
    "a person edited": (),
    "a person rejected": (),
    "evaluated": ("evaluation",),
    "steered or limited": ("paused", "resumed", "stop_requested", "budget_raised", "limits_set", "budget_spent"),
}
"""What is drawn of a run, from top to bottom, and which events it is."""

_DECIDED = {"approve": "a person approved", "edit": "a person edited", "reject": "a person rejected"}
_LOOKS = dict(
    zip(
        LANES,
        (
            Style(GREY, "|", "-"), Style(BLUE, "o", "-"), Style(BLACK, "x", "-"), Style(ORANGE, "v", "-"),
            Style(GREEN, "P", "-"), Style(PURPLE, "D", "-"), Style(VERMILION, "X", "-"), Style(SKY, "s", "-"),
            Style(BLACK, "*", "-"),
        ),
        strict=True,
    )
)  # fmt: skip


def questions_table(verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """Return one row per verdict with the numbers of both questions and their 95 % intervals.

    Parameters
    ----------
    verdicts
        Name -> verdict of `verdicts.verdict`.

    Returns
    -------
    pd.DataFrame
        `follows` is how far replies follow shuffled results (1: as a hill climber's), `without` how many times the
        typical rank is without the labels, for the control of the larger effect. What a study has not asked is NaN.
        `n` counts the searches per arm (those that repeat one list once) and `benchmark` is where they ran.
    """
    import pandas as pd

    rows = []
    for name, judged in verdicts.items():
        replies = _row(judged.evidence, "replies")
        labels = _row(judged.evidence, "labels")
        row: dict[str, Any] = {"of": shown_model(name), "verdict": judged.kind, "control": labels.get("kind")}
        row |= {"benchmark": labels.get("benchmark"), "n": labels.get("independent")}
        for column, found in (("follows", replies), ("without", labels)):
            row |= {column: found.get("ratio"), f"{column}_low": found.get("low"), f"{column}_high": found.get("high")}
        rows.append(row)
    numbers = [f"{name}{end}" for name in ("follows", "without") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["of", "verdict", "benchmark", "n", "control", *numbers]).astype(
        dict.fromkeys(numbers, float)
    )


def _row(evidence: pd.DataFrame, question: str) -> dict[str, Any]:
    """Return the row of a question with the largest effect, empty where it was not asked."""
    told: list[Any] = evidence.to_dict("records") if "question" in evidence else []
    rows = [row for row in told if row["question"] == question and row["ratio"] == row["ratio"]]
    largest: dict[str, Any] = max(rows, key=lambda row: float(row["ratio"]), default={})
    return largest


def two_questions(verdicts: Mapping[str, Verdict], known: Mapping[str, Verdict] | None = None) -> Figure:
    """Draw each verdict as a point with its 95 % intervals, results used to the right, labels needed upwards.

    Dashed lines are the bounds below which an effect counts as none. A verdict that lacks one of the two numbers is not
    drawn.

    Parameters
    ----------
    verdicts
        Name -> verdict of `verdicts.verdict`.
    known
        Verdicts on scripted clients of known nature, drawn in grey: where each kind lies on this table.
    """
    table, natures = questions_table(verdicts), questions_table(known or {})
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.4, 5.2)
    for draw, bound in ((axes.axvline, LEAST_FOLLOWING), (axes.axhline, MARGIN)):
        draw(bound, color=GREY, linestyle="--", linewidth=0.8)
    for number, row in enumerate(natures.to_dict("records")):
        _point(axes, row, Style(GREY, "os^Dv<>P*X"[number % 10], "-"), hollow=True)
    looks = styles([str(name) for name in table["of"]])
    for row in table.to_dict("records"):
        _point(axes, row, looks[str(row["of"])])
    log_axis(axes, "y")
    axes.margins(x=0.1, y=0.15)
    for (used, needed), told in CORNERS.items():
        axes.text(
            (0.01, 0.99)[used], (0.02, 0.98)[needed], told, transform=axes.transAxes, fontsize=7, color="#555555",
            ha=("left", "right")[used], va=("bottom", "top")[needed],
        )  # fmt: skip
    drawn = [row for row in (*natures.to_dict("records"), *table.to_dict("records")) if _is_drawn(row)]
    dashed = f"left of {LEAST_FOLLOWING:g}, results count as unused; below {MARGIN:g}, labels as not needed"
    hollow = "; hollow: scripted clients of known behaviour" if known else ""
    axes.set_xlabel(
        f"how far replies follow shuffled results\n(1: a hill climber, averaged over tables{hollow})\n"
        f"bars: 95 % intervals; dashed: {dashed}",
        fontsize=8,
    )
    axes.set_ylabel("typical rank without labels ÷ with labels")
    axes.set_title(_searched(drawn), fontsize=9, loc="left")
    finish(figure, [axes])
    names = [(row["follows"], row["without"], textwrap.fill(f"{row['of']}: {row['verdict']}", 22)) for row in drawn]
    if not name_points(axes, names):
        axes.text(0.5, 0.5, "too few searches for both numbers", transform=axes.transAxes, ha="center", fontsize=8)
    return figure


def _searched(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return which tables were searched, and how often in each arm."""
    known = [row for row in rows if isinstance(row["benchmark"], str)]
    tables = ", ".join(dict.fromkeys(title_of(row["benchmark"]) for row in known))
    return f"{tables}; n = {counts_text(row['n'] for row in known)} searches per arm" if known else ""


def _is_drawn(row: Mapping[Any, Any]) -> bool:
    return row["follows"] == row["follows"] and row["without"] == row["without"]


def _point(axes: Axes, row: Mapping[Any, Any], style: Style, hollow: bool = False) -> None:
    x, y = row["follows"], row["without"]
    if not _is_drawn(row):
        return
    ends: dict[str, Any] = {
        "xerr": [[x - row["follows_low"]], [row["follows_high"] - x]],
        "yerr": [[y - row["without_low"]], [row["without_high"] - y]],
    }
    axes.errorbar(
        [x], [y], **ends, fmt=style.marker, color=style.colour, markersize=6, linewidth=1, elinewidth=0.8,
        markerfacecolor="white" if hollow else style.colour, label=f"{row['of']}: {row['verdict']}",
        zorder=2 if hollow else 3,
    )  # fmt: skip


def repeated_searches(source: Given) -> Figure:
    """Draw how long repeated searches stay the same (left) and the rank of the best that each found (right), in rows.

    Left: the height of a row is the share of pairs of searches whose architectures are the same in all replies so far,
    darker the 95 % interval; the paper's trials count as the same as long as their printed accuracies are. Right: a dot
    a search, on a bar from the best to the worst. The paper's trials, where it prints any on this benchmark, are drawn
    above ours. Raises InvalidParameter for several benchmarks.

    Parameters
    ----------
    source
        Repeated searches: a folder of journals, journals, runs, or `repeats.Repeats`.

    Raises
    ------
    InvalidParameter
        Searches of several benchmarks.
    """
    groups = as_repeats(source)
    benchmark = one_benchmark(groups)
    paper, ranks, shares = paper_together(benchmark), _ranks(groups, benchmark), by_iteration(groups)
    looks = styles([*(one.arm for one in groups), *paper])
    figure, (left, right) = new_figure(1, 2, sharey=True)
    names = [f"{name}\n(n = {trials} trials)" for name, (trials, _) in paper.items()]
    names += [f"{textwrap.fill(one.arm, 40)}\n({_count(one)})" for one in groups]
    figure.set_size_inches(8.6, 1.2 + 0.5 * len(names))
    for row, (name, (_, same)) in enumerate(paper.items()):
        _draw_same(left, row, range(1, len(same) + 1), same, looks[name])
    for row, repeats in enumerate(groups, start=len(paper)):
        lines = shares[shares["arm"] == repeats.arm]
        steps = lines["iteration"] - lines["iteration"].min() + 1
        _draw_same(left, row, steps, lines["together"], looks[repeats.arm], (lines["low"], lines["high"]))
    for row, name in enumerate((*paper, *(one.arm for one in groups))):
        if name in ranks:
            _draw_ranks(right, row, ranks[name], looks[name])
    left.set_xlabel(
        "replies so far; height: pairs of searches\nthat are the same so far, 0 to 100 %\n(darker: 95 % interval)"
    )
    right.set_xlabel("rank of the best found\n(dot: a search, mark: mean)")
    row_axis(left, names, fontsize=8)
    log_axis(right, number=",.0f")
    return finish(figure, [left, right])


def _draw_same(axes: Axes, row: int, steps: Any, shares: Any, style: Style, interval: Any = None) -> None:
    """Draw shares by steps as the height of a row, from its foot to its head, the interval darker."""
    foot = row + 0.4
    axes.hlines([foot, foot - 0.8], min(steps), max(steps), color="#cccccc", linewidth=0.6)
    for low, high in ((0 * np.asarray(shares), shares), *([] if interval is None else [interval])):
        ends = (foot - 0.8 * np.asarray(end, dtype=float) for end in (low, high))
        axes.fill_between(steps, next(ends), next(ends), step="post", color=style.colour, alpha=0.3, linewidth=0)
    axes.step(steps, foot - 0.8 * np.asarray(shares, dtype=float), where="post", color=style.colour)


def _count(repeats: Repeats) -> str:
    n = len(repeats.searches)
    is_fixed = are_one(sequence_of(one.run) for one in repeats.searches)
    return f"{n} searches, a fixed rule" if is_fixed else f"n = {n} searches"


def _ranks(groups: Sequence[Repeats], benchmark: str) -> dict[str, list[float]]:
    """Return the best ranks by method, the paper's trials first."""
    found = {}
    if paper_together(benchmark):
        for name, trials in paper_methods(recorded_benchmark(groups[0].searches[0].run.settings)).items():
            places = [int(trial["feedback"].astype(float).to_numpy().argmax()) for trial in trials]
            found[name] = [float(middle_rank(one).iloc[place]) for one, place in zip(trials, places, strict=True)]
    return found | {one.arm: one.ranks for one in groups if one.ranks}


def _draw_ranks(axes: Axes, row: int, ranks: list[float], style: Style) -> None:
    jitter = np.linspace(-0.16, 0.16, len(ranks))
    axes.plot([min(ranks), max(ranks)], [row, row], color=style.colour, linewidth=1.6, alpha=0.5)
    axes.scatter(ranks, row + jitter, s=10, color=style.colour, alpha=0.6, linewidths=0)
    axes.plot([np.mean(ranks)], [row], marker=style.marker, color=style.colour, markersize=6)


def transfer_heatmap(matrix: pd.DataFrame) -> Figure:
    """Draw one panel per method: a row where it searched, a column where its architectures are scored, numbers inside.

    A cell says the rank in percent of the table (darker is better), its 95 % interval, and n where cells differ in it;
    framed is the table that was searched itself.

    Parameters
    ----------
    matrix
        Frame of `transfer.transfer_matrix`.
    """
    from matplotlib.colors import LogNorm

    methods = [str(name) for name in matrix["method"].unique()]
    tables = [str(name) for name in matrix["source"].unique()]
    columns = 2 if len(methods) == 4 else min(3, len(methods))
    lines = -(-len(methods) // columns)
    figure, panels = new_figure(lines, columns)
    side = 0.95 * len(tables)
    figure.set_size_inches(1.6 + (side + 0.5) * columns, 1.1 + (0.75 * side + 0.9) * lines)
    norm = LogNorm(max(float(matrix["top_percent"].min()), 1e-3), max(float(matrix["top_percent"].max()), 1e-2))
    counts = sorted({int(n) for n in matrix["n"]})
    for number, method in enumerate(methods):
        rows = matrix[matrix["method"] == method].to_dict("records")
        cells = {(row["source"], row["target"]): row for row in rows}
        values = np.array([[cells[a, b]["top_percent"] if (a, b) in cells else np.nan for b in tables] for a in tables])
        panel = panels[number]
        panel.imshow(values, cmap="Blues_r", norm=norm, aspect="auto")
        for (source, target), cell in cells.items():
            place = (tables.index(target), tables.index(source))
            count = f"\nn = {cell['n']}" if len(counts) > 1 else ""
            _write(panel, cell, count, place, is_dark=norm(cell["top_percent"]) < 0.5, is_framed=source == target)
        is_lowest = number + columns >= len(methods)
        _label(panel, tables, method, is_first=number % columns == 0, is_lowest=is_lowest)
    for empty in panels[len(methods) :]:
        empty.set_axis_off()
    n = f"n = {counts[0]} searches" if len(counts) == 1 else "n searches"
    note = f"geometric mean of {n}, 95 % interval; darker is better, framed: found here"
    note = f"scored on (rank in percent of the table, {note})"
    figure.supxlabel(note, fontsize=8)
    figure.supylabel("found on", fontsize=8)
    return finish(figure, panels)


def _write(
    panel: Axes, cell: Mapping[Any, Any], count: str, place: tuple[int, int], *, is_dark: bool, is_framed: bool
) -> None:
    """Write the numbers of one cell at its column and row."""
    from matplotlib.patches import Rectangle

    text = f"{_percent(cell['top_percent'])} %\n{_percent(cell['low'])} to {_percent(cell['high'])}{count}"
    column, row = place
    panel.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if is_dark else "black")
    if is_framed:
        corner = (column - 0.48, row - 0.48)
        panel.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor=VERMILION, linewidth=1.4))


def _percent(value: float) -> str:
    """Return a percentage with two digits that count."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _label(panel: Axes, tables: list[str], method: str, *, is_first: bool, is_lowest: bool) -> None:
    names = [
        textwrap.fill(title_of(name).replace("NAS-Bench-201", "NB201"), 13, break_long_words=False) for name in tables
    ]
    panel.set_xticks(range(len(tables)), names if is_lowest else [""] * len(tables), fontsize=7)
    panel.set_yticks(range(len(tables)), names if is_first else [""] * len(tables), fontsize=7)
    panel.set_title(method, fontsize=9)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    for edge in panel.spines.values():
        edge.set_visible(False)


def histories(benchmark: TrainedBenchmark, runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the recorded training of every architecture that some runs evaluated, by key; failed ones are left out.

    Parameters
    ----------
    benchmark
        The benchmark "train" that the runs used.
    runs
        The runs.
    """
    keys = dict.fromkeys(key for run in runs for key in run.frame()["key"])
    found = {key: benchmark.history(benchmark.space.decode(key)) for key in keys}
    return {key: marked(history, runs) for key, history in found.items() if history is not None}


def training_table(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the histories below one another, with the name of each in the column `network`.

    Parameters
    ----------
    histories
        Name -> frame, as for `training_curves`.
    """
    import pandas as pd

    if not histories:
        raise InvalidParameter("give at least one history, as `TrainedBenchmark.history` returns it")
    found = [frame.assign(network=name) for name, frame in histories.items()]
    return marked(pd.concat(found, ignore_index=True), found)


def training_curves(histories: Mapping[str, pd.DataFrame], chance: float | None = None) -> Figure:
    """Draw training loss and validation accuracy (percent) by epoch, one line per network, named at the right.

    Epochs without a value are left out.

    Parameters
    ----------
    histories
        Name -> frame with the columns epoch, train_loss and validation_accuracy.
    chance
        Accuracy of guessing (percent), drawn as a dotted line.
    """
    table, looks = training_table(histories), styles(list(histories))
    figure, axes = new_figure(1, 2)
    for panel, column in zip(axes, ("train_loss", "validation_accuracy"), strict=True):
        for name, rows in table.dropna(subset=column).groupby("network", sort=False):
            panel.plot(rows["epoch"], rows[column], label=str(name), markersize=3.5, **marks(looks[str(name)]))
        panel.set(xlabel="epoch")
    axes[0].set(ylabel="training loss")
    axes[1].set(ylabel="validation accuracy (%)")
    if chance is not None:
        axes[1].axhline(chance, color=GREY, linestyle=":", linewidth=1)
        axes[1].annotate(
            "chance", (0.98, chance), xycoords=("axes fraction", "data"), fontsize=7, ha="right", va="bottom"
        )
    finish(figure, axes)
    return name_curves(figure, axes[1])


def audit_timeline(audit: Audit, limited: str = "calls") -> Figure:
    """Draw every event of a run in its lane by the line of the journal, and below it what was spent so far.

    Lanes without an event are left out.

    Parameters
    ----------
    audit
        Audit of the run (`audit_run`).
    limited
        The amount that is drawn, one of `amounts.COUNTED`, with its limit where there is one.
    """
    figure, (above, below) = new_figure(2, 1, sharex=True)
    figure.set_size_inches(8.0, 5.0)
    _draw_lanes(above, audit)
    _draw_spent(below, audit, limited)
    below.set_xlabel("line of the journal")
    return finish(figure, [above, below])


def _draw_lanes(axes: Axes, audit: Audit) -> None:
    lanes: dict[str, list[int]] = {name: [] for name in LANES}
    for line, event in enumerate(audit.run.events, 1):
        decided = _DECIDED.get(event.get("decision", ""))
        name = decided or next((lane for lane, kinds in LANES.items() if event["event"] in kinds), None)
        if name is not None:
            lanes[name].append(line)
    used = [name for name, lines in lanes.items() if lines]
    for row, name in enumerate(used):
        axes.scatter(lanes[name], [row] * len(lanes[name]), marker=_LOOKS[name].marker, color=_LOOKS[name].colour, s=26)
    axes.set_yticks(range(len(used)), [f"{name} ({len(lanes[name])})" for name in used])
    axes.set_ylim(len(used) - 0.4, -0.6)
    settings = audit.run.settings
    name = shown_name(settings["proposer"], settings.get("settings", {}).get("model"))
    told = f"{title_of(settings['benchmark'])}, seed {settings['seed']}; record"
    axes.set_title(f"{name}\n{told} {'in order' if audit.is_in_order else 'NOT in order'}", fontsize=9)
    axes.set_xlim(0.5, len(audit.run.events) + 0.5)


def _draw_spent(axes: Axes, audit: Audit, limited: str) -> None:
    events = audit.run.events
    spent = [float(getattr(spent_of(events[:end]), limited)) for end in range(1, len(events) + 1)]
    axes.step(range(1, len(events) + 1), spent, where="post", color=BLUE)
    limit = recorded_limits(events).get(limited)
    if limit is not None:
        axes.axhline(limit, color=VERMILION, linestyle="--", linewidth=1)
        axes.annotate(f"limit: {words(limited, limit)}", (1, limit), fontsize=8, va="bottom", color=VERMILION)
        axes.set_ylim(0, 1.15 * limit or 1)
    axes.set_ylabel(f"{limited.replace('_', ' ')} spent")
