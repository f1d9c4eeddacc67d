"""Which positions, operations and attributes of a space a clause speaks of: words looked up, none guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from genius_kit.reasoning import without_reasoning
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.spaces.costs import count_cost

Places = tuple[int, ...] | None
"""Positions; None for the whole architecture."""

Attribute = list[list[float]]
"""A number for each option at each position."""

KINDS = ("replaces", "sets", "only", "keeps", "keeps the rest", "how many", "more", "less", "gradient", "cost")
"""One operation with another; one at a place; one alone in a stage; places unchanged; all unmentioned ones unchanged;
how many positions differ; an attribute grows or shrinks; early stages against late ones; multiply-accumulates."""

_UP = r"increas(?:ed?|ing)|rais(?:ed?|ing)|enlarg(?:ed?|ing)|widen(?:ed|ing)?"
_DOWN = r"reduc(?:ed?|ing)|decreas(?:ed?|ing)|lower(?:ed|ing)|simplif(?:y|ied|ying)|narrow(?:ed|ing)"
_ADVERBS = r"(?:(?:\w+ly|further|also|then|now|have|will|thus|only|just)\s+)*"
_WRITER = r"(?:i|we|i'll|we'll|i've|we've|let us|let's)"
_DONE = rf"(?:^(?!\w+(?:ed|ing)\b)|\b{_WRITER}\s+{_ADVERBS}|\bby\s+{_ADVERBS}(?=\w+ing\b))"
"""Before a verb: what says that the writer does it. An imperative, "I" and "we", or "by ...ing"; not "it increases"."""

_HEDGE = re.compile(
    r"\b(?:could|might|may|would|should|can|perhaps|maybe|if|whether|not|never|avoid\w*|instead|rather|expect\w*|"
    r"gradual\w*|subsequent|unlike|except)\b|n't\b|\?",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\bexperiments?\s*\d", re.IGNORECASE)
_TAIL = re.compile(
    r",?\s+(?:which|because|since|so that|so as|while|whereas|in order to|as (?:this|it|that)|"
    r"to (?:capture|reduce|decrease|lower|meet|ensure|achieve|improve|save|balance|enhance|further|keep|better))\b"
    r"|,\s*(?:further\s+)?(?:allowing|enabling|lowering|reducing|decreasing|ensuring|resulting|helping|providing|"
    r"adjusting)\b",
    re.IGNORECASE,
)
_NUMBERS = {"one": 1, "a single": 1, "a": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_COUNT = r"(?P<count>one|a single|two|three|four|five|\d{1,2})"
_REPLACING = re.compile(
    r"\b(?:replac(?:e|es|ed|ing)|chang(?:e|es|ed|ing)|swap(?:s|ped|ping)?|turn(?:s|ed|ing)?)\b", re.I
)
_LINK = re.compile(r"\b(?:with|by|to|into|for)\b", re.IGNORECASE)

_REST = re.compile(
    r"\b(?:keep|keeps|kept|keeping|leave|leaves|leaving|left)\s+(?:all\s+)?(?:the\s+rest|everything\s+else|"
    r"all\s+else|the\s+others?|the\s+other\s+\w+)\b",
    re.IGNORECASE,
)
_KEPT = re.compile(
    r"\b(?:remains?|stays?|is|are|left|leave|leaving|keep|keeping|kept)\b.*"
    r"\b(?:unchanged|the same|as (?:it is|they are)|as before|untouched)\b|\bwithout any changes?\b",
    re.IGNORECASE,
)

Found = tuple[str, Callable[[Architecture, Architecture], bool]]


def places_in(clause: str, space: SearchSpace) -> Places:
    """Return the positions that a clause speaks of: None where it names none, () where it is not clear which."""
    found: list[tuple[int, ...]] = []
    for word, group in re.findall(
        r"\b(stages?|layers?|edges?|widths?|blocks?)\s+(\d+(?:-\d+)?(?:\s*(?:,\s*and|,|and|&)\s*(?:\1\s+)?\d+(?:-\d+)?)*)",
        clause,
        re.I,
    ):
        places = _numbered(word.lower().rstrip("s"), group, space)
        if places is None:
            return ()
        found.append(places)
    if not found and (half := _half(clause, space)) is not None:
        found.append(half)
    return None if not found else found[0] if len(set(found)) == 1 else ()


def _numbered(word: str, group: str, space: SearchSpace) -> tuple[int, ...] | None:
    """Return the positions of "stage 1 and 2" or "edge 0-3"; None where the space has none of that name."""
    if word == "stage":
        numbers = [int(number) for number in re.findall(r"\d+", group)]
        if "-" in group or len(space.stages) < 2 or not all(1 <= number <= len(space.stages) for number in numbers):
            return None
        return tuple(place for number in sorted(set(numbers)) for place in space.stages[number - 1])
    names = [f"{word} {number}" for number in re.findall(r"\d+-\d+|\d+", group)]
    if not all(name in space.positions for name in names):
        return None
    return tuple(sorted({space.positions.index(name) for name in names}))


def _half(clause: str, space: SearchSpace) -> tuple[int, ...] | None:
    halves = halves_of(space)
    early = re.search(r"\b(?:early|earlier|first|initial)\s+(?:stages|layers|blocks)\b", clause, re.I)
    late = re.search(r"\b(?:later|latter|last|final|deeper)\s+(?:stages|layers|blocks)\b", clause, re.I)
    if halves is None or bool(early) == bool(late):
        return None
    return halves[0] if early else halves[1]


def halves_of(space: SearchSpace) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the positions of the first and of the last half of the stages, or layers; a middle one is in neither."""
    if space.is_cell:
        return None
    groups = space.stages if len(space.stages) > 2 else tuple((place,) for place in space.stages[-1])
    half = len(groups) // 2
    first, last = groups[:half], groups[-half:]
    return tuple(p for group in first for p in group), tuple(p for group in last for p in group)


def operations_in(clause: str, space: SearchSpace) -> list[tuple[frozenset[int], int, int]]:
    """Return the operations that a clause names, each as the options that it may be, with where its name stands."""
    found = [(options, m.start(), m.end()) for pattern, options in _names(space) for m in pattern.finditer(clause)]
    found.sort(key=lambda one: (one[1], -one[2]))
    kept: list[tuple[frozenset[int], int, int]] = []
    for one in found:
        if not kept or one[1] >= kept[-1][2]:
            kept.append(one)
    return kept


@lru_cache(maxsize=32)
def _names(space: SearchSpace) -> tuple[tuple[re.Pattern[str], frozenset[int]], ...]:
    """Return patterns of the names of a space's operations, each with the options that it stands for."""
    if not space.is_chain and not space.is_cell:
        return ()
    patterns: list[tuple[str, frozenset[int]]] = []
    for option, name in enumerate(space.options):
        one = frozenset({option})
        patterns.append((rf"\b(?:operations?|ops?|option)\s*{option}s?\b", one))
        if space.is_cell:
            patterns.append((rf"\b{re.escape(name)}\b", one))
        parts = re.search(r"kernel (\d), expansion (\d)", name)
        if parts:
            kernel = rf"(?:kernel[_ ]?sizes?\s*(?:=|of)?\s*{parts[1]}|{parts[1]}x{parts[1]})"
            expansion = rf"expansion(?:\s+(?:factor|ratio)s?)?\s*(?:=|of)?\s*{parts[2]}"
            joint = r"\s*(?:,|and|,\s*and)?\s*(?:an?\s+)?"
            patterns.append((rf"\b{kernel}{joint}{expansion}\b", one))
            patterns.append((rf"\b{expansion}{joint}{kernel}\b", one))
    words = {
        "skip_connect": r"skip(?:[ -]connections?)?",
        "none": r"(?:none|zero)(?=\s+(?:operations?|on|at|with|by|to)\b|$|[.,])",
        "skip": "skip",
        "identity": "identity",
    }
    common = {
        "nor_conv_1x1": r"1x1(?:\s+conv(?:olution)?s?)?",
        "nor_conv_3x3": r"3x3(?:\s+conv(?:olution)?s?)?",
        "avg_pool_3x3": r"(?:3x3\s+)?(?:average|avg)[ -]pool(?:ing)?",
    }
    for option, name in enumerate(space.options):
        word = {**words, **common}.get(name)
        if word:
            patterns.append((rf"(?<![\w-]){word}\b(?:\s+(?:operations?|layers?))?", frozenset({option})))
    convolutions = frozenset(i for i, name in enumerate(space.options) if space.is_cell and "conv_" in name)
    if convolutions:
        patterns.append((r"(?<![\w-])conv(?:olution)?s?\b", convolutions))
    return tuple((re.compile(pattern, re.IGNORECASE), options) for pattern, options in patterns)


def skips_of(space: SearchSpace) -> frozenset[int]:
    return frozenset(i for i, name in enumerate(space.options) if name in ("skip", "identity", "skip_connect"))


def attribute_in(clause: str, space: SearchSpace) -> Attribute | None:
    """Return the attribute that a clause speaks of; None where it is none that the space has, or more than one."""
    named = [
        name
        for name, word in (
            ("kernel", r"\bkernels?\b"),
            ("expansion", r"\bexpansions?\b"),
            ("width", r"\b(?:widths?|channels?|wider|narrower)\b"),
            ("complexity", r"\b(?:complex|complexity|simpler|simplif\w+|powerful)\b"),
        )
        if re.search(word, clause, re.IGNORECASE)
    ]
    if "complexity" in named and set(named) & {"kernel", "expansion"}:
        named = ["complexity"]  # "simpler operations (smaller kernels)": the words in brackets explain it
    return _values(space, named[0]) if len(named) == 1 else None


@lru_cache(maxsize=64)
def _values(space: SearchSpace, name: str) -> Attribute | None:
    if name == "width" and not space.names_operations:
        return [[float(value) / max(map(float, values)) for value in values] for values in space.choices]
    if name in ("kernel", "expansion") and space.is_chain:
        found = [re.search(rf"{name} (\d)", option) for option in space.options]
        return [[float(part[1]) if part else 0.0 for part in found]] * space.length
    if name == "complexity" and space.is_chain:
        table: Attribute = space.macs_table()[1].tolist()
        return [[value / max(row) for value in row] for row in table]  # of the costliest one at the same position
    return None


@dataclass(frozen=True)
class Claim:
    """One statement; `places` are the positions it speaks of, None for the whole architecture."""

    kind: str
    sentence: str
    places: tuple[int, ...] | None
    holds: Callable[[Architecture, Architecture], bool] = field(compare=False, repr=False)
    """Whether it is true of the change from the first architecture to the second."""


@dataclass(frozen=True)
class Rationale:
    """The words around one proposal: the `claims` in them, and how many sentences make none (`unchecked`)."""

    claims: tuple[Claim, ...]
    unchecked: int


def read_claims(text: str, space: SearchSpace) -> Rationale:
    """Return the claims of a reply about its architecture and what it changes, in the order of its sentences.

    Pure; operations are taken by their numbers, their names in the space, or their kernel and expansion.
    """
    found: list[Claim] = []
    rest: list[str] = []
    unchecked = 0
    for sentence in sentences(without_reasoning(text)):
        kept = _REST.search(sentence)
        claims = _claims(sentence[: kept.start()] if kept else sentence, space)
        found += [replace(claim, sentence=sentence) for claim in claims]
        if kept and not _HEDGE.search(sentence):
            rest.append(sentence)
        elif not claims:
            unchecked += 1
    places = {place for claim in found if claim.places for place in claim.places}
    placed = bool(places) and all(claim.places for claim in found if claim.kind not in ("gradient", "cost", "how many"))
    for sentence in rest:
        if placed:
            others = tuple(place for place in range(space.length) if place not in places)
            found.append(Claim("keeps the rest", sentence, others, _unchanged(others, space)))
        elif not any(claim.sentence == sentence for claim in found):
            unchecked += 1
    return Rationale(tuple(found), unchecked)


def sentences(text: str) -> list[str]:
    """Return the sentences of a reply: no lines that hold an architecture, no list marks, three words or more each."""
    found = []
    for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines():
        line = re.sub(r"^\s*(?:[-*#>]+|\d{1,2}[.)])\s*", "", line).replace("**", "").strip()
        if re.search(r"\[\s*\d+\s*,\s*\d+\s*,\s*\d+", line) or re.match(r"Architecture\s*:", line):
            continue
        found += [part.strip() for part in re.split(r"(?<=[.!?;])\s+|(?<=:)\s+(?=[A-Z])", line)]
    return [sentence for sentence in found if len(sentence.split()) >= 3]


def _claims(sentence: str, space: SearchSpace) -> list[Claim]:
    """Return the claims of one sentence, none where anything about it is doubtful."""
    if _NAMED.search(sentence):
        return []
    gradient = _gradient(sentence, space)
    if gradient:
        return [] if _HEDGE.search(_main(sentence)) else gradient
    clause = _main(sentence)
    if _HEDGE.search(clause):
        return []
    places = places_in(clause, space)
    if places == ():
        return []
    for read in (_keeps, _replaces, _only, _sets, _how_many, _depth, _compared, _cost):
        claim = read(clause, places, space)
        if claim is not None:
            return [Claim(claim[0], sentence, places, claim[1])]
    return []


def _main(sentence: str) -> str:
    """Return the sentence without the subordinate clause that says what its change is good for."""
    tail = _TAIL.search(sentence, 12)
    return sentence[: tail.start()] if tail else sentence


def _keeps(clause: str, places: Places, space: SearchSpace) -> Found | None:
    return ("keeps", _unchanged(places, space)) if places and _KEPT.search(clause) else None


def _unchanged(places: Sequence[int], space: SearchSpace) -> Callable[[Architecture, Architecture], bool]:
    """Return the test that nothing changed there; a skip that only moved inside its stage changes no network."""

    def unchanged(before: Architecture, after: Architecture) -> bool:
        pairs = ((before, after), (space.canonical(before), space.canonical(after)))
        return any(all(first[place] == second[place] for place in places) for first, second in pairs)

    return unchanged


def _replaces(clause: str, places: Places, space: SearchSpace) -> Found | None:
    """Return the claim that one operation took the place of another; of several places, their numbers are compared."""
    verb = _REPLACING.search(clause)
    named = [one for one in operations_in(clause, space) if verb and (one[1] > verb.end() or "replaced" in verb[0])]
    if verb is None or len(named) != 2 or not _LINK.search(clause[named[0][2] : named[1][1]]):
        return None
    old, new = named[0][0], named[1][0]
    where = range(space.length) if places is None else places

    def replaced(before: Architecture, after: Architecture) -> bool:
        fell = _count(before, where, old) > _count(after, where, old)
        return fell and _count(after, where, new) > _count(before, where, new)

    return "replaces", replaced


def _only(clause: str, places: Places, space: SearchSpace) -> Found | None:
    named = {one[0] for one in operations_in(clause, space)}
    if (
        not places
        or len(named) != 1
        or not re.search(r"\b(?:only|consistently|exclusively|throughout)\b", clause, re.I)
    ):
        return None
    options, skips = next(iter(named)), skips_of(space)
    return "only", lambda before, after: all(after[place] in options | skips for place in places)


def _sets(clause: str, places: Places, space: SearchSpace) -> Found | None:
    named = {one[0] for one in operations_in(clause, space)}
    verb = re.search(
        rf"{_DONE}(?:use|uses|used|put|puts|set|sets|place|places|placed|choose|chose|take)\b", clause, re.I
    )
    if places is None or len(places) != 1 or len(named) != 1 or verb is None:
        return None
    options, place = next(iter(named)), places[0]
    return "sets", lambda before, after: after[place] in options


def _how_many(clause: str, places: Places, space: SearchSpace) -> Found | None:
    things = r"(?:position|layer|edge|operation|block|width|choice|number)s?"
    told = re.search(
        rf"{_DONE}(?:chang(?:ed?|ing)|modif(?:y|ied|ying)|alter(?:ed|ing)?)\s+(?:only\s+|just\s+)?{_COUNT}\s+{things}\b(?!\s+(?:from|to|with|into|by)\b)",
        clause,
        re.IGNORECASE,
    )
    if told is None:
        return None
    count = _NUMBERS.get(told["count"].lower()) or int(told["count"])
    where = range(space.length) if places is None else places
    return "how many", lambda before, after: sum(before[place] != after[place] for place in where) == count


def _depth(clause: str, places: Places, space: SearchSpace) -> Found | None:
    """Return the claim that places were skipped, or filled."""
    skips = skips_of(space)
    if not skips or space.is_cell or not space.names_operations:
        return None
    skip = r"(?:\w+\s+){0,3}(?:skip|identity)\b"
    shallower = (
        rf"{_DONE}(?:add(?:ed|ing)?\s+{skip}|(?:{_DOWN})\s+(?:the\s+)?depth\b|ma(?:ke|de|king)\s.{{0,30}}\bshallower\b)"
    )
    deeper = (
        rf"{_DONE}(?:remov(?:ed?|ing)\s+{skip}|(?:{_UP})\s+(?:the\s+)?depth\b|ma(?:ke|de|king)\s.{{0,30}}\bdeeper\b)"
    )
    where = range(space.length) if places is None else places
    up, down = re.search(shallower, clause, re.I), re.search(deeper, clause, re.I)
    if bool(up) == bool(down):
        return None

    def more(before: Architecture, after: Architecture) -> bool:
        return _count(after, where, skips) > _count(before, where, skips)

    return ("less", more) if up else ("more", lambda before, after: more(after, before))


def _compared(clause: str, places: Places, space: SearchSpace) -> Found | None:
    """Return the claim that an attribute of the operations was raised or lowered."""
    attribute = attribute_in(clause, space)
    what = r"(?:kernel|expansion|width|channel|complexity|operations|the design)"
    made = rf"{_DONE}(?P<verb>{_UP}|{_DOWN})\s+(?:\w+\s+){{0,3}}?{what}"
    told = re.search(made, clause, re.IGNORECASE)
    if attribute is None or told is None:
        return None
    where = range(space.length) if places is None else places
    is_up = re.fullmatch(_UP, told["verb"], re.IGNORECASE) is not None

    def grew(before: Architecture, after: Architecture) -> bool:
        first, second = (sum(attribute[place][design[place]] for place in where) for design in (before, after))
        return second > first if is_up else second < first

    return "more" if is_up else "less", grew


def _cost(clause: str, places: Places, space: SearchSpace) -> Found | None:
    told = re.search(
        rf"\b(?P<verb>reduces|decreases|lowers|increases|{_UP}|{_DOWN})\s+(?:the\s+)?(?:total\s+|overall\s+)?(?:FLOPs|MACs|multiply-accumulates)\b",
        clause,
        re.I,
    )
    if told is None or places is not None:
        return None
    is_up = re.fullmatch(rf"increases|{_UP}", told["verb"], re.IGNORECASE) is not None
    return "cost", lambda before, after: (_macs(space, after) > _macs(space, before)) == is_up and before != after


def _gradient(sentence: str, space: SearchSpace) -> list[Claim]:
    """Return the claim that late stages have more of something than early ones, of the architecture alone."""
    halves = halves_of(space)
    attribute = attribute_in(sentence, space)
    if halves is None or re.search(rf"{_DONE}(?:{_UP}|{_DOWN})\b", _main(sentence), re.IGNORECASE):
        return []
    if attribute is None:
        return []
    within = r"\s+(?:(?:\w+\s+){0,6}?in\s+(?:the\s+)?)?"
    more = rf"(?:larger|higher|bigger|wider|more (?:complex|powerful)){within}"
    less = rf"(?:smaller|lower|narrower|simpler){within}"
    early = r"(?:early|earlier|first|initial)\s+(?:\w+\s+)?(?:stages?|layers?|blocks?)"
    late = r"(?:later?|latter|last|final|deeper)\s+(?:\w+\s+)?(?:stages?|layers?|blocks?)"
    rises = any(re.search(first + where, sentence, re.I) for first, where in ((more, late), (less, early)))
    falls = any(re.search(first + where, sentence, re.I) for first, where in ((more, early), (less, late)))
    if rises == falls:
        return []
    first, second = halves if rises else halves[::-1]

    def ordered(before: Architecture, after: Architecture) -> bool:
        means = [sum(attribute[place][after[place]] for place in half) / len(half) for half in (first, second)]
        return means[1] > means[0]

    return [Claim("gradient", sentence, None, ordered)]


def _count(design: Architecture, where: Sequence[int], options: frozenset[int]) -> int:
    return sum(design[place] in options for place in where)


def _macs(space: SearchSpace, design: Architecture) -> int:
    return count_cost(space, design).macs
