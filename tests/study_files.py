"""What the tests of studies share: a study as a file, and what two equal studies have in common."""

import json
import sys
from pathlib import Path

from genius_kit.journal import read_run

COMMAND = [sys.executable, "-m", "genius_kit", "study"]


def records(folder):
    """Return the events of every journal by file name, without what may differ between two equal runs."""
    return {path.name: [_plain(event) for event in read_run(path).events] for path in Path(folder).rglob("*.jsonl")}


def _plain(event):
    event = {key: value for key, value in event.items() if key not in ("time", "seconds")}
    if "study" in event:
        event["study"] = {key: value for key, value in event["study"].items() if key != "batch"}
    return event


def text_of(study):
    """Return a study of reference arms as a file."""
    return json.dumps(
        {
            "name": study.name,
            "benchmarks": list(study.benchmarks),
            "budget": study.budget,
            "seeds": list(study.seeds),
            "arms": [arm.name for arm in study.arms],
            "source": "embedded",
        }
    )
