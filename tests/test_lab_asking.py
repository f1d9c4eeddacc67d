"""One question in the lab, without a browser: whose reply stands there, and what is said where none came."""

import socket
import threading
import time

import pytest

from genius_kit.errors import ModelError
from genius_kit.lab.panels.searching import telling
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.lab.run import READY
from genius_kit.runs.live import LiveSearch
from tests.doubles import QueueClient, ToyBenchmark
from tests.test_lab_widgets import wait_for

GOOD = "Architecture: [3, 3, 3, 3, 3, 3]"
REFUSED = "the connection to http://127.0.0.1:9/v1 failed (connection refused)"


@pytest.fixture
def lab(no_data, tmp_path):
    """Return a lab whose model gives the answers that the test puts into its queue."""
    made = PromptLab("nas-bench-201-cifar10", budget=1, folder=tmp_path, client=QueueClient())
    made.answers = made.session.client.answers
    return made


def ask(lab):
    """Ask, and wait for what comes of it."""
    lab.editor.ask()
    wait_for(lambda: not lab.editor.ask_button.disabled)
    return lab.editor.answer.value


def test_a_reply_says_whose_it_is_about_what_and_when(lab):
    """The model as the server named it, the benchmark, the time, the tokens."""
    lab.answers.append(GOOD)
    shown = ask(lab)
    assert "queue-1 on NAS-Bench-201" in shown
    assert time.strftime("%Y-%m-%d") in shown
    assert "10 tokens in, 5 out" in shown


@pytest.mark.parametrize(
    ("message", "cause"),
    [(REFUSED, "connection"), ("the key was refused (401)", "authentication"), ("no such model", "not-found")],
)
def test_an_error_takes_the_place_of_the_reply_before(lab, message, cause):
    """No reply stands there that is not the answer to what was asked last."""
    lab.answers += [GOOD, ModelError(message, cause=cause)]
    assert "[3, 3, 3, 3, 3, 3]" in ask(lab)
    shown = ask(lab)
    assert message in shown
    assert 'role="alert"' in shown
    assert "[3, 3, 3, 3, 3, 3]" not in shown
    assert lab.view.board.status["text"] == "The question failed"


def test_a_template_that_cannot_be_sent_takes_the_place_of_the_reply_too(lab):
    """What is wrong with it stands where the reply stood."""
    lab.answers.append(GOOD)
    ask(lab)
    lab.session.edit("{{ nonsense }}")
    shown = ask(lab)
    assert "Nothing was asked. Line 1" in shown
    assert "[3, 3, 3, 3, 3, 3]" not in shown


def test_while_it_waits_the_lab_says_why_and_for_how_long(lab):
    """The failed attempt in its own words, and the seconds until the next; the old reply is gone meanwhile."""
    lab.answers += [GOOD, ModelError(REFUSED, cause="connection", retryable=True, retry_after=0.5), GOOD]
    ask(lab)
    lab.editor.ask()
    wait_for(lambda: lab.view.board.status["retry"] is not None)
    assert 0 < lab.view.board.status["retry"] <= 0.5
    assert REFUSED in lab.view.board.status["text"]
    assert REFUSED in lab.editor.answer.value
    assert "[3, 3, 3, 3, 3, 3]" not in lab.editor.answer.value
    wait_for(lambda: not lab.editor.ask_button.disabled)
    assert "[3, 3, 3, 3, 3, 3]" in lab.editor.answer.value


def test_giving_up_sends_no_further_attempt(lab):
    """A question that is not waited for any longer is not asked again behind one's back."""
    lab.answers += [ModelError(REFUSED, cause="connection", retryable=True, retry_after=0.2), GOOD]
    lab.editor.ask()
    wait_for(lambda: lab.view.board.status["retry"] is not None)
    lab.editor.abandon()
    time.sleep(0.5)
    assert len(lab.session.client.sent) == 1
    assert lab.editor.answer.value == ""
    assert "not waited for" in lab.view.board.status["text"]


def test_a_reply_stays_with_the_benchmark_it_was_asked_about(lab, monkeypatch):
    """Another benchmark is chosen before the reply comes."""
    go_on = threading.Event()
    lab.answers.append(GOOD)
    send = QueueClient.send
    monkeypatch.setattr(QueueClient, "send", lambda self, *given: go_on.wait(20) and send(self, *given))
    asked, architecture = lab.session.benchmark, (3,) * 6
    lab.editor.ask()
    lab.editor.benchmark.value = "nas-bench-201-cifar100"
    assert lab.session.benchmark.rank(architecture) != asked.rank(architecture)
    go_on.set()
    wait_for(lambda: not lab.editor.ask_button.disabled)
    assert "CIFAR-10," in lab.editor.answer.value
    assert f"rank {asked.rank(architecture)} of 15,625" in lab.editor.answer.value


def test_a_search_says_why_it_waits(tmp_path):
    """The last failed attempt stands in its state until the next one begins."""
    from genius_kit.proposers.base import make_proposer

    client = QueueClient(ModelError(REFUSED, cause="connection", retryable=True, retry_after=30.0))
    benchmark = ToyBenchmark()
    live = LiveSearch(benchmark, make_proposer("llm", benchmark.space, client=client), 1, journal=tmp_path / "a.jsonl")
    live.start()
    wait_for(lambda: live.state.retry_at is not None)
    found = telling(live.state, None, None)
    live.stop(now=True)
    live.wait(20)
    assert f"An attempt failed: {REFUSED}" in found["text"]
    assert 25 < found["retry"] <= 30
    assert found["asking"] is None


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_connecting_is_told_apart_from_waiting_for_the_reply(no_data, tmp_path, monkeypatch, scheme):
    """A server that never answers: over TLS no request can go out, without it one has."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1"
        lab = PromptLab("nas-bench-201-cifar10", folder=tmp_path, model="queue-1", base_url=address)
        told = []
        lab.asked.views.append(lambda message: told.append(message["status"]) if message["kind"] == "status" else None)
        lab.editor.ask()
        wait_for(lambda: [one["connecting"] for one in told if one["asking"] is not None][-1:] == [scheme == "https"])
        time.sleep(0.5)
        assert told[-1]["connecting"] == (scheme == "https")
        lab.editor.abandon()
        assert told[-1] == {**READY, "text": "The reply is not waited for any longer"}
