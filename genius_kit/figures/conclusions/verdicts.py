"""What verdicts say, whichever instrument they are of: a headline of at most 25 words, and the number behind each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from genius_kit.figures.conclusions.base import MOST_WORDS, RANDOM, Conclusion, conclude, ratio_text
from genius_kit.figures.tables import UNKNOWN, number, p_text, study_table
from genius_kit.proposers.methods import shown_model
from genius_kit.stats import Estimate
from genius_kit.stats.paired import Comparison
from genius_kit.studies.results import summary
from genius_kit.verdicts import Verdict, verdict
from genius_kit.verdicts.base import CHEAP_RULE, OWN_START

if TYPE_CHECKING:
    import pandas as pd


class PairedRanks(Protocol):
    """Searches of two settings with the same seeds: what `lab.compare_prompts` returns."""

    @property
    def variant(self) -> Mapping[str, Any]: ...

    @property
    def pairs(self) -> tuple[tuple[int, float, float], ...]: ...

    @property
    def differing(self) -> dict[str, tuple[Any, Any]]: ...

    @property
    def comparison(self) -> Comparison | None: ...

    @property
    def kind(self) -> str: ...

    def more_needed(self) -> int: ...


@dataclass(frozen=True)
class Deciding:
    """The comparison that a verdict rests on: `name` (a control, say), `words` that say what is measured, the numbers.

    `unit` is "ratio", "rate", "loss", "gain" or "following"; `p_value` is corrected where the instrument corrects it.
    """

    name: str
    words: str
    unit: str
    estimate: Estimate
    p_value: float
    n: int

    def text(self, value: float) -> str:
        """Return a number of this comparison as it is printed."""
        if value < 1_000 and self.unit in ("ratio", "loss"):
            return ratio_text(value)
        return number(value, 0 if value >= 1_000 else 2)


def verdict_conclusion(verdicts: Mapping[str, Verdict], question: str, model: str = "") -> Conclusion:
    """Return verdicts as a headline that answers one question, and one row each.

    The headline has the deciding numbers as far as it has words for them. The model "offline" is called what it is.

    Parameters
    ----------
    verdicts
        Name -> verdict; the names are models, or arms of one model.
    question
        The question that the headline answers.
    model
        The model, where the names are arms.
    """
    found = {shown_model(name): (judged.kind, decisive(judged)) for name, judged in verdicts.items()}
    rows = [{"of": name, "verdict": kind, **_cells(deciding)} for name, (kind, deciding) in found.items()]
    note = "n: searches, or pairs of searches with one seed."
    asked = f"{question} {shown_model(model)}:" if model else question
    return conclude(_headline(asked, found), rows, "What each verdict rests on", note, words=3)


def verdict_headline(judged: Verdict) -> str:
    """Return one verdict in at most 25 words: what is asked, of whom and where, and the answer with its number.

    Parameters
    ----------
    judged
        The verdict.
    """
    evidence = judged.evidence
    asked = next((words for column, words in _ASKED.items() if column in evidence), "")
    told = [evidence[name].iloc[-1] for name in ("method", "model") if name in evidence and len(evidence)]
    name = next((one for one in told if isinstance(one, str)), re.split(",? (?:is|has) ", judged.sentence)[0])
    places = list(evidence["benchmark"].dropna().unique()) if "benchmark" in evidence else []
    where = f" on {places[0]}" if len(places) == 1 else ""
    return _headline(asked, {f"{shown_model(name)}{where}": (judged.kind, decisive(judged))})


_ASKED = {
    "question": "Does it search?",
    "p_memory": "Is it contaminated?",
    "pairs_needed": "Does the wording matter?",
    "measure": "Does it say the same again?",
    "loss": "Does it transfer?",
    "gain": "Does it find better fronts?",
}
"""What an instrument asks, by a column of its evidence."""


def study_conclusion(studies: Mapping[str, pd.DataFrame], question: str, plain: str = "llm") -> Conclusion:
    """Return the verdict on whether each model searches, above the mean ranks of all arms of its study.

    Parameters
    ----------
    studies
        Name of a model -> frame of `studies.results`, of that model alone.
    question
        The question that the headline answers.
    plain
        The arm that asks the model with nothing changed.

    Raises
    ------
    InvalidParameter
        As `verdicts.verdict` does.
    """
    judged = {name: verdict(results, plain=plain) for name, results in studies.items()}
    tables = {name: study_table(summary(results, reference=plain)) for name, results in studies.items()}
    rows = [
        {
            "searches of": f"{shown_model(name)}: {place}" if place else "",
            **dict(zip(table.header[1:], cells, strict=True)),
        }
        for name, table in tables.items()
        for place, *cells in table.rows
    ]
    note = (
        "Mean rank with its bootstrap interval (rank 1 is best, ties count with the middle of their range). Ratio: "
        f"geometric mean of the rank over that of “{plain}”, seed by seed, with its bootstrap interval; p: two-sided "
        "sign flips of the pairs, by Holm's rule over the arms of one model. "
    ) + " ".join(f"{shown_model(name)}: {_rests_on(decisive(one))}." for name, one in judged.items())
    return conclude(verdict_conclusion(judged, question).headline, rows, "Best found in each arm", note, words=2)


def prompts_conclusion(paired: PairedRanks) -> Conclusion:
    """Return what the pairs of searches of two settings say, and what so many pairs can say at most.

    Parameters
    ----------
    paired
        Ranks of the pairs, as `lab.compare_prompts` gives them.
    """
    found, n = paired.comparison, len(paired.pairs)
    names = " beside ".join(", ".join(str(pair[side]) for pair in paired.differing.values()) for side in (1, 0))
    model = shown_model(str(paired.variant.get("model", "the model")))
    told, numbers = f"n = {n}", [UNKNOWN] * 3
    if found is not None:
        ratio, low, high = map(ratio_text, (found.ratio, found.ratio_low, found.ratio_high))
        told = f"ratio {ratio}, n = {n} pairs, p at least {found.smallest_p:.2g}"
        numbers = [f"{ratio} ({low} to {high})", p_text(found.p_value), p_text(found.smallest_p)]
    measured = dict(zip(("rank ÷ rank (95 %)", "p", "least p possible"), numbers, strict=True))
    counts = {"pairs": str(n), "different pairs": str(len({pair[1:] for pair in paired.pairs}))}
    repeated = n > 1 and counts["different pairs"] == "1"
    more = "0" if paired.kind != "cannot tell" else "more repeat it" if repeated else f"about {paired.more_needed():,}"
    row = {"of": names, "verdict": paired.kind, **measured, **counts, "pairs still to run": more}
    note = "A pair is one seed. p: two-sided sign flips. Pairs that repeat one another say no more than one of them."
    return conclude(f"{model}: {names}: {paired.kind} ({told}).", [row], "Two prompts, seed by seed", note, words=2)


def decisive(judged: Verdict) -> Deciding | None:
    """Return the comparison that a verdict rests on, None where its evidence has none."""
    evidence = judged.evidence
    found = next((choose for column, choose in _INSTRUMENTS.items() if column in evidence), None)
    return None if found is None or evidence.empty else found(judged.kind, evidence)


def _of_search(kind: str, evidence: Any) -> Deciding:
    """Return the comparison about results, about the labels that convict, or what is open, of the least p."""
    asked = {"recites": ("labels",), "does neither": (RANDOM,)}.get(kind, ("feedback", "replies"))
    open_ones = evidence[(evidence["answer"] == "unclear") & ~evidence["question"].isin((CHEAP_RULE, OWN_START))]
    some = open_ones if kind == "not enough runs" else evidence[evidence["question"].isin(asked)]
    row = _smallest(some if len(some) else evidence, "p_value")
    words = {
        RANDOM: "evaluations of random search ÷ its own",
        "replies": "how far replies follow shuffled results; 1: as a hill climber's",
        "feedback": f"typical rank with {row['kind']} ÷ without",
        "labels": f"typical rank with {row['kind']} ÷ without",
    }
    question = str(row["question"])
    name = question if question in (RANDOM, "replies") else row["kind"]
    found = _deciding(name, words.get(question, f"rank with {row['kind']} ÷ without"), row, "p_value")
    if question != "replies":
        return found
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
    return _deciding(row["change"], f"rank with {row['change']} ÷ without", row, "p_corrected")


def _of_replies(kind: str, evidence: Any) -> Deciding:
    row = next(row for _, row in evidence.iterrows() if re.fullmatch("(?!words).*, first request", row["measure"]))
    return _deciding("first reply", "pairs of first replies that name one architecture", row, None, "rate")


def _of_transfer(kind: str, evidence: Any) -> Deciding:
    return _deciding("moved", "rank of what is moved ÷ of what is found there", evidence.iloc[-1], "p_value", "loss")


def _of_front(kind: str, evidence: Any) -> Deciding:
    words, row = "share of the hypervolume − that of random search", evidence.iloc[0]
    return _deciding("hypervolume", words, row, "p_value", "gain", "gain_low", "gain_high")


_INSTRUMENTS: Mapping[str, Callable[[str, Any], Deciding]] = {
    "question": _of_search,
    "p_memory": _of_memory,
    "pairs_needed": _of_prompt,
    "measure": _of_replies,
    "loss": _of_transfer,
    "gain": _of_front,
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


def _cells(deciding: Deciding | None) -> dict[str, str]:
    if deciding is None:
        return {"rests on": UNKNOWN, "value (95 %)": UNKNOWN, "p": UNKNOWN, "n": UNKNOWN}
    known = deciding.estimate
    value, low, high = map(deciding.text, (known.value, known.low, known.high))
    told = UNKNOWN if math.isnan(known.value) else f"{value} ({low} to {high})"
    return {"rests on": deciding.words, "value (95 %)": told, "p": p_text(deciding.p_value), "n": str(deciding.n)}


def _rests_on(deciding: Deciding | None) -> str:
    cells = _cells(deciding)
    return f"the verdict rests on {cells['rests on']}, {cells['value (95 %)']}, p {cells['p']}, n = {cells['n']}"


Found = Mapping[str, "tuple[str, Deciding | None]"]


def _headline(question: str, found: Found) -> str:
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
    inside = ", ".join(filter(None, [*measured, f"n = {one.n}" if with_n else ""]))
    return f" ({inside})" if inside else ""


_SHORT = {RANDOM: "random ×", "replies": "following "}
"""What stands before the number of a comparison that is no ratio of ranks."""


def _whole(one: Deciding) -> str:
    return _value(one) if one.name in _SHORT else f"{one.name}: {_value(one)}"


def _value(one: Deciding) -> str:
    return f"{_SHORT.get(one.name, f'{one.unit} ')}{one.text(one.estimate.value)}"


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
