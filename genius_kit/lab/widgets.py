"""Controls and views: actions one at a time, work in threads, the board and the template in the browser."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from genius_kit.errors import GeniusKitError
from genius_kit.lab.curve import MEASURES
from genius_kit.lab.money import in_fields
from genius_kit.lab.run import Board, LabRun, ViewMessage
from genius_kit.lab.session import LabSession
from genius_kit.texts import for_html

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
        """Show what the text makes: see `panels.editor.rendered_message`."""
        self.rendered = {"kind": "rendered", **content}
        self.tell(self.rendered)


def show_beside_still(bundle: Any, html: str) -> None:
    """Show a widget and, in an output of its own, `html` that is seen wherever the widget does not live.

    A page that was converted with the state of widgets draws them with scripts from the network, or nothing at all.
    """
    from IPython.display import publish_display_data

    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    publish_display_data({**(data or {}), "text/html": ""}, metadata)
    publish_display_data({"text/html": f'<div class="genius-beside">{html}</div>'})


class _Turns:
    """Calls functions one at a time, in the order in which they came, from whichever thread.

    A kernel hands what a person did to the thread of the cells or to one beside it, each in its own order.
    """

    def __init__(self) -> None:
        self._due: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._caller: int | None = None

    def __call__(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function` in its turn, perhaps in the thread of another; at once as a part of one that is called."""
        if self._caller == threading.get_ident():
            function(*arguments)
            return
        self._due.append((function, arguments))
        with self._lock:
            self._caller = threading.get_ident()
            try:
                while self._due:
                    function, arguments = self._due.popleft()
                    function(*arguments)
            finally:
                self._caller = None


in_turn = _Turns()


class Desk:
    """Where work that takes long is given to threads, and where its results arrive."""

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function` in its turn; any thread may ask."""
        in_turn(function, *arguments)

    def work(
        self, function: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> threading.Thread:
        """Run `function` in a thread, then hand its result to `then`, or what went wrong in a sentence to `failed`."""

        def run() -> None:
            try:
                found = function()
            except Exception as error:
                self.post(failed, sentence(error))
            else:
                self.post(then, found)

        thread = threading.Thread(target=run, daemon=True, name="genius-kit-lab")
        thread.start()
        return thread


def sentence(error: BaseException) -> str:
    """Return an error as a sentence; one that is not ours with its kind, so that it can be reported.

    Advice for the command line names the lab's own controls.
    """
    text = in_fields(" ".join(str(error).split())) or "no more is known"
    return text if isinstance(error, GeniusKitError) else f"Unexpected {type(error).__name__}: {text}"


class Stage(ABC):
    """The view of a lab and its session; `asked` is the board of the questions, each run has its own.

    `stepped` is called with the key of a board and the index of the step that is clicked or stepped to.
    """

    def __init__(self, session: LabSession, stepped: Callable[[str, int | None], None]) -> None:
        self.session = session
        self.desk = Desk()
        self.quiet = False
        self.error = widgets.HTML()
        self.asked = Board("asked", session.benchmark.feedback_name)
        self.view = LabView(self.asked, guarded(stepped, self.say))

    @abstractmethod
    def new_benchmark(self) -> None:
        """Clear what belongs to the benchmark before."""

    @abstractmethod
    def chosen(self) -> None:
        """Show anew what depends on the choices."""

    @abstractmethod
    def show_editor(self) -> None:
        """Show the template and its prompt anew, and turn to them."""

    @abstractmethod
    def turn(self, part: str) -> None:
        """Show one of the parts, and the run that it has."""

    @abstractmethod
    def show_run(self, run: LabRun) -> None:
        """Show one run, and from now on what becomes of it."""

    @abstractmethod
    def show_compared(self, run: LabRun | None) -> None:
        """Show the search that a comparison has come to, None at its end."""

    def say(self, error: str) -> None:
        """Show an error as a sentence, or none."""
        self.error.value = alert(error)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Set controls without their being acted on."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before


Say = Callable[[str], None]

LABELLED = {"description_width": "initial"}


def guarded(action: Callable[..., Any], say: Say) -> Callable[..., None]:
    """Return `action` as a callback, called in its turn; what it raises is said in a sentence, for one said before."""

    def act(*arguments: Any) -> None:
        try:
            say("")
            action(*arguments)
        except Exception as error:  # a person reads it: nothing may end as a traceback or vanish
            say(sentence(error))

    return partial(in_turn, act)


def button(label: str, action: Callable[[], Any], say: Say, tip: str = "", style: str = "") -> widgets.Button:
    """Return a button that calls `action`."""
    made = widgets.Button(
        description=label, tooltip=tip or label, button_style=style, layout={"width": "auto", "min_width": "70px"}
    )
    made.on_click(guarded(lambda _: action(), say))
    return made


def labelled(kind: type, label: str, width: str = "auto", **options: Any) -> Any:
    """Return a control of `kind` with a visible label; a text is taken when it is left, before a button is pressed."""
    if issubclass(kind, widgets.Text):
        options = {"continuous_update": False, **options}
    return kind(description=label, style=LABELLED, layout={"width": width}, **options)


def on_change(control: Any, action: Callable[[Any], Any], say: Say) -> None:
    """Call `action` with each new value of `control`."""
    act = guarded(action, say)
    control.observe(lambda change: act(change["new"]), names="value")


def alert(text: str) -> str:
    """Return a sentence as HTML that a screen reader speaks at once; empty for none."""
    return f'<p role="alert" class="genius-alert">{for_html(text)}</p>' if text else ""


def row(*children: Any) -> widgets.HBox:
    """Return controls beside each other, wrapped where there is no room."""
    return widgets.HBox(children, layout={"flex_flow": "row wrap", "align_items": "center"})
