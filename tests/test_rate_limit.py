"""The pace: rates that adapt, in simulated time for the figures and in real threads for the rest."""

import heapq
import itertools
import logging
import math
import pickle
import random
import threading
import time

import pytest

from genius_kit.errors import ModelError
from genius_kit.llm import OpenAIClient
from genius_kit.llm.rate_limit import FIRST_BURST, Control, Pace, slot_of
from genius_kit.testing import FixedWindow, SlidingWindow, TokenBucket

RATE = 20.0  # requests per second that the limited servers take
SECONDS = 60.0  # of simulated time


class World:
    """Workers that ask one server one after the other, in simulated time: what a search of many runs does."""

    def __init__(self, limiter, reply_seconds, workers, retry_after, seed=0):
        self.limiter, self.reply_seconds, self.retry_after = limiter, reply_seconds, retry_after
        self.random, self.control = random.Random(seed), Control()
        self.waiting, self.under_way, self.taken, self.refused = [], 0, 0, 0
        self.attempts, self.wake = [0] * workers, 0.0
        self.events, self.number = [], itertools.count()
        for worker in range(workers):
            self.after(0.0, 0.01 * self.random.random(), self.ask, worker)

    def after(self, now, seconds, action, *arguments):
        heapq.heappush(self.events, (now + seconds, next(self.number), action, arguments))

    def run(self, seconds):
        while self.events and self.events[0][0] <= seconds:
            now, _, action, arguments = heapq.heappop(self.events)
            action(now, *arguments)

    def ask(self, now, worker):
        self.waiting.append(worker)
        self.send(now)

    def send(self, now):
        while self.waiting:
            ready = self.control.ready_at(now, self.under_way)
            if ready > now + 1e-9:
                if ready < math.inf and not now < self.wake <= ready:
                    self.wake = ready
                    self.after(ready, 0.002 * self.random.random(), self.send)
                return
            worker, number = self.waiting.pop(0), self.control.send(now)
            self.under_way += 1
            self.after(now, 0.004 * self.random.random(), self.arrive, worker, number, now)

    def arrive(self, now, worker, number, sent):
        wait = self.limiter.admit(now)
        if wait is None:
            self.taken += 1
            self.after(now, self.reply_seconds * self.random.uniform(0.85, 1.15), self.reply, worker, number)
        else:
            self.refused += 1
            asked = math.ceil(wait) if self.retry_after else None
            self.after(now, 0.004 * self.random.random(), self.refuse, worker, number, sent, asked)

    def reply(self, now, worker, number):
        reached = self.under_way >= int(self.control.limit)
        self.control.succeeded(number, now, bool(self.waiting), reached)
        self.under_way -= 1
        self.attempts[worker] = 0
        self.after(now, 0.002 * self.random.random(), self.ask, worker)
        self.send(now)

    def refuse(self, now, worker, number, sent, asked):
        self.control.refused(number, sent, now, self.under_way, asked)
        self.under_way -= 1
        self.attempts[worker] += 1
        self.after(now, 2.0 ** (self.attempts[worker] - 1) if asked is None else asked, self.ask, worker)
        self.send(now)


@pytest.mark.parametrize("retry_after", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize(("reply_seconds", "workers"), [(0.005, 16), (1.0, 40)], ids=["quick", "slow"])
@pytest.mark.parametrize("limiter", [TokenBucket, FixedWindow, SlidingWindow])
def test_a_limited_server_is_used_and_not_pestered(limiter, reply_seconds, workers, retry_after):
    """At a limit of 20 requests per second, at least 0.8 of it is used and at most 5 % are refused, start included."""
    worlds = [World(limiter(RATE), reply_seconds, workers, retry_after, seed) for seed in range(3)]
    for world in worlds:
        world.run(SECONDS)
    taken, refused = sum(world.taken for world in worlds), sum(world.refused for world in worlds)
    print(f"n={taken + refused}: {taken / (RATE * SECONDS * 3):.2f} C, {refused / (taken + refused):.1%} refused")
    assert taken >= 0.8 * RATE * SECONDS * len(worlds)
    assert refused <= 0.05 * (taken + refused)


def rate_limit(retry_after=None):
    return ModelError("too many", cause="rate-limit", retryable=True, retry_after=retry_after)


def send_all(control, count, now=0.0):
    return [control.send(now) for _ in range(count)]


def test_one_episode_cuts_once():
    """Refusals of requests that were sent before the cut change neither rate nor number side by side."""
    control = Control()
    numbers = send_all(control, 16)
    assert control.refused(numbers[0], 0.0, 0.1, 16, None)
    limit = control.limit
    assert not any(control.refused(number, 0.0, 0.2, 15, None) for number in numbers[1:])
    assert control.limit == limit < FIRST_BURST


def test_nothing_grows_without_demand():
    """Replies grow neither rate nor number side by side while nobody waits."""
    control = Control()
    for number in send_all(control, 100):
        control.succeeded(number, 1.0, saturated=False, limit_reached=True)
    assert control.limit == FIRST_BURST
    for number in send_all(control, 4):
        control.succeeded(number, 1.0, saturated=True, limit_reached=True)
    assert control.limit == FIRST_BURST + 4
    assert control.rate is None


def test_without_a_refusal_nobody_waits():
    """A server that refuses nothing is asked as often as the runs like, a burst's worth at once."""
    pace = Pace()
    begun = time.perf_counter()
    for _ in range(2000):
        with pace.slot() as slot:
            pass
        assert slot.change is None
    assert time.perf_counter() - begun < 1.0
    assert pace.rate is None


@pytest.mark.slow
def test_everybody_waits_as_long_as_the_server_asked(caplog):
    """After a 429 with `retry-after` no slot is given before its end; the change is returned and logged."""
    pace = Pace()
    caplog.set_level(logging.INFO, "genius_kit.llm.rate_limit")
    with pace.slot() as slot:
        slot.failed(rate_limit(0.3))
    assert slot.change == {"why": "rate limit", "rate": None, "limit": 1, "hold": pytest.approx(0.3, abs=0.05)}
    assert "pace changed (rate limit)" in caplog.text
    begun, taken = time.monotonic(), []

    def ask():
        with pace.slot():
            taken.append(time.monotonic() - begun)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(taken) >= 0.28
    assert pace.rate is not None


def test_a_wait_for_a_slot_can_be_ended():
    """What the wait function raises ends the wait within half a second, and the next in the queue moves up."""
    pace = Pace()
    with pace.slot() as slot:
        slot.failed(rate_limit(1.0))

    def stop(seconds):
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), pace.slot(stop):
        pass
    assert time.monotonic() - begun < 0.9
    with pace.slot():
        assert 0.9 <= time.monotonic() - begun < 5


def test_an_attempt_that_was_given_up_gives_its_slot_back():
    """A block that raises frees its place; more than the first burst can follow one another."""
    pace = Pace()
    for _ in range(3 * FIRST_BURST):
        with pytest.raises(KeyboardInterrupt), pace.slot():
            raise KeyboardInterrupt
    with pace.slot():
        pass


def test_other_failures_do_not_cut():
    """A server error is no rate limit."""
    pace = Pace()
    with pace.slot() as slot:
        slot.failed(ModelError("broken", cause="server", retryable=True))
    assert slot.change is None
    assert pace.limit == FIRST_BURST


def test_one_model_of_one_server_has_one_pace():
    """Clients of equal address and model share it, also `without` a parameter and from a pickle; others do not."""
    client = OpenAIClient("m", "http://127.0.0.1:9/v1", temperature=0)
    assert OpenAIClient("m", "http://127.0.0.1:9/v1").pace is client.pace
    assert client.without("temperature").pace is client.pace
    assert pickle.loads(pickle.dumps(client)).pace is client.pace
    assert OpenAIClient("n", "http://127.0.0.1:9/v1").pace is not client.pace


def test_a_stand_in_has_no_pace():
    """A client without a pace takes a slot that is always free."""
    with slot_of(object(), time.sleep) as slot:
        slot.failed(rate_limit(9))
    assert slot.change is None
