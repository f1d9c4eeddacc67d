"""The paper's published ImageNet searches: conversations read, checked, and offered as a benchmark.

The file is a list of chat messages. Each iteration opens with the problem and the experiments so far; a design
over the bound is answered with its MACs and asked again; an accepted one appears as the next experiment.
Format: GENIUS repository, imagenet/chat_history (commit 97361d30).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genius_kit.benchmarks import Benchmark
from genius_kit.errors import DataCorrupt, DataMissing, InvalidArchitecture
from genius_kit.records import Evaluation, Message, Outcome, Proposal
from genius_kit.spaces import Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost, whole_millions

SPACE_NAME = "mobilenet-imagenet"

_NUMBER = r"(?<!\d)(\d{1,9}(?:\.\d{1,9})?)"
_BOUNDS = re.compile(r"FLOPs?\b[^\[\n]*\[\s*(\d{1,9})\s*M?\s*,\s*(\d{1,9})\s*M?\s*\]", re.IGNORECASE)
_MACS = re.compile(_NUMBER + r"\s*(?:M|million)?\s*FLOPs?\b", re.IGNORECASE)
_ACCURACY = re.compile(r"accuracy of\s*" + _NUMBER + r"\s*%", re.IGNORECASE)
_EXPERIMENT = re.compile(
    r"\bExperiment\s*(\d{1,9})\s*:?[ \t]*\n(.*?)(?=\bExperiment\s*\d+|\Z)", re.IGNORECASE | re.DOTALL
)
_INTEGERS = re.compile(r"\[([\d\s,]+)\]")


@dataclass(frozen=True)
class Experiment:
    """What a prompt lists about one finished iteration; `architecture` is None where the list is not of the space."""

    architecture: Architecture | None
    macs_millions: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Turn:
    """One reply and what the authors answered.

    `iteration` counts accepted designs from 1; `messages` is the whole prompt that `reply` answers. The told
    figures are those that the next message or prompt states about this reply: MACs in millions, validation
    accuracy in percent, None where it states none. `listed` is the design that the next prompt ascribes to it.
    `accepted` says that the design was evaluated; for a reply that nobody answered, that it is inside the bound.
    """

    iteration: int
    messages: tuple[Message, ...]
    reply: str
    outcome: Outcome
    told_macs_millions: float | None
    told_accuracy: float | None
    listed: Architecture | None
    accepted: bool

    @property
    def architecture(self) -> Architecture | None:
        """The design that the reply proposes, None where it proposes none."""
        return self.outcome.architecture if isinstance(self.outcome, Proposal) else None


@dataclass(frozen=True)
class Slip:
    """A statement of the authors to the model that does not hold: `told` beside what the reply's design gives."""

    iteration: int
    kind: str  # "macs" (millions) or "listing" (the design itself)
    told: str
    measured: str


@dataclass(frozen=True)
class Conversation:
    """A validated search: its messages, its turns in order, and the bound on MACs that its prompts state."""

    source: str
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    bound: MacsBound

    @cached_property
    def space(self) -> SearchSpace:
        """The ImageNet space."""
        return load_space(SPACE_NAME)

    @cached_property
    def accuracies(self) -> dict[Architecture, float]:
        """Told accuracy in percent of each evaluated design, keyed by what the reply proposed, in order."""
        return {
            turn.architecture: turn.told_accuracy
            for turn in self.turns
            if turn.architecture is not None and turn.told_accuracy is not None
        }

    @property
    def chosen(self) -> Architecture:
        """The design inside the bound with the best told accuracy, the earliest of equals.

        Raises DataCorrupt when the conversation tells no accuracy of such a design.
        """
        inside = {a: value for a, value in self.accuracies.items() if self.bound.refusal(self.space, a) is None}
        if not inside:
            raise DataCorrupt(f"{self.source} tells no accuracy of a design inside {self.bound}: nothing was chosen")
        return max(inside, key=lambda architecture: inside[architecture])

    def slips(self) -> list[Slip]:
        """Return where the authors' figures or listings differ from the design that was proposed."""
        slips = []
        for turn in self.turns:
            if turn.architecture is None:
                continue
            measured, told = whole_millions(count_cost(self.space, turn.architecture).macs), turn.told_macs_millions
            if told is not None and round(told) != measured:
                slips.append(Slip(turn.iteration, "macs", f"{told:g}", str(measured)))
            if turn.listed is not None and turn.listed != turn.architecture:
                listed, proposed = self.space.encode(turn.listed), self.space.encode(turn.architecture)
                slips.append(Slip(turn.iteration, "listing", listed, proposed))
        return slips


class RecordedBenchmark(Benchmark):
    """The ImageNet space with the accuracies that one conversation told the model; everything else is unmeasured."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        super().__init__(
            name=f"imagenet-recorded-{Path(conversation.source).stem}",
            title=f"ImageNet search, recorded ({Path(conversation.source).stem})",
            dataset="ImageNet",
            space=conversation.space,
            protocol="paper",
            feedback_name="validation accuracy",
            constraint=conversation.bound,
        )
        told = conversation.accuracies
        isomorphic = {self.space.canonical(a): accuracy for a, accuracy in reversed(told.items())}
        self._accuracies = {**isomorphic, **told}

    def evaluate(self, architecture: Sequence[int]) -> Evaluation:
        """Return the accuracy told of this design, or of one that differs by where its skips stand.

        All accuracies are None where none was told; cost is always exact. Raises InvalidArchitecture.
        """
        design = self.space.check(architecture)
        accuracy = self._accuracies.get(design, self._accuracies.get(self.space.canonical(design)))
        return Evaluation(accuracy, None, accuracy, count_cost(self.space, design), self.conversation.source)


def read_conversation(path: str | Path) -> Conversation:
    """Read and check one published conversation.

    Raises DataMissing when there is no such file, and DataCorrupt, naming what came, when it is not a list of
    {role, content} messages with replies and a bound "[lower, upper]" on the FLOPs.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataMissing(
            f"{path} does not exist: `genius-kit data fetch` downloads it, `genius-kit data import DIR` copies it"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataCorrupt(f"{path} is not readable as JSON ({error}): expected a list of chat messages") from error
    messages = _checked_messages(content, path.name)
    return Conversation(path.name, messages, _turns(messages, path.name), _bound(messages, path.name))


def _checked_messages(content: Any, source: str) -> tuple[Message, ...]:
    expected = 'expected a list of {"role": ..., "content": ...}'
    if not isinstance(content, list) or not content:
        came = "an empty list" if content == [] else type(content).__name__
        raise DataCorrupt(f"{source} holds {came}: {expected}")
    for index, message in enumerate(content):
        if not isinstance(message, Mapping):
            raise DataCorrupt(f"{source}: message {index} is a {type(message).__name__}: {expected}")
        if message.get("role") not in ("system", "user", "assistant"):
            came = repr(message.get("role"))[:80]
            raise DataCorrupt(f"{source}: message {index} has role {came}, expected system, user or assistant")
        if not isinstance(message.get("content"), str):
            came = type(message.get("content")).__name__
            raise DataCorrupt(f"{source}: message {index} has content of type {came}, expected text")
    if content[0]["role"] == "assistant" or not any(message["role"] == "assistant" for message in content):
        raise DataCorrupt(f"{source} has no reply to a prompt: expected user messages answered by an assistant")
    return tuple(Message(role=message["role"], content=message["content"]) for message in content)


def _problem(messages: Sequence[Message]) -> str:
    """Return the first line of the problem, by which a fresh prompt is recognised."""
    return next((line for m in messages if m["role"] == "user" for line in m["content"].splitlines()), "")


def _opens(message: Message, problem: str) -> bool:
    """Return whether `message` starts a fresh prompt: a system message, or the problem once more."""
    repeats = bool(problem) and message["role"] == "user" and message["content"].startswith(problem)
    return message["role"] == "system" or repeats


def _bound(messages: Sequence[Message], source: str) -> MacsBound:
    found = {
        matches[-1]
        for message in messages
        if message["role"] == "user" and (matches := _BOUNDS.findall(message["content"]))
    }
    if len(found) != 1:
        came = ", ".join(f"[{lower}, {upper}]" for lower, upper in sorted(found)) or "none"
        raise DataCorrupt(
            f"{source}: expected one bound on the FLOPs, written [lower, upper], in its prompts; found {came}"
        )
    lower, upper = (int(value) for value in found.pop())
    if not 0 < upper >= lower:
        raise DataCorrupt(f"{source}: the bound [{lower}, {upper}] is empty: expected lower <= upper")
    return MacsBound(upper, lower)


def _turns(messages: Sequence[Message], source: str) -> tuple[Turn, ...]:
    bound, problem = _bound(messages, source), _problem(messages)
    prompt: list[Message] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            answer = _answer(messages[index + 1 :])
            restarts = any(_opens(following, problem) for following in answer)
            iteration = 1 + sum(turn.accepted for turn in turns)
            turns.append(_turn(iteration, tuple(prompt), message["content"], answer, restarts, bound, source))
        elif _opens(message, problem) and any(earlier["role"] == "assistant" for earlier in prompt):
            prompt = []
        prompt.append(message)
    return tuple(turns)


def _answer(following: Sequence[Message]) -> list[Message]:
    """Return the messages up to the next reply."""
    answer = []
    for message in following:
        if message["role"] == "assistant":
            break
        answer.append(message)
    return answer


def _turn(
    iteration: int,
    prompt: tuple[Message, ...],
    reply: str,
    answer: list[Message],
    restarts: bool,
    bound: MacsBound,
    source: str,
) -> Turn:
    """Return one turn: its reply parsed, and what the `answer` (a fresh prompt if it `restarts`) tells of it."""
    from genius_kit.replies import parse_reply

    space = load_space(SPACE_NAME)
    outcome = parse_reply(reply, space)
    text = "\n".join(message["content"] for message in answer if message["role"] == "user")
    if not answer:
        accepted = isinstance(outcome, Proposal) and bound.refusal(space, outcome.architecture) is None
        return Turn(iteration, prompt, reply, outcome, None, None, None, accepted)
    told: Experiment | None
    if restarts:
        told = _experiments(text, space, source).get(iteration)
        accepted = told is not None
    else:
        told = _experiment(text, space, source)
        accepted = told.accuracy is not None
    told = told or Experiment(None, None, None)
    return Turn(iteration, prompt, reply, outcome, told.macs_millions, told.accuracy, told.architecture, accepted)


def _experiments(prompt: str, space: SearchSpace, source: str) -> dict[int, Experiment]:
    """Return the experiments that a prompt lists, by number."""
    return {int(number): _experiment(body, space, source) for number, body in _EXPERIMENT.findall(prompt)}


def _experiment(text: str, space: SearchSpace, source: str) -> Experiment:
    accuracy = _ACCURACY.search(text)
    stated = text[: accuracy.end()] if accuracy else text
    macs = _MACS.search(stated)
    value = float(accuracy.group(1)) if accuracy else None
    if value is not None and value > 100:
        raise DataCorrupt(f"{source}: an accuracy of {value:g} % was told, expected at most 100")
    return Experiment(_listed(stated, space), float(macs.group(1)) if macs else None, value)


def _listed(text: str, space: SearchSpace) -> Architecture | None:
    """Return the design that the integer lists of `text` spell together, None when they spell none."""
    values = [int(value) for part in _INTEGERS.findall(text) for value in re.findall(r"\d{1,9}", part)]
    try:
        return space.check(values)
    except InvalidArchitecture:
        return None
