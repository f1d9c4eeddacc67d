"""The part of the lab that runs models and prompts beside a baseline, seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from genius_kit.errors import InvalidParameter
from genius_kit.lab.compare import Arm, Comparing, comparison_that_runs, difference_html, paired_html, workload
from genius_kit.lab.draft import plain
from genius_kit.lab.money import FIELDS
from genius_kit.lab.run import Board
from genius_kit.lab.session import compare_line
from genius_kit.lab.widgets import button, labelled, on_change, row
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.lab.run import LabRun
    from genius_kit.lab.widgets import Stage


class ComparePanel:
    """Pin a baseline, add rows, compare, stop; for each row the pairs as dots, the interval, the verdict.

    `board` shows the state of the comparison, and while it runs the search that it has come to.
    """

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        self.board = Board("comparison")
        self.baseline: Arm | None = None
        self.rows: list[Arm] = []
        self.benchmark = lab.session.benchmark
        self.comparison: Comparing | None = None
        say = lab.say
        self.pinned = widgets.HTML()
        self.pin_button = button("Pin as baseline", self.pin, say, "Pin the present template and choices")
        self.add_button = button("Add as a row", self.add, say, "Compare the present template and choices too")
        self.clear_button = button("Remove the rows", self.clear, say)
        self.pairs = labelled(widgets.BoundedIntText, "Seeds", "130px", min=1, max=1000, value=6)
        on_change(self.pairs, lambda _: self.show_rows(), say)
        self.limit = labelled(
            widgets.BoundedFloatText, f"{FIELDS['spend']} in all (0: any)", "280px", min=0, max=1e6, value=0
        )
        self.run_button = button("Run beside the baseline", self.run, say, style="primary")
        self.stop_button = button("Stop comparing", self.stop, say)
        self.progress = widgets.HTML()
        self.result = widgets.HTML()
        begin = (self.pairs, self.limit, self.run_button, self.stop_button)
        buttons = row(self.pin_button, self.add_button, self.clear_button, *begin)
        self.root = widgets.VBox([buttons, self.pinned, self.progress, self.result])
        self.show_rows()
        self._follow(comparison_that_runs(lab.session.folder / "compared"))

    def pin(self) -> None:
        """Make the present template and choices the baseline, without other rows."""
        self.baseline, self.rows, self.benchmark = self._present(), [], self.lab.session.benchmark
        self.result.value = ""
        self.show_rows()

    def add(self) -> None:
        """Take the present template and choices as one more row."""
        self._check_baseline()
        self.rows.append(self._present())
        self.show_rows()

    def clear(self) -> None:
        """Compare nothing but the present template and choices."""
        self.rows = []
        self.show_rows()

    def show_rows(self) -> None:
        """Say what would be compared, how many calls that takes, and what they may cost."""
        if self.baseline is None:
            text = "No baseline yet: pin the present template and choices, then change them."
            self.pinned.value = f"<p>{text}</p>"
            return
        arms = self._arms()
        names = ["Baseline", *(f"Row {number}" for number in range(2, len(arms) + 1))]
        lines = [f"<li>{name}: {for_html(arm.label)}</li>" for name, arm in zip(names, arms, strict=True)]
        present = "" if self.rows else " (the present template and choices; Add as a row keeps them)"
        sides = "".join(
            f"<details><summary>{name} beside the baseline</summary>{difference_html(arms[0], arm)}</details>"
            for name, arm in zip(names[1:], arms[1:], strict=True)
        )
        seeds, budget = self.pairs.value, self.lab.session.choices.budget
        where = for_html(self.benchmark.name)
        self.pinned.value = (
            '<section class="genius-reply" aria-label="What is compared">'
            f"<p>On {where}{for_html(present)}:</p><ul>{''.join(lines)}</ul>{sides}"
            f"<p>{for_html(workload(arms, seeds, budget))}</p></section>"
        )

    def run(self) -> None:
        """Compare in a thread, with the seeds from the chosen one on."""
        session = self.lab.session
        self._check_baseline()
        arms, first = self._arms(), session.choices.seed
        seeds, folder = list(range(first, first + self.pairs.value)), session.folder / "compared"
        if any(arm.settings == arms[0].settings for arm in arms[1:]):
            raise InvalidParameter("a row is the baseline itself; change the template or a setting first")
        limit = self.limit.value or None
        comparison = Comparing(self.benchmark, arms, seeds, session.choices.budget, folder, limit)
        rows = [arm.settings for arm in arms[1:]]
        named = (self.benchmark.name, arms[0].settings, rows, seeds, session.choices.budget)
        kept = f"  # the lab also keeps all of it to ${limit:g}" if limit else ""
        self.board.code(compare_line(*named, folder.as_posix()) + kept)
        self.board.tell(f"Comparing over {len(seeds)} seeds")
        self._follow(comparison)
        self.lab.desk.work(comparison.run, lambda _: None, self._failed)

    def stop(self) -> None:
        """End the comparison now, with the pairs that it has; the same one goes on from there."""
        if self.comparison is not None:
            self.comparison.stop()

    def _arms(self) -> list[Arm]:
        assert self.baseline is not None
        return [self.baseline, *(self.rows or [self._present()])]

    def _present(self) -> Arm:
        session = self.lab.session
        return Arm(session.settings(), plain(session.draft.prompt().messages(())), session.estimate())

    def _check_baseline(self) -> None:
        if self.baseline is None:
            raise InvalidParameter("no baseline is pinned; pin a variant, change it, then compare")
        if self.benchmark.name != self.lab.session.benchmark.name:
            raise InvalidParameter(
                f"the baseline is of {self.benchmark.name}, and {self.lab.session.benchmark.name} is chosen; "
                "pin one of this benchmark, or choose the other"
            )

    def _follow(self, comparison: Comparing | None) -> None:
        """Show what becomes of a comparison, from now on."""
        self.comparison = comparison
        if comparison is not None:
            comparison.heard.append(lambda one: self.lab.desk.post(self._show, one))
            comparison.shown.append(lambda run: self.lab.desk.post(self._begins, run))
            self._show(comparison)
        self._busy()

    def _begins(self, run: LabRun) -> None:
        session = self.lab.session
        session.runs[run.id] = run
        self.lab.show_compared(run)

    def _show(self, comparison: Comparing) -> None:
        if comparison is not self.comparison:
            return
        pairs = (len(comparison.arms) - 1) * len(comparison.seeds)
        self.progress.value = f"<p>{comparison.done} of {pairs} pairs done</p>"
        self.result.value = "".join(
            paired_html(paired, f"Row {place + 1}: {comparison.arms[place].label}")
            for place, paired in comparison.results.items()
        )
        if not comparison.is_running:
            self.board.tell(comparison.verdict() or "The comparison ended early")
            self.lab.show_compared(None)
        self._busy()

    def _failed(self, text: str) -> None:
        self.board.tell("The comparison ended early")
        self.lab.say(text)

    def _busy(self) -> None:
        is_busy = self.comparison is not None and self.comparison.is_running
        self.run_button.disabled, self.stop_button.disabled = is_busy, not is_busy
