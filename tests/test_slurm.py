"""Studies on a Slurm cluster: the script that is sent, and a real job array where Slurm is installed."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genius_kit.cli import study as study_commands
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.studies import run as studies
from genius_kit.studies.plan import Arm, Study
from tests.study_files import records, text_of

DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])  # where the daemons are, for other users than root
MISSING = [name for name in DAEMONS if shutil.which(name, path=PATH) is None]


def directives(script):
    """Return what the script asks of Slurm."""
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def slurm_script(*arguments, **options):
    """Return what the command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        study_commands.slurm(*arguments, **options)
    return printed.getvalue()


def test_the_script_runs_one_shard_a_job():
    """An array of N jobs, each with its own part of the study; no GPU unless one is asked for."""
    script = slurm_script("optimisers", 8, "out")
    assert script.startswith("#!/bin/bash\n")
    assert "--array=0-7" in directives(script)
    assert not any("gpu" in line for line in directives(script))
    assert '--shard "$SLURM_ARRAY_TASK_ID/8"' in script
    assert "genius-kit study optimisers" in script
    assert f"--output {Path('out').resolve()}" in script


def test_what_is_asked_of_a_job_is_in_the_script():
    """GPUs, cores, memory and hours."""
    asked = directives(slurm_script("optimisers", 2, gpus=2, cpus=4, memory="16G", hours=1.5))
    for line in ("--gres=gpu:2", "--cpus-per-task=4", "--mem=16G", "--time=90", "--array=0-1"):
        assert line in asked


def test_the_script_is_sound_shell(tmp_path):
    """Paths with blanks and quotes are quoted; bash finds nothing wrong."""
    path = tmp_path / "a study's file.json"
    path.write_text(text_of(study()), encoding="utf-8")
    script = slurm_script(path, 2, tmp_path / "out put")
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "'\"'\"'s file.json'" in script


@pytest.mark.parametrize("memory", ["4 G", "lots", "4G\n#SBATCH --mem=8G", "0"])
def test_memory_of_another_form_is_refused(memory):
    """A number and a unit, nothing that could be a directive of its own."""
    with pytest.raises(InvalidParameter, match="such as 4G"):
        slurm_script("optimisers", 2, memory=memory)


def test_a_study_that_is_not_there_makes_no_script():
    """The study is checked before anything is sent."""
    with pytest.raises(UnknownName, match="optimisers"):
        slurm_script("optimizers", 2)


def test_the_command_prints_the_script():
    """`genius-kit slurm FILE --shards N | sbatch`."""
    command = [sys.executable, "-m", "genius_kit", "slurm", "optimisers", "--shards", "3", "--gpus", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--array=0-2" in directives(done.stdout)
    assert "--gres=gpu:1" in directives(done.stdout)
    assert "not from a language model" not in done.stdout


def test_the_script_says_that_the_stand_in_answers():
    """A comment, where the study asks no language model."""
    note = "# Note: the replies come from the offline stand-in, not from a language model.\n"
    assert note in slurm_script("does-it-search", 2)


def study():
    """Return a small study."""
    return Study(
        name="small",
        benchmarks=("nas-bench-201-cifar10",),
        arms=(Arm("llm", "llm"), Arm("random", "random")),
        budget=5,
        seeds=(0, 1, 2, 3),
        source="embedded",
    )


CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=2000 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=10 State=UP
"""


@pytest.fixture
def slurm(tmp_path):
    """A Slurm cluster of this machine alone, as an environment for sbatch and squeue."""
    if MISSING:
        pytest.skip(f"Slurm is not installed: no {', '.join(MISSING)} (apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("a Slurm daemon starts jobs for others, so it needs root")
    with contextlib.ExitStack() as daemons:
        yield _start(tmp_path, daemons)


def _start(folder, daemons):
    import socket

    ports = []
    for _ in range(2):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            ports.append(found.getsockname()[1])
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=ports, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    own = {name: f"{folder}/munge.{name}" for name in ("pid-file", "log-file", "seed-file", "socket")}
    options = [f"--{name}={path}" for name, path in {**own, "key-file": f"{folder}/munge.key"}.items()]
    _daemon(daemons, environment, "munged", "--foreground", "--force", *options)
    _wait_for(lambda: (folder / "munge.socket").exists(), folder)
    _daemon(daemons, environment, "slurmctld", "-D", "-i")
    _daemon(daemons, environment, "slurmd", "-D", "-N", host)
    _wait_for(lambda: "idle" in _ask(environment, "sinfo", "-h", "-o", "%t"), folder)
    return environment


def _daemon(daemons, environment, *command):
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemons.callback(process.wait)
    daemons.callback(process.terminate)


def _ask(environment, *command):
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait_for(condition, folder, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in folder.glob("*.log"))
        assert time.monotonic() < end, f"waited too long; the logs end\n{logs}"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_job_array_completes_the_study(slurm, no_data, tmp_path):
    """A real array of three jobs: together they are the study that one process runs."""
    path = tmp_path / "small.json"
    path.write_text(text_of(study()), encoding="utf-8")
    script = slurm_script(path, 3, tmp_path / "array", memory="500M", hours=0.1)
    environment = {**slurm, "GENIUS_KIT_DATA": os.environ["GENIUS_KIT_DATA"]}
    logs = tmp_path / "logs"
    logs.mkdir()
    sent = subprocess.run(
        ["sbatch"], input=script, env=environment, capture_output=True, text=True, check=False, cwd=logs
    )
    assert sent.returncode == 0, sent.stderr
    _wait_for(lambda: not _ask(environment, "squeue", "-h"), logs, 120)
    told = {log.name.rsplit("-", 1)[1]: log.read_text() for log in logs.glob("*.log")}
    assert sorted(told) == ["0.log", "1.log", "2.log"]
    assert "3 of 3 runs" in told["0.log"], told
    with ThreadPoolExecutor(2) as pool:
        studies.run_study(study(), tmp_path / "whole", executor=pool, progress=False)
    assert records(tmp_path / "array") == records(tmp_path / "whole")
    assert (tmp_path / "array" / "small" / "results.csv").read_text().count("\n") == 1 + 8
