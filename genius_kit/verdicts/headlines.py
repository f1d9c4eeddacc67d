"""The headline of verdicts, whichever instrument they are of: the answer in at most 25 words with its number."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from genius_kit.benchmarks.catalogue import title_of
from genius_kit.proposers.methods import shown_model
from genius_kit.stats import Estimate, share_of
from genius_kit.texts import number, p_text, ratio_text

MOST_WORDS = 25
RANDOM = "random search"
CONDITIONS = {
    "shuffled-feedback": "with shuffled results",
    "no-feedback": "without results",
    "permuted-labels": "with permuted labels",
    "anonymous": "without names",
}
"""What the model sees in an arm, as a sentence says it."""
CHEAP_RULE, OWN_START = "cheap rule", "its own start"
"""The questions that a verdict answers beside its own: do cheap rules do as well, do optimisers with its own start?"""


@dataclass(frozen=True)
class Deciding:
    """The comparison that a verdict rests on: `name` (a control, say), `words` that say what is measured, the numbers.

    `unit` is "ratio", "rate", "loss", "gain" or "following"; `p_value` is corrected where the instrument corrects it.
    `of_ranks`: it is the ratio of ranks with a change, which is `name`, to those without.
    """

    name: str
    words: str
    unit: str
    estimate: Estimate
    p_value: float
    n: int
    of_ranks: bool = False

    def text(self, value: float) -> str:
        """Return a number of this comparison as it is printed."""
        if value < 1_000 and self.unit in ("ratio", "loss"):
            return ratio_text(value)
        return number(value, 0 if value >= 1_000 else 2)


def verdict_headline(judged: Any) -> str:
    """Return a `Verdict` in at most 25 words: what is asked, of whom and where, and the answer with its number."""
    evidence = judged.evidence
    asked = next((words for column, words in _ASKED.items() if column in evidence), "")
    told = [evidence[name].iloc[-1] for name in ("method", "model") if name in evidence and len(evidence)]
    name = next(
        (one for one in told if isinstance(one, str)), re.split(",? (?:finds|has|is|knows|shows) ", judged.sentence)[0]
    )
    places = list(evidence["benchmark"].dropna().unique()) if "benchmark" in evidence else []
    where = f" on {title_of(places[0])}" if len(places) == 1 else ""
    return headline(asked, {f"{shown_model(name)}{where}": (judged.kind, decisive(judged))})


_ASKED = {
    "question": "Does it search?",
    "p_memory": "Is it contaminated?",
    "pairs_needed": "Does the wording matter?",
    "measure": "Does it repeat itself?",
    "loss": "Does it transfer?",
    "gain": "Does it find better fronts?",
    "canary": "Does it know the table?",
}
"""What an instrument asks, by a column of its evidence."""


def decisive(judged: Any) -> Deciding | None:
    """Return the comparison that a verdict rests on, None where its evidence has none."""
    evidence = judged.evidence
    found = next((choose for column, choose in _INSTRUMENTS.items() if column in evidence), None)
    return None if found is None or evidence.empty else found(judged.kind, evidence)


def _of_search(kind: str, evidence: Any) -> Deciding:
    """Return the comparison about results, about the labels that convict, or what is open, of the least p."""
    asked = {"recites": ("labels",), "does neither": (RANDOM,)}.get(kind, ("feedback", "replies", "moves"))
    open_ones = evidence[(evidence["answer"] == "unclear") & ~evidence["question"].isin((CHEAP_RULE, OWN_START))]
    some = open_ones if kind == "not enough runs" else evidence[evidence["question"].isin(asked)]
    row = _smallest(some if len(some) else evidence, "p_value")
    words = {
        RANDOM: "evaluations of random search ÷ its own",
        "replies": "how far replies follow shuffled results (1: like a hill climber)",
        "moves": "how far proposals follow their own results, beside shuffled ones (1: like a hill climber)",
        "feedback": f"typical rank with {row['kind']} ÷ without",
        "labels": f"typical rank with {row['kind']} ÷ without",
    }
    question = str(row["question"])
    name = question if question in _SHORT else row["kind"]
    found = _deciding(name, words.get(question, f"rank with {row['kind']} ÷ without"), row, "p_value")
    if question == RANDOM:
        return found
    if question not in ("replies", "moves"):
        return replace(found, of_ranks=True)
    return replace(found, unit="following", estimate=replace(found.estimate, neutral=0.0), n=int(row["independent"]))


def _of_memory(kind: str, evidence: Any) -> Deciding:
    """Return what the bare name is worth where that convicts, else what names are worth on the private table, or more
    on the public one, of the control that shows most."""
    if kind == "contaminated":
        row = evidence[(evidence["control"] == "knowledge-probe") & (evidence["table"] == "public")].iloc[0]
        return _deciding(row["control"], "evaluations of random search ÷ its own, by the bare name", row, "p_memory")
    table = "private" if "everywhere" in kind else "difference"
    row = _smallest(evidence[evidence["table"] == table], "p_value")
    words = "gain from names, private table" if table == "private" else "gain from names, public ÷ private table"
    return _deciding(row["control"], f"{words} ({row['control']})", row, "p_value")


def _of_prompt(kind: str, evidence: Any) -> Deciding:
    """Return the change with the largest effect among those that have this verdict."""
    some = evidence[evidence["verdict"] == kind]
    row = some.loc[some["ratio"].map(lambda ratio: abs(math.log(ratio))).fillna(-1).idxmax()]
    return replace(_deciding(row["change"], f"rank with {row['change']} ÷ without", row, "p_corrected"), of_ranks=True)


def _of_replies(kind: str, evidence: Any) -> Deciding:
    row = next(row for _, row in evidence.iterrows() if re.fullmatch("(?!words).*, first request", row["measure"]))
    return _deciding("first reply", "pairs of first replies with the same architecture", row, None, "rate")


def _of_transfer(kind: str, evidence: Any) -> Deciding:
    return _deciding(
        "moved", "rank of a moved architecture ÷ rank of one found there", evidence.iloc[-1], "p_value", "loss"
    )


def _of_front(kind: str, evidence: Any) -> Deciding:
    words, row = "share of the hypervolume − that of random search", evidence.iloc[0]
    return _deciding("hypervolume", words, row, "p_value", "gain", "gain_low", "gain_high")


def _of_questions(kind: str, evidence: Any) -> Deciding:
    """Return how often the published accuracy was picked; 1 / e-value bounds a p-value."""
    asked = evidence[~evidence["canary"]]
    hits = int((asked["answer"] == asked["published"]).sum())
    share = share_of(hits, len(asked)) if len(asked) else Estimate(math.nan, math.nan, math.nan)
    p_value = min(1.0, 1 / max(float(evidence["e_value"].max()), 1e-9))
    return Deciding(
        "published accuracy", "questions answered with the published accuracy", "rate", share, p_value, len(asked)
    )


_INSTRUMENTS: Mapping[str, Callable[[str, Any], Deciding]] = {
    "question": _of_search,
    "p_memory": _of_memory,
    "pairs_needed": _of_prompt,
    "measure": _of_replies,
    "loss": _of_transfer,
    "gain": _of_front,
    "canary": _of_questions,
}
"""The column by which the evidence of an instrument is known."""


def _smallest(rows: Any, column: str) -> Any:
    return rows.loc[rows[column].astype(float).fillna(2).idxmin()]


def _deciding(
    name: str, words: str, row: Any, p_value: str | None, unit: str = "ratio", low: str = "low", high: str = "high"
) -> Deciding:
    neutral = {"ratio": 1.0, "loss": 1.0, "gain": 0.0}.get(unit, math.nan)
    ends = [float(row[name]) for name in (unit, low, high)]
    value, below, above = ends if all(map(math.isfinite, ends)) else [math.nan] * 3
    estimate = Estimate(value, below, above, neutral)
    return Deciding(name, words, unit, estimate, float(row[p_value]) if p_value else math.nan, int(row["n"]))


Found = Mapping[str, "tuple[str, Deciding | None]"]


def headline(question: str, found: Found) -> str:
    """Return the answer in at most MOST_WORDS words: with all numbers, fewer, none, or the verdicts counted."""
    sizes = {one.n for _, one in found.values() if one is not None}
    shared = f"; n = {sizes.pop()}" if len(sizes) == 1 and len(found) > 1 else ""
    for tell in (_whole, _value, *([_nothing] if len(found) < 3 else [])):
        told = [f"{name}: {kind}{_brackets(one, tell, not shared)}" for name, (kind, one) in found.items()]
        text = f"{question} {'; '.join(told)}{shared}."
        if len(text.split()) <= MOST_WORDS:
            return text
    return _counted(question, found, shared)


def _brackets(one: Deciding | None, tell: Callable[[Deciding], str], with_n: bool) -> str:
    if one is None:
        return ""
    measured = [] if math.isnan(one.estimate.value) else [tell(one)]
    if one.unit == "following" and one.p_value < 0.05 and one.estimate.low <= 0 <= one.estimate.high:
        measured = [f"following: p {p_text(one.p_value)}"]  # what tells is not in the mean
    inside = ", ".join(filter(None, [*measured, f"n = {one.n}" if with_n else ""]))
    return f" ({inside})" if inside else ""


_SHORT = {RANDOM: "random ×", "replies": "following ", "moves": "following own results "}
"""What stands before the number of a comparison that is no ratio of ranks."""


def _whole(one: Deciding) -> str:
    if one.of_ranks:
        return f"{_value(one)} {CONDITIONS.get(one.name, f'with {one.name}')}"
    return _value(one) if one.name in _SHORT else f"{one.name}: {_value(one)}"


def _value(one: Deciding) -> str:
    unit = "rank ×" if one.of_ranks else f"{one.unit} "
    return f"{_SHORT.get(one.name, unit)}{one.text(one.estimate.value)}"


def _nothing(one: Deciding) -> str:
    return ""


def _counted(question: str, found: Found, shared: str) -> str:
    """Return how many verdicts are of each kind, the most frequent first, as many kinds as there are words for."""
    counts = Counter(kind for kind, _ in found.values()).most_common()
    for shown in range(len(counts), 0, -1):
        told = [f"{kind}: {count} of {len(found)}" for kind, count in counts[:shown]]
        told += [f"others: {sum(count for _, count in counts[shown:])}"] if shown < len(counts) else []
        text = f"{question} {'; '.join(told)}{shared}."
        if len(text.split()) <= MOST_WORDS:
            break
    return text
