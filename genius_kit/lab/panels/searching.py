"""The part of the lab that runs searches: its buttons, the state in words, decisions on proposals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.budget.amounts import Limits
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.lab.curve import amount
from genius_kit.lab.drawing import short_name
from genius_kit.lab.money import FIELDS, dollars, in_fields, price_of, spending
from genius_kit.lab.replies import block_html, markdown_html
from genius_kit.lab.run import RUNNING, Board, ViewMessage, asking_status
from genius_kit.lab.session import limits_words, live_line, search_line
from genius_kit.lab.widgets import button, labelled, on_change, row
from genius_kit.records import Proposal
from genius_kit.replies import parse_reply
from genius_kit.runs.approval import user_name
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genius_kit.lab.run import LabRun
    from genius_kit.lab.widgets import Say, Stage
    from genius_kit.records import Message, Trial
    from genius_kit.runs.approval import Request
    from genius_kit.runs.live import LiveSearch, LiveState
    from genius_kit.spaces import Architecture, SearchSpace


def read_architecture(text: str, space: SearchSpace) -> Architecture:
    """Return what `text` names in any form that a model may use: as the space writes it, a key, a list, JSON, prose.

    Raises InvalidParameter where it names none, or more than one.
    """
    try:
        return space.decode(text)
    except GeniusKitError:
        outcome = parse_reply(text, space)
    if isinstance(outcome, Proposal):
        return outcome.architecture
    raise InvalidParameter(f"{text!r:.100} names no architecture: {getattr(outcome, 'detail', 'it declares an end.')}")


class DecisionPanel:
    """Approve, evaluate another in its place, reject with a reason that the model is told, or end the search.

    It stays open from one decision to the next, so that the focus stays on its button.
    """

    def __init__(self, say: Say) -> None:
        self._run: LabRun | None = None
        self._request: Request | None = None
        self._was_used = False
        self.proposal = widgets.HTML()
        self.edited = labelled(widgets.Text, "Evaluate instead", "420px", placeholder="text, key, list or JSON")
        self.reason = labelled(
            widgets.Text, "Reason (told to the model on Reject)", "420px", placeholder="kept in the journal too"
        )
        self.by = labelled(widgets.Text, "Decided by", "220px", value=user_name())
        buttons = (
            button("Approve", lambda: self.decide("approve"), say, style="success"),
            button("Use the edited one", lambda: self.decide("edit"), say),
            button(
                "Reject", lambda: self.decide("reject"), say, "The model is told the reason, and asked again", "danger"
            ),
            button("End the search", lambda: self.decide("end"), say, "Resume asks the same again"),
        )
        self.root = widgets.VBox(
            [row(*buttons), row(self.edited, self.reason, self.by), self.proposal],
            layout={"display": "none", "border": "1px solid #999", "padding": "6px"},
        )

    def show(self, run: LabRun | None) -> None:
        """Show the proposal of a search that waits for a decision."""
        live = run.live if run is not None else None
        request = live.asked_about if live is not None else None
        if run is not self._run:
            self._was_used = False
        is_open = request is not None or (self._was_used and live is not None and live.state.status in RUNNING)
        self.root.layout.display = "" if is_open else "none"
        if request is not self._request:
            self.edited.value = request.text if request is not None else ""
            messages = [] if live is None else [call["messages"] for call in live.state.run.of("call")]
            waits = '<p role="status">Waiting for the next proposal.</p>'
            self.proposal.value = request_html(request, messages[-1] if messages else ()) if request else waits
        self._run, self._request = run, request

    def decide(self, decision: str) -> None:
        """Decide on the proposal that is shown, and on no other."""
        run, request, by = self._run, self._request, self.by.value.strip()
        if run is None or run.live is None or request is None or run.live.asked_about is not request:
            raise InvalidParameter("no proposal waits for a decision; the next one will be shown here")
        text, reason = self.edited.value.strip(), self.reason.value
        space = request.situation.benchmark.space
        chosen = read_architecture(text, space) if decision == "edit" else None
        run.live.decide(decision, chosen, reason, by)
        self._was_used = decision != "end"
        self.reason.value = ""
        given = {"architecture": None if chosen is None else space.key(chosen), "reason": reason}
        given["by"] = by if by != user_name() else None
        said = "".join(f", {name}={value!r}" for name, value in given.items() if value)
        run.board.code(live_line(run, f"decide({decision!r}{said})"))


def request_html(request: Request, prompt: Sequence[Message]) -> str:
    """Return what a person decides on as HTML: the proposal and its cost, the reply, the results so far, the prompt."""
    space, cost = request.situation.benchmark.space, request.cost
    size = "" if cost is None else f", {cost.macs / 1e6:,.1f} million MACs, {cost.parameters:,} parameters"
    reply = "No model spoke." if request.reply is None else markdown_html(request.reply or "(empty reply)", space)
    sent = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in prompt)
    return (
        '<section class="genius-reply" aria-label="Proposal">'
        f"<p><b>Proposed for iteration {request.iteration}: {for_html(short_name(space, request.architecture))}</b>"
        f"{for_html(size)}. {for_html(request.why[:1].upper() + request.why[1:])}.</p>"
        f'<h4>Reply</h4><div class="genius-said">{reply}</div>'
        f"<details open><summary>Results so far: {len(request.trials)}, the best first</summary>"
        f"{_results_html(request.trials, space, request.situation.benchmark.unit)}</details>"
        f"<details><summary>Prompt</summary>{block_html(for_html(sent))}</details></section>"
    )


def _results_html(trials: Sequence[Trial], space: SearchSpace, unit: str) -> str:
    """Return what was evaluated before, the best first."""
    ordered = sorted(trials, key=lambda trial: -(trial.evaluation.feedback or 0.0))
    rows = "".join(
        f"<tr><td>{trial.iteration}</td><td>{for_html(short_name(space, trial.architecture))}</td>"
        f"<td>{amount(trial.evaluation.feedback, unit)}</td></tr>"
        for trial in ordered
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("iteration", "architecture", "result"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div tabindex="0" style="max-height:200px;overflow:auto">{table}</div>' if rows else "<p>None.</p>"


_WORDS = {
    "ready": "Ready",
    "interrupted": "Interrupted; resume goes on from here",
    "running": "Running",
    "paused": "Paused",
    "awaiting approval": "Waiting for your decision",
    "stopping": "Stopping",
    "stopped": "Stopped; resume goes on from here",
    "finished": "Finished",
    "failed": "Failed",
}


def telling(state: LiveState, limit: float | None, expected: float | None) -> ViewMessage:
    """Return the state of a search as its board is told it; `limit` and the `expected` cost are in dollars."""
    done = len(state.run.of("evaluation"))
    text = f"{_WORDS.get(state.status, state.status)}: {done} of {state.budget} evaluated"
    failed = state.run.of("call_failed") if state.retry_at is not None else []
    for why in (in_fields(state.error or ""), *(f"An attempt failed: {event['message']}" for event in failed[-1:])):
        text = f"{text}. {why}" if why else text
    left = None if expected is None else expected * (1 - done / state.budget)
    money = "the stand-in costs nothing" if expected == 0 else _money(state, limit, left)
    return {"text": text, "money": money, **asking_status(state)}


def _money(state: LiveState, limit: float | None, left: float | None) -> str:
    """Return what was spent, for how many tokens, and what is left of the limit or of the expected cost."""
    spent = spending(state.run.of("call"), price_of(state.run))
    if limit is not None and spent.dollars is not None:
        return f"spent {spent.text}, left {dollars(max(0.0, limit - spent.dollars))} of {dollars(limit)}"
    return f"spent {spent.text}, left {'about ' if left else ''}{dollars(left)}"


class SearchPanel:
    """Run, pause, resume, stop, raise the budget; approve, edit, reject, or end with a reason."""

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        self.board = Board("search")
        self._shown = ""
        say = lab.say
        self.chosen = labelled(widgets.Dropdown, "Search", "620px")
        on_change(self.chosen, self._chose, say)
        self.run_button = button(
            "Run a search", self.run, say, "Begin one more search, with the choices above", "primary"
        )
        steer, now = self.steer, {"now": True}
        self.pause_button = button("Pause", partial(steer, "pause"), say, "Let no new request begin")
        self.hold_button = button(
            "Pause now", partial(steer, "pause", **now), say, "Give up the call under way; Resume sends it anew"
        )
        self.resume_button = button("Resume", partial(steer, "resume"), say)
        self.stop_button = button(
            "Stop after this one", partial(steer, "stop"), say, "End after the present evaluation"
        )
        self.now_button = button("Stop now", partial(steer, "stop", **now), say, "Give up the call under way", "danger")
        self.approve = labelled(widgets.Checkbox, "Approve each proposal", "auto", value=False, indent=False)
        self.limit = labelled(widgets.BoundedFloatText, f"{FIELDS['spend']} (0: any)", "250px", min=0, max=1e6, value=0)
        on_change(self.limit, self.set_limit, say)
        self.budget = labelled(widgets.BoundedIntText, "New budget", "180px", min=1, max=100_000)
        self.raise_button = button("Raise the budget", lambda: steer("raise_budget", budget=self.budget.value), say)
        self.deciding = DecisionPanel(say)
        buttons = (self.pause_button, self.hold_button, self.resume_button, self.stop_button, self.now_button)
        self.root = widgets.VBox(
            [
                row(self.run_button, self.chosen),
                row(*buttons),
                row(self.approve, self.limit, self.budget, self.raise_button),
                self.deciding.root,
            ]
        )
        for run in lab.session.runs.values():
            self.follow(run)
        self._show_choice()

    def run(self) -> None:
        """Begin a search in a thread."""
        session, limits = self.lab.session, self._limits()
        run = session.search(self.approve.value, limits)
        run.board.tell(f"Starting: {run.label}")
        chosen, settings = session.choices, session.settings()
        line = search_line(chosen.benchmark, settings, chosen.budget, chosen.seed, run.path.as_posix(), limits)
        run.board.code(line)
        self.follow(run)
        self._show_choice()
        self.lab.show_run(run)
        self._live().start()

    def follow(self, run: LabRun) -> None:
        """Say on the board of a search what it does, and keep the buttons right, from now on."""
        if run.live is not None and self._heard not in run.heard:
            run.heard.append(self._heard)
            self._heard(run)

    def _chose(self, key: str | None) -> None:
        """Turn to another search: the buttons are of that one."""
        if not self.lab.quiet and key is not None:
            self.lab.session.searched = self.lab.session.runs[key]
            self._show_choice()
            self.lab.show_run(self.lab.session.runs[key])

    def steer(self, call: str, **options: Any) -> None:
        """Call a method of the search that is shown, and show that as Python."""
        getattr(self._live(), call)(**options)
        run = self.lab.session.searched
        assert run is not None
        run.board.code(live_line(run, f"{call}({', '.join(f'{name}={value!r}' for name, value in options.items())})"))

    def set_limit(self, _: float) -> None:
        """Let the search that is shown spend that much, and the next."""
        run = self.lab.session.searched
        if not self.lab.quiet and run is not None and run.live is not None and run.live.state.status != "finished":
            run.limits = self._limits()
            run.live.limit(run.limits)
            run.board.code(f"import genius_kit as gk; {live_line(run, f'limit({limits_words(run.limits)})')}")

    def _limits(self) -> Limits | None:
        return Limits(dollars=self.limit.value) if self.limit.value else None

    def _live(self) -> LiveSearch:
        live = self.lab.session.live
        if live is None:
            raise InvalidParameter("no search was begun; press Run first")
        return live

    def _heard(self, run: LabRun) -> None:
        """Say what a search does, from whichever thread it comes; the controls follow on their own."""
        if run.state is not None:
            limit = run.limits.dollars if run.limits else None
            run.board.tell(**telling(run.state, limit, run.expected))
        self.lab.desk.post(self._show_choice)

    def _show_choice(self) -> None:
        """Offer the searches that are known, with what each does, and the buttons of the one that is shown."""
        session = self.lab.session
        runs = [run for run in session.runs.values() if run.live is not None]
        states = [_WORDS[run.state.status if run.state else "ready"].partition(";")[0] for run in runs]
        options = [
            (f"{n}: {state}: {run.label}", run.id) for n, (run, state) in enumerate(zip(runs, states, strict=True), 1)
        ]
        shown = session.searched
        with self.lab.quietly():
            if tuple(options) != self.chosen.options:
                self.chosen.options = options
            self.chosen.value = shown.id if shown is not None else None
            if shown is not None and shown.id != self._shown:
                self._shown = shown.id
                self.budget.value = shown.board.budget
                self.limit.value = (shown.limits.dollars or 0) if shown.limits else 0
        self._buttons(shown.state if shown is not None else None)

    def _buttons(self, state: LiveState | None) -> None:
        """Let only those controls be used that make sense now."""
        status = state.status if state else "ready"
        running = status in RUNNING
        self.pause_button.disabled = self.hold_button.disabled = status != "running"
        self.resume_button.disabled = status not in ("paused", "stopped", "failed", "interrupted")
        self.stop_button.disabled = status not in ("running", "paused", "awaiting approval")
        self.now_button.disabled = not running
        self.raise_button.disabled = state is None or status == "failed"
        self.deciding.show(self.lab.session.searched)
