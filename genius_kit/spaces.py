"""The search spaces by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from genius_kit.canonical_forms import (
    NAS_BENCH_201_EDGES,
    NAS_BENCH_201_OPERATIONS,
    SignalClasses,
    SkipsLast,
    isomorphic_cell,
)
from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.search_space import Architecture, SearchSpace
from genius_kit.signal_rules import CONVOLUTIONS, FIRST_RULES, LIBRARY, SignalRules, drawn_rules

__all__ = [
    "DEFAULT_SIGNAL_OPERATIONS",
    "NAS_BENCH_201_EDGES",
    "NAS_BENCH_201_OPERATIONS",
    "SIGNAL_OPERATIONS",
    "SPACES",
    "TRANSFORMER_BLOCKS",
    "TRANSFORMER_EMBEDDINGS",
    "Architecture",
    "SearchSpace",
    "load_space",
    "signal_space",
]

SIGNAL_OPERATIONS = LIBRARY[:5]
"""What an edge of a private signal cell may carry where the secret decides the signals only; all of them or some."""
_LETTERS = "abcdefghijklmnopq"
DEFAULT_SIGNAL_OPERATIONS = ("none", "skip_connect", "conv_3", "shift_6")

TRANSFORMER_EMBEDDINGS = (144, 168, 192, 216, 240)
TRANSFORMER_BLOCKS = ((3, 3.5), (3, 4.0), (4, 3.5), (4, 4.0))
"""Heads and MLP ratio of the options 1 to 4 of a block; option 0 leaves the block out."""


def _macro() -> SearchSpace:
    stages = ((0, 1), (2, 3, 4), (5, 6, 7))
    return SearchSpace(
        name="nas-bench-macro",
        title="NAS-Bench-Macro",
        family="layers",
        choices=((0, 1, 2),) * 8,
        positions=tuple(f"layer {number}" for number in range(2, 10)),
        stages=stages,
        options=("identity", "inverted residual, kernel 3, expansion 3", "inverted residual, kernel 5, expansion 6"),
        largest=2,
        canonical_form=SkipsLast(stages),
    )


def _channels(kind: str, base: tuple[int, ...]) -> SearchSpace:
    return SearchSpace(
        name=f"channel-bench-{kind.lower()}",
        title=f"Channel-Bench-Macro {kind}",
        family="channels",
        choices=tuple(tuple(width * factor for factor in (1, 2, 3, 4)) for width in base),
        positions=tuple(f"width {number}" for number in range(1, 8)),
        stages=(tuple(range(7)),),
        options=("1/4 of the full width", "2/4 of the full width", "3/4 of the full width", "the full width"),
        largest=3,
        key_offset=1,
    )


def _cell() -> SearchSpace:
    return SearchSpace(
        name="nas-bench-201",
        title="NAS-Bench-201",
        family="cell",
        choices=(NAS_BENCH_201_OPERATIONS,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in NAS_BENCH_201_EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=NAS_BENCH_201_OPERATIONS,
        largest=3,
        canonical_form=isomorphic_cell,
    )


def _imagenet() -> SearchSpace:
    stages = tuple(tuple(range(6 * stage, 6 * stage + 6)) for stage in range(5))
    blocks = tuple(
        f"inverted residual, kernel {kernel}, expansion {expansion}" for expansion in (4, 6) for kernel in (3, 5, 7)
    )
    return SearchSpace(
        name="mobilenet-imagenet",
        title="GENIUS ImageNet space",
        family="stages",
        choices=(tuple(range(7)),) * 30,
        positions=tuple(f"layer {number}" for number in range(2, 32)),
        stages=stages,
        options=("skip", *blocks),
        largest=6,
        canonical_form=SkipsLast(stages),
    )


def _transformer() -> SearchSpace:
    """Return the choices of AutoFormer-tiny (Chen et al., ICCV 2021), with two narrower embeddings and any depth.

    There the embedding is 192, 216 or 240 and the depth 12 to 14; here a block is left out by its option 0.
    """
    blocks = tuple(range(1, 15))
    return SearchSpace(
        name="vision-transformer",
        title="Vision transformer space",
        family="transformer",
        choices=(tuple(range(5)),) * 15,
        positions=("embedding", *(f"block {number}" for number in blocks)),
        stages=((0,), blocks),
        options=("skip", *(f"{heads} heads, MLP ratio {ratio:g}" for heads, ratio in TRANSFORMER_BLOCKS)),
        largest=4,
        widths=TRANSFORMER_EMBEDDINGS,
        canonical_form=SkipsLast(((0, *blocks),)),  # any block may be a skip, so only the embedding stays in place
    )


def signal_space(
    operations: tuple[str, ...] = DEFAULT_SIGNAL_OPERATIONS, rules: SignalRules = FIRST_RULES
) -> SearchSpace:
    """Return the space of the private cells with these operations; its name tells which, where they are not the usual.

    The name ends in their places in SIGNAL_OPERATIONS, one digit each, such as "signal-cell-01234". With rules that a
    secret drew it ends in letters, which are places in LIBRARY, and the rules: "signal-cell-dbma-sum-mean-120".
    """
    places = "".join(str(LIBRARY.index(name)) for name in operations)
    usual = "signal-cell" if operations == DEFAULT_SIGNAL_OPERATIONS else f"signal-cell-{places}"
    letters = "".join(_LETTERS[LIBRARY.index(name)] for name in operations)
    drawn = f"signal-cell-{letters}-{rules.join}-{rules.readout}-{rules.target}"
    return SearchSpace(
        name=usual if rules == FIRST_RULES else drawn,
        title="Private signal cells",
        family="cell",
        choices=(operations,) * 6,
        positions=tuple(f"edge {source}-{target}" for source, target in NAS_BENCH_201_EDGES),
        stages=((0,), (1, 2), (3, 4, 5)),
        options=operations,
        largest=max(range(len(operations)), key=lambda option: _capacity(operations[option])),
        canonical_form=SignalClasses(operations, rules),
        input="signals",
        rules=rules,
    )


def _capacity(operation: str) -> tuple[int, int]:
    """Return what orders operations by capacity: the kernel, then nothing, a skip, anything else."""
    return CONVOLUTIONS.get(operation, (0, 0))[0], min(LIBRARY.index(operation), 2)


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "nas-bench-macro": _macro,
    "channel-bench-resnet": lambda: _channels("ResNet", (64, 64, 64, 128, 128, 128, 128)),
    "channel-bench-mobilenet": lambda: _channels("MobileNet", (32, 192, 192, 192, 64, 384, 256)),
    "nas-bench-201": _cell,
    "mobilenet-imagenet": _imagenet,
    "vision-transformer": _transformer,
    "signal-cell": signal_space,
}


def load_space(name: str) -> SearchSpace:
    """Return the search space called `name`; "-w0.25" after a name is that space with narrower networks.

    The width (0 < w <= 4) multiplies every channel count of the skeleton; the options, the keys and the sizes stay
    as they are. "-w1" and trailing zeros are dropped from the name. The channel spaces have no width: it is what
    they search, and so do the private cells, which choose theirs by a rule. "signal-cell-01234" is that space with
    other operations, "signal-cell-dbma-sum-mean-120" one that a secret drew; see `signal_space`. Raises UnknownName,
    which lists the known names, and InvalidParameter for a width that is refused.
    """
    if re.fullmatch(r"signal-cell-[0-4]{2,5}", name) and len(set(name[12:])) == len(name[12:]):
        return signal_space(tuple(SIGNAL_OPERATIONS[int(place)] for place in name[12:]))
    drawn = re.fullmatch(r"signal-cell-([a-q]{2,5})-([a-z]+)-([a-z]+)-([1-9]\d{1,3})", name)
    if drawn and len(set(drawn[1])) == len(drawn[1]):
        operations = tuple(LIBRARY[_LETTERS.index(letter)] for letter in drawn[1])
        return signal_space(operations, drawn_rules(drawn[2], drawn[3], int(drawn[4])))
    base, _, digits = name.rpartition("-w")
    if name not in SPACES and base in SPACES:
        return _with_width(SPACES[base](), digits)
    if name not in SPACES:
        raise UnknownName(f"no search space is called {name!r}; the known ones are {', '.join(SPACES)}")
    return SPACES[name]()


def _with_width(space: SearchSpace, digits: str) -> SearchSpace:
    width = float(digits) if re.fullmatch(r"\d+(\.\d{1,4})?", digits) else 0.0
    if not 0 < width <= 4:
        raise InvalidParameter(
            f"width {digits!r} of {space.name!r} came, expected a number over 0 and up to 4 with at most 4 "
            f"decimals, as in {space.name}-w0.25"
        )
    if width == 1:
        return space
    if space.family == "channels":
        raise InvalidParameter(f"{space.name} has no width: its channel counts are what is searched; drop -w{digits}")
    if space.input == "signals":
        raise InvalidParameter(f"{space.name} has no width: a rule chooses that of each cell; drop -w{digits}")
    printed = f"{width:.4f}".rstrip("0").rstrip(".")
    return replace(space, name=f"{space.name}-w{printed}", title=f"{space.title}, width {printed}", width=width)
