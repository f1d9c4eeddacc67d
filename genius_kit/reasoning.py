"""What of a reply is the answer and what is reasoning, in prose or in the form that was asked for."""

from __future__ import annotations

import json
import re
from html import unescape
from itertools import compress
from typing import Any
from unicodedata import normalize

REASONING, ANSWER = "reasoning", "architecture"
"""The fields of a reply in the form, in their order: the model may think before it proposes."""

# Marks of reasoning: an opening, a closing, and what ends a channel. Marks of the harmony format may come without "<|".
_THOUGHT = r"(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad)"
_OPENS = (
    rf"[<\[◁][|｜]?(?:begin[_▁]of[_▁]|start[_▁])?{_THOUGHT}(?:[_▁](?:begin|start))?(?:\s[^<>\n]{{0,80}})?[|｜]?[>\]▷]"
)
_OPENS += r"|<\|channel\|?>\s*(?:analysis|commentary|thought)|<unused94>|\A\s*analysis(?-i:(?=[A-Z]))"
_CLOSES = rf"[<\[◁][|｜]?(?:(?:/|end[_▁]of[_▁]|end[_▁]){_THOUGHT}\s?|{_THOUGHT}[_▁]end)[|｜]?[>\]▷]"
_CLOSES += r"|<channel\|>|<unused95>"
_CLOSES += r"|<\|channel\|>\s*final(?:[^<\n]{0,20}<\|constrain\|>\w+)?\s*<\|message\|>|assistantfinal"
_MARKS = re.compile(rf"(?P<close>{_CLOSES})|(?P<open>{_OPENS})|<\|(?:end|return|call|start)\|>", re.I)
_NOISE = re.compile(  # characters without width, LaTeX, escapes, text struck out, tags
    "(?<=[ \t]{8})[ \t]+|"
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\u20e3\ufeff]|~~[^~\n]*~~"
    r"|(?m:^)-(?P<line>[ \t]*\w+)\b[^\n]*\n(?=\+(?P=line)\b)"  # a line that a diff takes out
    r"|\[\^\w{1,8}\]"  # the mark of a footnote
    r"|\\(?:left|right|q?quad|text\w*|math\w+)(?![a-z])|\\[,;:!]|\\"
    r"|</?(?:answer|response|output|b|strong|s|i|em|u|p|code|pre|span|div)(?:\s[^<>\n]{0,80})?>"
    r"|<\|start_header_id\|>\w+<\|end_header_id\|>|<[|｜][\w▁]+[|｜]>|<(?:end|start)_of_turn>|<!--[^<>]{0,500}-->"
)
_ESCAPED = re.compile(r"&(?:#x?[0-9a-f]{1,5}|[a-z]{2,8});|<br ?/?>", re.I)  # each stands for one character
_PLAIN = str.maketrans(
    {chr(code): normalize("NFKC", chr(code)) for code in [*range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D800)]}
    | dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " ")
    | dict(zip("、−‒–—‐‑“”„‘’«»【】⟨⟩〈〉〔〕×👉", ',------"""\'\'""[][][][]x:', strict=True))
)


def without_reasoning(text: str) -> str:
    """Return `text` without what stands between marks of reasoning; a mark without its partner reaches to the end.

    A text without such marks comes back as it is.
    """
    spans = _reasoning(text)
    return "".join(compress(text, _kept(text, spans))).strip() if spans else text


def cleaned(text: str) -> tuple[str, list[int]]:
    """Return `text` without reasoning and escapes, in plain characters, and the place of each character in `text`."""
    text = _ESCAPED.sub(_as_long, text)
    kept = _kept(text, [*_reasoning(text), *(match.span() for match in _NOISE.finditer(text))])
    return "".join(compress(text, kept)).translate(_PLAIN), list(compress(range(len(text)), kept))


def _as_long(escaped: re.Match[str]) -> str:
    """Return the character that an escape stands for, made as long as the escape by characters without width."""
    return ("\n" if escaped[0][0] == "<" else unescape(escaped[0])).ljust(len(escaped[0]), "\u200b")


def _reasoning(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = -1
    for mark in _MARKS.finditer(text):
        if mark["open"]:
            start = mark.start() if start < 0 else start
        elif start >= 0:
            spans.append((start, mark.end()))
            start = -1
        else:
            spans = [(0, mark.end())] if mark["close"] else [*spans, mark.span()]
    return [*spans, (start, len(text))] if start >= 0 else spans


def _kept(text: str, spans: list[tuple[int, int]]) -> bytearray:
    kept = bytearray(b"\1") * len(text)
    for start, end in spans:
        kept[start:end] = bytes(end - start)
    return kept


def read_form(text: str | None) -> dict[str, Any] | None:
    """Return the fields of a reply that is in the form and nothing else, None for any other."""
    try:
        fields = json.loads(text or "", object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or ANSWER not in fields or not set(fields) <= {REASONING, ANSWER}:
        return None
    return fields if isinstance(fields.get(REASONING, ""), str) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field came twice")
    return fields


def answer_of(text: str) -> str:
    """Return a reply without the reasoning in it where it is in the form: nothing that is said there is an answer."""
    fields = read_form(text)
    return text if fields is None else json.dumps({ANSWER: fields[ANSWER]})


def rationale_of(text: str) -> str:
    """Return the words of a reply: its reasoning where it is in the form, else all of it."""
    return str((read_form(text) or {}).get(REASONING, text))
