"""Servers that count too little, answer at more length or under a dearer name than asked: the larger figure is booked.

Each attack is a server on this machine; its bill is what it counts by itself, whatever it tells.
"""

import random
import threading
import time
from decimal import Decimal

import pytest

from genius_kit.budget.amounts import Amount, Limits
from genius_kit.budget.ledger import FILE, Share, State, StudyLedger, study_ledger
from genius_kit.budget.spending import adopt, spent_of
from genius_kit.budget.worst_cases import least_tokens
from genius_kit.errors import BudgetSpent, ModelError, StudyFailed
from genius_kit.files import hold, lock_of
from genius_kit.journal import read_run
from genius_kit.journal.verify import verify_run
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.audit import audit_run
from genius_kit.runs.loop import search
from genius_kit.spaces import load_space
from genius_kit.studies.run import load_study, run_study
from genius_kit.testing import Answer, ChatServer, completion
from tests.doubles import ToyBenchmark

pytestmark = pytest.mark.filterwarnings("ignore:.*counted.*tokens for a prompt")
ASKED, DEARER = "scripted-1", "scripted-pro"
INPUT, OUTPUT = 10, 100  # US dollars per million tokens; the dearer model costs ten times as much
LIMIT = 100  # tokens of a reply that are asked for
CAP = Decimal(1)


@pytest.fixture(autouse=True)
def prices(tmp_path, monkeypatch):
    """Write the prices of both models."""
    path = tmp_path / "prices.toml"
    both = ((ASKED, 1), (DEARER, 10))
    entries = [f'[models."{name}"]\ninput = {INPUT * times}\noutput = {OUTPUT * times}' for name, times in both]
    path.write_text("\n".join(entries), encoding="utf-8")
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")


class Liar:
    """Answers with an architecture after `words` words, takes `output` tokens and tells `usage(prompt tokens)`."""

    def __init__(self, usage, output, words=0, model=ASKED):
        self.usage, self.output, self.words, self.model = usage, output, words, model
        self.bill, self.dice, self.lock = Decimal(0), random.Random(0), threading.Lock()

    def __call__(self, body, number):
        received = sum(len(message["content"]) for message in body["messages"]) // 4
        times = 10 if self.model == DEARER else 1
        with self.lock:
            self.bill += Decimal(times * (received * INPUT + self.output * OUTPUT)) / 1_000_000
            design = "".join(self.dice.choice("012") for _ in range(8))
        text = "it has more of the larger layers " * (self.words // 7) + design
        return completion(text, model=self.model, usage=self.usage(received))


def told(completed, total=None, reasoning=0):
    """Return what a server tells that counts `completed` tokens, and `total` beside the prompt."""

    def usage(received):
        return {
            "prompt_tokens": received,
            "completion_tokens": completed,
            "total_tokens": received + (completed if total is None else total),
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }

    return usage


def nothing(count):
    """Return what a server tells that counts `count` tokens, whatever there is."""
    details = {"prompt_tokens_details": None, "completion_tokens_details": None}
    return lambda _: {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count, **details}


def go_on(server, path, limits, budget=40):
    """Run or resume a search."""
    made = make_proposer(
        "llm", ToyBenchmark().space, model=ASKED, base_url=server.url, max_tokens=LIMIT, structured="off"
    )
    try:
        return search(ToyBenchmark(), made, budget, journal=path, progress=False, limits=limits)
    finally:
        made.client.close()


BEYOND = {
    "reasoning outside, which the total does not show": Liar(told(20, reasoning=2000), 2020),
    "reasoning outside, of which the total shows more": Liar(told(20, 2020, reasoning=700), 2020),
    "a reply longer than max_tokens": Liar(told(1500), 1500, words=1000),
    "a reply under a dearer name": Liar(told(50), 50, model=DEARER),
}
BELOW = {"no token for a text": Liar(nothing(0), 100, words=70), "one token": Liar(nothing(1), 100, words=70)}


@pytest.mark.parametrize("attack", BEYOND)
def test_the_first_reply_beyond_its_reservation_ends_the_run(attack, tmp_path):
    """It is booked in full, the next request is not sent, and the record, the error and the audit say why."""
    path, liar = tmp_path / "a.jsonl", BEYOND[attack]
    with ChatServer(liar) as server:
        for _ in range(2):  # the same limit again sends nothing
            with pytest.raises(BudgetSpent, match=r"more than the \$.* were reserved.*--max-dollars"):
                go_on(server, path, Limits(dollars=float(CAP)), budget=3)
        assert server.count == 1
        run = read_run(path)
        [call], [intent], [ended] = run.of("call"), run.of("intent"), run.of("budget_spent")
        assert spent_of(run.events).dollars == liar.bill < CAP
        assert call["cost"] == pytest.approx(float(liar.bill))
        assert call["beyond_worst_case"]["reserved"] == intent["reserved"]
        assert ended["needed"] > ended["beyond"] == pytest.approx(intent["reserved"]["dollars"])
        assert "took more than was reserved" in audit_run(path).report()
        assert verify_run(path).is_sound
        assert go_on(server, path, Limits(dollars=50), budget=3).finished  # as much more is reserved from now on
    run = read_run(path)
    assert len(run.of("budget_spent")) == 1
    assert run.of("intent")[1]["reserved"]["dollars"] >= call["spent"]["dollars"]
    assert spent_of(run.events).dollars == liar.bill


@pytest.mark.parametrize("attack", BELOW)
def test_counts_below_what_the_words_take_are_charged_at_the_worst_case(attack, tmp_path):
    """A server that counts next to nothing for a text that is there does not make a run cheap."""
    path, liar = tmp_path / "a.jsonl", BELOW[attack]
    with ChatServer(liar) as server, pytest.raises(BudgetSpent, match="free"):
        go_on(server, path, Limits(dollars=float(CAP)))
    run = read_run(path)
    call, intent = run.of("call")[0], run.of("intent")[0]
    assert liar.bill <= spent_of(run.events).dollars <= CAP
    assert call["spent"] == intent["reserved"]
    assert call["usage"]["output_tokens"] < 2 < call["least"]["output_tokens"] <= liar.output
    assert "fewer tokens" in audit_run(path).report()


def test_a_server_that_counts_as_it_bills_is_recorded_as_before(tmp_path):
    """No field is added, and what is booked is the bill."""
    path, honest = tmp_path / "a.jsonl", Liar(told(90), 90, words=60)
    with ChatServer(honest) as server:
        go_on(server, path, None, budget=4)
    run = read_run(path)
    assert spent_of(run.events).dollars == honest.bill
    assert not any(name in call for call in run.of("call") for name in ("least", "beyond_worst_case"))
    assert all(set(call["usage"]) == {"input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"}
               for call in run.of("call"))  # fmt: skip
    assert audit_run(path).notes == []


def test_without_a_limit_nothing_ends(tmp_path):
    """Who set no limit is only told."""
    with ChatServer(Liar(told(1500), 1500, words=1000)) as server:
        assert go_on(server, tmp_path / "a.jsonl", Limits(calls=100), budget=2).finished


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 0),
        ("Architecture: [1, 2, 3]", 9),
        ("don't", 1),
        ("हिन्दी में", 5),
        ("naïve façade", 2),
        (" " * 1000, 1),
        ("\u3000" * 100, 1),
        ("-" * 128, 1),
        ("1234567890123456", 1),
        ("','", 1),
        ("》:“", 1),
    ],
)
def test_a_text_takes_no_more_tokens_than_a_tokenizer_may_make_of_it(text, most):
    """Words are counted, and numbers: of signs, marks and blanks a token may hold any number."""
    assert least_tokens(text) <= most
    assert least_tokens("the quick brown fox " * 100) == 400


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_request_that_was_turned_away_leaves_nothing_reserved(tmp_path, status):
    """Neither the record of the run nor the ledger of its study holds anything after it."""
    share = Share(study_ledger(tmp_path), Limits(dollars=1))
    bodies = [{"error": {"message": "no", "code": status}}, "no", {"detail": "insufficient tokens"}]
    for number, body in enumerate(bodies):
        path = tmp_path / f"{number}.jsonl"
        with ChatServer([Answer(body, status=status)]) as server:
            made = make_proposer("llm", ToyBenchmark().space, model=ASKED, base_url=server.url, max_tokens=LIMIT)
            with pytest.raises(ModelError):
                search(ToyBenchmark(), made, 1, number, path, progress=False, share=share)
        assert spent_of(read_run(path).events) == Amount()
    assert all(state.total == Amount() for state in StudyLedger(tmp_path).states().values())


# a study whose runs wait for each other


STUDY = """
name: small
benchmarks: [nas-bench-201-cifar10]
arms: [llm]
models: [scripted-1]
base_url: {url}
max_tokens: 100
structured: off
budget: 2
seeds: 16
limits: {{dollars: {cap}{reserve}}}
"""


def run_limited(tmp_path, workers, cap, reserve="", told_usage=None, delay=0.01):
    """Run the study of 16 searches; return the server's bill and what it raised."""
    space, dice, lock, bill = load_space("nas-bench-201"), random.Random(0), threading.Lock(), []

    def script(body, number):
        received = sum(len(message["content"]) for message in body["messages"]) // 4
        with lock:
            bill.append(received * INPUT + 40 * OUTPUT)
            design = tuple(dice.randrange(5) for _ in range(6))
        return completion(space.encode(design), usage=told(40)(received))

    with ChatServer(script, delay=delay) as server:
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.format(url=server.url, cap=cap, reserve=reserve), encoding="utf-8")
        try:
            return run_study(load_study(path), tmp_path, workers=workers, progress=False), Decimal(sum(bill)) / 10**6
        except StudyFailed as failed:
            return failed, Decimal(sum(bill)) / 10**6


@pytest.mark.parametrize("workers", [8, 16])
def test_a_study_waits_while_others_hold(no_data, tmp_path, workers):
    """All 16 runs end in one pass with room for few reservations at once, and the sum stays within the cap."""
    found, bill = run_limited(tmp_path, workers, cap=0.6)
    assert not isinstance(found, StudyFailed), found
    assert len(found) == 16
    assert bill == study_ledger(tmp_path / "small").total().dollars <= Decimal("0.6")


def test_a_study_that_cannot_go_on_says_what_is_spent_reserved_and_free(no_data, tmp_path):
    """Nobody waits for what no other run will release, and a raised cap ends it."""
    found, bill = run_limited(tmp_path, 8, cap=0.3)
    assert isinstance(found, StudyFailed)
    assert found.only_limits
    assert "are spent" in str(found)
    assert "reserved by other runs of the study" in str(found)
    assert "free" in str(found)
    assert bill <= Decimal("0.3")
    found, more = run_limited(tmp_path, 8, cap=1)
    assert len(found) == 16
    assert bill + more == study_ledger(tmp_path / "small").total().dollars


def test_one_attempt_is_reserved_where_that_was_chosen(no_data, tmp_path):
    """With "95%" the rest of a cap is used in which six attempts find no room; the record says so."""
    found, bill = run_limited(tmp_path, 16, cap=0.37, reserve=", reserve: 95%")
    assert not isinstance(found, StudyFailed), found
    assert bill <= Decimal("0.37")
    begun = read_run(next((tmp_path / "small").glob("*.jsonl"))).events[0]
    assert begun["limits"]["study"] == {"dollars": 0.37, "reserve": "95%"}
    with pytest.raises(Exception, match=r"reserve must be .*got '90%'"):
        Limits(reserve="90%")


def reserve(ledger, number, cap, dollars):
    """Reserve dollars for a run of a number, as its budget does."""
    held = Amount.of(1, 10, dollars)
    ledger.change(f"{number}.jsonl of t", State(held=held), Limits(dollars=cap))


def test_what_a_killed_run_holds_is_not_waited_for(tmp_path):
    """A run that is under way releases what it holds; a dead one does not, until it resumes or its study begins."""
    from genius_kit.budget.ledger import OverLimit

    ledger = StudyLedger(tmp_path)
    reserve(ledger, 1, 1.0, 0.9)
    with pytest.raises(OverLimit) as dead:
        reserve(ledger, 2, 1.0, 0.5)
    assert (dead.value.will_pass, dead.value.reserved, dead.value.left) == (False, Decimal("0.9"), Decimal("0.1"))
    lock = hold(lock_of(tmp_path / "1.jsonl"))
    with pytest.raises(OverLimit) as alive:
        reserve(StudyLedger(tmp_path), 2, 1.0, 0.5)
    assert alive.value.will_pass
    with pytest.raises(OverLimit) as never:
        reserve(ledger, 2, 1.0, 1.5)
    assert not never.value.will_pass
    lock.release()


def test_a_study_that_begins_again_releases_what_killed_runs_hold(tmp_path):
    """The journal of a dead run says what it may have spent; further attempts that were reserved were never made."""
    with ChatServer(Liar(told(20), 20)) as server:
        path = tmp_path / "a.jsonl"
        with pytest.raises(BudgetSpent):
            go_on(server, path, Limits(calls=1))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))  # killed before an answer came
    known = read_run(path)
    name = f"a.jsonl of {known.events[0]['time']}"
    spent = spent_of(known.events)
    assert spent == Amount.read(known.of("intent")[0]["reserved"]) != Amount()
    ledger = study_ledger(tmp_path)
    ledger.change(name, State(held=spent.times(6)))
    lock = hold(lock_of(path))
    adopt(tmp_path)
    assert ledger.states()[name].held != Amount()
    lock.release()
    adopt(tmp_path)
    assert (ledger.states()[name].spent, ledger.states()[name].held) == (spent, Amount())
    lines = (tmp_path / FILE).read_bytes().splitlines()
    adopt(tmp_path)
    assert (tmp_path / FILE).read_bytes().splitlines() == lines


def test_a_run_waits_for_another_and_goes_on(tmp_path):
    """It sends nothing while the other holds all, and is not refused."""
    ledger = study_ledger(tmp_path)
    lock = hold(lock_of(tmp_path / "other.jsonl"))
    ledger.change("other.jsonl of t", State(held=Amount.of(1, 10, 0.99)))
    share, ended = Share(ledger, Limits(dollars=1)), []
    with ChatServer(Liar(told(40), 40)) as server:

        def work():
            made = make_proposer("llm", ToyBenchmark().space, model=ASKED, base_url=server.url, max_tokens=LIMIT)
            ended.append(search(ToyBenchmark(), made, 1, 0, tmp_path / "a.jsonl", progress=False, share=share))

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.5)
        assert server.count == 0
        assert thread.is_alive()
        ledger.change("other.jsonl of t", State(Amount.of(1, 10, 0.1)))
        thread.join(20)
    lock.release()
    assert ended[0].finished
    assert not ended[0].of("budget_spent")


def test_a_foreign_file_stops_no_study_with_a_limit(tmp_path):
    """It is named, and what the study spent is counted all the same."""
    with ChatServer(Liar(told(20), 20)) as server:
        go_on(server, tmp_path / "a.jsonl", Limits(calls=100))
    (tmp_path / "b.jsonl").write_text("no journal\n")
    with pytest.warns(UserWarning, match=r"b\.jsonl is not counted"):
        adopt(tmp_path)
    assert len(study_ledger(tmp_path).states()) == 1
