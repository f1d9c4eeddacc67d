"""The two views of the lab in the browser: one board, and the template beside the prompt that it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from genius_kit.lab.board import Board, ViewMessage
from genius_kit.lab.curve import MEASURES

STATIC = Path(__file__).with_name("static")


class Part(anywidget.AnyWidget):
    """One of the lab's views. What a person does in the browser has a rising number, and so has each message to it:
    that of what was heard last, so that one that was on its way meanwhile does not undo what is newer.
    """

    _esm = STATIC / "lab.js"
    _css = STATIC / "lab.css"
    part = traitlets.Unicode("curve").tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self._answers: dict[str, Callable[[ViewMessage], None]] = {}
        self._number = 0
        self.on_msg(self._received)

    def on(self, kind: str, answer: Callable[[ViewMessage], None]) -> None:
        """Call `answer` with every message of this kind that the browser sends."""
        self._answers[kind] = answer

    def tell(self, content: ViewMessage) -> None:
        """Send a message to the browser."""
        self.send({**content, "number": self._number})

    def _received(self, _widget: Any, content: ViewMessage, _buffers: Any) -> None:
        self._number = max(self._number, content.get("number", 0))
        answer = self._answers.get(content.get("kind", ""))
        if answer is not None:
            answer(content)


class LabView(Part):
    """Shows one board at a time: curve, drawing, replies, state, the last action as Python; see `Board`.

    A click on a point, or the step slider, calls `on_step` with the board's key and the index of the point, None for
    what comes newest.
    """

    def __init__(self, board: Board, on_step: Callable[[str, int | None], None] | None = None) -> None:
        super().__init__(part="curve")
        self._on_step = on_step
        self.board = board
        self.board.views.append(self.tell)
        self.on("ready", lambda _: self._tell_all())
        self.on("step", self._stepped)
        self.on("measure", self._measured)

    def show(self, board: Board) -> None:
        """Show this board from now on, and nothing of the one before."""
        with self.board.lock:
            self.board.views.remove(self.tell)
        with board.lock:
            self.board = board
            board.views.append(self.tell)
            self._tell_all()

    def _tell_all(self) -> None:
        with self.board.lock:
            self.tell(self.board.snapshot())

    def _stepped(self, content: ViewMessage) -> None:
        step = content["step"]
        if self._on_step is not None:
            self._on_step(str(content["board"]), None if step is None else int(step))

    def _measured(self, content: ViewMessage) -> None:
        if content["board"] == self.board.key and content["measure"] in MEASURES:
            self.board.measure = content["measure"]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return with_still(super()._repr_mimebundle_(**options), self.board.still())


class TemplateView(Part):
    """The template in a text field with the prompt that it makes beside it.

    The browser sends `edit` with the text and its variant at each change, and `ask` for Ctrl or Cmd + Enter.
    """

    def __init__(self) -> None:
        super().__init__(part="template")
        self.template: ViewMessage = {"kind": "template", "source": "", "variant": "", "name": ""}
        self.rendered: ViewMessage = {"kind": "rendered"}
        self.on("ready", lambda _: self._tell_all())

    def _tell_all(self) -> None:
        self.tell(self.template)
        self.tell(self.rendered)

    def show_template(self, source: str, variant: str, name: str) -> None:
        """Put the text of a variant into the field; what was typed there since of the same variant stays."""
        self.template = {"kind": "template", "source": source, "variant": variant, "name": name}
        self.tell(self.template)

    def show_rendered(self, content: ViewMessage) -> None:
        """Show what the text makes: see `lab.editor.rendered_message`."""
        self.rendered = {"kind": "rendered", **content}
        self.tell(self.rendered)


def with_still(bundle: Any, html: str) -> Any:
    """Return a widget's bundle with `html` for pages in which no widget can live.

    nbconvert shows it where no widget state is saved, as `reports` does.
    """
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**(data or {}), "text/html": html}, metadata


def show_beside_still(bundle: Any, html: str) -> None:
    """Show a widget and, in an output of its own, `html` that is seen wherever the widget does not live.

    A page that was converted with the state of widgets draws them with scripts from the network, or nothing at all.
    """
    from IPython.display import publish_display_data

    data, metadata = with_still(bundle, "")
    publish_display_data(data, metadata)
    publish_display_data({"text/html": f'<div class="genius-beside">{html}</div>'})
