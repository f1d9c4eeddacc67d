"""Notebook files: finding them, reading them, and what their first lines and metadata say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit.errors import DataMissing, NotebookFailed, UnknownName
from genius_kit.studies.text import quick_jsonschema

if TYPE_CHECKING:
    from nbformat import NotebookNode


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
        raise UnknownName(f"no notebook is called {name!r}; the known ones are {', '.join(known)}")
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


def missing_data(needs: Sequence[str]) -> tuple[str, ...]:
    """Return which of `needs`, names of benchmarks or of data files, are not on this machine."""
    from genius_kit.benchmarks import catalogue, downloads

    available = {row["name"]: row["available"] for row in catalogue.tabular_rows()} if needs else {}
    missing = []
    for need in needs:
        if need in available:
            if not available[need]:
                missing.append(need)
            continue
        try:
            downloads.find(need)
        except DataMissing:
            missing.append(need)
    return tuple(missing)
