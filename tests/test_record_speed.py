"""How long records take to read: many short ones into one frame, and one long one.

The small size runs always; GENIUS_KIT_FULL_SPEED=1 reads ten thousand journals and one of 100,000 events. Seconds are
those of the processor, so that a busy machine does not decide.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.runs.audit import _approval_findings
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
    """Ten thousand journals of ten iterations take less than 10 s and 1 GiB, and fewer their share."""
    took = measured(what, many)
    assert took["count"] == rows
    assert took["cpu"] < START_SECONDS + 10 * JOURNALS / 10_000
    assert took["mib"] < 1024


@pytest.mark.parametrize("what", ["run", "steps"])
def test_a_long_journal_is_read_soon(long, what, no_data):
    """A journal of 100,000 events (93 MB) is read in less than 2 s and 200 MB, and shorter ones in their share."""
    took = measured(what, long)
    assert took["count"] >= (EVENTS if what == "run" else EVENTS // 5)
    assert took["cpu"] < START_SECONDS * (not FULL) + 2 * EVENTS / 100_000
    assert took["mib"] < 200


@pytest.mark.parametrize(("what", "seconds"), [("verify", 6), ("resume", 6), ("audit", 10)])
def test_a_long_journal_is_checked_soon(long, what, seconds, no_data):
    """Its chain in 6 s, and all that an audit looks at in 10 s; shorter ones in their share."""
    took = measured(what, long)
    assert took["count"] >= EVENTS
    assert took["cpu"] < 2 * START_SECONDS + seconds * EVENTS / 100_000


def test_an_audit_of_a_rule_of_approval_grows_with_the_journal_alone():
    """What was spent is counted once, and not anew before each evaluation: 20,000 of them take seconds, not minutes."""
    event = {"event": "evaluation", "architecture": [0], "feedback": 1.0}
    rule = {"event": "run_started", "approval": {"above_dollars": 1.0}}
    calls = [{"event": "intent", "reserved": {"dollars": 0.01}}, {"event": "call", "spent": {"dollars": 0.01}}]
    events = [rule, *(one for number in range(20_000) for one in (*calls, {**event, "iteration": number}))]
    begun = time.process_time()
    told = list(_approval_findings(events))
    assert time.process_time() - begun < 10
    assert (len(told), told[0]) == (20_000 - 99, "iteration 99: nobody approved it, with $1 spent of the free $1")


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
