"""A report that was interrupted goes on, and one that is finished does nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from genius_kit.errors import InvalidParameter, NotebookFailed
from genius_kit.reports import records as report_records
from genius_kit.reports import run as reports
from tests.notebook_files import outputs, write

COUNT = "open('{name}.count', 'a').write('x');"
CHILD = "import sys; from genius_kit import reports; reports.report(sys.argv[1], sys.argv[2], workers=1)"


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has; the package's own files stand still."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(report_records, "code_sum", lambda: "sum of the code")


def runs(folder):
    """Return how often each notebook was executed."""
    return {path.stem: len(path.read_text()) for path in folder.glob("*.count")}


def counted(folder, *names, cell="print(iterations)"):
    """Write notebooks that count their own executions."""
    return [write(folder, name, COUNT.format(name=name), cell) for name in names]


def test_a_report_goes_to_the_folder_that_its_notebooks_declare(tmp_path):
    """A folder that is there, as the output folder is, is no benchmark: nothing is read in it."""
    folder = tmp_path / "notebooks"
    write(folder, "a", "print(output_folder)", parameters="output_folder: str = '../reports'")
    for kept in (False, True):
        (result,) = reports.report(folder, tmp_path / "reports")
        assert (result.status, result.kept, result.error) == ("done", kept, None)


def test_what_is_done_is_not_run_again(tmp_path):
    """The second report keeps every result, its seconds and its page; `force` runs all of it."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    counted(folder, "a", "b")
    first = reports.report(folder, out)
    before = (out / "a.ipynb").read_bytes()
    told = []
    second = reports.report(folder, out, on_result=told.append)
    assert [result.kept for result in first + second] == [False, False, True, True]
    assert [result.seconds for result in second] == [result.seconds for result in first]
    assert told == second
    assert "nothing it depends on has changed" in second[0].detail
    assert (out / "a.ipynb").read_bytes() == before
    assert runs(folder) == {"a": 1, "b": 1}
    assert not any(result.kept for result in reports.report(folder, out, force=True))
    assert runs(folder) == {"a": 2, "b": 2}


@pytest.mark.slow
def test_a_report_of_an_older_version_is_run_again(tmp_path):
    """Records without the fields of today, and of other kinds: each notebook runs, and its page is replaced."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    older = {
        "a": {"status": "done"},
        "b": "finished on Monday",
        "c": {"status": "done", "parameters": [], "code": 1, "notebook": None, "data": "none", "files": ["c.html"]},
    }
    counted(folder, *older)
    reports.report(folder, out)
    for name, record in older.items():
        executed = json.loads((out / f"{name}.ipynb").read_text(encoding="utf-8"))
        executed["metadata"]["genius_kit"]["run"] = record
        (out / f"{name}.ipynb").write_text(json.dumps(executed), encoding="utf-8")
    again = reports.report(folder, out)
    assert [(result.status, result.kept) for result in again] == [("done", False)] * 3
    assert runs(folder) == {"a": 2, "b": 2, "c": 2}


def test_what_another_run_has_left_is_not_kept(tmp_path):
    """A page or a figure that is not the one the record is of, as a killed run leaves it, runs the notebook again."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    drawing = "import pathlib; p = pathlib.Path('../out/figures/a'); p.mkdir(parents=True, exist_ok=True);"
    counted(folder, "a", cell=f"{drawing} (p / 'best.csv').write_text('1')")
    reports.report(folder, out)
    (out / "figures" / "a" / ".best.csv.01234567.part").touch()
    assert reports.report(folder, out)[0].kept
    for count, path in enumerate((out / "a.html", out / "figures" / "a" / "best.csv"), 2):
        wanted = path.read_bytes()
        path.write_text("of a run with other parameters that was killed")
        reports.report(folder, out)
        assert runs(folder) == {"a": count}
        assert path.read_bytes() == wanted


@pytest.mark.slow
def test_a_change_of_what_it_depends_on_runs_a_notebook_again(tmp_path, monkeypatch):
    """A parameter, a cell, the code, a data file, the file that a parameter names, a lost page or figure."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    drawing = "import pathlib; p = pathlib.Path('../out/figures/a'); p.mkdir(parents=True, exist_ok=True);"
    counted(folder, "a", cell=f"{drawing} (p / 'curve.png').touch()")
    (folder / "prompt.md").write_text("one")

    def again(**settings):
        before = runs(folder).get("a", 0)
        reports.report(folder, out, **settings)
        return runs(folder)["a"] - before

    assert [again(), again(), again(parameters={"iterations": 2})] == [1, 0, 0]
    assert [again(parameters={"iterations": 3}), again(parameters={"iterations": 3})] == [1, 0]
    assert [again(parameters={"name": "prompt.md"}), again(parameters={"name": "prompt.md"})] == [1, 0]
    (folder / "prompt.md").write_text("two")
    assert [again(parameters={"name": "prompt.md"}), again(), again()] == [1, 1, 0]
    counted(folder, "a", cell=f"{drawing} (p / 'curve.png').touch(); 1")
    assert [again(), again()] == [1, 0]
    monkeypatch.setattr(report_records, "code_sum", lambda: "sum of other code")
    assert [again(), again()] == [1, 0]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Results_ResNet.json").write_text("{}")
    assert [again(), again()] == [1, 0]
    for lost in ("a.html", "a.ipynb", "figures/a/curve.png"):
        (out / lost).unlink()
        assert [again(), again()] == [1, 0]


def test_a_notebook_counts_only_the_data_it_needs(tmp_path, monkeypatch):
    """Another table that arrives is nothing to it."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "Results_ResNet.json").write_text("{}")
    before = report_records.data_sums(["Results_ResNet.json"], {}, tmp_path)
    (data / "Results_MobileNet.json").write_text("{}")
    assert report_records.data_sums(["Results_ResNet.json"], {}, tmp_path) == before
    named = report_records.data_sums(["Results_ResNet.json"], {"benchmark": "channel-bench-mobilenet"}, tmp_path)
    assert set(named) == {"Results_ResNet.json", "Results_MobileNet.json"}
    assert {"Results_ResNet.json", "Results_MobileNet.json"} <= set(report_records.data_sums([], {}, tmp_path))


def test_a_failure_runs_again_and_a_success_forgets_it(tmp_path):
    """A failed notebook is never kept; what it left is dropped as soon as the old state is wanted again."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    counted(folder, "a")
    reports.report(folder, out)
    counted(folder, "a", cell="1 / 0")
    assert [reports.report(folder, out)[0].status for _ in range(2)] == ["failed", "failed"]
    assert runs(folder) == {"a": 3}
    assert "last page that was complete" in (out / "index.html").read_text()
    counted(folder, "a")
    (kept,) = reports.report(folder, out)
    assert kept.kept
    assert sorted(path.name for path in out.glob("a.*")) == ["a.html", "a.ipynb"]


def test_the_code_sum_follows_every_file(tmp_path, monkeypatch):
    """The version, the text and the name of each file count; compiled files do not."""
    monkeypatch.undo()
    monkeypatch.setattr(report_records, "__file__", str(tmp_path / "report_records.py"))
    (tmp_path / "a.py").write_text("1")
    sums = [report_records.code_sum()]
    (tmp_path / "a.py").write_text("2")
    sums.append(report_records.code_sum())
    (tmp_path / "b.md").write_text("")
    sums.append(report_records.code_sum())
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("3")
    assert len({*sums, report_records.code_sum()}) == 3


@pytest.mark.slow
def test_a_killed_report_goes_on_where_it_was(tmp_path, monkeypatch):
    """After SIGKILL in the second notebook the first is kept, the others run, and nothing half-done is left."""
    monkeypatch.undo()
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    counted(folder, "a", "c")
    counted(folder, "b", cell="import time, os; os.path.exists('go') or time.sleep(120)")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(out)], env=os.environ)
    try:
        wait_for(lambda: "b" in runs(folder))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(out.glob(".running-*"))
    (folder / "go").touch()
    results = reports.report(folder, out)
    assert [result.status for result in results] == ["done", "done", "done"]
    assert runs(folder)["b"] == 2
    assert runs(folder)["c"] == 1
    assert not list(out.glob(".running-*"))
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".lock") == sorted(
        ["index.html", *(f"{name}.{kind}" for name in "abc" for kind in ("html", "ipynb"))]
    )


def wait_for(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_reports_into_one_folder_are_refused(tmp_path):
    """The second one says so at once and touches nothing."""
    import filelock

    folder, out = tmp_path / "notebooks", tmp_path / "out"
    counted(folder, "a")
    out.mkdir()
    with (
        filelock.FileLock(out / ".report.lock"),
        pytest.raises(InvalidParameter, match="another report is being written"),
    ):
        reports.report(folder, out)
    assert runs(folder) == {}


def test_any_executor_runs_a_report(tmp_path):
    """Worker processes of the caller do what threads do; one that dies costs its notebook a sentence, no more."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    counted(folder, "a", "b")
    with ProcessPoolExecutor(2) as executor:
        results = reports.report(folder, out, executor=executor)
    assert [result.status for result in results] == ["done", "done"]
    with ProcessPoolExecutor(1) as executor:
        executor.submit(os._exit, 1)
        (lost, _) = reports.report(folder, out, executor=executor, force=True)
    assert (lost.status, lost.error[:25]) == ("failed", "the worker gave no answer")


@pytest.mark.slow
def test_a_notebook_over_its_time_limit_fails_and_the_others_go_on(tmp_path):
    """The limit holds for all cells together; the cell under way is marked."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "import time\ntime.sleep(1.5)", "time.sleep(60)")
    write(folder, "b", "print('here')")
    slow, quick = reports.report(folder, out, time_limit=6)
    assert (slow.status, quick.status) == ("failed", "done")
    assert slow.error == "a.ipynb, cell 3: the notebook ran longer than 6 s, its time limit"
    page = (out / "a.failed.html").read_text()
    assert "TimeLimit" in page or "its time limit" in page
    assert 'id="papermill-error-cell"' in page


def test_a_kernel_that_dies_is_told(tmp_path):
    """The sentence names the cell that killed it, and the page shows it."""
    path = write(tmp_path / "notebooks", "a", "1", "import os\nos._exit(1)")
    with pytest.raises(NotebookFailed, match=r"a.ipynb, cell 3: the kernel died while this cell ran"):
        reports.run_notebook(path, tmp_path / "out")
    page = (tmp_path / "out" / "a.failed.html").read_text()
    assert "the kernel died while this cell ran" in page


@pytest.mark.parametrize("where", ["file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, where):
    """Before anything runs, with the folder and the option that names another."""
    folder = tmp_path / "notebooks"
    counted(folder, "a")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameter, match=r"cannot be written \(.*\)\. Nothing was run.*--output FOLDER`"):
        reports.report(folder, tmp_path / where)
    assert runs(folder) == {}


def test_a_notebook_without_a_parameters_cell_is_told(tmp_path):
    """It runs, and the result and the index say that nothing in it can be set."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "print('alone')", parameters=None)
    (result,) = reports.report(folder, out)
    assert (result.status, outputs(result.notebook)) == ("done", "alone\n")
    assert "no cell tagged 'parameters'" in result.detail
    assert "no cell tagged &#39;parameters&#39;" in (out / "index.html").read_text()
    with pytest.raises(InvalidParameter, match="no notebook has a parameter 'iterations'"):
        reports.report(folder, out, parameters={"iterations": 1})


def test_a_damaged_notebook_fails_and_the_others_go_on(tmp_path):
    """A file that is no notebook is a failed row of the index."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    write(folder, "a", "1")
    (folder / "b.ipynb").write_text("{")
    good, bad = reports.report(folder, out)
    assert (good.status, bad.status) == ("done", "failed")
    assert "not a notebook that can be read" in bad.error
