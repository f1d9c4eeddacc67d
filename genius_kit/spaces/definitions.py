"""What a space may be: the fields of a `SearchSpace` completed from a few of them, and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from genius_kit.errors import InvalidParameter

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""The digits of a key, one for each option of a position."""

MOST_POSITIONS = 64
LONGEST_WORDS = 500
"""Characters of the name of a position, of an option in words and of a title."""
LONGEST_TEXT = 100_000
"""Characters of one of the texts that a space brings for its prompts."""

PARTS = ("problem", "operations", "skeleton")
"""The texts that a space may bring for its prompts."""


def completed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a space, with what follows from the others in the place of what was not given.

    Raises InvalidParameter for what makes no space.
    """
    name, choices, words = given["name"], given["choices"], given["words"]
    _check_choices(name, choices)
    _check_kinds(given)
    if not given["options"]:
        words = words or tuple(tuple(str(option) for option in menu) for menu in choices)
        choices = tuple(tuple(range(len(menu))) for menu in choices)
    if words and len(set(words)) == 1:
        given["options"], words = words[0], ()
    longest = max(map(len, choices))
    given |= {"choices": choices, "words": words, "title": given["title"] or name}
    given["options"] = given["options"] or tuple(f"option {option}" for option in range(longest))
    given["positions"] = given["positions"] or tuple(f"position {place + 1}" for place in range(len(choices)))
    given["stages"] = given["stages"] or (tuple(range(len(choices))),)
    if given["largest"] == -1:
        given["largest"] = tuple(len(menu) - 1 for menu in choices) if words else longest - 1
    _check_fields(given)
    return given


def _check_choices(name: Any, choices: Any) -> None:
    """Raise InvalidParameter where the options at the positions are none that can be searched."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InvalidParameter(
            f"a space is called {name!r:.100}; expected letters, digits, dots and dashes, such as my-space"
        )
    if not isinstance(choices, tuple) or not 2 <= len(choices) <= MOST_POSITIONS:
        count = len(choices) if isinstance(choices, tuple) else f"{choices!r:.100} for"
        raise InvalidParameter(f"{name} has {count} positions; expected 2 to {MOST_POSITIONS}, each with its options")
    for place, menu in enumerate(choices, start=1):
        if not isinstance(menu, tuple) or not 1 <= len(menu) <= len(DIGITS):
            count = len(menu) if isinstance(menu, tuple) else f"{menu!r:.100} for"
            raise InvalidParameter(f"position {place} of {name} has {count} options; expected 1 to {len(DIGITS)}")
        if not all(isinstance(option, str | int | float) for option in menu):
            raise InvalidParameter(f"position {place} of {name} has options {menu!r:.200}; expected texts or numbers")


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Raise InvalidParameter for a field of another kind than it has."""
    lists = ("positions", "stages", "options", "words", "texts")
    wrong = [name for name in lists if not isinstance(given[name], tuple)]
    wrong += [name for name in ("stages", "words", "texts") if not all(isinstance(one, tuple) for one in given[name])]
    wrong += [] if isinstance(given["in_stages"], bool) else ["in_stages"]
    width = given["width"]
    wrong += [] if isinstance(width, int | float) and 0 < width < math.inf else ["width"]
    if wrong:
        raise InvalidParameter(f"{wrong[0]} of {given['name']} is {given[wrong[0]]!r:.100}, which is of another kind")


def _check_fields(given: Mapping[str, Any]) -> None:
    """Raise InvalidParameter where the other fields do not go with the options."""
    name, choices, words, options = (given[key] for key in ("name", "choices", "words", "options"))
    largest, stages, positions = given["largest"], given["stages"], given["positions"]
    for what in (given["title"], *positions, *options, *(word for menu in words for word in menu)):
        if not isinstance(what, str) or not what.strip() or len(what) > LONGEST_WORDS or "\n" in what:
            raise InvalidParameter(
                f"{name} has the words {what!r:.100}; expected one line of 1 to {LONGEST_WORDS} characters"
            )
    if len(positions) != len(choices) or len(set(positions)) < len(positions) or any(map(_is_bare, positions)):
        raise InvalidParameter(
            f"the positions of {name} are called {', '.join(positions):.300}; expected {len(choices)} different names, "
            "each with a letter in it"
        )
    for place, menu in enumerate(words if words else (options,)):
        if len(set(menu)) < len(menu) or (words and len(menu) != len(choices[place])):
            raise InvalidParameter(f"{positions[place]} of {name} has the options {menu!r:.200}; each comes once")
    if (words and len(words) != len(choices)) or (not words and {len(menu) for menu in choices} != {len(options)}):
        raise InvalidParameter(f"{name} has not the same number of options in `choices` as in words")
    offset, longest = given["key_offset"], max(map(len, choices))
    if not isinstance(offset, int) or not 0 <= offset <= len(DIGITS) - longest:
        raise InvalidParameter(f"key_offset of {name} is {offset!r:.100}; expected 0 to {len(DIGITS) - longest}")
    ends = largest if isinstance(largest, tuple) else (largest,) * len(choices)
    if len(ends) != len(choices) or not all(
        type(end) is int and 0 <= end < len(menu) for end, menu in zip(ends, choices, strict=False)
    ):
        raise InvalidParameter(f"largest of {name} is {largest!r:.100}; expected an option index of each position")
    if [place for stage in stages for place in stage] != list(range(len(choices))) or not all(stages):
        raise InvalidParameter(f"the stages of {name} are {stages!r:.200}; expected all positions in their order")
    if given["in_stages"] and len({len(stage) for stage in stages}) > 1:
        raise InvalidParameter(f"{name} is written in stages, which then have as many positions each")
    if not all(len(pair) == 2 and pair[0] in PARTS and isinstance(pair[1], str) for pair in given["texts"]):
        raise InvalidParameter(f"the texts of {name} are pairs of one of {', '.join(PARTS)} and a text")
    if any(len(text) > LONGEST_TEXT for _, text in given["texts"]):
        raise InvalidParameter(f"a text of {name} has more than {LONGEST_TEXT:,} characters")


def _is_bare(name: str) -> bool:
    return not re.search(r"[^\W\d]", name)


def tupled(value: Any) -> Any:
    """Return a value with tuples in the place of its lists."""
    return tuple(map(tupled, value)) if isinstance(value, list | tuple) else value


def listed(value: Any) -> Any:
    """Return a value with lists in the place of its tuples."""
    return [listed(one) for one in value] if isinstance(value, tuple) else value
