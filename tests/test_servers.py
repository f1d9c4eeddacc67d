"""What servers of today do beside OpenAI's protocol, each as it was reported, against a server on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import MODEL, Answer, ChatServer, completion, error
from doubles import ToyBenchmark
from resuming import assert_resumes_alike

import genius_kit as gk
from genius_kit.budget.amounts import Limits
from genius_kit.cli.data import findings, server_finding
from genius_kit.errors import ModelError
from genius_kit.journal import Journal, Run, read_run
from genius_kit.llm import OpenAIClient
from genius_kit.llm.calls import LONGEST_WAIT_SECONDS, REFUSALS_LIMIT, Caller
from genius_kit.llm.http_errors import SYSTEM_ROLE, decoded, retry_after_seconds, status_failure
from genius_kit.llm.session import Session

KEY = "sk-test-0123456789abcdef"
MESSAGES = [{"role": "system", "content": "Design."}, {"role": "user", "content": "Propose one."}]
LIMIT_REFUSED = error(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    code="unsupported_parameter",
    param="max_tokens",
)
NO_FORMAT = error("This response_format type is unavailable now")
NO_SYSTEM = {"error": {"code": 500, "message": "Jinja Exception: System role not supported", "type": "server_error"}}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(f'[models."{MODEL}"]\ninput = 1\noutput = 10\n', encoding="utf-8")
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """Return a completion whose architecture depends on the words of the request alone, and counts its tokens."""
    words = "".join(message["content"] for message in body["messages"])
    digits = hashlib.sha256(words.encode()).digest()[:8]
    listed = "Architecture: [" + ", ".join(str(byte % 3) for byte in digits) + "]"
    return completion(listed, usage={"prompt_tokens": len(words) // 4})


def strict(body: dict[str, Any], number: int) -> Any:
    """Refuse the usual name of the limit, then the schema, then the system role."""
    if "max_tokens" in body:
        return Answer(LIMIT_REFUSED, 400)
    if "response_format" in body:
        return Answer(NO_FORMAT, 400)
    if any(message["role"] == "system" for message in body["messages"]):
        return Answer(NO_SYSTEM, 500)
    return reply(body)


def run(server: ChatServer, budget: int = 2, journal: Path | None = None, **settings: Any) -> Run:
    """Search with a model of the server."""
    limits = settings.pop("limits", None)
    made = gk.make_proposer("llm", ToyBenchmark().space, model=MODEL, base_url=server.url, **settings)
    try:
        return gk.search(ToyBenchmark(), made, budget, seed=1, journal=journal, progress=False, limits=limits)
    finally:
        made.client.close()


def asked(server: ChatServer, path: Path, **settings: Any) -> tuple[Any, Run, list[float]]:
    """Send one request through a journal; return the reply or the error, the run, and the waits."""
    client, waits = OpenAIClient("m", server.url, **settings), []
    client.pace = None  # type: ignore[assignment]  # the waits of the request alone, which are not slept
    try:
        with Journal(path) as journal:
            try:
                outcome: Any = Caller(client, Session(journal), sleep=waits.append).ask(MESSAGES, 1)
            except ModelError as failure:
                outcome = failure
    finally:
        client.close()
    return outcome, read_run(path), [seconds for seconds in waits if seconds]


# What a server refuses of a request


def test_what_is_refused_is_left_out_for_the_whole_run_and_recorded_once(prices: None) -> None:
    """Limit under its other name, no schema, system words with the user's: three refusals, then only replies."""
    with ChatServer(strict) as server:
        done = run(server, max_tokens=50, constrained_replies=True, limits=Limits(dollars=1))
        assert all(body.get("max_tokens", body.get("max_completion_tokens")) == 50 for body in server.bodies)
        last = server.bodies[-1]
    refusals = done.of("call_failed")
    assert [(one["cause"], one["parameter"], one.get("instead")) for one in refusals] == [
        ("unsupported-parameter", "max_tokens", "max_completion_tokens"),
        ("unsupported-parameter", "response_format", None),
        ("unsupported-parameter", SYSTEM_ROLE, "user message"),
    ]
    assert [one["spent"] for one in refusals] == [{}, {}, {}]
    assert done.finished
    assert "response_format" not in last
    recorded = done.of("call")[-1]["messages"]
    assert recorded[0]["role"] == "system"
    assert last["messages"][0] == {"role": "user", "content": "\n\n".join(one["content"] for one in recorded[:2])}


def test_a_run_whose_requests_were_adapted_resumes_to_the_same_run(prices: None, tmp_path: Path) -> None:
    """Cut after any event, the resumed run has the events of the whole one, and asks for nothing that is on record."""
    with ChatServer(strict) as server:

        def start(path: Path, answers: int) -> Run:
            begun = server.count
            done = run(server, journal=path, max_tokens=50, constrained_replies=True)
            sent = [body for body in server.bodies[begun:] if "response_format" not in body]
            assert sum(all(one["role"] != "system" for one in body["messages"]) for body in sent) == 2 - answers
            return done

        assert_resumes_alike(tmp_path, start)


def test_a_limit_that_was_dropped_in_an_old_journal_stays_dropped(tmp_path: Path) -> None:
    """Before limits were kept, a refused one was left out: such a run goes on as it began."""
    path = tmp_path / "old.jsonl"
    with ChatServer(["ok", "ok"]) as server:
        client = OpenAIClient("m", server.url, max_tokens=9)
        with Journal(path) as journal:
            before = Caller(client, Session(journal))
            digest = before._question(MESSAGES, 1, None, None).digest
            journal.record("intent", iteration=1, request=digest)
            fields = {"message": "no max_tokens", "retryable": False, "retry_after": None, "parameter": "max_tokens"}
            journal.record("call_failed", iteration=1, cause="unsupported-parameter", **fields)
        with Journal(path) as journal:
            assert Caller(client, Session(journal)).ask(MESSAGES, 1).text == "ok"
        assert server.bodies == [{"model": "m", "messages": MESSAGES}]
        client.close()


def test_a_server_that_takes_neither_name_of_the_limit_ends_the_run(tmp_path: Path) -> None:
    """A limit is never dropped silently; the error says to leave it out, and the same call again asks anew."""

    def refuses(body: dict[str, Any], number: int) -> Answer:
        name = next(name for name in body if name.startswith("max_"))
        return Answer(error(f"Unrecognized request argument supplied: {name}"), 400)

    with ChatServer(refuses) as server:
        failure, _, _ = asked(server, tmp_path / "a.jsonl", max_tokens=9)
        assert server.count == 2
        assert (failure.cause, failure.parameter) == ("unsupported-parameter", "max_completion_tokens")
        asked(server, tmp_path / "a.jsonl", max_tokens=9)
        assert server.count == 3


SYSTEM_WORDS = {
    "OpenAI": (400, error("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                          param="messages[0].role", code="unsupported_value")),
    "Gemini": (400, [{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b",
                                "status": "INVALID_ARGUMENT"}}]),
    "vLLM": (400, {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400}),
    "vLLM Mistral": (400, {"object": "error", "message": "Conversation roles must alternate user/assistant/user/...",
                           "type": "BadRequestError", "param": None, "code": 400}),
    "LM Studio": (400, {"error": "Error rendering prompt with jinja template: \"Only user and assistant roles are "
                                 "supported!\"."}),
    "llama.cpp": (500, NO_SYSTEM),
    "pydantic": (422, {"detail": [{"type": "literal_error", "loc": ["body", "messages", 0, "role"],
                                   "msg": "Input should be 'user' or 'assistant'", "input": "system"}]}),
    "OpenRouter, status 200": (200, {"error": {"code": 400, "message": "System messages are not supported"}}),
    "Bedrock": (400, {"message": "This model doesn't support system messages. Try again without a system message."}),
    "OpenRouter": (400, {"error": {"code": 400, "message": "Provider returned error", "metadata": {
        "raw": '{"error": {"message": "\'messages[0].role\' does not support \'system\' with this model"}}'}}}),
}  # fmt: skip
FORMAT_WORDS = {
    "DeepSeek": (400, NO_FORMAT),
    "DeepSeek older": (422, "Failed to deserialize the JSON body into the target type: response_format: "
                            "response_format.type `json_schema` is unavailable now at line 1 column 12440"),
    "Groq": (400, error("This model does not support response format `json_schema`.")),
    "xAI": (400, {"code": "Client specified an invalid argument",
                  "error": "The response_format parameter is unsupported at the moment. Leave it unset."}),
    "Gemini": (400, [{"error": {"code": 400, "message": "JSON mode is not enabled for this model"}}]),
    "OpenAI": (400, error("Invalid schema for response_format 'architecture': 'minItems' is not permitted.",
                          param="response_format")),
    "Mistral": (400, error("Structured outputs are not supported by this model")),
    "LM Studio": (400, {"error": "'response_format.type' must be 'json_object' or 'text'"}),
    "llama.cpp": (400, {"error": {"code": 400, "message": "Failed to initialize samplers: std::exception"}}),
    "vLLM": (500, {"message": "Failed to compile grammar: The provided JSON schema contains features not supported"}),
    "OpenRouter": (404, {"error": {"code": 404, "message": "No endpoints found that can handle the requested "
                                                          "parameters."}}),
    "plain": (400, "json_schema is not supported"),
    "words of its own": (400, {"detail": "Constrained decoding is off on this host"}),
}  # fmt: skip


@pytest.mark.parametrize("words", SYSTEM_WORDS)
def test_a_refused_system_role_is_known_by_any_of_its_words(tmp_path: Path, words: str) -> None:
    """The words of the system message begin the user's, and the request is sent once more."""
    status, body = SYSTEM_WORDS[words]
    with ChatServer([Answer(json.dumps(body), status), "ok", "ok"]) as server:
        outcome, record, _ = asked(server, tmp_path / "a.jsonl", temperature=0.5)
        assert outcome.text == "ok"
        assert server.bodies[1]["messages"] == [{"role": "user", "content": "Design.\n\nPropose one."}]
        assert server.bodies[1]["temperature"] == 0.5
    assert record.of("call_failed")[0]["parameter"] == SYSTEM_ROLE


@pytest.mark.parametrize("words", FORMAT_WORDS)
def test_a_refused_schema_is_known_by_any_of_its_words(tmp_path: Path, words: str) -> None:
    """The request is sent once more without it."""
    status, body = FORMAT_WORDS[words]
    sent = body if isinstance(body, str) else json.dumps(body)
    with ChatServer([Answer(sent, status), "ok"]) as server:
        outcome, record, _ = asked(server, tmp_path / "a.jsonl", response_schema={"type": "object"}, temperature=0.5)
        assert outcome.text == "ok"
        assert server.bodies[0].keys() - server.bodies[1].keys() == {"response_format"}
    assert record.of("call_failed")[0]["parameter"] == "response_format"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("temperature must be at most 2", param="temperature")),
        (400, error("Unknown role 'x'", param="messages[0].role")),
        (500, error("An unexpected system error occurred. The message was logged.")),
        (500, error("The server had an error while processing your request. Sorry about that!")),
        (404, error("The model `gpt-9` does not exist", code="model_not_found")),
        (404, {"error": {"message": "No endpoints found for some/model", "code": 404}}),
        (503, error("Our systems are overloaded, not available right now")),
        (400, error("This model's maximum context length is 10 tokens, response_format included")),
    ],
)
def test_other_errors_are_no_refusal_of_a_part(status: int, body: Any) -> None:
    """Words that only remind of one leave the request as it is."""
    sent = ("temperature", "max_tokens", "response_format", SYSTEM_ROLE)
    failure = status_failure(status, body, {}, server="http://s/v1", model="m", sent=sent)
    assert failure.parameter is None
    assert failure.cause != "unsupported-parameter"


# How long to wait


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}}, 34),
        ([{"error": {"message": "Please retry in 34.074824224s.", "details": [{"retryDelay": "34.07s"}]}}], 34.07482),
        (error("Rate limit reached for gpt-4o on tokens per min (TPM). Please try again in 644ms."), 0.644),
        (error("Limit 7000, Used 6148. Please try again in 1m0.363142857s. Visit https://console.groq.com"), 60.36314),
        (error("Please try again in 1m3s."), 63),
        (error("Requests have exceeded the rate limit. Please retry after 26 seconds."), 26),
        (error("Try again in 2 minutes"), 120),
        (error("tokens per day (TPD). Please try again in 9m38.016s."), 578.016),
        (error("Please try again in 1h2m3s"), 3723),
        (error("Please try again in 20 messages"), None),
        (error("You sent 20s of audio"), None),
        ("", None),
    ],
)
def test_a_wait_in_the_words_of_the_answer_is_read(body: Any, seconds: float | None) -> None:
    """Where no header tells it."""
    failure = status_failure(429, body, {}, server="http://s/v1", model="m", sent=())
    assert failure.retry_after == (None if seconds is None else pytest.approx(seconds, abs=1e-4))


def test_a_header_is_believed_before_the_words() -> None:
    """A header that is none leaves the words."""
    assert retry_after_seconds({"retry-after": "7"}, "try again in 20s") == 7
    assert retry_after_seconds({"retry-after": "soon"}, "try again in 20s") == 20
    assert retry_after_seconds({"retry-after": "inf"}, "try again in 20s") == 20


@pytest.mark.parametrize("asked_for", [None, "0", "1", "20"])
def test_rate_limits_are_waited_for_through_two_windows(tmp_path: Path, asked_for: str | None) -> None:
    """Two minutes at least, whatever wait the server names; nothing of it counts as an attempt that was paid."""
    headers = {} if asked_for is None else {"Retry-After": asked_for}
    with ChatServer(lambda body, number: Answer(error("Slow down"), 429, headers)) as server:
        failure, record, waits = asked(server, tmp_path / "a.jsonl")
        assert server.count == REFUSALS_LIMIT
    assert failure.cause == "rate-limit"
    assert 120 <= sum(waits) < 300
    assert len(record.of("call_failed")) == REFUSALS_LIMIT


def test_a_rate_limit_takes_no_attempt_from_other_failures(tmp_path: Path) -> None:
    """Five rate limits and five failures of the server, then the reply."""
    answers = [Answer(error("Slow down"), 429), Answer(error("busy"), 500)] * 5
    with ChatServer([*answers, "ok"]) as server:
        assert asked(server, tmp_path / "a.jsonl")[0].text == "ok"


def test_a_wait_that_is_too_long_ends_the_run_resumable(tmp_path: Path) -> None:
    """A day's quota: the run ends at once, and resumes when asked again."""
    words = f"Please try again in {LONGEST_WAIT_SECONDS + 1:g}s"
    with ChatServer([Answer(error(words), 429), "ok"]) as server:
        failure, _, waits = asked(server, tmp_path / "a.jsonl")
        assert (failure.cause, waits) == ("rate-limit", [])
        assert asked(server, tmp_path / "a.jsonl")[0].text == "ok"


# Addresses


def test_a_query_of_the_address_goes_with_each_request_and_is_not_printed() -> None:
    """Azure's api-version, and a key, arrive with the path where it belongs; settings and errors show neither."""
    with ChatServer(["ok", Answer(error("no"), 403)]) as server:
        client = OpenAIClient("m", f"{server.url}?api-version=2026-01-01&code=hush-hush-0123")
        assert client.send(MESSAGES).text == "ok"
        with pytest.raises(ModelError) as caught:
            client.send(MESSAGES)
        client.close()
        path = "/v1/chat/completions?api-version=2026-01-01&code=hush-hush-0123"
        assert [request["path"] for request in server.requests] == [path, path]
        assert client.settings()["base_url"] == server.url
    assert "hush-hush" not in str(caught.value) + repr(client)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (f"https://me:{'hush-hush-01'}@example.org/v1/chat/completions?token=hush-hush-02", "https://example.org/v1"),
        ("/login?next=%2Fv1", "/login"),
        ("http://[broken", None),
    ],
)
def test_a_redirect_names_its_target(location: str, shown: str | None) -> None:
    """Without what an address hides."""
    with ChatServer([Answer("", 302, {"Location": location})]) as server:
        client = OpenAIClient("m", server.url)
        with pytest.raises(ModelError) as caught:
            client.send(MESSAGES)
        client.close()
    assert caught.value.cause == "redirect"
    assert "hush-hush" not in str(caught.value)
    target = server.url.removesuffix("/v1") + shown if shown and shown.startswith("/") else shown
    assert f"It redirects to {target or 'another address'}: set the base URL to" in str(caught.value)


class SecureServer(ChatServer):
    """The same over https, with a certificate that no authority knows."""

    def __init__(self, folder: Path, script: Sequence[Any]) -> None:
        super().__init__(script)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of this machine."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"), "-days", "2"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*new, *made, *names], check=True, capture_output=True)
    return tmp_path


def test_a_certificate_of_ones_own_is_trusted_by_its_file(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SSL_CERT_FILE the error names it and is not tried again; with it the reply comes."""
    with SecureServer(certificate, ["ok"]) as server:
        client = OpenAIClient("m", server.url)
        with pytest.raises(ModelError, match="SSL_CERT_FILE") as caught:
            client.send(MESSAGES)
        assert (caught.value.cause, caught.value.retryable) == ("connection", False)
        client.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "missing.pem"))
        with pytest.raises(ModelError, match=r"missing\.pem"):
            client.send(MESSAGES)
        client.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        assert client.send(MESSAGES).text == "ok"
        client.close()


def test_doctor_asks_as_runs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is not for this machine; what the server says is told when it refuses."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ChatServer(models=["llama"]) as server:
        assert dict(findings(server.url))["server"] == f"answers at {server.url}; models: llama"
    with ChatServer(models=None) as server:
        assert "answered 404: not found" in server_finding(server.url)
    assert "is not the address of a server" in server_finding("localhost")


# What comes back


CHUNKS = [
    {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "model": "m-1"},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]},
    {"choices": [{"index": 0, "delta": {"content": "[2, "}}]},
    {"choices": [{"index": 0, "delta": {"content": "2]"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
]


def stream(bodies: Sequence[Any], end: str = "\n\n") -> str:
    return "".join(f"data: {json.dumps(body)}{end}" for body in bodies) + f"data: [DONE]{end}"


@pytest.mark.parametrize(
    "sent",
    [
        "\ufeff" + json.dumps(completion("[2, 2]")),
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + json.dumps(completion("[2, 2]")),
        "\n\n   \n" + json.dumps(completion("[2, 2]")),
        "data: " + json.dumps(completion("[2, 2]")) + "\n\n",
        ": ping\n\ndata: : keepalive\n\ndata:\n\n" + stream([completion("[2, 2]")]),
        stream(CHUNKS),
        stream(CHUNKS, "\r\n\r\n"),
        "event: message\nid: 1\n" + stream(CHUNKS),
        "data:\n" + json.dumps(completion("[2, 2]"), indent=1),
        ": ping\n" + json.dumps(completion("[2, 2]", refusal="\u2028"), ensure_ascii=False),
    ],
    ids=["bom", "comments", "blank", "data", "keepalive", "chunks", "crlf", "named", "lines", "separator"],
)
def test_a_completion_is_read_however_it_is_sent(sent: str) -> None:
    """Marks, comments and events around the JSON cost no paid reply."""
    with ChatServer([Answer(sent.encode(), content_type="text/event-stream", tokens=(7, 3))]) as server:
        client = OpenAIClient("m", server.url)
        got = client.send(MESSAGES)
        client.close()
    assert (got.text, got.finish_reason) == ("[2, 2]", "stop")
    assert got.usage.output_tokens in (3, 20)


def test_an_error_in_a_stream_is_an_error() -> None:
    """Whatever came before it."""
    with ChatServer([Answer(stream([*CHUNKS[:4], error("The engine is overloaded.", type="server_error")]))]) as server:
        client = OpenAIClient("m", server.url)
        with pytest.raises(ModelError, match="overloaded") as caught:
            client.send(MESSAGES)
        client.close()
    assert (caught.value.cause, caught.value.retryable) == ("error-body", True)


def test_pieces_of_tool_calls_are_joined() -> None:
    """By their index, with the arguments end to end."""
    pieces: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    ]
    whole = decoded(stream([{"choices": [{"index": 0, "delta": piece}]} for piece in pieces]))
    first, second = whole["choices"][0]["message"]["tool_calls"]
    assert (first["id"], first["function"]) == ("a", {"name": "f", "arguments": '{"x":1}'})
    assert (second["id"], second["function"]) == ("b", {"name": "g", "arguments": "{}"})


@pytest.mark.parametrize(
    ("answer", "attempts", "cause"),
    [
        (Answer("<html>Please log in.</html>", content_type="text/html"), 2, "not-json"),
        (Answer({"choices": []}), 2, "no-choices"),
        (Answer({"error": "invalid model: m"}), 1, "not-found"),
        (Answer(error("The model `m` does not exist", type="not_found_error")), 1, "not-found"),
        (Answer(error("No auth", code="401")), 1, "authentication"),
        (Answer(error("The engine is overloaded.", type="server_error")), 6, "error-body"),
        (Answer(error("wrong"), 400), 1, "bad-request"),
        (Answer(error("Insufficient Balance"), 402), 1, "quota"),
        (Answer(error("busy"), 500), 6, "server"),
        (Answer({"choices": [{"error": {"code": 502}, "message": {"content": ""}}]}), 6, "server"),
        (Answer(error("capacity exceeded"), 498), 6, "status-498"),
        (Answer(error("Your credit balance is too low to access the API."), 400), 1, "quota"),
        (Answer(error("Suspended", type="exceeded_current_quota_error"), 429), 1, "quota"),
        (Answer([error("Quota exceeded, limit: 0, model: m")], 429), 1, "quota"),
        (Answer(error("The input token count (12) exceeds the maximum"), 400), 1, "context-overflow"),
        (Answer("<html>413 Request Entity Too Large</html>", 413), 1, "request-too-large"),
        (Answer(error("Request too large for model `m`, tokens per minute"), 413), 1, "request-too-large"),
    ],
    ids=lambda value: None if isinstance(value, Answer) else str(value),
)
def test_what_cannot_change_is_not_asked_again_and_again(
    tmp_path: Path, answer: Answer, attempts: int, cause: str
) -> None:
    """The same page twice is enough; an error that names its reason is enough once; a passing fault is waited for."""
    with ChatServer(lambda body, number: answer) as server:
        failure, record, _ = asked(server, tmp_path / "a.jsonl")
        assert server.count == attempts
    assert failure.cause == cause
    assert record.of("call_failed")[-1]["retryable"] == (attempts == 6)


def test_a_bad_request_says_what_to_change() -> None:
    """A content filter or a wrong name is no setting of the model; the server's own full stop is not doubled."""
    body = error("The response was filtered.", code="content_filter", param="prompt")
    failure = status_failure(400, body, {}, server="http://s/v1", model="m", sent=())
    assert str(failure) == (
        "http://s/v1 answered 400: The response was filtered. The server's content filter refuses the prompt: change "
        "the prompt, or use another model or server"
    )
    failure = status_failure(400, error("invalid model ID"), {}, server="http://s/v1", model="m", sent=())
    assert str(failure).endswith("Check the model name ('m') and the base URL, which usually ends in /v1")


@pytest.mark.parametrize("status", [401, 402])
def test_a_request_that_was_turned_away_leaves_nothing_reserved(prices: None, tmp_path: Path, status: int) -> None:
    """No key and no credit: what the attempt may have cost is nothing, so a small limit lasts."""
    path = tmp_path / "a.jsonl"
    with ChatServer([Answer(error("no"), status), reply]) as server:
        for _ in range(2):
            server.script.appendleft(Answer(error("no"), status))
            with pytest.raises(ModelError):
                run(server, 1, path, max_tokens=50, limits=Limits(dollars=0.05))
    failures = read_run(path).of("call_failed")
    assert [one["spent"] for one in failures] == [{}, {}]


# A prompt that was cut


@pytest.fixture
def said() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def cuts(said: Sequence[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in said if "cut the prompt" in str(one.message)]


def test_a_prompt_that_the_server_cut_is_on_record_and_said_once(
    tmp_path: Path, said: list[warnings.WarningMessage]
) -> None:
    """Ollama's way: a context of 2,048 tokens keeps half, and the only sign is the count."""

    def cutting(body: dict[str, Any], number: int) -> Any:
        return completion(reply(body)["choices"][0]["message"]["content"], usage={"prompt_tokens": 128})

    with ChatServer(cutting) as server:
        done = run(server, 3, tmp_path / "a.jsonl")
        run(server, 3, tmp_path / "a.jsonl")
    assert [event["prompt_cut"] for event in done.of("call")] == [True] * len(done.of("call"))
    (told,) = cuts(said)
    assert "counted 128 tokens for a prompt of" in told


def test_a_prompt_that_arrived_whole_is_not_said_to_be_cut(said: list[warnings.WarningMessage]) -> None:
    """Four or six characters per token are what tokenizers make of prose, and no count says nothing."""
    for characters in (4, 6):

        def counting(body: dict[str, Any], number: int, each: int = characters) -> Any:
            answer = reply(body)
            words = sum(len(message["content"]) for message in body["messages"])
            return {**answer, "usage": {**answer["usage"], "prompt_tokens": words // each}}

        with ChatServer(counting) as server:
            done = run(server)
        assert not any("prompt_cut" in event for event in done.of("call"))
    with ChatServer(lambda body, number: {**reply(body), "usage": None}) as server:
        run(server)
    assert not cuts(said)
