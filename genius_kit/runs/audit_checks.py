"""What an audit looks for in the events of one run: steps that do not follow from those before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.journal import Event
from genius_kit.budget.spending import spent_of
from genius_kit.journal.events import ASIDES

if TYPE_CHECKING:
    from genius_kit.prompts.views import View

ANSWERS = ("rejected", "approval", "proposal", "declined", "candidates")
"""What may come of a reply."""

Where = str
"""An iteration and what is wrong in it, a sentence."""


def step_findings(events: Sequence[Event], talks_plainly: bool) -> Iterator[Where]:
    """Yield what is wrong with the order of events: replies and decisions of which nothing came, steps that are lost.

    `talks_plainly` says that each reply has to come to something at once, as in the plain method "llm".
    """
    steps = [event for event in events if event["event"] not in ASIDES and "purpose" not in event]
    for event, following in zip(steps, [*steps[1:], None], strict=True):
        if following is None:
            continue
        at = f"iteration {event.get('iteration')}"
        name, then = event["event"], following["event"]
        if name == "call" and talks_plainly and then not in ANSWERS:
            yield f"{at}: it is not on record what came of a reply ({then} follows on it)"
        if name == "approval":
            yield from _decision_findings(at, event, following)
        if name == "proposal" and then != "evaluation":
            yield f"{at}: a proposal was not evaluated, {then} follows on it"


def _decision_findings(at: str, decided: Event, following: Event) -> Iterator[Where]:
    if decided["decision"] == "reject":
        if following["event"] != "rejected":
            yield f"{at}: {decided['by']} rejected a design, and {following['event']} follows on that"
    elif following["event"] != "proposal" or following["architecture"] != decided["architecture"]:
        yield f"{at}: {decided['by']} decided {decided['decision']}, and that design is not what follows"


def gate_findings(events: Sequence[Event]) -> Iterator[Where]:
    """Yield evaluations that the run's rule of approval wanted a person for, and that nobody decided on."""
    rule = events[0].get("approval", {}) if events else {}
    decided = {event["iteration"] for event in events if event["event"] == "approval"}
    for place, event in enumerate(events):
        if event["event"] != "evaluation" or event["iteration"] in decided or not rule:
            continue
        macs, most = event.get("macs"), rule.get("above_macs")
        if most is not None and (macs is None or macs > most):
            yield f"iteration {event['iteration']}: nobody approved a network above {most:,} MACs"
        spent, from_ = float(spent_of(events[:place]).dollars), rule.get("above_dollars")
        if from_ is not None and spent >= from_:
            yield f"iteration {event['iteration']}: nobody approved it, with ${spent:.4g} spent of the free ${from_:g}"


def proposals(events: Sequence[Event], view: View | None) -> list[list[int]] | None:
    """Return the designs that the replies of one iteration name, read anew; None where words were withheld."""
    from genius_kit.journal.chain import is_withheld
    from genius_kit.records import Proposal

    found: list[list[int]] = []
    for event in events:
        if event["event"] != "call" or "purpose" in event or view is None:
            continue
        if is_withheld(event["text"]):
            return None
        outcome = view.parse(event["text"] or "")
        if isinstance(outcome, Proposal):
            found.append(list(outcome.architecture))
    return found


def follows(
    proposal: Event | None, done: list[int], asked: list[list[int]] | None, decisions: Sequence[Event], is_plain: bool
) -> bool | None:
    """Return whether the design that was evaluated is the proposal, and what a reply or a person asked for.

    None where the record cannot say: words that were withheld, methods that choose among several designs.
    """
    if proposal is None or proposal["architecture"] != done:
        return False
    last: Any = decisions[-1] if decisions else None
    if last is not None and (last["decision"] == "reject" or last["architecture"] != done):
        return _is_fallback(proposal, last)
    if proposal["origin"] == "edited":
        return last is not None and last["decision"] == "edit"
    if proposal["origin"] != "model":
        return True
    if asked is None or not is_plain:
        return None
    return bool(asked) and asked[-1] == done


def _is_fallback(proposal: Event, last: Event) -> bool:
    """Return whether a design came after a rejection and nobody had to be asked about it."""
    return last["decision"] == "reject" and proposal["architecture"] != last["proposed"]
