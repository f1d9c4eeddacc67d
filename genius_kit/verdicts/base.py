"""What every verdict shares: its shape and words, arms paired by benchmark and seed, each pair of arms a contrast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks.noise import QUANTILE
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import WARM
from genius_kit.proposers.methods import counted_once, fixed_arms, shown_model
from genius_kit.stats.paired import LEAST_PAIRS, compare, holm_of
from genius_kit.studies.results import plain_searches
from genius_kit.verdicts.headlines import CHEAP_RULE, OWN_START
from genius_kit.verdicts.judged import Judged

if TYPE_CHECKING:
    import pandas as pd


SEARCHES, RECITES, LEANING = "searches", "recites", "searches and leans on the labels"
NEITHER, NOT_ENOUGH, CANNOT_TELL = "does neither", "not enough runs", "cannot tell"
KINDS = (SEARCHES, RECITES, LEANING, NEITHER, NOT_ENOUGH, CANNOT_TELL)

DECISIVE = 2.5
"""Standard errors that are significant in two to four tests corrected by Holm's rule (p = 0.0125)."""

FEEDBACK = ("shuffled-feedback", "no-feedback")
"""The controls that take the results away; the first one present is compared."""

LABELS = ("permuted-labels", "anonymous")
"""The controls that change what the options are called; each one present is compared."""

CHEAP = ("coordinate-descent", "prior")
"""The rules that cost no model; each one present is compared."""

MARGIN = 2.0
"""A factor in rank below which a difference counts as none: what twice as many random evaluations are worth."""

LEVEL = 0.05

Key = tuple[str, int]
"""A benchmark and a seed: what makes two searches a pair."""


@dataclass(frozen=True, repr=False)
class Verdict(Judged):
    """What a study says. None stands where an instrument does not ask.

    Parameters
    ----------
    sentence
        The verdict with its numbers, to read aloud.
    kind
        One of the kinds of its instrument.
    evidence
        One row per comparison.
    uses_results, needs_names
        The two answers behind the kind: "yes", "to its harm", "less than X" or "inconclusive".
    memory
        What its list shows where it recites.
    knows_table
        What the questions on the table's accuracies say, one of `memory.KINDS`; decides no kind.
    method
        Whose searches are judged, where a study gives one verdict per method.
    """

    sentence: str
    kind: str
    evidence: pd.DataFrame
    uses_results: str | None = None
    needs_names: str | None = None
    memory: str | None = None
    knows_table: str | None = None
    method: str | None = None

    def with_questions(self, answers: Verdict) -> Verdict:
        """Return the verdict with that of `memory.memory` on the same model and table beside it.

        Parameters
        ----------
        answers
            The verdict of `memory.memory`.
        """
        return replace(self, sentence=f"{self.sentence} {answers.sentence}", knows_table=answers.kind)


def pairs_to_settle(contrast: Contrast) -> int:
    """Return about how many pairs would decide, if the ratio stayed what it is and its interval shrank with root n.

    Either the ratio is then significant (`DECISIVE` standard errors above 1), or the interval is too narrow to hold
    both 1 and MARGIN; the fewer of the two.

    Parameters
    ----------
    contrast
        The comparison that is open.
    """
    width = math.log(contrast.high / max(contrast.low, 1e-9))
    narrow = contrast.n * (width / math.log(MARGIN)) ** 2
    effect, error = math.log(contrast.ratio), width / (2 * QUANTILE)
    clear = contrast.n * (DECISIVE * error / effect) ** 2 if effect > 0 else math.inf
    return max(contrast.n + 1, math.ceil(min(narrow, clear)))


def verb(kind: str) -> str:
    """Return what a model does, as a sentence says it."""
    return {NOT_ENOUGH: "has not enough runs for a verdict", CANNOT_TELL: "has no verdict"}.get(kind, kind)


def rank_text(value: float) -> str:
    """Return a rank as sentences print it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_text(value: float) -> str:
    """Return a ratio to about three digits.

    Parameters
    ----------
    value
        The ratio.
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def counts_text(counts: Iterable[int]) -> str:
    """Return counts in words: the one that all are, or "4 to 9"."""
    known = sorted(set(map(int, counts)))
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


@dataclass(frozen=True)
class Contrast:
    """One arm beside the reference arm: `ratio` is its rank over that arm's, above 1 where that is better.

    It is a geometric mean over `n` pairs, with the 95 % interval `low` to `high`. `kind` is the control or proposer of
    `arm`, which may have a name of its own. `left_out` counts searches without a rank or a partner; `always_the_same`
    says whether the reference arm ended at one rank every time. `p_corrected` is Holm's, NaN outside a verdict; NaN
    also stands for what fewer than two pairs cannot give. `is_fixed` says that the searches of one of the arms are one
    search (see `fixed_rules`), so that they are one pair.
    """

    question: str
    kind: str
    arm: str
    n: int
    left_out: int
    mean_rank: float
    always_the_same: bool
    mean_rank_arm: float
    ratio: float
    low: float
    high: float
    p_value: float
    p_corrected: float = float("nan")
    is_fixed: bool = False

    @property
    def answer(self) -> str:
        """ "yes": the reference arm is better, and significantly; "no": not by MARGIN, at 95 %; else "unclear"."""
        if self.p_corrected < LEVEL and self.ratio > 1:
            return "yes"
        return "no" if self.is_small else "unclear"

    @property
    def is_small(self) -> bool:
        """Whether the interval rules out that the reference arm is better by MARGIN."""
        return self.high < MARGIN


def cheap_rules(results: pd.DataFrame, plain: str) -> list[Contrast]:
    """Return the contrast with each rule that costs no model, and each optimiser that begins with its proposals.

    A rule that was run once per table is set beside all searches; `kind` is the proposer.
    """
    own = by_search(results, plain)
    rules = [(kind, arm) for kind in CHEAP if (arm := arm_of(results, kind, plain))]
    found = [_contrast(CHEAP_RULE, kind, arm, own, _spread(by_search(results, arm), own)) for kind, arm in rules]
    if "proposer" not in results:
        return found
    begun = results.loc[results["proposer"].isin(WARM), ["proposer", "arm"]].drop_duplicates()
    return found + [
        _contrast(OWN_START, kind, arm, own, by_search(results, arm))
        for kind, arm in begun.itertuples(index=False, name=None)
    ]


def beside(results: pd.DataFrame, plain: str, arms: Mapping[str, str], question: str) -> list[Contrast]:
    """Return the contrast of each of `arms` with the arm `plain`, corrected by Holm's rule over those that have pairs.

    `arms` maps the name of an arm to what it is (its kind). `results` is the frame of `studies.results` for one model
    and one prompt; a search without a `reason` is unfinished. Raises InvalidParameter for missing columns and arms,
    several models, prompts or budgets, and repeated seeds.
    """
    _check_columns(results, plain)
    _check_alike(results[results["arm"].isin([plain, *arms])])
    results = counted_once(results)
    own = by_search(results, plain)
    found = [_contrast(question, kind, arm, own, by_search(results, arm)) for arm, kind in arms.items()]
    corrected, fixed = holm_of({one.arm: one.p_value for one in found}), fixed_arms(results)
    found = [replace(one, p_corrected=corrected.get(one.arm, math.nan)) for one in found]
    # the other searches of a fixed arm are not left out, they are one
    return [replace(one, is_fixed=True, left_out=0) if fixed & {plain, one.arm} else one for one in found]


def conditions(results: pd.DataFrame, *more: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the plain searches of each benchmark, model, prompt (and `more` columns), and all that stand beside them.

    Those are the searches of the same benchmark and budget, by the same model and prompt or by no model.
    """
    keys = ["benchmark", "model", "prompt", *more]
    for (benchmark, model, prompt, *_), own in results[plain_searches(results)].groupby(keys, sort=False):
        same = results["model"].isna() | ((results["model"] == model) & (results["prompt"] == prompt))
        here = (results["benchmark"] == benchmark) & (results["budget"] == own["budget"].iloc[0])
        yield own, results[here & same]


def own_share(results: pd.DataFrame, plain: str) -> float:
    """Return which part of the reference arm's evaluations the model proposed, 0 to 1; NaN where nothing says."""
    if not {"model_proposals", "evaluations"} <= set(results.columns):
        return float("nan")
    sums = results.loc[results["arm"] == plain, ["model_proposals", "evaluations"]].astype(float).sum()
    return float(sums["model_proposals"] / sums["evaluations"]) if sums["evaluations"] else float("nan")


def model_of(results: pd.DataFrame, arm: str) -> str | None:
    """Return the model that an arm asks, as it is shown; None where the results do not name one."""
    models = list(results.loc[results["arm"] == arm, "model"].dropna().unique()) if "model" in results else []
    return shown_model(str(models[0])) if len(models) else None


def check(results: pd.DataFrame, plain: str) -> None:
    """Raise InvalidParameter for missing columns, no arm `plain`, and arms of several models, prompts or budgets."""
    _check_columns(results, plain)
    controls = [arm_of(results, control, plain) for control in (*FEEDBACK, *LABELS)]
    _check_alike(results[results["arm"].isin([plain, *(arm for arm in controls if arm)])])


def _check_columns(results: pd.DataFrame, plain: str) -> None:
    missing = [column for column in ("benchmark", "arm", "seed", "rank") if column not in results]
    if missing:
        raise InvalidParameter(f"the results have no column {', '.join(missing)}; give the frame of studies.results")
    arms = list(dict.fromkeys(results["arm"]))
    if plain not in arms:
        raise InvalidParameter(f"no arm is called {plain!r}; the results have {', '.join(map(str, arms)) or 'none'}")


def _check_alike(rows: pd.DataFrame) -> None:
    for column in ("model", "prompt", "budget"):
        values = list(rows[column].dropna().unique()) if column in rows else []
        if len(values) > 1:
            raise InvalidParameter(
                f"the results are of several: {column} is {', '.join(map(str, values))}; keep one of them"
            )


def arm_of(results: pd.DataFrame, kind: str, plain: str) -> str | None:
    """Return the name of the arm of one control or proposer, None where there is none; several are refused."""
    columns = [column for column in ("arm", "control", "proposer") if column in results]
    is_kind = (results[columns] == kind).any(axis=1)
    arms = [str(arm) for arm in results[is_kind]["arm"].unique() if arm != plain]
    if len(arms) > 1:
        raise InvalidParameter(f"the arms {', '.join(arms)} are all {kind}; keep one of them")
    return arms[0] if arms else None


def by_search(results: pd.DataFrame, arm: str, column: str = "rank") -> dict[Key, float]:
    """Return the rank of each search of one arm, by benchmark and seed; NaN where it has none or is unfinished."""
    needed = [name for name in ("benchmark", "seed", column, "reason") if name in results]
    rows = results.loc[results["arm"] == arm, needed]
    values = rows[column].astype(float)
    if "reason" in rows:
        values = values.where(rows["reason"].notna())
    found: dict[Key, float] = {}
    for benchmark, seed, value in zip(rows["benchmark"], rows["seed"], values, strict=True):
        if (benchmark, seed) in found:
            raise InvalidParameter(f"arm {arm} has seed {seed} on {benchmark} more than once; keep one of them")
        found[benchmark, seed] = float(value)
    return found


def _spread(rule: dict[Key, float], own: dict[Key, float]) -> dict[Key, float]:
    """Return the ranks of a rule for every search of the reference arm, where it was run once per benchmark only."""
    once = {benchmark: rank for (benchmark, _), rank in rule.items()}
    return {key: once[key[0]] for key in own if key[0] in once} if len(once) == len(rule) else rule


def _contrast(question: str, kind: str, arm: str, own: dict[Key, float], other: dict[Key, float]) -> Contrast:
    pairs = [(own[key], other[key]) for key in own if key in other and own[key] > 0 and other[key] > 0]
    measured: dict[str, Any] = dict.fromkeys(("ratio", "low", "high", "p_value"), float("nan"))
    if len(pairs) >= LEAST_PAIRS:
        found = compare([rank for _, rank in pairs], [rank for rank, _ in pairs])
        measured = {"ratio": found.ratio, "low": found.ratio_low, "high": found.ratio_high, "p_value": found.p_value}
    return Contrast(
        question,
        kind,
        arm,
        n=len(pairs),
        left_out=len(own.keys() | other.keys()) - len(pairs),
        mean_rank=mean_of([rank for rank, _ in pairs]),
        always_the_same=len({rank for rank, _ in pairs}) == 1,
        mean_rank_arm=mean_of([rank for _, rank in pairs]),
        **measured,
    )


def mean_of(ranks: Sequence[float]) -> float:
    """Return the mean rank, NaN of none."""
    return sum(ranks) / len(ranks) if ranks else math.nan
