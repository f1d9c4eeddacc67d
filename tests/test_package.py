"""The package as a whole: what importing costs and what it offers."""

import subprocess
import sys

import pytest

import genius_kit as gk


def test_import_loads_no_heavy_package():
    """Importing the package or its command loads neither torch nor openai nor matplotlib."""
    heavy = ("torch", "openai", "matplotlib")
    code = f"import sys, genius_kit, genius_kit.cli.commands; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_study_file_and_a_list_of_notebooks_load_no_parser_of_addresses(tmp_path):
    """Reading either takes jsonschema, and not the second that its check of international addresses takes."""
    (tmp_path / "a.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    code = (
        "import pathlib, sys, genius_kit as gk; gk.load_study('optimisers')\n"
        "from genius_kit.report_parameters import declared_in; declared_in(pathlib.Path(sys.argv[1]))\n"
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
