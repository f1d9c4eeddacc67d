"""Signs of life of a report: which notebook is at which cell, on a terminal and in a log."""

import pytest

from genius_kit.reports import run as report_progress
from genius_kit.reports import run as reports
from genius_kit.reports.run import ReportProgress, Running
from tests.notebook_files import write

ONE, TWO = Running("a", 34.2, 9, 21), Running("b", 5.0)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2])
def test_a_report_tells_at_which_cell_it_is(tmp_path, monkeypatch, cores):
    """Every second, also within a long cell; two notebooks side by side by default, one where there is one core."""
    monkeypatch.setattr(reports, "usable_cores", lambda: cores)
    for name in ("a", "b"):
        write(tmp_path / "notebooks", name, "import time; time.sleep(2.5)", "1")
    looks = []
    reports.report(tmp_path / "notebooks", tmp_path / "out", on_look=lambda *look: looks.append((*map(str, look[0]),)))
    assert max(map(len, looks)) == cores
    told = [line for look in looks for line in look]
    assert [line for line in told if line.startswith("a (cell 2 of 3, ")]
    assert len(set(told)) > 3


@pytest.mark.slow
def test_an_executor_that_is_not_ours_tells_what_runs(tmp_path):
    """Another process may run the notebook: its name and seconds are told, its cell is not."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    write(tmp_path / "notebooks", "a", "import time; time.sleep(2.5)")
    looks = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        reports.report(
            tmp_path / "notebooks", tmp_path / "out", executor=pool, on_look=lambda *look: looks.append(look)
        )
    told = [str(one) for some, left in looks for one in some if left == 1]
    assert told
    assert all(line.startswith("a (") and "cell" not in line for line in told)


def test_a_log_has_a_line_now_and_then(monkeypatch, capsys):
    """Whole lines with the cell and the seconds, and no carriage return; nothing before some seconds have passed."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", "plain")
    progress = ReportProgress()
    progress.look([ONE], 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(report_progress, "PLAIN_SECONDS", 0)
    with progress:
        progress.look([ONE, TWO], 3)
        progress.look([], 0)
    assert capsys.readouterr().err == "running a (cell 9 of 21, 34 s), b (5 s); 3 left\n"


def test_a_terminal_has_one_line_that_makes_way(monkeypatch, capsys):
    """It is overwritten, no longer than the terminal is wide, and gone before anything else is printed."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", "bar")
    monkeypatch.setenv("COLUMNS", "30")
    with ReportProgress() as progress:
        progress.look([ONE, TWO], 3)
    written = capsys.readouterr().err
    line = "running a (cell 9 of 21, 34 s)"[:29]
    assert written == f"{line}\r{' ' * 29}\r"


def test_no_progress_is_asked_for(monkeypatch, capsys):
    """GENIUS_KIT_PROGRESS=none prints nothing."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", "none")
    monkeypatch.setattr(report_progress, "PLAIN_SECONDS", 0)
    with ReportProgress() as progress:
        progress.look([ONE], 1)
    assert capsys.readouterr().err == ""
