"""Files of figures and tables: the same bytes from the same input, TrueType fonts, provenance without places."""

import hashlib
import json
import re

import pandas as pd
import pytest

from genius_kit import figures
from genius_kit.benchmarks import downloads
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.figures.drawings import draw_architecture
from genius_kit.figures.tables import PrintedTable
from genius_kit.spaces import load_space

TABLE = pd.DataFrame({"method": ["random", "random"], "iteration": [1, 2], "feedback": [80.0, 82.5]})


def runs():
    """One made-up run with a measured time and a source."""
    frame = TABLE.assign(best_so_far=TABLE["feedback"], seconds=0.125, source="nas-bench-macro_cifar10.json")
    return {"random": [frame]}


def save(folder, **settings):
    """Draw and save once."""
    return figures.save_figure(figures.best_so_far(runs()), folder, "best", figures.run_table(runs()), **settings)


def test_two_runs_give_the_same_bytes(tmp_path):
    """Drawing twice gives the same PDF, SVG, PNG, CSV and JSON, and no half file stays behind."""
    for folder in ("first", "second"):
        save(tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["best.csv", "best.json", "best.pdf", "best.png", "best.svg"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_figure_is_arranged_once_for_all_its_files(tmp_path):
    """Three formats take one layout, not three, and the figure can be arranged again afterwards."""
    figure = figures.best_so_far(runs())
    engine, arranged = figure.get_layout_engine(), []
    execute = engine.execute
    engine.execute = lambda drawn: arranged.append(drawn) or execute(drawn)
    figures.save_figure(figure, tmp_path, "best")
    assert len(arranged) == 1
    assert figure.get_layout_engine() is engine


@pytest.mark.parametrize("name", ["nas-bench-macro", "nas-bench-201", "channel-bench-resnet", "mobilenet-imagenet"])
def test_drawings_of_architectures_are_the_same_bytes_too(tmp_path, name):
    """A figure made by pyplot is saved as one of ours is."""
    space = load_space(name)
    for folder in ("first", "second"):
        figures.save_figure(draw_architecture(space, (1,) * space.length).figure, tmp_path / folder, "best")
    for suffix in (".pdf", ".svg"):
        first, second = (tmp_path / folder / f"best{suffix}" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_no_date_is_written_and_fonts_are_embedded_as_truetype(tmp_path):
    """Venues refuse Type 3 fonts; a date would make every file another one."""
    save(tmp_path)
    pdf, svg = (tmp_path / "best.pdf").read_bytes(), (tmp_path / "best.svg").read_text(encoding="utf-8")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    assert "<dc:date>" not in svg


def test_the_csv_holds_no_measured_time_and_no_path(tmp_path):
    """What another run or another machine would give otherwise stays out."""
    table = TABLE.assign(journal="/home/someone/runs/a.jsonl", seconds=[0.1, 0.2], images_per_second=[9.5, 8.5])
    figures.save_figure(figures.best_so_far(runs()), tmp_path, "best", table)
    kept = pd.read_csv(tmp_path / "best.csv")
    assert list(kept.columns) == ["method", "iteration", "feedback", "journal"]
    assert set(kept["journal"]) == {"a.jsonl"}


def test_provenance_names_versions_sums_and_parameters(tmp_path):
    """The data's published sum, by the column `source`; an absolute path is cut to its last part."""
    save(tmp_path, sources=["paper_tables.json"], parameters={"budget": 10, "folder": "/home/someone/out"})
    told = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))
    assert told["data"]["nas-bench-macro_cifar10.json"] == downloads.FILES["nas-bench-macro_cifar10.json"].sha256
    assert re.fullmatch("[0-9a-f]{64}", told["data"]["paper_tables.json"])
    assert told["parameters"] == {"budget": 10, "folder": "out"}
    assert {"python", "genius-kit", "matplotlib", "numpy"} <= set(told["versions"])
    assert hashlib.sha256((tmp_path / "best.csv").read_bytes()).hexdigest() == told["csv_sha256"]


@pytest.mark.parametrize("name", ["api_key", "OPENAI_API_KEY", "password", "access_token"])
def test_a_parameter_that_looks_like_a_secret_is_refused(tmp_path, name):
    """It would be saved beside the figure; nothing is written."""
    with pytest.raises(InvalidParameter, match="looks like a secret"):
        save(tmp_path, parameters={name: "x"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../best", "a b", ""])
def test_a_figure_name_that_is_no_file_name_is_refused(tmp_path, name):
    """A name cannot leave its folder."""
    with pytest.raises(InvalidParameter, match="no figure name"):
        figures.save_figure(figures.best_so_far(runs()), tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("venue", "span", "width"), [("neurips", None, 5.5), ("icml", None, 3.25), ("ICML", "page", 6.75)]
)
def test_a_venue_gives_the_width_of_the_page(tmp_path, venue, span, width):
    """The PDF is as wide as the venue's style file says, and the venue is on record."""
    figure = save(tmp_path, venue=venue, span=span)
    assert figure.get_size_inches()[0] == pytest.approx(width, abs=1e-4)
    box = re.search(rb"/MediaBox \[ *0 0 ([\d.]+) ", (tmp_path / "best.pdf").read_bytes())
    assert float(box.group(1)) == pytest.approx(72 * width, abs=0.01)
    assert json.loads((tmp_path / "best.json").read_text())["parameters"]["venue"] == venue


def test_text_stays_readable_in_a_column(tmp_path):
    """No text of a figure that was fitted is below six points, and the legend is no wider than the figure."""
    from matplotlib.text import Text

    many = {
        name: runs()["random"] for name in ("random", "evolution", *map("a model of long name {}".format, range(8)))
    }
    figure = figures.save_figure(figures.best_so_far(many), tmp_path, "best", venue="icml")
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6
    (axes,) = figure.axes
    assert axes.figure.legends[0].get_window_extent().width <= figure.bbox.width


def test_an_unknown_venue_lists_the_known_ones(tmp_path):
    """Nothing is written."""
    with pytest.raises(UnknownName, match="neurips, iclr, icml, cvpr, ieee"):
        save(tmp_path, venue="nature")
    with pytest.raises(UnknownName, match="column, page"):
        save(tmp_path, venue="icml", span="half")
    assert not list(tmp_path.iterdir())


def test_a_table_is_saved_as_latex_markdown_and_csv(tmp_path):
    """With the sums of the files it comes from."""
    table = PrintedTable("a", ("method",), (("random",),), "n = 1", TABLE, sources=("paper_tables.json",))
    for folder in ("first", "second"):
        figures.save_table(table, tmp_path / folder, "t")
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["t.csv", "t.json", "t.md", "t.tex"]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert list(json.loads((tmp_path / "first" / "t.json").read_text())["data"]) == ["paper_tables.json"]
