"""The paper's published ImageNet searches: conversations read and checked, offered as a benchmark and as a prompt.

The file is a list of chat messages. Each iteration opens with the problem and the experiments so far; an architecture
over the bound is answered with its MACs and asked again; an accepted one appears as the next experiment.
Format: GENIUS repository, imagenet/chat_history (commit 97361d30). The text is read at run time and never stored here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from genius_kit.benchmarks import Benchmark
from genius_kit.benchmarks.downloads import find
from genius_kit.errors import DataCorrupt, DataMissing, InvalidArchitecture, PromptError
from genius_kit.files import read_text
from genius_kit.prompts.base import Prompt, fill, read_template
from genius_kit.prompts.formatting import macs_in_millions
from genius_kit.records import Evaluation, Message, Outcome, Proposal, Rejection, Trial
from genius_kit.replies import parse_reply
from genius_kit.spaces import Architecture, SearchSpace, load_space
from genius_kit.spaces.costs import MacsBound, count_cost, whole_millions

SPACE = load_space("mobilenet-imagenet")
LONGEST_CONVERSATION = 10_000_000  # bytes of a file

_TOLD = r"(?<!\d)(\d{1,9}(?:\.\d{1,9})?)"
_BOUNDS = re.compile(r"FLOPs?\b[^\[\n]*\[\s*(\d{1,9})\s*M?\s*,\s*(\d{1,9})\s*M?\s*\]", re.IGNORECASE)
_MACS = re.compile(_TOLD + r"\s*(?:M|million)?\s*FLOPs?\b", re.IGNORECASE)
_ACCURACY = re.compile(r"accuracy of\s*" + _TOLD + r"\s*%", re.IGNORECASE)
_EXPERIMENT = re.compile(
    r"\bExperiment\s*(\d{1,9})\s*:?[ \t]*\n(.*?)(?=\bExperiment\s*\d+|\Z)", re.IGNORECASE | re.DOTALL
)
_INTEGERS = re.compile(r"\[([\d\s,]+)\]")
_FIRST_BLOCK = re.compile(r"^- Experiment1\n(?P<stages>(?:.*\[[\d, ]+\].*\n)+)(?P<outcome>.*?\d.*)$", re.MULTILINE)
_LIST = re.compile(r"\[[\d, ]+\]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Experiment:
    """What a prompt lists about one finished iteration; `architecture` is None where the list is not of the space."""

    architecture: Architecture | None
    macs_millions: float | None
    accuracy: float | None


NOTHING = Experiment(None, None, None)


@dataclass(frozen=True)
class Turn:
    """One reply and what the authors answered.

    `iteration` counts accepted architectures from 1; `messages` is the whole prompt that `reply` answers. The told
    figures are those that the next message or prompt states about this reply: MACs in millions, validation
    accuracy in percent, None where it states none. `listed` is the architecture that the next prompt ascribes to it.
    `accepted` says that the architecture was evaluated; for a reply that nobody answered, that it is inside the bound.
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
        """The architecture that the reply proposes, None where it proposes none."""
        return self.outcome.architecture if isinstance(self.outcome, Proposal) else None


@dataclass(frozen=True)
class Slip:
    """A statement of the authors to the model that does not hold: `told` beside what the reply's architecture gives."""

    iteration: int
    kind: str  # "macs" (millions) or "listing" (the architecture itself)
    told: str
    measured: str


@dataclass(frozen=True)
class Conversation:
    """A validated search: its messages, its turns in order, and the bound on MACs that its prompts state."""

    source: str
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    bound: MacsBound

    space: ClassVar[SearchSpace] = SPACE

    @cached_property
    def accuracies(self) -> dict[Architecture, float]:
        """Told accuracy in percent of each evaluated architecture, keyed by what the reply proposed, in order."""
        return {
            turn.architecture: turn.told_accuracy
            for turn in self.turns
            if turn.architecture is not None and turn.told_accuracy is not None
        }

    @property
    def chosen(self) -> Architecture:
        """The architecture inside the bound with the best told accuracy, the earliest of equals.

        Raises DataCorrupt when the conversation tells no accuracy of such an architecture.
        """
        inside = {a: value for a, value in self.accuracies.items() if self.bound.refusal(self.space, a) is None}
        if not inside:
            raise DataCorrupt(f"{self.source} tells no accuracy of a design inside {self.bound}: nothing was chosen")
        return max(inside, key=lambda architecture: inside[architecture])

    def slips(self) -> list[Slip]:
        """Return where the authors' figures or listings differ from the architecture that was proposed."""
        slips = []
        for turn in self.turns:
            if turn.architecture is None:
                continue
            measured, told = macs_in_millions(self.space, turn.architecture), turn.told_macs_millions
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
        """Return the accuracy told of this architecture, or of one that differs by where its skips stand.

        All accuracies are None where none was told; cost is always exact. Raises InvalidArchitecture.
        """
        design = self.space.check(architecture)
        accuracy = self._accuracies.get(design, self._accuracies.get(self.space.canonical(design)))
        return Evaluation(accuracy, None, accuracy, count_cost(self.space, design), self.conversation.source)


def read_conversation(path: str | Path) -> Conversation:
    """Read and check one published conversation.

    Raises DataMissing when there is no such file, and DataCorrupt, naming what it holds, when it is not a list of
    {role, content} messages with replies and a bound "[lower, upper]" on the FLOPs.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path, LONGEST_CONVERSATION))
    except FileNotFoundError as error:
        raise DataMissing(
            f"there is no file {path}; the published conversations are 329M and 401M: `genius-kit data fetch` "
            "downloads them, `genius-kit data import DIR` copies them"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        seen = f"; a journal is shown by `genius-kit audit {path}`" if path.suffix == ".jsonl" else ""
        raise DataCorrupt(f"{path} is not readable as JSON ({error}): it must be a list of messages{seen}") from error
    messages = _checked_messages(content, path.name)
    bound = _bound(messages, path.name)
    return Conversation(path.name, messages, tuple(_turns(messages, bound, path.name)), bound)


def _checked_messages(content: Any, source: str) -> tuple[Message, ...]:
    needed = 'it needs a list of {"role": ..., "content": ...}'
    if not isinstance(content, list) or not content:
        held = "an empty list" if content == [] else type(content).__name__
        raise DataCorrupt(f"{source} holds {held}: {needed}")
    for index, message in enumerate(content):
        where = f"{source}: message {index}"
        if not isinstance(message, Mapping):
            raise DataCorrupt(f"{where} is a {type(message).__name__}: {needed}")
        role, text = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            raise DataCorrupt(f"{where} must have the role system, user or assistant, got {role!r:.80}")
        if not isinstance(text, str):
            raise DataCorrupt(f"{where} must have text as content, got {type(text).__name__}")
    if content[0]["role"] == "assistant" or not any(message["role"] == "assistant" for message in content):
        raise DataCorrupt(f"{source} has no reply to a prompt: it needs user messages answered by an assistant")
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
        bounds = ", ".join(f"[{lower}, {upper}]" for lower, upper in sorted(found)) or "none"
        raise DataCorrupt(
            f"{source} needs one bound on the FLOPs, written [lower, upper], in its prompts; found {bounds}"
        )
    lower, upper = (int(value) for value in found.pop())
    if not 0 < upper >= lower:
        raise DataCorrupt(f"{source}: the bound [{lower}, {upper}] is empty: lower must not be above upper")
    return MacsBound(upper, lower)


def _turns(messages: Sequence[Message], bound: MacsBound, source: str) -> Iterator[Turn]:
    problem = _problem(messages)
    prompt: list[Message] = []
    iteration = 1
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            outcome = parse_reply(message["content"], SPACE)
            answer = list(takewhile(lambda following: following["role"] != "assistant", messages[index + 1 :]))
            if answer:
                told, accepted = _told(answer, problem, iteration, source)
            else:
                told = NOTHING
                accepted = isinstance(outcome, Proposal) and bound.refusal(SPACE, outcome.architecture) is None
            figures = (told.macs_millions, told.accuracy, told.architecture)
            yield Turn(iteration, tuple(prompt), message["content"], outcome, *figures, accepted)
            iteration += accepted
        elif _opens(message, problem) and any(earlier["role"] == "assistant" for earlier in prompt):
            prompt = []
        prompt.append(message)


def _told(answer: Sequence[Message], problem: str, iteration: int, source: str) -> tuple[Experiment, bool]:
    """Return what the messages after a reply tell of it, and whether it was accepted: listed, or told an accuracy."""
    text = "\n".join(one["content"] for one in answer if one["role"] == "user")
    if any(_opens(one, problem) for one in answer):
        listed = _experiments(text, source).get(iteration)
        return listed or NOTHING, listed is not None
    told = _experiment(text, source)
    return told, told.accuracy is not None


def _experiments(prompt: str, source: str) -> dict[int, Experiment]:
    """Return the experiments that a prompt lists, by number."""
    return {int(number): _experiment(body, source) for number, body in _EXPERIMENT.findall(prompt)}


def _experiment(text: str, source: str) -> Experiment:
    accuracy = _ACCURACY.search(text)
    stated = text[: accuracy.end()] if accuracy else text
    macs = _MACS.search(stated)
    value = float(accuracy.group(1)) if accuracy else None
    if value is not None and value > 100:
        raise DataCorrupt(f"{source}: accuracies must be at most 100 %, got {value:g}")
    return Experiment(_listed(stated), float(macs.group(1)) if macs else None, value)


def _listed(text: str) -> Architecture | None:
    """Return the architecture that the integer lists of `text` spell together, None when they spell none."""
    values = [int(value) for part in _INTEGERS.findall(text) for value in re.findall(r"\d{1,9}", part)]
    try:
        return SPACE.check(values)
    except InvalidArchitecture:
        return None


@dataclass(frozen=True)
class PublishedPrompt(Prompt):
    """The prompts of one published conversation; `stages` and `outcome` hold the numbers of its first experiment."""

    space: SearchSpace
    opening: tuple[Message, ...]
    before: str
    stages: str
    outcome: str
    after: str
    after_several: str
    refused: str | None

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the conversation's first opening, or its second one with `trials` in place of the experiments."""
        if not trials:
            return list(self.opening)
        blocks = [self._block(number, trial) for number, trial in enumerate(trials, start=1)]
        after = self.after if len(trials) == 1 else self.after_several
        user = Message(role="user", content=self.before + "\n\n".join(blocks) + after)
        return [*self.opening[:-1], user]

    def refusal(self, rejection: Rejection) -> Message:
        """Return the conversation's own refusal with the numbers of the detail, or ours where it has none that fits."""
        numbers = _NUMBER.findall(rejection.detail)
        is_excess = rejection.reason == "constraint" and len(numbers) == 3 and "above" in rejection.detail
        if self.refused and is_excess:
            return Message(role="user", content=_with_numbers(self.refused, numbers))
        values = {"detail": rejection.detail.rstrip(". ") + ".", "placeholder": "[a, b, ...]"}
        return Message(role="user", content=fill(read_template("shared", "refusal"), values, "refusal.md"))

    def _block(self, number: int, trial: Trial) -> str:
        lists = iter(str([trial.architecture[position] for position in stage]) for stage in self.space.stages)
        feedback = trial.evaluation.feedback
        told = [str(self._millions(trial)), "unknown" if feedback is None else f"{feedback:.2f}"]
        stages = _LIST.sub(lambda _: next(lists), self.stages)
        return f"- Experiment{number}\n{stages}{_with_numbers(self.outcome, told)}"

    def _millions(self, trial: Trial) -> int:
        """Return the total that the record states for a trial, else the count: the record has a slip of its own."""
        cost = trial.evaluation.cost
        return macs_in_millions(self.space, trial.architecture) if cost is None else whole_millions(cost.macs)


def load_published(
    space: SearchSpace, *, history: str, constraint: MacsBound | None, conversation: str | Path | None
) -> PublishedPrompt:
    """Return the prompt of a published conversation (default: the downloaded 329M.json).

    The first opening is the file's, byte for byte. Later openings are made from its second one: the text up to the
    first experiment (its design principles come from GPT-4's first reply in that conversation), one block per trial in
    the form of the first block, and the closing text (of the last opening where there are several trials). The refusal
    of an architecture above the bound is the file's too.
    Raises PromptError for a file of another form, a history other than "table" (the published form), or a
    constraint other than the one its text states; DataMissing where the file was not downloaded.
    """
    if history != "table":
        raise PromptError(
            f'the published prompt lists its results afresh: history="table" is its only form, not {history!r}'
        )
    path = find("chat_history/329M.json") if conversation is None else Path(conversation)
    try:
        chat = read_conversation(path)
    except (DataMissing, DataCorrupt) as error:
        raise PromptError(f"the published prompt cannot be read: {error}") from error
    openings = [turn.messages for turn in chat.turns if all(one["role"] != "assistant" for one in turn.messages)]
    text = openings[1][-1]["content"] if len(openings) > 1 else ""
    block = _FIRST_BLOCK.search(text)
    is_known = block and len(_LIST.findall(block["stages"])) == len(space.stages)
    if not block or not is_known or len(_NUMBER.findall(block["outcome"])) != 2:
        raise PromptError(
            f"{path} is not a published conversation: it needs a second prompt that lists Experiment1 in "
            f"{len(space.stages)} stages with its total and its accuracy"
        )
    _check_bound(chat.bound, constraint, path)
    answers = [turn.messages[-1]["content"] for turn in chat.turns if turn.messages not in openings]
    return PublishedPrompt(
        name="published",
        history=history,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        space=space,
        opening=openings[0],
        before=text[: block.start()],
        stages=block["stages"],
        outcome=block["outcome"],
        after=text[block.end() :],
        after_several=_closing(openings[-1][-1]["content"], block["outcome"]) or text[block.end() :],
        refused=next((answer for answer in answers if len(_NUMBER.findall(answer)) == 3), None),
    )


def _closing(text: str, outcome: str) -> str | None:
    """Return what follows the last experiment of `text`: one file has a blank line fewer there."""
    outcomes = re.finditer(_NUMBER.pattern.join(map(re.escape, _NUMBER.split(outcome))), text)
    return next((text[found.end() :] for found in reversed(list(outcomes))), None)


def _check_bound(stated: MacsBound, constraint: MacsBound | None, path: Path) -> None:
    if constraint is None or constraint in (stated, MacsBound(stated.upper_millions)):
        return
    raise PromptError(
        f"{path} states the bound [{stated.lower_millions}, {stated.upper_millions}] million, but the run's is "
        f"[{constraint.lower_millions}, {constraint.upper_millions}]: give the same bound, or another variant"
    )


def _with_numbers(text: str, numbers: Sequence[str]) -> str:
    """Return `text` with its numbers replaced, in order."""
    values = iter(numbers)
    return _NUMBER.sub(lambda _: next(values), text)
