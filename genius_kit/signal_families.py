"""The kinds of signals that a secret may draw: each asks a network for something else.

A family is made of what the secret draws once, such as which lags there are, and is then sampled for each part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Part = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    """Makes so many signals and labels from random numbers."""

LENGTH, CLASSES = 48, 16


def echoes(rng: np.random.Generator, noise: float) -> Part:
    """Return signals in which a short random burst comes again later, upright or inverted: the label is which lag."""
    import numpy as np

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
    import numpy as np

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
    import numpy as np

    side, width = int(CLASSES**0.5), 5
    basis = np.cos(np.pi / width * np.outer(np.arange(1, 4), np.arange(width) + 0.5))
    turn, triangle = np.linalg.qr(rng.normal(size=(3, 3)))
    shapes = (np.sqrt(2) * (turn * np.sign(triangle.diagonal())) @ basis)[:2]
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
    import numpy as np

    side, width = int(CLASSES**0.5), 9
    basis = np.cos(np.pi / width * np.outer(np.arange(1, side + 1), np.arange(width) + 0.5))
    turn, triangle = np.linalg.qr(rng.normal(size=(side, side)))
    curves = np.sqrt(2) * (turn * np.sign(triangle.diagonal())) @ basis

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
