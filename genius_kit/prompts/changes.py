"""Changes of the prompt that ought not to matter: what each one is, and with what it goes together.

A change is a setting of the proposers that ask a model (`change=`) beside the controls, which take something away that
a search needs. It reaches the prompt through the same `views.View`; what is measured and recorded stays the truth.
See `CHANGES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genius_kit.errors import InvalidParameter
from genius_kit.spaces import SearchSpace

if TYPE_CHECKING:
    import numpy as np

SHOWN = 5
"""How many results last-5 and best-5 list."""

WRONG_SHARE = 0.5
"""Probability that wrong-numbers exchanges a result with an earlier one, when it is listed first."""

REWORDINGS = ("reworded-1", "reworded-2")
MENUS = ("operations-reversed", "operations-shuffled")
ORDERS = ("newest-first", "best-first", "results-shuffled")
PARTS = ("last-5", "best-5")
LISTS = (*ORDERS, *PARTS, "wrong-numbers")
"""Those that change which results are listed, in which order, or beside which design."""

CHANGES = (*REWORDINGS, *MENUS, *LISTS, "no-rationale", "no-persona")
"""Two paraphrases of the fixed texts; the menu of operations listed in reverse or shuffled, numbers unchanged; the
results listed newest first, best first or shuffled, each under the number of its experiment; only the last 5 or the
best 5 of them; some exchanged with another's; the design asked for alone; no "You are a researcher"."""

RATIONALES = ("standard", "reasoned")
"""The variants that ask for a rationale."""

_REWORDED = (
    "system", "problem", "constraint", "answer_format", "results", "dialogue_results", "dialogue_result", "refusal",
)  # fmt: skip
_WITHOUT_RESULTS = ("no-feedback", "knowledge-probe")
_DRAWN = ("operations-shuffled", "results-shuffled", "wrong-numbers")
_MENU_TAG, _ORDER_TAG, _WRONG_TAG = 2_203, 2_204, 2_205  # keep these draws apart, see `views`


def is_drawn(change: str | None) -> bool:
    """Return whether the seed of a run decides something of the change."""
    return change in _DRAWN


def changed_texts(change: str | None, space: SearchSpace, prompt: str) -> dict[str, tuple[str, str]]:
    """Return which parts of the prompt a change replaces: for each the folder under templates, and the file in it.

    Of a variant only the wording of "standard" is replaced by a paraphrase; that of another one is its maker's.
    """
    if change in REWORDINGS:
        parts = {part: (f"changes/{change}", part) for part in _REWORDED}
        return {**parts, "variant": (f"changes/{change}", "standard")} if prompt == "standard" else parts
    if change == "no-rationale":
        return {"variant": ("changes", "no_rationale")}
    if change == "no-persona":
        return {"system": ("changes", "no_persona")}
    if change in MENUS and not space.names_operations:
        return {"answer_format": ("changes", "reordered_answer_format")}
    return {}


def holes_of_change(change: str | None, space: SearchSpace) -> list[str]:
    """Return the holes that a variant needs for a change: text that it holds by itself could not be changed."""
    if change in MENUS:
        return ["operations" if space.names_operations else "answer_format"]
    if change in REWORDINGS:
        return ["problem", "answer_format"]
    return ["system"] if change == "no-persona" else []


def check_change(change: str | None, control: str | None, prompt: str, history: str, controlled: set[str]) -> None:
    """Raise InvalidParameter for an unknown change, or one that goes not with this prompt, history or control.

    `controlled` are the parts of the prompt that the control replaces.
    """
    if change is None:
        return
    if change not in CHANGES:
        raise InvalidParameter(f"change is {change!r}; it is one of {', '.join(CHANGES)}")
    if prompt == "published":
        raise InvalidParameter(f"{change} cannot change the published prompt: its text is fixed. Take another variant")
    if change in LISTS and history != "table":
        raise InvalidParameter(
            f'{change} needs history="table", not {history!r}: in a dialogue each result is told once, when it is '
            "measured, so that the list cannot change"
        )
    if change == "no-rationale" and prompt not in RATIONALES:
        raise InvalidParameter(
            f"no-rationale takes the variant {' or '.join(RATIONALES)}, which ask for a rationale; {prompt} came"
        )
    _check_control(change, control, controlled)


def _check_control(change: str, control: str | None, controlled: set[str]) -> None:
    if control is None:
        return
    clash = f"the change {change} makes no sense with the control {control}"
    if change in LISTS and control in _WITHOUT_RESULTS:
        raise InvalidParameter(f"{clash}: it changes the list of results, and {control} shows none")
    if change == "wrong-numbers" and control == "shuffled-feedback":
        raise InvalidParameter(f"{clash}: all numbers are wrong already")
    if change in MENUS and controlled & {"operations", "answer_format", "variant"}:
        raise InvalidParameter(f"{clash}: it changes the order of a menu that {control} does not show")
    if (change in REWORDINGS and controlled) or (change == "no-rationale" and "variant" in controlled):
        raise InvalidParameter(f"{clash}: both replace the words of the prompt ({', '.join(sorted(controlled))})")


def menu_order(change: str | None, count: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of `count` options in the order in which a menu lists them."""
    numbers = tuple(range(count))
    if change == "operations-reversed":
        return numbers[::-1]
    if change == "operations-shuffled":
        draws = generator_of(seed, 0, _MENU_TAG)
        while (drawn := tuple(int(number) for number in draws.permutation(count))) == numbers:
            continue
        return drawn
    return numbers


def beside(change: str | None, count: int, seed: int) -> list[int]:
    """Return which of `count` results stands beside each design: its own, but for wrong-numbers.

    A result is exchanged with one before it, or is not, when it is listed first; so it stays in the whole run.
    """
    places = list(range(count))
    if change == "wrong-numbers":
        for place in range(1, count):
            draws = generator_of(seed, place, _WRONG_TAG)
            if draws.random() < WRONG_SHARE:
                other = int(draws.integers(place))
                places[place], places[other] = places[other], places[place]
    return places


def listing(change: str | None, scores: Sequence[float | None], seed: int) -> list[int]:
    """Return the places of the results that are listed, in the order in which they are; `scores` as they are shown.

    Designs without a score are the worst; of equals the earlier one is the better.
    """
    places = list(range(len(scores)))
    if change == "newest-first":
        return places[::-1]
    if change == "last-5":
        return places[-SHOWN:]
    if change == "results-shuffled":
        return [int(place) for place in generator_of(seed, len(places) + 1, _ORDER_TAG).permutation(len(places))]
    if change not in ("best-first", "best-5"):
        return places
    measured = [float("-inf") if score is None else score for score in scores]
    best = sorted(places, key=lambda place: (-measured[place], place))
    return best if change == "best-first" else sorted(best[:SHOWN])


def generator_of(seed: int, iteration: int, tag: int) -> np.random.Generator:
    """Return the random numbers of one use, told by its tag, at one iteration of the run with this seed."""
    import numpy as np

    return np.random.default_rng([seed, iteration, tag])
