"""A disk that is full, fails or cannot be written, a clock that jumps: what commands say of it, and how they go on."""

import contextlib
import datetime
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from genius_kit.journal import lines as journal_lines
from tests import crash_child
from tests.chat_server import ChatServer
from tests.crash_child import RESULTS, command_of
from tests.faulty_disk import scratch_files
from tests.test_crash import CONTEXT, FULL, LONG, PIECE, PIECES, FileServer, World, seldom

EVERY = {"search": 24, "study": 360, "training": 24, "report": 30, "download": 3}
"""Without GENIUS_KIT_CRASH=full: every n-th call of each command is the one that fails."""

FAULTS = ("ENOSPC+", "EIO")
"""Taken in turn; each with every call where GENIUS_KIT_CRASH=full."""


def trained_result(folder):
    """Return what `genius-kit train` left, without times and paths."""
    record = json.loads((folder / "trained" / "result.json").read_bytes())
    result = {name: value for name, value in record["result"].items() if name not in ("seconds", "history")}
    return result, (folder / "trained" / "weights.pt").read_bytes()


RESULT_OF = {**RESULTS, "training": trained_result}


class Terminal:
    """Gives commands, each in a process of its own, as `genius-kit` would run them."""

    def __init__(self, world):
        self.world = world

    def give(self, name, folder, at=None, fault="before"):
        """Give the command; return its exit code, what it printed, and which calls of the disk it made."""
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = CONTEXT.Pipe()
        arguments = (name, folder, self.world.address(name), self.world.environment, at, fault, theirs)
        process = CONTEXT.Process(target=crash_child.command_with_fault, args=arguments)
        process.start()
        theirs.close()
        assert ours.poll(120)
        told = ours.recv()
        process.join(60)
        return told


@pytest.fixture(scope="module")
def terminal(embedded_cache):
    """A terminal whose commands are forked from a process that has imported what they need, and the servers."""
    multiprocessing.forkserver._forkserver._stop()
    CONTEXT.set_forkserver_preload(["tests.crash_child"])
    with ChatServer(models=["toy-model"]) as chat, FileServer() as files:
        threading.Thread(target=files.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        world = World(chat, files, {"GENIUS_KIT_DATA": str(embedded_cache), "OMP_NUM_THREADS": "1"})
        yield Terminal(world)
        files.shutdown()
    multiprocessing.forkserver._forkserver._stop()
    CONTEXT.set_forkserver_preload(["__main__"])


@pytest.fixture(scope="module")
def undisturbed(terminal, tmp_path_factory):
    """The result of each command when nothing happens, and its calls of the disk."""
    known = {}

    def measure(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(f"{name}-whole")
            terminal.world.forget()
            terminal.give(name, folder)  # the tables of a study are read into a cache
            shutil.rmtree(folder)
            terminal.world.forget()
            code, printed, calls = terminal.give(name, folder)
            assert code == 0, printed
            known[name] = RESULT_OF[name](folder), calls
        return known[name]

    return measure


def check_told(printed):
    """Check that a failure was told in words: what happened, what is safe, which command goes on."""
    assert "Traceback" not in printed, printed
    assert any(word in printed for word in ("cannot be written", "No space left", "Read-only", "error")), printed
    assert "safe" in printed or "whole" in printed, printed
    assert "same command again" in printed or "genius-kit resume" in printed, printed


def check_whole(folder):
    """Check that no journal ends within a line, and that each line follows on the one before."""
    for path in folder.rglob("*.jsonl"):
        content = path.read_bytes()
        assert content.endswith(b"\n") or not content
        assert journal_lines.read_lines(path, io.BytesIO(content), checked=True).length == len(content)


def faults(name, calls):
    """Return which call is to fail, and how."""
    if FULL:
        chosen = [(at, fault) for at in range(1, len(calls) + 2) for fault in FAULTS]
        return [one for number, one in enumerate(chosen) if number % PIECES == PIECE]
    return [(at, FAULTS[number % 2]) for number, at in enumerate(range(1, len(calls) + 2, EVERY[name]))]


@pytest.mark.slow
@pytest.mark.parametrize("name", seldom(RESULTS))
def test_a_disk_that_refuses_at_any_call(name, terminal, undisturbed, tmp_path):
    """Old content or new, an error of ours in words, nothing left beside, and the same command goes on to the end."""
    wanted, calls = undisturbed(name)
    failed = 0
    for at, fault in faults(name, calls):
        folder = tmp_path / f"{at}-{fault}"
        terminal.world.forget()
        code, printed, _ = terminal.give(name, folder, at, fault)
        failed += code != 0
        if code != 0:
            assert code == 1, printed
            check_told(printed)
        assert scratch_files(folder) == [], (at, fault)
        check_whole(folder)
        again, printed, _ = terminal.give(name, folder)
        assert again == 0, printed
        assert RESULT_OF[name](folder) == wanted, (at, fault)
        terminal.world.check_payment(folder)
    print(f"{name}: {len(calls)} calls of the disk, {failed} failed runs")
    assert failed >= len(calls) // EVERY[name] // PIECES // 2


@pytest.mark.slow
def test_a_disk_that_takes_less_than_it_was_given(terminal, undisturbed, tmp_path):
    """A short write at any call is no fault: the rest is written after it."""
    wanted, calls = undisturbed("search")
    writes = [at for at, call in enumerate(calls, 1) if call == "write"]
    for at in writes if FULL else writes[::5]:
        terminal.world.forget()
        code, printed, _ = terminal.give("search", tmp_path / str(at), at, "short")
        assert code == 0, printed
        assert RESULT_OF["search"](tmp_path / str(at)) == wanted


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A disk of its own in `folder`; skips where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


PLACES = {"search": "runs", "study": "studies", "training": "trained", "report": "out", "download": "data"}
ROOM = {"search": (0, 8), "study": (24,), "training": (0, 60), "report": (40,), "download": (40,)}
"""Kilobytes left on the full disk: none, and less than the command needs."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "room"),
    [pytest.param(name, room, marks=[pytest.mark.full] * (name in LONG)) for name in ROOM for room in ROOM[name]],
)
def test_a_full_disk(name, room, terminal, undisturbed, tmp_path):
    """The command says that there is no room; after some was made it comes to the same result."""
    wanted, _ = undisturbed(name)
    place = tmp_path / PLACES[name]
    with small_disk(place, 8192):
        with (place / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        os.truncate(place / "filler", max(0, (place / "filler").stat().st_size - 1024 * room))
        terminal.world.forget()
        code, printed, _ = terminal.give(name, tmp_path)
        assert code == 1 or (code == 2 and name == "report"), printed
        check_told(printed)
        assert scratch_files(tmp_path) == []
        check_whole(tmp_path)
        (place / "filler").unlink()
        code, printed, _ = terminal.give(name, tmp_path)
        assert code == 0, printed
        assert RESULT_OF[name](tmp_path) == wanted
        terminal.world.check_payment(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", seldom(RESULTS))
def test_a_folder_that_cannot_be_written(name, terminal, undisturbed, tmp_path):
    """The command says so and ends; made writable again, the same command comes to the same result."""
    wanted, _ = undisturbed(name)
    place = tmp_path / PLACES[name]
    with small_disk(place, 8192):
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        terminal.world.forget()
        code, printed, _ = terminal.give(name, tmp_path)
        assert code == 1 or (code == 2 and name == "report"), printed
        check_told(printed)
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        code, printed, _ = terminal.give(name, tmp_path)
        assert code == 0, printed
        assert RESULT_OF[name](tmp_path) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search", pytest.param("study", marks=pytest.mark.full)])
def test_a_command_that_is_terminated(name, terminal, undisturbed, tmp_path):
    """SIGTERM ends it with 143 and a sentence, whenever it comes, and the same command goes on to the same result."""
    wanted, _ = undisturbed(name)
    world = terminal.world
    for moment in range(3):
        folder = tmp_path / str(moment)
        folder.mkdir()
        world.forget()
        world.chat.delay = 0.3
        before = world.chat.count
        environment = {**os.environ, **world.environment, "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": world.chat.url}
        command = [sys.executable, "-m", "genius_kit", *command_of(name, folder, world.chat.url)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(command, env=environment, **pipes)
        while world.chat.count < before + 1 + moment:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=30)
        world.chat.delay = 0.0
        assert process.returncode == 143, printed
        assert "Traceback" not in printed
        assert "again" in printed or "resume" in printed
        check_whole(folder)
        code, printed, _ = terminal.give(name, folder)
        assert code == 0, printed
        assert RESULT_OF[name](folder) == wanted
        world.check_payment(folder)


SIGNALS = {signal.SIGTERM: (143, "ended by SIGTERM"), signal.SIGINT: (130, "ended by Ctrl-C")}
FETCH = """
import sys
from pathlib import Path
from genius_kit.cli import main
from tests.crash_child import prepare_download
prepare_download(Path(sys.argv.pop(1)), sys.argv.pop(1))
main()
"""


def heed_ctrl_c():
    """Let Ctrl-C end the process as in a terminal: a shell has its background jobs ignore it, and so their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", ["training", "report", "download"])
def test_a_long_command_that_is_ended(name, number, terminal, undisturbed, tmp_path):
    """SIGTERM and Ctrl-C end it with a sentence under way, and the same command goes on to the same result."""
    wanted, _ = undisturbed(name)
    world = terminal.world
    world.forget()
    begun, world.files.delay = world.files.begun, 1.0
    start = ["-c", FETCH, str(tmp_path), world.address(name)] if name == "download" else ["-m", "genius_kit"]
    command = [sys.executable, *start, *command_of(name, tmp_path, world.chat.url)]
    environment = {**os.environ, **world.environment, "CRASH_ROOT": str(Path(__file__).parent.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=environment, preexec_fn=heed_ctrl_c, **pipes)
    place = tmp_path / PLACES[name]
    while not (world.files.begun > begun if name == "download" else place.is_dir() and any(place.iterdir())):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=30)
    world.files.delay = 0.01
    code, told = SIGNALS[number]
    assert process.returncode == code, printed
    assert "Traceback" not in printed
    assert told in printed
    assert "the same command" in printed
    code, printed, _ = terminal.give(name, tmp_path)
    assert code == 0, printed
    assert RESULT_OF[name](tmp_path) == wanted


def test_a_clock_that_jumps_back(terminal, tmp_path, monkeypatch):
    """A search whose clock goes back an hour at every look is the one of a clock that runs, and resumes like it."""
    from genius_kit.journal import journal

    world = terminal.world
    world.forget()
    wanted = crash_child.plain(crash_child.run_search(tmp_path / "whole", world.chat.url))
    begun = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    class Backwards(datetime.datetime):
        looks = 0

        @classmethod
        def now(cls, zone=None):
            cls.looks += 1
            return begun - datetime.timedelta(hours=cls.looks)

    def seconds():
        return Backwards.now().timestamp()

    monkeypatch.setattr(journal, "datetime", Backwards)
    monkeypatch.setattr(time, "time", seconds)
    world.forget()
    path = tmp_path / "jumps" / "run.jsonl"
    run = crash_child.run_search(path.parent, world.chat.url)
    assert crash_child.plain(run) == wanted
    assert run.events[0]["time"] > run.events[-1]["time"]
    assert all(call["seconds"] >= 0 for call in run.of("call"))
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines), 5):
        path.write_bytes(b"".join(lines[:kept]))
        os.utime(path, (0, 0))
        world.forget()
        assert crash_child.plain(crash_child.run_search(path.parent, world.chat.url)) == wanted
