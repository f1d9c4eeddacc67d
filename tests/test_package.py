"""The package as a whole: what importing costs and what it offers."""

import subprocess
import sys

import pytest

import genius_kit as gk


def test_import_loads_no_heavy_package():
    """Importing the package or its command loads neither torch nor openai nor matplotlib."""
    heavy = ("torch", "openai", "matplotlib")
    code = f"import sys, genius_kit, genius_kit.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_resolves():
    """Each name that is promised is there."""
    for name in gk.__all__:
        assert callable(getattr(gk, name))
    with pytest.raises(AttributeError, match="no attribute"):
        _ = gk.nothing
