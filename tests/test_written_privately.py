"""What is written is looked through as a reader will see it, is readable by its owner only, and goes with its run."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.cli import app
from genius_kit.errors import NotebookFailed
from genius_kit.redaction import variables_shown_in
from genius_kit.reports.bundle import bundle, replay_bundle
from genius_kit.reports.kernels import execute
from genius_kit.reports.pages import refuse_secret_files, refuse_secret_text, refuse_secrets, to_html

SECRET = "sk-A1b2+C3/d4<E5>&f6g7h8"  # pragma: allowlist secret


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


DISGUISES = {
    "entities": "".join(f"&#{ord(sign)};" for sign in SECRET),
    "hexadecimal entities": "".join(f"&#x{ord(sign):x};" for sign in SECRET),
    "a colour": f"\x1b[31m{SECRET[:6]}\x1b[1;32m{SECRET[6:12]}\x1b[0m{SECRET[12:]}",
    "a link of a terminal": f"{SECRET[:6]}\x1b]8;;http://x\x07{SECRET[6:]}",
    "tags": f"<b>{SECRET[:4]}</b><i>{SECRET[4:8]}</i>" + SECRET[8:].replace("&", "&amp;").replace("<", "&lt;"),
    "a sign without width": f"{SECRET[:6]}\u200b{SECRET[6:]}",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_secret_is_seen_as_a_reader_sees_it(disguise: str, tmp_path: Path) -> None:
    """In an output, in a page, in a file of any kind: what looks like the key is the key."""
    import nbformat

    written = f"before {DISGUISES[disguise]} after"
    assert variables_shown_in(written) == ["OPENAI_API_KEY"]
    assert not variables_shown_in(written.replace("A", "B").replace("&#65;", "B").replace("&#x41;", "B"))
    output = nbformat.v4.new_output("display_data", {"text/html": written})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    with pytest.raises(NotebookFailed, match="OPENAI_API_KEY"):
        refuse_secrets(notebook, "a.ipynb")
    with pytest.raises(NotebookFailed, match="OPENAI_API_KEY"):
        refuse_secret_text(written, "a.ipynb")
    (tmp_path / "told.weights").write_text(written, encoding="utf-8")
    with pytest.raises(NotebookFailed, match=r"into told\.weights; that file was deleted"):
        refuse_secret_files(tmp_path, "a.ipynb")
    assert not list(tmp_path.iterdir())


def test_a_page_is_looked_through_as_it_is_written() -> None:
    """A colour inside the key becomes tags in the page, which no reader sees."""
    import nbformat

    output = nbformat.v4.new_output("stream", name="stdout", text=DISGUISES["a colour"])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    page = to_html(notebook, "a")
    assert SECRET not in page
    assert variables_shown_in(page) == ["OPENAI_API_KEY"]


def test_every_new_file_of_a_report_is_looked_at_and_no_other(tmp_path: Path) -> None:
    """Without an ending, deep below, across the pieces that are read; older files and links of the user stay."""
    (tmp_path / "own.env").write_text(SECRET)
    os.utime(tmp_path / "own.env", (1, 1))
    began = time.time() - 5
    (tmp_path / "link").symlink_to(tmp_path / "own.env")
    refuse_secret_files(tmp_path, "a.ipynb", began)
    assert (tmp_path / "own.env").read_text() == SECRET
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "core").write_bytes(b"\xff" * ((1 << 22) - 7) + SECRET.encode() + b"\0" * 100)
    with pytest.raises(NotebookFailed, match="into core"):
        refuse_secret_files(tmp_path, "a.ipynb", began)
    assert not (deep / "core").exists()


def test_what_tells_how_to_reach_a_kernel_lies_with_its_run(tmp_path: Path) -> None:
    """So it is swept with the folder of a report that was killed; no file of it is in Jupyter's own folder."""
    import nbformat

    cell = (
        "import os, ipykernel\npath = ipykernel.get_connection_file()\nprint(path, oct(os.stat(path).st_mode & 0o077))"
    )
    source, executed = tmp_path / "a.ipynb", tmp_path / "run" / "a.ipynb"
    executed.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)]), source)
    assert execute(source, executed, {}) is None
    place, open_to_others = nbformat.read(executed, 4).cells[0].outputs[0].text.split()
    assert Path(place).parent == executed.parent
    assert open_to_others == "0o0"
    assert not Path(place).exists()


def test_studies_and_bundles_are_private(tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """study.yaml, results, summary, heads, the bundle and all that it unpacks to: 0600, as journals are."""
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    text = "name: a\nbenchmarks: [nas-bench-macro]\narms: [random]\nbudget: 2\nseeds: 2\n"
    (tmp_path / "a.yaml").write_text(text)
    done = CliRunner().invoke(app, ["study", "a.yaml", "--yes"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "studies" / "a"
    private = [folder / name for name in ("study.yaml", "results.csv", "summary.csv", "heads.csv")]
    private.append(bundle(folder, tmp_path / "a.tar.gz"))
    replay_bundle(private[-1], tmp_path / "again")
    private += [path for path in (tmp_path / "again").glob("**/*") if path.suffix in (".jsonl", ".yaml")]
    private += [tmp_path / "again" / name for name in ("results.csv", "manifest.json")]
    assert len(private) >= 9
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in private} == {
        path.name: "0o600" for path in private
    }
    assert gk.read_run(next(folder.glob("*.jsonl"))).finished
