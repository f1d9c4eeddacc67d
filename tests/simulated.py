"""Studies of scripted clients straight on a table, thousands of replies a second: no prompt, no journal, no HTTP.

What a client is shown, how results are dealt out and labels are numbered, and the rows of results are those of a study;
`tests/natures.py` runs clients that read real prompts. A client is a function of a `View` and of the random numbers of
its search, made for one study by a function of the table and of the study's number.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from genius_kit.controls import dealt, view_of
from genius_kit.stats.replies import follows
from genius_kit.study_results import random_search
from genius_kit.tabular import TabularBenchmark
from genius_kit.verdicts import Verdict, verdict

Design = tuple[int, ...]
Client = Callable[["View", random.Random], Design | None]
ATTEMPTS = 6
"""Replies to one step after which a random architecture is taken, as in a study."""

ARMS = ("llm", "shuffled-feedback", "permuted-labels", "anonymous")
WORTH = {"nas-bench-macro": (2, 3, 4), "nas-bench-201": (0, 2, 3, 4, 1)}
"""How large each option is by its name; elsewhere options come in rising order."""


@dataclass
class View:
    """What a client sees: `listed` architectures with the scores beside them, `worth` of each option by its name."""

    options: int
    length: int
    worth: Sequence[int] | None
    listed: list[tuple[Design, float]] = field(default_factory=list)

    def fresh(self, make: Callable[[], Sequence[int]], draws: random.Random) -> Design:
        """Return the first of `make()` that is not listed, at last a random one."""
        tried = {design for design, _ in self.listed}
        for _ in range(400):
            if (design := tuple(make())) not in tried:
                return design
        while (design := self.anything(draws)) in tried:
            pass
        return design

    def anything(self, draws: random.Random) -> Design:
        return tuple(draws.randrange(self.options) for _ in range(self.length))

    def changed(self, design: Design, draws: random.Random, changes: int = 1) -> Design:
        made = list(design)
        for place in draws.sample(range(self.length), changes):
            made[place] = draws.choice([one for one in range(self.options) if one != made[place]])
        return tuple(made)

    @property
    def best(self) -> Design:
        return max(self.listed, key=lambda one: one[1])[0]

    @property
    def worst(self) -> Design:
        return min(self.listed, key=lambda one: one[1])[0]


def _mixture(share: float) -> Callable[..., Client]:
    """A climber in this share of its replies, else random."""

    def make(table: TabularBenchmark, study: int) -> Client:
        def client(view: View, draws: random.Random) -> Design:
            climbs = draws.random() < share
            return view.fresh(lambda: view.changed(view.best, draws) if climbs else view.anything(draws), draws)

        return client

    return make


def worst_follower(table: TabularBenchmark, study: int) -> Client:
    """Changes the worst result shown."""
    return lambda view, draws: view.fresh(lambda: view.changed(view.worst, draws), draws)


def evolution(table: TabularBenchmark, study: int) -> Client:
    """Crosses two winners of tournaments of three and changes one position."""

    def client(view: View, draws: random.Random) -> Design:
        def child() -> Design:
            parents = [
                max(draws.sample(view.listed, min(3, len(view.listed))), key=lambda one: one[1])[0] for _ in range(2)
            ]
            return view.changed(tuple(map(draws.choice, zip(*parents, strict=True))), draws)

        return view.fresh(child, draws)

    return client


def restarts(table: TabularBenchmark, study: int) -> Client:
    """Climbs, and begins anew by chance when four evaluations brought nothing."""

    def client(view: View, draws: random.Random) -> Design:
        scores = [score for _, score in view.listed]
        if len(scores) - 1 - scores.index(max(scores)) >= 4 and draws.random() < 0.5:
            return view.fresh(lambda: view.anything(draws), draws)
        return view.fresh(lambda: view.changed(view.best, draws, draws.choice((1, 1, 2))), draws)

    return client


def surrogate(table: TabularBenchmark, study: int) -> Client:
    """The best of 200 random architectures by a ridge regression on what was shown: no move is local."""

    def client(view: View, draws: random.Random) -> Design:
        if len(view.listed) < 4:
            return view.fresh(lambda: view.anything(draws), draws)
        known = np.eye(view.options)[[design for design, _ in view.listed]].reshape(len(view.listed), -1)
        scores = np.array([score for _, score in view.listed])
        drawn = np.random.default_rng(draws.getrandbits(32)).integers(view.options, size=(200, view.length))
        weights = known.T @ np.linalg.solve(known @ known.T + np.eye(len(scores)), scores - scores.mean())
        worth = np.eye(view.options)[drawn].reshape(len(drawn), -1) @ weights
        ranked = iter(drawn[np.argsort(-worth)].tolist())
        return view.fresh(lambda: next(ranked), draws)

    return client


def last_reader(table: TabularBenchmark, study: int) -> Client:
    """Reads the last two results only, and changes the better one."""

    def client(view: View, draws: random.Random) -> Design:
        better = max(view.listed[-2:], key=lambda one: one[1])[0]
        return view.fresh(lambda: view.changed(better, draws), draws)

    return client


def avoider(table: TabularBenchmark, study: int) -> Client:
    """The furthest of six random architectures from the worst shown."""

    def client(view: View, draws: random.Random) -> Design:
        drawn = [view.fresh(lambda: view.anything(draws), draws) for _ in range(6)]
        return max(drawn, key=lambda one: sum(a != b for a, b in zip(one, view.worst, strict=True)))

    return client


def prior_then_climb(table: TabularBenchmark, study: int) -> Client:
    """The largest option everywhere by its name, then a climb."""

    def client(view: View, draws: random.Random) -> Design:
        if view.worth and (largest := _largest(view)) not in {design for design, _ in view.listed}:
            return largest
        return view.fresh(lambda: view.changed(view.best, draws), draws)

    return client


def names_first(table: TabularBenchmark, study: int) -> Client:
    """Reads the names in its first three replies, then climbs."""

    def client(view: View, draws: random.Random) -> Design:
        if view.worth and len(view.listed) < 4:
            weights = [2.0**one for one in view.worth]
            return view.fresh(lambda: draws.choices(range(view.options), weights, k=view.length), draws)
        return view.fresh(lambda: view.changed(view.best, draws), draws)

    return client


def prior_only(table: TabularBenchmark, study: int) -> Client:
    """Larger options more often, by their names; results are never read."""

    def client(view: View, draws: random.Random) -> Design:
        weights = [2.0**one for one in view.worth] if view.worth else None
        return view.fresh(lambda: draws.choices(range(view.options), weights, k=view.length), draws)

    return client


def recites(table: TabularBenchmark, study: int) -> Client:
    """The best dozen of the table in their order, by number."""
    known = _known(table)

    def client(view: View, draws: random.Random) -> Design:
        left = iter(known)
        return view.fresh(lambda: next(left, None) or view.anything(draws), draws)

    return client


def recites_with_noise(table: TabularBenchmark, study: int) -> Client:
    """One of the best dozen, each position replaced by chance in a fifth of the cases."""
    known = _known(table)

    def client(view: View, draws: random.Random) -> Design:
        def noisy() -> list[int]:
            wanted = draws.choice(known)
            return [draws.randrange(view.options) if draws.random() < 0.2 else one for one in wanted]

        return view.fresh(noisy, draws)

    return client


def one_list(table: TabularBenchmark, study: int) -> Client:
    """One arbitrary list in every search and arm of a study."""

    def client(view: View, draws: random.Random) -> Design:
        own = random.Random(f"list {study}")
        return view.fresh(lambda: view.anything(own), own)

    return client


def one_region(table: TabularBenchmark, study: int) -> Client:
    """An arbitrary architecture of the study and its neighbours: lists that vary and are one draw all the same."""
    base = tuple(random.Random(f"region {study}").randrange(len(table.space.options)) for _ in table.space.choices)
    return lambda view, draws: view.fresh(lambda: view.changed(base, draws, draws.choice((0, 1, 2))), draws)


def likes_a_number(table: TabularBenchmark, study: int) -> Client:
    """One number, arbitrary, in most positions."""
    liked = random.Random(f"number {study}").randrange(len(table.space.options))

    def client(view: View, draws: random.Random) -> Design:
        return view.fresh(
            lambda: [liked if draws.random() < 0.6 else draws.randrange(view.options) for _ in range(view.length)],
            draws,
        )

    return client


def random_walk(table: TabularBenchmark, study: int) -> Client:
    """Changes the last architecture, whatever its result."""
    return lambda view, draws: view.fresh(lambda: view.changed(view.listed[-1][0], draws), draws)


USERS: dict[str, Callable[..., Client]] = {
    "climber": _mixture(1.0), "half-searcher": _mixture(0.5), "worst follower": worst_follower, "evolution": evolution,
    "restarts": restarts, "surrogate": surrogate, "last reader": last_reader, "avoider": avoider,
    "prior then climb": prior_then_climb, "names first": names_first,
}  # fmt: skip
IGNORANT: dict[str, Callable[..., Client]] = {
    "random": _mixture(0.0), "one list": one_list, "one region": one_region, "likes a number": likes_a_number,
    "random walk": random_walk,
}  # fmt: skip
KNOWING: dict[str, Callable[..., Client]] = {
    "recites": recites, "recites with noise": recites_with_noise, "prior only": prior_only,
}  # fmt: skip
"""Those that use results, those that know nothing and use nothing, and those that know and use nothing."""


def looks(
    table: TabularBenchmark, make: Callable[..., Client], study: int, seeds: Sequence[int], budget: int = 10
) -> list[Verdict]:
    """Return the verdict on one study of a client at each of some numbers of seeds, as it grows."""
    client, simulator = make(table, study), simulator_of(table)
    count = range(1_000 * study, 1_000 * study + max(seeds))
    results = pd.DataFrame([row for arm in ARMS for row in simulator.rows(client, arm, count, budget)])
    grown = [results[results["seed"] < count.start + more] for more in seeds]
    return [verdict(rows, benchmark=table) for rows in grown]


@dataclass
class Searched:
    """One search: the true designs evaluated, which of them a client proposed, and its first reply of each step."""

    seed: int
    designs: list[Design]
    own: list[bool]
    first: list[Design | None]


class Simulator:
    """Searches on one table; what does not depend on the client is kept."""

    def __init__(self, table: TabularBenchmark) -> None:
        self.table, self.space = table, table.space
        self.scores, self.random = table.scores().tolist(), random_search(table)
        self.ranks = np.mean(table.ranks(), axis=0)
        self.worth = WORTH.get(self.space.name, tuple(range(len(self.space.options))))
        self.view_of, self.start = cache(self.view_of), cache(self.start)  # type: ignore[method-assign]

    def view_of(self, arm: str, seed: int) -> tuple[tuple[int, ...], tuple[int, ...], Sequence[int] | None]:
        """Return the shown number of each option, the option of each shown number, and the worth of those."""
        seen = view_of(None if arm == "llm" else arm, self.space, seed)
        worth = None if arm == "anonymous" else seen.reordered(self.worth)
        return seen.labels, seen.read(tuple(range(len(seen.labels)))), worth

    def start(self, seed: int) -> Design:
        """Return the random first architecture of a seed, the same in every arm."""
        return self.space.sample(np.random.default_rng([seed, 0]))

    def row_number(self, design: Design) -> int:
        """Return the row of the table."""
        row = 0
        for value, options in zip(design, self.space.choices, strict=True):
            row = row * len(options) + value
        return row

    def search(self, client: Client, arm: str, seed: int, budget: int) -> Searched:
        """Return one search. A reply that names what is listed is refused; after six, chance proposes."""
        labels, options, worth = self.view_of(arm, seed if arm == "permuted-labels" else 0)
        draws, done = random.Random(f"{arm} {seed}"), Searched(seed, [self.start(seed)], [False], [])
        view = View(len(labels), self.space.length, worth)
        shown = [tuple(labels[one] for one in done.designs[0])]
        scores = [self.scores[self.row_number(done.designs[0])]]
        while len(shown) < budget:
            places = _dealt(len(shown), seed) if arm == "shuffled-feedback" else range(len(shown))
            view.listed = [(one, scores[place]) for one, place in zip(shown, places, strict=True)]
            replies = [client(view, draws)]
            while (replies[-1] is None or replies[-1] in shown) and len(replies) < ATTEMPTS:
                replies.append(client(view, draws))
            taken = replies[-1] if replies[-1] is not None and replies[-1] not in shown else None
            done.first.append(next((tuple(options[a] for a in one) for one in replies if one is not None), None))
            done.own.append(taken is not None)
            shown.append(taken or view.fresh(lambda: view.anything(draws), draws))
            done.designs.append(tuple(options[one] for one in shown[-1]))
            scores.append(self.scores[self.row_number(done.designs[-1])])
        return done

    def rows(self, client: Client, arm: str, seeds: Sequence[int], budget: int) -> list[dict[str, Any]]:
        """Return the searches of an arm as rows of results."""
        searches = [self.search(client, arm, seed, budget) for seed in seeds]
        told = self._follows(searches) if arm == "shuffled-feedback" else [None] * len(searches)
        return [self._row(one, arm, budget, follow) for one, follow in zip(searches, told, strict=True)]

    def _row(self, done: Searched, arm: str, budget: int, told: tuple[Any, ...] | None) -> dict[str, Any]:
        rows = [self.row_number(one) for one in done.designs]
        best = max(rows, key=self.scores.__getitem__)
        own = [row for row, is_own in zip(rows, done.own, strict=True) if is_own]
        keys = ["".join(str(value + self.space.key_offset) for value in self.space.at(row)) for row in own]
        return {
            "benchmark": self.table.name,
            "arm": arm,
            "control": None if arm == "llm" else arm,
            "seed": done.seed,
            "budget": budget,
            "rank": float(self.ranks[best]),
            "p_random": self.random.p_value(self.scores[best], budget),
            "typical_rank": float(np.exp(np.log(self.ranks[own]).mean())) if own else None,
            "proposals": " ".join(keys) if own else None,
            "follows": told,
        }

    def _follows(self, searches: Sequence[Searched]) -> list[tuple[Any, ...] | None]:
        """Return what each search's first replies of a step tell, all searches of a step at once."""
        told: list[list[Any]] = [[] for _ in searches]
        for count in range(3, len(searches[0].designs)):
            asked = [place for place, one in enumerate(searches) if one.first[count - 1] is not None]
            if not asked:
                continue
            designs = np.array([searches[place].designs[:count] for place in asked])
            scores = np.array([[self.scores[self.row_number(one)] for one in shown] for shown in designs.tolist()])
            named = np.array([searches[place].first[count - 1] for place in asked])
            places = np.array([_dealt(count, searches[place].seed) for place in asked])
            for place, *found in zip(asked, *follows(named, designs, scores, places), strict=True):
                told[place].append(tuple(found))
        return [tuple(one) or None for one in told]


simulator_of, _dealt = cache(Simulator), cache(dealt)


def _largest(view: View) -> Design:
    assert view.worth is not None
    return (max(range(view.options), key=lambda one: view.worth[one]),) * view.length  # type: ignore[index]


def _known(table: TabularBenchmark) -> list[Design]:
    return [table.space.at(int(row)) for row in table.scores().argsort()[::-1][:12]]
