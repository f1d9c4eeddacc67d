"""The part of the lab that pins a variant as baseline and runs another beside it, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.errors import InvalidParameter
from genius_kit.lab.ask import ask_once
from genius_kit.lab.compare import Paired, compare_prompts, paired_html
from genius_kit.lab.editor import EditorPanel
from genius_kit.lab.replay import step_html
from genius_kit.lab.searching import SearchPanel
from genius_kit.lab.session import Choices, LabSession, compare_line, step_line
from genius_kit.lab.view import show_beside_still, with_still
from genius_kit.lab.widgets import Stage, button, labelled, row
from genius_kit.runs.remote import run_state
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.lab.widgets import Stage
    from genius_kit.runs.live import LiveSearch


class ComparePanel:
    """Pin, compare, stop; the pairs as dots, the interval, the verdict."""

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        self._stopped = False
        self._live: LiveSearch | None = None
        self.pinned = widgets.HTML("<p>No baseline yet: pin the present template and choices, then change them.</p>")
        self.pin_button = button("Pin as baseline", self.pin, lab.say, "Pin the present template and choices")
        self.pairs = labelled(widgets.BoundedIntText, "Seeds", "130px", min=1, max=1000, value=6)
        self.run_button = button("Run beside the baseline", self.run, lab.say, style="primary")
        self.stop_button = button("Stop comparing", self.stop, lab.say)
        self.stop_button.disabled = True
        self.result = widgets.HTML()
        buttons = row(self.pin_button, self.pairs, self.run_button, self.stop_button)
        self.root = widgets.VBox([buttons, self.pinned, self.result])

    def pin(self) -> None:
        """Make the present template and choices the baseline."""
        settings = self.lab.session.pin()
        shown = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "client")
        self.pinned.value = f"<p>Baseline: {for_html(shown)}</p>"
        self.result.value = ""

    def run(self) -> None:
        """Compare in a thread, with the seeds from the chosen one on."""
        session = self.lab.session
        seeds = list(range(session.choices.seed, session.choices.seed + self.pairs.value))
        self._stopped = False
        self._busy(True)
        if session.baseline is not None:
            chosen, folder = session.choices, (session.folder / "compared").as_posix()
            variant = session.settings()
            self.lab.code(compare_line(chosen.benchmark, session.baseline, variant, seeds, chosen.budget, folder))
        self.lab.tell(f"Comparing over {len(seeds)} seeds")
        self.lab.desk.work(lambda: session.compare(seeds, self._pair, self._search), self._done, self._failed)

    def stop(self) -> None:
        """End the comparison now, with the pairs that it has; the same one goes on from there."""
        self._stopped = True
        if self._live is not None:
            self._live.stop(now=True)

    def _search(self, live: LiveSearch) -> bool:
        self._live = live
        return not self._stopped

    def _pair(self, paired: Paired) -> None:
        self.lab.desk.post(self._show, paired)
        self.lab.tell(f"Comparing: {len(paired.pairs)} pairs done")

    def _done(self, paired: Paired) -> None:
        self._busy(False)
        self._show(paired)
        self.lab.tell(paired.verdict())

    def _failed(self, text: str) -> None:
        self._busy(False)
        self.lab.tell("The comparison ended early")
        self.lab.say(text)

    def _busy(self, is_busy: bool) -> None:
        self.run_button.disabled, self.stop_button.disabled = is_busy, not is_busy

    def _show(self, paired: Paired) -> None:
        self.result.value = paired_html(paired)


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


__all__ = ["PromptLab", "ask_once", "compare_prompts"]


class PromptLab(Stage):
    """The lab, which shows itself as the last value of a cell; `session` holds its state, free of widgets.

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
