"""`docs/new_space.md` is true: its blocks run, two files add a space, and what the page promises follows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USES = """
import matplotlib
matplotlib.use("Agg")
import genius_kit as gk
from genius_kit.figures.drawings import draw_architecture
from genius_kit.lab.drawing import drawing_svg
from genius_kit.llm.settings import reply_form
from genius_kit.memory_formats import is_narrow
from genius_kit.prompts.views import CONTROLS
from genius_kit.replies import parse_reply
from genius_kit.spaces import MacsBound
from tiny import space

for architecture in map(space.at, range(space.size)):
    assert space.decode(space.encode(architecture)) == architecture
    assert parse_reply(f"I take {list(architecture)}.", space) == gk.Proposal(architecture)
    network = gk.build_network(space, architecture, num_classes=10, image_size=8)
    counted = gk.count_cost(space, architecture, num_classes=10, image_size=8).parameters
    assert sum(one.numel() for one in network.parameters()) == counted, counted
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
def blocks():
    """The blocks of Python of the page, in order."""
    page = (ROOT / "docs" / "new_space.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)


def run(program, folder):
    """Run a program in a folder of its own, and return what it prints."""
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), "GENIUS_KIT_DATA": str(folder / "data")}
    command = [sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths}, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_frame_a_function_and_a_class_are_searched(tmp_path, blocks):
    """The first three blocks run one after the other, as a notebook would."""
    (tmp_path / "page.py").write_text("\n".join(blocks[:3]) + "print(len(run.frame()))\n", encoding="utf-8")
    assert run(tmp_path / "page.py", tmp_path).splitlines()[-1] == "5"


@pytest.mark.slow
def test_a_space_with_networks_is_added_by_two_files(tmp_path, blocks):
    """The second file trains what the first one defines; prompts, controls, replies, costs and drawings know it."""
    for name, text in zip(("tiny.py", "search.py", "uses.py"), (*blocks[3:], USES), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "validation_accuracy" in run(tmp_path / "search.py", tmp_path)
    assert run(tmp_path / "uses.py", tmp_path).splitlines()[-1] == "all true"
