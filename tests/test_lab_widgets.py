"""The widgets of the lab without a browser: their still picture, their messages, errors as sentences."""

import threading
import time
from types import SimpleNamespace

import pytest

from genius_kit.journal import Run
from genius_kit.lab import widgets
from genius_kit.lab.curve import Point
from genius_kit.lab.panels.searching import telling
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.lab.run import Board
from tests.doubles import QueueClient


@pytest.fixture
def lab(no_data, tmp_path):
    """A lab with the stand-in, with no event loop: callbacks come in the thread that has them."""
    return PromptLab("nas-bench-201-cifar10", budget=3, folder=tmp_path)


def wait_for(condition):
    """Wait until `condition` holds."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_the_lab_carries_a_picture_for_pages_without_scripts(lab, monkeypatch):
    """After a search the cell's HTML holds its curve and drawing, and nothing from elsewhere."""
    lab.searching.run()
    lab.session.live.wait(60)
    wait_for(lambda: len(lab.view.board.points) == 3)
    shown = []
    monkeypatch.setattr("IPython.display.publish_display_data", lambda data, *_: shown.append(data))
    lab._ipython_display_()
    widget, beside = shown
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert widget["text/html"] == ""
    assert beside["text/html"].count("<svg") == 2
    assert "3 evaluations" in beside["text/html"]
    assert "<script" not in beside["text/html"]
    assert "src=" not in beside["text/html"]
    assert len(beside["text/html"]) < 100_000


def test_an_error_is_a_sentence_until_the_next_action(lab):
    """A wrong temperature and a missing journal; the lab goes on."""
    lab.editor.optional["temperature"].value = "warm"
    assert "temperature &#x27;warm&#x27; is no number" in lab.error.value
    lab.editor.optional["max_tokens"].value = "1.5"
    assert "output limit &#x27;1.5&#x27; is no whole number of tokens" in lab.error.value
    lab.editor.optional["max_tokens"].value = "200"
    assert lab.session.settings()["max_tokens"] == 200
    for control in lab.editor.optional.values():
        control.value = ""
    assert "max_tokens" not in lab.session.settings()
    assert lab.error.value == ""
    lab.replaying.path.value = "nowhere.jsonl"
    lab.replaying.open_button.click()
    assert "there is no journal at nowhere.jsonl" in lab.error.value
    assert "Traceback" not in lab.error.value


def test_the_most_that_may_be_spent_is_a_limit_of_the_search(no_data, tmp_path, monkeypatch):
    """A request that may cost more is not sent; a higher limit is told to the same search, which goes on by Resume."""
    prices = tmp_path / "own.toml"
    prices.write_text('as_of = "2026-01-01"\n[models."queue-1"]\ninput = 1\noutput = 10\nmax_output = 100\n')
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(prices))
    client = QueueClient("Architecture: [3, 3, 3, 3, 3, 3]")
    lab = PromptLab("nas-bench-201-cifar10", budget=1, folder=tmp_path, client=client)
    panel = lab.searching
    panel.limit.value = 0.0001
    panel.run()
    live = lab.session.live
    live.wait(60)
    assert (live.state.status, live.state.spent) == ("stopped", 0)
    assert live.state.run.events[0]["limits"] == {"dollars": 0.0001}
    wait_for(lambda: "Stopped" in lab.view.board.status["text"])
    assert "the run may take" in lab.view.board.status["text"]
    assert 'raise "Spend at most $"' in lab.view.board.status["text"]
    panel.limit.value = 1.0
    assert "live.limit(gk.Limits(dollars=1.0))" in lab.view.board.line
    panel.resume_button.click()
    live.wait(60)
    assert live.state.status == "finished"
    assert live.state.run.of("limits_set")[-1]["limits"] == {"dollars": 1.0}


def test_a_reply_that_is_given_up_is_not_shown(lab, monkeypatch):
    """A model that does not answer does not hold the lab."""
    over = threading.Event()
    monkeypatch.setattr(type(lab.session), "asking", lambda self, *_: lambda: over.wait(60))
    lab.editor.ask()
    assert lab.editor.ask_button.disabled
    lab.editor.abandon()
    assert not lab.editor.ask_button.disabled
    assert "not waited for" in lab.view.board.status["text"]
    over.set()


def test_a_point_is_one_small_message():
    """A thousand points before it do not make it larger."""
    board = Board()
    board.add([Point(i, 90.0, "x") for i in range(1, 1001)])
    assert len(str(board.add([Point(1001, 91.0, "y")]))) < 300


def test_the_state_of_a_search_tells_age_money_and_errors():
    """Seconds since the call began, until the next attempt, and what is left."""
    now = time.monotonic()
    usage = {"input_tokens": 1500, "cached_input_tokens": 0, "output_tokens": 80, "reasoning_tokens": 0}
    events = [{"event": "run_started"}, {"event": "call", "usage": usage, "cost": 0.5}]
    run = Run(None, [*events, {"event": "evaluation"}, {"event": "evaluation"}])
    state = SimpleNamespace(
        status="running",
        budget=8,
        asking_since=now - 41,
        connecting=False,
        retry_at=now + 45,
        spent=0.5,
        error=None,
        run=run,
    )
    found = telling(state, 2.0, None)
    assert found["text"] == "Running: 2 of 8 evaluated"
    assert found["money"] == "spent $0.5 (1,500 tokens in, 80 out), left $1.50 of $2.00"
    assert 41 <= found["asking"] < 43
    assert 43 < found["retry"] <= 45
    assert telling(state, None, 0.0)["money"] == "the stand-in costs nothing"
    assert telling(state, None, 4.0)["money"].endswith("left about $3.00")


def test_actions_are_taken_in_the_order_in_which_they_came():
    """From whichever thread, one at a time; what an action does itself is a part of it."""
    turns, order, begun, go_on = widgets._Turns(), [], threading.Event(), threading.Event()

    def first():
        begun.set()
        go_on.wait(20)
        turns(order.append, "a part of the first")
        order.append("first")

    threads = [threading.Thread(target=turns, args=(first,))]
    threads[0].start()
    begun.wait(20)
    for number in range(5):
        threads.append(threading.Thread(target=turns, args=(order.append, number)))
        threads[-1].start()
        wait_for(lambda number=number: len(turns._due) == number + 1)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert order == ["a part of the first", "first", 0, 1, 2, 3, 4]
