"""What all panels of the lab share: the state, the curve and the drawing, and the lines that say what happens."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ipywidgets as widgets

from genius_kit.lab.curve import Point
from genius_kit.lab.session import LabSession
from genius_kit.lab.thread import Desk
from genius_kit.lab.view import LabView
from genius_kit.lab.widgets import alert, guarded

if TYPE_CHECKING:
    from genius_kit.spaces import Architecture, SearchSpace


class Stage(ABC):
    """The view of a lab and its session; `chosen` is called with the index of a step that is clicked or stepped to."""

    def __init__(self, session: LabSession, chosen: Callable[[int], None]) -> None:
        self.session = session
        self.desk = Desk()
        self.quiet = False
        self.shows_live = False  # whether the curve is that of the lab's own search
        self.error = widgets.HTML()
        self._drawing = threading.RLock()
        self.view = LabView(session.benchmark.feedback_name, guarded(chosen, self.say))

    @abstractmethod
    def new_benchmark(self) -> None:
        """Clear what belongs to the benchmark before."""

    @abstractmethod
    def show_editor(self) -> None:
        """Show the template and its prompt anew, and turn to them."""

    def say(self, error: str) -> None:
        """Show an error as a sentence, or none."""
        if threading.current_thread() is threading.main_thread():
            self.error.value = alert(error)
        else:
            self.desk.post(self.say, error)

    def tell(self, text: str, money: str = "", asking: float | None = None, retry: float | None = None) -> None:
        """Show the state of what is under way; any thread may call it."""
        self.view.send(self.view.board.tell(text, money, asking, retry))

    def code(self, line: str) -> None:
        """Show the last action as a line of Python."""
        self.view.send(self.view.board.code(line))

    def draw(self, architecture: Architecture, space: SearchSpace | None = None) -> None:
        """Show one architecture; any thread may call it."""
        self.view.send(self.view.board.draw(space or self.session.benchmark.space, architecture))

    def show_curve(self, points: Sequence[Point], budget: int, is_live: bool = False) -> None:
        """Show another curve; `is_live` where it is that of the lab's own search."""
        self.shows_live = is_live
        with self._drawing:
            self.view.send(self.view.board.put(points, budget))

    def add_points(self, points: Sequence[Point]) -> None:
        """Append points to the curve; any thread may call it."""
        with self._drawing:
            self.view.send(self.view.board.add(points))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Set controls without their being acted on."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before
