"""Objectives: what they are, how a benchmark weighs them, and how a search with them is recorded and resumed."""

import json
import pickle

import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.benchmarks.base import OBJECTIVES, Objectives, read_objectives
from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.errors import InvalidParameter, JournalError, PromptError
from genius_kit.journal import read_run
from genius_kit.journal.verify import verify_run
from genius_kit.llm.recorded import ReplayClient
from genius_kit.records import Cost, Evaluation
from genius_kit.runs.audit import audit_run
from tests.doubles import ToyBenchmark

TABLE = "nas-bench-201-cifar10"
BOTH = "accuracy,latency"
pytestmark = pytest.mark.usefixtures("no_data")


def weighing(objectives=BOTH):
    """Return the embedded table for a search of several objectives."""
    return gk.load_benchmark(TABLE, source="embedded", objectives=objectives)


def searched(journal=None, proposer="llm", budget=4, benchmark=None, **settings):
    """Return a search of the embedded table."""
    benchmark = benchmark or weighing()
    made = gk.make_proposer(proposer, benchmark.space, **settings)
    return gk.search(benchmark, made, budget, 0, journal, progress=False)


def test_objectives_are_read_in_every_form():
    """A text with commas, a list, or themselves; they travel to other processes and say their names."""
    both = Objectives("accuracy", "macs")
    assert read_objectives("accuracy, macs") == read_objectives(["accuracy", "macs"]) == read_objectives(both) == both
    assert pickle.loads(pickle.dumps(both)) == both
    assert str(both) == "accuracy,macs"
    assert read_objectives(None) is None
    assert read_objectives(()) is None


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("accuracy,flops", "accuracy, macs, parameters, latency"),
        ("accuracy", "accuracy first"),
        ("macs,accuracy", "accuracy first"),
        ("accuracy,macs,macs", "different"),
        ("accuracy,macs,parameters,latency", "one or two"),
    ],
)
def test_bad_objectives_are_refused_with_the_known_ones(names, told):
    """An unknown name, too few, too many, twice the same, or without accuracy."""
    with pytest.raises(InvalidParameter, match=told):
        gk.load_benchmark(TABLE, source="embedded", objectives=names)


def test_a_latency_that_no_table_tells_is_refused(data_home):
    """The message names the tables that do; multiply-accumulates are known everywhere."""
    with pytest.raises(InvalidParameter, match=TABLE):
        gk.load_benchmark("nas-bench-macro", objectives=BOTH)
    with pytest.raises(InvalidParameter, match=TABLE):
        ToyBenchmark().weighing(Objectives("accuracy", "latency"))
    assert gk.load_benchmark("nas-bench-macro", objectives="accuracy,macs").losses().shape == (6561, 2)


def test_the_published_table_takes_its_latency_from_the_embedded_one(data_home):
    """The accuracies are those of the file, and the record names the sums of both."""
    run = searched(proposer="random", budget=1, benchmark=gk.load_benchmark(TABLE, source="published", objectives=BOTH))
    (event,) = run.of("evaluation")
    assert event["source"].endswith(".json")
    assert event["latency"] == weighing().evaluate(event["architecture"]).latency
    assert len(run.events[0]["data"]) == 2


def test_a_table_tells_every_objective_of_every_row():
    """Losses are what single evaluations say: the accuracy negated, costs as they are, in their units."""
    benchmark = weighing("accuracy,latency,macs")
    losses = benchmark.losses()
    for row in (0, 7777, benchmark.space.size - 1):
        found = benchmark.evaluate(benchmark.space.at(row))
        assert losses[row].tolist() == [-found.feedback, found.latency, found.cost.macs]
        assert benchmark.objectives.values(found) == (found.feedback, found.latency, found.cost.macs)
    assert 0.005 < losses[:, 1].min() < losses[:, 1].max() < 0.05  # seconds


def test_a_benchmark_without_objectives_stays_as_it_is():
    """No latency in its evaluations, none in the record; weighing makes another benchmark."""
    plain = gk.load_benchmark(TABLE, source="embedded")
    plain.weighing(Objectives("accuracy", "latency"))
    assert plain.objectives is None
    assert plain.evaluate((0,) * 6).latency is None
    run = searched(proposer="random", benchmark=plain)
    assert "objectives" not in run.settings
    assert all("latency" not in event for event in run.of("evaluation"))
    assert "latency" not in run.frame()
    with pytest.raises(InvalidParameter, match="objectives="):
        plain.losses()


def test_a_value_that_was_not_measured_is_none():
    """A failed evaluation has costs and no accuracy; a benchmark may know no costs."""
    both = Objectives("accuracy", "macs")
    assert both.values(Evaluation(None, None, None, Cost(1, 2), "x", "diverged")) is None
    assert both.values(Evaluation(None, None, 90.0, None, "x")) is None
    assert both.values(Evaluation(None, None, 90.0, Cost(1, 2), "x")) == (90.0, 2.0)


def test_a_search_is_recorded_resumed_and_replayed_with_its_objectives(tmp_path):
    """Cut anywhere it ends alike, answered from its journal it asks the same; the frame has the latency."""
    whole = searched(tmp_path / "a.jsonl")
    assert whole.settings["objectives"] == ["accuracy", "latency"]
    assert whole.frame()["latency"].between(0.005, 0.05).all()
    assert verify_run(tmp_path / "a.jsonl").findings == ()
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (1, len(lines) // 2, len(lines) - 1):
        (tmp_path / "b.jsonl").write_bytes(b"".join(lines[:kept]))
        resumed = gk.resume(tmp_path / "b.jsonl")
        assert [e["architecture"] for e in resumed.of("evaluation")] == [
            e["architecture"] for e in whole.of("evaluation")
        ]
        assert read_run(tmp_path / "b.jsonl").frame()["latency"].tolist() == whole.frame()["latency"].tolist()
    client = ReplayClient.from_journal(tmp_path / "a.jsonl")
    again = searched(client=client)
    assert [e["architecture"] for e in again.of("evaluation")] == [e["architecture"] for e in whole.of("evaluation")]
    assert client.mismatches == 0


def test_a_journal_does_not_go_on_with_other_objectives(tmp_path):
    """Neither with others nor with none; the files of searches have other names too."""
    searched(tmp_path / "a.jsonl")
    for other in (weighing("accuracy,macs"), gk.load_benchmark(TABLE, source="embedded")):
        with pytest.raises(JournalError, match=r"objectives|prompt"):
            searched(tmp_path / "a.jsonl", benchmark=other)
    runs = [
        gk.search_many(benchmark, "random", [0], 1, output=tmp_path, progress=False)[0].path
        for benchmark in (weighing(), weighing("accuracy,macs"))
    ]
    assert len(set(runs)) == 2


def prompt_of(benchmark=None, **settings):
    """Return the last message of the last prompt of a search."""
    return searched(benchmark=benchmark, **settings).of("call")[-1]["messages"][-1]["content"]


def test_the_prompt_states_the_tradeoff_and_shows_both_values():
    """The aims in words, two numbers with their units beside every architecture."""
    text = prompt_of(prompt="minimal")
    assert "besides its validation accuracy, each design is measured for its latency" in text
    assert "What counts is the front" in text
    assert "its validation accuracy in percent, and its latency in milliseconds." in text
    line = next(line for line in text.splitlines() if line.startswith("1. ["))
    assert line.endswith(" -> 90.20 percent, 23.63 milliseconds")
    three = prompt_of(weighing("accuracy,macs,parameters"))
    assert "its multiply-accumulates in millions and its parameters in millions." in three
    assert " -> 90.20 percent, 220.12 million multiply-accumulates, 1.532 million parameters" in three


def test_scores_that_are_no_percentage_keep_their_unit():
    """In the prompt and on the axis of the front, as on the benchmark."""
    benchmark = gk.load_benchmark("hpolib-parkinsons", objectives=("accuracy", "macs"))
    run = gk.search(benchmark, gk.make_proposer("llm", benchmark.space), 2, progress=False)
    *_, line = [line for line in run.of("call")[-1]["messages"][-1]["content"].splitlines() if " -> " in line]
    assert " millionths, " in line
    assert "percent" not in line
    (axes,) = figures.pareto_front_figure({"llm": [run]}).axes
    assert " ".join(axes.get_ylabel().split()).startswith("negative validation mean squared error (millionths)")


def test_a_dialogue_tells_both_values_too():
    """Each measured architecture with its costs, in its own message."""
    messages = searched(history="dialogue").of("call")[-1]["messages"]
    assert "you are told its validation accuracy in percent, and its latency in milliseconds." in messages[1]["content"]
    assert sum(" milliseconds" in message["content"] for message in messages[2:]) == 3


def test_a_plain_prompt_does_not_change():
    """Without objectives no word of costs, and the same sum of its sources as ever."""
    plain = searched(benchmark=gk.load_benchmark(TABLE, source="embedded"))
    assert "front" not in json.dumps(plain.of("call")[0]["messages"])
    assert plain.settings["resolved"]["prompt_sha256"] != searched().settings["resolved"]["prompt_sha256"]


def test_controls_take_the_pair_of_values_as_one():
    """Shuffled, whole pairs are dealt out; without names costs have none; on another scale only the accuracy is."""
    lines = {
        control: [line for line in prompt_of(control=control, budget=6).splitlines() if " -> " in line]
        for control in ("shuffled-feedback", "anonymous", "relabelled-scores", "no-feedback")
    }
    measured = searched(control="shuffled-feedback", budget=6).frame().iloc[:5]
    pairs = {f"{row.feedback:.2f} percent, {row.latency * 1e3:.2f} milliseconds" for row in measured.itertuples()}
    assert {line.split(" -> ")[1] for line in lines["shuffled-feedback"]} == pairs
    assert all(" percent, cost " in line for line in lines["anonymous"])
    assert not any(name in prompt_of(control="anonymous") for name in ("latency", "milliseconds"))
    assert all(" points, " in line and line.endswith(" milliseconds") for line in lines["relabelled-scores"])
    assert all(line.endswith("-> not shown") for line in lines["no-feedback"])


def test_what_cannot_speak_of_several_objectives_is_refused():
    """The knowledge probe, a paraphrase made for accuracy, a template that never states the problem."""
    with pytest.raises(InvalidParameter, match="knowledge-probe"):
        searched(control="knowledge-probe")
    with pytest.raises(InvalidParameter, match="accuracy alone"):
        searched(change="reworded-1")


def test_a_template_without_the_problem_is_refused(tmp_path):
    """The trade-off stands with the problem."""
    (tmp_path / "own.md").write_text("Find a design.\n{{ answer_format }}\n{{ results }}\n")
    with pytest.raises(PromptError, match="problem"):
        searched(prompt=str(tmp_path / "own.md"))


@pytest.mark.parametrize("proposer", ["nsga2", "parego"])
def test_proposers_that_weigh_objectives_refuse_a_benchmark_of_one(proposer, tmp_path):
    """Nothing is written, and the message says how to give it some."""
    with pytest.raises(InvalidParameter, match="--objectives accuracy,macs"):
        searched(tmp_path / "a.jsonl", proposer, benchmark=gk.load_benchmark(TABLE, source="embedded"))
    assert not (tmp_path / "a.jsonl").exists() or not (tmp_path / "a.jsonl").read_bytes()


def test_proposers_of_one_objective_look_at_accuracy_alone():
    """The same architectures with and without objectives."""
    plain = gk.load_benchmark(TABLE, source="embedded")
    for proposer in ("random", "evolution", "gp", "coordinate-descent"):
        with_both, alone = searched(proposer=proposer, budget=8), searched(proposer=proposer, budget=8, benchmark=plain)
        assert with_both.frame()["key"].tolist() == alone.frame()["key"].tolist()


def test_every_objective_is_shown_on_its_scale():
    """Numbers that are read are small: millions and milliseconds."""
    shown = [OBJECTIVES[name].shown(value) for name, value in (("macs", 85.2e6), ("latency", 0.0132), ("accuracy", 93))]
    assert shown == ["85.20 million multiply-accumulates", "13.20 milliseconds", "93.00 percent"]


def test_a_record_brings_back_the_benchmark_with_its_objectives(tmp_path):
    """The table of a recorded run weighs what the run weighed, is read once, and the audit finds every sum here."""
    path = tmp_path / "a.jsonl"
    run = searched(path, "random", 2)
    found = recorded_benchmark(run.settings)
    assert found.objectives == weighing().objectives
    assert recorded_benchmark(run.settings) is found
    origins = audit_run(path).origins
    data = origins[origins["what"] == "data"]
    assert len(data)
    assert data["on_record"].tolist() == data["here"].tolist()
