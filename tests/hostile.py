"""What crafted input costs: an action in a process of its own, its seconds and the memory beyond the imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS, MEGABYTES = 2.0, 200
"""What hostile input may take before it is refused."""

NAME = (
    "ev\x1b[31mil\x1b]0;owned\x07 \u202egpj.exe\u2066 $x^{$ <img src=x onerror=alert(1)> | `a` "
    "\\input{/etc/passwd} %_&#~\t=1"
)
"""A name of a model, an arm or a run as an attacker would have it; with = + - or @ before it, it is also a formula."""

_CHILD = """
import json, resource, sys, time
sys.setrecursionlimit(1000)
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
import genius_kit.cli.record, genius_kit.cli.study, genius_kit.cli.run, openai, jinja2, pandas, pydantic, yaml
from genius_kit.errors import GeniusKitError
prepare, action = json.loads(sys.argv[1])
space = {}
exec(prepare, space)
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
before, began, said, kind = peak(), time.perf_counter(), None, None
try:
    exec(action, space)
except Exception as error:
    said, kind = str(error), type(error).__name__ if not isinstance(error, GeniusKitError) else "GeniusKitError"
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "megabytes": peak() - before, "said": said, "kind": kind}))
"""


@dataclass(frozen=True)
class Cost:
    """What an action took: seconds, megabytes of memory beyond those before it, and how it ended.

    `said` is the message of what it raised, None where it raised nothing; `kind` is "GeniusKitError" or the name of a
    class of another kind; "killed" where the process was ended after its time.
    """

    seconds: float
    megabytes: float
    said: str | None
    kind: str | None

    @property
    def is_refusal(self) -> bool:
        """Whether it ended in one sentence of the package, in time and memory."""
        told = self.kind == "GeniusKitError" and self.said is not None and len(self.said) < 2_000
        return told and self.seconds < SECONDS and self.megabytes < MEGABYTES


def cost_of(action: str, prepare: str = "", patience: float = 60) -> Cost:
    """Run the Python code `action` in a new process and return what it took; `prepare` runs before it, uncounted."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    given = [sys.executable, "-c", _CHILD, json.dumps([prepare, action])]
    try:
        done = subprocess.run(given, capture_output=True, text=True, timeout=patience, env=environment)
    except subprocess.TimeoutExpired:
        return Cost(patience, 0.0, None, "killed")
    if done.returncode:
        return Cost(0.0, 0.0, done.stderr[-500:], "killed")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))
