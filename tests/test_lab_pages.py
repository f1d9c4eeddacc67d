"""Notebooks through the tools that others know: papermill and nbconvert, called as their own manuals say."""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from browser_lab import NOTEBOOK, chromium

import genius_kit as gk


@pytest.fixture
def checkout(tmp_path, embedded_cache):
    """Return a function that calls a Jupyter tool in a folder with `notebooks/` in it, as in a checkout."""
    folder = tmp_path / "above" / "checkout"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("00_quickstart", NOTEBOOK.stem):
        shutil.copy(NOTEBOOK.with_name(f"{name}.ipynb"), folder / "notebooks")
    given = {**os.environ, "GENIUS_KIT_DATA": str(embedded_cache), "JUPYTER_PREFER_ENV_PATH": "1"}

    def call(*command, cwd=folder):
        done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    call.folder = folder
    return call


@pytest.mark.full
def test_papermill_from_the_checkout_writes_into_it(checkout):
    """Called above the notebooks, nothing is written beside the checkout; a folder that is given is taken as it is."""
    papermill = ("papermill", "-p", "budget", "3", f"notebooks/{NOTEBOOK.name}")
    checkout(*papermill, "out.ipynb")
    folder = checkout.folder
    assert list((folder / "reports" / "runs" / NOTEBOOK.stem).glob("*.jsonl"))
    assert [path.name for path in folder.parent.iterdir()] == ["checkout"]
    checkout(*papermill, "out.ipynb", "-p", "output_folder", str(folder / "elsewhere"))
    assert (folder / "elsewhere" / "runs").is_dir()


@pytest.mark.slow
def test_nbconvert_leaves_curve_and_drawing_on_a_page_without_scripts(checkout, tmp_path):
    """Executed and converted as plain nbconvert does, opened with scripts off and no network."""
    path = chromium()
    sync = pytest.importorskip("playwright.sync_api")
    checkout("nbconvert", "--execute", "--to", "html", f"notebooks/{NOTEBOOK.name}", "--output-dir", str(tmp_path))
    page_file = tmp_path / f"{NOTEBOOK.stem}.html"
    assert (checkout.folder / "reports" / "runs").is_dir()
    assert page_file.stat().st_size < 1_000_000
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False, offline=True).new_page()
        page.goto(page_file.as_uri())
        shown = page.locator(".genius-beside svg")
        assert shown.count() == 2
        assert all(shown.nth(place).is_visible() for place in range(2))
        assert re.match("10 evaluations", shown.nth(0).get_attribute("aria-label"))
        assert "NAS-Bench-201" in shown.nth(1).get_attribute("aria-label")
        browser.close()


def test_a_folder_of_a_notebook_is_meant_from_the_notebooks(tmp_path, monkeypatch):
    """Beside the notebooks it is left as it is, above them it goes through their folder; a whole path stays."""
    (tmp_path / "notebooks").mkdir()
    for place, meant in ((tmp_path, "reports"), (tmp_path / "notebooks", "../reports")):
        monkeypatch.chdir(place)
        assert gk.output_folder("../reports") == meant
        assert gk.output_folder("/elsewhere") == "/elsewhere"


@pytest.mark.parametrize("path", sorted(NOTEBOOK.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_takes_its_folder_that_way(path):
    """Before anything is written."""
    code = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    before, found, _ = "\n".join(code[1:]).partition("gk.output_folder(output_folder)")
    assert found
    assert "{output_folder}" not in before
