"""What methods are called in figures, tables and sentences, and which of them give the same search for every seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from genius_kit.chat import OFFLINE_NAME, RECITER, is_stand_in
from genius_kit.llm.agents import is_agent, shown
from genius_kit.llm.offline import ReciterClient
from genius_kit.texts import in_line

if TYPE_CHECKING:
    import pandas as pd


STAND_IN = OFFLINE_NAME
REPLAYED = "GPT-4, replayed from the record"
PRIOR = "prior (largest everywhere)"
LANGUAGE_MODEL, OWN_AGENT, NO_MODEL = "language model", "agent", ", not a language model"

_TEMPERATURE = re.compile(r"\btemperature [\d.]+(, )?")
_SHORT = {"gp hamming": "Gaussian process, one-hot", "gp": "Gaussian process", "tpe": "TPE", "linear": "linear model"}
_SHORT_WORDS = re.compile(r"\b(gp hamming|gp|tpe)\b|^linear$")


def shown_model(model: str) -> str:
    """Return what figures and tables call a model: its name, or what answers in its place."""
    if is_stand_in(model) and not model.endswith(NO_MODEL):
        return f"{model}{NO_MODEL}" if model.startswith(RECITER) else STAND_IN
    return REPLAYED if model == "as recorded" else shown(model)


def model_kind(model: object) -> str | None:
    """Return what answers by the name `model`: LANGUAGE_MODEL, OWN_AGENT (whatever that is), or which client is none.

    None without a model.
    """
    if not isinstance(model, str):
        return None
    if is_stand_in(model):
        return ReciterClient.kind if model.startswith(RECITER) else STAND_IN
    return OWN_AGENT if is_agent(model) else LANGUAGE_MODEL


def shown_name(arm: str, model: object = None) -> str:
    """Return the name that figures and tables give an arm of a study, or a proposer, that asks `model` (if any does).

    "gp", "tpe" and "linear" are written out. An arm of the offline stand-in is named as one: "offline stand-in, not a
    language model" for the reference arm "llm", "stand-in: shuffled feedback" for a control. It has no temperature, so
    that its name has none; one of "reciter:KEY" likewise.
    """
    words = _SHORT_WORDS.sub(lambda found: _SHORT[found[0]], arm.replace("-", " "))
    if not (isinstance(model, str) and is_stand_in(model)):
        return PRIOR if arm == "prior" else words
    words = _TEMPERATURE.sub("", words).strip(", ")
    if words in ("llm", ""):
        return shown_model(model)
    short = "reciter" if model.startswith(RECITER) else "stand-in"
    return re.sub(r"\bllm\b", short, words) if re.search(r"\bllm\b", words) else f"{short}: {words}"


def plain_name(name: str) -> str:
    """Return the name of the same arm where it asks a language model: what `shown_name` gives without a model."""
    if name.endswith(NO_MODEL):
        return "llm"
    return re.sub(r"\b(stand-in|reciter)\b", "llm", re.sub(r"^(stand-in|reciter): ", "", name))


def subject(model: str) -> str:
    """Return a model as the subject of a sentence: "gpt-6.1-sol", "offline stand-in, not a language model,"."""
    name = shown_model(model)
    return f"{name}," if name.endswith(NO_MODEL) else name


def stand_in_note(models: Iterable[object]) -> str | None:
    """Return the line that says which of these models are none; None where there is none such."""
    found = dict.fromkeys(str(model) for model in models if model_kind(model) not in (None, LANGUAGE_MODEL, OWN_AGENT))
    named = ["the offline stand-in" if shown_model(model) == STAND_IN else model for model in found]
    told = in_line(" and ".join(named))
    return f"Note: the replies come from {told}, not from a language model." if named else None


def with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns arm and model, and beside them `method` and `model_kind`: what each row is.

    `method` is what `shown_name` says, `model_kind` what `model_kind` says.
    """
    pairs = list(zip(frame["arm"], frame["model"], strict=True))
    kinds: list[Any] = [model_kind(model) for _, model in pairs]
    return frame.assign(method=[shown_name(str(arm), model) for arm, model in pairs], model_kind=kinds)


Search = TypeVar("Search")

SEQUENCE = "sequence"
"""The column of `studies.results` in which `sequence_of` stands."""

ARM = ("study", "benchmark", "arm", "model", "prompt", "touched", "budget")
"""Rows that agree in these columns, those of them that are there, are searches of one arm."""

TOLD = "n = 1, a fixed rule"

ONE_SEARCH = (
    "its searches are all identical and count once; more seeds would repeat them: let each begin at an architecture of "
    "its own (`first: random` in a study file)"
)


def sequence_of(search: Any) -> str | None:
    """Return a short sum of what a search evaluated, in order, with the results: equal for equal searches.

    `search` is a Run or its frame; None for a frame that does not say which architectures it is of.
    """
    if hasattr(search, "columns"):
        if not {"key", "feedback"} <= set(search.columns):
            return None
        steps = list(zip(search["key"], search["feedback"].astype(float), strict=True))
    else:
        steps = [(one["architecture"], one["feedback"]) for one in search.of("evaluation")]
    return hashlib.sha256(repr(steps).encode()).hexdigest()[:12]


def are_one(sequences: Iterable[object]) -> bool:
    """Return whether the searches with these sequences, two or more, are one search; unknown ones (None) are not."""
    found = list(sequences)
    return len(found) > 1 and isinstance(found[0], str) and len(set(found)) == 1


def distinct(searches: Sequence[Search]) -> list[Search]:
    """Return the searches (Runs or frames) of one method, of a fixed rule the first alone."""
    return list(searches[:1] if are_one(map(sequence_of, searches)) else searches)


def counted_once(results: pd.DataFrame) -> pd.DataFrame:
    """Return `studies.results` with the first search alone of each arm whose finished searches are one search.

    The column `searches` says how many each row stands for.
    """
    counted = results.assign(searches=1).reset_index(drop=True)
    if SEQUENCE not in results:
        return counted
    done = counted[counted["reason"].notna()] if "reason" in results else counted
    for _, rows in done.groupby([name for name in ARM if name in results], dropna=False):
        if are_one(rows[SEQUENCE]):
            counted.loc[rows.index, "searches"] = [len(rows), *[0] * (len(rows) - 1)]
    return counted[counted["searches"] > 0]


def fixed_arms(counted: pd.DataFrame) -> set[str]:
    """Return the names of the arms of which `counted_once` counted several searches as one."""
    return set(counted.loc[counted["searches"] > 1, "arm"].astype(str))


def n_text(searches: int, counted: int) -> str:
    """Return how many of some searches count, in words: "n = 20", or "n = 1, a fixed rule" where they are one."""
    return TOLD if counted < searches else f"n = {counted}"
