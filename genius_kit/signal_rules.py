"""What the networks of a private table have in common: their operations, how nodes join, the readout and the width."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from genius_kit.errors import InvalidParameter

CONVOLUTIONS = {
    "conv_1": (1, 1),
    "conv_3": (3, 1),
    "conv_3_dilated_2": (3, 2),
    "conv_3_dilated_4": (3, 4),
    "conv_5": (5, 1),
    "conv_7": (7, 1),
}
"""Kernel and dilation of the operations with weights."""

POINTWISE = ("absolute", "maximum_3")
"""Operations without weights that are not linear."""

LIBRARY = (
    *("none", "skip_connect", "conv_1", "conv_3", "shift_6", "conv_3_dilated_2", "conv_3_dilated_4", "conv_5"),
    *("shift_3", "shift_4", "shift_9", "difference_2", "absolute", "reverse", "mean_5", "maximum_3", "conv_7"),
)
"""Every operation that an edge of a private cell may carry; a letter in the name of a space is a place here."""

JOINS, READOUTS = ("sum", "maximum", "product"), ("mean", "maximum")
WIDTH_RULES = ("parameters", "kernels")


@dataclass(frozen=True)
class SignalRules:
    """How the networks of a table are made, whatever their cell.

    `join` is what a node makes of its edges, `readout` how the last values become one a channel. The width of a network
    lies from `narrowest` to `widest` channels. By the rule "parameters" it is the one that comes nearest to `target`
    parameters with so many `classes`; by "kernels" channels times the sum of all kernels is at most `target`, so that
    each further convolution makes the network narrower and smaller.
    """

    join: str = "sum"
    readout: str = "mean"
    rule: str = "parameters"
    target: int = 3000
    narrowest: int = 4
    widest: int = 24
    classes: int = 25

    def __post_init__(self) -> None:
        for name, known in (("join", JOINS), ("readout", READOUTS), ("rule", WIDTH_RULES)):
            if getattr(self, name) not in known:
                raise InvalidParameter(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        for name in ("target", "narrowest", "widest", "classes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
                raise InvalidParameter(f"{name} is {value!r}; expected a whole number from 1 to 1,000,000")
        if self.narrowest > self.widest:
            raise InvalidParameter(f"narrowest {self.narrowest} is above widest {self.widest}; expected at most that")

    def settings(self) -> dict[str, Any]:
        """Return the fields, fit for JSON."""
        return asdict(self)


FIRST_RULES = SignalRules()
"""Those of the tables whose secret decides the signals only."""


def drawn_rules(join: str, readout: str, target: int) -> SignalRules:
    """Return the rules of a table whose secret decides them: more convolutions make a network narrower and smaller."""
    return SignalRules(join, readout, "kernels", target, narrowest=8, widest=40, classes=16)
