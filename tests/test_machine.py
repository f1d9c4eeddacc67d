"""Any schedule of kills, cuts, stops, pauses, decisions and larger budgets ends as the undisturbed run does.

A failing schedule is printed with `@reproduce_failure(...)`, which replays it; GENIUS_KIT_SCHEDULES sets how many are
tried, and `pytest tests/test_machine.py --hypothesis-seed=N` which.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import genius_kit as gk
from genius_kit.errors import GeniusKitError
from genius_kit.journal import Event, Run, read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.llm import ReplayClient
from genius_kit.runs.approval import Decision, Gate, Request
from genius_kit.runs.live_control import Control
from tests.doubles import QueueClient, ToyBenchmark, reply

SCHEDULES = int(os.environ.get("GENIUS_KIT_SCHEDULES", "25"))
LARGEST = 6  # evaluations, at most
PASSING = {"time", "seconds", "by", "via", "host"}  # what two runs of the same decisions need not share


class Killed(BaseException):
    """The process died here: nothing of the search but its journal is left."""


class HashClient(QueueClient):
    """Answers the same to the same messages; about one reply in four cannot be used."""

    def send(self, messages, seed=None):
        self.sent.append(list(messages))
        digest = hashlib.sha256(json.dumps(messages).encode()).digest()
        return reply("I am thinking." if digest[0] % 4 == 0 else str([byte % 3 for byte in digest[1:9]]))


class Approver:
    """Decides by a plan, one entry a decision on record, so that a question asked again is answered alike."""

    def __init__(self, plan: Sequence[str]) -> None:
        self.plan, self.asked, self.absent, self.ends = plan, 0, False, False

    def __call__(self, request: Request) -> Decision | None:
        self.asked += 1
        if self.absent:
            return None
        if self.ends:
            return Decision("end")
        events = request.situation.journal.events
        decision = self.plan[sum(event["event"] == "approval" for event in events) % len(self.plan)]
        if decision != "edit":
            return Decision(decision, reason="as planned")
        near = request.situation.benchmark.space.neighbours(request.architecture)
        free = (other for other in near if request.situation.refusal(other) is None)
        return Decision("edit", next(free), reason="as planned")


class Interruptions:
    """What happens in one sitting: called with each event, does one thing after a number of new ones."""

    def __init__(self, after: int, what: str, budget: int, known: int) -> None:
        self.left, self.what, self.budget, self.known = after, what, budget, known
        self.control: Control | None = None

    def __call__(self, event: Event) -> None:
        if event["event"] == "paused" and self.control is not None and self.control.paused:
            self.control.resume()
        if self.known > 0:  # handed back from before
            self.known -= 1
            return
        self.left -= 1
        if self.left != 0 or self.control is None:
            return
        if self.what == "kill":
            raise Killed
        if self.what == "pause":
            self.control.pause()
        elif self.what == "raise":
            self.control.raise_budget(self.budget)
        else:
            self.control.stop(self.what == "stop now")


def conduct(path: Path | None, budget: int, approver: Approver, watch: Interruptions | None = None, client=None) -> Run:
    """Run or resume the search in one sitting."""
    control = Control(gate=Gate(approver))
    if watch is not None:
        watch.control = control
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=client or HashClient(), rejections_limit=8)
    return gk.search(ToyBenchmark(), proposer, budget, 1, path, watch, progress=False, control=control)


def decided(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return what a run consists of: its events without times, persons, ends, and what came to nothing."""
    steps = [event for event in events if event["event"] not in SIDE_EVENTS]
    return [
        {key: value for key, value in event.items() if key not in PASSING}
        for event, after in pairwise([*steps, {"event": None}])
        if event["event"] not in ("run_started", "run_finished")
        and (event["event"] != "intent" or after["event"] in ("call", "call_failed"))
    ]


class Schedule(RuleBasedStateMachine):
    """One run that is disturbed in every way there is, beside the run that nobody disturbs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="schedule-"))
        self.path = self.folder / "run.jsonl"

    def teardown(self) -> None:
        """Remove the journal."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(
        plan=st.lists(st.sampled_from(["approve", "approve", "edit", "reject"]), min_size=1, max_size=6).filter(
            lambda plan: set(plan) != {"reject"}
        ),
        budget=st.integers(1, 4),
    )
    def begin(self, plan: list[str], budget: int) -> None:
        """Choose the decisions and the first budget; the undisturbed run makes the largest budget."""
        self.approver, self.initial = Approver(plan), budget
        self.whole = decided(conduct(None, LARGEST, Approver(plan)).events)

    @rule(
        after=st.integers(1, 25),
        what=st.sampled_from(["kill", "kill", "pause", "stop", "stop now", "raise"]),
        budget=st.integers(1, LARGEST),
    )
    def sit(self, after: int, what: str, budget: int) -> None:
        """Go on with the run until one thing happens to it; no reply on record is paid again."""
        before = read_run(self.path).events if self.path.exists() else []
        client = HashClient()
        watch = Interruptions(after, what, budget, len(before))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a torn line was moved
            with contextlib.suppress(Killed):
                conduct(self.path, self.initial, self.approver, watch, client)
        events = read_run(self.path).events
        assert events[: len(before)] == before
        replies = [sum(event["event"] == "call" for event in part) for part in (before, events)]
        given_up = len(client.sent) - (replies[1] - replies[0])
        assert given_up in ((0, 1) if what == "stop now" else (0,))  # a call that was under way then

    @precondition(lambda self: self.path.exists())
    @rule(kept=st.floats(0, 1), line=st.booleans())
    def cut(self, kept: float, line: bool) -> None:
        """Cut the journal at a byte: of its last line, as a kill or a full disk does, or anywhere."""
        content = self.path.read_bytes()
        begin = content.rfind(b"\n", 0, len(content) - 1) + 1 if line else 0
        self.path.write_bytes(content[: begin + int(kept * (len(content) - begin))])

    @rule(absent=st.booleans())
    def ask_in_vain(self, absent: bool) -> None:
        """Nobody is there to decide, or whoever is ends the run: it stops, and resumes with the same question."""
        self.approver.absent, self.approver.ends = absent, not absent
        try:
            self.sit(1_000, "kill", LARGEST)
        finally:
            self.approver.absent = self.approver.ends = False

    @rule()
    def finish(self) -> None:
        """Let the run come to its end; a second look at the finished one changes nothing."""
        self.sit(1_000, "kill", LARGEST)
        run = read_run(self.path)
        assert run.finished
        assert len(run.of("evaluation")) >= (run.budget or 0)
        content = self.path.read_bytes()
        self.sit(1_000, "kill", LARGEST)
        assert self.path.read_bytes() == content

    @precondition(lambda self: self.path.exists() and read_run(self.path).of("call"))
    @rule()
    def replay(self) -> None:
        """The recorded replies and decisions alone give the same run again, from the record and through the client."""
        recorded = read_run(self.path)
        copy = self.folder / "copy.jsonl"
        shutil.copy(self.path, copy)
        evaluations = len(recorded.of("evaluation"))
        if not evaluations:
            return
        replayed = conduct(
            None, evaluations, Approver(self.approver.plan), client=ReplayClient.from_journal(copy, strict=True)
        )
        steps = decided(recorded.events)
        last = max(at for at, event in enumerate(steps) if event["event"] == "evaluation")
        assert without_requests(decided(replayed.events)) == without_requests(steps[: last + 1])

    @invariant()
    def is_a_prefix_of_the_undisturbed_run(self) -> None:
        """What is on record is what the undisturbed run did so far."""
        if self.path.exists():
            steps = decided(read_run(self.path).events)
            assert steps == self.whole[: len(steps)]


def without_requests(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events without what names the client that was asked."""
    named = {"request", "model", "reserved", "spent", "usage", "cost", "least"}
    return [{key: value for key, value in event.items() if key not in named} for event in events]


@pytest.mark.slow
def test_every_schedule_ends_as_the_undisturbed_run() -> None:
    """Kill, cut, stop, pause, raise, approve, edit, reject, replay in any order: a prefix always, the same end."""
    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=SCHEDULES,
            stateful_step_count=10,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_a_fault_is_found_and_its_schedule_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that loses its last event when it is resumed is noticed, with what is needed to replay the schedule."""
    from genius_kit.journal import Journal

    opened = Journal._open

    def forgetful(self: Journal, path: Path) -> None:
        opened(self, path)
        if len(self._pending) > 1:
            self._pending.pop()

    monkeypatch.setattr(Journal, "_open", forgetful)
    with pytest.raises((AssertionError, GeniusKitError)) as caught:
        run_state_machine_as_test(
            Schedule,
            settings=settings(
                max_examples=20,
                stateful_step_count=5,
                print_blob=True,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
            ),
        )
    assert any("reproduce_failure" in note for note in getattr(caught.value, "__notes__", []))
