"""What a journal says, read without locking or repairing it: its settings, its end, and one row per evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genius_kit.errors import JournalError, UnknownName
from genius_kit.journal import chain
from genius_kit.journal.chain import Event
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.journal.lines import open_journal, read_lines
from genius_kit.memory_formats import warn_if_suspect_run
from genius_kit.records import Card

if TYPE_CHECKING:
    import pandas as pd


Taken = TypeVar("Taken")

SHOWN_REFUSED = 10
"""Files that cannot be read that a warning names."""


@contextmanager
def complete(path: Path | None) -> Iterator[None]:
    """Raise JournalError where an event lacks a field that is read, which no search of this version leaves."""
    try:
        yield
    except (KeyError, StopIteration) as error:
        raise JournalError(
            f"{path}: an event lacks its {error.args[0] if error.args else 'proposal'}; the file was altered, or "
            f"another version of the kit wrote it. Restore it from a copy (`genius-kit verify {path}` says what can "
            "still be trusted), or read it with that version"
        ) from None


@dataclass(frozen=True, repr=False)
class Run(Card):
    """What a journal says.

    Parameters
    ----------
    path
        The journal; None for a run in memory.
    events
        Its lines, in order.
    """

    path: Path | None
    events: list[Event]

    def facts(self) -> dict[str, object]:
        """Return what was searched, by whom, how far it is, and the best that it found."""
        kept = self.settings
        if not kept:
            return {"ended": "not begun"}
        scored = [event for event in self.of("evaluation") if event.get("feedback") is not None]
        best = max(scored, key=lambda event: event["feedback"], default=None)
        rank = (best or {}).get("rank")
        served = dict.fromkeys(str(event["model"]) for event in self.of("call") if event.get("model"))
        served.pop(kept.get("settings", {}).get("model"), None)
        return {
            "benchmark": kept.get("benchmark"),
            "proposer": " ".join(filter(None, [kept.get("proposer"), kept.get("settings", {}).get("model")])),
            **({"answered by": " and ".join(served)} if served else {}),
            "seed": kept.get("seed"),
            "evaluations": f"{len(self.of('evaluation'))} of {self.budget}",
            **({"best": f"{best['feedback']:.2f}"} if best else {}),
            **({"at rank": f"{rank['best']} of {rank['of']:,}"} if rank else {}),
            **({"replies taken": "none, every evaluation is a random fallback"} if self.only_fallbacks else {}),
            "ended": self.reason or "not yet",
            **({"journal": self.path.name} if self.path else {}),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The `run` part of the first event: benchmark, proposer, budget, seed, settings; empty if not begun.

        With the `folder` of the benchmark, where it was read from one of the user's.
        """
        begun = self.events[0] if self.events else {}
        return {**begun.get("run", {}), **({"folder": begun["folder"]} if "folder" in begun else {})}

    @property
    def budget(self) -> int | None:
        """The number of evaluations that the run may make, as a person raised it last; None if not begun."""
        raised = self.of("budget_raised")
        return raised[-1]["budget"] if raised else self.settings.get("budget")

    @property
    def finished(self) -> bool:
        """Whether the run came to its end (its budget, or a declared or forced stop).

        One that a person stopped has not, and a larger budget opens one that had; both resume.
        """
        return bool(self.events) and self.events[-1]["event"] == "run_finished"

    @property
    def reason(self) -> str | None:
        """Why the run ended, None while it has not."""
        return str(self.events[-1]["reason"]) if self.finished else None

    def of(self, *names: str) -> list[Event]:
        """Return the events of the given kinds, in order.

        Parameters
        ----------
        *names
            Kinds of events, such as "evaluation".
        """
        return [event for event in self.events if event["event"] in names]

    @property
    def only_fallbacks(self) -> bool:
        """Whether every evaluation was a random fallback, that a search was told to begin with apart."""
        origins = {event["origin"] for event in self.of("proposal")} - {"given"}
        return origins == {"fallback"}

    @property
    def unanswered_intents(self) -> list[Event]:
        """Calls that were sent and whose reply never reached the disk: the only ones that may be paid twice."""
        steps = [event for event in self.events if event["event"] not in SIDE_EVENTS]
        return [
            event
            for event, following in pairwise([*steps, {"event": None}])
            if event["event"] == "intent" and following["event"] not in ("call", "call_failed")
        ]

    def frame(self) -> pd.DataFrame:
        """Return one row per evaluation, in order. Accuracies in percent, seconds and cost summed over the iteration.

        Raises JournalError where the events of an evaluation are not all there, which no search leaves.
        """
        return frame_of(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `frame` as plain values."""
        with complete(self.path):
            return self._rows()

    def _rows(self) -> list[dict[str, Any]]:
        from genius_kit.spaces import recorded_space

        space = recorded_space(self.settings) if self.settings else None
        rows: list[dict[str, Any]] = []
        best: float | None = None
        steps: dict[Any, list[Event]] = {}
        for event in self.events:
            steps.setdefault(event.get("iteration"), []).append(event)
        for event in self.of("evaluation"):
            same = steps[event["iteration"]]
            feedback = event["feedback"]
            if feedback is not None:
                best = feedback if best is None else max(best, feedback)
            rank = event["rank"] or {}
            proposal = next(other for other in same if other["event"] == "proposal")
            rows.append(
                {
                    "iteration": event["iteration"],
                    "architecture": proposal["text"],
                    "key": space.key(event["architecture"]) if space else None,
                    "origin": proposal["origin"],
                    "person": touch(same),
                    "feedback": feedback,
                    "best_so_far": best,
                    "validation_accuracy": event["validation_accuracy"],
                    "test_accuracy": event["test_accuracy"],
                    "rank_best": rank.get("best"),
                    "rank_worst": rank.get("worst"),
                    "rank_of": rank.get("of"),
                    "parameters": event["parameters"],
                    "macs": event["macs"],
                    **({"latency": event["latency"]} if "latency" in event else {}),
                    **_talk(same),
                    "source": event["source"],
                    "failure": event.get("failure"),
                }
            )
        if space is not None:
            warn_if_suspect_run(self.path, self.settings, space, self.of("evaluation"))
        return rows


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the frame of rows that `Run.rows` gives, of one run or of many."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=None if rows else _COLUMNS)
    for name in ("feedback", "best_so_far"):  # numbers also where every evaluation failed
        if frame[name].dtype != float:
            frame[name] = frame[name].astype(float)
    frame["person"] = pd.Series([row["person"] for row in rows], dtype=object)  # None stays None
    return frame


_COLUMNS = [
    *("iteration", "architecture", "key", "origin", "person", "feedback", "best_so_far", "validation_accuracy"),
    *("test_accuracy", "rank_best", "rank_worst", "rank_of", "parameters", "macs", "calls", "reused"),
    *("failed_calls", "rejections", "input_tokens", "output_tokens", "cost", "seconds", "source", "failure"),
]


def total(values: Sequence[Any]) -> Any:
    """Return the sum, None where any part is unknown or there is none: a sum of unknowns is not zero."""
    return None if not values or any(value is None for value in values) else sum(values)


def _talk(events: list[Event]) -> dict[str, Any]:
    """Sum what one iteration's calls took."""
    calls = [event for event in events if event["event"] == "call"]
    return {
        "calls": len(calls),
        "reused": sum("reused" in call for call in calls),
        "failed_calls": sum(event["event"] == "call_failed" for event in events),
        "rejections": sum(event["event"] == "rejected" for event in events),
        "input_tokens": total([call["usage"]["input_tokens"] for call in calls]),
        "output_tokens": total([call["usage"]["output_tokens"] for call in calls]),
        "cost": total([call["cost"] for call in calls]),
        "seconds": total([call["seconds"] for call in calls]),
    }


def read_run(path: str | Path) -> Run:
    """Return the run recorded in a journal, finished or not, without locking or repairing it.

    A torn last line is left out, and "[withheld]" stands in place of words that were taken out for publication.

    Parameters
    ----------
    path
        The journal of one run, a JSONL file.

    Raises
    ------
    JournalError
        There is no such file, or its middle is damaged.
    """
    path = Path(path)
    with open_journal(path) as file:
        lines = read_lines(path, file)
    return Run(path, [chain.shown(event) for event in lines.events] if lines.withheld else lines.events)


def readable(folder: Path, take: Callable[[Run], Taken]) -> Iterator[Taken]:
    """Yield what `take` makes of the run of each journal under a folder, by name.

    A file that is no journal of a run that can be read is named in a warning and passed over; the others count.
    Raises JournalError where there are such files alone.
    """
    refused: list[str] = []
    paths = sorted(folder.rglob("*.jsonl"))
    for path in paths:
        try:
            taken = take(read_run(path))
        except (JournalError, UnknownName) as error:
            refused.append(f"{path}: {error}")
            continue
        yield taken
    told = "\n".join(f"- {words}" for words in refused[:SHOWN_REFUSED])
    if refused and len(refused) == len(paths):
        raise JournalError(f"no journal under {folder} can be read:\n{told}")
    if refused:
        warnings.warn(f"{len(refused)} of {len(paths)} files under {folder} were passed over:\n{told}", stacklevel=3)


def touch(events: Sequence[Event]) -> str | None:
    """Return how a person touched the architecture of one iteration: "edited", "rejected before", "approved", or None.

    "rejected before" is an architecture that came after a person had rejected another one in its place.
    """
    decisions = [event["decision"] for event in events if event["event"] == "approval"]
    for decision, word in (("edit", "edited"), ("reject", "rejected before"), ("approve", "approved")):
        if decision in decisions:
            return word
    return None
