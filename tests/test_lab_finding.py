"""Runs on disk as the lab finds and opens them, without a browser."""

import json
import os
import re

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidParameter
from genius_kit.lab.panels import replaying
from genius_kit.lab.panels.replaying import COLUMNS, find_runs, journal_of, places, together
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.paper import paper_architecture
from tests.doubles import QueueClient, ToyBenchmark
from tests.test_lab_widgets import wait_for


@pytest.fixture
def checkout(no_data, tmp_path, monkeypatch):
    """Return a folder as a checkout is, with runs in each of its places, the kernel beside the notebooks."""
    benchmark = gk.load_benchmark("nas-bench-201-cifar10")
    for place, name in (("runs", "random"), ("studies/one", "evolution"), ("reports/runs/08", "llm")):
        gk.search_many(benchmark, name, [0, 1], 4, output=tmp_path / place, progress=False)
    (tmp_path / "runs" / "notes.jsonl").write_text("no journal\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    replaying._KNOWN.clear()
    return tmp_path


def found_in(folder):
    """Return what is found from the present folder."""
    return list(find_runs(places(folder)))


def test_runs_of_all_three_places_are_found_and_nothing_else(checkout):
    """With benchmark, model, prompt, best, rank, calls, cost and state; from above the notebooks the same."""
    rows = found_in(checkout / "runs" / "lab")
    assert len(rows) == 6
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert sorted({row["model"] for row in rows}) == ["evolution", "offline", "random"]
    asked = next(row for row in rows if row["model"] == "offline")
    frame = gk.read_results(checkout / "reports").iloc[0]
    same = ("benchmark", "prompt", "calls", "rank", "cost")
    assert {name: asked[name] for name in same} == {name: frame[name] for name in same}
    assert asked["best"] == frame["best_feedback"]
    assert {row["state"] for row in rows} == {"finished"}
    os.chdir(checkout)
    assert [os.path.basename(row["journal"]) for row in found_in(checkout)] == [
        os.path.basename(row["journal"]) for row in rows
    ]


def test_questions_and_quizzes_are_no_runs(checkout):
    """What was asked once is in its own folder, and is not offered for stepping."""
    from genius_kit.lab.replies import ask_once

    path = checkout / "runs" / "asked.jsonl"
    ask_once(ToyBenchmark(), client=QueueClient("Architecture: [2, 2, 2, 2, 2, 2, 2, 1]"), journal=path)
    assert str(path) not in {row["journal"] for row in found_in(checkout)}


def test_an_unfinished_run_is_read_again(checkout, monkeypatch):
    """A finished one is not, as long as its file is as it was."""
    path = next((checkout / "runs").glob("*_seed0*.jsonl"), None) or sorted((checkout / "runs").glob("*.jsonl"))[-1]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    states = {row["journal"].rpartition("/")[2]: row["state"] for row in found_in(checkout)}
    assert states[path.name] == "interrupted"
    read = []
    real = replaying.read_run
    monkeypatch.setattr(replaying, "read_run", lambda path: read.append(path.name) or real(path))
    found_in(checkout)
    assert sorted(read) == sorted([path.name, "notes.jsonl"])


def test_one_run_opens_for_stepping_and_several_in_one_curve(checkout):
    """What the table sends decides; runs of several benchmarks are not drawn over each other."""
    lab = PromptLab("nas-bench-201-cifar10", folder=checkout / "runs" / "lab")
    panel = lab.replaying
    panel.find()
    wait_for(lambda: len(panel.found.rows) == 6 and not panel.find_button.disabled)
    journals = [row["journal"] for row in panel.found.rows]
    panel.found._received(None, {"kind": "open", "journals": journals[:1]}, None)
    wait_for(lambda: lab.tabs.value == "Replay")
    assert lab.session.opened.path.name == os.path.basename(journals[0])
    panel.found._received(None, {"kind": "open", "journals": journals[:3]}, None)
    wait_for(lambda: lab.view.board.key == "together")
    shown, first = lab.view.board.snapshot(), lab.session.run(journals[0])
    assert shown["caption"] == "Best so far of 3 runs, nas-bench-201-cifar10"
    assert shown["held"]["best"] == lab.session.benchmark.scores().max().round(4)
    label, _, _, steps, length = shown["lines"][0]
    assert label.startswith("1: ")
    assert length == len(first.points)
    assert steps[-1][1] == max(point.value for point in first.points).__round__(4)
    assert len({tuple(line[1:3]) for line in shown["lines"]}) == 3
    assert re.match(r"Best so far of 3 runs: 1: .* \d\d\.\d\d %; 2: ", shown["summary"])


def test_runs_that_cannot_be_drawn_together_are_refused(checkout):
    """Too many, or of several benchmarks: a sentence each."""
    paths = [row["journal"] for row in found_in(checkout)]
    with pytest.raises(InvalidParameter, match="at most 8"):
        together(paths * 2)
    other = checkout / "runs" / "other.jsonl"
    gk.search(gk.load_benchmark("nas-bench-201-cifar100"), gk.make_proposer("random", gk.load_space("nas-bench-201")),
              budget=2, journal=other, progress=False)  # fmt: skip
    with pytest.raises(InvalidParameter, match="several benchmarks"):
        together([paths[0], other])


def test_a_published_conversation_is_found_and_opens(data_home, tmp_path):
    """It is listed where its file is here; opened, it is a journal whose best is the paper's GENIUS-329."""
    row = next(row for row in find_runs([]) if "329M" in row["journal"])
    assert (row["state"], row["prompt"], row["model"]) == ("published", "published", "GPT-4")
    journal = journal_of(row["journal"], tmp_path)
    frame = gk.read_run(journal).frame()
    best = frame.iloc[int(frame["feedback"].astype(float).argmax())]["key"]
    assert best == "".join(map(str, paper_architecture("GENIUS-329")))
    assert journal_of(row["journal"], tmp_path) == journal
    assert json.loads(journal.read_text().splitlines()[0])["run"]["settings"]["prompt"] == "published"
