"""`docs/new_space.md` is true: a space is added by its two files, and all that the page promises follows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USES = """
import matplotlib
matplotlib.use("Agg")
from genius_kit.figures.drawings import draw_architecture
from genius_kit.lab.drawing import drawing_svg
from genius_kit.llm.settings import reply_form
from genius_kit.memory_formats import is_narrow
from genius_kit.prompts.views import CONTROLS
from genius_kit.replies import parse_reply
from genius_kit.spaces import MacsBound

for architecture in map(space.at, range(space.size)):
    assert space.decode(space.encode(architecture)) == architecture
    assert parse_reply(f"I take {list(architecture)}.", space) == gk.Proposal(architecture)
assert list(run.frame()["feedback"])[-1] > 80
for prompt in ("minimal", "standard", "reasoned"):
    for control in (None, *CONTROLS):
        made = gk.load_prompt(prompt, space, control=control, constraint=MacsBound(10))
        assert control or "- 1: convolution 3x3." in made.messages(())[-1]["content"]
low, high = space.macs_range()
assert low < gk.count_cost(space, (0, 1, 2, 0)).macs < high
assert "convolution" in drawing_svg(space, (0, 1, 2, 0))
assert "3x3" in "".join(text.get_text() for text in draw_architecture(space, (0, 1, 2, 0)).texts)
assert reply_form(space)
assert not is_narrow(space, (0, 1, 2, 0))
print("all true")
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package with the page's two files, and its last program."""
    shutil.copytree(ROOT / "genius_kit", tmp_path / "genius_kit", ignore=shutil.ignore_patterns("__pycache__"))
    page = (ROOT / "docs" / "new_space.md").read_text(encoding="utf-8")
    space, words, program = re.findall(r"^```\w+\n(.*?)^```$", page, re.M | re.S)
    paths = re.findall(r"^\d\. `(genius_kit/[\w./]+)`", page, re.M)
    for path, text in zip(paths, (space, words), strict=True):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path, program


def test_a_space_is_added_by_two_files(package):
    """The page's program searches it with a model, and prompts, controls, replies, costs and drawings know it."""
    folder, program = package
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", program + USES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all true"
