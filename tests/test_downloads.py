"""The published files: import, download, verification, and what happens to damaged ones."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from genius_kit import files
from genius_kit.benchmarks import downloads
from genius_kit.errors import DataCorrupt, DataMissing, UnknownName
from genius_kit.files import data_folder

CONTENT = b'{"a": [1, 2, 3]}' * 4000
NAME = "nas-bench-macro_cifar10.json"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("GENIUS_KIT_DATA", str(folder))
    return folder


@pytest.fixture
def toy(home: Path, monkeypatch: pytest.MonkeyPatch) -> downloads.DataFile:
    """A registry of one small file, under a published name."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    file = downloads.DataFile(NAME, f"benchmark/{NAME}", sha256, len(CONTENT), "toy")
    monkeypatch.setattr(downloads, "FILES", {NAME: file})
    return file


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Call with the bytes to answer (and the length to announce): a loopback server stands in for the repository."""
    with contextlib.ExitStack() as stack:

        def start(body: bytes, announced: int | None = None, status: int = 200) -> None:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body) if announced is None else announced))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, format: str, *arguments: object) -> None:
                    """Keep the test output clean."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            monkeypatch.setattr(downloads, "BASE_ADDRESS", f"http://127.0.0.1:{server.server_address[1]}/")

        yield start


def put_old(home: Path) -> Path:
    """Leave an old file where the new one would go."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / NAME
    path.write_bytes(b"old")
    return path


def leftovers(home: Path) -> list[Path]:
    """Return staged files that were not cleaned up."""
    return [path for path in home.rglob("*") if path.name.startswith(".incoming")]


def test_registry_holds_the_published_sums(published: Path) -> None:
    """The eight files have the registered sums, sizes and addresses of one commit."""
    assert len(downloads.FILES) == 8
    for name, file in downloads.FILES.items():
        assert downloads.sha256_of(published / name) == file.sha256
        assert (published / name).stat().st_size == file.bytes
        assert file.url.startswith("https://raw.githubusercontent.com/mingkai-zheng/GENIUS/97361d30b2da337e")
        assert file.url.endswith(f"/{Path(name).name}")


def test_readme_names_every_file_and_sum() -> None:
    """data/README.md of the checkout lists each file with its registered sum and size."""
    readme = Path(downloads.__file__).parent.parent / "data" / "README.md"
    if not readme.is_file():
        pytest.skip("not a checkout: data/README.md is not installed")
    text = readme.read_text(encoding="utf-8")
    assert all(f"| `{file.name}` | {file.bytes:,} | `{file.sha256}` |" in text for file in downloads.FILES.values())


def test_import_finds_files_anywhere_below(published: Path, home: Path, tmp_path: Path) -> None:
    """Files are recognised in any subfolder, and others are left alone."""
    deep = tmp_path / "some" / "where"
    deep.mkdir(parents=True)
    (deep / NAME).symlink_to(published / NAME)
    (deep / "329M.json").symlink_to(published / "chat_history" / "329M.json")
    (deep / "other.json").write_text("{}")
    assert sorted(downloads.import_folder(tmp_path / "some")) == ["chat_history/329M.json", NAME]
    assert downloads.find("chat_history/329M.json") == home / "chat_history" / "329M.json"
    assert leftovers(home) == []


def test_import_refuses_a_wrong_sum(toy: downloads.DataFile, home: Path, tmp_path: Path) -> None:
    """An altered file is refused with both sums, and the old file stays."""
    old = put_old(home)
    source = tmp_path / "source"
    source.mkdir()
    altered = b"[" + CONTENT[1:]
    (source / NAME).write_bytes(altered)
    with pytest.raises(DataCorrupt) as caught:
        downloads.import_folder(source)
    assert toy.sha256 in str(caught.value)
    assert hashlib.sha256(altered).hexdigest() in str(caught.value)
    assert old.read_bytes() == b"old"
    assert leftovers(home) == []


def test_import_prefers_the_right_copy(toy: downloads.DataFile, home: Path, tmp_path: Path) -> None:
    """Of two files with the same name the one with the published sum is taken."""
    for folder, content in (("a", b"stale"), ("b", CONTENT)):
        (tmp_path / "source" / folder).mkdir(parents=True)
        (tmp_path / "source" / folder / NAME).write_bytes(content)
    assert downloads.import_folder(tmp_path / "source") == [NAME]
    assert (home / NAME).read_bytes() == CONTENT


def test_import_keeps_good_files_beside_a_bad_one(published: Path, home: Path, tmp_path: Path) -> None:
    """A bad file does not keep the good ones out."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "329M.json").symlink_to(published / "chat_history" / "329M.json")
    (source / NAME).write_bytes(b"{}")
    with pytest.raises(DataCorrupt, match=NAME):
        downloads.import_folder(source)
    assert downloads.find("chat_history/329M.json").is_file()


@pytest.mark.parametrize("exists", [True, False])
def test_import_of_nothing_is_an_error(home: Path, tmp_path: Path, exists: bool) -> None:
    """A folder without published files, or no folder at all, is refused with the names expected."""
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()
    with pytest.raises(DataMissing, match=NAME):
        downloads.import_folder(folder)


def test_fetch_downloads_and_skips_what_is_here(
    toy: downloads.DataFile, home: Path, serve: Callable[..., None]
) -> None:
    """A good download lands in the data folder; a second fetch downloads nothing."""
    serve(CONTENT)
    assert downloads.fetch() == [NAME]
    assert downloads.find(NAME).read_bytes() == CONTENT
    assert downloads.fetch() == []
    assert leftovers(home) == []


def test_fetch_replaces_a_damaged_file(toy: downloads.DataFile, home: Path, serve: Callable[..., None]) -> None:
    """A file with another sum is downloaded again."""
    put_old(home)
    serve(CONTENT)
    assert downloads.fetch([NAME]) == [NAME]
    assert (home / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("body", "announced"),
    [
        (b"[" + CONTENT[1:], None),
        (CONTENT[:-100], None),
        (CONTENT[:-100], len(CONTENT)),
        (b"", None),
        (b"<html>moved</html>", None),
    ],
    ids=["altered", "short", "cut", "empty", "html"],
)
def test_damaged_download_is_refused(
    toy: downloads.DataFile, home: Path, serve: Callable[..., None], body: bytes, announced: int | None
) -> None:
    """A download that is cut or altered is refused, the old file stays, and nothing is left behind."""
    old = put_old(home)
    serve(body, announced)
    with pytest.raises(DataCorrupt, match=NAME):
        downloads.fetch()
    assert old.read_bytes() == b"old"
    assert leftovers(home) == []


def test_failed_download_names_the_other_way(toy: downloads.DataFile, home: Path, serve: Callable[..., None]) -> None:
    """A server that has no such file is reported with its address and the import command."""
    serve(b"not found", status=404)
    with pytest.raises(DataMissing, match=r"127\.0\.0\.1.*genius-kit data import DIR"):
        downloads.fetch()


def test_unreachable_server(toy: downloads.DataFile, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server at all is the same error, not a traceback of the HTTP library."""
    monkeypatch.setattr(downloads, "BASE_ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(DataMissing, match="could not be downloaded"):
        downloads.fetch()


def test_missing_file_names_both_ways(home: Path) -> None:
    """A file that is not here is refused with both commands."""
    with pytest.raises(DataMissing, match=r"genius-kit data fetch.*genius-kit data import DIR"):
        downloads.find(NAME)


def test_unknown_file_names_the_known_ones(home: Path) -> None:
    """An unknown file name is refused with the list."""
    with pytest.raises(UnknownName, match=NAME):
        downloads.fetch(["macro.json"])


def test_cut_file_is_refused(toy: downloads.DataFile, home: Path) -> None:
    """A file of the wrong size in the data folder is refused, not read."""
    put_old(home)
    with pytest.raises(DataCorrupt, match=f"3 bytes.*{len(CONTENT)}"):
        downloads.find(NAME)


def test_status_without_data(home: Path) -> None:
    """With nothing downloaded every file is missing, and the status says from where it comes."""
    table = downloads.status()
    assert list(table["name"]) == list(downloads.FILES)
    assert set(table["state"]) == {"missing"}
    assert table["address"].str.startswith("https://").all()


def test_status_and_verify_with_data(data_home: Path) -> None:
    """With the files imported all are present and verified."""
    assert set(downloads.status()["state"]) == {"present"}
    assert set(downloads.verify()["state"]) == {"verified"}


def test_verify_refuses_an_altered_file(toy: downloads.DataFile, home: Path) -> None:
    """A file of the right size with other bytes passes the status and is found by verify, with both sums."""
    altered = b"[" + CONTENT[1:]
    put_old(home).write_bytes(altered)
    assert list(downloads.status()["state"]) == ["present"]
    with pytest.raises(DataCorrupt) as caught:
        downloads.verify()
    assert toy.sha256 in str(caught.value)
    assert hashlib.sha256(altered).hexdigest() in str(caught.value)


def test_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GENIUS_KIT_DATA moves the data folder; without it, it is data/downloads of the checkout."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("GENIUS_KIT_DATA")
    assert data_folder() == Path(files.__file__).parents[1] / "data" / "downloads"


def test_an_installed_package_keeps_its_data_in_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outside a checkout the folder is the user's, whatever the working directory."""
    monkeypatch.delenv("GENIUS_KIT_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "genius_kit" / "files.py"))
    found = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        found.append(data_folder())
    assert found[0] == found[1] == platformdirs.user_data_path("genius-kit", appauthor=False)
    assert not found[0].is_relative_to(tmp_path / "one")
