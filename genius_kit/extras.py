"""What `pip install -e .` leaves out: each extra of pyproject.toml, what it is for and the command that gets it."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import TYPE_CHECKING, Any

from genius_kit.errors import ExtraMissing

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PURPOSES = {
    "ci": "the project's own check (`.ci/run`)",
    "dask": "studies on a Dask cluster (`study --dask`)",
    "detection": "training and scoring on boxes in the COCO format (`detect`)",
    "docs": "the documentation as HTML (`sphinx-build docs docs/_build/html`)",
    "local": "tests with a real llama.cpp server (`pytest -m local_model`)",
    "tensorboard": "TensorBoard events of a training, beside its metrics.csv",
    "test": "the tests (`pytest`)",
}


def how_to_get(extra: str) -> str:
    """Return the command that installs an extra, in the folder of the checkout."""
    return f"pip install -e '.[{extra}]'"


def load(module: str, extra: str) -> Any:
    """Return a module that only `extra` brings; raises ExtraMissing where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        command = f"`{how_to_get(extra)}` in the folder of genius_kit"
        raise ExtraMissing(f"{error}: the extra `{extra}` brings it, {command}") from error


def extras() -> dict[str, dict[str, bool]]:
    """Return the extras that the installed genius-kit declares: of each its packages, and whether they are here."""
    from packaging.requirements import Requirement

    try:
        known = metadata("genius-kit")
    except PackageNotFoundError:  # a checkout that is run without being installed
        return {}
    declared = [Requirement(text) for text in known.get_all("Requires-Dist") or ()]
    return {
        extra: {one.name: _is_here(one) for one in declared if one.marker and one.marker.evaluate({"extra": extra})}
        for extra in known.get_all("Provides-Extra") or ()
    }


def _is_here(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
