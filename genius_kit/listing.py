"""What a search may choose from: a small space written out in full, a large one sampled inside a bound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.costs import MacsBound

LISTABLE = 100_000
"""The largest space that is written out; optimisers look at candidates instead of all architectures beyond it."""
WALK = 1_000
"""Random changes by which a design is brought inside a bound before it is given up."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Every architecture of one space, in the order of `space.index`.

    `designs` holds option indices, int8 of shape (size, length); `classes` the row of each architecture's
    representative (see `SearchSpace.canonical`), int of shape (size,); `allowed` what the bound lets through.
    """

    designs: np.ndarray
    classes: np.ndarray
    allowed: np.ndarray


def is_listable(space: SearchSpace) -> bool:
    """Return whether `space` is small enough to be written out."""
    return space.size <= LISTABLE


@lru_cache(maxsize=8)
def list_space(space: SearchSpace, constraint: MacsBound | None = None) -> Listing:
    """Return every architecture of a listable space; raises InvalidParameter where the bound allows none of them."""
    import numpy as np

    designs, classes = _classes(space)
    allowed = np.ones(space.size, dtype=bool)
    if constraint is not None:
        from genius_kit.costs import all_costs, macs_range, whole_millions

        allowed = constraint.allows(all_costs(space)[1])
        if not allowed.any():
            low, high = (whole_millions(macs) for macs in macs_range(space))
            raise InvalidParameter(
                f"no architecture of {space.name} has {constraint}: they need {low} to {high} million"
            )
    return Listing(designs, classes, allowed)


@lru_cache(maxsize=8)
def _classes(space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    if not is_listable(space):
        raise InvalidParameter(f"{space.name} has {space.size:,} architectures; up to {LISTABLE:,} are written out")
    designs = space.all_architectures()
    if space.canonical_form is None:
        return designs, np.arange(space.size)
    representatives = np.array([space.canonical_form(tuple(design)) for design in designs.tolist()])
    return designs, np.ravel_multi_index(tuple(representatives.T), tuple(len(options) for options in space.choices))


def sample_designs(
    space: SearchSpace, constraint: MacsBound | None, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Return random designs inside the bound, int of shape (n, positions) with n <= count.

    Without a bound they are uniform. With one they are uniform draws walked to it, by random changes of one position
    that bring the MACs nearer; those that have not come inside after `WALK` changes are left out.
    """
    import numpy as np

    sizes = np.array([len(options) for options in space.choices])
    designs = rng.integers(sizes, size=(count, space.length))
    if constraint is None:
        return designs
    gaps = _gaps(space, constraint, designs)
    for _ in range(WALK):
        outside = np.flatnonzero(gaps > 0)
        if not len(outside):
            break
        changed = designs[outside]
        positions = rng.integers(space.length, size=len(outside))
        changed[np.arange(len(outside)), positions] = rng.integers(sizes[positions])
        nearer = (after := _gaps(space, constraint, changed)) < gaps[outside]
        designs[outside[nearer]], gaps[outside[nearer]] = changed[nearer], after[nearer]
    return designs[gaps == 0]


def _gaps(space: SearchSpace, constraint: MacsBound, designs: np.ndarray) -> np.ndarray:
    """Return by how many million MACs each design is outside the bound, 0 inside, shape (n,)."""
    import numpy as np

    from genius_kit.costs import count_costs

    macs = count_costs(space, designs)[1]
    over = np.maximum(macs / 1e6 - constraint.upper_millions, (constraint.lower_millions or 0) - macs / 1e6)
    return np.where(constraint.allows(macs), 0.0, np.maximum(over, 1e-9))
