"""Runs as frames, grouped by method: what every figure of runs is drawn from.

A *run* is anything with `.frame()`, or the frame itself (columns as `Run.frame` gives them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import distinct, n_text, shown_model, shown_name
from genius_kit.runs.provenance import marked

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.journal import Run
    from genius_kit.spaces import Architecture


Runs = Mapping[str, Sequence[Any]]
"""Name of a method -> its runs."""


def by_method(runs: Sequence[Any]) -> dict[str, list[Any]]:
    """Group runs under the name of their method: the proposer, or a model with its temperature and params.

    The stand-in is named as what it is; it has no temperature.

    Parameters
    ----------
    runs
        Runs of any methods.
    """
    groups: dict[str, list[Any]] = {}
    for run in runs:
        groups.setdefault(_method(run.settings["proposer"], run.settings["settings"]), []).append(run)
    return groups


def _method(proposer: str, settings: Mapping[str, Any]) -> str:
    model = settings.get("model")
    if proposer != "llm" or (model and is_stand_in(model)):
        return shown_name(proposer, model)
    temperature, params = settings.get("temperature"), settings.get("params", {})
    told = [] if temperature is None else [f"temperature {temperature:g}"]
    told += [f"{name} {value}" for name, value in sorted(params.items())]
    return ", ".join([shown_model(model or "language model"), *told])


def run_table(runs: Runs) -> pd.DataFrame:
    """Return the data behind a figure: the frames of all runs, with the columns `method` and `run` (from 1) first.

    Parameters
    ----------
    runs
        Name of a method -> its runs.
    """
    import pandas as pd

    parts = []
    for name, frames in frames_of(runs).items():
        for number, frame in enumerate(frames, 1):
            kept = frame.drop(columns=["method", "run"], errors="ignore")
            kept.insert(0, "run", number)
            kept.insert(0, "method", name)
            parts.append(kept)
    return marked(pd.concat(parts, ignore_index=True), runs)


def read_frames(source: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Return one row per evaluation of every journal in a folder (and its folders), or of some journals, in one frame.

    The columns are those of `Run.frame`, with the path of the `journal` first. The journals are read one by one: ten
    thousand take no more memory than their rows. A file in a folder that cannot be read is named in a warning, and
    passed over. Raises JournalError, InvalidParameter for a folder that is none.
    """
    from genius_kit.journal import frame_of, read_run, readable

    def rows_of(run: Run) -> list[dict[str, Any]]:
        return [{"journal": str(run.path), **row} for row in run.rows()]

    if not isinstance(source, str | Path):
        parts: Iterable[list[dict[str, Any]]] = (rows_of(read_run(path)) for path in source)
    elif Path(source).is_dir():
        parts = readable(Path(source), rows_of)
    else:
        raise InvalidParameter(f"{source} is no folder of journals; `genius-kit run` writes them to runs/")
    return frame_of(list(chain.from_iterable(parts)))


def best_architecture(runs: Sequence[Any]) -> Architecture:
    """Return the architecture with the best feedback, the earliest of equals.

    Parameters
    ----------
    runs
        Runs of one space.

    Raises
    ------
    InvalidParameter
        Every evaluation failed.
    """
    from genius_kit.spaces import recorded_space

    table = run_table({"all": runs})
    scores = table["feedback"].astype(float)
    if scores.isna().all():
        raise InvalidParameter(f"none of the {len(table)} evaluations has a result; the column `failure` says why")
    best = int(scores.argmax())
    return recorded_space(runs[0].settings).decode(str(table["key"].iloc[best]))


def frames_of(runs: Runs) -> dict[str, list[pd.DataFrame]]:
    found = {name: [run if hasattr(run, "columns") else run.frame() for run in some] for name, some in runs.items()}
    empty = [name for name, frames in found.items() if not frames or any(frame.empty for frame in frames)]
    if empty or not found:
        raise InvalidParameter(f"there is no evaluation to draw for {', '.join(empty) or 'any method'}")
    return found


def longest(frames: Sequence[pd.DataFrame]) -> int:
    return max(len(frame) for frame in frames)


def held(values: pd.Series, length: int) -> Any:
    """Return `values` as an array of `length`, its last value held: a run that stopped keeps what it found."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    return np.pad(array, (0, length - len(array)), mode="edge")


def middle_rank(frame: pd.DataFrame) -> pd.Series:
    return (frame["rank_best"].astype(float) + frame["rank_worst"].astype(float)) / 2


def counted(name: str, searches: Sequence[Any]) -> str:
    """Return the name of a method with the number of its searches, of a fixed rule 1 (see `fixed_rules`)."""
    return f"{name} ({n_text(len(searches), len(distinct(searches)))})"
