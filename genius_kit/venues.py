"""Sizes of figures for common venues: the widths of a column and of the page, from the venues' own style files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.errors import UnknownName
from genius_kit.folding import fold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPANS = ("column", "page")
SMALLEST_TEXT = 6.0
"""Points: what stays readable in print."""

POINTS_PER_INCH = 72.27  # TeX's points


@dataclass(frozen=True)
class Venue:
    """Widths in inches; a venue of one column has the same for both. `source` says where they stand."""

    name: str
    column: float
    page: float
    source: str

    def width(self, span: str) -> float:
        """Return the width of a figure that spans a "column" or the "page"; raises UnknownName."""
        if span not in SPANS:
            raise UnknownName(f"a figure spans a column or the page, not {span!r}; give one of {', '.join(SPANS)}")
        return self.column if span == "column" else self.page


VENUES = {
    "neurips": Venue("NeurIPS", 5.5, 5.5, "neurips_2023.sty: textwidth 5.5in, one column"),
    "iclr": Venue("ICLR", 5.5, 5.5, "iclr2024_conference.sty: textwidth 5.5in, one column"),
    "icml": Venue("ICML", 3.25, 6.75, "icml2025.sty: textwidth 6.75in, columnsep 0.25in"),
    "cvpr": Venue("CVPR", 3.28125, 6.875, "cvpr.sty: textwidth 6.875in, columnsep 0.3125in"),
    "ieee": Venue(
        "IEEE", 21 * 12 / POINTS_PER_INCH, 43 * 12 / POINTS_PER_INCH, "IEEEtran.cls: textwidth 43pc, columnsep 1pc"
    ),
}


def load_venue(name: str) -> Venue:
    """Return a venue by its name; raises UnknownName, which lists them."""
    if name.lower() not in VENUES:
        raise UnknownName(f"there is no venue {name!r} here; there are {', '.join(VENUES)}")
    return VENUES[name.lower()]


def fit(figure: Figure, venue: str, span: str | None = None) -> Figure:
    """Resize a figure to a venue's width, its text and lines with it as far as they stay readable, and return it.

    `span` is "column" or "page"; by default a figure of more than two panels beside one another takes the page. Never
    smaller text than 6 points, and legends are folded until they are no wider than the figure.
    """
    place = load_venue(venue)
    places = [axes.get_subplotspec() for axes in figure.axes]
    columns = max((spec.get_gridspec().ncols for spec in places if spec is not None), default=1)
    width = place.width(span or ("page" if columns > 2 else "column"))
    old_width, old_height = figure.get_size_inches()
    factor = width / old_width
    height = old_height * (factor if factor >= 1 else factor**0.6)  # text does not shrink as far, so it needs the room
    figure.set_size_inches(width, height)
    _scale(figure, min(1.0, factor**0.5))
    fold(figure)
    return figure


def _scale(figure: Any, factor: float) -> None:
    """Make text, markers and lines smaller by a factor, text to `SMALLEST_TEXT` at least."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    for axes in figure.axes:
        labels = [axes.xaxis.get_ticklabels()[:1], axes.yaxis.get_ticklabels()[:1]]
        sizes = [max(SMALLEST_TEXT, some[0].get_fontsize() * factor) if some else SMALLEST_TEXT for some in labels]
        axes.tick_params(axis="x", labelsize=sizes[0])
        axes.tick_params(axis="y", labelsize=sizes[1])
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()}
    for text in figure.findobj(Text):
        if text not in ticks:
            text.set_fontsize(max(SMALLEST_TEXT, text.get_fontsize() * factor))
    for line in figure.findobj(Line2D):
        line.set_markersize(line.get_markersize() * factor)
        line.set_linewidth(line.get_linewidth() * factor)
