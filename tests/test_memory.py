"""Whether a table is known by heart: clients of known nature, error rates, journals, and bad input.

GENIUS_KIT_STUDIES=1000 measures what docs/studies.md says.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from genius_kit.benchmarks import load_benchmark
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.budget.amounts import Limits
from genius_kit.chat import Reply
from genius_kit.cli import app
from genius_kit.errors import BudgetSpent, InvalidParameter, JournalError, ModelError
from genius_kit.journal import Run, read_run
from genius_kit.journal.verify import verify_run
from genius_kit.llm.offline import OfflineClient
from genius_kit.records import Message
from genius_kit.runs.batch import resume
from genius_kit.testing.answers import Answer, completion, error
from genius_kit.testing.server import ChatServer
from genius_kit.verdicts import Verdict
from genius_kit.verdicts.searches import memory
from genius_kit.verdicts.searches.memory import CANNOT_TELL, KNOWS, NO_SIGN, NOT_ENOUGH, QUESTIONS, Question, questions
from tests.natures import table_of

STUDIES = int(os.environ.get("GENIUS_KIT_STUDIES", "20"))
TABLES = ("nas-bench-201-cifar10", "nas-bench-macro", "channel-bench-resnet", "nas-bench-201-imagenet16-120")
LETTERS = "ABCDEF"

Answers = Callable[[Question, random.Random], str]


def knows(noise: float) -> Callable[[TabularBenchmark], Answers]:
    """Knows the table by heart, and guesses in this share of its answers; altered rows do not change its mind."""
    return lambda table: lambda asked, draws: LETTERS[draws.randrange(6) if draws.random() < noise else asked.published]


def believes(features: Callable[[TabularBenchmark], np.ndarray], reads: bool) -> Callable[[TabularBenchmark], Answers]:
    """Knows networks as well as a regression that saw every architecture but a fifth, and reads altered rows or not."""

    def make(table: TabularBenchmark) -> Answers:
        guess = _predicted(table, features)

        def answer(asked: Question, draws: random.Random) -> str:
            if reads and asked.shown is not None:
                return LETTERS[asked.shown]
            expected = guess[table.space.index(asked.architecture)]
            return LETTERS[int(np.argmin(np.abs(np.array(asked.options, dtype=float) - expected)))]

        return answer

    return make


def _predicted(table: TabularBenchmark, features: Callable[[TabularBenchmark], np.ndarray]) -> np.ndarray:
    known, scores = features(table), np.round(table.scores(), 2)
    parts, found = np.random.default_rng(0).integers(5, size=len(scores)), np.zeros(len(scores))
    for part in range(5):
        fitted = np.linalg.lstsq(known[parts != part], scores[parts != part], rcond=None)[0]
        found[parts == part] = known[parts == part] @ fitted
    return found


def operations(table: TabularBenchmark) -> np.ndarray:
    """Which option stands at which position."""
    rows = table.space.all_architectures()
    return np.column_stack([np.eye(rows.max() + 1)[rows].reshape(len(rows), -1), np.ones(len(rows))])


def pairs(table: TabularBenchmark) -> np.ndarray:
    """Which two options stand at which two positions."""
    single = operations(table)
    return np.hstack([single[:, [place]] * single[:, place:] for place in range(single.shape[1])])


def sizes(table: TabularBenchmark) -> np.ndarray:
    """A cubic of the number of parameters."""
    counts = np.log(table.evaluate_rows(np.arange(table.space.size))["parameters"] + 1.0)
    return np.vander((counts - counts.mean()) / counts.std(), 4)


def reads(table: TabularBenchmark) -> Answers:
    """Reads what is shown, and guesses otherwise."""
    return lambda asked, draws: LETTERS[draws.randrange(6) if asked.shown is None else asked.shown]


def largest(table: TabularBenchmark) -> Answers:
    """Takes the highest accuracy, and reads what is shown."""
    return lambda asked, draws: LETTERS[
        int(np.argmax(np.array(asked.options, dtype=float))) if asked.shown is None else asked.shown
    ]


IGNORANT: dict[str, tuple[Callable[[TabularBenchmark], Answers], set[str]]] = {
    "knows operations": (believes(operations, True), {NO_SIGN, NOT_ENOUGH}),
    "knows pairs of operations": (believes(pairs, True), {NO_SIGN, NOT_ENOUGH}),
    "knows sizes": (believes(sizes, True), {NO_SIGN, NOT_ENOUGH}),
    "trusts its knowledge": (believes(operations, False), {CANNOT_TELL}),
    "reads": (reads, {NO_SIGN, NOT_ENOUGH}),
    "takes the largest": (largest, {NO_SIGN, NOT_ENOUGH}),
    "guesses": (lambda table: lambda asked, draws: LETTERS[draws.randrange(6)], {CANNOT_TELL}),
    "always A": (lambda table: lambda asked, draws: "A", {CANNOT_TELL}),
    "refuses": (lambda table: lambda asked, draws: "I cannot say", {CANNOT_TELL}),
    "nonsense": (lambda table: lambda asked, draws: "G, perhaps 12", {CANNOT_TELL}),
}  # fmt: skip
"""By nature: who answers, and what is right."""

KNOWING = {f"knows, {100 * noise:.0f} % noise": knows(noise) for noise in (0.0, 0.2, 0.5)}


@cache
def quiz(name: str, seed: int, count: int = QUESTIONS) -> list[Question]:
    """The questions of one seed."""
    return [asked for asked, _ in zip(questions(load_benchmark(name), seed), range(count), strict=False)]


def answered(name: str, client: Answers, seed: int, count: int = QUESTIONS) -> Verdict:
    """The verdict on the answers of a client, on a record in memory."""
    draws = random.Random(seed)
    events = [{"event": "run_started", "run": {"proposer": "memory", "benchmark": name, "settings": {"model": "made"}}}]
    for number, asked in enumerate(quiz(name, seed, count), start=1):
        text = f"Answer: {client(asked, draws)}"
        events += [
            {"event": "question", "iteration": number, **asked.fields()},
            {"event": "call", "iteration": number, "messages": [], "text": text},
        ]
    return memory.memory(Run(None, events))


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES[: None if STUDIES > 20 else 2])
def test_who_does_not_know_the_table_is_not_said_to(table: str, data_home: Path) -> None:
    """At most one in a hundred, whatever it knows of networks; who answers nothing is told that nothing can be told."""
    loaded = load_benchmark(table)
    for name, (make, right) in IGNORANT.items():
        client = make(loaded)
        kinds = Counter(answered(table, client, seed).kind for seed in range(STUDIES))
        print(table, name, dict(kinds))
        assert kinds[KNOWS] <= max(1, 0.01 * STUDIES + 3 * (0.01 * STUDIES) ** 0.5)
        assert sum(kinds[kind] for kind in right) >= 0.9 * STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWING)
def test_who_knows_the_table_is_found(name: str, data_home: Path) -> None:
    """With half of its answers guessed too, in few questions."""
    table = TABLES[0]
    found = [answered(table, KNOWING[name](load_benchmark(table)), seed) for seed in range(STUDIES)]
    needed = [
        int((one.evidence["e_value"] >= memory.DECISIVE).to_numpy().argmax()) + 1 for one in found if one.kind == KNOWS
    ]
    print(name, len(needed), np.percentile(needed, [50, 90]), [sum(n <= k for n in needed) for k in (4, 8, 16, 32, 64)])
    assert len(needed) >= 0.95 * STUDIES


class Scripted(OfflineClient):
    """Answers with a fixed text, or fails from some question on."""

    def __init__(self, text: str, fails_from: int = 1_000) -> None:
        self.text, self.left = text, fails_from

    def send(self, messages: Sequence[Message], seed: int | None = None) -> Reply:
        """Return the text."""
        self.left -= 1
        if self.left < 0:
            raise ModelError("the line is dead", cause="connection")
        return Reply(self.text, self.model, "stop")


@pytest.fixture
def table(no_data: Path) -> TabularBenchmark:
    """A table that needs no download."""
    return load_benchmark(TABLES[0], source="embedded")


def test_questions_are_drawn_as_they_are_said_to_be(table: TabularBenchmark) -> None:
    """Six neighbouring accuracies, the right one anywhere among them, altered rows that hold none of their own."""
    asked = [one for one, _ in zip(questions(table, 3), range(400), strict=False)]
    assert len({one.architecture for one in asked}) == 400
    for one in asked:
        accuracy = f"{table.evaluate(one.architecture).feedback:.2f}"
        assert one.options[one.published] == accuracy
        assert len(set(one.options)) == 6
        assert one.shown != one.published
        own = [f"{table.evaluate(table.space.decode(name)).feedback:.2f}" for name, _ in one.rows]
        assert all(shown != true for (_, shown), true in zip(one.rows, own, strict=True))
        assert not one.rows or set(own) == set(one.options)
    assert sum(bool(one.rows) for one in asked) == 100
    for place in (
        [one.published for one in asked],
        [sorted(one.options).index(one.options[one.published]) for one in asked],
    ):
        assert min(Counter(place).values()) > 40  # of 67, as chance has it


def test_the_stand_in_knows_nothing_and_a_reciter_of_the_table_is_found(table: TabularBenchmark) -> None:
    """The reciter in four calls; one of a single architecture gives no answer that can be read."""
    found = {model: memory.ask(table, model=model) for model in ("offline", f"reciter:{table.name}", "reciter:333333")}
    kinds = [memory.memory(run).kind for run in found.values()]
    assert kinds == [NO_SIGN, KNOWS, CANNOT_TELL]
    assert [len(run.of("call")) for run in found.values()] == [64, 4, 64]
    assert found[f"reciter:{table.name}"].reason == "found"


def test_a_record_goes_on_where_it_ended_and_is_read_back(table: TabularBenchmark, tmp_path: Path) -> None:
    """No answer is paid twice, the chain is sound, and the verdict is the same from the file."""
    with pytest.raises(ModelError, match="dead"):
        memory.ask(table, client=Scripted("Answer: B", 5), count=8, output=tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    with pytest.raises(InvalidParameter, match="the same `genius-kit memory` command goes on"):
        resume(path)
    run = memory.ask(table, client=Scripted("Answer: B", 3), count=8, output=tmp_path)
    assert len(run.of("call")) == 8
    assert memory.ask(table, client=Scripted("", 0), count=8, output=tmp_path).finished
    assert verify_run(path).is_sound
    assert memory.memory(read_run(path)).sentence == memory.memory(run).sentence
    more = memory.ask(table, client=Scripted("Answer: B", 4), count=12, output=tmp_path, reuse=True)
    assert sum("reused" in call for call in more.of("call")) == 8


def test_limits_are_kept(table: TabularBenchmark, tmp_path: Path) -> None:
    """A request that does not fit is not sent."""
    with pytest.raises(BudgetSpent):
        memory.ask(table, count=9, output=tmp_path, limits=Limits(calls=4))
    (path,) = tmp_path.glob("*.jsonl")
    assert len(read_run(path).of("call")) == 4


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: C", "C"), ("**Answer: C**", "C"), ("I think so.\n\nC", "C"), ("(C)", "C"), ("C: 91.23", "C"),
        ("Answer: A\nno, wait.\nAnswer: C", "C"), ("The answer is C.", "C"), ("answer: c", "C"),
        ("A good question.", None), ("Answer: G", None), ("Answer: X", None), ("", None), (None, None),
        ("Architecture: [3, 3, 3]", None), ("Answer: Cats", None),
    ],
)  # fmt: skip
def test_letters_are_read_and_nothing_else(text: str | None, letter: str | None) -> None:
    """The last marked letter, or one that stands alone on the last line."""
    place = memory._read(text)
    assert (None if place is None else LETTERS[place]) == letter


def test_log_probabilities_are_used_where_a_server_tells_them(table: TabularBenchmark, tmp_path: Path) -> None:
    """They are asked for, recorded for each letter, and count; a server that refuses them is asked without."""

    def told(body: dict[str, Any], number: int) -> dict[str, Any]:
        others = [{"token": letter, "logprob": math.log(0.2)} for letter in "BCDE"]
        token = {"token": " B", "logprob": math.log(0.2), "top_logprobs": [*others, {"token": "I", "logprob": "x"}]}
        answer = completion("Answer: B")
        answer["choices"][0]["logprobs"] = {"content": [{"token": "Answer"}, token, {"token": "."}]}
        return answer

    with ChatServer(told) as server:
        run = memory.ask(table, model="m", base_url=server.url, count=8)
        assert server.bodies[0]["logprobs"] is True
    assert run.of("call")[0]["letters"] == pytest.approx(dict.fromkeys("BCDE", math.log(0.2)))
    found = memory.memory(run)
    right = [LETTERS[event["published"]] in "BCDE" for event in run.of("question") if event["shown"] is None]
    closed = found.evidence[~found.evidence["canary"]]
    assert list(closed["value"].round(2)) == list(np.where(right, 0.4, -0.8))  # 6 x 0.2 - 0.8
    assert "log-probabilities were told for 8 of 8 replies" in found.sentence

    def refused(body: dict[str, Any], number: int) -> Any:
        names = [name for name in ("logprobs", "top_logprobs") if name in body]
        if names:
            return Answer(error(f"Unsupported parameter: {names[0]}", param=names[0]), status=400)
        return completion("Answer: B")

    with ChatServer(refused) as server:
        run = memory.ask(table, model="m", base_url=server.url, count=8)
        assert server.count == 10
    assert "the server told no log-probabilities" in memory.memory(run).sentence


def test_bad_input_is_told_in_a_sentence(table: TabularBenchmark) -> None:
    """No table, no questions, too many, too few accuracies, a reciter of nothing, another journal."""
    coarse = table_of(table.space, np.round(table.scores() / 50) * 50)
    for wrong, call in {
        "got 0": lambda: memory.ask(table, count=0),
        "has architectures for": lambda: memory.ask(table, count=10_000),
        "different accuracies, and questions take 12": lambda: memory.ask(coarse),
        "has no table that could be known by heart": lambda: memory.ask(load_benchmark("train", space="nas-bench-201")),
        "or name a table": lambda: memory.ask(table, model="reciter:nobody"),
    }.items():
        with pytest.raises(InvalidParameter, match=wrong):
            call()
    with pytest.raises(JournalError, match="holds no questions on a table"):
        memory.memory(Run(None, []))


def test_the_command_prints_the_verdict(no_data: Path, tmp_path: Path) -> None:
    """The journal, the sentence, and that the stand-in is no model."""
    done = CliRunner().invoke(app, ["memory", TABLES[0], "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "no sign of memory" in done.stdout
    assert "not from a language model" in done.stdout
