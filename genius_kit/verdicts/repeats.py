"""Searches that repeat one another, read from their journals: the same settings, the same first request.

Every reply is known by the request that it answers, so that replies are compared where the same was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.journal import Event, Run, read_run, readable
from genius_kit.journal.chain import WITHHELD
from genius_kit.proposers.methods import shown_model, shown_name
from genius_kit.records import RankRange
from genius_kit.spaces import recorded_space

VARIED = ("temperature", "request_seed")
"""The settings that tell arms of a reproducibility study apart."""

_ANSWERS = ("rejected", "approval", "proposal", "declined")
_ALL = {"words": "text", "designs": "design"}

Source = str | Path | Iterable[Run | str | Path]


@dataclass(frozen=True)
class Said:
    """One reply.

    Parameters
    ----------
    iteration
        From 1.
    request
        SHA-256 of the messages that it answers.
    text
        The reply.
    design
        Key of the architecture that it proposed, or the reason of its refusal.
    served, fingerprint
        The model and its build as the server named them.
    """

    iteration: int
    request: str
    text: str
    design: str
    served: str | None
    fingerprint: str | None


@dataclass(frozen=True)
class Repeat:
    """One search among repeated ones.

    Parameters
    ----------
    run
        Its record.
    day
        Day (UTC) of the first reply.
    said
        Its replies in order.
    designs
        Keys of the architectures that it evaluated.
    """

    run: Run
    day: str
    said: tuple[Said, ...]
    designs: tuple[str, ...]

    @cached_property
    def by_request(self) -> dict[str, Said]:
        """The reply to each request."""
        return {one.request: one for one in self.said}

    @cached_property
    def rank(self) -> float | None:
        """The middle of the ranks of the best architecture found, None where there is no table."""
        rank = RankRange.of_best(self.run.of("evaluation"))
        return None if rank is None else rank.mean


@dataclass(frozen=True)
class Repeats:
    """The searches of one condition, which all begin with the same request.

    Parameters
    ----------
    arm
        Name of the arm.
    settings
        All that decides the searches, by name.
    searches
        The searches.
    """

    arm: str
    settings: dict[str, Any]
    searches: tuple[Repeat, ...]

    @property
    def benchmark(self) -> str:
        """The name of the benchmark."""
        return str(self.settings["benchmark"])

    @property
    def model(self) -> str:
        """The model that was asked for, as it is shown."""
        return shown_model(str(self.settings["settings"]["model"]))

    @property
    def first_iteration(self) -> int:
        """The iteration of the first request."""
        return self.searches[0].said[0].iteration

    @property
    def days(self) -> list[str]:
        """The day of each search."""
        return [one.day for one in self.searches]

    @property
    def ranks(self) -> list[float]:
        """The rank of the best of each search that has one."""
        return [one.rank for one in self.searches if one.rank is not None]

    def varied(self, name: str) -> Any:
        """Return one of the settings in `VARIED`, None where it was not set.

        Parameters
        ----------
        name
            Name of the setting.
        """
        return self.settings["settings"].get(name)

    def first_said(self, of: str) -> list[str]:
        """Return the answers to the first request, one per search.

        Parameters
        ----------
        of
            "words" for the texts, "designs" for the architectures.
        """
        return [getattr(one.said[0], _ALL[of]) for one in self.searches]

    def alike(self, of: str, iteration: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return in how many replies to the same request each two searches are alike, and how many there are.

        Both have the shape (n, n).

        Parameters
        ----------
        of
            "words" or "designs".
        iteration
            Keep the replies of this iteration; None keeps all.
        """
        count = len(self.searches)
        alike, compared = np.zeros((count, count)), np.zeros((count, count))
        for i, first in enumerate(self.searches):
            for j, second in enumerate(self.searches[:i]):
                shared = [
                    (one, second.by_request[request])
                    for request, one in first.by_request.items()
                    if request in second.by_request and iteration in (None, one.iteration)
                ]
                compared[i, j] = compared[j, i] = len(shared)
                same = sum(getattr(one, _ALL[of]) == getattr(other, _ALL[of]) for one, other in shared)
                alike[i, j] = alike[j, i] = same
        return alike, compared

    def together(self) -> np.ndarray:
        """Return how many architectures each two searches have in common from the start, shape (n, n)."""
        return np.array([[_shared(one.designs, two.designs) for two in self.searches] for one in self.searches])


Given = Source | Sequence[Repeats]
"""Journals as `read_repeats` takes them, or what it returned."""


def as_repeats(given: Given) -> list[Repeats]:
    """Return the conditions of journals; conditions are returned as they are.

    Parameters
    ----------
    given
        What `read_repeats` takes, or conditions.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(one, Repeats) for one in given):
        return list(given)
    return read_repeats(cast("Source", given))


def read_repeats(source: Source) -> list[Repeats]:
    """Return the conditions of some searches.

    Searches are of one condition where everything that decides them but the seed is the same, and the first request,
    byte for byte; the stand-in has neither a temperature nor a seed of its requests, so that these decide nothing. Only
    the plain method "llm" is read; answers taken from another run's record are no repeats and left out, as is a journal
    that is there twice.

    Parameters
    ----------
    source
        A folder of journals (and its folders), journals, or runs in memory.

    Raises
    ------
    InvalidParameter
        Nothing was asked twice, or words were withheld.
    """
    found: dict[str, list[Repeat]] = {}
    seen: set[str] = set()
    for run in _runs(source):
        repeat = _repeat(run)
        if repeat is None:
            continue
        # what a copy of a journal has in common with it: its events without what a file adds to them
        copy = _sha256([{k: v for k, v in event.items() if k not in ("chain", "salt")} for event in run.events])
        if copy in seen:
            continue
        seen.add(copy)
        decided = {key: value for key, value in run.settings.items() if key != "seed"}
        if is_stand_in(str(decided["settings"]["model"])):
            told = decided["settings"].items()
            decided["settings"] = {key: value for key, value in told if key not in VARIED}
        found.setdefault(json.dumps([decided, repeat.said[0].request], sort_keys=True), []).append(repeat)
    if not any(len(searches) > 1 for searches in found.values()):
        raise InvalidParameter(
            f"no request was sent twice in {sum(map(len, found.values()))} searches of a language model: let the "
            "searches of an arm begin at one design (`first: largest` in the study file) and give it several seeds"
        )
    groups = [tuple(searches) for searches in found.values()]
    return [Repeats(_arm(group[0].run), json.loads(key)[0], group) for key, group in zip(found, groups, strict=True)]


def _runs(source: Source) -> Iterator[Run]:
    if isinstance(source, str | Path):
        folder = Path(source)
        if not folder.is_dir():
            raise InvalidParameter(f"{source} is no folder; `genius-kit study` writes its journals to studies/NAME")
        runs = readable(folder, lambda run: run)  # as they stand in the plan of their study
        yield from sorted(runs, key=lambda run: run.events[0].get("study", {}).get("order", 0) if run.events else 0)
        return
    for run in source:
        yield run if isinstance(run, Run) else read_run(run)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _arm(run: Run) -> str:
    """Return the name of a run's arm: that of its study, else what is varied in words; a stand-in is named as one."""
    named, settings = run.events[0].get("study", {}).get("arm"), run.settings["settings"]
    if is_stand_in(str(settings["model"])):
        return shown_name(str(named or "llm"), settings["model"])
    if named:
        return str(named)
    told = [f"{name.replace('_', ' ')} {settings[name]}" for name in VARIED if settings.get(name) is not None]
    told += [f"{name} {value}" for name, value in sorted(settings.get("params", {}).items())]
    return ", ".join([str(settings["model"]), *told])


def _repeat(run: Run) -> Repeat | None:
    """Return what a run said; None for another method, and where the first answer is no reply of its own."""
    if run.settings.get("proposer") != "llm" or run.settings.get("resolved", {}).get("client") == "replay":
        return None
    space = recorded_space(run.settings)
    said, day = [], ""
    for call, answer in _answered(run.events):
        if "reused" in call:
            return None
        day = day or str(call["time"])[:10]
        architecture = answer.get("proposed") or answer.get("architecture")
        design = space.key(architecture) if architecture else str(answer.get("reason", answer["event"]))
        words = call["text"] if call["text"] is not None else call.get("refusal") or ""
        if WITHHELD in (call["text"], *(message["content"] for message in call["messages"])):
            raise InvalidParameter(
                f"{run.path}: its words are withheld, so which replies are alike cannot be told; take the original"
            )
        sent, build = _sha256(call["messages"]), call.get("fingerprint")
        said.append(Said(call["iteration"], sent, words, design, call.get("model"), build))
    designs = tuple(space.key(event["architecture"]) for event in run.of("proposal"))
    return Repeat(run, day, tuple(said), designs) if said else None


def _answered(events: list[Event]) -> Iterator[tuple[Event, Event]]:
    """Yield each call with the event that judges its reply."""
    call: Event | None = None
    for event in events:
        if event["event"] == "call":
            call = event
        elif call is not None and event["event"] in _ANSWERS:
            yield call, event
            call = None


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return how many architectures two searches have in common from the start."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, two) in enumerate(pairs) if one != two), min(len(first), len(second)))
