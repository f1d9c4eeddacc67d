"""Where trainings run: results come back, and a dead worker is told apart from its neighbours."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

from genius_kit.errors import InvalidParameter, TrainingFailed
from genius_kit.pools import Workers
from tests.worker_children import die, die_or_wait, double

SPAWN = multiprocessing.get_context("spawn")
two_processes = partial(ProcessPoolExecutor, 2, mp_context=SPAWN)


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor, partial(ThreadPoolExecutor, 1), two_processes])
def test_a_job_is_answered_wherever_it_runs(executor):
    """In this process, in threads, in processes: the same answer."""
    workers = Workers(executor)
    assert [workers.run(double, number) for number in (1, 2)] == [2, 4]


def test_a_given_executor_is_used_and_left_open():
    """An Executor that was handed in stays the caller's."""
    with ThreadPoolExecutor(1) as pool:
        assert Workers(pool).run(double, 4) == 8
        assert pool.submit(double, 1).result() == 2


def test_a_killed_worker_is_a_failure_and_the_next_job_gets_a_new_one():
    """What a function made is made again after a death."""
    workers = Workers(two_processes)
    with pytest.raises(TrainingFailed) as caught:
        workers.run(die, None)
    assert caught.value.cause == "process died"
    assert workers.run(double, 3) == 6


def test_a_broken_executor_that_cannot_be_replaced_is_named_as_such():
    """The first death is a failure of its job, what follows is no failure of the next one."""
    with two_processes() as pool:
        workers = Workers(pool)
        with pytest.raises(TrainingFailed):
            workers.run(die, None)
        with pytest.raises(InvalidParameter, match="executor=process_executor"):
            workers.run(double, 3)


def test_the_neighbour_of_a_killed_worker_is_not_blamed(tmp_path):
    """Of two jobs in one executor the one that died fails, the other is done again alone."""
    workers = Workers(two_processes)
    with ThreadPoolExecutor(2) as threads:
        waiting, dying = (threads.submit(workers.run, die_or_wait, (kind, str(tmp_path))) for kind in ("wait", "die"))
        assert waiting.result(60) == "answered"
        with pytest.raises(TrainingFailed):
            dying.result(60)


def test_an_error_of_the_job_is_raised_as_it_is():
    """A failing job is no death."""
    with pytest.raises(TypeError):
        Workers(two_processes).run(double, object())


def test_what_is_no_executor_is_refused():
    """A number is none."""
    with pytest.raises(InvalidParameter, match="executor is 4"):
        Workers(4)
