"""A rule-based stand-in for a language model, so that the whole path runs with no key and no network.

It reads the messages that it is sent and nothing else: the options in the prompt's answer format, the listed
results, the architectures it was refused. It says in every reply that it is no language model, and its searches are
no evidence about one.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genius_kit.chat import OFFLINE_NAME, RECITER, Reply
from genius_kit.errors import InvalidParameter
from genius_kit.records import Message

if TYPE_CHECKING:
    from genius_kit.benchmarks.tabular import TabularBenchmark

NOTHING = float("-inf")
"""Score of an architecture without a result beside it: below every other."""

Design = tuple[int, ...]
"""Numbers as the prompt prints them: operation numbers or channel counts, stages joined."""

_ANSWER = re.compile(r"^Architecture: (\[[\[\], \d]*\])\s*$", re.MULTILINE)
_RESULT = re.compile(
    r"^(\d+)\. (\[[\[\], \d]*\])(?: -> (-?\d+(?:\.\d+)?|not measured|not shown)|$|, \d+ million$)", re.MULTILINE
)
_MACS_ROW = re.compile(r"^- (.+?): \[(\d+\.\d\d(?:, \d+\.\d\d)*)\]$", re.MULTILINE)
_EMBEDDING_ROW = re.compile(
    r"^- (?:embedding|first number) (\d+): fixed (\d+\.\d\d), (?:block|later place) \[(\d+\.\d\d(?:, \d+\.\d\d)*)\]$",
    re.MULTILINE,
)
_EXPERIMENT = re.compile(r"^- Experiment\d+\n((?:Stage.*\n)+).*?accuracy of ([\d.]+)%", re.MULTILINE)
_ASKED = re.compile(r"^Which accuracy does it report for the architecture (.+)\?$", re.MULTILINE)
_LETTER = re.compile(r"^([A-Z]): (\d+\.\d\d)$", re.MULTILINE)
_PRINCIPLES = "Write down the design principles"
_UNIFORM = re.compile(r"(?:Each number is one of|You can choose each number from|Permitted numbers): ([\d, ]+)\.")
_WITHOUT = ("", "not measured", "not shown")
_EXCESS = re.compile(r"\b(\d+) (?:million|FLOPS) (above|higher|below)\b")

_TOLD = re.compile(r"^\d+\. (\[[\[\], \d]*\]) -> -?\d+\.\d+ \w+, (.+)$", re.MULTILINE)
_COST = re.compile(r"\d+\.\d{2,}")
_STRIDE = 7
"""How far apart in their order changes are that are tried one after the other, so that all positions take turns."""


@dataclass
class _Reading:
    """What the messages say: options and MACs (millions) a position, results, architectures tried, the last refusal.

    `embeddings` holds the MACs of a vision transformer: for each first number, the fixed ones and those of a block.
    `beside` holds the costs that stand beside results where a search has several aims.
    """

    options: list[Design] = field(default_factory=list)
    group: int = 0
    macs: list[dict[int, float]] = field(default_factory=list)
    embeddings: dict[int, tuple[float, dict[int, float]]] = field(default_factory=dict)
    fixed: float = 0.0
    upper: float | None = None
    lower: float = 0.0
    results: list[tuple[Design, float]] = field(default_factory=list)
    beside: dict[Design, tuple[float, ...]] = field(default_factory=dict)
    tried: set[Design] = field(default_factory=set)
    refused: Design | None = None
    excess: int = 0

    def allows(self, design: Design) -> bool:
        """Return whether the architecture has one value of the menu at every position."""
        return len(design) == len(self.options) and all(map(tuple.__contains__, self.options, design))

    def costs(self, design: Design) -> list[float]:
        """Return the MACs per position as the prompt's table states them; an empty list without a table."""
        if self.embeddings:
            fixed, block = self.embeddings[design[0]]
            return [fixed, *(block[value] for value in design[1:])]
        return [row[value] for row, value in zip(self.macs, design, strict=False)]

    def millions(self, design: Design) -> float:
        """Return the architecture's MACs as the prompt's table adds up, 0 without a table."""
        return self.fixed + sum(self.costs(design))

    def fits(self, design: Design) -> bool:
        """Return whether the table puts the architecture inside the bounds; True where nothing is known."""
        return not self.costs(design) or self.upper is None or self.lower <= round(self.millions(design)) <= self.upper


class OfflineClient:
    """A chat client that answers by a fixed rule: the same messages always get the same reply."""

    kind = OFFLINE_NAME
    model = OFFLINE_NAME
    is_free = True

    def settings(self) -> dict[str, Any]:
        """Return what changes the reply: nothing but the kind of client."""
        return {"kind": self.kind}

    def without(self, parameter: str) -> OfflineClient:
        """Return the same client; it has no request parameters to drop."""
        return self

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return one reply; token counts are None, since nothing was tokenised."""
        begun = time.perf_counter()
        return Reply(answer(messages), OFFLINE_NAME, "stop", seconds=time.perf_counter() - begun)


class ReciterClient:
    """A chat client that always names one architecture, whatever it is asked: the cheat that controls have to expose.

    `key` is the architecture in digits, such as "12222222"; the model name "reciter:12222222" stands for it. The name
    of a table, such as "nas-bench-macro", stands for one that names its best architecture and knows all its accuracies
    by heart.
    """

    kind = "reciter, not a language model"
    is_free = True

    def __init__(self, key: str) -> None:
        self.model, self._table = f"{RECITER}{key}", None if key.isdecimal() else _table(key)
        design = f"[{', '.join(key)}]" if self._table is None else _printed_best(self._table)
        self._text = f"Architecture: {design}"

    def settings(self) -> dict[str, Any]:
        """Return what changes the reply: the architecture."""
        return {"kind": self.kind, "reply": self._text}

    def without(self, parameter: str) -> ReciterClient:
        """Return the same client; it has no request parameters to drop."""
        return self

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the one reply, or the accuracy that is asked for where the table is known."""
        begun, text, asked = time.perf_counter(), self._text, _question(messages)
        if asked is not None and self._table is not None:
            design, letters, _ = asked
            known = f"{self._table.evaluate(self._table.space.decode(design)).feedback:.2f}"
            text = f"Answer: {letters.get(known, 'A')}"
        return Reply(text, self.model, "stop", seconds=time.perf_counter() - begun)


def _table(name: str) -> TabularBenchmark:
    """Return the table that a reciter knows; raises InvalidParameter where there is none of that name."""
    from genius_kit.benchmarks import load_benchmark
    from genius_kit.benchmarks.catalogue import is_table

    if not is_table(name):
        raise InvalidParameter(
            f"the reciter needs the digits of an architecture, such as reciter:12222222, got {name!r}; or name a table "
            "that it knows by heart, such as reciter:nas-bench-201-cifar10"
        )
    table: TabularBenchmark = load_benchmark(name)
    return table


def _printed_best(table: TabularBenchmark) -> str:
    from genius_kit.prompts.formatting import format_design

    return format_design(table.space, table.optimum()[0])


def _question(messages: Sequence[Message]) -> tuple[str, dict[str, str], dict[str, str]] | None:
    """Return the architecture of a question on a table, the letter of each accuracy, and the shown accuracies."""
    text = messages[-1]["content"]
    asked = _ASKED.search(text)
    if not asked:
        return None
    rows = dict(line.split(" -> ") for line in text.splitlines() if line.count(" -> ") == 1)
    return asked[1], {accuracy: letter for letter, accuracy in _LETTER.findall(text)}, rows


def answer(messages: Sequence[Message]) -> str:
    """Return the stand-in's reply to a conversation."""
    reading = read_messages(messages)
    opening = f"I am the {OFFLINE_NAME}; I follow a fixed rule."
    if asked := _question(messages):
        name, letters, rows = asked
        guess = list(letters.values())[zlib.crc32(messages[-1]["content"].encode()) % len(letters)]
        letter = letters.get(rows.get(name, ""), guess)
        return f"{opening} I read what is shown and know nothing else.\n\nAnswer: {letter}"
    if not reading.options and _PRINCIPLES in messages[-1]["content"]:
        return f"{opening} I have no design principles to write down; what stands in their place changes nothing."
    if not reading.options:
        return f"{opening} I found no list of allowed values in this prompt, so I cannot name a design."
    design, reason = propose(reading)
    if design is None:
        return f"{opening} {reason}\n\nNo improvement possible"
    return f"{opening} {reason}\n\nArchitecture: {_printed(design, reading.group)}"


def propose(reading: _Reading) -> tuple[Design | None, str]:
    """Return the next architecture and the sentence that explains it; None when no neighbour is untried."""
    if reading.refused and reading.excess:
        for design in _cheaper(reading, reading.refused, reading.excess):
            if design not in reading.tried:
                return design, "The last design was too expensive, so I lowered its costliest positions."
    for place in by_gap(reading.results, reading.beside) if reading.beside else ():
        if changes := list(_changes(place, reading)):
            chosen = changes[len(reading.tried) * _STRIDE % len(changes)]
            return chosen, "I change one position of a design on the front, its cheap end before its widest gap."
    if reading.results:
        best, score = max(reading.results, key=lambda pair: pair[1])
        reason = f"The best design listed scores {score:.2f}, and I change one position of it."
        if score == NOTHING:
            reason = "No result is listed, so I change one position of the first design."
    else:
        best = _start(reading)
        reason = "Nothing is measured yet, so I take the last option but one, lowered where a bound asks for it."
        if best not in reading.tried:
            return best, reason
        reason = "My start was not taken, so I change one position of it."
    for design in _changes(best, reading):
        return design, reason
    return None, "Every change of one position in the best design listed has been tried or is ruled out."


def _start(reading: _Reading) -> Design:
    """Return the last option but one at every position, lowered until the table puts it inside the bound."""
    design = tuple(options[max(0, len(options) - 2)] for options in reading.options)
    if reading.fits(design):
        return design
    over = reading.millions(design) - (reading.upper or 0)
    return next(iter(_cheaper(reading, design, over)), design)


def _cheaper(reading: _Reading, design: Design, excess: float) -> Iterator[Design]:
    """Yield architectures cheaper by `excess` million or more, each with the costliest positions lowered step by step.

    Without a table the costliest position is the one that stands highest in its menu, and each step is yielded.
    """
    start = reading.millions(design)
    while True:
        heights = [options.index(value) for options, value in zip(reading.options, design, strict=True)]
        costs = reading.costs(design) or heights
        lowerable = [position for position, height in enumerate(heights) if height > 0]
        if not lowerable:
            return
        position = max(lowerable, key=lambda index: (costs[index], index))
        lowered = reading.options[position][heights[position] - 1]
        design = (*design[:position], lowered, *design[position + 1 :])
        if costs is heights or start - reading.millions(design) >= excess:
            yield design


def _neighbours(design: Design, options: Sequence[Design]) -> Iterator[Design]:
    """Yield every change of one position, the nearest options first (up before down), the last position first."""
    for distance in range(1, max(len(menu) for menu in options)):
        for step in (distance, -distance):
            for position in reversed(range(len(design))):
                height = options[position].index(design[position]) + step
                if 0 <= height < len(options[position]):
                    yield (*design[:position], options[position][height], *design[position + 1 :])


def _changes(design: Design, reading: _Reading) -> Iterator[Design]:
    """Yield the untried changes of one position that fit the bounds, in the order of `_neighbours`."""
    changes = _neighbours(design, reading.options)
    return (other for other in changes if other not in reading.tried and reading.fits(other))


def read_messages(messages: Sequence[Message]) -> _Reading:
    """Return what a conversation says; `options` stays empty where the prompt has no menu that can be read."""
    reading = _Reading()
    for message in messages:
        if message["role"] == "assistant":
            reading.refused = _last_answer(message["content"])
            reading.tried |= {reading.refused} if reading.refused else set()
            continue
        if not reading.options:
            _read_problem(message["content"], reading)
        results = _results(message["content"])
        reading.results += results
        reading.beside |= read_costs(message["content"])
        reading.tried |= {design for design, _ in results}
        if message["role"] == "user":
            excess = _EXCESS.search(message["content"])
            reading.excess = int(excess[1]) if excess and excess[2] != "below" and not results else 0
    reading.results = [(design, score) for design, score in reading.results if reading.allows(design)]
    reading.refused = reading.refused if reading.refused and reading.allows(reading.refused) else None
    return reading


def _read_problem(text: str, reading: _Reading) -> None:
    """Read the menus, the bound and the MACs table of a prompt of ours or of the published form."""
    length = re.search(r"list of (\d+) (?:operation|channel|option)", text)
    if not length:
        return
    uniform = _UNIFORM.search(text)
    listed = re.findall(r"^- (?:width \d+:|.+: one of) ([\d, ]+)$", text, re.MULTILINE)
    numbered = re.findall(r"^(\d+): \w+\(", text, re.MULTILINE)
    menu = _integers(uniform[1]) if uniform else tuple(int(number) for number in numbered)
    menus = [tuple(sorted(_integers(line))) for line in listed]  # in whatever order they are listed
    reading.options = menus or [menu] * (int(length[1]) if menu else 0)
    group = re.search(r"groups of (\d+)", text)
    reading.group = int(group[1]) if group else 0
    _read_bound(text, reading)
    positions = re.search(r"^The order is: (.+)\.$", text, re.MULTILINE)
    if positions and reading.upper is not None:
        _read_table(text, positions[1].split(", "), reading)
    elif reading.upper is not None:
        _read_published_table(text, reading)
    if [tuple(row) for row in reading.macs] != reading.options:
        reading.macs = []


def _read_bound(text: str, reading: _Reading) -> None:
    upper, lower = re.search(r"at most (\d+) million", text), re.search(r"at least (\d+) million", text)
    if upper:
        reading.upper, reading.lower = float(upper[1]), float(lower[1]) if lower else 0.0
    elif both := re.search(r"remains in \[(\d+), (\d+)\]", text):
        reading.lower, reading.upper = float(both[1]), float(both[2])


def _read_table(text: str, positions: Sequence[str], reading: _Reading) -> None:
    fixed = re.search(r"fixed (?:layers together take|part takes) ([\d.]+):", text)
    reading.fixed = float(fixed[1]) if fixed else 0.0
    if _EMBEDDING_ROW.search(text) and reading.options:
        _read_embeddings(text, reading)
    for label, entries in _MACS_ROW.findall(text):
        first, _, last = label.partition(" to ")
        if first not in positions or (last or first) not in positions:
            continue
        count = positions.index(last or first) - positions.index(first) + 1
        reading.macs += [_costs(entries, reading.options[positions.index(first)])] * count


def _read_embeddings(text: str, reading: _Reading) -> None:
    first, block = reading.options[0], reading.options[-1]
    rows = {
        int(number): (float(fixed), _costs(entries, block)) for number, fixed, entries in _EMBEDDING_ROW.findall(text)
    }
    if tuple(rows) == first and all(tuple(costs) == block for _, costs in rows.values()):
        reading.embeddings = rows


def _read_published_table(text: str, reading: _Reading) -> None:
    reading.fixed = sum(float(number) for number in re.findall(r"FLOPS: (\d+\.\d+)", text))
    rows = re.findall(r"^flops_stage\d_(first|rest)\s*= \[([\d., ]+)\]$", text, re.MULTILINE)
    stages = sum(kind == "first" for kind, _ in rows) or 1
    rest = len(reading.options) // stages - 1
    for kind, entries in rows:
        reading.macs += [_costs(entries, reading.options[0])] * (1 if kind == "first" else rest)


def _costs(entries: str, menu: Design) -> dict[int, float]:
    return dict(zip(menu, (float(entry) for entry in entries.split(",")), strict=False))


def _results(text: str) -> list[tuple[Design, float]]:
    numbered = sorted(_RESULT.findall(text), key=lambda found: int(found[0]))  # in whatever order they are listed
    listed = [(_integers(design), score) for _, design, score in numbered]
    for stages, score in _EXPERIMENT.findall(text):
        design = tuple(value for numbers in re.findall(r"\[([\d, ]+)\]", stages) for value in _integers(numbers))
        listed.append((design, score))
    return [(design, NOTHING if score in _WITHOUT else float(score)) for design, score in listed]


def _last_answer(text: str) -> Design | None:
    answers = _ANSWER.findall(text)
    return _integers(answers[-1]) if answers else None


def _integers(text: str) -> Design:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _printed(design: Design, group: int) -> str:
    if not group:
        return str(list(design))
    return str([list(design[start : start + group]) for start in range(0, len(design), group)])


# Several aims: the front of the results, and where it has gaps


def read_costs(text: str) -> dict[Design, tuple[float, ...]]:
    """Return the costs that stand beside the result of each architecture in a list of results; empty where none do."""
    found = {_integers(design): tuple(map(float, _COST.findall(rest))) for design, rest in _TOLD.findall(text)}
    return {design: costs for design, costs in found.items() if costs}


def by_gap(results: Sequence[tuple[Design, float]], costs: Mapping[Design, tuple[float, ...]]) -> list[Design]:
    """Return the front of the results: the cheapest first, then the other ends, then by widest gap."""
    import numpy as np

    from genius_kit.stats.fronts import crowding_of, front_of

    known = [(design, (-score, *costs[design])) for design, score in results if design in costs]
    width = min((len(values) for _, values in known), default=0)
    points = np.array([values[:width] for _, values in known]).reshape(len(known), width)
    front = np.flatnonzero(front_of(points))
    if not len(front):
        return []
    front = front[np.argsort(points[front, 1], kind="stable")]
    return [known[front[place]][0] for place in np.argsort(-crowding_of(points[front]), kind="stable")]
