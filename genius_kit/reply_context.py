"""What the words around a list of values make of it: the answer, a new design, an earlier one, or none at all."""

from __future__ import annotations

import re

from genius_kit.designs import LAYER_RANGE, STAGE_LABEL, STAGE_WORDS, Fragment, read_items
from genius_kit.records import Rejection
from genius_kit.spaces import SearchSpace

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
_BULLET = re.compile(r"^[\s>*•+`_\"'#|-]*(?:[0-9]{1,2}[.)]\s)?[\s>*•+`_\"'#|-]*")
_NAMED = re.compile(
    r"\b(?:architecture|design|key|encoding|string|propos\w+|suggest\w*|recommend\w*|try|use|choose|evaluate|answer|select"
    r"|list|ids?|operations?|channels?|counts|widths?|configuration|model|proposal|choice|is|with|by)\b[^\w\[\]]*$",
    re.I,
)
_STAGE_LINE = re.compile(
    r"^(?:stage[\s_#*`-]{0,3}(?:[0-9]{1,2}|one|two|three|four|five)\b[\s*_`]*(?:\([^()\n]{0,60}\))?"
    r"|layers?\s*[0-9]{1,2}\s*(?:to|through|-|–|—)\s*(?:layer\s*)?[0-9]{1,2})[\s*_`\"']*[:=|-]*[\s*_`]*",
    re.I,
)
_HEADED = re.compile(rf"\W*(?:the |my |our |your )?{_EARLIER}\b", re.I)


class Context:
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
        if self.form == "json" or self.is_announced:
            return "final"
        return "new" if _NEW.search(self.window) else "plain"

    @property
    def is_named(self) -> bool:
        """Whether the words before call it a design, or ask for it to be taken."""
        return bool(_NAMED.search(self.window))

    @property
    def is_announced(self) -> bool:
        """Whether the words before announce an answer."""
        return bool(_FINAL.search(self.window))

    @property
    def is_alternative(self) -> bool:
        """Whether the words before offer it beside another."""
        return bool(_ALTERNATIVE.search(self.window))


def _last_line(above: str) -> str:
    above = re.sub(r"[`~]{3,}[^\S\n]*\w*$", "", above.rstrip()).rstrip()
    return above[above.rfind("\n") + 1 :]


def _last_sentence(window: str) -> str:
    cut = max(window.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n\n", "\n-", "\n*"))
    return window[cut + 1 :] if cut >= 0 else window


def stage_of(context: Context, space: SearchSpace) -> int | None:
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


def kind_of(fragment: Fragment, context: Context, stage: int | None, space: SearchSpace) -> str:
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
    announced, named = context.is_announced, context.is_named
    on_menu = exact and not isinstance(read_items(fragment.items, space), Rejection)
    if is_list:
        meant = (
            (exact and context.bracket in "[|") or ((near or announced) and context.block) or (exact and context.block)
        )
        return "design" if meant or (on_menu and context.role() in ("new", "final")) else "aside"
    if on_menu and (len(fragment.items) > 1 or named):
        return "design"
    if near and (announced or (context.bare_line and context.block) or (exact and named and context.block)):
        return "design"
    return "aside" if near and named and context.role() in ("new", "plain") else ""
