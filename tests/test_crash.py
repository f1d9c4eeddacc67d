"""Runs that are killed, and runs side by side, against a real server on loopback."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time

import pytest

import genius_kit as gk
from genius_kit.journal import read_run
from genius_kit.search import search_many
from tests import crash_child
from tests.chat_server import ChatServer
from tests.doubles import ToyBenchmark


@pytest.fixture
def chat_server():
    """A server whose script and delay the test sets."""
    with ChatServer() as server:
        yield server


def answer(request, number=0):
    """Return a reply that depends on the request alone; about one in four cannot be used."""
    digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
    if digest[0] % 4 == 0:
        return "I am thinking about it."
    return "Architecture: [" + ", ".join(str(byte % 3) for byte in digest[1:9]) + "]"


def plain(run):
    """Return the events without times, and without calls whose reply never reached the disk."""
    dropped = {id(event) for event in run.unanswered_intents}
    return [
        {key: value for key, value in event.items() if key not in ("time", "seconds")}
        for event in run.events
        if id(event) not in dropped
    ]


def asked(run):
    """Return the requests whose reply is on disk."""
    return {json.dumps(event["messages"]) for event in run.of("call")}


@pytest.mark.slow
def test_kill_at_fifty_random_moments(tmp_path, chat_server):
    """Each resumed run has the events of the uninterrupted one, and nothing on disk was asked for again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash_child"])
    chat_server.script, chat_server.delay = answer, 0.01
    whole = crash_child.run_search(chat_server.url, tmp_path / "whole.jsonl", 5)
    begun = time.perf_counter()
    again = crash_child.run_search(chat_server.url, tmp_path / "again.jsonl", 5)
    duration = time.perf_counter() - begun
    assert plain(again) == plain(whole)
    rng = random.Random(0)
    unfinished = 0
    for moment in range(50):
        journal = tmp_path / f"{moment}.jsonl"
        ready = context.Event()
        child = context.Process(target=crash_child.run_search, args=(chat_server.url, journal, 5, ready))
        child.start()
        assert ready.wait(60)
        time.sleep(rng.uniform(0, 1.2 * duration))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        on_disk = asked(read_run(journal)) if journal.exists() else set()
        unfinished += not (journal.exists() and read_run(journal).finished)
        before = chat_server.count
        resumed = crash_child.run_search(chat_server.url, journal, 5)
        later = {json.dumps(body["messages"]) for body in chat_server.bodies[before:]}
        assert plain(resumed) == plain(whole), moment
        assert not later & on_disk, moment
    assert unfinished >= 25


@pytest.mark.slow
def test_sixteen_runs_wait_for_the_server_and_not_for_each_other(chat_server):
    """16 runs of 10 iterations at 0.5 s a reply take at most 1.15 times the 5 s of one run."""

    def distinct(request, number):
        listed = sum("->" in line for line in request["messages"][-1]["content"].splitlines())
        return f"Architecture: {list(gk.load_space('nas-bench-macro').at(243 * listed))}"

    settings = {"model": "toy-model", "base_url": chat_server.url}
    chat_server.script = distinct
    search_many(ToyBenchmark(), "llm", [0], 1, progress=False, **settings)  # start-up: imports, first connection
    chat_server.delay = 0.5
    for _ in range(3):  # the machine may be busy with something else: the best of three counts
        begun = time.perf_counter()
        runs = search_many(ToyBenchmark(), "llm", range(16), 10, progress=False, **settings)
        seconds = time.perf_counter() - begun
        print(f"16 runs of 10 iterations: {seconds:.2f} s")
        assert all(len(run.frame()) == 10 and not run.of("rejected") for run in runs)
        if seconds <= 1.15 * 5:
            return
    pytest.fail(f"16 runs took {seconds:.2f} s")
