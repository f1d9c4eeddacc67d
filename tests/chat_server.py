"""A scripted OpenAI-compatible server on loopback: answers from a queue or a function, and can misbehave on demand."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "scripted-1"


def completion(text, *, model=MODEL, finish_reason="stop", usage=None, **message):
    """Return the body of a chat completion; `usage` overrides single figures of 100 input and 20 output tokens."""
    figures = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
                "logprobs": None,
            }
        ],
        "usage": {**figures, **(usage or {})},
    }


def error(message, *, code=None, type="invalid_request_error", param=None):
    """Return the body of an OpenAI error."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


@dataclass
class Answer:
    """What to send: `body` is a dict (sent as JSON), a string or bytes.

    `fault` is None, "close" (no answer at all), "cut" (half of the promised body), "drip" (the body a byte at a
    time, `drip_seconds` apart), "drip-headers" (the same with the headers) or "hang" (nothing until the server closes).
    """

    body: object = ""
    status: int = 200
    headers: dict = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0
    fault: str | None = None
    drip_seconds: float = 0.05

    def encoded(self):
        """Return the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class ChatServer:
    """A server in threads of this process: `with ChatServer(["first reply", Answer(status=503), ...]) as server:`.

    `script` is a list used up in order, or a function of (request body, number of the request from 0); its items are
    texts (a good reply), dicts (a body) or Answers. `requests` keeps every request as a dict of path, headers and
    body; `delay` is added to every reply, in seconds; `url` is the base URL up to and with /v1.
    """

    def __init__(self, script=(), delay=0.0):
        self.script = script if callable(script) else deque(script)
        self.delay = delay
        self.requests = []
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.chat = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def count(self):
        """Number of requests that came."""
        return len(self.requests)

    @property
    def bodies(self):
        """The JSON of every request that came."""
        return [request["body"] for request in self.requests]

    def next_answer(self, path, headers, body):
        """Keep the request and return the Answer to it."""
        with self._lock:
            number = len(self.requests)
            self.requests.append({"path": path, "headers": headers, "body": body, "time": time.monotonic()})
            if not callable(self.script):
                left = self.script.popleft() if self.script else Answer(error("the script is used up"), status=418)
                return _as_answer(left)
        return _as_answer(self.script(body, number))


def _as_answer(item):
    if isinstance(item, str):
        item = completion(item)
    return item if isinstance(item, Answer) else Answer(item)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Say nothing: clients that give up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.chat.connections += 1

    def log_message(self, *arguments):
        """Keep the test output clean."""

    def do_GET(self):
        listed = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "tests"}]}
        self._send(Answer(listed if self.path.endswith("/models") else {"status": "ok"}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.chat.next_answer(self.path, headers, body)
        self.server.chat.closing.wait(self.server.chat.delay + answer.delay)
        self._send(answer)

    def _send(self, answer):
        body = answer.encoded()
        head = [f"HTTP/1.1 {answer.status} Scripted", f"Content-Length: {len(body)}"]
        head += [f"Content-Type: {answer.content_type}"] if answer.content_type else []
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        start = "\r\n".join([*head, "", ""]).encode("latin-1")
        self.close_connection = self.close_connection or answer.fault is not None
        if answer.fault is None:
            self.wfile.write(start + body)
        elif answer.fault == "cut":
            self.wfile.write(start + body[: len(body) // 2])
        elif answer.fault == "hang":
            self.server.chat.closing.wait()
        elif answer.fault == "drip":
            self.wfile.write(start)
            self._drip(body, answer.drip_seconds)
        elif answer.fault == "drip-headers":
            self._drip(start + body, answer.drip_seconds)
        elif answer.fault != "close":
            raise ValueError(f"no fault is called {answer.fault!r}")

    def _drip(self, content, seconds):
        for byte in content:
            if self.server.chat.closing.wait(seconds):
                return
            self.wfile.write(bytes([byte]))
