"""What users rely on by name: public names, commands with their options, what the pages import; and import circles.

`tests/contract.json` holds what was promised. A name may be added to it; one that is gone breaks somebody's notebook.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import networkx
import pytest

import genius_kit as gk
from genius_kit.cli import app
from tests.printed_commands import command_of

ROOT = Path(__file__).parent.parent
PROMISED = json.loads((Path(__file__).parent / "contract.json").read_text())


def test_public_names_stay():
    """Every promised name is there, and every name that is there is promised."""
    assert sorted(gk.__all__) == PROMISED["names"]


def commands(command: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each command below `command` with its options."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}".strip())
    else:
        yield path, sorted(option for one in command.params for option in one.opts if option.startswith("--"))


def test_commands_keep_their_options():
    """Every promised command and option is there, and every one that is there is promised."""
    found = dict(commands(command_of(app)))
    assert found == PROMISED["commands"]


def imports() -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import from the package in README, docs and notebooks."""
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")]:
        text = page.read_text(encoding="utf-8")
        if page.suffix == ".ipynb":
            text = "\n".join(
                "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
            )
        for module, names in re.findall(r"^from (genius_kit[\w.]*) import ([\w, ]+)$", text, re.M):
            yield from ((module, name.split(" as ")[0].strip()) for name in names.split(","))


@pytest.mark.parametrize(("module", "name"), sorted(set(imports())))
def test_pages_import_what_there_is(module: str, name: str):
    """What a page imports is there."""
    assert hasattr(importlib.import_module(module), name) or importlib.import_module(f"{module}.{name}")


def test_no_modules_import_each_other():
    """No module lies in a circle of imports, those for typing counted."""
    graph = grimp.build_graph("genius_kit", cache_dir=None)
    edges = [(name, other) for name in graph.modules for other in graph.find_modules_directly_imported_by(name)]
    circles = [circle for circle in networkx.strongly_connected_components(networkx.DiGraph(edges)) if len(circle) > 1]
    assert not circles, sorted(map(sorted, circles))


@pytest.mark.parametrize("room", ["figures", "stats", "studies", "verdicts"])
def test_rooms_are_reached_from_the_package(room: str):
    """`gk.figures` and the like need no import of their own."""
    code = f"import genius_kit as gk, sys; assert 'genius_kit.{room}' not in sys.modules; gk.{room}.__all__"
    subprocess.run([sys.executable, "-c", code], check=True)
