"""Notebooks and their parameters: which there are, what each declares, what is given for it, alone or in a grid."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.own.folder import is_folder
from genius_kit.errors import InvalidParameter, NotebookFailed, UnknownName
from genius_kit.files import read_text
from genius_kit.llm.settings import names_in
from genius_kit.located import Located, quick_jsonschema, read_yaml
from genius_kit.redaction import looks_secret, variables_in

if TYPE_CHECKING:
    from nbformat import NotebookNode

OUTPUT = "output_folder"
"""The parameter that a report sets itself: where the notebook writes its figures, relative to the notebook."""

Declared = dict[str, dict[str, Any]]
_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool, "dict": dict}
_LONGEST_LABEL = 80


def notebook_folder() -> Path:
    """Return the folder of the notebooks: `notebooks` here, else the one beside the package's source.

    Raises UnknownName where neither exists.
    """
    for folder in (Path("notebooks"), Path(__file__).resolve().parent.parent.parent / "notebooks"):
        if folder.is_dir():
            return folder
    raise UnknownName(
        "no folder `notebooks` lies here or beside the package: the notebooks come with the repository, not with the "
        "installed package. Run the command in a checkout, or name the folder with `--notebooks FOLDER`"
    )


def notebooks_in(folder: str | os.PathLike[str], names: Sequence[str] | None = None) -> list[Path]:
    """Return the notebooks of a folder in order of their names, or those called `names`, with or without `.ipynb`.

    Raises UnknownName for a folder without notebooks, and for a name that is not in it.
    """
    known = {path.stem: path for path in sorted(Path(folder).glob("*.ipynb")) if not path.name.startswith(".")}
    if not known:
        raise UnknownName(f"no notebook lies in {os.fspath(folder)}; give the folder that holds the *.ipynb files")
    if not names:
        return list(known.values())
    return [find_notebook(name, known) for name in dict.fromkeys(names)]


def find_notebook(name: str, known: dict[str, Path]) -> Path:
    """Return the path of the notebook called `name`; raises UnknownName with the known ones."""
    stem = Path(name).name.removesuffix(".ipynb")
    if stem not in known:
        raise UnknownName.of("notebook", name, known)
    return known[stem]


def read_notebook(path: Path) -> NotebookNode:
    """Return the notebook at `path`; raises NotebookFailed for a file that is none."""
    with quick_jsonschema():
        import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError) as error:
        raise NotebookFailed(f"{path.name} is not a notebook that can be read: {error}") from error


def title_of(notebook: NotebookNode, default: str) -> str:
    """Return the first heading of a notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)):
            return found.group(1).strip()
    return default


def needs_of(notebook: NotebookNode) -> list[str]:
    """Return the benchmarks and data files that a notebook says it needs."""
    return list(notebook.metadata.get("genius_kit", {}).get("needs", []))


def declared_in(path: Path) -> Declared:
    """Return the parameters a notebook declares: name -> {"inferred_type_name", "default", "help"}.

    Raises NotebookFailed for a file that is no notebook.
    """
    cells = [cell for cell in read_notebook(path).cells if "parameters" in cell.metadata.get("tags", [])]
    from papermill.translators import PythonTranslator

    return {one.name: one._asdict() for cell in cells[:1] for one in PythonTranslator.inspect(cell)}


def plain_values(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters with numbers and arrays of numpy, tuples and paths as papermill can write them."""
    return {name: _plain(value) for name, value in (given or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


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
    if name not in declared:
        known = ", ".join(declared) or "none: it has no cell tagged 'parameters'"
        raise InvalidParameter(f"{notebook} has no parameter {name!r}; the known ones are {known}")
    if value is not None or declared[name]["default"] != "None":
        _check_type(notebook, name, value, declared[name]["inferred_type_name"])
    for inner in names_in(value):
        if looks_secret(inner):
            raise InvalidParameter(f"parameter {name!r} holds {inner!r}, which looks like a secret, and is saved")
    for variable in variables_in(repr(value)):
        raise InvalidParameter(f"parameter {name!r} holds the value of {variable}, and parameters are saved")
    try:
        json.dumps(value)
    except TypeError:
        told = f"{value!r:.60} ({type(value).__name__}) is not a number, a text, or a list or dict of them"
        raise InvalidParameter(f"parameter {name!r} of {notebook}: {told}") from None


def _check_type(notebook: str, name: str, value: object, declared: str) -> None:
    declared = declared.strip()
    expected = _TYPES.get(declared)
    right = expected is None or (isinstance(value, expected) and (declared == "bool" or not isinstance(value, bool)))
    if not right:
        raise InvalidParameter(
            f"parameter {name!r} of {notebook} must be {declared}, got {value!r} ({type(value).__name__})"
        )


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


def _default(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def relative_paths(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the parameters with the absolute path of a file or folder that exists told from the notebook's folder."""

    def relative(value: Any) -> Any:
        is_there = isinstance(value, str) and os.path.isabs(value) and os.path.exists(value)
        return Path(os.path.relpath(value, folder)).as_posix() if is_there else value

    return {name: relative(value) for name, value in given.items()}


def parse_settings(texts: Sequence[str], declared: Sequence[Declared]) -> dict[str, Any]:
    """Return {"budget": 5} for ["budget=5"], each value as the first notebook with that parameter declares it.

    A text stays text, whatever it looks like: `key=01201201` is no number. Raises InvalidParameter.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in values:
            raise InvalidParameter(f"--set must be NAME=VALUE, each name once, such as budget=5; got {name}")
        kinds = [one[name]["inferred_type_name"].strip() for one in declared if name in one]
        values[name] = _typed(name, value, kinds[0] if kinds else "str")
    return values


def _typed(name: str, value: str, kind: str) -> Any:
    if is_folder(value) or (kind == "str" and os.path.splitext(value)[1] and os.path.isfile(value)):
        return os.path.abspath(value)  # a notebook runs in its own folder
    try:
        if kind == "bool":
            return {"true": True, "false": False}[value.lower()]
        if kind != "str" and value == "None":
            return None
        readers: dict[str, Any] = {"int": int, "float": float, "dict": json.loads}
        return readers.get(kind, str)(value)
    except (KeyError, ValueError):
        shown = "a secret" if variables_in(value) else repr(value)
        raise InvalidParameter(f"parameter {name!r} must be {kind}, got {shown}") from None


def read_grid(path: Path, known: Mapping[str, Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return each notebook of a grid file with each set of its parameters, in the order of the file.

    `known` are the notebooks by name. Raises InvalidParameter, with the line, for a notebook or parameter that does
    not exist, a value of the wrong type, or a set that stands twice.
    """
    try:
        located = read_yaml(read_text(path), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"the grid {path} cannot be read: {error}") from None
    if not isinstance(located.data, dict) or not located.data:
        raise located.error(
            (), "a grid needs notebooks, each with its parameters, such as `01_search: {budget: [5, 10]}`"
        )
    points: list[tuple[Path, dict[str, Any]]] = []
    for name, value in located.data.items():
        with located.at(name):
            source = find_notebook(name, dict(known))
        points += [(source, one) for one in _points(located, name, value, source)]
    return points


def value_points(
    notebooks: Sequence[Path], given: Mapping[str, Any], values: Mapping[str, Sequence[Any]]
) -> list[tuple[Path, dict[str, Any]]]:
    """Return each notebook with every combination of `values` and `given`, those that it declares.

    Raises InvalidParameter for one that none declares, that looks like a secret, or of the wrong type.
    """
    declared = {path: declared_in(path) for path in notebooks}
    check_known([*given, *values], declared.values())
    found = []
    for path, known in declared.items():
        fixed = {name: value for name, value in given.items() if name in known}
        axes = {name: some for name, some in values.items() if name in known}
        for point in itertools.product(*axes.values()):
            told = {**fixed, **dict(zip(axes, point, strict=True))}
            check_parameters(path.name, told, known)
            found.append((path, told))
    return found


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
    several = isinstance(value, list)
    for number, block in enumerate(value if several else [value]):
        path: tuple[str | int, ...] = (name, number) if several else (name,)
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
        raise located.error(path, f"{block!r:.60} is not a mapping of parameters to values, such as `budget: [5, 10]`")
    axes = []
    for name, values in block.items():
        values = values if isinstance(values, list) else [values]
        if not values:
            raise located.error((*path, name), f"{name} has no value; give at least one")
        for number, value in enumerate(values):
            place = (*path, name, number) if isinstance(block[name], list) else (*path, name)
            with located.at(*place):
                if name == OUTPUT:
                    raise InvalidParameter(f"{OUTPUT} is the report's own: each set of parameters has its folder")
                check_parameter(notebook, name, value, declared)
        axes.append(values)
    for values in itertools.product(*axes):
        yield dict(zip(block, values, strict=True))
