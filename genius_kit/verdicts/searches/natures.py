"""Clients of known nature searching straight on a table, thousands of replies per second: no prompt, no journal.

What a client is shown, how results are dealt out and labels are numbered, and the rows of results are those of a
study, so that its verdict can be read beside that of a model: where on this table each nature would lie. A client is a
function of a `View` and of the random numbers of its search, made for one study by a function of the table and of the
study's number; None is a reply without an architecture.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.prompts.views import View as ShownView
from genius_kit.prompts.views import dealt, view_of
from genius_kit.spaces import Architecture
from genius_kit.stats.replies import follows
from genius_kit.studies.results import random_search
from genius_kit.verdicts.base import FEEDBACK, LABELS, LEANING, RECITES, SEARCHES, Verdict
from genius_kit.verdicts.searches.decision import verdict

Client = Callable[["View", random.Random], Architecture | None]
Nature = Callable[[TabularBenchmark, int], Client]

ATTEMPTS = 6
"""Replies to one step after which a random architecture is taken, as in a study."""

ARMS = ("llm", "shuffled-feedback", "permuted-labels", "anonymous")
WORTH = {"nas-bench-macro": (2, 3, 4), "nas-bench-201": (0, 2, 3, 4, 1)}
"""How large each option is by its name; elsewhere options come in rising order."""

SHIPPED = 40
"""Seeds an arm of the shipped study."""

POWER: dict[str, tuple[str, dict[int, float]]] = {
    "a hill climber": (SEARCHES, {12: 0.15, 20: 0.73, 40: 0.98, 80: 1.0}),
    "an evolutionary search": (SEARCHES, {12: 0.18, 20: 0.70, 40: 0.99, 80: 1.0}),
    "one that searches in half of its replies": (SEARCHES, {12: 0.20, 20: 0.77, 40: 0.98, 80: 1.0}),
    "a prior, then a climb": (LEANING, {12: 0.61, 20: 0.98, 40: 1.0, 80: 1.0}),
    "one that recites with a fifth of noise": (RECITES, {12: 0.03, 20: 0.71, 40: 0.98, 80: 0.99}),
}
"""By nature: what is right, and the share of studies that say so at some numbers of seeds per arm.

Measured with `verdicts.natures` at 10 evaluations per search with the arms of the shipped study, pooled over
NAS-Bench-Macro, both Channel-Bench tables and NAS-Bench-201 (CIFAR-10 and -100): 93 to 95 studies each at 12 seeds, 173
to 175 at 20 and 40, 98 to 100 at 80.
"""


@dataclass
class View:
    """What a client sees: `listed` architectures with the scores beside them, `worth` of each option by its name.

    Where each position has a menu of its own, `sizes` are those of the menus, and `worth` has a list for each position.
    """

    options: int
    length: int
    worth: Sequence[Any] | None
    listed: list[tuple[Architecture, float]] = field(default_factory=list)
    sizes: Sequence[int] = ()

    def size(self, place: int) -> int:
        """Return the number of options at a position."""
        return self.sizes[place] if self.sizes else self.options

    def fresh(self, make: Callable[[], Sequence[int]], draws: random.Random) -> Architecture:
        """Return the first of `make()` that is not listed, at last a random one."""
        tried = {architecture for architecture, _ in self.listed}
        for _ in range(400):
            if (architecture := tuple(make())) not in tried:
                return architecture
        while (architecture := self.anything(draws)) in tried:
            pass
        return architecture

    def anything(self, draws: random.Random) -> Architecture:
        return tuple(draws.randrange(self.size(place)) for place in range(self.length))

    def changed(self, architecture: Architecture, draws: random.Random, changes: int = 1) -> Architecture:
        made = list(architecture)
        for place in draws.sample(range(self.length), changes):
            made[place] = draws.choice([one for one in range(self.size(place)) if one != made[place]])
        return tuple(made)

    @property
    def best(self) -> Architecture:
        return max(self.listed, key=lambda one: one[1])[0]

    @property
    def worst(self) -> Architecture:
        return min(self.listed, key=lambda one: one[1])[0]


def climber_in(share: float) -> Nature:
    """A climber in this share of its replies, else random."""

    def make(table: TabularBenchmark, study: int) -> Client:
        def client(view: View, draws: random.Random) -> Architecture:
            climbs = draws.random() < share
            return view.fresh(lambda: view.changed(view.best, draws) if climbs else view.anything(draws), draws)

        return client

    return make


def prior_then_climb(table: TabularBenchmark, study: int) -> Client:
    """The largest option everywhere by its name, then a climb."""

    def client(view: View, draws: random.Random) -> Architecture:
        if view.worth and (largest := _largest(view)) not in {architecture for architecture, _ in view.listed}:
            return largest
        return view.fresh(lambda: view.changed(view.best, draws), draws)

    return client


def recites_with_noise(table: TabularBenchmark, study: int) -> Client:
    """One of the best dozen, each position replaced by chance in a fifth of the cases."""
    known = known_architectures(table)

    def client(view: View, draws: random.Random) -> Architecture:
        def noisy() -> list[int]:
            wanted = draws.choice(known)
            return [
                draws.randrange(view.size(place)) if draws.random() < 0.2 else one for place, one in enumerate(wanted)
            ]

        return view.fresh(noisy, draws)

    return client


NATURES: dict[str, Nature] = {
    "a hill climber": climber_in(1.0),
    "one that searches in half of its replies": climber_in(0.5),
    "a prior, then a climb": prior_then_climb,
    "random search": climber_in(0.0),
    "one that recites with a fifth of noise": recites_with_noise,
}
"""Those that show where each kind of verdict lies; the tests have more."""


def known_natures(benchmark: TabularBenchmark, seeds: int = 40, budget: int = 10) -> dict[str, Verdict]:
    """Return the verdict on one simulated study of each of NATURES, in the arms of does-it-search that decide.

    It takes about a second for all of them.

    Parameters
    ----------
    benchmark
        The table that is searched.
    seeds
        Searches per arm.
    budget
        Evaluations per search.
    """
    return {name: looks(benchmark, nature, 0, [seeds], budget)[0] for name, nature in NATURES.items()}


def looks(table: TabularBenchmark, make: Nature, study: int, seeds: Sequence[int], budget: int = 10) -> list[Verdict]:
    """Return the verdict on one study of a client at each of some numbers of seeds, as it grows."""
    import pandas as pd

    client, simulator = make(table, study), simulator_of(table)
    count = range(1_000 * study, 1_000 * study + max(seeds))
    results = pd.DataFrame([row for arm in ARMS for row in simulator.rows(client, arm, count, budget)])
    grown = [results[results["seed"] < count.start + more] for more in seeds]
    return [verdict(rows, benchmark=table) for rows in grown]


@dataclass
class Searched:
    """One search: the true architectures evaluated, which of them are a client's, its first reply of each step.

    `rows` are those of the table, one an architecture.
    """

    seed: int
    architectures: list[Architecture]
    rows: list[int]
    own: list[bool]
    first: list[Architecture | None]


class Simulator:
    """Searches on one table; what does not depend on the client is kept."""

    def __init__(self, table: TabularBenchmark) -> None:
        self.table, self.space = table, table.space
        self.scores, self.random = table.scores().tolist(), random_search(table)
        self.ranks = np.mean(table.ranks(), axis=0)
        self.worth = WORTH.get(self.space.name, tuple(range(len(self.space.options))))
        self.known = None if table.known is None else np.flatnonzero(table.known).tolist()
        self.view_of, self.start = cache(self.view_of), cache(self.start)  # type: ignore[method-assign]

    def view_of(self, arm: str, seed: int) -> tuple[ShownView, Sequence[Any] | None]:
        """Return what an arm shows of the space, and the worth of the shown numbers."""
        seen = view_of(None if arm == "llm" else arm, self.space, seed)
        if arm in ("anonymous", "knowledge-probe"):
            return seen, None
        own = [[labels.index(number) for number in range(len(labels))] for labels in seen.rows]
        return seen, own or seen.reordered(self.worth)

    def takes(self, seen: ShownView, shown: Architecture) -> bool:
        """Return whether a shown architecture can be evaluated."""
        return self.known is None or self.table.refusal(seen.read(shown)) is None

    def chance(self, view: View, seen: ShownView, draws: random.Random) -> Architecture:
        """Return a random shown architecture that is not listed and can be evaluated."""
        if self.known is None:
            return view.fresh(lambda: view.anything(draws), draws)
        return view.fresh(lambda: seen.show(self.space.at(draws.choice(self.known or []))), draws)

    def start(self, seed: int) -> Architecture:
        """Return the random first architecture of a seed, the same in every arm."""
        rng = np.random.default_rng([seed, 0])
        return self.space.sample(rng) if self.known is None else self.space.at(int(rng.choice(self.known)))

    def search(self, client: Client, arm: str, seed: int, budget: int) -> Searched:
        """Return one search. A reply that names what is listed is refused; after six, chance proposes."""
        seen, worth = self.view_of(arm, seed if arm == "permuted-labels" else 0)
        draws, first = random.Random(f"{arm} {seed}"), self.start(seed)
        done = Searched(seed, [first], [self.space.index(first)], [False], [])
        view = View(len(seen.labels), self.space.length, worth, sizes=[len(row) for row in seen.rows])
        shown, scores = [seen.show(first)], [self.scores[done.rows[0]]]

        def is_fresh(reply: Architecture | None) -> bool:
            return reply is not None and reply not in shown and self.takes(seen, reply)

        while len(shown) < budget:
            places = _dealt(len(shown), seed) if arm == "shuffled-feedback" else range(len(shown))
            told = [-math.inf] * len(shown) if arm == "knowledge-probe" else scores
            view.listed = [(one, told[place]) for one, place in zip(shown, places, strict=True)]
            replies = [client(view, draws)]
            while not is_fresh(replies[-1]) and len(replies) < ATTEMPTS:
                replies.append(client(view, draws))
            taken = replies[-1] if is_fresh(replies[-1]) else None
            done.first.append(next((seen.read(one) for one in replies if one is not None), None))
            done.own.append(taken is not None)
            shown.append(taken or self.chance(view, seen, draws))
            done.architectures.append(seen.read(shown[-1]))
            done.rows.append(self.space.index(done.architectures[-1]))
            scores.append(self.scores[done.rows[-1]])
        return done

    def rows(self, client: Client, arm: str, seeds: Sequence[int], budget: int) -> list[dict[str, Any]]:
        """Return the searches of an arm as rows of results."""
        searches = [self.search(client, arm, seed, budget) for seed in seeds]
        told = self._follows(searches) if arm == "shuffled-feedback" else [None] * len(searches)
        return [self._row(one, arm, budget, follow) for one, follow in zip(searches, told, strict=True)]

    def _row(self, done: Searched, arm: str, budget: int, told: tuple[Any, ...] | None) -> dict[str, Any]:
        best = max(done.rows, key=self.scores.__getitem__)
        own = [row for row, is_own in zip(done.rows, done.own, strict=True) if is_own]
        keys = [self.space.key(self.space.at(row)) for row in own]
        return {
            "benchmark": self.table.name,
            "arm": arm,
            "control": None if arm == "llm" else arm,
            "seed": done.seed,
            "budget": budget,
            "proposer": "llm",
            "model": "made",
            "reason": "budget",
            "rank": float(self.ranks[best]),
            "top_percent": 100 * float(self.ranks[best]) / self.table.count,
            "p_random": self.random.p_value(self.scores[best], budget),
            "typical_rank": float(np.exp(np.log(self.ranks[own]).mean())) if own else None,
            "proposals": " ".join(keys) if own else None,
            "follows": told,
        }

    def _follows(self, searches: Sequence[Searched]) -> list[tuple[Any, ...] | None]:
        """Return what each search's first replies of a step tell, all searches of a step at once."""
        told: list[list[Any]] = [[] for _ in searches]
        for count in range(3, len(searches[0].architectures)):
            asked = [place for place, one in enumerate(searches) if one.first[count - 1] is not None]
            if not asked:
                continue
            architectures = np.array([searches[place].architectures[:count] for place in asked])
            scores = np.array([[self.scores[row] for row in searches[place].rows[:count]] for place in asked])
            named = np.array([searches[place].first[count - 1] for place in asked])
            places = np.array([_dealt(count, searches[place].seed) for place in asked])
            for place, *found in zip(asked, *follows(named, architectures, scores, places), strict=True):
                told[place].append(tuple(found))
        return [tuple(one) or None for one in told]


simulator_of, _dealt = cache(Simulator), cache(dealt)


def _largest(view: View) -> Architecture:
    assert view.worth is not None
    worth = view.worth if view.sizes else [view.worth] * view.length
    return tuple(max(range(len(menu)), key=menu.__getitem__) for menu in worth)


def known_architectures(table: TabularBenchmark) -> list[Architecture]:
    """Return the best dozen of a table, the best first."""
    return [table.space.at(int(row)) for row in table.scores().argsort()[::-1][:12]]


def power_text(controls: Sequence[str], seeds: int) -> str | None:
    """Return what a study with some control arms and so many seeds would say; None where it asks something else.

    Parameters
    ----------
    controls
        Names of the controls.
    seeds
        Searches per arm.
    """
    if not set(controls) & set(FEEDBACK) or not set(controls) & set(LABELS):
        return None
    measured = sorted(next(iter(POWER.values()))[1])
    known = [count for count in measured if count <= seeds]
    if not known:
        return f"{seeds} seeds per arm are too few for a verdict; {SHIPPED} are enough for most natures"
    told = [f'{nature} ("{kind}") in {100 * found[known[-1]]:.0f} %' for nature, (kind, found) in POWER.items()]
    return (
        f"simulated studies with {known[-1]} seeds per arm and 10 evaluations per search gave the right verdict to "
        f"{'; '.join(told)}; nearly all other studies needed more seeds"
    )
