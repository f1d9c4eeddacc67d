"""Tokens and money by run, as the servers counted them and the prices stood; unknown is said, never drawn as zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.plots import finish, legend_below, new_figure, styles
from genius_kit.provenance import marked
from genius_kit.styles import BLUE, GREEN, ORANGE, SKY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genius_kit.journal import Run
    from genius_kit.run_frames import Runs

KINDS = {
    "fresh input": (BLUE, ""),
    "cached input": (SKY, "///"),
    "visible output": (ORANGE, ""),
    "reasoning": (GREEN, "..."),
}
"""The parts of the tokens of a run that do not overlap, with colour and hatching."""

COLUMNS = ("method", "run", "seed", "calls", *(kind.replace(" ", "_") for kind in KINDS), "cost")


def spending_table(runs: Runs) -> pd.DataFrame:
    """Return one row a run that asked a model: `calls`, tokens by kind, and `cost` in the currency of the prices.

    Cached input is a part of a server's input, reasoning of its output: here each token is counted once. A sum is
    None where a part of it is unknown; a server that tells no cached or reasoning tokens has none.
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
    given, made = (_total([one[name] for one in usage]) for name in ("input_tokens", "output_tokens"))
    return {
        "calls": len(calls),
        "fresh_input": None if given is None else given - cached,
        "cached_input": None if given is None else cached,
        "visible_output": None if made is None else made - reasoning,
        "reasoning": None if made is None else reasoning,
        "cost": _total([call["cost"] for call in calls]),
    }


def _total(values: Sequence[Any]) -> Any:
    return None if any(value is None for value in values) else sum(values)


def spending(runs: Runs) -> Figure:
    """Draw the tokens of every run by kind (left) and what it cost (right), a bar a run, in the order of the seeds.

    Raises InvalidParameter where no run asked a model.
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
    finish(figure, [tokens, money], legend=False)
    legend_below(figure, tokens)
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
        said = f"{words},\nany of the {len(known)} runs"
        panel.text(0.5, 0.5, said, transform=panel.transAxes, ha="center", va="center", fontsize=8)
        panel.set_xticks([])
        panel.set_xlim(0, 1)
        return
    for row in rows:
        panel.annotate(words, (0.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=6.5)
