"""What a verification says, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genius_kit.chat import mapping_or_empty

if TYPE_CHECKING:
    from genius_kit.verify import Verification

SHOWN = 20
"""Findings of a journal that are told; a file that was replaced has as many as lines."""


def verdict(verified: Verification) -> str:
    """Return one sentence: sound, altered (where first), or without a chain."""
    if verified.findings:
        first, more = verified.findings[0], len(verified.findings) - 1
        return f"ALTERED, {first}" + (f" (and {more} more)" if more else "")
    if verified.head is None:
        return "has no chain: it is of format 1, whose lines nothing vouches for"
    return f"sound, {verified.lines} lines, head {verified.head}"


def report(verified: Verification) -> str:
    """Return what was found and what the run was made from, a line each."""
    return "\n".join(_lines(verified))


def _lines(verified: Verification) -> Iterator[str]:
    state = "ALTERED" if verified.findings else "sound" if verified.is_sound else "no chain (format 1)"
    yield f"{verified.path}: {state}"
    for finding in verified.findings[:SHOWN]:
        yield f"  {finding}"
    if len(verified.findings) > SHOWN:
        yield f"  and {len(verified.findings) - SHOWN} more"
    yield _row("head", f"{verified.head or '-'} at line {verified.lines}")
    if verified.after_head is not None:
        later = f", {verified.after_head} lines were written after it" if verified.after_head else ", which ends it"
        yield _row("published", f"the head that was given is in it{later}")
    if verified.head and verified.unchained:
        yield _row("format 1", f"lines 1 to {verified.unchained} have no chain; line {verified.unchained + 1} vouches")
    yield _row("run", f"finished ({verified.reason})" if verified.is_finished else "unfinished: it resumes")
    yield from _made_from(verified)
    if verified.unanswered:
        lines = ", ".join(map(str, verified.unanswered))
        yield _row("unanswered", f"calls of lines {lines}: sent, no answer on record; they may have been paid twice")
    if verified.withheld:
        yield _row("withheld", f"words of {', '.join(verified.withheld)} were taken out for publication")


def _made_from(verified: Verification) -> Iterator[str]:
    for name, sum_ in verified.data.items():
        yield _row("data", f"{name}  SHA-256 {sum_}")
    if verified.code:
        yield _row("code", ", ".join(f"{name} {value}" for name, value in verified.code.items()))
    if prompt := mapping_or_empty(verified.settings.get("resolved")).get("prompt_sha256"):
        named = mapping_or_empty(verified.settings.get("settings")).get("prompt")
        yield _row("prompt", f"{named}  SHA-256 {prompt}")
    for model, replies in verified.models.items():
        yield _row("model", f"{model}: {replies} replies")
    if verified.models:
        price = verified.price
        yield _row("price", ", ".join(f"{key} {value}" for key, value in price.items()) if price else "none on record")


def _row(name: str, text: str) -> str:
    return f"  {name:10s} {text}"
