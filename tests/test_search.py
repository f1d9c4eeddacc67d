"""The loop with each proposer: results, refusals, fallbacks, resuming."""

import re

import pytest

import genius_kit as gk
from genius_kit.errors import InvalidArchitecture, InvalidParameter, JournalError, ModelError, UnknownName
from genius_kit.journal import read_run
from genius_kit.runs.batch import search_many
from genius_kit.runs.loop import first_architecture, journal_name, journal_path
from tests.doubles import QueueClient, ToyBenchmark, reply
from tests.resuming import assert_resumes_alike


def design(key):
    return "Architecture: [" + ", ".join(key) + "]"


def llm(client, **settings):
    return gk.make_proposer("llm", ToyBenchmark().space, client=client, **settings)


def kinds(run):
    return [event["event"] for event in run.events]


def test_a_search_records_one_evaluation_an_iteration():
    """Every step of a plain search is on record, in order."""
    run = gk.search(ToyBenchmark(), llm(QueueClient(design("22222222"), design("22222221"))), budget=2)
    step = ["intent", "call", "proposal", "evaluation"]
    assert kinds(run) == ["run_started", *step, *step, "run_finished"]
    assert list(run.frame()["key"]) == ["22222222", "22222221"]
    assert run.finished
    assert run.reason == "budget"


def test_results_reach_the_next_prompt():
    """The second prompt lists the first result, the first lists none."""
    client = QueueClient(design("22222222"), design("22222221"))
    gk.search(ToyBenchmark(), llm(client), budget=2)
    assert "66.00" not in str(client.sent[0])
    assert "66.00" in str(client.sent[1])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[1, 2, 3]", "wrong length"),
        (design("22222229"), "off-menu"),
        (design("22222222"), "duplicate"),
        ("", "empty"),
        (reply(None), "empty"),
        (reply("[2, 1, 2, 1,", "length"), "cut"),
        (reply(f"{design('21212121')}\n\nWait, that is", "unknown"), "cut"),
        (reply("[2, 1", "content_filter"), "content filter"),
    ],
)
def test_a_refused_reply_is_recorded_answered_and_asked_again(answer, reason):
    """A reply that cannot be used costs no evaluation; the model is told why, in the same conversation."""
    client = QueueClient(design("22222222"), answer, design("11111111"))
    run = gk.search(ToyBenchmark(), llm(client), budget=2)
    rejected = run.of("rejected")
    assert [event["reason"] for event in rejected] == [reason]
    assert rejected[0]["detail"] in client.sent[2][-1]["content"]
    assert list(run.frame()["key"]) == ["22222222", "11111111"]
    assert list(run.frame()["rejections"]) == [0, 1]


@pytest.mark.parametrize("finish_reason", ["stop", "end_turn", "length", "unknown", "content_filter"])
def test_a_whole_answer_is_taken_whatever_the_server_says_of_its_end(finish_reason):
    """A reply that ends with its architecture is whole; the server's word for its end is on record."""
    run = gk.search(ToyBenchmark(), llm(QueueClient(reply(design("21212121"), finish_reason))), budget=1)
    assert list(run.frame()["key"]) == ["21212121"]
    assert run.of("call")[0]["finish_reason"] == finish_reason


def test_reasoning_is_not_sent_back():
    """The dialogue after a refusal holds what the model answered, not what it thought before."""
    client = QueueClient(f"<think>{'So. ' * 99}</think>{design('22222229')}", design("11111111"))
    gk.search(ToyBenchmark(), llm(client), budget=1)
    assert client.sent[1][-2] == {"role": "assistant", "content": design("22222229")}


def test_an_equivalent_design_is_a_duplicate():
    """An identity moved inside its stage is the same network."""
    client = QueueClient(design("22102222"), design("22120222".replace("120", "120")), design("22222222"))
    client.answers[:2] = [design("22210222"), design("22201222")]
    run = gk.search(ToyBenchmark(), llm(client), budget=2)
    assert [event["reason"] for event in run.of("rejected")] == ["duplicate"]


def test_too_many_refusals_fall_back_to_a_marked_random_design():
    """The fallback is evaluated and never counted as the model's."""
    run = gk.search(ToyBenchmark(), llm(QueueClient(*["?"] * 3), rejections_limit=2), budget=1)
    assert len(run.of("rejected")) == 3
    assert list(run.frame()["origin"]) == ["fallback"]


def test_too_many_refusals_stop_the_run_when_asked_to():
    """With on_exhausted="stop" the run ends with that reason."""
    run = gk.search(ToyBenchmark(), llm(QueueClient("?"), rejections_limit=0, on_exhausted="stop"), budget=1)
    assert run.reason == "rejections"
    assert run.frame().empty


def test_a_declared_end_is_an_outcome():
    """A model that sees no improvement ends the run, on record; before any result it is asked again."""
    answers = ("No improvement possible.", design("22222222"), "No improvement possible.")
    run = gk.search(ToyBenchmark(), llm(QueueClient(*answers)), budget=5)
    assert run.reason == "declined"
    assert len(run.of("declined")) == 1
    assert [event["reason"] for event in run.of("rejected")] == ["declined too early"]


def failure(cause, **fields):
    return ModelError(f"it failed: {cause}", cause=cause, **fields)


def test_a_retryable_failure_is_recorded_and_tried_again():
    """Each attempt leaves its intent and its cause."""
    client = QueueClient(failure("server", retryable=True, retry_after=0.0), design("22222222"))
    run = gk.search(ToyBenchmark(), llm(client), budget=1)
    assert kinds(run)[1:5] == ["intent", "call_failed", "intent", "call"]
    assert run.of("call_failed")[0]["cause"] == "server"


def test_an_unsupported_parameter_is_dropped_once_and_for_all():
    """The refusal is on record and the parameter is not sent again."""
    refused = failure("unsupported-parameter", parameter="temperature")
    run = gk.search(ToyBenchmark(), llm(QueueClient(refused, design("22222222"))), budget=1)
    assert [e["parameter"] for e in run.of("call_failed")] == ["temperature"]
    assert run.finished


def test_a_fatal_failure_leaves_a_journal_that_resumes(tmp_path):
    """What was answered before is not asked again."""
    path = tmp_path / "a.jsonl"
    with pytest.raises(ModelError, match="wrong-key"):
        gk.search(ToyBenchmark(), llm(QueueClient(design("22222222"), failure("wrong-key"))), 2, journal=path)
    assert not read_run(path).finished
    client = QueueClient(design("11111111"))
    benchmark = ToyBenchmark()
    run = gk.search(benchmark, llm(client), 2, journal=path)
    assert list(run.frame()["key"]) == ["22222222", "11111111"]
    assert len(client.sent) == 1
    assert benchmark.evaluated == [(1,) * 8]


@pytest.mark.parametrize("proposer", ["llm", "random", "coordinate-descent"])
def test_a_run_cut_after_any_event_resumes_to_the_same_run(tmp_path, proposer):
    """However many events had reached the disk, the resumed run has the events of the uninterrupted one."""
    answers = [design("22222222"), "?", design("22222222"), design("22222221"), design("22222212")]

    def start(path, skip):
        settings = {"client": QueueClient(*answers[skip:])} if proposer == "llm" else {}
        made = gk.make_proposer(proposer, ToyBenchmark().space, **settings)
        return gk.search(ToyBenchmark(), made, 3, seed=4, journal=path, progress=False)

    assert_resumes_alike(tmp_path, start)


def test_a_changed_prompt_is_refused_on_resume(tmp_path):
    """A journal does not continue under another prompt."""
    path = tmp_path / "a.jsonl"
    gk.search(ToyBenchmark(), llm(QueueClient(design("22222222"))), 1, journal=path)
    with pytest.raises(JournalError, match="prompt"):
        gk.search(ToyBenchmark(), llm(QueueClient(design("22222222")), prompt="minimal"), 1, journal=path)


def test_random_numbers_come_from_seed_and_iteration():
    """The same seed gives the same run, another seed another one."""

    def keys(seed):
        made = gk.make_proposer("random", ToyBenchmark().space)
        return list(gk.search(ToyBenchmark(), made, 5, seed).frame()["key"])

    assert keys(0) == keys(0) != keys(1)


def test_coordinate_descent_starts_largest_and_ends_at_a_local_optimum():
    """On a benchmark whose best is the all-largest architecture it looks at all 16 neighbours and stops."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("coordinate-descent", ToyBenchmark().space), budget=50)
    frame = run.frame()
    assert frame["key"][0] == "22222222"
    assert len(frame) == len(set(frame["key"]))
    assert run.reason == "local optimum"


def test_prior_is_one_evaluation():
    """The prior evaluates the all-largest architecture and stops."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("prior", ToyBenchmark().space), budget=10)
    assert list(run.frame()["key"]) == ["22222222"]


def test_unknown_names_and_settings_are_refused():
    """The message lists what there is."""
    space = ToyBenchmark().space
    with pytest.raises(UnknownName, match="random"):
        gk.make_proposer("annealing", space)
    with pytest.raises(InvalidParameter, match="temperature"):
        gk.make_proposer("llm", space, temprature=1)
    with pytest.raises(InvalidParameter, match="at least one"):
        gk.search(ToyBenchmark(), gk.make_proposer("random", space), budget=0)


def test_many_runs_leave_finished_ones_alone(tmp_path):
    """The same call again writes nothing."""
    runs = search_many(ToyBenchmark(), "random", range(3), budget=2, output=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    again = search_many(ToyBenchmark(), "random", range(3), budget=2, output=tmp_path)
    assert len(before) == 3
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    assert [list(r.frame()["key"]) for r in runs] == [list(r.frame()["key"]) for r in again]


def test_many_runs_begin_where_they_are_told(tmp_path):
    """Whatever searches, a seed has one first architecture; runs that begin elsewhere have other files."""
    for name in ("random", "coordinate-descent"):
        runs = search_many(ToyBenchmark(), name, range(3), budget=2, output=tmp_path, first="random")
        assert [run.frame()["key"][0] for run in runs] == [
            ToyBenchmark().space.key(first_architecture("random", ToyBenchmark().space, seed)) for seed in range(3)
        ]
    (largest,) = search_many(ToyBenchmark(), "random", [0], budget=2, output=tmp_path, first="largest")
    assert largest.frame()["key"][0] == ToyBenchmark().space.key(ToyBenchmark().space.all_largest)
    assert len(list(tmp_path.glob("*.jsonl"))) == 7
    with pytest.raises(InvalidArchitecture):
        search_many(ToyBenchmark(), "random", [0], budget=2, first="biggest")


def test_journal_names_are_safe_and_tell_settings_apart():
    """A model name with slashes stays inside the folder; other settings get another file."""
    run = {"benchmark": "b", "proposer": "llm", "budget": 1, "seed": 0, "settings": {"model": "../org/m:1"}}
    assert "/" not in journal_name(run)
    assert journal_name(run) != journal_name({**run, "budget": 2})


def test_journal_names_tell_arms_apart_in_words():
    """Control, change, prompt and history stand in the name where they are not the usual ones."""
    usual = {"model": "m", "prompt": "standard", "history": "table"}
    run = {"benchmark": "b", "proposer": "llm", "budget": 1, "seed": 3, "settings": usual}
    assert re.fullmatch(r"b_llm_m_[0-9a-f]{8}_seed3\.jsonl", journal_name(run))
    other = {"model": "m", "control": "anonymous", "prompt": "own/words.md", "history": "dialogue"}
    assert journal_name({**run, "settings": other}).startswith("b_llm_m_anonymous_words_dialogue_")


@pytest.mark.parametrize(("cause", "left"), [("no-key", 0), ("timeout", 1)])
def test_a_run_without_a_reply_leaves_a_journal_only_where_it_may_be_billed(cause, left, tmp_path):
    """Nothing was asked: no trace. An attempt that may have been billed stays on record."""
    client = QueueClient(ModelError("no reply", cause=cause))
    with pytest.raises(ModelError):
        search_many(ToyBenchmark(), "llm", [0], 1, output=tmp_path, progress=False, client=client)
    assert len(list(tmp_path.glob("*.jsonl"))) == left


def test_an_edited_prompt_file_is_another_run(tmp_path):
    """The same command with an edited template asks anew and keeps the journal of the old text."""
    template = tmp_path / "mine.md"
    for word in ("", "Think."):
        template.write_text(f"{{{{ problem }}}} {word} {{{{ answer_format }}}} {{{{ results }}}}")
        client = QueueClient(design("22222222"))
        search_many(ToyBenchmark(), "llm", [0], 1, output=tmp_path / "runs", client=client, prompt=str(template))
        assert len(client.sent) == 1
    assert len(list((tmp_path / "runs").glob("*.jsonl"))) == 2


def test_a_journal_of_an_earlier_name_is_gone_on_with(tmp_path):
    """Earlier versions did not tell the arm: their file is the run's, where it is there."""
    run = {"benchmark": "b", "proposer": "llm", "budget": 1, "seed": 3}
    run["settings"] = {"model": "m", "control": "anonymous", "prompt": "standard"}
    named = journal_path(tmp_path, run)
    earlier = tmp_path / named.name.replace("_anonymous", "")
    assert "_anonymous_" in named.name
    earlier.touch()
    assert journal_path(tmp_path, run) == earlier
    named.touch()
    assert journal_path(tmp_path, run) == named
