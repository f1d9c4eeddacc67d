"""Grids of parameters: a YAML file that says which notebooks run with which values.

01_nas_bench_macro:
  budget: [5, 10]            # every combination of the values
  protocol: [paper, held-out]
05_training:                 # or a list of such combinations
  - budget: 2
  - {budget: 3, epochs: 1}
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.reports.notebooks import find_notebook
from genius_kit.reports.parameters import OUTPUT, Declared, check_parameter, declared_in
from genius_kit.studies.text import Located, read_yaml

Points = list[tuple[Path, dict[str, Any]]]

_LONGEST_LABEL = 80


def read_grid(path: Path, known: Mapping[str, Path]) -> Points:
    """Return each notebook of a grid file with each set of its parameters, in the order of the file.

    `known` are the notebooks by name. Raises InvalidParameter, with the line, for a notebook or parameter that does
    not exist, a value of the wrong type, or a set that stands twice.
    """
    try:
        located = read_yaml(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"the grid {path} cannot be read: {error}") from None
    if not isinstance(located.data, dict) or not located.data:
        raise located.error(
            (), "expected notebooks, each with its parameters, such as `01_nas_bench_macro: {budget: [5, 10]}`"
        )
    points: Points = []
    for name, value in located.data.items():
        with located.at(name):
            source = find_notebook(name, dict(known))
        points += [(source, one) for one in _points(located, name, value, source)]
    return points


def label_of(parameters: Mapping[str, Any]) -> str:
    """Return the name of a set of parameters, which is that of its folder: "budget-5_protocol-paper"."""
    told = "_".join(f"{name}-{value}" for name, value in parameters.items())
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip(".-")
    if plain == told and len(plain) <= _LONGEST_LABEL:
        return plain or "defaults"
    total = hashlib.sha256(json.dumps(dict(parameters), sort_keys=True, default=str).encode()).hexdigest()
    return f"{plain[: _LONGEST_LABEL - 9]}-{total[:8]}".lstrip("-")


def _points(located: Located, name: str, value: Any, source: Path) -> Iterator[dict[str, Any]]:
    declared = declared_in(source)
    seen: set[str] = set()
    blocks = (
        [((name, number), block) for number, block in enumerate(value)]
        if isinstance(value, list)
        else [((name,), value)]
    )
    for path, block in blocks:
        for point in _combinations(located, path, block, source.name, declared):
            if (label := label_of(point)) in seen:
                raise located.error(path, f"{name} with {point} stands twice; each set of parameters comes once")
            seen.add(label)
            yield point


def _combinations(
    located: Located, path: tuple[str | int, ...], block: Any, notebook: str, declared: Declared
) -> Iterator[dict[str, Any]]:
    """Yield every combination of the values of one block."""
    if block is None:
        block = {}
    if not isinstance(block, dict):
        raise located.error(
            path, f"{block!r:.60} came; expected parameters with their values, such as `budget: [5, 10]`"
        )
    axes = []
    for name, values in block.items():
        values = values if isinstance(values, list) else [values]
        if not values:
            raise located.error((*path, name), f"{name} has no value; give at least one")
        for number, value in enumerate(values):
            place = (*path, name, number) if isinstance(block[name], list) else (*path, name)
            with located.at(*place):
                _check(notebook, name, value, declared)
        axes.append(values)
    for values in itertools.product(*axes):
        yield dict(zip(block, values, strict=True))


def _check(notebook: str, name: str, value: Any, declared: Declared) -> None:
    if name == OUTPUT:
        raise InvalidParameter(f"{OUTPUT} is the report's own: each set of parameters has its folder")
    check_parameter(notebook, name, value, declared)
