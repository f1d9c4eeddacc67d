"""Agents of the user's own in study files: imported when their study runs, and by nothing else."""

import re
import sys
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit.cli import main
from genius_kit.errors import AgentFailed, InvalidParameter, StudyFailed
from genius_kit.journal import read_run
from genius_kit.reports.bundle import bundle, replay_bundle
from genius_kit.verdicts import each_verdict
from tests.clients.greedy_climber import GreedyClimber

STUDY = """\
name: mine
benchmarks: [nas-bench-201-cifar10]
budget: 4
seeds: 2
first: random
models: [{model}]
arms: [llm, shuffled-feedback, random]
"""

SOURCE = """\
from __future__ import annotations
import random
from dataclasses import dataclass

print("imported")

@dataclass
class Guesser:
    key: str

    def __call__(self, messages):
        draws = random.Random(f"{self.key} {messages}")
        return f"Architecture: {[draws.randrange(5) for _ in range(6)]}"

make_client = Guesser
"""


@pytest.fixture
def mine(no_data, tmp_path, monkeypatch):
    """A working directory with an agent and the study that names it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SOURCE, encoding="utf-8")
    Path("study.yaml").write_text(STUDY.replace("{model}", "agent:mine.py:make_client"), encoding="utf-8")
    return tmp_path


def test_a_study_file_names_an_agent(mine, capfd):
    """Its file is read with the study, imported when the study runs, and each search has a client of its own."""
    study = gk.load_study("study.yaml")
    gk.estimate_study(study)
    assert "imported" not in capfd.readouterr().out
    results = gk.run_study(study, "studies", progress=False)
    assert capfd.readouterr().out.count("imported") == 1
    assert set(results["model"].dropna()) == {"agent:mine.py:make_client"}
    assert (results["evaluations"] == 4).all()
    keys = [read_run(path).settings["resolved"].get("search") for path in results["journal"]]
    assert len({key for key in keys if key}) == 4


def test_an_optimiser_goes_on_from_the_first_proposal_of_an_agent(mine):
    """It takes the reply of the reference arm of its seed, though each search has a client of its own."""
    begun = "random, {proposer: llm+gp, model_proposals: 1}]"
    Path("study.yaml").write_text(Path("study.yaml").read_text().replace("random]", begun), encoding="utf-8")
    results = gk.run_study("study.yaml", "studies", progress=False).set_index(["arm", "seed"])
    assert results.loc["llm+gp", "reused"].tolist() == results.loc["llm+gp", "calls"].tolist() == [1, 1]


def test_a_study_comes_to_the_verdict_of_the_call(mine):
    """A search has the same key in both, so that a client that seeds its draws with it makes the same searches."""
    client = Path(__file__).parent / "clients" / "greedy_climber.py"
    study = STUDY.replace("{model}", f"agent:{client}:CLIENT").replace("random]", "permuted-labels]")
    Path("study.yaml").write_text(study.replace("seeds: 2", "seeds: 8"), encoding="utf-8")
    (theirs,) = each_verdict(gk.run_study("study.yaml", "studies", progress=False))
    ours = gk.does_it_search(GreedyClimber, "nas-bench-201-cifar10", seeds=8, budget=4, progress=False,
                             arms=("llm", "shuffled-feedback", "permuted-labels"))  # fmt: skip
    assert (ours.kind, ours.uses_results, ours.needs_names) == (theirs.kind, theirs.uses_results, theirs.needs_names)
    assert ours.evidence.drop(columns="model").equals(theirs.evidence.drop(columns="model"))


def test_a_changed_agent_begins_anew(mine):
    """The sum of its source decides the run: other code does not silently go on with the runs of the old."""
    before = gk.run_study("study.yaml", "studies", progress=False)["journal"]
    Path("mine.py").write_text(SOURCE + "# changed\n", encoding="utf-8")
    after = gk.run_study("study.yaml", "studies", progress=False)["journal"]
    assert len({*before} & {*after}) == 2  # those of the arm random
    assert len(list(Path("studies").rglob("*.jsonl"))) == 10


@pytest.mark.slow
def test_reading_journals_and_bundles_imports_nothing(mine):
    """A record names the agent, and neither reading, verifying, bundling, replaying nor resuming it runs its code."""
    results = gk.run_study("study.yaml", "studies", progress=False)
    Path("mine.py").write_text("raise SystemExit('imported again')\n", encoding="utf-8")
    for journal in results["journal"]:
        assert gk.verify_run(journal).findings == ()
    gk.read_results("studies")
    packed = bundle("studies/mine", "mine.tar.gz")
    assert replay_bundle(packed, "again").differing == ()
    begun = next(Path(path) for path, arm in zip(results["journal"], results["arm"], strict=True) if arm == "llm")
    cut = begun.with_name("cut.jsonl")
    cut.write_text("".join(begun.read_text(encoding="utf-8").splitlines(True)[:4]), encoding="utf-8")
    with pytest.raises(InvalidParameter, match="somebody's own Python code"):
        gk.resume(cut)


@pytest.mark.parametrize(
    ("model", "source", "told"),
    [
        ("agent:mine.py", SOURCE, "write agent:FILE:FUNCTION"),
        ("agent:none.py:make", SOURCE, "none.py, cannot be read"),
        ("agent:mine.py:make", SOURCE, "has no function make;"),
        ("agent:mine.py:make_client", "import nowhere_to_be_found\n", "cannot be imported, ModuleNotFoundError"),
        ("agent:mine.py:make_client", "def make_client(:\n", "cannot be imported, SyntaxError"),
        ("agent:mine.py:make_client", "def make_client(key): return 3\n", "returned 3; it must return a chat client"),
    ],
)
def test_an_agent_that_is_not_there_or_fails_is_told(mine, model, source, told):
    """Before anything runs, but for a client that is none."""
    Path("mine.py").write_text(source, encoding="utf-8")
    Path("study.yaml").write_text(STUDY.replace("{model}", model), encoding="utf-8")
    with pytest.raises((InvalidParameter, AgentFailed, StudyFailed), match=re.escape(told)):
        gk.run_study("study.yaml", "studies", progress=False)
    assert "returned" in told or not list(Path("studies").rglob("*.jsonl"))


def test_the_command_tells_of_an_agent_that_fails_and_goes_on(mine, capsys, monkeypatch):
    """Exit code 1 and one reason for all of its searches; the other arms are done and summed up."""
    Path("mine.py").write_text(SOURCE.replace("draws.randrange(5)", "1 / 0"), encoding="utf-8")
    study = Path("study.yaml").read_text(encoding="utf-8")
    Path("study.yaml").write_text(f"{study}reference: llm\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["genius-kit", "study", "study.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    out, told = capsys.readouterr()
    assert told.count("mine.py:make_client failed, ZeroDivisionError: division by zero") == 1
    assert "summary.csv" in out
