"""Studies on a Dask cluster: a real scheduler and real workers, each a process of its own."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from genius_kit.errors import InvalidParameter, VersionMismatch
from genius_kit.journal import read_run
from genius_kit.pools import dask_executor
from genius_kit.studies import run as studies
from genius_kit.studies.plan import Arm, Study
from tests.study_files import COMMAND, records, text_of

distributed = pytest.importorskip("distributed", reason="pip install -e '.[dask]'")

WORKERS = 3


def study(seeds):
    """Return a study whose runs take long enough to be cut short."""
    return Study(
        name="small",
        benchmarks=("nas-bench-201-cifar10",),
        arms=(Arm("random", "random"), Arm("evolution", "evolution")),
        budget=100,
        seeds=tuple(range(seeds)),
        source="embedded",
    )


class Cluster:
    """A scheduler and three workers of one thread; no nanny, so that a killed worker is gone."""

    def __init__(self, folder):
        self.file = folder / "scheduler.json"
        self.processes = [self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show")]
        alone = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        self.processes += [self._start("worker", *alone) for _ in range(WORKERS)]
        with distributed.Client(scheduler_file=str(self.file), timeout=60) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            self.address = client.scheduler.address

    def _start(self, part, *arguments):
        module = f"distributed.cli.dask_{part}"
        command = [sys.executable, "-m", module, "--scheduler-file", str(self.file), "--no-dashboard", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_worker(self):
        """Kill the last worker, as the system does when memory runs out."""
        self.processes[-1].kill()
        self.processes[-1].wait()

    def stop(self):
        """End every process."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def nothing_left_behind():
    """Dask keeps the loop in which a client could not connect, once for the process."""


@pytest.fixture
def cluster(no_data, tmp_path):
    """A running cluster."""
    made = Cluster(tmp_path)
    yield made
    made.stop()


def journals(folder):
    """Return the number of journals begun and of those finished."""
    runs = [read_run(path) for path in folder.rglob("*.jsonl")]
    return len(runs), sum(run.finished for run in runs)


@pytest.mark.full
def test_a_killed_worker_costs_no_run_and_no_evaluation(cluster, tmp_path):
    """One of three workers is killed in the middle: every run is finished, nothing twice, as threads have it."""
    with ThreadPoolExecutor(1) as caller, dask_executor(cluster.address) as (executor, threads):
        assert threads == WORKERS
        running = caller.submit(
            studies.run_study, study(12), tmp_path / "dask", executor=executor, workers=threads, progress=False
        )
        end = time.monotonic() + 60
        while (counts := journals(tmp_path / "dask"))[0] < 5 and time.monotonic() < end:
            time.sleep(0.02)
        cluster.kill_worker()
        assert counts[1] < counts[0]
        frame = running.result(timeout=150)
    assert len(frame) == 24
    assert (frame["reason"] == "budget").all()
    for journal in frame["journal"]:
        evaluated = [event["iteration"] for event in read_run(journal).of("evaluation")]
        assert evaluated == list(range(1, 101))
    with ThreadPoolExecutor(2) as pool:
        same = studies.run_study(study(12), tmp_path / "threads", executor=pool, progress=False)
    assert records(tmp_path / "dask") == records(tmp_path / "threads")
    apart = ["seconds", "journal"]
    assert frame.drop(columns=apart).equals(same.drop(columns=apart))


@pytest.mark.slow
def test_the_command_runs_on_a_cluster(cluster, tmp_path):
    """`genius-kit study --dask ADDRESS` is the same study on the scheduler's workers, and says how many ran at once."""
    path = tmp_path / "small.json"
    path.write_text(text_of(study(2)), encoding="utf-8")
    command = [*COMMAND, str(path), "--output", str(tmp_path / "out"), "--dask", cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert journals(tmp_path / "out") == (4, 4)
    begun = [read_run(path).events[0] for path in (tmp_path / "out").rglob("*.jsonl")]
    assert [event["study"]["batch"] for event in begun] == [3] * 4


@pytest.mark.slow
def test_workers_of_another_version_are_refused_by_name(cluster, monkeypatch):
    """Every worker is asked for its version before anything is sent."""
    monkeypatch.setattr("genius_kit.version.__version__", "0.0.1")
    told = r"genius-kit 0\.0\.1 is here, but tcp://.* has 0\.1\.0.*same version"
    with pytest.raises(VersionMismatch, match=told), dask_executor(cluster.address):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense", "http://127.0.0.1:9"])
def test_an_address_that_does_not_answer_is_told(address, monkeypatch):
    """What is wrong, and how to start a scheduler."""
    monkeypatch.setattr("genius_kit.pools.CONNECT_SECONDS", 1)
    with pytest.raises(InvalidParameter, match=f"'{address}'.*dask scheduler"), dask_executor(address):
        pass


def test_a_port_that_is_open_and_silent_is_told(monkeypatch):
    """What accepts the connection and never answers is no scheduler."""
    monkeypatch.setattr("genius_kit.pools.CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(InvalidParameter, match="no Dask scheduler answers"), dask_executor(address):
            pass
