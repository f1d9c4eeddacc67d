"""What a model's reply means: one architecture, a reason for refusal, or the statement that none is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from genius_kit.designs import Fragment, find_fragments, is_near, read_items
from genius_kit.records import NoImprovement, Outcome, Proposal, Rejection
from genius_kit.reply_context import CONTEXT, Context, kind_of, stage_of
from genius_kit.spaces import Architecture, SearchSpace

LONGEST_REPLY = 200_000  # characters without the reasoning; a longer reply is refused unread
MOST_BRACKETS = 10_000
MOST_LISTS = 2_000  # lists of values weighed in one reply; a reply with more names no design

_JOINED = re.compile(
    r"[\s*`\"'.]*(?:[,;/&|]|\band\b|\bor\b|\band/or\b|\n\s*(?:[0-9]{1,2}[.)]|[-*•]))[\s*`\"']*(?:and|or)?[\s*`\"']*",
    re.I,
)
_LINK = re.compile(r"[\s*`\"',;)]*(?:to|with|by|into|→|-+>|=>|becomes)[\s*`\"':(]*", re.I)
_DECLARED = re.compile(
    r"\bno (?:further |more |additional |better |other )*(?:improvements?|architecture|design|configuration)s? "
    r"(?:is |are |seems? |appears? |to be |can be )*(?:possible|available|exists?|made|found|achieved)"
    r"|\b(?:can ?not|can't|could not|couldn't|impossible to) (?:be )?(?:further )?"
    r"(?:improved?|optimi[sz]ed|find (?:a |any )?better)\b"
    r"|\bnot possible to (?:improve|find)\b"
    r"|\balready (?:the )?(?:globally )?(?:optimal|optimum|best possible)\b"
    r"|\bNO[ _]IMPROVEMENT\b(?! is)",
    re.I,
)
_UNDECLARED = re.compile(
    r"\b(?:if|unless|whether|until|may|might|doubt|unlikely|not|[a-z]+n't|would"
    r"|stages?|layers?|edges?)\b",
    re.I,
)
_ROWS = re.compile(r"[\s,;|*•`-]*(?:(?:#|//)[^\n]*)?[\s,;|*•`-]*")
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.I | re.S)
_THOUGHT = re.compile(r"</(?:think|thinking|reasoning)>", re.I)


@dataclass(frozen=True)
class Design:
    """A design, or an attempt at one, at `text[start:end]`: `outcome` is an architecture or the reason why not.

    `role` says what the text makes of it: "final" (marked as the answer), "new", "plain", "history" (probably an
    earlier one), "previous" (surely one), "part" (some of the stages only), "attempt" (proposed, of the wrong length)
    or "aside" (a list of other things). `block` is true where it stands on lines of its own, `alternative` where the
    text offers it beside another, `joined` where only "and", a comma or an enumeration's number stands between it and
    the one before; `stages` maps the stage numbers of a design written stage by stage to their option indices.
    """

    start: int
    end: int
    outcome: Architecture | Rejection
    role: str
    block: bool
    alternative: bool = False
    stages: tuple[tuple[int, Architecture | Rejection], ...] = ()
    earlier: bool = False
    joined: bool = False


def parse_reply(text: str, space: SearchSpace) -> Outcome:
    """Return what `text` proposes: exactly one architecture of `space`, a Rejection, or NoImprovement.

    Reasoning between <think> tags is not read. Nothing is clamped, rounded or completed: the reasons of refusal
    are "empty", "too long", "no design", "incomplete", "wrong length", "off-menu", "placeholder", "malformed",
    "duplicate key" and "ambiguous".
    """
    answer = _without_thinking(text)
    length = len(answer.strip())
    if not length:
        return Rejection("empty", f"The reply holds no answer. {_request(space)}")
    if length > LONGEST_REPLY:
        return Rejection("too long", f"The answer has {length:,} characters. {_request(space)}")
    if sum(map(answer.count, "[({")) > MOST_BRACKETS:
        return Rejection("ambiguous", f"The reply holds more than {MOST_BRACKETS:,} brackets. {_request(space)}")
    fragments = find_fragments(answer, space)
    if len(fragments) > MOST_LISTS:
        return Rejection("ambiguous", f"The reply holds {len(fragments):,} lists of values. {_request(space)}")
    designs = _weigh(fragments, answer, space)
    fresh = [design for design in designs if design.role not in ("previous", "history", "aside")]
    if not fresh and _declares_no_improvement(answer):
        return NoImprovement()
    return _choose(designs, space)


def _request(space: SearchSpace) -> str:
    return f"Answer with one design of {space.title}: a list of {space.length} values in square brackets."


def _without_thinking(text: str) -> str:
    """Return `text` with every reasoning section blanked out, so that positions stay the same."""
    kept = _THINKING.sub(lambda match: " " * len(match.group()), text)
    closing = max((match.end() for match in _THOUGHT.finditer(kept)), default=0)
    return " " * closing + kept[closing:]


def _declares_no_improvement(text: str) -> bool:
    for match in _DECLARED.finditer(text):
        start = max(text.rfind(mark, max(0, match.start() - CONTEXT), match.start()) for mark in ".!?\n") + 1
        if not _UNDECLARED.search(text[max(start, match.start() - CONTEXT) : match.start()]):
            return True
    return False


def find_designs(text: str, space: SearchSpace) -> list[Design]:
    """Return the designs of `text` in order, complete or not, each with its span and the role the text gives it."""
    answer = _without_thinking(text)
    return _weigh(find_fragments(answer, space)[:MOST_LISTS], answer, space)


def _weigh(fragments: list[Fragment], answer: str, space: SearchSpace) -> list[Design]:
    found: list[Design] = []
    for fragment in _join_rows(fragments, answer, space):
        before = next((design for design in reversed(found) if design.role not in ("aside", "attempt")), None)
        floor = before.end if before else 0
        context = Context(answer, fragment, floor)
        linked = before is not None and bool(_LINK.fullmatch(answer[floor : min(fragment.start, floor + CONTEXT)]))
        stage = before.stages[0][0] if linked and before and before.stages else stage_of(context, space)
        kind = kind_of(fragment, context, stage, space)
        if not kind:
            continue
        role = context.role()
        near = kind != "aside" or is_near(fragment, space)
        if linked and before and near:
            found[found.index(before)] = replace(before, role="previous")
            role = "new"
        if kind == "aside":
            meant = role in ("new", "final") or (role == "plain" and context.is_named)
            role = "attempt" if near and meant else "aside"
        positions = space.stages[stage] if kind == "part" and stage is not None else None
        outcome = fragment.problem or read_items(fragment.items, space, positions)
        gap = answer[floor : min(fragment.start, floor + CONTEXT)]
        joined = before is not None and bool(_JOINED.fullmatch(gap))
        alternative = joined or context.is_alternative
        stages = ((stage, outcome),) if kind == "part" and stage is not None else ()
        found.append(
            Design(fragment.start, fragment.end, outcome, role, context.block, alternative, stages, joined=joined)
        )
    return _join_stages(found, space)


def _join_rows(fragments: list[Fragment], text: str, space: SearchSpace) -> list[Fragment]:
    """Join lists that stand one below another, one a stage and without other words, into one."""
    sizes = [len(stage) for stage in space.stages]
    if len(sizes) == 1:
        return fragments
    joined: list[Fragment] = []
    index = 0
    while index < len(fragments):
        rows = fragments[index : index + len(sizes)]
        gaps = [text[a.end : min(b.start, a.end + CONTEXT)] for a, b in pairwise(rows)]
        if [len(row.items) for row in rows] == sizes and all(_ROWS.fullmatch(gap) for gap in gaps):
            items = tuple(item for row in rows for item in row.items)
            joined.append(Fragment(rows[0].start, rows[-1].end, items, rows[0].form))
            index += len(rows)
        else:
            joined.append(fragments[index])
            index += 1
    return joined


def _join_stages(found: list[Design], space: SearchSpace) -> list[Design]:
    """Replace the stages that follow one another by the design that they make up; after an earlier one, they are so."""
    told: list[Design] = []
    for design in found:
        before = next((part for part in reversed(told) if part.stages), None)
        if design.stages and before and before.role == "previous" and _follows(design, before):
            design = replace(design, role="previous")
        told.append(design)
    groups: list[list[Design]] = []
    rest = [design for design in told if not design.stages or design.role == "previous"]
    for part in told:
        if part.stages and part.role != "previous":
            if groups and _follows(part, groups[-1][-1]):
                groups[-1].append(part)
            else:
                groups.append([part])
    joined = [_group(group, space) for group in groups]
    rest = [replace(design, role="part", earlier=True) if design.stages else design for design in rest]
    return sorted([*rest, *joined], key=lambda design: design.start)


def _follows(part: Design, before: Design) -> bool:
    """Return whether one stage is the next one after another."""
    return part.stages[0][0] == before.stages[0][0] + 1


def _group(group: list[Design], space: SearchSpace) -> Design:
    stages = tuple(stage for part in group for stage in part.stages)
    first = group[0]
    outcome: Architecture | Rejection
    refused = [values for _, values in stages if isinstance(values, Rejection)]
    if len(stages) < len(space.stages):
        names = ", ".join(str(number + 1) for number, _ in stages)
        outcome = Rejection(
            "incomplete",
            f"Only stage {names} of {len(space.stages)} came as a list. Write out all {len(space.stages)} stages.",
        )
        earlier = all(part.role == "history" for part in group)
        return Design(first.start, group[-1].end, outcome, "part", first.block, False, stages, earlier)
    outcome = (
        refused[0] if refused else tuple(v for _, values in stages if not isinstance(values, Rejection) for v in values)
    )
    return Design(first.start, group[-1].end, outcome, first.role, True, first.alternative, stages)


def _choose(designs: Sequence[Design], space: SearchSpace) -> Outcome:
    whole = [design for design in designs if design.role not in ("part", "aside", "attempt")]
    live = [design for design in whole if design.role != "previous"]
    fresh = [design for design in live if design.role != "history"]
    if not fresh and (attempt := _attempt(designs)):
        return attempt
    if not live:
        return _nothing(designs, whole, space)
    pool = fresh or live
    pool = [design for design in pool if not _is_noise(design)] or pool
    finals = [design for design in pool if design.role == "final"]
    chosen = (finals or pool)[-1]
    if any(_competes(other, chosen, pool) for other in pool if other.outcome != chosen.outcome):
        return Rejection(
            "ambiguous", f"The reply holds different designs and does not say which is meant. {_request(space)}"
        )
    if isinstance(chosen.outcome, Rejection):
        return chosen.outcome
    if any(_contradicts(design, chosen, space) for design in designs):
        return Rejection(
            "incomplete",
            "A stage came again with other values after the complete design. Write out the whole design you mean.",
        )
    return Proposal(chosen.outcome)


def _attempt(designs: Sequence[Design]) -> Rejection | None:
    """Return why the last design that was proposed, but not whole, is refused: no earlier design stands in for it."""
    tried = [one.outcome for one in designs if one.role == "attempt" or (one.role == "part" and not one.earlier)]
    refused = [outcome for outcome in tried if isinstance(outcome, Rejection)]
    return refused[-1] if refused else None


def _nothing(designs: Sequence[Design], whole: Sequence[Design], space: SearchSpace) -> Rejection:
    """Return why a reply without a design that could be meant is refused."""
    if whole:
        return Rejection("no design", f"The reply names only an earlier design. {_request(space)}")
    for role in ("part", "aside"):
        for design in designs:
            if design.role == role and isinstance(design.outcome, Rejection):
                return design.outcome
            if design.role == role:
                return Rejection("incomplete", f"Only a part of a design came. {_request(space)}")
    return Rejection("no design", f"The reply holds no design. {_request(space)}")


def _is_noise(design: Design) -> bool:
    """Return whether a list is no answer beside others: an example of the format, or figures inside a sentence."""
    if not isinstance(design.outcome, Rejection) or design.role == "final":
        return False
    return design.outcome.reason == "placeholder" or (not design.block and design.role == "plain")


def _competes(other: Design, chosen: Design, pool: Sequence[Design]) -> bool:
    """Return whether a different design may be meant just as well as the chosen one."""
    if other.start > chosen.start:
        after = min(design.start for design in pool if design.start > chosen.start)
        equal = other.joined or chosen.alternative or not other.block
        beside = other.start == after and other.alternative and equal
        return beside or (other.role == "new" and other.block)
    if chosen.role == "final":
        return chosen.alternative and other.role == "final"
    return chosen.alternative or (not chosen.block and chosen.role == "plain")


def _contradicts(part: Design, chosen: Design, space: SearchSpace) -> bool:
    """Return whether stages that come after the chosen design differ from it."""
    if part.role != "part" or part.start < chosen.end or isinstance(chosen.outcome, Rejection) or part.earlier:
        return False
    values = chosen.outcome
    return any(
        not isinstance(given, Rejection) and given != tuple(values[position] for position in space.stages[stage])
        for stage, given in part.stages
    )
