"""The drawings of the lab on a white ground and on JupyterLab's dark one: texts and lines can be told from both."""

import re
import xml.dom.minidom

import pytest

from genius_kit.lab.compare import Paired, paired_svg
from genius_kit.lab.curve import Point, curve_svg
from genius_kit.lab.drawing import drawing_svg
from genius_kit.spaces import SPACES, load_space

GROUNDS = ("#ffffff", "#111111")
NAMED = {"white": "#ffffff", "black": "#000000"}
TEXT, GRAPHICS = 4.5, 3.0  # contrast that WCAG 2.2 asks for


def luminance(colour):
    """Return the relative luminance of a colour, as WCAG defines it."""
    digits = NAMED.get(colour, colour).lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def ground_of(text, nodes):
    """Return the fill of the last shape before a text in which it stands, None for the page itself."""
    x, y, found = float(text.getAttribute("x") or 0), float(text.getAttribute("y") or 0) - 3, None
    for node in nodes:
        at = {name: float(node.getAttribute(name) or 0) for name in ("x", "y", "width", "height", "cx", "cy", "r")}
        if node is text:
            break
        is_rect = node.tagName == "rect" and at["x"] <= x <= at["x"] + at["width"]
        inside = is_rect and at["y"] <= y <= at["y"] + at["height"]
        inside |= node.tagName == "circle" and (x - at["cx"]) ** 2 + (y - at["cy"]) ** 2 <= at["r"] ** 2
        fill = node.getAttribute("fill")
        found = fill if inside and fill not in ("", "none") else found
    return found


def faults(svg):
    """Return what cannot be told from its ground; `currentColor` is the page's own, and is right on it alone."""
    nodes = xml.dom.minidom.parseString(svg).documentElement.getElementsByTagName("*")
    for node in nodes:
        fill, line = node.getAttribute("fill"), node.getAttribute("stroke")
        if node.tagName == "text":
            own = ground_of(node, nodes)
            if own is None and fill not in ("", "currentColor"):
                yield f"a text in {fill} on the page"
            elif own is not None and (fill in ("", "currentColor") or contrast(fill, own) < TEXT):
                yield f"a text in {fill or 'the colour of the page'} on {own}"
        elif line and line != "currentColor" and fill in ("", "none") and not node.getAttribute("stroke-opacity"):
            yield from (f"a line in {line} on {ground}" for ground in GROUNDS if contrast(line, ground) < GRAPHICS)


@pytest.mark.parametrize("name", SPACES)
def test_a_drawing_can_be_read_in_both_themes(name):
    """Every option at every position, once."""
    space = load_space(name)
    for turn in range(max(map(len, space.choices))):
        architecture = tuple((turn + at) % len(options) for at, options in enumerate(space.choices))
        assert not set(faults(drawing_svg(space, architecture))), architecture


def test_curve_and_pairs_can_be_read_in_both_themes():
    """Dots, lines, and what stands at the axes."""
    points = [Point(1, 90.0, "a"), Point(2, 91.5, "c", "fallback")]
    pairs = Paired({"prompt": "a"}, {"prompt": "b"}, ((0, 100.0, 40.0), (1, 60.0, 90.0), (2, 50.0, 55.0)))
    assert not [*faults(curve_svg(points)), *faults(paired_svg(pairs))]


def test_a_fault_is_found():
    """Yellow on white, black on the dark page, and the page's own colour on a white box are each one."""
    box = '<rect x="0" y="0" width="50" height="50" fill="white" stroke="black"/>'
    text = '<text x="9" y="9" fill="{}">a</text>'
    shapes = [
        '<path d="M0 0H1" fill="none" stroke="#F0E442"/>', text.format("#000000"), box + text.format("currentColor"),
    ]  # fmt: skip
    for shape in shapes:
        assert re.match("a (line|text) in", next(faults(f"<svg>{shape}</svg>")))
    assert not [*faults(f"<svg>{box}{text.format('black')}</svg>")]
