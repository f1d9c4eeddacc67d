"""One hostile name of a model, an arm and a run through every writer: shown, and nothing done by it."""

import ast
import csv
import io
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.cli import commands as cli
from genius_kit.figures.files import save_figure, save_table
from genius_kit.figures.studies import arm_ranks, rank_curves
from genius_kit.figures.tables import PrintedTable
from genius_kit.journal import Journal
from genius_kit.lab.replies import Answer, Rule, answer_html
from genius_kit.proposers.base import make_proposer
from genius_kit.reports.index import write_index
from genius_kit.reports.jobs import NotebookResult
from genius_kit.runs.loop import search
from genius_kit.studies.results import curves, read_results, summary
from genius_kit.texts import csv_of, for_csv, for_figure, for_html, for_latex, for_markdown, for_terminal, in_line
from tests.doubles import QueueClient, ToyBenchmark
from tests.hostile import NAME

PACKAGE = Path(gk.__file__).parent
BEGINNINGS = ("=", "+", "-", "@", "\t=", "\r=")


def steers(text):
    """Return the signs of a text that a terminal or a page obeys rather than shows."""
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs") and sign not in "\n\t"}


def test_what_is_shown_on_a_terminal_steers_nothing():
    """Escape sequences go whole, other control signs and marks of direction become spaces, lines and tabs stay."""
    assert for_terminal("a\x1b[31mb\x1b]0;title\x07c\x1b(d\x9b1me\u202ef\ng\th") == "abc (d 1me f\ng\th"
    assert in_line(NAME).startswith("evil gpj.exe $x^{$ <img")
    assert not steers(for_terminal(NAME))


@pytest.mark.parametrize("begins", BEGINNINGS)
def test_no_cell_of_a_csv_is_a_formula(begins):
    """A text that begins like a formula gets a ' before it; numbers, also as text, stay numbers."""
    rows = list(csv.reader(io.StringIO(csv_of(pd.DataFrame({f"{begins}x": [f"{begins}1+1", None, 3]})))))
    assert all(cell[:1] not in tuple("=+-@\t\r") for row in rows for cell in row)
    assert [for_csv(text) for text in ("-1.5", "+3", "a=1")] == ["-1.5", "+3", "a=1"]
    frame = pd.DataFrame({"a": [1, None], "b": pd.Series([1, None], dtype=object)})
    assert csv_of(frame) == "a,b\n1.0,1\n,\n"


def test_the_package_prints_through_one_function():
    """`print` and `to_csv` stand in `texts`, and where a line is drawn anew; nothing else escapes HTML."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name == "print" or name.endswith((".to_csv", "html.escape")):
                found.add((path.relative_to(PACKAGE).as_posix(), name.split(".")[-1]))
    assert found == {
        ("texts.py", "print"),
        ("texts.py", "escape"),
        ("texts.py", "to_csv"),
        ("reports/run.py", "print"),
        ("redaction.py", "escape"),  # looks for secrets in that form
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two searches on a table whose arm, model and prompt have the hostile name, and one of a reference arm."""
    folder = tmp_path_factory.mktemp("study")
    table = gk.load_benchmark("nas-bench-201-cifar10")
    for seed, arm in ((0, f"={NAME}"), (1, f"={NAME}"), (0, "plain"), (1, "plain")):
        path = folder / f"{arm[:1].replace('=', 'h')}{seed}.jsonl"
        client = type("Named", (QueueClient,), {"model": f"@{NAME}"})()
        proposer = make_proposer("random", table.space)
        search(table, proposer, budget=2, seed=seed, journal=path)
        rename(path, arm, client.model)
    return folder


def rename(path, arm, model):
    """Write a journal anew under another arm and model."""
    events = gk.read_run(path).events
    path.unlink()
    with Journal(path) as journal:
        for event in events:
            fields = {name: value for name, value in event.items() if name not in ("event", "time")}
            if event["event"] == "run_started":
                fields["study"] = {"name": NAME, "arm": arm, "order": 0}
                fields["run"] = {**fields["run"], "settings": {"model": model, "prompt": NAME}}
            journal.record(event["event"], **fields)


def test_results_and_tables_hold_the_name_as_a_name(runs, tmp_path):
    """The CSV has no formula, LaTeX no command, Markdown no code and no tag."""
    found = read_results(runs)
    assert set(found["arm"]) == {f"={NAME}", "plain"}
    for frame in (found, summary(found)):
        rows = list(csv.reader(io.StringIO(csv_of(frame))))
        assert all(cell[:1] not in tuple("=+@\t\r") for row in rows for cell in row)
        assert not any(steers(cell) for row in rows for cell in row)
    table = PrintedTable(NAME, (NAME, "n"), ((NAME, "1"),), NAME, found)
    save_table(table, tmp_path, "t")
    latex, markdown = (tmp_path / "t.tex").read_text(), (tmp_path / "t.md").read_text()
    assert "\\input" not in latex
    assert not re.search(r"(?<!\\)[$&%#](?![^\n]*\\\\$)", for_latex(NAME))
    assert not re.search(r"(?<!\\)[`<>$|]", for_markdown(NAME))
    assert not steers(latex + markdown)
    assert "formula" not in (tmp_path / "t.csv").read_text()


def test_figures_draw_the_name_as_it_is(runs, tmp_path):
    """A pair of $ is no formula, in titles, legends and at ticks; the SVG is sound XML without a script."""
    found = read_results(runs)
    ranks = curves(found)
    figure = arm_ranks(found, None, None, NAME)
    save_figure(figure, tmp_path, "ranks", found)
    save_figure(rank_curves(ranks), tmp_path, "curves", ranks)
    for name in ("ranks", "curves"):
        ElementTree.fromstring((tmp_path / f"{name}.svg").read_bytes())
        assert (tmp_path / f"{name}.pdf").stat().st_size > 1_000
    assert not steers(for_figure(NAME))
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_pages_show_the_name_as_text(tmp_path):
    """The index of a report, a card of a notebook and a panel of the lab hold no tag of it."""
    answer = Answer(NAME, ((NAME, ""),), (Rule(NAME, False, NAME),), None, None, None)
    result = NotebookResult("n", NAME, "failed", error=NAME, given={NAME: NAME}, parameters={NAME: NAME}, note=NAME)
    page = write_index([result], tmp_path).read_text()
    run = gk.read_run(hostile_run(tmp_path))
    for shown in (page, run._repr_html_(), answer_html(answer, ToyBenchmark()), for_html(NAME)):
        assert "<img src=x" not in shown
        assert "&lt;img src=x" in shown
        assert not steers(shown)
    assert not steers(repr(run))


def hostile_run(folder):
    path = folder / "a.jsonl"
    search(ToyBenchmark(), make_proposer("random", ToyBenchmark().space), budget=1, seed=0, journal=path)
    rename(path, NAME, NAME)
    return path


@pytest.mark.parametrize("command", [["verify"], ["audit"], ["ctl", "status"]])
def test_commands_print_nothing_that_steers(tmp_path, command):
    """What a journal of another hand says of itself reaches the terminal as text."""
    path = str(hostile_run(tmp_path))
    given = [command[0], path, *command[1:]]
    result = CliRunner().invoke(cli.app, given)
    assert result.output
    assert not steers(result.output)


def test_an_error_and_a_warning_steer_nothing(tmp_path, monkeypatch, capsys):
    """A hostile name in a message of an error goes through the same function."""
    monkeypatch.setattr("sys.argv", ["genius-kit", "run", f"x{NAME}"])
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr()
    assert "evil" in told.err + told.out or "gpj" in told.err + told.out
    assert not steers(told.err + told.out)
