"""Commands to runs of other processes: pause, pause now, resume, stop, budget; who owns a run, dead or alive."""

import fcntl
import hashlib
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit import files
from genius_kit.cli import commands as cli
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import Journal, read_run
from genius_kit.runs.approval import Asker
from genius_kit.runs.batch import search_many
from genius_kit.runs.live import LiveSearch
from genius_kit.runs.live_control import Control
from genius_kit.runs.loop import search
from genius_kit.runs.remote import (
    Command,
    CommandFile,
    ControlChannel,
    command,
    commands_file,
    is_owned,
    owner_file,
    parse,
    run_state,
    why_stopped,
)
from tests.chat_server import Answer, ChatServer
from tests.doubles import ToyBenchmark, reply
from tests.test_live import HashClient, answer, llm, plain

MOMENT = 60.0  # seconds after which something that should have happened is missed
STOPPING = {"stopping now", "stopping after the present iteration", "it is stopped now"}
ADA = Asker("ada", "ctl", "desk-1")
REPOSITORY = Path(__file__).resolve().parent.parent


def until(condition, what="it"):
    """Wait until `condition()` holds, and return what it gives."""
    end = time.monotonic() + MOMENT
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} was missed")


def in_thread(path, client=None, budget=3, **settings):
    """Begin a plain `search` in a thread and return it; the run that it returns goes to `thread.runs`."""
    runs = []

    def work():
        made = llm(client or HashClient(0.3))
        runs.append(gk.search(ToyBenchmark(), made, budget, 1, path, progress=False, **settings))

    thread = threading.Thread(target=work, daemon=True)
    thread.runs = runs
    thread.start()
    return thread


def ended(thread):
    thread.join(MOMENT)
    assert not thread.is_alive()
    return thread.runs[0]


def undisturbed(budget=3):
    return gk.search(ToyBenchmark(), llm(HashClient()), budget, seed=1, progress=False)


class HeldClient(HashClient):
    """Answers only once it is let go; `give_up` ends the wait of one call."""

    def __init__(self):
        super().__init__()
        self.go, self.gave_up = threading.Event(), []

    def send(self, messages, seed=None):
        self.sent.append(list(messages))
        until(lambda: self.go.is_set() or threading.get_ident() in self.gave_up)
        return reply(answer(messages))

    def give_up(self, thread):
        self.gave_up.append(thread)


def said(heard):
    (one,) = heard
    return one.answer


@pytest.mark.slow
def test_a_search_of_any_kind_is_paused_and_resumed_from_outside(tmp_path):
    """The plain `search` heeds a file beside its journal; the journal says who asked, from where and why."""
    path = tmp_path / "a.jsonl"
    thread = in_thread(path, budget=4)
    until(lambda: path.exists() and read_run(path).of("evaluation"))
    assert run_state(path) == "running"
    assert said(command(path, "pause", asker=ADA, reason="lunch")) == "paused"
    until(lambda: read_run(path).of("paused"))
    assert run_state(path) == "paused"
    before = len(read_run(path).events)
    time.sleep(0.3)
    assert len(read_run(path).events) == before
    assert said(command(path, "pause", asker=ADA)) == "it is paused already"
    assert said(command(path, "resume", asker=ADA)) == "going on"
    run = ended(thread)
    paused = run.of("paused")[0]
    assert {key: paused[key] for key in ("by", "via", "host", "reason")} == {
        "by": "ada",
        "via": "ctl",
        "host": "desk-1",
        "reason": "lunch",
    }
    assert len(run.of("paused")) == len(run.of("resumed")) == 1
    assert plain(run.events) == plain(undisturbed(4).events)
    assert run_state(path) == "finished"
    assert not commands_file(path).exists()
    assert not owner_file(path).exists()


def test_pause_now_gives_up_the_call_under_way(tmp_path):
    """Its intent stays unanswered, which the journal names; the request is sent anew when the run goes on."""
    path, client = tmp_path / "a.jsonl", HeldClient()
    thread = in_thread(path, client, budget=1)
    until(lambda: client.sent)
    until(lambda: path.exists() and read_run(path).of("intent"))
    assert said(command(path, "pause", asker=ADA)) == "paused"
    assert not client.gave_up, "pause waits for the call"
    assert said(command(path, "pause-now", asker=ADA)) == "paused; the call under way was given up"
    until(lambda: len(read_run(path).of("paused")) == 2)
    assert len(client.gave_up) == len(client.sent) == len(read_run(path).unanswered_intents) == 1
    assert said(command(path, "pause-now", asker=ADA)) == "it is paused already"
    client.go.set()
    command(path, "resume", asker=ADA)
    run = ended(thread)
    assert run.finished
    assert len(run.unanswered_intents) == 1
    assert client.sent[0] == client.sent[1]
    assert plain(run.events) == plain(undisturbed(1).events)


@pytest.mark.parametrize("name", ["stop", "stop-now"])
def test_a_stop_from_outside_ends_the_run_resumably(tmp_path, name):
    """`search` returns the unfinished run; asked again, the command is refused with the one that goes on."""
    path, client = tmp_path / "a.jsonl", HeldClient()
    thread = in_thread(path, client)
    until(lambda: client.sent and path.exists() and read_run(path).of("intent"))
    assert said(command(path, name, asker=ADA, reason="too slow")) in STOPPING
    if name == "stop":
        assert said(command(path, "stop", asker=ADA)) == "it is stopping already"
        assert run_state(path) == "stopping"
        client.go.set()
    run = ended(thread)
    assert not run.finished
    assert len(run.of("evaluation")) == (1 if name == "stop" else 0)
    assert why_stopped(run) == "stopped by ada (ctl on desk-1): too slow"
    assert run_state(path) == "stopped"
    with pytest.raises(JournalError, match=r"(?s)no process is running .*stopped by ada.*genius-kit resume .*a\.jsonl"):
        command(path, name, asker=ADA)
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 3, 1, path, progress=False)
    assert plain(whole.events) == plain(undisturbed().events)


@pytest.mark.slow
def test_a_budget_from_outside_is_checked_by_the_run(tmp_path):
    """Below what was evaluated and above the space it is refused, the same again changes nothing."""
    path, client = tmp_path / "a.jsonl", HashClient(0.6)
    thread = in_thread(path, client, budget=3)
    until(lambda: path.exists() and any(event["iteration"] == 2 for event in read_run(path).of("intent")))
    command(path, "pause", asker=ADA)
    until(lambda: len(read_run(path).of("evaluation")) >= 2)  # the call that was under way
    assert "refused: the budget 1 is too small" in said(command(path, "budget", 1, asker=ADA))
    assert "refused" in said(command(path, "budget", 6_562, asker=ADA))
    assert said(command(path, "budget", 3, asker=ADA)) == "the budget is 3 already"
    assert said(command(path, "budget", 5, asker=ADA)) == "the budget is 5 now"
    assert said(command(path, "budget", 5, asker=ADA)) == "the budget is 5 already"
    command(path, "resume", asker=ADA)
    run = ended(thread)
    assert (len(run.of("evaluation")), run.budget, len(run.of("budget_raised"))) == (5, 5, 1)
    assert list(run.frame()["key"]) == list(undisturbed(5).frame()["key"])


def test_what_is_no_command_is_refused():
    """Names, numbers and words are checked before anything is written."""
    for name, budget in [("halt", None), ("budget", None), ("budget", 0), ("pause", 3)]:
        with pytest.raises(InvalidParameter):
            command("a.jsonl", name, budget, asker=ADA)
    with pytest.raises(InvalidParameter, match="printable"):
        command("a.jsonl", "pause", asker=Asker("a\nb", "ctl"))


def test_a_folder_is_all_of_its_unfinished_runs(tmp_path):
    """One command reaches every run, those included that begin later in the same call."""
    threads = []

    def work():
        threads.extend(
            search_many(ToyBenchmark(), "llm", [0, 1, 2], 3, 2, tmp_path, progress=False, client=HashClient(0.3))
        )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until(lambda: len([p for p in tmp_path.glob("*.jsonl") if read_run(p).of("intent")]) == 2)
    assert [one.answer for one in command(tmp_path, "pause", asker=ADA)] == ["paused", "paused"]
    assert {run_state(path) for path in tmp_path.glob("*.jsonl")} == {"paused"}
    assert {one.answer for one in command(tmp_path, "resume", asker=ADA)} == {"going on"}
    assert {one.answer for one in command(tmp_path, "stop", asker=ADA)} <= STOPPING
    thread.join(MOMENT)
    assert [run.finished for run in threads] == [False] * 3
    assert not threads[2].of("intent"), "the third was to begin after the stop"
    again = search_many(ToyBenchmark(), "llm", [0, 1, 2], 3, 2, tmp_path, progress=False, client=HashClient())
    assert [run.finished for run in again] == [True] * 3
    with pytest.raises(JournalError, match="is finished"):
        command(tmp_path, "pause", asker=ADA)


def test_the_lab_and_other_processes_steer_the_same_run(tmp_path):
    """A search in a thread heeds commands, its buttons are seen from outside, and neither repeats the other."""
    path = tmp_path / "a.jsonl"
    live = LiveSearch(ToyBenchmark(), llm(HashClient(0.03)), 3, seed=1, journal=path, approve=True, via="lab")
    live.start()
    until(lambda: live.state.pending is not None)
    until(lambda: run_state(path) == "awaiting approval")
    live.pause()
    until(lambda: read_run(path).of("paused"))
    assert said(command(path, "pause", asker=ADA)) == "it is paused already"
    assert said(command(path, "resume", asker=ADA)) == "going on"
    assert said(command(path, "stop-now", asker=ADA)) in STOPPING
    run = live.wait(MOMENT)
    assert live.state.status == "stopped"
    assert [(event["event"], event["via"]) for event in run.of("paused", "resumed", "stop_requested")] == [
        ("paused", "lab"),
        ("resumed", "ctl"),
        ("stop_requested", "ctl"),
    ]
    assert LiveSearch(ToyBenchmark(), llm(HashClient()), 3, seed=1, journal=path).state.status == "stopped"


def test_what_others_write_into_the_file_does_no_harm(tmp_path, caplog):
    """Lines that are no commands are passed over, once with a warning; the good one after them is heeded."""
    bad = [b"", b"{}", b"[]", b'{"command":"rm"}', b"\xff\xfe", b"[" * 5_000, b'{"command":"pause","id":""}']
    bad += [b'{"command":"pause","id":"1","by":"a\\u001b[2J"}', b'{"command":"budget","id":"1","budget":true}']
    bad += [b'{"command":"pause","id":"' + b"x" * 3_000 + b'"}', b'{"command":"pause","id":"1","budget":4}']
    for line in bad:
        with pytest.raises(ValueError):  # noqa: PT011 - each for a reason of its own
            parse(line)
    path = tmp_path / "a.jsonl.ctl"
    box = CommandFile(path)
    good = Command(id="1", command="pause", by="ada", host="desk-1")
    path.write_bytes(b"\n".join(bad) + b"\n" + good.line() + good.line()[:10])
    path.chmod(0o600)
    assert box.poll() == [good]
    assert box.poll() == []
    assert len(caplog.records) == 1
    with path.open("ab") as file:
        file.write(good.line()[10:])
    assert box.poll() == [good], "a line that was half there is read when it is whole"


def test_a_file_that_others_may_write_to_is_not_heeded(tmp_path):
    """Nor is a link, which may lead anywhere; commands are written into private files."""
    good = Command(id="1", command="stop-now", by="ada")
    path = tmp_path / "open.ctl"
    path.write_bytes(good.line())
    path.chmod(0o666)
    assert CommandFile(path, 0).poll() == []
    path.chmod(0o600)
    assert CommandFile(path, 0).poll() == [good]
    (tmp_path / "link.ctl").symlink_to(path)
    assert CommandFile(tmp_path / "link.ctl", 0).poll() == []


def test_the_files_are_private_and_left_overs_are_not_heeded(tmp_path):
    """What was asked of an owner that died is not asked of the next one."""
    path = tmp_path / "a.jsonl"
    left = Command(id="1", command="stop-now", by="ada")
    commands_file(path).write_bytes(left.line())
    owner_file(path).write_text('{"state": "paused"}')
    thread = in_thread(path, HashClient(0.3), budget=4)
    until(lambda: path.exists() and read_run(path).of("intent"))
    assert run_state(path) == "running"
    command(path, "pause", asker=ADA)
    modes = [stat.S_IMODE(file.stat().st_mode) for file in (commands_file(path), owner_file(path))]
    command(path, "resume", asker=ADA)
    assert modes == [0o600, 0o600]
    assert ended(thread).finished


def child(base_url, path, budget=3):
    """Start a search in a process of its own and wait until it asks."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OPENAI_API_KEY": "none"}
    arguments = [sys.executable, "-m", "tests.control_child", base_url, str(path), str(budget)]
    return subprocess.Popen(arguments, env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def server():
    with ChatServer(lambda body, number: answer(body["messages"]), delay=0.01) as made:
        yield made


def test_a_killed_owner_reads_interrupted_a_stopped_process_does_not(tmp_path, server):
    """SIGSTOP leaves a run alive, however slow; SIGKILL frees its lock, whatever files are left behind."""
    path = tmp_path / "a.jsonl"
    server.delay = 30.0
    process = child(server.url, path)
    try:
        until(lambda: server.count == 1, "the first request")
        assert run_state(path) == "running"
        process.send_signal(signal.SIGSTOP)
        until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T")
        time.sleep(0.5)
        assert run_state(path) == "running"
        heard = command(path, "pause", asker=ADA, patience=0.3)
        assert "asked; it is alive" in said(heard)
        assert heard[0].state == "running"
        process.send_signal(signal.SIGCONT)
        until(lambda: run_state(path) == "paused", "the command, heard late")
    finally:
        process.kill()
        process.communicate()
    assert files.lock_of(path).exists()
    assert owner_file(path).exists()
    assert run_state(path) == "interrupted"
    with pytest.raises(JournalError, match=r"it is interrupted.*genius-kit resume"):
        command(path, "resume", asker=ADA)
    live = LiveSearch(ToyBenchmark(), llm(HashClient()), 3, seed=1, journal=path)
    assert live.state.status == "interrupted"


def test_a_process_that_is_paused_from_outside_sends_nothing_until_it_goes_on(tmp_path, server):
    """A real process: pause, resume, stop now; its record resumes."""
    path = tmp_path / "a.jsonl"
    process = child(server.url, path, 400)
    try:
        until(lambda: server.count >= 2, "requests")
        begun = time.monotonic()
        assert said(command(path, "pause", asker=ADA, patience=10)) == "paused"
        assert time.monotonic() - begun < 3
        time.sleep(0.2)
        count = server.count
        time.sleep(0.3)
        assert server.count == count
        command(path, "resume", asker=ADA, patience=10)
        until(lambda: server.count > count, "requests after the pause")
        assert said(command(path, "stop-now", asker=ADA, patience=10)) in STOPPING
        assert process.wait(MOMENT) == 0
    finally:
        process.kill()
        process.communicate()
    assert run_state(path) == "stopped"


def test_looking_does_not_disturb_a_run_that_begins(tmp_path):
    """While others look all the time whether it lives, a journal opens every time."""
    path, over = tmp_path / "a.jsonl", threading.Event()
    path.write_text("")

    def look():
        while not over.is_set():
            is_owned(path)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        for _ in range(100):
            with Journal(path):
                assert is_owned(path)
    finally:
        over.set()
        looking.join()
    assert not is_owned(path)
    with files.lock_of(path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_owned(path)
        with pytest.raises(JournalError, match="in use"), Journal(path):
            pass


def test_the_states_of_a_record_without_owner(tmp_path):
    """Cut after each event: finished at the end, stopped only where the stop was the end, else interrupted."""
    path = tmp_path / "a.jsonl"
    thread = in_thread(path, HashClient(0.3))
    until(lambda: path.exists() and read_run(path).of("intent"))
    command(path, "stop", asker=ADA)
    ended(thread)
    gk.search(ToyBenchmark(), llm(HashClient()), 3, 1, path, progress=False)
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    states = []
    for kept in range(1, len(lines) + 1):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(b"".join(lines[:kept]))
        states.append(run_state(cut))
    assert states[-1] == "finished"
    evaluated = kinds.index("evaluation")
    assert states[evaluated] == "stopped"
    assert set(states[evaluated + 1 : -1]) == {"interrupted"}
    assert states[0] == "interrupted"


def test_ten_thousand_evaluations_are_not_slowed_down(tmp_path):
    """One look takes a few microseconds: less than a hundredth of the shortest step that is written to a disk."""
    channel = ControlChannel(tmp_path / "a.jsonl")
    begun = time.perf_counter()
    for _ in range(10_000):
        channel.asked()
    took = time.perf_counter() - begun
    print(f"{took / 10_000 * 1e6:.1f} us a look")
    assert took < 2.0


def test_ctl_says_what_it_did_and_how_to_go_on(tmp_path, monkeypatch):
    """The command line: status, a command, a repeated one, JSON, and a run that nobody owns."""
    path = tmp_path / "a.jsonl"
    thread = in_thread(path, HashClient(0.3), budget=4)
    until(lambda: path.exists() and read_run(path).of("evaluation"))

    def ctl(*arguments):
        return CliRunner().invoke(cli.app, ["ctl", str(path), *arguments])

    assert "paused" in ctl("pause", "--as", "grace").output
    assert "it is paused already" in ctl("pause").output
    assert f"{path}: paused, " in ctl("status").output
    assert json.loads(ctl("status", "--json").output)[0]["state"] == "paused"
    assert isinstance(ctl("budget").exception, InvalidParameter)
    assert "the budget is 5 now" in ctl("budget", "5").output
    assert "going on" in ctl("resume").output
    run = ended(thread)
    assert run.of("paused")[0]["by"] == "grace"
    assert isinstance(ctl("pause").exception, JournalError)
    assert f"{path}: finished, 5 of 5 evaluated" in ctl("status").output


commands = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=30),
        st.sampled_from(["pause", "pause-now", "resume", "stop", "stop-now", "budget"]),
        st.booleans(),
    ),
    max_size=6,
)


class Crowd:
    """Sends commands when the journal has a number of events, twice where asked to; ends every pause that is left."""

    def __init__(self, path, plan):
        self.path, self.plan, self.count = path, list(plan), 0

    def __call__(self, event):
        self.count += 1
        for place, (at, name, twice) in enumerate(self.plan):
            if at == self.count:
                for repeated in range(1 + twice):
                    self.send(f"{place}-{repeated}", name)

    def send(self, number, name):
        sent = Command(id=number, command=name, by="ada", budget=3 if name == "budget" else None)
        with commands_file(self.path).open("ab") as file:
            file.write(sent.line())
        commands_file(self.path).chmod(0o600)

    def release(self):
        self.send(f"release-{self.count}-{time.monotonic()}", "resume")


@settings(max_examples=25)
@given(plan=commands)
def test_any_commands_leave_a_record_that_resumes_to_the_undisturbed_end(tmp_path_factory, plan):
    """Whatever is asked, once or twice: the same steps, each command at most once on record, and the chain is whole."""
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    crowd = Crowd(path, plan)
    thread = in_thread(path, HashClient(), on_event=crowd)
    while thread.is_alive():
        thread.join(0.05)
        if thread.is_alive() and run_state(path) == "paused":
            crowd.release()
    assert thread.runs, "the search failed"
    disturbed = read_run(path)
    asides = [event["event"] for event in disturbed.of("paused", "resumed", "stop_requested")]
    assert all(one != other for one, other in itertools.pairwise(asides) if one == "resumed")
    assert sum(name == "stop_requested" for name in asides) <= 2, "stop, then stop now"
    assert len(disturbed.of("budget_raised")) == 0, "the budget was 3 already"
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 3, 1, path, progress=False)
    assert plain(whole.events) == plain(undisturbed().events)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    again = gk.search(ToyBenchmark(), llm(HashClient()), 3, 1, path, progress=False)
    assert again.events == whole.events
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert run_state(path) == "finished"


def test_ctrl_c_in_a_cell_hangs_up_on_the_call_under_way(tmp_path):
    """`search` in the main thread ends at once with KeyboardInterrupt, and its journal resumes."""
    path, client, over = tmp_path / "a.jsonl", HeldClient(), threading.Event()

    def interrupt():
        until(lambda: client.sent)
        for _ in range(5):  # as a person would: Python drops the error where it falls into a finaliser
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if over.wait(5):
                break

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process begun in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            gk.search(ToyBenchmark(), llm(client), 3, 1, path, progress=False)
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, heard)
    assert len(client.gave_up) == 1
    assert run_state(path) == "interrupted"
    whole = gk.search(ToyBenchmark(), llm(HashClient()), 3, 1, path, progress=False)
    assert plain(whole.events) == plain(undisturbed().events)


def test_ctrl_c_before_the_wait_for_a_call_hangs_up_on_it_too(tmp_path):
    """The error may fall between the start of the call and the wait for its reply."""
    client = HeldClient()

    def interrupted():
        if control.asking_since is not None and not client.gave_up:
            until(lambda: client.sent)
            raise KeyboardInterrupt

    control = Control(announce=interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(ToyBenchmark(), llm(client), 3, 1, tmp_path / "a.jsonl", progress=False, control=control)
    assert len(client.gave_up) == 1


def command_line(server, folder, *more):
    """Start `genius-kit run` with a model at the server and wait until it asks."""
    environment = {**os.environ, "OPENAI_API_KEY": "none", "GENIUS_KIT_PROGRESS": "none"}
    arguments = ["run", "nas-bench-201-cifar10", "--model", "toy-model", "--base-url", server.url]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from genius_kit.cli import main; main()",
            *arguments,
            "--output",
            str(folder),
            *more,
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: server.count > 0 or process.poll() is not None, "the first request")
    return process


@pytest.mark.parametrize(("number", "code", "via"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_ctrl_c_and_sigterm_end_a_run_at_once_and_hang_up(tmp_path, no_data, number, code, via):
    """The call under way is given up, the exit code is the signal's, the message names the command that goes on."""
    with ChatServer(lambda body, number: Answer("never heard", delay=60.0)) as server:
        process = command_line(server, tmp_path, "--runs", "2", "--workers", "2", "--allow-unpriced")
        begun = time.monotonic()
        process.send_signal(number)
        _, told = process.communicate(timeout=MOMENT)
        took = time.monotonic() - begun
    assert process.returncode == code, told
    assert took < 10, "it waited for the call"
    assert "resumes what is unfinished" in told
    assert "Traceback" not in told
    begun_runs = [path for path in tmp_path.glob("*.jsonl") if read_run(path).of("intent")]
    assert begun_runs
    for path in begun_runs:
        assert why_stopped(read_run(path)).endswith(f"({via})")
        assert len(read_run(path).unanswered_intents) == 1
