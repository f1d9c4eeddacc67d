"""What is shown of one run, as plain values: its curve, drawing, replies, state, and the last action as Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from genius_kit.lab.curve import Line, Point, References, curve_svg, curve_text, lines_text
from genius_kit.lab.drawing import architecture_text, drawing_svg, short_name
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.texts import for_html

ViewMessage = dict[str, Any]
ENTRIES_KEPT = 20  # of the replies and refusals that a view shows as they come
READY: ViewMessage = {"text": "ready", "money": "", "asking": None, "connecting": False, "retry": None}
"""The state of a run: seconds that the present call takes so far, whether it still connects, seconds to the next."""
LEGEND = "dots: proposals of the model (grey: of a rule); line: best so far; dashed: best of the table, the largest "
LEGEND += "architecture; dotted: random search, exact expectation"


def asking_status(since: float | None, connecting: bool, retry_at: float | None) -> ViewMessage:
    """Return what a state says of a call, from times of `time.monotonic()` as `LiveState` has them."""
    now = time.monotonic()
    asking = None if since is None else now - since
    return {"asking": asking, "connecting": connecting, "retry": None if retry_at is None else max(0.0, retry_at - now)}


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
