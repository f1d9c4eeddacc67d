"""The connection to an OpenAI-compatible server: address, key, deadline."""

from __future__ import annotations

import ipaddress
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urljoin, urlsplit

from genius_kit import redaction
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.llm.http_errors import SYSTEM_ROLE, quote, status_failure
from genius_kit.records import Message

if TYPE_CHECKING:
    import asyncio
    import ssl
    from concurrent.futures import Future

    import openai

PLACEHOLDER_KEY = "none"  # a server on this machine takes any key, the openai package wants one
CONNECT_SECONDS = 10.0
_TALKATIVE = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")  # they log addresses and headers as they are
_Result = TypeVar("_Result")


class Connection:
    """The connections to one server: an asyncio loop in a thread of its own, made on first use.

    Only there can an attempt be given up at its deadline whatever the server does, bytes that drip in the headers
    included. Shared by the copies that `without` makes; a forked or unpickled copy makes its own. `close` ends the
    thread and the connections, and so does the garbage collector once nobody holds the object.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        redaction.learn(redaction.secrets_of_address(url))
        self.shown_url, self.is_local = _checked_url(url)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ends: Callable[[], object] | None = None  # ends the thread, once
        self._opened: list[openai.AsyncOpenAI] = []  # one at most, which the thread closes at its end
        self._under_way: dict[int, Future[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "timeout": self.timeout, "shown_url": self.shown_url, "is_local": self.is_local}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        redaction.learn(redaction.secrets_of_address(self.url))
        self._reset()

    def post(self, model: str, messages: Sequence[Message], request: Mapping[str, Any]) -> tuple[Any, float]:
        """Return the answer (an httpx2 response of a good status, its body read) and the seconds it took.

        Raises ModelError for anything else.
        """
        failure: ModelError
        try:
            return self._run(self._post(model, messages, request))
        except ModelError:
            raise
        except Exception as error:  # anything at all may quote the key, so nothing passes as it is
            failure = self._failure(error, model, sent_names(request, messages))
        raise failure  # outside the handler: no traceback prints the original, which may hold the key

    async def _post(self, model: str, messages: Sequence[Message], request: Mapping[str, Any]) -> tuple[Any, float]:
        import asyncio

        create = self._open_client().chat.completions.with_raw_response.create  # imports, before the clock starts
        started = time.perf_counter()
        async with asyncio.timeout(self.timeout):
            raw = await create(model=model, messages=messages, extra_body=dict(request))  # type: ignore[arg-type]
        return raw.http_response, time.perf_counter() - started

    def models(self) -> list[str]:
        """Return the names of the models that the server lists; raises ModelError where it does not answer."""
        failure: ModelError
        try:
            return self._run(self._models())
        except ModelError:
            raise
        except Exception as error:  # may quote the key, so nothing passes as it is
            failure = self._failure(error, "", ())
        raise failure

    async def _models(self) -> list[str]:
        import asyncio

        client = self._open_client()
        async with asyncio.timeout(self.timeout):
            page = await client.models.list()
        return [str(model.id) for model in page.data or [] if getattr(model, "id", None)]

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        import asyncio

        future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        self._under_way[threading.get_ident()] = future
        try:
            return future.result()
        except BaseException:  # Ctrl-C: the request is given up too
            future.cancel()
            raise
        finally:
            self._under_way.pop(threading.get_ident(), None)

    def give_up(self, thread: int) -> None:
        """Close the connection of the attempt that the thread of this number waits for; the others go on."""
        future = self._under_way.get(thread)
        if future is not None:
            future.cancel()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        if self._process not in (None, os.getpid()):
            self._reset()  # forked: the thread stayed behind
        with self._lock:
            if self._loop is None:
                self._loop, self._process, self._opened = asyncio.new_event_loop(), os.getpid(), []
                given = (self._loop, self._opened)
                self._thread = threading.Thread(target=_run_loop, args=given, name="genius-kit-calls", daemon=True)
                self._thread.start()
                self._ends = ends = weakref.finalize(self, _stop, self._loop, self._process)
                ends.atexit = False
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
                    trust_env=not self.is_local, follow_redirects=False, verify=_certificates()
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

    def _failure(self, error: Exception, model: str, sent: Sequence[str]) -> ModelError:
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
            return self.status_failure(error.status_code, error.body, error.response.headers, model, sent)
        return ModelError(
            f"the request could not be made ({type(error).__name__}: {reason})", cause="bad-request", may_be_billed=True
        )

    def status_failure(
        self, status: int, body: object, headers: Mapping[str, str], model: str, sent: Sequence[str]
    ) -> ModelError:
        """Return the error for an answer that says that it is one; `sent` names what the request held."""
        target = _target(self.shown_url, headers.get("location"))
        return status_failure(status, body, headers, server=self.shown_url, model=model, sent=sent, target=target)

    def close(self) -> None:
        """Close the connections and end the thread; attempts under way are given up."""
        with self._lock:
            thread, ends = self._thread, self._ends
            self._loop = self._thread = None
        if thread is not None and ends is not None:
            ends()
            thread.join(timeout=CONNECT_SECONDS)  # at once in a forked child, where it does not run


def sent_names(request: Iterable[str], messages: Sequence[Message]) -> list[str]:
    """Return the names of what a server may refuse of a request: its parameters, and SYSTEM_ROLE."""
    return [*request, *([SYSTEM_ROLE] if any(message["role"] == "system" for message in messages) else [])]


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
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        shown = re.sub(r"//[^/]*@", "//", url.partition("?")[0])
        raise InvalidParameter(
            f"{shown!r} is not the address of a server; expected one like 'http://localhost:8080/v1'"
        )
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path}", _is_loopback(host)


def shown_address(url: str) -> str:
    """Return an address fit to print: without its user, password and query."""
    return _checked_url(url)[0]


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
