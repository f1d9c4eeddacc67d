"""Write small journals of every kind into a folder, with whatever version of the kit is on the path.

    python -m tests.frozen.make tests/frozen/format-2

Run once a format of the journal, in a checkout of the version that writes it; see README.md beside this file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import genius_kit as gk
from genius_kit.errors import ModelError
from genius_kit.runs.live import LiveSearch
from tests.doubles import QueueClient, ToyBenchmark

STUDY = {"name": "frozen", "arm": "shuffled-feedback", "order": 3, "batch": 4}


def design(*options):
    """Return a reply in our own words that names a design."""
    return f"I change one layer and look at what that does.\n\nArchitecture: [{', '.join(map(str, options))}]"


def talk(history):
    """Return a proposer that asks a queue of answers: good, refused, repeated, empty, failed."""
    answers = [
        ModelError("the server has no such parameter", cause="unsupported-parameter", parameter="seed"),
        design(2, 2, 2, 2, 2, 2, 2, 2),
        ModelError("the server is busy", cause="server", retryable=True, retry_after=0.0),
        "I would rather not say. \u201cLater\u201d, perhaps \U0001f600.",
        design(2, 2, 2, 2, 2, 2, 2, 9),
        design(2, 2, 2, 2, 2, 2, 2, 2),
        "",
        design(2, 2, 2, 1, 2, 2, 2, 2),
        *["No design comes to mind."] * 3,
        design(1, 2, 2, 1, 2, 2, 2, 2),
    ]
    client = QueueClient(*answers)
    return gk.make_proposer("llm", ToyBenchmark().space, client=client, history=history)


def spoken(path, history):
    """A run of a model: rejections, a failure that was tried again, a parameter that was dropped."""
    gk.search(ToyBenchmark(), talk(history), 3, seed=1, journal=path, progress=False)


def steered(path):
    """A run that a person paused, approved, edited, turned down and gave a larger budget."""
    answers = [design(2, 2, 2, 2, 2, 2, 2, last) for last in (2, 1, 0)] + [design(0, 1, 2, 0, 1, 2, 0, 1)]
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=QueueClient(*answers))
    decisions = iter(["approve", "reject", "edit", "approve"])
    live = None

    def on_change(state):
        if live is None or state.pending is None:
            return
        decision = next(decisions)
        if decision == "reject":
            live.raise_budget(3)
        edited = (0, 0, 0, 0, 2, 2, 2, 2) if decision == "edit" else None
        reason = {"reject": "too close to the last", "edit": "I would try a small one"}.get(decision, "")
        live.decide(decision, edited, reason=reason)

    live = LiveSearch(ToyBenchmark(), proposer, 2, seed=2, journal=path, approve=True, on_change=on_change)
    live.start()
    live.wait(60)


def looked_up(path, proposer, budget, control=None):
    """A run on the embedded table: the offline stand-in, or an optimiser that asks no model."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    settings = {"model": "offline", **({"control": control} if control else {})} if proposer == "llm" else {}
    made = gk.make_proposer(proposer, benchmark.space, **settings)
    given = {"first": (1, 2, 3, 4, 0, 1), "study": STUDY} if control else {}
    gk.search(benchmark, made, budget, seed=5, journal=path, progress=False, **given)


def main(folder):
    """Write one journal a kind into `folder`."""
    os.environ.update({"LOGNAME": "somebody", "USER": "somebody"})
    folder.mkdir(parents=True, exist_ok=True)
    spoken(folder / "table.jsonl", "table")
    spoken(folder / "dialogue.jsonl", "dialogue")
    steered(folder / "steered.jsonl")
    looked_up(folder / "offline.jsonl", "llm", 3)
    looked_up(folder / "study_arm.jsonl", "llm", 3, control="shuffled-feedback")
    looked_up(folder / "gp.jsonl", "gp", 4)
    looked_up(folder / "evolution.jsonl", "evolution", 4)
    for path in sorted(folder.glob("*.jsonl")):
        names = [json.loads(line)["event"] for line in path.read_bytes().splitlines()]
        print(path.name, len(names), path.stat().st_size, sorted(set(names)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
