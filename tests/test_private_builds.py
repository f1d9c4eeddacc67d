"""Private benchmarks in miniature: 64 architectures of two operations, built, stopped, resumed, proved and refused."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from genius_kit.errors import DataCorrupt, DataMissing, GeniusKitError, InvalidParameter
from genius_kit.private.builds import TOLERANCE, build, check_table, kept_plan, secret_of
from genius_kit.private.signals import SignalTask, seal
from genius_kit.private.tables import PrivatePlan, read_table
from genius_kit.private.training import SignalRecipe

SECRET = "00112233445566778899aabbccddeeff"  # pragma: allowlist secret
OTHER = "ffeeddccbbaa99887766554433221100"  # pragma: allowlist secret
PLAN = PrivatePlan("mini", SignalTask(samples=300, noise=0.1), SignalRecipe(seeds=2, epochs=2), ("none", "conv_3"))
KEPT = Path(__file__).parent / "frozen" / "private" / "mini.json"
COMMAND = [sys.executable, "-m", "genius_kit", "benchmark"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a finished build."""
    folder = tmp_path_factory.mktemp("built")
    with ThreadPoolExecutor(1) as pool:
        build(PLAN, folder, secret=SECRET, executor=pool, progress=False)
    return folder


def sealed_again(content):
    """A table that was altered by somebody who then wrote a seal that fits."""
    return {**content, "seal": seal(content)}


def call(*arguments, check=True):
    """Call the command."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=check)


def test_a_table_holds_every_class_and_is_rebuilt_by_its_secret(built, tmp_path):
    """The 64 cells are few classes, each with counts per seed; the same secret gives the same table."""
    table = read_table(built)
    assert len(table.results) == len(PLAN.cells()) < 64
    assert {len(result.test) for result in table.results.values()} == {2}
    best = max(sum(result.test) for result in table.results.values())
    assert best > 2 * 2 * 300 / 25
    with ThreadPoolExecutor(1) as pool:
        again = read_table(build(PLAN, tmp_path / "again", secret=SECRET, executor=pool, progress=False))
    assert {key: (one.validation, one.test) for key, one in again.results.items()} == {
        key: (one.validation, one.test) for key, one in table.results.items()
    }
    assert again.commitment == table.commitment


@pytest.mark.full
def test_a_build_is_called_as_its_folder_and_may_have_fewer_signals_than_a_batch(tmp_path):
    """`benchmark build my-signals` makes the table `my-signals`, which `benchmark add` adds by that name."""
    sizes = ("--samples", 100, "--seeds", 1, "--epochs", 1, "--operations", "none,conv_3", "--workers", 1)
    call("build", tmp_path / "my-signals", *sizes)
    table = read_table(tmp_path / "my-signals")
    assert table.plan.name == "my-signals"
    assert len(table.results) == len(table.plan.cells())


@pytest.mark.full
def test_the_kept_miniature_is_rebuilt_from_its_secret(tmp_path):
    """The 64 architectures of a kept table come out again, by the secret that was told on purpose; seconds apart."""
    kept = read_table(KEPT)
    kept.check_secret(SECRET)
    with pytest.raises(DataCorrupt, match="does not match"):
        kept.check_secret(OTHER)
    with ThreadPoolExecutor(1) as pool:
        again = read_table(build(kept.plan, tmp_path / "again", secret=SECRET, executor=pool, progress=False))
    assert again.commitment == kept.commitment
    before, now = (
        np.array([table.results[kept.plan.key(cell)].test for cell in kept.plan.cells()]) / 4 for table in (kept, again)
    )
    assert len(before) == 64
    assert np.ptp(before.mean(axis=1)) > 10  # percent: the cells differ by far more than machines do
    assert np.abs(before.mean(axis=1) - now.mean(axis=1)).max() < TOLERANCE


def test_the_secret_lies_in_one_private_file(built):
    """It stands in no other file of the build, and only its owner can read that one."""
    assert secret_of(built) == SECRET
    assert stat.S_IMODE(os.stat(built / "secret").st_mode) == 0o600
    for path in built.rglob("*"):
        if path.is_file() and path.name != "secret":
            assert SECRET not in path.read_text()


@pytest.mark.slow
def test_a_killed_build_goes_on_and_trains_nothing_twice(tmp_path):
    """After kill -9 the same command keeps every cell that was done; meanwhile the build is no benchmark."""
    folder = tmp_path / "mini"
    options = ["--name", "mini", "--samples", 300, "--operations", "none,conv_3", "--epochs", 4, "--workers", 1]
    process = subprocess.Popen([*COMMAND, "build", *map(str, [folder, *options])], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("cells/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*.json")}
    total = len(kept_plan(folder).cells())
    assert 3 <= len(done) < total
    with pytest.raises(DataMissing, match=rf"is {100 * len(done) / total:.0f} % done \({len(done)} of {total} cells\)"):
        read_table(folder)
    time.sleep(0.5)  # workers end with their parent
    done = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*.json")}
    told = call("build", folder)
    assert f"{total} cells" in told.stdout
    assert "100%" in told.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(read_table(folder).results) == total


def test_another_plan_or_secret_or_builder_is_refused(built, tmp_path):
    """What a folder was begun with it goes on with, one process at a time."""
    import filelock

    plan = PrivatePlan("mini", PLAN.task, SignalRecipe(seeds=2, epochs=3), PLAN.operations)
    with pytest.raises(InvalidParameter, match="begun with the other settings"):
        build(plan, built, progress=False)
    with pytest.raises(InvalidParameter, match="begun with another secret"):
        build(PLAN, built, secret=OTHER, progress=False)
    with filelock.FileLock(built / ".build.lock"), pytest.raises(InvalidParameter, match="being built by another"):
        build(PLAN, built, progress=False)
    with pytest.raises(InvalidParameter, match="holds no secret"):
        secret_of(tmp_path)


@pytest.mark.full
def test_a_revealed_secret_proves_the_table(built):
    """The commitment is checked and cells are trained again to the same counts; another secret is refused."""
    assert call("reveal", built).stdout.strip() == SECRET
    told = call("check", built, "--secret", SECRET, "--cells", 2).stdout
    assert "the secret is the one of the commitment" in told
    assert told.count("the same counts") == 2
    refused = call("check", built / "table.json", "--secret", OTHER, check=False)
    assert refused.returncode == 1
    assert "does not match the commitment" in refused.stderr


def test_a_table_that_was_altered_does_not_prove_itself(built, tmp_path):
    """Another noise in the table breaks the commitment; another score is found where its cell is trained again."""
    content = json.loads((built / "table.json").read_text())
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**content, "task": {**content["task"], "noise": 0.2}}))
    with pytest.raises(DataCorrupt, match=r"seal of .* does not match"):
        list(check_table(path, SECRET))
    path.write_text(json.dumps(sealed_again({**content, "task": {**content["task"], "noise": 0.2}})))
    with pytest.raises(DataCorrupt, match="does not match the commitment"):
        list(check_table(path, SECRET))
    for cell in content["cells"].values():
        cell["test"] = [0, 0]
    path.write_text(json.dumps(sealed_again(content)))
    with pytest.raises(DataCorrupt, match="scores otherwise"):
        list(check_table(path, SECRET, 20))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("cells"), "holds 0 of the"),
        (lambda content: content["cells"].popitem(), "of the .* cells of"),
        (lambda content: content["cells"]["111111"].update(test=[1]), "111111: test must be"),
        (lambda content: content["cells"]["111111"].update(validation=[1, 301]), "must be 2 counts from 0 to 300"),
        (lambda content: content["cells"]["111111"].update(seconds=None), "must have seconds of at least 0, got None"),
        (lambda content: content.update(format=3), "no table of format 1 or 2"),
        (lambda content: content.update(task={"kind": "?"}), "does not say how"),
        (lambda content: content.update(operations=["none", "import os"]), "does not say how"),
    ],
)
def test_a_table_that_is_not_sound_is_refused(built, tmp_path, change, said):
    """The message says what is wrong and what is needed."""
    content = json.loads((built / "table.json").read_text())
    change(content)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataCorrupt, match=said):
        read_table(path)


def test_what_is_no_table_is_refused(tmp_path):
    """A missing file, text that is no JSON, a damaged cell."""
    with pytest.raises(DataMissing, match="no table can be read"):
        read_table(tmp_path / "none.json")
    (tmp_path / "table.json").write_text("{")
    with pytest.raises(DataCorrupt, match="is not JSON"):
        read_table(tmp_path / "table.json")
    with ThreadPoolExecutor(1) as pool:
        build(PLAN, tmp_path / "b", secret=SECRET, executor=pool, progress=False)
        (tmp_path / "b" / "cells" / "111111.json").write_text("{")
        with pytest.raises(DataCorrupt, match=r"111111.json cannot be read .*delete it and build again"):
            build(PLAN, tmp_path / "b", executor=pool, progress=False)


@pytest.mark.parametrize(
    ("name", "operations"), [("Mini", ("none", "conv_3")), ("mini", ("none",)), ("mini", ("none", "none", "pool"))]
)
def test_a_plan_that_cannot_be_is_refused(name, operations):
    """Names and operations are checked before anything is trained."""
    with pytest.raises(GeniusKitError, match="must be"):
        PrivatePlan(name, PLAN.task, PLAN.recipe, operations)
