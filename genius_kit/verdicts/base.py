"""Does the model search, or does it recite? One sentence on one study, with its numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from genius_kit.comparisons import LEAST_PAIRS, pairs_needed
from genius_kit.contrasts import LEVEL, MARGIN, Contrast, contrasts, own_share, plain_searches
from genius_kit.errors import InvalidParameter
from genius_kit.noise import QUANTILE

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.tabular import TabularBenchmark

SEARCHES, RECITES, LEANING = "searches", "recites", "searches and leans on the labels"
NEITHER, NOT_ENOUGH, CANNOT_TELL = "does neither", "not enough runs", "cannot tell"
KINDS = (SEARCHES, RECITES, LEANING, NEITHER, NOT_ENOUGH, CANNOT_TELL)

DECISIVE = 2.5
"""Standard errors that are significant in two to four tests corrected by Holm's rule (p = 0.0125)."""

ACCUSED = 0.01
"""The corrected p-value of the labels below which a model is said to recite: an accusation takes more than p < 0.05."""

_CLAIMS = {
    SEARCHES: "it uses its results and does not need the labels",
    RECITES: "it does not use its results and needs the labels",
    LEANING: "it uses its results and needs the labels too",
    NEITHER: "it does no better than random search, and neither its results nor the labels visibly matter",
}
_QUESTIONS = {
    "feedback": "it uses its results",
    "labels": "it needs the labels",
    "random search": "it beats random search",
}
_CONDITIONS = {
    "shuffled-feedback": "with its results shuffled",
    "no-feedback": "without results",
    "permuted-labels": "with permuted labels",
    "anonymous": "without names",
    "random": "for random search",
}
_RULES = {
    "coordinate-descent": "taking the largest option everywhere and changing one choice at a time",
    "prior": "taking the largest option everywhere, a single evaluation,",
}


@dataclass(frozen=True)
class Verdict:
    """What a study says: `sentence` to read aloud, `kind` one of KINDS, `evidence` one row a contrast.

    Columns of `evidence`: the fields of `contrasts.Contrast`, answer ("yes", "no", "unclear") and own_proposals, the
    part of the plain arm's evaluations that the model proposed itself.
    """

    sentence: str
    kind: str
    evidence: pd.DataFrame


def verdict(results: pd.DataFrame, *, plain: str = "llm", benchmark: TabularBenchmark | None = None) -> Verdict:
    """Return the verdict on the arm `plain` of one model, from its searches beside those of the control arms.

    `results` is the frame of `studies.results`, filtered to one model and prompt; several benchmarks are pooled, a
    pair being the same benchmark and seed. With `benchmark` the sentence has its title and the exact mean rank of
    random search.

    Feedback is used where shuffled results (else none) make ranks worse, labels matter where permuted or missing ones
    do, both with p < 0.05; either is absent only where the 95 % interval of the ratio stays below 2 (MARGIN).
    "searches": feedback, and labels that cost less than that. "searches and leans on the labels": feedback, and labels
    that cost more. "recites": labels, with p < 0.01 (ACCUSED), without feedback. "does neither": no gain over random
    search of 2 times the evaluations, and neither feedback nor labels show. "not enough runs": what intervals leave
    open, or so few pairs that no result could be significant. "cannot tell": a missing arm, or anything else. p-values
    are two-sided sign flips, corrected by Holm's rule over the contrasts with feedback, labels and random search. They
    take searches for independent: of a plain arm that cannot differ between seeds ("in every one of n") the n is no
    evidence.

    Raises InvalidParameter for results of several models, prompts or budgets, and repeated seeds.
    """
    import pandas as pd

    if benchmark is not None and list(results["benchmark"].unique()) != [benchmark.name]:
        raise InvalidParameter(f"the results are not of {benchmark.name} alone; filter them, or leave `benchmark` out")
    deciding, rules = contrasts(results, plain)
    kind, reason = _judge(deciding)
    share = own_share(results, plain)
    evidence = pd.DataFrame([{**asdict(one), "answer": one.answer, "own_proposals": share} for one in deciding + rules])
    subject, place = _subject(results, plain), _place(results, benchmark)
    parts = [f"{subject} {_verb(kind)} on {place}: {reason}"]
    parts += [_numbers(deciding, _expected(results, plain, benchmark))] if any(one.n for one in deciding) else []
    parts += [_rule(one) for one in rules if one.n]
    own = f" (only {100 * share:.0f} % of the evaluations were the model's own proposals)" if share < 0.5 else ""
    return Verdict("; ".join(parts) + own + ".", kind, evidence)


def _judge(deciding: list[Contrast]) -> tuple[str, str]:
    """Return the kind, and in words why."""
    feedback = [one for one in deciding if one.question == "feedback"]
    labels = [one for one in deciding if one.question == "labels"]
    random = [one for one in deciding if one.question == "random search"]
    if not feedback or not labels:
        needed = [*([] if feedback else ["shuffled-feedback"]), *([] if labels else ["permuted-labels"])]
        return CANNOT_TELL, f"it takes an arm {' and an arm '.join(needed)} with the same seeds"
    fewest, least = min(one.n for one in feedback + labels), pairs_needed(len(deciding))
    if fewest < least:
        return NOT_ENOUGH, (
            f"{fewest} {'pair' if fewest == 1 else 'pairs'} of searches cannot reach p < {LEVEL} in {len(deciding)} "
            f"tests however they end, at least {least} are needed"
        )
    kind = _kind(feedback[0], labels, random)
    if kind in _CLAIMS:
        small = kind in (SEARCHES, LEANING) and feedback[0].is_small
        return kind, _CLAIMS[kind] + (f" (the gain from its results is below a factor of {MARGIN:g})" if small else "")
    if kind == NOT_ENOUGH:
        open_ones = [one for one in (*feedback, *labels, *random) if one.answer == "unclear"]
        return kind, "; ".join([*_unproven(feedback[0], labels), *map(_open, open_ones)])
    return kind, _unexplained(feedback[0], random)


def _unexplained(feedback: Contrast, random: list[Contrast]) -> str:
    """Return in words why clear answers make no verdict, and what would."""
    if feedback.answer == "yes":
        return "its results make a difference and yet it does no better than random search; more evaluations may tell"
    if random:
        return (
            "it beats random search and yet needs neither its results nor the labels; it takes a benchmark that it "
            "cannot know"
        )
    return "it needs neither its results nor the labels, and whether it beats random search takes an arm random"


def _kind(feedback: Contrast, labels: list[Contrast], random: list[Contrast]) -> str:
    """Return the kind where every contrast has enough pairs to decide."""
    matters = any(one.answer == "yes" for one in labels)
    no_better_than_random = any(one.answer == "no" for one in random)
    if feedback.answer == "yes" and no_better_than_random:
        return CANNOT_TELL
    if feedback.answer == "yes" and all(one.is_small for one in labels):
        return SEARCHES
    if feedback.answer == "yes" and matters:
        return LEANING
    if feedback.answer == "no" and matters:
        return NOT_ENOUGH if _unproven(feedback, labels) else RECITES
    if no_better_than_random and not matters:
        return NEITHER
    return NOT_ENOUGH if "unclear" in [one.answer for one in (feedback, *labels, *random)] else CANNOT_TELL


def _unproven(feedback: Contrast, labels: list[Contrast]) -> list[str]:
    """Return in words why labels that matter without feedback are no proof of recital yet; nothing where they are."""
    found = [one for one in labels if one.answer == "yes"]
    if feedback.answer != "no" or not found or min(one.p_corrected for one in found) < ACCUSED:
        return []
    best = min(found, key=lambda one: one.p_corrected)
    return [
        f"whether it recites is open, as to say so takes labels that matter with p < {ACCUSED}, and p = "
        f"{best.p_corrected:.2g} (about {2 * best.n:,} pairs may settle it)"
    ]


def _open(contrast: Contrast) -> str:
    """Return in words that the contrast decides nothing, and about how many pairs would."""
    return (
        f"whether {_QUESTIONS[contrast.question]} is open, as p = {contrast.p_corrected:.2g} and a ratio of "
        f"{interval_text(contrast)} show neither a difference nor that it is below {MARGIN:g} (about "
        f"{pairs_to_settle(contrast):,} pairs may settle it)"
    )


def pairs_to_settle(contrast: Contrast) -> int:
    """Return about how many pairs would decide, if the ratio stayed what it is and its interval shrank with root n.

    Either the ratio is then significant (`DECISIVE` standard errors above 1), or the interval is too narrow to hold
    both 1 and MARGIN; the fewer of the two.
    """
    width = math.log(contrast.high / max(contrast.low, 1e-9))
    narrow = contrast.n * (width / math.log(MARGIN)) ** 2
    effect, error = math.log(contrast.ratio), width / (2 * QUANTILE)
    clear = contrast.n * (DECISIVE * error / effect) ** 2 if effect > 0 else math.inf
    return max(contrast.n + 1, math.ceil(min(narrow, clear)))


def _numbers(deciding: list[Contrast], expected: str) -> str:
    """Return mean ranks, ratios, intervals and p-values of every contrast that has pairs."""
    shown = [one for one in deciding if one.n]
    arms = [one for one in shown if not math.isnan(one.mean_rank_arm)]
    exact = [one for one in shown if math.isnan(one.mean_rank_arm)]
    beside = [*map(_beside, arms), *([expected] if expected else [])]
    against = f", against {', '.join(beside)}" if beside else ""
    left_out = max(one.left_out for one in shown)
    note = f" ({left_out} without a rank or a partner left out)" if left_out else ""
    tested = sum(one.n >= LEAST_PAIRS for one in shown)
    return "; ".join(
        [
            f"mean rank {_rank(shown[0].mean_rank)} {_over(shown[0])}{note}{against}",
            *(f"random search needs {ratio_text(one.ratio)} times the evaluations{_tested(one, '')}" for one in exact),
            *([f"p-values are corrected for {tested} tests by Holm's rule"] if tested > 1 else []),
        ]
    )


def _over(contrast: Contrast) -> str:
    searches = f"n = {contrast.n} {'pair' if contrast.n == 1 else 'pairs'} of searches"
    return f"in every one of {searches}" if contrast.n > 1 and contrast.always_the_same else f"over {searches}"


def _beside(contrast: Contrast) -> str:
    condition = _CONDITIONS.get(contrast.kind, f"for {contrast.arm}")
    return f"{_rank(contrast.mean_rank_arm)} {condition}{_tested(contrast, f'ratio {ratio_text(contrast.ratio)}, ')}"


def _tested(contrast: Contrast, ratio: str) -> str:
    if contrast.n < LEAST_PAIRS:
        return ""
    return f" ({ratio}95 % interval {interval_text(contrast)}, p = {contrast.p_corrected:.2g})"


def _expected(results: pd.DataFrame, plain: str, benchmark: TabularBenchmark | None) -> str:
    """Return the exact mean rank of random search in words, empty without a benchmark."""
    if benchmark is None:
        return ""
    from genius_kit.statistics import RandomSearch

    rows = results[results["arm"] == plain]
    budget = int(rows["budget" if "budget" in rows else "evaluations"].max())
    rank = RandomSearch(benchmark.scores()).expected_best_rank(budget)
    return f"{_rank(rank)} for {budget} random evaluations"


def _rule(contrast: Contrast) -> str:
    """Return in words how a cheap rule does beside the plain arm; its p-value is not part of the verdict."""
    if contrast.p_value < LEVEL:
        how = "does worse" if contrast.ratio > 1 else "does better"
    elif contrast.low > 1 / MARGIN and contrast.high < MARGIN:
        how = "does as well"
    else:
        how = "cannot be told from it"
    rule = _RULES.get(contrast.kind, contrast.arm)
    ranks = f"rank {_rank(contrast.mean_rank_arm)} against {_rank(contrast.mean_rank)}"
    return f"{rule} {how} ({ranks}, p = {contrast.p_value:.2g})"


def _subject(results: pd.DataFrame, plain: str) -> str:
    rows = results[results["arm"] == plain]
    models = list(rows["model"].dropna().unique()) if "model" in rows else []
    return str(models[0]) if models else plain


def _place(results: pd.DataFrame, benchmark: TabularBenchmark | None) -> str:
    if benchmark is not None:
        return benchmark.title
    names = [str(name) for name in results["benchmark"].unique()]
    return names[0] if len(names) == 1 else f"{len(names)} benchmarks together"


def _verb(kind: str) -> str:
    return {NOT_ENOUGH: "has not enough runs for a verdict", CANNOT_TELL: "has no verdict"}.get(kind, kind)


def interval_text(contrast: Contrast) -> str:
    """Return the interval of a contrast as sentences print it: "1.20 to 3.4"."""
    return f"{ratio_text(contrast.low)} to {ratio_text(contrast.high)}"


def _rank(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_text(value: float) -> str:
    """Return a ratio to about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def each_verdict(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict for each benchmark, model and prompt of a study that has the plain arm and a control of it."""
    plain = results[plain_searches(results)]
    found = []
    for (benchmark, model, prompt), own in plain.groupby(["benchmark", "model", "prompt"], sort=False):
        others = results["model"].isna() | ((results["model"] == model) & (results["prompt"] == prompt))
        rows = results[(results["benchmark"] == benchmark) & others]
        arm = own["arm"].iloc[0]
        if rows["control"].notna().any():
            found.append(verdict(rows[(rows["budget"] == own["budget"].iloc[0])], plain=arm))
    return found
