"""What the paper's printed trials and its published conversations show: how much of them is evidence, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks import Benchmark, downloads
from genius_kit.errors import DataMissing
from genius_kit.figures.conclusions.base import INCONCLUSIVE, Conclusion, conclude, search_conclusion
from genius_kit.figures.paper import trajectory_table
from genius_kit.paper import TRIAL_TABLES, best_places, early_p, paper_label, printed_evidence
from genius_kit.prompts.published import read_conversation
from genius_kit.proposers.methods import shown_model
from genius_kit.runs.frames import Runs, best_architecture
from genius_kit.spaces import CONVENTIONS, count_cost, load_space, recorded_space
from genius_kit.stats.paired import holm_of
from genius_kit.texts import UNKNOWN, number, p_text
from genius_kit.verdicts.base import LEVEL
from genius_kit.verdicts.rationales import Agreement, agreement, rationales_of_conversation

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.journal import Run


ALONE = "accuracy alone"

PUBLISHED = {"GPT-4, GENIUS-329": "chat_history/329M.json", "GPT-4, GENIUS-401": "chat_history/401M.json"}
"""What a published conversation is called, and its file."""


def paper_conclusions(*searched: tuple[TabularBenchmark, Runs], model: str) -> tuple[Conclusion, ...]:
    """Return what the paper's printed trials show, then its GPT-4 and a model beside random search and descent.

    Parameters
    ----------
    *searched
        Pairs of a benchmark and its runs by method, as in `search_conclusion`.
    model
        The model or method that the second conclusion is about.
    """
    benchmarks = [benchmark for benchmark, _ in searched]
    beside = [search_conclusion(*searched, model=name, only_model=True) for name in (paper_label(0), model)]
    return (printed_conclusion(*benchmarks), order_conclusion(*benchmarks), *beside)


def printed_conclusion(*benchmarks: Benchmark) -> Conclusion:
    """Return how many printed evaluations of the paper the tables have, told apart by what finding one shows.

    An accuracy and its rank must both be right; an accuracy alone is in these tables nearly always.

    Parameters
    ----------
    *benchmarks
        Tables on which the paper prints trials.
    """
    found = [printed_evidence(one, t) for one in benchmarks for t in sorted(TRIAL_TABLES.get(one.name, {}))]
    lines: list[dict[Any, Any]] = [row for frame in found for row in frame.to_dict("records")]
    rows = [
        {
            "table": row["table"],
            "printed numbers": row["figures"],
            "found": f"{row['found']} of {row['printed']}",
            "an arbitrary accuracy": f"{number(100 * row['by_chance'], 1)} %",
        }
        for row in sorted(lines, key=lambda row: int(row["table"].split()[1]))
    ]
    alone = [row for row in lines if row["figures"] == ALONE]
    ranked = [row for row in lines if row["figures"] != ALONE]
    told = [_told(name, some) for name, some in (("Accuracy with rank", ranked), ("accuracy alone", alone)) if some]
    note = (
        "Found: a row of the published table has the printed numbers, to two decimals. An arbitrary accuracy: the "
        "share of all accuracies with two decimals, between the lowest and the highest printed, that have such a row; "
        "near 100 %, finding one shows nothing. By chance, in the headline: that share of the printed ones. Test "
        "accuracy and rank: those of the architecture that a trial chose."
    )
    headline = f"{'; '.join(told)}."
    headline = headline[0].upper() + headline[1:]
    return conclude(headline, rows, "The paper's printed evaluations in the published tables", note, words=2)


def _told(name: str, rows: Sequence[Mapping[Any, Any]]) -> str:
    printed, found = (sum(int(row[key]) for row in rows) for key in ("printed", "found"))
    expected = sum(row["printed"] * row["by_chance"] for row in rows)
    return f"{name}: {found} of {printed} in the tables (by chance {number(expected, 0)})"


def order_conclusion(*benchmarks: Benchmark) -> Conclusion:
    """Return whether the paper's trials find their best in the first half of their evaluations, by search space.

    Earlier or later only where a two-sided exact test says so, corrected by Holm's rule over the spaces.

    Parameters
    ----------
    *benchmarks
        Tables on which the paper prints trials.
    """
    import pandas as pd

    trials: dict[str, list[pd.DataFrame]] = {}
    for one in benchmarks:
        for temperature in TRIAL_TABLES.get(one.name, {}):
            trials.setdefault(one.space.name, []).append(best_places(one, temperature))
    spaces = {name: pd.concat(some) for name, some in trials.items()}
    p_values = {name: early_p(some) for name, some in spaces.items()}
    corrected, answers = holm_of(p_values), dict.fromkeys(spaces, INCONCLUSIVE)
    for name, some in spaces.items():
        if corrected[name] < LEVEL:
            answers[name] = "earlier" if some["early"].sum() > some["by_chance"].sum() else "later"
    rows = [
        {
            "space": load_space(name).title,
            "best in the first half": f"{int(some['early'].sum())} of {len(some)}",
            "by chance": number(some["by_chance"].sum(), 1),
            "p": p_text(p_values[name]),
            "p, corrected": p_text(corrected[name]),
            "than chance": answers[name],
        }
        for name, some in spaces.items()
    ]
    every = pd.concat(spaces.values())
    words = list(answers.values())
    said = f"earlier than chance on {words.count('earlier')} of {len(words)} spaces, later on {words.count('later')}"
    if set(words) <= {INCONCLUSIVE}:
        said = f"{INCONCLUSIVE} on every space"
    note = (
        "Counted is a trial's first evaluation with its best accuracy. By chance: if the order of a trial's "
        "evaluations were random. p: exact, two-sided; corrected by Holm's rule over the spaces."
    )
    headline = (
        f"Best found in the first half: {int(every['early'].sum())} of {len(every)} printed trials of GPT-4; {said}."
    )
    return conclude(headline, rows, "When the paper's trials find their best", note)


def imagenet_conclusion(replays: Mapping[str, Run]) -> Conclusion:
    """Return what the bound cost each replayed ImageNet search, and what its evaluations gained.

    One conversation is one search: nothing is compared.

    Parameters
    ----------
    replays
        Name of a search -> its replay (`replay_conversation`).
    """
    tables = {name: trajectory_table(run) for name, run in replays.items()}
    rows = [_imagenet_row(name, run, tables[name]) for name, run in replays.items()]
    outside = " and ".join(f"{_outside(table)} of {len(table)}" for table in tables.values())
    gains = " and ".join(f"{_accuracies(table).max() - _accuracies(table).iloc[0]:+.2f}" for table in tables.values())
    headline = f"Replayed: {outside} replies outside the bound; told accuracy {gains} points (n = 1 each)."
    note = (
        "Accuracy as the authors told it to the model, the best beside the first. Parameters and multiply-accumulates "
        "are those of the best told network: by the paper's count / of convolutions and linear layers alone. One "
        "conversation each, one short training per network: there is no spread, so nothing is compared."
    )
    return conclude(headline, rows, "The published ImageNet searches", note)


def _outside(table: pd.DataFrame) -> int:
    return int((table["reason"] == "constraint").sum())


def _accuracies(table: pd.DataFrame) -> pd.Series:
    return table["feedback"].dropna().astype(float)


def _imagenet_row(name: str, run: Run, table: pd.DataFrame) -> dict[str, str]:
    space, told, replies = recorded_space(run.settings), _accuracies(table), len(table)
    evaluated = table[table["outcome"] == "evaluated"]
    best = int(evaluated["feedback"].astype(float).argmax()) + 1
    costs = [count_cost(space, best_architecture([run]), convention=way) for way in CONVENTIONS]
    outside = _outside(table)
    return {
        "search": name,
        "outside the bound": f"{outside} of {replies}",
        "refused otherwise": str(replies - outside - len(evaluated)),
        "evaluated, told": f"{len(evaluated)}, {len(told)}",
        "first told (%)": number(told.iloc[0]),
        "best told (%)": f"{number(told.max())} at evaluation {best}",
        "parameters": f"{costs[0].parameters:,}",
        "multiply-accumulates": " / ".join(f"{cost.macs:,}" for cost in costs),
    }


def claims_conclusion(said: Mapping[str, Agreement]) -> Conclusion:
    """Return how many claims about its changes hold in the words of each model, and in GPT-4's published ones.

    More than by chance only at p < 0.05, corrected by Holm's rule. A conversation that is not here is named as missing.

    Parameters
    ----------
    said
        Name -> the agreement of its claims (`rationales.agreement`).
    """
    found: dict[str, Agreement | None] = {shown_model(name): one for name, one in said.items()}
    found |= {name: _published(file) for name, file in PUBLISHED.items()}
    p_values = holm_of({name: one.p_value for name, one in found.items() if one is not None})
    rows = [_claims_row(name, one, p_values.get(name)) for name, one in found.items()]
    told = "; ".join(f"{name}: {_claims_told(one, p_values.get(name))}" for name, one in found.items())
    note = (
        "Claims that can be checked against the actual change. By chance: the same sentences compared with the other "
        "proposals of the search. Intervals: 95 %, Wilson; p: proposals permuted, one-sided, corrected by Holm's rule."
    )
    return conclude(f"Claims beyond chance? {told}.", rows, "What is said of a change, and the change", note)


def _published(file: str) -> Agreement | None:
    """Return the agreement of a published conversation, None where it was not downloaded."""
    try:
        path = downloads.find(file)
    except DataMissing:
        return None
    return agreement(*rationales_of_conversation(read_conversation(path)))


def _claims_told(one: Agreement | None, p_value: float | None) -> str:
    if one is None:
        return "not downloaded"
    if p_value is None:
        return "no claim"
    return f"{one.held} of {one.checked}, {'yes' if p_value < LEVEL else 'no'}"


def _claims_row(name: str, one: Agreement | None, p_value: float | None) -> dict[str, Any]:
    if one is None:
        missing = "not here: genius-kit data fetch"
        return {"words of": name, "claims that hold": missing, "share (%)": UNKNOWN, "by chance (%)": UNKNOWN,
                "p": UNKNOWN, "replies": UNKNOWN}  # fmt: skip
    low, high = number(100 * one.low, 0), number(100 * one.high, 0)
    share = f"{number(100 * one.share, 0)} ({low}–{high})" if one.checked else UNKNOWN
    return {
        "words of": name,
        "claims that hold": f"{one.held} of {one.checked}",
        "share (%)": share,
        "by chance (%)": number(100 * one.chance, 0),
        "p": p_text(p_value),
        "replies": str(one.proposals),
    }
