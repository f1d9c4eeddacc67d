"""What a report writes: pages that show pictures with no network and no script, no path, no key, PDF, provenance."""

import base64
import html
import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

import genius_kit
from genius_kit.errors import InvalidParameter, NotebookFailed
from genius_kit.reports import pages as report_pages
from genius_kit.reports import run as reports
from tests.notebook_files import SECRET, outputs, write

WIDGET = (
    "import ipywidgets\n"
    "from IPython.display import display\n"
    "view = ipywidgets.IntSlider()._repr_mimebundle_()\n"
    "display({**view, 'text/html': '<svg id=\"fallback\"></svg>'}, raw=True)\n"
    "display({**view, 'image/svg+xml': '<svg></svg>'}, raw=True)\n"
    "ipywidgets.IntSlider(value=3)"
)

DRAWN = "data:image/svg+xml;base64," + base64.b64encode(b"<svg></svg>").decode()


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))


def test_a_page_shows_what_stands_in_for_a_widget(tmp_path):
    """The fallback of a view is on the page, its text where it has none, and no script or widget state is."""
    result = reports.run_notebook(write(tmp_path / "notebooks", "a", WIDGET), tmp_path / "out")
    page = result.page.read_text()
    assert '<svg id="fallback"></svg>' in page
    assert DRAWN in page
    assert "IntSlider(value=3)" in page
    assert "<script" not in page
    assert "widget-view" not in result.notebook.read_text()
    assert "widget-state" not in result.notebook.read_text()


def test_a_page_shows_the_values_that_ran_where_they_are_declared(tmp_path):
    """In place of the defaults, beside their comments; the cell that papermill adds stays in the notebook alone."""
    told = "name: str = 'a'  # Größe\nsteps: int = 2  # of each\nparams: dict = {}\noutput_folder: str = '..'  # here"
    source = write(tmp_path / "notebooks", "a", "print(name, steps, params)", parameters=told)
    result = reports.run_notebook(source, tmp_path / "out", {"name": 'x"y', "steps": 7, "params": {"b": [1]}})
    text = re.sub(r"<[^>]+>", "", result.page.read_text(encoding="utf-8"))
    shown = html.unescape(text)
    assert """name: str = "x\\"y"  # Größe""" in shown
    assert "steps: int = 7  # of each" in shown
    assert 'params: dict = {"b": [1]}' in shown
    assert "output_folder: str = '..'  # here" in shown
    assert "# Parameters" not in shown
    assert "# Parameters" in result.notebook.read_text(encoding="utf-8")
    assert "x\"y 7 {'b': [1]}" in shown


@pytest.mark.parametrize("cell", ["%magic\nsteps: int = 2", None])
def test_values_that_have_no_place_stay_as_they_were_injected(cell):
    """Where the declaring cell is no plain Python, or there is none."""
    tagged = [] if cell is None else [nbformat.v4.new_code_cell(cell, metadata={"tags": ["parameters"]})]
    injected = nbformat.v4.new_code_cell("# Parameters\nsteps = 7", metadata={"tags": [report_pages.INJECTED]})
    notebook = nbformat.v4.new_notebook(cells=[*tagged, injected])
    report_pages.hide_injected(notebook)
    assert notebook.cells == [*tagged, injected]


def test_a_page_prefers_a_picture_to_a_widget_view():
    """Also in a notebook that JupyterLab saved with its views and their state."""
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m", "version_major": 2, "version_minor": 0}}
    data = {**view, "text/plain": "Curve()", "image/svg+xml": "<svg></svg>"}
    state = {"m": {"model_name": "AnyModel", "model_module": "anywidget", "model_module_version": "0.9", "state": {}}}
    saved = {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "version_minor": 0, "state": state}}
    notebook = nbformat.v4.new_notebook(metadata={"widgets": saved})
    notebook.cells = [nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data)])]
    assert DRAWN in report_pages.to_html(notebook, "a")
    assert notebook.metadata["widgets"] == saved


def test_an_executed_notebook_says_what_it_came_from(tmp_path):
    """Its metadata hold all parameters, those that were given, the versions and the sums of code, cells and data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Results_ResNet.json").write_text("{}")
    path = write(tmp_path / "notebooks", "a", "1")
    result = reports.run_notebook(path, tmp_path / "out", {"iterations": 7})
    run = nbformat.read(result.notebook, 4).metadata["genius_kit"]["run"]
    assert run["parameters"] == {"iterations": 7, "name": "a", "rate": 0.5, "fast": True} == result.parameters
    assert run["given"] == {"iterations": 7} == result.given
    assert run["versions"]["genius-kit"] == genius_kit.__version__
    assert {"python", "numpy", "torch", "papermill"} <= set(run["versions"])
    assert re.fullmatch(r"[0-9a-f]{64}", run["code"])
    assert re.fullmatch(r"[0-9a-f]{64}", run["notebook"])
    assert re.fullmatch(r"[0-9a-f]{64}", run["data"]["Results_ResNet.json"])


def test_no_absolute_path_is_in_what_is_written(tmp_path, monkeypatch):
    """Not of a parameter, an output, a traceback, a picture's text or the metadata, whatever the cell shows."""
    folder, out = tmp_path / "notebooks", tmp_path / "elsewhere" / "out"
    path = write(
        folder,
        "a",
        "import genius_kit, os, sys, pathlib, tempfile\nprint(genius_kit.__file__, os.getcwd(), sys.executable)",
        "print(pathlib.Path(output_folder).resolve(), output_folder, name, tempfile.gettempdir())\npathlib.Path.home()",
        "from IPython.display import SVG\nSVG(f'<svg><text>{os.getcwd()}</text></svg>')",
        "genius_kit.load_space('no such space')",
        parameters="name: str = 'a'  # text\noutput_folder: str = '../reports'  # figures",
    )
    given = tmp_path / "given.md"
    given.touch()
    with pytest.raises(NotebookFailed, match="UnknownName"):
        reports.run_notebook(path, out, {"name": str(given)})
    assert {file.name for file in out.iterdir()} == {"a.failed.html", "a.failed.ipynb"}
    places = {str(Path(place).resolve()) for place in (tmp_path, sys.prefix, Path.home(), genius_kit.__path__[0])}
    for file in out.iterdir():
        text = re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "", file.read_text())
        for place in places:
            assert place not in text
    assert "genius_kit/__init__.py notebooks" in outputs(out / "a.failed.ipynb")
    assert "../given.md" in outputs(out / "a.failed.ipynb")


def test_a_path_is_shortened_only_where_it_begins():
    """A text that ends like a folder of this machine, or goes on with another word, stays; pictures are not read."""
    from genius_kit.reports.pages import shorten_paths

    home = str(Path.home())
    kept = {"a": f"x{home}/b", "b": f"{home}s/c", "image/png": f"{home}/d"}
    notebook = nbformat.v4.new_notebook(metadata={**kept, "c": f"\x1b[0;32m{home}/e\x1b[0m", "d": f'"{home}"'})
    told = shorten_paths(notebook, Path("/n/a.ipynb"), Path("/n/out"), {}).metadata
    assert {name: told[name] for name in kept} == kept
    assert (told["c"], told["d"]) == ("\x1b[0;32m~/e\x1b[0m", '"~"')


def test_a_key_of_the_environment_is_nowhere_in_a_report(tmp_path, monkeypatch):
    """A scan of every file, with one notebook that behaves, one that prints the key and one that writes it."""
    monkeypatch.setenv("LAB_API_KEY", SECRET)
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "print(iterations)")
    write(folder, "b", "import os; print(os.environ['LAB_API_KEY'])")
    into = "import os, pathlib; p = pathlib.Path('../out/figures/c'); p.mkdir(parents=True);"
    write(folder, "c", f"{into} (p / 'curve.csv').write_text(os.environ['LAB_API_KEY']);")
    results = reports.report(folder, out)
    assert [result.status for result in results] == ["done", "failed", "failed"]
    assert "wrote the value of LAB_API_KEY into curve.csv" in results[2].error
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert not any(SECRET in result.detail for result in results)


@pytest.mark.slow
@pytest.mark.skipif(report_pages.browser() is None, reason="no Chromium browser is on this machine")
def test_a_pdf_is_printed_when_asked(tmp_path, monkeypatch):
    """Beside the page, without a date; also of a notebook that is done already, which is not run again."""
    monkeypatch.setattr("genius_kit.reports.records.code_sum", lambda: "sum of the code")
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "print(iterations)")
    assert reports.report(folder, out)[0].pdf is None
    (result,) = reports.report(folder, out, pdf=True)
    assert result.kept
    content = result.pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert not re.search(rb"D:20(?!000101000000)", content)
    assert 'href="a.pdf"' in (out / "index.html").read_text()


def test_a_pdf_that_nothing_can_make_is_refused(tmp_path, monkeypatch):
    """Before anything runs; the message says what is missing and that the pages need none of it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    write(tmp_path / "notebooks", "a", "1")
    with pytest.raises(InvalidParameter, match=r"Chromium.*xelatex, pandoc missing.*leave out --pdf"):
        reports.report(tmp_path / "notebooks", tmp_path / "out", pdf=True)
    assert not (tmp_path / "out").exists()


def test_the_browser_of_playwright_is_found(tmp_path, monkeypatch):
    """Where none is on the PATH, the newest that `playwright install chromium` left."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    program = tmp_path / "chromium-1200" / "chrome-linux" / "chrome"
    program.parent.mkdir(parents=True)
    program.touch()
    assert report_pages.browser() == str(program)


def test_the_index_shows_what_it_should(tmp_path, monkeypatch):
    """Status, duration, parameters, thumbnails, tables and links; earlier notebooks of the folder stay listed."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    figures = "import pathlib; p = pathlib.Path('../out/figures/a'); p.mkdir(parents=True);"
    write(folder, "a", f"{figures} [(p / f).touch() for f in ('curve.png', 'curve.svg', 'best.tex', 'best.md')];")
    write(folder, "b", "print(1)")
    reports.report(folder, out, names=["a"], parameters={"iterations": 5})
    reports.report(folder, out, names=["b.ipynb"])
    index = (out / "index.html").read_text()
    assert "2 of 2 notebooks done" in index
    assert "<code>iterations = 5</code>" in index
    assert len(re.findall(r"<td class=\"duration\">[\d.]+ s", index)) == 2
    assert '<img src="figures/a/curve.png" alt="curve"' in index
    for link in ("a.html", "a.ipynb", "figures/a/curve.svg", "figures/a/best.tex", "figures/a/best.md"):
        assert f'href="{link}"' in index
    record = json.loads((out / "a.ipynb").read_text())["metadata"]["genius_kit"]["run"]
    assert record["files"].keys() > {"a.html", "figures/a/curve.png"}


def test_numerical_libraries_share_the_cores(tmp_path):
    """Side by side each notebook gets its share of threads; a number set outside is kept."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "import os\nprint(os.environ['MKL_NUM_THREADS'])")
    reports.report(folder, out, workers=os.cpu_count())
    assert outputs(out / "a.ipynb") == f"{os.environ.get('MKL_NUM_THREADS', 1)}\n"
