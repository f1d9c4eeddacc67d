"""The parameters of a notebook: what it declares, and whether what is given fits, before anything runs."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genius_kit.errors import InvalidParameter
from genius_kit.llm.settings import names_in
from genius_kit.redaction import looks_secret, variables_in
from genius_kit.reports.notebooks import read_notebook

OUTPUT = "output_folder"
"""The parameter that a report sets itself: where the notebook writes its figures, relative to the notebook."""

Declared = dict[str, dict[str, Any]]

_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool, "dict": dict}


def declared_in(path: Path) -> Declared:
    """Return the parameters a notebook declares: name -> {"inferred_type_name", "default", "help"}.

    Raises NotebookFailed for a file that is no notebook.
    """
    read_notebook(path)  # a damaged file is refused with our own words
    import papermill

    return dict(papermill.inspect_notebook(str(path)))


def check_parameters(notebook: str, given: Mapping[str, Any], declared: Declared) -> None:
    """Raise InvalidParameter for a parameter that is misspelt, of the wrong type, or looks like a secret."""
    for name, value in given.items():
        check_parameter(notebook, name, value, declared)


def check_parameter(notebook: str, name: str, value: Any, declared: Declared) -> None:
    """Raise InvalidParameter when one parameter does not fit what the notebook declares."""
    if looks_secret(name):
        raise InvalidParameter(
            f"parameter {name!r} looks like a secret, and parameters are saved in the executed notebook: "
            "set it in the environment instead (OPENAI_API_KEY)"
        )
    if not declared:
        raise InvalidParameter(
            f"{notebook} has no parameter {name!r}; the known ones are none: it has no cell tagged 'parameters'"
        )
    if name not in declared:
        raise InvalidParameter(f"{notebook} has no parameter {name!r}; the known ones are {', '.join(declared)}")
    _check_type(notebook, name, value, declared[name]["inferred_type_name"])
    for inner in names_in(value):
        if looks_secret(inner):
            raise InvalidParameter(f"parameter {name!r} holds {inner!r}, which looks like a secret, and is saved")
    for variable in variables_in(repr(value)):
        raise InvalidParameter(f"parameter {name!r} holds the value of {variable}, and parameters are saved")


def check_known(given: Iterable[str], declared: Iterable[Declared]) -> None:
    """Raise InvalidParameter for a parameter that no notebook declares."""
    known = sorted({name for one in declared for name in one})
    for name in sorted(given):
        if looks_secret(name):
            check_parameter("the report", name, None, {})
        if name not in known:
            raise InvalidParameter(f"no notebook has a parameter {name!r}; the known ones are {', '.join(known)}")


def resolved(given: Mapping[str, Any], declared: Declared) -> dict[str, Any]:
    """Return the value of every declared parameter: the given one, else the default.

    The output folder is always the default: where a report lies is no part of what was computed.
    """
    values = {name: _default(one["default"]) for name, one in declared.items()}
    return {**values, **{name: value for name, value in given.items() if name != OUTPUT}}


def relative_paths(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the parameters with the absolute path of a file or folder that exists told from the notebook's folder."""
    return {name: _relative(value, folder) for name, value in given.items()}


def parse_settings(texts: Sequence[str], declared: Sequence[Declared]) -> dict[str, Any]:
    """Return {"budget": 5} for ["budget=5"], each value as the first notebook with that parameter declares it.

    A text stays text, whatever it looks like: `key=01201201` is no number. Raises InvalidParameter.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in values:
            raise InvalidParameter(f"--set {name} came, expected NAME=VALUE, each name once, such as budget=5")
        kinds = [one[name]["inferred_type_name"].strip() for one in declared if name in one]
        values[name] = _typed(name, value, kinds[0] if kinds else "str")
    return values


def _typed(name: str, value: str, kind: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "false": False}[value.lower()]
        readers: dict[str, Any] = {"int": int, "float": float, "dict": json.loads}
        return readers.get(kind, str)(value)
    except (KeyError, ValueError):
        shown = "a secret" if variables_in(value) else repr(value)
        raise InvalidParameter(f"parameter {name!r} is declared {kind}, {shown} came") from None


def _check_type(notebook: str, name: str, value: object, declared: str) -> None:
    declared = declared.strip()
    expected = _TYPES.get(declared)
    right = expected is None or (isinstance(value, expected) and (declared == "bool" or not isinstance(value, bool)))
    if not right:
        raise InvalidParameter(
            f"parameter {name!r} of {notebook} is declared {declared}, {value!r} ({type(value).__name__}) came"
        )


def _default(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _relative(value: Any, folder: Path) -> Any:
    if isinstance(value, str) and os.path.isabs(value) and os.path.exists(value):
        return Path(os.path.relpath(value, folder)).as_posix()
    return value
