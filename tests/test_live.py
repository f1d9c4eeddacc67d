"""Searches in a thread: pause, stop, approval, a larger budget, and that each of them resumes to the same run."""

import hashlib
import json
import random
import threading
import time

import pytest

import genius_kit as gk
from genius_kit.budget.amounts import Limits
from genius_kit.errors import InvalidArchitecture, InvalidParameter, ModelError
from genius_kit.journal import read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.runs.live import LiveSearch
from genius_kit.runs.remote import state_of
from tests.chat_server import Answer, ChatServer, error
from tests.doubles import QueueClient, ToyBenchmark, reply

MOMENT = 20.0  # seconds after which something that should have happened is missed


def design(key):
    return "Architecture: [" + ", ".join(key) + "]"


def answer(messages):
    """Return a reply that depends on the messages alone; about one in four cannot be used."""
    digest = hashlib.sha256(json.dumps(messages).encode()).digest()
    if digest[0] % 4 == 0:
        return "I am thinking about it."
    return design("".join(str(byte % 3) for byte in digest[1:9]))


class HashClient(QueueClient):
    """Answers the same to the same messages, in `delay` seconds."""

    def __init__(self, delay=0.0):
        super().__init__()
        self.delay = delay

    def send(self, messages, seed=None):
        self.sent.append(list(messages))
        time.sleep(self.delay)
        return reply(answer(messages))


def llm(client, **settings):
    return gk.make_proposer("llm", ToyBenchmark().space, client=client, **settings)


def live_search(client=None, budget=3, **settings):
    client = client or HashClient()
    return LiveSearch(ToyBenchmark(), llm(client), budget, seed=1, **settings)


def until(live, condition):
    """Wait until `condition(state)` holds, and return the state."""
    end = time.monotonic() + MOMENT
    while time.monotonic() < end:
        state = live.state
        if condition(state):
            return state
        time.sleep(0.002)
    raise AssertionError(f"missed; the search is {live.state.status} at {live.state.iteration}: {live.state.error}")


def pending(live):
    return until(live, lambda state: state.pending is not None)


def plain(events):
    """Return the events without times, what a person did beside the steps, and calls that were given up."""
    following = [*[event["event"] for event in events[1:]], None]
    return [
        {key: value for key, value in event.items() if key not in ("time", "seconds")}
        for event, after in zip(events, following, strict=True)
        if event["event"] not in SIDE_EVENTS and (event["event"] != "intent" or after in ("call", "call_failed"))
    ]


def names(run, *kinds):
    return [event["event"] for event in run.of(*kinds)]


def test_a_search_in_a_thread_is_the_search():
    """Its events are those of `search`, and its state says where it stands."""
    live = live_search()
    assert (live.state.status, live.state.iteration, live.state.budget) == ("ready", 1, 3)
    live.start()
    run = live.wait(MOMENT)
    assert plain(run.events) == plain(gk.search(ToyBenchmark(), llm(HashClient()), 3, seed=1, progress=False).events)
    assert (live.state.status, live.state.error, live.state.asking_since) == ("finished", None, None)
    live.start()
    live.stop()
    live.pause()
    assert live.state.status == "finished"


def test_changes_are_told_in_the_worker_thread_and_a_fault_in_it_does_no_harm():
    """Every event is told once, in order; what `on_change` raises is only logged."""
    heard, threads = [], set()

    def on_change(state):
        heard.append(len(state.run.events))
        threads.add(threading.current_thread().name)
        raise RuntimeError("the display is gone")

    live = live_search(on_change=on_change)
    live.start()
    run = live.wait(MOMENT)
    assert run.finished
    assert set(range(1, len(run.events) + 1)) <= set(heard)
    assert heard == sorted(heard)
    assert threads == {"genius-kit-search"}


def test_a_paused_search_sends_nothing_until_it_is_resumed():
    """The reply under way is taken, then nothing is asked; both are events."""
    client = HashClient(0.05)
    live = live_search(client, budget=5)
    live.start()
    until(live, lambda state: state.asking_since is not None)
    live.pause()
    assert live.state.status == "paused"
    until(live, lambda state: state.run.of("paused"))
    assert live.state.asking_since is None
    sent = len(client.sent)
    time.sleep(0.15)
    assert len(client.sent) == sent
    live.resume()
    assert live.wait(MOMENT).finished
    assert names(live.state.run, *SIDE_EVENTS) == ["paused", "resumed"]


def test_a_stop_after_this_one_ends_between_steps_and_resumes(tmp_path):
    """The present iteration is evaluated; the journal is unfinished, and `start` ends it like an undisturbed run."""
    path = tmp_path / "a.jsonl"
    live = live_search(HashClient(0.03), journal=path)
    live.start()
    until(live, lambda state: state.asking_since is not None)
    live.stop()
    assert live.state.status == "stopping"
    run = live.wait(MOMENT)
    assert (live.state.status, len(run.of("evaluation")), run.finished) == ("stopped", 1, False)
    assert run.events[-1]["event"] in ("stop_requested", "evaluation")
    live.start()
    live.wait(MOMENT)
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 3, seed=1, progress=False)
    assert plain(read_run(path).events) == plain(whole.events)


def test_a_stop_in_the_last_iteration_finishes_the_run():
    """Nothing is left to resume once the budget is spent."""
    live = live_search(HashClient(0.05), budget=1)
    live.start()
    until(live, lambda state: state.asking_since is not None)
    live.stop()
    assert live.wait(MOMENT).finished
    assert live.state.status == "finished"


def test_a_stop_in_a_pause_takes_effect_at_once():
    """A paused search has nothing to end first."""
    live = live_search(HashClient(0.02))
    live.start()
    until(live, lambda state: state.asking_since is not None)
    live.pause()
    until(live, lambda state: state.run.of("paused"))
    live.stop()
    live.wait(MOMENT)
    assert live.state.status == "stopped"
    assert names(live.state.run, *SIDE_EVENTS) == ["paused", "stop_requested"]


def test_a_search_in_memory_goes_on_after_a_stop():
    """Without a file the events so far are kept, and no reply is asked for twice."""
    client = HashClient(0.02)
    live = live_search(client)
    live.start()
    until(live, lambda state: len(state.run.of("evaluation")) == 1)
    live.stop()
    live.wait(MOMENT)
    live.resume()
    run = live.wait(MOMENT)
    whole = HashClient()
    assert plain(run.events) == plain(gk.search(ToyBenchmark(), llm(whole), 3, seed=1, progress=False).events)
    assert len(client.sent) == len(whole.sent)


def test_a_model_that_never_answers_can_be_stopped(tmp_path):
    """The call is given up, its intent stays unanswered, and the journal resumes by asking again."""
    path = tmp_path / "a.jsonl"
    with ChatServer(lambda body, number: Answer(fault="hang")) as server:
        proposer = gk.make_proposer("llm", ToyBenchmark().space, model="toy", base_url=server.url)
        live = LiveSearch(ToyBenchmark(), proposer, 2, seed=1, journal=path)
        live.start()
        until(live, lambda state: server.count == 1 and state.asking_since is not None)
        live.stop(now=True)
        run = live.wait(MOMENT)
        assert (live.state.status, live.state.asking_since) == ("stopped", None)
        assert names(run)[-2:] == [] or [event["event"] for event in run.events[-2:]] == ["intent", "stop_requested"]
        assert len(run.unanswered_intents) == 1
        server.script = lambda body, number: answer(body["messages"])
        live.start()
        run = live.wait(MOMENT)
    assert run.finished
    assert len(run.unanswered_intents) == 1


def test_a_call_that_is_given_up_leaves_no_thread_and_no_other_call_notices():
    """The server is hung up on, so that it stops to generate; another search over the same client goes on."""
    with ChatServer(lambda body, number: answer(body["messages"]), delay=0.3) as server:
        first = gk.make_proposer("llm", ToyBenchmark().space, model="toy", base_url=server.url)
        second = gk.make_proposer("llm", ToyBenchmark().space, model="toy", client=first.client)
        searches = [LiveSearch(ToyBenchmark(), proposer, 1, seed=1) for proposer in (first, second)]
        for live in searches:
            live.start()
            until(live, lambda state: state.asking_since is not None)
        until(searches[0], lambda state: server.count == 2)
        searches[0].stop(now=True)
        assert not searches[0].wait(MOMENT).of("call")
        calling = [thread for thread in threading.enumerate() if thread.name == "genius-kit-call"]
        assert len(calling) <= 2
        assert searches[1].wait(MOMENT).finished
        assert not searches[1].state.run.of("call_failed")
        for thread in calling:
            thread.join(MOMENT)
            assert not thread.is_alive()


def ninety_fifth(values):
    return sorted(values)[int(0.95 * len(values))]


def test_stop_now_takes_effect_within_200_ms():
    """The 95th percentile over 40 stops of a call that takes far longer; no request begins afterwards."""
    seconds, late = [], 0
    rng = random.Random(0)
    with ChatServer(lambda body, number: answer(body["messages"]), delay=5.0) as server:
        for _ in range(40):
            proposer = gk.make_proposer("llm", ToyBenchmark().space, model="toy", base_url=server.url)
            live = LiveSearch(ToyBenchmark(), proposer, 3, seed=1)
            live.start()
            until(live, lambda state: state.asking_since is not None)
            time.sleep(rng.uniform(0.0, 0.03))
            begun = time.monotonic()
            live.stop(now=True)
            live.wait(MOMENT)
            seconds.append(time.monotonic() - begun)
            late += sum(request["time"] > begun + 0.2 for request in server.requests)
            assert live.state.status == "stopped"
    print(f"stop now: median {sorted(seconds)[20] * 1000:.1f} ms, p95 {ninety_fifth(seconds) * 1000:.1f} ms")
    assert ninety_fifth(seconds) <= 0.2
    assert late == 0


@pytest.mark.alone
def test_a_pause_lets_no_request_begin_after_200_ms():
    """The 95th percentile over 40 pauses of a search that asks all the time."""
    lateness = []
    rng = random.Random(0)
    with ChatServer(lambda body, number: answer(body["messages"]), delay=0.005) as server:
        proposer = gk.make_proposer("llm", ToyBenchmark().space, model="toy", base_url=server.url)
        live = LiveSearch(ToyBenchmark(), proposer, 5_000, seed=1)
        live.start()
        for _ in range(40):
            time.sleep(rng.uniform(0.0, 0.03))
            begun = time.monotonic()
            live.pause()
            time.sleep(0.06)
            lateness.append(max([request["time"] - begun for request in list(server.requests)] or [0.0]))
            live.resume()
        live.stop(now=True)
        live.wait(MOMENT)
    print(f"pause to the last request: p95 {max(0.0, ninety_fifth(lateness)) * 1000:.1f} ms")
    assert ninety_fifth(lateness) <= 0.2


def test_a_failed_call_says_when_it_is_tried_again_and_the_wait_can_be_stopped():
    """`retry_at` is a time ahead; stop now does not wait for it."""
    failure = ModelError("the server is busy", cause="rate-limit", retryable=True, retry_after=60.0)
    live = live_search(QueueClient(failure, design("11111111")))
    live.start()
    state = until(live, lambda state: state.retry_at is not None)
    assert 50 < state.retry_at - time.monotonic() <= 60
    begun = time.monotonic()
    live.stop(now=True)
    live.wait(MOMENT)
    assert time.monotonic() - begun < 5
    assert (live.state.status, live.state.retry_at) == ("stopped", None)


def test_a_failure_is_a_sentence_without_the_key_and_can_be_tried_again(monkeypatch):
    """The status is "failed", the error holds no traceback and no key; `start` goes on from there."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123456")
    script = [Answer(error("Incorrect API key provided: sk-secret-123456"), status=401)]
    with ChatServer(script) as server:
        proposer = gk.make_proposer("llm", ToyBenchmark().space, model="toy", base_url=server.url)
        live = LiveSearch(ToyBenchmark(), proposer, 1, seed=1)
        live.start()
        live.wait(MOMENT)
        state = live.state
        assert state.status == "failed"
        assert "key was not accepted" in state.error
        assert "sk-secret-123456" not in str(state)
        assert "Traceback" not in state.error
        server.script = lambda body, number: design("11111111")
        live.start()
        live.wait(MOMENT)
    assert (live.state.status, live.state.error) == ("finished", None)


def test_any_fault_is_a_sentence():
    """What no one foresaw ends the search, not the thread's owner."""

    class Broken(ToyBenchmark):
        def evaluate(self, architecture):
            raise ZeroDivisionError("division by zero")

    live = LiveSearch(Broken(), llm(HashClient()), 1)
    live.start()
    live.wait(MOMENT)
    assert live.state.status == "failed"
    assert live.state.error == "the search failed (ZeroDivisionError): division by zero"


def test_money_is_summed_and_unknown_where_one_price_is():
    """Nothing is spent before a call; a call without a price makes the sum unknown."""
    live = live_search()
    assert live.state.spent == 0.0
    live.start()
    live.wait(MOMENT)
    assert live.state.spent is None
    costs = [0.25, 0.5]
    live.state.run.events[0].get("run")
    run = live.state.run
    for event, cost in zip(run.of("call"), [*costs, *[0.0] * 99], strict=False):
        event["cost"] = cost
    assert live.state.spent == 0.75


def test_a_limit_stops_the_search_which_goes_on_with_a_higher_one(tmp_path):
    """What does not fit is not sent; the limits are on record; the architectures are those without limits."""
    designs = [design(text) for text in ("22222222", "22222221", "22222220")]
    free = live_search(QueueClient(*designs))
    free.start()
    client, path = QueueClient(*designs), tmp_path / "limited.jsonl"
    live = live_search(client, journal=path, limits=Limits(calls=1))
    live.start()
    live.wait(MOMENT)
    assert (live.state.status, len(client.sent)) == ("stopped", 1)
    assert "may take 1 calls" in live.state.error
    assert state_of(gk.read_run(path), False) == "stopped"
    for limits, calls, status in ((Limits(calls=2), 2, "stopped"), (None, 3, "finished")):
        live.limit(limits)
        live.resume()
        live.wait(MOMENT)
        assert (live.state.status, len(client.sent)) == (status, calls)
    assert live.state.error is None
    kept = gk.read_run(path)
    assert kept.events[0]["limits"] == {"calls": 1}
    assert [event["limits"] for event in kept.of("limits_set")] == [{"calls": 2}, {}]
    assert [event["architecture"] for event in kept.of("evaluation")] == [
        event["architecture"] for event in free.wait(MOMENT).of("evaluation")
    ]


def limited_in_mid_search(limits):
    """A long search to which limits are set after two evaluations, when it has come to rest, and its client."""
    client = HashClient(0.05)
    live = live_search(client, budget=200)
    live.start()
    until(live, lambda state: state.iteration > 2)
    live.limit(limits)
    live.wait(MOMENT)
    return client, live


def test_a_limit_that_is_set_in_mid_search_holds_from_the_next_request_on():
    """No request goes out that does not fit, and the change is on record before the refusal."""
    client, live = limited_in_mid_search(Limits(calls=1))
    assert live.state.status == "stopped"
    assert len(client.sent) == len(live.state.run.of("call")) < 100
    assert [event["event"] for event in live.state.run.events[-2:]] == ["limits_set", "budget_spent"]


def test_a_limit_that_cannot_be_held_is_refused_in_mid_search():
    """Dollars of a model without a price cannot be counted: the search ends with a sentence, and asks nothing more."""
    client, live = limited_in_mid_search(Limits(dollars=1))
    assert live.state.status == "failed"
    assert "no price is known for the model 'queue-1'" in live.state.error
    assert len(client.sent) == len(live.state.run.of("call")) < 100
    live.limit(None)
    live.resume()
    until(live, lambda state: state.status == "running")
    live.stop()


def test_an_approved_proposal_is_evaluated_and_nothing_else():
    """The search waits with the proposal in its state until it is decided on."""
    live = live_search(QueueClient(design("22222222"), design("22222221")), budget=2, approve=True)
    live.start()
    state = pending(live)
    assert state.status == "awaiting approval"
    assert state.pending == (2,) * 8
    assert not state.run.of("proposal", "evaluation")
    live.decide("approve", reason="a good start")
    until(live, lambda state: len(state.run.of("evaluation")) == 1 and state.pending is not None)
    live.decide("approve")
    run = live.wait(MOMENT)
    approval = run.of("approval")[0]
    assert {key: approval[key] for key in ("iteration", "decision", "architecture", "reason")} == {
        "iteration": 1,
        "decision": "approve",
        "architecture": [2] * 8,
        "reason": "a good start",
    }
    assert list(run.frame()["origin"]) == ["model", "model"]


@pytest.mark.parametrize("history", ["table", "dialogue"])
def test_an_edited_proposal_is_evaluated_as_edited(history):
    """The person's architecture is evaluated under its own origin; in a dialogue the model is told of the change."""
    client = QueueClient(design("22222222"), design("22222221"))
    live = LiveSearch(ToyBenchmark(), llm(client, history=history), 2, approve=True)
    live.start()
    pending(live)
    live.decide("edit", "00000000", "smaller first")
    until(live, lambda state: len(state.run.of("evaluation")) == 1 and state.pending is not None)
    live.decide("approve")
    frame = live.wait(MOMENT).frame()
    assert list(frame["key"]) == ["00000000", "22222221"]
    assert list(frame["origin"]) == ["edited", "model"]
    assert ("22222222 was changed to 00000000" in str(client.sent[1])) == (history == "dialogue")


def test_a_rejected_proposal_is_answered_with_the_reason_and_asked_again():
    """The model reads the reason in the same conversation, and the rejection is counted."""
    client = QueueClient(design("22222222"), design("11111111"), design("22222222"), design("11111110"))
    live = live_search(client, budget=2, approve=True)
    live.start()
    pending(live)
    live.decide("reject", reason="too large for the phone")
    until(live, lambda state: state.pending == (1,) * 8)
    live.decide("approve")
    until(live, lambda state: state.iteration == 2 and state.pending is not None)
    live.decide("approve")
    run = live.wait(MOMENT)
    assert [message["role"] for message in client.sent[1][-2:]] == ["assistant", "user"]
    assert "too large for the phone" in client.sent[1][-1]["content"]
    assert [event["reason"] for event in run.of("rejected")] == ["rejected by a person"] * 2  # and once more later
    assert list(run.frame()["rejections"]) == [1, 1]
    assert list(run.frame()["key"]) == ["11111111", "11111110"]


def test_a_rejected_fallback_is_one_message_to_the_model():
    """The random architecture after too many refusals can be rejected too; no two user messages follow each other."""
    client = QueueClient("?", design("11111111"))
    live = LiveSearch(ToyBenchmark(), llm(client, rejections_limit=0), 1, approve=True)
    live.start()
    first = pending(live).pending
    live.decide("reject")
    until(live, lambda state: state.pending not in (None, first))
    live.decide("approve")
    live.wait(MOMENT)
    assert [message["role"] for message in client.sent[1]][-3:] == ["user", "assistant", "user"]
    assert list(live.state.run.frame()["key"]) == ["11111111"]


@pytest.mark.parametrize(
    "proposer", ["random", "evolution", "local-search", "coordinate-descent", "gp", "linear", "tpe", "llm+gp"]
)
def test_every_proposer_names_another_design_after_a_rejection(proposer):
    """A rejected architecture does not come back in the run."""
    settings = {"client": HashClient(), "model_proposals": 1} if proposer == "llm+gp" else {}
    benchmark = ToyBenchmark()
    live = LiveSearch(benchmark, gk.make_proposer(proposer, benchmark.space, **settings), 4, seed=3, approve=True)
    live.start()
    rejected = []
    for _ in range(4):
        refused = pending(live).pending
        rejected.append(refused)
        live.decide("reject")
        until(live, lambda state, refused=refused: state.pending not in (None, refused))
        live.decide("approve")
        done = len(rejected)
        until(live, lambda state, done=done: len(state.run.of("evaluation")) == done)
    run = live.wait(MOMENT)
    assert run.reason == "budget"
    assert not set(benchmark.evaluated) & set(rejected)
    assert len(set(rejected)) == 4


def test_a_decision_that_cannot_be_taken_leaves_the_proposal_waiting():
    """The reason is said, nothing is recorded, and the next decision counts."""
    live = live_search(QueueClient(design("22222222"), design("22222221")), budget=2, approve=True)
    with pytest.raises(InvalidParameter, match="no proposal waits"):
        live.decide("approve")
    live.start()
    pending(live)
    live.decide("approve")
    until(live, lambda state: state.iteration == 2 and state.pending is not None)
    for decision, architecture, problem in [
        ("maybe", None, "approve, edit, reject"),
        ("edit", None, "needs the architecture"),
        ("edit", (2,) * 8, "already evaluated as experiment 1"),
        ("approve", (1,) * 8, "use 'edit'"),
    ]:
        with pytest.raises(InvalidParameter, match=problem):
            live.decide(decision, architecture)
    for architecture in ((1, 2), (9,) * 8, "222"):
        with pytest.raises(InvalidArchitecture):
            live.decide("edit", architecture)
    assert live.state.status == "awaiting approval"
    live.decide("edit", (1,) * 8)
    run = live.wait(MOMENT)
    assert [event["decision"] for event in run.of("approval")] == ["approve", "edit"]


def test_an_edit_over_the_bound_is_refused():
    """The bound of the benchmark holds for a person too."""
    from genius_kit.spaces.costs import MacsBound, count_cost

    benchmark = ToyBenchmark()
    largest = count_cost(benchmark.space, (2,) * 8).macs
    benchmark.constraint = MacsBound(largest // 1_000_000 - 1)
    live = LiveSearch(benchmark, gk.make_proposer("random", benchmark.space), 1, approve=True)
    live.start()
    pending(live)
    with pytest.raises(InvalidParameter, match="million"):
        live.decide("edit", (2,) * 8)
    live.decide("edit", (0,) * 8)
    assert list(live.wait(MOMENT).frame()["key"]) == ["00000000"]


def test_a_search_that_waits_for_approval_can_be_stopped_now():
    """The proposal is asked about again when the search goes on; its reply is not paid twice."""
    client = QueueClient(design("22222222"))
    live = live_search(client, budget=1, approve=True)
    live.start()
    pending(live)
    live.stop(now=True)
    live.wait(MOMENT)
    assert (live.state.status, live.state.pending) == ("stopped", None)
    live.start()
    pending(live)
    live.decide("approve")
    assert live.wait(MOMENT).finished
    assert len(client.sent) == 1


def test_a_larger_budget_is_recorded_and_spent(tmp_path):
    """A running search goes on to the new budget; the plain search reads the journal back."""
    path = tmp_path / "a.jsonl"
    live = live_search(HashClient(0.02), budget=2, journal=path)
    live.start()
    live.raise_budget(4)
    assert live.state.budget == 4
    run = live.wait(MOMENT)
    assert (len(run.of("evaluation")), run.budget, run.settings["budget"]) == (4, 4, 2)
    client = HashClient()
    again = gk.search(ToyBenchmark(), llm(client), 2, seed=1, journal=path, progress=False)
    assert again.events == run.events
    assert not client.sent


def test_a_finished_search_goes_on_with_a_larger_budget(tmp_path):
    """A budget raised after the end is the run with that budget from the start; the file says what happened."""
    path = tmp_path / "a.jsonl"
    gk.search(ToyBenchmark(), llm(HashClient()), 2, seed=1, journal=path, progress=False)
    live = live_search(budget=2, journal=path)
    assert (live.state.status, live.state.iteration) == ("finished", 2)
    live.raise_budget(4)
    run = live.wait(MOMENT)
    assert (live.state.status, live.state.budget) == ("finished", 4)
    assert read_run(path).events == run.events
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 4, seed=1, progress=False)
    assert list(run.frame()["key"]) == list(whole.frame()["key"])
    assert names(run, "run_finished", "budget_raised") == ["run_finished", "budget_raised", "run_finished"]


def test_a_budget_that_makes_no_sense_is_refused():
    """Less than was evaluated, more than there is, or for a search that ended for another reason."""
    answers = [design("22222222"), design("22222221"), "No improvement possible."]
    live = live_search(QueueClient(*answers), budget=3)
    live.start()
    live.wait(MOMENT)
    with pytest.raises(InvalidParameter, match="2 architectures have been evaluated"):
        live.raise_budget(1)
    with pytest.raises(InvalidParameter, match="6,561"):
        live.raise_budget(6_562)
    with pytest.raises(InvalidParameter, match="declined"):
        live.raise_budget(9)
    assert live.state.run.reason == "declined"


def test_a_finished_journal_is_finished_at_once(tmp_path):
    """No thread and no call is needed to show it."""
    path = tmp_path / "a.jsonl"
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 3, seed=1, journal=path, progress=False)
    live = live_search(journal=path)
    assert (live.state.status, live.state.iteration, live.state.budget) == ("finished", 3, 3)
    assert live.state.run.events == whole.events
    live.start()
    assert live.wait(1).events == whole.events


def test_a_journal_of_other_settings_fails_with_a_sentence(tmp_path):
    """What does not belong together is not continued."""
    path = tmp_path / "a.jsonl"
    gk.search(ToyBenchmark(), llm(HashClient()), 3, seed=1, journal=path, progress=False)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    live = live_search(journal=path, budget=5)
    live.start()
    live.wait(MOMENT)
    assert live.state.status == "failed"
    assert "run.budget = 3, this run has 5" in live.state.error


class Person:
    """Decides by the proposal alone, pauses, stops and raises budgets once each, at given numbers of evaluations."""

    def __init__(self, seed):
        self.seed = seed
        self.live = None

    def __call__(self, state):
        if self.live is None:
            return
        done = len(state.run.of("evaluation"))
        if state.status == "paused" and state.asking_since is None:
            self.live.resume()
        if done == 1 and not state.run.of("paused"):
            self.live.pause()
        if done == 2 and not state.run.of("stop_requested") and state.status == "running":
            self.live.stop(now=self.seed % 2 == 0)
        if done >= 2 and state.budget == 4:
            self.live.raise_budget(5)
        if state.pending is not None:
            self.decide(state.iteration, state.pending)

    def decide(self, iteration, proposed):
        draw = random.Random(f"{self.seed} {iteration} {proposed}")
        decision = draw.choice(["approve", "approve", "edit", "reject"])
        if decision == "edit":
            self.live.decide("edit", (iteration % 3, *(2,) * 6, iteration // 3), f"edit {iteration}")
        else:
            self.live.decide(decision, reason=f"{decision} {iteration}")

    def watch(self, proposer, path):
        """Run the search at `path` to the end of the last budget, whatever is there already, and return the run."""
        self.live = None
        live = LiveSearch(ToyBenchmark(), proposer, 4, seed=self.seed, journal=path, approve=True, on_change=self)
        self.live = live
        for _ in range(20):
            live.start()
            live.wait(MOMENT)
            state = live.state
            if state.status == "finished" and state.budget == 6:
                return state.run
            if state.status == "finished":
                live.raise_budget(6)
            assert state.error is None, state.error
        raise AssertionError("the search did not end")


@pytest.mark.parametrize(
    ("proposer", "seed"),
    [
        ("llm", 0),
        ("llm-dialogue", 1),
        ("random", 0),
        pytest.param("llm", 1, marks=pytest.mark.slow),
        pytest.param("gp", 0, marks=pytest.mark.slow),
        pytest.param("gp-filtered-llm", 1, marks=pytest.mark.full),
    ],
)
def test_a_steered_run_cut_after_any_event_resumes_to_the_same_run(tmp_path, proposer, seed):
    """Pauses, stops, approvals, edits, rejections and budgets are on record: no cut changes what is evaluated."""

    def made():
        name, _, history = proposer.partition("-d")
        settings = {"client": HashClient()} if "llm" in proposer else {}
        settings |= {"history": "dialogue"} if history else {}
        return gk.make_proposer(name, ToyBenchmark().space, **settings)

    whole = Person(seed).watch(made(), tmp_path / "whole.jsonl")
    kinds = {event["event"] for event in whole.events}
    assert kinds >= {"paused", "resumed", "stop_requested", "budget_raised", "approval", "run_finished"}
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    for kept in range(len(lines) + 1):
        path = tmp_path / f"{kept}.jsonl"
        path.write_text("".join(lines[:kept]))
        run = Person(seed).watch(made(), path)
        assert plain(run.events) == plain(whole.events), kept
        assert run.budget == whole.budget == 6
    unattended = gk.search(ToyBenchmark(), made(), 4, seed=seed, journal=tmp_path / "whole.jsonl", progress=False)
    assert unattended.events == whole.events


def test_a_plain_resume_takes_recorded_decisions_and_asks_nobody(tmp_path):
    """A run that a person watched goes on without one: what was decided stays, the rest is not asked about."""
    path = tmp_path / "a.jsonl"
    live = LiveSearch(ToyBenchmark(), llm(QueueClient(design("22222222"))), 2, seed=1, journal=path, approve=True)
    live.start()
    pending(live)
    live.decide("edit", "00000000")
    until(live, lambda state: len(state.run.of("evaluation")) == 1)
    live.stop(now=True)
    live.wait(MOMENT)
    client = QueueClient(design("11111111"))
    run = gk.search(ToyBenchmark(), llm(client), 2, seed=1, journal=path, progress=False)
    assert list(run.frame()["key"]) == ["00000000", "11111111"]
    assert len(run.of("approval")) == 1
