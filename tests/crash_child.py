"""What a killed process runs: a search, a study, a training, a report and a download, each in a folder of its own.

Each is a command that a user gives: `RUNS[name](folder, address)` begins it and, given again, goes on with it.
`RESULTS[name](folder)` is its result, without times; two runs of equal result are the same.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import traceback
from pathlib import Path

import papermill  # noqa: F401 - these are imported before the fork server forks, so that a start is quick
import pooch  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch
import torch.utils.tensorboard

import genius_kit.cli.study
import genius_kit.llm
import genius_kit.llm.offline
import genius_kit.prompts
import genius_kit.replies
import genius_kit.reports.run
import genius_kit.studies.results
import genius_kit.training.trainer
import genius_kit.verdicts  # noqa: F401
from genius_kit.benchmarks import downloads
from genius_kit.journal import read_run
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.reports import records as report_records
from tests.faulty_disk import faulty_disk

BESIDE = SIDE_EVENTS | {"intent", "call_failed"}
"""Events that say how a reply was come by, which a kill changes; all others are the run."""

UNEQUAL = ("time", "seconds", "price", "versions", "code", "attempt", "attempts")
FILES = {"first.json": b'{"first": 1}' * 3000, "second.json": b'{"second": 2}' * 3000}
"""What the loopback server of the downloads has."""

FIGURES = """
import os, sys
sys.path.insert(0, os.environ['CRASH_ROOT'])
from tests.faulty_disk import from_environment
from_environment()
import pandas as pd
from matplotlib.figure import Figure
from genius_kit.figures.files import save_figure
figure = Figure(figsize=(1, 1))
figure.subplots().plot([1, 2, 3])
save_figure(figure, output_folder + '/figures/tiny', 'line', pd.DataFrame({'x': [1, 2, 3]}))
print('drawn')
"""


def run_search(folder, address):
    """Search the toy benchmark with the model at `address`."""
    import genius_kit as gk
    from tests.doubles import ToyBenchmark

    benchmark = ToyBenchmark()
    proposer = gk.make_proposer("llm", benchmark.space, model="toy-model", base_url=address)
    return gk.search(benchmark, proposer, 3, seed=1, journal=folder / "run.jsonl", progress=False)


def run_study(folder, address):
    """Run 2 arms x 2 seeds with the model at `address`, one run after the other, and write their tables."""
    from genius_kit.cli.study import study

    os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = address, "none"
    write_study(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        study(str(folder / "small.yaml"), folder / "studies", workers=1)


def write_study(folder):
    """Write the file of the study."""
    told = {
        "name": "small",
        "benchmarks": ["nas-bench-201-cifar10"],
        "budget": 2,
        "seeds": [0, 1],
        "arms": ["llm", {"control": "no-feedback"}],
        "models": ["toy-model"],
        "source": "embedded",
    }
    (folder / "small.yaml").write_text(json.dumps(told))


def run_training(folder, address):
    """Evaluate one network of a quarter width on digits of 8 pixels, by training it for two epochs."""
    from genius_kit.benchmarks.trained import TrainedBenchmark

    torch.set_num_threads(1)
    settings = {"image_size": 8, "subset": 256, "keep_weights": True, "cache": folder / "trained"}
    changes = {"epochs": 2, "batch_size": 64}
    benchmark = TrainedBenchmark("nas-bench-macro-w0.25", "digits", "quick", changes=changes, **settings)
    return benchmark.evaluate((1, 0, 0, 0, 0, 0, 0, 0))


def run_report(folder, address):
    """Run one tiny notebook that saves a figure into a report."""
    from genius_kit.reports import run as reports

    prepare_report()
    write_notebook(folder)
    results = reports.report(folder / "notebooks", folder / "out", workers=1)
    assert results[0].status == "done", results[0].error


def prepare_report():
    """Let the kernel find the tests, and leave out changes of the code while they run."""
    os.environ["CRASH_ROOT"] = str(Path(__file__).parent.parent)
    report_records.code_sum = lambda: "sum of the code"


def write_notebook(folder):
    """Write the notebook that the report runs."""
    from tests.notebook_files import write

    if not (folder / "notebooks").is_dir():
        write(folder / "notebooks", "tiny", FIGURES, parameters="output_folder: str = '.'")


def run_download(folder, address):
    """Fetch two files from the server at `address`."""
    prepare_download(folder, address)
    downloads.fetch()


def prepare_download(folder, address):
    """Let the published files be two small ones on the server at `address`."""
    os.environ["GENIUS_KIT_DATA"] = str(folder / "data")
    downloads.BASE_ADDRESS = address
    downloads.FILES = {
        name: downloads.DataFile(name, name, hashlib.sha256(content).hexdigest(), len(content), "a test")
        for name, content in FILES.items()
    }


def journals(folder):
    """Return the run of every journal below a folder, by its place."""
    return {str(path.relative_to(folder)): read_run(path) for path in sorted(folder.rglob("*.jsonl"))}


def plain(run):
    """Return the events of a run, without times and without how the replies were come by."""
    return [
        {key: value for key, value in event.items() if key not in UNEQUAL}
        for event in run.events
        if event["event"] not in BESIDE
    ]


def result_of_search(folder):
    """Return the events of the run, and which files there are."""
    return {name: plain(run) for name, run in journals(folder).items()}


def result_of_study(folder):
    """Return the events of every run, and the tables without times."""
    import pandas as pd

    tables = {}
    for name in ("results", "summary"):
        table = pd.read_csv(folder / "studies" / "small" / f"{name}.csv")
        dropped = [column for column in table if re.search("seconds|time|journal|failed|attempt", column)]
        tables[name] = table.drop(columns=dropped).to_csv()
    return {**result_of_search(folder), **tables}


def result_of_training(folder):
    """Return what is on record of the training without times, and the weights."""
    (path,) = (folder / "trained").glob("*.json")
    outcome = json.loads(path.read_bytes())
    result = {name: value for name, value in outcome["result"].items() if name not in ("seconds", "history")}
    history = [{k: v for k, v in row.items() if "second" not in k} for row in outcome["result"]["history"]]
    weights = (folder / "trained" / path.stem / "weights.pt").read_bytes()
    return {"result": result, "history": history, "weights": hashlib.sha256(weights).hexdigest()}


def result_of_report(folder):
    """Return the page, the figures, what the notebook printed, and the index without times."""
    from tests.notebook_files import outputs

    out = folder / "out"
    files = [out / "tiny.html", *sorted((out / "figures").rglob("*"))]
    index = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|[\d.]+ s\b", "", (out / "index.html").read_text())
    found = {str(path.relative_to(out)): path.read_bytes() for path in files if path.is_file()}
    found["tiny.html"] = re.sub(rb"cell-id=\w+", b"", found["tiny.html"])  # a new cell has a random one
    return {**found, "printed": outputs(out / "tiny.ipynb"), "index": index}


def result_of_download(folder):
    """Return what lies in the data folder."""
    files = (path for path in (folder / "data").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


RUNS = {"search": run_search, "study": run_study, "training": run_training, "report": run_report}
RUNS |= {"download": run_download}
RESULTS = {"search": result_of_search, "study": result_of_study, "training": result_of_training}
RESULTS |= {"report": result_of_report, "download": result_of_download}


def run_and_die(name, folder, address, environment, at, fault, ready=None):
    """Run in this process with a disk that kills it at call `at`; the names of its calls are sent to `ready` otherwise.

    In a notebook, which is a process of its own, the disk is that of the kernel where `fault` begins with "kernel-".
    """
    os.environ.update(environment)
    (folder / "errors").touch()
    os.dup2(os.open(folder / "errors", os.O_WRONLY | os.O_APPEND), 2)  # what it says is read where it should not fail
    if ready is not None:
        ready.send("ready")
    if fault.startswith("kernel-"):
        told = {"at": at, "fault": fault.removeprefix("kernel-"), "counted": str(folder / "counted")}
        os.environ["FAULTY_DISK"] = json.dumps(told)
        RUNS[name](folder, address)
        calls = (folder / "counted").read_text().split()
    else:
        with faulty_disk(at, fault) as disk:
            RUNS[name](folder, address)
        calls = disk.calls
    if ready is not None:
        ready.send(calls)


def command_of(name, folder, address):
    """Return the command line of what a user gives in a terminal, without `genius-kit`."""
    if name == "study":
        write_study(folder)
    if name == "report":
        write_notebook(folder)
    model = ["--model", "toy-model", "--base-url", address, "--budget", "3"]
    changes = ["--set", "epochs=1", "--set", "batch_size=256", "--set", "image_size=8"]
    return {
        "search": ["run", "nas-bench-201-cifar10", *model, "--output", str(folder / "runs")],
        "study": ["study", str(folder / "small.yaml"), "--output", str(folder / "studies"), "--workers", "1"],
        "training": ["train", "nas-bench-macro-w0.25", "10000000", "--dataset", "digits", "--output",
                     str(folder / "trained"), *changes],
        "report": ["report", "--notebooks", str(folder / "notebooks"), "--output", str(folder / "out"),
                   "--workers", "1"],
        "download": ["data", "fetch"],
    }[name]  # fmt: skip


def command_with_fault(name, folder, address, environment, at, fault, told):
    """Give the command in this process with a faulty disk; what it printed, its exit code and calls are sent."""
    from genius_kit.cli import commands as cli

    prepare(name, folder, address, environment)
    printed = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), faulty_disk(at, fault) as disk:
        sys.argv = ["genius-kit", *command_of(name, folder, address)]
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
    told.send((code, printed.getvalue(), disk.calls))


def prepare(name, folder, address, environment):
    """Set this process up as a user's shell would be."""
    os.environ.update(environment, OPENAI_API_KEY="none", GENIUS_KIT_PROGRESS="none")
    if name == "study":
        os.environ["OPENAI_BASE_URL"] = address
    if name == "report":
        prepare_report()
    if name == "download":
        prepare_download(folder, address)
    os.chdir(folder)
