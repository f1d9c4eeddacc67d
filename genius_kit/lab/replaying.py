"""The part of the lab that opens a recorded run: steps, the prompt of each, the way back into the editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from genius_kit.errors import InvalidParameter
from genius_kit.lab.code import step_line
from genius_kit.lab.replay import step_html
from genius_kit.lab.widgets import button, labelled, row
from genius_kit.runs.remote import run_state

if TYPE_CHECKING:
    from genius_kit.lab.stage import Stage


class ReplayPanel:
    """Open a journal; step by the slider under the curve, its arrow keys, or a click on a point."""

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        self._index: int | None = None
        self.path = labelled(widgets.Text, "Journal", "520px", placeholder="path of a .jsonl file")
        self.step = widgets.HTML("<p>Open a journal, then step with the slider under the curve or click a point.</p>")
        self.open_button = button("Open", self.open, lab.say, "Open a recorded run")
        self.edit_button = button("Open this step in the editor", self.edit, lab.say)
        self.edit_button.disabled = True
        self.root = widgets.VBox([row(self.path, self.open_button, self.edit_button), self.step])

    def open(self) -> None:
        """Open the journal that the path names, at its last step."""
        path = self.path.value.strip()
        if not path:
            raise InvalidParameter("no journal was named; type the path of a .jsonl file")
        recording = self.lab.session.open(path)
        self.lab.show_curve(recording.points, len(recording.points))
        state = run_state(path)
        told = "" if state == "finished" else f"; {state}"
        self.lab.tell(f"Recorded run {path}: {len(recording.points)} evaluations{told}")
        self.edit_button.disabled = not recording.points
        if recording.points:
            self.show(len(recording.points) - 1)

    def show(self, index: int) -> None:
        """Show one step of the open recording, or of the lab's own search."""
        recording = self.lab.session.recording
        if recording is None:
            return
        step, self._index = recording.steps[index], index
        self.lab.view.send(self.lab.view.board.select(index))
        self.step.value = step_html(step, recording.space)
        if step.evaluation is not None and recording.space is not None:
            self.lab.draw(tuple(step.evaluation["architecture"]), recording.space)
        self.lab.code(step_line(recording.path.as_posix(), index))

    def edit(self) -> None:
        """Bring the step into the editor, with the results that stood before it."""
        if self._index is None:
            raise InvalidParameter("no step is shown; open a journal first")
        self.lab.session.edit_step(self._index)
        self.lab.show_editor()
        self.lab.tell(f"Step {self._index + 1} is in the editor, with the {self._index} results before it")

    def close(self) -> None:
        """Forget the open recording."""
        self._index = None
        self.edit_button.disabled = True
