"""Which positions, operations and attributes of a space a clause speaks of: words looked up, none guessed."""

from __future__ import annotations

import re
from functools import lru_cache

from genius_kit.spaces import SearchSpace

Places = tuple[int, ...] | None
"""Positions; None for the whole design."""

Attribute = list[list[float]]
"""A number for each option at each position."""


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
