"""One run of the lab, live or recorded: what made it, its events, and the board of what is shown of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.budget.amounts import Limits
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.journal import Event, Run, read_run
from genius_kit.lab.curve import Line, Point, References, curve_svg, curve_text, lines_text, point_of, references
from genius_kit.lab.drawing import architecture_text, drawing_svg, short_name
from genius_kit.lab.replies import event_html, said_before, step_html
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Evaluation, Message, Trial
from genius_kit.runs.live import LiveSearch, LiveState
from genius_kit.runs.loop import describe
from genius_kit.runs.steps import RecordedSteps, Step
from genius_kit.spaces import Architecture, SearchSpace, recorded_space
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.proposers.base import Proposer
    from genius_kit.runs.live_control import Control


ViewMessage = dict[str, Any]
ENTRIES_KEPT = 20  # of the replies and refusals that a view shows as they come
READY: ViewMessage = {"text": "ready", "money": "", "asking": None, "connecting": False, "retry": None}
"""The state of a run: seconds that the present call takes so far, whether it still connects, seconds to the next."""
LEGEND = "dots: proposals, blue by the model or the stand-in, grey by another rule; orange line: best so far; dashed: "
LEGEND += (
    "best of the table, the largest architecture; dotted: random search, exact mean, at the lower edge while below it"
)


def asking_status(found: LiveState | Control) -> ViewMessage:
    """Return what a state says of a call."""
    now = time.monotonic()
    asking = None if found.asking_since is None else now - found.asking_since
    retry = None if found.retry_at is None else max(0.0, found.retry_at - now)
    return {"asking": asking, "connecting": found.connecting, "retry": retry}


class Board:
    """What the views show of one run, or of one question; `key` says of which.

    Each change is told to the `views` under a lock, with the key in it, so that a view shows all of one board in
    order, and nothing of another. Any thread may call.
    """

    def __init__(
        self, key: str = "", feedback_name: str = "accuracy", budget: int = 0, caption: str = "", unit: str = "percent"
    ) -> None:
        self.key, self.feedback_name, self.budget, self.caption = key, feedback_name, budget, caption
        self.unit = unit
        self.views: list[Callable[[ViewMessage], None]] = []
        self.lock = threading.RLock()
        self.measure = "accuracy"
        self.points: list[Point] = []
        self.lines: tuple[Line, ...] = ()  # of several runs, in place of points
        self.held: References | None = None
        self.selected: int | None = None
        self.step = ""
        self.drawing = ""
        self.described = ""
        self.drawn = ""
        self.entries: list[str] = []
        self.said = 0
        self.status: ViewMessage = dict(READY)
        self.line = ""
        self._told = time.monotonic()

    def snapshot(self) -> ViewMessage:
        """Return the message that tells a new view everything."""
        return {
            "kind": "all",
            "board": self.key,
            "caption": self.caption,
            "name": self.feedback_name,
            "unit": self.unit,
            "points": [point.message() for point in self.points],
            "budget": self.budget,
            "measure": self.measure,
            "held": self.held.message() if self.held else None,
            "legend": LEGEND if self.budget else "",
            "selected": self.selected,
            "step": self.step,
            "lines": [line.message() for line in self.lines],
            "summary": self._summary() if self.budget else "",
            "drawing": self._drawing(),
            "said": {"start": self.said - len(self.entries), "entries": self.entries},
            "status": self._status_now(),
            "line": self.line,
        }

    def add(self, points: Sequence[Point]) -> ViewMessage:
        """Append points to the curve."""
        with self.lock:
            start = len(self.points)
            self.points.extend(points)
            new = [point.message() for point in points]
            return self._tell({"kind": "add", "start": start, "points": new, "summary": self._summary()})

    def say(self, entries: Sequence[str]) -> ViewMessage:
        """Append what was said, as HTML; the last ones are kept, the others stand in the steps."""
        with self.lock:
            start, self.said = self.said, self.said + len(entries)
            self.entries = [*self.entries, *entries][-ENTRIES_KEPT:]
            return self._tell({"kind": "said", "start": start, "entries": list(entries)})

    def widen(self, budget: int) -> ViewMessage:
        """Make room for another number of evaluations."""
        with self.lock:
            self.budget = budget
            return self._tell({"kind": "budget", "budget": budget})

    def name(self, feedback_name: str, held: References | None) -> ViewMessage:
        """Say what the accuracy is, and what the curve is held against."""
        with self.lock:
            self.feedback_name, self.held = feedback_name, held
            return self._tell({"kind": "held", "name": feedback_name, "held": held.message() if held else None})

    def select(self, index: int | None, step: str = "") -> ViewMessage:
        """Mark the point at `index` and show its step, HTML; None shows what is said as it comes."""
        with self.lock:
            self.selected, self.step = index, step
            return self._tell({"kind": "select", "selected": index, "step": step})

    def draw(self, space: SearchSpace, architecture: Architecture, caption: str = "") -> ViewMessage:
        """Show one architecture, and under it what it is."""
        with self.lock:
            self.drawing, self.described = drawing_svg(space, architecture), architecture_text(space, architecture)
            self.drawn = caption or short_name(space, architecture)
            return self._tell({"kind": "drawing", "drawing": self._drawing()})

    def wipe(self) -> None:
        """Forget what was drawn, said and done, and tell the views all anew."""
        with self.lock:
            self.drawing = self.described = self.drawn = self.line = ""
            self.entries, self.said = [], 0
            self.status = dict(READY)
            self._tell(self.snapshot())

    def tell(self, text: str, **status: Any) -> ViewMessage:
        """Show the state of a run, see `READY`."""
        with self.lock:
            self.status = {**READY, "text": text, **status}
            self._told = time.monotonic()
            return self._tell({"kind": "status", "status": self.status})

    def code(self, line: str) -> ViewMessage:
        """Show the last action as one line of Python."""
        with self.lock:
            self.line = line
            return self._tell({"kind": "line", "line": line})

    def still(self) -> str:
        """Return curve and drawing as HTML that needs neither script nor network."""
        line = f"<pre>{for_html(self.line)}</pre>" if self.line else ""
        given = (self.points, self.feedback_name, self.budget, self.measure, self.held, self.unit)
        curve = curve_svg(*given) if self.budget and not self.lines else ""
        told = f"<p>{for_html(self._summary())}</p><p><small>{for_html(LEGEND)}</small></p>" if curve else ""
        return (
            f"<p><b>{for_html(self.caption)}</b></p>"
            '<div class="genius-still" style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-end">'
            f"<div>{curve}</div><figure><div>{self.drawing}</div><figcaption>{for_html(self.drawn)}</figcaption>"
            f"</figure></div>{told}{line}"
        )

    def _summary(self) -> str:
        return lines_text(self.lines, self.unit) if self.lines else curve_text(self.points, self.unit)

    def _drawing(self) -> ViewMessage:
        return {"svg": self.drawing, "text": self.described, "caption": self.drawn}

    def _status_now(self) -> ViewMessage:
        """Return the state with the seconds that have gone by since it was told."""
        gone, status = time.monotonic() - self._told, dict(self.status)
        if status["asking"] is not None:
            status["asking"] += gone
        if status["retry"] is not None:
            status["retry"] = max(0.0, status["retry"] - gone)
        return status

    def _tell(self, message: ViewMessage) -> ViewMessage:
        message["board"] = self.key
        for view in self.views:
            view(message)
        return message


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
