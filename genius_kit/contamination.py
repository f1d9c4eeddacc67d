"""Has a model seen the public table? The same arms on it and on a private table that nobody can have seen.

What a model knows of networks helps it on both; what it remembers of a table helps on that table alone. So the gain
from names is compared between the two: a difference of differences.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from genius_kit.cards import Judged
from genius_kit.comparisons import pairs_needed
from genius_kit.contamination_routes import PROBE, ROUTES, Route, Tables, fewest_pairs, routes, versus_random
from genius_kit.contamination_words import open_question, sentence
from genius_kit.contrasts import LEVEL, MARGIN, model_of
from genius_kit.errors import InvalidParameter
from genius_kit.fixed_rules import ONE_SEARCH
from genius_kit.provenance import marked

if TYPE_CHECKING:
    import pandas as pd

CONTAMINATED, EVERYWHERE, NO_SIGN = "contaminated", "leans on names everywhere", "no sign of contamination"
NOT_ENOUGH, CANNOT_TELL = "not enough runs", "cannot tell"
KINDS = (CONTAMINATED, EVERYWHERE, NO_SIGN, NOT_ENOUGH, CANNOT_TELL)

_REASONS = {
    "permuted-labels": "the numbers of the options help it there by more than on the private one",
    "anonymous": "names help it there by more than on the private one",
    PROBE: "its bare name calls forth designs better than random ones",
}


@dataclass(frozen=True, repr=False)
class Contamination(Judged):
    """What a study says of memory: `sentence` to read aloud, `kind` one of KINDS, `evidence` one row a comparison.

    Columns of `evidence`: control, table ("public", "private", "difference"), benchmark, n, mean_rank (of the plain
    arm; of the probe itself for the probe), mean_rank_arm, ratio, low, high, p_value; and of the control as a whole
    p_memory and p_everywhere, corrected, and answer (see `contamination_routes.Route`); model.
    """

    sentence: str
    kind: str
    evidence: pd.DataFrame


def contamination(
    results: pd.DataFrame, *, public: str | None = None, private: str | None = None, plain: str = "llm"
) -> Contamination:
    """Return the verdict on one model from its searches on a public and on a private table.

    `results` is the frame of `studies.results`, filtered to one model and prompt, with the arm `plain` and at least one
    of permuted-labels, anonymous and knowledge-probe on both tables, at the same seeds. `public` and `private` name the
    tables; by default the private one is the one that the catalogue has as private, the public one the other.

    Memory shows where missing or permuted names make ranks on the public table worse, and by more than on the private
    one, or where the bare name of the benchmark calls forth designs that beat random search, and by more than on the
    private one; and only where the public designs are better than as many random ones. "contaminated": one of these,
    every part of it with p < 0.05. "leans on names everywhere": names help on both tables. "no sign of contamination":
    95 % intervals rule out that names help, or help more on the public table, by a factor of 2 (MARGIN); of a model
    that names the same designs in most searches, that they are no better than random ones. "not enough runs": what
    intervals leave open, or too few pairs. "cannot tell": a missing arm, or what more of the same would not settle. A
    pair is a seed; p-values are sign flips, Holm's over the controls; ranks count in percent of their table.

    It sees behaviour only: a model whose general beliefs happen to fit the public table alone looks contaminated too.

    Raises InvalidParameter without the public or the private baseline, for several models, prompts or budgets, and
    for repeated seeds.
    """
    tables = _tables(results, public, private)
    _check_baselines(results, tables, plain)
    rows = results[results["benchmark"].isin(tables)]
    found = routes(rows, tables, plain)
    kind, reason = _judge(found)
    told = sentence(rows, plain, tables, kind, reason, found, versus_random(rows, tables[0], plain))
    evidence = _evidence(found, tables).assign(model=model_of(rows, plain))
    return Contamination(told, kind, marked(evidence, rows))


def each_contamination(results: pd.DataFrame) -> list[Contamination]:
    """Return one verdict for each public table, model and prompt of a study that has private tables too."""
    from genius_kit.catalogue import is_private

    hidden = [name for name in results["benchmark"].unique() if is_private(name)]
    plain = results[(results["proposer"] == "llm") & results["control"].isna()]
    found = []
    for (public, model, prompt), own in plain.groupby(["benchmark", "model", "prompt"], sort=False):
        same = results[(results["model"] == model) & (results["prompt"] == prompt)]
        arm = own["arm"].iloc[0]
        for private in [name for name in hidden if public not in hidden]:
            rows = same[same["benchmark"].isin([public, private])]
            has_both = {public, private} <= set(rows.loc[rows["arm"] == arm, "benchmark"])
            if has_both and rows["control"].isin(ROUTES).any():
                found.append(contamination(rows, public=str(public), private=private, plain=arm))
    return found


def _tables(results: pd.DataFrame, public: str | None, private: str | None) -> Tables:
    """Return the names of the public and the private table; raises InvalidParameter where one cannot be told."""
    from genius_kit.catalogue import is_private

    names = [str(name) for name in results["benchmark"].unique()]
    hidden = [private] if private else [name for name in names if is_private(name) and name != public]
    shown = [public] if public else [name for name in names if name not in hidden and not is_private(name)]
    for what, chosen in (("private", hidden), ("public", shown)):
        here = [name for name in chosen if name in names]
        if not here:
            raise InvalidParameter(
                f"there are no searches on a {what} table{f' {chosen[0]}' if chosen else ''}: the results are of "
                f"{', '.join(names) or 'none'}; add the {what} one to `benchmarks` of the study (`contamination` has "
                f"both), or name it: {what}=..."
            )
        if len(here) > 1:
            raise InvalidParameter(f"there are several {what} tables, {', '.join(here)}: name one, {what}=...")
    return shown[0], hidden[0]


def _check_baselines(results: pd.DataFrame, tables: Tables, plain: str) -> None:
    missing = [name for name in ("p_random", "top_percent", "reason", "control") if name not in results]
    if missing:
        raise InvalidParameter(f"the results have no column {', '.join(missing)}; give the frame of studies.results")
    for what, name in zip(("public", "private"), tables, strict=True):
        arms = list(dict.fromkeys(map(str, results.loc[results["benchmark"] == name, "arm"])))
        if plain not in arms:
            raise InvalidParameter(
                f"the {what} table {name} has no arm {plain!r}, with which the others are compared; it has "
                f"{', '.join(arms)}: add `- {plain}` to the arms of the study and run it again, finished runs are kept"
            )


def _judge(found: list[Route]) -> tuple[str, str]:
    """Return the kind, and in words why."""
    if all(route.control == PROBE for route in found):
        return CANNOT_TELL, "it takes an arm permuted-labels or anonymous on both tables, with the same seeds"
    tests = 2 * len(found)
    fewest, least = fewest_pairs(found), pairs_needed(tests)
    if fewest < least and any(one.is_fixed for route in found for one in (route.public, route.private)):
        return CANNOT_TELL, ONE_SEARCH
    if fewest < least:
        return NOT_ENOUGH, (
            f"{fewest} {'pair' if fewest == 1 else 'pairs'} of searches cannot reach p < {LEVEL} in {tests} tests "
            f"however they end, at least {least} are needed"
        )
    answers = [route.answer for route in found]
    if "memory" in answers:
        return CONTAMINATED, " and ".join(_REASONS[route.control] for route in found if route.answer == "memory")
    if "everywhere" in answers:
        return EVERYWHERE, "names help it on a table that nobody can have seen too"
    unclear = [route for route in found if route.answer == "unclear"]
    if not unclear and "luck" in answers:
        return NO_SIGN, "it names the same designs in most searches, and random ones do as well"
    if not unclear:
        return (
            NO_SIGN,
            f"what names are worth there, or worth more there than on the private one, is below a factor of {MARGIN:g}",
        )
    if any(route.is_fixed for route in unclear):
        return CANNOT_TELL, (
            "it names the same designs in most searches, so that more of them say nothing new; another public table may"
        )
    return NOT_ENOUGH, "; ".join(map(open_question, unclear))


def _evidence(found: list[Route], tables: Tables) -> pd.DataFrame:
    import pandas as pd

    kept = ("n", "mean_rank", "mean_rank_arm", "ratio", "low", "high", "p_value")
    named = zip(("public", "private", "difference"), (*tables, None), strict=True)
    places = list(named)
    rows = [
        {
            "control": route.control,
            "table": table,
            "benchmark": benchmark,
            **{name: value for name, value in asdict(contrast).items() if name in kept},
            "p_memory": route.p_memory,
            "p_everywhere": route.p_everywhere,
            "answer": route.answer,
        }
        for route in found
        for (table, benchmark), contrast in zip(places, (route.public, route.private, route.difference), strict=True)
    ]
    columns = ["control", "table", "benchmark", *kept, "p_memory", "p_everywhere", "answer"]
    return pd.DataFrame(rows, columns=columns)
