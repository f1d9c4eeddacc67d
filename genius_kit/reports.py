"""Notebooks run without a browser, side by side, into pages that open offline and an index of them.

Each notebook is a process of its own (papermill over a kernel of the running interpreter); threads wait for
them. Nothing is written under its final name before it is complete and free of secrets.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import DataMissing, GeniusKitError, InvalidParameter, NotebookFailed, UnknownName

if TYPE_CHECKING:
    from nbformat import NotebookNode

GET_DATA = "genius-kit data fetch"
"""The one command that gets every missing data file."""

_SECRET_WORDS = r"api_?keys?|keys?|token|secrets?|passwords?|passwd|passphrase|credentials?|bearer"
# a word of the name, in snake_case or camelCase; "max_tokens" counts tokens and is no secret
_SECRET_NAME = re.compile(rf"(?:^|_)(?i:{_SECRET_WORDS})(?:_|$|(?=[A-Z]))|(?<=[a-z])(?:Key|Token|Secret|Password)s?$")
_SHORTEST_SECRET = 8  # characters; a shorter value ("none", "local") is a placeholder that ordinary text contains
_START_ATTEMPTS = 3  # two kernels that start at once can draw the same port
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
_PLAIN_BARS = "import tqdm, tqdm.auto; tqdm.auto.tqdm = tqdm.tqdm; tqdm.auto.trange = tqdm.trange"

# nbconvert's own page loads RequireJS, MathJax and Mermaid from the network: those blocks are left out
_PAGE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block html_head_js_requirejs -%}{%- endblock html_head_js_requirejs -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
"""


@dataclass(frozen=True)
class NotebookResult:
    """What came of one notebook.

    `status` is "done", "failed" or "missing" (its data is not there); `notebook` and `page` are the executed
    notebook and its HTML (None where none was written), `seconds` the time it ran, `error` one sentence or
    None, `missing` the benchmarks and files it lacks.
    """

    name: str
    title: str
    status: str
    notebook: Path | None = None
    page: Path | None = None
    seconds: float = 0.0
    error: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """One line for a terminal: what went wrong, or how long it took and where the page lies."""
        return self.error or f"{self.seconds:.1f} s, {self.page}"


def notebook_folder() -> Path:
    """Return the folder of the notebooks: `notebooks` here, else the one beside the package's source.

    Raises UnknownName where neither exists.
    """
    for folder in (Path("notebooks"), Path(__file__).resolve().parent.parent / "notebooks"):
        if folder.is_dir():
            return folder
    raise UnknownName("no folder `notebooks` lies here; name it with `genius-kit report --notebooks FOLDER`")


def run_notebook(
    path: str | os.PathLike[str],
    output_folder: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> NotebookResult:
    """Execute the notebook at `path` and write `NAME.ipynb` and `NAME.html` into `output_folder`.

    `timeout` is the limit for one cell in seconds, None for no limit. The notebook runs in its own folder with
    the interpreter that runs this function; where it declares a parameter `output_folder` and none is given,
    that parameter is set to ours. The page loads nothing from the network.

    Raises UnknownName (no such file), InvalidParameter (misspelt, of the wrong type, or like a secret),
    NotebookFailed (a cell raised, or printed a secret). A failed run is kept as `NAME.failed.ipynb` and
    `NAME.failed.html`; one that printed a secret is not kept at all.
    """
    source, folder = Path(path).resolve(), Path(output_folder).resolve()
    if not source.is_file():
        raise UnknownName(f"no notebook lies at {os.fspath(path)}")
    values = _checked_parameters(source, dict(parameters or {}), folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=".running-", dir=folder) as scratch:
        executed = Path(scratch) / source.name
        error = _execute(source, executed, values, timeout)
        notebook = _read(executed) if executed.is_file() else None
        if notebook is not None:
            _refuse_secrets(notebook, source.name)
            _publish(notebook, executed, folder, failed=error is not None)
    if error is not None:
        raise NotebookFailed(error)
    return NotebookResult(
        name=source.stem,
        title=_title(_read(source), source.stem),
        status="done",
        notebook=folder / source.name,
        page=folder / f"{source.stem}.html",
        seconds=time.perf_counter() - start,
    )


def report(
    notebook_folder: str | os.PathLike[str] = "notebooks",
    output_folder: str | os.PathLike[str] = "reports",
    workers: int = 2,
    parameters: Mapping[str, Any] | None = None,
) -> list[NotebookResult]:
    """Run every notebook of a folder whose data is there, `workers` at a time, and write `index.html`.

    A notebook names what it needs in its metadata, `{"genius_kit": {"needs": ["nas-bench-macro"]}}`; one that
    lacks data is listed with the command that gets it. A notebook that fails is recorded and the others go on.
    `parameters` go to every notebook that declares them; one that no notebook declares raises
    InvalidParameter before anything runs.
    """
    notebooks = sorted(path for path in Path(notebook_folder).glob("*.ipynb") if not path.name.startswith("."))
    if not notebooks:
        raise UnknownName(
            f"no notebook lies in {os.fspath(notebook_folder)}; give the folder that holds the *.ipynb files"
        )
    given = dict(parameters or {})
    declared = {path: _declared(path) for path in notebooks}
    if unknown := sorted(set(given) - set().union(*declared.values())):
        known = ", ".join(sorted(set().union(*declared.values())))
        raise InvalidParameter(f"no notebook has a parameter {unknown[0]!r}; the known ones are {known}")

    def run_one(path: Path) -> NotebookResult:
        own = {name: value for name, value in given.items() if name in declared[path]}
        return _run_or_record(path, Path(output_folder), own)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        results = list(pool.map(run_one, notebooks))
    _write_index(results, Path(output_folder))
    return results


def missing_data(needs: Sequence[str]) -> tuple[str, ...]:
    """Return which of `needs`, names of benchmarks or of data files, are not on this machine."""
    from genius_kit import catalogue, data

    names = set(catalogue.BENCHMARK_NAMES)
    table = catalogue.list_tabular()
    available = set(table["name"][table["available"].astype(bool)]) if names & set(needs) else set()
    missing = []
    for need in needs:
        if need in names:
            if need not in available:
                missing.append(need)
            continue
        try:
            data.find(need)
        except DataMissing:
            missing.append(need)
    return tuple(missing)


def _run_or_record(path: Path, folder: Path, parameters: dict[str, Any]) -> NotebookResult:
    title, start = path.stem, time.perf_counter()
    try:
        notebook = _read(path)
        title = _title(notebook, path.stem)
        missing = missing_data(notebook.metadata.get("genius_kit", {}).get("needs", []))
        if missing:
            error = f"needs {', '.join(missing)}; get it with `{GET_DATA}`"
            return NotebookResult(path.stem, title, "missing", error=error, missing=missing)
        return run_notebook(path, folder, parameters)
    except GeniusKitError as error:
        page = folder / f"{path.stem}.failed.html"
        return NotebookResult(
            path.stem,
            title,
            "failed",
            page=page if page.is_file() else None,
            seconds=time.perf_counter() - start,
            error=str(error),
        )


def _declared(path: Path) -> dict[str, dict[str, Any]]:
    """Return the parameters a notebook declares: name -> {"inferred_type_name", "default", "help"}."""
    import papermill

    _read(path)  # a damaged file is refused with our own words
    return dict(papermill.inspect_notebook(str(path)))


def _checked_parameters(path: Path, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    declared = _declared(path)
    for name, value in given.items():
        if _SECRET_NAME.search(name):
            raise InvalidParameter(
                f"parameter {name!r} looks like a secret, and parameters are saved in the executed notebook: "
                "set it in the environment instead (OPENAI_API_KEY)"
            )
        if name not in declared:
            known = ", ".join(declared) or "none: it has no cell tagged 'parameters'"
            raise InvalidParameter(f"{path.name} has no parameter {name!r}; the known ones are {known}")
        _check_type(path.name, name, value, declared[name]["inferred_type_name"])
        for variable in _secrets_in(repr(value)):
            raise InvalidParameter(f"parameter {name!r} holds the value of {variable}, and parameters are saved")
    if "output_folder" in declared and "output_folder" not in given:
        given["output_folder"] = Path(os.path.relpath(folder, path.parent)).as_posix()
    return given


def _check_type(notebook: str, name: str, value: object, declared: str) -> None:
    expected = _TYPES.get(declared.strip())
    right = expected is None or (isinstance(value, expected) and (declared == "bool" or not isinstance(value, bool)))
    if not right:
        raise InvalidParameter(
            f"parameter {name!r} of {notebook} is declared {declared}, {value!r} ({type(value).__name__}) came"
        )


def _execute(source: Path, executed: Path, parameters: dict[str, Any], timeout: float | None) -> str | None:
    """Run `source` into `executed`; return None, or one sentence on the cell that failed and its error."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            papermill.execute_notebook(
                str(source),
                str(executed),
                parameters,
                progress_bar=False,
                execution_timeout=timeout,
                kernel_manager_class=_kernel_manager_class(),
                resources={"metadata": {"path": str(source.parent)}},
                store_widget_state=False,
                coalesce_streams=True,
            )
            return None
        except PapermillExecutionError as error:
            return f"{source.name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        except CellTimeoutError:
            return f"{source.name}: a cell ran longer than {timeout:g} s"
        except DeadKernelError as error:
            return f"{source.name}: the kernel died while a cell ran ({error})"
        except (RuntimeError, OSError) as error:  # the kernel did not start: most often a port clash
            if attempt == _START_ATTEMPTS:
                return f"{source.name}: no kernel started in {_START_ATTEMPTS} attempts ({error})"
    return None


def _kernel_manager_class() -> type:
    """Return a kernel manager whose kernels run this interpreter, whatever kernels are installed."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv.append(f"--IPKernelApp.exec_lines={_PLAIN_BARS}")
    environment = {
        "GENIUS_KIT_PROGRESS": os.environ.get("GENIUS_KIT_PROGRESS", "none"),
        "GENIUS_KIT_DATA": str(_data_folder()),
    }
    spec = KernelSpec(
        argv=argv,
        env=environment,
        display_name="Python 3",
        language="python",
        metadata={"supported_encryption": ["curve"]},  # as ipykernel's own: messages between processes are encrypted
    )

    class RunningInterpreter(AsyncKernelManager):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            if self.has_trait("transport_encryption"):  # jupyter_client 8.10 and later; off by default
                self.transport_encryption = "auto"

        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

    return RunningInterpreter


def _data_folder() -> Path:
    from genius_kit import data

    return Path(data.data_folder()).resolve()


def _read(path: Path) -> NotebookNode:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError) as error:
        raise NotebookFailed(f"{path.name} is not a notebook that can be read: {error}") from error


def _title(notebook: NotebookNode, default: str) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)):
            return found.group(1).strip()
    return default


def _secrets_in(text: str) -> list[str]:
    """Return the names of environment variables that look like secrets and whose values stand in `text`."""
    found = []
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            forms = {value, json.dumps(value)[1:-1], repr(value)[1:-1]}
            if any(form in text for form in forms):
                found.append(name)
    return found


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _refuse_secrets(notebook: NotebookNode, name: str) -> None:
    for number, cell in enumerate(notebook.cells, 1):
        for variable in _secrets_in("\n".join(_strings(cell))):
            raise NotebookFailed(
                f"{name}: cell {number} of the executed notebook holds the value of {variable}; nothing was kept on "
                "disk. Remove what prints it and run again."
            )


def _publish(notebook: NotebookNode, executed: Path, folder: Path, failed: bool) -> None:
    """Move the executed notebook and its page to their final names, and drop what they replace."""
    import nbformat

    notebook.metadata.pop("widgets", None)
    # where the files lie is of no use to a reader elsewhere
    notebook.metadata.get("papermill", {}).update(input_path=executed.name, output_path=executed.name)
    nbformat.write(notebook, executed)
    page = executed.with_suffix(".html")
    page.write_text(_to_html(notebook, executed.stem), encoding="utf-8")
    stem = f"{executed.stem}.failed" if failed else executed.stem
    for suffix, path in ((".ipynb", executed), (".html", page)):
        os.replace(path, folder / f"{stem}{suffix}")
        if not failed:
            (folder / f"{stem}.failed{suffix}").unlink(missing_ok=True)


def _to_html(notebook: NotebookNode, name: str) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", raw_template=_PAGE, embed_images=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": _title(notebook, name)}})
    return str(body)


def _write_index(results: Sequence[NotebookResult], folder: Path) -> Path:
    from importlib.resources import files

    import jinja2

    folder.mkdir(parents=True, exist_ok=True)
    template = files("genius_kit").joinpath("templates", "report_index.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    pictures = sorted(path.relative_to(folder) for path in folder.glob("figures/*/*.png"))
    text = environment.from_string(template).render(
        results=results,
        get_data=GET_DATA,
        finished=time.strftime("%Y-%m-%d %H:%M"),
        pictures={result.name: [path for path in pictures if path.parts[1] == result.name] for result in results},
        data_files={path.relative_to(folder) for path in folder.glob("figures/*/*.csv")},
        done=sum(result.status == "done" for result in results),
    )
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=".index-", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    index = folder / "index.html"
    os.replace(file.name, index)
    return index
