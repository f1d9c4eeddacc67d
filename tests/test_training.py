"""Training: it learns, its parts do what the recipe says, and each way to fail has its cause."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from genius_kit.datasets.loaders import evaluation_loader
from genius_kit.errors import InvalidParameter, TrainingFailed
from genius_kit.networks import build_network
from genius_kit.spaces import load_space
from genius_kit.training import loop as training_loop
from genius_kit.training.loop import evaluate
from genius_kit.training.recipes import (
    RECIPES,
    Mixing,
    WeightAverage,
    average_decay,
    learning_rate,
    make_optimizer,
    restore_optimizer,
    step_seed,
)
from genius_kit.training.runtime import choose_device, choose_precision
from genius_kit.training.trainer import train_architecture
from tests.training_doubles import TinyNetwork, digits, recipe, train

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = {"mixup": 0.0, "cutmix": 0.0}
CPU = torch.device("cpu")


def weights(network):
    """Return all entries of a network as one vector."""
    return torch.cat([value.flatten().double() for value in network.state_dict().values()])


def test_schedule():
    """The warm-up rises to the peak, the cosine passes the middle half-way and ends near the lowest rate."""
    plan = recipe(epochs=10, warmup_epochs=2, learning_rate=1.0, minimum_learning_rate=0.2)
    rates = [learning_rate(plan, step, 10) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert rates[20] == 1.0
    assert rates[60] == pytest.approx(0.6)
    assert 0.2 < rates[99] < 0.2005
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[20:]))


def test_schedule_without_warmup_begins_at_the_peak():
    """Without a warm-up the first step has the peak."""
    assert learning_rate(recipe(warmup_epochs=0), 0, 8) == 0.05


def test_average_warms_up():
    """The decay begins low and never passes what the recipe says."""
    assert [round(average_decay(0.9999, step), 4) for step in (0, 1, 90, 100_000)] == [0.1, 0.1818, 0.91, 0.9999]


def test_step_seeds_differ():
    """Seed, step and rank each change the seed of a step."""
    assert len({step_seed(s, t, r) for s in range(5) for t in range(5) for r in range(5)}) == 125


def test_average_of_weights():
    """Parameters and running statistics follow the formula, counters are copied."""
    network = TinyNetwork()
    average = WeightAverage(network, 0.9)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    average.update(1000)
    for name, value in average.network.state_dict().items():
        expected = before[name] + (0.1 if value.is_floating_point() else 1)
        assert torch.allclose(value, expected), name


def test_weight_decay_spares_norm_and_bias():
    """With decays_norm_and_bias=False only matrices and kernels decay."""
    optimizer = make_optimizer(TinyNetwork(), recipe())
    decays = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in optimizer.param_groups}
    assert decays == {0.0: {1}, 1e-4: {2, 4}}
    assert len(make_optimizer(TinyNetwork(), recipe(decays_norm_and_bias=True)).param_groups) == 1


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_an_optimiser_goes_on_in_another_memory_format(kind):
    """A state that was kept in channels_last moves the weights of a contiguous network as it would have its own."""

    def step(network, optimizer):
        network(torch.linspace(-1, 1, 4 * 192).view(4, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    last, other = (TinyNetwork(batch_norm=False, dropout=0.0) for _ in range(2))
    optimizer = make_optimizer(last.to(memory_format=torch.channels_last), recipe(optimizer=kind))
    step(last, optimizer)
    other.load_state_dict(last.state_dict())
    restored = make_optimizer(other, recipe(optimizer=kind))
    restore_optimizer(restored, copy.deepcopy(optimizer.state_dict()))
    step(last, optimizer)
    step(other, restored)
    assert torch.allclose(weights(last), weights(other), atol=1e-4)


def test_mixing_depends_on_seed_and_step_only():
    """The same step mixes the same way, another does not, and numpy's own random numbers go on untouched."""
    mixing = Mixing(recipe(), 10, 8)
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8)
    np.random.seed(0)
    expected = np.random.rand(2)
    np.random.seed(0)
    first = np.random.rand()
    mixed = [mixing(images.clone(), labels, 1, step) for step in (5, 5, 6)]
    assert [first, np.random.rand()] == list(expected)
    assert torch.equal(mixed[0][0], mixed[1][0])
    assert torch.equal(mixed[0][1], mixed[1][1])
    assert not torch.equal(mixed[0][0], mixed[2][0])
    assert torch.allclose(mixed[0][1].sum(1), torch.ones(8))


def test_mixing_needs_pairs():
    """An odd number of images per pass is refused."""
    with pytest.raises(InvalidParameter, match="pair the images of a pass, which has 33"):
        train(TinyNetwork(), changes={"batch_size": 33})


@pytest.mark.slow
def test_learns_digits(tmp_path):
    """A small NAS-Bench-Macro network lowers the loss and reads four in five unseen digits after four epochs."""
    result = train_architecture(
        "nas-bench-macro-w0.25",
        "22222222",
        "digits",
        changes={"epochs": 4},
        device="cpu",
        folder=tmp_path,
        progress=False,
    )
    losses = [row["train_loss"] for row in result.history]
    assert losses[-1] < 0.6 * losses[0]
    assert result.test_accuracy > 80
    assert result.best_validation_accuracy == max(row["validation_accuracy"] for row in result.history)
    assert result.last_validation_accuracy == result.history[-1]["validation_accuracy"]
    assert result.history[result.best_epoch - 1]["validation_accuracy"] == result.best_validation_accuracy
    assert (result.device, result.precision) == ("cpu", "float32")
    assert torch.load(result.weights, weights_only=True).keys()
    assert list((tmp_path / "tensorboard").iterdir())


def test_training_depends_on_nothing_else():
    """The same call gives the same weights whatever torch's random numbers were, and leaves those alone."""
    networks = TinyNetwork(), TinyNetwork(), TinyNetwork()
    torch.manual_seed(1)
    results = [train(networks[0])]
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    results.append(train(networks[1]))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(weights(networks[0]), weights(networks[1]))
    assert results[0].test_accuracy == results[1].test_accuracy
    train(networks[2], seed=1)
    assert not torch.equal(weights(networks[0]), weights(networks[2]))


def test_accumulation_changes_nothing_without_batch_norm():
    """Two passes of half the batch move the weights as one pass does, to 1e-5."""
    networks = [TinyNetwork(batch_norm=False, dropout=0.0) for _ in range(2)]
    losses = [
        train(network, changes={**PLAIN, "accumulate": passes}).history[-1]["train_loss"]
        for network, passes in zip(networks, (1, 2), strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert (weights(networks[0]) - weights(networks[1])).abs().max() < 1e-5


def test_evaluated_network_is_the_averaged_one(tmp_path):
    """The network handed back holds the averaged weights, and the reported accuracy is theirs."""
    network, data = TinyNetwork(), digits()
    result = train(network, tmp_path, dataset=data)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert torch.equal(network.classifier.weight, state["average"]["classifier.weight"])
    assert not torch.equal(network.classifier.weight, state["network"]["classifier.weight"])
    assert not network.training
    assert result.test_accuracy == evaluate(network, evaluation_loader(data, "test", recipe(), device=CPU))


def test_evaluation_counts_every_sample():
    """The accuracy is the share of right answers over all samples, and the mode of the network is put back."""
    network, data = TinyNetwork().train(), digits()
    loader = evaluation_loader(data, "test", recipe(batch_size=100), device=CPU)
    accuracy = evaluate(network, loader)
    assert network.training
    network.eval()
    with torch.no_grad():
        right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in loader.epoch(0))
    assert accuracy == pytest.approx(100 * right / len(data.test))
    assert network.training is False


@pytest.mark.parametrize("changes", [{"optimizer": "adamw", "learning_rate": 0.003}, {"precision": "bfloat16"}])
def test_other_optimiser_and_format(changes):
    """AdamW and bfloat16 lower the loss too."""
    result = train(TinyNetwork(), changes={**PLAIN, "epochs": 3, **changes})
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"] - 0.2
    assert result.precision == changes.get("precision", "float32")


def test_history_has_the_rates_and_steps():
    """A row holds the epoch, the step, the last learning rate and the pace; on_epoch gets the same rows."""
    rows = []
    result = train(TinyNetwork(), on_epoch=rows.append)
    assert rows == list(result.history)
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 8), (2, 16)]
    assert rows[0]["learning_rate"] == learning_rate(recipe(), 7, 8)
    assert all(row["images_per_second"] > 0 and row["seconds"] > 0 for row in rows)


@pytest.mark.parametrize("rate", [1e8, 1e30])
def test_divergence_stops(tmp_path, rate):
    """Numbers that are no longer finite end the training with a cause and an advice, and no result is written."""
    changes = {"learning_rate": rate, "clip_gradient": None, "epochs": 8}
    with pytest.raises(TrainingFailed, match=r"diverged.*lower learning_rate than.*longer warm-up") as caught:
        train(TinyNetwork(batch_norm=False), tmp_path, changes=changes, checkpoint_every=1)
    assert caught.value.cause == "diverged"
    assert not (tmp_path / "result.json").exists()


class Explodes(nn.Module):
    """A network without memory enough."""

    num_classes = 10

    def __init__(self, error):
        super().__init__()
        self.classifier, self.error = nn.Linear(1, 10), error

    def forward(self, images):
        """Raise."""
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB\nmore"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        MemoryError(),
    ],
)
def test_out_of_memory_says_what_to_try(error):
    """A lack of memory, on a GPU or a CPU, becomes one failure with an advice."""
    with pytest.raises(TrainingFailed, match=r"batch_size 32 in 1 pass: set accumulate=2 .*image_size") as caught:
        train(Explodes(error))
    assert caught.value.cause == "out of memory"


def test_other_errors_pass():
    """An error that is neither of memory nor of a lost process is not renamed."""
    with pytest.raises(RuntimeError, match="shapes"):
        train(Explodes(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


def test_failure_survives_a_process():
    """A failure that another process pickles keeps its cause."""
    failure = pickle.loads(pickle.dumps(TrainingFailed("too slow", cause="time limit")))
    assert (str(failure), failure.cause) == ("too slow", "time limit")


class Clock:
    """A clock that goes on by one second per step."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        """Return the time in seconds."""
        return self.now

    def tick(self, step):
        """Let a second pass."""
        self.now += 1


def test_time_limit_and_its_continuation(tmp_path, monkeypatch):
    """A training out of time stops at a step; with more time it goes on and ends as if it had not stopped."""
    clock = Clock()
    monkeypatch.setattr(training_loop, "time", clock)
    with pytest.raises(TrainingFailed, match=r"time limit of 4\.5 s reached after 6 of 16 steps; .*larger") as caught:
        train(TinyNetwork(), tmp_path, time_limit=4.5, on_step=clock.tick)
    assert caught.value.cause == "time limit"
    clock.now += 1000  # time between the parts does not count
    with pytest.raises(TrainingFailed, match="reached after 8 of 16"):
        train(TinyNetwork(), tmp_path, time_limit=7, on_step=clock.tick)
    network, whole = TinyNetwork(), TinyNetwork()
    result = train(network, tmp_path, time_limit=600, on_step=clock.tick)
    train(whole)
    assert torch.equal(weights(network), weights(whole))
    assert result.seconds == 5 + 2 + 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": TinyNetwork(num_classes=7)}, "the network has 7 classes, the data set digits 10"),
        ({"time_limit": 0}, "time_limit must be seconds above 0, or None, got 0"),
        ({"time_limit": math.nan}, "time_limit must be seconds above 0, or None, got nan"),
        ({"checkpoint_every": 0}, "checkpoint_every must be steps, at least 1, or None, got 0"),
        ({"device": "gpu"}, "device 'gpu' is not known"),
        ({"device": "meta"}, "device 'meta' is not supported"),
        ({"changes": {"batch_size": 512}}, "512"),
    ],
)
def test_bad_settings_are_refused(options, message):
    """Settings that do not fit together raise before the first step."""
    options = dict(options)
    network, steps = options.pop("network", TinyNetwork()), []
    with pytest.raises(InvalidParameter) as caught:
        train(network, on_step=steps.append, **options)
    assert message in str(caught.value)
    assert not steps


def test_logits_must_fit_the_classes():
    """A network that hides its class count is found out at its first logits."""
    network = TinyNetwork(num_classes=7)
    del network.num_classes
    with pytest.raises(InvalidParameter, match="the network gives 7 logits for 10 classes"):
        train(network, changes=PLAIN)


def test_more_processes_than_gpus(monkeypatch):
    """torchrun with more processes than GPUs is refused with both numbers; otherwise each gets its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_device() == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(InvalidParameter, match="3 processes on this machine, but 2 GPUs: start torchrun with"):
        choose_device()
    assert choose_device("cpu") == CPU


def test_precision_by_capability(monkeypatch):
    """A GPU takes bfloat16 where it computes in it, else float16; a CPU float32; a request is obeyed."""
    gpu = torch.device("cuda")
    for native, expected in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert choose_precision(gpu) == expected
    assert choose_precision(CPU) == "float32"
    assert choose_precision(CPU, "bfloat16") == "bfloat16"


@pytest.mark.parametrize("form", ["bar", "plain", "none"])
def test_progress(capsys, monkeypatch, form):
    """A bar, a line per epoch with the time that remains, or nothing, as GENIUS_KIT_PROGRESS says."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", form)
    train(TinyNetwork(), progress=True)
    shown = capsys.readouterr().err
    assert ("16/16" in shown or "15/16" in shown or "step/s" in shown) == (form == "bar")
    assert ("epoch 2 of 2: loss" in shown and "0 s remain" in shown) == (form == "plain")


def test_default_recipes_need_no_gpu():
    """Every named recipe begins from the CPU's fast configuration: channels last, compiled only on request."""
    assert all(one.channels_last and not one.compile and one.precision == "auto" for one in RECIPES.values())


def test_a_small_network_trains_on_one_thread_and_gives_the_others_back():
    """The threads of torch wait actively for one another; a batch of few multiply-accumulates does not need them."""
    space = load_space("nas-bench-macro-w0.25")
    network, seen = build_network(space, space.all_largest, num_classes=10, image_size=8), []
    torch.set_num_threads(2)
    train(network, changes={"epochs": 1}, on_step=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
