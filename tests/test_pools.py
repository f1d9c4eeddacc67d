"""Where jobs run: results come back, and a job that kills its process is told apart from its neighbours."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

from genius_kit import pools
from genius_kit.errors import InvalidParameter, WorkerDied
from genius_kit.pools import RestartingPool, computing_processes
from tests.worker_children import die, die_once, die_or_wait, double

SPAWN = multiprocessing.get_context("spawn")
two_processes = partial(ProcessPoolExecutor, 2, mp_context=SPAWN)


@pytest.mark.parametrize("make", [ThreadPoolExecutor, partial(ThreadPoolExecutor, 1), two_processes])
def test_a_job_is_answered_wherever_it_runs(make):
    """In threads and in processes: the same answer."""
    with RestartingPool(make) as pool:
        assert list(pool.map(double, (1, 2))) == [2, 4]


def test_a_job_whose_process_is_killed_once_runs_again(tmp_path):
    """As by the system when memory runs out: the pool is restarted, and the job goes on from what is on disk."""
    with computing_processes(2) as pool:
        assert list(pool.map(die_once, [str(tmp_path / name) for name in "abc"])) == ["answered"] * 3


def test_a_job_that_kills_its_process_twice_is_named():
    """In one sentence; the next one gets new processes."""
    with RestartingPool(two_processes) as pool:
        with pytest.raises(WorkerDied, match=r"died twice.*the same call again"):
            pool.submit(die, None).result()
        assert pool.submit(double, 3).result() == 6


def test_the_neighbour_of_a_killed_worker_is_not_blamed(tmp_path):
    """Of two jobs in one executor the one that dies fails, the other is done again alone."""
    with RestartingPool(two_processes) as pool:
        waiting, dying = (pool.submit(die_or_wait, (kind, str(tmp_path))) for kind in ("wait", "die"))
        assert waiting.result(60) == "answered"
        with pytest.raises(WorkerDied):
            dying.result(60)


def test_an_error_of_the_job_is_raised_as_it_is():
    """A failing job is no death."""
    with RestartingPool(two_processes) as pool, pytest.raises(TypeError):
        pool.submit(double, object()).result()


@pytest.mark.slow
def test_processes_that_cannot_start_are_told():
    """As in a script that starts them without a guard: what to write."""
    make = partial(ProcessPoolExecutor, 1, mp_context=SPAWN, initializer=os._exit, initargs=(1,))
    with RestartingPool(make) as pool, pytest.raises(InvalidParameter, match='if __name__ == "__main__"'):
        pool.submit(double, 1).result()


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    """A container or a scheduler may give fewer than the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 5, 7}, raising=False)
    assert pools.usable_cores() == 3
