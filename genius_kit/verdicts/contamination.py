"""Has a model seen the public table? The same arms on it and on a private table that nobody can have seen.

What a model knows of networks helps it on both tables, though not always as much; what it remembers helps on one table
alone. So what the names are worth is compared between the two. That they are worth more on the public one is no
accusation: a belief about networks that happens to fit that table does the same. Memory shows in what the bare name of
the benchmark calls forth, with no operation named and no result shown: architectures that are good where they stand,
and worse with their positions exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genius_kit.benchmarks.catalogue import is_private, title_of
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import counted_once, fixed_arms, subject
from genius_kit.runs.provenance import marked
from genius_kit.verdicts.base import (
    CANNOT_TELL,
    LABELS,
    LEVEL,
    MARGIN,
    NOT_ENOUGH,
    Verdict,
    arm_of,
    model_of,
    ratio_text,
)
from genius_kit.verdicts.headlines import CONDITIONS
from genius_kit.verdicts.searches.findings import (
    HARM,
    LEAST_SEARCHES,
    LUCKY,
    NO,
    UNCLEAR,
    YES,
    Finding,
    Luck,
    difference,
    findings,
    luck_of,
    searches_to_settle,
    table_of,
    too_few,
)

if TYPE_CHECKING:
    import pandas as pd


CONTAMINATED, EVERYWHERE, NO_SIGN = "contaminated", "leans on names everywhere", "no sign of contamination"
KINDS = (CONTAMINATED, EVERYWHERE, NO_SIGN, NOT_ENOUGH, CANNOT_TELL)

PROBE = "knowledge-probe"
ROUTES = (*LABELS, PROBE)
"""The controls that are compared."""

LOOKS = 2
"""The p-value of a list that is good where it stands is shared between the looks at a study that grows by doublings."""

_STARTS = {
    CONTAMINATED: "is contaminated by",
    EVERYWHERE: "leans on names everywhere, not only on",
    NO_SIGN: "shows no sign of contamination by",
    NOT_ENOUGH: "has not enough runs for a verdict on",
    CANNOT_TELL: "has no verdict on",
}
_ASK = "`genius-kit memory` asks for the accuracies themselves"

Tables = tuple[str, str]
"""The names of the public and of the private table."""


@dataclass(frozen=True)
class Route:
    """One control on both tables. A ratio above 1: the names help; of the probe: the evaluations random search needs.

    Parameters
    ----------
    control
        What is changed in the prompt.
    public, private
        What it costs on each table.
    gap
        What names are worth on the public table over what they are worth on the private one.
    """

    control: str
    public: Finding
    private: Finding
    gap: Finding | None = None

    @property
    def answer(self) -> str:
        """ "everywhere", "more" (on the public table), "no", "unclear"."""
        if YES == self.public.answer == self.private.answer:
            return "everywhere"
        if self.gap is None:
            return UNCLEAR
        if YES == self.public.answer == self.gap.answer:
            return "more"
        is_small = self.public.answer in (NO, HARM) or self.gap.answer in (NO, HARM)
        return NO if is_small else UNCLEAR


def contamination(
    results: pd.DataFrame, *, public: str | None = None, private: str | None = None, plain: str = "llm"
) -> Verdict:
    """Return the verdict on one model from its searches on a public and on a private table.

    "contaminated": asked by the bare name of the benchmark (knowledge-probe), it names architectures that are better
    than with their positions exchanged (p <= 0.0025), which no liking for an operation explains. "leans on names
    everywhere": names help on both tables. "no sign of contamination": the bounds rule out that names help, or help
    more on the public table, by a factor of 2 (MARGIN) in the rank of a typical proposal; or one list that is no better
    than under other numbers (p > 0.05). "not enough runs": what is open. "cannot tell": a missing arm; names
    that help more on the public table without that sign of memory, which a belief that fits it does too; one list in
    every search. Evidence may be looked at after every seed, as in `verdicts.verdict`.

    It sees behaviour only: who knows which operation belongs at which position of this very network looks contaminated.

    Parameters
    ----------
    results
        Frame of `studies.results` of one model and prompt, with the arm `plain` and at least one of permuted-labels and
        anonymous on both tables, at the same seeds.
    public, private
        Names of the tables; default the one that the catalogue has as private, and the other.
    plain
        The arm that asks the model with nothing changed.

    Returns
    -------
    Verdict
        Columns of its evidence: control, table ("public", "private", "difference"), benchmark, those of a `Finding`
        from n to answer, p_value (valid at every look); p_memory, in the rows of the probe of architectures as good
        with their positions exchanged, else of a difference between the tables; model.

    Raises
    ------
    InvalidParameter
        No public or no private baseline, several models, prompts or budgets, or repeated seeds.
    """
    tables = _tables(results, public, private)
    _check_baselines(results, tables, plain)
    rows = results[results["benchmark"].isin(tables)]
    sides = [counted_once(rows[rows["benchmark"] == name]) for name in tables]
    found, probe = _routes(sides, plain), arm_of(sides[0], PROBE, plain)
    luck, recalled = (luck_of(sides[0], arm, table_of(sides[0], arm)) if arm else None for arm in (plain, probe))
    kind, reason = _judge(found, luck, recalled, any(map(fixed_arms, sides)))
    start = f"{subject(model_of(rows, plain) or plain)} {_STARTS[kind]} {title_of(tables[0])}"
    measured = [route for route in found if min(route.public.independent, route.private.independent) > 1]
    numbers = [_numbers_of(route, recalled) for route in measured]
    told = "; ".join([f"{start} (private table: {title_of(tables[1])}): {reason}", *numbers]) + "."
    evidence = _evidence(found, tables, recalled).assign(model=model_of(rows, plain))
    return Verdict(told, kind, marked(evidence, rows))


def each_contamination(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict for each public table, model and prompt of a study that has private tables too.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
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
    missing = [name for name in ("p_random", "reason", "control") if name not in results]
    if missing:
        raise InvalidParameter(f"the results have no column {', '.join(missing)}; give the frame of studies.results")
    for what, name in zip(("public", "private"), tables, strict=True):
        arms = list(dict.fromkeys(map(str, results.loc[results["benchmark"] == name, "arm"])))
        if plain not in arms:
            raise InvalidParameter(
                f"the {what} table {name} has no arm {plain!r}, with which the others are compared; it has "
                f"{', '.join(arms)}: add `- {plain}` to the arms of the study and run it again, finished runs are kept"
            )


def _routes(sides: Sequence[pd.DataFrame], plain: str) -> list[Route]:
    """Return what each of ROUTES that is there on both tables says."""
    labels = [{one.kind: one for one in findings(side, plain) if one.question == "labels"} for side in sides]
    found = [
        Route(control, own, labels[1][control], difference(own, labels[1][control]))
        for control, own in labels[0].items()
        if control in labels[1]
    ]
    probes = [
        [one for one in findings(side[side["arm"] == arm], arm) if one.question == "random search"]
        for side in sides
        if (arm := arm_of(side, PROBE, plain))
    ]
    return [*found, *([Route(PROBE, probes[0][0], probes[1][0])] if len(probes) == 2 and all(probes) else [])]


def _judge(found: list[Route], luck: Luck | None, recalled: Luck | None, is_fixed: bool) -> tuple[str, str]:
    """Return the kind, and in words why."""
    if recalled is not None and recalled.places <= LUCKY / LOOKS and recalled.numbers <= LUCKY:
        return CONTAMINATED, (
            "its bare name calls forth architectures that are better than with their positions exchanged "
            f"(p = {recalled.places:.2g}), which no liking for an operation explains"
        )
    labels = [route for route in found if route.gap is not None]
    if not labels:
        return CANNOT_TELL, "it takes an arm permuted-labels or anonymous on both tables, with the same seeds"
    if few := too_few([one for route in labels for one in (route.public, route.private)], is_fixed):
        return few
    answers = [route.answer for route in labels]
    is_luck = luck is not None and luck.numbers > LEVEL
    repeats = min(route.public.independent for route in labels) < LEAST_SEARCHES
    luck_text = "its architectures are no better there than the same ones under other numbers"
    if is_luck and repeats:
        return NO_SIGN, f"it names the same architectures in most searches, and {luck_text}"
    if "more" in answers:
        return CANNOT_TELL, (
            "names help it there by more than on the private one, which memory does, and a belief about networks that "
            f"fits that table too; {_ASK}"
        )
    if "everywhere" in answers and is_luck:
        return CANNOT_TELL, f"names help it on both tables, yet {luck_text}"
    if "everywhere" in answers:
        return EVERYWHERE, "names help it on a table that it cannot have seen, too"
    if repeats:
        return CANNOT_TELL, f"it names the same architectures in most searches, so that more say nothing new; {_ASK}"
    unclear = [route for route in labels if route.answer == UNCLEAR]
    if not unclear:
        return NO_SIGN, (
            f"what names are worth there, or worth more there than on the private one, is below a factor of {MARGIN:g}"
        )
    return NOT_ENOUGH, "; ".join(map(_open, unclear))


def _open(route: Route) -> str:
    """Return in words what a control leaves open, and about how many pairs would settle it."""
    pairs = min(searches_to_settle(one) for one in (route.public, route.gap) if one is not None)
    bounds = f"{ratio_text(max(route.public.bound_low, 0.0))} to {ratio_text(route.public.bound_high)}"
    return (
        f"whether names help more there ({route.control}) is open, as {bounds} times on the public table shows neither "
        f"a difference nor that it is below {MARGIN:g} (about {pairs:,} pairs may settle it)"
    )


def _numbers_of(route: Route, recalled: Luck | None) -> str:
    """Return the numbers of one control on both tables."""
    if route.gap is None:
        exchanged = f" (p = {recalled.places:.2g} of as good with positions exchanged)" if recalled else ""
        return (
            f"asked by the bare name, random search needs {_numbers(route.public)} times the evaluations of its "
            f"proposals on the public table{exchanged} and {_numbers(route.private)} times on the private one"
        )
    gap = route.gap
    return (
        f"{CONDITIONS[route.control]} the rank of a typical proposal is {_numbers(route.public)} times as high on the "
        f"public table and {_numbers(route.private)} times on the private one, {ratio_text(gap.ratio)} times as much "
        f"({ratio_text(gap.low)} to {ratio_text(gap.high)}, p = {gap.p_value:.2g})"
    )


def _numbers(one: Finding) -> str:
    ends = f"{ratio_text(max(one.low, 0.0))} to {ratio_text(one.high)}"
    return f"{ratio_text(one.ratio)} (95 % interval {ends}, n = {one.n})"


def _evidence(found: list[Route], tables: Tables, recalled: Luck | None) -> pd.DataFrame:
    import pandas as pd

    kept = ("n", "independent", "mean_rank", "mean_rank_arm", "ratio", "low", "high", "bound_low", "bound_high",
            "answer")  # fmt: skip
    rows = []
    for route in found:
        sides = zip(("public", "private", "difference"), (*tables, None), (route.public, route.private, route.gap),
                    strict=True)  # fmt: skip
        memory = route.gap.p_value if route.gap is not None else recalled.places if recalled else float("nan")
        for table, benchmark, one in sides:
            if one is not None:
                told = {name: getattr(one, name) for name in kept}
                rows.append({"control": route.control, "table": table, "benchmark": benchmark, **told,
                             "p_value": one.p_value, "p_memory": memory})  # fmt: skip
    return pd.DataFrame(rows, columns=["control", "table", "benchmark", *kept, "p_value", "p_memory"])
