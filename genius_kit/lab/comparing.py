"""The part of the lab that pins a variant as baseline and runs another beside it, seed by seed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from genius_kit.lab.code import compare_line
from genius_kit.lab.compare import Paired, paired_html
from genius_kit.lab.widgets import button, labelled, row

if TYPE_CHECKING:
    from genius_kit.lab.stage import Stage
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
        self.pinned.value = f"<p>Baseline: {escape(shown)}</p>"
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
