"""Questions and replies: one question outside a search, a reply as it was read, all that was said as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mistune

from genius_kit.benchmarks import MEASURED
from genius_kit.journal import Event, Journal
from genius_kit.lab.curve import amount
from genius_kit.lab.draft import Piece
from genius_kit.lab.drawing import short_name
from genius_kit.llm.client import in_use
from genius_kit.llm.session import Session, Steering
from genius_kit.proposers.base import Situation, make_proposer
from genius_kit.reasoning import answer_of
from genius_kit.records import Evaluation, NoImprovement, Proposal, RankRange, Trial, Trials
from genius_kit.replies import find_architectures, parse_reply
from genius_kit.runs.loop import describe, own_timeout
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.texts import for_html, for_terminal

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.proposers.llm import LanguageModelProposer
    from genius_kit.runs.steps import Step
    from genius_kit.spaces import SearchSpace


_LENGTH, _MENU = "wrong length", "off-menu"


@dataclass(frozen=True)
class Rule:
    """One rule that a reply has to pass; `passed` is None where it was not reached."""

    name: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """A reply as it was read: `pieces` are its text with the architectures in it marked "design" or "refused".

    `evaluation` and `rank` are None where no architecture came, or where evaluating would train a network.
    """

    text: str
    pieces: tuple[Piece, ...]
    rules: tuple[Rule, ...]
    architecture: Architecture | None
    evaluation: Evaluation | None
    rank: RankRange | None
    call: Event | None = None

    @property
    def accepted(self) -> bool:
        """Whether no rule failed."""
        return all(rule.passed for rule in self.rules)


def ask_once(
    benchmark: Benchmark,
    *,
    trials: Sequence[Trial] = (),
    seed: int = 0,
    journal: str | Path | None = None,
    control: Steering | None = None,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> Answer:
    """Ask a model once for the next architecture, and return its reply as it was read.

    Parameters
    ----------
    benchmark
        What the prompt is about.
    trials
        Finished iterations that the prompt shows.
    seed
        Seed of the search that the question is a part of.
    journal
        File that records the call; None keeps it in memory.
    control
        May give the question up, which raises Stopped.
    on_event
        Called with each event that is recorded.
    **settings
        Those of the proposer "llm": model, prompt, history, temperature, params, base_url, client.

    Raises
    ------
    ModelError
        The model cannot be reached.
    """
    proposer: Any = make_proposer("llm", benchmark.space, **{**settings, "rejections_limit": 0, "on_exhausted": "stop"})
    with in_use(proposer.client), Journal(journal, on_event) as record:
        record.record(
            "run_started",
            run=_asked(benchmark, proposer, seed),
            versions={},
            price=None,
            **own_timeout(proposer.client),
        )
        session = Session(record, control=control or Steering())
        proposer.prepare(benchmark, session)
        proposer.converse(Situation(benchmark, Trials(trials), len(trials) + 1, seed, session))
        record.record("run_finished", reason="asked once")
        call = next(event for event in reversed(record.events) if event["event"] == "call")
    return read_answer(call["text"] or "", benchmark, trials, call)


def _asked(benchmark: Benchmark, proposer: LanguageModelProposer, seed: int) -> dict[str, Any]:
    proposer.load_prompt(benchmark)
    return {**describe(benchmark, proposer, 1, seed), "asked_once": True}


def read_answer(text: str, benchmark: Benchmark, trials: Sequence[Trial] = (), call: Event | None = None) -> Answer:
    """Return what a reply comes to after `trials`: marked text, rules, and what is known of its architecture."""
    space = benchmark.space
    outcome = parse_reply(answer_of(text), space)
    architecture = outcome.architecture if isinstance(outcome, Proposal) else None
    rules = _rules_of_text(outcome)
    if architecture is None:
        unreached = [
            Rule("not tried before", None),
            *([Rule("within the bound", None)] if benchmark.constraint else []),
        ]
        return Answer(text, _pieces(text, space, None), (*rules, *unreached), None, None, None, call)
    rules = (*rules, *_rules_of_design(architecture, benchmark, trials))
    is_table = benchmark.kind not in MEASURED
    return Answer(
        text,
        _pieces(text, space, architecture),
        rules,
        architecture,
        benchmark.evaluate(architecture) if is_table else None,
        benchmark.rank(architecture) if is_table else None,
        call,
    )


def _rules_of_text(outcome: Any) -> tuple[Rule, ...]:
    """Return how a reply fares before its architecture is looked up: is there one, of the right length, of the menu?"""
    names = ("names one architecture", "right length", "options of the menu")
    if isinstance(outcome, Proposal):
        return tuple(Rule(name, True) for name in names)
    if isinstance(outcome, NoImprovement):
        return (Rule(names[0], False, "The model declares that no better design exists."), *map(_unreached, names[1:]))
    failed = {_LENGTH: 1, _MENU: 2}.get(outcome.reason, 0)
    passed = [Rule(name, True) for name in names[:failed]]
    return (*passed, Rule(names[failed], False, outcome.detail), *map(_unreached, names[failed + 1 :]))


def _unreached(name: str) -> Rule:
    return Rule(name, None)


def _rules_of_design(architecture: Architecture, benchmark: Benchmark, trials: Sequence[Trial]) -> list[Rule]:
    refusal = Situation(benchmark, Trials(trials), len(trials) + 1, 0, Session(Journal(None))).refusal(architecture)
    repeated = refusal is not None and refusal.reason == "duplicate"
    rules = [Rule("not tried before", not repeated, refusal.detail if refusal and repeated else "")]
    if benchmark.constraint is not None:
        over = benchmark.constraint.refusal(benchmark.space, architecture)
        rules.append(Rule("within the bound", over is None, over.detail if over else ""))
    return rules


def _pieces(text: str, space: SearchSpace, chosen: Architecture | None) -> tuple[Piece, ...]:
    """Return the text cut at the designs in it: the one that was taken is "design", what was refused "refused"."""
    pieces: list[Piece] = []
    position = 0
    for design in find_architectures(text, space):
        kind = "design" if chosen is not None and design.outcome == chosen else ""
        if chosen is None and not isinstance(design.outcome, tuple):
            kind = "refused"
        if not kind or design.start < position:
            continue
        pieces += [(text[position : design.start], ""), (text[design.start : design.end], kind)]
        position = design.end
    return tuple(piece for piece in [*pieces, (text[position:], "")] if piece[0])


def answer_html(answer: Answer, benchmark: Benchmark) -> str:
    """Return an answer as HTML: who replied and when, the marked reply, the rules, what the benchmark says of it."""
    marks = {True: "✓ passed", False: "✗ failed", None: "– not reached"}
    rules = "".join(
        f"<li>{marks[rule.passed]}: {for_html(rule.name)}{f' ({for_html(rule.detail)})' if rule.detail else ''}</li>"
        for rule in answer.rules
    )
    reply = _html(answer.pieces)
    return (
        f'<section class="genius-reply" aria-label="Reply"><h4>Reply</h4>{_reply_head(answer.call, benchmark)}'
        f"{block_html(reply or '(empty reply)')}"
        f"{beside_html(answer.call or {})}"
        f"<p><b>{for_html(answer_text(answer, benchmark))}</b></p><ul>{rules}</ul></section>"
    )


def _reply_head(call: Event | None, benchmark: Benchmark) -> str:
    """Return which model replied, about what, and when, as HTML; nothing where no call is known."""
    if call is None:
        return ""
    when = datetime.fromisoformat(call["time"]).astimezone()
    counts = [call["usage"][f"{name}_tokens"] for name in ("input", "output")]
    tokens = "" if None in counts else f", {counts[0]:,} tokens in, {counts[1]:,} out"
    model = call["model"] or "a model that the server did not name"
    return (
        f"<p>{for_html(model)} on {for_html(benchmark.title)}, {when:%Y-%m-%d %H:%M:%S}, after "
        f"{call['seconds']:.1f} s{tokens}</p>"
    )


def block_html(html: str) -> str:
    """Return text that is HTML already in a block that scrolls, by keyboard too."""
    return f'<pre tabindex="0" style="white-space:pre-wrap;max-height:260px;overflow:auto">{html}</pre>'


def beside_html(call: Event) -> str:
    """Return what came beside the text of a reply as HTML that opens at a click; nothing where nothing did."""
    return "".join(
        f"<details><summary>{for_html(one['kind'])}, {one['characters']:,} characters, not read as the answer</summary>"
        f"{block_html(for_html(one['content']))}</details>"
        for one in call.get("beside") or ()
    )


def reply_pieces(text: str, space: SearchSpace | None) -> tuple[Piece, ...]:
    """Return a reply cut at the architectures in it, see `Answer`; whole where no space is known."""
    if space is None:
        return ((text, ""),)
    outcome = parse_reply(answer_of(text), space)
    return _pieces(text, space, outcome.architecture if isinstance(outcome, Proposal) else None)


def _html(pieces: Sequence[Piece]) -> str:
    return "".join(f'<mark class="genius-{kind}">{for_html(t)}</mark>' if kind else for_html(t) for t, kind in pieces)


def answer_text(answer: Answer, benchmark: Benchmark) -> str:
    """Return what an answer comes to in one sentence."""
    if answer.architecture is None:
        return "No architecture was taken from this reply."
    parts = [short_name(benchmark.space, answer.architecture)]
    found = answer.evaluation
    if found is not None:
        parts.append(f"{benchmark.feedback_name} {amount(found.feedback, benchmark.unit)}")
        if found.test_accuracy is not None and benchmark.feedback_name != "test accuracy":
            parts.append(f"test accuracy {found.test_accuracy:.2f} %")
    if answer.rank is not None:
        parts.append(f"rank {answer.rank} of {answer.rank.of:,}")
    if not answer.accepted:
        parts.append("a search would refuse it")
    return ", ".join(parts)


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
    found = f"Iteration {step.iteration}: nothing was evaluated."
    if step.evaluation is not None:
        found = result_text(step.evaluation, step.proposal or {}, space, unit)
    parts = [f"<p><b>{for_html(found)}</b></p>"]
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


def result_text(found: Event, proposal: Event, space: SearchSpace | None = None, unit: str = "percent") -> str:
    """Return an evaluation and the proposal before it in one sentence."""
    name = short_name(space, found["architecture"]) if space else proposal.get("text", "")
    rank = found.get("rank")
    shared = "" if not rank else str(rank["best"]) + (f"-{rank['worst']}" if rank["worst"] != rank["best"] else "")
    ranked = f", rank {shared} of {rank['of']:,}" if rank else ""
    origin = proposal.get("origin", "")
    return f"Iteration {found['iteration']}: {name}; {amount(found['feedback'], unit)}{ranked}, by {origin}."
