"""Shared fixtures: where the published files are, and a data folder that holds them."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver, resource_sharer, resource_tracker
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from threadpoolctl import threadpool_limits

import genius_kit
from genius_kit.benchmarks import downloads
from genius_kit.files import data_folder

hypothesis.settings.register_profile("kit", deadline=None)  # how long an example takes says how busy the machine is
hypothesis.settings.load_profile("kit")

REPOSITORY = Path(genius_kit.__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)  # before xdist looks at its options
def pytest_configure(config: pytest.Config) -> None:
    """End a run whose worker died, with the test named that killed it, where xdist would wait for ever.

    xdist 3.8 (`--dist loadfile`) gives the replacement of a worker what that had done already, which is nothing, and
    waits for its answer. It also waits while a forked child of the dead worker holds the pipe between the two.
    """
    if hasattr(config, "workerinput"):  # one thread each, where several run: libraries would take every core in each
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))
    if getattr(config.option, "maxworkerrestart", "") is None:
        config.option.maxworkerrestart = "0"
    for worker in (plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "channel")):
        pipe = worker.channel.gateway._io
        ends = (pipe.infile.fileno(), pipe.outfile.fileno())
        os.register_at_fork(after_in_child=lambda: [os.close(end) for end in ends])  # noqa: B023 - there is one worker


def _published_folder() -> Path | None:
    """Return the first folder that holds every published file."""
    named = os.environ.get("GENIUS_KIT_PUBLISHED")
    folders = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data", data_folder()]
    for folder in folders:
        if all((folder / name).is_file() for name in downloads.FILES):
            return folder
    return None


HEAVY = (
    *("test_notebooks", "test_crash", "test_disk_faults", "test_replies", "test_remote_control", "test_budgets"),
    *("test_reports_resume", "test_reports_command", "test_error_rates", "test_lab_browser", "test_machine"),
    *(
        "test_lab_panels_browser",
        "test_reports_kernels",
        "test_cli",
        "test_studies",
        "test_bayesian",
        "test_reports",
        "test_private_builds",
    ),
)
"""The files that take longest, which begin first: a worker that is done finds something to do until all are."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; tests stay in the order of their file."""
    places = {name: place for place, name in enumerate(HEAVY)}
    items.sort(key=lambda item: places.get(item.path.stem, len(HEAVY)))


GRACE = 30.0
"""Seconds that a thread or a descriptor may outlive its test."""


def _held() -> dict[str, str]:
    """Return the threads of this process and its open descriptors, each with what it is.

    Left out is what a library keeps once for the whole process: two pipes of multiprocessing, the fonts of matplotlib,
    the threads of tqdm and of Dask.
    """
    whole = ("TMonitor", "IO loop")  # by its class: old versions of tqdm give it no name
    alive = [one for one in threading.enumerate() if not {one.name, type(one).__name__} & {*whole}]
    held = {f"thread {one.ident}": repr(one) for one in alive}
    kept = {str(resource_tracker._resource_tracker._fd), str(forkserver._forkserver._forkserver_alive_fd)}
    opened = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    for number in opened - kept:
        with suppress(OSError):  # one that was closed since, such as that of the listing itself
            held[f"descriptor {number}"] = os.readlink(f"/proc/self/fd/{number}")
    return {name: what for name, what in held.items() if not what.endswith(".ttf")}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread or a descriptor: hundreds of them stop a run that is long enough."""
    before, heard = _held(), signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not heard:
        signal.signal(signal.SIGINT, heard)
        pytest.fail("the test leaves another handler of Ctrl-C")
    ends = time.monotonic() + GRACE
    while left := {name: what for name, what in _held().items() if before.get(name) != what}:
        gc.collect()  # what only a circle of references keeps is nobody's
        resource_sharer.stop(1)  # by which torch hands tensors to other processes; it begins anew when it is needed
        if time.monotonic() > ends:
            pytest.fail(f"the test leaves behind: {left}")
        time.sleep(0.02)


@pytest.fixture(autouse=True, scope="session")
def within_the_worst_case() -> Iterator[None]:
    """Fail whatever test makes a call that is recorded above what was reserved for it, and not marked as that."""
    from genius_kit.budget.amounts import Amount
    from genius_kit.llm.calls import Caller

    fields_of = Caller._reply_fields

    def checked(self: Caller, reply: Any, question: Any, worst: Any) -> dict[str, Any]:
        fields, most = fields_of(self, reply, question, worst), worst.amount
        spent = Amount.read(fields["spent"])
        is_beyond = "beyond_worst_case" in fields
        assert "tokens" in worst.unbounded or spent.tokens <= most.tokens or is_beyond
        assert "dollars" in worst.unbounded or spent.dollars <= most.dollars or is_beyond
        return fields

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Caller, "_reply_fields", checked)
        yield


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of the published files; skips without them, fails under GENIUS_KIT_DEMAND_DATA=1."""
    folder = _published_folder()
    if folder is not None:
        return folder
    reason = "the published files are not here: set GENIUS_KIT_PUBLISHED or run `genius-kit data fetch`"
    if os.environ.get("GENIUS_KIT_DEMAND_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def imported(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the published files, made once a session; use it through `data_home`."""
    home = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(home))
        downloads.import_folder(published)
    return home


@pytest.fixture
def data_home(imported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's data folder with the published files, as GENIUS_KIT_DATA; do not damage what is in it."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(imported))
    return imported


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder without published files that keeps the compact copy of the embedded tables for the session."""
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def no_data(embedded_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing was downloaded."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    return embedded_cache


@pytest.fixture(scope="session")
def paper_tables() -> dict[str, Any]:
    """The figures of the paper's tables, from the package's own copy."""
    return json.loads((Path(genius_kit.__file__).parent / "paper_tables.json").read_text(encoding="utf-8"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch with one thread: faster for networks this small where the machine is busy, and the same on any number."""
    from genius_kit.training.runtime import cpu_threads

    with cpu_threads(1):
        yield


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network: a socket that is opened fails the test."""
    import socket

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
