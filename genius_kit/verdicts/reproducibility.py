"""Does a model say the same again? Repeated searches compared: words, architectures, best ranks, days, settings.

Everything is read from journals: `studies/reproducibility`, or any searches that begin with the same request.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks.catalogue import recorded_benchmark, title_of
from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.paper import TRIAL_TABLES, ours_beside_paper, paper_label, paper_methods, paper_table, summary
from genius_kit.proposers.methods import subject
from genius_kit.runs.provenance import marked
from genius_kit.stats.agreement import (
    Match,
    difference_p,
    match_rate,
    other_answer,
    relabelling_p,
    repeats_needed,
    resampled_rates,
    smallest_relabelling_p,
)
from genius_kit.stats.paired import holm
from genius_kit.verdicts.base import LEVEL, NOT_ENOUGH, Verdict, rank_text, verb
from genius_kit.verdicts.repeats import VARIED, Given, Repeats, as_repeats, read_repeats

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.journal import Run


DETERMINISTIC, WORDS_ONLY = "deterministic", "repeats its proposals but not its words"
VARIES, DRIFTS = "varies", "drifts"
KINDS = (DETERMINISTIC, WORDS_ONLY, VARIES, DRIFTS, NOT_ENOUGH)

OF = ("words", "designs")
"""What is compared: the reply's text as it came, or the architecture that it proposes."""

CHANCE = 0.3
"""The chance of another answer that equal answers have to rule out before they count as a finding."""

LEAST = repeats_needed(CHANCE)
"""Searches that a verdict takes: so many equal answers leave a chance of another one of at most CHANCE."""

EFFECTS = (
    "changed", "first", "second", "n", "other_n", "rate", "other_rate", "difference", "low", "high", "p_value",
)  # fmt: skip


def conditions(source: Given) -> pd.DataFrame:
    """Return one row per condition: n searches, how alike their replies are, and the spread of the best found.

    Parameters
    ----------
    source
        Repeated searches, as `repeats.as_repeats` takes them.

    Returns
    -------
    pd.DataFrame
        `words` and `designs` are the rates at which two replies to the same request are alike, over all requests that
        two searches share, with 95 % intervals; `first_words` and `first_designs` those of the first request alone,
        `distinct` and `entropy` (bits) the different architectures that answered it. `together` is how many
        architectures two searches have in common from the start, on average; `days` how many days the searches are of;
        mean_rank to worst_rank are of the best architecture.
    """
    import pandas as pd

    groups = as_repeats(source)
    return marked(pd.DataFrame([_condition(one) for one in groups]), _runs(groups))


def _condition(repeats: Repeats) -> dict[str, Any]:
    designs, ranks = repeats.first_said("designs"), repeats.ranks
    counts = np.unique(designs, return_counts=True)[1]
    shares = counts / counts.sum()
    together = repeats.together()
    n = len(repeats.searches)
    return {
        "benchmark": repeats.benchmark,
        "arm": repeats.arm,
        "model": repeats.model,
        **{name: repeats.varied(name) for name in VARIED},
        "n": n,
        "days": len(set(repeats.days)),
        **_rates(repeats),
        "distinct": len(counts),
        "entropy": abs(float(-(shares * np.log2(shares)).sum())),
        "together": float(together[np.triu_indices(n, 1)].mean()) if n > 1 else None,
        "mean_rank": float(np.mean(ranks)) if ranks else None,
        "sd_rank": float(np.std(ranks, ddof=1)) if len(ranks) > 1 else None,
        "best_rank": min(ranks, default=None),
        "worst_rank": max(ranks, default=None),
    }


def _rates(repeats: Repeats) -> dict[str, float]:
    found: dict[str, float] = {}
    for of in OF:
        first, shared = first_match(repeats, of), match_rate(*repeats.alike(of))
        found |= {f"first_{of}": first.rate, f"first_{of}_low": first.low, f"first_{of}_high": first.high}
        found |= {of: shared.rate, f"{of}_low": shared.low, f"{of}_high": shared.high}
    return found


def first_match(repeats: Repeats, of: str) -> Match:
    """Return how often two replies to the first request are alike.

    Parameters
    ----------
    repeats
        The searches of one condition.
    of
        "words" or "architectures".
    """
    return match_rate(equal(repeats.first_said(of)))


def equal(answers: Sequence[Any]) -> np.ndarray:
    """Return which answers are equal, shape (k, k).

    Parameters
    ----------
    answers
        The k answers.
    """
    values = np.asarray(answers, dtype=object)
    same: np.ndarray = values[:, None] == values[None, :]
    return same


def by_iteration(source: Given) -> pd.DataFrame:
    """Return one row per condition and iteration in which the model was asked.

    Parameters
    ----------
    source
        Repeated searches, as `repeats.as_repeats` takes them.

    Returns
    -------
    pd.DataFrame
        `together` is the share of pairs of searches whose architectures are the same from the start up to this
        iteration, `low` to `high` its 95 % interval over `n` searches; `words` and `designs` are the rates over the
        `pairs` that sent the same request in it (NaN where none did).
    """
    import pandas as pd

    rows, groups = [], as_repeats(source)
    for repeats in groups:
        length = max(len(one.designs) for one in repeats.searches)
        together = repeats.together()
        for iteration in range(repeats.first_iteration, length + 1):
            so_far = match_rate(together >= iteration)
            rates = {of: match_rate(*repeats.alike(of, iteration)) for of in OF}
            rows.append(
                {
                    "arm": repeats.arm,
                    "iteration": iteration,
                    "n": len(repeats.searches),
                    "together": so_far.rate,
                    "low": so_far.low,
                    "high": so_far.high,
                    "pairs": rates["words"].pairs,
                    **{of: rate.rate for of, rate in rates.items()},
                }
            )
    return marked(pd.DataFrame(rows), _runs(groups))


def _runs(groups: Sequence[Repeats]) -> list[Run]:
    return [one.run for repeats in groups for one in repeats.searches]


def drift(repeats: Repeats) -> pd.DataFrame:
    """Return one row per test of whether the days of the searches differ: the first architecture, the rank of the best.

    Days are relabelled; the frame is empty for searches of one day, and of days with one search each.

    Parameters
    ----------
    repeats
        The searches of one condition.

    Returns
    -------
    pd.DataFrame
        measure, days, n, p_value, p_corrected (Holm's rule), and the models and builds that were served on each day.
    """
    import pandas as pd

    days, first = repeats.days, repeats.first_said("designs")
    columns = ["measure", "days", "n", "p_value", "p_corrected", "served"]
    if len(set(days)) < 2 or len(set(days)) == len(days):
        return pd.DataFrame(columns=columns)
    tests = [("first design", relabelling_p(~equal(first), days), len(days))]
    ranked = [(one.rank, one.day) for one in repeats.searches if one.rank is not None]
    ranked_days = [day for _, day in ranked]
    if len(set(ranked_days)) > 1 and len(set(ranked_days)) < len(ranked):
        logarithms = np.log([rank for rank, _ in ranked])
        gaps = np.abs(logarithms[:, None] - logarithms[None, :])
        tests.append(("best rank", relabelling_p(gaps, ranked_days), len(ranked)))
    corrected = holm([p for _, p, _ in tests])
    told = (len(set(days)), served(repeats))
    rows = [(name, told[0], n, p, c, told[1]) for (name, p, n), c in zip(tests, corrected, strict=True)]
    return pd.DataFrame(rows, columns=columns)


def served(repeats: Repeats) -> str:
    """Return in words which models, and builds where the server told them, answered on each day.

    Parameters
    ----------
    repeats
        The searches of one condition.
    """
    known: dict[str, set[str]] = {}
    for one in repeats.searches:
        names = {" ".join(filter(None, (said.served, said.fingerprint))) or "unnamed" for said in one.said}
        known.setdefault(one.day, set()).update(names)
    return "; ".join(f"{day}: {', '.join(sorted(names))}" for day, names in sorted(known.items()))


def effects(source: Given) -> pd.DataFrame:
    """Return one row per pair of conditions that differ in temperature alone or in the seed of the requests alone.

    Compared is how often two replies to the first request propose one architecture. The frame is empty for searches of
    the stand-in, which has neither.

    Parameters
    ----------
    source
        Repeated searches, as `repeats.as_repeats` takes them.

    Returns
    -------
    pd.DataFrame
        `rate` of the first condition, `other_rate` of the second, their `difference` (second - first) with its 95 %
        bootstrap interval, `p_value` from relabelling the searches, `p_corrected` over all rows.

    Raises
    ------
    InvalidParameter
        There is no such pair.
    """
    import pandas as pd

    groups = [one for one in as_repeats(source) if len(one.searches) > 1]
    rows = [row for pair in itertools.combinations(groups, 2) if (row := _effect(*pair)) is not None]
    if not rows and any(is_stand_in(one.model) for one in groups):
        return pd.DataFrame(columns=[*EFFECTS, "p_corrected"])
    if not rows:
        raise InvalidParameter(
            f"no two of the {len(groups)} arms differ in {' or '.join(VARIED)} alone: give the study an arm "
            "such as {proposer: llm, name: colder, temperature: 0} beside it"
        )
    frame = marked(pd.DataFrame(rows), _runs(groups))
    return frame.assign(p_corrected=holm(frame["p_value"].tolist()))


def _effect(first: Repeats, second: Repeats) -> dict[str, Any] | None:
    changed = [name for name in VARIED if first.varied(name) != second.varied(name)]
    if len(changed) != 1 or _rest(first) != _rest(second):
        return None
    said = [one.first_said("designs") for one in (first, second)]
    rates = [match_rate(equal(some)) for some in said]
    drawn = [resampled_rates(equal(some), np.ones((len(some),) * 2), seed) for seed, some in enumerate(said)]
    low, high = np.nanquantile(drawn[1] - drawn[0], [0.025, 0.975])
    labels = [0] * len(said[0]) + [1] * len(said[1])
    return {
        "changed": changed[0].replace("_", " "),
        "first": first.arm,
        "second": second.arm,
        "n": len(said[0]),
        "other_n": len(said[1]),
        "rate": rates[0].rate,
        "other_rate": rates[1].rate,
        "difference": rates[1].rate - rates[0].rate,
        "low": float(low),
        "high": float(high),
        "p_value": difference_p(equal([*said[0], *said[1]]), labels),
    }


def _rest(repeats: Repeats) -> tuple[Any, ...]:
    """Return what two conditions must share to be compared: all but the varied settings, and the first request."""
    kept = {name: value for name, value in repeats.settings["settings"].items() if name not in VARIED}
    where = {name: repeats.settings.get(name) for name in ("benchmark", "protocol", "fed_run", "first", "budget")}
    return kept, where, repeats.searches[0].said[0].request


def beside_paper(source: Given) -> pd.DataFrame:
    """Return one row per method: the paper's trials on the benchmark at each temperature, then each condition.

    Parameters
    ----------
    source
        Repeated searches, as `repeats.as_repeats` takes them.

    Returns
    -------
    pd.DataFrame
        `same_first` is the share of pairs whose first proposal is the same: ours by the architecture, the paper's by
        the printed accuracy, which can only overstate it. The other columns are those of `paper.ours_beside_paper`: the
        mean rank of the best found and its standard deviation over trials.

    Raises
    ------
    InvalidParameter
        Searches of several benchmarks.
    """
    groups = as_repeats(source)
    benchmark = one_benchmark(groups)
    ours = {one.arm: [search.run for search in one.searches] for one in groups}
    table = ours_beside_paper(recorded_benchmark(groups[0].searches[0].run.settings), ours)
    shares = {name: same[0] for name, (_, same) in paper_together(benchmark).items()}
    shares |= {one.arm: first_match(one, "designs").rate for one in groups}
    return table.assign(same_first=table["method"].map(shares))


def one_benchmark(groups: Sequence[Repeats]) -> str:
    """Return the benchmark of all conditions.

    Parameters
    ----------
    groups
        The conditions.

    Raises
    ------
    InvalidParameter
        They are of several benchmarks.
    """
    names = sorted({one.benchmark for one in groups})
    if len(names) != 1:
        raise InvalidParameter(f"the searches are of {', '.join(names)}; take those of one benchmark")
    return names[0]


def paper_together(benchmark: str) -> dict[str, tuple[int, list[float]]]:
    """Return, by temperature, how many trials the paper prints and the share of pairs that are the same so far.

    One share per iteration; trials are the same as long as their printed accuracies are, so that the truth is at most
    this.

    Parameters
    ----------
    benchmark
        Name of the table.
    """
    found = {}
    for temperature, name in sorted(TRIAL_TABLES.get(benchmark, {}).items()):
        table = paper_table(name)
        accuracy = next(name for name in map(str, table) if name.endswith("accuracy_percent") and "test" not in name)
        trials = [rows[accuracy].tolist() for _, rows in table.groupby("trial")]
        pairs = list(itertools.combinations(trials, 2))
        longest = max(map(len, trials))
        shares = [sum(a[:end] == b[:end] for a, b in pairs) / max(1, len(pairs)) for end in range(1, longest + 1)]
        found[paper_label(temperature)] = (len(trials), shares)
    return found


def verdict(source: Given | Repeats) -> Verdict:
    """Return the verdict on one condition: does the same request get the same reply?

    "deterministic": every two replies to the same request are alike, word for word. "repeats its proposals but not its
    words": every two propose the same architecture. "varies": some do not. "drifts": the first architectures or the
    ranks of the best differ between days by more than within them (relabelled days, p < 0.05 by Holm's rule). "not
    enough runs": fewer than LEAST searches, or days that differ where too few searches per day could tell that from
    chance. `evidence` has one row per measure, with n, pairs, rate, low and high, or the p-values of a test between
    days.

    Parameters
    ----------
    source
        Repeated searches of one condition, as `repeats.as_repeats` takes them.

    Raises
    ------
    InvalidParameter
        Several conditions, which the message names (`each_verdict` takes those), or no request that was sent twice.
    """
    groups = [source] if isinstance(source, Repeats) else as_repeats(source)
    if len(groups) > 1:
        names = ", ".join(f"{one.arm} on {one.benchmark} (n = {len(one.searches)})" for one in groups)
        raise InvalidParameter(f"there are {len(groups)} conditions: {names}; take one of them, or each_verdict")
    return _verdict(groups[0])


def each_verdict(source: Given) -> list[Verdict]:
    """Return the verdict on each condition, in the order of its searches.

    Parameters
    ----------
    source
        Repeated searches, as `repeats.as_repeats` takes them.
    """
    return [_verdict(one) for one in as_repeats(source)]


def study_verdicts(results: pd.DataFrame) -> list[Verdict]:
    """Return `each_verdict` of the results of a study that compares temperatures or seeds of requests; else none.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    journals = results.loc[(results["proposer"] == "llm") & results["control"].isna(), "journal"].dropna()
    try:
        groups = read_repeats(list(journals))
    except InvalidParameter:
        return []
    settings = [search.run.settings["settings"] for one in groups for search in one.searches]
    several = {json.dumps([told.get(name) for name in VARIED]) for told in settings}
    return each_verdict(groups) if len(several) > 1 else []


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
    who = subject(repeats.arm if repeats.arm.startswith(repeats.model) else f"{repeats.model}, {repeats.arm},")
    does = f"is {kind}" if kind == DETERMINISTIC else verb(kind)
    told = [f"{who} {does} on {title_of(repeats.benchmark)}: {reason}"]
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
        spelled = [f"{day} (n = {repeats.days.count(day)})" for day in sorted(set(repeats.days))]
        return DRIFTS, f"between {' and '.join(spelled)} its answers change by more than within a day"
    if matches["words"].rate == 1:
        return DETERMINISTIC, "the same request got the same reply, word for word"
    if matches["designs"].rate == 1:
        return WORDS_ONLY, "the same request got the same architecture in other words"
    if needed := _too_few_a_day(repeats):
        return NOT_ENOUGH, (
            "its replies differ between days and not within one, which so few searches per day cannot tell from "
            f"chance; {needed} on each of two days can"
        )
    return VARIES, "the same request got different architectures"


def _too_few_a_day(repeats: Repeats) -> int:
    """Return how many searches per day would do where they differ between days only, and no test can tell; else 0."""
    days, designs = repeats.days, repeats.first_said("designs")
    sizes = [days.count(day) for day in set(days)]
    if len(sizes) < 2 or 2 * smallest_relabelling_p(sizes) < LEVEL:
        return 0
    by_day = {day: {design for one, design in zip(days, designs, strict=True) if one == day} for day in days}
    if any(len(said) > 1 for said in by_day.values()) or len(set(designs)) == 1:
        return 0
    return next(size for size in range(2, 64) if 2 * smallest_relabelling_p([size, size]) < LEVEL)


def _numbers(repeats: Repeats, matches: dict[str, Match], firsts: dict[str, Match]) -> str:
    n, first = len(repeats.searches), firsts["designs"]
    distinct = len(set(repeats.first_said("designs")))
    pairs = n * (n - 1) // 2
    together = repeats.together()
    ends = max(len(one.designs) for one in repeats.searches)
    whole = int((together >= ends).sum() - sum(len(one.designs) >= ends for one in repeats.searches)) // 2
    return (
        f"n = {n} searches, whose replies to the first request name {distinct} "
        f"{'architecture' if distinct == 1 else 'different architectures'}, the same one in {_rate(first)} of pairs; "
        f"over all {matches['words'].pairs:,} pairs of replies to one request {_rate(matches['designs'])} have the "
        f"same architecture and {_rate(matches['words'])} the same words; {whole} of {pairs} pairs of searches are the "
        f"same in all {ends} architectures"
    )


def _rate(match: Match) -> str:
    return f"{match.rate:.2f} (95 % interval {match.low:.2f} to {match.high:.2f})"


def _days(days: pd.DataFrame) -> list[str]:
    if not len(days):
        return []
    tests = ", ".join(f"{row['measure']} p = {row['p_corrected']:.2g}" for row in days.to_dict("records"))
    return [f"between {days['days'].iloc[0]} days: {tests}, corrected by Holm's rule ({days['served'].iloc[0]})"]


def _ranks(repeats: Repeats) -> list[str]:
    ranks = repeats.ranks
    if len(ranks) < 2:
        return []
    if min(ranks) == max(ranks):
        return [f"best rank {rank_text(ranks[0])} in every one"]
    spread = float(np.std(ranks, ddof=1))
    low, high = rank_text(min(ranks)), rank_text(max(ranks))
    return [
        f"best rank {rank_text(float(np.mean(ranks)))}, standard deviation {rank_text(spread)}, from {low} to {high}"
    ]


def _paper(repeats: Repeats) -> list[str]:
    """Return what the paper's trials on the benchmark say, in words; nothing where it has none."""
    if repeats.benchmark not in TRIAL_TABLES:
        return []
    shares = paper_together(repeats.benchmark)
    told = []
    for name, trials in paper_methods(recorded_benchmark(repeats.searches[0].run.settings)).items():
        row = summary(name, trials)
        told.append(
            f"{name}: n = {row['runs']} trials begin at one accuracy in {shares[name][1][0]:.2f} of pairs, best rank "
            f"{rank_text(row['rank'])}, standard deviation {rank_text(row['rank_std'])}"
        )
    return told
