"""Grids of parameters: what a file says, what is refused with its line, and where the runs go."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from genius_kit.cli import app
from genius_kit.errors import InvalidParameter
from genius_kit.reports import run as reports
from genius_kit.reports.index import overviews
from genius_kit.reports.parameters import label_of, read_grid
from tests.notebook_files import outputs, write


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No published data, whatever this machine has; the package's own files stand still."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("genius_kit.reports.records.code_sum", lambda: "sum of the code")


@pytest.fixture
def known(tmp_path):
    """Two notebooks, one of them without parameters, by name."""
    settings = (
        "iterations: int = 2  # steps\nname: str = 'a'\nrate: float = 0.5\nheat: float = None\noutput_folder: str = '.'"
    )
    first = write(tmp_path / "notebooks", "a", "print(iterations, name)", parameters=settings)
    return {"a": first, "b": write(tmp_path / "notebooks", "b", "1", parameters=None)}


def read(tmp_path, known, text):
    """Return what a grid of this text says, notebooks by name."""
    path = tmp_path / "grid.yml"
    path.write_text(text)
    return [(source.stem, parameters) for source, parameters in read_grid(path, known)]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("a: {iterations: 3}", [{"iterations": 3}]),
        ("a.ipynb: {iterations: [3, 4]}", [{"iterations": 3}, {"iterations": 4}]),
        (
            "a:\n  iterations: [3, 4]\n  name: [x, y]",
            [{"iterations": i, "name": n} for i in (3, 4) for n in ("x", "y")],
        ),
        ("a:\n  - iterations: 3\n  - {rate: [1, 0.5]}", [{"iterations": 3}, {"rate": 1}, {"rate": 0.5}]),
        ('a: {name: ["01201201"]}', [{"name": "01201201"}]),
        ("a: {heat: [null, 0.7]}", [{"heat": None}, {"heat": 0.7}]),
        ("a:", [{}]),
    ],
)
def test_a_grid_is_every_combination(tmp_path, known, text, points):
    """Values and lists of values multiply, a list of blocks adds up."""
    assert read(tmp_path, known, text) == [("a", point) for point in points]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {iterations: 3}\nc: {iterations: 3}", r"grid.yml, line 2: no notebook is called 'c'; .* are a, b"),
        ("a:\n  iterations: 3\n  iteration: 4", r"line 3: a.ipynb has no parameter 'iteration'; .* iterations, name"),
        ("a:\n  iterations:\n  - 3\n  - x", r"line 4: parameter 'iterations' of a.ipynb must be int, got 'x' \(str\)"),
        ("a:\n  rate: null", r"line 2: parameter 'rate' of a.ipynb must be float, got None"),
        ("a:\n  name: 1201201", r"line 2: .* must be str, got 1201201 \(int\)"),
        ("a:\n  api_key: x", r"line 2: 'api_key' looks like a secret"),
        ("a:\n  keyToken: x", r"line 2: 'keyToken' looks like a secret"),
        ("b:\n  iterations: 3", r"line 2: b.ipynb has no parameter .* it has no cell tagged 'parameters'"),
        ("a:\n  output_folder: x", r"line 2: output_folder is the report's own"),
        ("a:\n  iterations: []", r"line 2: iterations has no value"),
        ("a:\n- iterations: 3\n- iterations: 3", r"line 3: a with \{'iterations': 3\} stands twice"),
        ("a: 3", r"line 1: 3 is not a mapping of parameters"),
        ("- a", r"line 1: a grid needs notebooks, each with its parameters"),
        ("", r"a grid needs notebooks"),
        ("a: [", r"not plain YAML"),
        ("a: !!python/object:os.system {}", r"not plain YAML"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path, known, text, message):
    """The sentence names the file and the line, and what is known."""
    with pytest.raises(InvalidParameter, match=message):
        read(tmp_path, known, text)


def test_a_grid_that_is_not_there_is_refused(tmp_path, known):
    """The message names the file."""
    with pytest.raises(InvalidParameter, match=r"nothing\.yml cannot be read"):
        read_grid(tmp_path / "nothing.yml", known)


def test_each_set_of_parameters_has_its_own_folder_name():
    """Readable where it can be, short, and never the same for two sets."""
    assert label_of({"budget": 5, "protocol": "held-out"}) == "budget-5_protocol-held-out"
    assert label_of({}) == "defaults"
    sets = [{"name": "a/b"}, {"name": "a:b"}, {"name": "../x"}, {"name": "x" * 200}, {"name": "x" * 199}]
    labels = [label_of(one) for one in sets]
    assert len(set(labels)) == len(labels)
    assert all(Path(label).name == label and len(label) <= 80 and not label.startswith(".") for label in labels)


def test_a_grid_runs_each_set_into_its_folder(tmp_path, known):
    """The index lists each with its parameters, a second call keeps all of it, another value runs alone."""
    folder, out, grid = tmp_path / "notebooks", tmp_path / "out", tmp_path / "grid.yml"
    grid.write_text("a: {iterations: [3, 4]}\nb:")
    results = reports.report(folder, out, grid=grid)
    assert [(result.name, result.label, result.status) for result in results] == [
        ("a", "iterations-3", "done"),
        ("a", "iterations-4", "done"),
        ("b", "defaults", "done"),
    ]
    assert outputs(out / "grid" / "a" / "iterations-4" / "a.ipynb") == "4 a\n"
    grid.write_text("a: {iterations: [3, 5]}")
    assert [result.kept for result in reports.report(folder, out, grid=grid)] == [True, False]
    index = (out / "index.html").read_text()
    for value in (3, 4, 5):
        assert f'href="grid/a/iterations-{value}/a.html"' in index
        assert f"<code>iterations = {value}</code>" in index
    with pytest.raises(InvalidParameter, match="a grid names its notebooks"):
        reports.report(folder, out, grid=grid, parameters={"iterations": 1})


def test_values_are_a_grid_without_a_file(tmp_path, known):
    """Each with what is set for all; the values are of the type that the notebook declares, and need its name."""
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    values = reports.read_values(folder, ["a"], ["iterations=3,4", "heat=None,0.5"])
    assert values == {"iterations": [3, 4], "heat": [None, 0.5]}
    told = {"names": ["a"], "parameters": {"name": "x"}}
    results = reports.report(folder, out, grid={"iterations": values["iterations"]}, **told)
    assert [outputs(result.notebook) for result in results] == ["3 x\n", "4 x\n"]
    for wrong, words in (
        ({**told, "grid": {"iteration": [3]}}, "no notebook has a parameter 'iteration'"),
        ({**told, "grid": {"iterations": ["x"]}}, "must be int"),
        ({"grid": {"iterations": [3]}}, "need the names of notebooks"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            reports.report(folder, out, **wrong)


CONCLUDES = """
from genius_kit import figures
rows = [{"search": "a|b", "rank": f"{iterations}.5"}, {"search": "=random", "rank": "–"}]
1 / (iterations - 9)
figures.conclude(f"{name} found <{iterations}>.", rows, "Best", "n = 1.")
"""


def test_a_grid_ends_with_one_table(tmp_path):
    """A row for each set, defaults filled in, also for what failed or ran before; the CSV has every row."""
    folder, out, grid = tmp_path / "notebooks", tmp_path / "out", tmp_path / "grid.yml"
    write(folder, "a", CONCLUDES.strip())
    grid.write_text("a: [{iterations: [3, 9]}, {name: x}]")
    done = CliRunner().invoke(
        app, ["report", "--grid", str(grid), "--notebooks", str(folder), "--output", str(out)], catch_exceptions=False
    )
    assert done.exit_code == 1
    told = done.output.split("a, over the grid:\n")[1].splitlines()
    assert told[0] == "  iterations 3, name a: a found <3>."
    assert "iterations 9, name a: " in told[1]
    assert "ZeroDivisionError" in told[1]
    assert told[2] == "  iterations 2, name x: x found <2>."
    grid.write_text("a: {iterations: 3}")
    reports.report(folder, out, grid=grid)
    index = (out / "index.html").read_text(encoding="utf-8")
    for text in ("a found &lt;3&gt;.", "ZeroDivisionError", "x found &lt;2&gt;.", 'href="grid/a.csv"'):
        assert text in index.split("over the grid</h2>")[1]
    table = pd.read_csv(out / "grid" / "a.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["iterations", "name", "what was found", "search", "rank"]
    assert table[table["iterations"] == "3"]["rank"].tolist() == ["3.5", "–"]
    assert table[table["iterations"] == "2"]["search"].tolist() == ["a|b", "'=random"]


def test_what_a_last_cell_shows_without_a_conclusion_is_its_text(tmp_path):
    """What it printed or returned, no picture; a notebook without one has a dash."""
    folder, out, grid = tmp_path / "notebooks", tmp_path / "out", tmp_path / "grid.yml"
    write(folder, "a", "print('of', iterations)\n{'b': rate}")
    write(folder, "b", "iterations = 3", parameters=None)
    grid.write_text("a: {iterations: 3}\nb:")
    found = [overview.rows for overview in overviews(reports.report(folder, out, grid=grid))]
    assert found == [(("3", "of 3 {'b': 0.5}"),), (("–",),)]
