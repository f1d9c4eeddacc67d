"""What a language model replied: taken at once, repaired, duplicate, over the bound, rejected, declined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.plots import BLACK, finish, name_rows, new_figure
from genius_kit.provenance import marked
from genius_kit.styles import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genius_kit.journal import Event, Run
    from genius_kit.run_frames import Runs

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


def reply_table(runs: Runs) -> pd.DataFrame:
    """Return one row a reply of every run that asked a model.

    Columns: `method`, `run` (from 1), `iteration`, `outcome` (of `OUTCOMES`) and the `reason` of a refusal. A reply of
    a run that was cut off before it was read is left out.
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
    """Draw the share of replies that came to each outcome, a bar a method, with the counts in the bars.

    Raises InvalidParameter where no run asked a model.
    """
    table = reply_table(runs)
    if table.empty:
        raise InvalidParameter("no run asked a model: there is no reply to count; give runs of the proposer llm")
    methods = list(dict.fromkeys(table["method"]))
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.8, 1.5 + 0.36 * len(methods))
    for row, method in enumerate(methods):
        counts = table.loc[table["method"] == method, "outcome"].value_counts()
        left, total = 0.0, int(counts.sum())
        for outcome, (colour, hatch) in OUTCOMES.items():
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
    counted = [f"{method} (n = {int((table['method'] == method).sum())})" for method in methods]
    name_rows(axes, counted)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the replies (%); n replies; numbers: counts")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncol=len(labels), fontsize=8, frameon=False)
    return finish(figure, [axes], legend=False)
