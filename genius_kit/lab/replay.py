"""A recorded run opened for stepping: its curve, one step in words, and the results that stood before a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.journal import Event, read_run
from genius_kit.lab.ask import beside_html, block_html, marked_html
from genius_kit.lab.view import Point, points_of
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Evaluation, Message, Trial
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.runs.steps import Step
    from genius_kit.spaces import SearchSpace


class Recording:
    """One journal: `points` of its curve, `steps` made when they are asked for; the indices of both agree.

    Raises JournalError when there is no such journal, or its middle is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        from genius_kit.runs.steps import RecordedSteps
        from genius_kit.spaces import recorded_space

        self.path = Path(path)
        run = read_run(path)
        self.settings: dict[str, Any] = run.settings
        self.points: list[Point] = points_of(run.events)
        self.steps: Sequence[Step] = RecordedSteps(run)
        self.space: SearchSpace | None = recorded_space(run.settings) if run.settings else None

    def trials(self, before: int) -> tuple[Trial, ...]:
        """Return the results that stood before the step at index `before`, with what was said in each."""
        return tuple(_trial(self.steps[index]) for index in range(before) if self.steps[index].evaluation)


def _trial(step: Step) -> Trial:
    event = step.evaluation
    assert event is not None
    return Trial(step.iteration, tuple(event["architecture"]), Evaluation.of(event), _exchange(step.calls))


def _exchange(calls: Sequence[Event]) -> tuple[Message, ...]:
    """Return what was said in an iteration after its opening: replies and refusals."""
    if not calls:
        return ()
    said = list(calls[-1]["messages"][len(calls[0]["messages"]) :])
    return (*said, Message(role="assistant", content=without_reasoning(calls[-1]["text"] or "") or "(empty reply)"))


def step_html(step: Step, space: SearchSpace | None) -> str:
    """Return one step as HTML: result, difference to its parent, prompt, replies with their architectures marked."""
    parts = [f"<p><b>{for_html(step_text(step))}</b></p>"]
    if step.parent is not None:
        lines = "".join(f"<li>{for_html(f'{c.place}: {c.before} -> {c.after}')}</li>" for c in step.changes)
        parts.append(f"<h4>Difference to iteration {step.parent}</h4><ul>{lines or '<li>none</li>'}</ul>")
    for number, call in enumerate(step.calls, start=1):
        text = marked_html(call["text"] or "(empty reply)", space)
        head = f"<h4>Reply{f' {number}' if len(step.calls) > 1 else ''}</h4>"
        parts.append(f"{head}{block_html(text)}{beside_html(call)}")
    for event in step.rejections:
        parts.append(f"<p>Refused, {for_html(event['reason'])}: {for_html(event['detail'])}</p>")
    for event in step.approvals:
        reason = f" ({for_html(event['reason'])})" if event.get("reason") else ""
        parts.append(f"<p>Decision: {for_html(str(event.get('decision')))}{reason}</p>")
    for event in step.failures:
        parts.append(f"<p>A call failed: {for_html(str(event.get('message')))}</p>")
    if step.messages:
        prompt = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in step.messages)
        parts.append(f"<details><summary>Prompt of this step</summary>{block_html(for_html(prompt))}</details>")
    return f'<section class="genius-reply" aria-label="Step">{"".join(parts)}</section>'


def step_text(step: Step) -> str:
    """Return what came of a step in one sentence."""
    found = step.evaluation
    if found is None:
        return f"Iteration {step.iteration}: nothing was evaluated."
    feedback = "not measured" if found["feedback"] is None else f"{found['feedback']:.2f} %"
    rank = found["rank"]
    shared = "" if not rank else str(rank["best"]) + (f"-{rank['worst']}" if rank["worst"] != rank["best"] else "")
    ranked = f", rank {shared} of {rank['of']:,}" if rank else ""
    proposal = step.proposal or {}
    return (
        f"Iteration {step.iteration}: {proposal.get('text', '')}, {feedback}{ranked}, by {proposal.get('origin', '')}."
    )
