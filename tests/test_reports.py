"""Notebooks run headlessly: refusals before they run, nothing secret kept, pages that open offline, an index."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from genius_kit.errors import InvalidParameter, NotebookFailed, UnknownName
from genius_kit.reports import run as reports
from tests.notebook_files import SECRET, outputs, write


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"iteration": 3}, "has no parameter 'iteration'; the known ones are iterations, name, rate, fast"),
        ({"api_key": "x"}, "looks like a secret"),
        ({"OPENAI_API_KEY": "x"}, "looks like a secret"),
        ({"hf_token": "x"}, "looks like a secret"),
        ({"password": "x"}, "looks like a secret"),
        ({"clientSecret": "x"}, "looks like a secret"),
        ({"max_tokens": 5}, "has no parameter 'max_tokens'"),
        ({"iterations": "3"}, "must be int, got '3' \\(str\\)"),
        ({"iterations": True}, "must be int, got True"),
        ({"name": 1201201}, "must be str, got 1201201 \\(int\\)"),
        ({"fast": 1}, "must be bool, got 1"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, parameters, message):
    """Misspelt, secret-looking and mistyped parameters never reach a notebook."""
    path = write(tmp_path / "notebooks", "a", "print(iterations)")
    with pytest.raises(InvalidParameter, match=message):
        reports.run_notebook(path, tmp_path / "out", parameters)
    assert not (tmp_path / "out").exists()


def test_a_parameter_for_a_notebook_without_any_is_refused(tmp_path):
    """The message says that there is no parameters cell."""
    path = write(tmp_path / "notebooks", "a", "1", parameters=None)
    with pytest.raises(InvalidParameter, match="no cell tagged 'parameters'"):
        reports.run_notebook(path, tmp_path / "out", {"iterations": 1})


def test_the_value_of_a_key_is_refused_as_a_parameter(tmp_path, monkeypatch):
    """An innocent name does not let a secret through."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    path = write(tmp_path / "notebooks", "a", "1")
    with pytest.raises(InvalidParameter, match="holds the value of OPENAI_API_KEY") as caught:
        reports.run_notebook(path, tmp_path / "out", {"name": f"Bearer {SECRET}"})
    assert SECRET not in str(caught.value)


def test_a_missing_notebook_is_named(tmp_path):
    """No papermill traceback for a wrong path."""
    with pytest.raises(UnknownName, match=r"nothing\.ipynb"):
        reports.run_notebook(tmp_path / "nothing.ipynb", tmp_path / "out")


def test_a_damaged_notebook_is_named(tmp_path):
    """A file that is no notebook is refused with its name."""
    (tmp_path / "a.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(NotebookFailed, match=r"a\.ipynb is not a notebook"):
        reports.run_notebook(tmp_path / "a.ipynb", tmp_path / "out")


def test_a_notebook_runs_with_this_interpreter_in_its_own_folder(tmp_path, monkeypatch):
    """The kernel is sys.executable whatever kernelspec is named; outputs carry parameters, no widgets, no paths."""
    monkeypatch.setenv("HERE", sys.executable)
    path = write(
        tmp_path / "notebooks",
        "a",
        "import sys, os\nprint(sys.executable == os.environ['HERE'], os.path.basename(os.getcwd()), iterations)",
        "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass",
        "import ipywidgets\nipywidgets.IntSlider()",
    )
    result = reports.run_notebook(path, tmp_path / "out", {"iterations": 7})
    assert "True notebooks 7" in outputs(result.notebook)
    assert (result.status, result.title) == ("done", "Title of a")
    text = result.notebook.read_text(encoding="utf-8")
    assert "3/3" in text  # the bar is text
    assert "widgets" not in json.loads(text)["metadata"]
    assert str(tmp_path) not in json.dumps(json.loads(text)["metadata"])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.html", "a.ipynb"]


def test_the_page_loads_nothing_from_the_network(tmp_path):
    """No script, style sheet or picture of the page has an address."""
    path = write(
        tmp_path / "notebooks",
        "a",
        "from IPython.display import Markdown, Image\nMarkdown('a $x$ [link](https://example.org)')",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    )
    page = reports.run_notebook(path, tmp_path / "out").page.read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert not re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""", page)
    assert not re.findall(r"""@import|url\(["']?(?:https?:)?//|import\(""", page)
    assert "<script" not in page


def test_a_failing_cell_is_named_and_its_notebook_kept_apart(tmp_path):
    """The error says which cell and what; an earlier good page stays, and a later success removes the failed one."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    reports.run_notebook(write(folder, "a", "1"), out)
    with pytest.raises(NotebookFailed, match=r"a.ipynb, cell 3: ZeroDivisionError: division by zero"):
        reports.run_notebook(write(folder, "a", "x = 1", "x / 0"), out)
    names = {file.name for file in out.iterdir()}
    assert names == {"a.html", "a.ipynb", "a.failed.html", "a.failed.ipynb"}
    reports.run_notebook(write(folder, "a", "2"), out)
    assert {file.name for file in out.iterdir()} == {"a.html", "a.ipynb"}


def test_a_cell_over_its_time_limit_fails(tmp_path):
    """The limit is per cell and in the message."""
    path = write(tmp_path / "notebooks", "a", "import time\ntime.sleep(60)")
    with pytest.raises(NotebookFailed, match="2 s"):
        reports.run_notebook(path, tmp_path / "out", timeout=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [
        "import os; print(os.environ['LAB_API_KEY'])",
        "import os; os.environ['LAB_API_KEY']",
        "import os; [print(part, end='', flush=True) for part in os.environ['LAB_API_KEY']];",
        "import os; raise RuntimeError(os.environ['LAB_API_KEY'])",
    ],
)
def test_a_notebook_that_shows_a_key_is_not_kept(tmp_path, monkeypatch, cell):
    """Printed, displayed, in pieces or in a traceback: no file of the run stays, and the message does not show it."""
    monkeypatch.setenv("LAB_API_KEY", SECRET)
    path = write(tmp_path / "notebooks", "a", cell)
    with pytest.raises(NotebookFailed, match="LAB_API_KEY; nothing was kept") as caught:
        reports.run_notebook(path, tmp_path / "out")
    assert SECRET not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_placeholder_key_of_a_local_server_is_no_secret(tmp_path, monkeypatch):
    """A short value such as "none" stands in ordinary text."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = write(tmp_path / "notebooks", "a", "print('none here')")
    assert reports.run_notebook(path, tmp_path / "out").status == "done"


@pytest.mark.slow
def test_kernels_that_start_at_once_all_run(tmp_path):
    """Several notebooks side by side: each has its own kernel."""
    paths = [write(tmp_path / "notebooks", f"n{number}", f"print({number})") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda path: reports.run_notebook(path, tmp_path / "out"), paths))
    assert [outputs(result.notebook).strip() for result in results] == ["0", "1", "2", "3"]


def test_a_kernel_that_does_not_start_is_tried_again(tmp_path, monkeypatch):
    """A port clash costs one attempt, not the notebook."""
    import papermill

    execute, attempts = papermill.execute_notebook, []

    def clash_once(*arguments, **settings):
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return execute(*arguments, **settings)

    monkeypatch.setattr(papermill, "execute_notebook", clash_once)
    assert reports.run_notebook(write(tmp_path / "notebooks", "a", "1"), tmp_path / "out").status == "done"
    assert len(attempts) == 2


def test_a_report_runs_what_it_can_and_lists_the_rest(tmp_path):
    """One done, one failed, one without its data; the index links and explains each."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a_good", "print(iterations)")
    pictures = out / "figures" / "a_good"
    pictures.mkdir(parents=True)
    for name in ("curve.png", "curve.pdf", "curve.csv", "drawing.png", "drawing.pdf"):
        (pictures / name).touch()
    write(folder, "b_bad", "raise ValueError('<b>broken</b>')")
    write(folder, "c_missing", "1", needs=["nas-bench-macro", "chat_history/329M.json", "nas-bench-201-cifar10"])
    results = reports.report(folder, out, workers=2)
    assert [result.status for result in results] == ["done", "failed", "missing"]
    assert results[2].missing == ("nas-bench-macro", "chat_history/329M.json")
    assert "cell 2: ValueError" in results[1].detail
    index = (out / "index.html").read_text(encoding="utf-8")
    assert 'href="a_good.html"' in index
    assert 'href="b_bad.failed.html"' in index
    assert "&lt;b&gt;broken" in index
    assert "genius-kit data fetch" in index
    assert "://" not in index
    for link in re.findall(r'(?:href|src)="([^"#]+)"', index):
        assert (out / link).is_file()
    for place in re.findall(r'href="#([^"]+)"', index):
        assert f'id="{place}"' in index


def test_a_table_that_a_parameter_names_is_needed(tmp_path):
    """A published table that is not here is missing data, not a failure; the package's own are here."""
    write(tmp_path / "notebooks", "a", "print(name)")
    told = [{"name": name} for name in ("nas-bench-macro", "hpobench-car")]
    found = [reports.report(tmp_path / "notebooks", tmp_path / "out", parameters=one)[0] for one in told]
    assert [(one.status, one.missing) for one in found] == [("missing", ("nas-bench-macro",)), ("done", ())]


def test_what_a_parameter_replaces_is_not_needed(tmp_path):
    """Conversations that a list names by default are not missed where others are given."""
    own, needs = "chats: str = '329M, 401M'", ["chat_history/329M.json", "chat_history/401M.json"]
    write(tmp_path / "notebooks", "a", "print(chats)", parameters=own, needs=needs)
    told = [{}, {"chats": "mine.json"}]
    found = [reports.report(tmp_path / "notebooks", tmp_path / "out", parameters=one)[0] for one in told]
    assert [(one.status, one.missing) for one in found] == [("missing", tuple(needs)), ("done", ())]


def test_a_report_hands_parameters_to_the_notebooks_that_declare_them(tmp_path):
    """One that no notebook declares is refused before any runs."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "print(iterations)")
    write(folder, "b", "print('none')", parameters=None)
    with pytest.raises(InvalidParameter, match="no notebook has a parameter 'iteration'"):
        reports.report(folder, out, parameters={"iteration": 1})
    assert not out.exists()
    assert [result.status for result in reports.report(folder, out, parameters={"iterations": 9})] == ["done", "done"]
    assert outputs(out / "a.ipynb").strip() == "9"


def test_a_folder_without_notebooks_is_refused(tmp_path):
    """The message names the folder."""
    with pytest.raises(UnknownName, match=re.escape(str(tmp_path))):
        reports.report(tmp_path, tmp_path / "out")


def test_the_notebooks_are_found_from_elsewhere(tmp_path, monkeypatch):
    """Without a notebooks folder here, the one beside the package's source is taken."""
    monkeypatch.chdir(tmp_path)
    assert (reports.notebook_folder() / "00_quickstart.ipynb").is_file()
    (tmp_path / "notebooks").mkdir()
    assert reports.notebook_folder().resolve() == tmp_path / "notebooks"
