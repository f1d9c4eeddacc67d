"""The picture of the layers: `python -m tests.layers_picture` writes docs/architecture.svg from the code.

Its rows are the layers of the import-linter contract in pyproject.toml, each room with the first sentence of what it
says of itself; its arrows are imports. An arrow that follows from others is left out: where `runs` imports `llm` and
`llm` imports `spaces`, none leads from `runs` to `spaces`. An exception of the contract is a dashed arrow upwards.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

import grimp
import networkx

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
PACKAGE = "genius_kit"

WIDTH, ROW, TOP, NAME, WORDS, ARROWS = 860, 28, 34, 16, 142, 724
"""Pixels: of the picture, of a row, above the first; where names, words and arrows begin."""


def layers() -> list[list[str]]:
    """Return the rooms of each layer of the contract, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [contract] = [one for one in contracts if one["type"] == "layers"]
    return [[name.strip() for name in re.split("[:|]", layer)] for layer in contract["layers"]]


def imports(rooms: list[str]) -> set[tuple[str, str]]:
    """Return (room, room that it imports) for each two of `rooms`, imports for typing included."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    home = {name: room for room in rooms for name in (room, *graph.find_descendants(room))}
    edges = ((name, other) for name in home for other in graph.find_modules_directly_imported_by(name))
    return {(home[name], home[other]) for name, other in edges if home.get(other, home[name]) != home[name]}


def arrows(stack: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield the imports that do not follow from others, and all that lead upwards."""
    depth = {room: place for place, layer in enumerate(stack) for room in layer}
    found = imports([*depth])
    down = networkx.DiGraph((one, other) for one, other in found if depth[one] < depth[other])
    yield from sorted(networkx.transitive_reduction(down).edges)
    yield from sorted((one, other) for one, other in found if depth[one] > depth[other])


def words(room: str) -> str:
    """Return the first sentence of what a room says of itself."""
    path = ROOT.joinpath(*room.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = " ".join((ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split()).replace("`", "")
    return re.split(r"(?<=[a-z])\.(?: |$)", text)[0]


def drawing() -> str:
    """Return the picture as SVG."""
    stack = layers()
    places = {room: place for place, room in enumerate(room for layer in stack for room in layer)}
    middle = {room: TOP + ROW * place + ROW // 2 for room, place in places.items()}
    height = TOP + ROW * len(places) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        "<title>The layers of genius_kit and what they import</title>",
        '<defs><marker id="end" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0 6 3 0 6z" fill="#456"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{NAME}" y="22" fill="#456">A layer imports those below it, never above; what follows from other '
        "arrows is left out.</text>",
    ]
    for place, layer in enumerate(stack):
        first = middle[layer[0]] - ROW // 2
        fill = "#eef3f8" if place % 2 else "#e0e9f2"
        parts.append(f'<rect x="6" y="{first}" width="{ARROWS - 12}" height="{ROW * len(layer)}" fill="{fill}"/>')
    for room in places:
        line = middle[room] + 5
        parts.append(f'<text x="{NAME}" y="{line}" font-weight="bold">{room.removeprefix(f"{PACKAGE}.")}</text>')
        parts.append(f'<text x="{WORDS}" y="{line}" fill="#333">{escape(_short(words(room)))}</text>')
    parts += [_arrow(middle[one], middle[other]) for one, other in arrows(stack)]
    return "\n".join([*parts, "</svg>", ""])


def _short(text: str, most: int = 84) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0].rstrip(',')} ..."


def _arrow(start: int, end: int) -> str:
    """Return a bow from one row to another, the wider the further apart they are."""
    out, dash = ARROWS + 12 + abs(end - start) // 3, ' stroke-dasharray="4 3"' if end < start else ""
    begin, finish = (start + 4, end - 4) if end > start else (start - 4, end + 4)
    bow = f"M{ARROWS} {begin}C{out} {begin} {out} {finish} {ARROWS} {finish}"
    return f'<path d="{bow}" fill="none" stroke="#456" stroke-width="1.2" marker-end="url(#end)"{dash}/>'


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
