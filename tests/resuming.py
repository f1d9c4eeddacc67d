"""Cutting a run's journal after each of its events, to see whether what is resumed is the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from genius_kit.journal import Run


def assert_resumes_alike(folder: Path, start: Callable[[Path, int], Run]) -> Run:
    """Resume the run of `start(journal, answers already on record)` after every event; return the whole run."""
    whole = start(folder / "whole.jsonl", 0)
    lines = (folder / "whole.jsonl").read_text().splitlines(keepends=True)
    for kept in range(len(lines) + 1):
        path = folder / f"{kept}.jsonl"
        path.write_text("".join(lines[:kept]))
        answered = sum('"event":"call"' in line for line in lines[:kept])
        assert _plain(start(path, answered)) == _plain(whole), kept
    return whole


def _plain(run: Run) -> list[dict[str, Any]]:
    """The events without times, and without the intents that a cut left unanswered."""
    dropped = [id(event) for event in run.unanswered_intents]
    kept = [event for event in run.events if id(event) not in dropped]
    return [{key: value for key, value in event.items() if key not in ("time", "seconds")} for event in kept]
