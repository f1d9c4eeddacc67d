"""What was said in a run as HTML: each event in order, replies in Markdown with their architectures marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mistune

from genius_kit.journal import Event
from genius_kit.lab.ask import beside_html, block_html, reply_pieces
from genius_kit.lab.curve import amount
from genius_kit.lab.drawing import short_name
from genius_kit.texts import for_html, for_terminal

if TYPE_CHECKING:
    from genius_kit.runs.steps import Step
    from genius_kit.spaces import SearchSpace

_OPEN = {"design": "\ue000", "refused": "\ue001"}  # around an architecture, from the private part of Unicode
_CLOSE = "\ue002"
LONGEST = 20_000  # characters of one message that are shown


class _Plain(mistune.HTMLRenderer):
    """Markdown without links and pictures: a reply leads nowhere, and nothing of it is fetched."""

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Return a link as its text and its address."""
        return f"{text} ({for_html(url)})"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Return a picture as its text and its address."""
        return f"[picture: {text} ({for_html(url)})]"

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """Return a heading as a bold line, so that a reply adds none to the page's own."""
        return f"<p><strong>{text}</strong></p>\n"


_MARKDOWN = mistune.create_markdown(renderer=_Plain(escape=True), plugins=["table"])


def markdown_html(text: str, space: SearchSpace | None = None) -> str:
    """Return a text in Markdown as HTML that runs and fetches nothing; the architecture read from it is marked."""
    pieces = reply_pieces(text[:LONGEST], space)
    marked = "".join(
        f"{_OPEN[kind]}{for_terminal(piece)}{_CLOSE}" if kind else for_terminal(piece) for piece, kind in pieces
    )
    html = str(_MARKDOWN(marked))
    for kind, sign in _OPEN.items():
        html = html.replace(sign, f'<mark class="genius-{kind}">')
    cut = f"<p>({len(text) - LONGEST:,} more characters)</p>" if len(text) > LONGEST else ""
    return html.replace(_CLOSE, "</mark>") + cut


def said_before(events: Sequence[Event], place: int) -> list[Event]:
    """Return the events of the same iteration before the one at `place`."""
    first = place
    while first and events[first - 1].get("iteration") == events[place].get("iteration"):
        first -= 1
    return list(events[first:place])


def event_html(event: Event, before: Sequence[Event], space: SearchSpace | None, unit: str = "percent") -> str:
    """Return one event as HTML, empty where a person need not see it; `before` are those of its iteration before."""
    kind = event["event"]
    if kind == "call":
        return _call_html(event, before, space)
    if kind == "rejected":
        return _told("refused", f"Refused, {event['reason']}: {event['detail']}")
    if kind == "approval":
        reason = f" ({event['reason']})" if event.get("reason") else ""
        return _told("decision", f"Decision: {event.get('decision')}{reason}")
    if kind == "call_failed":
        return _told("failed", f"A call failed: {event.get('message')}")
    if kind == "declined":
        return _told("refused", f"Iteration {event.get('iteration')}: the model says that no better one exists")
    if kind == "evaluation":
        proposal = next((one for one in reversed(before) if one["event"] == "proposal"), {})
        return _told("result", result_text(event, proposal, space, unit))
    return ""


def _told(kind: str, text: str) -> str:
    return f'<p class="genius-{kind}">{for_html(text)}</p>'


def _call_html(event: Event, before: Sequence[Event], space: SearchSpace | None) -> str:
    """Return what was sent that the view has not shown yet, and the reply."""
    earlier = [call for call in before if call["event"] == "call" and call.get("purpose") == event.get("purpose")]
    shown = len(earlier[-1]["messages"]) if earlier else 0
    sent = [one for one in event["messages"][shown:] if one["role"] != "assistant"]
    parts = [_message_html(one["role"], one["content"], not earlier) for one in sent]
    purpose = f" ({for_html(event['purpose'])})" if event.get("purpose") else ""
    seconds = f", {event['seconds']:.1f} s" if event.get("seconds") is not None else ""
    asked = f"iteration {event['iteration']}" if "iteration" in event else "asked once"
    head = f"<h5>Reply{purpose}, {asked}, {for_html(event.get('model') or 'model')}{seconds}</h5>"
    reply = markdown_html(event["text"] or "(empty reply)", None if event.get("purpose") else space)
    return f'{"".join(parts)}{head}<div class="genius-said">{reply}</div>{beside_html(event)}'


def _message_html(role: str, content: str, is_closed: bool) -> str:
    text = f'<div class="genius-said">{markdown_html(content)}</div>'
    if is_closed:
        return f"<details><summary>{for_html(role)}</summary>{text}</details>"
    return f"<h5>{for_html(role)}</h5>{text}"


def step_html(step: Step, space: SearchSpace | None, unit: str = "percent") -> str:
    """Return one step as HTML: result, difference to its parent, and all that was said, in order."""
    parts = [f"<p><b>{for_html(step_text(step, space, unit))}</b></p>"]
    if step.parent is not None:
        lines = "".join(f"<li>{for_html(f'{c.place}: {c.before} -> {c.after}')}</li>" for c in step.changes)
        parts.append(f"<h4>Difference to iteration {step.parent}</h4><ul>{lines or '<li>none</li>'}</ul>")
    parts += [
        event_html(event, step.events[:place], space, unit)
        for place, event in enumerate(step.events)
        if event["event"] != "evaluation"
    ]
    if step.messages:
        prompt = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in step.messages)
        parts.append(f"<details><summary>Prompt of this step</summary>{block_html(for_html(prompt))}</details>")
    return f'<section class="genius-reply" aria-label="Step">{"".join(parts)}</section>'


def step_text(step: Step, space: SearchSpace | None = None, unit: str = "percent") -> str:
    """Return what came of a step in one sentence."""
    if step.evaluation is None:
        return f"Iteration {step.iteration}: nothing was evaluated."
    return result_text(step.evaluation, step.proposal or {}, space, unit)


def result_text(found: Event, proposal: Event, space: SearchSpace | None = None, unit: str = "percent") -> str:
    """Return an evaluation and the proposal before it in one sentence."""
    name = short_name(space, found["architecture"]) if space else proposal.get("text", "")
    rank = found.get("rank")
    shared = "" if not rank else str(rank["best"]) + (f"-{rank['worst']}" if rank["worst"] != rank["best"] else "")
    ranked = f", rank {shared} of {rank['of']:,}" if rank else ""
    origin = proposal.get("origin", "")
    return f"Iteration {found['iteration']}: {name}; {amount(found['feedback'], unit)}{ranked}, by {origin}."
