"""How figures are drawn: one colour, marker and line per method, axes outside pyplot, bands, legends, rank axes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from genius_kit.paper import paper_label
from genius_kit.proposers.methods import PRIOR, REPLAYED, STAND_IN, plain_name


class Style(NamedTuple):
    """How one method is drawn."""

    colour: str
    marker: str
    line: Any


# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY, OLIVE = "#777777", "#8a6d00"
INDIGO, WINE = "#332288", "#882255"  # Tol, "Colour schemes" (2021), for what meets eight others
DASHES, DASH_DOTS = (0, (5, 1)), (0, (3, 1, 1, 1))
STYLES = {
    paper_label(0): Style(BLACK, "o", "-"),
    paper_label(1): Style(PURPLE, "P", DASHES),
    STAND_IN: Style(VERMILION, "D", "-"),
    REPLAYED: Style(BLUE, "X", "-"),
    "random": Style(SKY, "^", ":"),
    PRIOR: Style(ORANGE, "v", "-."),
    "coordinate descent": Style(GREEN, "s", "--"),
    "evolution": Style(ORANGE, "<", DASH_DOTS),
    "local search": Style(OLIVE, "d", ":"),
    "TPE": Style(INDIGO, "p", DASHES),
    "linear model": Style(BLUE, "*", "-."),
    "Gaussian process, one-hot": Style(GREY, "h", (0, (1, 1))),
    "Gaussian process": Style(WINE, ">", "-"),
    "llm": Style(VERMILION, "D", "-"),
    "no feedback": Style(BLUE, "X", "--"),
    "shuffled feedback": Style(INDIGO, "v", DASHES),
    "permuted labels": Style(PURPLE, "p", DASH_DOTS),
    "anonymous": Style(GREY, "P", "-."),
    "relabelled scores": Style(ORANGE, "h", (0, (1, 1))),
    "knowledge probe": Style(OLIVE, "*", (0, (5, 5))),
    "llm+Gaussian process": Style(BLUE, "H", DASHES),
    "llm+TPE": Style(INDIGO, "H", DASH_DOTS),
    "llm+coordinate descent": Style(GREEN, "H", ":"),
    "llm+local search": Style(OLIVE, "H", (0, (1, 1))),
    "coordinate descent from its first": Style(GREEN, "X", ":"),
    "local search from its first": Style(OLIVE, "P", (0, (1, 1))),
    "TPE from its first": Style(INDIGO, "8", DASH_DOTS),
    "Gaussian process from its first": Style(WINE, "H", DASHES),
    "llm mutation": Style(GREEN, ">", DASH_DOTS),
    "Gaussian process filtered llm": Style(PURPLE, "8", (0, (1, 1))),
    "nsga2": Style(GREEN, "p", DASHES),
    "parego": Style(BLUE, "s", (0, (5, 5))),
    "GENIUS": Style(BLACK, "o", "-"),
    "other methods of table 2": Style(GREY, "s", ":"),
    "search of GENIUS-329": Style(BLUE, "o", "-"),
    "search of GENIUS-401": Style(PURPLE, "D", "--"),
}
_SPARE = tuple(
    Style(colour, marker, line)
    for colour, marker, line in zip(
        (BLUE, GREEN, PURPLE, ORANGE, OLIVE, SKY, WINE, INDIGO),
        ("*", ">", "d", "<", "H", "p", "8", "h"),
        ("-", "-.", "--", ":", DASHES, DASH_DOTS, (0, (5, 5)), (0, (1, 1))),
        strict=True,
    )
)
SETTINGS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # TrueType: text stays text, as the venues ask
    "svg.hashsalt": "genius-kit",  # the same names inside the file every time
    "savefig.dpi": 200,
}


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return the style of each method: the known ones always the same, another one by its name.

    An arm of the stand-in looks as the same arm of a language model does. Two unknown methods whose names come to the
    same style are told apart where they meet, in the order of their names.
    """
    found, taken = dict(STYLES), {STYLES[name] for name in methods if name in STYLES}
    for name in sorted(set(methods) - set(STYLES)):
        same = STYLES.get(plain_name(name))
        found[name] = same if same is not None and same not in taken else _spare(name, taken)
        taken.add(found[name])
    return found


def _spare(name: str, taken: Iterable[Style]) -> Style:
    """Return the style that a name comes to by its hash, or the next one that is not taken."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(_SPARE)
    ordered = [*_SPARE[start:], *_SPARE[:start]]
    return next((style for style in ordered if style not in taken), ordered[0])


def marks(style: Style) -> dict[str, Any]:
    """Return the line arguments of matplotlib for one style."""
    return {"color": style.colour, "marker": style.marker, "linestyle": style.line}
