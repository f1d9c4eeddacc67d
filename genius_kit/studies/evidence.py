"""What the replies of one search tell: the architectures that the model named, and whether they follow its results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from genius_kit.journal import Run
from genius_kit.prompts.views import PERMUTATION, dealt
from genius_kit.stats.replies import follows

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.benchmarks.tabular import TabularBenchmark


SHUFFLED = "shuffled-feedback"


def reply_columns(run: Run, benchmark: TabularBenchmark) -> dict[str, Any]:
    """Return the columns of `studies.outcomes` that are about the replies of a run on a table.

    `typical_rank` is the geometric mean of the ranks of the model's own proposals, `proposals` their keys. `follows`,
    in the arm shuffled-feedback only, has the numbers of `stats.replies.Follows` a reply, of the
    architecture that the model named first in that step, taken or refused.
    """
    import numpy as np

    space = benchmark.space
    own = {event["iteration"] for event in run.of("proposal") if event["origin"] == "model"}
    named = [event["architecture"] for event in run.of("evaluation") if event["iteration"] in own]
    rows = [space.index(one) for one in named]
    first, last = (ends[rows] for ends in benchmark.ranks())
    return {
        "typical_rank": float(np.exp(np.log((first + last) / 2).mean())) if rows else None,
        "proposals": " ".join(space.key(one) for one in named) if named else None,
        "follows": _follows(run) if _was_shuffled(run) else None,
    }


def _was_shuffled(run: Run) -> bool:
    settings = run.settings.get("settings", {})
    return settings.get("control") == SHUFFLED and not settings.get("change") and "objectives" not in run.settings


def _follows(run: Run) -> tuple[tuple[float, ...], ...]:
    import numpy as np

    evaluations = run.of("evaluation")
    listed = np.array([event["architecture"] for event in evaluations])
    scores = np.array([-np.inf if event["feedback"] is None else event["feedback"] for event in evaluations])
    shuffle = run.settings.get("resolved", {}).get("shuffle", PERMUTATION)
    found = []
    for step, named in _first_named(run).items():
        shown = step - 1
        places = np.array(dealt(shown, run.settings["seed"], shuffle), dtype=int)
        told = follows(named, listed[:shown], scores[:shown], places, may_stay=shuffle == PERMUTATION)
        if not math.isnan(told.best):
            found.append(tuple(round(float(one), 6) for one in told))
    return tuple(found)


def _first_named(run: Run) -> dict[int, np.ndarray]:
    """Return the architecture that the model named first in each step, by iteration."""
    import numpy as np

    found: dict[int, np.ndarray] = {}
    for event in run.events:
        is_reply = event["event"] == "rejected" or (event["event"] == "proposal" and event["origin"] == "model")
        if is_reply and event.get("architecture") is not None:
            found.setdefault(event["iteration"], np.array(event["architecture"]))
    return found
