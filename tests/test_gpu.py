"""The measures of a GPU: the script runs from end to end on a CPU, and needs no more packages than it says."""

import json
import os
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
THERE = {"jinja2", "numpy", "pandas", "pyyaml", "scikit-learn", "timm", "torch", "torchvision"}
WITH_THEM = {"filelock", "packaging", "scipy", "threadpoolctl", "tqdm"}  # what torch, timm and scikit-learn need
CARRIED = {"pydantic"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The finished script, with every other dependency of the package hidden, and its JSON."""
    folder = tmp_path_factory.mktemp("gpu")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {Requirement(text).name for text in project["dependencies"]} - THERE - WITH_THEM - CARRIED
    hidden = [package for package, owners in packages_distributions().items() if names & set(owners)]
    assert {"openai", "typer", "matplotlib", "genai_prices"} <= set(hidden)
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\n")
    output = folder / "gpu.json"
    done = subprocess.run(
        ["bash", "tests/gpu/run.sh", "--device", "cpu", "--quick", "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads(output.read_text())


@pytest.mark.full
def test_every_part_has_its_rows(run):
    """Each part gives rows of the same shape, none is missing, and a step is set against the measured ceilings."""
    done, found = run
    assert found["missing"] == {}
    assert done.returncode == 0, done.stderr
    assert list(found["seconds"]) == ["ceilings", "correctness", "search", "step", "epochs"]
    for row in found["rows"]:
        assert row["n"] >= 1
        assert row["p10"] <= row["value"] <= row["p90"]
        assert row["measure"] in done.stdout
    rows = {row["measure"]: row for row in found["rows"]}
    ceiling, step = rows["matmul, bfloat16"]["value"], rows["GENIUS-329, batch 2, default"]
    assert step["of matmul, bfloat16"] == pytest.approx(step["TFLOP/s"] / ceiling)
    assert step["TFLOP/s"] < 1
    assert sum(row["part"] == "epochs" for row in found["rows"]) == 4


@pytest.mark.full
def test_correctness_is_measured(run):
    """On a CPU a resumed training has the same batches and weights, bfloat16 rounds, and the average is exact."""
    rows = {row["measure"]: row["value"] for row in run[1]["rows"]}
    assert rows["batches after a resume, equal bit for bit"] == 1
    assert rows["weights after a resume, largest difference"] == 0
    assert 0 < rows["training loss in bfloat16 against float32"] < 0.1
    assert rows["moving average, largest difference from float64"] < 1e-5
    assert rows["proposals trained on the device"] == 6


@pytest.mark.full
def test_the_table_comes_last(run):
    """The output ends with the table, a line per row, and says which machine and torch it was."""
    done, found = run
    lines = done.stdout.strip().splitlines()
    assert found["device"] in done.stdout
    assert all(line.startswith("| ") and line.count("|") == 9 for line in lines[-len(found["rows"]) :])
