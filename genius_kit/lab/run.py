"""One run as the lab shows it, live or recorded: what made it, its events so far, its board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.budget.amounts import Limits
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.journal import Event, Run, read_run
from genius_kit.lab.board import ENTRIES_KEPT, Board
from genius_kit.lab.curve import Point, point_of, references
from genius_kit.lab.drawing import short_name
from genius_kit.lab.replay import event_html, said_before, step_html
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Evaluation, Message, Trial
from genius_kit.runs.live import LiveSearch, LiveState
from genius_kit.runs.loop import describe
from genius_kit.runs.steps import RecordedSteps, Step
from genius_kit.spaces import SearchSpace, recorded_space

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.proposers.base import Proposer

RUNNING = ("running", "paused", "awaiting approval", "stopping")
Heard = Callable[["LabRun"], None]


class LabRun:
    """One run: `id` is the full path of its journal, `settings` what decides it, `board` what is shown of it.

    All of it is the run's own: no choice, tab, or other run of a lab changes it. `live` is None where it is recorded.
    `heard` are called with each change, from the thread of the search; `state` is that of the last one.
    """

    def __init__(self, path: Path, settings: dict[str, Any], benchmark: Benchmark | None = None) -> None:
        self.path, self.id, self.settings, self.benchmark = path, run_id(path), settings, benchmark
        self.space: SearchSpace | None = benchmark.space if benchmark else None
        if self.space is None and settings:
            self.space = recorded_space(settings)
        self.live: LiveSearch | None = None
        self.limits: Limits | None = None
        self.expected: float | None = None
        self.heard: list[Heard] = []
        self.state: LiveState | None = None
        name = benchmark.feedback_name if benchmark else "accuracy"
        self.unit: str = settings.get("unit", "percent")
        self.board = Board(self.id, name, settings.get("budget", 0), self.label, self.unit)
        self._events: list[Event] = []
        self._steps: RecordedSteps | None = None
        self._proposal: Event = {}
        self._drawn: Event | None = None

    @classmethod
    def begun(
        cls,
        benchmark: Benchmark,
        proposer: Proposer,
        budget: int,
        seed: int,
        path: Path,
        **options: Any,
    ) -> LabRun:
        """Return a search that is ready to start, known in this process from now on; `options` as `LiveSearch` has."""
        proposer.load_prompt(benchmark)
        run = cls(path, describe(benchmark, proposer, budget, seed), benchmark)
        run.limits = options.get("limits")
        run.live = LiveSearch(benchmark, proposer, budget, seed, path, on_change=run._changed, via="lab", **options)
        run._take(run.live.state.run.events)
        _BEGUN[run.id] = run
        return run

    @property
    def label(self) -> str:
        """What made the run, in a line."""
        asked = self.settings.get("settings", {})
        made_by = asked.get("model") or self.settings.get("proposer", "")
        prompt = Path(str(asked["prompt"])).stem if "prompt" in asked else ""
        told = (self.settings.get("benchmark", ""), made_by, prompt, asked.get("history", ""))
        return ", ".join([*map(str, filter(None, told)), f"seed {self.settings.get('seed', 0)}"])

    @property
    def is_running(self) -> bool:
        """Whether a thread of this process goes on with it."""
        return self.live is not None and self.live.state.status in RUNNING

    @property
    def points(self) -> list[Point]:
        """The points of its curve so far; they and the steps have the same indices."""
        return self.board.points

    @property
    def steps(self) -> Sequence[Step]:
        """The iterations so far."""
        return self._steps or ()

    def trials(self, before: int) -> tuple[Trial, ...]:
        """Return the results that stood before the step at index `before`, with what was said in each."""
        return tuple(_trial(step) for step in self.steps[:before] if step.evaluation)

    def show_step(self, index: int | None) -> None:
        """Show one step on the board, or None: what comes newest. Raises InvalidParameter for a step that is none."""
        if index is not None and not 0 <= index < len(self.points):
            raise InvalidParameter(f"step {index + 1} was asked for, and the run has {len(self.points)} so far")
        step = None if index is None else self.steps[index]
        with self.board.lock:
            self.board.select(index, "" if step is None else step_html(step, self.space, self.unit))
            self._draw(step.evaluation if step is not None else self._newest())

    def refer(self) -> None:
        """Find what its curve is held against; nothing where the table is not here."""
        try:
            if self.benchmark is None and not self.settings.get("benchmark_settings"):
                self.benchmark = recorded_benchmark(self.settings)
            if self.benchmark is not None:
                held = references(self.benchmark, max(1, self.board.budget))
                self.board.name(self.benchmark.feedback_name, held)
        except (GeniusKitError, KeyError):
            return

    def _changed(self, state: LiveState) -> None:
        """Show what is new on the board, then tell whoever listens."""
        self.state = state
        with self.board.lock:
            self._take(state.run.events)
            if state.budget != self.board.budget:
                self.board.widen(state.budget)
            if self.board.selected is None:
                self._draw(self._newest())
        for heard in tuple(self.heard):
            heard(self)

    def _take(self, events: Sequence[Event]) -> None:
        """Put the events on the board that are not there yet."""
        points, entries = [], []
        first_shown = len(events) - 3 * ENTRIES_KEPT  # what was said before that is shown step by step
        for place in range(len(self._events), len(events)):
            event = events[place]
            if event["event"] == "proposal":
                self._proposal = event
            elif event["event"] == "evaluation":
                points.append(point_of(event, self._proposal, self.space))
            if place >= first_shown:
                entries.append(event_html(event, said_before(events, place), self.space, self.unit))
        if self._steps is None:
            self._steps = RecordedSteps(Run(self.path, list(events))) if events else None
        else:
            self._steps.extend(events[len(self._events) :])
        self._events = list(events)
        if points:
            self.board.add(points)
        if any(entries):
            self.board.say([entry for entry in entries if entry])

    def _newest(self) -> Event | None:
        """Return the proposal that waits for a person, else the last evaluation."""
        if self.state is not None and self.state.pending is not None:
            return {"architecture": self.state.pending}
        return next((event for event in reversed(self._events) if event["event"] == "evaluation"), None)

    def _draw(self, found: Event | None) -> None:
        if found is None or self.space is None or found is self._drawn:
            return
        self._drawn, architecture = found, tuple(found["architecture"])
        what = f"Iteration {found['iteration']}" if "iteration" in found else "Proposed, waiting for your decision"
        self.board.draw(self.space, architecture, f"{what}: {short_name(self.space, architecture)}")


def run_id(path: str | Path) -> str:
    """Return what a run is known by: the full path of its journal."""
    return Path(path).resolve().as_posix()


def recorded(path: str | Path, benchmark: Benchmark | None = None) -> LabRun:
    """Return the run recorded at `path`; `benchmark` is taken where it is the one that the run searched.

    Raises JournalError when there is no such journal, or its middle is damaged.
    """
    run = read_run(path)
    same = benchmark is not None and _is_of(run.settings, benchmark)
    found = LabRun(Path(path), run.settings, benchmark if same else None)
    found._take(run.events)
    found.board.budget = max(run.budget or 0, len(found.points))
    return found


def _is_of(settings: dict[str, Any], benchmark: Benchmark) -> bool:
    here = {"benchmark": benchmark.name, "protocol": benchmark.protocol, "source": getattr(benchmark, "source", None)}
    return all(settings.get(name) == value for name, value in here.items())


_BEGUN: WeakValueDictionary[str, LabRun] = WeakValueDictionary()
"""The searches of this process: those that run are held by their thread, the others by the labs that show them."""


def runs_of_process(folder: Path) -> dict[str, LabRun]:
    """Return the searches that were begun here: all whose journal lies below `folder`, elsewhere those that run."""
    below = folder.resolve()
    return {key: run for key, run in _BEGUN.items() if run.is_running or below in Path(key).parents}


def _trial(step: Step) -> Trial:
    event = step.evaluation
    assert event is not None
    return Trial(step.iteration, tuple(event["architecture"]), Evaluation.of(event), _exchange(step.calls))


def _exchange(calls: Sequence[Event]) -> tuple[Message, ...]:
    """Return what was said in an iteration after its opening: replies and refusals."""
    if not calls:
        return ()
    said = list(calls[-1]["messages"][len(calls[0]["messages"]) :])
    return (*said, Message(role="assistant", content=without_reasoning(calls[-1]["text"] or "") or "(empty reply)"))
