"""Every parameter of a public name is described, in numpydoc's sections, and docs/api.md has every public name."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import genius_kit as gk

DOORS = (
    "genius_kit",
    "genius_kit.figures",
    "genius_kit.lab",
    "genius_kit.stats",
    "genius_kit.studies",
    "genius_kit.verdicts",
)
INSTRUMENTS = ("contamination", "prompts", "rationales", "repeats", "reproducibility", "tradeoffs", "transfer")
CHECKS = {"PR01", "PR02", "PR03"}  # a parameter that is not described, one that is not there, another order
API = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def callables(module: str) -> Iterator[str]:
    """Yield the path of every public function and class of a module, and of the public methods of its classes."""
    door = importlib.import_module(module)
    for name in getattr(door, "__all__", None) or [name for name in vars(door) if not name.startswith("_")]:
        found = getattr(door, name)
        if not (inspect.isfunction(found) or inspect.isclass(found)) or not found.__module__.startswith("genius_kit"):
            continue
        path = f"{found.__module__}.{found.__qualname__}"
        if not hasattr(door, "__all__") and found.__module__ != module:
            continue
        yield path
        if inspect.isclass(found):
            yield from (f"{path}.{method}" for method in vars(found) if is_described(found, method))


def is_described(owner: type, name: str) -> bool:
    """Whether a name of a class is a public method or property."""
    return not name.startswith("_") and callable(getattr(owner, name)) and not inspect.isclass(getattr(owner, name))


@pytest.mark.parametrize("module", [*DOORS, *(f"genius_kit.verdicts.{name}" for name in INSTRUMENTS)])
def test_every_parameter_of_a_public_name_is_described(module):
    """numpydoc finds each parameter of each public function and class in its docstring, in order, and no other one."""
    validate = pytest.importorskip("numpydoc.validate", reason="pip install -e '.[docs]' brings numpydoc").validate
    names = list(callables(module))
    found = {name: [error for error in validate(name)["errors"] if error[0] in CHECKS] for name in names}
    assert names
    assert not {name: errors for name, errors in found.items() if errors}


def test_the_check_sees_a_parameter_that_is_not_described(monkeypatch):
    """Without its "Parameters" a public function fails the check, so that the check is not empty."""
    validate = pytest.importorskip("numpydoc.validate", reason="pip install -e '.[docs]' brings numpydoc").validate
    monkeypatch.setattr(gk.search, "__doc__", "Run one search and return its record.")
    assert "PR01" in {code for code, _ in validate("genius_kit.runs.loop.search")["errors"]}


@pytest.mark.parametrize("name", gk.__all__)
def test_the_page_has_every_public_name(name):
    """docs/api.md shows each name of `genius_kit.__all__` under the name that users type."""
    assert f":: {name}\n" in API


@pytest.mark.parametrize("door", DOORS[1:])
def test_the_page_has_every_door(door):
    """docs/api.md shows all public names of `gk.figures`, the lab, `gk.stats`, `gk.studies` and `gk.verdicts`."""
    assert f".. automodule:: {door}\n   :members:\n" in API
