"""What the core takes: `python -m tests.core_speed` prints each figure beside its aim; run it on an idle machine.

One proposal is traced (calls, modules and depth of our own functions), an evaluation against a chat server on loopback
is timed (CPU), 64 searches of 10 calls of half a second run at once, commands are started in processes of their own,
and a search of 1,000 free evaluations says whether an evaluation becomes slower as the search grows.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import genius_kit as gk
from genius_kit.benchmarks import Benchmark

KIT = str(Path(gk.__file__).parent)
REPEATS = 5
SERVER = """
import re, sys
from genius_kit.testing import ChatServer
designs = {designs!r}
def next_one(body, _):  # one for each result that the prompt shows, so that none is refused as tried
    return designs[len(re.findall(r" -> \\d", body["messages"][-1]["content"]))]
with ChatServer(next_one, delay={delay}) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def traced(benchmark: Benchmark) -> tuple[int, int, int]:
    """Return the calls, modules and depth of our own functions from the third to the fourth evaluation."""
    calls: Counter[str] = Counter()
    state = {"on": False, "depth": 0, "deepest": 0, "seen": 0}

    def profile(frame, event, _):
        if not state["on"] or not frame.f_code.co_filename.startswith(KIT) or event not in ("call", "return"):
            return
        state["depth"] += 1 if event == "call" else -1
        if event == "call":
            calls[frame.f_code.co_filename] += 1
            state["deepest"] = max(state["deepest"], state["depth"])

    def watch(event):
        if event["event"] == "evaluation":
            state["seen"] += 1
            state["on"], state["depth"] = state["seen"] == 3, 0

    with tempfile.TemporaryDirectory() as folder:
        made = gk.make_proposer("llm", benchmark.space)
        sys.setprofile(profile)
        try:
            gk.search(benchmark, made, 5, journal=f"{folder}/a.jsonl", on_event=watch)
        finally:
            sys.setprofile(None)
    return calls.total(), len(calls), state["deepest"]


@contextmanager
def server(benchmark: Benchmark, count: int, delay: float = 0.0) -> Iterator[str]:
    """Give the address of a chat server in a process of its own, so that its CPU is not counted."""
    space = benchmark.space
    own = (one for one in map(space.at, range(space.size)) if space.canonical(one) == one)  # none is refused as tried
    designs = [f"Architecture: {list(one)}" for one in islice(own, count)]
    code = SERVER.format(designs=designs, delay=delay)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield child.stdout.readline().strip()
    finally:
        child.communicate()


def loopback_cpu(benchmark: Benchmark, evaluations: int = 60) -> float:
    """Return the CPU milliseconds of one evaluation of a model that answers at once, from the tenth one on."""
    at: dict[int, float] = {}

    def watch(event):
        if event["event"] == "evaluation":
            at[event["iteration"]] = time.process_time()

    with tempfile.TemporaryDirectory() as folder, server(benchmark, evaluations) as url:
        made = gk.make_proposer("llm", benchmark.space, model="m", base_url=url, structured="off")
        gk.search(benchmark, made, evaluations, journal=f"{folder}/a.jsonl", on_event=watch)
    return 1000 * (at[evaluations] - at[10]) / (evaluations - 10)


def at_once(benchmark: Benchmark, runs: int = 64) -> float:
    """Return the seconds of `runs` searches of 10 calls of half a second each, all at the same time."""
    with tempfile.TemporaryDirectory() as folder, server(benchmark, 10, delay=0.5) as url:
        begun = time.perf_counter()
        settings = {"model": "m", "base_url": url, "structured": "off"}
        gk.search_many(benchmark, "llm", range(runs), output=folder, progress=False, **settings)
        return time.perf_counter() - begun


def started(*command: str) -> float:
    """Return the seconds that a command takes, the median of some starts."""
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def growth(benchmark: Benchmark, evaluations: int = 1_000) -> float:
    """Return how many times longer the last tenth of a random search takes than its second tenth."""
    at: list[float] = []

    def watch(event):
        if event["event"] == "evaluation":
            at.append(time.process_time())

    gk.search(benchmark, gk.make_proposer("random", benchmark.space), evaluations, on_event=watch)
    tenth = evaluations // 10
    return (at[-1] - at[-tenth]) / (at[2 * tenth - 1] - at[tenth])


def main() -> None:
    """Print every figure beside its aim."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
    calls, modules, depth = traced(benchmark)
    print(f"one proposal: {calls} calls, {modules} modules, {depth} deep (at most 400, 12, 10)")
    print(f"one evaluation against a server: {loopback_cpu(benchmark):.1f} ms of CPU (at most 4)")
    print(f"64 searches of 10 calls of 0.5 s: {at_once(benchmark):.2f} s (at most 5.75 beyond the start)")
    python, openai = started("-c", ""), started("-c", "import openai")
    print(f"python {python:.2f} s, import openai {openai:.2f} s, --help {started('-m', 'genius_kit', '--help'):.2f} s")
    print(f"the last tenth of 1,000 evaluations takes {growth(benchmark):.2f} times the second tenth (about 1)")


if __name__ == "__main__":
    main()
