"""Where work runs: threads, processes of this machine, any executor, the workers of a Dask scheduler."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genius_kit import extras
from genius_kit.errors import InvalidParameter, VersionMismatch, WorkerDied

if TYPE_CHECKING:
    from distributed import Client

SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads, or that has used CUDA, may hang
START_SECONDS = 0.1
"""How long a process is kept busy when it starts, so that the next one is started too and not spared."""
THREADS = 8
"""Runs that talk to a model at the same time, unless `workers` says otherwise."""
CALLERS = 64  # jobs under way at most in the executors of a function whose size is not known
REFRESH_SECONDS = 0.5
CONNECT_SECONDS = 10
GRACE_SECONDS = 5.0  # how long jobs are waited for that were told to stop


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class RestartingPool(Executor):
    """An executor that outlives its processes; `make` makes the one in use, and another after a process has died.

    A death (by the system, say, when memory runs out) ends every job of an executor with the same error. Each of them
    runs once more, alone in an executor of its own: the one that dies there too ends with WorkerDied, and its
    neighbours have their results. So a job may be begun again, and has to go on from what it left on disk.
    """

    def __init__(self, make: Callable[[], Executor], workers: int = CALLERS) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: Executor | None = None
        self._callers, self._max_workers = ThreadPoolExecutor(workers), workers

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Return the future of a job; its error is InvalidParameter where no process can start."""
        return self._callers.submit(self._run, partial(function, *arguments, **named))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Begin no further job, and with `wait` let those under way end."""
        self._callers.shutdown(wait, cancel_futures=cancel_futures)
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, job: Callable[[], Any]) -> Any:
        executor = self._executor()
        try:
            return executor.submit(job).result()
        except BrokenExecutor:
            with self._lock:
                if self._made is executor:
                    self._made = None
            executor.shutdown(wait=False)
        with self._make() as alone:
            try:
                return alone.submit(job).result()
            except BrokenExecutor as error:
                raise WorkerDied(
                    "the worker's process died twice, killed perhaps when memory ran out; with fewer workers there is "
                    "more for each, and the same call again goes on from what is on disk"
                ) from error

    def _executor(self) -> Executor:
        with self._lock:
            if self._made is None:
                made = self._make()
                _start_all(made)
                self._made = made
            return self._made


def _start_all(executor: Executor) -> None:
    """Start every process of an executor; raises InvalidParameter when they cannot.

    One that is started later, with a job, is not watched before something else happens (seen in CPython 3.11): its
    death would pass unnoticed until a neighbour is done.
    """
    processes = getattr(executor, "_max_workers", 1) if isinstance(executor, ProcessPoolExecutor) else 0
    try:
        for started in [executor.submit(time.sleep, START_SECONDS) for _ in range(processes)]:
            started.result()
    except BrokenExecutor as error:
        raise InvalidParameter(
            "the executor's processes cannot start; a script that makes processes has to do its work under "
            '`if __name__ == "__main__":`, and each process has to be able to import genius_kit'
        ) from error


def process_executor(workers: int = 1) -> RestartingPool:
    """Return an executor of `workers` fresh processes that train, and share the CPU's cores evenly."""
    threads = max(1, usable_cores() // workers)
    begin: dict[str, Any] = {"initializer": _limit_threads, "initargs": (threads,)}
    return RestartingPool(partial(ProcessPoolExecutor, workers, SPAWN, **begin), workers)


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def computing_processes(count: int, stop: Any = None) -> RestartingPool:
    """Return fresh processes, each with one thread for its numbers; `stop` is the event that `is_stopping` hears."""
    begin: dict[str, Any] = {"initializer": _begin_worker, "initargs": (stop,)}
    return RestartingPool(partial(ProcessPoolExecutor, count, SPAWN, **begin), count)


_stops: list[Any] = []  # the event of this process, put here when it starts


def is_stopping() -> bool:
    """Return whether this process is a worker whose jobs are to stop."""
    return any(stop is not None and stop.is_set() for stop in _stops)


def _begin_worker(stop: Any) -> None:
    """Make a fresh process a worker: Ctrl-C is its parent's affair, and it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _stops.append(stop)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # heeded by the libraries that load from here on
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)  # and this by those that the parent's script has loaded


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # safe: a journal resumes after any line


@dataclass(frozen=True)
class Lane:
    """An executor with the function that it runs on each job, how many go side by side in it, and what stops them.

    `stop` is None for an executor that is not ours: only what has not begun can be cancelled there.
    """

    executor: Executor
    function: Callable[..., Any]
    side_by_side: int | None
    stop: Any = None


def thread_lane(function: Callable[..., Any], workers: int | None, jobs: int) -> Lane:
    """Return threads of this process, for jobs that wait for a model's replies; `function` is given `stop` as well."""
    stop, count = threading.Event(), min(workers or THREADS, jobs)
    return Lane(ThreadPoolExecutor(count), partial(function, stop=stop.is_set), count, stop)


def process_lane(function: Callable[..., Any], workers: int | None, jobs: int) -> Lane:
    """Return processes of this machine, for jobs that compute."""
    stop, count = SPAWN.Event(), min(workers or usable_cores(), jobs)
    return Lane(computing_processes(count, stop), function, count, stop)


class Scheduler:
    """Jobs under way in their lanes; iterate over `outcomes` as they come.

    `lost(job, why)` is the outcome of a job that has no answer.
    """

    def __init__(self, lost: Callable[[Any, str], Any]) -> None:
        self._lost = lost
        self._pending: dict[Future[Any], Any] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._lanes: list[Lane] = []

    def start(self, lane: Lane, jobs: Iterable[Any]) -> None:
        """Send the jobs off."""
        self._lanes.append(lane)
        for job in jobs:
            try:
                future = lane.executor.submit(lane.function, job)
            except (BrokenExecutor, RuntimeError) as error:  # RuntimeError: it was shut down
                future = Future()
                future.set_exception(error)
            self._pending[future] = job
            future.add_done_callback(self._done.put)

    def running(self) -> list[Any]:
        """Return the jobs that a worker has taken up."""
        return [job for future, job in list(self._pending.items()) if future.running()]

    def outcomes(self) -> Iterator[Any]:
        """Yield the outcome of each job as it comes, and None now and then while nothing comes."""
        while self._pending:
            try:
                future = self._done.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                yield None
            else:
                yield self._outcome(future, self._pending.pop(future))
        self._close(wait=True)

    def halt(self) -> None:
        """Cancel what has not begun, tell the rest to stop, and give it a moment."""
        for lane in self._lanes:
            if lane.stop is not None:
                lane.stop.set()
        for future in list(self._pending):
            future.cancel()
        wait([future for future in self._pending if future.running()], GRACE_SECONDS)
        self._close(wait=False)

    def _outcome(self, future: Future[Any], job: Any) -> Any:
        try:
            return future.result()
        except Exception as error:  # the others go on; it is told at the end
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return self._lost(job, f"the worker gave no answer; the same call again resumes the run ({told})")

    def _close(self, *, wait: bool) -> None:
        for lane in self._lanes:
            if lane.stop is not None:  # another's executor is its owner's to close
                lane.executor.shutdown(wait=wait, cancel_futures=True)


@contextmanager
def dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask scheduler and give the executor of its workers, with the number of their threads.

    Raises ExtraMissing without dask, InvalidParameter where nothing answers or no worker is there, VersionMismatch
    where a worker has another version of the kit.
    """
    client = _connect(address)
    try:
        _check_workers(client, address)
        yield client.get_executor(pure=False), sum(client.nthreads().values())
    finally:
        client.close()


def _connect(address: str) -> Client:
    library = extras.load("distributed", "dask")
    try:
        _knock(address)
        return _within(2 * CONNECT_SECONDS, lambda: library.Client(address, timeout=CONNECT_SECONDS))
    except (OSError, TimeoutError, ValueError, OverflowError) as error:
        raise InvalidParameter(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}); start one with `dask scheduler`, "
            "workers with `dask worker ADDRESS`, and give the address that it prints, such as tcp://10.0.0.1:8786"
        ) from None


def _knock(address: str) -> None:
    """Raise OSError or ValueError where nothing listens; a Client that cannot connect cannot be closed properly."""
    from distributed.comm import get_address_host_port

    with socket.create_connection(get_address_host_port(address), CONNECT_SECONDS):
        pass


def _within(seconds: float, make: Callable[[], Client]) -> Client:
    """Return what `make` returns; raises TimeoutError when it takes longer, as where a port is open but silent."""
    made: Future[Client] = Future()

    def call() -> None:
        try:
            made.set_result(make())
        except Exception as error:
            made.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return made.result(timeout=seconds)


def _check_workers(client: Client, address: str) -> None:
    """Refuse workers that would run other code; a function of the standard library asks, so each can answer."""
    from importlib.metadata import version

    from genius_kit.version import __version__ as here

    found = client.run(version, "genius-kit", on_error="return")
    if not found:
        raise InvalidParameter(f"the scheduler at {address} has no workers; start some with `dask worker {address}`")
    wrong = {worker: told for worker, told in found.items() if told != here}
    if wrong:
        told = ", ".join(f"{worker} has {told if isinstance(told, str) else 'none'}" for worker, told in wrong.items())
        raise VersionMismatch(f"genius-kit {here} is here, but {told}: install the same version on every machine")
