"""The page and the picture of how the code is built, and the README's list of folders, are those of the code."""

import re
from pathlib import Path

import pytest

from tests import layers_picture

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = sorted({path.parent.name for path in ROOT.glob("genius_kit/*/*.py")})


def test_the_picture_of_the_layers_is_that_of_the_code():
    """`python -m tests.layers_picture` would write the same bytes."""
    assert layers_picture.PICTURE.read_text(encoding="utf-8") == layers_picture.drawing()


def test_the_picture_shows_imports_that_follow_from_no_other(monkeypatch):
    """An arrow for each import between rooms that no chain of arrows stands for, and for each that leads upwards."""
    found = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")}
    monkeypatch.setattr(layers_picture, "imports", lambda rooms: found)
    assert list(layers_picture.arrows([["a"], ["b"], ["c"]])) == [("a", "b"), ("b", "c"), ("c", "a")]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+/(?:[a-z_]+\.py)?|[a-z_]+\.py)`", PAGE))))
def test_the_page_names_what_there_is(name):
    """Each file and folder on the page of the architecture is one of the package."""
    assert (ROOT / "genius_kit" / name).exists() or (ROOT / name).exists()


def test_the_page_and_the_readme_stay_short():
    """A page to read in one go."""
    assert len(PAGE.splitlines()) <= 200
    assert len(README.splitlines()) < 150


def test_the_readme_has_a_line_for_each_folder():
    """Its tree names the folders of the package, each once."""
    tree = README.split("    genius_kit/\n")[1].split("\n    notebooks/")[0]
    assert sorted(line.split("/")[0].strip() for line in tree.splitlines()) == FOLDERS
