"""The paper's figures and tables drawn again, ours beside them where the data allow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.fixed_rules import distinct, n_text
from genius_kit.paper import paper_methods
from genius_kit.plots import Style, draw_band, finish, marks, new_figure, rank_axis, styles
from genius_kit.run_frames import Runs, frames_of, held, longest, longest_of_all, middle_rank

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 8  # trials a panel drawn one by one


def paper_comparison(benchmark: Any, runs: Runs) -> Figure:
    """Draw what the paper's figure 2 draws, beside ours: accuracy (above) and rank (below) of every trial.

    One column a temperature of the paper, then one a method of `runs`; a thin line a trial, the best so far
    (mean over trials) thick. Ranks of the paper are the printed ones, or found from the accuracy where none are.
    """
    import numpy as np

    columns = frames_of({**paper_methods(benchmark), **runs})
    figure, axes = new_figure(2, len(columns), sharey="row", sharex=True)
    for column, (name, frames) in enumerate(columns.items()):
        style, length = styles(list(columns))[name], longest_of_all(columns)
        accuracy, rank = axes[column], axes[len(columns) + column]
        _draw_trials((accuracy, rank), frames, style)
        steps = np.arange(1, length + 1)
        best = np.mean([held(frame["best_so_far"], length) for frame in frames], axis=0)
        lowest = np.mean([held(middle_rank(frame).cummin(), length) for frame in frames], axis=0)
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


def _wrapped(name: str, frames: Sequence[Any]) -> str:
    import textwrap

    return "\n".join([*textwrap.wrap(name, 24), n_text(len(frames), len(distinct(frames)))])


def _draw_trials(panels: tuple[Axes, Axes], frames: Sequence[pd.DataFrame], style: Style) -> None:
    """Draw what each trial evaluated, accuracy and rank; many trials as a band."""
    import numpy as np

    for axes, read in zip(panels, (lambda frame: frame["feedback"], middle_rank), strict=True):
        if len(frames) > _SHOWN:
            length = longest(frames)
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
