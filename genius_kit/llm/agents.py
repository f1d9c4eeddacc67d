"""Agents of the user's own: a chat client or a function of messages for each search, made by Python code of theirs.

An agent is known by the model name `agent:NAME` and by a sum of its source. A study imports the file of an agent that
its study file, or the command, names. Journals and bundles name agents too, and nothing that reads those imports one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from genius_kit import files
from genius_kit.chat import Reply, Usage, as_recorded, is_beside
from genius_kit.errors import AgentFailed, InvalidParameter, ModelError
from genius_kit.llm.http_errors import quote
from genius_kit.records import Message

AGENT = "agent:"
"""Begins the model name of an agent: agent:my_agents.py:make_client in a study file."""

PROTOCOL = ("kind", "model", "settings", "send", "without")
"""What a chat client has, see `chat.ChatClient`."""

MakeClient = Callable[[str], Any]

_MAKING = threading.RLock()  # an agent's own code is imported and its clients are made by one thread at a time
_FIELDS: dict[str, Any] = {
    "text": (str, type(None)),
    "model": (str, type(None)),
    "finish_reason": str,
    "usage": Usage,
    "seconds": (int, float),
    "refusal": (str, type(None)),
    "form": (str, type(None)),
}


def is_agent(model: str) -> bool:
    """Return whether a model name is that of an agent."""
    return model.startswith(AGENT)


@dataclass(frozen=True)
class Agent:
    """Who makes the client of each search.

    Parameters
    ----------
    model
        What the agent is called.
    sha256
        Sum of its code (`code_sha256`).
    make
        `make(key)` returns a client, the key being another string for every search and arm.
    made
        Clients that were made already, by their keys.
    """

    model: str
    sha256: str
    make: MakeClient
    made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def client(self, key: str) -> AgentClient:
        """Return the client of one search.

        Parameters
        ----------
        key
            The search in words.

        Raises
        ------
        AgentFailed, InvalidParameter
            No client was made.
        """
        with _MAKING:
            made = self.made.pop(key) if key in self.made else make_one(self.make, key)
        return AgentClient(made, self.sha256, key, self.model)

    def check(self) -> None:
        """Import the file of the agent, where it has one; raises AgentFailed or InvalidParameter where that fails."""
        if isinstance(self.make, FileFunction):
            self.make.load()


class AbsentAgent:
    """Stands for an agent where nobody has its code: by it runs are named and their costs told, never answered."""

    kind = "agent"

    def __init__(self, model: str, sha256: str | None = None) -> None:
        self.model = model
        self._sha256 = sha256

    def settings(self) -> dict[str, Any]:
        """Return what is known of the agent."""
        return {} if self._sha256 is None else {"agent_sha256": self._sha256}

    def without(self, parameter: str) -> AbsentAgent:
        """Return the same client."""
        return self

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Raise InvalidParameter: only a study imports an agent."""
        raise InvalidParameter(
            f"{self.model} is somebody's own Python code, which nothing runs but the study that names it and "
            "gk.does_it_search; give the command or call of these"
        )


class AgentClient:
    """The client of one search: what an agent made, its failures and its replies in the form of this package.

    What the agent's own client has beside the protocol (is_free, pace, timeout, give_up) is there too.
    """

    def __init__(self, made: Any, sha256: str, key: str, name: str) -> None:
        self._made, self._sha256, self._key, self._name = made, sha256, key, name
        self._talks = hasattr(made, "send")
        self.kind: str = str(made.kind) if self._talks else "a function of messages"
        self.model: str = str(made.model) if self._talks else name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_made"], name)

    def settings(self) -> dict[str, Any]:
        """Return what changes the reply: the settings of the agent's own client, the key and the sum of the source."""
        own = dict(self._made.settings()) if self._talks else {}
        return {**own, "search": self._key, "agent_sha256": self._sha256}

    def without(self, parameter: str) -> AgentClient:
        """Return a client whose requests lack `parameter`; a function of messages has none."""
        made = self._made.without(parameter) if self._talks else self._made
        return AgentClient(made, self._sha256, self._key, self._name)

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the agent's reply; raises AgentFailed where it fails or returns neither text nor a Reply."""
        copies, begun = [dict(message) for message in messages], time.perf_counter()
        try:
            told = self._made.send(copies, seed) if self._talks else self._made(copies)
        except ModelError:
            raise
        except (Exception, SystemExit) as error:
            raise AgentFailed(f"{shown(self._name)} failed, {_in_words(error)}") from error
        if isinstance(told, str):
            told = Reply(told, None, "stop", seconds=time.perf_counter() - begun)
        if not isinstance(told, Reply) or not _is_whole(told):
            raise AgentFailed(
                f"{shown(self._name)} must answer with text, or with a Reply of genius_kit.chat whose fields are as "
                f"described there, got {quote(repr(told))}"
            )
        return replace(told, text=None if told.text is None else as_recorded(told.text))


def _is_whole(reply: Reply) -> bool:
    kinds = all(isinstance(getattr(reply, name), kind) for name, kind in _FIELDS.items())
    return kinds and (reply.beside is None or is_beside(reply.beside))


def shown(model: str) -> str:
    """Return the name of an agent without the mark that it is one."""
    return model.removeprefix(AGENT)


def make_one(make: MakeClient, key: str) -> Any:
    """Return what `make(key)` makes; raises AgentFailed where it fails, InvalidParameter where it is no client."""
    call = f"make_client({key!r})"
    try:
        made = make(key)
    except (AgentFailed, InvalidParameter):
        raise
    except (Exception, SystemExit) as error:
        raise AgentFailed(f"{call} failed, {_in_words(error)}") from error
    if isinstance(made, type) or not (hasattr(made, "send") or callable(made)):
        raise InvalidParameter(
            f"{call} returned {quote(repr(made))}; it must return a chat client or a function of messages to text"
        )
    if not hasattr(made, "send"):
        return made
    if missing := [name for name in PROTOCOL if not hasattr(made, name)]:
        raise InvalidParameter(
            f"{call} returned a chat client without {', '.join(missing)}; it needs {', '.join(PROTOCOL)} "
            "(genius_kit.chat.ChatClient), or return a function of messages in its place"
        )
    try:
        is_mapping = isinstance(json.loads(json.dumps(made.settings())), dict)
    except (TypeError, ValueError):
        is_mapping = False
    if not is_mapping:
        raise InvalidParameter(f"the settings() of what {call} returned are no mapping that JSON can hold")
    return made


def _in_words(error: BaseException) -> str:
    return quote(f"{type(error).__name__}: {error}")


def agent_of(make: MakeClient, key: str, name: str | None = None) -> Agent:
    """Return the agent that `make` is, named `name` or as its client for the search `key` calls itself.

    That client is made now. Raises InvalidParameter for what makes no clients.
    """
    if hasattr(make, "send") and not isinstance(make, type):
        raise InvalidParameter("make_client is a chat client itself; give what makes one, such as lambda key: client")
    if not callable(make):
        raise InvalidParameter(f"make_client must be a function that makes a client of a key, got {quote(repr(make))}")
    made = make_one(make, key)
    own = str(made.model) if hasattr(made, "send") else _name_of(make, made)
    called = " ".join(str(name or own).split())
    return Agent(f"{AGENT}{called or 'agent'}", code_sha256(make), make, {key: made})


def _name_of(*things: Any) -> str:
    """Return the first name that one of these functions has, "agent" where none has one."""
    names = (getattr(thing, "__name__", type(thing).__name__) for thing in things)
    return next((name for name in names if name.isidentifier()), "agent")


# Agents in files


@dataclass(frozen=True)
class FileFunction:
    """A function of a Python file, imported on first use from the very bytes that have this sum."""

    path: Path
    function: str
    sha256: str

    def __call__(self, key: str) -> Any:
        """Return what the function makes of a key."""
        return self.load()(key)

    def load(self) -> MakeClient:
        """Return the function; raises AgentFailed where its file fails, InvalidParameter where it is not there."""
        with _MAKING:
            module = sys.modules.get(self._module) or self._imported()
        found = getattr(module, self.function, None)
        if not callable(found):
            raise InvalidParameter(f"{self.path} has no function {self.function}; correct what stands after the colon")
        return found

    @property
    def _module(self) -> str:
        return f"genius_kit_agent_{self.sha256}"

    def _imported(self) -> ModuleType:
        source = _bytes_of(self.path)
        if hashlib.sha256(source).hexdigest() != self.sha256:
            raise AgentFailed(f"{self.path} has changed since the study was read; give the same command again")
        module = ModuleType(self._module)
        module.__file__ = str(self.path)
        sys.modules[self._module] = module  # where dataclasses and pickle look for it
        try:
            exec(compile(source, str(self.path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[self._module]
            raise AgentFailed(f"{self.path} cannot be imported, {_in_words(error)}") from error
        return module


def file_agent(model: str) -> Agent:
    """Return an agent, its file read from the working directory and not yet imported.

    Parameters
    ----------
    model
        agent:FILE:FUNCTION.

    Raises
    ------
    InvalidParameter
        No such file.
    """
    place, _, function = shown(model).rpartition(":")
    if not place or not function.isidentifier():
        raise InvalidParameter(f"{model!r} names no agent; write agent:FILE:FUNCTION, such as agent:mine.py:make")
    path = Path(place).resolve()
    sha256 = hashlib.sha256(_bytes_of(path)).hexdigest()
    return Agent(model, sha256, FileFunction(path, function, sha256))


def _bytes_of(path: Path) -> bytes:
    try:
        return files.read_plain(path, files.LONGEST_TEXT)
    except OSError as error:
        raise InvalidParameter(
            f"the file of the agent, {path}, cannot be read ({error.strerror}); a relative path is taken from the "
            "working directory"
        ) from None


# What an agent that is in no file is known by


def code_sha256(make: MakeClient) -> str:
    """Return the sum of the source of a function and of each function and class of its module that it names, and so on.

    It tells a changed agent from the one that began; variables, files and other modules are not in it.

    Parameters
    ----------
    make
        The function that makes clients.
    """
    found: dict[int, str] = {}
    _gather(make, found)
    return hashlib.sha256("\n".join(found.values()).encode("utf-8", "surrogatepass")).hexdigest()


def _gather(thing: Any, found: dict[int, str]) -> None:
    while isinstance(thing, partial | MethodType):
        if isinstance(thing, partial):
            found[id(thing)] = repr(_plain([*thing.args, *chain(*sorted(thing.keywords.items()))]))
        thing = thing.func if isinstance(thing, partial) else thing.__func__
    if not isinstance(thing, FunctionType | type):
        thing = type(thing)
    if id(thing) in found:
        return
    functions = [thing] if isinstance(thing, FunctionType) else [
        one for one in vars(thing).values() if isinstance(one, FunctionType)
    ]  # fmt: skip
    found[id(thing)] = _source(thing, functions)
    beside = [*getattr(thing, "__bases__", ()), *(one for function in functions for one in _named_in(function))]
    for one in beside:
        if isinstance(one, FunctionType | type) and one.__module__ == thing.__module__:
            _gather(one, found)


def _source(thing: Any, functions: Sequence[FunctionType]) -> str:
    """Return the source of a function or class; of a lambda, or without a source, its code: a line holds more."""
    try:
        if thing.__name__ != "<lambda>":
            return inspect.getsource(thing)
    except (OSError, TypeError):
        pass
    codes = [code for function in functions for code in _codes(function.__code__)]
    return repr([(code.co_code, code.co_names, _plain(code.co_consts)) for code in codes])


def _plain(values: Iterable[Any]) -> list[Any]:
    """Return those of some values that are written the same way in every process."""
    return [one for one in values if isinstance(one, str | int | float | bytes | None)]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _named_in(function: FunctionType) -> Iterator[Any]:
    """Yield what a function names of its module, and what it closes over."""
    for code in _codes(function.__code__):
        yield from (function.__globals__.get(name) for name in code.co_names)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
