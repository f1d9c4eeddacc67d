"""Where trainings run: in this process or in any executor, with the death of a worker told apart from its neighbours'.

A process that dies (killed by the system when memory runs out, say) breaks the whole `ProcessPoolExecutor`: every
training in it ends with the same error. The one that was alone is the one that failed; others run once more, alone.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from genius_kit.errors import InvalidParameter, TrainingFailed

START_SECONDS = 0.1
"""How long a process is kept busy when it starts, so that the next one is started too and not spared."""


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_executor(workers: int = 1) -> ProcessPoolExecutor:
    """Return an executor of `workers` fresh processes that share the CPU's cores evenly."""
    threads = max(1, usable_cores() // workers)
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch or CUDA may hang
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_limit_threads, initargs=(threads,))


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@dataclass
class _Flight:
    """One job under way; `crowded` once another was under way in the same executor at the same time."""

    executor: Executor
    crowded: bool = False


class Workers:
    """Runs jobs: `executor` is an Executor, a function that makes one, or None for this process.

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
        self._flights: list[_Flight] = []
        self._lock = threading.Lock()

    def run(self, function: Callable[[Any], Any], job: Any) -> Any:
        """Return `function(job)`; raises TrainingFailed ("process died") when its process did.

        Raises InvalidParameter for an executor whose workers cannot start, or that is broken and cannot be replaced.
        """
        if self._given is None:
            return function(job)
        with self._flight() as flight:
            try:
                return self._submit(flight.executor, function, job)
            except Exception as error:
                if not _is_death(error):
                    raise
                self._drop(flight.executor)
                if not flight.crowded or not isinstance(error, BrokenExecutor):
                    raise _died(error) from error
        return self._run_alone(function, job)

    def _run_alone(self, function: Callable[[Any], Any], job: Any) -> Any:
        if isinstance(self._given, Executor) or self._given is None:
            raise InvalidParameter(
                "a worker process died while several trainings shared the executor, and which of them it was cannot be "
                "told: give a function that makes the executor (executor=process_executor), and run again"
            )
        with self._given() as executor:
            try:
                return executor.submit(function, job).result()
            except Exception as error:
                if not _is_death(error):
                    raise
                raise _died(error) from error

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
    def _flight(self) -> Iterator[_Flight]:
        with self._lock:
            flight = _Flight(self._executor())
            others = [other for other in self._flights if other.executor is flight.executor]
            for one in (flight, *others) if others else ():
                one.crowded = True
            self._flights.append(flight)
        try:
            yield flight
        finally:
            with self._lock:
                self._flights.remove(flight)

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
