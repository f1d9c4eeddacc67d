"""What a model's reply means: one architecture, a reason for refusal, or the statement that none is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from genius_kit.designs import (
    LAYER_RANGE,
    STAGE_LABEL,
    STAGE_WORDS,
    Fragment,
    find_fragments,
    is_near,
    read_items,
)
from genius_kit.records import NoImprovement, Outcome, Proposal, Rejection
from genius_kit.spaces import Architecture, SearchSpace

LONGEST_REPLY = 200_000  # characters without the reasoning; a longer reply is refused unread
MOST_BRACKETS = 10_000
MOST_LISTS = 2_000  # lists of values weighed in one reply; a reply with more names no design
CONTEXT = 240  # characters before a design that are read for what it is

_NOUN = (
    r"(?:best|known|so far|design|architecture|model|list|channels?|operations?|ids?|proposal|one|answer|values?|"
    r"configuration|result|trial|experiment|stage|#?[0-9]+|was|is|of|had|used|the)"
)
_TAIL = rf"(?:[\s_:*`\"'#(]+{_NOUN})" + r"{0,6}[^\w\[\]]*$"
_EARLIER = r"(?:previous(?:ly)?|prior|earlier|old|former|rejected|failed)"
_FINAL = re.compile(
    r"(?:\bfinal\s+(?:answer|architecture|design|choice|proposal|list|configuration|model|result|operations?|channels?)"
    r"|\banswer|\b(?:architecture|arch|op_?list|operation ids|channel counts)[\"'`*]{0,3}\s*(?:[:=]|is\b|are\b))"
    r"[^.!?\n]{0,60}[^\w\[\]]*$",
    re.I,
)
_GRAMMAR = re.compile(
    r"\b(?:instead of|rather than|in place of|replac(?:e|es|ed|ing)|from|than|unlike|not|avoid(?:ing)?|over|versus|vs"
    r"|compared (?:to|with)|similar to|close to|identical to|improv\w+ (?:on|upon)|builds? (?:on|upon)|based on"
    r"|start(?:ing|ed)? with|modif\w+|mutat\w+|extend\w*|resembl\w+|like|abandon\w*|discard\w*|drop\w*)"
    rf"(?:[\s_*`\"']+(?:our|my|a|an|its|this|that|{_EARLIER}|last|original|initial|current))" + r"{0,4}" + _TAIL,
    re.I,
)
_PREVIOUS = re.compile(rf"\b{_EARLIER}{_TAIL}", re.I)
_HISTORY = re.compile(
    r"\b(?:last|original|initial|existing|baseline|current(?:ly)?|first|best (?:known|so far)|so far"
    r"|known best|reference"
    rf"|experiment|trial|iteration|consider(?:ed)?|tried|tested|evaluated|remains?|keep(?:ing)?){_TAIL}",
    re.I,
)
_AFTER = re.compile(
    r"[\s\"'`*),]*(?:which |that )?(?:was|were|had|got|gave|scored|scores|achieved|achieves|reached|reaches"
    r"|obtained|yielded|remains|has already|is (?:still|already))\b",
    re.I,
)
_SCORE = re.compile(r"\b(?:accuracy|acc|scored?)\b\D{0,12}[0-9]|[0-9]{2}\.[0-9]+\s?%", re.I)
_HOPE = re.compile(r"expect|should|estimat|predict|around|about|approximately|hope|could|would|might|aim|\bto\b", re.I)
_NEW = re.compile(
    r"\b(?:propos\w+|suggest\w*|recommend\w*|new|revised|updated|next|improved|modified|adjusted|final\w*|choose|chosen"
    r"|select\w*|try|use|evaluate|i would|i will|i'll"
    r"|let's|better|now|therefore|so|thus|hence|go with|settle[ds]?|change\w*)\b"
    r"[^!?\n]{0,100}$",
    re.I,
)
_ALTERNATIVE = re.compile(
    r"\b(?:option|candidate|alternative|choice|variant|possibility|design|architecture|proposal|model|version)s?[\s*_]*#?"
    r"(?:[a-e]|[1-9]|one|two|three)\b[^\w\n]*(?:\([^()\n]*\)|[^\n:]{0,40}:)?[^\w\[\]]*$|\beither\b|\balternative(?:ly)?\b|\banother\b|\bor\b[^\w\[\]]*$",
    re.I,
)
_JOINED = re.compile(
    r"[\s*`\"'.]*(?:[,;/&|]|\band\b|\bor\b|\band/or\b|\n\s*(?:[0-9]{1,2}[.)]|[-*•]))[\s*`\"']*(?:and|or)?[\s*`\"']*",
    re.I,
)
_LINK = re.compile(r"[\s*`\"',;)]*(?:to|with|by|into|→|-+>|=>|becomes)[\s*`\"':(]*", re.I)
_BULLET = re.compile(r"^[\s>*•+`_\"'#|-]*(?:[0-9]{1,2}[.)]\s)?[\s>*•+`_\"'#|-]*")
_NAMED = re.compile(
    r"\b(?:architecture|design|key|encoding|string|propos\w+|suggest\w*|recommend\w*|try|use|choose|evaluate|answer|select"
    r"|list|ids?|operations?|channels?|counts|widths?|configuration|model|proposal|choice|is|with|by)\b[^\w\[\]]*$",
    re.I,
)
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
_STAGE_LINE = re.compile(
    r"^(?:stage[\s_#*`-]{0,3}(?:[0-9]{1,2}|one|two|three|four|five)\b[\s*_`]*(?:\([^()\n]{0,60}\))?"
    r"|layers?\s*[0-9]{1,2}\s*(?:to|through|-|–|—)\s*(?:layer\s*)?[0-9]{1,2})[\s*_`\"']*[:=|-]*[\s*_`]*",
    re.I,
)
_ROWS = re.compile(r"[\s,;|*•`-]*(?:(?:#|//)[^\n]*)?[\s,;|*•`-]*")
_HEADED = re.compile(rf"\W*(?:the |my |our |your )?{_EARLIER}\b", re.I)
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
    fresh = [design for design in designs if design.role not in ("previous", "history", "aside", "attempt")]
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
        context = _Context(answer, fragment, floor)
        linked = before is not None and bool(_LINK.fullmatch(answer[floor : min(fragment.start, floor + CONTEXT)]))
        stage = before.stages[0][0] if linked and before and before.stages else _stage_of(context, space)
        kind = _kind(fragment, context, stage, space)
        if not kind:
            continue
        role = context.role()
        near = kind != "aside" or is_near(fragment, space)
        if linked and before and near:
            found[found.index(before)] = replace(before, role="previous")
            role = "new"
        if kind == "aside":
            meant = role in ("new", "final") or (role == "plain" and _NAMED.search(context.window))
            role = "attempt" if near and meant else "aside"
        positions = space.stages[stage] if kind == "part" and stage is not None else None
        outcome = fragment.problem or read_items(fragment.items, space, positions)
        gap = answer[floor : min(fragment.start, floor + CONTEXT)]
        joined = before is not None and bool(_JOINED.fullmatch(gap))
        alternative = joined or bool(_ALTERNATIVE.search(context.window))
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


class _Context:
    """The words around a fragment: `window` before it, `rest` of its line after it, `block` if it has its own line."""

    def __init__(self, text: str, fragment: Fragment, floor: int) -> None:
        start = max(floor, fragment.start - CONTEXT)
        line = max(text.rfind("\n", start, fragment.start) + 1, start)
        ahead = text[line : fragment.start]
        end = text.find("\n", fragment.end, fragment.end + CONTEXT)
        self.rest = text[fragment.end : end if end >= 0 else fragment.end + CONTEXT]
        bare = _STAGE_LINE.sub("", _BULLET.sub("", ahead, count=1), count=1)
        own_line = (
            line == 0 or text[line - 1] == "\n" or not text[max(0, fragment.start - CONTEXT) : fragment.start].strip()
        )
        ends = not re.sub(r"(?:#|//).*", "", self.rest).strip(" \t\r`*_\"'.,;|)]}")
        self.bare_line = own_line and not bare.strip("([{`*_\"':=| \t")
        labelled = bool(re.search(r"[:=|>][\s`*_\"'(]*$", bare))
        self.block = fragment.form == "json" or (own_line and ends and (self.bare_line or labelled))
        self.form = fragment.form
        self.bracket = text[fragment.start]
        if self.bare_line:
            self.window = _last_line(text[start:line]) + "\n" + bare
            self.label = _last_line(text[start:line]) + "\n" + ahead
        else:
            self.window = self.label = _last_sentence(text[start : fragment.start])

    def role(self) -> str:
        """Return what the words around make of the design."""
        if _PREVIOUS.search(self.window) or _GRAMMAR.search(self.window):
            announced = re.search(r":[\s*`\"'_]*$", self.window)
            return "history" if announced and not _HEADED.match(self.window) else "previous"
        if _AFTER.match(self.rest) or (_SCORE.search(self.rest) and not _HOPE.search(self.rest)):
            return "history"
        if _HISTORY.search(self.window):
            return "history"
        if self.form == "json" or _FINAL.search(self.window):
            return "final"
        return "new" if _NEW.search(self.window) else "plain"


def _last_line(above: str) -> str:
    above = re.sub(r"[`~]{3,}[^\S\n]*\w*$", "", above.rstrip()).rstrip()
    return above[above.rfind("\n") + 1 :]


def _last_sentence(window: str) -> str:
    cut = max(window.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n\n", "\n-", "\n*"))
    return window[cut + 1 :] if cut >= 0 else window


def _stage_of(context: _Context, space: SearchSpace) -> int | None:
    """Return the index of the stage that the words before a list name, by its number or by its layers."""
    if len(space.stages) == 1 or space.family == "cell":
        return None
    found = [match.group(1).lower() for match in STAGE_LABEL.finditer(context.label)]
    if found:
        number = STAGE_WORDS.get(found[-1]) or int(found[-1])
        return number - 1 if 1 <= number <= len(space.stages) else None
    starts = {space.positions[stage[0]]: index for index, stage in enumerate(space.stages)}
    ranges = LAYER_RANGE.findall(context.label)
    return starts.get(f"layer {ranges[-1]}") if ranges else None


def _kind(fragment: Fragment, context: _Context, stage: int | None, space: SearchSpace) -> str:
    """Return "design", "part" (of one stage), "aside" (a list of other things) or "" (plain figures)."""
    if fragment.form == "json" or fragment.problem:
        return "design"
    is_list = fragment.form in ("list", "arch")
    count = len(fragment.items) if len(fragment.items) > 1 or is_list else len(fragment.items[0])
    exact, near = count == space.length, abs(count - space.length) <= max(1, space.length // 3)
    if stage is not None and not exact and (context.block or (is_list and context.bracket == "[")):
        size = len(space.stages[stage])
        if abs(count - size) <= max(1, size // 2) and (is_list or count > 1):
            return "part"
    announced = bool(_FINAL.search(context.window))
    on_menu = exact and not isinstance(read_items(fragment.items, space), Rejection)
    if is_list:
        meant = (
            (exact and context.bracket in "[|") or ((near or announced) and context.block) or (exact and context.block)
        )
        return "design" if meant or (on_menu and context.role() in ("new", "final")) else "aside"
    named = bool(_NAMED.search(context.window))
    if on_menu and (len(fragment.items) > 1 or named):
        return "design"
    if near and (announced or (context.bare_line and context.block) or (exact and named and context.block)):
        return "design"
    return "aside" if near and named and context.role() in ("new", "plain") else ""
