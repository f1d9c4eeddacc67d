"""Reading many or long journals in a process of its own that prints what it took: `python -m tests.record_speed`."""

import importlib
import json
import sys
import time
from pathlib import Path

from genius_kit.journal import Journal, chain


def make_many(folder, content, count):
    """Write `count` journals that differ in their seed."""
    folder.mkdir()
    first, *rest = content.splitlines(keepends=True)
    begun = json.loads(first)
    for seed in range(count):
        begun["run"]["seed"] = seed
        (folder / f"{seed:05d}.jsonl").write_bytes(chain.line(begun) + b"\n" + b"".join(rest))


def make_long(path, content, count):
    """Write one journal of about `count` events: the iterations of a real one, again and again, chained."""
    begun, *body, _ = [json.loads(line) for line in content.splitlines()]
    steps = max(event.get("iteration", 0) for event in body)
    head, number, before = chain.start(), 0, 0
    with path.open("wb") as file:
        while number < count:
            for event in [begun, *body] if not number else body:
                plain = {key: value for key, value in event.items() if key not in ("chain", "salt")}
                shift = {"iteration": plain["iteration"] + before} if "iteration" in plain else {}
                line, head = chain.seal({**plain, **shift}, head)
                file.write(line + b"\n")
                number += 1
            before += steps


def read(what, place):
    """Read as `what` says and return how many rows or events there were."""
    if what == "resume":
        with Journal(place) as journal:
            return sum(1 for _ in iter(lambda: journal.take(*KINDS), None))
    module, name, count = READERS[what]
    return count(getattr(importlib.import_module(module), name)(place))  # what another reader needs is not in memory


READERS = {
    "results": ("genius_kit.studies.results", "read_results", len),
    "frames": ("genius_kit.runs.frames", "read_frames", len),
    "run": ("genius_kit.journal", "read_run", lambda run: len(run.events)),
    "steps": ("genius_kit.runs.steps", "open_run", len),
    "audit": ("genius_kit.runs.audit", "audit_run", lambda told: len(told.events)),
    "verify": ("genius_kit.journal.verify", "verify_run", lambda told: told.lines),
}
KINDS = ("run_started", "intent", "call", "proposal", "evaluation", "rejected", "run_finished")


def peak_mib():
    """Return the most memory of this program in MiB; what getrusage says would hold that of the parent before exec."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    begun = time.perf_counter()
    count = read(sys.argv[1], Path(sys.argv[2]))
    wall, cpu = time.perf_counter() - begun, time.process_time()
    taken = {"wall": round(wall, 2), "cpu": round(cpu, 2), "mib": round(peak_mib(), 2)}
    print(json.dumps({"what": sys.argv[1], "count": count, **taken}))
