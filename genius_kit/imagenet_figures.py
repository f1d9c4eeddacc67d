"""The ImageNet search of the paper: every reply, evaluated or sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.plots import BLACK, BLUE, VERMILION, finish, new_figure
from genius_kit.provenance import marked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def trajectory_table(run: Any) -> pd.DataFrame:
    """Return one row a reply of an ImageNet run.

    Columns: `reply` and `iteration` (from 1), `outcome` ("repaired" or "evaluated"), the `reason` for which a reply was
    sent back, `architecture` (digits), `macs` (a count, the paper's convention), `feedback` (percent).
    """
    import pandas as pd

    from genius_kit.spaces import load_space
    from genius_kit.spaces.costs import count_cost

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
    return marked(pd.DataFrame(rows), run)


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
