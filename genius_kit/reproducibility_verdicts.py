"""Is a model reproducible? One sentence on one condition, with its numbers and those of the paper's trials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from genius_kit.agreement import Match, match_rate, other_answer, repeats_needed, smallest_relabelling_p
from genius_kit.benchmarks.catalogue import title_of
from genius_kit.errors import InvalidParameter
from genius_kit.method_names import subject
from genius_kit.paper import TRIAL_TABLES
from genius_kit.repeats import VARIED, Given, Repeats, as_repeats, read_repeats
from genius_kit.reproducibility import OF, drift, first_match, paper_firsts
from genius_kit.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

DETERMINISTIC, WORDS_ONLY = "deterministic", "repeats its proposals but not its words"
VARIES, DRIFTS, NOT_ENOUGH = "varies", "drifts", "not enough runs"
KINDS = (DETERMINISTIC, WORDS_ONLY, VARIES, DRIFTS, NOT_ENOUGH)

CHANCE = 0.3
"""The chance of another answer that equal answers have to rule out before they count as a finding."""

LEAST = repeats_needed(CHANCE)
"""Searches that a verdict takes: so many equal answers leave a chance of another one of at most CHANCE."""

LEVEL = 0.05

_VERBS = {
    DETERMINISTIC: "is deterministic",
    NOT_ENOUGH: "has not enough runs for a verdict",
}


def verdict(source: Given | Repeats) -> Verdict:
    """Return the verdict on one condition: does the same request get the same reply?

    "deterministic": every two replies to the same request are alike, word for word. "repeats its proposals but not its
    words": every two propose the same design. "varies": some do not. "drifts": the first designs or the ranks of the
    best differ between days by more than within them (relabelled days, p < 0.05 by Holm's rule). "not enough runs":
    fewer than LEAST searches, or days that differ where too few searches a day could tell that from chance.
    `evidence` has one row a measure, with n, pairs, rate, low and high, or the p-values of a test between days.

    Raises InvalidParameter for several conditions, which it names (`each_verdict` takes those), and where no request
    was sent twice.
    """
    groups = [source] if isinstance(source, Repeats) else as_repeats(source)
    if len(groups) > 1:
        names = ", ".join(f"{one.arm} on {one.benchmark} (n = {len(one.searches)})" for one in groups)
        raise InvalidParameter(f"{len(groups)} conditions came: {names}; take the searches of one, or each_verdict")
    return _verdict(groups[0])


def each_verdict(source: Given) -> list[Verdict]:
    """Return the verdict on each condition, in the order of its searches."""
    return [_verdict(one) for one in as_repeats(source)]


def study_verdicts(results: pd.DataFrame) -> list[Verdict]:
    """Return `each_verdict` of the results of a study that compares temperatures or seeds of requests; else none."""
    journals = results.loc[(results["proposer"] == "llm") & results["control"].isna(), "journal"].dropna()
    try:
        groups = read_repeats(list(journals))
    except InvalidParameter:
        return []
    settings = [search.run.settings["settings"] for one in groups for search in one.searches]
    several = {json.dumps([told.get(name) for name in VARIED]) for told in settings}
    return each_verdict(groups) if len(several) > 1 else []


def verdict_table(source: Given) -> pd.DataFrame:
    """Return one row a condition: arm, kind, sentence."""
    import pandas as pd

    groups = as_repeats(source)
    found = [(one.arm, said.kind, said.sentence) for one in groups for said in [_verdict(one)]]
    return pd.DataFrame(found, columns=["arm", "kind", "sentence"])


def _verdict(repeats: Repeats) -> Verdict:
    import pandas as pd

    matches = {of: match_rate(*repeats.alike(of)) for of in OF}
    firsts = {of: first_match(repeats, of) for of in OF}
    days = drift(repeats)
    kind, reason = _judge(repeats, matches, days)
    rows = [{"measure": f"{of}, first request", **vars(firsts[of])} for of in OF]
    rows += [{"measure": f"{of}, every shared request", **vars(matches[of])} for of in OF]
    evidence = pd.DataFrame(rows)
    if len(days):
        evidence = pd.concat([evidence, days.assign(measure=days["measure"] + ", between days")], ignore_index=True)
    told = [f"{_subject(repeats)} {_VERBS.get(kind, kind)} on {_place(repeats)}: {reason}"]
    told += [_numbers(repeats, matches, firsts), *_days(days), *_ranks(repeats), *_paper(repeats)]
    return Verdict("; ".join(told) + ".", kind, evidence)


def _judge(repeats: Repeats, matches: dict[str, Match], days: pd.DataFrame) -> tuple[str, str]:
    """Return the kind, and in words why."""
    n = len(repeats.searches)
    if n < LEAST:
        return NOT_ENOUGH, (
            f"{n} {'search' if n == 1 else 'searches'}, however alike, leave a chance of "
            f"{other_answer(n):.2f} that a reply is another one; {LEAST} leave less than {CHANCE:g}"
        )
    shifted = days[days["p_corrected"] < LEVEL] if len(days) else days
    if len(shifted):
        return DRIFTS, f"between {' and '.join(_spelled(repeats))} its answers change by more than within a day"
    if matches["words"].rate == 1:
        return DETERMINISTIC, "the same request got the same reply, word for word"
    if matches["designs"].rate == 1:
        return WORDS_ONLY, "the same request got the same design in other words"
    if needed := _too_few_a_day(repeats):
        return NOT_ENOUGH, (
            "its replies differ between days and not within one, which so few searches a day cannot tell from chance; "
            f"{needed} on each of two days can"
        )
    return VARIES, "the same request got different designs"


def _too_few_a_day(repeats: Repeats) -> int:
    """Return how many searches a day would do where designs differ between days only, and no test can tell; else 0."""
    days, designs = repeats.days, repeats.first_said("designs")
    sizes = [days.count(day) for day in set(days)]
    if len(sizes) < 2 or 2 * smallest_relabelling_p(sizes) < LEVEL:
        return 0
    by_day = {day: {design for one, design in zip(days, designs, strict=True) if one == day} for day in days}
    if any(len(said) > 1 for said in by_day.values()) or len(set(designs)) == 1:
        return 0
    return next(size for size in range(2, 64) if 2 * smallest_relabelling_p([size, size]) < LEVEL)


def _spelled(repeats: Repeats) -> list[str]:
    return [f"{day} (n = {repeats.days.count(day)})" for day in sorted(set(repeats.days))]


def _numbers(repeats: Repeats, matches: dict[str, Match], firsts: dict[str, Match]) -> str:
    n, first = len(repeats.searches), firsts["designs"]
    distinct = len(set(repeats.first_said("designs")))
    pairs = n * (n - 1) // 2
    together = repeats.together()
    ends = max(len(one.designs) for one in repeats.searches)
    whole = int((together >= ends).sum() - sum(len(one.designs) >= ends for one in repeats.searches)) // 2
    return (
        f"n = {n} searches, whose replies to the first request name {distinct} "
        f"{'design' if distinct == 1 else 'different designs'}, the same one in {_rate(first)} of pairs; over all "
        f"{matches['words'].pairs:,} pairs of replies to one request {_rate(matches['designs'])} have the same design "
        f"and {_rate(matches['words'])} the same words; {whole} of {pairs} pairs of searches are the same in all "
        f"{ends} designs"
    )


def _rate(match: Match) -> str:
    return f"{match.rate:.2f} (95 % interval {match.low:.2f} to {match.high:.2f})"


def _days(days: pd.DataFrame) -> list[str]:
    if not len(days):
        return []
    tests = ", ".join(f"{row['measure']} p = {row['p_corrected']:.2g}" for row in days.to_dict("records"))
    return [f"between {days['days'].iloc[0]} days: {tests}, corrected by Holm's rule ({days['served'].iloc[0]})"]


def _ranks(repeats: Repeats) -> list[str]:
    import numpy as np

    ranks = repeats.ranks
    if len(ranks) < 2:
        return []
    if min(ranks) == max(ranks):
        return [f"best rank {_rank(ranks[0])} in every one"]
    spread = float(np.std(ranks, ddof=1))
    low, high = _rank(min(ranks)), _rank(max(ranks))
    return [f"best rank {_rank(float(np.mean(ranks)))}, standard deviation {_rank(spread)}, from {low} to {high}"]


def _paper(repeats: Repeats) -> list[str]:
    """Return what the paper's trials on the benchmark say, in words; nothing where it has none."""
    from genius_kit.benchmarks.catalogue import recorded_benchmark
    from genius_kit.paper import paper_methods, summary

    if repeats.benchmark not in TRIAL_TABLES:
        return []
    shares = paper_firsts(repeats.benchmark)
    told = []
    for name, trials in paper_methods(recorded_benchmark(repeats.searches[0].run.settings)).items():
        row = summary(name, trials)
        told.append(
            f"{name}: n = {row['runs']} trials begin at one accuracy in {shares[name]:.2f} of pairs, best rank "
            f"{_rank(row['rank'])}, standard deviation {_rank(row['rank_std'])}"
        )
    return told


def _rank(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _subject(repeats: Repeats) -> str:
    return subject(repeats.arm if repeats.arm.startswith(repeats.model) else f"{repeats.model}, {repeats.arm},")


def _place(repeats: Repeats) -> str:
    return title_of(repeats.benchmark)
