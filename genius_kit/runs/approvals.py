"""Proposals that a person may approve, edit or reject before they are evaluated; decisions on record are replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from genius_kit.runs.gate import Approver, Request
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, TurnedDown
from genius_kit.records import Message, Rejection
from genius_kit.spaces import Architecture
from genius_kit.runs.control import Decision


def approved(proposer: Proposer, situation: Situation, turned_down: dict[Architecture, str]) -> Suggestion | Stop:
    """Return the proposal that is to be evaluated: the proposer's own, where nobody is asked about it.

    A rejected design goes into `turned_down`, the proposer is told the reason and asked again.
    """
    situation = replace(situation, turned_down=turned_down)
    while True:
        step = proposer.propose(situation)
        decided = None if isinstance(step, Stop) else _decision(situation, step)
        if isinstance(step, Stop) or decided is None or decided[0] == "approve":
            return step
        name = _naming(proposer, situation)
        decision, architecture, reason = decided
        if decision == "edit":
            return _edited(step, architecture, name)
        turned_down[situation.benchmark.space.canonical(step.architecture)] = reason
        refusal = _record_rejection(situation, step, name)
        situation = replace(situation, last_turned_down=TurnedDown(step, refusal))


def _decision(situation: Situation, step: Suggestion) -> tuple[str, Architecture, str] | None:
    """Return decision, design and reason, from the record where they are there, else from a person; None for neither.

    While other events are on record nobody was asked about this one.
    """
    journal, proposed = situation.journal, list(step.architecture)
    if journal.next_is("approval"):
        event = journal.record("approval", iteration=situation.iteration, proposed=proposed)
    elif journal.replaying or (decided := situation.session.control.review(situation, step)) is None:
        return None
    else:
        event = journal.record(
            "approval",
            iteration=situation.iteration,
            decision=decided.decision,
            architecture=list(decided.architecture or ()),
            proposed=proposed,
            reason=decided.reason,
            by=decided.by,
            via=decided.via,
        )
    return event["decision"], situation.benchmark.space.check(event["architecture"]), event["reason"]


def _naming(proposer: Proposer, situation: Situation) -> Callable[[Architecture], str]:
    """Return how a design is named to the proposer: a model may see the space under another view."""
    if hasattr(proposer, "view"):
        name: Callable[[Architecture], str] = proposer.view(situation).name
        return name
    return situation.benchmark.space.encode


def _edited(step: Suggestion, architecture: Architecture, name: Callable[[Architecture], str]) -> Suggestion:
    """Return the design that a person put in the place of a proposal; the talk, where there is one, says so."""
    if architecture == step.architecture:
        return step
    told = f"{name(step.architecture)} was changed to {name(architecture)} before it was measured."
    talk = (*step.exchange, Message(role="user", content=told)) if step.exchange else ()
    return Suggestion(architecture, "edited", talk)


def _record_rejection(situation: Situation, step: Suggestion, name: Callable[[Architecture], str]) -> Rejection:
    refusal = situation.refusal(step.architecture, name)
    assert refusal is not None  # it has just been turned down
    situation.journal.record(
        "rejected",
        iteration=situation.iteration,
        reason=refusal.reason,
        detail=refusal.detail,
        architecture=list(step.architecture),
    )
    return refusal


def within_macs(most: int, by: str) -> Approver:
    """Return an approver that decides by one rule in the name of `by`: networks of at most `most` MACs, no others.

    It denies, by deciding nothing, where the MACs are unknown.
    """

    def approve(request: Request) -> Decision | None:
        if request.cost is None:
            return None
        if request.cost.macs <= most:
            return Decision("approve", by=by, via="rule")
        reason = f"{request.cost.macs:,} multiply-accumulates are more than {most:,}."
        return Decision("reject", by=by, via="rule", reason=reason)

    return approve
