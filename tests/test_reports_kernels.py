"""Notebooks as people write them: endless or long outputs, no kernel named, cells that may fail, ends asked for."""

import json
import subprocess
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from genius_kit.errors import InvalidParameter, NotebookFailed
from genius_kit.reports import kernels, pages
from genius_kit.reports import run as reports
from tests.notebook_files import outputs, write


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))


@pytest.mark.slow
def test_twenty_megabytes_on_one_line_are_kept(tmp_path):
    """Joining streams takes a time in proportion to their length, so that the notebook is done within its limit."""
    path = write(tmp_path / "notebooks", "a", "print('x' * 20_000_000)")
    result = reports.run_notebook(path, tmp_path / "out", time_limit=120)
    assert result.status == "done"
    assert len(outputs(result.notebook)) == 20_000_001


def living(leader):
    """Return the processes of a group that are not dead, nor waiting for their parent to take note of it."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [row for row in rows if row[0] == leader and not row[1].startswith("Z")]


FLOOD = "while True: print('x' * 1000)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [
        FLOOD,
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
        "import re, threading\nthreading.Thread(target=re.match, args=('(a+)+b', 'a' * 60)).start()",
    ],
)
def test_a_limit_ends_whatever_runs(tmp_path, monkeypatch, cell):
    """Endless outputs, a program that the cell waits for, a thread that goes on when the last cell has ended."""
    monkeypatch.setattr(kernels, "OUTPUT_CHARACTERS", 10_000)
    leader = "import os; open('leader', 'w').write(str(os.getpid()));"
    path = write(tmp_path / "notebooks", "a", f"{leader}\n{cell}")
    start = time.monotonic()
    with pytest.raises(NotebookFailed, match="cell 2: the cell ran longer than 2 s"):
        reports.run_notebook(path, tmp_path / "out", timeout=2)
    assert time.monotonic() - start < 60
    assert not living((tmp_path / "notebooks" / "leader").read_text())  # nothing that it has started is left
    assert len(outputs(tmp_path / "out" / "a.failed.ipynb")) < 10_200


@pytest.mark.slow
def test_a_time_limit_ends_endless_outputs(tmp_path, monkeypatch):
    """The limit of a notebook holds wherever it is, at its start too."""
    monkeypatch.setattr(kernels, "OUTPUT_CHARACTERS", 10_000)
    path = write(tmp_path / "notebooks", "a", FLOOD)
    with pytest.raises(NotebookFailed, match="the notebook ran longer than 3 s, its time limit"):
        reports.run_notebook(path, tmp_path / "out", time_limit=3)


def test_what_a_cell_puts_out_beyond_bounds_is_left_out_and_said(tmp_path, monkeypatch):
    """What comes first is kept; a cell that clears its outputs begins anew, and so does the next cell."""
    monkeypatch.setattr(kernels, "OUTPUT_CHARACTERS", 1000)
    clearing = "from IPython.display import clear_output\nfor i in range(9): clear_output(); print(f'{i}' * 300)"
    path = write(tmp_path / "notebooks", "a", "print('a' * 2000)\nprint('no')", clearing, "1")
    told = outputs(reports.run_notebook(path, tmp_path / "out").notebook)
    assert told == "a" * 1000 + kernels.CUT.format(1000) + "8" * 300 + "\n"


def test_streams_are_joined_as_a_terminal_shows_them():
    """Pieces of one stream become one output; what "\\r" overwrites is gone, and Windows line ends are line ends."""
    pieces = [("stdout", "0 %\r50"), ("stderr", "a\r\nb\r"), ("stdout", " %\r100 %\n"), ("stderr", "c")]
    made = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=made)])
    pages.join_streams(notebook)
    assert [output.text for output in notebook.cells[0].outputs] == ["100 %\n", "a\nc"]


def test_a_long_text_in_colours_has_its_page_soon():
    """A megabyte of coloured words would take minutes; the page shows it without its colours."""
    text = "\x1b[31mred\x1b[0m " * 100_000
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    start = time.monotonic()
    page = pages.to_html(notebook, "a")
    assert time.monotonic() - start < 20
    assert "red red red" in page
    assert notebook.cells[0].outputs[0].text == text


def bare(path):
    """Take from a notebook what VS Code does not write: kernel, language, tags of cells without any."""
    content = json.loads(path.read_text())
    content["metadata"] = {}
    path.write_text(json.dumps(content))
    return path


def test_a_notebook_without_kernel_and_language_runs(tmp_path):
    """As VS Code saves it; numbers of numpy, paths and tuples are parameters like plain ones."""
    cell = "print(iterations + 1, rate * 2, not fast, type(name) is str, steps)"
    names = "iterations: int = 2\nrate: float = 0.5\nfast: bool = True\nname: str = 'a'\nsteps: list = [1]"
    path = bare(write(tmp_path / "{braces}", "a", cell, parameters=names))
    given = {"iterations": np.int64(6), "rate": np.float32(0.25), "fast": np.bool_(False), "name": Path("here")}
    told = reports.run_notebook(path, tmp_path / "out", {**given, "steps": (np.int64(1), 2)})
    assert outputs(told.notebook) == "7 0.5 True True [1, 2]\n"
    assert told.given == {"iterations": 6, "rate": 0.25, "fast": False, "name": "here", "steps": [1, 2]}
    (again,) = reports.report(path.parent, tmp_path / "out", parameters={**given, "steps": np.array([1, 2])})
    assert again.kept
    with pytest.raises(InvalidParameter, match=r"must be int, got 0\.5"):
        reports.run_notebook(path, tmp_path / "out", {"iterations": np.float64(0.5)})
    with pytest.raises(InvalidParameter, match=r"\(set\) is not a number"):
        reports.run_notebook(path, tmp_path / "out", {"steps": {1, 2}})


def test_an_error_that_a_tag_allows_is_no_failure(tmp_path):
    """A cell tagged "raises-exception" shows its error, the others run, and an error elsewhere still fails."""
    path = write(tmp_path / "notebooks", "a", "1 / 0", "print('after')")
    notebook = nbformat.read(path, 4)
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    result = reports.run_notebook(path, tmp_path / "out")
    assert outputs(result.notebook) == "after\n"
    assert "ZeroDivisionError" in result.page.read_text()
    assert "papermill-error-cell" not in result.page.read_text()
    notebook.cells[3].source = "nothing"
    nbformat.write(notebook, path)
    with pytest.raises(NotebookFailed, match="cell 3: NameError"):
        reports.run_notebook(path, tmp_path / "out")


STOP = "class StopExecution(Exception):\n    def _render_traceback_(self): {}\nraise StopExecution"


@pytest.mark.parametrize("cell", [STOP.format("pass"), STOP.format("return []"), "import sys; sys.exit(0)"])
def test_an_end_that_is_asked_for_is_no_failure(tmp_path, cell):
    """An exception that shows no traceback, and an exit with 0: what follows does not run, and the page is complete."""
    path = write(tmp_path / "notebooks", "a", "print('before')", cell, "print('after')")
    result = reports.run_notebook(path, tmp_path / "out")
    assert result.status == "done"
    assert "before\n" in outputs(result.notebook)
    assert "after" not in outputs(result.notebook)
    assert "papermill-error-cell" not in result.page.read_text()


def test_an_exit_with_an_error_is_a_failure(tmp_path):
    """`sys.exit(1)` names its cell."""
    path = write(tmp_path / "notebooks", "a", "import sys; sys.exit(1)")
    with pytest.raises(NotebookFailed, match="cell 2: SystemExit: 1"):
        reports.run_notebook(path, tmp_path / "out")
