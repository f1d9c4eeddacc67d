"""A worker of pytest-xdist that dies ends the run, and the test that it ran is named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BAD = "import os\n\ndef test_fine():\n    pass\n\ndef test_dies():\n    os.abort()\n"


@pytest.mark.slow
def test_a_lost_worker_ends_the_run_and_its_test_is_named(tmp_path):
    """With the conftest of these tests, and files enough that both workers are busy."""
    pytest.importorskip("xdist")
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_bad.py").write_text(BAD, encoding="utf-8")
    for number in range(3):
        (tmp_path / f"test_good{number}.py").write_text("def test_good():\n    pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stdout
    assert "crashed while running 'test_bad.py::test_dies'" in done.stdout
