"""Replies whose meaning is known because they were written down from it, chosen by a string of bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from genius_kit.spaces import Architecture, SearchSpace

Item = TypeVar("Item")

FORMS = ("list", "bare", "json", "fenced", "key", "own", "stages", "rows", "quoted")
STATEMENTS = ("Final answer: {}", "**Final answer:**\n{}", "My final design is:\n\n{}", "The architecture is: {}")
LOOSE = ("{}", "I propose {} because it is wider.", "Next I would try:\n{}", "Let us go with {} now.", "Design: {}")
OPENINGS = (
    "",
    "",
    "Let me weigh depth against width.\n\n",
    "The early layers matter most here.\n",
    "Good question!\n\n",
)
EARLIER = (
    "The previous design {} reached 91.2 %.\n\n",
    "The last architecture {} was too small.\n\n",
    "Experiment 3: {} accuracy 92.1\n\n",
    "Instead of {}, something wider is needed.\n\n",
    "<think>I could also take {} here.</think>\n",
    "The best so far is {}.\n\n",
)
CLOSINGS = (
    "",
    "\n",
    "\n\nThis keeps the cost low.",
    "\n\nI expect it to score higher.",
    "\n\nIt differs from {} in the last layers.",
    "\n\nPrevious design: {}",
)
FAULTS = ("short", "long", "off-menu", "dots", "either", "repeated key", "digits", "stages", "rows")
OFF_MENU = (7, 100, -1, "1.0", "true", "²", "conv_5x5", "1e0", 10**20)
EITHER = ("either {} or {}", "{} or {}", "Option A: {}\nOption B: {}", "1. {}\n2. {}", "{}, alternatively {}")


class Choices:
    """Decisions taken from bytes, the first ones first; when they are used up, always the first option."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, below: int) -> int:
        """Return a number from 0 to `below` - 1."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1] % below

    def pick(self, options: Sequence[Item]) -> Item:
        """Return one of `options`."""
        return options[self.number(len(options))]

    def architecture(self, space: SearchSpace) -> Architecture:
        """Return an architecture of `space`."""
        return tuple(self.number(len(options)) for options in space.choices)


@dataclass(frozen=True)
class Meant:
    """What a written reply means: `design`, or a refusal where it is None; with `loose` a refusal is right as well."""

    design: Architecture | None
    loose: bool = False


def write_reply(choices: Choices, space: SearchSpace) -> tuple[str, Meant]:
    """Return a reply and what it means: an answer, sound or with a fault, among words and earlier architectures."""
    answer, other = choices.architecture(space), choices.architecture(space)
    form, fault = choices.pick(FORMS), choices.pick(("", "", *FAULTS))
    marked = choices.number(2) == 0
    statement = choices.pick(STATEMENTS if marked else LOOSE)
    opening = choices.pick(OPENINGS)
    earlier = choices.pick(("", *EARLIER)).replace("{}", str(list(_printed(space, other))))
    closing = choices.pick(CLOSINGS).replace("{}", str(list(_printed(space, other))))
    written = _faulty(choices, space, answer, fault) if fault else _write(space, _printed(space, answer), form)
    if "\n" in written and not statement.endswith(("\n{}", ": {}")):
        statement = "Final answer:\n{}"
    text = opening + earlier + statement.replace("{}", written) + closing
    loose = not marked or form in ("bare", "key", "own") or answer == other
    return text, Meant(None if fault else answer, loose and not fault)


def _printed(space: SearchSpace, architecture: Architecture) -> list[int | str]:
    values = [space.choices[position][value] for position, value in enumerate(architecture)]
    return list(architecture) if space.family == "cell" else list(values)


def _write(space: SearchSpace, values: Sequence[Any], form: str) -> str:
    """Return an architecture in one form, as a plain list where the space has no such form."""
    listed = ", ".join(map(str, values))
    if form == "bare":
        return listed
    if form in ("json", "fenced"):
        text = json.dumps({"architecture": values})
        return f"```json\n{text}\n```" if form == "fenced" else text
    if form == "quoted":
        return "[" + ", ".join(f'"{value}"' for value in values) + "]"
    indices = [
        options.index(value) if value in options else value
        for options, value in zip(space.choices, values, strict=True)
    ]
    if form == "key":
        return f"`{space.key(indices)}`"
    if form == "own":
        return space.encode(indices)
    if form == "stages" and space.family == "stages":
        return "\n".join(
            f"Stage {number} (Layer {stage[0] + 2} to Layer {stage[-1] + 2}): {[values[i] for i in stage]}"
            for number, stage in enumerate(space.stages, start=1)
        )
    if form == "rows" and space.family in ("layers", "stages"):
        return "\n".join(f"# Stage {n}\n{[values[i] for i in stage]}" for n, stage in enumerate(space.stages, start=1))
    return f"[{listed}]"


def _faulty(choices: Choices, space: SearchSpace, answer: Architecture, fault: str) -> str:
    """Return an architecture that cannot be used, or two of which none is preferred."""
    values: list[Any] = _printed(space, answer)
    place = choices.number(len(values))
    second = (*answer[:place], (answer[place] + 1) % len(space.choices[place]), *answer[place + 1 :])
    if fault == "repeated key":
        return f'{{"architecture": {values}, "architecture": {_printed(space, second)}}}'
    if fault == "either":
        return choices.pick(EITHER).format(values, _printed(space, second))
    if fault == "digits":
        digits = space.key(answer)
        return choices.pick(("{}", "`{}`")).format(digits[:place] + choices.pick(("", "9")) + digits[place + 1 :])
    values[place] = choices.pick(OFF_MENU) if fault == "off-menu" else "..." if fault == "dots" else values[place]
    if fault in ("stages", "rows") and space.family in ("layers", "stages"):
        return _faulty_stages(choices, space, values, fault)
    if fault == "long":
        values.insert(place, values[place])
    elif fault != "off-menu" and fault != "dots":
        del values[place]
    listed = ", ".join(map(str, values))
    return choices.pick(("[{}]", '{{"architecture": [{}]}}', "```\n[{}]\n```")).format(listed)


def _faulty_stages(choices: Choices, space: SearchSpace, values: list[Any], fault: str) -> str:
    """Return an architecture in stages of which one is missing, off the menu, too long or abbreviated."""
    lines = []
    wrong, kind = choices.number(len(space.stages)), choices.number(4)
    for number, stage in enumerate(space.stages):
        content: list[Any] = [values[position] for position in stage]
        if number == wrong and kind == 0:
            continue
        if number == wrong:
            content = [[9, *content[1:]], [*content, content[0]], [content[0], "..."]][kind - 1]
        label = "# Stage {}\n" if fault == "rows" else "Stage {}: "
        lines.append(label.format(number + 1) + "[" + ", ".join(map(str, content)) + "]")
    return "\n".join(lines)
