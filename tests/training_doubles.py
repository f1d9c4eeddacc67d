"""What the tests of training share: a small network, a small recipe, and the processes that are killed."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy.random  # noqa: F401 - these are imported before the fork server forks, so that a start is quick
import sklearn.datasets  # noqa: F401
import timm.data  # noqa: F401
import torch
import torch.utils.tensorboard
from torch import nn

import genius_kit.training.trainer
from genius_kit.datasets.registry import load_dataset
from genius_kit.training import checkpoints
from genius_kit.training.loop import TrainingLoop
from genius_kit.training.recipes import Recipe


class TinyNetwork(nn.Module):
    """Two convolutions, with batch norm or without, dropout, and a classifier."""

    def __init__(self, num_classes=10, batch_norm=True, dropout=0.1, seed=0):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.num_classes = num_classes
            self.features = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8) if batch_norm else nn.Identity(),
                nn.ReLU(),
                nn.Conv2d(8, 16, 3, padding=1, stride=2),
                nn.BatchNorm2d(16) if batch_norm else nn.Identity(),
                nn.ReLU(),
            )
            self.dropout = nn.Dropout(dropout)
            self.classifier = nn.Linear(16 * 16, num_classes)

    def forward(self, images):
        """Return logits (B, num_classes) of images (B, 3, 8, 8)."""
        return self.classifier(self.dropout(self.features(images).flatten(1)))


def torchrun_network(batch_norm):
    """Return the network with batch norm and dropout, or the one without, that two processes train."""
    return TinyNetwork(batch_norm=batch_norm, dropout=0.1 if batch_norm else 0.0)


UNMIXED = {"mixup": 0.0, "cutmix": 0.0}
"""Changes of the recipe for one process to be like two: those mix the images of their own part."""


def recipe(**changes):
    """Return a recipe with everything random switched on: 2 epochs of 8 steps on 256 digits."""
    fields = {
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 0.05,
        "nesterov": True,
        "weight_decay": 1e-4,
        "decays_norm_and_bias": False,
        "warmup_epochs": 0.5,
        "label_smoothing": 0.1,
        "augmentation": "shift",
        "mixup": 0.2,
        "cutmix": 0.5,
        "ema_decay": 0.9,
        "clip_gradient": 5.0,
    }
    return Recipe(name="tiny", source="tests", **{**fields, **changes})


def digits(subset=256):
    """Return the digits with a small training part."""
    return load_dataset("digits", subset=subset)


def train(network, folder=None, dataset=None, seed=0, **options):
    """Train with the small recipe (`changes` are changes of it) on a CPU, in silence."""
    changes = options.pop("changes", {})
    options = {"progress": False, "device": "cpu", **options}
    data = dataset or digits()
    return genius_kit.training.trainer.train(network, data, recipe(**changes), seed=seed, folder=folder, **options)


def die():
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(folder, steps=None, writing=None):
    """Train in `folder`; die after `steps` steps of this process, or half-way through writing checkpoint `writing`.

    Both None: train to the end. Steps and checkpoints are counted from 1.
    """
    torch.set_num_threads(1)
    done, saved = 0, 0

    def on_step(_):
        nonlocal done
        done += 1
        if done == steps:
            die()

    def save_half(content, file):
        nonlocal saved
        saved += 1
        if saved == writing:
            whole(content, file)
            file.truncate(file.tell() // 2)
            file.flush()
            die()
        whole(content, file)

    whole = torch.save
    checkpoints.torch.save = save_half
    train(TinyNetwork(), folder, checkpoint_every=3, on_step=on_step, changes={"epochs": 6})


def main(folder, killed_at=None):
    """Under torchrun: train a network with batch norm and dropout, and one without; the second process may die."""
    train_step = TrainingLoop.train_step

    def train_step_or_die(loop, batches):
        if loop.step == killed_at and os.environ["RANK"] == "1":
            (Path(folder) / "died").write_text(str(time.time()))
            die()
        train_step(loop, batches)

    TrainingLoop.train_step = train_step_or_die
    for batch_norm in (False, True):
        train(torchrun_network(batch_norm), Path(folder) / f"norm-{batch_norm}", checkpoint_every=3, changes=UNMIXED)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
