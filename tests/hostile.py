"""What crafted input costs: actions in processes of their own, the seconds and memory of each beyond the imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS, MEGABYTES = 2.0, 200
"""What hostile input may take before it is refused: seconds of the processor, memory."""

NAME = (
    "ev\x1b[31mil\x1b]0;owned\x07 \u202egpj.exe\u2066 $x^{$ <img src=x onerror=alert(1)> | `a` "
    "\\input{/etc/passwd} %_&#~\t=1"
)
"""A name of a model, an arm or a run as an attacker would have it; with = + - or @ before it, it is also a formula."""

_PARENT = """
import json, os, resource, signal, sys, time
from genius_kit.errors import GeniusKitError

def line(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) / 1024

def told(action):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before, said, kind = line("VmHWM"), None, None
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    began = time.process_time()
    try:
        exec(action, dict(space))
    except BaseException as error:
        said, kind = str(error), "GeniusKitError" if isinstance(error, GeniusKitError) else type(error).__name__
    return {"seconds": time.process_time() - began, "megabytes": line("VmHWM") - before, "said": said, "kind": kind}

prepare, actions, patience = json.load(sys.stdin)
space = {}
exec(prepare, space)
for name, action in actions.items():
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(send, "w") as file:
            json.dump(told(action), file)
        os._exit(0)
    os.close(send)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(patience)
    with os.fdopen(receive) as file:
        came = file.read()
    signal.alarm(0)
    os.waitpid(child, 0)
    print(json.dumps([name, json.loads(came) if came else None]), flush=True)
"""


@dataclass(frozen=True)
class Cost:
    """What an action took: seconds of the processor, megabytes of memory beyond those before it, and how it ended.

    `said` is the message of what it raised, None where it raised nothing; `kind` is "GeniusKitError" or the name of a
    class of another kind; "killed" where it did not end by itself.
    """

    seconds: float
    megabytes: float
    said: str | None
    kind: str | None

    @property
    def is_bounded(self) -> bool:
        """Whether it ended in time and memory, with one message of the package or a result."""
        ended = self.kind is None or (self.kind == "GeniusKitError" and len(str(self.said)) < 2_000)
        return ended and self.seconds < SECONDS and self.megabytes < MEGABYTES

    @property
    def is_refusal(self) -> bool:
        """Whether it ended so with a message."""
        return self.is_bounded and self.kind is not None


def costs_of(actions: Mapping[str, str], prepare: str = "", patience: int = 60) -> dict[str, Cost]:
    """Run each of some pieces of Python code and return what it took; `prepare` (imports) runs before, uncounted."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    given = json.dumps([prepare, actions, patience])
    done = subprocess.run(
        [sys.executable, "-c", _PARENT], input=given, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = map(json.loads, done.stdout.splitlines())
    return {name: Cost(**cost) if cost else Cost(float(patience), 0.0, None, "killed") for name, cost in rows}
