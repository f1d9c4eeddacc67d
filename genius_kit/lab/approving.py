"""The part of the lab in which a person decides on a proposal: what is proposed, on what grounds, and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.lab.ask import block_html
from genius_kit.lab.curve import amount
from genius_kit.lab.drawing import short_name
from genius_kit.lab.replay import markdown_html
from genius_kit.lab.run import RUNNING
from genius_kit.lab.session import live_line
from genius_kit.lab.widgets import button, labelled, row
from genius_kit.records import Proposal
from genius_kit.replies import parse_reply
from genius_kit.runs.approval import user_name
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genius_kit.lab.run import LabRun
    from genius_kit.lab.widgets import Say
    from genius_kit.records import Message, Trial
    from genius_kit.runs.approval import Request
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
