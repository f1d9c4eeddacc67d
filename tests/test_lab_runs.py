"""What the lab shows of each run: its curve and what that is held against, its replies, its choices; comparisons."""

import queue
import re
import threading
import time
import xml.dom.minidom

import pandas as pd
import pytest

import genius_kit as gk
from genius_kit.benchmarks import load_benchmark
from genius_kit.errors import InvalidParameter
from genius_kit.lab.compare import Arm, Comparing, difference_html
from genius_kit.lab.curve import Point, curve_svg, rank_ticks, references
from genius_kit.lab.drawing import short_name
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.lab.replies import markdown_html
from genius_kit.lab.run import Board, recorded
from genius_kit.spaces import SPACES, load_space
from genius_kit.stats.random_search import RandomSearch
from tests.doubles import QueueClient, ToyBenchmark, reply

GOOD = "Architecture: [3, 3, 3, 3, 3, {}]"


class Waiting(QueueClient):
    """Answers what is put into `told`, when it is."""

    def __init__(self):
        super().__init__()
        self.told = queue.Queue()

    def send(self, messages, seed=None):
        self.sent.append(list(messages))
        return reply(self.told.get(timeout=60))


@pytest.fixture
def benchmark(no_data):
    """The table that comes with the package."""
    return load_benchmark("nas-bench-201-cifar10")


@pytest.fixture
def lab(benchmark, tmp_path):
    """A lab whose model answers when it is told to."""
    made = PromptLab(benchmark, budget=3, folder=tmp_path, client=Waiting())
    yield made
    for run in made.session.runs.values():
        if run.live is not None:
            run.live.stop(now=True)
            made.session.client.told.put("the end")
            run.live.wait(60)


def wait_for(condition):
    """Wait until `condition` holds."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def recorded_run(benchmark, path, budget=2):
    """Return the path of a finished run of the stand-in."""
    gk.search(benchmark, gk.make_proposer("llm", benchmark.space), budget, journal=path, progress=False)
    return path


def test_a_recorded_run_keeps_its_points_while_a_search_runs(lab, benchmark, tmp_path):
    """What comes is the search's own; the view shows one of the two, and each is whole when it is turned to."""
    lab.searching.run()
    lab.open(recorded_run(benchmark, tmp_path / "before.jsonl"))
    live, opened = lab.session.searched, lab.session.opened
    assert lab.view.board is opened.board
    lab.session.client.told.put(GOOD.format(1))
    wait_for(lambda: len(live.points) == 1)
    assert len(opened.points) == len(lab.view.board.points) == 2
    assert lab.view.board.status["text"].startswith("Recorded run")
    assert "running" in lab.running.value
    lab.tabs.value = "Search"
    assert lab.view.board is live.board
    assert live.points[0].name.startswith("333331: 5 times 3×3 conv")
    lab.searching.now_button.click()


def test_a_recorded_run_brings_a_space_that_no_name_finds(benchmark, tmp_path):
    """The journal defines it: a run on a table of the user's own opens beside any other table."""
    space = gk.SearchSpace("kernels", choices=[["3x3", "5x5"], [16, 32, 64]], positions=["kernel", "width"])
    rows = [(kernel, width, float(width)) for kernel in ("3x3", "5x5") for width in (16, 32, 64)]
    table = gk.tabular(space, pd.DataFrame(rows, columns=["kernel", "width", "score"]))
    proposer = gk.make_proposer("random", space)
    gk.search(table, proposer, 3, journal=tmp_path / "a.jsonl", progress=False)
    run = recorded(tmp_path / "a.jsonl", benchmark)
    assert len(run.points) == 3
    run.show_step(1)
    assert space.key(space.check(run.steps[1].evaluation["architecture"])) in run.board.drawn


def test_choices_are_those_that_the_run_was_begun_with(lab):
    """Another benchmark, model and seed change neither the name of a search nor what decides on its proposal."""
    lab.searching.approve.value = True
    lab.searching.run()
    run = lab.session.searched
    lab.session.client.told.put(GOOD.format(1))
    wait_for(lambda: run.live.state.pending is not None)
    for name, value in (("benchmark", "nas-bench-201-cifar100"), ("model", "offline"), ("seed", 7)):
        getattr(lab.editor, name).value = value
    assert lab.session.benchmark.name == "nas-bench-201-cifar100"
    assert run.board.caption == "nas-bench-201-cifar10, offline, standard, table, seed 0"
    assert "waits for your decision" in lab.running.value
    lab.tabs.value = "Search"
    assert lab.searching.deciding.root.layout.display == ""
    lab.searching.deciding.decide("approve")
    wait_for(lambda: len(run.points) == 1)
    assert run.points[0].value == pytest.approx(90.108, abs=1)
    lab.searching.now_button.click()


def test_a_second_search_runs_beside_the_first(lab):
    """Each has its buttons: turning to one and stopping it leaves the other."""
    lab.searching.run()
    first = lab.session.searched
    lab.editor.seed.value = 1
    lab.searching.run()
    second = lab.session.searched
    lab.searching.chosen.value = first.id
    assert lab.view.board is first.board
    lab.searching.now_button.click()
    wait_for(lambda: not first.is_running)
    assert second.is_running
    assert lab.view.board.line == f"prompt_lab.session.run({first.path.as_posix()!r}).live.stop(now=True)"
    assert lab.session.run(first.path) is first


def test_a_cell_that_is_run_again_finds_the_searches_that_run(lab, benchmark, tmp_path):
    """In the same folder or another: shown at once, with their buttons."""
    lab.searching.run()
    run = lab.session.searched
    wait_for(lambda: run.state is not None and run.state.asking_since is not None)
    for folder in (tmp_path, tmp_path / "elsewhere"):
        again = PromptLab(benchmark, folder=folder)
        assert again.session.searched is run
        assert again.view.board is run.board
        assert not again.searching.now_button.disabled
    again.searching.now_button.click()
    wait_for(lambda: not run.is_running)
    wait_for(lambda: "Stopped" in again.view.board.status["text"])
    assert PromptLab(benchmark, folder=tmp_path / "third").session.searched is None


def test_replies_stand_in_order_with_refusals_and_repairs(benchmark, tmp_path):
    """Also what led to no evaluation; replies in Markdown, the architecture marked, nothing of it run or fetched."""
    client = QueueClient("**No.**", "Architecture: [9, 9]", f"![x](http://a/b.png)\n\n{GOOD.format(1)}")
    lab = PromptLab(benchmark, budget=1, folder=tmp_path, client=client)
    lab.searching.run()
    lab.session.live.wait(60)
    said = "".join(lab.session.searched.board.entries)
    places = [
        said.index(text) for text in ("<summary>system", "<strong>No.</strong>", "Refused", "[9, 9]", "[3, 3, 3, 3")
    ]
    assert places == sorted(places)
    assert said.count("Refused") == 2
    assert '<mark class="genius-design">[3, 3, 3, 3, 3, 1]</mark>' in said
    assert "<img" not in said
    assert "<script" not in said


def test_markdown_of_a_reply_leads_nowhere():
    """Links and pictures are text, headings add none to the page."""
    shown = markdown_html("# Title\n[a](javascript:x) <b onclick='x'>b</b>\n\n- one\n- two")
    assert shown.count("<li>") == 2
    assert not re.search(r"<(a|img|b|h\d)[ >]", shown)


def test_a_step_that_is_looked_at_stays_while_others_come(lab):
    """The drawing and the words are of the step until the newest is asked for."""
    lab.searching.run()
    run = lab.session.searched
    lab.session.client.told.put(GOOD.format(1))
    wait_for(lambda: len(run.points) == 1)
    lab.view._received(None, {"kind": "step", "board": run.id, "step": 0}, [])
    lab.session.client.told.put(GOOD.format(2))
    wait_for(lambda: len(run.points) == 2)
    assert "333331" in run.board.described
    assert "333331" in run.board.step
    lab.view._received(None, {"kind": "step", "board": run.id, "step": 9}, [])
    assert "step 10 was asked for" in lab.error.value
    lab.view._received(None, {"kind": "step", "board": run.id, "step": None}, [])
    assert "333332" in run.board.described
    lab.searching.now_button.click()


def test_a_curve_is_held_against_the_table(benchmark):
    """Its optimum, the largest architecture, and random search as `RandomSearch` has it exactly."""
    held = references(benchmark, 10)
    scores = benchmark.scores()
    assert held.best == pytest.approx(scores.max(), abs=1e-4)
    assert held.prior[1] == benchmark.rank(benchmark.space.all_largest).mean
    for number, value, rank in held.random:
        assert value == pytest.approx(RandomSearch(scores).expected_best(number), abs=1e-3)
        assert rank == pytest.approx(RandomSearch(scores).expected_best_rank(number), abs=0.01)
    assert [number for number, _, _ in held.random] == list(range(1, 11))
    assert references(ToyBenchmark(), 10) is None


@pytest.mark.parametrize("measure", ["accuracy", "rank"])
def test_the_still_curve_ends_at_the_budget(benchmark, measure):
    """In percent or by rank; what it is held against is named; the first of 20 points stands at the left."""
    points = [Point(1, 90.0, "a", "model", 700.0), Point(2, 91.0, "b", "model", 100.0)]
    svg = curve_svg(points, "validation accuracy", 20, measure, references(benchmark, 20))
    xml.dom.minidom.parseString(svg)
    assert "best of the table" in svg
    assert ("rank (1 is best)" in svg) == (measure == "rank")
    last = max(float(x) for x in re.findall(r"M([\d.]+) [\d.]+h0", svg))
    assert last < 120  # of 560: the second of twenty


def test_ranks_have_round_ticks():
    """1, 2, 5 within a decade, powers of ten over many."""
    assert rank_ticks(-1.05, 0.05) == [1, 2, 5, 10]
    assert rank_ticks(-4.0, 0.0) == [1, 10, 100, 1000, 10000]


def test_every_architecture_has_a_short_name():
    """Its key and the most frequent operations in words, unlike those of others, in fewer than 90 characters."""
    for name in SPACES:
        space = load_space(name)
        named = {short_name(space, one) for one in (space.all_largest, (0,) * space.length)}
        assert len(named) == 2
        assert all(len(one) < 90 for one in named)


def test_a_point_tells_what_the_browser_shows_of_it(benchmark, tmp_path):
    """Accuracy, rank in the middle of its range, multiply-accumulates and parameters."""
    run = recorded(recorded_run(benchmark, tmp_path / "a.jsonl"), benchmark)
    found = run.points[0].message()
    assert found == [1, 90.1987, "333333: 6 times 3×3 conv", "model", 685, 220119690, 1531546]


def test_the_age_of_a_call_goes_on_while_nobody_looks():
    """A view that comes later is told the seconds since the call began."""
    board = Board("a")
    board.tell("Running", asking=3.0, retry=0.01)
    time.sleep(0.05)
    status = board.snapshot()["status"]
    assert 3.05 <= status["asking"] < 4
    assert status["retry"] == 0


def arm(prompt="minimal"):
    return Arm({"prompt": prompt}, f"Say {prompt}.\nAgain.", None)


def test_two_prompts_stand_side_by_side():
    """What differs is marked, and text stays text."""
    shown = difference_html(arm(), arm("<b>bold</b>"))
    assert "diff_chg" in shown or "diff_add" in shown
    assert "<b>" not in shown
    assert "same prompt" in difference_html(arm(), arm())


def test_several_rows_are_compared_with_the_first(benchmark, tmp_path):
    """Each row has its pairs; the baseline's searches are run once."""
    rows = [arm(name) for name in ("minimal", "standard", "reasoned")]
    seen = []
    found = Comparing(benchmark, rows, [0, 1], 2, tmp_path)
    found.shown.append(lambda run: seen.append(run.label))
    found.run()
    assert [len(paired.pairs) for paired in found.results.values()] == [2, 2]
    assert not found.is_running
    assert len(list(tmp_path.glob("*.jsonl"))) == 6
    assert found.verdict().startswith("Row 2: Cannot tell")
    assert any("reasoned" in label for label in seen)


def test_a_comparison_is_found_again_and_stopped(lab, benchmark, tmp_path):
    """By the cell that is run again; it keeps its baseline when another benchmark is chosen."""
    lab.comparing.pin()
    lab.editor.variant.value = "reasoned"
    lab.comparing.pairs.value = 2
    assert "2 rows × 2 seeds" in lab.comparing.pinned.value
    lab.comparing.run()
    again = PromptLab(benchmark, folder=tmp_path)
    assert not again.comparing.stop_button.disabled
    again.comparing.stop()
    lab.session.client.told.put("the end")
    wait_for(lambda: not again.comparing.comparison.is_running)
    wait_for(lambda: again.comparing.stop_button.disabled)
    lab.editor.benchmark.value = "nas-bench-201-cifar100"
    lab.comparing.run_button.click()
    assert "the baseline is of nas-bench-201-cifar10" in lab.error.value
    with pytest.raises(InvalidParameter, match="knows no run"):
        lab.session.run("nowhere.jsonl")
    for thread in threading.enumerate():
        if thread.name == "genius-kit-lab":
            thread.join(20)
