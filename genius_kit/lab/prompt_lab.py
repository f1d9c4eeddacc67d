"""The lab: its parts one beside the other, and which of them, and of its runs, is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.errors import InvalidParameter
from genius_kit.lab.panels.comparing import ComparePanel
from genius_kit.lab.panels.editor import EditorPanel
from genius_kit.lab.panels.replaying import ReplayPanel
from genius_kit.lab.panels.searching import SearchPanel
from genius_kit.lab.run import RUNNING, LabRun
from genius_kit.lab.session import Choices, LabSession, step_line
from genius_kit.lab.widgets import Stage, button, on_change, row, show_beside_still
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark


PARTS = ("Prompt", "Search", "Replay", "Compare")


class PromptLab(Stage):
    """The lab, which shows itself as the last value of a cell; `session` holds its state, free of widgets.

    Searches that were begun by another lab of this process are there, with their buttons.

    Parameters
    ----------
    benchmark
        A benchmark or its name.
    prompt
        A variant (`list_prompts`) or the path of a template.
    history
        "table" or "dialogue".
    model
        Model to ask; "offline" is the rule-based stand-in.
    temperature, max_tokens, params
        Request parameters; None leaves them out.
    timeout
        Seconds per attempt.
    base_url
        The server to ask.
    budget
        Evaluations per search.
    seed
        Seed of the search.
    folder
        Receives journals and saved variants.
    journal
        A recorded run to open at once.
    client
        Answers in place of the model.

    Raises
    ------
    UnknownName, InvalidParameter, DataMissing
        As `load_benchmark` and `load_prompt` raise them.
    """

    def __init__(
        self,
        benchmark: str | Benchmark = "nas-bench-201-cifar10",
        *,
        prompt: str = "standard",
        history: str = "table",
        model: str = "offline",
        temperature: float | None = None,
        max_tokens: int | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        base_url: str | None = None,
        budget: int = 10,
        seed: int = 0,
        folder: str | Path = "runs/lab",
        journal: str | Path | None = None,
        client: Any = None,
    ) -> None:
        name = benchmark if isinstance(benchmark, str) else benchmark.name
        asked: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens, "params": params}
        asked |= {"timeout": timeout, "base_url": base_url, "budget": budget, "seed": seed}
        choices = Choices(name, str(prompt), history, model, **asked)
        given = None if isinstance(benchmark, str) else benchmark
        super().__init__(LabSession(choices, folder, client, given), self._step)
        self.running = widgets.HTML()
        self.tabs = widgets.ToggleButtons(options=PARTS, tooltips=PARTS, style={"button_width": "110px"})
        self.edit_button = button("Open this step in the editor", self.edit_step, self.say)
        self.compared: LabRun | None = None
        self.editor = EditorPanel(self)
        self.searching = SearchPanel(self)
        self.replaying = ReplayPanel(self)
        self.comparing = ComparePanel(self)
        self.parts: tuple[Any, ...] = (self.editor, self.searching, self.replaying, self.comparing)
        roots = [part.root for part in self.parts]
        for name, root in zip(PARTS, roots, strict=True):
            root.add_class(f"genius-part-{name.lower()}")
        parts = [self.editor.controls, self.running, self.tabs, self.error, *roots, self.view, row(self.edit_button)]
        self.root = widgets.VBox(parts)
        on_change(self.tabs, self._turned, self.say)
        self.turn("Prompt")
        for run in self.session.runs.values():
            run.heard.append(self._heard)
        self._show_running()
        if journal is not None:
            self.open(journal)
        if any(run.is_running for run in self.session.runs.values()):
            self.turn("Search")

    def _ipython_display_(self) -> None:
        """Show the widgets, then the same curve and drawing, which living widgets hide: nbconvert saves both."""
        show_beside_still(self.root._repr_mimebundle_(), self.view.board.still())

    def open(self, journal: str | Path) -> None:
        """Open a recorded run at its last step.

        Parameters
        ----------
        journal
            The journal.

        Raises
        ------
        JournalError
            There is no such journal, or it is damaged.
        """
        self.replaying.path.value = Path(journal).as_posix()
        self.replaying.open()
        if self.session.opened is not None:
            self.session.opened.refer()  # at once: a page without scripts shows what is there now

    def turn(self, part: str) -> None:
        """Show one of the parts, and the run that it has.

        Parameters
        ----------
        part
            "Prompt", "Search", "Replay" or "Compare".
        """
        self.tabs.value = part
        self._turned(part)

    def _turned(self, part: str) -> None:
        for name, panel in zip(PARTS, self.parts, strict=True):
            panel.root.layout.display = "" if name == part else "none"
        session = self.session
        run = {"Search": session.searched, "Replay": session.opened, "Compare": self.compared}.get(part)
        boards = {"Prompt": self.asked, "Search": self.searching.board, "Replay": self.replaying.board}
        board = run.board if run is not None else boards.get(part, self.comparing.board)
        if part == "Compare":
            self.comparing.show_rows()
        self.edit_button.layout.display = "" if run is not None else "none"
        if board is not self.view.board:
            self.view.show(board)

    def new_benchmark(self) -> None:
        """Clear what was asked of the benchmark before; runs keep theirs."""
        self.asked.wipe()

    def chosen(self) -> None:
        """Say of the present choices what they add to a comparison."""
        if self.tabs.value == "Compare":
            self.comparing.show_rows()

    def show_editor(self) -> None:
        """Show the template and its prompt anew, and turn to them."""
        self.editor.show()
        self.turn("Prompt")

    def show_run(self, run: LabRun) -> None:
        """Turn to the part that has this run, and find out beside it what its curve is held against.

        Parameters
        ----------
        run
            A run of the lab.
        """
        if self._heard not in run.heard:
            run.heard.append(self._heard)
        self.turn("Search" if run is self.session.searched else "Replay")
        self._refer(run)
        self._show_running()

    def show_compared(self, run: LabRun | None) -> None:
        """Show the search that the comparison has come to, where Compare is open.

        Parameters
        ----------
        run
            A run of the comparison; None at its end.
        """
        self.compared = run
        if run is not None:
            self._refer(run)
            self.searching.follow(run)
            if self._heard not in run.heard:
                run.heard.append(self._heard)
        if self.tabs.value == "Compare":
            self._turned("Compare")

    def edit_step(self) -> None:
        """Bring the step that is shown into the editor, with the results that stood before it."""
        run = self.session.runs.get(self.view.board.key)
        if run is None or run.board.selected is None:
            raise InvalidParameter("no step is shown; click a point of the curve first")
        index = run.board.selected
        self.session.edit_step(index, run)
        self.show_editor()
        self.asked.tell(f"Step {index + 1} is in the editor, with the {index} results before it")

    def _refer(self, run: LabRun) -> None:
        """Find out in a thread what the curve of a run is held against."""
        if run.board.held is None:
            self.desk.work(run.refer, lambda _: None, self.say)

    def _step(self, key: str, index: int | None) -> None:
        """Show a step of the run whose board was clicked, or what comes newest."""
        run = self.session.runs.get(key)
        if run is None:
            raise InvalidParameter("nothing is open; run a search or open a journal first")
        run.show_step(index)
        if index is not None:
            run.board.code(step_line(run.path.as_posix(), index))

    def _heard(self, run: LabRun) -> None:
        self.desk.post(self._show_running)

    def _show_running(self) -> None:
        """Say in every part which searches run, and which of them wait for a person."""
        told = []
        for run in self.session.runs.values():
            status = run.state.status if run.state is not None else "ready"
            if run.live is not None and status in RUNNING:
                words = "<b>waits for your decision</b>" if status == "awaiting approval" else for_html(status)
                told.append(f"{for_html(run.label)}: {words}, {len(run.points)} of {run.board.budget}")
        text = f'<p role="status" style="margin:2px 0">Under Search: {"; ".join(told)}</p>' if told else ""
        if self.running.value != text:
            self.running.value = text
