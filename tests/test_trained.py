"""The benchmark that trains: nothing is trained twice, and a training that fails is a result."""

import json
import multiprocessing
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

import genius_kit as gk
from genius_kit import figures
from genius_kit.benchmarks.cache import content_of, key_of
from genius_kit.errors import DataCorrupt, InvalidParameter, JournalError, TrainingFailed, UnknownName
from genius_kit.journal import read_run
from genius_kit.prompts import load_prompt
from genius_kit.records import Trial
from genius_kit.training import trainer as training
from genius_kit.training.trainer import TrainingResult
from tests import worker_children
from tests.doubles import QueueClient, ToyBenchmark

SPACE = "nas-bench-macro-w0.25"
LARGEST = (2,) * 8
TINY = {"epochs": 1, "batch_size": 32}


class CountedTraining:
    """In place of a training: remembers what it was given, and answers by the network's key, or fails."""

    def __init__(self):
        self.keys, self.settings, self.failures, self.seconds = [], [], {}, 0.0

    def __call__(self, network, dataset, recipe, **settings):
        self.keys.append(network.key)
        self.settings.append(settings)
        time.sleep(self.seconds)
        if network.key in self.failures:
            raise self.failures[network.key]
        accuracy = 50.0 + sum(int(digit) for digit in network.key)
        row = {"epoch": 1, "train_loss": 1.0, "learning_rate": 0.1, "validation_accuracy": accuracy}
        return TrainingResult(
            history=(row,), last_validation_accuracy=accuracy, best_validation_accuracy=accuracy, best_epoch=1,
            test_accuracy=accuracy - 10, parameters=7, seconds=1.5, device="cpu", precision="float32", weights=None,
            memory_format="contiguous_format",
        )  # fmt: skip


@pytest.fixture
def counted(monkeypatch):
    """Trainings that take no time and are counted."""
    stand_in = CountedTraining()
    monkeypatch.setattr(training, "train", stand_in)
    return stand_in


@pytest.fixture
def make(tmp_path):
    """A function that makes the benchmark with its results in one folder."""
    return lambda **settings: gk.load_benchmark("train", **{"space": SPACE, "cache": tmp_path / "cache", **settings})


def failed(cause):
    return TrainingFailed(f"{cause}: it came to nothing at step 3. Try less", cause=cause)


def files(folder, suffix):
    return sorted(path for path in (folder / "cache").iterdir() if path.suffix == suffix)


def test_an_evaluation_is_a_training(counted, make):
    """The search is shown validation accuracy; the cost is the exact one of the network that was trained."""
    benchmark = make()
    found = benchmark.evaluate(LARGEST)
    assert (found.feedback, found.validation_accuracy, found.test_accuracy) == (66.0, 66.0, 56.0)
    assert (found.failure, found.memory_format) == (None, "contiguous_format")
    assert found.cost == gk.count_cost(benchmark.space, LARGEST, num_classes=10, image_size=8)
    assert found.source.startswith("trained: quick on digits, 8 px, seed 0 (")
    assert benchmark.feedback_name == "validation accuracy"
    assert benchmark.rank(LARGEST) is None


def test_nothing_is_trained_twice(counted, make):
    """A second benchmark of the same settings finds the result of the first, and its curve."""
    first = make().evaluate(LARGEST)
    again = make()
    assert again.evaluate(LARGEST) == first
    assert counted.keys == ["22222222"]
    assert list(again.history(LARGEST)["validation_accuracy"]) == [66.0]
    assert again.history((0,) * 8) is None


def test_two_threads_train_one_network_once(counted, make):
    """The second waits for the first and takes its result."""
    counted.seconds = 0.3
    benchmarks = [make(), make()]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda benchmark: benchmark.evaluate(LARGEST), benchmarks))
    assert found[0] == found[1]
    assert len(counted.keys) == 1


def test_trainings_of_one_process_go_one_after_another(monkeypatch, make):
    """They share one random generator, so that two at once would not be repeatable."""
    running, most = threading.Semaphore(1), []

    def train(network, dataset, recipe, **settings):
        most.append(running.acquire(blocking=False))
        time.sleep(0.1)
        running.release()
        return CountedTraining()(network, dataset, recipe)

    monkeypatch.setattr(training, "train", train)
    benchmark = make()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(benchmark.evaluate, [LARGEST, (1,) * 8]))
    assert most == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        {"changes": {"epochs": 9}},
        {"changes": {"label_smoothing": 0.0}},
        {"seed": 1},
        {"subset": 500},
        {"image_size": 16},
        {"space": "nas-bench-macro-w0.5"},
    ],
)
def test_whatever_decides_the_result_is_trained_anew(counted, make, change):
    """Recipe, seed, data, image size and space are the content that a result is found by."""
    first, other = make(), make(**change)
    first.evaluate(LARGEST)
    other.evaluate(LARGEST)
    assert len(counted.keys) == 2
    assert first.source != other.source or first.space.name != other.space.name


@pytest.mark.parametrize(
    "same", [{"changes": {"warmup_epochs": 1.0}}, {"changes": {"workers": 0}}, {"time_limit": 60.0}, {"device": "cpu"}]
)
def test_what_does_not_decide_the_result_trains_nothing(counted, make, same):
    """The same number written otherwise, the workers, the limit, the device."""
    make().evaluate(LARGEST)
    make(**same).evaluate(LARGEST)
    assert len(counted.keys) == 1


def test_isomorphic_architectures_share_a_training(counted, make):
    """It is the canonical network that is trained, whichever was asked for."""
    benchmark = make()
    found = [benchmark.evaluate(benchmark.space.decode(key)) for key in ("22102222", "22120222")]
    assert found[0] == found[1]
    assert counted.keys == ["22120222"]


def test_a_new_version_of_the_training_trains_anew(counted, make, monkeypatch):
    """What older code trained is not used."""
    make().evaluate(LARGEST)
    monkeypatch.setattr("genius_kit.benchmarks.cache.TRAINING_VERSION", 2)
    make().evaluate(LARGEST)
    assert len(counted.keys) == 2


@pytest.mark.parametrize(
    ("cause", "words", "trainings"),
    [
        ("diverged", "training diverged: it came to nothing at step 3. Try less", 1),
        ("out of memory", "out of memory: it came to nothing", 2),
        ("time limit", "not done within 60 s: it came to nothing", 2),
        ("process died", "process died: it came to nothing", 2),
    ],
)
def test_a_failed_training_is_an_evaluation(counted, make, cause, words, trainings):
    """It says why; only a failure that would come again everywhere is kept."""
    counted.failures["22222222"] = failed(cause)
    found = [make(time_limit=60).evaluate(LARGEST) for _ in range(2)]
    assert found[0] == found[1]
    assert (found[0].feedback, found[0].test_accuracy) == (None, None)
    assert found[0].failure.startswith(words)
    assert found[0].cost.parameters > 0
    assert len(counted.keys) == trainings


def test_no_memory_for_the_network_is_a_failure(counted, make, monkeypatch):
    """Building it may be what does not fit."""

    def build(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr(training, "seeded_network", build)
    assert make().evaluate(LARGEST).failure.startswith("out of memory: ")


def test_an_error_of_our_own_is_no_failure(counted, make):
    """A batch that the data set cannot fill stops the search: it would be the same for every architecture."""
    counted.failures["22222222"] = InvalidParameter("batch_size 5000 is more than the images")
    with pytest.raises(InvalidParameter, match="5000"):
        make().evaluate(LARGEST)


def test_a_search_goes_on_after_a_failure_and_tells_the_model(counted, make, tmp_path):
    """The next prompt says what happened, the record keeps it, and the model's other architectures are trained."""
    counted.failures["22222222"] = failed("diverged")
    client = QueueClient(*(f"Architecture: {list(map(int, key))}" for key in ("22222222", "22222221")))
    benchmark = make()
    run = gk.search(benchmark, gk.make_proposer("llm", benchmark.space, client=client), 2, journal=tmp_path / "a.jsonl")
    assert "1. [2, 2, 2, 2, 2, 2, 2, 2] -> not measured (training diverged)\n" in client.sent[1][-1]["content"] + "\n"
    assert "56.00" not in str(client.sent), "test accuracy is not shown"
    frame = run.frame()
    assert frame["failure"].iloc[0] == "training diverged: it came to nothing at step 3. Try less"
    assert list(frame["failure"].isna()) == [False, True]
    assert list(frame["feedback"].isna()) == [True, False]
    assert read_run(tmp_path / "a.jsonl").frame().equals(frame)


def test_a_failure_is_read_back_when_a_run_resumes(counted, make, tmp_path):
    """Coordinate descent that begins with a failure goes on at random, resumed or not; nothing is trained again."""
    counted.failures["22222222"] = failed("out of memory")
    whole, path = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    for journal in (whole, path):
        benchmark = make(cache=tmp_path / journal.stem)
        gk.search(
            benchmark, gk.make_proposer("coordinate-descent", benchmark.space), 4, journal=journal, progress=False
        )
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))  # up to the failed evaluation
    before = len(counted.keys)
    run = gk.resume(path, cache=tmp_path / "part")
    assert len(counted.keys) == before
    assert list(run.frame()["key"]) == list(read_run(whole).frame()["key"])
    assert run.frame()["failure"].notna().tolist() == [True, False, False, False]


def test_the_offline_stand_in_goes_on_after_a_failure(counted, make):
    """It reads a line that was not measured as tried and worse than any other."""
    counted.failures["11111111"] = failed("diverged")
    benchmark = make()
    run = gk.search(benchmark, gk.make_proposer("llm", benchmark.space), 3, progress=False)
    assert run.frame()["failure"].notna().tolist() == [True, False, False]
    assert not run.of("rejected")


def test_dialogue_says_what_failed(make):
    """The conversation that grows has the same line."""
    space = make().space
    failure = gk.Evaluation(None, None, None, None, "here", "out of memory: 3 GB were asked for")
    exchange = ({"role": "assistant", "content": "Architecture: [2, 2, 2, 2, 2, 2, 2, 2]"},)
    messages = load_prompt("minimal", space, history="dialogue").messages([Trial(1, LARGEST, failure, exchange)])
    assert "-> not measured (out of memory)" in messages[-1]["content"]


def test_figures_cope_with_failures(counted, make):
    """A run may begin with a failure; one that measured nothing has no best architecture."""
    counted.failures["22222222"] = failed("diverged")
    benchmark = make()
    runs = gk.search_many(benchmark, "coordinate-descent", [0, 1], 3, progress=False)
    assert figures.run_table({"descent": runs})["failure"].notna().sum() == 2
    assert sum(figures.best_architecture(runs)) == max(run.frame()["feedback"].max() for run in runs) - 50
    figures.best_so_far({"descent": runs})
    nothing = gk.search_many(benchmark, "prior", [0], 3, progress=False)
    assert nothing[0].frame().nlargest(1, "feedback")["feedback"].isna().all()
    with pytest.raises(InvalidParameter, match="none of the 1 evaluations"):
        figures.best_architecture(nothing)
    with pytest.raises(InvalidParameter, match="measured nothing"):
        figures.best_so_far({"prior": nothing})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("66.0", "99.0"),
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace('"format": 1', '"format": 7'),
    ],
)
def test_a_damaged_record_is_refused(counted, make, tmp_path, damage):
    """The message names the file; without it the network is trained again."""
    make().evaluate(LARGEST)
    (path,) = files(tmp_path, ".json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataCorrupt, match=rf"{path.name} cannot be used .*; delete it"):
        make().evaluate(LARGEST)
    path.unlink()
    assert make().evaluate(LARGEST).feedback == 66.0


def test_a_record_under_another_key_is_refused(counted, make, tmp_path):
    """A file that was renamed does not answer for another network."""
    benchmark = make()
    benchmark.evaluate(LARGEST)
    (path,) = files(tmp_path, ".json")
    content = content_of(benchmark.space, (1,) * 8, benchmark.recipe, benchmark.data.fingerprint, 8, 0)
    path.rename(path.with_name(f"{key_of(content)}.json"))
    with pytest.raises(DataCorrupt, match="key does not belong"):
        benchmark.evaluate((1,) * 8)


def test_a_run_is_resumed_from_its_journal_alone(counted, make, tmp_path):
    """The benchmark is made again from the first event, with the recipe as it was."""
    path = tmp_path / "a.jsonl"
    benchmark = make(changes={"epochs": 3}, time_limit=99.0, constraint={"upper_millions": 200})
    counted.failures["22222221"] = RuntimeError("pulled the plug")
    counted.failures |= dict.fromkeys(("22222220", "12222222", "02222222"), counted.failures["22222221"])
    counted.failures |= {gk.load_space(SPACE).key(a): RuntimeError("plug") for a in benchmark.space.neighbours(LARGEST)}
    with pytest.raises(RuntimeError):
        gk.search(benchmark, gk.make_proposer("coordinate-descent", benchmark.space), 3, journal=path, progress=False)
    counted.failures.clear()
    before = len(counted.keys)
    run = gk.resume(path, cache=tmp_path / "cache")
    assert len(run.frame()) == 3
    assert {event["memory_format"] for event in run.of("evaluation")} == {"contiguous_format"}
    assert len(counted.keys) == before + 2
    assert counted.settings[-1]["time_limit"] == 99.0
    again = gk.load_benchmark("train", cache=tmp_path / "cache", **benchmark.settings)
    assert (again.settings, again.source, again.constraint) == (
        benchmark.settings,
        benchmark.source,
        benchmark.constraint,
    )
    assert json.loads(json.dumps(benchmark.settings)) == benchmark.settings


def test_a_run_of_another_training_is_not_resumed(counted, make, tmp_path):
    """The journal names what differs."""
    path = tmp_path / "a.jsonl"
    first, other = make(), make(changes={"epochs": 3})
    gk.search(first, gk.make_proposer("prior", first.space), 1, journal=path, progress=False)
    with pytest.raises(JournalError, match=r"run\.source = 'trained: quick on digits"):
        gk.search(other, gk.make_proposer("prior", other.space), 1, journal=path, progress=False)


def test_journals_of_tables_are_what_they_were(tmp_path):
    """No new field stands in a run that trains nothing and in which nothing fails."""
    run = gk.search(ToyBenchmark(), gk.make_proposer("random", ToyBenchmark().space), 2, journal=tmp_path / "a.jsonl")
    assert "benchmark_settings" not in run.settings
    assert all({"failure", "memory_format"}.isdisjoint(event) for event in run.events)
    assert run.frame()["failure"].isna().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, "has no setting epoch"),
        ({"changes": {"learning_rat": 3}}, "learning_rat"),
        ({"protocol": "held-out"}, "no setting protocol"),
        ({"source": "embedded"}, "no setting source"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"executor": 4}, "executor is 4"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_settings_that_do_not_exist_are_refused(make, settings, words):
    """A misspelt or impossible setting is named before anything is trained."""
    with pytest.raises(InvalidParameter, match=words):
        make(**settings)


def test_names_that_do_not_exist_are_refused(make):
    """Space, data set, recipe and benchmark; a table takes no setting of a training."""
    for wrong in ({"space": "macro"}, {"dataset": "digit"}, {"recipe": "fast"}):
        with pytest.raises(UnknownName):
            make(**wrong)
    with pytest.raises(UnknownName, match="train, proxy"):
        gk.load_benchmark("training")
    with pytest.raises(InvalidParameter, match="needs space"):
        gk.load_benchmark("train")
    with pytest.raises(InvalidParameter, match="no setting recipe"):
        gk.load_benchmark("nas-bench-macro", recipe="quick")


def test_a_data_set_that_was_read_is_taken_as_it_is(counted, make):
    """Its name is not looked up, and settings of reading do not apply to it."""
    read = make().data
    assert make(dataset=read).evaluate(LARGEST) == make().evaluate(LARGEST)
    assert len(counted.keys) == 1
    with pytest.raises(InvalidParameter, match="subset came with a data set"):
        make(dataset=read, subset=100)


def test_threads_as_an_executor(counted, make):
    """Any concurrent.futures.Executor will do."""
    with ThreadPoolExecutor(1) as pool:
        assert make(executor=pool).evaluate(LARGEST).feedback == 66.0


def test_what_is_no_executor_is_refused(make):
    """A number is none."""
    with pytest.raises(InvalidParameter, match="executor is 4"):
        make(executor=4)


def test_a_broken_executor_that_cannot_be_replaced_is_named_as_such(counted, make, monkeypatch):
    """Which training killed it cannot be told, so that none is recorded as a failure."""
    monkeypatch.setattr("genius_kit.benchmarks.trained.train_once", worker_children.die)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        benchmark = make(executor=pool)
        for _ in range(2):
            with pytest.raises(InvalidParameter, match=r"give process_executor\(\)"):
                benchmark.evaluate(LARGEST)
    assert benchmark.outcome(LARGEST) is None


@pytest.mark.full
def test_a_killed_worker_is_recorded_and_the_search_goes_on(counted, make, monkeypatch):
    """Every training that kills its process is a failure of its own."""
    monkeypatch.setattr("genius_kit.benchmarks.trained.train_once", worker_children.die)
    context = multiprocessing.get_context("spawn")
    benchmark = make(executor=partial(ProcessPoolExecutor, 1, mp_context=context))
    run = gk.search(benchmark, gk.make_proposer("random", benchmark.space), 2, progress=False)
    assert run.frame()["failure"].str.startswith("process died: ").tolist() == [True, True]


@pytest.mark.full
def test_another_process_trains_and_nothing_is_trained_again(make, monkeypatch):
    """A spawned process leaves its result where this one finds it, and no checkpoint; weights only if wanted."""
    from genius_kit.pools import process_executor

    settings = {"changes": TINY, "subset": 64, "keep_weights": True}
    with process_executor() as pool:
        found = make(executor=pool, **settings).evaluate((0,) * 8)
    kept = make(**settings).weights((0,) * 8)
    assert sorted(path.name for path in kept.parent.iterdir() if path.suffix == ".pt") == ["weights.pt"]
    monkeypatch.setattr(training, "train", None)
    assert make(**settings).evaluate((0,) * 8) == found


def test_a_real_training_leaves_one_small_file(make, tmp_path):
    """The training folder is gone once its result is recorded."""
    benchmark = make(changes=TINY, subset=64)
    found = benchmark.evaluate((0,) * 8)
    assert 0 <= found.feedback <= 100
    assert 0 <= found.test_accuracy <= 100
    assert [path.suffix for path in sorted((tmp_path / "cache").iterdir())] == [".json", ".lock"]
    assert files(tmp_path, ".json")[0].stat().st_size < 10_000
    assert benchmark.weights((0,) * 8) is None


def test_a_real_training_diverges_on_record(make):
    """A learning rate beyond all numbers is a failure, not an error."""
    found = make(changes={**TINY, "learning_rate": 1e30, "warmup_epochs": 0}, subset=64).evaluate((0,) * 8)
    assert found.failure.startswith("training diverged: ")


def test_a_real_training_meets_its_time_limit(make):
    """It is tried again with a larger one, and then goes on from where it was."""
    changes = {"changes": {"epochs": 2, "batch_size": 32}, "subset": 64}
    assert make(**changes, time_limit=1e-6).evaluate((0,) * 8).failure.startswith("not done within 1e-06 s: ")
    assert make(**changes).evaluate((0,) * 8).feedback is not None


@pytest.mark.slow
def test_a_search_killed_in_the_middle_of_a_training_resumes(tmp_path, one_thread):
    """The proposal is on record and the training goes on from its checkpoint: the end is that of an unkilled search."""
    changes = {"epochs": 3, "batch_size": 256}
    settings = (str(tmp_path / "cache"), changes, 2)
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "killed.jsonl"
    child = context.Process(target=worker_children.search_digits, args=(path, *settings), kwargs={"kill_at": 9})
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [event["event"] for event in read_run(path).events] == ["run_started", "proposal"]
    (folder,) = (entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir())
    assert (folder / "checkpoint.pt").is_file()
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        train = training.train
        patch.setattr(training, "train", lambda *a, **s: train(*a, **s, on_step=steps.append))
        resumed = gk.resume(path, cache=tmp_path / "cache")
    assert steps[0] > 1, "the training went on, it did not begin anew"
    whole = worker_children.search_digits(tmp_path / "whole.jsonl", str(tmp_path / "whole"), changes, 2)
    columns = ["key", "feedback", "test_accuracy"]
    assert resumed.frame()[columns].equals(whole.frame()[columns])


@pytest.mark.full
def test_a_search_that_trains_finds_a_network_of_digits(make, one_thread):
    """Six trained proposals of a narrow space: the one that validation chooses is over 97 % right on the test part."""
    benchmark = make(image_size=16)
    begun = time.perf_counter()
    frame = gk.search(benchmark, gk.make_proposer("llm", benchmark.space), 6, progress=False).frame()
    best = frame.loc[frame["feedback"].idxmax()]
    print(f"{time.perf_counter() - begun:.0f} s: {best['key']} has {best['test_accuracy']:.2f} % on the test part")
    assert len(frame) == 6
    assert best["test_accuracy"] > 97


def test_a_latency_is_measured_where_it_is_an_objective(make, counted):
    """Seconds of one image's pass, in the record with the accuracy; without the objective nothing is measured."""
    plain = make()
    weighed = gk.load_benchmark(
        "train", space=SPACE, cache=plain.store.folder, objectives=("accuracy", "latency"), device="cpu"
    )
    run = gk.search(weighed, gk.make_proposer("random", weighed.space), 1, progress=False)
    (event,) = run.of("evaluation")
    assert 0 < event["latency"] < 10
    assert run.settings["objectives"] == ["accuracy", "latency"]
    assert plain.evaluate(event["architecture"]).latency is None
    assert len(counted.keys) == 1
