"""Addresses and keys: which server gets the key, and that what an address hides is stored nowhere and works.

The attacker is a server on loopback, named by a journal that came from somebody else.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import MODEL, ChatServer
from doubles import ToyBenchmark
from test_servers import reply

import genius_kit as gk
from genius_kit.cli.data import server_finding
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.journal import Run
from genius_kit.llm import OpenAIClient
from genius_kit.llm.connection import own_address, recorded_address
from genius_kit.studies.file import load_study

KEY = "sk-of-the-user-0123456789"
HIDDEN = ("us", "pw", "q7")
"""User, password and query of an address: too short to be looked for by what they are."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
    return reply(body)


def with_hidden(url: str) -> str:
    """Return an address with a user, a password and a query."""
    return f"http://us:pw@{url.removeprefix('http://')}?code=q7"  # pragma: allowlist secret


def search(url: str | None, journal: Path | None, budget: int = 3, **more: Any) -> Run:
    made = gk.make_proposer("llm", ToyBenchmark().space, model=MODEL, base_url=url, **more)
    try:
        return gk.search(ToyBenchmark(), made, budget, seed=1, journal=journal, progress=False)
    finally:
        made.client.close()


def unfinished(tmp_path: Path, server: ChatServer, url: str | None = None) -> Path:
    """Return the journal of a search that a crash cut after its first evaluation."""
    path, benchmark = tmp_path / "a.jsonl", gk.load_benchmark("nas-bench-macro")
    made = gk.make_proposer("llm", benchmark.space, model=MODEL, base_url=url or server.url)
    gk.search(benchmark, made, 2, seed=1, journal=path, progress=False)
    made.client.close()
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if json.loads(line)["event"] == "intent")
    path.write_bytes(b"".join(lines[:last]))
    server.requests.clear()
    return path


# Which server gets the key


def test_a_journal_of_somebody_else_gets_no_key(tmp_path: Path, data_home: Path) -> None:
    """It names the attacker's server: nothing is sent there before the user names it, and the error says how."""
    with ChatServer(answer) as attacker:
        path = unfinished(tmp_path, attacker)
        with pytest.raises(InvalidParameter, match=f"your key would go to it.*--base-url {attacker.url}"):
            gk.resume(path)
        assert attacker.count == 0


@pytest.mark.parametrize("named", ["by the environment", "by the caller", "without a key"])
def test_a_journal_goes_on_where_its_server_is_this_user_s(
    named: str, tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_BASE_URL names it, or --base-url does, or there is no key that could be sent."""
    with ChatServer(answer) as server:
        path = unfinished(tmp_path, server)
        if named == "by the environment":
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        elif named == "without a key":
            monkeypatch.delenv("OPENAI_API_KEY")
        assert gk.resume(path, base_url=server.url if named == "by the caller" else None).finished
        sent = {request["headers"]["authorization"] for request in server.requests}
    assert sent == {"Bearer none" if named == "without a key" else f"Bearer {KEY}"}


def test_only_the_very_server_of_the_journal_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is refused, and so is one beside the environment that the journal relied on."""
    openai = "https://api.openai.com/v1"
    assert own_address(None) is None
    assert own_address(openai) == openai
    for recorded, given in (
        ("https://evil.example/v1", openai),
        (openai, "https://evil.example/v1"),
        (None, "http://x"),
    ):
        with pytest.raises(InvalidParameter, match="--base-url"):
            own_address(recorded, given)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://mine.example/v1")
    with pytest.raises(InvalidParameter, match="your key would go to it"):
        own_address("https://mine.example.evil.example/v1")


def test_a_remote_server_without_encryption_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.warns(UserWarning, match="without encryption"):
        OpenAIClient("m", "http://models.example/v1")
    for url in ("http://127.0.0.1:9/v1", "http://localhost:9/v1", "https://models.example/v1"):
        OpenAIClient("m", url)
    assert not recwarn.list


# What an address hides


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://u@h/v1", "http://[key]@h/v1"),
        ("http://u:p@h/v1?a=b&api-version=1#f", "http://[key]@h/v1?[key]"),
        ("http://u:p@q@h/v1", "http://[key]@h/v1"),
        ("http://h/v1?", "http://h/v1?[key]"),
        (None, None),
    ],
)
def test_an_address_is_masked_by_place(url: str | None, recorded: str | None) -> None:
    assert recorded_address(url) == recorded == recorded_address(recorded)


def test_what_an_address_hides_is_stored_nowhere_and_works(
    tmp_path: Path, data_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """User, password and query reach the server, and no file, name, log or error; resume asks for them again."""
    caplog.set_level(logging.DEBUG)
    with ChatServer(answer) as server:
        url = with_hidden(server.url)
        path = unfinished(tmp_path, server, url)
        with pytest.raises(InvalidParameter, match="--base-url"):
            gk.resume(path)
        with pytest.raises(InvalidParameter, match="--base-url"):
            gk.resume(path, base_url=server.url)
        assert server.count == 0
        assert gk.resume(path, base_url=url).finished
        for request in server.requests:
            assert request["path"].endswith("/chat/completions?code=q7")
            assert request["headers"]["authorization"] == f"Basic {base64.b64encode(b'us:pw').decode()}"
    written = "".join(f"{one}\n{one.read_text()}" for one in tmp_path.rglob("*") if one.is_file())
    assert "[key]@" in written
    for text in (written.replace('"usage"', ""), caplog.text):
        assert not [place for place in ("us:pw", "us@", ":pw", "code=", "q7") if place in text]
    with pytest.raises(InvalidParameter) as refused:
        OpenAIClient("m", "http://us:p/w@host/v1?code=q7")
    assert not [hidden for hidden in HIDDEN if hidden in str(refused.value).replace("user", "")]


STUDY = "name: a\nbenchmarks: [nas-bench-macro]\narms: [llm]\nbudget: 2\nseeds: 1\nmodels: [m]\n"


@pytest.mark.parametrize(
    "url",
    [
        "http://us:pw@host/v1",  # pragma: allowlist secret
        "https://host/v1?code=q7",
        "https://host/v1#q7",
    ],
)
def test_a_study_file_with_such_an_address_is_refused(url: str, tmp_path: Path) -> None:
    """In the file, or in an option in place of it; the error names the environment and tells nothing."""
    (tmp_path / "a.yaml").write_text(f"{STUDY}base_url: {url}\n")
    (tmp_path / "b.yaml").write_text(STUDY)
    for given in ({"source": tmp_path / "a.yaml"}, {"source": tmp_path / "b.yaml", "base_url": url}):
        with pytest.raises(GeniusKitError, match="export OPENAI_BASE_URL") as refused:
            load_study(given.pop("source"), **given)
        assert not [hidden for hidden in ("us:", "pw", "q7") if hidden in str(refused.value)]


# The doctor


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A port that keeps what it is sent, and answers nothing."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                other, _ = server.accept()
            except OSError:
                return
            with other:
                heard.append(other.recv(65536))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.fixture
def redirecting(listener: tuple[str, list[bytes]]) -> Iterator[str]:
    """A server that sends everybody on to the listener."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", f"{listener[0]}/v1/models")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Keep the test output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_doctor_follows_no_redirect(listener: tuple[str, list[bytes]], redirecting: str) -> None:
    """The key goes to the server that was named and to no other."""
    assert "no usable answer" in server_finding(redirecting)
    assert listener[1] == []


def test_the_doctor_sends_no_key_for_this_machine_to_a_proxy(
    listener: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, listener[0])
    with ChatServer(models=["llama"]) as server:
        assert "models: llama" in server_finding(server.url)
    assert listener[1] == []
