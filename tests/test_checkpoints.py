"""Checkpoints: written whole, read safely, refused when damaged or another run's; and runs that are killed."""

import multiprocessing
import random
import signal

import pytest
import torch

from genius_kit.errors import CheckpointError
from genius_kit.training.checkpoints import folder_in_use, load_checkpoint, save_checkpoint
from tests import training_doubles
from tests.training_doubles import TinyNetwork, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def saved(tmp_path):
    """A checkpoint on disk."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"seed": 1, "recipe": {"epochs": 2}}, {"step": 7, "weights": torch.arange(1000.0)})
    return path


def child(folder, **how):
    """Train in a process of its own, forked from one that has imported torch, and return its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training_doubles"])
    process = context.Process(target=training_doubles.train_and_die, args=(folder,), kwargs=how)
    process.start()
    process.join(120)
    return process.exitcode


def content(folder):
    """Return the final weights, what the optimiser knows, and the history without times."""
    weights = torch.load(folder / "weights.pt", weights_only=True)
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["state"]
    history = [{k: v for k, v in row.items() if "second" not in k} for row in state["history"]]
    return weights, state["network"], state["optimizer"]["state"], history


def equal(one, other):
    """Return whether two nested contents are the same bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def test_state_comes_back(saved):
    """What was saved is what is loaded, for the same identity."""
    state = load_checkpoint(saved, {"recipe": {"epochs": 2}, "seed": 1})
    assert state["step"] == 7
    assert torch.equal(state["weights"], torch.arange(1000.0))


def test_another_run_is_refused_by_the_fields_that_differ(saved):
    """The message names each differing field with both values, and no other."""
    with pytest.raises(CheckpointError, match=r"another run's: recipe\.epochs 2, here 3\. Choose another folder"):
        load_checkpoint(saved, {"seed": 1, "recipe": {"epochs": 3}})


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "text"])
def test_damage_is_found(saved, damage):
    """A file that was cut, emptied, replaced or has one changed bit is refused and not believed."""
    whole = bytearray(saved.read_bytes())
    middle = whole.find(torch.arange(1000.0).numpy().tobytes()[400:440])
    assert middle > 0
    whole[middle] ^= 1
    saved.write_bytes({"cut": bytes(whole[:900]), "empty": b"", "bit": bytes(whole), "text": b"hello"}[damage])
    with pytest.raises(CheckpointError, match=r"cannot be read.*delete the folder to begin anew"):
        load_checkpoint(saved, {"seed": 1, "recipe": {"epochs": 2}})


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    """A file that holds more than tensors, numbers and texts is refused."""
    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": {}, "state": TinyNetwork()}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path, {})


def test_failed_write_leaves_the_file_before(saved):
    """A write that breaks off changes nothing at the path, and leaves nothing beside it."""
    before = saved.read_bytes()
    with pytest.raises(AttributeError, match="pickle"):
        save_checkpoint(saved, {}, {"weights": torch.zeros(1000), "code": lambda: 0})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint.pt"]


def test_folder_belongs_to_one_training(tmp_path):
    """A folder that another training holds is refused, and free again afterwards."""
    with folder_in_use(tmp_path), pytest.raises(CheckpointError, match="in use by another training"):  # noqa: SIM117
        with folder_in_use(tmp_path, patience=0):
            pass
    with folder_in_use(tmp_path, patience=0):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.full)])
def test_a_training_killed_again_and_again(kills, tmp_path):
    """Killed at random steps and while it writes, it ends bit-identical to one that is not."""
    assert child(tmp_path / "whole") == 0
    rng = random.Random(3)
    cut = left = 0
    for attempt in range(kills):
        how = {"writing": 1} if attempt % 5 == 2 else {"steps": rng.randint(1, 4)}
        assert child(tmp_path / "killed", **how) == -signal.SIGKILL, attempt
        cut += "writing" in how
        left += "writing" in how and bool(list((tmp_path / "killed").glob(".checkpoint.pt.*.part")))
    assert cut == left == (kills + 2) // 5
    assert child(tmp_path / "killed") == 0
    assert not list((tmp_path / "killed").glob("*.part"))
    assert equal(content(tmp_path / "killed"), content(tmp_path / "whole"))


class Stop(Exception):
    """What a test raises to leave a training."""


def stop_at(step):
    """Return a callback that leaves the training after `step`."""

    def on_step(done):
        if done == step:
            raise Stop

    return on_step


@pytest.fixture
def unfinished(tmp_path):
    """A folder whose training was left after 5 of 16 steps, with a checkpoint of step 4, in the middle of an epoch."""
    with pytest.raises(Stop):
        train(TinyNetwork(), tmp_path, checkpoint_every=2, on_step=stop_at(5))
    return tmp_path


def test_resume_in_the_middle_of_an_epoch(unfinished, tmp_path_factory):
    """The second part goes on at step 5, not at the beginning of the epoch, and ends as the whole does."""
    steps = []
    resumed = train(TinyNetwork(seed=9), unfinished, on_step=steps.append)
    assert steps == list(range(5, 17))
    other = tmp_path_factory.mktemp("whole")
    whole = train(TinyNetwork(), other)
    assert equal(content(unfinished), content(other))
    assert resumed.test_accuracy == whole.test_accuracy
    assert resumed.seconds > 0


def test_rows_are_written_once(unfinished):
    """metrics.csv has one row per epoch, in order, after a training in three parts."""
    with pytest.raises(Stop):
        train(TinyNetwork(), unfinished, on_step=stop_at(10))
    train(TinyNetwork(), unfinished)
    lines = (unfinished / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,train_loss,learning_rate,validation_accuracy,images_per_second,seconds"
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "8"], ["2", "16"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"changes": {"learning_rate": 0.06}}, "recipe.learning_rate 0.05, here 0.06"),
        ({"seed": 1}, "seed 0, here 1"),
        ({"dataset": 128}, "data_set.fingerprint"),
        ({"network": {"batch_norm": False}}, "network.shapes"),
        ({"identity": {"weights": "abc"}}, "weights None, here 'abc'"),
    ],
)
def test_another_training_is_refused(unfinished, change, field):
    """A folder resumes only with the recipe, seed, data set, architecture and further facts it began with."""
    options = dict(change)
    network = TinyNetwork(**options.pop("network", {}))
    if "dataset" in options:
        options["dataset"] = training_doubles.digits(options["dataset"])
    with pytest.raises(CheckpointError) as caught:
        train(network, unfinished, **options)
    assert field in str(caught.value)
    assert str(caught.value).count(", here ") == 1


def test_finished_training_is_read_back(tmp_path):
    """The same call again trains nothing: the same result, and the network gets its weights."""
    result = train(TinyNetwork(), tmp_path)
    network, steps = TinyNetwork(seed=5), []
    assert train(network, tmp_path, on_step=steps.append) == result
    assert steps == []
    assert equal(dict(network.state_dict()), torch.load(result.weights, weights_only=True))
    with pytest.raises(CheckpointError, match="seed 0, here 3"):
        train(TinyNetwork(), tmp_path, seed=3)
