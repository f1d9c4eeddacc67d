"""The scripted server itself: what it sends, whom it refuses, and what it counts."""

from __future__ import annotations

import hashlib
import json
import math
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from genius_kit.testing.answers import MODEL, Answer, as_answer, error
from genius_kit.testing.limits import Limiter

Script = Callable[[dict[str, Any], int], Any] | Iterable[Any]
"""Answers in order, or a function of (request body, number of the request from 0)."""


def request_digest(body: Any) -> str:
    """Return a short name of a request: equal for equal JSON, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Bill:
    """What a provider would charge for.

    Parameters
    ----------
    replies
        Replies with a completion, whether or not they arrived whole.
    input_tokens, output_tokens
        Their tokens.
    """

    replies: int
    input_tokens: int
    output_tokens: int

    def dollars(self, input_price: float, output_price: float) -> float:
        """Return the sum in US dollars.

        Parameters
        ----------
        input_price, output_price
            US dollars per million tokens.
        """
        return (self.input_tokens * input_price + self.output_tokens * output_price) / 1_000_000


class ChatServer:
    """A server in threads of this process: `with ChatServer(["first reply", Answer(status=503), ...]) as server:`.

    `url` is the base URL up to and with /v1. `requests` keeps every request as a dict of path, headers, body and
    time; `arrivals` counts them by `request_digest`, `served` the answers that were sent whole, `limited` the
    429 of the limiter; `bill` is what a provider would charge. A script that raises or is used up is answered with 418.

    Parameters
    ----------
    script
        A list used up in order, or a function of (request body, number of the request from 0); its items are texts (a
        good reply), dicts (a body) or Answers.
    delay
        Seconds added to every reply.
    limiter
        Requests beyond its rate get a 429 at once.
    retry_after
        Whether a 429 has the header `retry-after`.
    models
        Names listed at /v1/models; None is a server that lists none (404). It answers for any name.
    """

    def __init__(
        self,
        script: Script = (),
        delay: float = 0.0,
        *,
        limiter: Limiter | None = None,
        retry_after: bool = True,
        models: Sequence[str] | None = (MODEL,),
    ) -> None:
        self.script: Any = script if callable(script) else deque(script)
        self.delay = delay
        self.limiter = limiter
        self.retry_after = retry_after
        self.models = models
        self.requests: list[dict[str, Any]] = []
        self.arrivals: Counter[str] = Counter()
        self.connections = self.served = self.limited = 0
        self.closing = threading.Event()
        self._billed: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.chat = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ChatServer:
        self._serve()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._stop()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Let nobody connect within the block: the port is closed, then opened again."""
        address = self._server.server_address
        self._stop()
        try:
            yield
        finally:
            self._server = _Server(cast("tuple[str, int]", address), _Handler)
            self._server.chat = self
            self._serve()

    @property
    def count(self) -> int:
        """Number of requests that came."""
        return len(self.requests)

    @property
    def bodies(self) -> list[Any]:
        """The JSON of every request that came."""
        return [request["body"] for request in self.requests]

    @property
    def bill(self) -> Bill:
        """What a provider would charge for what was asked until now."""
        with self._lock:
            return Bill(len(self._billed), sum(i for i, _ in self._billed), sum(o for _, o in self._billed))

    def count_served(self) -> None:
        """Count an answer that is sent whole."""
        with self._lock:
            self.served += 1

    def next_answer(self, path: str, headers: dict[str, str], body: Any) -> tuple[Answer, float]:
        """Keep the request and return the Answer to it, and the delay before that in seconds.

        Parameters
        ----------
        path, headers, body
            The request.
        """
        with self._lock:
            now = time.monotonic()
            number = len(self.requests)
            self.requests.append({"path": path, "headers": headers, "body": body, "time": now})
            self.arrivals[request_digest(body)] += 1
            wait = self.limiter.admit(now) if self.limiter is not None else None
            if wait is not None:
                self.limited += 1
                return self._too_many(wait), 0.0
            if not callable(self.script):
                used_up = Answer(error("the script is used up"), status=418)
                answer = as_answer(self.script.popleft() if self.script else used_up)
        if callable(self.script):
            answer = self._ask_script(body, number)
        if answer.tokens is not None:
            with self._lock:
                self._billed.append(answer.tokens)
        return answer, self.delay + answer.delay

    def _ask_script(self, body: Any, number: int) -> Answer:
        try:
            return as_answer(self.script(body, number))
        except Exception as failure:  # told to the client: the thread of a server has nobody else to tell
            return Answer(error(f"the script failed ({type(failure).__name__}: {failure})"), status=418)

    def _too_many(self, wait: float) -> Answer:
        headers = {"Retry-After": str(math.ceil(wait))} if self.retry_after else {}
        return Answer(error("Rate limit reached", code="rate_limit_exceeded"), 429, headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    chat: ChatServer
    deaf_until = 0.0

    def __init__(self, *arguments: Any) -> None:
        self._connected: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep the connection until it is over."""
        self._connected.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        self._connected.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """End the connections too, that clients would keep open, and with each its thread."""
        super().server_close()
        for request in list(self._connected):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn away who comes while connections are refused."""
        if time.monotonic() >= self.deaf_until:
            return True
        _reset(request)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.server.chat.connections += 1

    def log_message(self, *arguments: Any) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        """List the models."""
        if not self.path.endswith("/models"):
            self._send(Answer({"status": "ok"}))
            return
        names = self.server.chat.models
        if names is None:
            self._send(Answer(error("not found"), status=404))
            return
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in names]
        self._send(Answer({"object": "list", "data": entries}))

    def do_POST(self) -> None:
        """Answer a completion as the script says."""
        chat = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, delay = chat.next_answer(self.path, headers, body)
        chat.closing.wait(delay)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.encoded()
        head = [f"HTTP/1.1 {answer.status} Scripted", f"Content-Length: {len(body)}"]
        head += [f"Content-Type: {answer.content_type}"] if answer.content_type else []
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        start = "\r\n".join([*head, "", ""]).encode("latin-1")
        self.close_connection = self.close_connection or answer.fault is not None
        if answer.fault in (None, "drip", "drip-headers"):
            self.server.chat.count_served()
        if answer.fault is None:
            self.wfile.write(start + body)
        elif answer.fault == "refuse":
            self.server.deaf_until = max(self.server.deaf_until, time.monotonic() + answer.refuse_seconds)
            _reset(self.connection)
        elif answer.fault == "cut":
            self.wfile.write(start + body[: len(body) // 2])
        elif answer.fault == "hang":
            self.server.chat.closing.wait()
        elif answer.fault == "drip":
            self.wfile.write(start)
            self._drip(body, answer.drip_seconds)
        elif answer.fault == "drip-headers":
            self._drip(start + body, answer.drip_seconds)

    def _drip(self, content: bytes, seconds: float) -> None:
        for byte in content:
            if self.server.chat.closing.wait(seconds):
                return
            self.wfile.write(bytes([byte]))


def _reset(connection: socket.socket) -> None:
    """Break a connection off, so that the other side sees a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
