"""What the browser draws: the live curve, the drawing, the state of a search; and the template beside its prompt.

Both widgets are one ES module of ours, `static/lab.js`, without dependencies. They keep no state in the notebook:
a view that appears asks for all there is, and then each change is one small message, which any thread may send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from genius_kit.lab.curve import Point, curve_svg, curve_text
from genius_kit.lab.drawing import architecture_text, drawing_svg
from genius_kit.spaces import Architecture, SearchSpace

STATIC = Path(__file__).with_name("static")
Message = dict[str, Any]


class Board:
    """Everything that the curve's view shows, as plain values; each change returns the message that tells of it."""

    def __init__(self, feedback_name: str = "accuracy") -> None:
        self.feedback_name = feedback_name
        self.points: list[Point] = []
        self.selected: int | None = None
        self.budget = 0
        self.drawing = ""
        self.described = ""
        self.status: Message = {"text": "ready", "money": "", "asking": None, "retry": None}
        self.line = ""

    def snapshot(self) -> Message:
        """Return the message that tells a new view everything."""
        return {
            "kind": "all",
            "name": self.feedback_name,
            "points": [point.message() for point in self.points],
            "budget": self.budget,
            "selected": self.selected,
            "summary": curve_text(self.points),
            "drawing": {"svg": self.drawing, "text": self.described},
            "status": self.status,
            "line": self.line,
        }

    def put(self, points: Sequence[Point], budget: int = 0) -> Message:
        """Show another curve, with nothing selected."""
        self.points, self.budget, self.selected = list(points), budget, None
        return self.snapshot()

    def add(self, points: Sequence[Point]) -> Message:
        """Append points to the curve."""
        self.points.extend(points)
        return {"kind": "add", "points": [point.message() for point in points], "summary": curve_text(self.points)}

    def widen(self, budget: int) -> Message:
        """Make room for another number of evaluations."""
        self.budget = budget
        return {"kind": "budget", "budget": budget}

    def select(self, step: int | None) -> Message:
        """Mark the point at index `step`."""
        self.selected = step if step is not None and 0 <= step < len(self.points) else None
        return {"kind": "select", "selected": self.selected}

    def draw(self, space: SearchSpace, architecture: Architecture) -> Message:
        """Show one architecture."""
        self.drawing, self.described = drawing_svg(space, architecture), architecture_text(space, architecture)
        return {"kind": "drawing", "drawing": {"svg": self.drawing, "text": self.described}}

    def tell(self, text: str, money: str = "", asking: float | None = None, retry: float | None = None) -> Message:
        """Show the state of a search: `asking` is how long the present call takes so far, `retry` the wait left."""
        self.status = {"text": text, "money": money, "asking": asking, "retry": retry}
        return {"kind": "status", "status": self.status}

    def code(self, line: str) -> Message:
        """Show the last action as one line of Python."""
        self.line = line
        return {"kind": "line", "line": line}

    def still(self) -> str:
        """Return curve and drawing as HTML that needs neither script nor network."""
        line = f"<pre>{escape(self.line)}</pre>" if self.line else ""
        return (
            '<div class="genius-still" style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-end">'
            f"<div>{curve_svg(self.points, self.feedback_name)}</div><div>{self.drawing}</div></div>"
            f"<p>{escape(curve_text(self.points))}</p>{line}"
        )


class _Part(anywidget.AnyWidget):
    """One of the module's two views; `answers` are called with each message from the browser."""

    _esm = STATIC / "lab.js"
    _css = STATIC / "lab.css"
    part = traitlets.Unicode("curve").tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self._answers: dict[str, Callable[[Message], None]] = {}
        self.on_msg(self._received)

    def on(self, kind: str, answer: Callable[[Message], None]) -> None:
        """Call `answer` with every message of this kind that the browser sends."""
        self._answers[kind] = answer

    def _received(self, _widget: Any, content: Message, _buffers: Any) -> None:
        answer = self._answers.get(content.get("kind", ""))
        if answer is not None:
            answer(content)


class LabView(_Part):
    """The curve, the drawing, the state of a search, and the last action as Python; see `Board` for what it shows.

    A click on a point, or the step slider, calls `on_step` with the index of the point.
    """

    def __init__(self, feedback_name: str = "accuracy", on_step: Callable[[int], None] | None = None) -> None:
        super().__init__(part="curve")
        self.board = Board(feedback_name)
        self.on("ready", lambda _: self.send(self.board.snapshot()))
        self.on("step", lambda content: on_step(int(content["step"])) if on_step else None)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return with_still(super()._repr_mimebundle_(**options), self.board.still())


class TemplateView(_Part):
    """The template in a text field with the prompt that it makes beside it.

    The browser sends `edit` with the text at each change and `ask` for Ctrl or Cmd + Enter.
    """

    def __init__(self) -> None:
        super().__init__(part="template")
        self.template: Message = {"kind": "template", "source": "", "name": "", "locked": False}
        self.rendered: Message = {"kind": "rendered"}
        self.on("ready", lambda _: self._tell_all())

    def _tell_all(self) -> None:
        self.send(self.template)
        self.send(self.rendered)

    def show_template(self, source: str, name: str, locked: bool = False) -> None:
        """Put another text into the field."""
        self.template = {"kind": "template", "source": source, "name": name, "locked": locked}
        self.send(self.template)

    def show_rendered(self, content: Message) -> None:
        """Show what the text makes: see `lab.editor.rendered_message`."""
        self.rendered = {"kind": "rendered", **content}
        self.send(self.rendered)


def with_still(bundle: Any, html: str) -> Any:
    """Return a widget's bundle with `html` for pages in which no widget can live.

    nbconvert shows it where no widget state is saved, as `reports` does.
    """
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**(data or {}), "text/html": html}, metadata
