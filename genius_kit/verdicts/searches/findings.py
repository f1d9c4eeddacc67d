"""The comparisons that the verdict on a search rests on: of replies, of ranks, of lists with luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.errors import DataMissing, InvalidParameter, UnknownName
from genius_kit.journal import read_run
from genius_kit.proposers.methods import ONE_SEARCH
from genius_kit.spaces import Architecture
from genius_kit.stats.evalues import Evidence, bounded_evidence, confidence_sequence, symmetric_evidence
from genius_kit.stats.ratios import t_interval
from genius_kit.stats.replies import LEAST_SHOWN, Follows, follows_own, placing_p, relabelling_p
from genius_kit.verdicts.base import (
    CANNOT_TELL,
    FEEDBACK,
    LABELS,
    LEVEL,
    MARGIN,
    NOT_ENOUGH,
    Key,
    arm_of,
    by_search,
    check,
    mean_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark


ERROR = 0.01
"""The probability, over all looks, of saying "yes" to one of the two questions where nothing is there."""

DECISIVE = 2 / ERROR
"""The e-value that says "yes": each question has two ways to be answered (two directions, two arms)."""

SIGN = 10
"""The e-value of replies that follow results from which on they are not said to be unused."""

LEAST_SEARCHES = math.ceil(math.log2(DECISIVE))
"""Searches below which ranks cannot decide, however they end."""

CLIMBER = (0.95, 0.40)
"""What the replies of a hill climber come to in the two statistics of `stats.replies`, at ten evaluations."""

MOVES = 1.5
"""How much more a hill climber's proposals follow their own results than those under shuffled results do, in the same
unit, at ten evaluations."""

LEAST_FOLLOWING, LEAST_GAIN = 0.25, 3.0
"""Below these results are said to be unused: a share of what a hill climber's replies come to, either way, and a factor
in the rank of a typical proposal. The first is what tells; the second is for uses that it does not see."""

LEAST_CLOSE, LEAST_STAYING = 0.1, 0.1
"""Below these, either way, replies are no moves from the best, and the length of steps does not hang on results.
A hill climber comes to 0.57 in the first: less than one reply in six is such a move. Who keeps a fifth fewer positions
of the last architecture after a score of the lower half than after one of the upper half comes to 0.1 in the second."""

LUCKY = 0.005
"""The probability below which a list of architectures is better than luck, see `stats.relabelling`."""

YES, HARM, NO, UNCLEAR = "yes", "to its harm", "no", "unclear"

_WIDTH = 3.0
"""Half the width of a confidence sequence in standard errors, about, for 20 to 160 searches."""

_GAIN = 1 / 6
"""The gain in probability (see `_random`) that is worth MARGIN times the evaluations."""

_SCALES = {"ranks": 1.0, "replies": 0.3, "close": 0.1, "staying": 0.1, "chance": 0.3, "moves": 0.3, "close moves": 0.15}
"""Standard deviations, about, of what is measured: only power depends on them."""


@dataclass(frozen=True)
class Finding:
    """One comparison. `ratio` is above 1 where the reference arm is better, with its 95 % interval `low` to `high` (t).

    Question "feedback" and "labels": the typical rank of an arm's proposals over that of the reference arm, by `n`
    pairs of searches. "replies": how much the replies follow shuffled results, 1 being a hill climber. "moves": how
    much more the proposals of the reference arm follow their own results than those under shuffled results do, 1 being
    a hill climber; this finds a client that keeps its own record of results. "random search": how many times the
    evaluations random search needs. `independent` counts the pairs with repeated lists as one; `bound_low` and
    `bound_high` hold at every look, each with 95 %; `evidence_up` and `evidence_down` are logarithms of e-values for
    more and less than nothing; `answer` is one of "yes", "to its harm", "no" and "unclear".
    """

    question: str
    kind: str
    arm: str
    n: int
    independent: int
    left_out: int
    mean_rank: float
    mean_rank_arm: float
    ratio: float
    low: float
    high: float
    bound_low: float
    bound_high: float
    evidence_up: float
    evidence_down: float
    answer: str
    evidence_steps: float = -math.inf
    close_low: float = math.nan
    close_high: float = math.nan
    stay_low: float = math.nan
    stay_high: float = math.nan
    values: np.ndarray = field(default_factory=lambda: np.array([]), repr=False, compare=False)

    @property
    def p_value(self) -> float:
        """The p-value, valid at every look, of the direction that was found; corrected for the ways to say "yes"."""
        ways = 8 if self.question in ("feedback", "replies", "moves") else 2
        return min(1.0, ways * math.exp(-max(self.evidence_up, self.evidence_down, self.evidence_steps)))


class Luck(NamedTuple):
    """Whether the architectures named are better than luck: p-values of other numbers and of other positions."""

    numbers: float
    places: float
    different: int


def findings(results: pd.DataFrame, plain: str, table: TabularBenchmark | None = None) -> list[Finding]:
    """Return every comparison that the arms of a study allow on one benchmark, those about results first.

    That of moves takes the table.
    """
    check(results, plain)
    missing = [name for name in ("typical_rank", "proposals", "follows") if name not in results]
    if missing:
        raise InvalidParameter(f"the results have no column {', '.join(missing)}; give the frame of studies.results")
    arms = {kind: arm for kind in (*FEEDBACK, *LABELS) if (arm := arm_of(results, kind, plain))}
    feedback = [_beside(results, plain, "feedback", kind, arms[kind]) for kind in FEEDBACK if kind in arms][:1]
    replies = [_replies(results, arms[FEEDBACK[0]])] if FEEDBACK[0] in arms else []
    replies += [_moves(results, plain, arms[FEEDBACK[0]], table)] if replies and table else []
    labels = [_beside(results, plain, "labels", kind, arms[kind]) for kind in LABELS if kind in arms]
    return [*_answered(feedback, replies), *labels, *_random(results, plain)]


def _beside(
    results: pd.DataFrame, plain: str, question: str, kind: str, arm: str, column: str = "typical_rank"
) -> Finding:
    """Return how much an arm changes the typical rank; of lists that repeat only one counts where labels change.

    Whether labels matter is asked of the best ranks too.
    """
    columns = [column, "rank"] if question == "labels" else [column]  # one good guess shows in the best rank only
    pairs = [[by_search(results, name, one) for name in (plain, arm)] for one in columns]
    own, other = pairs[0]
    keys = [key for key in own if all(ranks.get(key, math.nan) > 0 for pair in pairs for ranks in pair)]
    changes = [np.array([math.log(theirs[key] / ours[key]) for key in keys]) for ours, theirs in pairs]
    if question == "labels":
        lists = [_lists(results, name) for name in (plain, arm)]
        changes = [_independent(values, keys, *lists) for values in changes]
    values, scale = changes[0], _SCALES["ranks"]
    evidence = _mixed([symmetric_evidence(one, scale * (1 + place)) for place, one in enumerate(changes)])
    measured = _measured(values, evidence, confidence_sequence(values, scale, LEVEL), np.exp)
    return _finding((question, kind, arm), results, plain, keys, len(own.keys() | other.keys()), measured)


def _finding(
    named: tuple[str, str, str],
    results: pd.DataFrame,
    plain: str,
    keys: list[Key],
    searches: int,
    measured: dict[str, Any],
) -> Finding:
    best, best_arm = by_search(results, plain), by_search(results, named[-1])
    return Finding(
        *named,
        n=len(keys),
        left_out=searches - len(keys),
        mean_rank=mean_of([best[key] for key in keys if key in best]),
        mean_rank_arm=mean_of([best_arm[key] for key in keys if key in best_arm]),
        **measured,
    )


def _measured(
    values: np.ndarray, evidence: Evidence, bounds: tuple[float, float], shown: Callable[[float], float]
) -> dict[str, Any]:
    """Return the fields of a finding that follow from its values, whose ends are told as `shown` gives them."""
    with np.errstate(over="ignore"):
        ends = [float(shown(end)) for end in (*t_interval(values), *bounds)]
    answer = NO if bounds[1] < math.log(MARGIN) else UNCLEAR
    if max(evidence) >= math.log(DECISIVE):
        answer = YES if evidence.up >= math.log(DECISIVE) else HARM
    return {
        **dict(zip(("ratio", "low", "high", "bound_low", "bound_high"), ends, strict=True)),
        "independent": len(values),
        "evidence_up": evidence.up,
        "evidence_down": evidence.down,
        "answer": answer,
        "values": values,
    }


def _independent(values: np.ndarray, keys: list[Key], own: dict[Key, str], other: dict[Key, str]) -> np.ndarray:
    """Return one mean value for each different list, of the arm whose lists repeat more."""
    groups = [[lists.get(key) for key in keys] for lists in (own, other)]
    together: dict[str | None, list[float]] = {}
    for group, value in zip(min(groups, key=lambda group: len(set(group))), values, strict=True):
        together.setdefault(group, []).append(value)
    return np.array([np.mean(alike) for alike in together.values()])


def _lists(results: pd.DataFrame, arm: str) -> dict[Key, str]:
    rows = results[results["arm"] == arm]
    return dict(zip(zip(rows["benchmark"], rows["seed"], strict=True), rows["proposals"].astype(str), strict=True))


def _replies(results: pd.DataFrame, arm: str) -> Finding:
    """Return how much the replies follow the scores as they were dealt out."""
    rows = results[(results["arm"] == arm) & results["follows"].map(bool) & results["follows"].notna()]
    replies = [np.array(told, dtype=float) for told in rows["follows"]]
    # with 0 for the last two where a frame of before has only two numbers per reply
    searches = [np.pad(told, ((0, 0), (0, len(Follows._fields) - told.shape[1]))) for told in replies]
    means = [((told[:, :2] / CLIMBER).mean(), *told[:, 2:].mean(axis=0)) for told in searches]
    values, close, stay = np.array(means).reshape(-1, 3).T
    evidence = bounded_evidence([told[:, :3] for told in searches])
    bounds = confidence_sequence(values, _SCALES["replies"], LEVEL)
    close_low, close_high = confidence_sequence(close, _SCALES["close"], LEVEL)
    stay_low, stay_high = confidence_sequence(stay, _SCALES["staying"], LEVEL)
    # that the length of steps hangs on the last score, in whichever direction
    steps = bounded_evidence([told[:, 3:] for told in searches])
    found = Finding(
        "replies",
        FEEDBACK[0],
        arm,
        n=sum(map(len, searches)),
        left_out=int((results["arm"] == arm).sum()) - len(rows),
        mean_rank=math.nan,
        mean_rank_arm=math.nan,
        **_measured(values, evidence, bounds, float),
        evidence_steps=float(np.logaddexp(*steps)) - math.log(2),
        close_low=close_low,
        close_high=close_high,
        stay_low=stay_low,
        stay_high=stay_high,
    )
    return replace(found, answer=UNCLEAR)  # ranks and replies are answered together


def _moves(results: pd.DataFrame, plain: str, arm: str, table: TabularBenchmark) -> Finding:
    """Return how much more the proposals of the reference arm follow their own results than those of the shuffled arm.

    Where results are not used, the two searches of a pair are exchangeable. It is asked of the nearness to the best and
    the trend, and of moves from the best.
    """
    own, other = (_followed(results, name, table) for name in (plain, arm))
    keys = [key for key in own if key in other]
    changes = np.array([own[key] - other[key] for key in keys]).reshape(-1, 2).T
    ways = [_independent(one, keys, *(_lists(results, name) for name in (plain, arm))) for one in changes]
    scales = [_SCALES["moves"], _SCALES["close moves"]]
    evidence = _mixed([symmetric_evidence(one, scale) for one, scale in zip(ways, scales, strict=True)])
    measured = _measured(ways[0], evidence, confidence_sequence(ways[0], scales[0], LEVEL), float)
    return _finding(("moves", FEEDBACK[0], arm), results, plain, keys, len(own.keys() | other.keys()), measured)


def _followed(results: pd.DataFrame, arm: str, table: TabularBenchmark) -> dict[Key, np.ndarray]:
    """Return for each search of three proposals or more how they follow the results of those before."""
    searches: dict[int, list[tuple[Key, list[Architecture]]]] = {}
    for key, keys in _lists(results[results["proposals"].notna()], arm).items():
        named = [table.space.decode(one) for one in keys.split()]
        if len(named) >= LEAST_SHOWN:
            searches.setdefault(len(named), []).append((key, named))
    found: dict[Key, np.ndarray] = {}
    for alike in searches.values():
        rows = np.array([[table.space.index(one) for one in named] for _, named in alike])
        told = follows_own(np.array([named for _, named in alike]), table.scores()[rows])
        both = (told.best / CLIMBER[0] + told.trend / CLIMBER[1]) / 2 / MOVES
        found.update(zip((key for key, _ in alike), np.stack([both, told.close], axis=-1), strict=True))
    return found


def _mixed(parts: list[Evidence]) -> Evidence:
    """Return the evidence of one who bets alike on each of some ways in which an effect may show."""
    return Evidence(*(float(np.logaddexp.reduce(ways)) - math.log(len(parts)) for ways in zip(*parts, strict=True)))


def _answered(feedback: list[Finding], replies: list[Finding]) -> list[Finding]:
    """Return the findings about results with one answer to the question: all ways of using them are bet on alike."""
    if not feedback:
        return []
    both, limit = [*feedback, *replies], math.log(DECISIVE)
    follow = [Evidence(one.evidence_up, one.evidence_down) for one in both]
    up, down = _mixed(follow)
    any_use = _mixed([*follow, *(Evidence(one.evidence_steps, 0.0) for one in replies if one.question == "replies")]).up
    is_contrary = feedback[0].evidence_down >= limit or (down >= limit and up < limit)
    if any_use >= limit and not is_contrary:
        answer = YES
    elif down >= limit:
        answer = HARM
    else:
        is_unused = bool(replies) and all(map(is_small, both)) and not any(map(has_sign, replies))
        answer = NO if is_unused else UNCLEAR
    return [replace(one, answer=answer) for one in both]


def has_sign(one: Finding) -> bool:
    """Whether there is a sign, if no more, that replies or moves follow their results."""
    strongest = max(one.evidence_up, one.evidence_down, one.evidence_steps)
    return one.question in ("replies", "moves") and strongest > math.log(SIGN)


def _random(results: pd.DataFrame, plain: str) -> list[Finding]:
    """Return how many times the evaluations random search needs, by its exact probability of doing as well.

    Without that, how the best ranks of the arm random are beside those of the reference arm.

    Under random search that probability is uniform; with k times the evaluations its mean is 1 / (1 + k).
    """
    exact = by_search(results, plain, "p_random") if "p_random" in results else {}
    keys, lists = [key for key, value in exact.items() if value >= 0], _lists(results, plain)
    if not keys:
        arm = arm_of(results, "random", plain)
        return [_beside(results, plain, "random search", "random", arm, "rank")] if arm else []
    values = 0.5 - np.array([exact[key] for key in keys])
    values = _independent(values, keys, lists, lists)
    evidence = symmetric_evidence(values, _SCALES["chance"])
    bounds = confidence_sequence(values, _SCALES["chance"], LEVEL)
    measured = _measured(values, evidence, bounds, _times)
    found = _finding(("random search", "random", "random (exact)"), results, plain, keys, len(exact), measured)
    return [found if found.answer == YES else replace(found, answer=NO if is_small(found) else UNCLEAR)]


def difference(first: Finding, second: Finding) -> Finding:
    """Return how many times as much names are worth in the first of two comparisons of labels: a ratio of ratios.

    Where neither is worth more, the differences of any two values, one of each, are symmetric about 0.
    """
    n = min(first.independent, second.independent)
    values, scale = first.values[:n] - second.values[:n], 2**0.5 * _SCALES["ranks"]
    evidence, bounds = symmetric_evidence(values, scale), confidence_sequence(values, scale, LEVEL)
    told = _measured(values, evidence, bounds, np.exp)
    return replace(first, question="difference", n=n, left_out=0, mean_rank=math.nan, mean_rank_arm=math.nan, **told)


def _times(gain: float) -> float:
    return 1 / min(max(0.5 - gain, 1e-9), 1e9) - 1 if gain < 0.5 else math.inf


def is_small(one: Finding) -> bool:
    """Whether the bounds rule out an effect as large as the margin, of replies in either direction; of moves a sign
    alone counts."""
    if one.question == "moves":
        return True
    if one.question != "replies" or one.bound_high >= margin_of(one):
        return one.bound_high < margin_of(one)
    # replies do not go the other way, are no moves from the best, and the length of steps does not hang on results
    close, stay = max(-one.close_low, one.close_high), max(-one.stay_low, one.stay_high)
    return one.bound_low > -LEAST_FOLLOWING and close < LEAST_CLOSE and stay < LEAST_STAYING


def margin_of(one: Finding) -> float:
    """Return what counts as nothing in the answer to a question."""
    return {"replies": LEAST_FOLLOWING, "feedback": LEAST_GAIN}.get(one.question, MARGIN)


def searches_to_settle(one: Finding) -> int:
    """Return about how many searches would decide, if the values went on as they are.

    Either the e-value then says "yes", or the bounds are inside the margin; the fewer of the two.
    """
    n, evidence = one.independent, max(one.evidence_up, one.evidence_down)
    if n < 2:
        return LEAST_SEARCHES
    clear = n * math.log(DECISIVE) / evidence if evidence > 1 else math.inf
    mean, spread = float(np.mean(one.values)), float(np.std(one.values, ddof=1))
    margin = {"replies": LEAST_FOLLOWING, "random search": _GAIN}.get(one.question, math.log(margin_of(one)))
    room = max(margin - abs(mean), margin / 10)
    return max(n + 1, math.ceil(min(clear, (_WIDTH * spread / room) ** 2)))


def too_few(found: Sequence[Finding], is_fixed: bool) -> tuple[str, str] | None:
    """Return the kind and the reason where searches decide nothing however they end, None where they can."""
    fewest = min(one.n for one in found)
    if fewest >= LEAST_SEARCHES:
        return None
    if is_fixed:
        return CANNOT_TELL, ONE_SEARCH
    pairs = f"{fewest} {'pair' if fewest == 1 else 'pairs'} of searches"
    return NOT_ENOUGH, f"{pairs} decide nothing however they end, at least {LEAST_SEARCHES} are needed"


def luck_of(results: pd.DataFrame, plain: str, table: TabularBenchmark | None) -> Luck | None:
    """Return how lucky the architectures are that the reference arm named; None where their table is not known."""
    rows = results[(results["arm"] == plain) & results["proposals"].notna()]
    if table is None or rows.empty:
        return None
    named = np.array([table.space.decode(key) for keys in rows["proposals"] for key in keys.split()])
    first, last = table.ranks()
    ranks = (first + last) / 2
    if table.known is not None:  # the others count as the best, so that the list looks luckier than it is, never less
        ranks = np.where(table.known, ranks, 1.0)
    worth = np.log(ranks).reshape([len(options) for options in table.space.choices])
    return Luck(relabelling_p(named, worth), placing_p(named, worth), len(np.unique(named, axis=0)))


def table_of(results: pd.DataFrame, plain: str) -> TabularBenchmark | None:
    """Return the table of searches on one benchmark: that of their journals, else of its name; None if not here."""
    rows = results[(results["arm"] == plain) & results["proposals"].notna()]
    journals = [path for path in rows["journal"].dropna() if Path(path).is_file()] if "journal" in rows else []
    try:
        if journals:
            return recorded_benchmark(read_run(journals[0]).settings)
        return load_benchmark(str(rows["benchmark"].iloc[0])) if len(rows) else None
    except (DataMissing, UnknownName):
        return None
