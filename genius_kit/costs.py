"""Parameters and multiply-accumulates of every space, counted exactly and without building a network.

A multiply-accumulate (MAC) is one multiplication with its addition; the field prints MACs as "FLOPs".
Two conventions: "convolutions" counts convolutions and linear layers only; "paper" is what the benchmark files
and the paper print. They differ on two spaces: on the ImageNet space the paper adds four operations for each element
of a batch norm's input and those of the global pool; on the vision transformer space, which the paper does not
have, "paper" adds the two products of attention (2 x tokens^2 x heads x head width), as its field counts them.
Checked against every row of the published tables; see tests/test_costs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from genius_kit.errors import InvalidParameter
from genius_kit.records import Cost, Rejection
from genius_kit.skeletons import Count, class_and_image_sizes, slots
from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import numpy as np

    from genius_kit.latency import Latency

Macs = TypeVar("Macs", int, "np.ndarray")

CONVENTIONS = ("paper", "convolutions")


def count_cost(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    convention: str = "paper",
) -> Cost:
    """Return the exact parameters and MACs of one network.

    `num_classes` and `image_size` (pixels a side) default to those of the space's data set: 10 and 32, for the
    ImageNet and the transformer space 1000 and 224; NAS-Bench-201 with 120 classes means ImageNet16-120, 16 pixels.
    For private signal cells the defaults are 25 classes and 48, the values of a signal.
    Raises InvalidArchitecture, InvalidParameter.
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

    A NAS-Bench-201 edge stands for its fifteen copies, one a cell.
    """
    if space.input == "signals":
        from genius_kit.signal_cells import cell_layers

        sizes = class_and_image_sizes(space, num_classes, image_size)
        return cell_layers(space.check(architecture), space.options, *sizes, space.rules)
    values = iter(space.check(architecture))
    rows = []
    for name, counts in slots(space, architecture, num_classes, image_size):
        count = counts[next(values)] if len(counts) > 1 else counts[0]
        rows.append((name, int(count.parameters), int(_macs(space, count, convention))))
    return rows


def all_costs(
    space: SearchSpace,
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    convention: str = "paper",
) -> tuple[np.ndarray, np.ndarray]:
    """Return (parameters, MACs) of every architecture, int64 of shape (size,), in the order of `space.index`.

    Raises InvalidParameter for a space too large to list.
    """
    if space.size > 1_000_000:
        raise InvalidParameter(f"{space.name} has {space.size} architectures, too many to list: use count_cost on each")
    sizes = {"num_classes": num_classes, "image_size": image_size}
    return count_costs(space, space.all_architectures(), **sizes, convention=convention)


def count_costs(
    space: SearchSpace,
    designs: np.ndarray,
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    convention: str = "paper",
) -> tuple[np.ndarray, np.ndarray]:
    """Return (parameters, MACs) of many architectures at once, int64 of shape (n,); `designs` is (n, positions)."""
    import numpy as np

    if space.family == "transformer":  # a block costs what its embedding asks for: one embedding at a time
        parameters, macs = np.zeros((2, len(designs)), dtype=np.int64)
        for option in np.unique(designs[:, 0]):
            rows = designs[:, 0] == option
            layers = slots(space, (int(option), *space.all_largest[1:]), num_classes, image_size)
            total = _total(layers, designs[rows].T)
            parameters[rows], macs[rows] = total.parameters, _macs(space, total, convention)
        return parameters, macs
    if space.input == "signals":
        costs = [count_cost(space, design, num_classes=num_classes, image_size=image_size) for design in designs]
        return np.array([cost.parameters for cost in costs]), np.array([cost.macs for cost in costs])
    widths = [np.array(options)[column] for options, column in zip(space.choices, designs.T, strict=True)]
    total = _total(slots(space, widths, num_classes, image_size, are_widths=True), designs.T)
    shape = np.zeros(len(designs), dtype=np.int64)
    return total.parameters + shape, _macs(space, total, convention) + shape


def _total(layers: Iterable[tuple[str, Sequence[Count]]], columns: np.ndarray) -> Count:
    """Return the sum over `layers` for many designs at once, each field an array; `columns` is (positions, n)."""
    import numpy as np

    position, total = 0, Count()
    for _, counts in layers:
        if len(counts) == 1:
            total += counts[0]
            continue
        chosen = columns[position]
        total += Count(*(np.array(field)[chosen] for field in zip(*(_fields(count) for count in counts), strict=True)))
        position += 1
    return total


def _fields(count: Count) -> tuple[int, int, int]:
    return count.parameters, count.convolutions, count.other


def _macs(space: SearchSpace, count: Count, convention: str) -> Any:
    if convention not in CONVENTIONS:
        raise InvalidParameter(f"convention {convention!r} is not one of {', '.join(CONVENTIONS)}")
    adds_other = convention == "paper" and space.family in ("stages", "transformer")
    return count.convolutions + count.other if adds_other else count.convolutions


def macs_table(space: SearchSpace, convention: str = "paper") -> tuple[dict[str, int], np.ndarray]:
    """Return the MACs of the fixed layers by name, and of each option at each position, shape (positions, options).

    The total of an architecture is the sum of the fixed layers plus one entry a row, exactly.
    Raises InvalidParameter for the channel spaces, where a layer's cost depends on its neighbours' widths, and for
    the transformer space, where a block's depends on the embedding; see `embedding_table`.
    """
    import numpy as np

    if space.family in ("channels", "transformer"):
        raise InvalidParameter(f"a layer of {space.name} has no MACs of its own: use layer_costs on an architecture")
    layers = list(slots(space, space.all_largest, None, None))
    fixed = {name: _macs(space, counts[0], convention) for name, counts in layers if len(counts) == 1}
    table = [[_macs(space, count, convention) for count in counts] for _, counts in layers if len(counts) > 1]
    return fixed, np.array(table, dtype=np.int64)


def embedding_table(space: SearchSpace, convention: str = "paper") -> list[tuple[int, list[int]]]:
    """Return (MACs of all but the blocks, MACs of each option of one block) for each embedding option.

    The total of an architecture of the transformer space is the first of its embedding's row plus one entry of the
    second for each block. Raises InvalidParameter for the other spaces.
    """
    if space.family != "transformer":
        raise InvalidParameter(f"{space.name} has no embedding: use macs_table")
    table = []
    for option in range(len(space.choices[0])):
        layers = dict(slots(space, (option, *space.all_largest[1:]), None, None))
        block = [_macs(space, count, convention) for count in layers["block 1"]]
        fixed = [layers["embedding"][option], *(counts[0] for counts in layers.values() if len(counts) == 1)]
        table.append((sum(_macs(space, count, convention) for count in fixed), block))
    return table


def latency(
    space: SearchSpace,
    architecture: Sequence[int],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    **settings: Any,
) -> Latency:
    """Return the latency of one network as measured on the present device, in seconds; the weights are random.

    `num_classes` and `image_size` default as in `count_cost`; `settings` go to `latency.measure_latency` (batch
    size, device, precision, warm-up, repeats). Raises InvalidArchitecture, InvalidParameter.
    """
    from genius_kit.latency import measure_latency
    from genius_kit.networks import build_network
    from genius_kit.skeletons import class_and_image_sizes

    space.check_images()
    classes, side = class_and_image_sizes(space, num_classes, image_size)
    network = build_network(space, architecture, num_classes=classes, image_size=side)
    return measure_latency(network, image_size=side, **settings)


def macs_range(space: SearchSpace, convention: str = "paper") -> tuple[int, int]:
    """Return the fewest and the most MACs that a design of `space` can have."""
    if space.size <= 1_000_000:
        macs = all_costs(space, convention=convention)[1]
        return int(macs.min()), int(macs.max())
    if space.family == "transformer":
        blocks = space.length - 1
        rows = embedding_table(space, convention)
        return min(own + blocks * min(block) for own, block in rows), max(
            own + blocks * max(block) for own, block in rows
        )
    fixed, table = macs_table(space, convention)
    base = sum(fixed.values())
    return base + int(table.min(axis=1).sum()), base + int(table.max(axis=1).sum())


def whole_millions(macs: Macs) -> Macs:
    """Return `macs`, one count or an array of them, rounded to whole millions, as the paper states and judges them."""
    return (macs + 500_000) // 1_000_000


@dataclass(frozen=True)
class MacsBound:
    """Bounds on the MACs of a design in whole millions, both inclusive, judged as in the paper's ImageNet search.

    The total (convention "paper") is rounded to whole millions first: 330.24 M is inside an upper bound of 330.
    """

    upper_millions: int
    lower_millions: int | None = None

    def __post_init__(self) -> None:
        if self.upper_millions <= 0 or not 0 <= (self.lower_millions or 0) <= self.upper_millions:
            raise InvalidParameter(
                f"bounds [{self.lower_millions}, {self.upper_millions}] came, expected 0 <= lower <= upper in millions"
            )

    def __str__(self) -> str:
        lower = f"at least {self.lower_millions} and " if self.lower_millions else ""
        return f"{lower}at most {self.upper_millions} million multiply-accumulates"

    def allows(self, macs: np.ndarray) -> np.ndarray:
        """Return which of the counts `macs` are inside the bounds, an array of the same shape."""
        millions = whole_millions(macs)
        return (millions <= self.upper_millions) & (millions >= (self.lower_millions or 0))

    def check_satisfiable(self, space: SearchSpace) -> None:
        """Raise InvalidParameter when the lightest design of `space` is over these bounds or the heaviest under them.

        Of a space that is written out, every design is looked at.
        """
        from genius_kit.listing import is_listable, list_space

        if is_listable(space):
            list_space(space, self)
            return
        lightest, heaviest = (whole_millions(macs) for macs in macs_range(space))
        if lightest > self.upper_millions or heaviest < (self.lower_millions or 0):
            raise InvalidParameter(
                f"no architecture of {space.name} has {self}: they need {lightest} to {heaviest} million"
            )

    def refusal(self, space: SearchSpace, architecture: Sequence[int]) -> Rejection | None:
        """Return None for a design inside the bounds, else a Rejection whose detail is fit to send back."""
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
