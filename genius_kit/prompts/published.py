"""The paper's own prompt for the ImageNet space, read at run time from a published conversation and never stored here.

The first opening is the file's, byte for byte. Later openings are made from its second one: the text up to the
first experiment (its design principles come from GPT-4's first reply in that conversation), one block a trial in
the form of the first block, and the closing text (of the last opening where there are several trials). The refusal
of a design above the bound is the file's too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genius_kit.data import find
from genius_kit.errors import PromptError
from genius_kit.prompts.base import Prompt, fill, read_template
from genius_kit.prompts.formatting import trial_millions
from genius_kit.records import Message, Rejection, Trial
from genius_kit.spaces import MacsBound, SearchSpace
from genius_kit.spaces.costs import whole_millions

_FIRST_BLOCK = re.compile(r"^- Experiment1\n(?P<stages>(?:.*\[[\d, ]+\].*\n)+)(?P<outcome>.*?\d.*)$", re.MULTILINE)
_LIST = re.compile(r"\[[\d, ]+\]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


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
        return trial_millions(self.space, trial) if cost is None else whole_millions(cost.macs)


def load_published(
    space: SearchSpace, *, history: str, constraint: MacsBound | None, conversation: str | Path | None
) -> PublishedPrompt:
    """Return the prompt of a published conversation (default: the downloaded 329M.json).

    Raises PromptError for a file of another form, a history other than "table" (the published form), or a
    constraint other than the one its text states; DataMissing where the file was not downloaded.
    """
    if history != "table":
        raise PromptError(
            f'the published prompt lists its results afresh: history="table" is its only form, not {history!r}'
        )
    path = find("chat_history/329M.json") if conversation is None else Path(conversation)
    content, chat = _read(path)
    openings = [chat[i : i + 2] for i, message in enumerate(chat[:-1]) if message["role"] == "system"]
    later = [chat[i] for i in range(1, len(chat)) if chat[i]["role"] == "user" and chat[i - 1]["role"] == "assistant"]
    text = openings[1][-1]["content"] if len(openings) > 1 else ""
    block = _FIRST_BLOCK.search(text)
    is_known = block and len(_LIST.findall(block["stages"])) == len(space.stages)
    if not block or not is_known or len(_NUMBER.findall(block["outcome"])) != 2:
        raise PromptError(
            f"{path} is not a published conversation: expected a second prompt that lists Experiment1 in "
            f"{len(space.stages)} stages with its total and its accuracy"
        )
    _check_bound(openings[0][-1]["content"], constraint, path)
    refused = next((m["content"] for m in later if len(_NUMBER.findall(m["content"])) == 3), None)
    return PublishedPrompt(
        name="published",
        history=history,
        sha256=hashlib.sha256(content).hexdigest(),
        space=space,
        opening=tuple(openings[0]),
        before=text[: block.start()],
        stages=block["stages"],
        outcome=block["outcome"],
        after=text[block.end() :],
        after_several=_closing(openings[-1][-1]["content"], block["outcome"]) or text[block.end() :],
        refused=refused,
    )


def _closing(text: str, outcome: str) -> str | None:
    """Return what follows the last experiment of `text`: one file has a blank line fewer there."""
    outcomes = re.finditer(_NUMBER.pattern.join(map(re.escape, _NUMBER.split(outcome))), text)
    return next((text[found.end() :] for found in reversed(list(outcomes))), None)


def _read(path: Path) -> tuple[bytes, list[Message]]:
    try:
        content = path.read_bytes()
        chat: Any = json.loads(content)
        return content, [Message(role=str(m["role"]), content=str(m["content"])) for m in chat]
    except OSError as error:
        raise PromptError(
            f"the conversation {path} cannot be read ({error.strerror}); give the path of a JSON file"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise PromptError(
            f"{path} is not a conversation ({error!r}): expected a JSON list of objects with role and content"
        ) from error


def _check_bound(text: str, constraint: MacsBound | None, path: Path) -> None:
    bounds = re.findall(r"\[(\d+), ?(\d+)\]", text)
    if constraint is None or not bounds:
        return
    lower, upper = (int(number) for number in bounds[-1])
    if constraint.upper_millions != upper or constraint.lower_millions not in (None, lower):
        raise PromptError(
            f"{path} states the bound [{lower}, {upper}] million, but the run's is [{constraint.lower_millions}, "
            f"{constraint.upper_millions}]: give the same bound, or another variant"
        )


def _with_numbers(text: str, numbers: Sequence[str]) -> str:
    """Return `text` with its numbers replaced, in order."""
    values = iter(numbers)
    return _NUMBER.sub(lambda _: next(values), text)
