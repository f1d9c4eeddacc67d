"""Spaces and results of a user's own: made in a notebook, from a table, from a folder, or measured by a function."""

import subprocess
import sys

import genius_kit as gk

SPACE = gk.SearchSpace(
    "small-convnets",
    choices=[["3x3", "5x5"], [16, 32, 64, 128], ["relu", "gelu", "silu"], [0, 0.1]],
    positions=["kernel", "width", "activation", "dropout"],
)


class Guess(gk.Benchmark):
    """More of everything is better."""

    def evaluate(self, architecture):
        score = 80.0 + sum(architecture)
        return gk.Evaluation(score, None, score, None, source="a guess")


def test_a_run_of_a_space_made_here_is_read_in_another_process(tmp_path):
    """The journal carries what defines the space, whose name no other process knows."""
    journal = tmp_path / "run.jsonl"
    benchmark = Guess(name="guess", title="A guess", dataset="its data", space=SPACE)
    run = gk.search(benchmark, gk.make_proposer("llm", SPACE, model="offline"), 5, 0, journal, progress=False)
    program = "import sys, genius_kit as gk; print(*gk.read_run(sys.argv[1]).frame()['key'])"
    done = subprocess.run([sys.executable, "-c", program, journal], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(run.frame()["key"])
    assert len(run.frame()) == 5
    assert not gk.verify_run(journal).findings
