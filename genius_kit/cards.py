"""How results look where a notebook or a prompt shows them: one short line, and a small table in a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

LONGEST = 160
"""Characters of a value in a line; a card has SENTENCE."""

SENTENCE = 2_000


class Card:
    """Shows an object by its `facts`, by name. Values may be text from outside, so they are escaped."""

    def facts(self) -> Mapping[str, object]:
        """Return what is shown; the name of the class stands above."""
        raise NotImplementedError

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {cut(value, LONGEST)}" for name, value in self.facts().items())
        return cut(f"{type(self).__name__}({told})", 200 + LONGEST // 4)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left;white-space:normal;max-width:60em">{escape(cut(value, SENTENCE))}</td></tr>'
            for name, value in self.facts().items()
        )
        return f'<table><caption style="text-align:left">{escape(type(self).__name__)}</caption>{rows}</table>'


class Judged(Card):
    """A verdict of any instrument, shown by its kind and its sentence; its evidence is a frame of its own."""

    kind: str
    sentence: str

    def facts(self) -> Mapping[str, object]:
        """Return the kind and the sentence."""
        return {"kind": self.kind, "sentence": self.sentence}


def cut(value: object, length: int) -> str:
    """Return a value as one line of at most `length` printable characters, with an ellipsis where it is longer."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
