"""The text that a language model is shown: template files with named holes, filled strictly.

A variant is a Markdown file under `templates/variants` or any file of the user's. Its holes are HOLES; a line
`<!-- user -->` ends the system message, and without that line there is none. Fixed text comes first and the
results last, so that successive prompts share their beginning and a provider's prefix cache is hit.
The variant "published" is not a template of ours: see `published.py`.
"""

from __future__ import annotations

import hashlib
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, PromptError, UnknownName
from genius_kit.records import Message, Rejection, Trial
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.costs import MacsBound

VARIANTS = ("minimal", "standard", "reasoned")
HISTORIES = ("table", "dialogue")
HOLES = (
    "system", "problem", "operations", "skeleton", "dataset", "metric",
    "constraint", "macs_table", "answer_format", "results",
)  # fmt: skip
USER_MARK = re.compile(r"^<!-- user -->[ \t]*\n", re.MULTILINE)

_DATASETS = {"mobilenet-imagenet": "ImageNet", "vision-transformer": "ImageNet"}
_PARTS = ("problem", "operations", "skeleton")
_SHARED = (
    "system", "constraint", "macs_table", "answer_format", "results", "dialogue_results", "dialogue_result", "refusal",
)  # fmt: skip


@dataclass(frozen=True)
class Prompt(ABC):
    """What one run sends to a model; `sha256` is over the sources of the text, whatever fills them."""

    name: str
    history: str
    sha256: str

    @abstractmethod
    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the whole opening for the proposal that follows `trials`."""

    @abstractmethod
    def refusal(self, rejection: Rejection) -> Message:
        """Return the user message that sends the rejection's detail back and asks again."""


@dataclass(frozen=True)
class TemplatePrompt(Prompt):
    """A prompt made from template files: `source` is the variant's text, `shared` the parts filled a second time."""

    space: SearchSpace
    constraint: MacsBound | None
    source: str
    shared: dict[str, str]
    holes: dict[str, str]

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the opening: `table` lists the results in its last message, `dialogue` replays the conversation."""
        lines = [self.result_line(number, trial) for number, trial in enumerate(trials, start=1)]
        if self.history == "table":
            return self._opening(self._part("results", lines=lines))
        messages = self._opening(self._part("dialogue_results"))
        for trial, line in zip(trials, lines, strict=True):
            measured = Message(role="user", content=self._part("dialogue_result", line=line))
            messages += [*trial.exchange, measured]
        return _joined(messages)

    def refusal(self, rejection: Rejection) -> Message:
        """Return the user message that sends the rejection's detail back and asks again."""
        return Message(role="user", content=self._part("refusal", detail=rejection.detail.rstrip(". ") + "."))

    def result_line(self, number: int, trial: Trial) -> str:
        """Return one line such as "1. [2, 2, 2, 1, 2, 2, 2, 0] -> 92.31", with the MACs where there is a bound.

        An evaluation that failed reads "-> not measured (training diverged)".
        """
        feedback, failure = trial.evaluation.feedback, trial.evaluation.failure
        line = f"{number}. {format_design(self.space, trial.architecture)} -> "
        line += "not measured" if feedback is None else f"{feedback:.2f}"
        line += f" ({failure.partition(': ')[0]})" if failure else ""
        return f"{line}, {trial_millions(self.space, trial)} million" if self.constraint else line

    def _opening(self, results: str) -> list[Message]:
        *system, user = USER_MARK.split(self.source, maxsplit=1)
        texts = [("system", text) for text in system] + [("user", user)]
        filled = [(role, fill(text, {**self.holes, "results": results}, self.name)) for role, text in texts]
        return [Message(role=role, content=text) for role, text in filled if text]

    def _part(self, part: str, **values: Any) -> str:
        values = {**self.holes, "placeholder": placeholder(self.space), **values}
        return fill(self.shared[part], values, f"{part}.md")


def list_prompts(space: SearchSpace) -> list[str]:
    """Return the names of the variants for `space`; any path of a template file is a variant too."""
    return [*VARIANTS, *(["published"] if space.family == "stages" else [])]


def load_prompt(
    name_or_path: str | Path,
    space: SearchSpace,
    *,
    history: str = "table",
    constraint: MacsBound | None = None,
    dataset: str | None = None,
    feedback_name: str = "accuracy",
    image_size: int | None = None,
    conversation: str | Path | None = None,
) -> Prompt:
    """Return the prompt called `name_or_path`, or the one in that file.

    `dataset` and `image_size` (pixels a side) default to the space's own (CIFAR-10 or ImageNet); `feedback_name` is
    what the results are called; `conversation` is the published file that "published" reads (default: the downloaded
    329M.json).
    Raises UnknownName, InvalidParameter for the history, PromptError for a template with wrong holes, DataMissing.
    """
    if history not in HISTORIES:
        raise InvalidParameter(f"history {history!r} is not one of {', '.join(HISTORIES)}")
    if name_or_path == "published" and "published" in list_prompts(space):
        from genius_kit.published import load_published

        return load_published(space, history=history, constraint=constraint, conversation=conversation)
    source = _variant_source(name_or_path, space)
    shared = {name: read_template("shared", name) for name in _SHARED}
    if space.family == "transformer":
        shared["macs_table"] = read_template(space.base, "macs_table")
    parts = {name: read_template(space.base, name) for name in _PARTS}
    digest = hashlib.sha256("\0".join([source, *shared.values(), *parts.values()]).encode()).hexdigest()
    check_holes(source, str(name_or_path), history, constraint)
    values: dict[str, Any] = {
        "dataset": dataset or _DATASETS.get(space.base, "CIFAR-10"),
        "metric": feedback_name,
        "constraint": "",
        "macs_table": _macs_table(shared["macs_table"], space, constraint),
    }
    if constraint:
        values["constraint"] = fill(shared["constraint"], {"bound": bound_words(constraint)}, "constraint.md")
    network = _network_values(space, image_size)
    values |= {name: fill(text, {**values, **network}, f"{space.base}/{name}.md") for name, text in parts.items()}
    numbers = ", ".join(str(number) for number in range(len(space.options)))
    form = {"space": space, "numbers": numbers, "placeholder": placeholder(space)}
    values["answer_format"] = fill(shared["answer_format"], form, "answer_format.md")
    values["system"] = fill(shared["system"], {}, "system.md")
    prompt = TemplatePrompt(str(name_or_path), history, digest, space, constraint, source, shared, values)
    prompt.messages(())  # a template that cannot be filled fails here, before anything is paid
    return prompt


def _network_values(space: SearchSpace, image_size: int | None) -> dict[str, Any]:
    """Return what the skeleton's text depends on: `sides` are those of the image halved once, twice, ..."""
    from genius_kit.skeletons import class_and_image_sizes

    _, size = class_and_image_sizes(space, None, image_size)
    sides = [(size + 2**halvings - 1) // 2**halvings for halvings in range(1, 6)]
    values: dict[str, Any] = {"space": space, "image_size": size, "sides": sides}
    if space.family == "transformer":
        from genius_kit.transformer_costs import patch_size

        values["patch"] = patch_size(size)
    return values


def read_template(folder: str, name: str) -> str:
    """Return the text of one of the package's own template files."""
    return (files("genius_kit") / "templates" / folder / f"{name}.md").read_text(encoding="utf-8")


def _variant_source(name_or_path: str | Path, space: SearchSpace) -> str:
    if name_or_path in VARIANTS:
        return read_template("variants", str(name_or_path))
    path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UnknownName(
            f"no prompt for {space.name} is called {str(name_or_path)[:200]!r} and no file can be read there; the "
            f"variants are {', '.join(list_prompts(space))}, or give the path of a template file"
        ) from error


def check_holes(source: str, name: str, history: str, constraint: MacsBound | None) -> None:
    """Raise PromptError naming every hole of `source` that is not one of HOLES, and every needed one it lacks.

    Needed are `results` in the table history, without which the model would be blind, and `constraint` where
    there is one. Other holes may be left out.
    """
    import jinja2.meta

    try:
        found = jinja2.meta.find_undeclared_variables(_environment().parse(source))
    except jinja2.TemplateError as error:
        raise PromptError(f"the prompt template {name} cannot be read: {error}") from error
    unknown = sorted(found - set(HOLES))
    needed = (["results"] if history == "table" else []) + (["constraint"] if constraint else [])
    missing = [hole for hole in needed if hole not in found]
    wrong = [f"unknown holes: {', '.join(unknown)}"] * bool(unknown)
    wrong += [f"missing holes: {', '.join(missing)}"] * bool(missing)
    if wrong:
        raise PromptError(f"the prompt template {name} has {'; '.join(wrong)}. The known holes are {', '.join(HOLES)}")


def fill(source: str, values: dict[str, Any], name: str) -> str:
    """Return `source` with its holes filled, in jinja2's sandbox: a user's template is data, not code.

    Raises PromptError, which names the template.
    """
    import jinja2

    try:
        return _compiled(source).render(values).strip()
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise PromptError(
            f"the prompt template {name} cannot be filled: {error}. The known holes are {', '.join(HOLES)}"
        ) from error


@lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    return environment


def format_design(space: SearchSpace, architecture: Architecture) -> str:
    """Return the design as prompts print it: option numbers or channel counts, stages in lists of their own."""
    if space.family == "channels":
        architecture = tuple(int(space.choices[i][value]) for i, value in enumerate(architecture))
    if space.family != "stages":
        return str(list(architecture))
    return str([[architecture[position] for position in stage] for stage in space.stages])


def placeholder(space: SearchSpace) -> str:
    """Return the answer format's example: letters in place of numbers, so that an echo of it is no design."""
    if space.family == "stages":
        return "[[a, b, c, d, e, f], ..., [u, v, w, x, y, z]]"
    return f"[a, b, ..., {string.ascii_lowercase[space.length - 1]}]"


def bound_words(bound: MacsBound) -> str:
    """Return the bound in words: "at least 270 million and at most 330 million"."""
    lower = f"at least {bound.lower_millions} million and " if bound.lower_millions else ""
    return f"{lower}at most {bound.upper_millions} million"


def trial_millions(space: SearchSpace, trial: Trial) -> int:
    """Return the MACs of a trial in whole millions as the bound judges them: at the image size of the space."""
    from genius_kit.costs import count_cost, whole_millions

    return whole_millions(count_cost(space, trial.architecture).macs)


def _macs_table(template: str, space: SearchSpace, constraint: MacsBound | None) -> str:
    """Return the MACs of every option at every position, equal neighbours on one line; "" where none are wanted.

    Those of the transformer space stand on a line for each embedding.
    """
    if space.family == "channels" or (constraint is None and space.family != "stages"):
        return ""
    from genius_kit.costs import embedding_table, macs_table

    if space.family == "transformer":
        lines = [
            (f"{own / 1e6:.2f}", [f"{count / 1e6:.2f}" for count in block]) for own, block in embedding_table(space)
        ]
        return fill(template, {"rows": lines}, f"{space.base}/macs_table.md")
    fixed, table = macs_table(space)
    rows: list[tuple[str, list[str]]] = []
    for position, entries in zip(space.positions, table.tolist(), strict=True):
        printed = [f"{count / 1e6:.2f}" for count in entries]
        if rows and rows[-1][1] == printed:
            rows[-1] = (f"{rows[-1][0].split(' to ')[0]} to {position}", printed)
        else:
            rows.append((position, printed))
    numbers = ", ".join(str(number) for number in range(len(space.options)))
    values = {"rows": rows, "numbers": numbers, "fixed": f"{sum(fixed.values()) / 1e6:.2f}"}
    return fill(template, values, "macs_table.md")


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with neighbours of one role made one, as servers with a strict chat template demand."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1] = Message(role=message["role"], content=f"{joined[-1]['content']}\n\n{message['content']}")
        else:
            joined.append(message)
    return joined
