"""Limits: what is reserved, what is released, what stays charged, and that no limit is ever passed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genius_kit.budget.amounts import Amount, Limits
from genius_kit.budget.ledger import FILE, Share, State, StudyLedger, study_ledger
from genius_kit.budget.limits import RunBudget, seconds_of, spent_of
from genius_kit.budget.prices import load_prices
from genius_kit.budget.spending import adopt
from genius_kit.budget.worst_cases import UNBILLED, WorstCase, worst_case
from genius_kit.cli.options import LimitOptions
from genius_kit.errors import BudgetSpent, InvalidParameter, JournalError, ModelError, StudyFailed
from genius_kit.files import hold, lock_of
from genius_kit.journal import Journal, read_run
from genius_kit.llm import OpenAIClient, Reply, Usage
from genius_kit.llm.session import Session, Steering
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.batch import resume
from genius_kit.runs.loop import Search, search
from genius_kit.spaces import load_space
from genius_kit.studies.run import load_study, run_study
from tests.chat_server import MODEL, Answer, ChatServer, completion
from tests.doubles import QueueClient, ToyBenchmark, reply

SCHEDULES = int(os.environ.get("GENIUS_KIT_SCHEDULES", "40"))
"""Random schedules of the property test; a thousand take some minutes."""
DESIGNS = ("22222222", "12222222", "02222222", "21222222", "20222222")


@pytest.fixture(autouse=True)
def prices(tmp_path, monkeypatch):
    """One dollar for a million tokens of input, ten for output, replies of at most a hundred tokens."""
    path = tmp_path / "own.toml"
    entry = "input = 1\noutput = 10\nmax_output = 100\n"
    path.write_text(f'as_of = "2026-01-01"\n[models."queue-1"]\n{entry}[models."{MODEL}"]\n{entry}', encoding="utf-8")
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))
    return path


def proposer(*answers):
    client = QueueClient(*answers)
    return make_proposer("llm", ToyBenchmark().space, client=client, rejections_limit=0)


def run(*answers, budget=1, journal=None, **options):
    return search(ToyBenchmark(), proposer(*answers), budget, journal=journal, progress=False, **options)


def failure(cause, **options):
    return ModelError("no", cause=cause, **options)


def charged(run):
    return spent_of(run.events)


# what counts


def test_a_limit_is_a_number_not_below_zero():
    """A limit that no amount can be compared with is refused, by its name."""
    for wrong in ({"calls": 1.5}, {"dollars": -1}, {"tokens": True}, {"seconds": float("nan")}, {"gpu_hours": "1"}):
        with pytest.raises(InvalidParameter, match=next(iter(wrong))):
            Limits(**wrong)


def test_intent_says_what_was_reserved_and_call_what_was_spent():
    """The difference between the two is released; the run's spending is what its journal says."""
    done = run(Reply(DESIGNS[0], "queue-1", "stop", Usage(1000, None, 5, None)))
    intent, call = done.of("intent", "call")
    assert intent["reserved"]["tokens"] > call["spent"]["tokens"] == 1005
    assert intent["reserved"]["dollars"] > call["spent"]["dollars"] == pytest.approx(1050e-6)
    assert "least" not in call
    assert charged(done) == Amount.of(1, 1005, 1050e-6)


@pytest.mark.parametrize("cause", sorted(UNBILLED))
def test_a_request_that_was_turned_away_costs_nothing(cause):
    """Failures for which nobody bills release what was reserved for them."""
    session = Session(journal := Journal(None))
    with pytest.raises(ModelError):
        Search(ToyBenchmark(), proposer(failure(cause)), 1, 0).conduct(session)
    assert spent_of(journal.events) == session.budget.spent == Amount()


@pytest.mark.parametrize("cause", ["timeout", "connection", "not-json", "error-body", "server", "status-408"])
def test_a_request_that_may_have_been_billed_stays_charged(cause):
    """A timeout, a cut reply, an unusable one: the provider may have counted it, so the worst case is kept."""
    session = Session(journal := Journal(None))
    with pytest.raises(ModelError):
        Search(ToyBenchmark(), proposer(failure(cause)), 1, 0).conduct(session)
    reserved = Amount.read(journal.events[1]["reserved"])
    assert spent_of(journal.events) == session.budget.spent == reserved != Amount()


def test_a_refused_connection_is_known_to_have_sent_nothing():
    """Where nobody listens nothing was sent; a connection that broke may have been billed."""
    with ChatServer([Answer(fault="close")]) as server:
        client = OpenAIClient(MODEL, server.url, max_tokens=10)
        with pytest.raises(ModelError) as broken:
            client.send([{"role": "user", "content": "x"}])
        with server.refusing(), pytest.raises(ModelError) as refused:
            client.send([{"role": "user", "content": "x"}])
        client.close()
    assert (broken.value.cause, refused.value.cause) == ("connection", "connection")
    assert (broken.value.may_be_billed, refused.value.may_be_billed) == (True, False)


@pytest.mark.parametrize("usage", [Usage(10**9, 0, 5, 0), Usage(10, 0, 10**9, 0)])
def test_a_server_that_counts_more_than_there_can_be_is_believed_and_marked(usage):
    """Of two figures the larger is booked, in full: what the server counts may be what it bills."""
    done = run(Reply(DESIGNS[0], "queue-1", "stop", usage))
    intent, call = done.of("intent", "call")
    assert call["spent"]["tokens"] > 10**9
    assert call["cost"] == call["spent"]["dollars"] > 10**3 * intent["reserved"]["dollars"]
    assert call["beyond_worst_case"]["input_tokens"] >= usage.input_tokens
    assert call["beyond_worst_case"]["reserved"] == intent["reserved"]


def test_unknown_usage_stays_at_the_worst_case():
    """A reply without figures is charged at what was reserved."""
    done = run(Reply(DESIGNS[0], "queue-1", "stop", Usage()))
    intent, call = done.of("intent", "call")
    assert call["spent"] == intent["reserved"]
    assert call["cost"] is None
    assert "beyond_worst_case" not in call


figures = st.one_of(st.none(), st.integers(0, 10**7))


@given(
    st.text(max_size=300),
    figures,
    figures,
    figures,
    figures,
    st.integers(1, 10**5),
    st.lists(st.floats(0, 1e3), min_size=4, max_size=4),
)
@settings(max_examples=300)
def test_what_is_charged_above_the_worst_case_is_marked(text, received, cached, written, reasoning, limit, list_prices):
    """Whatever a server counts, and whatever the prices are, the charge covers it, and is within what was reserved."""
    from genius_kit.budget.prices import Price
    from genius_kit.chat import checked_usage

    usage = checked_usage(received, cached, written, reasoning)
    price = Price(*list_prices, "")
    worst = WorstCase(len(text.encode()) + 80, limit, price)
    booking = worst.booked(Reply(text, None, "stop", usage), [{"role": "user", "content": text}], price)
    taken = booking.amount
    assert taken.dollars >= Decimal(str(price.cost(usage) or 0.0))
    assert taken.tokens >= (received or 0) + (written or 0) if None not in (received, written) else worst.amount.tokens
    if not booking.is_beyond:
        assert taken.tokens <= worst.amount.tokens
        assert taken.dollars <= worst.amount.dollars


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_the_bound_of_a_prompt_is_its_bytes(text):
    """A byte-level tokenizer makes at most one token per byte, so no language passes the bound."""
    messages = [{"role": "user", "content": text}]
    assert worst_case(QueueClient(), messages, load_prices()).input >= len(text.encode()) + len("user")


# limits of a run


def test_a_call_that_does_not_fit_is_not_sent(tmp_path):
    """The run ends before the request, says why, and goes on in the same journal with a higher limit."""
    path = tmp_path / "a.jsonl"
    first = run(DESIGNS[0])
    one = first.of("intent")[0]["reserved"]["dollars"]
    made = proposer(*DESIGNS)
    with pytest.raises(BudgetSpent, match=r"\$.*spent.*reserved.*free.*genius-kit resume .*--max-dollars") as stopped:
        search(ToyBenchmark(), made, 3, journal=path, progress=False, limits=Limits(dollars=6 * one + 1e-6))
    assert (stopped.value.limit, stopped.value.whose) == ("dollars", "run")
    assert len(made.client.sent) == 1
    known = read_run(path)
    assert known.events[-1]["event"] == "budget_spent"
    assert not known.finished
    assert charged(known).dollars <= Decimal(str(6 * one + 1e-6))
    whole = search(ToyBenchmark(), proposer(*DESIGNS[1:]), 3, journal=path, progress=False, limits=Limits(dollars=1))
    assert whole.finished
    assert whole.of("limits_set")[-1]["limits"] == {"dollars": 1}
    undisturbed = run(*DESIGNS, budget=3)
    assert [event["architecture"] for event in whole.of("evaluation")] == [
        event["architecture"] for event in undisturbed.of("evaluation")
    ]


def test_stopping_twice_at_a_limit_is_recorded_once(tmp_path):
    """The same limit met again adds no line."""
    path = tmp_path / "a.jsonl"
    for _ in range(2):
        with pytest.raises(BudgetSpent):
            run(*DESIGNS, budget=3, journal=path, limits=Limits(calls=0))
    assert len(read_run(path).of("budget_spent")) == 1


def test_calls_count_what_may_be_billed(tmp_path):
    """Two calls are two replies, however often the server was busy in between."""
    busy = failure("rate-limit", retryable=True, retry_after=0.0)
    path = tmp_path / "a.jsonl"
    with pytest.raises(BudgetSpent, match="calls"):
        run(busy, DESIGNS[0], busy, busy, DESIGNS[1], DESIGNS[2], budget=3, journal=path, limits=Limits(calls=2))
    assert charged(read_run(path)).calls == 2


def test_limits_are_no_part_of_the_settings_but_on_record(tmp_path):
    """The limits stand beside the price in the first event, and `resume` goes on with them."""
    path = tmp_path / "a.jsonl"
    with pytest.raises(BudgetSpent):
        run(*DESIGNS, budget=3, journal=path, limits=Limits(calls=1, tokens=10**6))
    begun = read_run(path).events[0]
    assert begun["limits"] == {"calls": 1, "tokens": 10**6}
    assert begun["price"]["as_of"] == "2026-01-01"
    assert begun["price"]["file"] == "own.toml"
    assert len(begun["price"]["sha256"]) == 64
    assert "limits" not in begun["run"]


def test_resume_keeps_the_limits_that_it_is_not_told_otherwise(no_data, tmp_path):
    """A resumed run has the limits on record; those that are given replace them one by one."""
    from genius_kit.benchmarks import load_benchmark

    benchmark = load_benchmark("nas-bench-201-cifar10")
    made = make_proposer("llm", benchmark.space, model="offline")
    path = tmp_path / "a.jsonl"
    with pytest.raises(BudgetSpent):
        search(benchmark, made, 3, journal=path, progress=False, limits=Limits(calls=1, tokens=10**6))
    with pytest.raises(BudgetSpent):
        resume(path)
    assert resume(path, limits=Limits(calls=50)).finished
    assert read_run(path).of("limits_set")[-1]["limits"] == {"calls": 50, "tokens": 10**6}


@pytest.mark.parametrize("limits", [Limits(tokens=10**6), Limits(dollars=5)])
def test_a_limit_needs_to_know_how_long_a_reply_can_be(prices, limits):
    """Without an output limit and without `max_output` nothing can be reserved, so nothing is sent."""
    prices.write_text('[models."queue-1"]\ninput = 1\noutput = 10\n', encoding="utf-8")
    made = proposer(*DESIGNS)
    with pytest.raises(InvalidParameter, match="max_output"):
        search(ToyBenchmark(), made, 1, progress=False, limits=limits)
    assert made.client.sent == []


def test_an_output_limit_that_the_model_refuses_goes_on_under_its_other_name(prices):
    """The bound stays the same, so the run goes on within its limit of dollars; the refused attempt cost nothing."""
    prices.write_text(f'[models."{MODEL}"]\ninput = 1\noutput = 10\n', encoding="utf-8")
    refusal = Answer({"error": {"message": "Unsupported parameter: max_tokens", "param": "max_tokens"}}, status=400)
    with ChatServer([refusal, completion(DESIGNS[0])]) as server:
        sent = {"model": MODEL, "base_url": server.url, "max_tokens": 50, "structured": "off"}
        made = make_proposer("llm", ToyBenchmark().space, **sent)
        done = search(ToyBenchmark(), made, 1, progress=False, limits=Limits(dollars=1))
        made.client.close()
        assert [(body.get("max_tokens"), body.get("max_completion_tokens")) for body in server.bodies] == [
            (50, None),
            (None, 50),
        ]
    assert done.finished
    assert done.of("call_failed")[0]["spent"] == {}
    reserved = [event["reserved"] for event in done.of("intent")]
    assert reserved[0] == reserved[1]


@pytest.mark.parametrize(
    ("given", "limits", "model", "sent"),
    [
        (None, LimitOptions(max_dollars=1), "gpt-6.1-sol", 8192),
        (None, LimitOptions(max_total_tokens=10**6), "nobody-1", 8192),
        (None, LimitOptions(max_dollars=1), "gpt-4", 4096),
        (500, LimitOptions(max_dollars=1), "gpt-6.1-sol", 500),
        (None, LimitOptions(max_calls=3), "gpt-6.1-sol", None),
        (None, LimitOptions(max_dollars=1), "offline", None),
        (None, LimitOptions(), "gpt-6.1-sol", None),
    ],
)
def test_where_money_is_limited_a_model_is_given_an_output_limit(given, limits, model, sent):
    """Room for a reservation, and no more than fits a model that counts prompt and reply together."""
    settings = {"model": model, "max_tokens": given, "params": {}}
    assert limits.bounding(settings)["max_tokens"] == sent
    own = {**settings, "params": {"max_completion_tokens": 700}}
    assert limits.bounding(own)["max_tokens"] == given


@pytest.mark.slow
def test_a_dollar_is_enough_for_a_search_with_a_model_of_today(no_data, tmp_path):
    """Priced from the package's own data, also behind an address of no provider; without a key only that is missing."""
    command = [sys.executable, "-m", "genius_kit", "run", "nas-bench-201-cifar10", "--model", "gpt-6.1-sol"]
    command += ["--max-dollars", "1", "--budget", "2", "--output", str(tmp_path / "runs")]
    unset = {name: os.environ[name] for name in os.environ if not name.startswith(("OPENAI_", "GENIUS_KIT_PRICES"))}
    keyless = subprocess.run(command, capture_output=True, text=True, env=unset, check=False)
    assert keyless.returncode == 3
    assert "OPENAI_API_KEY" in keyless.stderr
    assert "price" not in keyless.stderr
    design = load_space("nas-bench-201").encode(load_space("nas-bench-201").all_largest)
    counts = {"prompt_tokens": 2000, "completion_tokens": 60, "total_tokens": 2060}
    served = [completion(design, model="gpt-6.1-sol-2026-09-29", usage=counts) for _ in range(8)]
    with ChatServer(served) as server:
        done = subprocess.run(
            [*command, "--base-url", server.url], capture_output=True, text=True, env={**unset, "OPENAI_API_KEY": "x"},
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = read_run(max((tmp_path / "runs").glob("*.jsonl"), key=os.path.getmtime))
    assert run.finished
    assert run.events[0]["price"]["file"] == "genai-prices"
    assert all(call["cost"] == pytest.approx((1960 * 2 + 40 * 0.1 + 60 * 10) / 1e6) for call in run.of("call"))


# models without a price


class Remote(QueueClient):
    model = "nobody-1"
    is_local = False


def test_a_model_without_a_price_elsewhere_needs_consent(monkeypatch):
    """Nothing is sent to a server elsewhere whose price is unknown, unless that is consented to."""
    space = ToyBenchmark().space
    client = Remote(DESIGNS[0])
    with pytest.raises(InvalidParameter, match="allow_unpriced"):
        search(ToyBenchmark(), make_proposer("llm", space, client=client), 1, progress=False)
    assert client.sent == []
    done = search(ToyBenchmark(), make_proposer("llm", space, client=client), 1, progress=False, allow_unpriced=True)
    assert done.finished
    assert done.events[0]["limits"] == {"allow_unpriced": True}
    monkeypatch.setenv("GENIUS_KIT_ALLOW_UNPRICED", "1")
    again = make_proposer("llm", space, client=Remote(DESIGNS[0]))
    assert search(ToyBenchmark(), again, 1, progress=False).finished


def test_a_dollar_limit_needs_a_price_here_too():
    """On this machine an unpriced model is asked freely, but not where dollars are to be counted."""

    class Local(QueueClient):
        model = "nobody-1"

    space = ToyBenchmark().space
    assert search(ToyBenchmark(), make_proposer("llm", space, client=Local(DESIGNS[0])), 1, progress=False).finished
    limited = make_proposer("llm", space, client=Local(DESIGNS[0]))
    with pytest.raises(InvalidParameter, match="GENIUS_KIT_PRICES"):
        search(ToyBenchmark(), limited, 1, progress=False, limits=Limits(dollars=1))


# time


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class SlowClient(QueueClient):
    def __init__(self, clock, *answers):
        super().__init__(*answers)
        self.clock = clock

    def send(self, messages, seed=None):
        self.clock.now += 10
        return super().send(messages, seed)


def test_seconds_count_over_all_sittings(tmp_path):
    """A run of 25 seconds makes three requests of ten; a second sitting has none left, a larger limit has."""
    path, clock = tmp_path / "a.jsonl", Clock()

    def sit(limit, *answers):
        made = make_proposer("llm", ToyBenchmark().space, client=SlowClient(clock, *answers))
        with Journal(path) as journal:
            session = Session(journal, RunBudget(Limits(seconds=limit), clock=clock))
            try:
                return Search(ToyBenchmark(), made, 5, 0).conduct(session)
            finally:
                clock.now += 1000  # between two sittings nothing is counted

    with pytest.raises(BudgetSpent, match="25 seconds"):
        sit(25, *DESIGNS)
    assert len(read_run(path).of("call")) == 3
    assert seconds_of(read_run(path).events) == pytest.approx(30, abs=0.1)
    with pytest.raises(BudgetSpent):
        sit(25, *DESIGNS[3:])
    assert len(read_run(path).of("call")) == 3
    assert sit(60, *DESIGNS[3:]).finished


class GpuBenchmark(ToyBenchmark):
    on_gpu, time_limit = True, 3600.0

    def __init__(self, clock=None):
        super().__init__()
        self.clock = clock

    def evaluate(self, architecture):
        self.clock.now += 1800
        return super().evaluate(architecture)


def test_evaluations_on_a_gpu_reserve_their_time_limit():
    """An hour is reserved for each and half an hour taken: of two hours three evaluations fit, a fourth does not."""
    clock = Clock()
    benchmark = GpuBenchmark(clock)
    journal = Journal(None)
    session = Session(journal, RunBudget(Limits(gpu_hours=2), clock=clock))
    with pytest.raises(BudgetSpent, match="GPU-hours"):
        Search(benchmark, make_proposer("random", benchmark.space), 10, 0).conduct(session)
    assert len(benchmark.evaluated) == 3
    assert spent_of(journal.events) == Amount.of(gpu_hours=1.5)


def test_an_evaluation_that_was_cut_off_stays_charged():
    """A kill leaves the reservation of an evaluation on record without its end: it counts in full."""
    reserved = {"event": "gpu_reserved", "reserved": {"gpu_hours": 1.0}}
    events = [reserved, reserved, {"event": "evaluation", "spent": {"gpu_hours": 0.25}}]
    assert spent_of(events) == Amount.of(gpu_hours=1.25)


def test_gpu_hours_need_a_time_limit():
    """Without a time limit of the benchmark nothing can be reserved."""
    benchmark = GpuBenchmark(Clock())
    benchmark.time_limit = None
    with pytest.raises(InvalidParameter, match="time_limit"):
        search(benchmark, make_proposer("random", benchmark.space), 1, progress=False, limits=Limits(gpu_hours=1))


# the budget and the journal agree


@given(
    st.lists(st.sampled_from(["good", "busy", "timeout", "server", "quota", "kill"]), max_size=30), st.integers(0, 40)
)
@settings(max_examples=100)
def test_a_run_that_is_killed_and_resumed_stays_within_its_limit(fates, cap):
    """Over retries, kills and resumptions the journal's spending is within the limit, and the budget knows it."""
    steps = iter(fates)
    limit = cap * 2_000

    class Fated(QueueClient):
        def send(self, messages, seed=None):
            fate = next(steps, "good")
            if fate == "kill":
                raise KeyboardInterrupt
            if fate != "good":
                cause = {"busy": "rate-limit"}.get(fate, fate)
                raise failure(cause, retryable=fate != "quota", retry_after=0.0)
            return reply(DESIGNS[len(known) % 5])

    class Awake(Steering):
        def sleep(self, seconds):
            """A failed request is tried again at once."""

    events = []
    for _ in range(len(fates) + 1):
        known = [event for event in events if event["event"] == "evaluation"]
        made = make_proposer("llm", ToyBenchmark().space, client=Fated(), rejections_limit=1)
        journal = Journal(None, recorded=events)
        session = Session(journal, RunBudget(Limits(tokens=limit)), Awake())
        try:
            ended = Search(ToyBenchmark(), made, 3, 0).conduct(session).finished
        except (KeyboardInterrupt, ModelError):
            ended = False
        except BudgetSpent:
            ended = True
        events = journal.events
        assert spent_of(events).tokens <= limit
        if session.budget.spent != Amount():
            assert session.budget.spent == spent_of(events)
        assert session.budget.held == Amount()
        if ended:
            break


# limits of a study


class Waiting(Exception):
    """The budget of an actor would sleep now: others come first, then it tries again."""


def let_others(seconds):
    raise Waiting


class Actor:
    """One run of a simulated study: it reserves, waits, sends, is answered or killed, in steps between those of others.

    The provider's bill is what its server counts; a share `lies` of the replies takes up to `most` times as much as can
    be. `beyond` is the part of that for which nothing was reserved.
    """

    def __init__(self, number, folder, limits, dice, lies=0.0, most=1.0):
        self.number, self.folder, self.limits, self.dice = number, folder, limits, dice
        self.lies, self.most = lies, most
        self.bill = self.beyond = Amount()
        self.beyonds = self.waits = 0
        self.journal = SimpleNamespace(
            path=folder / f"{number}.jsonl",
            events=[{"event": "run_started", "time": "t", "limits": {"study": limits.given()}}],
            replaying=False,
            note=lambda *a, **k: None,
        )
        self.left = dice.randint(1, 4)
        self.lock = None
        self._sit_down()

    def _sit_down(self):
        ledger = StudyLedger(self.folder) if self.dice.random() < 0.3 else study_ledger(self.folder)
        self.budget = RunBudget(share=Share(ledger, self.limits))
        self.steps = self._work()
        self.lock = hold(lock_of(self.journal.path))

    def die(self):
        """Lose what is in memory, and the lock of the journal; journal and ledger stay."""
        self.steps = None
        self.lock.release()

    def _work(self):
        while self.left:
            asked = WorstCase(self.dice.randint(1, 300), self.dice.randint(1, 300), PRICE)
            for attempt in range(3, 0, -1):
                while (worst := self._reserved(asked, attempt)) is None:
                    yield
                self.waits = 0
                yield
                self._write(event="intent", reserved=worst.amount.record())
                self.budget.sent(worst.amount)
                yield
                taken = self._outcome(worst)
                self.budget.settled(worst.amount, taken)
                if self.dice.random() < 0.6:
                    break
                yield
            self.budget.release()
            self.left -= 1
            yield

    def _reserved(self, asked, attempt):
        try:
            return self.budget.reserve(asked, attempt, self.journal, 1, let_others)
        except Waiting:
            self.waits += 1
            return None

    def _outcome(self, worst):
        fate = self.dice.random()
        if fate < 0.2:
            self._write(event="call_failed", spent={})
            return Amount()
        if fate < 0.4:
            self._write(event="call_failed", spent=worst.amount.record())
            return worst.amount
        times = self.dice.uniform(1, self.most) if self.dice.random() < self.lies else self.dice.random()
        usage = Usage(int(worst.input * times), 0, int(worst.output * times), 0)
        booking = worst.booked(Reply("", None, "stop", usage), [], PRICE)
        self.bill += Amount.of(1, usage.input_tokens + usage.output_tokens, PRICE.cost(usage))
        marked = {"beyond_worst_case": {"reserved": worst.amount.record()}} if booking.is_beyond else {}
        self._write(event="call", spent=booking.amount.record(), **marked)
        took, most = booking.amount, worst.amount
        self.beyonds += took.tokens > most.tokens or took.dollars > most.dollars
        over = booking.amount - worst.amount - self.budget.held
        self.beyond += Amount().or_more(over) if booking.is_beyond else Amount()
        return booking.amount

    def _write(self, **event):
        self.journal.events.append(event)

    def step(self):
        """Go one step on; return whether there is more to come."""
        if self.steps is None:
            self._sit_down()
            return True
        if self.dice.random() < 0.05:
            self.die()
            return True
        try:
            next(self.steps)
        except StopIteration:
            return self._ended()
        except BudgetSpent:
            self.budget.release()
            return self._ended()
        return True

    def _ended(self):
        self.lock.release()
        return False


def _price():
    from genius_kit.budget.prices import Price

    return Price(1.0, 0.5, 10.0, 20.0, "")


PRICE = _price()


LIES = [(0.0, 1.0), (0.1, 3.0), (0.3, 20.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("lies", "most"), LIES, ids=["honest", "lies", "great lies"])
def test_spent_and_reserved_never_pass_the_cap_in_any_schedule(tmp_path, monkeypatch, lies, most):
    """Schedules of up to 64 parallel runs with retries, failures, lies, waits and kills stay within a study's limits.

    No bill is above the cap, but by what one reply of a run took beyond all that was reserved for its request; each run
    ends there, and none waits for ever.
    """
    monkeypatch.setattr("genius_kit.files.os.fsync", lambda descriptor: None)
    refused = waited = beyond = 0
    for seed in range(LIES.index((lies, most)), SCHEDULES, len(LIES)):
        dice = random.Random(f"{seed} {lies}")
        limits = Limits(
            tokens=dice.randint(0, 60_000),
            dollars=dice.choice([0.0, 0.02, 0.2, 5.0]),
            calls=dice.choice([None, 5, 100]),
            reserve=dice.choice([None, "95%"]),
        )
        folder = tmp_path / str(seed)
        folder.mkdir()
        actors = [Actor(number, folder, limits, dice, lies, most) for number in range(dice.randint(1, 64))]
        everybody = list(actors)
        while actors:
            actor = dice.choice(actors)
            if not actor.step():
                refused += actor.left > 0
                actors.remove(actor)
            waited += actor.waits > 0
            assert actor.waits < 200 * len(everybody), "it waits for ever"
        over = sum((actor.beyond for actor in everybody), Amount())
        check_never_over(folder, limits, over)
        ledger = StudyLedger(folder).total()
        bill = sum((actor.bill for actor in everybody), Amount())
        assert (bill.tokens, bill.dollars) <= (ledger.tokens, ledger.dollars)
        assert ledger.dollars >= bill.dollars
        assert max(actor.beyonds for actor in everybody) <= 1
        beyond += sum(actor.beyonds for actor in everybody)
    assert refused > 0
    assert waited > 0
    assert (beyond > 0) == (lies > 0)


def check_never_over(folder, limits, over=Amount()):  # noqa: B008
    """Assert that after every line of a ledger the sum of all runs' states is within the limits, and `over` them."""
    states, total = {}, Amount()
    for line in (folder / FILE).read_bytes().splitlines():
        event = json.loads(line)
        state = Amount.read(event["spent"]) + Amount.read(event["reserved"])
        total += state - states.get(event["journal"], Amount())
        states[event["journal"]] = state
        for name, cap in limits.given().items():
            if name != "reserve":
                assert getattr(total, name) <= Decimal(str(cap)) + getattr(over, name), (folder, name, line)


CHILD = """
import random, sys, threading
from pathlib import Path
from types import SimpleNamespace
from genius_kit.budget.amounts import Limits, Amount
from genius_kit.budget.limits import RunBudget, BudgetSpent
from genius_kit.budget.ledger import Share, study_ledger
from genius_kit.budget.worst_cases import WorstCase
from genius_kit.budget.prices import Price
folder, number = Path(sys.argv[1]), sys.argv[2]
price = Price(1.0, 1.0, 10.0, 10.0, "")
def work(thread):
    dice = random.Random(f"{number} {thread}")
    journal = SimpleNamespace(path=folder / f"{number}-{thread}.jsonl", events=[{"event": "run_started", "time": "t"}],
                              replaying=False, note=lambda *a, **k: None)
    budget = RunBudget(share=Share(study_ledger(folder), Limits(tokens=30000)))
    try:
        for _ in range(25):
            worst = WorstCase(dice.randint(1, 200), dice.randint(1, 200), price)
            budget.reserve(worst, 3, journal, 1)
            budget.sent(worst.amount)
            budget.settled(worst.amount, Amount.of(1, dice.randint(0, worst.amount.tokens)))
            budget.release()
    except BudgetSpent:
        budget.release()
print("begun", flush=True)
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_processes_and_threads_share_one_ledger(tmp_path):
    """Four processes of eight threads, one of them killed at work, never pass the cap together."""
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(number)], stdout=subprocess.PIPE)
        for number in range(4)
    ]
    children[0].stdout.readline()
    time.sleep(0.3)
    children[0].send_signal(signal.SIGKILL)
    assert [child.wait(60) for child in children[1:]] == [0, 0, 0]
    for child in children:
        child.wait()
        child.stdout.close()
    check_never_over(tmp_path, Limits(tokens=30_000))
    total = StudyLedger(tmp_path).total().tokens
    assert 20_000 < total <= 30_000


KILLED = """
import sys
from genius_kit.budget.amounts import Limits
from genius_kit.budget.ledger import Share, study_ledger
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from tests.doubles import ToyBenchmark
folder, url = sys.argv[1:3]
made = make_proposer("llm", ToyBenchmark().space, model=sys.argv[3], base_url=url)
share = Share(study_ledger(folder), Limits(dollars=1.0))
search(ToyBenchmark(), made, 2, journal=folder + "/a.jsonl", progress=False, share=share)
"""


def test_a_reservation_survives_kill_minus_nine(tmp_path):
    """The worst case of all attempts stays reserved until the run resumes and settles it from its journal."""
    with ChatServer([completion(DESIGNS[0]), Answer(fault="hang"), *map(completion, DESIGNS[1:])]) as server:
        root = str(Path(__file__).resolve().parent.parent)
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), server.url, MODEL], cwd=root)
        deadline = time.monotonic() + 60
        while server.count < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
        [(name, state)] = StudyLedger(tmp_path).states().items()
        known = read_run(tmp_path / "a.jsonl")
        last = Amount.read(known.of("intent")[-1]["reserved"])
        assert name.startswith("a.jsonl")
        assert (state.held.calls, state.held.tokens, state.held.dollars) == (1, 6 * last.tokens, 6 * last.dollars)
        made = make_proposer("llm", ToyBenchmark().space, model=MODEL, base_url=server.url)
        share = Share(StudyLedger(tmp_path), Limits(dollars=1.0))
        done = search(ToyBenchmark(), made, 2, journal=tmp_path / "a.jsonl", progress=False, share=share)
        made.client.close()
    assert done.finished
    assert len(done.unanswered_intents) == 1
    [state] = StudyLedger(tmp_path).states().values()
    assert state == State(spent_of(done.events), Amount(), state.seconds)
    calls = sum((Amount.read(call["spent"]) for call in done.of("call")), Amount())
    assert state.spent == calls + last


def test_a_torn_line_of_the_ledger_reserved_nothing(tmp_path):
    """What a kill cut off was never sent for: it is cut away, and the file goes on."""
    ledger = StudyLedger(tmp_path)
    ledger.change("a", State(Amount(1, 10)))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"event":"budget","jour')
    assert StudyLedger(tmp_path).total() == Amount(1, 10)
    assert ledger.path.read_bytes() == whole
    ledger.path.write_bytes(whole.replace(b"spent", b"spend") + whole)
    with pytest.raises(JournalError, match="damaged"):
        StudyLedger(tmp_path).total()


def test_runs_from_before_the_limit_count(tmp_path):
    """Journals that were written without a study's limits are taken into its ledger, once."""
    done = run(*DESIGNS, budget=3, journal=tmp_path / "a.jsonl")
    for _ in range(2):
        adopt(tmp_path)
        assert study_ledger(tmp_path).total() == charged(done)
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 1


STUDY = """
name: small
benchmarks: [nas-bench-201-cifar10]
arms: [llm, random]
budget: 2
seeds: 3
limits: {calls: 3}
run_limits: {dollars: 0.5}
"""


def test_a_study_lists_each_run_that_a_limit_ended(no_data, tmp_path):
    """Of three runs that ask, one is done when the calls are spent; the runs that cost nothing all finish."""
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    with pytest.raises(StudyFailed, match="3 calls") as failed:
        run_study(load_study(path), tmp_path, workers=1, progress=False)
    assert failed.value.only_limits
    assert not failed.value.only_model
    from genius_kit.studies.results import read_results

    found = read_results(tmp_path / "small")
    assert found[found["arm"] == "random"]["reason"].eq("budget").all()
    stopped = found[found["reason"].isna()]
    assert len(stopped) == 2
    assert stopped["failure"].str.contains("3 calls").all()
    done = run_study(load_study(path).with_money(Limits(calls=6)), tmp_path, workers=1, progress=False)
    assert done["reason"].eq("budget").all()
    assert study_ledger(tmp_path / "small").total().calls == 6


def test_a_study_file_names_its_limits_or_is_refused(tmp_path):
    """A limit of an unknown name is refused with its line."""
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("calls: 3", "cals: 3"), encoding="utf-8")
    with pytest.raises(InvalidParameter, match="cals"):
        load_study(path)
    path.write_text(STUDY + "reuse: true\nallow_unpriced: true\n", encoding="utf-8")
    money = load_study(path).money
    assert (money.limits, money.run_limits) == (Limits(calls=3), Limits(dollars=0.5))
    assert money.reuse
    assert money.allow_unpriced


def test_threads_of_one_study_stay_within_it(tmp_path):
    """Sixteen searches at once through real callers spend what the study allows, and no more."""
    limits = Limits(calls=20)
    share = Share(study_ledger(tmp_path), limits)
    ended = []

    def work(number):
        try:
            run(*DESIGNS, budget=5, journal=tmp_path / f"{number}.jsonl", share=share)
        except BudgetSpent:
            ended.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) >= 12
    check_never_over(tmp_path, limits)
    assert study_ledger(tmp_path).total().calls == 20
