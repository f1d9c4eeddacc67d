"""Work beside the cells: functions that run in threads, one action at a time, and controls that act."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.errors import GeniusKitError
from genius_kit.lab.board import Board
from genius_kit.lab.money import in_fields
from genius_kit.lab.session import LabSession
from genius_kit.lab.view import LabView
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.lab.run import LabRun
    from genius_kit.spaces import Architecture, SearchSpace


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

    def tell(self, text: str, **status: Any) -> None:
        """Show the state of a question, see `board.READY`; any thread may call it."""
        self.asked.tell(text, **status)

    def code(self, line: str) -> None:
        """Show the last action of the editor as a line of Python."""
        self.asked.code(line)

    def draw(self, architecture: Architecture, space: SearchSpace | None = None) -> None:
        """Show the architecture that a question led to; any thread may call it."""
        self.asked.draw(space or self.session.benchmark.space, architecture)

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
