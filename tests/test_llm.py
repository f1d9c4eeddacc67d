"""Clients: every fault a server can show, through a real server on loopback and the real openai package."""

import email.utils
import gc
import json
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from chat_server import MODEL, Answer, ChatServer, completion, error

from genius_kit.errors import InvalidParameter, JournalError, ModelError, ReplayMismatch
from genius_kit.llm import OpenAIClient, ReplayClient, Reply, Usage, schema_for
from genius_kit.spaces import SPACES, load_space

KEY = "sk-test-0123456789abcdef"
MESSAGES = [{"role": "system", "content": "Design."}, {"role": "user", "content": "Propose one, naïvely ✓."}]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask():
    """Return a function that sends one request to a server that gives `answer`, and returns (reply, server)."""
    opened = []

    def ask_once(answer, seed=None, **settings):
        with ChatServer([answer]) as server:
            client = OpenAIClient("gpt-4.1", server.url, **settings)
            opened.append(client)
            return client.send(MESSAGES, seed), server

    yield ask_once
    for client in opened:
        client.close()


@pytest.fixture
def fails(ask):
    """Return a function that does the same, demands a ModelError without the key in it, and returns it."""

    def failure(answer, **settings):
        with pytest.raises(ModelError) as caught:
            ask(answer, **settings)
        printed = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert KEY not in printed
        return caught.value

    return failure


# What is sent and what comes back


def test_a_good_reply_is_read_in_full(ask):
    """Text, model as served, finish reason, the four counts and the time are in the reply."""
    reply, server = ask(completion("[2, 2]", model="gpt-4.1-2025-04-14"))
    assert (reply.text, reply.model, reply.finish_reason) == ("[2, 2]", "gpt-4.1-2025-04-14", "stop")
    assert reply.usage == Usage(100, 40, 20, 5)
    assert 0 < reply.seconds < 5
    assert server.requests[0]["headers"]["authorization"] == f"Bearer {KEY}"


def test_only_parameters_that_were_set_are_sent(ask):
    """A plain client sends the model and the messages and nothing else."""
    _, server = ask("ok")
    assert server.bodies == [{"model": "gpt-4.1", "messages": MESSAGES}]


def test_every_parameter_that_was_set_is_sent(ask):
    """Seed 0 and temperature 0 are settings too; the schema goes as a strict response format."""
    schema = schema_for(load_space("nas-bench-macro"))
    _, server = ask("ok", seed=0, temperature=0, max_tokens=50, response_schema=schema, extra={"top_p": 0.5})
    body = server.bodies[0]
    assert (body["seed"], body["temperature"], body["max_tokens"], body["top_p"]) == (0, 0, 50, 0.5)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert body["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("body", "text", "finish_reason"),
    [
        (completion(None), None, "stop"),
        (completion("[2, 2", finish_reason="length"), "[2, 2", "length"),
        (completion("", finish_reason="content_filter"), "", "content_filter"),
        (completion("x", finish_reason=None), "x", "unknown"),
        (completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", "stop"),
        (completion({"a": 1}), None, "stop"),
    ],
    ids=["null", "length", "filter", "no-reason", "parts", "object"],
)
def test_an_odd_reply_is_still_a_reply(ask, body, text, finish_reason):
    """Whatever a paid answer holds is handed on: it is the parser's to judge."""
    reply, _ = ask(body)
    assert (reply.text, reply.finish_reason) == (text, finish_reason)


def test_a_refusal_is_kept(ask):
    """The refusal that a model sends beside its content is in the reply."""
    reply, _ = ask(completion(None, refusal="I cannot."))
    assert (reply.text, reply.refusal) == (None, "I cannot.")


def test_invalid_utf8_and_lone_surrogates_can_be_written(ask):
    """Broken signs are replaced, so that the paid reply can be kept as UTF-8."""
    broken = (
        json.dumps(completion("QQ \\ud83d [2]")).replace("\\\\ud83d", "\\ud83d").encode().replace(b"QQ", b"\xff\xfe")
    )
    reply, _ = ask(Answer(broken))
    assert reply.text == "\ufffd\ufffd \ufffd [2]"
    assert reply.text.encode()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": -1}, Usage(None, 40, 20, 5)),
        ({"prompt_tokens": "100"}, Usage(None, 40, 20, 5)),
        ({"completion_tokens": True}, Usage(100, 40, 20, 5)),
        ({"completion_tokens": 1.5, "total_tokens": None}, Usage(100, 40, None, 5)),
        ({"prompt_tokens_details": None}, Usage(100, None, 20, 5)),
        ({"prompt_tokens_details": {"cached_tokens": 101}}, Usage(100, None, 20, 5)),
        ({"completion_tokens_details": [3]}, Usage(100, 40, 20, None)),
    ],
)
def test_wrong_usage_figures_are_unknown(ask, usage, expected):
    """A figure that cannot be right is None and costs no reply."""
    assert ask(completion("x", usage=usage))[0].usage == expected


def test_missing_usage_and_model_are_unknown(ask):
    """A server that tells neither counts nor model gets a reply without them."""
    reply, _ = ask({"choices": [{"message": {"content": "x"}}]})
    assert reply == Reply("x", None, "unknown", Usage(), reply.seconds)


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "cause", "retryable"),
    [
        (Answer(error(f"Incorrect API key provided: {KEY}."), 401), "authentication", False),
        (Answer(error(f"{KEY} may not"), 403), "permission", False),
        (Answer(error("The model does not exist", code="model_not_found"), 404), "not-found", False),
        (Answer("<h1>Not Found</h1>", 404, content_type="text/html"), "not-found", False),
        (Answer(error("Rate limit reached", code="rate_limit_exceeded"), 429), "rate-limit", True),
        (Answer(error("Slow down"), 429, {"x-should-retry": "false"}), "rate-limit", False),
        (Answer(error("Request too large for gpt-4.1", code="rate_limit_exceeded"), 429), "request-too-large", False),
        (Answer(error("You exceeded your quota", code="insufficient_quota"), 429), "quota", False),
        (Answer(error("You exceeded your quota", type="insufficient_quota"), 429), "quota", False),
        (Answer(error("The server had an error"), 500), "server", True),
        (Answer(b"", 502), "server", True),
        (Answer("<html>Bad gateway</html>", 502, content_type="text/html"), "server", True),
        (Answer(error("Loading model", code=503, type="unavailable_error"), 503), "loading", True),
        (Answer(error("overloaded"), 503), "server", True),
        (Answer(error("not implemented"), 501), "server", False),
        (Answer(error("lock"), 409), "status-409", True),
        (Answer(error("teapot"), 418), "status-418", False),
        (Answer("", 307, {"Location": "http://127.0.0.1:9/"}), "redirect", False),
        (Answer(error("too long", code="context_length_exceeded"), 400), "context-overflow", False),
        (
            Answer(error("the request exceeds the available context size (4096)", code=400), 400),
            "context-overflow",
            False,
        ),
        (Answer(error("'max_tokens' is too large: maximum context length is 10"), 400), "context-overflow", False),
        (Answer(error("temperature must be at most 2", param="temperature"), 400), "bad-request", False),
        (Answer(error("Unknown role 'x'", param="messages[0].role"), 400), "bad-request", False),
        (Answer("nonsense", 400, content_type="text/plain"), "bad-request", False),
        (Answer(f"<html>{KEY}</html>", content_type="text/html"), "not-json", True),
        (Answer('{"choices": [{"mess'), "not-json", True),
        (Answer(b""), "not-json", True),
        (Answer("[" * 100_000), "not-json", True),
        (Answer('data: {"choices": []}\n\n', content_type="text/event-stream"), "not-json", True),
        (Answer(": still at work\n\n", content_type="text/event-stream"), "not-json", True),
        (Answer({"choices": []}), "no-choices", True),
        (Answer({"choices": None}), "no-choices", True),
        (Answer({"choices": ["x"]}), "no-message", True),
        (Answer("[]"), "no-choices", True),
        (Answer("null"), "not-json", True),
        (Answer({"choices": [{"text": "x"}]}), "no-message", True),
        (Answer(error(f"oops {KEY}")), "error-body", True),
        (Answer({"error": "oops"}), "error-body", True),
        (Answer(error("No auth", code=401)), "authentication", False),
        (Answer(completion("x" * 99), fault="cut"), "connection", True),
        (Answer(fault="close"), "connection", True),
        (Answer(completion("x"), headers={"Content-Encoding": "gzip"}), "connection", True),
    ],
    ids=lambda value: None if isinstance(value, Answer) else str(value),
)
def test_every_fault_has_its_cause(fails, answer, cause, retryable):
    """A fault of the server is one ModelError with its cause, whether to retry, and no key anywhere."""
    failure = fails(answer, temperature=0.5, max_tokens=9)
    assert (failure.cause, failure.retryable) == (cause, retryable)
    assert failure.parameter is None
    assert len(str(failure)) < 800


def test_the_key_is_hidden_before_the_message_is_cut(fails):
    """A key that straddles the cut of a long message leaves no piece behind."""
    failure = fails(Answer(error("y" * 390 + KEY), 401))
    assert "sk-test" not in str(failure)


def test_one_send_is_one_request():
    """The openai package's own retries are off: every attempt is the caller's."""
    with ChatServer(lambda body, number: Answer(error("busy"), 503)) as server:
        client = OpenAIClient("m", server.url)
        for expected in (1, 2):
            with pytest.raises(ModelError):
                client.send(MESSAGES)
            assert server.count == expected
        client.close()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "7", "Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_the_wait_that_the_server_asks_for_is_read(fails, headers, expected):
    """`retry-after` may be seconds, milliseconds, a date, nonsense or absent."""
    assert fails(Answer(error("slow down"), 429, headers)).retry_after == expected


def test_a_wait_until_a_date_is_the_seconds_left(fails):
    """A date in the future is turned into the seconds until then."""
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < fails(Answer(error("slow down"), 503, {"Retry-After": date})).retry_after <= 30


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        (error("Unsupported value: 'temperature' does not support 0 with this model.", code="unsupported_value",
               param="temperature"), 400, "temperature"),
        (error("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
               "instead.", code="unsupported_parameter", param="max_tokens"), 400, "max_tokens"),
        (error("Unrecognized request argument supplied: seed"), 400, "seed"),
        (error("Invalid parameter: 'response_format' of type 'json_schema' is not supported"), 400, "response_format"),
        (error("not supported", param="response_format.json_schema"), 400, "response_format"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]},
         422, "top_p"),
    ],
)  # fmt: skip
def test_a_parameter_that_the_server_refuses_can_be_dropped(body, status, parameter):
    """The error names the parameter, and the client without it sends everything else over the same connection."""
    with ChatServer([Answer(body, status), "ok"]) as server:
        client = OpenAIClient(
            "m", server.url, temperature=0, max_tokens=9, response_schema={"type": "object"}, extra={"top_p": 1}
        )
        with pytest.raises(ModelError) as caught:
            client.send(MESSAGES, seed=1)
        assert (caught.value.cause, caught.value.parameter) == ("unsupported-parameter", parameter)
        other = client.without(parameter)
        assert other.send(MESSAGES, seed=1).text == "ok"
        first, second = server.bodies
        assert first.keys() - second.keys() == {parameter}
        assert server.connections == 1
        assert parameter in other.settings()["dropped"]
        assert client.settings()["dropped"] == []
        client.close()


@pytest.mark.parametrize("fault", ["hang", "drip", "drip-headers"])
def test_the_deadline_holds_whatever_the_server_does(fails, fault):
    """Silence, or a byte now and then, ends at the total deadline; a body that has begun is not asked for again."""
    started = time.monotonic()
    failure = fails(Answer(completion("x" * 500), fault=fault), timeout=0.3)
    assert (failure.cause, failure.retryable) == ("timeout", fault != "drip")
    assert time.monotonic() - started < 10.0  # unbounded: 35 s; the first call also imports the openai package


def test_a_slow_reply_within_the_deadline_is_good(ask):
    """A reply that drips but ends in time is a reply, and its seconds say how long it took."""
    reply, _ = ask(Answer(completion("x"), fault="drip", drip_seconds=0.001), timeout=30)
    assert reply.text == "x"
    assert reply.seconds > 0.3


def test_a_server_that_is_down_is_a_connection_error():
    """Nobody listens: the message names the address and the next step."""
    with ChatServer() as server:
        url = server.url
    with pytest.raises(ModelError, match=re.escape(url)) as caught:
        OpenAIClient("m", url).send(MESSAGES)
    assert (caught.value.cause, caught.value.retryable) == ("connection", True)


def test_a_given_up_attempt_leaves_the_client_usable():
    """After a timeout the same client gets the next reply, not the late one."""
    with ChatServer([Answer(completion("late"), delay=1.0), "next"]) as server:
        client = OpenAIClient("m", server.url, timeout=0.5)
        with pytest.raises(ModelError):
            client.send(MESSAGES)
        assert client.send(MESSAGES).text == "next"
        client.close()


# Keys and addresses


def test_without_a_key_nothing_is_sent_to_openai(monkeypatch):
    """No key and no address: the error says what to type, and is not worth a retry."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="export OPENAI_API_KEY") as caught:
        OpenAIClient("gpt-4.1").send(MESSAGES)
    assert (caught.value.cause, caught.value.retryable) == ("no-key", False)


def test_a_server_on_this_machine_needs_no_key(monkeypatch, ask):
    """A loopback address gets a placeholder for a key."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    reply, server = ask("ok")
    assert reply.text == "ok"
    assert server.requests[0]["headers"]["authorization"] == "Bearer none"


def test_the_key_may_come_after_the_client(monkeypatch):
    """The key is read on first use, so a client can be made and shown without one, and tried again."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(["ok"]) as server:
        client = OpenAIClient("m", server.url.replace("127.0.0.1", "localhost"))
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        client.send(MESSAGES)
        assert server.requests[0]["headers"]["authorization"] == f"Bearer {KEY}"
        client.close()


@pytest.mark.parametrize("key", ["sk-test 0123", "sk-tést-0123", "sk-test\n0123"])
def test_a_garbled_key_is_refused_without_showing_it(monkeypatch, key):
    """A key that no header can carry is refused before the socket opens."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ModelError) as caught:
        OpenAIClient("m", "http://127.0.0.1:9/v1").send(MESSAGES)
    assert caught.value.cause == "no-key"
    assert key not in str(caught.value)


def test_the_address_may_come_from_the_environment(monkeypatch):
    """OPENAI_BASE_URL is used where no address is given."""
    with ChatServer(["ok"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        client = OpenAIClient("m")
        assert client.send(MESSAGES).text == "ok"
        assert client.settings()["base_url"] == server.url
        client.close()


def test_no_setting_holds_a_secret(monkeypatch):
    """The key, and a user, password or query in the address, are in no setting, repr or pickle."""
    url = f"http://someone:hunter22@127.0.0.1:9/v1?token={KEY}"  # pragma: allowlist secret
    client = OpenAIClient("m", url, extra={"metadata": {"note": f"made with {KEY}"}})
    shown = json.dumps(client.settings()) + repr(client)
    assert client.settings()["base_url"] == "http://127.0.0.1:9/v1"
    for secret in (KEY, "hunter22", "someone"):
        assert secret not in shown
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError) as caught:
        client.send(MESSAGES)
    assert "hunter22" not in str(caught.value)
    assert KEY.encode() not in pickle.dumps(OpenAIClient("m"))


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://host/v1", "http://", "http://[::1", "http://host:99999/v1", "x"]
)
def test_an_address_that_is_none_is_refused(url):
    """An address without http or host is refused when the client is made, with an example of a good one."""
    with pytest.raises(InvalidParameter, match="http://localhost:8080/v1"):
        OpenAIClient("m", url)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"api_key": "x"}},
        {"extra": {"stream": True}},
        {"extra": {"model": "x"}},
        {"timeout": 0},
        {"model": ""},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    """A secret or a reserved field among the extra fields, no time and no model are errors at once."""
    with pytest.raises(InvalidParameter):
        OpenAIClient(**{"model": "m", **settings})


# Threads, processes, start-up


@pytest.mark.alone
def test_threads_share_one_client():
    """Sixteen threads that wait at once take about one delay, over at most sixteen connections kept alive."""
    with ChatServer(lambda body, number: body["messages"][0]["content"], delay=0.3) as server:
        client = OpenAIClient("m", server.url)
        client.send([{"role": "user", "content": "warm"}])
        names = [str(number) for number in range(16)]
        started = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda name: client.send([{"role": "user", "content": name}]).text, names * 2))
        assert replies == names * 2
        assert time.monotonic() - started < 3.0  # one after the other: 9.6 s
        assert server.connections <= 16
        assert sum(thread.name == "genius-kit-calls" for thread in threading.enumerate()) >= 1
        client.close()


def test_a_pickled_client_opens_its_own_connection():
    """A client that went to another process answers there, and one that was closed opens again."""
    with ChatServer(["one", "two", "three"]) as server:
        client = OpenAIClient("m", server.url, temperature=0)
        assert client.send(MESSAGES).text == "one"
        copy = pickle.loads(pickle.dumps(client))
        assert copy.send(MESSAGES).text == "two"
        assert copy.settings() == client.settings()
        client.close()
        assert client.send(MESSAGES).text == "three"
        client.close()
        copy.close()


def call_threads():
    """Return the threads in which clients wait for servers."""
    return {thread for thread in threading.enumerate() if thread.name == "genius-kit-calls"}


def test_a_client_that_nobody_holds_ends_its_thread():
    """With the connections that it had open."""
    before = call_threads()
    with ChatServer(["one"]) as server:
        client = OpenAIClient("m", server.url)
        client.send(MESSAGES)
        (thread,) = call_threads() - before
        del client
        gc.collect()
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_client_that_is_closed_gives_up_what_it_waits_for():
    """The thread that asked is told, and does not wait for ever."""
    with ChatServer(["late"], delay=60) as server, ThreadPoolExecutor(1) as pool:
        client = OpenAIClient("m", server.url)
        asked = pool.submit(client.send, MESSAGES)
        while not server.connections:
            time.sleep(0.01)
        client.close()
        with pytest.raises(ModelError):
            asked.result(timeout=10)


def test_importing_and_replaying_load_no_openai():
    """Neither the import, nor a client that was not used, loads the openai package."""
    code = "import sys, genius_kit.llm as m; m.OpenAIClient('x').settings(); sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Constrained replies


@pytest.mark.parametrize("name", SPACES)
def test_the_schema_describes_the_space(name):
    """The schema is strict, and its options are those of the space."""
    space = load_space(name)
    schema = schema_for(space)
    form = schema["properties"]["architecture"]
    assert schema["additionalProperties"] is False
    if space.family == "cell":
        assert all(re.fullmatch(form["pattern"], space.encode(space.at(row))) for row in range(0, space.size, 97))
        assert not re.search(form["pattern"], space.encode(space.all_largest).replace("conv_3", "conv_5"))
    else:
        assert form["minItems"] == form["maxItems"] == space.length
        assert set(form["items"]["enum"]) == {option for options in space.choices for option in options}


@pytest.mark.parametrize("name", SPACES)
def test_a_constrained_reply_is_parsed(name):
    """A reply in the form of the schema is read by the parser as the architecture it names."""
    from genius_kit.replies import parse_reply

    space = load_space(name)
    for row in range(0, space.size, max(1, space.size // 50)):
        architecture = space.at(row)
        named = [options[value] for options, value in zip(space.choices, architecture, strict=True)]
        content = space.encode(architecture) if space.family == "cell" else named
        outcome = parse_reply(json.dumps({"architecture": content}), space)
        assert getattr(outcome, "architecture", outcome) == architecture


# Replay


def pair(question, answer):
    return [{"role": "user", "content": question}], Reply(answer, MODEL, "stop", Usage(1, 0, 2, 0), 0.5)


def journal(path, *calls, tail=b""):
    lines = [{"event": "run_started", "time": "2026-01-01T00:00:00Z", "run": {}}]
    for number, (messages, reply) in enumerate(calls):
        usage = vars(reply.usage)
        lines.append({"event": "intent", "iteration": number})
        lines.append({"event": "call", "iteration": number, "messages": messages, **vars(reply), "usage": usage})
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + tail)
    return path


def test_a_replay_gives_the_recorded_replies_in_order():
    """Each recorded prompt gets its reply, and one more than were recorded is refused."""
    client = ReplayClient([pair("a", "1"), pair("b", "2")])
    assert client.send(pair("a", "")[0], seed=5).text == "1"
    assert client.without("temperature").send(pair("b", "")[0]).text == "2"
    with pytest.raises(ReplayMismatch, match="all 2 replies"):
        client.send(pair("c", "")[0])


def test_a_strict_replay_names_the_first_difference():
    """Call, message, role, place and both texts are named, and the place in the recording is kept."""
    client = ReplayClient([([*MESSAGES], Reply("1", MODEL, "stop"))])
    changed = [MESSAGES[0], {"role": "user", "content": "Propose two, naïvely ✓."}]
    with pytest.raises(ReplayMismatch, match=r"call 1 of 1.*message 2 \(user\) differs at character 8.*one.*two"):
        client.send(changed)
    with pytest.raises(ReplayMismatch, match="message 1 is of 'user', recorded was 'system'"):
        client.send(MESSAGES[1:])
    with pytest.raises(ReplayMismatch, match="2 messages were recorded, 1 are sent"):
        client.send(MESSAGES[:1])
    assert client.send(MESSAGES).text == "1"
    assert client.mismatches == 0


def test_a_loose_replay_counts_the_differences():
    """Without `strict` the next reply is given and the mismatch counted; the end is still an error."""
    client = ReplayClient([pair("a", "1"), pair("b", "2")], strict=False)
    assert [client.send(pair(question, "")[0]).text for question in "xb"] == ["1", "2"]
    assert client.mismatches == 1
    with pytest.raises(ReplayMismatch):
        client.send([])


def test_a_journal_is_replayed(tmp_path):
    """Replies of a journal come back whole: text, model, counts, seconds, refusal."""
    calls = pair("a", None), pair("b", "2")
    client = ReplayClient.from_journal(journal(tmp_path / "run.jsonl", *calls))
    assert [client.send(messages) for messages, _ in calls] == [reply for _, reply in calls]
    assert client.model == MODEL
    assert client.kind == "replay"
    assert json.dumps(client.settings())


def test_a_torn_last_line_is_left_out_at_every_cut(tmp_path):
    """A journal cut anywhere in its last call replays the calls before it."""
    whole = journal(tmp_path / "run.jsonl", pair("a", "1"), pair("ä", "2")).read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(whole) - 1):
        (tmp_path / "cut.jsonl").write_bytes(whole[:cut])
        client = ReplayClient.from_journal(tmp_path / "cut.jsonl")
        assert client.send(pair("a", "")[0]).text == "1"
        with pytest.raises(ReplayMismatch, match="all 1 replies"):
            client.send(pair("ä", "")[0])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "no journal"),
        (b"", "no reply"),
        (b'{"event": "run_started"}\n', "no reply"),
        (b'{"event": \n{"event": "call", "messages": [], "text": "x"}\n', "line 1"),
        (b'{"event": "call", "text": "x"}\n', "line 1"),
        (b'{"event": "call", "messages": [{"role": "user"}], "text": "x"}\n', "line 1"),
        (b'{"event": "call", "messages": [], "text": 3}\n', "line 1"),
        (b"\xff\xfe\n{}\n", "line 1"),
    ],
)
def test_a_journal_that_cannot_be_replayed_is_refused(tmp_path, content, named):
    """Missing, empty and damaged journals are errors that name the file or the line."""
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JournalError, match=named):
        ReplayClient.from_journal(path)


def test_threads_share_a_replay():
    """Each reply is given once, whatever number of threads asks."""
    client = ReplayClient([pair("a", str(number)) for number in range(200)])
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: client.send(pair("a", "")[0]).text, range(200)))
    assert sorted(texts, key=int) == [str(number) for number in range(200)]


def test_the_turns_of_a_conversation_are_replayed():
    """Anything with messages and a reply can be replayed; counts that nobody recorded are unknown."""

    class Turn:
        messages = MESSAGES
        reply = "[1, 2]"

    reply = ReplayClient.from_turns([Turn()]).send(MESSAGES)
    assert (reply.text, reply.model, reply.usage) == ("[1, 2]", "gpt-4", Usage())
