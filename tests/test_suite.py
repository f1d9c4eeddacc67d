"""The test command itself: it ends, whatever a test does, and names the test that did it."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

FINE = "import pytest\n@pytest.mark.parametrize('number', range(4))\ndef test_fine(number): pass\n"


def run(folder, files, *options):
    """Return the exit status and the output of pytest, set up as here, on files of these contents."""
    for name, content in files.items():
        (folder / f"test_{name}.py").write_text(content)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-q",
        "-n",
        "0",
        *options,
    ]
    command += ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    wide = {**os.environ, "COLUMNS": "300"}
    with (folder / "output.txt").open("wb") as output:  # no pipe: a forked child would hold it
        code = subprocess.call(command, cwd=REPOSITORY, stdout=output, stderr=output, env=wide, timeout=200)
    return code, (folder / "output.txt").read_text()


@pytest.mark.parametrize("held", [False, True])
def test_a_worker_that_dies_ends_the_run(tmp_path, held):
    """After whole files, in the middle of one, and with a forked child that outlives the worker."""
    pytest.importorskip("xdist")
    child = tmp_path / "child"
    fork = f"    if child := os.fork(): open({str(child)!r}, 'w').write(str(child))\n    else: time.sleep(200)\n"
    dies = f"def test_before(): pass\ndef test_dies():\n{fork * held}    os.abort()\ndef test_after(): pass\n"
    code, output = run(
        tmp_path, {**dict.fromkeys("abcd", FINE), "e": f"import os, time\n{dies}"}, "-n", "2", "--dist", "loadfile"
    )
    assert code == 1
    assert re.search(r"FAILED \S*test_e.py::test_dies - worker 'gw\d' crashed", output)
    assert "1 failed, 17 passed" in output
    if held:
        os.kill(int(child.read_text()), signal.SIGKILL)  # it was there all the while


def test_a_test_that_waits_for_ever_fails_and_the_others_run(tmp_path):
    """The limit is that of the project's settings, made shorter."""
    waits = "import time\ndef test_waits(): time.sleep(60)\n"
    code, output = run(tmp_path, {"a": waits, "b": FINE}, "-o", "timeout=1")
    assert code == 1
    assert re.search(r"FAILED \S*test_a.py::test_waits - Failed: Timeout", output)
    assert "1 failed, 4 passed" in output


def test_a_test_that_hangs_in_native_code_ends_the_process_with_its_stack(tmp_path):
    """No signal reaches it, as it holds the interpreter's lock."""
    blocked = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    hangs = f"import ctypes, signal\ndef test_hangs():\n    {blocked}\n    ctypes.PyDLL(None).sleep(60)\n"
    code, output = run(tmp_path, {"a": hangs}, "-o", "timeout=1", "-o", "faulthandler_timeout=3")
    assert code == 1
    assert "in test_hangs" in output
    assert "passed" not in output
