"""The figure of an audit: what happened in a run, event by event, and what it took of its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.budget.amounts import words
from genius_kit.budget.spending import recorded_limits, spent_of
from genius_kit.plots import finish, new_figure
from genius_kit.styles import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.runs.audit import Audit

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


def audit_timeline(audit: Audit, limited: str = "calls") -> Figure:
    """Draw every event of a run in its lane by the line of the journal, and below it what was spent so far.

    `limited` is the amount that is drawn, one of `amounts.COUNTED`, with its limit where there is one. Lanes without
    an event are left out.
    """
    figure, (above, below) = new_figure(2, 1, sharex=True)
    figure.set_size_inches(8.0, 5.0)
    _draw_lanes(above, audit)
    _draw_spent(below, audit, limited)
    below.set_xlabel("line of the journal")
    return finish(figure, [above, below], legend=False)


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
    axes.set_title(f"{audit.verification.path.name}: {'in order' if audit.is_in_order else 'NOT in order'}", fontsize=9)


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
