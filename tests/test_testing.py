"""Every fault of `genius_kit.testing` against the real client and the real record of calls, and the server's counts."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import genius_kit
from genius_kit.errors import ModelError
from genius_kit.journal import Journal, read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.llm import OpenAIClient
from genius_kit.llm.calls import ATTEMPTS_LIMIT, Caller
from genius_kit.llm.session import Session
from genius_kit.replies import parse_reply
from genius_kit.spaces import load_space
from genius_kit.testing import (
    FAULTS,
    Answer,
    ChatServer,
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    completion,
    random_faults,
    request_digest,
)

KEY = "sk-test-0123456789abcdef"
GOOD = "Architecture: [2, 1, 0, 2, 1, 0, 2, 1]"
MESSAGES = [{"role": "user", "content": "Propose one."}]

FAILS = {  # name of the fault: cause on record, and whether it is tried again
    "refused": ("connection", True),
    "unauthorized": ("authentication", False),
    "forbidden": ("permission", False),
    "not-found": ("not-found", False),
    "rate-limit": ("rate-limit", True),
    "rate-limit-seconds": ("rate-limit", True),
    "rate-limit-date": ("rate-limit", True),
    "quota": ("quota", False),
    "server-error": ("server", True),
    "loading": ("loading", True),
    "hang": ("timeout", True),
    "closed-midway": ("connection", True),
    "html": ("not-json", True),
    "broken-json": ("not-json", True),
    "empty-choices": ("no-choices", True),
    "error-body": ("error-body", True),
    "ten-megabytes": ("too-long", False),
}
READ = {  # name of the fault: what comes of the reply that it holds
    **dict.fromkeys(("delay", "drip", "other-model", "wrong-usage", "invalid-utf-8", "lone-surrogate"), "proposal"),
    "duplicate-keys": "proposal",
    "null-content": "empty",
    "length": "wrong length",
    "content-filter": "empty",
    "refusal": "empty",
    "huge-integers": "placeholder",
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def asked(server, path, attempts_limit=ATTEMPTS_LIMIT, timeout=30.0):
    """Ask the server through a journal, and return the reply or the error, the run, and the waits."""
    client, waits = OpenAIClient("m", server.url, timeout=timeout), []
    try:
        with Journal(path) as journal:
            caller = Caller(client, Session(journal), attempts_limit=attempts_limit, sleep=waits.append)
            try:
                outcome = caller.ask(MESSAGES, 1)
            except ModelError as error:
                outcome = error
    finally:
        client.close()
    assert KEY not in path.read_text(encoding="utf-8")
    return outcome, read_run(path), [seconds for seconds in waits if seconds]


def names(run):
    return [event["event"] for event in run.events if event["event"] not in SIDE_EVENTS]


def test_the_tables_name_every_fault():
    """No fault goes without an expectation."""
    assert FAILS.keys() | READ.keys() == FAULTS.keys()
    assert not FAILS.keys() & READ.keys()


@pytest.mark.parametrize("fault", FAILS)
def test_a_failure_is_on_record_and_retried_by_its_cause(tmp_path, fault):
    """Each attempt leaves an intent and its cause; what is worth a retry gets one, the rest ends the request."""
    cause, retried = FAILS[fault]
    timeout = 1.0 if fault == "hang" else 30.0
    with ChatServer([FAULTS[fault](GOOD), GOOD]) as server:
        outcome, run, waits = asked(server, tmp_path / "run.jsonl", timeout=timeout)
        assert server.count == (2 if retried else 1)
    assert names(run) == ["intent", "call_failed", *(["intent", "call"] if retried else [])]
    failure = run.of("call_failed")[0]
    assert (failure["cause"], failure["retryable"]) == (cause, retried)
    assert len(waits) == retried
    if retried:
        assert outcome.text == GOOD
    else:
        assert (outcome.cause, outcome.retryable) == (cause, False)


@pytest.mark.parametrize("now", [1_000.0, 1_000.001, 1_000.999])
def test_the_date_to_wait_for_is_at_least_a_second_ahead(now, monkeypatch):
    """Dates have whole seconds: one rounded down would have passed when it arrives."""
    monkeypatch.setattr(time, "time", lambda: now)
    answer = FAULTS["rate-limit-date"](GOOD)
    assert 1 <= parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() - now < 2


@pytest.mark.parametrize("fault", READ)
def test_an_odd_reply_is_paid_and_kept(tmp_path, fault):
    """A reply that came is on record after one attempt, whatever it holds, and is judged in well under a second."""
    with ChatServer([FAULTS[fault](GOOD)]) as server:
        begun = time.perf_counter()
        reply, run, waits = asked(server, tmp_path / "run.jsonl")
        seconds = time.perf_counter() - begun
        assert server.bill.replies == server.count == 1
    assert names(run) == ["intent", "call"]
    assert run.of("call")[0]["text"] == reply.text
    begun = time.perf_counter()
    outcome = parse_reply(reply.text or "", load_space("nas-bench-macro"))
    assert time.perf_counter() - begun < 1.0
    assert getattr(outcome, "reason", "proposal") == READ[fault]
    assert not waits
    assert seconds < 20


def test_a_failure_that_lasts_ends_the_request(tmp_path):
    """After the last attempt the error goes out, every attempt is on record, and nothing more was asked."""
    with ChatServer(lambda body, number: FAULTS["server-error"]("")) as server:
        outcome, run, waits = asked(server, tmp_path / "run.jsonl")
        assert server.count == ATTEMPTS_LIMIT
        assert server.bill.replies == 0
    assert outcome.cause == "server"
    assert names(run) == ["intent", "call_failed"] * ATTEMPTS_LIMIT
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_closed_port_refuses(tmp_path):
    """Within `refusing` nobody can connect; after it the same address answers."""
    with ChatServer([GOOD]) as server:
        with server.refusing():
            outcome, run, _ = asked(server, tmp_path / "run.jsonl", attempts_limit=2)
        assert outcome.cause == "connection"
        assert names(run) == ["intent", "call_failed"] * 2
        assert server.count == 0
        assert asked(server, tmp_path / "other.jsonl")[0].text == GOOD


def post(url, content, statuses):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            statuses[content].append(response.status)
    except urllib.error.HTTPError as error:
        statuses[content].append(error.code)


def post_all(url, contents, statuses):
    for content in contents:
        post(url, content, statuses)


def test_the_same_seed_gives_the_same_faults_in_any_order():
    """What befalls the n-th arrival of a request depends on neither threads nor other requests; the rate is kept."""
    faults = {name: FAULTS[name] for name in ("unauthorized", "quota", "loading", "not-found")}

    def statuses(seed, order):
        found = {str(name): [] for name in range(30)}
        with ChatServer(random_faults(0.3, seed, GOOD, faults)) as server:
            threads = [
                threading.Thread(target=post_all, args=(server.url, some, found)) for some in (order, order[::-1])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert server.count == 60
            assert max(server.arrivals.values()) == 2
        return {name: sorted(codes) for name, codes in found.items()}

    names = [str(name) for name in range(30)]
    first = statuses(1, names)
    assert statuses(1, names[::-1]) == first
    assert statuses(2, names) != first
    failed = sum(code != 200 for codes in first.values() for code in codes)
    assert 6 <= failed <= 32


def test_a_rate_that_is_none_is_refused():
    """A rate is a probability."""
    with pytest.raises(ValueError, match="0 to 1"):
        random_faults(30, 0, GOOD)


def test_the_server_counts_what_it_would_have_billed():
    """Completions are billed by their tokens, also when they did not arrive; errors are not."""
    with ChatServer(
        [GOOD, FAULTS["closed-midway"](GOOD), FAULTS["quota"](GOOD), FAULTS["wrong-usage"](GOOD)]
    ) as server:
        client = OpenAIClient("m", server.url)
        for failed in (False, True, True, False):
            if failed:
                with pytest.raises(ModelError):
                    client.send(MESSAGES)
            else:
                client.send(MESSAGES)
        client.close()
        assert (server.bill.replies, server.bill.input_tokens, server.bill.output_tokens) == (3, 300, 60)
        assert server.bill.dollars(2.0, 8.0) == pytest.approx(300 * 2e-6 + 60 * 8e-6)
        assert server.served == 3
        assert server.arrivals == Counter({request_digest(server.bodies[0]): 4})


@pytest.mark.parametrize("limiter", [TokenBucket, FixedWindow, SlidingWindow])
def test_a_limiter_lets_its_rate_in(limiter):
    """Asked far more often, each lets in its rate over 20 seconds, and says how long to wait for the next."""
    limited = limiter(10)
    taken = waits = 0
    for step in range(20_000):
        wait = limited.admit(step / 1000)
        taken += wait is None
        waits += wait is not None and 0 < wait < 1.001
    assert 200 <= taken <= 211
    assert waits == 20_000 - taken


@pytest.mark.parametrize("told", [True, False])
def test_a_limited_server_answers_429(told):
    """Beyond the rate the answer is a 429, with `retry-after` in whole seconds unless switched off."""
    with ChatServer([GOOD], limiter=TokenBucket(1, 1), retry_after=told) as server:
        client = OpenAIClient("m", server.url)
        assert client.send(MESSAGES).text == GOOD
        with pytest.raises(ModelError) as caught:
            client.send(MESSAGES)
        client.close()
        assert (caught.value.cause, caught.value.retry_after) == ("rate-limit", 1.0 if told else None)
        assert (server.count, server.limited) == (2, 1)


def test_a_script_that_fails_is_told_to_the_client():
    """A script that raises is answered with 418 and its message; an unknown way to send is refused at once."""
    with ChatServer(lambda body, number: 1 / 0) as server:
        client = OpenAIClient("m", server.url)
        with pytest.raises(ModelError, match="ZeroDivisionError"):
            client.send(MESSAGES)
        client.close()
    with pytest.raises(ValueError, match="explode"):
        Answer(completion("x"), fault="explode")


def test_the_documented_example_runs(capsys):
    """The example of docs/models.md prints what its comments say."""
    page = (Path(genius_kit.__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    exec(code, {})
    said = [line.split("  # ")[1] for line in code.splitlines() if "print(" in line]
    assert capsys.readouterr().out.splitlines() == said
