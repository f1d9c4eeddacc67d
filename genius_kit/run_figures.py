"""Figures of runs: the best accuracy and the rank of the best so far by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.plots import draw_band, draw_interval, draw_line, finish, new_figure, rank_axis, styles
from genius_kit.run_frames import Runs, counted, frames_of, held, longest, longest_of_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def best_so_far(runs: Runs, feedback_name: str = "accuracy", interval: bool = False) -> Figure:
    """Draw the best accuracy so far by iteration: mean over runs, in a band that holds the middle 80 % of them.

    With `interval` the band is the 95 % interval of the mean instead, a bootstrap over runs, by percentiles.

    A run that stopped keeps what it found: its line goes on without markers. The line begins where every run has a
    result; evaluations that failed have none.
    """
    import numpy as np

    figure, (axes,) = new_figure(1, 1)
    frames, floor, tops = frames_of(runs), [], []
    for name, some in frames.items():
        values = np.stack([held(frame["best_so_far"], longest_of_all(frames)) for frame in some])  # (runs, iterations)
        mean, style = values.mean(axis=0), styles(list(runs))[name]
        known = mean[np.isfinite(mean)]
        if not len(known):
            raise InvalidParameter(f"a run of {name} measured nothing; leave it out, its column `failure` says why")
        draw_line(axes, mean, style, longest(some), label=counted(name, some))
        (draw_interval if interval else draw_band)(axes, values, style)
        floor.append(float(known[min(2, len(known) - 1)]))  # the first draws of random search would flatten the rest
        tops.append(float(np.nanmax(mean if interval else values)))
    margin = 0.08 * (max(tops) - min(floor)) or 0.1
    axes.set_ylim(min(floor) - margin, max(tops) + margin)
    axes.set(xlabel="iteration", ylabel=f"best {feedback_name} so far (%)")
    band = "95 % interval of the mean" if interval else "the middle 80 % of them"
    axes.set_title(f"line: mean over n searches; band: {band}", fontsize=8, color="#555555", loc="left")
    return finish(figure, [axes])


def rank_by_iteration(runs: Runs) -> Figure:
    """Draw the rank of the best found so far: mean over runs; the bars span the mean tie range (1 is best)."""
    import numpy as np

    figure, (axes,) = new_figure(1, 1)
    frames = frames_of(runs)
    for name, some in frames.items():
        low = np.mean([held(frame["rank_best"].cummin(), longest_of_all(frames)) for frame in some], axis=0)
        high = np.mean([held(frame["rank_worst"].cummin(), longest_of_all(frames)) for frame in some], axis=0)
        style = styles(list(runs))[name]
        draw_line(axes, (low + high) / 2, style, longest(some), label=counted(name, some))
        axes.vlines(np.arange(1, len(low) + 1), low, high, color=style.colour, linewidth=4, alpha=0.3)
    axes.set(xlabel="iteration", ylabel="rank of the best so far (1 is best)")
    axes.set_title("mean over n searches; the bars span the ties", fontsize=8, color="#555555", loc="left")
    rank_axis(axes)
    return finish(figure, [axes])
