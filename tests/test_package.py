"""The package as a whole: what importing costs and what it offers."""

import subprocess
import sys

import pytest

import genius_kit as gk

SLOW = {"torch", "openai", "matplotlib", "pandas"}
HEAVY = {*SLOW, "numpy", "scipy", "jinja2", "pydantic", "genai_prices", "filelock", "yaml", "rich"}


def modules_after(code):
    """Return the modules that a process of its own has loaded after `code`."""
    told = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    return set(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stderr.split())


def test_import_loads_the_table_of_public_names_alone():
    """`import genius_kit` loads at most 6 of its modules, and no other package."""
    loaded = modules_after("import genius_kit")
    assert len([name for name in loaded if name.startswith("genius_kit")]) <= 6
    assert not loaded & HEAVY


def test_help_loads_no_heavy_package_and_no_command():
    """`genius-kit --help` lists the commands from a table, in panels that rich draws: no command is imported for it."""
    loaded = modules_after("sys.argv = ['genius-kit', '--help']\nfrom genius_kit.cli import main\nmain()")
    assert "typer" in loaded
    assert not loaded & (HEAVY - {"rich"})
    assert {name for name in loaded if name.startswith("genius_kit.cli.")} == {"genius_kit.cli.commands"}


def test_the_options_of_all_commands_load_no_slow_package():
    """`genius-kit run --help` names what there is without torch, openai, matplotlib or pandas."""
    code = "from genius_kit.cli.commands import COMMANDS, loaded\nfor name in COMMANDS: loaded(name)"
    assert not modules_after(code) & SLOW


def test_a_study_file_and_a_list_of_notebooks_load_no_parser_of_addresses(tmp_path):
    """Reading either takes jsonschema, and not the second that its check of international addresses takes."""
    (tmp_path / "a.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    code = (
        "import pathlib, sys, genius_kit as gk; gk.load_study('optimisers')\n"
        "from genius_kit.reports.parameters import declared_in; declared_in(pathlib.Path(sys.argv[1]))\n"
        "print('jsonschema' in sys.modules, 'lark' in sys.modules, 'rfc3987_syntax' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.ipynb")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True False False\n"


def test_every_public_name_resolves():
    """Each name that is promised is there."""
    for name in gk.__all__:
        assert callable(getattr(gk, name))
    with pytest.raises(AttributeError, match="no attribute"):
        _ = gk.nothing
