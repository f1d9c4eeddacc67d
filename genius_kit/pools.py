"""Where work runs: threads, processes of this machine, any executor, the workers of a Dask scheduler.

A process that dies (killed by the system when memory runs out, say) breaks the whole `ProcessPoolExecutor`: everything
in it ends with the same error. `Workers` and `Scheduler` tell the job that killed it from its neighbours, which run
again, alone.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genius_kit import extras
from genius_kit.errors import InvalidParameter, TrainingFailed, VersionMismatch

if TYPE_CHECKING:
    from distributed import Client

SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads, or that has used CUDA, may hang
START_SECONDS = 0.1
"""How long a process is kept busy when it starts, so that the next one is started too and not spared."""
THREADS = 8
"""Runs that talk to a model at the same time, unless `workers` says otherwise."""
CHUNKS_A_WORKER, LONGEST_CHUNK = 8, 16
"""Small runs travel together; enough parcels stay for every worker to be busy until the end."""
BREAKS_LIMIT = 3  # times that worker processes die before anything got done
REFRESH_SECONDS = 0.5
CONNECT_SECONDS = 10
GRACE_SECONDS = 5.0  # how long jobs are waited for that were told to stop


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_executor(workers: int = 1) -> ProcessPoolExecutor:
    """Return an executor of `workers` fresh processes that train, and share the CPU's cores evenly."""
    threads = max(1, usable_cores() // workers)
    return ProcessPoolExecutor(workers, mp_context=SPAWN, initializer=_limit_threads, initargs=(threads,))


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@dataclass
class _Running:
    """One job under way; `crowded` once another was under way in the same executor at the same time."""

    executor: Executor
    crowded: bool = False


class Workers:
    """Runs trainings: `executor` is an Executor, a function that makes one, or None for this process.

    What a function made is replaced after a worker's death, so that a search can go on.
    """

    def __init__(self, executor: Executor | Callable[[], Executor] | None) -> None:
        if executor is not None and not isinstance(executor, Executor) and not callable(executor):
            raise InvalidParameter(
                f"executor is {executor!r}; expected an Executor, a function that makes one, or None"
            )
        self._given = executor
        self._made: Executor | None = None
        self._probed: Executor | None = None
        self._running: list[_Running] = []
        self._lock = threading.Lock()

    def run(self, function: Callable[[Any], Any], job: Any) -> Any:
        """Return `function(job)`; raises TrainingFailed ("process died") when its process did.

        Raises InvalidParameter for an executor whose workers cannot start, or that is broken and cannot be replaced.
        """
        if self._given is None:
            return function(job)
        with self._entered() as running:
            try:
                return self._submit(running.executor, function, job)
            except Exception as error:
                if not _is_death(error):
                    raise
                self._drop(running.executor)
                if not running.crowded or not isinstance(error, BrokenExecutor):
                    raise _died(error) from error
        return self._run_alone(function, job)

    def _run_alone(self, function: Callable[[Any], Any], job: Any) -> Any:
        if isinstance(self._given, Executor) or self._given is None:
            raise InvalidParameter(
                "a worker process died while several trainings shared the executor, and which of them it was cannot be "
                "told: give a function that makes the executor (executor=process_executor), and run again"
            )
        with self._given() as executor:
            return Workers(executor).run(function, job)

    def _submit(self, executor: Executor, function: Callable[[Any], Any], job: Any) -> Any:
        try:
            future = executor.submit(function, job)
        except BrokenExecutor as error:
            if not isinstance(self._given, Executor):
                raise
            raise InvalidParameter(
                "the executor is broken since one of its processes died, and nothing can be trained in it any more: "
                "give a function that makes one (executor=process_executor), and resume the search"
            ) from error
        return future.result()

    @contextmanager
    def _entered(self) -> Iterator[_Running]:
        with self._lock:
            running = _Running(self._executor())
            others = [other for other in self._running if other.executor is running.executor]
            for one in (running, *others) if others else ():
                one.crowded = True
            self._running.append(running)
        try:
            yield running
        finally:
            with self._lock:
                self._running.remove(running)

    def _executor(self) -> Executor:
        """Return the executor in use, making it where a function was given, after one trial of its workers."""
        if isinstance(self._given, Executor):
            executor = self._given
        else:
            assert self._given is not None
            executor = self._made = self._made or self._given()
        if self._probed is not executor:
            _probe(executor)
            self._probed = executor
        return executor

    def _drop(self, executor: Executor) -> None:
        with self._lock:
            if self._made is executor:
                self._made = None
                executor.shutdown(wait=False)


def _probe(executor: Executor) -> None:
    """Start every process of an executor; raises InvalidParameter when they cannot.

    One that is started later, with a job, is not watched before something else happens (seen in CPython 3.11): its
    death would pass unnoticed until a neighbour is done.
    """
    processes = getattr(executor, "_max_workers", 1) if isinstance(executor, ProcessPoolExecutor) else 1
    try:
        for started in [executor.submit(time.sleep, START_SECONDS) for _ in range(processes)]:
            started.result()
    except BrokenExecutor as error:
        raise InvalidParameter(
            "the executor's processes cannot start; a script that makes processes has to do its work under "
            '`if __name__ == "__main__":`, and each process has to be able to import genius_kit'
        ) from error


def _is_death(error: Exception) -> bool:
    """Return whether a worker died; dask has its own word for it, and may not be installed."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def _died(error: Exception) -> TrainingFailed:
    return TrainingFailed(
        "the process that trained ended without an answer, killed perhaps when memory ran out; try a smaller batch "
        f"or fewer trainings at a time ({type(error).__name__})",
        cause="process died",
    )


Function = Callable[..., list[Any]]
"""What a lane runs: it takes a list of jobs and `stop`, which says whether to stop, and returns an outcome of each."""


@dataclass
class Lane:
    """An executor with the function it runs, how many jobs go side by side in it, what stops them, how to remake it.

    `remake` is None for an executor that is not ours; `stop` is None where only what has not begun can be cancelled.
    """

    executor: Executor
    function: Function
    side_by_side: int | None
    stop: Any = None
    remake: Callable[[], Lane] | None = None
    breaks: int = 0

    def batch(self, jobs: int) -> int:
        """Return how many of so many jobs go side by side."""
        return min(self.side_by_side or jobs, jobs)

    def chunks(self, jobs: Sequence[Any]) -> list[list[Any]]:
        """Return the jobs in parcels that travel together, in order."""
        size = max(1, min(LONGEST_CHUNK, len(jobs) // (CHUNKS_A_WORKER * (self.side_by_side or len(jobs)))))
        return [list(jobs[start : start + size]) for start in range(0, len(jobs), size)]


def thread_lane(function: Function, workers: int | None, jobs: int) -> Lane:
    """Return threads of this process, for jobs that wait for a model's replies."""
    stop, count = threading.Event(), min(workers or THREADS, jobs)
    return Lane(ThreadPoolExecutor(count), partial(function, stop=stop.is_set), count, stop)


def process_lane(function: Function, workers: int | None, jobs: int) -> Lane:
    """Return processes of this machine, for jobs that compute."""
    stop, count = SPAWN.Event(), min(workers or usable_cores(), jobs)
    pool = computing_processes(count, stop)
    return Lane(pool, function, count, stop, partial(process_lane, function, workers, jobs))


def foreign_lane(function: Function, executor: Executor, workers: int | None) -> Lane:
    """Return the lane of an executor that is not ours."""
    return Lane(executor, function, workers or getattr(executor, "_max_workers", None))


_stops: list[Any] = []  # the event of this process, put here when it starts


def is_stopping() -> bool:
    """Return whether this process is a worker whose jobs are to stop."""
    return any(stop is not None and stop.is_set() for stop in _stops)


def computing_processes(count: int, stop: Any = None) -> ProcessPoolExecutor:
    """Return fresh processes, each with one thread for its numbers; `stop` is the event that `is_stopping` hears."""
    return ProcessPoolExecutor(count, mp_context=SPAWN, initializer=_begin_worker, initargs=(stop,))


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


class Scheduler:
    """Chunks of jobs under way in their lanes; iterate over `outcomes` as they come.

    `begun(job)` says whether a job left a trace; `lost(job, why)` is the outcome of one that has no answer.
    """

    def __init__(self, begun: Callable[[Any], bool], lost: Callable[[Any, str], Any]) -> None:
        self._begun, self._lost = begun, lost
        self._pending: dict[Future[list[Any]], tuple[Lane, list[Any]]] = {}
        self._done: queue.SimpleQueue[Future[list[Any]]] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        self._suspects: list[tuple[Lane, Any]] = []
        self._suspected: list[Any] | None = None

    def start(self, lane: Lane, jobs: Sequence[Any]) -> None:
        """Send the jobs off in parcels."""
        self._lanes.append(lane)
        for chunk in lane.chunks(jobs):
            self._submit(lane, chunk)

    def running(self) -> list[Any]:
        """Return the jobs whose parcel a worker has taken up."""
        return [job for future, (_, chunk) in list(self._pending.items()) if future.running() for job in chunk]

    def outcomes(self) -> Iterator[list[Any]]:
        """Yield outcomes until all are here, an empty list now and then while nothing comes."""
        while self._pending or self._suspects:
            if not self._pending:  # one that was under way when a worker died, alone
                lane, job = self._suspects.pop(0)
                self._suspected = [job]
                self._submit(lane, self._suspected)
            try:
                future = self._done.get(timeout=REFRESH_SECONDS)
            except queue.Empty:
                yield []
                continue
            if future in self._pending:
                lane, chunk = self._pending.pop(future)
                yield self._outcomes(future, lane, chunk)
        self._close(wait=True)

    def halt(self) -> None:
        """Cancel what has not begun, tell the rest to stop, and give it a moment."""
        for lane in self._lanes:
            if lane.stop is not None:
                lane.stop.set()
        for future in list(self._pending):
            future.cancel()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(future.running() for future in self._pending) and time.monotonic() < deadline:
            try:
                self._pending.pop(self._done.get(timeout=REFRESH_SECONDS), None)
            except queue.Empty:
                continue
        self._close(wait=False)

    def _submit(self, lane: Lane, chunk: list[Any]) -> None:
        try:
            future = lane.executor.submit(lane.function, chunk)
        except (BrokenExecutor, RuntimeError) as error:  # RuntimeError: it was shut down
            future = Future()
            future.set_exception(error)
        self._pending[future] = (lane, chunk)
        future.add_done_callback(self._done.put)

    def _outcomes(self, future: Future[list[Any]], lane: Lane, chunk: list[Any]) -> list[Any]:
        try:
            outcomes = future.result()
        except BrokenExecutor as error:
            return self._mend(lane, chunk, error)
        except Exception as error:  # the others go on; it is told at the end
            return self._without_answer(chunk, error)
        lane.breaks = 0
        return outcomes

    def _mend(self, lane: Lane, chunk: list[Any], error: BaseException) -> list[Any]:
        """Put new processes in the place of a pool that a worker's death broke, and send off what it had not begun.

        What was under way goes last, one job at a time: the one that kills its worker alone is the one to blame.
        """
        broken = [(future, jobs) for future, (other, jobs) in self._pending.items() if other is lane]
        for future, _ in broken:
            del self._pending[future]
        chunks = [chunk, *(jobs for _, jobs in broken)]
        is_to_blame, self._suspected = chunk is self._suspected, None
        if lane.remake is None or (not is_to_blame and lane.breaks + 1 >= BREAKS_LIMIT):
            return self._without_answer([job for jobs in chunks for job in jobs], error)
        lane.executor.shutdown(wait=False, cancel_futures=True)
        made = lane.remake()
        lane.executor, lane.stop = made.executor, made.stop
        if is_to_blame:
            return self._without_answer(chunk, error)
        lane.breaks += 1
        begun = [jobs for jobs in chunks if any(map(self._begun, jobs))]
        self._suspects += [(lane, job) for jobs in begun for job in jobs]
        for jobs in [jobs for jobs in chunks if jobs not in begun]:
            self._submit(lane, jobs)
        return []

    def _without_answer(self, chunk: list[Any], error: BaseException) -> list[Any]:
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "the worker gave no answer; the same call again resumes the run"
        if isinstance(error, BrokenExecutor):
            hint += '. A script that starts processes does its work under `if __name__ == "__main__":`'
        return [self._lost(job, f"{hint} ({told})") for job in chunk]

    def _close(self, wait: bool) -> None:
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
