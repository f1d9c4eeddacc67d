"""Figures of runs: the best so far, replies, options by position, tokens and money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.errors import InvalidParameter
from genius_kit.figures.axes import (
    MOST_NAMED,
    accuracy_axis,
    draw_curve,
    finish,
    fitting,
    name_curves,
    name_rows,
    new_figure,
    outer_legend,
    rank_axis,
)
from genius_kit.figures.drawings import EDGE_STYLES, block_colours
from genius_kit.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILION, styles
from genius_kit.journal.run import total
from genius_kit.proposers.methods import distinct, model_kind, n_text, shown_model
from genius_kit.runs.frames import Runs, counted, frames_of, held, longest, middle_rank
from genius_kit.runs.provenance import marked
from genius_kit.spaces import SearchSpace, recorded_space
from genius_kit.stats.paired import mean_band
from genius_kit.texts import unit_sign

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.journal import Event, Run


OUTCOMES = {
    "valid": (BLUE, ""),
    "repaired": (SKY, "///"),
    "duplicate": (ORANGE, "..."),
    "over the bound": (GREEN, "xxx"),
    "rejected": (VERMILION, "\\\\\\"),
    "declined": (GREY, "---"),
}
"""What a reply can come to, with its colour and hatching. *Repaired*: taken after a refusal in the same iteration."""

_REASONS = {"duplicate": "duplicate", "constraint": "over the bound"}

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++")
_SIZES = ("#e6f1f9", "#b5d9f0", SKY, BLUE)
"""Rising channel counts as a rising depth of blue."""

KINDS = {
    "fresh input": (BLUE, ""),
    "cached input": (SKY, "///"),
    "visible output": (ORANGE, ""),
    "reasoning": (GREEN, "..."),
}
"""The parts of the tokens of a run that do not overlap, with colour and hatching."""

COLUMNS = ("method", "run", "seed", "calls", *(kind.replace(" ", "_") for kind in KINDS), "cost")


def best_so_far(runs: Runs, feedback_name: str = "accuracy", interval: bool = False, unit: str = "percent") -> Figure:
    """Draw the best accuracy so far by iteration: mean over runs, in a band that holds the middle 80 % of them.

    A run that stopped keeps what it found. A line begins where every run of the method has a result, evaluations that
    failed have none, and ends with the longest run; from there a thin one leads to its name.

    Parameters
    ----------
    runs
        Name of a method -> its runs.
    feedback_name
        What the accuracy is called on the axis.
    interval
        Draw the 95 % interval of the mean instead, a bootstrap over runs, by percentiles.
    unit
        Unit of the accuracy.
    """
    figure, (axes,) = new_figure(1, 1)
    axes.set(xlabel="iteration", ylabel=f"best {feedback_name} so far ({unit_sign(unit)})")
    accuracy_axis(axes, draw_searches(axes, runs, best_accuracy, interval))
    band = "95 % interval of the mean" if interval else "the middle 80 % of them"
    return _named(figure, axes, runs, band)


def rank_by_iteration(runs: Runs) -> Figure:
    """Draw the rank of the best found so far: mean over runs, in the 95 % interval of the mean (1 is best).

    A tie counts as its middle. Lines end as those of `best_so_far` do.

    Parameters
    ----------
    runs
        Name of a method -> its runs.
    """
    figure, (axes,) = new_figure(1, 1)
    axes.set(xlabel="iteration", ylabel="rank of the best so far (1 is best)")
    draw_searches(axes, runs, best_rank, interval=True)
    rank_axis(axes)
    return _named(figure, axes, runs, "95 % interval of the mean")


def _named(figure: Figure, axes: Axes, runs: Runs, band: str) -> Figure:
    """Name the curves, say what their lines and bands are, and that one which ends early leads on to its name."""
    searches = frames_of(runs).values()
    lengths, is_mean = {longest(some) for some in searches}, max(map(len, searches)) > 1
    thin = "; thin: after the last evaluation" if len(lengths) > 1 and len(runs) <= MOST_NAMED else ""
    line = f"line: mean over n searches; band: {band}" if is_mean else "line: one search each"
    axes.set_title(f"{line}{thin}", fontsize=8, color="#555555", loc="left")
    return name_curves(figure, axes)


def best_accuracy(frame: pd.DataFrame) -> pd.Series:
    """Return the best accuracy so far."""
    return frame["best_so_far"]


def best_rank(frame: pd.DataFrame) -> pd.Series:
    """Return the rank of the best so far, a tie as its middle."""
    return middle_rank(frame).cummin().ffill()


def draw_searches(
    axes: Axes, runs: Runs, read: Callable[[pd.DataFrame], pd.Series], interval: bool = False, marked: bool = True
) -> list[float]:
    """Draw what `read` finds in every run of each method: mean and band, see `best_so_far`; return every height."""
    drawn: list[float] = []
    for name, some in frames_of(runs).items():
        values = np.stack([held(read(frame), longest(some)) for frame in some])  # (runs, iterations)
        known = ~np.isnan(values).any(axis=0)
        if not known.any():
            raise InvalidParameter(f"a run of {name} measured nothing; leave it out, its column `failure` says why")
        values, band = values[:, known], None
        if len(values) > 1:
            band = mean_band(values) if interval else np.quantile(values, (0.1, 0.9), axis=0)
        steps, mean, style = np.flatnonzero(known) + 1, values.mean(axis=0), styles(list(runs))[name]
        draw_curve(axes, steps, mean, style, counted(name, some), band, shown=None if marked else [])
        drawn += [*mean, *np.ravel(mean if band is None else band)]
    return drawn


def reply_table(runs: Runs) -> pd.DataFrame:
    """Return one row per reply of every run that asked a model.

    A reply of a run that was cut off before it was read is left out.

    Parameters
    ----------
    runs
        Name of a method -> its runs.

    Returns
    -------
    pd.DataFrame
        method, run (from 1), iteration, outcome (of `OUTCOMES`) and the reason of a refusal.
    """
    import pandas as pd

    rows = [
        {"method": method, "run": number, **reply}
        for method, some in runs.items()
        for number, run in enumerate(some, 1)
        for reply in _replies(run)
    ]
    return marked(pd.DataFrame(rows, columns=["method", "run", "iteration", "outcome", "reason"]), runs)


def _replies(run: Run) -> Iterator[dict[str, Any]]:
    """Yield what each reply came to: the first event after it that judges it."""
    waiting, refused = False, None
    for event in run.events:
        if event["event"] == "call":
            waiting = True
        elif waiting and (outcome := _outcome(event, refused)):
            yield {"iteration": event["iteration"], "outcome": outcome, "reason": event.get("reason", "")}
            waiting, refused = False, event["iteration"] if event["event"] == "rejected" else None


def _outcome(event: Event, refused: int | None) -> str | None:
    if event["event"] == "rejected":
        return _REASONS.get(event["reason"], "rejected")
    if event["event"] == "declined":
        return "declined"
    if event["event"] == "proposal":
        return "repaired" if refused == event["iteration"] else "valid"
    return None


def reply_outcomes(runs: Runs) -> Figure:
    """Draw the share of replies with each outcome, one bar per method, with the counts in the bars.

    Parameters
    ----------
    runs
        Name of a method -> its runs.

    Raises
    ------
    InvalidParameter
        No run asked a model.
    """
    table = reply_table(runs)
    if table.empty:
        raise InvalidParameter("no run asked a model: there is no reply to count; give runs of the proposer llm")
    methods = list(dict.fromkeys(table["method"]))
    seen = {outcome: look for outcome, look in OUTCOMES.items() if outcome in set(table["outcome"])}
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.5 + 0.36 * len(methods))
    for row, method in enumerate(methods):
        counts = table.loc[table["method"] == method, "outcome"].value_counts()
        left, total = 0.0, int(counts.sum())
        for outcome, (colour, hatch) in seen.items():
            share = 100 * int(counts.get(outcome, 0)) / total
            axes.barh(
                row, share, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4,
                label=outcome if row == 0 else "_",
            )  # fmt: skip
            if share >= 6:
                ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
                at = (left + share / 2, row)
                axes.text(*at, str(counts[outcome]), ha="center", va="center", fontsize=7, color=BLACK, bbox=ground)
            left += share
    counted = [f"{method} (n = {int((table['method'] == method).sum())} replies)" for method in methods]
    name_rows(axes, counted)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the replies (%); numbers: how many")
    outer_legend(figure, axes, columns=len(OUTCOMES), side="upper")
    return finish(figure, [axes])


def operation_table(runs: Sequence[Any]) -> pd.DataFrame:
    """Return how often each option stood at each position by iteration.

    A refused proposal is not counted, the runs of a fixed rule count once (see `fixed_rules`).

    Parameters
    ----------
    runs
        Runs of one space.

    Returns
    -------
    pd.DataFrame
        iteration, position (name), option (index), name, runs (n that evaluated), share (percent), model_kind (see
        `method_names`).

    Raises
    ------
    InvalidParameter
        Runs of several spaces, or without an evaluation.
    """
    import pandas as pd

    space = _space(runs)
    by_iteration: dict[int, list[Any]] = {}
    for run in distinct(runs):
        for event in run.of("evaluation"):
            by_iteration.setdefault(event["iteration"], []).append(event["architecture"])
    if not by_iteration:
        raise InvalidParameter("no run has an evaluation: there is no position to count; give runs that evaluated")
    rows = []
    for iteration, found in sorted(by_iteration.items()):
        designs = np.array(found)  # (runs, positions)
        for position, name in enumerate(space.positions):
            for option in range(len(space.choices[position])):
                share = 100 * float((designs[:, position] == option).mean())
                words = _option_name(space, position, option)
                rows.append((iteration, name, option, words, len(designs), share))
    table = pd.DataFrame(rows, columns=["iteration", "position", "option", "name", "runs", "share"])
    kinds = dict.fromkeys(model_kind(run.settings.get("settings", {}).get("model")) for run in runs)
    return marked(table.assign(model_kind=", ".join(filter(None, kinds)) or None), runs)


def _space(runs: Sequence[Any]) -> SearchSpace:
    names = sorted({run.settings["space"] for run in runs})
    if len(names) != 1:
        raise InvalidParameter(f"the runs are of {', '.join(names) or 'no space'}; give runs of one space")
    return recorded_space(runs[0].settings)


def _option_name(space: SearchSpace, position: int, option: int) -> str:
    if space.is_cell:
        return EDGE_STYLES.get(space.options[option], ("", "none"))[1]
    if not space.names_operations:
        return f"{option + 1}/{len(space.choices[position])} of the width"
    return space.describe(position, option)


def operation_frequencies(runs: Sequence[Any], title: str = "") -> Figure:
    """Draw the share of each option at each position by iteration: stacked bars, one panel per position.

    Colours are those of the architecture drawings, hatched so that they read in grey. n counts the runs.

    Parameters
    ----------
    runs
        Runs of one space.
    title
        Title of the figure.
    """
    table, space = operation_table(runs), _space(runs)
    columns = max(len(stage) for stage in space.stages) if space.in_stages else min(4, -(-space.length // 2))
    figure, axes = new_figure(-(-space.length // columns), columns, sharex=True, sharey=True)
    rows = -(-space.length // columns)
    figure.set_size_inches(1.5 * columns + 0.9, 1.15 * rows + 1.3)
    colours = block_colours(space) if space.names_operations else _SIZES
    if space.is_cell:
        colours = [EDGE_STYLES.get(name, ("#dddddd", ""))[0] for name in space.options]
    steps = sorted(table["iteration"].unique())
    for position, (panel, name) in enumerate(zip(axes, space.positions, strict=False)):
        here = table[table["position"] == name]
        bottom = [0.0] * len(steps)
        for option, part in here.groupby("option"):
            shares = part.sort_values("iteration")["share"].tolist()
            place = int(str(option))
            label = part["name"].iloc[0] if position == space.length - 1 else "_"
            panel.bar(
                steps, shares, bottom=bottom, width=1.0, color=colours[place], hatch=HATCHES[place % len(HATCHES)],
                edgecolor="white", linewidth=0.2, label=label,
            )  # fmt: skip
            bottom = [before + share for before, share in zip(bottom, shares, strict=True)]
        panel.set_title(name, fontsize=8, pad=2)
        panel.set(ylim=(0, 100), xlim=(steps[0] - 0.5, steps[-1] + 0.5))
        is_lowest = position + columns >= space.length  # no panel below it has the numbers
        panel.set_xlabel("iteration" if is_lowest else "", fontsize=8)
        panel.tick_params(labelsize=7, labelbottom=is_lowest)
        panel.grid(visible=False)
    for empty in axes[space.length :]:
        empty.set_axis_off()
    for panel in axes[::columns]:
        panel.set_ylabel("share (%)", fontsize=8)
    n = len(distinct(runs))
    count = n_text(len(runs), n).replace(f"n = {n}", f"n = {n} run{'s' if n > 1 else ''}")
    figure.suptitle(", ".join(filter(None, (shown_model(title), count))), fontsize=9)
    handles, labels = axes[space.length - 1].get_legend_handles_labels()
    beside: dict[str, Any] = {"ncol": fitting(labels, figure), "fontsize": 7.5, "frameon": False, "handleheight": 1.1}
    figure.legend(handles, labels, loc="outside lower center", **beside)
    return finish(figure, axes)


def spending_table(runs: Runs) -> pd.DataFrame:
    """Return one row per run that asked a model: `calls`, tokens by kind, and `cost` in the currency of the prices.

    Cached input is a part of a server's input, reasoning of its output: here each token is counted once. A sum is None
    where a part of it is unknown; a server that tells no cached or reasoning tokens has none.

    Parameters
    ----------
    runs
        Name of a method -> its runs.
    """
    import pandas as pd

    rows = [
        {"method": method, "run": number, "seed": run.settings.get("seed"), **_spent(run)}
        for method, some in runs.items()
        for number, run in enumerate(some, 1)
        if run.of("call")
    ]
    return marked(pd.DataFrame(rows, columns=list(COLUMNS)), runs)


def _spent(run: Run) -> dict[str, Any]:
    calls = run.of("call")
    usage = [call["usage"] for call in calls]
    cached = sum(one.get("cached_input_tokens") or 0 for one in usage)
    reasoning = sum(one.get("reasoning_tokens") or 0 for one in usage)
    given, made = (total([one[name] for one in usage]) for name in ("input_tokens", "output_tokens"))
    return {
        "calls": len(calls),
        "fresh_input": None if given is None else given - cached,
        "cached_input": None if given is None else cached,
        "visible_output": None if made is None else made - reasoning,
        "reasoning": None if made is None else reasoning,
        "cost": total([call["cost"] for call in calls]),
    }


def spending(runs: Runs) -> Figure:
    """Draw the tokens of every run by kind (left) and its cost (right), one bar per run, in the order of the seeds.

    Parameters
    ----------
    runs
        Name of a method -> its runs.

    Raises
    ------
    InvalidParameter
        No run asked a model.
    """
    table = spending_table(runs)
    if table.empty:
        raise InvalidParameter("no run asked a model: nothing was spent; give runs of the proposer llm")
    figure, (tokens, money) = new_figure(1, 2, sharey=True)
    figure.set_size_inches(7.6, 1.6 + 0.2 * len(table))
    _draw_tokens(tokens, table)
    _draw_money(money, table)
    labels = [f"{row.method}, seed {row.seed}" for row in table.itertuples()]
    tokens.set_yticks(range(len(table)), labels, fontsize=7)
    tokens.invert_yaxis()
    for panel in (tokens, money):
        panel.grid(axis="y", visible=False)
    finish(figure, [tokens, money])
    outer_legend(figure, tokens)
    return figure


def _draw_tokens(panel: Axes, table: pd.DataFrame) -> None:
    known = table["fresh_input"].notna() & table["visible_output"].notna()
    left = [0.0] * len(table)
    for kind, (colour, hatch) in KINDS.items():
        values = table[kind.replace(" ", "_")].where(known).astype(float).fillna(0.0) / 1000
        if known.any():
            panel.barh(
                range(len(table)), values, left=left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3,
                label=kind,
            )  # fmt: skip
        left = [before + value for before, value in zip(left, values, strict=True)]
    panel.set_xlabel("tokens (thousands)")
    _say_unknown(panel, known, "not told by the server")


def _draw_money(panel: Axes, table: pd.DataFrame) -> None:
    known = table["cost"].notna()
    looks = styles(list(dict.fromkeys(table["method"])))
    colours = [looks[method].colour for method in table["method"]]
    panel.barh(range(len(table)), table["cost"].astype(float).fillna(0.0), color=colours)
    total = table["cost"].astype(float).sum() if known.any() else 0
    panel.set_xlabel(f"cost ($); known total {total:.4g}" if known.any() else "cost ($)")
    _say_unknown(panel, known, "no price is known")


def _say_unknown(panel: Axes, known: pd.Series, words: str) -> None:
    """Write on each run of unknown sum that it is unknown; where all are, once."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(5))
    rows = [row for row, is_known in enumerate(known) if not is_known]
    if len(rows) == len(known):
        said = f"{words}\n(all {len(known)} runs)"
        panel.text(0.5, 0.5, said, transform=panel.transAxes, ha="center", va="center", fontsize=8)
        panel.set_xticks([])
        panel.set_xlim(0, 1)
        return
    for row in rows:
        panel.annotate(words, (0.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=6.5)
