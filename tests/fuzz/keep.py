"""Keep the interesting inputs of a fuzzing run: `python -m tests.fuzz.keep replies --work /tmp/fuzz`.

Of the inputs in WORK/<reader>/corpus, the shortest first, those that run a new line-to-line step of the reader go
into tests/fuzz/corpus/<reader>.jsonl, after the cases that are there already.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.__main__ import READERS
from tests.fuzz.corpus import FOLDER, read_corpus

Steps = set[tuple[str, int, int]]


def main() -> None:
    """Add to the corpus of a reader what the inputs of a run reach beyond it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.keep", description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--longest", type=int, default=600, help="bytes of an input that may be kept")
    options = parser.parse_args()
    module, names = READERS[options.reader]
    target = importlib.import_module(module)
    files = {str(importlib.import_module(name).__file__) for name in names}
    kept = read_corpus(options.reader)
    known: Steps = set()
    for case in kept:
        known |= reached_by(case, target, files)
    inputs = [path.read_bytes() for path in (options.work / options.reader / "corpus").iterdir()]
    for data in sorted((data for data in inputs if len(data) <= options.longest), key=lambda data: (len(data), data)):
        case = target.case_of(data)
        reached = reached_by(case, target, files) if case else set()
        if reached - known:
            known |= reached
            kept.append(case)
    text = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in kept)
    (FOLDER / f"{options.reader}.jsonl").write_text(text, encoding="utf-8")
    print(f"{len(kept)} cases, {len(known):,} steps, {len(text):,} characters")


def reached_by(case: dict[str, Any], target: Any, files: set[str]) -> Steps:
    """Return the steps that a case takes, and one of its own for the space and the kind of outcome that it has."""
    outcome = str(case.get("outcome", ""))
    kind = "a design" if outcome.isdigit() else outcome
    return steps_of(lambda: target.run_case(case), files) | {(f"{case.get('space')}: {kind}", 0, 0)}


def steps_of(run: Callable[[], Any], files: set[str]) -> Steps:
    """Return the steps from line to line that `run` takes in `files`."""
    found: Steps = set()
    last: dict[int, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        before = last.get(id(frame), 0) if event != "call" else 0
        found.add((frame.f_code.co_filename, before, frame.f_lineno))
        last[id(frame)] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return found


if __name__ == "__main__":
    main()
