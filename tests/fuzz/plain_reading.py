"""A second, simple reading of replies, written without the parser's code, to hold the parser against."""

from __future__ import annotations

import json
import re

from genius_kit.spaces import Architecture, SearchSpace

KEYS = ("architecture", "channels", "operations", "answer")
FENCE = re.compile(r"```(?:json)?\n(.*)\n```", re.S)
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+")
COMMENT = re.compile(r"(?:#|//)[^\n]*|/\*[^*]*\*/")
CLOSED = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|$)", re.I | re.S)
FAR = 16  # words that may stand between two values of a stage: labels, units, remarks


def plain_reading(text: str, space: SearchSpace) -> Architecture | str | None:
    """Return what a reply of one plain form means: an architecture, "refused", or None where it has no such form.

    The forms: nothing but a JSON list, a JSON object with the one key of `KEYS`, the space's own string or key, or a
    fenced block of one of them.
    """
    answer = text.strip()
    fenced = FENCE.fullmatch(answer)
    answer = fenced.group(1).strip() if fenced and "`" not in fenced.group(1) else answer
    for architecture in _own_string(answer, space):
        return architecture
    try:
        content = json.loads(answer, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict) and len(content) == 1 and answer.count(":") == 1 and answer.count("{") == 1:
        (key,) = content
        content = content[key] if key in KEYS else None
    if not isinstance(content, list) or len(content) < 2 or not all(_is_scalar(value) for value in content):
        return None
    return _values(content, space)


def _own_string(answer: str, space: SearchSpace) -> list[Architecture]:
    """Return the architecture whose own string or digits `answer` is, in a list, or an empty list."""
    digits = f"[{space.key_offset}-{space.key_offset + len(space.options) - 1}]{{{space.length}}}"
    if re.fullmatch(digits, answer):
        return [tuple(int(digit) - space.key_offset for digit in answer)]
    if space.family == "cell" and (found := re.findall(r"([a-z0-9_]+)~[0-9]", answer)):
        indices = [space.options.index(name) for name in found if name in space.options]
        whole = len(indices) == space.length and space.encode(indices) == answer
        return [tuple(indices)] if whole else []
    return []


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return bool(re.fullmatch(r"[A-Za-z0-9_]+", value))
    return isinstance(value, int) and not isinstance(value, bool)


def _values(values: list[object], space: SearchSpace) -> Architecture | str | None:
    """Return the option indices of a list of numbers or names."""
    if not any(isinstance(value, int) or str(value)[0].isdigit() or value in space.options for value in values):
        return None
    if len(values) != space.length:
        return "refused"
    printed = [str(value).lower() if space.family == "cell" else str(value) for value in values]
    if space.family == "channels" and all(one in ("1", "2", "3", "4") for one in printed):
        return tuple(int(one) - 1 for one in printed)
    found = []
    for one, options in zip(printed, space.choices, strict=True):
        names = [str(option) for option in options]
        if space.family == "cell" and one in ("0", "1", "2", "3", "4"):
            found.append(int(one))
        elif one in names:
            found.append(names.index(one))
        else:
            return "refused"
    return tuple(found)


def is_printed(text: str, space: SearchSpace, architecture: Architecture) -> bool:
    """Return whether `text`, its closed reasoning left out, writes down the values of an architecture in order.

    Each stage's values have to stand in order with few words between them, or all of them as one run of digits.
    """
    answer = CLOSED.sub(" ", text)
    if "\\u" in answer:
        return True  # an escape may hide a digit from this simple reading
    for shown in (answer, COMMENT.sub(" ", answer)):
        words = [word.lower() for word in WORD.findall(shown)]
        if space.key(architecture) in words or _stages_stand(words, space, architecture):
            return True
    return False


def _stages_stand(words: list[str], space: SearchSpace, architecture: Architecture) -> bool:
    """Return whether the values stand there as options (names or channel counts), or all of them as numbers."""
    options = [{str(space.choices[position][value])} for position, value in enumerate(architecture)]
    digits = [{str(value + space.key_offset)} for value in architecture]
    if space.family == "cell":
        options = [name | digit for name, digit in zip(options, digits, strict=True)]
    return any(
        all(_follows(words, [spelling[position] for position in stage]) for stage in space.stages)
        for spelling in (options, digits)
    )


def _follows(words: list[str], wanted: list[set[str]]) -> bool:
    """Return whether words out of each of `wanted` stand in order, each at most FAR words after the one before."""
    reached = [at for at, word in enumerate(words) if word in wanted[0]]
    for options in wanted[1:]:
        reached = [
            at for at, word in enumerate(words) if word in options and any(0 < at - before <= FAR for before in reached)
        ]
    return bool(reached)
