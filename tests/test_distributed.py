"""Two processes under torchrun with gloo: the same weights as one, and an end with an error when one is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from genius_kit.errors import InvalidParameter
from genius_kit.training.recipes import load_recipe
from genius_kit.training.runtime import DistContext, has_unused_parameters, synchronised
from tests.training_doubles import UNMIXED, TinyNetwork, digits, torchrun_network, train

pytestmark = pytest.mark.usefixtures("one_thread")

TOLERANCE = 1e-6
"""Largest difference of a weight after 16 steps, between two processes and one; rounding gives about 1e-7."""


def torchrun(folder, *words):
    """Start two processes that train in `folder`, and return the exit code and the messages."""
    script = Path(__file__).parent / "training_doubles.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(script.parent.parent), "OMP_NUM_THREADS": "1"}
    words = [str(folder), *map(str, words)]
    done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder of a job of two processes that ran undisturbed."""
    folder = tmp_path_factory.mktemp("two")
    code, messages = torchrun(folder)
    assert code == 0, messages
    return folder


def state(folder):
    """Return the raw weights in the checkpoint of a training, by name."""
    return torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["network"]


@pytest.mark.slow
@pytest.mark.parametrize(("batch_norm", "passes"), [(False, 1), (False, 2), (True, 2)])
def test_two_processes_train_as_one(two_processes, tmp_path, batch_norm, passes):
    """The parameters are those of one process with the same total batch, to the tolerance.

    Batch norm normalises what a process sees at once, half a batch: one process does the same in two passes. Its
    running statistics are left out: two passes update them twice per step. Dropout falls the same way too.
    """
    network = torchrun_network(batch_norm)
    before = {name: value.clone() for name, value in network.named_parameters()}
    train(network, tmp_path, changes={**UNMIXED, "accumulate": passes})
    one, two = state(tmp_path), state(two_processes / f"norm-{batch_norm}")
    difference = max((one[name] - two[name]).abs().max().item() for name in before)
    print(f"largest difference of a parameter: {difference:.1e}")
    assert difference < TOLERANCE
    assert max((one[name] - value).abs().max().item() for name, value in before.items()) > 1000 * TOLERANCE


@pytest.mark.full
def test_killed_process_ends_the_job_and_it_resumes(two_processes, tmp_path):
    """Killing a process ends the job within seconds and names it; started again, it ends with the same weights."""
    code, messages = torchrun(tmp_path, 5)
    seconds = time.time() - float((tmp_path / "died").read_text())
    print(f"the job ended {seconds:.1f} s after its process was killed")
    assert code != 0
    assert seconds < 30
    assert "Signal 9 (SIGKILL)" in messages
    assert "local_rank: 1" in messages
    assert not (tmp_path / "norm-False" / "weights.pt").exists()
    code, messages = torchrun(tmp_path)
    assert code == 0, messages
    for name in ("norm-False", "norm-True"):
        resumed, whole = state(tmp_path / name), state(two_processes / name)
        assert all(torch.equal(resumed[key], whole[key]) for key in whole), name


def test_one_process_is_a_team():
    """Alone, a sum is the number itself and nothing is sent."""
    team = DistContext(0, 1, torch.device("cpu"))
    network = TinyNetwork()
    assert team.leads
    assert team.total(torch.tensor([3])).tolist() == [3]
    assert team.any_of(False, True) == (False, True)
    assert team.from_leader("x") == "x"
    assert team.wrap(network, 8) is network


def test_synchronised_batch_norm_needs_gpus():
    """Asked for on CPUs with several processes it is refused; with one there is nothing to synchronise."""
    recipe = load_recipe("quick", sync_batch_norm=True)
    with pytest.raises(InvalidParameter, match="sync_batch_norm: torch synchronises batch norm on GPUs only"):
        synchronised(TinyNetwork(), recipe, DistContext(0, 2, torch.device("cpu")))
    assert not has_layer(synchronised(TinyNetwork(), recipe, DistContext(0, 1, torch.device("cpu"))), nn.SyncBatchNorm)
    assert has_layer(synchronised(TinyNetwork(), recipe, DistContext(0, 2, torch.device("cuda"))), nn.SyncBatchNorm)


def has_layer(network, kind):
    """Return whether a network has a layer of a kind."""
    return any(isinstance(module, kind) for module in network.modules())


def test_unused_parameters_are_found():
    """A parameter without a part in the logits is found, and the search for it changes nothing."""
    network = TinyNetwork().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not has_unused_parameters(network, 8, torch.device("cpu"))
    network.extra = nn.Linear(2, 2)
    assert has_unused_parameters(network, 8, torch.device("cpu"))
    assert network.training
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_batch_that_cannot_be_split_is_refused():
    """A batch must be divisible by processes and passes."""
    from genius_kit.datasets.loaders import training_loader

    with pytest.raises(InvalidParameter, match="33"):
        training_loader(
            digits(), load_recipe("quick", batch_size=33), device=torch.device("cpu"), seed=0, rank=0, world=2
        )
