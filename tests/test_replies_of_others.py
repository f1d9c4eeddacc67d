"""Replies of a hostile server: too long, unpacked to too much, or dripping past the deadline; read in little memory."""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from genius_kit.errors import ModelError
from genius_kit.journal import read_run
from genius_kit.llm import OpenAIClient
from genius_kit.llm.client import LONGEST_TEXT
from genius_kit.llm.connection import LONGEST_BODY
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from tests.chat_server import Answer, ChatServer, completion
from tests.doubles import ToyBenchmark
from tests.hostile import MEGABYTES, costs_of

MESSAGES = [{"role": "user", "content": "Propose one."}]
GIGABYTE = 1 << 30
PIECE = b" " * (1 << 20)


def llm(client, **settings):
    return make_proposer("llm", ToyBenchmark().space, client=client, **settings)


@contextmanager
def server_that(answers):
    """Serve what `answers(handler)` writes to each request, and yield the base URL with the list of requests."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            with suppress(OSError):  # the client hung up
                answers(self)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def declared(handler, status=200):
    """A body of one gigabyte that says so."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(GIGABYTE))
    handler.end_headers()
    for _ in range(GIGABYTE // len(PIECE)):
        handler.wfile.write(PIECE)


def refused(handler):
    """The same with an error status."""
    declared(handler, 400)


def streamed(handler):
    """A body in pieces without an end that was told."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(GIGABYTE // len(PIECE)):
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))


def packed(handler):
    """One megabyte that unpacks to a quarter of a gigabyte."""
    press = zlib.compressobj(1, wbits=31)
    content = b"".join(press.compress(PIECE) for _ in range(256)) + press.flush()
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.mark.slow
@pytest.mark.parametrize("answers", [declared, refused, streamed, packed])
def test_a_reply_that_is_too_long_is_refused_in_constant_memory(answers):
    """A gigabyte is refused without being read or asked for again; it may have been paid."""
    send = (
        "from genius_kit.llm import OpenAIClient\n"
        "client = OpenAIClient('m', {url!r}, timeout=30)\n"
        "client.send([{{'role': 'user', 'content': 'a'}}])"
    )
    with server_that(answers) as (url, asked):
        cost = costs_of({"send": send.format(url=url)}, "import genius_kit.llm, openai")["send"]
    assert cost.said is not None
    assert f"more than {LONGEST_BODY:,} bytes" in cost.said
    assert (cost.kind, len(asked)) == ("GeniusKitError", 1)
    assert cost.megabytes < MEGABYTES


def test_a_run_ends_with_a_reply_that_is_too_long_and_books_it(tmp_path):
    """The attempt is not made again, and what it may have cost stays counted."""
    path = tmp_path / "a.jsonl"
    with server_that(streamed) as (url, asked):
        client = OpenAIClient("m", url, timeout=30)
        with pytest.raises(ModelError) as caught:
            search(ToyBenchmark(), llm(client), budget=2, seed=0, journal=path)
        client.close()
    assert (caught.value.cause, caught.value.retryable, caught.value.may_be_billed) == ("too-long", False, True)
    assert len(asked) == len(read_run(path).of("call_failed")) == 1
    assert path.stat().st_size < 100_000


def test_a_body_that_drips_past_the_deadline_is_not_asked_for_again():
    """What has begun to come is paid: one attempt, which ends at its deadline."""
    with ChatServer([Answer(completion("x" * 500), fault="drip")]) as server:
        client = OpenAIClient("m", server.url, timeout=0.3)
        with pytest.raises(ModelError) as caught:
            client.send(MESSAGES)
        client.close()
    assert (caught.value.cause, caught.value.retryable, caught.value.may_be_billed) == ("timeout", False, True)


def test_a_long_text_is_kept_and_sent_back_by_its_ends(tmp_path):
    """Of three megabytes the journal and the next request hold the ends, and the SHA-256 of the whole is recorded."""
    text = "".join(f"{number} " for number in range(400_000))
    path = tmp_path / "a.jsonl"
    with ChatServer(lambda body, number: completion(text)) as server:
        client = OpenAIClient("m", server.url)
        search(ToyBenchmark(), llm(client, history="dialogue"), budget=3, seed=0, journal=path)
        client.close()
        longest = max(len(json.dumps(body)) for body in server.bodies)
    call = read_run(path).of("call")[0]
    assert call["cut"] == {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert len(call["text"]) < LONGEST_TEXT + 100
    assert call["text"].startswith("0 1 2 ")
    assert call["text"].endswith("399999 ")
    assert longest < len(server.bodies) * (LONGEST_TEXT + 5_000)
    assert path.stat().st_size < sum(len(json.dumps(body)) for body in server.bodies) + len(server.bodies) * 120_000
