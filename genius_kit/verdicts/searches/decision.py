"""Does the model search, or does it recite? Two questions, each with its own answer, and the sentence of both.

Does it use its results? Asked of each reply in the arm shuffled-feedback, where chance alone decides which score stands
beside which architecture (`stats.replies`), and of the ranks in the reference arm and in that one. Does it need the
names? Asked of the ranks with and without them. The evidence may be looked at after every seed (`stats.evalues`), so
that a study can be run again with more of them until it says something.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from genius_kit.benchmarks.catalogue import is_table, space_of
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.methods import counted_once, fixed_arms, subject
from genius_kit.runs.provenance import marked
from genius_kit.stats.paired import LEAST_PAIRS
from genius_kit.stats.random_search import RandomSearch
from genius_kit.verdicts.base import (
    CANNOT_TELL,
    LEANING,
    LEVEL,
    MARGIN,
    NEITHER,
    NOT_ENOUGH,
    RECITES,
    SEARCHES,
    Contrast,
    Verdict,
    cheap_rules,
    check,
    conditions,
    model_of,
    own_share,
    rank_text,
    ratio_text,
    verb,
)
from genius_kit.verdicts.headlines import CHEAP_RULE, CONDITIONS, OWN_START
from genius_kit.verdicts.searches.findings import (
    ERROR,
    HARM,
    LEAST_FOLLOWING,
    LEAST_SEARCHES,
    LUCKY,
    NO,
    UNCLEAR,
    YES,
    Finding,
    Luck,
    findings,
    has_sign,
    is_small,
    luck_of,
    margin_of,
    searches_to_settle,
    table_of,
    too_few,
)

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark


FEW_DIFFERENT = 10
"""Architectures below which exchanging positions cannot tell a memory from a liking for one number."""

FEW_OPTIONS = 3
"""Options that can be renumbered in two ways only, so that many searches under permuted labels are two draws."""

LEAST_ABSENT = 40
"""Searches per arm from which on nothing is said to matter: of clients that seldom use results, fewer miss too many."""

_PERHAPS = 0.1
"""The p-value of a list above which more searches, whose lists are no better, will not show a memory."""

_QUESTIONS = {
    "feedback": "whether shuffled results change its ranks",
    "replies": "whether its replies follow its results",
    "moves": "whether its proposals follow its own results",
    "permuted-labels": "whether it needs the numbers of the options",
    "anonymous": "whether it needs their names",
    "random search": "whether it beats random search",
}
_LABELS = {"permuted-labels": "the numbers of the options", "anonymous": "their names"}
_RULES = {
    "coordinate-descent": "taking the largest option everywhere and changing one choice at a time",
    "prior": "taking the largest option everywhere, a single evaluation,",
}


def verdict(results: pd.DataFrame, *, plain: str = "llm", benchmark: TabularBenchmark | None = None) -> Verdict:
    """Return the verdict on one arm of one model, from its searches beside those of the control arms.

    The unit is a search on one benchmark: of several benchmarks each is judged by itself, nothing is pooled, and a kind
    is that of all of them.

    "searches": results are used, and labels change the rank of a typical proposal by less than a factor of 2 (MARGIN).
    "searches and leans on the labels": results are used, and labels matter. "recites": results are shown to be unused
    (replies follow them less than LEAST_FOLLOWING, LEAST_CLOSE and LEAST_STAYING, ranks gain less than LEAST_GAIN),
    labels matter, and the architectures named are better than luck. "does neither": results and labels are shown not
    to matter, labels in neither direction, by LEAST_ABSENT searches or more, and random search with twice the
    evaluations does as well. "not enough runs": what is still open. "cannot tell": a missing arm, results used to its
    harm, or anything else. "yes" errs with a probability of 0.01 over all looks (ERROR).

    Parameters
    ----------
    results
        Frame of `studies.results` of one model and prompt.
    plain
        The arm that is judged.
    benchmark
        The table, where it cannot be loaded by name: the sentence then has its title and the exact mean rank of random
        search.

    Raises
    ------
    InvalidParameter
        Several models, prompts or budgets, repeated seeds, or missing columns.
    """
    import pandas as pd

    if benchmark is not None and list(results["benchmark"].unique()) != [benchmark.name]:
        raise InvalidParameter(f"the results are not of {benchmark.name} alone; filter them, or leave `benchmark` out")
    check(results, plain)
    names = list(results["benchmark"].unique())
    if len(names) > 1:
        return _of_each({str(name): verdict(results[results["benchmark"] == name], plain=plain) for name in names})
    whole, results = results, counted_once(results)
    table = benchmark or table_of(results, plain)
    found, luck = findings(results, plain, table), cache(lambda: luck_of(results, plain, table))
    kind, reason = _judge(found, luck, bool(fixed_arms(results)))
    share, rules = own_share(results, plain), cheap_rules(results, plain)
    model, place = model_of(results, plain), names[0] if benchmark is None else benchmark.title
    parts = [f"{subject(model or plain)} {verb(kind)} on {place}: {reason}"]
    parts += _numbers(found, _expected(results, plain, benchmark), _has_two_numberings(results, benchmark))
    parts += [_rule(one) for one in rules if one.n and one.question == CHEAP_RULE] + _from_its_start(rules)
    own = f" (only {100 * share:.0f} % of the evaluations were the model's own proposals)" if share < 0.5 else ""
    told = {"own_proposals": share, "model": model, "benchmark": str(results["benchmark"].iloc[0])}
    shown = [{name: value for name, value in vars(one).items() if name != "values"} for one in found]
    rows = [{**row, "p_value": one.p_value, **told} for row, one in zip(shown, found, strict=True)]
    rows += [{**asdict(one), "answer": one.answer, **told} for one in rules]
    return Verdict(
        "; ".join(parts) + own + ".",
        kind,
        marked(pd.DataFrame(rows), whole),
        uses_results=_in_words([one for one in found if one.question in ("feedback", "replies")]),
        needs_names=_in_words([one for one in found if one.question == "labels"]),
        memory=_memory(luck()) if kind == RECITES else None,
    )


def _of_each(judged: dict[str, Verdict]) -> Verdict:
    """Return the verdict of several benchmarks: a kind that all of them share, or what is still open."""
    import pandas as pd

    kinds = {one.kind for one in judged.values()}
    kind = kinds.pop() if len(kinds) == 1 else NOT_ENOUGH if NOT_ENOUGH in kinds else CANNOT_TELL
    parts = [one.evidence.assign(benchmark=name) for name, one in judged.items()]
    return Verdict(
        f"{len(judged)} benchmarks, each judged by itself, {_shared(judged, 'kind')}. "
        + " ".join(one.sentence for one in judged.values()),
        kind,
        pd.concat(parts, ignore_index=True),
        *(_shared(judged, name) for name in ("uses_results", "needs_names", "memory")),
    )


def _shared(judged: dict[str, Verdict], name: str) -> str | None:
    """Return the answer of all benchmarks, or of each where they differ; None where none has one."""
    answers = {benchmark: getattr(one, name) for benchmark, one in judged.items()}
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    return "; ".join(f"{benchmark}: {answer or 'not asked'}" for benchmark, answer in answers.items())


def _judge(found: list[Finding], luck: Callable[[], Luck | None], is_fixed: bool) -> tuple[str, str]:
    """Return the kind, and in words why."""
    feedback = [one for one in found if one.question == "feedback"]
    labels = [one for one in found if one.question == "labels"]
    random = [one for one in found if one.question == "random search"]
    if not feedback or not labels:
        needed = [*([] if feedback else ["shuffled-feedback"]), *([] if labels else ["permuted-labels"])]
        return CANNOT_TELL, f"it takes an arm {' and an arm '.join(needed)} with the same seeds"
    if few := too_few(feedback + labels, is_fixed):
        return few
    uses, needs = feedback[0].answer, _together(labels)
    if uses == HARM:
        is_better_without = feedback[0].high < 1
        return CANNOT_TELL, "it uses its results, to its harm: " + (
            "it would do better without them"
            if is_better_without
            else "its replies stay away from what they show as good"
        )
    if uses == YES:
        return _of_user(needs, labels, random)
    if uses == UNCLEAR:
        return NOT_ENOUGH, "; ".join(_open(found))
    return _of_reciter(needs, labels, random, luck, found)


def _together(labels: list[Finding]) -> str:
    answers = [one.answer for one in labels]
    if YES in answers:
        return YES
    return NO if all(answer == NO for answer in answers) else HARM if HARM in answers else UNCLEAR


def _of_user(needs: str, labels: list[Finding], random: list[Finding]) -> tuple[str, str]:
    gain = " (though no better than random search)" if any(one.answer == NO for one in random) else ""
    if needs == YES:
        which = " and ".join(_LABELS[one.kind] for one in labels if one.answer == YES)
        return LEANING, f"it uses its results and needs the labels too, {which}{gain}"
    if needs == NO:
        return SEARCHES, f"it uses its results and does not need the labels{gain}"
    if needs == HARM:
        return SEARCHES, f"it uses its results, and the labels do harm{gain}"
    return NOT_ENOUGH, "; ".join(["it uses its results", *_open(labels)])


def _of_reciter(
    needs: str, labels: list[Finding], random: list[Finding], luck: Callable[[], Luck | None], found: list[Finding]
) -> tuple[str, str]:
    """Return the verdict on a model that does not use its results."""
    repeats = min(one.independent for one in labels) < LEAST_SEARCHES
    if needs == YES or repeats:
        reads = any(one.kind == "anonymous" and one.answer == YES for one in labels)
        return _of_list(luck(), reads, repeats, needs == YES)
    if needs == NO and any(one.answer == NO for one in random):
        harms = [_open_harm(one) for one in labels if one.bound_low <= 1 / MARGIN]
        if harms:
            return NOT_ENOUGH, "; ".join(["it does not use its results", *harms])
        if (n := min(one.n for one in found if one.question in ("feedback", "labels"))) < LEAST_ABSENT:
            return NOT_ENOUGH, (
                f"no use of its results or of the labels is seen in {n} searches; that neither matters is said from "
                f"{LEAST_ABSENT} searches per arm on"
            )
        return NEITHER, "it does no better than random search, and neither its results nor the labels matter"
    if needs == NO and any(one.answer == YES for one in random):
        return CANNOT_TELL, (
            "it beats random search and yet needs neither its results nor the labels; it takes a benchmark that it "
            "cannot know"
        )
    if needs == HARM:
        return CANNOT_TELL, "it does not use its results, and does better with other labels"
    if needs == NO and not random:
        return CANNOT_TELL, (
            "it needs neither its results nor the labels, and whether it beats random search takes exact probabilities"
        )
    return NOT_ENOUGH, "; ".join(["it does not use its results", *_open([*labels, *random])])


def _of_list(luck: Luck | None, reads: bool, repeats: bool, matters: bool) -> tuple[str, str]:
    """Return the verdict on the list of a model that does not use its results: memory, or luck."""
    if luck is None:
        return CANNOT_TELL, "it does not use its results; whether its list is luck takes its table: give `benchmark`"
    by_number = reads or luck.different < FEW_DIFFERENT  # one test per study, or its error would be that of two
    if (luck.numbers if by_number else luck.places) <= LUCKY:
        return RECITES, f"it does not use its results and needs the labels ({_memory(luck)})"
    if luck.numbers <= LUCKY:
        return CANNOT_TELL, (
            "it does not use its results and needs the labels, but its architectures are not shown to be worse with "
            f"their positions exchanged (p = {luck.places:.2g}): a liking for one number would do the same"
        )
    what = "searches repeat one list, which counts once" if repeats else "labels matter"
    is_open = luck.numbers <= _PERHAPS
    return (NOT_ENOUGH if matters and is_open else CANNOT_TELL), (
        f"it does not use its results; {what}, and its list is {'not clearly' if is_open else 'no'} better than "
        f"luck: of lists numbered otherwise {100 * luck.numbers:.1f} % are as good"
        f"{f', and at most {100 * LUCKY:.1f} % may be' if is_open else ''}"
    )


def _memory(luck: Luck | None) -> str | None:
    """Return in words what its list shows."""
    if luck is None:
        return None
    if luck.places <= LUCKY:
        return (
            f"memory of this table: with their positions exchanged its architectures are worse, p = {luck.places:.2g}"
        )
    if luck.different < FEW_DIFFERENT:
        named = "1 architecture is" if luck.different == 1 else f"{luck.different} different architectures are"
        return f"{named} too few to tell a memory of this table from a liking"
    return (
        "knowledge of what the names or numbers stand for; its list shows no memory of this table, as it is as good "
        f"with its positions exchanged, p = {luck.places:.2g}"
    )


def _open(found: list[Finding]) -> list[str]:
    """Return in words what is open, and about how many searches may settle it."""
    told = [one for one in found if one.answer == UNCLEAR and one.n and (not is_small(one) or has_sign(one))]
    return [
        f"{_QUESTIONS[one.kind if one.question == 'labels' else one.question]} is open, as {_bounds(one)} "
        f"(about {searches_to_settle(one):,} {_counted(one)} may settle it)"
        for one in told
    ]


def _counted(one: Finding) -> str:
    return "different lists" if one.question in ("labels", "random search") and one.independent < one.n else "searches"


def _open_harm(labels: Finding) -> str:
    """Return in words that labels which do not help may yet do harm."""
    low, high = (_number(end) for end in (labels.bound_low, labels.bound_high))
    what = "the numbers of the options do" if labels.kind == "permuted-labels" else "their names do"
    return f"whether {what} harm is open, as {low} to {high} times does not rule out {1 / MARGIN:g}"


def _bounds(one: Finding) -> str:
    if is_small(one):
        return "a weak sign of it is left"
    if one.question == "replies" and max(-one.bound_low, one.bound_high) < LEAST_FOLLOWING:
        return "a few replies may be moves from the best, or the length of its steps may depend on the last score"
    low, high = (_number(end) for end in (one.bound_low, one.bound_high))
    what = "of a hill climber's" if one.question == "replies" else "times"
    return f"{low} to {high} {what} neither shows an effect nor rules out {margin_of(one):g}"


def _number(value: float) -> str:
    return "any value" if not math.isfinite(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _in_words(found: list[Finding]) -> str:
    """Return the answer to one of the two questions."""
    answers = [one.answer for one in found]
    for told in (YES, HARM):
        if told in answers:
            return told
    if not found or UNCLEAR in answers:
        return "inconclusive"
    return ", ".join(
        f"less than {_number(one.bound_high)} {'of a hill climber' if one.question == 'replies' else 'times in rank'}"
        for one in found
    )


def _has_two_numberings(results: pd.DataFrame, benchmark: TabularBenchmark | None) -> bool:
    """Whether there are but two ways to permute the labels: three options, as in NAS-Bench-Macro."""
    if benchmark is not None:
        return len(benchmark.space.options) == FEW_OPTIONS and not benchmark.space.words
    name = str(results["benchmark"].iloc[0])
    return is_table(name) and len(space_of(name).options) == FEW_OPTIONS and not space_of(name).words


def _numbers(found: list[Finding], expected: str, two_numberings: bool) -> list[str]:
    """Return the numbers of every comparison in words."""
    told = []
    ranks = [one for one in found if one.question in ("feedback", "labels") and one.n]
    if ranks:
        left_out = max(one.left_out for one in ranks)
        note = f" ({left_out} without a rank or a partner left out)" if left_out else ""
        pairs = f"n = {ranks[0].n} {'pair' if ranks[0].n == 1 else 'pairs'} of searches"
        told_ranks = [_rank_numbers(one, two_numberings and one.kind == "permuted-labels") for one in ranks]
        arms = ", ".join([*told_ranks, *([expected] if expected else [])])
        told.append(f"mean rank {rank_text(ranks[0].mean_rank)} over {pairs}{note}, against {arms}")
    for one in found:
        if one.question == "replies" and one.independent > 1:
            told.append(
                f"its replies follow shuffled results {one.ratio:.2f} times as much as a hill climber's (95 % interval "
                f"{one.low:.2f} to {one.high:.2f}, n = {one.n} replies of {one.independent} searches, "
                f"p = {one.p_value:.2g}{_where_it_shows(one)})"
            )
        if one.question == "moves" and one.independent > 1 and one.p_value < ERROR:
            told.append(
                f"beside those with shuffled results, its proposals follow its own results {one.ratio:.2f} times as "
                f"much as a hill climber's (95 % interval {one.low:.2f} to {one.high:.2f}, p = {one.p_value:.2g})"
            )
        if one.question == "random search" and one.independent > 1:
            told.append(
                f"random search needs {ratio_text(one.ratio)} times the evaluations (95 % interval "
                f"{ratio_text(max(one.low, 0))} to {ratio_text(one.high)}, p = {one.p_value:.2g})"
            )
    return told


def _where_it_shows(replies: Finding) -> str:
    """Return in words what the p-value is of, where the interval of the mean does not show the use that it finds."""
    if replies.p_value >= ERROR or not replies.low <= 0 <= replies.high:
        return ""
    if replies.evidence_steps > max(replies.evidence_up, replies.evidence_down):
        return ", as the length of its steps depends on the last score"
    return ", of the sign that is strongest"


def _rank_numbers(one: Finding, two_numberings: bool) -> str:
    text = f"{rank_text(one.mean_rank_arm)} {CONDITIONS.get(one.kind, f'for {one.arm}')}"
    few = "three options have two other numberings only" if two_numberings else ""
    if one.independent < 2:
        notes = [note for note in ("one list, repeated" if one.n > 1 else "", few) if note]
        return text + (f" ({'; '.join(notes)})" if notes else "")
    counted = f", {one.independent} different lists" if one.independent < one.n else ""
    return (
        f"{text} (typical proposal {ratio_text(one.ratio)} times the rank, 95 % interval {ratio_text(one.low)} to "
        f"{ratio_text(one.high)}{counted}, p = {one.p_value:.2g}{f'; {few}' if few else ''})"
    )


def _expected(results: pd.DataFrame, plain: str, benchmark: TabularBenchmark | None) -> str:
    """Return the exact mean rank of random search in words, empty without a benchmark."""
    if benchmark is None:
        return ""
    rows = results[results["arm"] == plain]
    budget = int(rows["budget" if "budget" in rows else "evaluations"].max())
    rank = RandomSearch(benchmark.known_scores()).expected_best_rank(budget)
    return f"{rank_text(rank)} for {budget} random evaluations"


def _rule(contrast: Contrast) -> str:
    """Return in words how a cheap rule does beside the reference arm; its p-value is not part of the verdict."""
    rule = _RULES.get(contrast.kind, contrast.arm)
    ranks = f"rank {rank_text(contrast.mean_rank_arm)} against {rank_text(contrast.mean_rank)}"
    tested = f", p = {contrast.p_value:.2g}" if contrast.n >= LEAST_PAIRS else ""
    return f"{rule} {_how(contrast)} ({ranks}{tested})"


def _from_its_start(rules: list[Contrast]) -> list[str]:
    """Return how the optimisers do that go on from the model's own first proposals: what is left of a good start."""
    told = [
        f"{one.kind.removeprefix('llm+')} {_how(one)} (rank {rank_text(one.mean_rank_arm)})"
        for one in rules
        if one.question == OWN_START and one.n
    ]
    return [f"begun with its own first proposals, {', '.join(told)}"] if told else []


def _how(contrast: Contrast) -> str:
    if contrast.n < LEAST_PAIRS:
        return "is beside it"
    if contrast.p_value < LEVEL:
        return "does worse" if contrast.ratio > 1 else "does better"
    is_small = contrast.low > 1 / MARGIN and contrast.high < MARGIN
    return "does as well" if is_small else "cannot be told from it"


def each_verdict(results: pd.DataFrame) -> list[Verdict]:
    """Return one verdict for each benchmark, model and prompt of a study that has the reference arm and a control.

    Parameters
    ----------
    results
        Frame of `studies.results`.
    """
    known = conditions(results)
    return [verdict(rows, plain=own["arm"].iloc[0]) for own, rows in known if rows["control"].notna().any()]
