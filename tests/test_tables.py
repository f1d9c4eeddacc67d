"""The compact cache: faithful, fast, rebuilt when damaged, never needed."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genius_kit.benchmarks import downloads, tabular
from genius_kit.errors import DataCorrupt
from genius_kit.spaces import load_space

MACRO = "nas-bench-macro_cifar10.json"


@pytest.fixture
def home(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the smallest table, to be damaged freely."""
    shutil.copyfile(published / MACRO, tmp_path / MACRO)
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    return tmp_path


def cached(home: Path) -> Path:
    """Return the one file in the cache."""
    (path,) = (home / "cache").iterdir()
    return path


@pytest.mark.parametrize("name", tabular.TABLE_SPACES)
def test_cache_is_the_file(data_home: Path, name: str) -> None:
    """Every row of a published file stands in its table at the row of its space, from the cache too."""
    tabular.load_table(name)
    table = tabular.load_table(name)
    space = load_space(tabular.TABLE_SPACES[name])
    records = json.loads(downloads.find(name).read_bytes())
    assert len(records) == space.size
    rows = [space.index(space.decode(key)) for key in records]
    fields = tabular._fields(name, next(iter(records.values())))
    for column, field in fields.items():
        recorded = np.array([record[field] for record in records.values()])
        np.testing.assert_allclose(table[column][rows], recorded, rtol=1e-7 if column == "runs" else 0)


def test_cache_is_named_by_the_source(home: Path) -> None:
    """The cached copy carries the sum of its source in its name, and no temporary file stays."""
    tabular.load_table(MACRO)
    assert downloads.FILES[MACRO].sha256[:16] in cached(home).name


def damage_cut(content: bytes) -> bytes:
    """Cut the file in the middle."""
    return content[: len(content) // 2]


def damage_flip(content: bytes) -> bytes:
    """Change one byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def damage_empty(content: bytes) -> bytes:
    """Leave nothing."""
    return b""


def damage_text(content: bytes) -> bytes:
    """Put something else there."""
    return b"this is no archive" * 100


@pytest.mark.parametrize("damage", [damage_cut, damage_flip, damage_empty, damage_text])
def test_damaged_cache_is_made_again(
    home: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged cached copy is noticed, said, and made again with the same content."""
    good = tabular.load_table(MACRO)
    path = cached(home)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        again = tabular.load_table(MACRO)
    assert "is damaged" in caplog.text
    caplog.clear()
    for table in (again, tabular.load_table(MACRO)):
        assert all((table[column] == good[column]).all() for column in good)
    assert caplog.text == ""


@pytest.mark.full
def test_every_header_byte_may_be_damaged(home: Path) -> None:
    """Whatever byte near either end of the cached copy is changed, the table stays the same."""
    good = tabular.load_table(MACRO)
    path = cached(home)
    content = path.read_bytes()
    for position in [*range(0, 192, 4), *range(len(content) - 256, len(content), 4)]:
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        table = tabular.load_table(MACRO)
        assert all((table[column] == good[column]).all() for column in good)
        path.write_bytes(content)


def test_cache_with_fewer_runs_is_made_again(home: Path) -> None:
    """A header that promises two runs instead of three reads short of the checksum, and is not believed."""
    tabular.load_table(MACRO)
    path = cached(home)
    path.write_bytes(path.read_bytes().replace(b"(6561, 3)", b"(6561, 2)", 1))
    assert tabular.load_table(MACRO)["runs"].shape == (6561, 3)


def test_cache_with_other_columns_is_made_again(home: Path) -> None:
    """A cached copy of another shape is not believed, and no pickle in it is opened."""
    tabular.load_table(MACRO)
    np.savez(cached(home).open("wb"), runs=np.array([{}], dtype=object), mean=np.zeros(3))
    assert tabular.load_table(MACRO)["mean"].shape == (6561,)


def test_altered_source_is_refused(home: Path) -> None:
    """A file of the right size with other bytes is refused with both sums, and nothing is cached."""
    content = (home / MACRO).read_bytes()
    (home / MACRO).write_bytes(content.replace(b"89.47000122070312", b"99.47000122070312", 1))
    with pytest.raises(DataCorrupt, match=downloads.FILES[MACRO].sha256):
        tabular.load_table(MACRO)
    assert not (home / "cache").exists()


def test_cut_source_is_refused(home: Path) -> None:
    """A file that was cut is refused even when a cached copy is there."""
    tabular.load_table(MACRO)
    os.truncate(home / MACRO, 1000)
    with pytest.raises(DataCorrupt, match="1000 bytes"):
        tabular.load_table(MACRO)


def test_unwritable_cache_is_no_error(home: Path) -> None:
    """Where the cache cannot be written the table is read from its source each time."""
    (home / "cache").write_text("a file where the folder would be")
    assert tabular.load_table(MACRO)["mean"].shape == (6561,)
    assert (home / "cache").read_text() == "a file where the folder would be"


def test_embedded_table_is_cached(no_data: Path) -> None:
    """The embedded records hold two or three seeds per cell, and come back alike from the cache."""
    first, again = tabular.load_embedded("cifar10"), tabular.load_embedded("cifar10")
    seeds = np.isfinite(first["runs"]).sum(axis=1)
    assert ((seeds == 2).sum(), (seeds == 3).sum()) == (7456, 8169)
    assert all(np.array_equal(first[column], again[column], equal_nan=True) for column in first)


@pytest.mark.slow
@pytest.mark.alone
def test_cache_is_twenty_times_faster_than_json(data_home: Path) -> None:
    """Loading all six tables from the cache is at least 20 times faster than json.load of the six files."""

    def fastest(action: Callable[[], object], repeats: int) -> float:
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def read_json() -> None:
        for name in tabular.TABLE_SPACES:
            with downloads.find(name).open(encoding="utf-8") as stream:
                json.load(stream)

    def read_cache() -> None:
        for name in tabular.TABLE_SPACES:
            tabular.load_table(name)

    read_cache()
    slow, fast = fastest(read_json, 4), fastest(read_cache, 10)
    print(f"json {slow * 1e3:.1f} ms, cache {fast * 1e3:.1f} ms, {slow / fast:.0f} times")
    assert slow >= 20 * fast
