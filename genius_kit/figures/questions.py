"""The two questions of a verdict on searches in one picture: does it use its results, and does it need the labels?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genius_kit.figures.axes import finish, log_axis, new_figure, outer_legend
from genius_kit.figures.style import GREY, Style, styles
from genius_kit.proposers.methods import shown_model
from genius_kit.verdicts.contrasts import MARGIN
from genius_kit.verdicts.searches.findings import LEAST_FOLLOWING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.verdicts import Verdict

CORNERS = {
    (0, 0): "neither",
    (1, 0): "searches",
    (0, 1): "recites, if better\nthan luck",
    (1, 1): "searches and\nleans",
}
"""What the corners of the picture stand for, by (results used, labels needed)."""


def questions_table(verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """Return one row a verdict with the numbers of both questions and their 95 % intervals.

    `follows` is how far replies follow shuffled results (1: as a hill climber's), `without` how many times the typical
    rank is without the labels, for the control of the larger effect. What a study has not asked is NaN.
    """
    import pandas as pd

    rows = []
    for name, judged in verdicts.items():
        replies = _row(judged.evidence, "replies")
        labels = _row(judged.evidence, "labels")
        row: dict[str, Any] = {"of": shown_model(name), "verdict": judged.kind, "control": labels.get("kind")}
        for column, found in (("follows", replies), ("without", labels)):
            row |= {column: found.get("ratio"), f"{column}_low": found.get("low"), f"{column}_high": found.get("high")}
        rows.append(row)
    numbers = [f"{name}{end}" for name in ("follows", "without") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["of", "verdict", "control", *numbers]).astype(dict.fromkeys(numbers, float))


def _row(evidence: pd.DataFrame, question: str) -> dict[str, Any]:
    """Return the row of a question with the largest effect, empty where it was not asked."""
    told: list[Any] = evidence.to_dict("records") if "question" in evidence else []
    rows = [row for row in told if row["question"] == question and row["ratio"] == row["ratio"]]
    largest: dict[str, Any] = max(rows, key=lambda row: float(row["ratio"]), default={})
    return largest


def two_questions(verdicts: Mapping[str, Verdict], known: Mapping[str, Verdict] | None = None) -> Figure:
    """Draw each verdict as a point with its 95 % intervals, results used to the right, labels needed upwards.

    `known` are verdicts on scripted clients of known nature, in grey: where each kind lies on this table. Lines are the
    bounds below which an effect counts as none. What lacks one of the two numbers is not drawn.
    """
    table, natures = questions_table(verdicts), questions_table(known or {})
    figure, (axes,) = new_figure(1, 1)
    figure.set_size_inches(6.4, 4 + 0.2 * (len(table) + len(natures)))
    axes.axvline(LEAST_FOLLOWING, color="#bbbbbb", linewidth=0.8)
    axes.axhline(MARGIN, color="#bbbbbb", linewidth=0.8)
    for number, row in enumerate(natures.to_dict("records")):
        _point(axes, row, Style(GREY, "os^Dv<>P*X"[number % 10], "-"), hollow=True)
    looks = styles([str(name) for name in table["of"]])
    for row in table.to_dict("records"):
        _point(axes, row, looks[str(row["of"])])
    log_axis(axes, "y")
    for (used, needed), words in CORNERS.items():
        axes.text(
            (0.01, 0.99)[used], (0.02, 0.98)[needed], words, transform=axes.transAxes, fontsize=7, color="#555555",
            ha=("left", "right")[used], va=("bottom", "top")[needed],
        )  # fmt: skip
    axes.set_xlabel("replies follow shuffled results (1: as a hill climber's)")
    axes.set_ylabel("typical rank without labels ÷ with")
    outer_legend(figure, axes, columns=1)
    if not axes.get_legend_handles_labels()[0]:
        axes.text(0.5, 0.5, "too few searches for both numbers", transform=axes.transAxes, ha="center", fontsize=8)
    return finish(figure, [axes], legend=False)


def _point(axes: Axes, row: Mapping[Any, Any], style: Style, hollow: bool = False) -> None:
    x, y = row["follows"], row["without"]
    if not (x == x and y == y):
        return
    ends: dict[str, Any] = {
        "xerr": [[x - row["follows_low"]], [row["follows_high"] - x]],
        "yerr": [[y - row["without_low"]], [row["without_high"] - y]],
    }
    axes.errorbar(
        [x], [y], **ends, fmt=style.marker, color=style.colour, markersize=6, linewidth=1, elinewidth=0.8,
        markerfacecolor="white" if hollow else style.colour, label=f"{row['of']}: {row['verdict']}",
    )  # fmt: skip
