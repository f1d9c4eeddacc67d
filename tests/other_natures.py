"""Clients of known nature that no constant of the verdict on searches was chosen with, and that share no code.

Each is a function of a `View` and of the random numbers of its search, as those of `simulated` are.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.spaces import Architecture as Design
from genius_kit.verdicts.searches.natures import Client, View, simulator_of

Scored = tuple[Design, float]


def _ordered(view: View) -> list[Scored]:
    return sorted(view.listed, key=lambda one: -one[1])


def _other(option: int, count: int, draws: random.Random) -> int:
    return (option + draws.randrange(1, count)) % count


def _near(design: Design, view: View, draws: random.Random, moves: int = 1) -> Design:
    """Return an unlisted architecture some moves away, further away where all are listed."""
    seen = {one for one, _ in view.listed}
    for attempt in range(300):
        made = list(design)
        for place in draws.sample(range(len(made)), min(len(made), moves + attempt // 100)):
            made[place] = _other(made[place], view.options, draws)
        if tuple(made) not in seen:
            return tuple(made)
    return _new(view, draws)


def _new(view: View, draws: random.Random) -> Design:
    while True:
        made = tuple(draws.randrange(view.options) for _ in range(view.length))
        if made not in {one for one, _ in view.listed}:
            return made


def _or_near(design: Sequence[int], view: View, draws: random.Random) -> Design:
    listed = {one for one, _ in view.listed}
    return tuple(design) if tuple(design) not in listed else _near(tuple(design), view, draws)


def _means(view: View) -> list[dict[int, float]]:
    """Return for each position the mean score shown of each option that was tried."""
    found: list[dict[int, list[float]]] = [defaultdict(list) for _ in range(view.length)]
    for design, score in view.listed:
        for place, option in enumerate(design):
            found[place][option].append(score)
    return [{option: sum(told) / len(told) for option, told in place.items()} for place in found]


def _alike(reply: Callable[[View, random.Random], Design | None]) -> Callable[..., Client]:
    """A nature that is the same on every table and in every study."""
    return lambda table, study: reply


def annealing(view: View, draws: random.Random) -> Design:
    """Walks on, also to what is a little worse, the less the later."""
    spread = (max(score for _, score in view.listed) - min(score for _, score in view.listed)) or 1.0
    here, worth = view.listed[0]
    for step, (design, score) in enumerate(view.listed[1:], start=1):
        if draws.random() < math.exp(min(0.0, (score - worth) / spread * 2 * (1 + step))):
            here, worth = design, score
    return _near(here, view, draws)


def mends_the_weakest(view: View, draws: random.Random) -> Design:
    """Changes in the best architecture the option that did worst on average in its position."""
    means, best = _means(view), _ordered(view)[0][0]
    weakest = sorted(range(view.length), key=lambda place: means[place][best[place]])
    for place in weakest:
        options = [one for one in range(view.options) if one != best[place]]
        options.sort(key=lambda one: (-means[place].get(one, math.inf), draws.random()))
        for option in options:
            made = (*best[:place], option, *best[place + 1 :])
            if made not in {one for one, _ in view.listed}:
                return made
    return _new(view, draws)


def one_at_a_time(view: View, draws: random.Random) -> Design:
    """Four architectures with one position changed each, then the best option of every position."""
    base, step = view.listed[0][0], len(view.listed)
    if step < 5:
        place = step % view.length
        return _or_near((*base[:place], _other(base[place], view.options, draws), *base[place + 1 :]), view, draws)
    means = _means(view)
    return _or_near([max(place, key=lambda one: place[one]) for place in means], view, draws)


def thompson(view: View, draws: random.Random) -> Design:
    """Draws the worth of every option from what was seen of it, and takes the best."""
    scores = [score for _, score in view.listed]
    centre = sum(scores) / len(scores)
    spread = (sum((one - centre) ** 2 for one in scores) / len(scores)) ** 0.5 or 1.0
    made = []
    for place in range(view.length):
        drawn = []
        for option in range(view.options):
            told = [score for design, score in view.listed if design[place] == option]
            mean = (sum(told) + centre) / (len(told) + 1)
            drawn.append(draws.gauss(mean, spread / (len(told) + 1) ** 0.5))
        made.append(max(range(view.options), key=drawn.__getitem__))
    return _or_near(made, view, draws)


def second_life(view: View, draws: random.Random) -> Design:
    """Climbs, begins anew after five evaluations and forgets what was before."""
    if len(view.listed) % 5 == 0:
        return _new(view, draws)
    life = view.listed[len(view.listed) // 5 * 5 :]
    return _near(max(life, key=lambda one: one[1])[0], view, draws)


def copies_the_second(view: View, draws: random.Random) -> Design:
    """Changes the second best architecture shown."""
    return _near(_ordered(view)[min(1, len(view.listed) - 1)][0], view, draws)


def sluggish(view: View, draws: random.Random) -> Design:
    """Knows only the results of three steps ago and before."""
    known = view.listed[:-3] or view.listed[:1]
    return _near(max(known, key=lambda one: one[1])[0], view, draws)


def one_in_five(view: View, draws: random.Random) -> Design:
    """Climbs in a fifth of its replies, else draws."""
    return _near(_ordered(view)[0][0], view, draws) if draws.random() < 0.2 else _new(view, draws)


def step_length(view: View, draws: random.Random) -> Design:
    """Goes on from the last architecture: a small step after a better score, a large one after a worse."""
    scores = [score for _, score in view.listed]
    is_up = len(scores) < 2 or scores[-1] > scores[-2]
    return _near(view.listed[-1][0], view, draws, 1 if is_up else max(2, view.length // 2))


def like_a_model(view: View, draws: random.Random) -> Design | None:
    """Changes one to three positions of one of the best three; often names what is listed, or nothing readable."""
    if draws.random() < 0.1:
        return None
    chosen = draws.choice(_ordered(view)[:3])[0]
    if draws.random() < 0.25:
        return chosen
    made = list(chosen)
    for place in draws.sample(range(view.length), draws.choice((1, 1, 2, 3))):
        made[place] = draws.randrange(view.options)
    return tuple(made)


def model_with_a_taste(view: View, draws: random.Random) -> Design | None:
    """As a model, and where options have names it takes the larger of two for every position that it changes."""
    if draws.random() < 0.15:
        return view.listed[-1][0]
    made = list(_ordered(view)[0][0])
    for place in draws.sample(range(view.length), 2):
        two = [draws.randrange(view.options) for _ in range(2)]
        made[place] = max(two, key=lambda one: view.worth[one] if view.worth else 0)
    return tuple(made)


def crosses(view: View, draws: random.Random) -> Design:
    """Takes each position from one of the best two; nothing new ever but by need."""
    two = [design for design, _ in _ordered(view)[:2]]
    return _or_near([draws.choice(options) for options in zip(*two, strict=True)], view, draws)


def frequencies(view: View, draws: random.Random) -> Design:
    """Draws each position from the best third of what was shown, with a little of everything."""
    elite = [design for design, _ in _ordered(view)[: max(2, len(view.listed) // 3)]]
    made = [
        draws.randrange(view.options) if draws.random() < 0.15 else draws.choice(elite)[place]
        for place in range(view.length)
    ]
    return _or_near(made, view, draws)


def knows_then_climbs(table: TabularBenchmark, study: int) -> Client:
    """Four architectures by heart, from the best hundred of the table, then a climb."""
    known = _best(table, 100)

    def reply(view: View, draws: random.Random) -> Design:
        if len(view.listed) < 5:
            return _or_near(draws.choice(known), view, draws)
        return _near(_ordered(view)[0][0], view, draws)

    return reply


def knows_and_climbs_at_times(table: TabularBenchmark, study: int) -> Client:
    """Recites in four of five replies, and climbs in the others."""
    known = _best(table, 100)

    def reply(view: View, draws: random.Random) -> Design:
        if draws.random() < 0.2:
            return _near(_ordered(view)[0][0], view, draws)
        return _or_near(draws.choice(known), view, draws)

    return reply


def turns(view: View, draws: random.Random) -> Design:
    """The first architecture with every option raised by one, two and so on."""
    step = len(view.listed)
    made = [(one + step * (1 + place % 2)) % view.options for place, one in enumerate(view.listed[0][0])]
    return _or_near(made, view, draws)


def fills_space(view: View, draws: random.Random) -> Design:
    """The furthest of twenty from all that is listed."""
    drawn = [_new(view, draws) for _ in range(20)]
    return max(
        drawn,
        key=lambda one: min(sum(a != b for a, b in zip(one, design, strict=True)) for design, _ in view.listed),
    )


def around_the_first(view: View, draws: random.Random) -> Design:
    """Changes one or two positions of the first architecture, whatever came of others."""
    return _near(view.listed[0][0], view, draws, draws.choice((1, 2)))


def repeats_itself(view: View, draws: random.Random) -> Design | None:
    """Names the last architecture again in two of three replies, else draws; some replies are not readable."""
    fate = draws.random()
    return view.listed[-1][0] if fate < 0.6 else None if fate < 0.7 else _new(view, draws)


def worn_list(table: TabularBenchmark, study: int) -> Client:
    """One arbitrary list per study, one position in ten replaced by chance."""
    own = random.Random(f"worn {study}")
    listed = [tuple(own.randrange(len(table.space.options)) for _ in table.space.choices) for _ in range(40)]

    def reply(view: View, draws: random.Random) -> Design:
        wanted = listed[len(view.listed) % len(listed)]
        return _or_near([_other(a, view.options, draws) if draws.random() < 0.1 else a for a in wanted], view, draws)

    return reply


def two_favourites(table: TabularBenchmark, study: int) -> Client:
    """One arbitrary number in the first half of the positions and another in the second, four times in five."""
    own = random.Random(f"favourites {study}")
    liked = [own.randrange(len(table.space.options)) for _ in range(2)]

    def reply(view: View, draws: random.Random) -> Design:
        made = [
            liked[2 * place // view.length] if draws.random() < 0.8 else draws.randrange(view.options)
            for place in range(view.length)
        ]
        return _or_near(made, view, draws)

    return reply


def smallest_first(view: View, draws: random.Random) -> Design:
    """Takes the smaller options by their names, and never reads a result."""
    made = []
    for _ in range(view.length):
        two = [draws.randrange(view.options) for _ in range(2)]
        made.append(min(two, key=lambda one: view.worth[one] if view.worth else 0))
    return _or_near(made, view, draws)


def around_one_known(table: TabularBenchmark, study: int) -> Client:
    """The best architecture of the table and its neighbours, by number."""
    known = _best(table, 1)[0]
    return lambda view, draws: _or_near(known, view, draws)


def knows_the_better(table: TabularBenchmark, study: int) -> Client:
    """One of the best two hundred architectures of the table."""
    known = _best(table, 200)
    return lambda view, draws: _or_near(draws.choice(known), view, draws)


def knows_half(table: TabularBenchmark, study: int) -> Client:
    """One of the best fifty in half of its replies, else any."""
    known = _best(table, 50)
    return lambda view, draws: _or_near(draws.choice(known), view, draws) if draws.random() < 0.5 else _new(view, draws)


def majority(view: View, draws: random.Random) -> Design:
    """Takes in each position what most of the better half of the architectures shown have."""
    half = [design for design, _ in _ordered(view)[: (len(view.listed) + 1) // 2]]
    votes = [
        [options.count(one) + draws.random() for one in range(view.options)] for options in zip(*half, strict=True)
    ]
    return _or_near([max(range(view.options), key=place.__getitem__) for place in votes], view, draws)


def good_over_bad(view: View, draws: random.Random) -> Design:
    """Draws each option by how often the better architectures have it, over how often the worse ones do."""
    ranked = [design for design, _ in _ordered(view)]
    good, bad = ranked[: max(1, len(ranked) // 3)], ranked[max(1, len(ranked) // 3) :]
    made = []
    for place in range(view.length):
        weights = [
            (0.5 + sum(one[place] == option for one in good)) / (0.5 + sum(one[place] == option for one in bad))
            for option in range(view.options)
        ]
        made.append(draws.choices(range(view.options), weights)[0])
    return _or_near(made, view, draws)


def stays_after_a_record(view: View, draws: random.Random) -> Design:
    """Changes the last architecture where it is the best so far, else draws."""
    is_record = _ordered(view)[0][0] == view.listed[-1][0]
    return _near(view.listed[-1][0], view, draws) if is_record else _new(view, draws)


def believes_large_gaps(view: View, draws: random.Random) -> Design:
    """Climbs where the best score stands out by one and a half standard deviations, else draws."""
    scores = [score for _, score in view.listed]
    mean = sum(scores) / len(scores)
    spread = (sum((one - mean) ** 2 for one in scores) / len(scores)) ** 0.5
    stands_out = max(scores) > mean + 1.5 * spread
    return _near(_ordered(view)[0][0], view, draws) if stands_out else _new(view, draws)


def every_third(view: View, draws: random.Random) -> Design:
    """Climbs in every third reply, else changes the last architecture."""
    chosen = _ordered(view)[0][0] if len(view.listed) % 3 == 0 else view.listed[-1][0]
    return _near(chosen, view, draws)


def likes_and_climbs(table: TabularBenchmark, study: int) -> Client:
    """Climbs, and changes positions to one arbitrary number of the study in half of the cases."""
    liked = random.Random(f"liked {study}").randrange(len(table.space.options))

    def reply(view: View, draws: random.Random) -> Design:
        made = list(_ordered(view)[0][0])
        made[draws.randrange(view.length)] = liked if draws.random() < 0.5 else draws.randrange(view.options)
        return _or_near(made, view, draws)

    return reply


def counts_on(view: View, draws: random.Random) -> Design:
    """The number after the last architecture, its positions read as digits."""
    made = list(view.listed[-1][0])
    for place in reversed(range(view.length)):
        made[place] = (made[place] + 1) % view.options
        if made[place]:
            break
    return _or_near(made, view, draws)


def mirrors(view: View, draws: random.Random) -> Design:
    """The last architecture turned round, one position changed by chance; scores are not read."""
    return _near(view.listed[-1][0][::-1], view, draws)


def knows_vaguely(table: TabularBenchmark, study: int) -> Client:
    """One of the best thirty, each position replaced by chance in two of five cases."""
    known = _best(table, 30)

    def reply(view: View, draws: random.Random) -> Design:
        wanted = draws.choice(known)
        return _or_near([draws.randrange(view.options) if draws.random() < 0.4 else a for a in wanted], view, draws)

    return reply


def keeps_a_record(table: TabularBenchmark, study: int) -> Client:
    """Writes each score down when its architecture is first shown, reads none again, and climbs by its own record."""
    records: dict[random.Random, dict[Design, float]] = defaultdict(dict)

    def reply(view: View, draws: random.Random) -> Design:
        for design, score in view.listed:
            records[draws].setdefault(design, score)
        return _near(max(records[draws], key=records[draws].__getitem__), view, draws)

    return reply


def distrusts(table: TabularBenchmark, study: int) -> Client:
    """Climbs until a score that it was shown has changed; draws from then on."""
    records: dict[random.Random, list[float]] = defaultdict(list)

    def reply(view: View, draws: random.Random) -> Design:
        before, now = records[draws], [score for _, score in view.listed]
        has_changed = before != now[: len(before)]
        records[draws] = [math.nan] if has_changed else now
        return _new(view, draws) if has_changed else _near(_ordered(view)[0][0], view, draws)

    return reply


def five_lists(table: TabularBenchmark, study: int) -> Client:
    """One of five arbitrary lists of the study in each search."""
    own = random.Random(f"five {study}")
    count = len(table.space.options)
    lists = [[tuple(own.randrange(count) for _ in table.space.choices) for _ in range(15)] for _ in range(5)]
    taken: dict[random.Random, list[Design]] = {}

    def reply(view: View, draws: random.Random) -> Design:
        listed = {one for one, _ in view.listed}
        chosen = taken.setdefault(draws, draws.choice(lists))
        return next((one for one in chosen if one not in listed), None) or _new(view, draws)

    return reply


def knows_with_names(table: TabularBenchmark, study: int) -> Client:
    """One of the best fifty architectures where options have names, whatever their numbers; without names it climbs."""
    known, worth = _best(table, 50), simulator_of(table).worth

    def reply(view: View, draws: random.Random) -> Design:
        if not view.worth:
            return _near(_ordered(view)[0][0], view, draws)
        shown = list(view.worth)
        return _or_near([shown.index(worth[option]) for option in draws.choice(known)], view, draws)

    return reply


def _best(table: TabularBenchmark, count: int) -> list[Design]:
    return [table.space.at(int(row)) for row in table.scores().argsort()[::-1][:count]]


USERS: dict[str, Callable[..., Client]] = {
    "annealing": _alike(annealing), "mends the weakest": _alike(mends_the_weakest),
    "one at a time": _alike(one_at_a_time), "thompson": _alike(thompson), "second life": _alike(second_life),
    "copies the second": _alike(copies_the_second), "sluggish": _alike(sluggish), "one in five": _alike(one_in_five),
    "step length": _alike(step_length), "like a model": _alike(like_a_model),
    "model with a taste": _alike(model_with_a_taste), "crosses": _alike(crosses), "frequencies": _alike(frequencies),
    "knows then climbs": knows_then_climbs, "knows, climbs at times": knows_and_climbs_at_times,
    "majority": _alike(majority), "good over bad": _alike(good_over_bad),
    "stays after a record": _alike(stays_after_a_record), "believes large gaps": _alike(believes_large_gaps),
    "every third": _alike(every_third), "likes and climbs": likes_and_climbs, "keeps a record": keeps_a_record,
    "distrusts": distrusts,
}  # fmt: skip
IGNORANT: dict[str, Callable[..., Client]] = {
    "turns": _alike(turns), "fills space": _alike(fills_space), "around the first": _alike(around_the_first),
    "repeats itself": _alike(repeats_itself), "worn list": worn_list, "two favourites": two_favourites,
    "smallest first": _alike(smallest_first), "counts on": _alike(counts_on), "mirrors": _alike(mirrors),
    "five lists": five_lists,
}  # fmt: skip
KNOWING: dict[str, Callable[..., Client]] = {
    "around one known": around_one_known, "knows the better": knows_the_better, "knows half": knows_half,
    "knows vaguely": knows_vaguely, "knows with names": knows_with_names,
}  # fmt: skip
