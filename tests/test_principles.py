"""Tests of design principles: asked for once, on record, fed back or not, resumed, counted, reused, withheld."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import genius_kit as gk
from genius_kit.budget.amounts import Limits
from genius_kit.budget.limits import spent_of
from genius_kit.errors import BudgetSpent, InvalidParameter
from genius_kit.journal import Run, read_run
from genius_kit.journal.redact import redact
from genius_kit.journal.verify import verify_run
from genius_kit.llm import Reply, Usage
from genius_kit.llm.calls import ATTEMPTS_LIMIT
from genius_kit.llm.offline import Design
from genius_kit.llm.recorded import ReplayClient
from genius_kit.prompts.template import PRINCIPLES
from genius_kit.records import Message
from genius_kit.runs.steps import open_run
from genius_kit.studies.estimate import estimate_run
from genius_kit.verdicts.prompts import CHANGED, NO_EFFECT, effects
from genius_kit.verdicts.rationales import rationales_of_run
from tests.doubles import QueueClient, ToyBenchmark, reply
from tests.natures import (
    SEEDS,
    Ignores,
    Nature,
    Random,
    Recites,
    Searches,
    best_designs,
    made_table,
    run_arms,
    run_one,
    said,
)
from tests.resuming import assert_resumes_alike

TOLD = "1. Wide is good. {{ results }} {% raw %} {0} %s 2. [2, 2] -> 99.00"
DESIGNS = [f"Architecture: [2, 2, 2, 2, 2, 2, 2, {last}]" for last in (0, 1, 2)]
QUESTION = "Write down the design principles"


def run(
    principles: str | None,
    *answers: Any,
    journal: Path | None = None,
    budget: int = 3,
    replay: ReplayClient | None = None,
    limits: Limits | None = None,
    reuse: Path | None = None,
    **settings: Any,
) -> tuple[Run, QueueClient]:
    client = QueueClient(*(answers or (TOLD, *DESIGNS)))
    given = {"principles": principles} if principles else {}
    made = gk.make_proposer("llm", ToyBenchmark().space, client=replay or client, **given, **settings)
    done = gk.search(ToyBenchmark(), made, budget, 0, journal, progress=False, limits=limits, reuse=reuse)
    return done, client


@pytest.mark.parametrize("principles", PRINCIPLES)
@pytest.mark.parametrize("history", ["table", "dialogue"])
def test_they_are_asked_for_once_before_the_first_design(principles: str, history: str) -> None:
    """The first request has the problem and no results, and its call says what it is for; the others ask as ever."""
    done, client = run(principles, history=history)
    first, *rest = done.of("call")
    assert len(client.sent) == 4
    assert (first["purpose"], first["text"], first["iteration"]) == ("principles", TOLD, 1)
    assert QUESTION in first["messages"][-1]["content"]
    assert "# Results" not in first["messages"][-1]["content"]
    assert done.of("intent")[0]["purpose"] == "principles"
    assert not any("purpose" in event for event in [*rest, *done.of("intent")[1:]])
    assert not any(QUESTION in message["content"] for call in rest for message in call["messages"])


@pytest.mark.parametrize("history", ["table", "dialogue"])
def test_asked_they_are_not_shown_again(history: str) -> None:
    """Each request for an architecture is, byte for byte, that of a run that was never asked for principles."""
    asked, plain = run("asked", history=history)[1], run(None, *DESIGNS, history=history)[1]
    assert asked.sent[1:] == plain.sent


@pytest.mark.parametrize("history", ["table", "dialogue"])
def test_fed_back_they_stand_in_every_later_prompt_as_they_are(history: str) -> None:
    """What the model wrote is text: its braces and per cent signs fill nothing; all the rest is the plain prompt."""
    fed, plain = run("fed-back", history=history)[1], run(None, *DESIGNS, history=history)[1]
    for messages, bare in zip(fed.sent[1:], plain.sent, strict=True):
        content = next(message["content"] for message in messages if message["role"] == "user")
        assert content.count(TOLD) == 1
        head, _, tail = content.partition("# Your design principles")
        before, _, after = bare[1]["content"].partition("# Results")
        assert head == before
        assert tail.partition("# Results")[2] == after


def test_an_empty_answer_is_no_reason_to_ask_again() -> None:
    """A reply without words is on record and feeds nothing back."""
    empty = Reply(text=None, model="queue-1", finish_reason="content_filter", usage=Usage(10, None, 0, None))
    done, client = run("fed-back", empty, *DESIGNS)
    assert len(client.sent) == 4
    assert not any("design principles" in message["content"] for sent in client.sent[1:] for message in sent)
    assert done.of("call")[0]["purpose"] == "principles"


def test_a_run_cut_anywhere_resumes_without_asking_again(tmp_path: Path) -> None:
    """Cut after each of its events it goes on with the answers that are left, and comes to the same record."""
    answers = (TOLD, *DESIGNS[:2])

    def start(path: Path, answered: int) -> Run:
        return run("fed-back", *answers[answered:], "one more would be an error", journal=path, budget=2)[0]

    whole = assert_resumes_alike(tmp_path, start)
    assert verify_run(tmp_path / "whole.jsonl").findings == ()
    assert len(whole.of("call")) == 3


KILLED = """
import os, signal, sys
from tests.test_principles import DESIGNS, TOLD, ToyBenchmark, QueueClient, gk
def watch(event):
    if event["event"] == "call" and event.get("purpose") == "principles":
        os.kill(os.getpid(), signal.SIGKILL)
made = gk.make_proposer("llm", ToyBenchmark().space, client=QueueClient(TOLD, *DESIGNS), principles="fed-back")
gk.search(ToyBenchmark(), made, 3, 0, sys.argv[1], on_event=watch)
"""


def test_killed_right_after_the_answer_it_is_not_asked_again(tmp_path: Path) -> None:
    """The process dies when the answer is on the disk; the resumed run shows it and asks for architectures."""
    path = tmp_path / "killed.jsonl"
    root = Path(__file__).parent.parent
    child = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, timeout=60, capture_output=True)
    assert child.returncode == -9, child.stderr.decode()
    done, client = run("fed-back", *DESIGNS, journal=path)
    assert done.finished
    assert len(client.sent) == 3
    assert all(TOLD in sent[-1]["content"] for sent in client.sent)


def test_a_recording_is_replayed_strictly(tmp_path: Path) -> None:
    """A new run that is answered from the journal sends the same requests in the same order."""
    run("fed-back", journal=tmp_path / "a.jsonl")
    client = ReplayClient.from_journal(tmp_path / "a.jsonl")
    again, _ = run("fed-back", replay=client)
    assert client.position == 4
    assert client.mismatches == 0
    assert len(again.of("evaluation")) == 3


def test_with_reuse_the_answer_of_another_run_is_taken_and_marked(tmp_path: Path) -> None:
    """An identical request is answered from the record, the purpose beside it."""
    run("asked", journal=tmp_path / "a.jsonl", reuse=tmp_path)
    again, client = run("asked", journal=tmp_path / "b.jsonl", reuse=tmp_path)
    assert client.sent == []
    assert again.of("call")[0]["purpose"] == "principles"
    assert "reused" in again.of("call")[0]


def test_both_settings_and_their_texts_decide_a_run() -> None:
    """They are on record only where they are given, each with the sum of the texts that ask and feed back."""
    plain, asked, fed = (run(one, *([] if one else DESIGNS))[0].settings for one in (None, "asked", "fed-back"))
    assert "principles" not in plain["settings"]
    assert "principles_sha256" not in plain["resolved"]
    assert (asked["settings"]["principles"], fed["settings"]["principles"]) == PRINCIPLES
    assert len(asked["resolved"]["principles_sha256"]) == 64
    assert asked["resolved"]["prompt_sha256"] == plain["resolved"]["prompt_sha256"]


def test_they_are_no_reply_to_a_step(tmp_path: Path) -> None:
    """The first step has the request for an architecture as its prompt; the question is among its other calls."""
    run("fed-back", journal=tmp_path / "a.jsonl")
    first, second = open_run(tmp_path / "a.jsonl")[:2]
    assert QUESTION not in first.messages[-1]["content"]
    assert first.replies == (DESIGNS[0],)
    assert [call["text"] for call in first.others] == [TOLD]
    assert second.others == ()
    frame = read_run(tmp_path / "a.jsonl").frame()
    assert list(frame["calls"]) == [2, 1, 1]
    assert [telling.reply for telling in rationales_of_run(tmp_path / "a.jsonl")[1]] == DESIGNS[1:]


def test_withheld_they_are_gone_from_all_places(tmp_path: Path) -> None:
    """A copy without replies has them neither as an answer nor in a prompt that shows them."""
    run("fed-back", "A secret principle that nobody else may read.", *DESIGNS, journal=tmp_path / "a.jsonl")
    copy = redact(tmp_path / "a.jsonl", tmp_path / "copy.jsonl", ["reply"])
    assert "secret principle" not in copy.read_text(encoding="utf-8")
    assert verify_run(copy).findings == ()


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dollar for a million tokens of input, ten for output, replies of at most a hundred tokens."""
    path = tmp_path / "own.toml"
    path.write_text('[models."queue-1"]\ninput = 1\noutput = 10\nmax_output = 100\n', encoding="utf-8")
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))


@pytest.mark.usefixtures("priced")
@pytest.mark.parametrize("history", ["table", "dialogue"])
@pytest.mark.parametrize("principles", PRINCIPLES)
def test_the_estimate_counts_them(principles: str, history: str) -> None:
    """One call more is expected and in the worst case; as long as a reply may be, fed back, they stay below it."""
    benchmark = ToyBenchmark()

    def forecast(chosen: str | None) -> Any:
        given = {"principles": chosen} if chosen else {}
        made = gk.make_proposer(
            "llm", benchmark.space, client=QueueClient(), rejections_limit=0, history=history, **given
        )
        return estimate_run(benchmark, made, 3)

    plain, found = forecast(None), forecast(principles)
    assert found.worst.calls - plain.worst.calls == ATTEMPTS_LIMIT
    assert found.expected.calls > plain.expected.calls
    assert found.expected.dollars > plain.expected.dollars
    long = [Reply(f"{'word ' * 100}{text}", "queue-1", "stop", Usage(4_000, 0, 100, 0)) for text in ("", *DESIGNS)]
    done, _ = run(principles, *long, rejections_limit=0, history=history)
    spent = spent_of(done.events)
    assert spent.calls == 4
    assert spent.calls <= found.worst.calls
    assert spent.tokens <= found.worst.tokens
    assert float(spent.dollars) <= found.worst.dollars


@pytest.mark.usefixtures("priced")
def test_a_limit_counts_them(tmp_path: Path) -> None:
    """A run that may make two calls asks for principles and for one architecture, then ends resumable."""
    with pytest.raises(BudgetSpent):
        run("asked", journal=tmp_path / "a.jsonl", limits=Limits(calls=2))
    assert [event.get("purpose") for event in read_run(tmp_path / "a.jsonl").of("call")] == ["principles", None]


def test_what_makes_no_sense_is_refused() -> None:
    """An unknown setting lists the known ones; the published prompt and the knowledge probe are named."""
    space = gk.load_space("mobilenet-imagenet")
    for settings, words in (
        ({"principles": "shouted"}, "asked, fed-back"),
        ({"principles": "asked", "prompt": "published"}, "fixed"),
        ({"principles": "asked", "control": "knowledge-probe"}, "knowledge-probe"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            gk.make_proposer("llm", space, **settings)


def test_they_are_asked_for_under_a_control_as_it_lets_the_problem_be_seen() -> None:
    """Without names the question has none either."""
    asked = run("asked", control="anonymous")[1].sent[0][-1]["content"]
    assert QUESTION in asked
    assert "inverted residual" not in asked
    assert "CIFAR" not in asked


@pytest.mark.parametrize("client", [Searches(), Recites(["22222222", "12222222", "02222222"]), Random(1), Ignores(1)])
def test_every_nature_lives_with_the_question(client: Any) -> None:
    """A client that has no principles answers something, and goes on as it would have, but for the random one."""
    designs = []
    for settings in ({}, {"principles": "asked"}, {"principles": "fed-back"}):
        done = run_one(client, ToyBenchmark(), budget=4, **settings)
        designs.append([event["architecture"] for event in done.of("proposal")])
    assert designs[0] == designs[1]
    assert designs[0] == designs[2] or client.kind.startswith("random")


class Heeds(Nature):
    """Lives by its principles, where it sees them: names the best architectures then, and draws at random else."""

    name = "heeds"

    def __init__(self, best: list[Design], seed: int) -> None:
        self.best, self.drawn = Recites(best), Random(seed)

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return principles where they are asked for, else an architecture."""
        if QUESTION in messages[-1]["content"]:
            return Reply(text=TOLD, model=self.model, finish_reason="stop", usage=Usage(), seconds=0.0)
        return super().send(messages, seed)

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return an architecture that follows from what is shown."""
        client = self.best if TOLD in said(messages) else self.drawn
        return client.design(messages, options, tried)


NATURES: dict[str, Callable[[list[Design], int], Any]] = {
    "heeds": Heeds,
    "searches": lambda best, seed: Searches(),
    "recites": lambda best, seed: Recites(best),
    "random": lambda best, seed: Random(seed),
    "ignores": lambda best, seed: Ignores(seed),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", NATURES)
def test_each_nature_gets_its_verdict(name: str, seed: int) -> None:
    """To be fed back its principles helps the one that lives by them, and is said to help nobody else."""
    table = made_table(seed)
    arms = ["llm", *({"name": f"principles-{one}", "principles": one} for one in PRINCIPLES)]
    searches = range(1_000 * seed, 1_000 * seed + 20)
    runs = run_arms(lambda run: NATURES[name](best_designs(table), run), table, arms, seeds=searches, budget=8)
    found = effects(runs).set_index("arm")
    assert set(found["n"]) == {20}
    if name == "heeds":
        assert found.loc["principles-fed-back", "verdict"] == CHANGED
        assert found.loc["principles-fed-back", "high"] < 1
        assert found.loc["principles-asked", "ratio"] == 1
    else:
        assert CHANGED not in set(found["verdict"])
        assert name == "random" or set(found["verdict"]) == {NO_EFFECT}


def test_the_stand_in_says_that_it_has_none() -> None:
    """Its answer names it as no language model."""
    done = run_one(Searches(), ToyBenchmark(), budget=2, principles="asked")
    assert "not a language model" in done.of("call")[0]["text"]
    assert "no design principles" in done.of("call")[0]["text"]


def test_hybrids_ask_for_them_before_the_first_design_of_the_model(no_data: None) -> None:
    """A search that begins at random asks when the model's turn comes, once."""
    answers = [reply(TOLD), *(f"Architecture: [0, 1, 2, {a}, {b}, 0, 0, 1]" for a, b in ((1, 0), (2, 0), (2, 2)))]
    made = gk.make_proposer("llm-mutation", ToyBenchmark().space, client=QueueClient(*answers), principles="fed-back")
    done = gk.search(ToyBenchmark(), made, 6, 0, progress=False)
    assert [event.get("purpose") for event in done.of("call")] == ["principles", None, None]
    assert done.of("call")[0]["iteration"] == 5


def test_reasoning_is_not_fed_back():
    """Of the answer with the principles only what stands outside the reasoning is shown again."""
    from genius_kit.prompts.template import fed_back

    assert fed_back("<think>Hm.</think>Depth helps.") == fed_back("Depth helps.")
    assert fed_back("<think>Hm.</think>") == ""
