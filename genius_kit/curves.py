"""Figures of trainings: loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.plots import finish, marks, new_figure, styles
from genius_kit.provenance import marked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from genius_kit.benchmarks.trained import TrainedBenchmark
    from genius_kit.journal import Run


def histories(benchmark: TrainedBenchmark, runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the recorded training of every architecture that `runs` evaluated, by key; failed ones are left out."""
    keys = dict.fromkeys(key for run in runs for key in run.frame()["key"])
    found = {key: benchmark.history(benchmark.space.decode(key)) for key in keys}
    return {key: marked(history, runs) for key, history in found.items() if history is not None}


def training_table(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the histories below one another, with the name of each in the column `network`."""
    import pandas as pd

    if not histories:
        raise InvalidParameter("no history came; give at least one, as `TrainedBenchmark.history` returns it")
    found = [frame.assign(network=name) for name, frame in histories.items()]
    return marked(pd.concat(found, ignore_index=True), found)


def training_curves(histories: Mapping[str, pd.DataFrame], chance: float | None = None) -> Figure:
    """Draw training loss and validation accuracy (percent) by epoch, one line a network.

    Each history has the columns epoch, train_loss and validation_accuracy; epochs without a value are left out.
    `chance` (percent) is drawn as a dotted line.
    """
    table = training_table(histories)
    figure, axes = new_figure(1, 2)
    for panel, column in zip(axes, ("train_loss", "validation_accuracy"), strict=True):
        for name, rows in table.dropna(subset=column).groupby("network", sort=False):
            panel.plot(rows["epoch"], rows[column], label=str(name), **marks(styles(list(histories))[str(name)]))
        panel.set(xlabel="epoch")
    axes[0].set(ylabel="training loss")
    axes[1].set(ylabel="validation accuracy (%)")
    if chance is not None:
        axes[1].axhline(chance, color="#999999", linestyle=":", linewidth=1, label="chance")
    return finish(figure, axes)
