"""The sentence of a verdict on contamination, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genius_kit.comparisons import LEAST_PAIRS, pairs_needed
from genius_kit.contamination_routes import PROBE, Route, Tables
from genius_kit.contrasts import LEVEL, MARGIN, Contrast, model_of
from genius_kit.method_names import subject
from genius_kit.verdicts import interval_text, pairs_to_settle, ratio_text

if TYPE_CHECKING:
    import pandas as pd

_STARTS = {
    "contaminated": "is contaminated by",
    "leans on names everywhere": "leans on names everywhere, not only on",
    "no sign of contamination": "shows no sign of contamination by",
    "not enough runs": "has not enough runs for a verdict on",
    "cannot tell": "has no verdict on",
}
_CONDITIONS = {"permuted-labels": "with permuted labels", "anonymous": "without names"}


def sentence(
    results: pd.DataFrame,
    plain: str,
    tables: Tables,
    kind: str,
    reason: str,
    found: Sequence[Route],
    random: Contrast,
) -> str:
    """Return the verdict in words: what was found, why, the numbers of each control, how it does beside chance."""
    from genius_kit.catalogue import title_of

    start = f"{subject(model_of(results, plain) or plain)} {_STARTS[kind]} {title_of(tables[0])}"
    start += f" (private table: {title_of(tables[1])}): {reason}"
    measured = [route for route in found if route.pairs >= LEAST_PAIRS]
    corrected = [f"p-values are corrected for {2 * len(found)} tests by Holm's rule"] if measured else []
    return "; ".join([start, *map(_numbers_of, measured), *_beside_chance(random, measured), *corrected]) + "."


def open_question(route: Route) -> str:
    """Return in words what a control leaves open, and about how many pairs would settle it."""
    pairs = min(pairs_to_settle(one) for one in (route.public, route.difference))
    what = "whether the bare name is worth anything" if route.control == PROBE else "whether names help"
    return (
        f"{what} ({route.control}) is open, as a ratio of {interval_text(route.public)} on the public table shows "
        f"neither a difference nor that it is below {MARGIN:g} (about {pairs:,} pairs may settle it)"
    )


def _numbers_of(route: Route) -> str:
    """Return the numbers of one control on both tables, with the p-value of what it is taken to show."""
    p_value = route.p_everywhere if route.answer == "everywhere" else route.p_memory
    if route.control == PROBE:
        return (
            f"asked by the bare name, random search needs {_numbers(route.public)} times the evaluations of its "
            f"proposals on the public table and {_numbers(route.private)} times on the private one (p = {p_value:.2g})"
        )
    return (
        f"{_CONDITIONS[route.control]} its rank is {_numbers(route.public)} times as high on the public table and "
        f"{_numbers(route.private)} times on the private one, {ratio_text(route.difference.ratio)} times as much "
        f"({interval_text(route.difference)}, n = {route.difference.n} pairs, p = {p_value:.2g})"
    )


def _beside_chance(random: Contrast, found: Sequence[Route]) -> list[str]:
    """Return in words how the plain arm does beside random search on the public table."""
    if random.n < pairs_needed():
        return []
    named = [route for route in found if route.control != PROBE]
    luck = named[0].luck[0] if named else 1.0
    if random.is_small:
        how = "it does no better than random search there"
    elif luck < LEVEL:
        how = "it does better than random search there"
    else:
        how = f"random search may do as well there (p = {luck:.2g})"
    below = f", below a factor of {MARGIN:g}" if random.is_small else ""
    alike = " (most searches ended at the same designs, so that their number says little)"
    return [
        f"{how}, which needs {_numbers(random)} times the evaluations{below}"
        f"{alike if any(route.is_fixed for route in named) else ''}"
    ]


def _numbers(contrast: Contrast) -> str:
    return f"{ratio_text(contrast.ratio)} (95 % interval {interval_text(contrast)}, n = {contrast.n})"
