"""What an executed notebook becomes: joined outputs without secrets and paths, a page of one file, a PDF."""

from __future__ import annotations

import ast
import copy
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import files
from genius_kit.errors import InvalidParameter, NotebookFailed
from genius_kit.redaction import variables_shown_in
from genius_kit.reports.parameters import OUTPUT, read_notebook, title_of
from genius_kit.reports.records import RUNNING, scratch_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

INJECTED = "injected-parameters"
"""The tag of the cell with the values that a notebook ran with, as papermill writes it."""

_BINARY = ("image/png", "image/jpeg", "application/pdf")  # base64: no text in it
_PIECE, _OVERLAP = 1 << 22, 1 << 16  # bytes of a file that are looked at together

# nbconvert's own page loads RequireJS, MathJax and Mermaid from the network: those blocks are left out
# a table stays within the page: text wraps, and numbers only in tables of more than eight columns
# what a page may load is said to the browser too: nothing, and no script runs, whatever stands in an output
_PAGE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head -%}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; font-src data:; \
style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
{{ super() }}
<style>
.jp-RenderedHTMLCommon table { max-width: 100%; margin-left: 0; }
.jp-RenderedHTMLCommon th:not([style]), .jp-RenderedHTMLCommon td:not([style]) { text-align: left; }
.jp-RenderedHTMLCommon td { overflow-wrap: break-word; max-width: 45em; }
.jp-RenderedHTMLCommon td:first-child:nth-last-child(-n+9) ~ td[style*="right"] { white-space: nowrap; }
.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; }
</style>
{%- endblock html_head -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block html_head_js_requirejs -%}{%- endblock html_head_js_requirejs -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SHOWN = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain")

COLOURED_CHARACTERS = 200_000
"""A longer text loses its colours: nbconvert's time for them grows with the square of its length."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_PRINT_SECONDS = 120
_DATE = re.compile(rb"\((D:\d{14}[^)]*)\)")


def join_streams(notebook: NotebookNode) -> None:
    """Join what each cell printed into one output a stream, its lines as a terminal leaves them after "\\r".

    nbclient's own joining takes a time that grows with the square of a line's length.
    """
    for cell in notebook.cells:
        streams: dict[str, list[NotebookNode]] = {}
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                streams.setdefault(output.name, []).append(output)
        for parts in streams.values():
            lines = "".join(part.text for part in parts).split("\n")
            parts[0].text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
        later = {id(part) for parts in streams.values() for part in parts[1:]}
        if later:
            cell.outputs = [output for output in cell.outputs if id(output) not in later]


def drop_widgets(notebook: NotebookNode) -> None:
    """Leave the widget views out of a notebook, and keep the picture or text that stands in for each.

    No state of a widget is kept, so a view would show as nothing.
    """
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET, None)
            output.get("metadata", {}).pop(_WIDGET, None)


def hide_injected(notebook: NotebookNode) -> None:
    """Leave out the cell of injected values, and show each where the notebook declares it.

    The output folder stays as it is declared: where a report lies is no part of what was computed.
    """
    kinds = [set(cell.metadata.get("tags", [])) for cell in notebook.cells]
    declared = next((cell for cell, tags in zip(notebook.cells, kinds, strict=True) if "parameters" in tags), None)
    injected = [cell for cell, tags in zip(notebook.cells, kinds, strict=True) if INJECTED in tags]
    if declared is None or not injected:
        return
    try:
        values = {name: value for cell in injected for name, value, _ in _assigned(cell.source) if name != OUTPUT}
        text = declared.source.encode()
        for name, _, (begin, end) in reversed(_assigned(declared.source)):
            text = text[:begin] + values.get(name, text[begin:end]) + text[end:]
    except SyntaxError:  # no plain Python: both cells are shown as they are
        return
    declared.source = text.decode()
    notebook.cells = [cell for cell in notebook.cells if cell not in injected]


def _assigned(source: str) -> list[tuple[str, bytes, tuple[int, int]]]:
    """Return the names that a text assigns, each with its value as it is written, and the bytes between which it is."""
    text, found = source.encode(), []
    starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    for node in ast.parse(source).body:
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        value: Any = getattr(node, "value", None)
        if isinstance(target, ast.Name) and value is not None:
            begin = starts[value.lineno - 1] + value.col_offset
            end = starts[value.end_lineno - 1] + value.end_col_offset
            found.append((target.id, text[begin:end], (begin, end)))
    return found


def refuse_secrets(notebook: NotebookNode, name: str) -> None:
    """Raise NotebookFailed when a secret of the environment stands anywhere in an executed notebook."""
    for number, cell in enumerate(notebook.cells, 1):
        for variable in variables_shown_in("\n".join(_strings(cell))):
            raise NotebookFailed(
                f"{name}: cell {number} of the executed notebook holds the value of {variable}; nothing was kept on "
                "disk. Remove what prints it and run again."
            )
    for variable in variables_shown_in("\n".join(_strings(notebook.metadata))):
        raise NotebookFailed(f"{name}: the metadata holds the value of {variable}; nothing was kept on disk")


def refuse_secret_text(text: str, name: str) -> str:
    """Return a text that is about to be written; raises NotebookFailed where a secret stands in it."""
    for variable in variables_shown_in(text):
        raise NotebookFailed(f"{name}: what was to be written holds the value of {variable}; nothing was kept on disk")
    return text


def refuse_secret_files(folder: Path, name: str, since: float = 0.0) -> None:
    """Raise NotebookFailed, and delete the file, where a file below `folder` that was written `since` holds a secret.

    `since` is a time in seconds. Files of every kind are looked at; links and runs under way are not.
    """
    for path in sorted(folder.rglob("*")):
        if (
            path.is_symlink()
            or not path.is_file()
            or any(part.startswith(RUNNING) for part in path.relative_to(folder).parts)
        ):
            continue
        if path.stat().st_mtime < since:
            continue
        for variable in _secrets_of_file(path):
            path.unlink()
            raise NotebookFailed(
                f"{name} wrote the value of {variable} into {path.name}; that file was deleted. Remove what "
                "writes it and run again."
            )


def _secrets_of_file(path: Path) -> list[str]:
    """Return the variables whose secrets stand in a file, which is read in pieces that overlap."""
    found: list[str] = []
    before = b""
    with path.open("rb") as file:
        while not found and (piece := file.read(_PIECE)):
            found = variables_shown_in((before + piece).decode("utf-8", errors="replace"))
            before = piece[-_OVERLAP:]
    return found


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
    package = Path(__file__).resolve().parent.parent
    named = [
        (Path(tempfile.gettempdir()), "temporary"),
        (Path.home(), "~"),
        (Path.cwd(), "."),
        (Path(sys.base_prefix), "python"),
        (Path(sys.prefix), "python"),
        (package.parent, "."),
        (package, package.name),
        (Path(files.data_folder()), "data"),
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


def to_html(notebook: NotebookNode, name: str) -> str:
    """Return the page of a notebook: it loads nothing, runs nothing, holds its pictures, and shows no widget."""
    from nbconvert import HTMLExporter
    from nbconvert.filters import strip_ansi
    from traitlets.config import Config

    notebook = copy.deepcopy(notebook)
    drop_widgets(notebook)
    hide_injected(notebook)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if len(output.get("text", "")) > COLOURED_CHARACTERS:
            output.text = strip_ansi(output.text)
    # nbconvert's own order takes a widget's view before its picture, and the page stays empty there
    config = Config({"NbConvertBase": {"display_data_priority": list(_SHOWN)}})
    exporter = HTMLExporter(config=config, template_name="lab", raw_template=_PAGE, embed_images=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title_of(notebook, name)}})
    return str(body)


def check_pdf() -> None:
    """Raise InvalidParameter when nothing on this machine makes a PDF; the message says what is missing."""
    if browser() is None and not _latex():
        lacking = ", ".join(name for name in ("xelatex", "pandoc") if shutil.which(name) is None)
        raise InvalidParameter(
            "no PDF can be made on this machine. Either of these is enough: a Chromium or Chrome browser (your "
            "system's package, or `pip install playwright && playwright install chromium`; none is on the PATH or in "
            f"Playwright's folder), or LaTeX with pandoc ({lacking} missing). The HTML pages need neither: leave out "
            "--pdf"
        )


def write_pdf(page: Path, notebook: Path, target: Path) -> None:
    """Print the HTML page of an executed notebook to `target`, with a browser or else with LaTeX.

    The file holds no date. Raises InvalidParameter where neither is there, NotebookFailed where it did not work.
    """
    check_pdf()
    with scratch_folder(target.parent) as scratch:
        part = scratch / "page.pdf"
        if (program := browser()) is not None:
            _print(program, page, part)
        else:
            _typeset(notebook, part)
        files.write_whole(target, _DATE.sub(_no_date, part.read_bytes()))


def browser() -> str | None:
    """Return the program of a Chromium browser that is on the PATH or that Playwright installed, None without."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), next(_playwright_browsers(), None))


def _playwright_browsers() -> Iterator[str]:
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    folders = (
        [Path(named)] if named else [Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright"]
    )
    for folder in folders:
        for pattern in ("chromium-*/chrome-*/chrome", "chromium_headless_shell-*/chrome-*/*headless*shell"):
            yield from (str(path) for path in sorted(folder.glob(pattern), reverse=True))


def _print(program: str, page: Path, target: Path) -> None:
    command = [program, "--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={target.parent / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # a browser refuses to start as root with it; the page runs no script
    command += [f"--print-to-pdf={target}", page.resolve().as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PRINT_SECONDS, check=False)
        told = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    except (OSError, subprocess.TimeoutExpired) as error:
        told = [str(error)]
    if not target.is_file():
        raise NotebookFailed(f"{page.name} could not be printed with {Path(program).name}: {' '.join(told)}")


def _latex() -> bool:
    return all(shutil.which(name) for name in ("xelatex", "pandoc"))


def _typeset(notebook: Path, target: Path) -> None:
    from nbconvert import PDFExporter

    try:
        body, _ = PDFExporter().from_notebook_node(read_notebook(notebook))
    except Exception as error:  # what LaTeX stumbles over has no class of its own
        raise NotebookFailed(f"{notebook.name} could not be set with LaTeX: {error}") from error
    target.write_bytes(body)


def _no_date(found: re.Match[bytes]) -> bytes:
    """Return a date of the same length, so that no place in the file moves."""
    return b"(" + b"D:20000101000000+00'00'".ljust(len(found[1]))[: len(found[1])] + b")"
