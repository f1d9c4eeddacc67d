"""Studies: the plan, running it on any executor, stopping and resuming it, and its results."""

import dataclasses
import os
import pickle
import signal
import socket
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from genius_kit import figures, pools
from genius_kit.errors import InvalidParameter, JournalError, StudyFailed, VersionMismatch
from genius_kit.journal import read_run
from genius_kit.proposers.base import WARM
from genius_kit.runs.loop import first_architecture
from genius_kit.studies import run as studies
from genius_kit.studies.plan import Arm, Study, shard_of
from genius_kit.studies.run import Job, run_job
from tests.study_files import COMMAND, records, text_of

TABLE = "nas-bench-201-cifar10"


def small(**changes):
    """Return a study of three arms on the embedded table, with some of it changed."""
    study = Study(
        name="small",
        benchmarks=(TABLE,),
        arms=(Arm("llm", "llm"), Arm("random", "random"), Arm("evolution", "evolution", {}, 4)),
        budget=6,
        seeds=(0, 1, 2),
        source="embedded",
    )
    return dataclasses.replace(study, **changes)


def test_the_plan_has_every_run_once_and_keeps_its_order():
    """Arms that ask a model are multiplied by models and prompts, others are not; seeds come one after the other."""
    study = small(models=("a", "b"), prompts=("minimal", "standard"), benchmarks=(TABLE, "nas-bench-201-cifar100"))
    plan = study.plan()
    assert plan == study.plan()
    assert len(plan) == 3 * 2 * (4 + 1 + 1)
    assert [task.order for task in plan] == list(range(len(plan)))
    assert [task.seed for task in plan] == sorted(task.seed for task in plan)
    asked = [(task.settings["model"], task.settings["prompt"]) for task in plan[:4]]
    assert asked == [("a", "minimal"), ("a", "standard"), ("b", "minimal"), ("b", "standard")]
    assert [task.settings for task in plan[4:6]] == [{}, {}]


def test_an_arm_has_its_own_budget():
    """The budget of the study is for the arms that name none."""
    assert {task.arm: task.budget for task in small().plan()} == {"llm": 6, "random": 6, "evolution": 4}


def test_an_arm_with_its_own_model_is_not_multiplied():
    """What an arm says itself stands, and equal runs come once."""
    plan = small(models=("a", "b"), arms=(Arm("mine", "llm", {"model": "c"}),), seeds=(0,)).plan()
    assert [task.settings["model"] for task in plan] == ["c"]


def test_a_task_can_go_to_any_process():
    """Tasks are plain values."""
    plan = small().plan()
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_shards_share_the_plan_out():
    """Every run is in exactly one shard."""
    plan = small().plan()
    parts = [shard_of(plan, f"{index}/4") for index in range(4)]
    assert sorted(task.order for part in parts for task in part) == [task.order for task in plan]
    assert parts[1] == plan[1::4]


@pytest.mark.parametrize("shard", ["4/4", "-1/4", "1", "a/b", "1/0", "0/", "1.0/4", "²/4"])
def test_a_shard_of_another_form_is_refused(shard):
    """I/N with 0 <= I < N, nothing else."""
    with pytest.raises(InvalidParameter, match="I/N"):
        shard_of(small().plan(), shard)


@pytest.mark.parametrize("first", ["random", "largest", "012340"])
def test_every_arm_of_a_seed_begins_alike(no_data, tmp_path, first):
    """The first architecture is drawn from the seed, the same whatever searches, and marked as given."""
    frame = studies.run_study(small(first=first), tmp_path, executor=ThreadPoolExecutor(2), progress=False)
    begun = {}
    for seed, journal in zip(frame["seed"], frame["journal"], strict=True):
        proposal = read_run(journal).of("proposal")[0]
        assert proposal["origin"] == "given"
        begun.setdefault(seed, set()).add(tuple(proposal["architecture"]))
    assert all(len(designs) == 1 for designs in begun.values())
    assert len(set.union(*begun.values())) == (3 if first == "random" else 1)


def test_no_first_design_is_the_default(no_data):
    """Nothing is given unless the study says so."""
    from genius_kit.spaces import load_space

    assert first_architecture("none", load_space("nas-bench-201"), 0) is None


def test_a_study_runs_and_again_leaves_alone_what_is_finished(no_data, tmp_path):
    """One journal per run, with its place in the study; the second call writes nothing."""
    frame = studies.run_study(small(), tmp_path, workers=2, progress=False)
    assert len(frame) == 9
    assert frame["evaluations"].tolist() == frame["budget"].tolist()
    assert (frame["reason"] == "budget").all()
    study = read_run(frame["journal"][2]).events[0]["study"]
    assert study == {"name": "small", "arm": "evolution", "order": 2, "batch": 2}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}
    again = studies.run_study(small(), tmp_path, workers=2, progress=False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")} == before
    assert again.equals(frame)


def test_optimisers_that_begin_as_the_model_does_ask_nothing(no_data, tmp_path):
    """They take the proposals that the reference arm of their seed has on record, in whatever order the arms stand."""
    begun = [Arm(name, name, {"model_proposals": 2}) for name in WARM]
    plan = small(arms=(*begun, Arm("llm", "llm")), budget=4, first="random")
    found = studies.run_study(plan, tmp_path, progress=False)
    firsts = {
        (arm, seed): [event["architecture"] for event in read_run(path).of("proposal")][:3]
        for arm, seed, path in zip(found["arm"], found["seed"], found["journal"], strict=True)
    }
    own = found[found["arm"] != "llm"]
    assert own["reused"].tolist() == own["calls"].tolist() == [2] * len(own)
    assert all(proposed == firsts["llm", seed] for (_, seed), proposed in firsts.items())


def test_processes_threads_and_shards_give_the_same_runs(no_data, tmp_path):
    """Where a run goes decides nothing about it."""
    studies.run_study(small(), tmp_path / "own", progress=False)
    with ThreadPoolExecutor(3) as pool:
        studies.run_study(small(), tmp_path / "threads", executor=pool, progress=False)
    for index in range(2):
        with ThreadPoolExecutor(2) as pool:
            studies.run_study(small(), tmp_path / "shards", executor=pool, shard=f"{index}/2", progress=False)
    own = records(tmp_path / "own")
    assert len(own) == 9
    assert own == records(tmp_path / "threads") == records(tmp_path / "shards")


def test_two_arms_that_are_one_run_are_refused(no_data, tmp_path):
    """A setting at its default makes no other run: two arms would write one journal."""
    twins = small(arms=(Arm("gp", "gp"), Arm("same", "gp", {"initial": 5})))
    with pytest.raises(InvalidParameter, match="one and the same run"):
        studies.run_study(twins, tmp_path, progress=False)


def test_a_server_that_does_not_answer_fails_its_runs_only(no_data, tmp_path):
    """The other arms are done, the error names the failed runs and says that only the model was at fault."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    study = small(models=("some-model",), language={"base_url": address}, seeds=(0,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genius_kit.llm.calls.Caller.__init__.__kwdefaults__", {"attempts_limit": 1, "sleep": time.sleep})
        with pytest.raises(StudyFailed, match=r"(?s)1 of the 3 runs .* llm on .*, some-model") as raised:
            studies.run_study(study, tmp_path, progress=False)
    assert raised.value.only_model
    frame = studies.results(tmp_path)
    assert frame[frame["reason"] == "budget"]["arm"].tolist() == ["random", "evolution"]
    assert address.split("//")[1].split("/")[0] in frame.set_index("arm").loc["llm", "failure"]


def test_a_failure_that_is_no_models_is_told_apart(no_data, tmp_path):
    """A journal of another run in the way: that run fails, and not for its model's sake."""
    tasks, paths = studies.places(small(), tmp_path)
    paths[1].parent.mkdir(parents=True)
    paths[1].write_text('{"event":"run_started","time":"","run":{"budget":1}}\n', encoding="utf-8")
    with pytest.raises(StudyFailed, match="random on nas-bench-201-cifar10, seed 0") as raised:
        studies.run_study(small(), tmp_path, progress=False)
    assert not raised.value.only_model
    assert len(list(tmp_path.rglob("*.jsonl"))) == len(tasks)


def test_a_task_of_another_version_is_refused(no_data, tmp_path):
    """A worker with another version of the kit does not run it, and both versions are named."""
    task = dataclasses.replace(small().plan()[1], version="0.0.1")
    outcome = run_job(Job(task, str(tmp_path / "a.jsonl")))
    import genius_kit

    assert "0.0.1" in outcome.failure
    assert genius_kit.__version__ in outcome.failure
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize("error", [VersionMismatch("a"), StudyFailed("b", only_model=True), JournalError("c")])
def test_errors_come_back_from_other_processes(error):
    """What an error says survives pickling."""
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_a_broken_executor_of_others_fails_what_is_left(no_data, tmp_path):
    """An executor that is not ours is not mended: the rest fails with how to go on."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(os._exit, 1)
        with pytest.raises(StudyFailed, match="the same call again resumes"):
            studies.run_study(small(seeds=(0,)), tmp_path, executor=pool, progress=False)
    assert (
        studies.run_study(small(seeds=(0,)), tmp_path, workers=1, progress=False)["reason"].tolist() == ["budget"] * 3
    )


def _children(parent):
    import psutil

    return [child.pid for child in psutil.Process(parent).children() if "spawn_main" in " ".join(child.cmdline())]


def _wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _evaluations(folder):
    return sum(path.read_bytes().count(b'"event":"evaluation"') for path in Path(folder).rglob("*.jsonl"))


def long():
    """Return a study that takes some seconds."""
    return small(arms=(Arm("evolution", "evolution"), Arm("random", "random")), budget=80, seeds=tuple(range(6)))


@pytest.fixture(scope="module")
def whole(embedded_cache, tmp_path_factory):
    """The records of the long study, run in threads without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        studies.run_study(long(), folder, executor=pool, progress=False)
    return records(folder)


@pytest.fixture
def uninterrupted(whole, no_data):
    """The same, on a machine on which nothing was downloaded."""
    return whole


def _begin(tmp_path, folder):
    """Start the long study in a process of its own, and return it once some evaluations are on disk."""
    path = tmp_path / "small.json"
    path.write_text(text_of(long()), encoding="utf-8")
    process = subprocess.Popen(
        [*COMMAND, str(path), "--output", str(folder), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )
    _wait(lambda: _evaluations(folder) > 150 or process.poll() is not None)
    return process


def _heed_ctrl_c():
    """Undo what a shell does to jobs in the background, which ignore the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_killed_study_resumes_to_the_same_records(uninterrupted, tmp_path):
    """SIGKILL in the middle takes the workers along; the same call again ends where an uninterrupted one ends."""
    folder = tmp_path / "killed"
    process = _begin(tmp_path, folder)
    workers = _children(process.pid)
    process.kill()
    process.communicate()
    assert len(workers) == 2
    _wait(lambda: not any(_is_alive(pid) for pid in workers), 10)
    assert _evaluations(folder) < 12 * 80
    studies.run_study(long(), folder, workers=2, progress=False)
    assert records(folder) == uninterrupted


def _is_alive(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_ctrl_c_ends_the_runs_and_says_how_to_go_on(uninterrupted, tmp_path):
    """An interrupted command ends soon, with a word on how to resume, and no worker is left."""
    folder = tmp_path / "interrupted"
    process = _begin(tmp_path, folder)
    workers = _children(process.pid)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command again resumes" in told
    assert "Traceback" not in told
    assert not any(_is_alive(pid) for pid in workers)
    assert _evaluations(folder) < 12 * 80
    studies.run_study(long(), folder, workers=2, progress=False)
    assert records(folder) == uninterrupted


@pytest.mark.slow
def test_a_killed_worker_is_replaced(uninterrupted, tmp_path):
    """A worker that dies takes nothing along: others do its runs, from where their journals end."""
    folder = tmp_path / "worker"
    process = _begin(tmp_path, folder)
    os.kill(_children(process.pid)[0], signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert records(folder) == uninterrupted


@pytest.mark.slow
def test_a_run_that_kills_its_workers_fails_alone(no_data, tmp_path):
    """After a few deaths the run that caused them is given up; the others are done."""
    scheduler = studies._scheduler()
    tasks = small(arms=(Arm("random", "random"),), seeds=tuple(range(6))).plan()
    jobs = [Job(task, str(tmp_path / f"{task.order}.jsonl")) for task in tasks]
    scheduler.start(pools.process_lane(_deadly, 2, len(jobs)), jobs)
    outcomes = {outcome.order: outcome.failure for outcome in scheduler.outcomes() if outcome is not None}
    assert "gave no answer" in outcomes.pop(3)
    assert outcomes == {0: None, 1: None, 2: None, 4: None, 5: None}


def _deadly(job):
    if job.task.order == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_job(job)


def test_workers_use_one_thread_for_their_numbers():
    """Processes side by side do not fight for the cores."""
    lane = pools.process_lane(run_job, 1, 1)
    with lane.executor as pool:
        assert set(pool.submit(_thread_counts).result()) == {1}


def _thread_counts():
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def test_runs_that_ask_one_model_share_its_client(no_data, tmp_path, monkeypatch):
    """One client, so one pool of connections, a model and its settings."""
    from genius_kit.llm import offline
    from genius_kit.proposers import llm as language

    made = []
    monkeypatch.setattr(language, "client_of", lambda *given, **named: made.append(1) or offline.OfflineClient())
    study = small(arms=(Arm("llm", "llm"),), language={"temperature": 0.123}, seeds=tuple(range(5)))
    studies.run_study(study, tmp_path, progress=False)
    assert len(made) == 2  # one to name the journals, one for the runs


def test_results_judge_the_best_design_on_the_table(no_data, tmp_path):
    """Rank range, its middle, top percent, regret and the probability of random search, against the table itself."""
    from genius_kit.benchmarks import load_benchmark
    from genius_kit.stats.random_search import RandomSearch

    frame = studies.run_study(small(arms=(Arm("random", "random"),)), tmp_path, workers=1, progress=False)
    benchmark = load_benchmark(TABLE, source="embedded")
    row = frame.iloc[0]
    best = max(read_run(row["journal"]).of("evaluation"), key=lambda event: event["feedback"])
    rank = benchmark.rank(best["architecture"])
    assert (row["rank_best"], row["rank_worst"]) == (rank.best, rank.worst)
    assert row["rank"] == (rank.best + rank.worst) / 2
    assert row["top_percent"] == pytest.approx(100 * row["rank"] / 15625)
    assert row["regret"] == pytest.approx(benchmark.scores().max() - best["feedback"])
    assert row["p_random"] == pytest.approx(RandomSearch(benchmark.scores()).p_value(best["feedback"], 6))
    assert (row["model_proposals"], row["calls"], row["cost"]) == (0, 0, None)
    assert row["best_key"] == benchmark.space.key(best["architecture"])


def test_the_summary_is_of_the_runs(no_data, tmp_path):
    """Mean, spread and interval of the ranks; the model's own share; each arm paired with the plain model arm."""
    arms = (Arm("llm", "llm", {}, 6), Arm("random", "random", {}, 6), Arm("evolution", "evolution"), Arm("gp", "gp"))
    study = small(arms=arms, budget=20, seeds=tuple(range(6)), first="random")
    frame = studies.run_study(study, tmp_path, workers=2, progress=False)
    table = studies.summary(frame).set_index("arm")
    ranks = frame[frame["arm"] == "random"]["rank"].to_numpy(dtype=float)
    assert table.loc["random", "n"] == 6
    assert table.loc["random", "mean_rank"] == pytest.approx(ranks.mean())
    assert table.loc["random", "standard_error"] == pytest.approx(ranks.std(ddof=1) / 6**0.5)
    assert table.loc["random", "low"] <= ranks.mean() <= table.loc["random", "high"]
    assert table.loc["llm", "own_share"] == pytest.approx(5 / 6)  # the first one is that of the seed
    assert table.loc["random", "own_share"] == 0
    assert table.loc["llm", "reference"] == "llm"
    assert np.isnan(table.loc["llm", "ratio"])
    model = frame[frame["arm"] == "llm"].set_index("seed")["rank"]
    both = np.log(frame[frame["arm"] == "random"].set_index("seed")["rank"] / model).astype(float)
    assert table.loc["random", "ratio"] == pytest.approx(np.exp(both.mean()))
    assert table.loc["evolution", "pairs"] == 0  # another budget is no fair pair
    assert table.loc["gp", "worth_gp"] <= 20
    assert studies.summary(frame, "random").set_index("arm").loc["llm", "reference"] == "random"


@pytest.mark.slow
def test_searches_that_are_one_and_the_same_count_once(no_data, tmp_path):
    """Without a first architecture of its seed the stand-in repeats one search: no spread, no interval, no test."""
    arms = (Arm("llm", "llm"), Arm("prior", "prior"), Arm("random", "random"))
    frame = studies.run_study(small(arms=arms, budget=2), tmp_path, workers=2, progress=False)
    assert len(frame) == 9
    table = studies.summary(frame, "random").set_index("arm")
    assert table["n"].to_dict() == {"llm": 1, "prior": 1, "random": 3}
    tested = ["sd", "standard_error", "low", "high", "ratio", "ratio_low", "ratio_high", "p_value"]
    assert table.loc[["llm", "prior"], tested].isna().all(axis=None)
    assert table.loc["llm", "method"] == "offline stand-in, not a language model"
    assert studies.curves(frame).groupby("arm")["n"].first().to_dict() == {"llm": 1, "prior": 1, "random": 3}
    printed = figures.study_table(studies.summary(frame))
    assert {printed.rows[row][1] for row, _ in printed.bold} == {"random"}
    begun = studies.run_study(small(name="begun", arms=arms, first="random"), tmp_path, workers=2, progress=False)
    assert studies.summary(begun).set_index("arm")["n"].to_dict() == {"llm": 3, "prior": 3, "random": 3}


def test_unfinished_runs_count_for_nothing(no_data, tmp_path):
    """A run without an end is in the results, without a reason, and not in the summary."""
    frame = studies.run_study(small(seeds=(0, 1)), tmp_path, workers=2, progress=False)
    path = Path(frame["journal"][0])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    again = studies.results(tmp_path)
    assert again["reason"].isna().sum() == 1
    assert studies.summary(again).set_index("arm").loc["llm", "n"] == 1


def test_runs_of_two_settings_are_not_one_arm(no_data, tmp_path):
    """The same arm and seed with two protocols in one folder: refused, with both journals."""
    for protocol in ("paper", "held-out"):
        studies.run_study(small(seeds=(0,), protocol=protocol), tmp_path, workers=1, progress=False)
    with pytest.raises(InvalidParameter, match="more than once"):
        studies.summary(studies.results(tmp_path))


def test_curves_follow_the_best_so_far(no_data, tmp_path):
    """The mean of the runs' best ranks never gets worse, ends at the summary's mean, and lies in its band."""
    frame = studies.run_study(small(), tmp_path, workers=2, progress=False)
    curves = studies.curves(tmp_path)
    evolution = curves[curves["arm"] == "evolution"]
    assert evolution["evaluations"].tolist() == list(range(1, 5))
    assert (evolution["mean_rank"].diff().dropna() <= 0).all()
    assert evolution["mean_rank"].iloc[-1] == pytest.approx(frame[frame["arm"] == "evolution"]["rank"].mean())
    assert (evolution["low"] <= evolution["mean_rank"]).all()
    assert (evolution["mean_rank"] <= evolution["high"]).all()
    best = studies.curves(tmp_path, ties="best")
    assert (best["mean_rank"].to_numpy() <= curves["mean_rank"].to_numpy()).all()


def test_the_command_prints_and_writes_what_came(no_data, tmp_path):
    """`genius-kit study` prints the summary and writes both tables; overrides replace what the file says."""
    import pandas as pd

    path = tmp_path / "small.json"
    path.write_text(text_of(small(arms=(Arm("random", "random"), Arm("prior", "prior")))), encoding="utf-8")
    done = subprocess.run(
        [*COMMAND, str(path), "--output", str(tmp_path), "--from-seed", "7", "--seeds", "2", "--budget", "4"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "4 of 4 runs" in done.stderr
    assert "random" in done.stdout
    assert "prior" in done.stdout
    frame = pd.read_csv(tmp_path / "small" / "results.csv")
    assert frame["seed"].tolist() == [7, 7, 8, 8]
    assert set(frame["budget"]) == {4}
    assert len(pd.read_csv(tmp_path / "small" / "summary.csv")) == 2


@pytest.mark.slow
def test_a_failing_model_is_exit_code_three(no_data, tmp_path):
    """The model could not be reached (no key): the summary of the rest is printed all the same."""
    path = tmp_path / "small.json"
    path.write_text(text_of(small(seeds=(0,))), encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    done = subprocess.run(
        [*COMMAND, str(path), "--output", str(tmp_path), "--models", "gpt-4.1", "--yes"],
        capture_output=True,
        text=True,
        check=False,
        env=clean,
    )
    assert done.returncode == 3, done.stderr
    assert "OPENAI_API_KEY" in done.stderr
    assert "evolution" in done.stdout


def test_the_table_on_a_terminal_counts_by_arm():
    """One row per arm: done, running, failed, of how many, mean rank so far."""
    from rich.console import Console

    from genius_kit.studies.run import Outcome, StudyProgress

    watch = StudyProgress(small().plan(), shown=False)
    watch.update([Outcome(1, 10.0, 15625), Outcome(4, 20.0, 15625), Outcome(0, failure="x", is_model=True)], [2, 3])
    console = Console(width=100)
    with console.capture() as capture:
        console.print(watch.table())
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in capture.get().splitlines() if "│" in line}
    cells = {name: [cell.strip() for cell in row] for name, row in rows.items()}
    assert cells["random"] == ["2", "0", "0", "3", "15.0"]
    assert cells["llm (offline, standard)"] == ["0", "1", "1", "3", "-"]
    assert cells["all"] == ["2", "2", "1", "9", ""]
