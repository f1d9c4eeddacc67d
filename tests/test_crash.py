"""Runs that are killed at every write or at any moment, and runs side by side, against a real server on loopback.

`GENIUS_KIT_CRASH=full` takes every boundary and every form of the kill, and 100 random moments of each command;
`GENIUS_KIT_CRASH_PIECE=I/N` takes the I-th of N parts of that, counted from 0. Without it a subset is taken.
"""

import hashlib
import http.server
import json
import multiprocessing
import multiprocessing.forkserver
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass

import pytest

import genius_kit as gk
from genius_kit.runs.batch import search_many
from tests import crash_child
from tests.chat_server import Answer, ChatServer, error
from tests.crash_child import RESULTS, journals
from tests.doubles import ToyBenchmark
from tests.faulty_disk import scratch_files

FULL = os.environ.get("GENIUS_KIT_CRASH") == "full"
PIECE, PIECES = map(int, os.environ.get("GENIUS_KIT_CRASH_PIECE", "0/1").split("/"))
EVERY = {"search": 24, "study": 360, "training": 36, "report": 72, "download": 6}
"""Without GENIUS_KIT_CRASH: every n-th boundary of each command is taken."""

LONG = ("study", "report")
"""Commands that start other processes or kernels. Where a test is the same for each command, .ci/full has these."""


def seldom(names):
    """Return the commands as parameters of a test; .ci/full has the long ones."""
    return [pytest.param(name, marks=[pytest.mark.full] * (name in LONG)) for name in names]


MOMENTS = {"search": 20, "study": 3, "training": 3, "report": 2, "download": 5}
"""Random moments of each command; 100 with GENIUS_KIT_CRASH=full."""


def answer(request):
    """Return a reply that depends on the request alone; about one in four cannot be used."""
    digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
    if digest[0] % 4 == 0:
        return "I am thinking about it."
    length, letters = (6, 5) if "[6" in str(request) or "six" in str(request) else (8, 3)
    return "Architecture: [" + ", ".join(str(byte % letters) for byte in digest[1 : 1 + length]) + "]"


class Hesitant:
    """Answers, but refuses the first attempt of about one request in three, as overloaded servers do."""

    def __init__(self):
        self.seen = set()

    def __call__(self, request, number):
        """Return a 503 or a 429 that asks for no wait, else the reply."""
        key = json.dumps(request["messages"])
        first, choice = key not in self.seen, hashlib.sha256(key.encode()).digest()[20] % 6
        self.seen.add(key)
        if first and choice < 2:
            return Answer(error("busy"), status=(503, 429)[choice], headers={"retry-after": "0"})
        return answer(request)


class FileServer(http.server.ThreadingHTTPServer):
    """Serves the files of the downloads, slowly, and counts how often each was sent whole."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.sent = Counter()
        self.begun, self.delay = 0, 0.01


class FileHandler(http.server.BaseHTTPRequestHandler):
    """Sends a file in two parts."""

    def do_GET(self):
        """Answer with the file of that name."""
        name, content = self.path.strip("/"), crash_child.FILES[self.path.strip("/")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.server.begun += 1
        self.wfile.write(content[:20000])
        time.sleep(self.server.delay)
        self.wfile.write(content[20000:])
        self.server.sent[name] += 1

    def log_message(self, *arguments):
        """Say nothing."""


@dataclass
class World:
    """The servers that the killed commands talk to, and where their data is."""

    chat: ChatServer
    files: FileServer
    environment: dict
    paid: int = 0

    def address(self, name):
        """Return the address that a command is given."""
        return f"http://127.0.0.1:{self.files.server_address[1]}/" if name == "download" else self.chat.url

    def forget(self):
        """Refuse first attempts anew."""
        self.chat.script, self.paid = Hesitant(), self.chat.bill.replies
        self.files.sent.clear()

    def start(self, name, folder, at=None, fault="before"):
        """Start a command in a process of its own; return the process and the end of a pipe that tells of it."""
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = CONTEXT.Pipe()
        arguments = (name, folder, self.address(name), self.environment, at, fault, theirs)
        process = CONTEXT.Process(target=crash_child.run_and_die, args=arguments)
        process.start()
        theirs.close()
        assert ours.poll(60)
        assert ours.recv() == "ready"
        return process, ours

    def run(self, name, folder, at=None, fault="before"):
        """Run a command to its end; return which calls of the disk it made, None where it did not come so far."""
        process, told = self.start(name, folder, at, fault)
        process.join(120)
        assert process.exitcode is not None
        if process.exitcode == 0:
            return told.recv()
        expected = process.exitcode == -signal.SIGKILL or fault.startswith("kernel-")
        assert expected, (folder / "errors").read_text()[-3000:]
        return None

    def finish(self, name, folder):
        """Give the command again after a kill; return its result, and check that nothing recorded was paid again."""
        before, sent, there = journals(folder), self.chat.count, finished_files(folder)
        assert self.run(name, folder) is not None
        recorded = {json.dumps(call["messages"]) for run in before.values() for call in run.of("call")}
        later = {json.dumps(body["messages"]) for body in self.chat.bodies[sent:]}
        assert name != "search" or not later & recorded
        assert all(path.read_bytes() == content for path, content in there.items())
        self.check_payment(folder)
        return RESULTS[name](folder)

    def check_payment(self, folder):
        """Each journaled reply was paid once; what was paid beside them is one for each intent without an answer."""
        runs = journals(folder).values()
        recorded = sum(len(run.of("call")) for run in runs)
        named = sum(len(run.unanswered_intents) for run in runs)
        assert recorded <= self.chat.bill.replies - self.paid <= recorded + named


def finished_files(folder):
    """Return what may not be made anew when it is there: downloads, and the record of a training."""
    paths = [*folder.glob("data/*.json"), *folder.glob("trained/*.json")]
    return {path: path.read_bytes() for path in paths}


CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def world(embedded_cache):
    """The servers, and a fork server that has imported what the commands need."""
    multiprocessing.forkserver._forkserver._stop()  # that of other tests has imported something else
    CONTEXT.set_forkserver_preload(["tests.crash_child"])
    with ChatServer(models=["toy-model"]) as chat, FileServer() as files:
        threading.Thread(target=files.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        environment = {"GENIUS_KIT_DATA": str(embedded_cache), "OMP_NUM_THREADS": "1"}
        yield World(chat, files, environment)
        files.shutdown()
    multiprocessing.forkserver._forkserver._stop()
    CONTEXT.set_forkserver_preload(["__main__"])


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """The result of each command when nothing happens, the seconds it takes, and its calls of the disk."""
    known = {}

    def measure(name, fault="before"):
        if (name, fault) not in known:
            first, second = (tmp_path_factory.mktemp(f"{name}-whole") for _ in range(2))
            world.forget()
            world.run(name, first, None, fault)
            world.forget()
            process, told = world.start(name, second, None, fault)
            begun = time.perf_counter()
            calls = told.recv()
            seconds = time.perf_counter() - begun
            process.join()
            assert RESULTS[name](first) == RESULTS[name](second)
            known[name, fault] = RESULTS[name](first), seconds, calls
        return known[name, fault]

    return measure


def came_to_its_end(told):
    """Return whether a process that has ended said that it was done."""
    try:
        return bool(told.recv())
    except EOFError:
        return False


def boundaries(name, calls):
    """Return which calls to die in, and how: all of them, or every n-th; one more than there are ends untouched.

    Before a call is after the one before it; within a call is something else only for a write.
    """
    every = 1 if FULL else EVERY[name]
    chosen = [(1, "before")]
    for at, call in enumerate(calls, 1):
        chosen += [(at, "half")] * (call == "write") + [(at, "after")]
    chosen.append((len(calls) + 1, "before"))
    return [chosen[number] for number in range(0, len(chosen), every) if number // every % PIECES == PIECE]


@pytest.mark.slow
@pytest.mark.parametrize("name", seldom(RESULTS))
def test_kill_at_every_write(name, world, undisturbed, tmp_path):
    """Killed before, within or after any write, wait, rename or cut, the same command comes to the same result."""
    wanted, _, calls = undisturbed(name)
    died = 0
    for at, kill in boundaries(name, calls):
        folder = tmp_path / f"{at}-{kill}"
        world.forget()
        died += world.run(name, folder, at, kill) is None
        assert world.finish(name, folder) == wanted, (at, kill)
        assert scratch_files(folder) == [], (at, kill)
    print(f"{name}: {len(calls)} calls of the disk, {died} kills")
    assert died >= len(calls) // EVERY[name] // PIECES


@pytest.mark.full
def test_kill_a_notebook_at_every_write(world, undisturbed, tmp_path):
    """A kernel that dies while it writes a figure fails its notebook; the same command makes the same report."""
    wanted, _, calls = undisturbed("report", "kernel-before")
    died = 0
    for at, kill in boundaries("report", calls):
        folder = tmp_path / f"{at}-{kill}"
        died += world.run("report", folder, at, f"kernel-{kill}") is None
        assert world.finish("report", folder) == wanted, (at, kill)
        assert scratch_files(folder) == [], (at, kill)
    print(f"notebook: {len(calls)} calls of the disk, {died} kills")
    assert died >= len(calls) // EVERY["report"] // PIECES


@pytest.mark.full
@pytest.mark.parametrize("name", RESULTS)
def test_kill_at_random_moments(name, world, undisturbed, tmp_path):
    """Whenever a command is killed, the same command comes to the result of the one that was not."""
    world.chat.delay = 0.01
    wanted, seconds, _ = undisturbed(name)
    rng = random.Random(PIECE)
    moments = 100 // PIECES if FULL else MOMENTS[name]
    unfinished = 0
    for moment in range(moments):
        folder = tmp_path / str(moment)
        world.forget()
        process, told = world.start(name, folder)
        time.sleep(rng.uniform(0, 1.1 * seconds))
        process.kill()
        process.join()
        unfinished += not came_to_its_end(told)
        assert world.finish(name, folder) == wanted, moment
    world.chat.delay = 0.0
    print(f"{name}: {moments} moments, {unfinished} of them within the run")
    assert unfinished >= moments // 4  # the others came after its end


@pytest.fixture
def chat_server():
    """A server whose script and delay the test sets."""
    with ChatServer() as server:
        yield server


@pytest.mark.slow
@pytest.mark.alone
def test_sixteen_runs_wait_for_the_server_and_not_for_each_other(chat_server):
    """16 runs of 10 iterations at 0.5 s per reply take at most 1.15 times the 5 s of one run."""

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
