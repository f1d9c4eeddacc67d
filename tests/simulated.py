"""Further clients of known nature, as those of `verdicts.natures`; `tests/natures.py` has some that read prompts."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.spaces import Architecture as Design
from genius_kit.verdicts.searches.natures import (
    Client,
    View,
    climber_in,
    known_architectures,
    prior_then_climb,
    recites_with_noise,
)


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
    known = known_architectures(table)

    def client(view: View, draws: random.Random) -> Design:
        left = iter(known)
        return view.fresh(lambda: next(left, None) or view.anything(draws), draws)

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
    "climber": climber_in(1.0), "half-searcher": climber_in(0.5), "worst follower": worst_follower,
    "evolution": evolution,
    "restarts": restarts, "surrogate": surrogate, "last reader": last_reader, "avoider": avoider,
    "prior then climb": prior_then_climb, "names first": names_first,
}  # fmt: skip
IGNORANT: dict[str, Callable[..., Client]] = {
    "random": climber_in(0.0), "one list": one_list, "one region": one_region, "likes a number": likes_a_number,
    "random walk": random_walk,
}  # fmt: skip
KNOWING: dict[str, Callable[..., Client]] = {
    "recites": recites, "recites with noise": recites_with_noise, "prior only": prior_only,
}  # fmt: skip
"""Those that use results, those that know nothing and use nothing, and those that know and use nothing."""
