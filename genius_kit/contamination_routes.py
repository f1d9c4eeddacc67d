"""What each control says on the public and on the private table: gains from names, their difference, and luck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genius_kit.comparisons import LEAST_PAIRS, compare, holm, sign_flip_p
from genius_kit.contrasts import LABELS, LEVEL, Contrast, contrasts
from genius_kit.fixed_rules import counted_once

if TYPE_CHECKING:
    import pandas as pd

PROBE = "knowledge-probe"
ROUTES = (*LABELS, PROBE)
"""The controls in which memory can show."""

Tables = tuple[str, str]
"""The names of the public and of the private table."""


@dataclass(frozen=True)
class Route:
    """One control on both tables. A ratio above 1: the names help; of the probe: the evaluations random search needs.

    `difference` is the public gain over the private one, paired by seed. `luck` holds for each table the p-value of
    designs no better than random ones, from the plain arm (of the probe: from itself), see `luck_p`; `is_fixed` says
    that the public searches mostly ended at the same designs. The last two are p-values corrected over all routes.
    """

    control: str
    public: Contrast
    private: Contrast
    difference: Contrast
    luck: tuple[float, float]
    is_fixed: bool
    p_memory: float = float("nan")
    p_everywhere: float = float("nan")

    @property
    def pairs(self) -> int:
        """How many searches each of its comparisons has at least."""
        return min(self.public.n, self.private.n, self.difference.n)

    def memory(self) -> float:
        """Return the uncorrected p-value of memory: that of the weakest part, as all of them have to hold."""
        if self.control == PROBE:
            return max(self.luck[0], _upward(self.difference))
        return max(_upward(self.public), _upward(self.difference), self.luck[0])

    def everywhere(self) -> float:
        """Return the uncorrected p-value of names that help on both tables."""
        if self.control == PROBE:
            return max(self.luck)
        return max(_upward(self.public), _upward(self.private), *self.luck)

    @property
    def answer(self) -> str:
        """ "memory", "everywhere", "no", "unclear"; "luck": the same designs each time, no better than random ones."""
        if self.p_memory < LEVEL:
            return "memory"
        if self.p_everywhere < LEVEL:
            return "everywhere"
        if self.public.is_small or self.difference.is_small:
            return "no"
        return "luck" if self.is_fixed and self.luck[0] >= LEVEL else "unclear"


def routes(results: pd.DataFrame, tables: Tables, plain: str) -> list[Route]:
    """Return what each of ROUTES says that is there on both tables, p-values corrected together by Holm's rule."""
    found = [_route(results, control, tables, plain) for control in ROUTES]
    here = [route for route in found if route is not None]
    corrected = holm([value for route in here for value in (route.memory(), route.everywhere())])
    return [
        replace(route, p_memory=corrected[2 * place], p_everywhere=corrected[2 * place + 1])
        for place, route in enumerate(here)
    ]


def _route(results: pd.DataFrame, control: str, tables: Tables, plain: str) -> Route | None:
    own = results[(results["arm"] == plain) | (results["control"] == control)]
    arms = own.loc[own["control"] == control].drop_duplicates("benchmark").set_index("benchmark")["arm"].to_dict()
    if not set(tables) <= set(arms):
        return None
    if control == PROBE:
        sides = [versus_random(own, table, arms[table]) for table in tables]
        gains = [_gains(own, table, arms[table], None) for table in tables]
        judged = [finished(own, table, arms[table]) for table in tables]
    else:
        sides = [_labels(own[own["benchmark"] == table], plain) for table in tables]
        gains = [_gains(own, table, plain, arms[table]) for table in tables]
        judged = [finished(own, table, plain) for table in tables]
    luck = (luck_p(judged[0]["p_random"], judged[0]["rank"]), luck_p(judged[1]["p_random"], judged[1]["rank"]))
    return Route(control, sides[0], sides[1], _difference(control, *gains), luck, repeats(judged[0]["rank"]))


def _labels(rows: pd.DataFrame, plain: str) -> Contrast:
    return next(one for one in contrasts(rows, plain)[0] if one.question == "labels")


def versus_random(results: pd.DataFrame, table: str, arm: str) -> Contrast:
    """Return an arm beside the exact probabilities of random search on one table; n = 0 where they are not known."""
    rows = results[(results["benchmark"] == table) & (results["arm"] == arm)]
    found = [one for one in contrasts(rows, arm)[0] if one.question == "random search"]
    return found[0] if found else _nothing("random search", "random", len(rows))


def finished(results: pd.DataFrame, table: str, arm: str) -> pd.DataFrame:
    """Return the finished searches of an arm on a table that came to a rank, those of a fixed rule once."""
    rows = counted_once(results[(results["benchmark"] == table) & (results["arm"] == arm)])
    return rows[rows["reason"].notna() & (rows["rank"].astype(float) > 0)]


def _gains(results: pd.DataFrame, table: str, arm: str, other: str | None) -> dict[int, float]:
    """Return by seed the logarithm of the rank in percent of `other`, or of the whole table, over that of `arm`."""
    ours = _log_percent(finished(results, table, arm))
    if other is None:
        return {seed: -value for seed, value in ours.items()}
    theirs = _log_percent(finished(results, table, other))
    return {seed: theirs[seed] - value for seed, value in ours.items() if seed in theirs}


def _log_percent(rows: pd.DataFrame) -> dict[int, float]:
    import numpy as np

    return dict(zip(rows["seed"].astype(int), np.log(rows["top_percent"].astype(float) / 100), strict=True))


def _difference(control: str, public: dict[int, float], private: dict[int, float]) -> Contrast:
    """Return the public gain over the private one as a contrast: a ratio of ratios, paired by seed."""
    import numpy as np

    seeds = [seed for seed in public if seed in private]
    empty = replace(_nothing("difference", control, len(public.keys() | private.keys()) - len(seeds)), n=len(seeds))
    if len(seeds) < LEAST_PAIRS:
        return empty
    found = compare(*(np.exp([side[seed] for seed in seeds]) for side in (public, private)))
    return replace(empty, ratio=found.ratio, low=found.ratio_low, high=found.ratio_high, p_value=found.p_value)


def _nothing(question: str, kind: str, left_out: int) -> Contrast:
    unknown = float("nan")
    return Contrast(question, kind, kind, 0, left_out, unknown, False, unknown, unknown, unknown, unknown, unknown)


def repeats(ranks: Iterable[float]) -> bool:
    """Return whether most searches ended where another one did: then their number is little evidence."""
    values = list(ranks)
    return len(set(values)) < len(values) / 2


def luck_p(probabilities: Iterable[float], ranks: Iterable[float]) -> float:
    """Return the p-value of designs no better than random ones, given the exact p-value of each search.

    Searches that ended at different ranks count as independent ones: sign flips about the mean 1/2 of a random search.
    Where most `repeats`, they may be one list of designs said again, and twice the mean of their p-values is taken,
    which is a p-value however much they depend on each other (Vovk and Wang, Biometrika 2020).
    """
    values = [float(value) for value in probabilities]
    if not values:
        return 1.0
    mean = sum(values) / len(values)
    if repeats(ranks) or len(values) < LEAST_PAIRS:
        return min(1.0, 2 * mean)
    return sign_flip_p([value - 0.5 for value in values]) if mean < 0.5 else 1.0


def _upward(contrast: Contrast) -> float:
    """Return the p-value of a ratio above 1; 1 where it is not above, or unknown."""
    return contrast.p_value if contrast.ratio > 1 else 1.0


def fewest_pairs(found: Sequence[Route]) -> int:
    """Return how many pairs the poorest of all comparisons has."""
    return min(route.pairs for route in found)
