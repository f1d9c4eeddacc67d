"""Labelled signals made from a secret: data that no model can have read of, for benchmarks of one's own.

Whoever knows the secret makes the same signals again, to the last bit where NumPy rounds alike; nobody else can.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genius_kit.errors import InvalidParameter, check_integer

Part = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Makes so many signals and labels from random numbers."""

LENGTH, CLASSES = 48, 16
PARTS = ("train", "validation", "test")
_AMPLITUDES = (0.8, 1.2)


def echoes(rng: np.random.Generator, noise: float) -> Part:
    """Return signals in which a short random burst comes again later, upright or inverted: the label is which lag."""
    burst, lags = 8, np.sort(rng.choice(np.arange(8, 25), CLASSES // 2, replace=False))

    def make(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = draw.integers(CLASSES, size=count)
        lag, sign = lags[labels // 2], 1 - 2 * (labels % 2)
        starts = (draw.random(count) * (LENGTH - burst - lag + 1)).astype(np.int64)
        signals = draw.normal(scale=noise, size=(count, LENGTH))
        shape = draw.normal(scale=2.0, size=(count, burst))
        rows, columns = np.arange(count)[:, None], starts[:, None] + np.arange(burst)
        signals[rows, columns] += shape
        signals[rows, columns + lag[:, None]] += sign[:, None] * shape
        return signals, labels

    return make


def rhythms(rng: np.random.Generator, noise: float) -> Part:
    """Return signals that are two waves of random phases: the label is the pair of their frequencies."""
    side = int(CLASSES**0.5)
    grids = np.linspace(0.04, 0.42, 2 * side + 1)
    cuts = grids[:-1] + rng.uniform(0.1, 0.9, 2 * side) * np.diff(grids)
    order = rng.permutation(2 * side)
    slow, fast = np.sort(cuts[order[:side]]), np.sort(cuts[order[side:]])

    def make(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = draw.integers(CLASSES, size=count)
        signals = draw.normal(scale=noise, size=(count, LENGTH))
        for frequency in (slow[labels // side], fast[labels % side]):
            phase = draw.uniform(0, 2 * np.pi, size=(count, 1))
            height = draw.uniform(0.6, 1.4, size=(count, 1))
            signals += height * np.sin(2 * np.pi * frequency[:, None] * np.arange(LENGTH) + phase)
        return signals, labels

    return make


def counts(rng: np.random.Generator, noise: float) -> Part:
    """Return signals with some bumps of each of two secret shapes: the label is how many of each there are."""
    side, width = int(CLASSES**0.5), 5
    shapes = _curves(3, width, rng)[:2]
    slots = LENGTH // (width + 1)

    def make(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = draw.integers(CLASSES, size=count)
        signals = draw.normal(scale=noise, size=(count, LENGTH))
        places = np.argsort(draw.random((count, slots)), axis=1) * (width + 1)
        numbers = (labels // side, labels % side)
        rows = np.arange(count)[:, None]
        for which, number in enumerate(numbers):
            for one in range(side - 1):
                starts = places[:, [which * (side - 1) + one]]
                shown = (number > one)[:, None] * draw.uniform(0.8, 1.2, size=(count, 1))
                signals[rows, starts + np.arange(width)] += shown * shapes[which]
        return signals, labels

    return make


def orders(rng: np.random.Generator, noise: float) -> Part:
    """Return signals with two of four secret curves, one after the other: the label is the ordered pair."""
    side, width = int(CLASSES**0.5), 9
    curves = _curves(side, width, rng)

    def make(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = draw.integers(CLASSES, size=count)
        signals = draw.normal(scale=noise, size=(count, LENGTH))
        starts = np.sort(draw.integers(LENGTH - 2 * width + 1, size=(count, 2)), axis=1)
        starts[:, 1] += width
        rows = np.arange(count)[:, None]
        for place, which in enumerate(np.divmod(labels, side)):
            columns = starts[:, [place]] + np.arange(width)
            signals[rows, columns] += draw.uniform(0.8, 1.2, size=(count, 1)) * curves[which]
        return signals, labels

    return make


FAMILIES = {"echoes": echoes, "rhythms": rhythms, "counts": counts, "orders": orders}
"""What a secret may draw once, such as which lags there are; each is then sampled for every part."""
KINDS = ("motif-pairs", *FAMILIES)


@dataclass(frozen=True)
class SignalTask:
    """What is to be told apart; `samples` are those of each of the three parts.

    In "motif-pairs" each signal of `length` values holds two of `motifs` secret smooth curves of `motif_length` values,
    one after the other at random places, and white noise of deviation `noise` (a motif has deviation 1); the label is
    the ordered pair. The kinds of FAMILIES have `samples` and `noise`; the other figures have no meaning there.
    """

    kind: str = "motif-pairs"
    samples: int = 12_000
    length: int = 48
    motifs: int = 5
    motif_length: int = 9
    noise: float = 0.55

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidParameter(f"no task is called {self.kind!r}; the tasks are {', '.join(KINDS)}")
        for name, least in (("samples", 100), ("length", 12), ("motifs", 2), ("motif_length", 3)):
            check_integer(name, getattr(self, name), least)
        if not 0 <= self.noise < float("inf"):
            raise InvalidParameter(f"noise must be a deviation of at least 0, got {self.noise!r}")
        if self.kind == "motif-pairs":
            self._check_room()

    def _check_room(self) -> None:
        if self.length < 2 * self.motif_length:
            raise InvalidParameter(f"two motifs of {self.motif_length} values do not fit into {self.length}")
        if self.motifs >= self.motif_length:
            raise InvalidParameter(
                f"{self.motifs} motifs of {self.motif_length} values cannot be at right angles to each other; give "
                f"at most {self.motif_length - 1}"
            )

    @property
    def classes(self) -> int:
        """Number of labels."""
        return CLASSES if self.kind in FAMILIES else self.motifs**2

    @property
    def values(self) -> int:
        """Number of values of a signal."""
        return LENGTH if self.kind in FAMILIES else self.length

    def settings(self) -> dict[str, Any]:
        """Return the fields that have a meaning for this kind, fit for JSON."""
        fields = asdict(self)
        return {name: fields[name] for name in ("kind", "samples", "noise")} if self.kind in FAMILIES else fields


@dataclass(frozen=True)
class Signals:
    """The parts of a task, by name: signals float32 of shape (samples, values), labels int64 of shape (samples,)."""

    signals: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def new_secret() -> str:
    """Return a secret of 128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


def commitment(secret: str, settings: dict[str, Any]) -> str:
    """Return the SHA-256 that a table shows before its secret is told: over the secret and what it was used for."""
    content = json.dumps([check_secret(secret), settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def seal(content: dict[str, Any]) -> str:
    """Return the SHA-256 over a whole table as it is written: settings, commitment and every cell's record."""
    sealed = {name: value for name, value in content.items() if name not in ("seal", "timestamp")}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def check_secret(secret: str) -> str:
    """Return `secret` if it is one: 32 hex digits; raises InvalidParameter, which does not repeat it."""
    if len(secret) != 32 or not set(secret) <= set("0123456789abcdef"):
        raise InvalidParameter(f"a secret must be 32 digits from 0 to 9 and a to f, got {len(secret)} characters")
    return secret


def make_signals(task: SignalTask, secret: str) -> Signals:
    """Return the signals of a task, each part standardised with the mean and deviation of the training part."""
    make = _of_family if task.kind in FAMILIES else _motif_pairs
    made = make(task, check_secret(secret))
    mean, deviation = made["train"][0].mean(), made["train"][0].std()
    return Signals(
        {part: ((x - mean) / deviation).astype(np.float32) for part, (x, _) in made.items()},
        {part: labels.astype(np.int64) for part, (_, labels) in made.items()},
    )


def generator(secret: str, use: str) -> np.random.Generator:
    """Return random numbers that follow from the secret and the word for what they are used for."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{secret} {use}".encode()).digest(), "big"))


def _motif_pairs(task: SignalTask, secret: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    motifs = _curves(task.motifs, task.motif_length, generator(secret, "motifs"))
    return {part: _part(task, motifs, generator(secret, part)) for part in PARTS}


def _of_family(task: SignalTask, secret: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    make = FAMILIES[task.kind](generator(secret, "family"), task.noise)
    return {part: make(generator(secret, part), task.samples) for part in PARTS}


def _curves(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth curves without a mean, of deviation 1 and at right angles, shape (count, length).

    They are a random turn of the slowest cosines, so that how far apart they are does not depend on the secret.
    """
    cosines = np.cos(np.pi / length * np.outer(np.arange(1, count + 1), np.arange(length) + 0.5))
    turn, triangle = np.linalg.qr(rng.normal(size=(count, count)))
    curves: np.ndarray = np.sqrt(2) * (turn * np.sign(triangle.diagonal())) @ cosines  # the signs make `turn` unique
    return curves


def _part(task: SignalTask, motifs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(task.classes, size=task.samples)
    signals = rng.normal(scale=task.noise, size=(task.samples, task.length))
    room = task.length - 2 * task.motif_length
    starts = np.sort(rng.integers(room + 1, size=(task.samples, 2)), axis=1)
    starts[:, 1] += task.motif_length
    heights = rng.uniform(*_AMPLITUDES, size=(task.samples, 2))
    rows = np.arange(task.samples)[:, None]
    for place, which in enumerate(np.divmod(labels, task.motifs)):
        columns = starts[:, [place]] + np.arange(task.motif_length)
        signals[rows, columns] += heights[:, [place]] * motifs[which]
    return signals, labels
