"""The connection to an OpenAI-compatible server: its address, the key, the deadline, and which models it lists."""

from __future__ import annotations

import ipaddress
import os
import re
import threading
import time
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from genius_kit import redaction
from genius_kit.chat import is_stand_in, mapping_or_empty
from genius_kit.errors import GeniusKitError, InvalidParameter, ModelError, nearest
from genius_kit.llm.http_errors import SYSTEM_ROLE, decoded, quote, status_failure

if TYPE_CHECKING:
    import asyncio
    import ssl
    from concurrent.futures import Future

    import openai

OPENAI_URL = "https://api.openai.com/v1"
PLACEHOLDER_KEY = "none"  # a server on this machine takes any key, the openai package wants one
CONNECT_SECONDS = 10.0
LISTING_SECONDS, SHOWN_MODELS = 5.0, 10  # for the list of models, and how many of it a warning shows
_SENT = ("OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")  # to whatever server is asked
LONGEST_BODY = 4_000_000
"""Bytes of an answer, uncompressed: a longer one is refused, and no more of it is read."""
_TALKATIVE = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")  # they log addresses and headers as they are

_begun: ContextVar[list[bool]] = ContextVar("begun")  # holds something once the body of an answer has begun to come

connecting: ContextVar[Callable[[bool], None]] = ContextVar("connecting", default=lambda _: None)
"""Called from another thread with whether an attempt still connects, when it begins to and when its request goes."""

Answer = tuple[str, Mapping[str, str], float]
"""The body of an answer with a good status, its headers, and the seconds it took."""


class Connection:
    """The connections to one server: an asyncio loop in a thread of its own, made on first use.

    Only there can an attempt be given up at its deadline whatever the server does, bytes that drip in the headers
    included. Shared by the copies that `without` makes; a forked or unpickled copy makes its own. `close` ends the
    thread and the connections, and so does the last of those that use it in a `with` block, and the garbage collector
    once nobody holds the object.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        redaction.learn(redaction.secrets_of_address(url))
        self.shown_url, self.is_local = _checked_url(url)
        if not self.is_local and self.shown_url.startswith("http:"):
            warnings.warn(
                f"{self.shown_url} is reached without encryption: the key and all prompts can be read on the way. Use "
                "its https:// address where it has one",
                stacklevel=2,
            )
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._users, self._closes = 0, False  # how many use it now, and whether the last of them closes it
        self._process: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ends: weakref.finalize[..., Connection] | None = None  # ends the thread, once
        self._opened: list[openai.AsyncOpenAI] = []  # one at most, which the thread closes at its end
        self._under_way: dict[int, Future[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "timeout": self.timeout, "shown_url": self.shown_url, "is_local": self.is_local}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        redaction.learn(redaction.secrets_of_address(self.url))
        self._reset()

    def __enter__(self) -> Connection:
        if self._process not in (None, os.getpid()):
            self._reset()  # forked: the thread stayed behind
        with self._lock:
            self._users += 1
        return self

    def __exit__(self, *raised: object) -> None:
        self._leave(closes=True)

    def _leave(self, closes: bool) -> None:
        with self._lock:
            self._users = max(self._users - 1, 0)
            self._closes = closes or self._closes
            is_last = self._closes and not self._users
            self._closes = self._closes and not is_last
        if is_last:
            self.close()

    def post(self, body: Mapping[str, Any]) -> Answer:
        """Return the answer to a request for a chat completion; raises ModelError unless its status is a good one."""
        return self._ask("/chat/completions", body)

    def models(self) -> list[str]:
        """Return the names of the models that the server lists; raises ModelError where it does not answer."""
        listed = mapping_or_empty(decoded(self._ask("/models")[0])).get("data")
        models = map(mapping_or_empty, listed if isinstance(listed, list) else [])
        return [str(model["id"]) for model in models if model.get("id")]

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        import asyncio

        failure: ModelError
        self.__enter__()
        future = asyncio.run_coroutine_threadsafe(self._send(path, body), self._running_loop())
        self._under_way[threading.get_ident()] = future
        try:
            return future.result()
        except ModelError:
            raise
        except Exception as error:  # anything at all may quote the key, so nothing passes as it is
            failure = self._failure(error, body or {})
        finally:
            future.cancel()  # where Ctrl-C ended the wait
            self._under_way.pop(threading.get_ident(), None)
            self._leave(closes=False)
        raise failure  # outside the handler: no traceback prints the original, which may hold the key

    async def _send(self, path: str, body: Mapping[str, Any] | None) -> Answer:
        import asyncio

        import openai

        client, raw = self._open_client(), openai.HttpxBinaryResponseContent  # the answer as it came
        started = time.perf_counter()
        begun: list[bool] = []
        _begun.set(begun)
        try:
            async with asyncio.timeout(self.timeout):
                # by the path: `chat.completions` takes a millisecond to look through the messages
                sent = client.get(path, cast_to=raw) if body is None else client.post(path, cast_to=raw, body=body)
                answer = await sent
        except TimeoutError:
            if begun:
                why = f"came slowly and was not complete within {self.timeout:g} s"
                raise _refused(self.shown_url, why, "timeout") from None
            raise
        seconds = time.perf_counter() - started
        text = answer.content.decode("utf-8", errors="replace")  # paid: a broken sign is no reason to pay again
        return text, answer.response.headers, seconds

    def give_up(self, thread: int) -> None:
        """Close the connection of the attempt that the thread of this number waits for; the others go on."""
        future = self._under_way.get(thread)
        if future is not None:
            future.cancel()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop, self._process, self._opened = asyncio.new_event_loop(), os.getpid(), []
                given = (self._loop, self._opened)
                self._thread = threading.Thread(target=_run_loop, args=given, name="genius-kit-calls", daemon=True)
                self._thread.start()
                self._ends = weakref.finalize(self, _stop, self._loop, self._process)
                self._ends.atexit = False
            return self._loop

    def _open_client(self) -> openai.AsyncOpenAI:
        """Return the one client, made on first use; runs in the loop, so never twice at once."""
        if not self._opened:
            import openai

            client = openai.AsyncOpenAI(
                api_key=self._key(),
                base_url=self.url.partition("?")[0],
                default_query=dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True)),
                max_retries=0,
                timeout=openai.Timeout(self.timeout, connect=min(CONNECT_SECONDS, self.timeout)),
                http_client=openai.DefaultAsyncHttpxClient(
                    trust_env=not self.is_local,
                    follow_redirects=False,
                    verify=_certificates(),
                    event_hooks={"request": [_trace], "response": [partial(_bound, self.shown_url)]},
                ),
            )
            redaction.learn({client.api_key} - {PLACEHOLDER_KEY})  # the environment may forget it, a server not
            redaction.guard_logs(*_TALKATIVE)
            self._opened.append(client)
        return self._opened[0]

    def _key(self) -> str:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key and not self.is_local:
            raise ModelError(
                f"no key for {self.shown_url}: export OPENAI_API_KEY=... (any word, if that server wants none), "
                "or use the model 'offline', which needs none",
                cause="no-key",
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ModelError(
                "the key in OPENAI_API_KEY holds a space or a sign that no key has: export OPENAI_API_KEY=... again",
                cause="no-key",
            )
        return key or PLACEHOLDER_KEY

    def _failure(self, error: Exception, body: Mapping[str, Any]) -> ModelError:
        import openai

        reason = quote(str(error.__cause__ or error)) or type(error.__cause__ or error).__name__
        unreached = type(error.__cause__).__name__ == "ConnectTimeout"
        unsent = unreached or type(error.__cause__).__name__ == "ConnectError"
        if isinstance(error, openai.APITimeoutError | TimeoutError) and not unreached:
            return ModelError(
                f"no complete reply from {self.shown_url} within {self.timeout:g} s: raise the timeout or try later",
                cause="timeout",
                retryable=True,
            )
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return ModelError(
                f"the certificate of {self.shown_url} is not trusted ({reason}): name the file of its authority in "
                "SSL_CERT_FILE",
                cause="connection",
                may_be_billed=False,
            )
        if isinstance(error, openai.APIConnectionError):
            return ModelError(
                f"the connection to {self.shown_url} failed ({reason}): check the address and that the server runs",
                cause="connection",
                retryable=True,
                may_be_billed=not unsent,
            )
        if isinstance(error, openai.APIStatusError):
            return self.status_failure(error.status_code, error.body, error.response.headers, body)
        return ModelError(
            f"the request could not be made ({type(error).__name__}: {reason})", cause="bad-request", may_be_billed=True
        )

    def status_failure(
        self, status: int, answer: object, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> ModelError:
        """Return the error for an answer that says that it is one; `body` is that of the request."""
        target = _target(self.shown_url, headers.get("location"))
        model, sent = str(body.get("model", "")), _sent_names(body)
        return status_failure(status, answer, headers, server=self.shown_url, model=model, sent=sent, target=target)

    def close(self) -> None:
        """Close the connections and end the thread; attempts under way are given up."""
        with self._lock:
            thread, ends = self._thread, self._ends
            self._loop = self._thread = None
        if thread is not None and ends is not None:
            ends()
            thread.join(timeout=CONNECT_SECONDS)  # at once in a forked child, where it does not run


def _sent_names(body: Mapping[str, Any]) -> list[str]:
    """Return the names of what a server may refuse of a request: its parameters, and SYSTEM_ROLE."""
    has_system = any(message["role"] == "system" for message in body.get("messages", ()))
    return [*(name for name in body if name not in ("model", "messages")), *([SYSTEM_ROLE] if has_system else [])]


def _certificates() -> ssl.SSLContext | bool:
    """Return the authorities that SSL_CERT_FILE or SSL_CERT_DIR names, also for a server on this machine."""
    import ssl

    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if file is None and folder is None:
        return True
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        raise ModelError(
            f"SSL_CERT_FILE names {file!r}, which holds no certificate that can be read ({error.strerror or error}): "
            "correct or unset it",
            cause="connection",
            may_be_billed=False,
        ) from None


async def _trace(request: Any) -> None:
    """Have `connecting` told of a request; one over a connection that is open already does not connect."""

    async def told(event: str, _: Any) -> None:
        if event == "connection.connect_tcp.started":
            connecting.get()(True)
        elif event.endswith(".send_request_headers.started"):
            connecting.get()(False)

    request.extensions["trace"] = told


async def _bound(server: str, answer: Any) -> None:
    """Let an answer be read up to LONGEST_BODY, whatever it declares, streams or unpacks to."""
    too_long = _refused(server, f"has more than {LONGEST_BODY:,} bytes", "too-long")
    declared, whole, begun = answer.headers.get("content-length", ""), answer.aiter_bytes, _begun.get([])
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > LONGEST_BODY):
        raise too_long

    async def bounded(chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        left = LONGEST_BODY
        async with aclosing(whole(chunk_size)) as pieces:
            async for piece in pieces:
                begun[:] = [True]
                left -= len(piece)
                if left < 0:
                    raise too_long
                yield piece

    answer.aiter_bytes = bounded


def _refused(server: str, why: str, cause: str) -> ModelError:
    """Return the error for an answer that was not read to its end, though it may be paid."""
    return ModelError(
        f"the answer of {server} {why}: it was not read. Set a limit (max_tokens), raise the timeout, or ask another "
        "server",
        cause=cause,
        may_be_billed=True,
    )


def _run_loop(loop: asyncio.AbstractEventLoop, opened: list[openai.AsyncOpenAI]) -> None:
    """Run the loop until it is stopped, then close what was opened in it."""
    import asyncio

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
        for client in opened:
            runner.run(client.close())


def _stop(loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Let the thread of a loop come to its end, without waiting for it; a forked child has none to end."""
    if process == os.getpid() and not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


def _checked_url(url: str) -> tuple[str, bool]:
    """Return the address fit to print and whether it is on this machine; raises InvalidParameter."""
    if redaction.MASK in url:
        raise InvalidParameter(
            f"the address {url} is on record without its user, password or query, which are kept nowhere: give the "
            "whole address again, with --base-url or in OPENAI_BASE_URL"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        shown = re.sub(r"//.*@", "//", url.partition("?")[0])
        raise InvalidParameter(f"{shown!r} is not the address of a server; give one like 'http://localhost:8080/v1'")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path}", _is_loopback(host)


def shown_address(url: str) -> str:
    """Return an address fit to print: without its user, password and query."""
    return _checked_url(url)[0]


def recorded_address(url: str | None) -> str | None:
    """Return an address as it is recorded: "[key]" in place of user and password, and of its query, however short."""
    if not isinstance(url, str | None):
        raise InvalidParameter(f"base_url must be an address such as 'http://localhost:8080/v1', got {url!r:.100}")
    if url is None:
        return None
    address, asked, _ = url.partition("#")[0].partition("?")
    scheme, slashes, rest = address.partition("//")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{slashes}{redaction.MASK + at if at else ''}{host}{asked + redaction.MASK if asked else ''}"


def own_address(recorded: str | None, given: str | None = None) -> str | None:
    """Return the address with which a journal that names `recorded` goes on: one that this user names, not the file.

    That is `given`, OPENAI_BASE_URL or OpenAI's own. Raises InvalidParameter where none of them is the recorded one
    and a secret of this user would be sent there. None, as where `recorded` is, is what the environment says.
    """
    named = [asked_address(given)] if given else [asked_address(None), OPENAI_URL]
    if recorded is None:
        if given is not None and named != [asked_address(None)]:
            raise InvalidParameter(
                "the run took the address of its server from OPENAI_BASE_URL: set that, and leave out --base-url"
            )
        return None
    own = next((one for one in named if recorded_address(one) == recorded), None)
    if own is not None or not (given or any(os.environ.get(name) for name in _SENT)):
        return own or recorded
    raise InvalidParameter(
        f"the journal names the server {recorded}, which neither --base-url nor OPENAI_BASE_URL does: your key would "
        f"go to it. Where you trust it, say so with --base-url {recorded.replace(redaction.MASK, '...')}"
    )


def _target(server: str, location: str | None) -> str | None:
    """Return the base address that an answer redirects to, fit to print; None where it names none."""
    if not location:
        return None
    try:
        return shown_address(urljoin(f"{server}/chat/completions", location)).removesuffix("/chat/completions")
    except (InvalidParameter, ValueError):
        return None


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


# Which models a server lists


def check_models(asked: Iterable[tuple[str | None, str]]) -> None:
    """Warn where one of the models that are asked for, each with its base URL, is not listed by its server.

    Many servers take names that they list otherwise or not at all (deployments, "models/NAME", "NAME:nitro", paths of
    files, wildcards), so the first call of a run decides. A server that cannot be reached, or that lists no models, is
    not asked twice: its runs say what is wrong.
    """
    wanted: dict[str, dict[str, None]] = {}
    for base_url, model in asked:
        if not is_stand_in(model):
            wanted.setdefault(asked_address(base_url), {})[model] = None
    for address, models in wanted.items():
        offered = server_models(address)
        unknown = [name for name in models if offered and not _knows(offered, name)]
        if unknown and offered:
            warnings.warn(_doubt(address, unknown, offered), stacklevel=3)


def server_models(base_url: str | None = None) -> list[str] | None:
    """Return the names of the models that a server lists, in its order; None where it does not answer or lists none.

    `base_url` is the address up to and with /v1; else OPENAI_BASE_URL, else OpenAI's own.
    """
    try:
        connection = Connection(asked_address(base_url), LISTING_SECONDS)
    except InvalidParameter:
        return None
    try:
        return connection.models() or None
    except GeniusKitError:
        return None
    finally:
        connection.close()


def asked_address(base_url: str | None) -> str:
    """Return the address that is asked where a user gave `base_url`."""
    return base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def _knows(offered: list[str], name: str) -> bool:
    listed = {entry.removeprefix("models/") for entry in offered}  # Gemini
    return bool({name.removeprefix("models/"), f"{name}:latest"} & listed)  # Ollama's name for a model without a tag


def _doubt(address: str, unknown: list[str], offered: list[str]) -> str:
    """Return which models are not listed, the nearest names that are, and what follows."""
    from difflib import get_close_matches

    near = [match for name in unknown for match in get_close_matches(name, offered, n=3)]
    shown = list(dict.fromkeys([*near, *offered]))[:SHOWN_MODELS]
    more = len(offered) - len(shown)

    def named(name: str) -> str:
        return f"{name!r}{nearest(name, offered)}"

    return redaction.mask(
        f"{shown_address(address)} does not list {', '.join(map(named, unknown))}; it lists {', '.join(shown)}"
        f"{f' and {more} more' if more > 0 else ''}. It is asked all the same; if it knows no such model, correct the "
        "name in `models` (or --models)"
    )
