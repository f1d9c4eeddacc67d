"""The prompt lab: edit a template beside its prompt, ask, search, step through runs, compare, in a notebook cell.

    from genius_kit.lab.panels import PromptLab
    PromptLab("nas-bench-201-cifar10")

What it does lies in `lab.session`, without widgets; searches and questions run in threads, never in a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.errors import InvalidParameter
from genius_kit.lab.ask import ask_once
from genius_kit.lab.compare import compare_prompts
from genius_kit.lab.comparing import ComparePanel
from genius_kit.lab.editor import EditorPanel
from genius_kit.lab.replaying import ReplayPanel
from genius_kit.lab.searching import SearchPanel
from genius_kit.lab.session import Choices, LabSession
from genius_kit.lab.stage import Stage
from genius_kit.lab.view import with_still

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark

__all__ = ["PromptLab", "ask_once", "compare_prompts"]


class PromptLab(Stage):
    """The lab, which shows itself as the last value of a cell.

    `benchmark` is a name or a benchmark; `journal` a recorded run that is opened at once; `folder` receives journals
    and saved variants; `client` replaces the one that `model` names. `session` holds the state, free of widgets.
    Raises as `load_benchmark` and `load_prompt` do.
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
        self.editor = EditorPanel(self)
        self.searching = SearchPanel(self)
        self.replaying = ReplayPanel(self)
        self.comparing = ComparePanel(self)
        panels: dict[str, Any] = {
            "Prompt": self.editor,
            "Search": self.searching,
            "Replay": self.replaying,
            "Compare": self.comparing,
        }
        self.tabs = widgets.Tab([panel.root for panel in panels.values()], titles=tuple(panels))
        self.root = widgets.VBox([self.editor.controls, self.tabs, self.error, self.view])
        if journal is not None:
            self.open(journal)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the widgets, and beside them curve and drawing as they are now for a page without scripts."""
        return with_still(self.root._repr_mimebundle_(**options), self.view.board.still())

    def open(self, journal: str | Path) -> None:
        """Open a recorded run at its last step; raises JournalError."""
        self.replaying.path.value = Path(journal).as_posix()
        self.replaying.open()

    def new_benchmark(self) -> None:
        """Clear what belongs to the benchmark before."""
        self.replaying.close()
        self.view.board.feedback_name = self.session.benchmark.feedback_name
        self.show_curve([], self.session.choices.budget)

    def show_editor(self) -> None:
        """Show the template and its prompt anew, and turn to them."""
        self.editor.show()
        self.tabs.selected_index = 0

    def _step(self, index: int) -> None:
        """Show the step that was clicked or stepped to: of the open recording, or of the lab's own search so far."""
        live, recording = self.session.live, self.session.recording
        path = live.state.run.path if live is not None else None
        if self.shows_live and path is not None:
            recording = self.session.open(path)
        if recording is None:
            raise InvalidParameter("nothing is open; run a search or open a journal first")
        self.replaying.show(index)
