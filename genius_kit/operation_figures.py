"""Which option stands at which position as the search goes on: shares over runs, a panel a position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.drawings import EDGE_STYLES, block_colours
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import distinct, n_text
from genius_kit.method_names import model_kind, shown_model
from genius_kit.plots import finish, fitting, new_figure
from genius_kit.provenance import marked
from genius_kit.spaces import load_space
from genius_kit.styles import BLUE, SKY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genius_kit.spaces import SearchSpace

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++")
_SIZES = ("#e6f1f9", "#b5d9f0", SKY, BLUE)
"""Rising channel counts as a rising depth of blue."""


def operation_table(runs: Sequence[Any]) -> pd.DataFrame:
    """Return how often each option stood at each position by iteration, over all `runs` of one space.

    Columns: `iteration`, `position` (name), `option` (index), `name`, `runs` (n that evaluated), `share` (percent),
    `model_kind` (see `method_names`).
    A refused proposal is not counted, the runs of a fixed rule count once (see `fixed_rules`). Raises InvalidParameter
    for runs of several spaces or without an evaluation.
    """
    import numpy as np
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
    return load_space(names[0])


def _option_name(space: SearchSpace, position: int, option: int) -> str:
    if space.is_cell:
        return EDGE_STYLES.get(space.options[option], ("", "none"))[1]
    if not space.names_operations:
        return f"{option + 1}/{len(space.choices[position])} of the width"
    return space.describe(position, option)


def _colours(space: SearchSpace) -> Sequence[str]:
    """Return the colour of each option, that of the drawings."""
    if space.is_cell:
        return [EDGE_STYLES.get(name, ("#dddddd", ""))[0] for name in space.options]
    return _SIZES if not space.names_operations else block_colours(space)


def operation_frequencies(runs: Sequence[Any], title: str = "") -> Figure:
    """Draw the share of each option at each position by iteration: stacked bars, a panel a position.

    Colours are those of the architecture drawings, hatched so that they read in grey. n counts the runs.
    """
    table, space = operation_table(runs), _space(runs)
    columns = max(len(stage) for stage in space.stages) if space.in_stages else min(4, -(-space.length // 2))
    figure, axes = new_figure(-(-space.length // columns), columns, sharex=True, sharey=True)
    rows = -(-space.length // columns)
    figure.set_size_inches(1.5 * columns + 0.9, 1.15 * rows + 1.3)
    colours, steps = _colours(space), sorted(table["iteration"].unique())
    for position, (panel, name) in enumerate(zip(axes, space.positions, strict=False)):
        here = table[table["position"] == name]
        bottom = [0.0] * len(steps)
        for option, part in here.groupby("option"):
            shares = part.sort_values("iteration")["share"].tolist()
            look: dict[str, Any] = {
                "color": colours[int(str(option))],
                "hatch": HATCHES[int(str(option)) % len(HATCHES)],
            }
            label = part["name"].iloc[0] if position == space.length - 1 else "_"
            panel.bar(steps, shares, bottom=bottom, width=1.0, edgecolor="white", linewidth=0.2, label=label, **look)
            bottom = [before + share for before, share in zip(bottom, shares, strict=True)]
        panel.set_title(name, fontsize=8, pad=2)
        panel.set(ylim=(0, 100), xlim=(steps[0] - 0.5, steps[-1] + 0.5))
        panel.set_xlabel("iteration" if position // columns == rows - 1 else "", fontsize=8)
        panel.tick_params(labelsize=7)
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
    return finish(figure, axes, legend=False)
