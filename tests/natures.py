"""Chat clients whose true nature is known, and small studies of them in memory: what every verdict is tested with.

Each client reads the messages that it is sent and nothing else, like a language model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from genius_kit.benchmarks import Benchmark
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.chat import ChatClient, Reply, Usage
from genius_kit.llm.offline import Design, OfflineClient, read_messages
from genius_kit.prompts.views import CONTROLS
from genius_kit.proposers.base import PROPOSERS, make_proposer
from genius_kit.records import Message
from genius_kit.runs.loop import first_architecture, search
from genius_kit.spaces import SearchSpace, load_space
from genius_kit.studies.results import RESULT_COLUMNS, row_of

SEEDS = int(os.environ.get("GENIUS_KIT_NATURE_SEEDS", "1"))
"""How many seeds of each nature the tests go through; 20 where every one is to be right."""


class Nature:
    """A chat client that costs nothing; `name` becomes the kind and the model's name, `design` is what it answers."""

    name = "nature"
    is_free = True

    @property
    def kind(self) -> str:
        """What answers."""
        return f"{self.name}, not a language model"

    @property
    def model(self) -> str:
        """The model's name."""
        return self.name

    def settings(self) -> dict[str, Any]:
        """Return what changes the reply."""
        return {"kind": self.kind}

    def without(self, parameter: str) -> Nature:
        """Return the same client; it has no request parameters to drop."""
        return self

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return one reply, the architecture on its last line."""
        reading = read_messages(messages)
        design = self.design(messages, reading.options, reading.tried) if reading.options else None
        text = "I found no list of allowed values."
        if design is not None:
            group = reading.group or len(design)
            parts = [list(design[start : start + group]) for start in range(0, len(design), group)]
            text = f"Architecture: {parts if reading.group else list(design)}"
        return Reply(text=text, model=self.model, finish_reason="stop", usage=Usage(), seconds=0.0)

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return the architecture to answer with, in the prompt's own numbers."""
        raise NotImplementedError


class Searches(OfflineClient):
    """Really searches: changes one position of the best architecture listed, so that it needs results and no names."""


class Climbs(Nature):
    """Searches without a liking for any number: changes one position, drawn anew, of the best listed architecture."""

    name = "climbs"

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return a neighbour of the best listed architecture that has not been named; any without results."""
        results = read_messages(messages).results
        drawn = _drawn(said(messages), options)
        if not results:
            return next(design for design in drawn if design not in tried)
        best = max(results, key=lambda result: result[1])[0]
        near = [
            (*best[:place], value, *best[place + 1 :])
            for place, menu in enumerate(options)
            for value in menu
            if value != best[place]
        ]
        fresh = [design for design in near if design not in tried]
        return min(fresh or near, key=lambda design: _hashed(f"{said(messages)} {design}"))


class Recites(Nature):
    """Gives the architectures of a fixed list in their order, whatever is asked and whatever the numbers mean here.

    `designs` are in the prompt's numbers; those already listed are passed over, at the end the last one is repeated.
    """

    name = "recites"

    def __init__(self, designs: Iterable[Sequence[int]]) -> None:
        self.designs = [tuple(int(value) for value in design) for design in designs]

    def settings(self) -> dict[str, Any]:
        """Return the list."""
        return {"kind": self.kind, "designs": [list(design) for design in self.designs]}

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return the first architecture of the list that has not been named."""
        return next((design for design in self.designs if design not in tried), self.designs[-1])


class Random(Nature):
    """Draws an architecture from a hash of its seed and of the whole conversation, among the stated options.

    It is random and yet gives the same answer to the same messages.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def settings(self) -> dict[str, Any]:
        """Return the seed."""
        return {"kind": self.kind, "seed": self.seed}

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return an architecture that has not been named."""
        return next(design for design in _drawn(f"{self.seed} {said(messages)}", options) if design not in tried)


class Ignores(Nature):
    """Follows an order of its own, drawn once from its seed: the next of it that is not listed, whatever the results.

    The order is the same in every search and under every control, as long as the options have the same numbers.
    """

    name = "ignores"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def settings(self) -> dict[str, Any]:
        """Return the seed."""
        return {"kind": self.kind, "seed": self.seed}

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return the next architecture of its order."""
        return next(design for design in _drawn(f"order {self.seed}", options) if design not in tried)


def said(messages: Sequence[Message]) -> str:
    """Return a whole conversation as text."""
    return json.dumps([[message["role"], message["content"]] for message in messages])


def _hashed(text: str, size: int = 8) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")


def _drawn(text: str, options: Sequence[Design]) -> Iterator[Design]:
    """Yield architectures without an end, uniform among the options, the same ones for the same text."""
    number = 0
    while True:
        value, design = _hashed(f"{number} {text}", 8 * min(8, len(options))), []
        for menu in options:
            value, place = divmod(value, len(menu))
            design.append(menu[place])
        yield tuple(design)
        number += 1


def run_arms(
    client: ChatClient | Callable[[int], ChatClient] | None,
    benchmarks: Benchmark | Sequence[Benchmark],
    arms: Sequence[str | dict[str, Any]] = ("llm",),
    *,
    seeds: int | Iterable[int] = 20,
    budget: int = 10,
    first: str = "random",
    study: str = "natures",
    **settings: Any,
) -> pd.DataFrame:
    """Run a study in memory and return its results in the shape of `studies.results`, one row per search.

    `client` answers in every arm that asks a model; a function is given the seed of the search. An arm is "llm", the
    name of a control, the name of an optimiser, or a mapping: name, proposer ("llm" unless named), and settings of it.
    `settings` are those of all arms that ask a model (prompt, history, ...).
    """
    tables = [benchmarks] if isinstance(benchmarks, Benchmark) else list(benchmarks)
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    rows = [
        _row(client, table, arm, seed, budget, first, study, settings)
        for seed in chosen
        for table in tables
        for arm in arms
    ]
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS)).astype({"touched": bool})


def run_one(
    client: ChatClient | Callable[[int], ChatClient] | None,
    benchmark: Benchmark,
    arm: str | dict[str, Any] = "llm",
    *,
    seed: int = 0,
    budget: int = 10,
    first: str = "random",
    study: str = "natures",
    **settings: Any,
) -> Any:
    """Run one search of an arm (see `run_arms`) in memory and return its record, a Run."""
    given = {"name": arm} if isinstance(arm, str) else dict(arm)
    name = given.pop("name")
    proposer = given.pop("proposer", name if name in PROPOSERS else "llm")
    if name in CONTROLS:
        given.setdefault("control", name)
    if proposer == "llm":
        answers = client(seed) if callable(client) and not hasattr(client, "send") else client
        given = {**settings, **given, "client": answers}
    return search(
        benchmark,
        make_proposer(proposer, benchmark.space, **given),
        budget,
        seed,
        progress=False,
        first=first_architecture(first, benchmark.space, seed),
        study={"name": study, "arm": name},
    )


def _row(
    client: Any, table: Benchmark, arm: Any, seed: int, budget: int, first: str, study: str, settings: dict[str, Any]
) -> dict[str, Any]:
    run = run_one(client, table, arm, seed=seed, budget=budget, first=first, study=study, **settings)
    return row_of(run, table if isinstance(table, TabularBenchmark) else None)


class Counts(Nature):
    """Draws an architecture from a private counter: the same messages get another answer each time.

    `place` tells apart clients that are one model, as its settings do not.
    """

    name = "counts"

    def __init__(self, place: int = 0) -> None:
        self.place = place
        self.asked = 0

    def design(self, messages: Sequence[Message], options: Sequence[Design], tried: set[Design]) -> Design:
        """Return an architecture that has not been named."""
        self.asked += 1
        return next(design for design in _drawn(f"{self.place} {self.asked}", options) if design not in tried)


class Rephrases(Nature):
    """Says the architectures of another client in words of its own, other ones each time."""

    name = "rephrases"

    def __init__(self, client: ChatClient | None = None) -> None:
        self.client = client or OfflineClient()
        self.asked = 0

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the architecture after a sentence that no other reply has."""
        self.asked += 1
        reply = self.client.send(messages, seed)
        text = f"Take {id(self)}-{self.asked}: this one, I think.\n\n{(reply.text or '').splitlines()[-1]}"
        return Reply(text=text, model=self.model, finish_reason="stop", usage=Usage(), seconds=0.0)


class Changes(Ignores):
    """Follows one order of architectures on one day and another one on another: a model that was exchanged unseen."""

    name = "changes"

    def settings(self) -> dict[str, Any]:
        """Return nothing of the day."""
        return {"kind": self.kind}


def dated(run: Any, day: str) -> Any:
    """Return a record with all of its events on another day, such as "2026-01-31"."""
    from genius_kit.journal import Run

    return Run(run.path, [{**event, "time": f"{day}{event['time'][10:]}"} for event in run.events])


def made_table(seed: int, name: str = "made", noise: float = 0.5) -> TabularBenchmark:
    """Return a table of the private cells that nobody can know: each operation has its own random worth on each edge.

    `noise` is the part of the scores, in units of that worth, that no rule explains.
    """
    space = load_space("signal-cell")
    draws = np.random.default_rng([seed, 77])
    worth = draws.normal(size=(space.length, len(space.options)))
    sums = worth[np.arange(space.length), space.all_architectures()].sum(axis=1)
    scores = np.round(60 + 4 * (sums + draws.normal(scale=noise, size=space.size)), 2)
    return table_of(space, scores, name)


def best_designs(table: TabularBenchmark, count: int = 12) -> list[Design]:
    """Return the best architectures of a table, best first."""
    return [table.space.at(int(row)) for row in table.scores().argsort()[::-1][:count]]


def table_of(space: SearchSpace, scores: np.ndarray, name: str = "made") -> TabularBenchmark:
    """Return a table with these scores in percent, in the order of `space.index`."""
    counts = np.ones(space.size, dtype=np.int64)
    return TabularBenchmark(
        name=name,
        title=f"Made table {name}",
        dataset="made data",
        space=space,
        protocol="paper",
        feedback_name="validation accuracy",
        columns={"feedback": scores, "validation": scores},
        parameters=counts,
        macs=counts,
        source="made",
    )
