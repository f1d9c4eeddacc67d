"""Parameters and multiply-accumulates of every space, counted exactly and without building a network.

A multiply-accumulate (MAC) is one multiplication with its addition; the field prints MACs as "FLOPs".
Two conventions: "convolutions" counts convolutions and linear layers only; "paper" is what the benchmark files
and the paper print. They differ on two spaces: on the ImageNet space the paper adds four operations for each element
of a batch norm's input and those of the global pool; on the vision transformer space, which the paper does not
have, "paper" adds the two products of attention (2 x tokens^2 x heads x head width), as its field counts them.
Checked against every row of the published tables; see tests/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from genius_kit.errors import InvalidParameter
from genius_kit.records import Cost, Rejection
from genius_kit.spaces.base import CONVENTIONS as CONVENTIONS
from genius_kit.spaces.base import SearchSpace

if TYPE_CHECKING:
    import numpy as np

LISTABLE = 100_000
"""The largest space that is written out; optimisers look at candidates instead of all architectures beyond it."""
WALK = 1_000
"""Random changes by which an architecture is brought inside a bound before it is given up."""
MOST_LISTED = 1_000_000
"""The largest space whose costs are counted all at once."""

Macs = TypeVar("Macs", int, "np.ndarray")


def count_cost(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    convention: str = "paper",
) -> Cost:
    """Return the exact parameters and multiply-accumulates of one network.

    Parameters
    ----------
    space
        The space of the architecture.
    architecture
        One option index per position.
    num_classes
        Number of classes; default 10, 1000 for the ImageNet and transformer spaces, 25 for private signal cells.
        120 means ImageNet16-120 in NAS-Bench-201, with images of 16 pixels.
    image_size
        Pixels per side; default 32, 224 for the ImageNet and transformer spaces, 48 (values of a signal) for signal
        cells.
    convention
        "paper": what the benchmark files and the paper count; "convolutions": convolutions and linear layers only.

    Raises
    ------
    InvalidArchitecture, InvalidParameter
        An architecture that is not of the space, or a size that it cannot have.
    """
    layers = layer_costs(space, architecture, num_classes=num_classes, image_size=image_size, convention=convention)
    return Cost(parameters=sum(layer[1] for layer in layers), macs=sum(layer[2] for layer in layers))


def layer_costs(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    convention: str = "paper",
) -> list[tuple[str, int, int]]:
    """Return (layer name, parameters, MACs) in network order; the sums are those of `count_cost`.

    A NAS-Bench-201 edge stands for its fifteen copies, one per cell.
    """
    counts = space.layer_counts(architecture, *space.sizes(num_classes, image_size))
    return [(name, int(count.parameters), int(space.macs(count, convention))) for name, count in counts]


def all_costs(
    space: SearchSpace, *, num_classes: int | None = None, image_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (parameters, MACs) of every architecture, int64 of shape (size,), in the order of `space.index`.

    Raises InvalidParameter for a space too large to list.
    """
    if space.size > MOST_LISTED:
        raise InvalidParameter(f"{space.name} has {space.size} architectures, too many to list: use count_cost on each")
    return count_costs(space, space.all_architectures(), num_classes=num_classes, image_size=image_size)


def count_costs(
    space: SearchSpace,
    architectures: np.ndarray,
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (parameters, MACs) of many architectures, int64 of shape (n,); `architectures` is (n, positions)."""
    import numpy as np

    count = space.counts(architectures, *space.sizes(num_classes, image_size))
    shape = np.zeros(len(architectures), dtype=np.int64)
    return count.parameters + shape, space.macs(count) + shape


def macs_range(space: SearchSpace) -> tuple[int, int]:
    """Return the fewest and the most MACs that an architecture of `space` can have."""
    if space.size > MOST_LISTED:
        return space.macs_range()
    macs = all_costs(space)[1]
    return int(macs.min()), int(macs.max())


def whole_millions(macs: Macs) -> Macs:
    """Return `macs`, one count or an array of them, rounded to whole millions, as the paper states and judges them."""
    return (macs + 500_000) // 1_000_000


@dataclass(frozen=True)
class MacsBound:
    """Bounds on an architecture's MACs in whole millions, both inclusive, as in the paper's ImageNet search.

    The total (convention "paper") is rounded to whole millions first: 330.24 M is inside an upper bound of 330.
    """

    upper_millions: int
    lower_millions: int | None = None

    def __post_init__(self) -> None:
        if self.upper_millions <= 0 or not 0 <= (self.lower_millions or 0) <= self.upper_millions:
            raise InvalidParameter(
                f"bounds must be 0 <= lower <= upper in millions, got [{self.lower_millions}, {self.upper_millions}]"
            )

    def __str__(self) -> str:
        lower = f"at least {self.lower_millions} and " if self.lower_millions else ""
        return f"{lower}at most {self.upper_millions} million multiply-accumulates"

    def allows(self, macs: np.ndarray) -> np.ndarray:
        """Return which of the counts `macs` are inside the bounds, an array of the same shape."""
        millions = whole_millions(macs)
        return (millions <= self.upper_millions) & (millions >= (self.lower_millions or 0))

    def check_satisfiable(self, space: SearchSpace) -> None:
        """Raise InvalidParameter when the lightest of `space` is over these bounds or the heaviest under them.

        Of a space that is written out, every architecture is looked at.
        """
        if is_listable(space):
            list_space(space, self)
            return
        lightest, heaviest = (whole_millions(macs) for macs in macs_range(space))
        if lightest > self.upper_millions or heaviest < (self.lower_millions or 0):
            raise self.unsatisfiable(space)

    def unsatisfiable(self, space: SearchSpace) -> InvalidParameter:
        """Return the error that no architecture of `space` is inside these bounds."""
        lightest, heaviest = (whole_millions(macs) for macs in macs_range(space))
        return InvalidParameter(
            f"no architecture of {space.name} has {self}: they need {lightest} to {heaviest} million"
        )

    def refusal(self, space: SearchSpace, architecture: Sequence[int]) -> Rejection | None:
        """Return None for an architecture inside the bounds, else a Rejection whose detail is fit to send back."""
        measured = whole_millions(count_cost(space, architecture).macs)
        if measured > self.upper_millions:
            gap, side, bound = measured - self.upper_millions, "above the upper", self.upper_millions
        elif self.lower_millions is not None and measured < self.lower_millions:
            gap, side, bound = self.lower_millions - measured, "below the lower", self.lower_millions
        else:
            return None
        return Rejection(
            "constraint",
            f"this design needs {measured} million FLOPs (multiply-accumulates), which is {gap} million {side} "
            f"bound of {bound} million",
        )


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
        allowed = constraint.allows(all_costs(space)[1])
        if not allowed.any():
            raise constraint.unsatisfiable(space)
    return Listing(designs, classes, allowed)


@lru_cache(maxsize=8)
def _classes(space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    if not is_listable(space):
        raise InvalidParameter(f"{space.name} has {space.size:,} architectures; up to {LISTABLE:,} are written out")
    designs = space.all_architectures()
    representatives = np.array([space.canonical_form(tuple(design)) for design in designs.tolist()])
    return designs, np.ravel_multi_index(tuple(representatives.T), tuple(len(options) for options in space.choices))


def sample_designs(
    space: SearchSpace, constraint: MacsBound | None, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Return random architectures inside the bound, int of shape (n, positions) with n <= count.

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
    """Return by how many million MACs each architecture is outside the bound, 0 inside, shape (n,)."""
    import numpy as np

    macs = count_costs(space, designs)[1]
    over = np.maximum(macs / 1e6 - constraint.upper_millions, (constraint.lower_millions or 0) - macs / 1e6)
    return np.where(constraint.allows(macs), 0.0, np.maximum(over, 1e-9))
