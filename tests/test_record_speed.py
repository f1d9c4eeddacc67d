"""How long records take to read: many short ones into one frame, and one long one.

The small size runs always; GENIUS_KIT_FULL_SPEED=1 reads ten thousand journals and one of 100,000 events. Seconds are
those of the processor, so that a busy machine does not decide.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.runs.frames import read_frames
from tests.record_speed import make_long, make_many

FULL = os.environ.get("GENIUS_KIT_FULL_SPEED") == "1"
JOURNALS, EVENTS = (10_000, 100_000) if FULL else (300, 5_000)
START_SECONDS = 2.0  # what importing pandas and reading a cached table take


@pytest.fixture(scope="module")
def content(tmp_path_factory, embedded_cache):
    """The bytes of a journal of ten iterations on the embedded table, which is in the cache from here on."""
    path = tmp_path_factory.mktemp("real") / "a.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        benchmark = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
        proposer = gk.make_proposer("llm", benchmark.space, model="offline")
        gk.search(benchmark, proposer, 10, journal=path, progress=False)
    return path.read_bytes()


@pytest.fixture(scope="module")
def many(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "runs"
    make_many(folder, content, JOURNALS)
    return folder


@pytest.fixture(scope="module")
def long(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "a.jsonl"
    make_long(path, content, EVENTS)
    return path


def measured(what, place):
    """Read in a child and return what it took."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "tests.record_speed", what, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    print(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("what", "rows"), [("results", JOURNALS), ("frames", 10 * JOURNALS)])
def test_many_journals_are_read_into_one_frame(many, what, rows, no_data):
    """Ten thousand journals of ten iterations take less than 60 s and 1 GiB, and fewer their share."""
    took = measured(what, many)
    assert took["count"] == rows
    assert took["cpu"] < START_SECONDS + 60 * JOURNALS / 10_000
    assert took["mib"] < 1024


@pytest.mark.parametrize("what", ["run", "steps"])
def test_a_long_journal_is_read_soon(long, what, no_data):
    """A journal of 100,000 events is read in less than 5 s, and shorter ones in their share."""
    took = measured(what, long)
    assert took["count"] >= (EVENTS if what == "run" else EVENTS // 5)
    assert took["cpu"] < START_SECONDS * (not FULL) + 5 * EVENTS / 100_000


@pytest.mark.parametrize("what", ["verify", "resume"])
def test_a_long_journal_is_checked_soon(long, what, no_data):
    """Checking its chain takes at most three times as long."""
    took = measured(what, long)
    assert took["count"] >= EVENTS
    assert took["cpu"] < START_SECONDS + 15 * EVENTS / 100_000


def test_rows_read_together_are_those_of_each_run(content, tmp_path, no_data):
    """One frame of many journals holds the rows of each one's own frame, with the journal named."""
    import pandas as pd

    make_many(tmp_path / "runs", content, 3)
    paths = sorted((tmp_path / "runs").iterdir())
    frame = read_frames(tmp_path / "runs")
    assert frame["journal"].tolist() == [str(path) for path in paths for _ in range(10)]
    apart = pd.concat([gk.read_run(path).frame() for path in paths], ignore_index=True)
    pd.testing.assert_frame_equal(frame.drop(columns="journal"), apart)
    assert read_frames(paths[:1])["journal"].nunique() == 1
    with pytest.raises(InvalidParameter, match="no folder of journals"):
        read_frames(tmp_path / "none")
