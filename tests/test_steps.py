"""Recorded runs as steps: what each one holds, what changed from its parent, and how long a long run takes to open."""

import json
import time

import pytest

import genius_kit as gk
from genius_kit.errors import JournalError, ModelError
from genius_kit.runs.live import LiveSearch
from genius_kit.runs.steps import open_run
from tests.doubles import QueueClient, ToyBenchmark


def design(key):
    return "Architecture: [" + ", ".join(key) + "]"


def recorded(path, *answers, budget=3, **settings):
    client = QueueClient(*answers)
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=client, **settings)
    return gk.search(ToyBenchmark(), proposer, budget, journal=path, progress=False)


def test_a_step_holds_what_was_sent_and_what_came_of_it(tmp_path):
    """Prompt, replies, rejections, failures, proposal and evaluation are those of the journal."""
    failure = ModelError("busy", cause="server", retryable=True, retry_after=0.0)
    answers = [design("22222222"), failure, "?", design("22222221"), design("22212221")]
    run = recorded(tmp_path / "a.jsonl", *answers)
    steps = open_run(tmp_path / "a.jsonl")
    assert len(steps) == 3
    assert (steps.reason, steps.settings) == ("budget", run.settings)
    assert steps.evaluations == run.of("evaluation")
    step = steps[1]
    calls = [event for event in run.of("call") if event["iteration"] == 2]
    assert step.iteration == 2
    assert list(step.calls) == calls
    assert list(step.messages) == calls[0]["messages"]
    assert step.replies == ("?", design("22222221"))
    assert [event["cause"] for event in step.failures] == ["server"]
    assert len(step.rejections) == 1
    assert step.proposal["text"] == "22222221"
    assert step.evaluation["feedback"] == 65.0
    assert [step.iteration for step in steps[1:]] == [2, 3]
    assert steps[-1].iteration == 3


def test_a_parent_is_the_nearest_design_before(tmp_path):
    """Of equally near ones the better; the difference is in the words of the space."""
    recorded(tmp_path / "a.jsonl", *map(design, ("22222222", "11111111", "22222221", "22212221")), budget=4)
    steps = list(open_run(tmp_path / "a.jsonl"))
    assert [step.parent for step in steps] == [None, 1, 1, 3]
    space = ToyBenchmark().space
    (change,) = steps[3].changes
    assert (change.position, change.place) == (3, space.positions[3])
    assert (change.before, change.after) == (space.options[2], space.options[1])
    assert steps[0].changes == ()


def test_channel_changes_are_told_in_channels(tmp_path, data_home):
    """Options of a channel space are read as counts."""
    benchmark = gk.load_benchmark("channel-bench-resnet")
    proposer = gk.make_proposer("coordinate-descent", benchmark.space)
    gk.search(benchmark, proposer, 2, journal=tmp_path / "a.jsonl", progress=False)
    (change,) = open_run(tmp_path / "a.jsonl")[1].changes
    assert change.before.endswith(" channels")
    assert int(change.before.split()[0]) in benchmark.space.choices[change.position]


def test_steps_of_a_steered_run(tmp_path):
    """Decisions stand in their step; pauses and budgets make no step of their own."""
    path = tmp_path / "a.jsonl"
    answers = QueueClient(design("22222222"), design("11111111"))
    proposer = gk.make_proposer("llm", ToyBenchmark().space, client=answers)

    def on_change(state):
        if state.pending is not None and live is not None:
            live.decide("reject" if state.pending == (2,) * 8 else "approve", reason="because")

    live = None
    live = LiveSearch(ToyBenchmark(), proposer, 1, journal=path, approve=True, on_change=on_change)
    live.start()
    assert live.wait(20).finished
    (step,) = open_run(path)
    assert [event["decision"] for event in step.approvals] == ["reject", "approve"]
    assert len(step.rejections) == 1


def test_an_unfinished_or_torn_run_opens(tmp_path):
    """However the file was cut, the steps that are whole are there."""
    path = tmp_path / "a.jsonl"
    recorded(path, design("22222222"), design("22222221"), budget=2)
    content = path.read_bytes()
    for cut in range(0, len(content) + 1, 7):
        path.write_bytes(content[:cut])
        steps = open_run(path)
        assert [step.iteration for step in steps] == list(range(1, len(steps) + 1))
    path.write_bytes(content[: content.rindex(b'{"event":"evaluation"')])
    assert open_run(path)[1].evaluation is None
    assert open_run(path).reason is None


def test_damage_is_named(tmp_path):
    """A missing file, a damaged line, and a damaged reply are refused when they are met."""
    path = tmp_path / "a.jsonl"
    with pytest.raises(JournalError, match="there is no journal"):
        open_run(path)
    recorded(path, design("22222222"), budget=1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"nonsense\n", *lines[4:]]))
    with pytest.raises(JournalError, match="line 4 is damaged"):
        open_run(path)
    path.write_bytes(b"".join([*lines[:2], lines[2][:80] + b"}\n", *lines[3:]]))
    with pytest.raises(JournalError, match="is damaged"):
        open_run(path)[0]


def long_journal(path, iterations, prompt):
    """Write a journal of `iterations` steps of four events, each call with a prompt of `prompt` characters."""
    space = ToyBenchmark().space
    started = {"event": "run_started", "time": "t", "run": {"space": space.name, "budget": iterations}}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(started, separators=(",", ":")) + "\n")
        for iteration in range(1, iterations + 1):
            architecture = list(space.at(iteration))
            for event in (
                {"event": "intent", "time": "t", "iteration": iteration, "request": "0" * 16},
                {
                    "event": "call",
                    "time": "t",
                    "iteration": iteration,
                    "messages": [{"role": "user", "content": "x" * prompt}],
                    "text": str(architecture),
                    "cost": None,
                },
                {
                    "event": "proposal",
                    "time": "t",
                    "iteration": iteration,
                    "architecture": architecture,
                    "text": "",
                    "origin": "model",
                },
                {
                    "event": "evaluation",
                    "time": "t",
                    "iteration": iteration,
                    "architecture": architecture,
                    "feedback": 50.0 + sum(architecture),
                },
            ):
                file.write(json.dumps(event, separators=(",", ":")) + "\n")


@pytest.mark.alone
def test_ten_thousand_records_open_within_a_second_and_a_step_within_50_ms(tmp_path):
    """Measured on a journal of 10,001 records with prompts of 20,000 characters; the bounds here are twice as wide."""
    path = tmp_path / "long.jsonl"
    long_journal(path, 2_500, 20_000)
    begun = time.perf_counter()
    steps = open_run(path)
    assert len(steps.evaluations) == 2_500
    opened = time.perf_counter() - begun
    seconds = []
    for index in (*range(0, 2_500, 250), 2_499):
        begun = time.perf_counter()
        step = steps[index]
        seconds.append(time.perf_counter() - begun)
        assert len(step.messages[0]["content"]) == 20_000
    print(f"opened in {opened * 1000:.0f} ms, slowest step {max(seconds) * 1000:.1f} ms")
    assert opened <= 2.0
    assert max(seconds) <= 0.1
