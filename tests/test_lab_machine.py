"""No sequence of what a person does in the lab shows a point, a reply or a drawing of another run.

A failing sequence is printed with `@reproduce_failure(...)`; GENIUS_KIT_LAB_SEQUENCES sets how many are tried.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
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

from genius_kit.benchmarks import load_benchmark
from genius_kit.journal import read_run
from genius_kit.lab import session, widgets
from genius_kit.lab.curve import point_of
from genius_kit.lab.drawing import architecture_text
from genius_kit.lab.prompt_lab import PARTS, PromptLab
from genius_kit.lab.run import Board, LabRun
from genius_kit.lab.widgets import LabView
from genius_kit.spaces import load_space
from tests.doubles import QueueClient, reply

SEQUENCES = int(os.environ.get("GENIUS_KIT_LAB_SEQUENCES", "12"))
BENCHMARKS = ("nas-bench-201-cifar10", "nas-bench-201-cifar100")
MOST_RUNS = 4
MOMENT = 20.0  # seconds after which something that should have happened is missed
END = object()


class Screen:
    """What the browser makes of a view's messages, as `lab.js` does."""

    def __init__(self, view: LabView) -> None:
        self.view, self.board = view, None
        self.points: list[Any] = []
        self.entries: list[str] = []
        self.heard, self.step, self.selected, self.drawing, self.caption = 0, "", None, "", ""

    def receive(self, content: dict[str, Any]) -> None:
        """Take one message; one that does not follow is answered by asking for all."""
        kind = content["kind"]
        if kind == "all":
            self.board, self.caption = content["board"], content["caption"]
            self.points, self.entries = list(content["points"]), list(content["said"]["entries"])
            self.heard = content["said"]["start"] + len(self.entries)
            self.step, self.selected = content["step"], content["selected"]
            self.drawing = content["drawing"]["text"]
        elif content["board"] != self.board:
            return
        elif kind == "add" and content["start"] == len(self.points):
            self.points += content["points"]
        elif kind == "said" and content["start"] == self.heard:
            self.entries += content["entries"]
            self.heard += len(content["entries"])
        elif kind in ("add", "said"):
            self.view._tell_all()
        elif kind == "select":
            self.step, self.selected = content["step"], content["selected"]
        elif kind == "drawing":
            self.drawing = content["drawing"]["text"]


class QueueDesk(widgets.Desk):
    """The kernel's event loop as a queue that the test empties."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: queue.Queue[Any] = queue.Queue()
        self.threads: list[threading.Thread] = []

    def post(self, function: Any, *arguments: Any) -> None:
        self.posted.put((function, arguments))

    def work(self, *given: Any) -> threading.Thread:
        self.threads.append(super().work(*given))
        return self.threads[-1]

    def run(self) -> None:
        """Call what was posted, once the threads of the lab's own work are done."""
        for thread in self.threads:
            thread.join(MOMENT)
        while not self.posted.empty():
            function, arguments = self.posted.get()
            function(*arguments)


class Told(QueueClient):
    """Answers when the test says so, each reply with the mark of its run."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark, self.told = mark, queue.Queue()

    def settings(self) -> dict[str, Any]:
        return {"model": self.mark}

    def send(self, messages: Any, seed: Any = None) -> Any:
        text = self.told.get(timeout=60)
        if text is END:
            raise InterruptedError("the test is over")
        return reply(f"{self.mark} says: {text}")


class Person(RuleBasedStateMachine):
    """A person before the lab, with several searches at once, reloads, and cells that are run again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="genius-kit-lab-"))
        self.clients: dict[str, Told] = {}
        self.runs: list[LabRun] = []
        self.made: dict[str, tuple[str, int]] = {}
        self.number = 0

    @initialize()
    def begin(self) -> None:
        """The cell is run for the first time."""
        self.run_the_cell()

    @rule()
    def run_the_cell(self) -> None:
        """The cell is run, again perhaps: another lab, which finds the searches of the one before."""
        self.lab = PromptLab(BENCHMARKS[0], budget=3, folder=self.folder, client=Told("asked"))
        assert {run.id for run in self.runs if run.is_running} <= set(self.lab.session.runs)
        self.reload()

    @rule()
    def reload(self) -> None:
        """The page is loaded anew: an empty view that asks for all."""
        self.lab.view.screen = Screen(self.lab.view)
        self.lab.view._tell_all()

    @rule(benchmark=st.sampled_from(BENCHMARKS), seed=st.integers(0, 3), budget=st.integers(2, 4))
    def choose(self, benchmark: str, seed: int, budget: int) -> None:
        """Choices change, perhaps while a search runs."""
        editor = self.lab.editor
        editor.benchmark.value, editor.seed.value, editor.budget.value = benchmark, seed, budget

    @rule(prompt=st.sampled_from(["minimal", "standard", "reasoned"]))
    def choose_prompt(self, prompt: str) -> None:
        """Another variant is chosen."""
        self.lab.editor.variant.value = prompt

    @precondition(lambda self: len(self.runs) < MOST_RUNS)
    @rule(approve=st.booleans())
    def search(self, approve: bool) -> None:
        """One more search begins."""
        self.number += 1
        mark = f"run-{self.number}"
        self.lab.session.client = Told(mark)
        self.lab.searching.approve.value = approve
        self.lab.searching.run_button.click()
        assert self.lab.error.value == ""
        run = self.lab.session.searched
        self.clients[run.id] = self.lab.session.client
        self.made[run.id] = (self.lab.session.choices.benchmark, self.lab.session.choices.seed)
        self.lab.session.client = Told("asked")
        self.runs.append(run)
        self.wait(run, lambda: run.state is not None and run.state.asking_since is not None)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, MOST_RUNS - 1), architecture=st.lists(st.integers(0, 5), min_size=6, max_size=6))
    def answer(self, which: int, architecture: list[int]) -> None:
        """A reply comes, right or wrong (there is no option 5), in whichever search."""
        run = self.runs[which % len(self.runs)]
        if run.live.state.asking_since is None:
            return
        before = len(run.live.state.run.events)
        self.clients[run.id].told.put(f"Architecture: {architecture}")
        self.wait(run, lambda: len(run.live.state.run.events) > before)
        self.wait(run, lambda: self.rests(run))

    @rule(
        name=st.sampled_from(["pause_button", "resume_button", "stop_button", "now_button", "raise_button"]),
        budget=st.integers(1, 6),
    )
    def steer(self, name: str, budget: int) -> None:
        """A button of the search that is shown, where it can be pressed."""
        self.lab.searching.budget.value = budget
        pressed = getattr(self.lab.searching, name)
        if not pressed.disabled:
            pressed.click()
        if name in ("now_button", "resume_button") and self.lab.session.searched is not None:
            run = self.lab.session.searched
            self.wait(run, lambda: self.rests(run))

    @rule(decision=st.sampled_from(["approve", "reject", "end"]))
    def decide(self, decision: str) -> None:
        """A decision on the proposal that is shown."""
        run = self.lab.session.searched
        if run is None or run.live.state.pending is None:
            return
        shown = self.lab.searching.deciding.root.layout.display == ""
        assert shown, "a search waits for a decision, and the lab shows none"
        self.lab.searching.deciding.decide(decision)
        self.wait(run, lambda: run.live.state.pending is None)
        self.wait(run, lambda: self.rests(run))

    @rule(part=st.sampled_from(PARTS))
    def turn(self, part: str) -> None:
        """Another part of the lab."""
        self.lab.tabs.value = part

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, MOST_RUNS - 1))
    def turn_to_search(self, which: int) -> None:
        """Another of the searches."""
        self.lab.searching.chosen.value = self.runs[which % len(self.runs)].id

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, MOST_RUNS - 1))
    def open(self, which: int) -> None:
        """A journal is opened, of a search that runs perhaps."""
        run = self.runs[which % len(self.runs)]
        if run.path.exists():
            copy = self.folder / f"copy-{run.path.name}"
            shutil.copy(run.path, copy)
            self.clients[copy.resolve().as_posix()] = self.clients[run.id]
            self.made[copy.resolve().as_posix()] = self.made[run.id]
            self.lab.replaying.path.value = copy.as_posix()
            self.lab.replaying.open_button.click()

    @rule(index=st.integers(-1, 5), stale=st.booleans())
    def step(self, index: int, stale: bool) -> None:
        """A point is clicked, perhaps of what was shown a moment ago."""
        key = self.runs[0].id if stale and self.runs else self.lab.view.board.key
        self.lab.view._received(None, {"kind": "step", "board": key, "step": None if index < 0 else index}, [])

    @rule()
    def ask(self) -> None:
        """One question, whose reply comes."""
        self.lab.session.client.told.put("Architecture: [1, 1, 1, 1, 1, 1]")
        self.lab.editor.ask_button.click()

    @rule()
    def edit_step(self) -> None:
        """The step that is shown goes into the editor."""
        self.lab.edit_button.click()

    @invariant()
    def shows_one_run_only(self) -> None:
        """Points, replies, drawing and heading are those of the run whose key is shown."""
        if not hasattr(self, "lab"):
            return
        self.lab.desk.run()
        board, screen = self.lab.view.board, self.lab.view.screen
        with board.lock:
            assert screen.board == board.key
            if board.key in self.clients:
                self.is_of(screen, board.key)
            else:
                assert not screen.points
                assert not any(f"run-{number}" in str(screen.entries) for number in range(1, self.number + 1))
        waiting = [run for run in self.lab.session.runs.values() if run.live is not None and run.live.state.pending]
        assert not waiting or "waits for your decision" in self.lab.running.value

    def is_of(self, screen: Screen, key: str) -> None:
        """Fail unless all that is on the screen is in the journal of this run."""
        run = read_run(key) if Path(key).exists() else None
        mark, (benchmark, seed) = self.clients[key].mark, self.made[key]
        assert f"{benchmark}, " in screen.caption
        assert f"seed {seed}" in screen.caption
        said = " ".join([*screen.entries, screen.step])
        others = [f"run-{number} says" for number in range(1, self.number + 1) if f"run-{number}" != mark]
        assert not [other for other in others if other in said]
        space, proposal, points, drawn = load_space("nas-bench-201"), {}, [], [""]
        for event in run.events if run else []:
            proposal = event if event["event"] == "proposal" else proposal
            if event["event"] == "evaluation":
                points.append(point_of(event, proposal, space).message())
                drawn.append(architecture_text(space, event["architecture"]))
        live = next((one.live for one in self.runs if one.id == key), None)
        if live is not None and live.state.pending is not None:
            drawn.append(architecture_text(space, live.state.pending))
        assert screen.points == points
        assert screen.drawing in drawn
        if screen.selected is not None:
            assert screen.drawing == drawn[screen.selected + 1]

    def rests(self, run: LabRun) -> bool:
        """Whether a search waits for a reply, for a person, or has ended."""
        state = run.live.state
        waits = state.asking_since is not None or state.pending is not None
        seen = run.state is not None and run.state.status == state.status and len(run._events) == len(state.run.events)
        return seen and (waits or state.status in ("paused", "stopped", "finished", "failed"))

    def wait(self, run: LabRun, condition: Any) -> None:
        """Wait until `condition` holds of a search."""
        end = time.monotonic() + MOMENT
        while not condition():
            assert time.monotonic() < end, (run.label, run.live.state.status)
            time.sleep(0.002)

    def teardown(self) -> None:
        """End every search."""
        for run in self.runs:
            run.live.stop(now=True)
            for _ in range(30):  # one for each call that was given up, and goes on waiting
                self.clients[run.id].told.put(END)
        for run in self.runs:
            run.live.wait(MOMENT)
        shutil.rmtree(self.folder)


@pytest.fixture
def by_hand(no_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go to a screen, the loop is a queue, tables are read once."""
    tables = {name: load_benchmark(name) for name in BENCHMARKS}
    monkeypatch.setattr(session, "_load", tables.__getitem__)
    monkeypatch.setattr(widgets, "Desk", QueueDesk)
    monkeypatch.setattr(LabView, "send", lambda view, content: getattr(view, "screen", Screen(view)).receive(content))


def test_no_sequence_of_actions_shows_what_is_of_another_run(by_hand: None) -> None:
    """Searches at once, reloads, cells run again, replays, decisions, questions, in any order."""
    run_state_machine_as_test(
        Person,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=20,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_fault_is_found(by_hand: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that goes on listening to the run before, and a browser that takes what it says, are noticed."""

    def show(view: LabView, board: Board) -> None:
        view.board = board
        board.views.append(view.send)
        view._tell_all()

    receive = Screen.receive
    monkeypatch.setattr(LabView, "show", show)
    monkeypatch.setattr(
        *(Screen, "receive"),
        lambda self, content: receive(self, content if content["kind"] == "all" else {**content, "board": self.board}),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Person,
            settings=settings(
                max_examples=30,
                stateful_step_count=20,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
