"""What of this machine an executed notebook may not carry: secrets are refused, paths are shortened."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import NotebookFailed
from genius_kit.redaction import variables_in

if TYPE_CHECKING:
    from nbformat import NotebookNode

_BINARY = ("image/png", "image/jpeg", "application/pdf")  # base64: no text in it
_READABLE = (".csv", ".json", ".jsonl", ".md", ".tex", ".svg", ".txt", ".html")


def refuse_secrets(notebook: NotebookNode, name: str) -> None:
    """Raise NotebookFailed when a secret of the environment stands anywhere in an executed notebook."""
    for number, cell in enumerate(notebook.cells, 1):
        for variable in variables_in("\n".join(_strings(cell))):
            raise NotebookFailed(
                f"{name}: cell {number} of the executed notebook holds the value of {variable}; nothing was kept on "
                "disk. Remove what prints it and run again."
            )
    for variable in variables_in("\n".join(_strings(notebook.metadata))):
        raise NotebookFailed(f"{name}: the metadata holds the value of {variable}; nothing was kept on disk")


def refuse_secret_files(folder: Path, name: str) -> None:
    """Raise NotebookFailed, and delete the file, when a readable file below `folder` holds a secret."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READABLE and path.is_file():
            for variable in variables_in(path.read_text(encoding="utf-8", errors="replace")):
                path.unlink()
                raise NotebookFailed(
                    f"{name} wrote the value of {variable} into {path.name}; that file was deleted. Remove what "
                    "writes it and run again."
                )


def shorten_paths(notebook: NotebookNode, source: Path, folder: Path, aliases: Mapping[str, str]) -> NotebookNode:
    """Return the notebook with the places of this machine replaced by what a reader elsewhere can use.

    A path below the notebooks, the report, the package, Python or the home folder keeps its last parts. `aliases` are
    further texts to replace, such as the way from the notebook to the report.
    """
    import nbformat

    places = {**_places(source, folder), **aliases}
    alternatives = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
    # before a path stands no part of one; a colour code of a traceback ends in a digit and an m
    pattern = re.compile(rf"(?:(?<=\dm)|(?<![\w.~-]))(?:{alternatives})(?![\w-])")
    plain = _mapped(notebook, lambda text: pattern.sub(lambda match: places[match[0]], text))
    return nbformat.from_dict(plain)


def _places(source: Path, folder: Path) -> dict[str, str]:
    """Return the folders whose names a page need not tell, each with what stands for it."""
    from genius_kit.files import data_folder

    package = Path(__file__).resolve().parent.parent
    named = [
        (Path(tempfile.gettempdir()), "temporary"),
        (Path.home(), "~"),
        (Path.cwd(), "."),
        (Path(sys.base_prefix), "python"),
        (Path(sys.prefix), "python"),
        (package.parent, "."),
        (package, package.name),
        (Path(data_folder()), "data"),
        (source.parent, source.parent.name),
        (folder, folder.name),
    ]
    known = {}
    for path, short in named:
        known.update({str(form): short for form in (path, path.resolve()) if form.name})
    return known


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: item if key in _BINARY else _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value
