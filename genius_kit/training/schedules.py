"""What a training does at each step, as pure functions of the step: learning rate, decay of the average, seeds."""

from __future__ import annotations

import hashlib
import math

from genius_kit.training.recipes import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimiser step `step`, counted from 0.

    It rises linearly through the warm-up, whose last step has the peak, then falls along one half cosine towards
    `minimum_learning_rate`, which the step after the last would have. Source: SGDR (Loshchilov and Hutter, ICLR 2017)
    without restarts; warm-up as in Goyal et al., arXiv:1706.02677.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    passed = (step - warmup) / max(1, recipe.epochs * steps_per_epoch - warmup)
    lowest = recipe.minimum_learning_rate
    return lowest + (recipe.learning_rate - lowest) * (1 + math.cos(math.pi * passed)) / 2


def average_decay(decay: float, step: int) -> float:
    """Return how much of the moving average is kept after optimiser step `step`, counted from 0.

    It begins at 0.1 and reaches `decay` once (1 + step) / (10 + step) does (0.9999 after 90,000 steps), so that a
    short training is not judged by its first weights. Source: TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of the random numbers of one step (dropout, mixup): 63 bits that depend on all three."""
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
