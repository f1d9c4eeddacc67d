"""Where a text writes down lists of values that may be designs, each with its span."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from genius_kit.records import Rejection
from genius_kit.spaces import Architecture, SearchSpace
from genius_kit.spaces.nas_bench_201 import OPERATIONS

PLACEHOLDERS = {"...", "…", "....", ".."}
SHOWN_CHARACTERS = 40
LONGEST_NEST = 4_000  # characters of a list of lists; keeps deep nesting linear
DESIGN_KEYS = re.compile(
    r"(?:the|new|final|proposed|next|revised|updated|optimal|best|my)*"
    r"(?:arch|architecture|ops|oplist|operations?|operationids?|operationlist|ids|channels?|channelcounts?|channellist|"
    r"widths?|design|answer|proposal|layers|cell|genotype|list|config|configuration|encoding|key|archstr|model|result|"
    r"edges|choices|values)"
)
STAGE_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
STAGE_LABEL = re.compile(r"stage[\s_#*`-]{0,3}([0-9]{1,2}|one|two|three|four|five)(?![0-9])", re.I)
LAYER_RANGE = re.compile(r"layers?\s*([0-9]{1,2})\s*(?:to|through|-|–|—|\.\.)\s*(?:layer\s*)?[0-9]{1,2}", re.I)
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
RUN = re.compile(rf"(?<![\w.~-]){NUMBER}(?:(?:[ \t]*[,;](?:[ \t]*\n)?[ \t]*|[ \t]+|-){NUMBER})*(?![\w~]|\.[0-9])")
ARCH_STRING = re.compile(r"\|\s*[\w-]+~[0-9]+(?:[\s|+]+[\w-]+~[0-9]+)*\s*\|?")
ITEM = re.compile(r"[\w.+…~-]+")
COMMENT = re.compile(r"(?:#|//)[^\n]*|/\*[^*]*\*/")
TO_LINK = re.compile(r"[\s*`\"',;]*(?:to|with|by|into|→|->|=>|becomes)[\s*`\"':]*", re.I)


@dataclass(frozen=True)
class Fragment:
    """A list of items found at `text[start:end]`; `form` is "list", "run" (without brackets), "arch" or "json"."""

    start: int
    end: int
    items: tuple[str, ...]
    form: str
    problem: Rejection | None = None


def read_items(
    items: tuple[str, ...], space: SearchSpace, positions: tuple[int, ...] | None = None
) -> Architecture | Rejection:
    """Return the option indices that `items` name at `positions` (default: all), or why they name none."""
    where = tuple(range(space.length)) if positions is None else positions
    if len(items) == 1 and len(items[0]) > 1 and re.fullmatch("[0-9]+", items[0]) and len(where) > 1:
        items = tuple(items[0][: space.length + 100]) if len(items[0]) <= space.length + 100 else items
    if any(item in PLACEHOLDERS or item.endswith("...") for item in items):
        return Rejection(
            "placeholder",
            f"The list is abbreviated with dots. Write out all {space.length} values of your own design.",
        )
    if len(items) != len(where):
        what = f"the {len(where)} positions {space.positions[where[0]]} to {space.positions[where[-1]]}"
        came = f"{len(items)} value{'s' * (len(items) != 1)} came"
        return Rejection("wrong length", f"{came} for {what}. Give exactly {len(where)} values.")
    digits = {str(index + space.key_offset): index for index in range(len(space.options))}
    if space.family == "channels" and all(item in digits for item in items):
        return tuple(digits[item] for item in items)
    found = []
    for item, position in zip(items, where, strict=True):
        menu = _menu(space, position)
        index = menu.get(item.lower() if space.family == "cell" else item)
        if index is None:
            return _off_menu(item, position, space)
        found.append(index)
    return tuple(found)


def _menu(space: SearchSpace, position: int) -> dict[str, int]:
    menu = {str(option): index for index, option in enumerate(space.choices[position])}
    if space.family == "cell":
        menu |= {str(index): index for index in range(len(space.options))}
    return menu


def _off_menu(item: str, position: int, space: SearchSpace) -> Rejection:
    shown = item if len(item) <= SHOWN_CHARACTERS else item[:SHOWN_CHARACTERS] + "…"
    names = [str(option) for option in space.choices[position]]
    menu = ", ".join(f"{i} ({name})" for i, name in enumerate(names)) if space.family == "cell" else ", ".join(names)
    return Rejection(
        "off-menu", f"The value {shown} at {space.positions[position]} (position {position}) is not one of {menu}."
    )


def find_fragments(text: str, space: SearchSpace) -> list[Fragment]:
    """Return every list, run of digits, arch string and JSON design of `text`, in order, without overlaps."""
    lists, objects = _scan_brackets(text, space)
    answers = [fragment for start, end in objects for fragment in _read_object(text, start, end, space)]
    covered = {(answer.start, answer.end) for answer in answers}
    lists = [found for found in _outside(lists, sorted(covered)) if len(found.items) > 1 or found.problem]
    lists += answers
    strings: list[Fragment] = []
    if space.family == "cell":
        masked = _mask(text, lists)
        strings = [_arch_fragment(match, space) for match in ARCH_STRING.finditer(masked)]
        masked = _mask(masked, strings)
        strings += [
            Fragment(match.start(), match.end(), _split(match.group()), "run")
            for match in _name_run(space.options).finditer(masked)
        ]
    masked = _mask(text, lists + strings)
    runs = [Fragment(match.start(), match.end(), _split(match.group()), "run") for match in RUN.finditer(masked)]
    sizes = {
        size for stage in space.stages for size in range(max(2, len(stage) // 2), len(stage) + len(stage) // 2 + 1)
    }
    runs = [run for run in runs if is_near(run, space) or len(run.items) in sizes]
    return sorted(lists + strings + runs, key=lambda fragment: fragment.start)


@lru_cache(maxsize=16)
def _name_run(operations: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds operation names in a row, without brackets."""
    name = rf"[`\"']?(?:{'|'.join(operations)})[`\"']?"
    return re.compile(rf"(?<!\w){name}(?:[ \t]*[,;](?:[ \t]*\n)?[ \t]*{name})+(?!\w)", re.I)


def is_near(fragment: Fragment, space: SearchSpace) -> bool:
    """Return whether a list, or one run of digits, is about as long as a design of `space`."""
    count = len(fragment.items) if len(fragment.items) > 1 else len(fragment.items[0])
    return abs(count - space.length) <= max(1, space.length // 3)


def _outside(fragments: list[Fragment], spans: list[tuple[int, int]]) -> list[Fragment]:
    kept, position = [], 0
    for fragment in sorted(fragments, key=lambda fragment: fragment.start):
        while position < len(spans) and spans[position][1] <= fragment.start:
            position += 1
        if position == len(spans) or fragment.start < spans[position][0]:
            kept.append(fragment)
    return kept


def _mask(text: str, fragments: list[Fragment]) -> str:
    pieces, position = [], 0
    for fragment in sorted(fragments, key=lambda fragment: fragment.start):
        if fragment.start >= position:
            pieces += [text[position : fragment.start], "\0" * (fragment.end - fragment.start)]
            position = fragment.end
    return "".join([*pieces, text[position:]])


def _arch_fragment(match: re.Match[str], space: SearchSpace) -> Fragment:
    found = re.findall(r"([\w-]+)~([0-9]+)", match.group())
    names = tuple(name.lower() for name, _ in found)
    problem = None
    sources = tuple(source for _, source in found)
    if len(names) == space.length and sources != ("0", "0", "1", "0", "1", "2"):
        expected = space.encode(space.all_largest)
        problem = Rejection("malformed", f"The arch string does not have the form {expected}.")
    return Fragment(match.start(), match.end(), names, "arch", problem)


def _scan_brackets(text: str, space: SearchSpace) -> tuple[list[Fragment], list[tuple[int, int]]]:
    """Return the bracketed lists and the spans of the outermost {...}; linear, tolerant of stray brackets."""
    pairs = {"]": "[", ")": "(", "}": "{"}
    stack: list[tuple[str, int, list[Fragment], list[bool]]] = []
    lists: list[Fragment] = []
    objects: list[tuple[int, int]] = []
    braces = 0
    for match in re.finditer(r"[\[\](){}]", text):
        bracket, position = match.group(), match.start()
        if bracket in "[({":
            for entry in stack[-1:]:
                entry[3].append(True)
            stack.append((bracket, position, [], []))
            braces += bracket == "{"
            continue
        while bracket != ")" and stack and stack[-1][0] == "(":
            stack.pop()
        if not stack or stack[-1][0] != pairs[bracket]:
            continue
        _, start, children, nested = stack.pop()
        braces -= bracket == "}"
        if bracket == "}" and braces == 0:
            objects.append((start, position + 1))
        fragment = _bracketed(text, start, position + 1, children, bool(nested), space)
        if fragment:
            if fragment.form == "nested":
                del lists[len(lists) - len(children) :]
            fragment = replace(fragment, form="list")
            lists.append(fragment)
            for entry in stack[-1:]:
                entry[2].append(fragment)
    return lists, objects


def _bracketed(
    text: str, start: int, end: int, children: list[Fragment], nested: bool, space: SearchSpace
) -> Fragment | None:
    if nested and end - start > LONGEST_NEST:
        return None
    inner = text[start + 1 : end - 1]
    if nested:
        total = sum(len(child.items) for child in children)
        if not children or total > 8 * space.length or any(len(child.items) == space.length for child in children):
            return None
        shifted = [replace(child, start=child.start - start - 1, end=child.end - start - 1) for child in children]
        if COMMENT.sub("", _mask(inner, shifted)).strip(" \t\n,;\0"):
            return None
        return Fragment(start, end, tuple(item for child in children for item in child.items), "nested")
    items = _split(COMMENT.sub("", inner))
    names = space.options if space.family == "cell" else OPERATIONS
    if not items or not all(ITEM.fullmatch(item) for item in items[:200]):
        return None
    if not any(re.match(r"[-+.]?[0-9]|…|\.\.", item) or item.lower() in names for item in items[:200]):
        return None
    if text[start] != "[" and not all(re.match("[-+]?[0-9]", item) or item.lower() in names for item in items[:200]):
        return None  # a remark in parentheses
    if len(items) == 1 and ((start and re.match(r"\w", text[start - 1])) or text[start] != "["):
        return None  # an index like flops[0], or a remark in parentheses
    problem = None
    if re.match(r"\s*(?:\*\s*[0-9]|\+\s*\[)", text[end : end + 20]):
        problem = Rejection("malformed", "The list is part of an expression. Write out every value in one list.")
    return Fragment(start, end, items, "list", problem)


def _split(text: str) -> tuple[str, ...]:
    pieces = re.split("[,;]", text) if "," in text or ";" in text else text.split()
    if len(pieces) == 1 and re.fullmatch(r"[0-9]+(?:-[0-9]+)+", text.strip()):
        pieces = text.strip().split("-")
    stripped = [piece.strip(" \t\r\n`\"'*") for piece in pieces]
    return tuple(stripped[:-1] if len(stripped) > 1 and not stripped[-1] else stripped) if any(stripped) else ()


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its keys in order, repeated ones too."""


def _read_object(text: str, start: int, end: int, space: SearchSpace) -> Iterator[Fragment]:
    """Yield the designs of the JSON object at text[start:end]; nothing where it is not JSON."""
    try:
        content = json.loads(
            text[start:end], object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str
        )
        found = list(_walk(content, space))
    except (ValueError, RecursionError):
        return
    if len(set(found)) > 1 and not any(problem for _, problem in found):
        problem = Rejection("ambiguous", "The JSON object holds different designs. Give one.")
        yield Fragment(start, end, found[0][0], "json", problem)
    elif found:
        refused = [one for one in found if one[1]]
        yield Fragment(start, end, *(refused or found)[0][:1], "json", (refused or found)[0][1])


def _walk(content: object, space: SearchSpace) -> Iterator[tuple[tuple[str, ...], Rejection | None]]:
    if not isinstance(content, _Pairs):
        for element in content if isinstance(content, list) else []:
            yield from _walk(element, space)
        return
    keys = [re.sub(r"[^a-z0-9]", "", key.lower()) for key, _ in content]
    wanted = [key for key in keys if DESIGN_KEYS.fullmatch(key) or re.fullmatch("stage[0-9]", key)]
    if len(set(wanted)) != len(wanted):
        yield (), Rejection("duplicate key", "A key of the JSON object is repeated. Give each key once.")
        return
    stages = {
        key: _flat(value) for key, (_, value) in zip(keys, content, strict=True) if re.fullmatch("stage[0-9]", key)
    }
    direct = [_flat(value) for key, (_, value) in zip(keys, content, strict=True) if _is_design(key, value, space)]
    if stages:
        yield _join_stages(stages, space)
    yield from ((items, None) for items in direct)
    if not stages and not direct:
        for _, value in content:
            yield from _walk(value, space)


def _is_design(key: str, value: object, space: SearchSpace) -> bool:
    if not DESIGN_KEYS.fullmatch(key) or isinstance(value, _Pairs):
        return False
    if isinstance(value, list):
        return not any(isinstance(element, _Pairs) for element in value)
    items = _flat(value)
    return len(items) == space.length or (len(items) == 1 and bool(re.fullmatch("[0-9]+", items[0])))


def _join_stages(stages: dict[str, tuple[str, ...]], space: SearchSpace) -> tuple[tuple[str, ...], Rejection | None]:
    names = [f"stage{number}" for number in range(1, len(space.stages) + 1)]
    if sorted(stages) != names:
        missing = ", ".join(name for name in names if name not in stages) or "none"
        return (), Rejection("incomplete", f"The keys must be {', '.join(names)}; missing: {missing}.")
    for name, stage in zip(names, space.stages, strict=True):
        outcome = read_items(stages[name], space, stage)
        if isinstance(outcome, Rejection):
            return (), outcome
    return tuple(item for name in names for item in stages[name]), None


def _flat(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and not isinstance(value, _Pairs):
        return tuple(
            item for element in value for item in (_flat(element) if isinstance(element, list) else (_text(element),))
        )
    text = _text(value).strip()
    if "~" in text:
        return tuple(re.findall(r"([\w-]+)~[0-9]", text))
    return _split(text.strip("[]()"))


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value)[:SHOWN_CHARACTERS]
