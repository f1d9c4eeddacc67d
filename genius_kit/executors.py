"""Where the runs of a study go: threads, processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from genius_kit import extras
from genius_kit.errors import InvalidParameter, VersionMismatch
from genius_kit.study_tasks import Flag, Job, Outcome, inherit, run_jobs
from genius_kit.workers import usable_cores

if TYPE_CHECKING:
    from distributed import Client

THREADS = 8
"""Runs that talk to a model at the same time, unless `workers` says otherwise."""
CHUNKS_A_WORKER, LONGEST_CHUNK = 8, 16
"""Small runs travel together; enough parcels stay for every worker to be busy until the end."""
BREAKS_LIMIT = 3  # times that worker processes die before anything got done
REFRESH_SECONDS = 0.5
CONNECT_SECONDS = 10
GRACE_SECONDS = 5.0  # how long runs are waited for that were told to stop

Outcomes = Callable[[list[Outcome]], None]
Chunk = list[Job]


@dataclass
class Lane:
    """An executor with how many runs go side by side in it, what stops them, and how to make it anew.

    `remake` is None for an executor that is not ours; `stop` is None where only what has not begun can be cancelled.
    """

    executor: Executor
    side_by_side: int | None
    function: Callable[[Chunk], list[Outcome]] = run_jobs
    stop: Any = None
    remake: Callable[[], Lane] | None = None
    breaks: int = 0

    def chunks(self, jobs: Sequence[Job]) -> list[Chunk]:
        """Return the jobs in parcels that travel together, in order."""
        batch = min(self.side_by_side or len(jobs), len(jobs))
        jobs = [replace(job, batch=batch) for job in jobs]
        size = max(1, min(LONGEST_CHUNK, len(jobs) // (CHUNKS_A_WORKER * (self.side_by_side or len(jobs)))))
        return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def thread_lane(workers: int | None, runs: int) -> Lane:
    """Return threads of this process: for runs that wait for a model's replies."""
    stop, count = threading.Event(), min(workers or THREADS, runs)
    return Lane(ThreadPoolExecutor(count), count, partial(run_jobs, stop=stop), stop)


def process_lane(workers: int | None, runs: int) -> Lane:
    """Return fresh processes, each with one thread for its numbers: for runs that compute."""
    count = min(workers or usable_cores(), runs)
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    stop = context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(stop,))
    return Lane(pool, count, run_jobs, stop, partial(process_lane, workers, runs))


def foreign_lane(executor: Executor, workers: int | None) -> Lane:
    """Return the lane of an executor that is not ours."""
    return Lane(executor, workers or getattr(executor, "_max_workers", None))


def _begin_worker(stop: Flag) -> None:
    """Make a fresh process a worker: Ctrl-C is its parent's affair, and it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    inherit(stop)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # heeded by the libraries that load from here on
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)  # and this by those that the parent's script has loaded


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a journal bears an end at any point


class Flights:
    """Chunks of jobs under way in their lanes; iterate over `land` for the outcomes as they come."""

    def __init__(self) -> None:
        self._pending: dict[Future[list[Outcome]], tuple[Lane, Chunk]] = {}
        self._landed: queue.SimpleQueue[Future[list[Outcome]]] = queue.SimpleQueue()
        self._lanes: list[Lane] = []
        self._suspects: list[tuple[Lane, Job]] = []
        self._suspected: Chunk | None = None

    def start(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """Send the jobs off in parcels."""
        self._lanes.append(lane)
        for chunk in lane.chunks(jobs):
            self._submit(lane, chunk)

    def running(self) -> list[Job]:
        """Return the jobs whose parcel a worker has taken up."""
        return [job for future, (_, chunk) in list(self._pending.items()) if future.running() for job in chunk]

    def land(self) -> Iterator[list[Outcome]]:
        """Yield outcomes until all are here, an empty list now and then while nothing lands."""
        while self._pending or self._suspects:
            if not self._pending:
                self._try_suspect()
            try:
                future = self._landed.get(timeout=REFRESH_SECONDS)
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
        for _ in range(int(GRACE_SECONDS / REFRESH_SECONDS)):
            if not any(future.running() for future in self._pending):
                break
            try:
                self._pending.pop(self._landed.get(timeout=REFRESH_SECONDS), None)
            except queue.Empty:
                continue
        self._close(wait=False)

    def _submit(self, lane: Lane, chunk: Chunk) -> None:
        try:
            future = lane.executor.submit(lane.function, chunk)
        except (BrokenExecutor, RuntimeError) as error:  # RuntimeError: it was shut down
            future = Future()
            future.set_exception(error)
        self._pending[future] = (lane, chunk)
        future.add_done_callback(self._landed.put)

    def _outcomes(self, future: Future[list[Outcome]], lane: Lane, chunk: Chunk) -> list[Outcome]:
        try:
            outcomes = future.result()
        except BrokenExecutor as error:
            return self._mend(lane, chunk, error)
        except Exception as error:  # the others go on; it is told at the end
            return _lost(chunk, error)
        lane.breaks = 0
        return outcomes

    def _mend(self, lane: Lane, chunk: Chunk, error: BaseException) -> list[Outcome]:
        """Put new processes in the place of a pool that a worker's death broke, and send off what it had not begun.

        What was under way goes last, one run at a time: the one that kills its worker alone is the one to blame.
        """
        broken = [(future, jobs) for future, (other, jobs) in self._pending.items() if other is lane]
        for future, _ in broken:
            del self._pending[future]
        chunks = [chunk, *(jobs for _, jobs in broken)]
        is_to_blame, self._suspected = chunk is self._suspected, None
        if lane.remake is None or (not is_to_blame and lane.breaks + 1 >= BREAKS_LIMIT):
            return _lost([job for jobs in chunks for job in jobs], error)
        lane.executor.shutdown(wait=False, cancel_futures=True)
        made = lane.remake()
        lane.executor, lane.stop = made.executor, made.stop
        if is_to_blame:
            return _lost(chunk, error)
        lane.breaks += 1
        begun = [jobs for jobs in chunks if any(_exists(job) for job in jobs)]
        self._suspects += [(lane, job) for jobs in begun for job in jobs]
        for jobs in [jobs for jobs in chunks if jobs not in begun]:
            self._submit(lane, jobs)
        return []

    def _try_suspect(self) -> None:
        """Send off one run that was under way when a worker died, alone."""
        lane, job = self._suspects.pop(0)
        self._suspected = [job]
        self._submit(lane, self._suspected)

    def _close(self, wait: bool) -> None:
        for lane in self._lanes:
            if lane.stop is not None:  # another's executor is its owner's to close
                lane.executor.shutdown(wait=wait, cancel_futures=True)


def _exists(job: Job) -> bool:
    return os.path.exists(job.path)


def _lost(chunk: Chunk, error: BaseException) -> list[Outcome]:
    """Return the outcomes of jobs whose executor gave no answer."""
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "the worker gave no answer; the same call again resumes the run"
    if isinstance(error, BrokenExecutor):
        hint += '. A script that starts processes does its work under `if __name__ == "__main__":`'
    return [Outcome(job.task.order, failure=f"{hint} ({told})") for job in chunk]


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
